// flotilla journal UNIT...: what units said, on whichever machines they are.
import { Problem } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import type { MachineShell } from "../ports/machine-shell.ts";
import {
  type JournalQuery,
  isMerged,
  journalWords,
  mergeLines,
  prefixes,
  takesPrefix,
  terminalLine,
} from "../report/journal.ts";
import { atOnce } from "./at-once.ts";
import { usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { byMachine, findPlaces } from "./places.ts";
import { hasColour, writeFailure } from "./print.ts";
import type { Tools } from "./tools.ts";

/** What is kept of several machines until all have spoken: 64 MiB of common text. */
const mostKeptChars = 64 * 1024 * 1024;
/** Each is a process here for as long as one watches. */
const mostFollowed = 64;

export const journal: Command = {
  name: "journal",
  bySsh: true,
  summary: "Show what units said, on whichever machines they are",
  args: [{ name: "UNIT", means: "Names of units, or patterns in quotes: 'web@*'", takes: "any" }],
  options: [
    { flags: "-f, --follow", means: "Go on with what is said from now on, until Ctrl-C" },
    {
      flags: "-n, --lines N",
      means: "So many of the last lines of each machine, or all (default: 10; with --since all)",
    },
    { flags: "--since TIME", means: 'Not before this: "2026-11-20 14:00", -1h, today; as journalctl(1) takes it' },
    { flags: "--until TIME", means: "Not after this" },
    {
      flags: "-o, --output MODE",
      means: "journalctl's mode: short, short-iso, cat, json, verbose, ... (default: short)",
    },
    { flags: "--sudo", means: "Run journalctl by sudo, where the user may not read the journal" },
  ],
  more: `It runs journalctl on the machines of the units: at once where it is this machine, else by ssh. Lines of several
machines have the machine's name in front, and are put in the order of time; their clock is UTC. With --output MODE, machine
follows machine instead.

The exit code is that of journalctl where it failed, 255 where a machine cannot be reached.`,
  examples: [
    ["journal web@1", "The last ten lines"],
    ["journal -f 'web@*' db", "Several units, as they speak"],
    ["journal web@1 --since -1h", "All of the last hour"],
    ["journal -o json -n all db", "For programs"],
  ],
  run: async (tools, given) => {
    if (given.args.length === 0) throw usageProblem("Cannot tell whose journal", "One unit file must be provided");
    const what = readQuery(tools, given);
    const client = await tools.apiClient(given.reach);
    const { places, problems } = await findPlaces(client, given.args, tools.signal);
    if (problems.length > 0) await writeFailure(tools, new AggregateError(problems));
    if (places.length === 0) return exitCodes.failure;
    const targets = byMachine(places);
    const reading: Reading = {
      tools,
      shell: await tools.machineShell(given.reach),
      targets,
      // One line of each clears up which machine is meant, also where only one is asked
      query: { ...what, several: targets.length > 1 },
      marks:
        targets.length > 1 && takesPrefix(what.output)
          ? prefixes(
              targets.map(({ machine }) => machine),
              what.colour,
            )
          : [],
    };
    const status = what.follow ? await follow(reading) : await read(reading);
    return status === exitCodes.ok && problems.length > 0 ? exitCodes.failure : status;
  },
};

type Query = Omit<JournalQuery, "units">;

interface Reading {
  readonly tools: Tools;
  readonly shell: MachineShell;
  readonly targets: readonly { readonly machine: MachineReference; readonly units: readonly string[] }[];
  readonly query: Query;
  /** In front of each machine's lines; empty for none. */
  readonly marks: readonly string[];
}

function readQuery(tools: Tools, { options }: Given): Omit<Query, "several"> {
  const { lines, since, until, output } = options;
  if (typeof lines === "string" && !/^(all|\d{1,9})$/.test(lines)) {
    throw usageProblem(`Cannot take "${lines.slice(0, 64)}" as --lines`, "It is a number, or all");
  }
  if (typeof output === "string" && !/^[a-z][a-z-]{0,31}$/.test(output)) {
    throw usageProblem(
      `Cannot take "${output.slice(0, 64)}" as --output`,
      "journalctl --output=help lists what there is",
    );
  }
  return {
    follow: options["follow"] === true,
    lines: textOf(lines),
    since: textOf(since),
    until: textOf(until),
    output: textOf(output),
    sudo: options["sudo"] === true,
    colour: hasColour(tools),
  };
}

/** All of it, machine by machine or in the order of time. */
async function read({ tools, shell, targets, query, marks }: Reading): Promise<number> {
  let kept = 0;
  const answers = await atOnce(targets, async ({ machine, units }) => {
    const lines: Line[] = [];
    const line = async (text: string, from: Line["from"]): Promise<void> => {
      // Of one machine at once, as it may be much; of several it is put in order first
      if (targets.length === 1) await print(tools, { text, from, mark: "" });
      else if ((kept += text.length) <= mostKeptChars) lines.push({ text, from });
      else throw tooMuch();
    };
    return {
      lines,
      ended: await ending(tools, () =>
        ask(shell, { machine, units, query, line, mayAsk: targets.length === 1 }, tools),
      ),
    };
  });
  const said = answers.map(({ lines }) => lines.filter(({ from }) => from === "stdout").map(({ text }) => text));
  const ordered = isMerged(query)
    ? mergeLines(said)
    : said.flatMap((lines, machine) => lines.map((line) => ({ machine, line })));
  for (const { machine, line } of ordered)
    await print(tools, { text: line, from: "stdout", mark: marks[machine] ?? "" });
  for (const [machine, { lines }] of answers.entries()) {
    for (const { text, from } of lines)
      if (from === "stderr") await print(tools, { text, from, mark: marks[machine] ?? "" });
  }
  return firstFailure(answers.map(({ ended }) => ended));
}

function tooMuch(): Problem {
  return new Problem(
    "journal-size",
    `Cannot put more than ${mostKeptChars / 1024 / 1024} MiB of several machines in order`,
    {
      hint: "Ask for less with --lines, --since and --until, or for units of one machine",
    },
  );
}

interface Line {
  readonly text: string;
  readonly from: "stdout" | "stderr";
}

/** As they speak, until the signal; a machine that goes away is told of and the others go on. */
async function follow({ tools, shell, targets, query, marks }: Reading): Promise<number> {
  if (targets.length > mostFollowed) {
    throw usageProblem(
      `Cannot follow the journals of ${targets.length} machines`,
      `Name units of at most ${mostFollowed}`,
    );
  }
  // A reader that has gone, or whatever else breaks, ends them all
  const over = new AbortController();
  const signal = AbortSignal.any([tools.signal, over.signal]);
  let turn: Promise<void> = Promise.resolve();
  const followed = targets.map(async ({ machine, units }, index) => {
    const line = (text: string, from: Line["from"]): Promise<void> => {
      turn = turn.then(() => print(tools, { text, from, mark: marks[index] ?? "" }));
      return turn;
    };
    try {
      return await ending(tools, () =>
        ask(shell, { machine, units, query, line, mayAsk: targets.length === 1 }, { signal }),
      );
    } catch (error) {
      over.abort();
      throw error;
    }
  });
  const ended = await Promise.allSettled(followed);
  if (tools.signal.aborted) return exitCodes.ok; // Ctrl-C is how one ends it
  const failures = ended.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
  const cause = failures.find((each) => !(each instanceof Problem && each.code === "aborted"));
  if (cause instanceof Error) throw cause;
  return firstFailure(ended.flatMap((each) => (each.status === "fulfilled" ? [each.value] : [])));
}

interface Asking {
  readonly machine: MachineReference;
  readonly units: readonly string[];
  readonly query: Query;
  readonly line: (text: string, from: Line["from"]) => Promise<void>;
  readonly mayAsk: boolean;
}

function ask(shell: MachineShell, asking: Asking, { signal }: { readonly signal: AbortSignal }): Promise<number> {
  const { machine, units, query, line, mayAsk } = asking;
  return shell.stream(machine, journalWords({ ...query, units }), { signal, line, mayAsk });
}

/** The status; that of a machine that cannot be reached, with the reason said. */
async function ending(tools: Tools, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Problem) || !/^(ssh|shell)-/.test(error.code)) throw error;
    return writeFailure(tools, error);
  }
}

export function firstFailure(statuses: readonly number[]): number {
  return statuses.find((status) => status !== exitCodes.ok) ?? exitCodes.ok;
}

/** On the output that it came from. */
export async function print(
  { stdout, stderr }: Pick<Tools, "stdout" | "stderr">,
  { text, from, mark }: Line & { readonly mark: string },
): Promise<void> {
  const output = from === "stdout" ? stdout : stderr;
  await output.write(`${mark}${output.isTerminal ? terminalLine(text) : text}\n`);
}

function textOf(value: string | true | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
