// A plan from beginning to end: units of a working copy or a commit, the cluster's state from its agent or a file, what
// placement decides with and without the commit, and that in one of three forms. Given to plan.ts.
import { readCommit, selectBlobs } from "../desired/desired.ts";
import type { ClusterPlan, ExportedState } from "../domain/plan.ts";
import { Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import type { DesiredState } from "../domain/unit.ts";
import type { PlanSources } from "../ports/plan-sources.ts";
import { compare, planChange } from "../plan/plan.ts";
import { type PlanSubject, planMarkdown, planText, refusalMarkdown } from "../plan/show.ts";
import { problemText } from "../report/report.ts";
import { schedule } from "../schedule/schedule.ts";
import { checkExportedState, readExportedState } from "../text/exported-state.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { hasColour, jsonText } from "./print.ts";
import type { Tools } from "./tools.ts";
import { examineWorkingTree } from "./working-copy.ts";

/** Beside the usual ones; a wrong command line has that of a failure. */
const changesExit = 2;

/** What was named, with its units or with why it would be refused. */
interface Reading {
  readonly subject: PlanSubject;
  readonly warnings: readonly ProblemRecord[];
  readonly units: Pick<DesiredState, "units" | "templates"> | undefined;
  readonly problems: readonly ProblemRecord[];
}

/** Resolves with the exit code: 0 no change, 2 changes, 1 problems. */
export async function planSubject(tools: Tools, given: Given): Promise<number> {
  const reading = await readSubject(tools, given.args[0] ?? ".");
  if (reading.units === undefined) {
    await printRefusal(tools, given, reading);
    return exitCodes.failure;
  }
  const comparison = compare(await readState(tools, given), reading.units);
  const plan = planChange(comparison, {
    before: schedule(comparison.before.cluster),
    after: schedule(comparison.after.cluster),
  });
  await print(tools, given, { reading, plan });
  return plan.units.length === 0 ? exitCodes.ok : changesExit;
}

async function readSubject(tools: Tools, word: string): Promise<Reading> {
  if (isPathWord(word)) return readFolder(tools, word);
  const sources = await tools.planSources();
  if (await sources.isFolder(word)) return readFolder(tools, word);
  return readNamed(sources, word, tools.signal);
}

function isPathWord(word: string): boolean {
  return /^(\.{0,2}\/|\.{1,2}$)/.test(word);
}

async function readFolder(tools: Tools, path: string): Promise<Reading> {
  const copy = await tools.workingCopy();
  const tree = await copy.tree(path, tools.signal);
  if (tree.kind === "file")
    throw usageProblem(
      `Cannot plan the file "${path}" alone`,
      "Name the folder of all units: what it lacks is removed",
    );
  const { units, templates, problems, warnings } = await examineWorkingTree(tree, tools.signal);
  const subject = { kind: "working-copy", path } as const;
  return readingOf(subject, { units, templates, problems, warnings });
}

async function readNamed(sources: PlanSources, name: string, signal: AbortSignal): Promise<Reading> {
  const found = await sources.commit(name, signal);
  if (found === undefined) {
    throw new Problem(
      "plan-unknown",
      `Cannot find "${name.slice(0, 128)}": no folder and no commit here has this name`,
      {
        hint: "Name a folder, or fetch the commit first: git fetch",
      },
    );
  }
  const { commit, subject, entries } = found;
  const read = readCommit({ commit, entries, blobs: await found.read(selectBlobs(entries), signal) });
  const named = { kind: "commit", name, commit, subject } as const;
  return readingOf(named, read.ok ? { ...read.value, problems: [] } : { ...nothing, ...read });
}

const nothing = { units: new Map(), templates: new Map() } as const;

function readingOf(
  subject: PlanSubject,
  {
    problems,
    warnings,
    ...units
  }: Pick<DesiredState, "units" | "templates" | "warnings"> & { readonly problems: readonly Problem[] },
): Reading {
  return {
    subject,
    warnings: warnings.map(toRecord),
    units: problems.length === 0 ? units : undefined,
    problems: problems.map(toRecord),
  };
}

/** From the file alone where one is named: then no agent is needed, and none is asked. */
async function readState(tools: Tools, given: Given): Promise<ExportedState> {
  const { state } = given.options;
  if (typeof state === "string") {
    const sources = await tools.planSources();
    return orThrow(readExportedState(await sources.state(state, tools.signal), state));
  }
  const client = await tools.apiClient(given.reach);
  return orThrow(checkExportedState(await client.get("/v2/state", { signal: tools.signal }), "the agent's answer"));
}

async function print(
  tools: Tools,
  { options }: Given,
  { reading, plan }: { readonly reading: Reading; readonly plan: ClusterPlan },
): Promise<void> {
  const { subject, warnings, problems } = reading;
  if (options["json"] === true) return tools.stdout.write(jsonText({ subject, problems, warnings, ...plan }));
  const nowMs = tools.clock.wallMs();
  if (options["markdown"] === true) return tools.stdout.write(planMarkdown(plan, { subject, warnings, nowMs }));
  await tools.stderr.write(warningLines(warnings));
  await tools.stdout.write(
    planText(plan, { subject, full: options["full"] === true, colour: hasColour(tools), nowMs }),
  );
}

/** As verify shows them. */
async function printRefusal(tools: Tools, { options }: Given, reading: Reading): Promise<void> {
  const { subject, warnings, problems } = reading;
  if (options["json"] === true) return tools.stdout.write(jsonText({ subject, problems, warnings }));
  if (options["markdown"] === true) return tools.stdout.write(refusalMarkdown(problems, { subject, warnings }));
  await tools.stdout.write(problems.map(problemText).join("") + warningLines(warnings));
  const many = `${problems.length} problem${problems.length === 1 ? "" : "s"}`;
  await tools.stderr.write(`The commit would be refused: ${many}\n`);
}

function warningLines(warnings: readonly ProblemRecord[]): string {
  return warnings.map((warning) => `warning: ${problemText(warning)}`).join("");
}
