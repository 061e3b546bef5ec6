// What happened in a simulation, in lines that a person can read: when, who, what.
export class Trace {
  readonly #lines: string[] = [];
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** `who` is a machine's letter, `store`, `people` or `fault`. */
  say(who: string, what: string): void {
    this.#lines.push(`${(this.#nowMs() / 1_000).toFixed(3).padStart(9)} ${who.padEnd(6)} ${what}`);
  }

  lines(): readonly string[] {
    return this.#lines;
  }
}

/** What must never be. Ends the simulation. */
export class Violation extends Error {
  /** `safety/two-of-one`: the check that found it. */
  readonly check: string;

  constructor(check: string, message: string) {
    super(message);
    this.check = check;
  }
}
