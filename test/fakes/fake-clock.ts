// A clock that moves only when a test says so. Sleepers wake in the order of their time; what they set off is let run
// before the next one wakes. A process of its own may be suspended (`process`): time goes on, its timers do not fire.
import type { Clock } from "../../agent/ports/clock.ts";

interface Sleeper {
  readonly dueMs: number;
  readonly order: number;
  readonly mayWake: () => boolean;
  readonly wake: () => void;
}

export interface ClockOptions {
  /** Wall clock at the start; 2026-01-01 unless set. */
  readonly wallMs?: number;
  readonly seed?: number;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #startWallMs: number;
  readonly #sleepers = new Set<Sleeper>();
  readonly #random: () => number;

  constructor(options: ClockOptions = {}) {
    this.#startWallMs = options.wallMs ?? 1_767_225_600_000;
    this.#random = seededRandom(options.seed ?? 1);
  }

  wallMs(): number {
    return this.#startWallMs + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  random(): number {
    return this.#random();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#sleepAs(ms, () => true, signal);
  }

  /** How many sleeps are under way: 0 after everything has been stopped, or a timer was left behind. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Lets `ms` pass, waking sleepers in order; resolves when what they set off has come to rest. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settled();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.wake();
      await settled();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Advances in steps until `condition` holds; throws when it does not within `mostMs`. */
  async advanceUntil(condition: () => boolean, mostMs: number, stepMs = 10): Promise<void> {
    const endMs = this.#nowMs + mostMs;
    await settled();
    while (!condition()) {
      if (this.#nowMs >= endMs) throw new Error(`The condition did not come true within ${mostMs} ms`);
      await this.advance(stepMs);
    }
  }

  /** Time passes at once and nothing fires, as while the whole machine sleeps. Timers fire late, at the next advance. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  /** The same time as one process sees it. */
  process(): ProcessClock {
    let suspended = false;
    let stepMs = 0;
    const mayWake = (): boolean => !suspended;
    return {
      wallMs: () => this.wallMs() + stepMs,
      monotonicMs: () => this.monotonicMs(),
      random: () => this.random(),
      sleep: (ms, signal) => this.#sleepAs(ms, mayWake, signal),
      suspend: () => (suspended = true),
      resume: () => (suspended = false),
      stepWall: (ms) => (stepMs += ms),
      end: () => {
        for (const sleeper of this.#sleepers) if (sleeper.mayWake === mayWake) this.#sleepers.delete(sleeper);
      },
    };
  }

  #sleepAs(ms: number, mayWake: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const over = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", stop);
      };
      const stop = (): void => {
        over();
        reject(signal?.reason as Error);
      };
      const wake = (): void => {
        over();
        resolve();
      };
      const sleeper = { dueMs: this.#nowMs + Math.max(0, Math.ceil(ms)), order: this.#order++, mayWake, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  #next(untilMs: number): Sleeper | undefined {
    let first: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueMs > untilMs || !sleeper.mayWake()) continue;
      const earlier =
        first === undefined ||
        sleeper.dueMs < first.dueMs ||
        (sleeper.dueMs === first.dueMs && sleeper.order < first.order);
      if (earlier) first = sleeper;
    }
    return first;
  }
}

export interface ProcessClock extends Clock {
  /** From now on its timers do not fire. */
  suspend(): void;
  /** What is overdue fires at the next advance. */
  resume(): void;
  /** The wall clock is set: so much later, or earlier. */
  stepWall(ms: number): void;
  /** The process is gone, and all its timers with it: what waits for one waits for ever. */
  end(): void;
}

/** Lets everything run that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** mulberry32: small, seeded, good enough for tests. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
