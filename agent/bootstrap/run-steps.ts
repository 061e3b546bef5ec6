// Carries out the steps of a plan, in its order: looks at each when its turn comes, does what differs, and remembers. For
// bootstrap.ts. A run may be cut short anywhere: the next one begins from what is really there.
import type { StepRecord } from "../domain/boot-result.ts";
import type { BootRecord, SetupFacts, Stage, Step, StepResult } from "../domain/first-boot.ts";
import { Problem, asProblem } from "../domain/problem.ts";
import type { Mode, Plan } from "../firstboot/firstboot.ts";
import { encodeRecord, isDue, nextRecord, planDigests } from "../firstboot/record.ts";
import { describeStep } from "../firstboot/show.ts";
import { harmlessRecord } from "./boot-notes.ts";
import { type BootWorld, bootFiles } from "./boot-world.ts";
import type { HostSetup } from "../ports/host-setup.ts";

/** What all phases of one run share. */
export interface RunState {
  readonly setup: HostSetup;
  readonly facts: SetupFacts;
  readonly mode: Mode;
  /** As it was before the run. */
  readonly record: BootRecord | undefined;
  /** It is there and cannot be read: it is left as it is, for a person to decide. */
  readonly isRecordLost: boolean;
  /** What could not be remembered while everybody is to be let in first; no reason to stop that. */
  readonly troubles: Problem[];
  /** Told of what went wrong beside a step that is done. */
  readonly warn: (warning: Problem) => void;
  readonly results: Map<string, StepResult>;
  readonly records: Map<string, StepRecord>;
  /** Ids of the steps that changed something. */
  readonly changed: Set<string>;
  /** Digest with which a step was carried out in this run: two plans of one run may have the same step. */
  readonly ran: Map<string, string>;
}

/** Kinds whose failure leaves a text half as the document has it: nothing is started on it. */
const essential: ReadonlySet<Step["kind"]> = new Set(["file", "block", "variables", "link", "unmask", "reload"]);

export interface Phase {
  readonly plan: Plan;
  readonly steps: readonly Step[];
  /** Called before each step that is carried out. */
  readonly onStep: (step: Step) => Promise<void>;
}

/**
 * Resolves with the problem after which the rest was left out, or with undefined: each step then has a result, and some may
 * have failed. Rejects with "aborted" when the signal came; what was not done yet is `skipped` in both cases.
 */
export async function runSteps(
  world: BootWorld,
  state: RunState,
  { plan, steps, onStep, signal }: Phase & { readonly signal: AbortSignal },
): Promise<Problem | undefined> {
  const digests = planDigests(plan);
  for (const [index, step] of steps.entries()) {
    if (signal.aborted) return abandon(state, steps.slice(index));
    const digest = digests.get(step.id) ?? "";
    if (state.ran.get(step.id) === digest) continue;
    const failed = step.unlessFailed?.find((id) => state.results.get(id)?.kind === "failed");
    if (failed !== undefined) {
      hold(world, state, { step, failed });
      continue;
    }
    const { record, changed, facts } = state;
    const due = isDue(step, { digests, record, changed, bootId: facts.bootId });
    const result =
      due && !(await isOver(state, { plan, step, digest }))
        ? await runStep(world, state, { step, onStep, signal })
        : { kind: "same" as const };
    note(state, step, result);
    if (result.kind === "failed" && result.problem.code === "aborted") return abandon(state, steps.slice(index));
    state.ran.set(step.id, digest);
    if (result.kind === "done" && step.frequency !== "converge") await rememberStep(world, state, { plan, step });
    if (result.kind === "failed" && isEssential(step)) {
      leaveOut(state, steps.slice(index + 1));
      return result.problem;
    }
  }
  return undefined;
}

/** What acts once is on the disk before the next step; while people are let in, a disk that takes nothing waits. */
async function rememberStep(
  world: BootWorld,
  state: RunState,
  { plan, step }: { readonly plan: Plan; readonly step: Step },
): Promise<void> {
  try {
    await remember(world, state, { plan, isOver: false });
  } catch (error) {
    if (step.stage !== "reach") throw error;
    const problem = asProblem(error, "disk-write", "Cannot remember what was done");
    world.log.error("bootstrap.record", problem);
    state.troubles.push(problem);
  }
}

/** A oneshot that an earlier run of this boot started, with the text that it has: that it is down is what it comes to. */
async function isOver(
  { setup, record, facts, changed }: RunState,
  { plan, step, digest }: { readonly plan: Plan; readonly step: Step; readonly digest: string },
): Promise<boolean> {
  if (step.kind !== "unit" || step.command !== "start") return false;
  const before = record !== undefined && Object.hasOwn(record.steps, step.id) ? record.steps[step.id] : undefined;
  if (before?.bootId !== facts.bootId || before.digest !== digest) return false;
  const isRenewed = plan.steps.some(
    (each) => each.kind === "unit" && each.unit === step.unit && each.onlyAfter?.some((id) => changed.has(id)) === true,
  );
  if (isRenewed) return false;
  const look = (await setup.unitStates([step.unit])).get(step.unit);
  return look?.isOneshot === true && look.active === "inactive" && look.job === undefined;
}

function isEssential({ kind, stage }: Step): boolean {
  return essential.has(kind) && ["early", "files", "units"].includes(stage);
}

