// flotilla ssh UNIT|MACHINE [COMMAND...]: a login or a command on a machine of the cluster.
import { Problem } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { prefixes } from "../report/journal.ts";
import { isStale, listings } from "../report/report.ts";
import { atOnce } from "./at-once.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { ending, firstFailure, print } from "./journal-lines.ts";
import { findPlaces, findUnit, isGlob, reachablePlaces } from "./places.ts";
import { hasColour } from "./print.ts";
import { type Meaning, chooseMachines } from "./ssh-target.ts";
import { completeUnitName } from "./unit-names.ts";

export const ssh: Command = {
  name: "ssh",
  bySsh: true,
  summary: "Log in to the machine of a unit, or run a command there",
  args: [
    {
      name: "UNIT|MACHINE",
      means: "A unit, or the beginning of a machine's id, its hostname or address",
      takes: "one-or-none",
    },
    { name: "COMMAND", means: "What to run, read by the machine's shell; none: a login", takes: "any" },
  ],
  ownWords: (options) => (options.some((each) => /^--(machine|unit)(=|$)/.test(each)) ? 0 : 1),
  options: [
    { flags: "--machine MACHINE", means: "It is a machine that is meant" },
    { flags: "--unit UNIT", means: "It is a unit that is meant" },
    { flags: "--all", means: "Run the command on all machines of the unit, or of the units of a pattern, at once" },
    { flags: "-A, --forward-agent", means: "Let the machine use the ssh agent of this one" },
  ],
  more: `Options stand before the command; what stands behind its first word is its own. On this machine itself nothing is
connected, unless --ssh-username asks for another user. The exit code is that of the command; 255 where the machine cannot
be reached.`,
  examples: [
    ["ssh web@1", "A login where web@1.service runs"],
    ["ssh 59f61aeb systemctl --failed", "A command on a machine"],
    ["ssh --all 'web@*' uptime", "A command on every machine that has one of them"],
    ["--tunnel gate.example.com ssh db", "By way of another machine"],
  ],
  run: async (tools, given) => {
    const asked = readAsked(given);
    const client = await tools.apiClient(given.reach);
    const machines = await find(client, asked, tools.signal);
    const shell = await tools.machineShell(given.reach);
    const [only] = machines;
    const { command } = asked;
    if (!asked.all && only !== undefined) {
      const forwardAgent = given.options["forward-agent"] === true;
      return shell.attach(only, command.length === 0 ? undefined : command, { signal: tools.signal, forwardAgent });
    }
    const marks = machines.length > 1 ? prefixes(machines, hasColour(tools)) : [];
    let turn: Promise<void> = Promise.resolve();
    const statuses = await atOnce(machines, async (machine, index) => {
      return ending(tools, () =>
        shell.stream(machine, ["sh", "-c", command.join(" ")], {
          signal: tools.signal,
          mayAsk: machines.length === 1,
          line: (text, from) => {
            turn = turn.then(() => print(tools, { text, from, mark: marks[index] ?? "" }));
            return turn;
          },
        }),
      );
    });
    return firstFailure(statuses);
  },
};

interface Asked {
  readonly word: string;
  readonly meaning: Meaning;
  readonly all: boolean;
  /** Empty: a login. */
  readonly command: readonly string[];
}

function readAsked({ args, options }: Given): Asked {
  const { machine, unit } = options;
  const all = options["all"] === true;
  if (typeof machine === "string" && typeof unit === "string") {
    throw usageProblem("Both machine and unit flags provided, please specify only one", "--machine or --unit");
  }
  const flag = typeof machine === "string" ? machine : typeof unit === "string" ? unit : undefined;
  const word = flag ?? args[0];
  if (word === undefined || word === "")
    throw usageProblem("One machine or unit must be provided", "flotilla ssh UNIT");
  const command = flag === undefined ? args.slice(1) : args;
  if (all && command.length === 0)
    throw usageProblem("Cannot log in on all machines at once", "Give a command to run there");
  return {
    word,
    meaning: flag === undefined ? "either" : typeof machine === "string" ? "machine" : "unit",
    all,
    command,
  };
}

async function find(client: ApiClient, asked: Asked, signal: AbortSignal): Promise<readonly MachineReference[]> {
  const { word, meaning, all } = asked;
  if (isGlob(word) && meaning !== "machine") {
    if (!all)
      throw usageProblem(`Cannot log in at all that "${word.slice(0, 64)}" names`, "--all COMMAND runs it everywhere");
    const { places, problems } = await findPlaces(client, [word], signal);
    if (problems.length > 0) throw new AggregateError(problems);
    return [...new Map(places.map(({ machine }) => [machine.id, machine])).values()];
  }
  const answer = await client.get("/v2/machines", { signal });
  const rows = orThrow(listings.machines.read(answer));
  const machines = rows.map(({ id, ip, hostname }) => ({ id, ip, hostname, alive: true }));
  const mayBeMore = isStale(answer);
  const places = meaning === "machine" ? undefined : await placesOf(client, { word, mayBeMore, signal });
  return chooseMachines({ word, machines, places, mayBeMore }, { meaning, all });
}

/** Undefined: no unit is called so, or could be, or is known of while the registry is away. */
async function placesOf(
  client: ApiClient,
  asked: { readonly word: string; readonly mayBeMore: boolean; readonly signal: AbortSignal },
): Promise<readonly MachineReference[] | undefined> {
  const name = unitNameOf(asked.word);
  try {
    const unit = name === undefined ? undefined : await findUnit(client, name, asked.signal);
    return unit === undefined ? undefined : reachablePlaces(unit).map(({ machine }) => machine);
  } catch (error) {
    if (asked.mayBeMore && error instanceof Problem && error.code === "commit-missing") return undefined;
    throw error;
  }
}

function unitNameOf(word: string): string | undefined {
  try {
    return completeUnitName(word);
  } catch (error) {
    if (error instanceof Problem && error.code === "unit-name") return undefined; // an address, for one
    throw error;
  }
}
