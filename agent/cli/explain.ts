// flotilla explain UNIT|MACHINE: why a unit is where it is, or nowhere; what a machine takes and refuses.
import { isUnitType } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { explanationAnswers, machineExplanationText, unitExplanationText } from "../report/explanation.ts";
import type { TextOptions } from "../report/report.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { findMachines } from "./machine-arguments.ts";
import { hasColour, jsonText } from "./print.ts";
import { jsonOption, show, watchOption } from "./show.ts";
import { completeUnitName } from "./unit-names.ts";

export const explain: Command = {
  name: "explain",
  summary: "Say why a unit is where it is, or nowhere; or what a machine takes",
  args: [
    {
      name: "UNIT|MACHINE",
      means: "A unit, or the beginning of a machine's id, its hostname or address",
      takes: "one-or-none",
    },
  ],
  options: [
    { flags: "--machine MACHINE", means: "It is a machine that is meant" },
    { flags: "-l, --full", means: "Do not shorten ids" },
    jsonOption,
    watchOption,
  ],
  more: `Of a unit: its machine and why it is there, or why it has none; how many machines each rule leaves; which machines take
it, the one that it would rather have first; which are nearest to taking it and all that they lack; and what would place
it. Each of these changes has been tried on the cluster as it stands.
Of a machine: what it has and what is free, which units it takes, and by which rules it refuses others.

A word that is both is a unit. The rules: /usr/share/doc/flotilla/placement.md.`,
  examples: [
    ["explain web@4", "Why does it wait, and what would change that?"],
    ["explain db.service", "Why is it there and not elsewhere?"],
    ["explain n3", "What does this machine take?"],
    ["explain --machine web", "A machine whose hostname is also a unit's"],
    ["explain web@4 --json | jq -r '.changes[]'", "For a script"],
  ],
  run: async (tools, given) => {
    const asked = readAsked(given);
    const options = { full: given.options["full"] === true, colour: hasColour(tools) };
    return show(tools, given, async (client, signal) => {
      const { answer, text } = await ask(client, { ...asked, signal });
      if (given.options["json"] === true) return jsonText(answer, { oneLine: given.options["watch"] === true });
      return text({ ...options, nowMs: tools.clock.wallMs() });
    });
  },
};

interface Asked {
  readonly word: string;
  readonly meaning: "unit" | "machine" | "either";
}

/** Before anybody is asked. A name with a unit's type is a unit's. */
function readAsked({ args, options }: Given): Asked {
  const { machine } = options;
  const [word] = args;
  const hint = "Name one: flotilla explain web@1, flotilla explain --machine n3";
  if (typeof machine === "string") {
    if (word !== undefined) throw usageProblem("Cannot explain a unit and a machine at once", hint);
    return { word: machine, meaning: "machine" };
  }
  if (word === undefined || word === "") throw usageProblem("Cannot tell which unit or machine to explain", hint);
  if (!isUnitType(word.slice(word.lastIndexOf(".") + 1)) || !word.includes(".")) return { word, meaning: "either" };
  return { word: completeUnitName(word), meaning: "unit" };
}

interface Told {
  readonly answer: unknown;
  readonly text: (options: TextOptions) => string;
}

async function ask(client: ApiClient, asked: Asked & { readonly signal: AbortSignal }): Promise<Told> {
  const { word, meaning, signal } = asked;
  if (meaning === "machine") return askMachine(client, word, signal);
  if (meaning === "unit") return askUnit(client, word, signal);
  const unknown: Problem[] = [];
  try {
    return await askUnit(client, completeUnitName(word), signal);
  } catch (error) {
    unknown.push(...unknownOf(error));
  }
  try {
    return await askMachine(client, word, signal);
  } catch (error) {
    unknown.push(...unknownOf(error));
  }
  const near = unknown.find(({ hint }) => hint?.startsWith("Did you mean"))?.hint;
  throw new Problem("unit-unknown", `Cannot find a unit or a machine that "${word.slice(0, 64)}" names`, {
    hint: near ?? "flotilla list-unit-files and flotilla list-machines show what there is",
  });
}

/** What says that the word names nothing; anything else is thrown. */
function unknownOf(error: unknown): readonly Problem[] {
  const problems: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return problems.map((each) => {
    if (each instanceof Problem && unknownCodes.has(each.code)) return each;
    throw error;
  });
}

const unknownCodes: ReadonlySet<string> = new Set(["unit-unknown", "unit-name", "machine-unknown"]);

async function askUnit(client: ApiClient, name: string, signal: AbortSignal): Promise<Told> {
  const answer = await client.get(`/v2/units/${encodeURIComponent(name)}/explanation`, { signal });
  const unit = orThrow(explanationAnswers.unit(answer));
  return { answer, text: (options) => unitExplanationText(unit, options) };
}

async function askMachine(client: ApiClient, word: string, signal: AbortSignal): Promise<Told> {
  const [found] = await findMachines(client, { words: [word], verb: "explain", signal });
  const answer = await client.get(`/v2/machines/${found?.id ?? ""}/explanation`, { signal });
  const machine = orThrow(explanationAnswers.machine(answer));
  return { answer, text: (options) => machineExplanationText(machine, options) };
}
