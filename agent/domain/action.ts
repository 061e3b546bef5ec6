// What is to be done to this machine's units, as data: every choice is already made.
import type { UnitHash, UnitName } from "./names.ts";
import type { ManifestEntry } from "./placement.ts";
import type { Problem } from "./problem.ts";
import type { SystemdState } from "./status.ts";
import type { Unit } from "./unit.ts";

/** What a unit was last told to start with. */
export interface LaunchNote {
  readonly hash: UnitHash;
  /** The restart on request that this start has carried out, of 1 to 64 lowercase letters, digits and "-". */
  readonly restart?: string | undefined;
}

/** A unit that flotilla has put on this machine, read back from disk. */
export interface PlacedUnit {
  readonly name: UnitName;
  /** Recomputed from what lies there. */
  readonly hash: UnitHash;
  /**
   * The hash with which it was last told to start since the machine booted; undefined when it is only loaded. `unknownText`
   * when its text was changed since and then it was started by somebody else, perhaps with that.
   */
  readonly launched: UnitHash | undefined;
  /** Of the text that had this hash, what systemd reads: its `systemdHash` (text/hash.ts). Left out where it is not known. */
  readonly launchedAs?: UnitHash;
  /** The restart on request that it was last told; undefined when there was none since the machine booted. */
  readonly restarted?: string | undefined;
  /**
   * What systemd was to be told next, when it is not known whether it was, or what came of it. A unit that is being stopped
   * is still noted as launched.
   */
  readonly unsettled?: "launch" | "stop";
  /** Its [Install] section has not been honoured since its text was written. */
  readonly installDue?: true;
  /** OnPartition=stop is in force for it: what each step of its stop may take. */
  readonly fenceStepMs?: number;
}

/** What is known of a unit's last launch. */
export type Launched = Pick<PlacedUnit, "launched" | "launchedAs" | "restarted">;

/** One job for systemd and what belongs to it. Jobs of different units run side by side. */
export interface Job {
  readonly kind: "start" | "restart" | "reload" | "stop" | "remove";
  readonly unit: UnitName;
  /** Units whose stop or removal, in this plan or under way, must be over before this job may begin; in name order. */
  readonly after: readonly UnitName[];
  readonly because: string;
}

/** A unit's text to be written. */
export interface Write {
  readonly unit: Unit;
  readonly because: string;
  /** What runs is what systemd would start with it: noted so once it is written. */
  readonly launched?: LaunchNote;
}

/** One pass over a machine: write all, reload systemd at most once, then the jobs. */
export interface Plan {
  readonly write: readonly Write[];
  /** True exactly when systemd must read unit files anew. */
  readonly reload: boolean;
  /** In name order; `remove` stops the unit and takes its files away. */
  readonly jobs: readonly Job[];
}

/** What a machine was told and what it shows. There is no view without a manifest at hand. */
export interface MachineView {
  /** The manifest's units, in any order. */
  readonly entries: readonly ManifestEntry[];
  /**
   * Units as re-derived from the repository, at their entry's commit. One that is missing, or whose hash is not its
   * entry's, is unknown and left exactly as it is. May also hold units that leave, so that their Conflicts= count.
   */
  readonly units: ReadonlyMap<UnitName, Unit>;
  readonly placed: readonly PlacedUnit[];
  /** At least of all placed units that systemd could be asked about; a missing one is unknown. */
  readonly states: ReadonlyMap<UnitName, SystemdState>;
  /** Names among the entries that the host itself uses, and where. */
  readonly foreign: ReadonlyMap<UnitName, string>;
  /** Units with a job under way: untouched in this pass. */
  readonly busy: ReadonlySet<UnitName>;
  /**
   * Units with OnPartition=stop that may be neither started nor reloaded now, nor written to be, and why if that is to be told:
   * systemd would refuse a start.
   */
  readonly barred?: ReadonlyMap<UnitName, Problem | undefined>;
  /** True when an earlier pass wrote and was cut short before systemd read the files. */
  readonly reloadDue?: boolean;
}

export interface Reconciliation {
  readonly plan: Plan;
  /** Units that this machine must not have, and why. */
  readonly problems: ReadonlyMap<UnitName, Problem>;
}
