// flotilla playground: a whole cluster on this computer, to try things on. What it does is the wiring's.
import { usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import type { PlaygroundRequest } from "./tools.ts";

const usualMachines = 3;
const mostMachines = 9;

export const playground: Command = {
  name: "playground",
  summary: "Run a cluster on this computer, to try things on",
  args: [
    {
      name: "ACTION",
      means: "kill or start; none: bring the cluster up",
      takes: "one-or-none",
      words: ["kill", "start"],
    },
    {
      name: "MACHINE",
      means: "With kill and start: the machine's name, such as m1",
      takes: "one-or-none",
      words: Array.from({ length: mostMachines }, (_, index) => `m${index + 1}`),
    },
  ],
  options: [
    { flags: "--machines N", means: `How many machines, 1 to ${mostMachines} (default: ${usualMachines})` },
    { flags: "--etcd", means: "A real etcd, and a process for each agent, instead of one embedded registry" },
    { flags: "--once", means: "Deploy, print the listings, kill a machine, print them again, and end" },
  ],
  more: "It runs until Ctrl-C and leaves nothing behind. It needs systemd and, to run units, root or a user namespace.",
  examples: [
    ["playground", "Three machines; it says what to try"],
    ["playground kill m1", "In another terminal: cut a machine's power"],
    ["playground start m1", "Switch it on again"],
  ],
  run: async (tools, given) => tools.runPlayground(requestOf(given), tools.signal),
};

function requestOf({ args, options }: Given): PlaygroundRequest {
  const [action, machine] = args;
  if (action === undefined) {
    return {
      kind: "run",
      machines: machineCount(options["machines"]),
      etcd: options["etcd"] === true,
      once: options["once"] === true,
    };
  }
  if (action !== "kill" && action !== "start") {
    throw usageProblem(`Cannot do "${action}" in the playground`, "It is kill MACHINE or start MACHINE");
  }
  if (machine === undefined) throw usageProblem(`Cannot ${action} without a machine`, "Name one, such as m1");
  const [odd] = Object.keys(options);
  if (odd !== undefined) throw usageProblem(`Cannot use --${odd} with ${action}`, "It is for bringing the cluster up");
  return { kind: action, machine };
}

function machineCount(text: string | true | undefined): number {
  if (text === undefined) return usualMachines;
  const count = typeof text === "string" && /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= mostMachines) return count;
  throw usageProblem(
    `Cannot take "${String(text).slice(0, 64)}" as a number of machines`,
    `It must be 1 to ${mostMachines}`,
  );
}
