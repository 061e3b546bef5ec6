// What people and programs are shown of the cluster: the API's answers, the commands' material. Plain JSON data; a field
// that is left out is not known or does not apply.
import type { ManifestTarget, Refusal } from "./placement.ts";
import type { ProblemRecord } from "./problem.ts";
import type { TargetState, UnitSource } from "./unit.ts";

/** A machine as others refer to it. */
export interface MachineReference {
  readonly id: string;
  /** "" when it publishes none, or is gone. */
  readonly ip: string;
  /** "" when it is gone. */
  readonly hostname: string;
  /** False: it stopped answering; nobody knows what still runs there. */
  readonly alive: boolean;
}

/** An operator's word on a git unit. */
export interface HoldReport {
  readonly unit: string;
  readonly target: TargetState;
  /** What the repository says; left out when it has no such unit (any more), or is not at hand. */
  readonly declared?: TargetState;
  readonly by: string;
  readonly why?: string;
  readonly atMs: number;
  readonly untilMs?: number;
}

/** An operator's wish that a machine's units go elsewhere, and what became of it. */
export interface DrainReport {
  readonly id: string;
  readonly by: string;
  readonly sinceMs: number;
  /** It is stopped then. */
  readonly deadlineMs?: number;
  readonly state: "moving" | "done" | "stopped";
  /** Of one that was stopped: why. */
  readonly because?: string;
  /** Units there but global ones; left out where it is not known which those are. */
  readonly left?: number;
}

/** Why a unit is not started yet where it is to be: it may still run on another machine, which is lost or not heard of. */
export interface LossWait {
  /** Left out of `heard`. */
  readonly machine?: MachineReference;
  /**
   * `stopped`: until the machine must have stopped it by itself (OnPartition=stop). `returned`: it is lost together with many
   * others, and nothing of theirs is moved until enough of them are back (LossBrake=). `heard`: until every machine that the
   * leader may not have heard of must have stopped it; a moment, but after its agent's start, or after etcd was away or restored.
   */
  readonly until: "stopped" | "returned" | "heard";
  /** Of `stopped` and `heard`: what the machine has to stop, the unit or one that it follows (MachineOf=). */
  readonly unit?: string;
  /** Of `stopped`: it waits no longer than this after the leader counts the machine as lost; when that was only the leader knows. */
  readonly mostMs?: number;
}

/** A machine that came and went takes nothing new for a while. */
export interface RestReport {
  /** How often it was lost lately. */
  readonly losses: number;
  /** Wall ms. */
  readonly untilMs: number;
}

/** One living machine. */
export interface MachineReport {
  readonly id: string;
  readonly ip: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly version: string;
  /** Whether it leads now. */
  readonly leader: boolean;
  readonly mayLead: boolean;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** How many units it has been given. */
  readonly units: number;
  /** It takes nothing new; what it has stays. */
  readonly cordoned?: true;
  /** The last one, for as long as it is cordoned. */
  readonly drain?: DrainReport;
  readonly rests?: RestReport;
}

/** A unit on a machine that is drained. */
export interface LeavingUnit {
  readonly unit: string;
  /** It is being stopped there, to go elsewhere: no drain's end keeps it from that. */
  readonly stopping?: true;
  /** Why no other machine takes it; empty: its turn has not come, or it is on its way. */
  readonly refusals: readonly Refusal[];
}

/** All that is known of one machine. */
export interface MachineDetail extends MachineReport {
  /** In name order; left out of a machine that has no drain, and where it is not known which units are global. */
  readonly leaving?: readonly LeavingUnit[];
}

/**
 * One unit on one machine. `reported`: the machine's own word. `pending`: placed there, nothing heard of it yet.
 * `lost`: placed on a machine that no longer answers.
 */
export interface UnitReport {
  readonly name: string;
  readonly machine: MachineReference;
  readonly knowledge: "reported" | "pending" | "lost";
  /** What the machine was told; left out when it has the unit without being told to (any more). */
  readonly target?: ManifestTarget;
  /** The commit from which it was told to take the unit. */
  readonly commit?: string;
  /** Where it comes from; left out with `target`. */
  readonly source?: UnitSource;
  readonly hold?: HoldReport;
  /** The machine was told to start what lies there, and systemd's job for that has ended, well or not. */
  readonly started?: true;
  /** The last restart on request that the machine has carried out. */
  readonly restart?: string;
  /** systemd's words, hash of what lies on the machine, and the rest: only when `reported`. */
  readonly load?: string;
  readonly active?: string;
  readonly sub?: string;
  readonly result?: string;
  /** Wall clock, ms; left out when it never changed. */
  readonly sinceMs?: number;
  readonly restarts?: number;
  readonly hash?: string;
  readonly problem?: ProblemRecord;
}

