// flotilla hold UNIT...: an operator's word on units of the repository, stronger than the repository's until it is lifted.
import { targetStates } from "../domain/unit.ts";
import type { HoldReport } from "../domain/report.ts";
import { handAnswers, holdLine } from "../report/hands.ts";
import { holdOptions, readHoldWords } from "./by-hand.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Argument, Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText } from "./print.ts";
import { documentOption } from "./wait-options.ts";
import { readUnitArguments } from "./unit-arguments.ts";
import { textOf } from "./wait-options.ts";

export const heldUnit: Argument = {
  name: "UNIT",
  means: "Names of units of the repository, or patterns over them in quotes; .service may be left out",
  takes: "any",
};
export const allOption = { flags: "--all", means: "Every unit of the repository" };

export const hold: Command = {
  name: "hold",
  summary: "Hold units of the repository, whatever is committed",
  args: [heldUnit],
  options: [
    allOption,
    {
      flags: "--state STATE",
      means: `What they are held at: ${targetStates.join(", ")} (default: loaded, which is stopped)`,
    },
    ...holdOptions,
    documentOption,
  ],
  more: `A hold is seen in every listing with who placed it, why and until when. It stays across restarts of agents and changes
of the leader until flotilla resume lifts it, or the time given with --for is over. A hold on a unit that is held takes the
place of the one before. It does not wait: list-units --watch shows what the machines do.`,
  examples: [
    ["hold db --reason 'restoring a backup'", "Stop one unit until somebody resumes it"],
    ["hold 'web@*' --for 2h", "All instances, for a while"],
    ["hold --all --state inactive", "Everything, away from the machines"],
  ],
  run: async (tools, given) => {
    const patterns = readPatterns(given, "hold");
    const words = readHoldWords(given);
    const target = readState(textOf(given.options["state"]));
    const client = await tools.apiClient(given.reach);
    const body = { patterns, target, ...words };
    const answer = await client.post("/v2/holds", { body, signal: tools.signal });
    const { holds } = orThrow(handAnswers.holds(answer));
    await tools.stdout.write(given.options["json"] === true ? jsonText(answer) : lines(holds));
    return exitCodes.ok;
  },
};

/** Patterns as the API takes them: a name is one that names itself. Throws usage problems. */
export function readPatterns({ args, options }: Given, verb: string): readonly string[] {
  if (options["all"] !== true) {
    return readUnitArguments(args, verb).map(({ name, isPattern }) =>
      isPattern ? name : name.replaceAll("\\", "\\\\"),
    );
  }
  if (args.length === 0) return ["*"];
  throw usageProblem("Cannot use --all together with names of units", "--all means every unit");
}

function readState(text: string | undefined): string {
  const state = text ?? "loaded";
  if ((targetStates as readonly string[]).includes(state)) return state;
  throw usageProblem(`Cannot hold units at "${state.slice(0, 64)}"`, `States are ${targetStates.join(", ")}`);
}

function lines(holds: readonly HoldReport[]): string {
  return holds.length === 0 ? "The repository has no units\n" : holds.map((each) => holdLine(each)).join("");
}
