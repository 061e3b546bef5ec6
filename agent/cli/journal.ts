// flotilla journal UNIT...: what units said, on whichever machines they are.
import { Problem } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import type { MachineShell } from "../ports/machine-shell.ts";
import { type JournalQuery, isMerged, journalWords, mergeLines, prefixes, takesPrefix } from "../report/journal.ts";
import { atOnce } from "./at-once.ts";
import { usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { followJournals } from "./journal-follow.ts";
import { type Line, ending, firstFailure, print } from "./journal-lines.ts";
import { type MachineUnits, byMachine, findPlaces } from "./places.ts";
import { hasColour, writeFailure } from "./print.ts";
import type { Tools } from "./tools.ts";

/** What is kept of several machines until all have spoken: 64 MiB of common text. */
const mostKeptChars = 64 * 1024 * 1024;

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
      means:
        "journalctl's mode: short, short-iso, cat, json, verbose, ... (default: short; of several machines ISO times)",
    },
    { flags: "--sudo", means: "Run journalctl by sudo, where the user may not read the journal" },
  ],
  more: `It runs journalctl on the machines of the units: at once where it is this machine, else by ssh. Lines of several
machines have the machine's name in front, and are put in the order of time; their clock is UTC. With --output MODE, machine
follows machine instead. With --follow, units are followed to the machines that they move to, and patterns take in new units.

The exit code is that of journalctl where it failed, 255 where a machine cannot be reached.`,
  examples: [
    ["journal web@1", "The last ten lines"],
    ["journal -f 'web@*' db", "Several units, as they speak"],
    ["journal web@1 --since -1h", "All of the last hour"],
    ["journal -o json -n all db", "For programs"],
  ],
  run: async (tools, given) => {
    if (given.args.length === 0)
      throw usageProblem("Cannot tell whose journal", "Name at least one unit: flotilla journal web@1");
    const what = readQuery(tools, given);
    const client = await tools.apiClient(given.reach);
    const { places, problems } = await findPlaces(client, given.args, tools.signal);
    if (problems.length > 0) await writeFailure(tools, new AggregateError(problems));
    if (places.length === 0) return exitCodes.failure;
    const targets = byMachine(places);
    const shell = await tools.machineShell(given.reach);
    const query = { ...what, several: targets.length > 1 };
    const status = what.follow
      ? await followJournals({ tools, client, shell, words: given.args, targets, query })
      : await read({ tools, shell, targets, query });
    return status === exitCodes.ok && problems.length > 0 ? exitCodes.failure : status;
  },
};

type Query = Omit<JournalQuery, "units">;

interface Reading {
  readonly tools: Tools;
  readonly shell: MachineShell;
  readonly targets: readonly MachineUnits[];
  readonly query: Query;
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
async function read({ tools, shell, targets, query }: Reading): Promise<number> {
  const machines = targets.map(({ machine }) => machine);
  const marks = query.several && takesPrefix(query.output) ? prefixes(machines, query.colour) : [];
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

function textOf(value: string | true | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
