// Which machine runs what: the decisions of the engine, and the manifest by which a machine is told its share.
import type { CommitId, MachineId, UnitHash, UnitName } from "./names.ts";
import type { ProblemRecord } from "./problem.ts";
import type { PlacementOptions, TargetState } from "./unit.ts";

/** How new a manifest is: by epoch (the leader key's create revision), then by generation (rising within an epoch). */
export interface Position {
  readonly epoch: number;
  readonly generation: number;
}

/** Negative, zero or positive as `a` is older than, equal to or newer than `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.generation - b.generation;
}

/** `released`: stop it and take it away; the entry goes once the machine has been seen to have done so. */
export const manifestTargets = ["released", "loaded", "launched"] as const;
export type ManifestTarget = (typeof manifestTargets)[number];

/** Where a machine finds the text: in a commit in which the unit has this hash, or among the submitted units. */
export type TextOrigin =
  { readonly source: "git"; readonly commit: CommitId } | { readonly source: "submitted"; readonly commit?: undefined };

export type ManifestEntry = TextOrigin & {
  readonly name: UnitName;
  readonly hash: UnitHash;
  readonly target: ManifestTarget;
  /** The last restart that somebody asked for: carried out once by a machine that has the unit launched. */
  readonly restart?: string;
  /**
   * OnPartition=stop: its machine, once cut off, stops it by itself, which takes so many ms at most. Whoever starts it
   * elsewhere waits for that, and needs no text of it to know.
   */
  readonly fenceMs?: number;
};

/** A machine that is cut off begins to stop such units so long before its lease can have run out. */
export const fenceLeadMs = 1_000;
/** For systemd to notice the time and for the kernel to end what was killed. */
const fenceMarginMs = 1_000;

/** From the end of its machine's lease until a unit with this `fenceMs` is down there in any case. */
export function fenceWaitMs(fenceMs: number): number {
  return Math.max(0, fenceMs - fenceLeadMs) + fenceMarginMs;
}

/** A machine's share, in name order. */
export interface Manifest extends Position {
  readonly machine: MachineId;
  /** Its machine was lost, and its units were free to go elsewhere; until the machine is there again. */
  readonly givenUp?: true;
  /**
   * The leader's word that units with `fenceMs` may be started under a claim of the machine's id: the mod revision of its
   * record. In a registry that was put back no later claim has that number.
   */
  readonly word?: number;
  readonly units: readonly ManifestEntry[];
}

/** A unit that is (or may be) on a machine. */
export interface Placement {
  readonly unit: UnitName;
  readonly on: MachineId;
}

/**
 * Whether a machine is known to live. `presumed`: it was known before a change of leader or a return of the registry and
 * has not had one full lease to come back; it keeps what it has and receives nothing. One in neither class is gone.
 */
export type Standing = "present" | "presumed";

/** A machine, as far as placement looks at it. */
export interface CandidateMachine {
  readonly id: MachineId;
  /** For a presumed machine as last known, or empty: its constraints are not judged. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly standing: Standing;
  /** What there is to reserve. Undefined or 0: not known, and no reason to refuse. */
  readonly memoryBytes?: number;
  readonly milliCpus?: number;
  /** It takes nothing new; what it has stays. */
  readonly cordoned?: true;
  /** It came and went so many times, and is cordoned for a while: for the words of a refusal. */
  readonly rests?: number;
  /** It is being drained (and cordoned): so many units may leave it in this pass, those that follow them not counted. */
  readonly drain?: number;
}

/** A unit, as far as placement looks at it; a Unit is one. */
export interface WantedUnit {
  readonly name: UnitName;
  readonly target: TargetState;
  readonly options: PlacementOptions;
}

/**
 * The metadata key by which placement is told which machines take submitted units, and that it asks for those: as the setting
 * is called, for refusals (`needs AllowSubmit=yes`). On no machine where all take them.
 */
export const opennessKey = "AllowSubmit";

