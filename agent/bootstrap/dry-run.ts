// What a first boot would do, without doing any of it: the plan against the machine as it is, as a diff.
import type { DryRun } from "../domain/boot-result.ts";
import type { Looked } from "../domain/first-boot.ts";
import { type Problem, asProblem } from "../domain/problem.ts";
import type { Plan } from "../firstboot/firstboot.ts";
import { isDue, planDigests } from "../firstboot/record.ts";
import { type LookedStep, describeStep, planDiff } from "../firstboot/show.ts";
import type { Standing } from "../ports/user-data-sources.ts";
import type { BootRequest } from "../ports/first-boot.ts";
import type { BootWorld } from "./boot-world.ts";
import { findingRecord, harmlessRecord } from "./boot-notes.ts";
import { isOnItsOwn } from "./run-steps.ts";
import { type Prepared, modeOf, planAll, prepare, readRecord, searchUserData } from "./prepare.ts";

/** Rejects with Problem "boot-no-source" when nothing was found. */
export async function dryRun(
  world: BootWorld,
  request: BootRequest,
  { signal, progress }: { readonly signal: AbortSignal; readonly progress: (standing: Standing) => void },
): Promise<DryRun> {
  const search = await searchUserData(world, request, { signal, progress });
  if (search.found === undefined) throw search.problem;
  const { found, isKept } = search;
  const record = await readRecord(world);
  const mode = await modeOf(world, request, { record: record.value, instanceId: found.metadata.instanceId });
  const setup = world.openSetup(found.metadata.instanceId);
  try {
    const prepared = await prepare(world, { found, mode, setup, record });
    const planned = await planAll(world, prepared);
    const plan = planned.ok ? planned.value : prepared.reach;
    const looked = await lookAt(prepared, plan);
    const problems = planned.ok ? looked.problems : planned.problems;
    const findings = [...search.findings, ...prepared.reading.findings, ...plan.notices];
    return {
      source: { name: found.source, where: found.where, isKept },
      mode,
      isRefused: problems.length > 0,
      findings: findings.map(findingRecord),
      problems: problems.filter((each) => !findings.some(({ problem }) => problem === each)).map(harmlessRecord),
      steps: looked.steps.map(({ step, looked: { same } }) => {
        return { id: step.id, stage: step.stage, does: describeStep(step), same };
      }),
      left: plan.left,
      watch: plan.watch,
      diff: planDiff(looked.steps),
      unseen: looked.unseen.map(harmlessRecord),
    };
  } finally {
    await setup.close();
  }
}

interface LookedAll {
  readonly steps: readonly LookedStep[];
  readonly problems: readonly Problem[];
  readonly unseen: readonly Problem[];
}

/** As if each step before had been carried out, as far as that can be told without doing it. */
async function lookAt({ setup, record, facts }: Prepared, plan: Plan): Promise<LookedAll> {
  const digests = planDigests(plan);
  const changed = new Set<string>();
  const steps: LookedStep[] = [];
  const problems: Problem[] = [];
  const unseen: Problem[] = [];
  for (const [index, step] of plan.steps.entries()) {
    if (!isDue(step, { digests, record, changed, bootId: facts.bootId })) continue;
    let looked: Looked;
    try {
      looked = await setup.look(step);
    } catch (error) {
      unseen.push(asProblem(error, "setup-look", `Cannot tell how "${step.id}" stands`));
      looked = { same: false, before: undefined, after: undefined };
    }
    steps.push({ step, looked });
    if (looked.same) continue;
    changed.add(step.id);
    if (!isOnItsOwn(step)) problems.push(...(await setup.check(step, plan.steps.slice(0, index))));
  }
  return { steps, problems, unseen };
}
