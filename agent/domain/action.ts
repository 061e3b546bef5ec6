// What is to be done to this machine's units, as data: every choice is already made.
import type { UnitHash, UnitName } from "./names.ts";
import type { Unit } from "./unit.ts";

/** A unit that flotilla has put on this machine, read back from disk. */
export interface PlacedUnit {
  readonly name: UnitName;
  /** Recomputed from what lies there. */
  readonly hash: UnitHash;
  /** The hash with which it was last told to start since the machine booted; undefined when it is only loaded. */
  readonly launched: UnitHash | undefined;
}

/** One job for systemd and what belongs to it. Jobs of different units run side by side. */
export interface Job {
  readonly kind: "start" | "restart" | "reload" | "stop" | "remove";
  readonly unit: UnitName;
  /** Units whose stop or removal in this plan must be over before this job may begin. */
  readonly after: readonly UnitName[];
  readonly because: string;
}

/** One pass over a machine: write all, reload systemd at most once, then the jobs. */
export interface Plan {
  readonly write: readonly { readonly unit: Unit; readonly because: string }[];
  /** True exactly when systemd must read unit files anew. */
  readonly reload: boolean;
  /** In name order; `remove` stops the unit and takes its files away. */
  readonly jobs: readonly Job[];
}
