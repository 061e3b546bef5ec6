// One process of a simulated machine. It may be frozen (nothing it asked for is heard, its timers stand still) and killed
// (nothing it asked for is ever heard): every port of it goes through here, so that it can end at each of its awaits.
import { setMaxListeners } from "node:events";
import type { Clock } from "../../agent/ports/clock.ts";
import type { FakeClock, ProcessClock } from "../fakes/fake-clock.ts";

export class Process {
  readonly clock: ProcessClock;
  readonly #ended = new AbortController();
  #thawed: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(clock: FakeClock, wallStepMs: number) {
    this.clock = clock.process();
    setMaxListeners(0, this.ended);
    this.clock.stepWall(wallStepMs);
  }

  get isDead(): boolean {
    return this.ended.aborted;
  }

  /** Aborted when it is killed: for what the world does on its behalf. Nothing of the process hears of it. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get isFrozen(): boolean {
    return this.#thawed !== undefined;
  }

  kill(): void {
    this.clock.end();
    this.#ended.abort(new Error("killed"));
  }

  freeze(): void {
    if (this.#thawed !== undefined) return;
    this.clock.suspend();
    let resolve = (): void => undefined;
    const promise = new Promise<void>((done) => (resolve = done));
    this.#thawed = { promise, resolve };
  }

  thaw(): void {
    this.clock.resume();
    this.#thawed?.resolve();
    this.#thawed = undefined;
  }

  /** How `work` ends, as this process hears of it. */
  async hear<T>(work: Promise<T>): Promise<T> {
    try {
      const answer = await work;
      await this.#awake();
      return answer;
    } catch (error) {
      await this.#awake();
      throw error;
    }
  }

  /** The clock as the process sees it; a timer that was due before the end is heard of no more. */
  get ownClock(): Clock {
    const { clock } = this;
    return {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      random: () => clock.random(),
      sleep: (ms, signal) => this.hear(clock.sleep(ms, signal)),
    };
  }

  /** Resolves when it runs; never once it is dead. */
  async #awake(): Promise<void> {
    while (this.#thawed !== undefined && !this.isDead) await this.#thawed.promise;
    // A promise of its own each time, so that what waits for it is forgotten with it.
    if (this.isDead) await new Promise<never>(() => undefined);
  }
}
