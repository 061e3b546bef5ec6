// What a first boot would do, without doing any of it: the plan against the machine as it is, as a diff.
import type { Looked } from "../domain/first-boot.ts";
import { type Problem, asProblem } from "../domain/problem.ts";
import type { Finding } from "../domain/user-data.ts";
import type { Mode, Plan } from "../firstboot/firstboot.ts";
import { isDue, planDigests } from "../firstboot/record.ts";
import { type LookedStep, describeStep, planDiff } from "../firstboot/show.ts";
import type { Standing } from "../ports/user-data-sources.ts";
import type { BootRequest, BootWorld } from "./boot-world.ts";
import { type Prepared, type Search, planAll, prepare, searchUserData } from "./prepare.ts";

export interface DryRun {
  readonly search: Search;
  readonly mode: Mode;
  /** The plan of everything; of a document that is refused only what lets somebody log in. */
  readonly plan: Plan;
  readonly isRefused: boolean;
  readonly findings: readonly Finding[];
  /** Why it would be refused. */
  readonly problems: readonly Problem[];
  /** Each step that would be looked at, in words. */
  readonly steps: readonly {
    readonly id: string;
    readonly stage: string;
    readonly does: string;
    readonly same: boolean;
  }[];
  readonly diff: string;
  /** What could not be looked at, for lack of rights. */
  readonly unseen: readonly Problem[];
}

/** Rejects with Problem "boot-no-source" when nothing was found. */
export async function dryRun(
  world: BootWorld,
  request: BootRequest,
  { signal, progress }: { readonly signal: AbortSignal; readonly progress: (standing: Standing) => void },
): Promise<DryRun> {
  const search = await searchUserData(world, request, { signal, progress });
  if (search.found === undefined) throw search.problem;
  const { found } = search;
  const mode: Mode = request.mode ?? ((await world.hasCloudInit()) ? "beside-cloud-init" : "alone");
  const setup = world.openSetup(found.metadata.instanceId);
  try {
    const prepared = await prepare(world, { found, mode, setup });
    const planned = await planAll(world, prepared);
    const plan = planned.ok ? planned.value : prepared.reach;
    const looked = await lookAt(prepared, plan);
    const problems = planned.ok ? looked.problems : planned.problems;
    const findings = [...search.findings, ...prepared.reading.findings, ...(planned.ok ? planned.value.notices : [])];
    return {
      search,
      mode,
      plan,
      isRefused: problems.length > 0,
      findings,
      problems: problems.filter((problem) => !findings.some((finding) => finding.problem === problem)),
      steps: looked.steps.map(({ step, looked: { same } }) => ({
        id: step.id,
        stage: step.stage,
        does: describeStep(step),
        same,
      })),
      diff: planDiff(looked.steps),
      unseen: looked.unseen,
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
    if (step.stage !== "reach") problems.push(...(await setup.check(step, plan.steps.slice(0, index))));
  }
  return { steps, problems, unseen };
}
