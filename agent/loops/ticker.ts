// The one shape of every loop: woken by events or a timer, one pass at a time, failures retried with growing pauses.
// A pass reads the whole state it needs, so a wake carries nothing and none can be lost.
import { asProblem, toRecord } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import { type PauseLengths, Pauses, childOf, stopped } from "./pauses.ts";
import type { Troubles } from "./troubles.ts";

/** Remembers that something happened until a pass begins. */
export class Waker {
  #pending = false;
  #listener: (() => void) | undefined;

  wake(): void {
    this.#pending = true;
    this.#listener?.();
  }

  /** Resolves at once when woken since the last call, else at the next wake. Never rejects; `signal` also ends it. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          signal.removeEventListener("abort", done);
          this.#listener = undefined;
          resolve();
        };
        this.#listener = done;
        signal.addEventListener("abort", done, { once: true });
      });
    }
    this.#pending = false;
  }
}

/** First and longest pause after a failed pass. */
const firstPauseMs = 200;
const longestPauseMs = 10_000;

export interface Ticker {
  /** Names the loop in logs and troubles. */
  readonly name: string;
  readonly waker: Waker;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
  /** The longest pause after a failed pass, give or take a quarter; 10 s unless set. */
  readonly longestPauseMs?: PauseLengths["mostMs"];
  /** A wake also ends the pause after a failed pass: what is new may be done though something else cannot. */
  readonly heedsWakes?: true;
  /** One pass; resolves to the ms after which it wants to run again unwoken, or undefined for never. */
  readonly pass: (signal: AbortSignal) => Promise<number | undefined>;
}

/** Runs passes until `signal`; then resolves once the pass under way has ended. Never rejects. */
export async function tick(ticker: Ticker, signal: AbortSignal): Promise<void> {
  const { name, waker, clock, log, troubles } = ticker;
  const pauses = new Pauses(clock, { firstMs: firstPauseMs, mostMs: ticker.longestPauseMs ?? longestPauseMs });
  let said: string | undefined;
  while (!stopped(signal)) {
    let againMs: number | undefined;
    try {
      againMs = await ticker.pass(signal);
    } catch (error) {
      if (stopped(signal)) return;
      const problem = asProblem(error, "loop-failed", `Cannot finish a pass of ${name}`);
      const record = toRecord(problem);
      troubles.set(name, record);
      // One line for one trouble, however often it is retried and however its words vary.
      if (said !== problem.code) log.error("loop.failed", problem, { loop: name });
      said = problem.code;
      if (ticker.heedsWakes === true) await waitFor(waker, { clock, ms: pauses.next() }, signal);
      else
        await pauses.wait(signal).catch((reason: unknown) => {
          if (!stopped(signal)) throw reason;
        });
      continue;
    }
    if (said !== undefined) log.info("loop.recovered", { loop: name });
    said = undefined;
    pauses.reset();
    troubles.clear(name);
    await waitFor(waker, { clock, ms: againMs }, signal);
  }
}

/** Until the next wake, or `ms` have gone by. */
async function waitFor(
  waker: Waker,
  { clock, ms }: { readonly clock: Clock; readonly ms: number | undefined },
  signal: AbortSignal,
): Promise<void> {
  if (ms === undefined) {
    await waker.wait(signal);
    return;
  }
  const { controller, dispose } = childOf(signal);
  const over = () => controller.abort();
  // Rejects only when cut short, which is just as well an end of the wait.
  const slept = clock.sleep(ms, controller.signal).then(over, over);
  await waker.wait(controller.signal);
  dispose();
  await slept;
}
