// flotilla load UNIT...: has units placed on machines, known to systemd there, and not started.
import type { Command } from "./command.ts";
import { place, placingOptions, unitOrFile } from "./from-files.ts";

export const load: Command = {
  name: "load",
  speaksOn: true,
  summary: "Place units on machines without starting them",
  args: [unitOrFile],
  options: placingOptions,
  more: `Units from files are submitted first. A unit that runs is stopped and stays where it is. On a unit of the repository it
places a hold, or lifts one. In quotes a pattern names units that the cluster knows.`,
  examples: [
    ["load hello.service", "A unit from a file, or one that was submitted"],
    ["load --no-block web@{1..3}", "Three instances, without waiting for them"],
  ],
  run: (tools, given) => place(tools, { given, verb: "load", target: "loaded" }),
};
