// What a commit would do to the cluster: the state that a plan is made from, which can be kept in a file, and the plan.
import type { CommitId, MachineId, UnitHash, UnitName } from "./names.ts";
import type { Refusal, Standing } from "./placement.ts";
import type { OnChange, PlacementOptions, TargetState, UnitSource } from "./unit.ts";

/** Of the form of an exported state: rises when an older reader would understand it wrongly. */
export const stateVersion = 1;

/** A unit or template as the cluster knows it, without its text. */
export interface ExportedUnit {
  readonly name: UnitName;
  readonly source: UnitSource;
  readonly hash: UnitHash;
  /** Of that, what systemd reads. */
  readonly systemdHash: UnitHash;
  /** What its source says; a hold may say something else. */
  readonly target: TargetState;
  /** As placement looks at them. */
  readonly options: PlacementOptions;
  readonly onChange: OnChange;
  /** Known and listed, never run. */
  readonly template?: true;
}

/** A hold; also on a unit that the repository has not got (yet). */
export interface ExportedHold {
  readonly unit: UnitName;
  readonly target: TargetState;
  readonly by: string;
  readonly why?: string;
}

/** A machine that placement may look at, or one that is gone and still has units to its name. */
export interface ExportedMachine {
  readonly id: MachineId;
  /** "" when it is not known. */
  readonly hostname: string;
  readonly standing: Standing | "gone";
  /** With what operators changed of it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Undefined or 0: not known. */
  readonly memoryBytes?: number;
  readonly milliCpus?: number;
  readonly cordoned?: true;
  /** It came and went so many times, and is cordoned for a while. */
  readonly rests?: number;
  /** What it was told to have, what it was told to give up and still has, what is seen running there; in name order. */
  readonly units: readonly UnitName[];
  readonly leaving: readonly UnitName[];
  readonly running: readonly UnitName[];
}

/** Everything of the cluster that a plan needs; no texts of units, and nothing that opens anything. */
export interface ExportedState {
  readonly version: typeof stateVersion;
  /** Wall ms. */
  readonly atMs: number;
  /** The adopted commit; left out: there never was one. */
  readonly adopted?: { readonly commit: CommitId; readonly ref: string };
  /** In order of ids. */
  readonly machines: readonly ExportedMachine[];
  /** Units and templates, of the adopted commit and submitted, in name order. */
  readonly units: readonly ExportedUnit[];
  readonly holds: readonly ExportedHold[];
  /** Units of which the registry holds something that cannot be read: they stay as they are. */
  readonly unknown: readonly UnitName[];
}

/** What would happen to a unit. `moved`, `refused`: the same unit on other machines, or on none that takes it any more. */
export const planChanges = ["added", "changed", "removed", "moved", "refused"] as const;
export type PlanChange = (typeof planChanges)[number];

/**
 * What a machine would do. `load`, `unload`: its files come or go, and it was not started; `rewrite`: its files change, and
 * it stays as it is, stopped or running.
 */
export const planActions = ["start", "restart", "reload", "stop", "load", "rewrite", "unload"] as const;
export type PlanAction = (typeof planActions)[number];

/** How a unit that is changed differs. */
export const planDifferences = ["text", "target", "source"] as const;
export type PlanDifference = (typeof planDifferences)[number];

export interface MachineName {
  readonly id: MachineId;
  readonly hostname: string;
}

export interface PlannedUnit {
  readonly name: UnitName;
  readonly change: PlanChange;
  readonly template?: true;
  readonly global?: true;
  readonly source: UnitSource;
  /** Of one that is changed; never empty there. */
  readonly differs?: readonly PlanDifference[];
  /** The target that counts, before and after; left out where there is no such unit. */
  readonly before?: { readonly target: TargetState; readonly machines: readonly MachineName[] };
  readonly after?: { readonly target: TargetState; readonly machines: readonly MachineName[] };
  /** What is done where, in order of machine ids; none: nothing is. */
  readonly actions: readonly { readonly action: PlanAction; readonly machine: MachineName }[];
  /** Why it goes to another machine, or is on none any more. */
  readonly because?: string;
  /** The unit of a higher priority that takes its place. */
  readonly displacedBy?: UnitName;
  /** What machines have against it, where it would wait. */
  readonly waits?: readonly Refusal[];
  /** An operator's word that is stronger than the commit's. */
  readonly hold?: ExportedHold;
}

/** What one machine would do: names of units by action; actions without any are left out. */
export interface PlannedMachine {
  readonly machine: MachineName;
  readonly actions: Readonly<Partial<Record<PlanAction, readonly UnitName[]>>>;
}

/** How many units would be otherwise, and how often what is done on machines. */
export interface PlanSummary {
  readonly units: Readonly<Record<PlanChange, number>>;
  /** Of the units that are not removed: those that would wait for a machine. */
  readonly waiting: number;
  readonly actions: Readonly<Record<PlanAction, number>>;
}

export interface ClusterPlan {
  /** The commit that the cluster runs. */
  readonly against?: NonNullable<ExportedState["adopted"]>;
  /** When the cluster was as it is compared with, wall ms. */
  readonly atMs: number;
  readonly summary: PlanSummary;
  /** Units that would be otherwise, in name order; none: nothing changes. */
  readonly units: readonly PlannedUnit[];
  /** Machines that would do something, in order of ids. */
  readonly machines: readonly PlannedMachine[];
}
