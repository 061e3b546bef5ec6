// What stop, unload, destroy and restart have in common: units that the cluster knows, by name or by a pattern in quotes.
import { Problem } from "../domain/problem.ts";
import type { UnitFileReport } from "../domain/report.ts";
import { holdOptions, mustBeHeld, putTarget, readHoldWords } from "./by-hand.ts";
import { type Applied, type Task, type UnitOutcome, carryOut, conclude } from "./carry-out.ts";
import type { Argument, Given, Option } from "./command.ts";
import { documentOption } from "./wait-options.ts";
import type { Tools } from "./tools.ts";
import { findKnownUnits, isPassedOver, readUnitArguments } from "./unit-arguments.ts";
import { readWait, waitOptions } from "./wait-options.ts";

export const unitOrPattern: Argument = {
  name: "UNIT",
  means: "Names of units, or patterns over them in quotes; .service may be left out",
  takes: "any",
};
export const retargetOptions: readonly Option[] = [...waitOptions, ...holdOptions, documentOption];

export interface Retargeting {
  readonly given: Given;
  readonly verb: "stop" | "unload";
  readonly target: "loaded" | "inactive";
  readonly goal: "stopped" | "inactive";
  /** As in `Successfully stopped units`. */
  readonly done: string;
}

/** `stop` and `unload`. */
export async function retarget(tools: Tools, what: Retargeting): Promise<number> {
  const { given, verb, target, goal, done } = what;
  const args = readUnitArguments(given.args, verb);
  const waitMs = readWait(given.options);
  const words = readHoldWords(given);
  const client = await tools.apiClient(given.reach);
  const asked = { units: args, signal: tools.signal, templates: false, passOver: isPassedOver(given) };
  const { found, problems } = await findKnownUnits(client, asked);
  mustBeHeld(
    found.map(({ name, file }) => ({ name, known: file })),
    words,
  );
  const tasks = found.map(({ name, file }): Task => ({
    name,
    apply: async (signal): Promise<Applied> => {
      if (verb === "stop") mustBePlaced(file);
      return putTarget({ client, signal }, { known: file, target, goal: { kind: goal }, words });
    },
  }));
  const how = { tools, given, client, verb, waitMs, problems };
  const outcomes = await carryOut(tasks, how);
  if (waitMs !== undefined && given.options["json"] !== true) {
    const changed = new Set(outcomes.filter(isChanged).map(({ unit }) => unit));
    const names = found.flatMap(({ name }) => (changed.has(name) ? [name] : []));
    const isGood = problems.length === 0 && outcomes.every(({ outcome }) => outcome === "done");
    if (names.length > 0 || (isGood && tools.asFleetctl === true)) {
      await tools.stderr.write(`Successfully ${done} units [${names.join(" ")}].\n`);
    } else if (isGood && found.length > 0) {
      const same = found.map(({ name }) => name);
      await tools.stderr.write(alreadyText(same, target));
    }
  }
  return conclude(outcomes, how);
}

function isChanged({ outcome, change }: UnitOutcome): boolean {
  return outcome === "done" && change !== "unchanged";
}

function alreadyText(names: readonly string[], target: "loaded" | "inactive"): string {
  const said = names.length === 1 ? `Unit ${names.join("")} is` : `Units [${names.join(" ")}] are`;
  return `${said} ${target} already\n`;
}

/** To stop what shall be nowhere would place it. */
function mustBePlaced({ name, desired, template }: UnitFileReport): void {
  if (desired !== "inactive") return;
  throw new Problem("unit-inactive", `Unable to stop unit ${name} in state inactive`, {
    hint: template ? "A template is never run itself" : `flotilla load ${name} places it without starting it`,
  });
}
