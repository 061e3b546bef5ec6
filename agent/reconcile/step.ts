// What one unit needs on this machine: fleet's table, with changed text replaced in place. Given to
// reconcile.ts. Looks at one unit only.
import type { Job, PlacedUnit } from "../domain/action.ts";
import { unreachable } from "../domain/problem.ts";
import { type SystemdState, isDown } from "../domain/status.ts";
import { coversRestart } from "../domain/submitted.ts";
import type { TargetState, Unit } from "../domain/unit.ts";
import { systemdHash } from "../text/hash.ts";

export interface UnitView {
  /** As it shall be. */
  readonly unit: Pick<Unit, "hash" | "text" | "dropIns" | "onChange" | "fence">;
  readonly target: Exclude<TargetState, "inactive">;
  /** The restart that was asked for last, if any. */
  readonly restart: string | undefined;
  /** As it lies here, if it does. */
  readonly placed: PlacedUnit | undefined;
  /** Undefined: not known. */
  readonly state: Pick<SystemdState, "active"> | undefined;
}

export interface Step {
  /** Why its text must be written; undefined: it need not. */
  readonly write?: string;
  /** With `write`: for systemd it is the same, so what runs counts as launched with it. */
  readonly isSame?: true;
  readonly job?: Pick<Job, "kind" | "because"> | undefined;
}

const nothing: Step = {};
const relabelled: Step = { write: "what flotilla reads of it has changed", isSame: true };

export function stepFor(view: UnitView): Step {
  const { unit, target, placed } = view;
  if (placed === undefined) {
    const write = "it is placed here";
    return target === "launched" ? { write, job: { kind: "start", because: write } } : { write };
  }
  if (placed.hash !== unit.hash) return changedStep(view, placed);
  const step = settledStep(view, placed);
  if (placed.installDue === true) return { ...step, write: "its [Install] section is to be honoured" };
  if (placed.fenceStepMs !== unit.fence?.stepMs) return { ...step, write: "its OnPartition= is not in force" };
  return step;
}

/** Of a unit whose text lies there as it shall be. */
function settledStep(view: UnitView, placed: PlacedUnit): Step {
  const { unit, target } = view;
  switch (target) {
    case "loaded":
      return mayRun(placed) ? { job: { kind: "stop", because: "it shall be loaded only" } } : nothing;
    case "launched":
      if (placed.launched === unit.hash) return toldStep(view, placed);
      if (placed.launched === undefined) return { job: { kind: "start", because: "it shall be launched" } };
      // Written by a pass that was cut short
      return isSameForSystemd(view, placed) ? relabelled : { job: takeUpJob(view, placed) };
    default:
      return unreachable(target);
  }
}

/** Told once with this text: one that failed or ended is not started again, unless it may be flotilla that stopped it. */
function toldStep(view: UnitView, { unsettled }: PlacedUnit): Step {
  if (isRestartDue(view)) return { job: { kind: "restart", because: "somebody asked for a restart" } };
  if (unsettled === undefined) return nothing;
  return { job: { kind: "start", because: "it shall be launched, and may have been stopped" } };
}

function changedStep(view: UnitView, placed: PlacedUnit): Step {
  const write = "its text has changed";
  if (view.target === "launched") {
    // Another text was written in between, and systemd was never told to take it up
    const runsSo = placed.launched === view.unit.hash && placed.unsettled === undefined;
    if (runsSo && !isRestartDue(view)) return { write: "its text is put back" };
    if (isSameForSystemd(view, placed)) return relabelled;
    const job = takeUpJob(view, placed);
    return job === undefined ? nothing : { write, job };
  }
  return mayRun(placed) ? { write, job: { kind: "stop", because: "it shall be loaded only" } } : { write };
}

/** Whether systemd makes the same of this text as of the one that it was told to start with. */
function isSameForSystemd(view: UnitView, { launchedAs, unsettled }: PlacedUnit): boolean {
  if (launchedAs === undefined || unsettled !== undefined || isRestartDue(view)) return false;
  return systemdHash(view.unit) === launchedAs;
}

/** Whether it was told to start, or may have been, and was not seen stopped since. */
function mayRun({ launched, unsettled }: PlacedUnit): boolean {
  return launched !== undefined || unsettled !== undefined;
}

/** Has systemd take up changed text. Reload only what it was told to run, for only then is it known what is running. */
function takeUpJob(view: UnitView, { launched, fenceStepMs }: PlacedUnit): Step["job"] {
  const { unit, state } = view;
  if (state === undefined) return undefined; // whether to start or to restart is not known
  if (isDown(state.active)) return { kind: "start", because: "it shall be launched" };
  // Only a start asks whether there is a permit, which a unit that gets OnPartition=stop is to run on from now on
  const mayReload = unit.onChange === "reload" && (unit.fence === undefined || fenceStepMs !== undefined);
  const reload = mayReload && state.active === "active" && launched !== undefined && !isRestartDue(view);
  return { kind: reload ? "reload" : "restart", because: "its text has changed" };
}

/**
 * Carried out once for each request; what starts the unit for another reason carries it out as well. An earlier one than that, of
 * a registry that was put back, is not carried out again.
 */
function isRestartDue({ restart, placed }: UnitView): boolean {
  return restart !== undefined && !coversRestart(placed?.restarted, restart);
}
