// Chance that can be had again: the same seed gives the same row of choices.

export class Random {
  readonly #seed: number;
  #state: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    this.#state = this.#seed;
  }

  /** Chance of one turn: the same one whatever was asked of this one, or of other turns, before. */
  ofTurn(turn: number): Random {
    return new Random(Math.imul(this.#seed ^ Math.imul(turn + 1, 0x9e3779b9), 0x85ebca6b));
  }

  /** From 0 to less than 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  happens(chance: number): boolean {
    return this.next() < chance;
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** Undefined: there is nothing to choose from. */
  pick<T>(among: readonly T[]): T | undefined {
    return among[Math.floor(this.next() * among.length)];
  }
}
