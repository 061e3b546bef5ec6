// How commands that watch the cluster bear an agent that goes away and comes back: which failures pass, and how long they
// wait before they ask again.
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";

const firstPauseMs = 250;
const longestPauseMs = 5_000;
/** With these the agent may be back soon, e.g. after a restart. */
const passingCodes: ReadonlySet<string> = new Set([
  "agent-unreachable",
  "agent-timeout",
  "registry-unreachable",
  "commit-missing",
  "picture-timeout",
  "api-closing",
]);

/** Whether the same question may have an answer in a moment. */
export function isPassing(error: unknown): error is Problem {
  return error instanceof Problem && passingCodes.has(error.code);
}

/** A call, because the compiler takes what an earlier check said for lasting. */
export function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Pauses before the agent is asked again, each twice as long as the one before, up to the longest. */
export class AwayPauses {
  readonly #clock: Clock;
  #nextMs = firstPauseMs;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether none has been made since the agent was last heard: this is when its absence is told. */
  get isFirst(): boolean {
    return this.#nextMs === firstPauseMs;
  }

  /** The agent has been heard. */
  reset(): void {
    this.#nextMs = firstPauseMs;
  }

  /** Resolves after the pause, or at once with the signal. */
  async wait(signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(this.#nextMs, signal).catch((reason: unknown) => {
      if (!isAborted(signal)) throw reason;
    });
    this.#nextMs = Math.min(this.#nextMs * 2, longestPauseMs);
  }
}
