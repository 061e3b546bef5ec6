// Which job waits for which: a unit starts only after those that it conflicts with have left. Given to reconcile.ts.
// Everything else may run side by side; order among wanted units is systemd's (After=, Requires=).
import type { Job, MachineView } from "../domain/action.ts";
import type { UnitName } from "../domain/names.ts";
import { type Conflicting, conflictTest } from "../text/conflict.ts";

export interface OrderOptions {
  readonly view: Pick<MachineView, "units">;
  /** Units whose stop or removal is planned or under way, in name order. */
  readonly leaving: readonly UnitName[];
}

/** Of a leaving unit whose text is not at hand only the name counts, against the patterns of the one that starts. */
export function orderJobs(jobs: readonly Omit<Job, "after">[], { view, leaving }: OrderOptions): readonly Job[] {
  const clash = conflictTest();
  const sides = leaving.map((name) => sideOf(view, name));
  return jobs.map((job) => {
    if (job.kind !== "start" && job.kind !== "restart") return { ...job, after: [] };
    const side = sideOf(view, job.unit);
    return { ...job, after: leaving.filter((_, at) => clash(side, sides[at] ?? side)) };
  });
}

function sideOf({ units }: Pick<MachineView, "units">, name: UnitName): Conflicting {
  return { name, conflicts: units.get(name)?.options.conflicts ?? [] };
}
