// The program under its other name: called as `fleetctl` it has fleetctl's commands, options, defaults and texts, so that
// scripts go on working. What was a defect there is none here: docs/from-fleet.md has the list.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { MachineReport, UnitFileReport, UnitReport } from "../domain/report.ts";
import { type Listing, isStale, listings, registryAway } from "../report/report.ts";
import { runCalled, setApart } from "./args.ts";
import { cat } from "./cat.ts";
import type { Command, Given, Option } from "./command.ts";
import { destroy } from "./destroy.ts";
import { exitCodes } from "./exit-codes.ts";
import { fdForward } from "./fd-forward.ts";
import { fleetExitCode, fleetText } from "./fleet-failures.ts";
import { fleetStatus } from "./fleet-status.ts";
import { fleetEnvironment, fleetSocket, readFleetWords, unusedValued, usualValues } from "./fleet-words.ts";
import { journal } from "./journal.ts";
import { listMachines, machinesFilters } from "./list-machines.ts";
import { listUnitFiles, unitFilesFilters } from "./list-unit-files.ts";
import { listUnits, unitsFilters } from "./list-units.ts";
import { runListing } from "./listing.ts";
import { load } from "./load.ts";
import { writeFailure } from "./print.ts";
import { reachOptions } from "./reach.ts";
import { restart } from "./restart.ts";
import { ssh } from "./ssh.ts";
import { start } from "./start.ts";
import { stop } from "./stop.ts";
import { submit } from "./submit.ts";
import type { Tools } from "./tools.ts";
import { findUnit, passingOver } from "./unit-arguments.ts";
import { completeUnitName } from "./unit-names.ts";
import { unload } from "./unload.ts";
import { version } from "./version.ts";

const name = "fleetctl";

/** As `runCommand`, with fleetctl's commands. */
export async function runFleetctl(argv: readonly string[], given: Tools): Promise<number> {
  let called = "";
  const tools: Tools = { ...given, asFleetctl: true, failureText: (problem) => fleetText(called, problem) };
  try {
    // First, so that a command for a machine keeps its own options, whatever they are called
    const apart = setApart(argv, { commands: fleetCommands, valued: unusedValued });
    const { argv: words, notes, meantEtcd } = readFleetWords(apart, given.env);
    await given.stderr.write(notes.map((note) => `${note}\n`).join(""));
    const hasFleetSocket = await given.hasSocket(fleetSocket);
    const env = fleetEnvironment(given.env, { hasFleetSocket, meantEtcd });
    const commands = fleetCommands.map((command): Command => ({
      ...command,
      run: (own, what) => {
        called = command.name;
        return command.run(own, what);
      },
    }));
    const summary = "The commands of fleetctl, for a cluster of flotilla";
    const calling = { name, summary, options: fleetOptions, commands, helpEnd };
    return await runCalled({ calling: { ...calling, takesExcess: true }, tools: { ...tools, env } }, words);
  } catch (error) {
    return fleetExitCode(await writeFailure(tools, error), error);
  }
}

/** As everywhere, but for what holds when nothing is said. */
const fleetOptions: readonly Option[] = reachOptions.map(({ flags, means }) => {
  const long = flags.split(" ")[0] ?? flags;
  const usual = usualValues[long];
  return { flags, means: usual === undefined ? means : means.replace(/\(default: .*\)$/, `(default: ${usual})`) };
});

const helpEnd = `
fleet's environment FLEETCTL_* and its options are taken; those that mean nothing here are passed over with a warning.
flotilla --help has more commands than these.
`;

/** What a machine has said: fleet's list had no others, neither of units on their way nor of those on lost machines. */
const fleetUnits: Listing<UnitReport> = {
  ...listings.units,
  fields: withoutExtra(listings.units),
  read: (answer) => {
    const read = readWhole(listings.units, answer);
    return read.ok ? valid(read.value.filter(({ knowledge }) => knowledge === "reported")) : read;
  },
};

const { target } = listings.unitFiles.fields.all;
const fleetUnitFiles: Listing<UnitFileReport> = {
  ...listings.unitFiles,
  fields: {
    ...withoutExtra(listings.unitFiles),
    all: {
      ...listings.unitFiles.fields.all,
      ...(target === undefined ? {} : { tmachine: { ...target, means: "deprecated: as target" } }),
    },
  },
};

