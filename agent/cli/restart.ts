// flotilla restart UNIT...: has units restarted on every machine that runs them, and says how that went.
import { Problem } from "../domain/problem.ts";
import type { UnitFileReport } from "../domain/report.ts";
import { postRestart } from "./by-hand.ts";
import { type Applied, type Task, carryOut, conclude } from "./carry-out.ts";
import type { Command } from "./command.ts";
import { placeUnit, resolveGiven, unitOrFile } from "./from-files.ts";
import { documentOption } from "./wait-options.ts";
import { readWait, waitOptions } from "./wait-options.ts";

export const restart: Command = {
  name: "restart",
  speaksOn: true,
  summary: "Restart units on the machines that run them",
  args: [unitOrFile],
  options: [...waitOptions, documentOption],
  more: `Every machine restarts the unit once; a global unit on all of them. It waits until each has done so and the unit is
active again. A unit that is loaded is started; one that the cluster does not know is submitted and started, as by
flotilla start. In quotes a pattern names units that the cluster knows.`,
  examples: [
    ["restart web@1", "One unit"],
    ["restart 'web@*'", "All instances, at the same time"],
  ],
  run: async (tools, given) => {
    const waitMs = readWait(given.options);
    const { units, client } = await resolveGiven(tools, { given, verb: "restart" });
    const tasks = units.map((unit): Task => ({
      name: unit.name,
      apply: async (signal): Promise<Applied> => {
        if (unit.known?.desired === "launched") return postRestart({ client, signal }, unit.name);
        if (unit.known !== undefined) mustBeStartable(unit.known);
        return placeUnit(unit, { asking: { client, signal }, target: "launched", words: {} });
      },
    }));
    const how = { tools, given, client, verb: "restart", waitMs };
    return conclude(await carryOut(tasks, how), how);
  },
};

/** A restart starts what is loaded, and lifts no hold. */
function mustBeStartable({ name, desired, hold }: UnitFileReport): void {
  if (hold !== undefined) {
    const why = hold.why === undefined ? "" : ` (${hold.why})`;
    throw new Problem("unit-held", `Unable to restart unit ${name}: ${hold.by} holds it at ${hold.target}${why}`, {
      hint: `flotilla start ${name} lifts the hold and starts it`,
    });
  }
  if (desired === "inactive") {
    throw new Problem("unit-inactive", `Unable to restart unit ${name} in state inactive`, {
      hint: `flotilla start ${name} starts it`,
    });
  }
}
