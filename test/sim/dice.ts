// The one source of chance of a simulation: the same seed, asked in the same order, gives the same answers.
import { seededRandom } from "../fakes/fake-clock.ts";

export class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** In [0, 1). */
  roll(): number {
    return this.#random();
  }

  /** True that often; 0: never. Asks for a number in any case, so that one chance more or less changes no other. */
  chance(share: number): boolean {
    return this.#random() < share;
  }

  /** A whole number from `from` up to and including `to`. */
  between(from: number, to: number): number {
    return from + Math.floor(this.#random() * (to - from + 1));
  }

  /** Ms until something that happens every `meanMs` happens next. */
  next(meanMs: number): number {
    return Math.ceil(-Math.log(1 - this.#random()) * meanMs);
  }

  /** Throws for an empty list. */
  pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(this.#random() * from.length)];
    if (found === undefined) throw new Error("Nothing to pick from");
    return found;
  }

  /** Each with this chance, in their order. */
  some<T>(from: readonly T[], share: number): readonly T[] {
    return from.filter(() => this.chance(share));
  }
}
