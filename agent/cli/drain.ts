// flotilla drain MACHINE: has all units of a machine move elsewhere, and says how that goes.
import { maxDrainMs } from "../domain/machine.ts";
import { Problem, toRecord } from "../domain/problem.ts";
import type { DrainReport, LeavingUnit, MachineReference } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { machineText, refusalsText } from "../report/hands.ts";
import { terminalText } from "../report/report.ts";
import { formatSpan } from "../text/time.ts";
import type { Command, Given } from "./command.ts";
import { type DrainEnding, waitForDrain } from "./drain-wait.ts";
import { exitCodes } from "./exit-codes.ts";
import { findMachines, machineArgument } from "./machine-arguments.ts";
import { pathOf, post } from "./maintain.ts";
import { jsonText, writeFailure } from "./print.ts";
import { Progress } from "./progress.ts";
import { timeOption } from "./time-option.ts";
import type { Tools } from "./tools.ts";
import { documentOption, textOf } from "./wait-options.ts";

/** Units that are named at the end with why they stay; the listing shows all. */
const mostNamed = 50;

export const drain: Command = {
  name: "drain",
  speaksOn: true,
  summary: "Move all units of a machine elsewhere",
  args: [{ ...machineArgument, takes: "one" }],
  options: [
    { flags: "--deadline DURATION", means: "Stop the drain after so long, e.g. 90s, 10min (default: never)" },
    { flags: "--no-wait", means: "Do not wait: say what was asked for and end" },
    documentOption,
  ],
  more: `The machine is cordoned and its units move, a few at a time, each stopped before it is started elsewhere. Global units
stay, and so does what no other machine takes: it runs on. It waits until nothing but global units is left there (0), or until
the drain stops and says of each unit that is left why (1). Ctrl-C ends the waiting and not the drain. The machine stays
cordoned until flotilla uncordon, which also ends a drain.`,
  examples: [
    ["drain n3", "Before a reboot"],
    ["drain n3 --deadline 10min", "For ten minutes at most; what is left then stays"],
    ["drain n3 --no-wait", "From a script; flotilla list-machines says how far it is"],
  ],
  run: async (tools, given) => {
    const { signal } = tools;
    const withinMs = timeOption("--deadline", textOf(given.options["deadline"]), { mostMs: maxDrainMs });
    const client = await tools.apiClient(given.reach);
    const [machine] = await findMachines(client, { words: given.args, verb: "drain", signal });
    if (machine === undefined) throw new Problem("machine-unknown", "Cannot find the machine");
    const body = withinMs === undefined ? {} : { withinMs };
    const answer = await post(client, { path: pathOf(machine, "drain"), body, signal });
    if (answer.drain === undefined) {
      throw new Problem("agent-answer", "Cannot understand the agent's answer: it names no drain");
    }
    const draining = { tools, given, client, machine, drain: answer.drain };
    if (given.options["no-wait"] === true) return conclude({ ...draining, hasWaited: false });
    return follow(draining, { joined: answer.outcome === "unchanged" });
  },
};

interface Draining {
  readonly tools: Tools;
  readonly given: Given;
  readonly client: ApiClient;
  readonly machine: MachineReference;
  readonly drain: DrainReport;
}

async function follow(draining: Draining, { joined }: { readonly joined: boolean }): Promise<number> {
  const { tools, given, machine, drain } = draining;
  const isJson = given.options["json"] === true;
  const progress = new Progress(tools);
  const title = machineText(machine);
  const remark = async (text: string): Promise<void> => {
    if (isJson) return;
    await progress.clear();
    await tools.stderr.write(`${terminalText(text)}\n`);
  };
  const ending = await waitForDrain({
    ...draining,
    began: async (left) => {
      const many = left === undefined ? "" : `: ${left === 1 ? "1 unit is" : `${left} units are`} left`;
      const since = formatSpan(tools.clock.wallMs() - drain.sinceMs);
      await remark(`Draining machine ${title}${joined ? `, as ${drain.by} began ${since} ago` : ""}${many}`);
    },
    left: async ({ unit, machine: to }, stillThere) =>
      remark(`Unit ${unit} ${to === undefined ? "has left" : `moved to ${machineText(to)}`}: ${stillThere} left`),
    looked: async (stillThere) => {
      const many = stillThere === undefined ? "" : `: ${stillThere} left`;
      await progress.show(`Draining machine ${title}${many}`);
    },
    away: async (problem) => {
      if (isJson) return;
      await progress.clear();
      await writeFailure(tools, problem);
    },
  });
  await progress.clear();
  return conclude({ ...draining, hasWaited: true, ending });
}

