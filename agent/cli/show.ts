// Shows an answer of the agent once, or with --watch again after every change: redrawn in place on a terminal, printed
// anew in a pipe.
import type { Problem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { displayRows } from "../text/width.ts";
import { AwayPauses, isAborted, isPassing } from "./away.ts";
import type { Command, Given, Option } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { writeFailure } from "./print.ts";
import type { Output, Tools } from "./tools.ts";

export const watchOption: Option = { flags: "--watch", means: "Show it again after every change, until Ctrl-C" };
export const jsonOption: Option = { flags: "--json", means: "Print JSON; with --watch one document a line" };

// Control functions of ECMA-48 and xterm: the alternate screen leaves what was on the terminal as it was
const enterScreen = "\u001b[?1049h";
const leaveScreen = "\u001b[?1049l";
const home = "\u001b[H";
const clearLine = "\u001b[K";
const clearBelow = "\u001b[J";

/** The whole text. `amiss`: why it does not show all that was asked for; with --watch that may pass. */
export type Drawn = string | { readonly text: string; readonly amiss: Problem };
type Draw = (client: ApiClient, signal: AbortSignal) => Promise<Drawn>;

/** `draw` asks and makes the whole text. Resolves with the exit code of `Command.run`. */
export async function show(tools: Tools, given: Given, draw: Draw): ReturnType<Command["run"]> {
  const client = await tools.apiClient(given.reach);
  if (given.options["watch"] !== true) {
    const { text, amiss } = parts(await draw(client, tools.signal));
    await tools.stdout.write(text);
    return amiss === undefined ? exitCodes.ok : writeFailure(tools, amiss);
  }
  const canvas = tools.stdout.isTerminal ? new Screen(tools.stdout) : new Roll(tools.stdout);
  let amiss: Problem | undefined;
  try {
    amiss = await follow({ tools, client, canvas, draw });
  } finally {
    await canvas.end();
  }
  // What stays on the screen is not all that there is
  if (amiss !== undefined && tools.stdout.isTerminal) await writeFailure(tools, amiss);
  return exitCodes.ok;
}

function parts(drawn: Drawn): { readonly text: string; readonly amiss?: Problem } {
  return typeof drawn === "string" ? { text: drawn } : drawn;
}

interface Following {
  readonly tools: Tools;
  readonly client: ApiClient;
  readonly canvas: Screen | Roll;
  readonly draw: Draw;
}

/**
 * Until the signal. An agent that is not there at first is a failure; one that goes away is waited for. Resolves with what is
 * amiss with the last text.
 */
async function follow({ tools, client, canvas, draw }: Following): Promise<Problem | undefined> {
  const { signal, clock } = tools;
  let shown = false;
  let amiss: Problem | undefined;
  const pauses = new AwayPauses(clock);
  while (!signal.aborted) {
    const changes = client.changes(signal)[Symbol.asyncIterator]();
    try {
      while ((await changes.next()).done !== true) {
        const drawn = parts(await draw(client, signal));
        await canvas.put(drawn.text);
        await note(drawn.amiss);
        shown = true;
        pauses.reset();
      }
    } catch (error) {
      await changes.return?.();
      if (isAborted(signal)) break;
      if (!shown || !isPassing(error)) throw error;
      if (pauses.isFirst) await canvas.note("The agent is away; waiting for it", () => writeFailure(tools, error));
      await pauses.wait(signal);
    }
  }
  return amiss;

  /** On stderr once for each time; the screen has been drawn anew. */
  async function note(now: Problem | undefined): Promise<void> {
    const isNew = amiss === undefined;
    amiss = now;
    if (now !== undefined) await canvas.note(now.message, async () => isNew && writeFailure(tools, now));
  }
}

/** A terminal: each text takes the place of the one before; the last one stays when all is over. */
class Screen {
  readonly #output: Output;
  #text: string | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  async put(text: string): Promise<void> {
    const enter = this.#text === undefined ? enterScreen : "";
    this.#text = text;
    await this.#output.write(enter + home + this.#fitted(text) + clearBelow);
  }

  /** What is said on stderr would be painted over. */
  async note(line: string): Promise<void> {
    await this.#output.write(`${clearLine}${line}`);
  }

  async end(): Promise<void> {
    if (this.#text === undefined) return;
    await this.#output.write(leaveScreen + this.#text);
  }

  #fitted(text: string): string {
    const { rows, columns } = this.#output.size() ?? usualSize;
    // The last row stays free for the cursor. What cannot tell its size says 0
    const room = { rows: Math.max(2, (rows || usualSize.rows) - 1), columns: columns || usualSize.columns };
    return fitting(text.split("\n").slice(0, -1), room)
      .map((line) => `${line}${clearLine}\n`)
      .join("");
  }
}

const usualSize = { rows: 24, columns: 80 };

/** As many lines as there is room for, each in as many rows as it takes. */
function fitting(lines: readonly string[], { rows, columns }: typeof usualSize): readonly string[] {
  let used = 0;
  let shown = 0;
  for (const [index, line] of lines.entries()) {
    used += displayRows(line, columns);
    if (used > rows) break;
    // What does not stay alone leaves a row for how many follow
    if (used < rows || index === lines.length - 1) shown = index + 1;
  }
  if (shown === lines.length) return lines;
  const [first = ""] = lines;
  return shown === 0
    ? [first.slice(0, (rows - 1) * columns), "and more"] // a document on one line, without colours
    : [...lines.slice(0, shown), `and ${lines.length - shown} more`];
}

/** A pipe: texts that differ, one after the other, with an empty line between tables. */
class Roll {
  readonly #output: Output;
  #text: string | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  async put(text: string): Promise<void> {
    if (text === this.#text) return;
    const isDocument = text.startsWith("{") || text.startsWith("[");
    const gap = this.#text === undefined || isDocument ? "" : "\n";
    this.#text = text;
    await this.#output.write(gap + text);
  }

  async note(_line: string, say: () => Promise<unknown>): Promise<void> {
    await say();
  }

  end(): Promise<void> {
    return Promise.resolve();
  }
}
