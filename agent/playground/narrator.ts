// What the playground tells while it works: a line a step, and on a terminal one line that is written over while
// something is under way. Knows neither cluster nor units.
import type { Clock } from "../ports/clock.ts";

export interface NarratorOutput {
  readonly isTerminal: boolean;
  /** Size of the terminal now; undefined where there is none. */
  size(): { readonly columns: number } | undefined;
  write(text: string): Promise<void>;
}

/** A terminal that does not tell its size. */
const usualColumns = 80;

export class Narrator {
  readonly #output: NarratorOutput;
  readonly #clock: Clock;
  readonly #sinceMs: number;
  /** What the open progress line says; "" when none is open. */
  #open = "";
  #writing: Promise<void> = Promise.resolve();

  constructor(output: NarratorOutput, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** A line with the time since the start. */
  step(text: string): void {
    this.settle();
    this.#print(`${this.#timed(text)}\n`);
  }

  /** How far the present step is; on a terminal only the last one stays, and it never takes more than one row. */
  progress(text: string): void {
    if (text === this.#open) return;
    this.#open = text;
    const line = this.#timed(text);
    if (!this.#output.isTerminal) this.#print(`${line}\n`);
    else this.#print(`\r\u001b[K${line.slice(0, (this.#output.size()?.columns ?? usualColumns) - 1)}`);
  }

  /** The progress line, if one is open, is finished. */
  settle(): void {
    if (this.#open !== "" && this.#output.isTerminal) this.#print("\n");
    this.#open = "";
  }

  /** A text as it is. */
  say(text: string): void {
    this.settle();
    this.#print(`${text}\n`);
  }

  /** Resolves when everything said so far is handed over: before somebody else writes to the same terminal. */
  async told(): Promise<void> {
    await this.#writing;
  }

  #timed(text: string): string {
    return `${((this.#clock.monotonicMs() - this.#sinceMs) / 1000).toFixed(1).padStart(6)} s  ${text}`;
  }

  /** In order; a reader that has gone away must not stop the tidying up. */
  #print(text: string): void {
    this.#writing = this.#writing.then(() => this.#output.write(text)).catch(() => undefined);
  }
}