/** A script counts on the columns that it knows. */
function withoutExtra<Row>({ fields }: Listing<Row>): Listing<Row>["fields"] {
  return { usual: fields.usual, all: fields.all };
}

const fleetMachines: Listing<MachineReport> = {
  ...listings.machines,
  fields: withoutExtra(listings.machines),
  read: (answer) => readWhole(listings.machines, answer),
};

/** Without its registry fleet listed nothing: a script takes what it is given for all that there is. */
function readWhole<Row>({ key, read }: Listing<Row>, answer: unknown): Checked<readonly Row[]> {
  return isStale(answer) ? invalid(registryAway(`which ${key} there are`)) : read(answer);
}

const fleetCommands: readonly Command[] = [
  {
    ...listMachines,
    run: (tools, given) => runListing(fleetMachines, { path: "/v2/machines", filters: machinesFilters, tools, given }),
  },
  {
    ...listUnits,
    run: (tools, given) => runListing(fleetUnits, { path: "/v2/units", filters: unitsFilters, tools, given }),
  },
  {
    ...listUnitFiles,
    run: async (tools, given) => {
      const { fields } = given.options;
      if (typeof fields === "string" && fields.split(",").includes("tmachine")) {
        await tools.stderr.write('WARNING: The "tmachine" field is deprecated. Use "target" instead\n');
      }
      return runListing(fleetUnitFiles, { path: "/v2/unit-files", filters: unitFilesFilters, tools, given });
    },
  },
  fleetStatus,
  oneUnit(journal, "One unit file must be provided."),
  ssh,
  oneUnit(cat, "One unit file must be provided"),
  ...[submit, load, start, restart].map(someUnits),
  ...[stop, unload, destroy].map((command) => forgiving(someUnits(command))),
  {
    ...version,
    run: async (tools) => {
      await tools.stdout.write(`${name} version ${tools.version}\n`);
      return exitCodes.ok;
    },
  },
  {
    ...{ name: "verify", hidden: true, summary: "Deprecated: units are not signed", options: [], examples: [] },
    args: [{ name: "UNIT", means: "Passed over", takes: "any" }],
    run: async (tools) => {
      await tools.stderr.write(
        'Command "verify" is deprecated, DEPRECATED - No longer works\n' +
          "WARNING: The signed/verified units feature is DEPRECATED and cannot be used.\n",
      );
      return exitCodes.usage;
    },
  },
  fdForward,
];

/** Exactly one, and fleet's words when it is another number. */
function oneUnit(command: Command, message: string): Command {
  return {
    ...command,
    args: command.args.map((argument) => ({ ...argument, takes: "any" })),
    run: async (tools, given) => {
      if (given.args.length !== 1) throw new Problem("fleet-arguments", message);
      return command.run(tools, given);
    },
  };
}

/** None is a mistake on the command line, in fleet's words. */
function someUnits(command: Command): Command {
  return {
    ...command,
    run: async (tools, given) => {
      if (given.args.length === 0) throw new Problem("usage", "No units given");
      return command.run(tools, given);
    },
  };
}

/** Names that the cluster does not know are passed over, as scripts that clean up expect; patterns were names to fleet. */
function forgiving(command: Command): Command {
  return {
    ...command,
    run: async (tools, given) => {
      if (given.args.length === 0) return command.run(tools, given);
      const args = await knownOf(tools, given);
      // Somebody else may destroy one in this moment
      const options = { ...given.options, ...passingOver };
      if (args.length > 0) return command.run(tools, { ...given, args, options, reach: given.reach });
      await tools.stderr.write("Units not found in registry\n");
      return exitCodes.ok;
    },
  };
}

async function knownOf(tools: Tools, { args, reach }: Given): Promise<readonly string[]> {
  const client = await tools.apiClient(reach);
  const known: string[] = [];
  for (const word of args.filter((each) => !/[*?[]/.test(each))) {
    const unit = await findUnit(client, { name: completeUnitName(word), signal: tools.signal });
    if (unit !== undefined) known.push(word);
  }
  return known;
}
