// One line on a terminal that tells what a command waits for, drawn anew in place; nothing at all in a pipe. Whatever else is
// said takes its place.
import { terminalText } from "../report/report.ts";
import type { Output, Tools } from "./tools.ts";

// ECMA-48: to the first column, and away with the rest of the line
const blank = "\r\u001b[K";
const usualColumns = 80;
const leastColumns = 20;

export class Progress {
  readonly #stderr: Output;
  #shown = "";

  constructor({ stderr }: Pick<Tools, "stderr">) {
    this.#stderr = stderr;
  }

  async show(text: string): Promise<void> {
    if (!this.#stderr.isTerminal) return;
    const { columns = usualColumns } = this.#stderr.size() ?? {};
    // What cannot tell its size says 0
    const room = columns < leastColumns ? usualColumns : columns;
    const line = terminalText(text.replaceAll("\n", " "));
    // The last column stays free: a full line would wrap
    const fitted = line.length < room ? line : `${line.slice(0, room - 4)}...`;
    if (fitted === this.#shown) return;
    this.#shown = fitted;
    await this.#stderr.write(blank + fitted);
  }

  /** Before something else is written. */
  async clear(): Promise<void> {
    if (this.#shown === "") return;
    this.#shown = "";
    await this.#stderr.write(blank);
  }
}
