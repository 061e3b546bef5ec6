// flotilla status [UNIT...]: the cluster as a whole, or all that is known of some units.
import { Problem } from "../domain/problem.ts";
import type { UnitDetail } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { Captured } from "../ports/machine-shell.ts";
import { placeHeading, statusWords, terminalLine } from "../report/journal.ts";
import { type TextOptions, answers, clusterText, unitText } from "../report/report.ts";
import { atOnce } from "./at-once.ts";
import { orThrow } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { firstFailure, isOfMachine } from "./journal-lines.ts";
import { isGlob, namesOf, reachablePlaces } from "./places.ts";
import { hasColour, jsonText, writeFailure } from "./print.ts";
import { jsonOption, show, watchOption } from "./show.ts";
import type { Output, Tools } from "./tools.ts";
import { completeUnitName } from "./unit-names.ts";

export const status: Command = {
  name: "status",
  bySsh: true,
  summary: "Show how the cluster is, or all that is known of units",
  args: [{ name: "UNIT", means: "Names of units, or patterns in quotes; none: the cluster as a whole", takes: "any" }],
  options: [
    { flags: "-l, --full", means: "Do not shorten ids and hashes" },
    { flags: "--no-ssh", means: "Ask no machine: only what the agent knows" },
    jsonOption,
    watchOption,
  ],
  more: `Without UNIT: who leads, the adopted commit, the refused one with every reason, counts, present troubles.
With UNIT: where it is, since when, how its last run ended, its last problem; for a unit that waits, what each machine
has against it; then what systemctl status says on each of its machines, at once where it is this one, else by ssh. With
--json several units are a list; with --json and --watch no machine is asked.

Without UNIT, exit code 0 says that the state could be told, not that it is a good one. With UNIT it is that of systemctl
where it is not 0 (3: the unit is not running), 255 where a machine cannot be reached, 1 where there is no such unit.`,
  examples: [
    ["status", "Is all well?"],
    ["status web@1", "One unit"],
    ["status 'web@*' --no-ssh", "Some, without going to their machines"],
    ["status --watch", "The cluster, kept up to date"],
  ],
  run: async (tools, given) => {
    const { args, options } = given;
    checkNames(args);
    const missing: Problem[] = [];
    const asksMachines = args.length > 0 && !["json", "watch", "no-ssh"].some((each) => options[each] === true);
    if (asksMachines) {
      const client = await tools.apiClient(given.reach);
      const status = await everything(tools, { client, given, signal: tools.signal, missing });
      return (await said(tools, missing)) || status;
    }
    const status = await show(tools, given, async (client, signal) => {
      missing.length = 0;
      if (args.length === 0) return cluster(tools, { client, given, signal });
      return units(tools, { client, given, signal, missing });
    });
    return (await said(tools, missing)) || status;
  },
};

/** Before anybody is asked: a mistake in a name does not need an agent to be found. */
function checkNames(words: readonly string[]): void {
  for (const word of words) if (!isGlob(word)) completeUnitName(word);
}

async function said(tools: Tools, missing: readonly Problem[]): Promise<number> {
  return missing.length === 0 ? exitCodes.ok : writeFailure(tools, new AggregateError(missing));
}

interface Asking {
  readonly client: ApiClient;
  readonly given: Given;
  readonly signal: AbortSignal;
}

async function cluster(tools: Tools, { client, given, signal }: Asking): Promise<string> {
  const answer = await client.get("/v2/status", { signal });
  const report = orThrow(answers.cluster(answer));
  return given.options["json"] === true ? documents([answer], given) : clusterText(report, textOptions(tools, given));
}

interface AskingUnits extends Asking {
  /** Of arguments that name nothing. */
  readonly missing: Problem[];
}

interface Found {
  readonly answer: unknown;
  readonly unit: UnitDetail;
}

async function units(tools: Tools, asking: AskingUnits): Promise<string> {
  const { given } = asking;
  const found = await findAll(asking);
  if (given.options["json"] !== true)
    return found.map(({ unit }) => unitText(unit, textOptions(tools, given))).join("\n");
  const isOne = given.args.length === 1 && !isGlob(given.args[0] ?? "");
  return documents(isOne ? found.map(({ answer }) => answer) : [found.map(({ answer }) => answer)], given);
}

/** Units that there are, each once, in the order asked for. */
async function findAll({ client, given, signal, missing }: AskingUnits): Promise<readonly Found[]> {
  const found = new Map<string, Found>();
  for (const word of given.args) {
    try {
      for (const name of await namesOf(client, word, signal)) {
        const answer = await client.get(`/v2/status/${encodeURIComponent(name)}`, { signal });
        found.set(name, { answer, unit: orThrow(answers.unit(answer)) });
      }
    } catch (error) {
      if (!(error instanceof Problem && error.code === "unit-unknown")) throw error;
      missing.push(error);
    }
  }
  return [...found.values()];
}

/** What the agent knows of each unit, and behind it what systemd says on its machines. */
async function everything(tools: Tools, asking: AskingUnits): Promise<number> {
  const { given, signal } = asking;
  const colour = hasColour(tools);
  const found = await findAll(asking);
  const shell = await tools.machineShell(given.reach);
  const statuses: number[] = [];
  for (const [index, { unit }] of found.entries()) {
    await tools.stdout.write((index === 0 ? "" : "\n") + unitText(unit, textOptions(tools, given)));
    const places = reachablePlaces(unit);
    const captured = await atOnce(places, ({ machine }) =>
      told(tools, () =>
        shell.capture(machine, statusWords(unit.name, colour), { signal, mayAsk: places.length === 1 }),
      ),
    );
    for (const [at, { machine }] of places.entries()) {
      const { status, stdout, stderr } = captured[at] ?? { status: exitCodes.failure, stdout: "", stderr: "" };
      statuses.push(status);
      const heading = places.length === 1 ? "" : `${placeHeading(unit.name, machine)}\n`;
      const text = stdout.replace(/\n$/, "");
      if (text !== "") await tools.stdout.write(`\n${heading}${linesFor(tools.stdout, text)}\n`);
      if (stderr !== "") await tools.stderr.write(`${linesFor(tools.stderr, stderr.replace(/\n$/, ""))}\n`);
    }
  }
  return firstFailure(statuses);
}

/** A machine that cannot be reached is told of; the others are not kept from speaking. */
async function told(tools: Tools, capture: () => Promise<Captured>): Promise<Captured> {
  try {
    return await capture();
  } catch (error) {
    if (!isOfMachine(error)) throw error;
    return { status: await writeFailure(tools, error), stdout: "", stderr: "" };
  }
}

function linesFor({ isTerminal }: Output, text: string): string {
  return isTerminal ? text.split("\n").map(terminalLine).join("\n") : text;
}

function documents(all: readonly unknown[], { options }: Given): string {
  return all.map((each) => jsonText(each, { oneLine: options["watch"] === true })).join("");
}

function textOptions(tools: Tools, { options }: Given): TextOptions {
  return { full: options["full"] === true, colour: hasColour(tools), nowMs: tools.clock.wallMs() };
}
