// flotilla cordon MACHINE...: keeps new units off machines.
import type { Command } from "./command.ts";
import { machineArgument } from "./machine-arguments.ts";
import { maintainMachines, titleOf } from "./maintain.ts";
import { documentOption } from "./wait-options.ts";

export const cordon: Command = {
  name: "cordon",
  speaksOn: true,
  summary: "Keep new units off machines; what they have stays",
  args: [machineArgument],
  options: [documentOption],
  more: `A machine that is cordoned takes nothing new and keeps what it has, until flotilla uncordon. The word outlives its
reboots, and holds for a machine that is away. flotilla drain moves its units elsewhere as well.`,
  examples: [
    ["cordon n3", "One machine, by its hostname"],
    ["cordon 59f61aeb 10.79.0.12", "Two, by the beginning of an id and by an address"],
  ],
  run: (tools, given) =>
    maintainMachines(tools, {
      ...{ given, verb: "cordon" },
      says: (machine, { outcome, drain }) => {
        if (outcome !== "unchanged") return `${titleOf(machine)} is cordoned: it takes nothing new`;
        return `${titleOf(machine)} is cordoned already${drain === undefined ? "" : ", and being drained"}`;
      },
    }),
};
