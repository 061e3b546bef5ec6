// What people may change in the cluster beside git, as the API asks for it. Implemented by loops/hands.ts.
import type { Drain } from "../domain/machine.ts";
import type { MachineId, UnitName } from "../domain/names.ts";
import type { Hold, Person } from "../domain/submitted.ts";
import type { TargetState } from "../domain/unit.ts";

export interface Submission {
  readonly name: UnitName;
  readonly text: string;
  readonly dropIns?: readonly { readonly name: string; readonly text: string }[];
  /** Of a new unit; undefined: inactive. Of one that is there: what it wants from now on; undefined: as it was. */
  readonly target?: TargetState | undefined;
  /** Whether a unit of this name with another text gives way. */
  readonly replace: boolean;
  readonly by: Person;
}

export interface TargetRequest {
  readonly name: UnitName;
  readonly target: TargetState;
  readonly by: Person;
  /** Only for a hold. */
  readonly why?: string | undefined;
  /** Only for a hold: how long, in ms; undefined: until it is lifted. */
  readonly forMs?: number | undefined;
  /** A hold at this state stays as it is, also one that ends. */
  readonly keepsHold?: true;
}

/** `set`: the submitted unit has it now. `held`, `resumed`: a hold was placed or changed, lifted. `unchanged`: it was so. */
export interface TargetResult {
  readonly outcome: "set" | "held" | "resumed" | "unchanged";
  readonly before: TargetState;
  readonly target: TargetState;
}

/** One key of one machine's metadata. */
export interface MetadataChange {
  /** It need not be there. */
  readonly machine: MachineId;
  /** Letters, digits and _.-, at most 128. */
  readonly key: string;
  /** 1 to 256 characters on one line; undefined: the machine no longer has the key, whatever it says itself. */
  readonly value: string | undefined;
}

/** What an operator wants of a machine; it need not be there, but to be drained. */
export interface MaintenanceRequest {
  readonly machine: MachineId;
  readonly change: "cordon" | "uncordon" | "drain";
  readonly by: Person;
  /** Only for a drain: after so long it is stopped, in ms; undefined: it takes as long as it takes. */
  readonly withinMs?: number | undefined;
}

/**
 * `unchanged`: it was so, or is drained already. `drain`: the one that goes on from now; of an uncordoning, the one that
 * was moving and is ended by it.
 */
export interface MaintenanceResult {
  readonly outcome: "cordoned" | "uncordoned" | "draining" | "unchanged";
  readonly drain?: Drain;
}

/**
 * Every call rejects with a Problem: "unit-unknown", "unit-git" (the name belongs to the repository), "unit-differs" (it is
 * there with another text, and may not be replaced), "unit-template" (a template is never run), "unit-submitted" (a hold is
 * for git's units), "submit-off" (this machine takes units from git alone), "hold-time", "hold-why", "metadata-change" (a key or value that
 * cannot be taken, or too many), "machine-unknown" (what is not there cannot be drained), "drain-time", all that reading a
 * unit may find (gathered in an AggregateError of Problems), "registry-changed" (somebody else was quicker again and
 * again), and what Registry and the view reject with. What was done stands in the registry, with its event.
 */
export interface Hands {
  submit(submission: Submission, signal?: AbortSignal): Promise<"created" | "replaced" | "unchanged">;
  /** Of a submitted unit the target itself; of a git unit a hold, or its end when git wants the same. */
  setTarget(request: TargetRequest, signal?: AbortSignal): Promise<TargetResult>;
  destroy(name: UnitName, by: Person, signal?: AbortSignal): Promise<void>;
  /** Resolves with the id of the request; machines show it in their status once they have restarted the unit. */
  restart(name: UnitName, by: Person, signal?: AbortSignal): Promise<string>;
  /**
   * Holds every git unit that one of the glob patterns names ("*": all); templates are none. Resolves with the holds as
   * they stand then, in name order. "unit-unknown" when a pattern names nothing.
   */
  hold(
    request: Omit<TargetRequest, "name"> & { readonly patterns: readonly string[] },
    signal?: AbortSignal,
  ): Promise<readonly Hold[]>;
  /** Lifts every hold that one of the patterns names. Resolves with those that it lifted; none is no failure for "*". */
  resume(patterns: readonly string[], by: Person, signal?: AbortSignal): Promise<readonly UnitName[]>;
  /** All of them in one step or none, in order; stronger than what the machines say themselves, until changed again. */
  changeMetadata(changes: readonly MetadataChange[], by: Person, signal?: AbortSignal): Promise<void>;
  /**
   * A drain without a time of its own joins one that is moving; any other begins anew. An uncordoning ends a drain, and
   * leaves what has moved where it is.
   */
  maintain(request: MaintenanceRequest, signal?: AbortSignal): Promise<MaintenanceResult>;
}
