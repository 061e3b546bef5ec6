// flotilla restart UNIT...: has units restarted on every machine that runs them, and says how that went.
import type { UnitName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { UnitFileReport } from "../domain/report.ts";
import { type Asking, type HoldWords, holdOptions, mustBeHeld, postRestart, readHoldWords } from "./by-hand.ts";
import { type Applied, type Task, carryOut, conclude, unplaced } from "./carry-out.ts";
import type { Command } from "./command.ts";
import { placeUnit, resolveGiven, unitOrFile } from "./from-files.ts";
import { findDetail } from "./wait.ts";
import { documentOption } from "./wait-options.ts";
import { readWait, waitOptions } from "./wait-options.ts";

export const restart: Command = {
  name: "restart",
  speaksOn: true,
  summary: "Restart units on the machines that run them",
  args: [unitOrFile],
  options: [...waitOptions, ...holdOptions, documentOption],
  more: `Every machine restarts the unit once; a global unit on all of them. It waits until each has done so and the unit is
active again. One that no machine has or takes fails at once.

A unit that is loaded is started, as by flotilla start: one that the repository wants loaded is then held at launched, until
it is resumed or the time of --for is over. One that the cluster does not know is submitted and started. In quotes a pattern
names units that the cluster knows.`,
  examples: [
    ["restart web@1", "One unit"],
    ["restart 'web@*'", "All instances, at the same time"],
    ["restart --for 2h batch", "A unit that the repository wants loaded: run it, and let go of it later"],
  ],
  run: async (tools, given) => {
    const waitMs = readWait(given.options);
    const words = readHoldWords(given);
    const { units, client } = await resolveGiven(tools, { given, verb: "restart" });
    mustBeHeld(units, words);
    const tasks = units.map((unit): Task => ({
      name: unit.name,
      apply: async (signal): Promise<Applied> => {
        if (unit.known?.desired === "launched") {
          if (unit.known.machine === undefined) await mustBeSomewhere({ client, signal }, unit.name);
          return { ...(await postRestart({ client, signal }, unit.name)), ...nothingHeld(unit.name, words) };
        }
        if (unit.known !== undefined) mustBeStartable(unit.known);
        return placeUnit(unit, { asking: { client, signal }, target: "launched", words });
      },
    }));
    const how = { tools, given, client, verb: "restart", waitMs };
    return conclude(await carryOut(tasks, how), how);
  },
};

/** What is launched is launched by the repository, or by a hold that stands. */
function nothingHeld(name: UnitName, { forMs, why }: HoldWords): { readonly says?: string } {
  if (forMs === undefined && why === undefined) return {};
  return { says: `Unit ${name} is launched already: it is restarted, and no hold is placed` };
}

/** Where no machine has it or takes it there is nothing to restart, and nothing to wait for. */
async function mustBeSomewhere({ client, signal }: Asking, name: UnitName): Promise<void> {
  const { places = [], refusals = [] } = (await findDetail(client, { name, signal })) ?? {};
  if (places.some(({ target }) => target === "launched") || refusals.length === 0) return;
  throw unplaced(name, { verb: "restart", refusals });
}

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
