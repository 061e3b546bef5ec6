// flotilla events [UNIT...]: who did what, and when. The cluster keeps a bounded number of them.
import { Problem } from "../domain/problem.ts";
import { type ClusterEvent, maxEvents } from "../domain/submitted.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { eventText, handAnswers } from "../report/hands.ts";
import { compileGlob } from "../text/glob.ts";
import { isAborted, isPassing } from "./away.ts";
import { ChangeFeed } from "./change-feed.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText, writeFailure, writeForeign } from "./print.ts";
import type { Tools } from "./tools.ts";
import { readUnitArguments } from "./unit-arguments.ts";
import { textOf } from "./wait-options.ts";

const usualLines = 50;
/** While following: without any change it is asked this often. */
const pollMs = 30_000;

export const events: Command = {
  name: "events",
  summary: "Show who did what in the cluster, and when",
  args: [{ name: "UNIT", means: "Only what concerns these units; patterns in quotes", takes: "any" }],
  options: [
    { flags: "--lines NUMBER", means: `How many, the newest (default: ${usualLines}; all: what the cluster keeps)` },
    { flags: "-f, --follow", means: "Go on with what happens from now on, until Ctrl-C" },
    { flags: "--json", means: "Print JSON; with --follow one event a line" },
  ],
  more: `Commits that were adopted or refused, units that were submitted, replaced, destroyed, restarted, held and resumed,
machines that were cordoned and drained, by whom; machines that were lost, with what they had, that are back, or that
rest. The oldest comes first. The cluster keeps the last ${maxEvents}.`,
  examples: [
    ["events", "What happened lately"],
    ["events --follow", "The same, and what happens from now on"],
    ["events db 'web@*'", "What was done with some units"],
  ],
  run: async (tools, given) => {
    const lines = readLines(textOf(given.options["lines"]));
    const concerns = readFilter(given);
    const client = await tools.apiClient(given.reach);
    if (given.options["follow"] === true) return follow(tools, { client, given, concerns, lines });
    const all = (await ask(client, tools.signal)).filter(concerns).slice(-lines);
    if (given.options["json"] === true) await tools.stdout.write(jsonText({ events: all }));
    else await writeForeign(tools, all.map(eventText).join(""));
    return exitCodes.ok;
  },
};

interface Following {
  readonly client: ApiClient;
  readonly given: Given;
  readonly concerns: (event: ClusterEvent) => boolean;
  readonly lines: number;
}

async function follow(tools: Tools, { client, given, concerns, lines }: Following): Promise<number> {
  const { signal, clock } = tools;
  const write = async (some: readonly ClusterEvent[]): Promise<void> => {
    if (some.length === 0) return;
    if (given.options["json"] !== true) return writeForeign(tools, some.map(eventText).join(""));
    await tools.stdout.write(some.map((event) => jsonText(event, { oneLine: true })).join(""));
  };
  let known = await ask(client, signal);
  await write(known.filter(concerns).slice(-lines));
  let isAway = false;
  const tellAway = async (problem: Problem): Promise<void> => {
    if (!isAway) await writeFailure(tools, problem);
    isAway = true;
  };
  let unsaid: Problem | undefined;
  const feed = new ChangeFeed({ client, clock, signal, away: (problem) => (unsaid = problem) });
  try {
    for (;;) {
      await feed.next(pollMs);
      if (signal.aborted) return exitCodes.ok;
      if (unsaid !== undefined) await tellAway(unsaid);
      unsaid = undefined;
      const now = await ask(client, signal).catch(passing);
      if (isAborted(signal)) return exitCodes.ok;
      if (now instanceof Problem) {
        await tellAway(now);
        continue;
      }
      isAway = false;
      await write(newAmong(now, known).filter(concerns));
      known = now;
    }
  } catch (error) {
    if (signal.aborted) return exitCodes.ok;
    throw error;
  } finally {
    await feed.end();
  }
}

/** What there may be an answer instead of in a moment: until then nothing is known that would be new. */
function passing(error: unknown): Problem {
  if (!isPassing(error)) throw error;
  return error;
}

/** Events have no numbers: those are new that were not there before. */
function newAmong(now: readonly ClusterEvent[], before: readonly ClusterEvent[]): readonly ClusterEvent[] {
  const known = new Set(before.map((event) => JSON.stringify(event)));
  return now.filter((event) => !known.has(JSON.stringify(event)));
}

async function ask(client: ApiClient, signal: AbortSignal): Promise<readonly ClusterEvent[]> {
  return orThrow(handAnswers.events(await client.get("/v2/events", { signal }))).events;
}

function readLines(text: string | undefined): number {
  if (text === undefined) return usualLines;
  if (text === "all") return maxEvents;
  const lines = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (lines > 0) return lines;
  throw usageProblem(`Cannot take "${text.slice(0, 64)}" as --lines`, "It is a number above 0, or all");
}

/** Events of no unit at all are shown only when no unit was asked for. */
function readFilter({ args }: Given): (event: ClusterEvent) => boolean {
  if (args.length === 0) return () => true;
  const tests = readUnitArguments(args, "show").map(({ name, isPattern }) =>
    isPattern ? orThrow(compileGlob(name)) : (unit: string) => unit === name,
  );
  return ({ unit }) => unit !== undefined && tests.some((test) => test(unit));
}
