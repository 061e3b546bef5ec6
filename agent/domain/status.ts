// What a machine's systemd shows of the units that flotilla placed there.
import type { MachineId, UnitHash, UnitName } from "./names.ts";
import type { Position } from "./placement.ts";
import type { ProblemRecord } from "./problem.ts";

/** systemd's own words, unmodified (org.freedesktop.systemd1.Unit). */
export interface SystemdState {
  readonly load: string;
  readonly active: string;
  readonly sub: string;
  /** `Result` of the unit's type ("success", "exit-code", "timeout", ...); "" where the type has none or it is not loaded. */
  readonly result: string;
  /** Wall-clock ms of the last change of `active`, 0 when it never changed. */
  readonly sinceMs: number;
  /** NRestarts of a service; 0 for other types. */
  readonly restarts: number;
}

/** Runs, comes up or takes its configuration up anew; what is on its way down ("deactivating") is neither up nor down. */
export function isUp(active: string | undefined): boolean {
  return active === "active" || active === "activating" || active === "reloading";
}

/** Nothing of it runs; undefined, a unit of which nothing is known, does not count. */
export function isDown(active: string | undefined): boolean {
  return active === "inactive" || active === "failed";
}

export interface UnitStatus extends SystemdState {
  readonly name: UnitName;
  /** Hash of what lies on the machine. */
  readonly hash: UnitHash;
  /** It was told to start with what lies there, and systemd's job for that has ended, well or not. */
  readonly started?: true;
  /** The last restart on request that it carried out since the machine booted. */
  readonly restart?: string;
  /** What the machine could not do for this unit, last. */
  readonly problem?: ProblemRecord;
}

/** All units that flotilla placed on one machine, in name order, and the manifest that it has carried out or is carrying out. */
export interface MachineStatus {
  readonly machine: MachineId;
  /** Everything that this manifest releases and is not listed in `units` is gone from the machine. */
  readonly seen: Position;
  readonly units: readonly UnitStatus[];
}
