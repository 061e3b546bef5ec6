// Pauses between attempts that grow while they fail, and signals that end with others. Given to the loops that hold on to
// the registry (mirror.ts, lease.ts, tenure.ts); asks only the clock.
import type { Clock } from "../ports/clock.ts";

/** Each pause is twice the one before, from `firstMs` to `mostMs`, give or take a quarter. */
export class Pauses {
  readonly #clock: Clock;
  readonly #firstMs: number;
  readonly #mostMs: number;
  #nextMs: number;

  constructor(clock: Clock, { firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number }) {
    this.#clock = clock;
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
    this.#nextMs = firstMs;
  }

  /** After a success the next pause is short again. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Rejects with the signal's reason when aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    const ms = this.#nextMs * (0.75 + this.#clock.random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, this.#mostMs);
    await this.#clock.sleep(ms, signal);
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

/** Asked through a function: between two awaits a signal may be aborted, which the compiler does not see. */
export function stopped(signal: AbortSignal): boolean {
  return signal.aborted;
}
