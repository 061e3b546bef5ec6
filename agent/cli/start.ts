// flotilla start UNIT...: has units placed and started, and says how that went.
import type { Command } from "./command.ts";
import { place, placingOptions, unitOrFile } from "./from-files.ts";

export const start: Command = {
  name: "start",
  speaksOn: true,
  summary: "Start units, on the machines that take them",
  args: [unitOrFile],
  options: placingOptions,
  more: `Units from files are submitted first; an instance without a file of its own has the text of its template. On a unit of
the repository it lifts a hold. In quotes a pattern names units that the cluster knows.

It waits until systemd has done its part: until a unit is active, or has run and ended well. Exit code 1 says that one
failed, with the machine and the last lines of its log, or that no machine takes a global one. Ctrl-C ends the waiting,
not the change.`,
  examples: [
    ["start hello.service", "A unit from a file, or one that the cluster knows"],
    ["start web@{1..3}", "Three instances of a template"],
    ["start --replace hello.service", "With the file's new text, in the place of the old one"],
    ["start --timeout 2min db", "With an end to patience"],
  ],
  run: (tools, given) => place(tools, { given, verb: "start", target: "launched" }),
};
