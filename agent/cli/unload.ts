// flotilla unload UNIT...: has units stopped and taken away from their machines; they stay known.
import type { Command } from "./command.ts";
import { retarget, retargetOptions, unitOrPattern } from "./from-cluster.ts";

export const unload: Command = {
  name: "unload",
  speaksOn: true,
  summary: "Stop units and take them away from their machines",
  args: [unitOrPattern],
  options: retargetOptions,
  more: `They stay known: flotilla start starts them again, maybe elsewhere. A unit of the repository gets a hold until flotilla
start or flotilla resume lifts it, or the time given with --for is over. In quotes a pattern names units that the cluster
knows.`,
  examples: [
    ["unload hello", "One unit"],
    ["unload 'web@*'", "All instances"],
  ],
  run: (tools, given) =>
    retarget(tools, { given, verb: "unload", target: "inactive", goal: "inactive", done: "unloaded" }),
};
