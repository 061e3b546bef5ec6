// Shows an answer of the agent once, or with --watch again after every change: redrawn in place on a terminal, printed
// anew in a pipe.
import type { ApiClient } from "../ports/api-client.ts";
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

/** `draw` asks and makes the whole text. Resolves with the exit code of `Command.run`. */
export async function show(
  tools: Tools,
  given: Given,
  draw: (client: ApiClient, signal: AbortSignal) => Promise<string>,
): ReturnType<Command["run"]> {
  const client = await tools.apiClient(given.reach);
  if (given.options["watch"] !== true) {
    await tools.stdout.write(await draw(client, tools.signal));
    return exitCodes.ok;
  }
  const canvas = tools.stdout.isTerminal ? new Screen(tools.stdout) : new Roll(tools.stdout);
  try {
    await follow({ tools, client, canvas, draw });
    return exitCodes.ok;
  } finally {
    await canvas.end();
  }
}

interface Following {
  readonly tools: Tools;
  readonly client: ApiClient;
  readonly canvas: Screen | Roll;
  readonly draw: (client: ApiClient, signal: AbortSignal) => Promise<string>;
}

/** Until the signal. An agent that is not there at first is a failure; one that goes away is waited for. */
async function follow({ tools, client, canvas, draw }: Following): Promise<void> {
  const { signal, clock } = tools;
  let shown = false;
  const pauses = new AwayPauses(clock);
  while (!signal.aborted) {
    const changes = client.changes(signal)[Symbol.asyncIterator]();
    try {
      while ((await changes.next()).done !== true) {
        await canvas.put(await draw(client, signal));
        shown = true;
        pauses.reset();
      }
    } catch (error) {
      await changes.return?.();
      if (isAborted(signal)) return;
      if (!shown || !isPassing(error)) throw error;
      if (pauses.isFirst) await canvas.note(() => writeFailure(tools, error));
      await pauses.wait(signal);
    }
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
  async note(): Promise<void> {
    await this.#output.write(`${clearLine}The agent is away; waiting for it`);
  }

  async end(): Promise<void> {
    if (this.#text === undefined) return;
    await this.#output.write(leaveScreen + this.#text);
  }

  /** As many lines as there is room for; the last row stays free for the cursor. */
  #fitted(text: string): string {
    const lines = text.split("\n").slice(0, -1);
    const room = Math.max(2, (this.#output.size()?.rows ?? 24) - 1);
    const shown = lines.length <= room ? lines : [...lines.slice(0, room - 1), `and ${lines.length - room + 1} more`];
    return shown.map((line) => `${line}${clearLine}\n`).join("");
  }
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

  async note(say: () => Promise<unknown>): Promise<void> {
    await say();
  }

  end(): Promise<void> {
    return Promise.resolve();
  }
}
