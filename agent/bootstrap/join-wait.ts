// Waiting on the way into etcd: what is waited for, for whoever looks; one log line for each change of it; and pauses that
// grow. For the other files of join only.
import type { JoinProgress } from "../domain/discovery.ts";
import { Problem, explainError } from "../domain/problem.ts";
import { pauseMs } from "../discovery/discovery.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";

export const progressFile = "discovery.json";

export interface WaitParts {
  readonly clock: Clock;
  readonly log: Log;
  /** The run directory's: gone at reboot. */
  readonly run: Disk;
  /** Do not wait: what would be waited for is a problem. */
  readonly once: boolean;
  readonly signal: AbortSignal;
}

export interface WaitMore {
  /** What the last try came to. */
  readonly error?: unknown;
  readonly missing?: number;
  /** The pause grows no longer than this. */
  readonly mostMs?: number;
}

export class JoinWait {
  readonly #parts: WaitParts;
  #progress: JoinProgress | undefined;
  #key = "";
  #said = "";
  #tries = 0;
  #isDiskTold = false;

  constructor(parts: WaitParts) {
    this.#parts = parts;
  }

  /** Says what goes on, and nothing where it is the same as before. */
  async tell(state: JoinProgress["state"], what: string, { error, missing = 0 }: WaitMore = {}): Promise<void> {
    if (what !== this.#key) this.#tries = 0;
    await this.#show({ state, key: what, lastError: error === undefined ? "" : explainError(error), missing });
  }

  /**
   * One more try that came to nothing: says so and pauses. Rejects with Problem "discovery-waiting" where nobody wants to
   * wait, and with the signal's reason.
   */
  async pause(what: string, more: WaitMore = {}): Promise<void> {
    const { clock, signal } = this.#parts;
    if (what !== this.#key) this.#tries = 0;
    this.#tries++;
    const lastError = more.error === undefined ? "" : explainError(more.error);
    await this.#show({ state: "waiting", key: what, lastError, missing: more.missing ?? 0 });
    this.refuse(what, more.error);
    await clock.sleep(Math.min(pauseMs(this.#tries, clock.random()), more.mostMs ?? Infinity), signal);
  }

  /** Throws where nobody wants to wait. */
  refuse(what: string, cause?: unknown): void {
    this.#parts.signal.throwIfAborted();
    if (!this.#parts.once) return;
    const hint = cause instanceof Problem ? cause.hint : undefined;
    throw new Problem("discovery-waiting", `Cannot join etcd yet: ${what}`, {
      hint: hint ?? "Without --once it is waited for",
      cause,
    });
  }

  async #show(now: Pick<JoinProgress, "state" | "lastError" | "missing"> & { readonly key: string }): Promise<void> {
    const { clock, log } = this.#parts;
    const { key, state, lastError, missing } = now;
    const isSame = key === this.#key && state === this.#progress?.state;
    const tries = this.#tries;
    const tried = tries < 2 && lastError === "" ? "" : `: ${tries} ${tries === 1 ? "try" : "tries"}`;
    const what = lastError === "" || tries === 0 ? key : `${key}${tried}, last error: ${lastError}`;
    const sinceMs = isSame ? (this.#progress?.sinceMs ?? clock.wallMs()) : clock.wallMs();
    const next: JoinProgress = { state, what, sinceMs, tries, lastError, missing };
    if (JSON.stringify(next) === JSON.stringify(this.#progress)) return;
    const line = `${state} ${key} ${lastError}`;
    if (line !== this.#said && state !== "failed") {
      const fields = { what: key, ...(lastError === "" ? {} : { error: lastError }) };
      if (lastError === "") log.info(`discovery.${state}`, fields);
      else log.warn(`discovery.${state}`, fields);
    }
    this.#said = line;
    this.#key = key;
    this.#progress = next;
    await this.#keep(next);
  }

  /** Only for show: a full disk does not stop the way into etcd. */
  async #keep(progress: JoinProgress): Promise<void> {
    try {
      await this.#parts.run.write(progressFile, `${JSON.stringify(progress)}\n`);
      this.#isDiskTold = false;
    } catch (error) {
      if (!this.#isDiskTold) this.#parts.log.error("discovery.progress-unkept", error);
      this.#isDiskTold = true;
    }
  }
}
