// What the playground tells while it works: a line a step, and on a terminal one line that is written over while
// something is under way.
import type { Clock } from "../ports/clock.ts";

export interface NarratorOutput {
  readonly isTerminal: boolean;
  write(text: string): Promise<void>;
}

export class Narrator {
  readonly #output: NarratorOutput;
  readonly #clock: Clock;
  readonly #sinceMs: number;
  #open = "";
  #shown = "";
  #writing: Promise<void> = Promise.resolve();

  constructor(output: NarratorOutput, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** A step begins. */
  step(text: string): void {
    this.settle();
    this.say(`${this.#time()}  ${text}`);
  }

  /** How far the present step is; only the last one stays. */
  progress(text: string): void {
    if (text === this.#open) return;
    this.#open = text;
    const line = `${this.#time()}  ${text}`;
    if (!this.#output.isTerminal) this.#print(`${line}\n`);
    else this.#print(`\r\u001b[K${line}`);
    this.#shown = line;
  }

  /** The progress line, if one is open, is finished. */
  settle(): void {
    if (this.#open === "") return;
    if (this.#output.isTerminal && this.#shown !== "") this.#print("\n");
    this.#open = "";
    this.#shown = "";
  }

  say(text: string): void {
    this.settle();
    this.#print(`${text}\n`);
  }

  end(text: string): void {
    this.settle();
    if (text !== "") this.step(text);
  }

  #time(): string {
    return `${((this.#clock.monotonicMs() - this.#sinceMs) / 1000).toFixed(1).padStart(5)} s`;
  }

  /** In order; a reader that has gone away must not stop the tidying up. */
  #print(text: string): void {
    this.#writing = this.#writing.then(() => this.#output.write(text)).catch(() => undefined);
  }
}
