// This machine as something to be set up: what it is, how a step of the plan stands on it, and carrying one out.
// One real adapter (adapters/setup/), one fake, one contract.
import type { Looked, SetupFacts, Step } from "../domain/first-boot.ts";
import type { Problem } from "../domain/problem.ts";

export interface FactsAsked {
  readonly units: readonly string[];
  readonly programs: readonly string[];
  readonly paths: readonly string[];
}

/** Calls reject with a Problem only when the machine cannot be asked at all; what is wrong with a step is in the answer. */
export interface HostSetup {
  facts(asked: FactsAsked): Promise<SetupFacts>;
  /** How it stands. Changes nothing. */
  look(step: Step): Promise<Looked>;
  /**
   * Whether it could be carried out, given that all steps of `before` will have been: a folder that cannot be written, an
   * owner that nobody makes, a unit that is not there, no room. Empty: as far as can be told it will work.
   */
  check(step: Step, before: readonly Step[]): Promise<readonly Problem[]>;
  /**
   * Carries it out; resolves with the paths it wrote. Rejects with a Problem. Safe to repeat and to be cut short. `warn` is
   * told what went wrong beside it and leaves the step done.
   */
  apply(step: Step, signal: AbortSignal, warn?: (warning: Problem) => void): Promise<readonly string[]>;
  /** ActiveState, SubState, Result, and the job that is waited for, of units. */
  unitStates(units: readonly string[]): Promise<ReadonlyMap<string, UnitLook>>;
  close(): Promise<void>;
}

export interface UnitLook {
  readonly load: string;
  readonly active: string;
  readonly sub: string;
  /** systemd's Result: "success", "exit-code", ... */
  readonly result: string;
  /** Kind of the job that is queued or running for it ("start"); undefined: none. */
  readonly job: string | undefined;
  /** A condition did not hold, and it was not started for that. */
  readonly isSkipped: boolean;
  /** Since when it is in this state, wall ms; 0: unknown. systemd forgets units that are over and that nobody needs. */
  readonly sinceMs: number;
  /** It is a service that is over when its program is: inactive is what it comes to. */
  readonly isOneshot: boolean;
  /** It is inactive, and this unit, which it requires, has failed; undefined: none has. */
  readonly failedNeed: string | undefined;
}
