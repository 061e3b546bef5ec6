// Pauses between attempts that grow while they fail, and signals that end with others. Given to the loops that hold on to
// the registry (mirror.ts, lease.ts, tenure.ts); asks only the clock.
import type { Clock } from "../ports/clock.ts";

/** `mostMs`: asked before each pause where it may change. */
export interface PauseLengths {
  readonly firstMs: number;
  readonly mostMs: number | (() => number);
}

/** Each pause is twice the one before, from `firstMs` to `mostMs`, give or take a quarter. */
export class Pauses {
  readonly #clock: Clock;
  readonly #lengths: PauseLengths;
  #nextMs: number;

  constructor(clock: Clock, lengths: PauseLengths) {
    this.#clock = clock;
    this.#lengths = lengths;
    this.#nextMs = lengths.firstMs;
  }

  /** After a success the next pause is short again. */
  reset(): void {
    this.#nextMs = this.#lengths.firstMs;
  }

  /** Rejects with the signal's reason when aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(this.next(), signal);
  }

  /** Ms of the next pause, for who waits by itself. */
  next(): number {
    const { mostMs } = this.#lengths;
    const longestMs = typeof mostMs === "number" ? mostMs : mostMs();
    const ms = Math.min(this.#nextMs, longestMs) * (0.75 + this.#clock.random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, longestMs);
    return ms;
  }
}

/** A controller that also ends with `parent`; `dispose` takes its listener away and ends it. */
export function childOf(parent: AbortSignal): { readonly controller: AbortController; readonly dispose: () => void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort(parent.reason);
  if (parent.aborted) stop();
  else parent.addEventListener("abort", stop, { once: true });
  const dispose = (): void => {
    parent.removeEventListener("abort", stop);
    controller.abort();
  };
  return { controller, dispose };
}

export interface Patience {
  readonly clock: Clock;
  readonly ms: number;
  /** Ends it sooner. */
  readonly signal: AbortSignal;
}

/** `work` with a signal that is aborted when patience is over; settles as it does. Leaves no timer behind. */
export async function patiently<T>(
  { clock, ms, signal }: Patience,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, dispose } = childOf(signal);
  const over = (): void => controller.abort();
  const patience = clock.sleep(ms, controller.signal).then(over, over);
  try {
    return await work(controller.signal);
  } finally {
    dispose();
    await patience;
  }
}

/** Asked through a function: between two awaits a signal may be aborted, which the compiler does not see. */
export function stopped(signal: AbortSignal): boolean {
  return signal.aborted;
}