/** Everything that a decision may depend on. No order in it has a meaning; names and ids are unique. */
export interface ClusterState {
  /** All units of the adopted commit, inactive ones too: a placed unit that is not among them is dropped. */
  readonly wanted: readonly WantedUnit[];
  readonly machines: readonly CandidateMachine[];
  /** Also on machines that are gone. Several machines for one unit that is not global are a conflict of evidence. */
  readonly placements: readonly Placement[];
  /** Told to leave and not yet seen gone: counts for nothing, but the unit goes back there if it may. */
  readonly leaving?: readonly Placement[];
  /** Of `leaving`: moved off to make loads more even, and not to go back there. */
  readonly parting?: readonly Placement[];
  /** Seen running: breaks the tie when a unit is placed on several machines. */
  readonly running?: readonly Placement[];
  /** So many units may be moved in this pass only to make loads more even; none unless set. */
  readonly rebalance?: number;
}

/**
 * Units of which nothing may be decided: those that cannot be read (`unknown`), and all that follow one of them
 * (MachineOf=), near or far. They stay as they are.
 */
export function undecidable(
  units: Iterable<Pick<WantedUnit, "name" | "options">>,
  unknown: ReadonlySet<UnitName>,
): ReadonlySet<UnitName> {
  if (unknown.size === 0) return unknown;
  const followers = [...units].filter(({ options }) => options.machineOf.length > 0);
  const found = new Set(unknown);
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const { name, options } of followers) if (options.machineOf.some((peer) => found.has(peer))) found.add(name);
  }
  return found;
}

/** In the order in which they are asked: a machine counts for the first that it breaks. */
export const refusalRules = [
  "machine-id",
  "metadata",
  "cordoned",
  "spread",
  "machine-of",
  "machine-of-cycle",
  "conflict",
  "replaced",
  "memory",
  "cpu",
  "no-machine",
] as const;
export type RefusalRule = (typeof refusalRules)[number];

/** Why machines would not take a unit: how many machines a rule refused first, and one example in words. */
export interface Refusal {
  readonly rule: RefusalRule;
  readonly machines: number;
  /** e.g. `conflicts with web@1.service`, `needs region=eu`, `needs db.service on the same machine`. */
  readonly example: string;
}

/**
 * What the engine decided for one unit (for a global unit: for one unit on one machine).
 * `keep`: it stays; `refusals`, when it was to leave a machine that is drained and no other takes it. `place`: it goes
 * there, away from `from`. `wait`: no machine takes it; `from`, when that machine is not gone, must let go of it. `drop`:
 * that machine must let go of it. `displacedBy`: the unit of a higher priority that took its place.
 */
export type Decision =
  | { readonly kind: "keep"; readonly unit: UnitName; readonly on: MachineId; readonly refusals?: readonly Refusal[] }
  | {
      readonly kind: "place";
      readonly unit: UnitName;
      readonly on: MachineId;
      readonly from?: MachineId;
      readonly because: string;
      readonly displacedBy?: UnitName;
    }
  | {
      readonly kind: "wait";
      readonly unit: UnitName;
      readonly refusals: readonly Refusal[];
      readonly from?: MachineId;
      readonly displacedBy?: UnitName;
    }
  | { readonly kind: "drop"; readonly unit: UnitName; readonly on: MachineId; readonly because: string };

/** A unit that has a new machine and waits until the old one has been seen to have stopped it. */
export interface Handover {
  readonly unit: UnitName;
  readonly from: MachineId;
  readonly to: MachineId;
}

/** The commit that the cluster runs, and the last one that it would not take. */
export interface Revision {
  readonly adopted?: {
    readonly commit: CommitId;
    readonly ref: string;
    readonly epoch: number;
    readonly atMs: number;
    readonly subject: string;
    readonly author: string;
  };
  readonly refused?: {
    readonly commit: CommitId;
    readonly ref: string;
    readonly atMs: number;
    readonly problems: readonly ProblemRecord[];
  };
}
