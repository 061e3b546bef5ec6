// What has to be told that something is gone: a program that has read it goes on by it until it reads anew. For firstboot.ts.
import type { SetupFacts, Step } from "../domain/first-boot.ts";
import { base } from "./draft.ts";
import { timeUnit, trustStep } from "./host-words.ts";
import { sshdReload } from "./ssh.ts";
import { mountsReload } from "./storage.ts";

interface Follower {
  /** Ids of steps of the plan that take something away. */
  readonly gone: RegExp;
  /** Undefined: nobody has read it. */
  readonly step: (facts: SetupFacts, after: readonly string[]) => Step | undefined;
}

const followers: readonly Follower[] = [
  { gone: /^gone own certificate /, step: trustStep },
  { gone: /^gone own sshd settings$/, step: (facts, after) => sshdReload(facts, { id: "reload sshd", after }) },
  { gone: /^gone (own time servers$|block \/etc\/chrony)/, step: timeRestart },
  { gone: /^gone block \/etc\/fstab$/, step: (_, after) => mountsReload(after) },
];

/** One that the document has a use for already follows from what is gone as well. */
export function withFollowers(
  steps: readonly Step[],
  { undoing, facts }: { readonly undoing: readonly Step[]; readonly facts: SetupFacts },
): readonly Step[] {
  let all = steps;
  for (const { gone, step } of followers) {
    const ids = undoing.filter(({ id }) => gone.test(id)).map(({ id }) => id);
    const follower = ids.length === 0 ? undefined : step(facts, ids);
    if (follower === undefined || all.some((each) => stops(each, follower))) continue;
    all = all.some(({ id }) => id === follower.id)
      ? all.map((each) =>
          each.id === follower.id ? { ...each, onlyAfter: [...ids, ...(each.onlyAfter ?? [])] } : each,
        )
      : [...all, follower];
  }
  return all;
}

/** One that does not run is not started for it. */
function timeRestart(facts: SetupFacts, after: readonly string[]): Step | undefined {
  const unit = timeUnit(facts);
  if (unit === undefined) return undefined;
  return {
    ...base(`restart ${unit}`, { stage: "units" }),
    onlyAfter: after,
    kind: "unit",
    unit,
    command: "try-restart",
  };
}

/** Told to stop, a service would be started again by a restart that comes upon it while it stops. */
function stops(step: Step, follower: Step): boolean {
  return step.kind === "unit" && follower.kind === "unit" && step.unit === follower.unit && step.command === "stop";
}
