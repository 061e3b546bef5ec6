// Wakes a command at every change of the cluster, and now and then without one. An agent that goes away is waited for, and
// that is said once. Given to wait.ts.
import { Problem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { Clock } from "../ports/clock.ts";
import { AwayPauses, isAborted, isPassing } from "./away.ts";

export interface FeedOptions {
  readonly client: ApiClient;
  readonly clock: Clock;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Told once for each time that the agent goes away. */
  readonly away: (problem: Problem) => void;
}

export class ChangeFeed {
  readonly #options: FeedOptions;
  readonly #over = new AbortController();
  readonly #ended: Promise<void>;
  #changed = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #stop = (): void => {
    this.#over.abort();
    this.#wake?.();
  };

  constructor(options: FeedOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", this.#stop, { once: true });
    if (options.signal.aborted) this.#stop();
    this.#ended = this.#listen(this.#over.signal).catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error("the stream of changes broke", { cause: error });
      this.#wake?.();
    });
  }

  /**
   * Resolves at a change since the last call, when the agent goes away, after `mostMs`, or at the end; rejects with what broke
   * for good.
   */
  async next(mostMs: number): Promise<void> {
    const { clock, signal } = this.#options;
    if (!this.#changed && this.#failure === undefined && !signal.aborted) {
      const woken = new AbortController();
      this.#wake = () => woken.abort(); // the end wakes it too: any() would leave something of each wait at `signal`
      await clock.sleep(mostMs, woken.signal).catch((error: unknown) => {
        if (!woken.signal.aborted) throw error;
      });
      this.#wake = undefined;
    }
    this.#changed = false;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when nothing listens any more. */
  async end(): Promise<void> {
    this.#stop();
    this.#options.signal.removeEventListener("abort", this.#stop);
    await this.#ended;
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const { client, clock, away } = this.#options;
    const pauses = new AwayPauses(clock);
    while (!signal.aborted) {
      try {
        for await (const _ of client.changes(signal)) {
          pauses.reset();
          this.#tell();
        }
      } catch (error) {
        if (isAborted(signal)) return;
        if (!isPassing(error) && !isFull(error)) throw error;
        if (pauses.isFirst) {
          away(error);
          this.#tell();
        }
        await pauses.wait(signal);
      }
    }
  }

  #tell(): void {
    this.#changed = true;
    this.#wake?.();
  }
}

/** As many listen as the agent serves: one of them may go. */
function isFull(error: unknown): error is Problem {
  return error instanceof Problem && error.code === "api-streams";
}
