// flotilla uncordon MACHINE...: has machines take units again, and ends their drains and rests.
import type { Command } from "./command.ts";
import { machineArgument } from "./machine-arguments.ts";
import { maintainMachines, titleOf } from "./maintain.ts";
import { documentOption } from "./wait-options.ts";

export const uncordon: Command = {
  name: "uncordon",
  speaksOn: true,
  summary: "Have machines take units again, and end their drains",
  args: [machineArgument],
  options: [documentOption],
  more: `Nothing moves because of it: what waits for a machine may be placed there. Of a machine that is being drained it ends the
drain; what has moved stays where it is. A machine that came and went, and rests, takes units again at once.`,
  examples: [
    ["uncordon n3", "After the reboot"],
    ["uncordon n1 n2 n3", "Several"],
  ],
  run: (tools, given) =>
    maintainMachines(tools, {
      ...{ given, verb: "uncordon" },
      says: (machine, { outcome, drain }) => {
        if (outcome === "unchanged") return `${titleOf(machine)} is not cordoned`;
        const ends = drain === undefined ? "" : "; its drain is ended, and what has moved stays where it is";
        return `${titleOf(machine)} takes units again${ends}`;
      },
    }),
};