type Ran = { readonly kind: "same" | "done" } | { readonly kind: "failed"; readonly problem: Problem };

async function runStep(
  { log }: BootWorld,
  { setup, warn }: RunState,
  { step, onStep, signal }: Pick<Phase, "onStep"> & { readonly step: Step; readonly signal: AbortSignal },
): Promise<Ran> {
  try {
    if ((await setup.look(step)).same) return { kind: "same" };
    await onStep(step);
    await setup.apply(step, signal, (warning) => warn(placed(step, warning)));
    log.info("bootstrap.done", { step: step.id, does: describeStep(step) });
    return { kind: "done" };
  } catch (error) {
    const problem = asProblem(error, "setup-apply", `Cannot carry out "${step.id}"`);
    if (problem.code !== "aborted") log.error("bootstrap.failed", problem, { step: step.id });
    return { kind: "failed", problem };
  }
}

function note(state: RunState, step: Step, ran: Ran): void {
  if (ran.kind === "done") state.changed.add(step.id);
  const { id, stage } = step;
  const does = describeStep(step);
  if (ran.kind !== "failed") {
    state.results.set(id, { kind: ran.kind });
    state.records.set(id, { id, stage, does, result: ran.kind });
    return;
  }
  const { code, message, hint } = ran.problem;
  state.results.set(id, { kind: "failed", code, message, ...(hint === undefined ? {} : { hint }) });
  state.records.set(id, { id, stage, does, result: "failed", problem: harmlessRecord(placed(step, ran.problem)) });
}

/** With its place in the document. */
function placed({ at }: Step, problem: Problem): Problem {
  if (problem.at !== undefined || at === undefined) return problem;
  return new Problem(problem.code, problem.message, { hint: problem.hint, cause: problem.cause, at });
}

/** It would take away what the failed step was to replace. */
function hold(
  { log }: BootWorld,
  state: RunState,
  { step, failed }: { readonly step: Step; readonly failed: string },
): void {
  const { id, stage } = step;
  const why = new Problem("setup-held", `Leaving out "${id}": "${failed}" failed`, {
    hint: "Mend that one; this one follows at the next boot, or with: systemctl restart flotilla-bootstrap",
  });
  log.error("bootstrap.held", why, { step: id });
  state.results.set(id, { kind: "skipped" });
  const problem = harmlessRecord(placed(step, why));
  state.records.set(id, { id, stage, does: describeStep(step), result: "skipped", problem });
}

function leaveOut(state: RunState, steps: readonly Step[]): void {
  for (const step of steps) {
    const { id, stage } = step;
    if (!state.ran.has(id)) state.records.set(id, { id, stage, does: describeStep(step), result: "skipped" });
  }
}

function abandon(state: RunState, steps: readonly Step[]): never {
  for (const { id } of steps) state.results.delete(id);
  leaveOut(state, steps);
  throw new Problem("aborted", "Cannot go on with the boot: it was told to end", {
    hint: "What was done stays; the next run goes on from there",
  });
}

/**
 * Puts what was done on the disk. Until the run is over the record goes on being that of the earlier machine or instance,
 * where there was one: what is due once on a copied disk stays due.
 */
export async function remember(
  { disk, clock }: BootWorld,
  { record, results, facts, mode, isRecordLost }: RunState,
  { plan, isOver }: { readonly plan: Plan; readonly isOver: boolean },
): Promise<void> {
  if (isRecordLost) return;
  const next = { ...nextRecord(plan, { record, results, facts, nowMs: clock.wallMs() }), mode };
  const whose = isOver || record === undefined ? next : { ...record, steps: next.steps };
  await disk.write(bootFiles.record, encodeRecord(whose));
}

/** The steps of one stage. */
export function ofStage({ steps }: Plan, stage: Stage): readonly Step[] {
  return steps.filter((step) => step.stage === stage);
}

/**
 * What would fail, of all steps that would be carried out: looked for before the first of them begins. `reach` is over by
 * then, and what failed of it makes nothing for the others.
 */
export async function checkSteps({ setup, results, record, facts }: RunState, plan: Plan): Promise<readonly Problem[]> {
  const digests = planDigests(plan);
  const changed = new Set<string>();
  const problems: Problem[] = [];
  const before: Step[] = [];
  for (const step of plan.steps) {
    const isPlanned = !isOnItsOwn(step) && isDue(step, { digests, record, changed, bootId: facts.bootId });
    if (isPlanned && !(await isSame(setup, step))) {
      changed.add(step.id);
      problems.push(...(await setup.check(step, before)));
    } else if (results.get(step.id)?.kind === "done") changed.add(step.id);
    const result = results.get(step.id)?.kind;
    if (isOnItsOwn(step) ? result === "done" || result === "same" : result !== "failed") before.push(step);
  }
  return problems;
}

/** Nothing else depends on it, and what would fail of it refuses nothing: who may log in, also where it is looked at again. */
export function isOnItsOwn({ kind, stage }: Step): boolean {
  return stage === "reach" || kind === "user" || kind === "authorized-keys";
}

/** What cannot be looked at is checked, and says there why. */
async function isSame(setup: HostSetup, step: Step): Promise<boolean> {
  try {
    return (await setup.look(step)).same;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}
