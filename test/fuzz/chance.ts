// Chance that can be had again: the same seed gives the same numbers on every machine. Given to the fuzzing engine.

export class Chance {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not give neighbouring numbers
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
    this.below(2);
  }

  /** A whole number from 0 to `limit` - 1; 0 for a limit below 1 (mulberry32). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const fraction = ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    return Math.floor(fraction * Math.max(1, limit));
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  /** Undefined for an empty list. */
  pick<T>(among: readonly T[]): T | undefined {
    return among[this.below(among.length)];
  }
}
