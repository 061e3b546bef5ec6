// Carries out what a command wants of several units, side by side: makes the changes, waits for what comes of them, says so
// in fleet's words or as one JSON document, and ends with an exit code that tells the truth. Given to the commands that
// change units.
import type { UnitName } from "../domain/names.ts";
import type { Refusal } from "../domain/placement.ts";
import { Problem, type ProblemRecord, describeProblem, toRecord } from "../domain/problem.ts";
import type { MachineReference, UnitReport } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { machineText, placeText, refusalsText } from "../report/hands.ts";
import { terminalText } from "../report/report.ts";
import type { Goal } from "../report/verdict.ts";
import { isAborted } from "./away.ts";
import type { Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { type LogLines, readLogLines } from "./log-lines.ts";
import { isUnreachable, jsonText, writeFailure } from "./print.ts";
import { Progress } from "./progress.ts";
import type { Tools } from "./tools.ts";
import { sideBySide } from "./unit-arguments.ts";
import { type Awaited, type Ending, type Waiting, waitFor } from "./wait.ts";

/** `unchanged`: it was so. The others say what the cluster did. */
export type Change = "created" | "replaced" | "set" | "held" | "resumed" | "restarted" | "destroyed" | "unchanged";

export interface Applied {
  readonly change: Change;
  /** What to wait for; undefined: nothing comes of it that could be waited for. */
  readonly goal: Goal | undefined;
  /** A line for stdout, when it is not waited for. */
  readonly prints?: string;
  /** A line for stderr. */
  readonly says?: string;
}

/** What is to be done with one unit. */
export interface Task {
  readonly name: UnitName;
  /** Rejects with a Problem, or an AggregateError of them: this unit's own trouble. */
  apply(signal: AbortSignal): Promise<Applied>;
}

export interface CarryingOut {
  readonly tools: Tools;
  readonly given: Given;
  readonly client: ApiClient;
  /** As in `Triggered unit web.service start`. */
  readonly verb: string;
  /** Undefined: do not wait. Infinity: for ever. */
  readonly waitMs: number | undefined;
  /** Problems that were found before. */
  readonly problems?: readonly Problem[];
}

/** What became of one unit: the rows of the JSON document. */
export interface UnitOutcome {
  readonly unit: UnitName;
  /** `triggered`: not waited for. */
  readonly outcome: "done" | "triggered" | "failed" | "timeout" | "interrupted";
  readonly change?: Change;
  /** What was waited for and came about: `launched`, `loaded`, `inactive`, `gone`. */
  readonly state?: string;
  readonly machines?: readonly MachineOutcome[];
  readonly note?: string;
  readonly problems?: readonly ProblemRecord[];
}

interface MachineOutcome {
  readonly machine: MachineReference;
  readonly active?: string;
  readonly sub?: string;
  readonly result?: string;
  /** Of a unit that failed: the last lines of its log, or why there are none. */
  readonly log?: LogLines;
}

/** Failed units whose log lines are fetched; those of further ones are a command away. */
const maxLogs = 10;

/** Resolves with what became of each unit, in the order of the tasks; all has been said by then, but for the JSON. */
export async function carryOut(tasks: readonly Task[], how: CarryingOut): Promise<readonly UnitOutcome[]> {
  const speaker = new Speaker(how);
  const outcomes = new Map<UnitName, UnitOutcome>();
  const { tools, client, verb, waitMs } = how;
  const end = (outcome: UnitOutcome): void => {
    outcomes.set(outcome.unit, outcome);
  };
  const inOrder = (): readonly UnitOutcome[] => tasks.flatMap(({ name }) => outcomes.get(name) ?? []);

  let lost: Lost | undefined;
  const applied = await sideBySide(tasks, async (task) => {
    if (lost !== undefined) return lost;
    const result = await attempt(task, tools.signal);
    if (result instanceof Lost) lost ??= result;
    return result;
  });
  // Where nothing was changed there is nothing else to tell
  if (lost !== undefined && !applied.some((each) => typeof each === "object" && "change" in each)) throw lost.cause;
  const awaited: Awaited[] = [];
  const changes = new Map<UnitName, Change>();
  for (const [index, { name }] of tasks.entries()) {
    const result = applied[index];
    if (result === undefined) continue;
    if (result === "interrupted") {
      end({ unit: name, outcome: "interrupted" });
      continue;
    }
    if (result instanceof Lost) {
      end({ unit: name, outcome: "failed", problems: result.problems.map(toRecord) });
      continue;
    }
    if (result instanceof Array) {
      await speaker.problems(result);
      end({ unit: name, outcome: "failed", problems: result.map(toRecord) });
      continue;
    }
    const { change, goal, prints, says } = result;
    changes.set(name, change);
    if (says !== undefined) await speaker.remark(says);
    if (goal === undefined) {
      if (prints !== undefined) await speaker.line(prints);
      end({ unit: name, outcome: "done", change });
    } else if (waitMs === undefined || lost !== undefined) {
      if (change !== "unchanged") await speaker.line(triggeredLine(name, { verb, goal }));
      end({ unit: name, outcome: change === "unchanged" ? "done" : "triggered", change });
    } else {
      awaited.push({ name, goal, changed: change !== "unchanged" });
    }
  }
  if (lost !== undefined)
    await speaker.lost(
      lost,
      tasks.filter((_, index) => applied[index] instanceof Lost),
    );
  if (awaited.length === 0 || waitMs === undefined) return inOrder();

  let logs = 0;
  await waitFor(awaited, {
    tools,
    client,
    timeoutMs: waitMs,
    looked: (left) => speaker.waiting(left),
    away: (problem) => speaker.problems([problem]),
    ended: async (unit, ending) => {
      const change = changes.get(unit.name) ?? "unchanged";
      const log = ending.kind === "failed" && logs++ < maxLogs;
      end(await speaker.ended(unit, { ending, change, log }));
    },
  });
  await speaker.clear();
  return inOrder();
}

/** Prints the document that `--json` asks for; resolves with the exit code for what came of all. */
export async function conclude(outcomes: readonly UnitOutcome[], how: CarryingOut): Promise<number> {
  const { tools, given, verb, problems = [] } = how;
  const interrupted = outcomes.filter(({ outcome }) => outcome === "interrupted");
  const isGood =
    problems.length === 0 && outcomes.every(({ outcome }) => outcome === "done" || outcome === "triggered");
  if (given.options["json"] === true) {
    const found = problems.length === 0 ? {} : { problems: problems.map(toRecord) };
    await tools.stdout.write(jsonText({ command: verb, units: outcomes, ...found }));
  } else if (problems.length > 0) {
    await writeFailure(tools, new AggregateError(problems));
  }
  if (interrupted.length > 0) {
    await tools.stderr.write(interruptedText(interrupted));
    return exitCodes.interrupted;
  }
  if (isGood) return exitCodes.ok;
  const codes = outcomes.flatMap((each) => each.problems ?? []).map(({ code }) => code);
  return codes.some(isUnreachable) ? exitCodes.unreachable : exitCodes.failure;
}

function interruptedText(outcomes: readonly UnitOutcome[]): string {
  const text = (some: readonly UnitOutcome[], say: (units: string) => string): string => {
    const [first] = some;
    if (first === undefined) return "";
    return `${say(some.length === 1 ? first.unit : `${some.length} units`)}: flotilla status ${first.unit}\n`;
  };
  const [asked, unsure] = [
    outcomes.filter(({ change }) => change !== undefined),
    outcomes.filter(({ change }) => change === undefined),
  ];
  return (
    text(asked, (units) => `Not waiting any longer; what was asked for ${units} stands`) +
    text(unsure, (units) => `Interrupted before it was certain what becomes of ${units}`)
  );
}

/** The agent does not answer any more: nobody can say what came of what was asked last, and nothing else is asked. */
class Lost {
  readonly problems: readonly Problem[];
  readonly cause: unknown;

  constructor(problems: readonly Problem[], cause: unknown) {
    this.problems = problems;
    this.cause = cause;
  }
}

/** What concerns one unit is that unit's. */
async function attempt(task: Task, signal: AbortSignal): Promise<Applied | readonly Problem[] | Lost | "interrupted"> {
  if (signal.aborted) return "interrupted";
  try {
    return await task.apply(signal);
  } catch (error) {
    if (isAborted(signal)) return "interrupted";
    const problems = problemsOf(error);
    if (problems === undefined) throw error;
    return problems.some(({ code }) => code.startsWith("agent-")) ? new Lost(problems, error) : problems;
  }
}

function problemsOf(error: unknown): readonly Problem[] | undefined {
  if (error instanceof Problem) return [error];
  if (!(error instanceof AggregateError)) return undefined;
  const inner = error.errors.map(problemsOf);
  return inner.every((each) => each !== undefined) ? inner.flat() : undefined;
}

function triggeredLine(name: UnitName, { verb, goal }: { readonly verb: string; readonly goal: Goal }): string {
  return goal.kind === "gone" ? `Destroyed ${name}` : `Triggered unit ${name} ${verb}`;
}

/** The word that fleet printed for a state that was reached. */
function stateWord(goal: Goal, places: readonly UnitReport[]): string {
  return goal.kind === "stopped" ? (places.length === 0 ? "inactive" : "loaded") : goal.kind;
}

function goalWord(goal: Goal): string {
  return goal.kind === "stopped" ? "loaded" : goal.kind;
}

/** Says things: results on stdout, everything else on stderr; with --json nothing that the document holds. */
class Speaker {
  readonly #how: CarryingOut;
  readonly #progress: Progress;
  readonly #isJson: boolean;
  /** What has been said of units that no machine takes. */
  readonly #refusals = new Map<string, string>();

  constructor(how: CarryingOut) {
    this.#how = how;
    this.#progress = new Progress(how.tools);
    this.#isJson = how.given.options["json"] === true;
  }

  async line(text: string): Promise<void> {
    if (this.#isJson) return;
    await this.clear();
    await this.#how.tools.stdout.write(`${text}\n`);
  }

  async remark(text: string): Promise<void> {
    await this.clear();
    await this.#how.tools.stderr.write(`${terminalText(text)}\n`);
  }

  async problems(problems: readonly Problem[]): Promise<void> {
    if (this.#isJson) return;
    await this.clear();
    await writeFailure(this.#how.tools, new AggregateError(problems));
  }

  async lost({ problems }: Lost, uncertain: readonly Task[]): Promise<void> {
    const [first] = uncertain;
    if (first === undefined) return;
    await this.problems(problems);
    const units = uncertain.length === 1 ? first.name : `${uncertain.length} units`;
    await this.remark(`Lost the agent before it was certain what becomes of ${units}: flotilla status ${first.name}`);
  }

  clear(): Promise<void> {
    return this.#progress.clear();
  }

  async waiting(left: readonly Waiting[]): Promise<void> {
    for (const { name, last } of left) await this.#refused(name, last);
    const [first] = left;
    if (first === undefined) return;
    const more = left.length === 1 ? "" : ` (and ${left.length - 1} more)`;
    await this.#progress.show(`Waiting for ${first.name}: ${first.last.why}${more}`);
  }

  /** Once for each reason: it may be waited for in vain. */
  async #refused(name: UnitName, last: Waiting["last"]): Promise<void> {
    if (last.refusals.length === 0) {
      this.#refusals.delete(name);
      return;
    }
    const text = `Unit ${name} waits, no machine takes it: ${refusalsText(last.refusals)}`;
    if (this.#refusals.get(name) === text) return;
    this.#refusals.set(name, text);
    await this.remark(text);
  }

  async ended(
    { name, goal }: Awaited,
    { ending, change, log }: { readonly ending: Ending; readonly change: Change; readonly log: boolean },
  ): Promise<UnitOutcome> {
    const base = { unit: name, change };
    switch (ending.kind) {
      case "reached":
        return this.#done(name, { goal, ending, change });
      case "failed":
        return { ...base, outcome: "failed", ...(await this.#failed(name, { ending, change, log })) };
      case "refused": {
        // fleet's client waited for no global unit and took it for done
        const note = "no machine fits it now";
        if (this.#how.tools.asFleetctl === true)
          return this.#done(name, { goal, ending: { ...ending, places: [], note }, change });
        const problem = unplaced(name, { verb: this.#how.verb, refusals: ending.refusals });
        await this.problems([problem]);
        return { ...base, outcome: "failed", problems: [toRecord(problem)] };
      }
      case "overtaken": {
        const problem = new Problem("wait-overtaken", `Cannot wait for unit "${name}" any longer: ${ending.why}`, {
          hint: "flotilla events shows who did what",
        });
        await this.problems([problem]);
        return { ...base, outcome: "failed", problems: [toRecord(problem)] };
      }
      case "timeout": {
        const refusals = ending.last.refusals.length === 0 ? "" : `: ${refusalsText(ending.last.refusals)}`;
        const problem = new Problem(
          "wait-timeout",
          `Timed out waiting for unit ${name} to report state ${goalWord(goal)}: ${ending.last.why}${refusals}`,
          { hint: `The change stands: flotilla status ${name}` },
        );
        await this.problems([problem]);
        return { ...base, outcome: "timeout", problems: [toRecord(problem)] };
      }
      case "interrupted":
        await this.clear();
        return { ...base, outcome: "interrupted" };
    }
  }

  async #done(
    name: UnitName,
    what: {
      readonly goal: Goal;
      readonly ending: Pick<Extract<Ending, { kind: "reached" }>, "places" | "note" | "atOnce">;
      readonly change: Change;
    },
  ): Promise<UnitOutcome> {
    const { change, goal } = what;
    const { places, note, atOnce } = what.ending;
    const state = stateWord(goal, places);
    // What was so before is no news, as with fleet
    if (change !== "unchanged" || !atOnce) await this.#reached(name, { state, places });
    if (note !== undefined) await this.remark(`Unit ${name}: ${note}`);
    const machines = places.map(machineOutcome);
    return { unit: name, change, outcome: "done", state, machines, ...(note === undefined ? {} : { note }) };
  }

  async #reached(
    name: UnitName,
    { state, places }: { readonly state: string; readonly places: readonly UnitReport[] },
  ): Promise<void> {
    if (state === "gone") return this.line(`Destroyed ${name}`);
    if (places.length === 0) return this.line(`Unit ${name} ${state}`);
    for (const { machine } of places) await this.line(`Unit ${name} ${state} on ${placeText(machine)}`);
  }

  /** On which machine, how it ended there, what the machine says, the last lines of its log. */
  async #failed(
    name: UnitName,
    {
      ending,
      change,
      log,
    }: { readonly ending: Extract<Ending, { kind: "failed" }>; readonly change: Change; readonly log: boolean },
  ): Promise<Pick<UnitOutcome, "problems" | "machines">> {
    const { tools, given, verb } = this.#how;
    const problems: Problem[] = [];
    const machines: MachineOutcome[] = [];
    for (const place of ending.places) {
      const problem = failureOf(place, { verb, wasSo: change === "unchanged" });
      problems.push(problem);
      await this.problems([problem]);
      if (place.problem !== undefined && !this.#isJson) {
        await this.remark(`The machine says: ${describeProblem(place.problem)}`);
      }
      await this.#progress.show(`Fetching the log of ${name}`);
      const lines = log ? await readLogLines(tools, { given, unit: name, machine: place.machine }) : undefined;
      machines.push({ ...machineOutcome(place), ...(lines === undefined ? {} : { log: lines }) });
      if (lines !== undefined && !this.#isJson) await this.remark(logText(lines, { name, place }));
    }
    const told = ending.places.flatMap(({ problem }) => problem ?? []);
    return { machines, problems: [...problems.map(toRecord), ...told] };
  }
}

/** A unit that is nowhere, and nobody waits until it is. */
export function unplaced(
  name: string,
  { verb, refusals }: { readonly verb: string; readonly refusals: readonly Refusal[] },
): Problem {
  return new Problem(
    "unit-not-placed",
    `Cannot ${verb} unit "${name}": no machine takes it: ${refusalsText(refusals)}`,
    {
      hint: `flotilla explain ${name} says what would change that`,
    },
  );
}

function machineOutcome({ machine, active, sub, result }: UnitReport): MachineOutcome {
  return {
    machine,
    ...(active === undefined ? {} : { active }),
    ...(sub === undefined ? {} : { sub }),
    ...(result === undefined ? {} : { result }),
  };
}

function failureOf(place: UnitReport, { verb, wasSo }: { readonly verb: string; readonly wasSo: boolean }): Problem {
  const { name, machine, active = "-", sub = "-", result } = place;
  const ended = result === undefined || result === "success" ? "" : `, result ${result}`;
  const restarts = (place.restarts ?? 0) > 0 ? `, restarted ${place.restarts} times` : "";
  const message = `Cannot ${verb} unit "${name}": it is ${active} (${sub}) on ${machineText(machine)}${ended}${restarts}`;
  const hint = wasSo ? `flotilla restart ${name} starts it again` : `flotilla status ${name}`;
  return new Problem("unit-failed", message, { hint });
}

function logText(lines: LogLines, { name, place }: { readonly name: UnitName; readonly place: UnitReport }): string {
  const where = `${name} on ${placeText(place.machine)}`;
  if (lines.problem !== undefined) return `No log lines of ${where}: ${describeProblem(lines.problem)}`;
  if (lines.lines.length === 0) return `The log of ${where} is empty`;
  return [`Last lines of the log of ${where}:`, ...lines.lines.map((line) => `  ${line}`)].join("\n");
}
