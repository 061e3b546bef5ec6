// What submit, load, start and restart have in common: units from files, templates and the cluster, resolved before anything is
// changed, and what is said about that.
import { toRecord } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { problemText, terminalText } from "../report/report.ts";
import type { TargetState } from "../domain/unit.ts";
import { type HoldWords, holdOptions, mustBeHeld, putTarget, putText, readHoldWords } from "./by-hand.ts";
import { type Applied, type Task, carryOut, conclude } from "./carry-out.ts";
import type { Argument, Given, Option } from "./command.ts";
import type { Resolved, Verb } from "./resolve.ts";
import { documentOption } from "./wait-options.ts";
import type { Tools } from "./tools.ts";
import { readUnitArguments } from "./unit-arguments.ts";
import { readWait, waitOptions } from "./wait-options.ts";

export const unitOrFile: Argument = {
  name: "UNIT",
  means: "Unit files, or names of units that the cluster knows; .service may be left out",
  takes: "any",
  orFile: true,
};
export const replaceOption: Option = {
  flags: "--replace",
  means: "Put the file's text in the place of the one that the cluster has",
};
export const placingOptions: readonly Option[] = [replaceOption, ...waitOptions, ...holdOptions, documentOption];

export interface ResolvedUnits {
  readonly units: readonly Resolved[];
  readonly client: ApiClient;
}

/** Rejects with everything that is wrong with any argument; nothing has been changed then. */
export async function resolveGiven(
  tools: Tools,
  { given, verb }: { readonly given: Given; readonly verb: Verb },
): Promise<ResolvedUnits> {
  const args = readUnitArguments(given.args, verb);
  const [client, files, { resolveUnits }] = await Promise.all([
    tools.apiClient(given.reach),
    tools.localUnits(),
    import("./resolve.ts"),
  ]);
  const replace = given.options["replace"] === true;
  const { units, warnings, remarks, notes } = await resolveUnits(args, {
    ...{ client, files, verb, replace },
    warnsOnly: tools.asFleetctl === true,
    signal: tools.signal,
  });
  const odd = remarks.map((remark) => `warning: ${problemText(toRecord(remark))}`);
  const said = [...warnings.map((warning) => terminalText(`${warning}\n`)), ...odd].join("");
  if (said !== "") await tools.stderr.write(said);
  if (notes.length > 0 && given.options["json"] !== true)
    await tools.stdout.write(notes.map((note) => `${note}\n`).join(""));
  return { units, client };
}

/** `load` and `start`: units from wherever they are found, with that target from now on. */
export async function place(
  tools: Tools,
  {
    given,
    verb,
    target,
  }: { readonly given: Given; readonly verb: "load" | "start"; readonly target: "loaded" | "launched" },
): Promise<number> {
  const waitMs = readWait(given.options);
  const words = readHoldWords(given);
  const { units, client } = await resolveGiven(tools, { given, verb });
  mustBeHeld(units, words);
  const tasks = units.map((unit): Task => ({
    name: unit.name,
    apply: (signal) => placeUnit(unit, { asking: { client, signal }, target, words }),
  }));
  const how = { tools, given, client, verb, waitMs };
  return conclude(await carryOut(tasks, how), how);
}

export async function placeUnit(
  { name, known, text }: Resolved,
  how: {
    readonly asking: { readonly client: ApiClient; readonly signal: AbortSignal };
    readonly target: Exclude<TargetState, "inactive">;
    readonly words: HoldWords;
  },
): Promise<Applied> {
  const { asking, target, words } = how;
  if (known !== undefined && text === undefined) {
    return putTarget(asking, { known, target, goal: { kind: target }, words });
  }
  if (text === undefined) throw new Error(`Unit ${name} is neither known nor new`);
  const change = await putText(asking, { name, text, target, replace: known !== undefined });
  return { change, goal: { kind: target, hash: text.hash } };
}