type Concluding = Draining &
  (
    | { readonly hasWaited: false; readonly ending?: undefined }
    | { readonly hasWaited: true; readonly ending: DrainEnding }
  );

/** Says how it ended, or prints the document that `--json` asks for; resolves with the exit code. */
async function conclude(concluding: Concluding): Promise<number> {
  const { tools, given, machine, ending } = concluding;
  const { outcome, drain, moved, left } = ending ?? {
    ...concluding,
    outcome: "triggered" as const,
    moved: [],
    left: [],
  };
  const [word = ""] = given.args;
  const problem = ending === undefined ? undefined : problemOf(ending, { machine, word });
  if (given.options["json"] === true) {
    const problems = problem === undefined ? {} : { problems: [toRecord(problem)] };
    await tools.stdout.write(jsonText({ command: "drain", machine, outcome, drain, moved, left, ...problems }));
  } else if (outcome === "triggered") {
    await tools.stdout.write(`Draining machine ${machineText(machine)}: flotilla list-machines says how far it is\n`);
  } else if (outcome === "done") {
    await tools.stdout.write(`Machine ${machineText(machine)} is drained\n`);
  } else if (problem !== undefined) {
    if (outcome === "stopped") await tools.stderr.write(leftText(left, word));
    await writeFailure(tools, problem);
  }
  if (outcome === "interrupted") {
    const text = `Not waiting any longer; the drain of machine ${machineText(machine)} goes on`;
    await tools.stderr.write(`${terminalText(`${text}: flotilla uncordon ${word} ends it`)}\n`);
    return exitCodes.interrupted;
  }
  return problem === undefined ? exitCodes.ok : exitCodes.failure;
}

function problemOf(
  { outcome, drain, now }: DrainEnding,
  { machine, word }: { readonly machine: MachineReference; readonly word: string },
): Problem | undefined {
  const cannot = `Cannot drain machine ${machineText(machine)} any further`;
  switch (outcome) {
    case "done":
    case "interrupted":
      return undefined;
    case "stopped":
      return new Problem("drain-stopped", `${cannot}: ${drain.because ?? "it was stopped"}`, {
        hint: `What is left runs on there, and the machine stays cordoned: flotilla uncordon ${word}`,
      });
    case "ended":
      return now === undefined
        ? new Problem("drain-ended", `${cannot}: it was uncordoned`, { hint: "flotilla events says by whom" })
        : new Problem("drain-ended", `${cannot}: ${now.by} began another drain in its place`, {
            hint: `flotilla drain ${word} waits for that one`,
          });
    case "gone":
      return new Problem("machine-gone", `${cannot}: it is not there any more`, {
        hint: "Its units are placed elsewhere when its lease is over: flotilla status",
      });
  }
}

/** A line for each unit that stays, with why. */
function leftText(left: readonly LeavingUnit[], word: string): string {
  const lines = left.slice(0, mostNamed).map(({ unit, stopping, refusals }) => {
    if (stopping === true) return `Unit ${unit} is on its way: it is still being stopped there`;
    const why = refusalsText(refusals);
    return `Unit ${unit} stays${why === "" ? "" : `: ${why}`}`;
  });
  const more = left.length - lines.length;
  const all = more > 0 ? [...lines, `and ${more} more: flotilla list-units --machine ${word}`] : lines;
  return all.map((line) => `${terminalText(line)}\n`).join("");
}
