// The front door of reconciliation: what this machine was told and what it shows in, the plan that leads from one to the
// other out. Given to loops/. Pure: asks nobody, does nothing. What it does not know it leaves as it is.
import type { Job, MachineView, PlacedUnit, Plan, Reconciliation } from "../domain/action.ts";
import { byName, type UnitName } from "../domain/names.ts";
import type { ManifestEntry } from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import type { Unit } from "../domain/unit.ts";
import { orderJobs } from "./order.ts";
import { stepFor } from "./step.ts";

/**
 * The plan for one pass, as fleet's with its defects mended. Empty when nothing is to be done. The machine takes its manifest
 * as it is and judges no constraint again: only a name that the host uses itself is refused.
 * A placed unit is removed when its entry is released or the manifest does not name it, and never for anything unknown.
 */
export function plan(view: MachineView): Reconciliation {
  const entries = new Map(view.entries.map((entry) => [entry.name, entry]));
  const placed = new Map(view.placed.map((unit) => [unit.name, unit]));
  const problems = new Map<UnitName, Problem>();
  const write: Plan["write"][number][] = [];
  const jobs: Omit<Job, "after">[] = [];
  let reload = view.reloadDue === true;
  for (const name of [...new Set([...entries.keys(), ...placed.keys()])].sort(byName)) {
    if (view.busy.has(name)) continue;
    const entry = entries.get(name);
    const present = placed.get(name);
    if (entry === undefined || entry.target === "released") {
      const because = entry === undefined ? "the manifest does not name it" : "the manifest releases it";
      if (present !== undefined) jobs.push({ kind: "remove", unit: name, because });
      continue;
    }
    const where = view.foreign.get(name);
    if (where !== undefined) {
      problems.set(name, foreignProblem(name, where));
      continue;
    }
    const unit = view.units.get(name);
    if (unit?.hash !== entry.hash) continue; // its text is not at hand
    const { target, restart } = entry;
    const step = stepFor({ unit, target, restart, placed: present, state: view.states.get(name) });
    // A reload as well: what has no permit yet would go on without one, what has one waits for its machine to be heard
    if (view.barred?.has(name) === true && step.job !== undefined && step.job.kind !== "stop") {
      const problem = view.barred.get(name);
      if (problem !== undefined) problems.set(name, problem);
      continue;
    }
    if (step.write !== undefined) {
      const launched = step.isSame === true ? { hash: unit.hash, restart: present?.restarted } : undefined;
      write.push({ unit, because: step.write, ...(launched === undefined ? {} : { launched }) });
    }
    if (step.job !== undefined) jobs.push({ ...step.job, unit: name });
    reload ||= step.write !== undefined || (step.job !== undefined && changeWasCutShort(present, unit));
  }
  return {
    plan: { write, reload, jobs: orderJobs(jobs, { view, leaving: leavingNames(view, { entries, jobs }) }) },
    problems,
  };
}

function foreignProblem(name: UnitName, where: string): Problem {
  return new Problem("unit-foreign", `Cannot place unit "${name}" over this machine's own (${where})`, {
    hint: "Give the unit in the repository another name, or remove the machine's own",
  });
}

/** Written by a pass that never came to tell systemd: whether systemd has read it is not known. */
function changeWasCutShort(placed: PlacedUnit | undefined, unit: Unit): boolean {
  return placed?.launched !== undefined && placed.launched !== unit.hash;
}

/** Units that are on their way out: those that this plan stops, and those with such a job under way. */
function leavingNames(
  { busy }: MachineView,
  { entries, jobs }: { entries: ReadonlyMap<UnitName, ManifestEntry>; jobs: readonly Omit<Job, "after">[] },
): readonly UnitName[] {
  const stopping = jobs.flatMap(({ kind, unit }) => (kind === "stop" || kind === "remove" ? [unit] : []));
  const underWay = [...busy].filter((name) => entries.get(name)?.target !== "launched");
  return [...stopping, ...underWay].sort(byName);
}
