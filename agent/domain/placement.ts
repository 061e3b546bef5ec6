// Which machine runs what: the decisions of the engine, and the manifest by which a machine is told its share.
import type { CommitId, MachineId, UnitHash, UnitName } from "./names.ts";
import type { ProblemRecord } from "./problem.ts";

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

export interface ManifestEntry {
  readonly name: UnitName;
  readonly source: "git";
  /** A commit in which the unit has this hash. */
  readonly commit: CommitId;
  readonly hash: UnitHash;
  readonly target: ManifestTarget;
}

/** A machine's share, in name order. */
export interface Manifest extends Position {
  readonly machine: MachineId;
  readonly units: readonly ManifestEntry[];
}

/** A unit that is (or may be) on a machine. */
export interface Placement {
  readonly unit: UnitName;
  readonly on: MachineId;
}

export const refusalRules = [
  "machine-id",
  "metadata",
  "machine-of",
  "machine-of-cycle",
  "conflict",
  "replaced",
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

/** What the engine decided for one unit (for a global unit: for one unit on one machine). */
export type Decision =
  | { readonly kind: "keep"; readonly unit: UnitName; readonly on: MachineId }
  | {
      readonly kind: "place";
      readonly unit: UnitName;
      readonly on: MachineId;
      readonly from?: MachineId;
      readonly because: string;
    }
  | { readonly kind: "wait"; readonly unit: UnitName; readonly refusals: readonly Refusal[]; readonly from?: MachineId }
  | { readonly kind: "drop"; readonly unit: UnitName; readonly on: MachineId; readonly because: string };

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
