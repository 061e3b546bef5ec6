// When the registry was put back to an earlier state, as one process finds it out: by what its mirrors read, and by the renewals
// of its lease. One for all of them, so that each restore is found once. Given to agent.ts, beat.ts and mirror.ts.
import type { Clock } from "../ports/clock.ts";

export class Restores {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #listeners = new Set<() => void>();
  #reachedRevision = 0;
  #foundMs = -Infinity;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Monotonic ms of the last find; -Infinity: never. What was read before it is of another life of the registry. */
  get foundMs(): number {
    return this.#foundMs;
  }

  /** The highest revision that an answer has told since: whatever is read whole from now on is not below. */
  get reachedRevision(): number {
    return this.#reachedRevision;
  }

  /** An answer has told of this revision; what answers may lag behind. */
  reached(revision: number): void {
    this.#reachedRevision = Math.max(this.#reachedRevision, revision);
  }

  /** What was read is not what it must have been. */
  found(): void {
    this.#foundMs = this.#clock.monotonicMs();
    this.#reachedRevision = 0;
    for (const listener of this.#listeners) listener();
  }

  onFound(listener: () => void): void {
    this.#listeners.add(listener);
  }
}
