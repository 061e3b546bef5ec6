// flotilla submit UNIT...: makes units known to the cluster that are not in its repository.
import { type Task, carryOut, conclude } from "./carry-out.ts";
import { putText } from "./by-hand.ts";
import type { Command } from "./command.ts";
import { replaceOption, resolveGiven, unitOrFile } from "./from-files.ts";
import { documentOption } from "./wait-options.ts";

export const submit: Command = {
  name: "submit",
  speaksOn: true,
  summary: "Make units known that are not in the repository",
  args: [unitOrFile],
  options: [replaceOption, documentOption],
  more: `The text comes from the file; drop-ins in NAME.d beside it come along. An instance without a file of its own has the
text of its template: the cluster's, else the one beside it. A submitted unit runs nowhere until it is loaded or started.
The repository's units cannot be submitted: commit them.`,
  examples: [
    ["submit hello.service", "A unit from a file"],
    ["submit web@.service", "A template, for instances to be started later"],
    ["submit --replace hello.service", "A new text for a unit that runs nowhere"],
  ],
  run: async (tools, given) => {
    const { units, client } = await resolveGiven(tools, { given, verb: "submit" });
    const tasks = units.map(({ name, text, known }): Task => ({
      name,
      apply: async (signal) => {
        if (text === undefined) return { change: "unchanged", goal: undefined };
        const change = await putText({ client, signal }, { name, text, replace: known !== undefined });
        return { change, goal: undefined, prints: `Unit ${name} inactive` };
      },
    }));
    const how = { tools, given, client, verb: "submit", waitMs: undefined };
    return conclude(await carryOut(tasks, how), how);
  },
};
