// fleetctl status UNIT...: what systemctl says on the unit's machines, and nothing else; the first that is not well ends it,
// with systemctl's own code. Given to fleetctl.ts.
import { Problem } from "../domain/problem.ts";
import { statusWords } from "../report/journal.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { findUnit, reachablePlaces } from "./places.ts";
import { writeForeign } from "./print.ts";
import { status } from "./status.ts";
import { completeUnitName } from "./unit-names.ts";

export const fleetStatus: Command = {
  name: status.name,
  summary: "Show what systemd says of units on their machines",
  args: [{ name: "UNIT", means: "Names of units; .service may be left out", takes: "any" }],
  options: [],
  examples: [["status hello.service", "As systemctl status on its machine"]],
  run: async (tools, { args, reach }) => {
    if (args.length === 0) throw new Problem("usage", "No units given");
    const { signal } = tools;
    const client = await tools.apiClient(reach);
    let isFirst = true;
    for (const name of args.map(completeUnitName)) {
      const unit = await findUnit(client, name, signal);
      if (unit === undefined) throw new Problem("fleet-status", `Unit ${name} does not exist.`);
      const places = reachablePlaces(unit);
      if (places.length === 0) throw new Problem("fleet-status", `Unit ${name} does not appear to be loaded.`);
      const shell = await tools.machineShell(reach);
      for (const { machine } of places) {
        const told = await shell.capture(machine, statusWords(name, false), { signal, mayAsk: true });
        await writeForeign(tools, (isFirst ? "" : "\n") + told.stdout);
        isFirst = false;
        if (told.stderr !== "") await tools.stderr.write(told.stderr);
        if (told.status !== exitCodes.ok) return told.status;
      }
    }
    return exitCodes.ok;
  },
};
