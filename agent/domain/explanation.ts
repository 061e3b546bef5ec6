// Why a unit is where it is, or nowhere; and what a machine may and may not take: the answers of the API and the material of
// `flotilla explain`. Plain JSON data; a field that is left out is not known or does not apply.
import type { Refusal, RefusalRule } from "./placement.ts";
import type { DrainReport, HoldReport, LossWait, MachineReference, RestReport } from "./report.ts";

/** One rule of placement, and how many machines it leaves. A machine counts for the first rule that it breaks. */
export interface FunnelStep {
  readonly rule: RefusalRule;
  /** Those that the rules before have left. */
  readonly machines: number;
  readonly left: number;
}

/** A rule that a machine breaks for a unit, with the amount: `needs 2G of memory, 1.5G are free`. */
export interface BrokenRule {
  readonly rule: RefusalRule;
  readonly because: string;
}

/** A machine that does not take the unit, with every rule that it breaks. */
export interface NearMiss {
  readonly machine: MachineReference;
  readonly breaks: readonly BrokenRule[];
}

/** A machine that takes the unit, and what its rank among all those comes from, in this order; at last from its id. */
export interface Candidate {
  readonly machine: MachineReference;
  /** 1: the one that the unit would rather have. */
  readonly rank: number;
  /** Instances that it is spread with on machines of the same value; left out for a unit that is not spread. */
  readonly spread?: number;
  /** How many Prefer= hold less how many Avoid= hold; left out for a unit that has neither. */
  readonly preference?: number;
  /** Units there, this one not counted. */
  readonly units: number;
}

/** A machine that the unit is on, or is to be on. */
export interface PlacedUnit {
  readonly machine: MachineReference;
  /** `keep`: it was there; `place`: it comes. */
  readonly decision: "keep" | "place";
  readonly because: string;
  /** Of one that comes: where it leaves, if it was anywhere. */
  readonly from?: MachineReference;
  /** Its rank, would it be placed anew, among all that would take it; left out for global units, and where it would not be taken anew. */
  readonly rank?: number;
}

/** What the rules of placement say of a unit. */
export interface UnitPlacement {
  readonly name: string;
  readonly state: "placed" | "waiting" | "inactive";
  readonly global: boolean;
  /** The unit of a higher priority that takes its place. */
  readonly displacedBy?: string;
  readonly places: readonly PlacedUnit[];
  /** How many machines there are, those among them that may still be coming back. */
  readonly machines: number;
  /** Over all machines, as if the unit were on none; of a global unit over those that lack it. Rules that ask it nothing are left out. */
  readonly funnel: readonly FunnelStep[];
  /** How many machines take it as things stand, its own among them, and the first few. None of a global unit. */
  readonly candidates: { readonly machines: number; readonly first: readonly Candidate[] };
  /** The machines that break the fewest rules, nearest first: five at most, 50 of a global unit. */
  readonly misses: readonly NearMiss[];
  /** What would place a unit that waits or is inactive, or put a global one on more machines. Each has been tried. */
  readonly changes: readonly string[];
}

/** The same with what only the whole cluster shows. */
export interface UnitExplanation extends Omit<UnitPlacement, "places"> {
  /** In one sentence. */
  readonly because: string;
  readonly hold?: HoldReport;
  /** The lost machine that it waits for. */
  readonly lossWait?: LossWait;
  readonly places: readonly PlaceExplanation[];
  /** The last time that it was displaced. */
  readonly event?: { readonly atMs: number; readonly message: string };
}

export interface PlaceExplanation extends PlacedUnit {
  /** Since when systemd has it in its state there; wall ms. */
  readonly sinceMs?: number;
  /** Where the machine is drained: where the unit is to go, or why no other machine takes it. Neither: its turn has not come. */
  readonly leaving?: { readonly to?: MachineReference; readonly refusals: readonly Refusal[] };
}

/** An amount that can be reserved; without `total` it is not known how much there is. */
export interface Capacity {
  readonly total?: number;
  readonly reserved: number;
  readonly free?: number;
}

/** A unit and every rule by which the machine refuses it. */
export interface RefusedUnit {
  readonly unit: string;
  readonly breaks: readonly BrokenRule[];
}

/** What the rules of placement say of a machine. */
export interface MachinePlacement {
  /** `presumed`: it may still be coming back; it keeps what it has and takes nothing. */
  readonly standing: "present" | "presumed";
  readonly metadata: Readonly<Record<string, string>>;
  readonly cordoned?: true;
  readonly memoryBytes: Capacity;
  readonly milliCpus: Capacity;
  /** In name order: what is there, or is to be, and what it reserves. */
  readonly units: readonly { readonly unit: string; readonly memoryBytes: number; readonly milliCpus: number }[];
  /** How many of the wanted units that are not there it would take as things stand. */
  readonly takes: number;
  /** How many of them it refuses, by the first rule of each, with an example. */
  readonly refuses: readonly {
    readonly rule: RefusalRule;
    readonly units: number;
    readonly unit: string;
    readonly because: string;
  }[];
  /** Units that are on no machine: how many it refuses, and the first ten in name order. */
  readonly waiting: { readonly units: number; readonly first: readonly RefusedUnit[] };
  /** Global units that are not there, in name order. */
  readonly globals: readonly RefusedUnit[];
}

/** The same with what only the whole cluster shows. */
export interface MachineExplanation extends MachinePlacement {
  readonly machine: MachineReference;
  readonly drain?: DrainReport;
  /** What it is cordoned for, unless an operator has said so. */
  readonly rests?: RestReport;
}