/** One unit or template, of the adopted commit or submitted by hand. */
export interface UnitFileReport {
  readonly name: string;
  readonly source: UnitSource;
  /** Of a submitted one: who changed it last, and when (wall ms). */
  readonly by?: string;
  readonly atMs?: number;
  /** What it wants: a hold's word before the repository's. */
  readonly desired: TargetState;
  readonly hash: string;
  readonly hold?: HoldReport;
  /** fleet's derived state; left out for global units, which have one for each machine. */
  readonly state?: TargetState;
  readonly global: boolean;
  readonly template: boolean;
  /** Where it is placed; left out when nowhere, and for global units and templates. */
  readonly machine?: MachineReference;
  readonly description?: string;
  /** Path in the repository; "" for a submitted one. */
  readonly file: string;
}

/** A unit file with its text, byte for byte. */
export interface UnitFileText extends UnitFileReport {
  readonly text: string;
  readonly dropIns: readonly { readonly name: string; readonly file: string; readonly text: string }[];
}

/** The adopted commit, as `status` shows it. */
export interface CommitReport {
  readonly commit: string;
  readonly ref: string;
  readonly atMs: number;
  readonly subject: string;
  readonly author: string;
}

/** All that is known of one unit. */
export interface UnitDetail {
  readonly name: string;
  /** Whether this agent has the adopted commit; without it, a missing `file` says nothing. */
  readonly commitAtHand: boolean;
  /** Left out when the adopted commit has no such unit (any more), or is not at hand. */
  readonly file?: UnitFileReport;
  /** The commit that `file` is from. */
  readonly commit?: CommitReport;
  /** In order of machine ids; also where it is being taken away. */
  readonly places: readonly UnitReport[];
  /** Why it waits: filled only for a unit that wants a machine and has none. */
  readonly refusals: readonly Refusal[];
  readonly lossWait?: LossWait;
}

export interface ClusterReport {
  /** The agent that answers. */
  readonly agent: { readonly machine: string; readonly version: string };
  /** Left out when there is none, and when that is not known: then `problems` has "registry-unreachable". */
  readonly leader?: { readonly machine: MachineReference; readonly epoch: number };
  /** Left out when none was adopted; when that is not known, `units.files` is left out too, and `problems` says why. */
  readonly adopted?: CommitReport;
  /** The last commit that was refused, as long as the engine keeps it. */
  readonly refused?: {
    readonly commit: string;
    readonly ref: string;
    readonly atMs: number;
    readonly problems: readonly ProblemRecord[];
  };
  readonly machines: {
    readonly alive: number;
    /** Gone, with units that nobody has released yet. */
    readonly lost: readonly { readonly machine: MachineReference; readonly units: number }[];
    /** Those that take nothing new, in id order, also if they are gone; left out when there are none. */
    readonly cordoned?: readonly { readonly machine: MachineReference; readonly drain?: DrainReport }[];
    /** Those of the others that take nothing new for a while, likewise. */
    readonly resting?: readonly { readonly machine: MachineReference; readonly rests: RestReport }[];
  };
  readonly units: {
    /** Runnable units, submitted ones too; left out while this agent has not got the adopted commit. */
    readonly files?: number;
    /** How many of them were submitted by hand. */
    readonly submitted?: number;
    /** Units that wait for a machine. */
    readonly waiting: readonly string[];
    /** Units on machines (a global unit counts on each), by systemd's active state, `pending` or `lost`. */
    readonly byState: Readonly<Record<string, number>>;
    /** Those that failed or that a machine has a problem with. */
    readonly troubled: readonly UnitReport[];
  };
  /** In name order. */
  readonly holds: readonly HoldReport[];
  /** Present troubles of the agent that answers, and registry values it cannot read. */
  readonly problems: readonly ProblemRecord[];
}
