// flotilla stop UNIT...: has units stopped; they stay placed. The repository's units are held.
import type { Command } from "./command.ts";
import { retarget, retargetOptions, unitOrPattern } from "./from-cluster.ts";

export const stop: Command = {
  name: "stop",
  speaksOn: true,
  summary: "Stop units; they stay on their machines",
  args: [unitOrPattern],
  options: retargetOptions,
  more: `A unit of the repository gets a hold: it stays stopped, whatever is committed, until flotilla start or flotilla resume
lifts it, or the time given with --for is over. list-holds and every listing show it. In quotes a pattern names units that
the cluster knows. It waits until nothing of the unit runs; Ctrl-C ends the waiting, not the change.`,
  examples: [
    ["stop hello", "One unit"],
    ["stop 'web@*'", "All instances"],
    ["stop --for 2h --reason 'disk is replaced' db", "A unit of the repository, for a while"],
  ],
  run: (tools, given) => retarget(tools, { given, verb: "stop", target: "loaded", goal: "stopped", done: "stopped" }),
};
