// flotilla destroy UNIT...: has submitted units stopped and forgotten. What is in the repository is removed there.
import { Problem } from "../domain/problem.ts";
import type { UnitFileReport } from "../domain/report.ts";
import { deleteUnit } from "./by-hand.ts";
import { type Task, carryOut, conclude } from "./carry-out.ts";
import type { Command } from "./command.ts";
import { unitOrPattern } from "./from-cluster.ts";
import { documentOption } from "./wait-options.ts";
import { findKnownUnits, isPassedOver, readUnitArguments } from "./unit-arguments.ts";
import { readWait, waitOptions } from "./wait-options.ts";

export const destroy: Command = {
  name: "destroy",
  speaksOn: true,
  summary: "Stop submitted units and forget them",
  args: [unitOrPattern],
  options: [...waitOptions, documentOption],
  more: `It waits until the unit is gone from its machines; Ctrl-C ends the waiting, not the change. In quotes a pattern names
units that the cluster knows. A unit of the repository is removed there: destroy says which file that is.`,
  examples: [
    ["destroy hello", "One unit"],
    ["destroy 'web@*'", "A template's instances, and the template"],
  ],
  run: async (tools, given) => {
    const args = readUnitArguments(given.args, "destroy");
    const waitMs = readWait(given.options);
    const client = await tools.apiClient(given.reach);
    const asked = { units: args, signal: tools.signal, templates: true, passOver: isPassedOver(given) };
    const { found, problems } = await findKnownUnits(client, asked);
    const tasks = found.map(({ name, file }): Task => ({
      name,
      apply: async (signal) => {
        if (file.source === "git") throw belongsToGit(file);
        return deleteUnit({ client, signal }, name);
      },
    }));
    const how = { tools, given, client, verb: "destroy", waitMs, problems };
    return conclude(await carryOut(tasks, how), how);
  },
};

function belongsToGit({ name, file, template }: UnitFileReport): Problem {
  const meanwhile = template ? "" : `; flotilla unload ${name} holds it meanwhile`;
  return new Problem("unit-git", `Cannot destroy unit "${name}": the repository has it in ${file}`, {
    hint: `Remove ${file} there and commit${meanwhile}`,
  });
}
