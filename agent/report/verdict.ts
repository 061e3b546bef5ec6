// Whether a change that somebody asked for has come about on the machines, has failed there, or is still under way: judged
// from what is known of the unit. Side door of the room; pure.
import type { Refusal } from "../domain/placement.ts";
import type { UnitDetail, UnitReport } from "../domain/report.ts";
import { isDown } from "../domain/status.ts";
import { coversRestart } from "../domain/submitted.ts";
import { machineLegend } from "./fields.ts";

/** What is waited for. `stopped`: nothing of it runs, wherever it is; `gone`: nothing of it is left. */
export type Goal =
  | {
      readonly kind: "launched";
      /** The text that shall run; undefined: whichever is wanted. */
      readonly hash?: string | undefined;
      /** The restart that every machine shall have carried out. */
      readonly restart?: string | undefined;
    }
  | { readonly kind: "loaded"; readonly hash?: string | undefined }
  | { readonly kind: "stopped" | "inactive" | "gone" };

export type Verdict =
  | {
      readonly kind: "reached";
      /** Where the unit is; none where it is nowhere. */
      readonly places: readonly UnitReport[];
      /** What is worth saying all the same. */
      readonly note?: string;
      /** Only to be taken for true when nothing has changed for so long, ms. */
      readonly steadyMs: number;
    }
  | { readonly kind: "failed"; readonly places: readonly UnitReport[]; readonly steadyMs: number }
  /** A global unit that no machine takes: it is for those that are there, and waits for none. */
  | { readonly kind: "refused"; readonly refusals: readonly Refusal[]; readonly steadyMs: number }
  | {
      readonly kind: "waiting";
      /** `it is activating (start) on 59f61aeb.../10.79.0.13`. */
      readonly why: string;
      /** Filled while no machine takes it. */
      readonly refusals: readonly Refusal[];
    }
  /** Somebody else wants something else of it now. */
  | { readonly kind: "overtaken"; readonly why: string };

export interface Evidence {
  readonly goal: Goal;
  /** Undefined: there is no such unit. */
  readonly now: UnitDetail | undefined;
  /** Whether the change was seen in the cluster before: what differs now is somebody else's. */
  readonly wasSeen: boolean;
  /** Whether something was asked for at all; without, what was so before is so now. */
  readonly changed: boolean;
}

/** A service that dies at once is seen active for a moment; machines tell of changes twice a second. */
const steadyMs = 500;
/** Some problems pass by themselves and are tried again; a leader writes to one machine after the other. */
const doubtfulSteadyMs = 2_000;
/** A machine that says why it cannot stop a unit may still be about to. */
const stuckSteadyMs = 5_000;
/** A unit that systemd has started so often again in vain has failed, though it may go on for ever. */
const vainRestarts = 3;

export function judge(evidence: Evidence): Verdict {
  switch (evidence.goal.kind) {
    case "launched":
    case "loaded":
      return judgePlaced(evidence, evidence.goal);
    case "stopped":
      return judgeStopped(evidence);
    case "inactive":
      return judgeInactive(evidence);
    case "gone":
      return judgeGone(evidence);
  }
}

/** Whether what the cluster wants of the unit is what was asked for. */
export function isSeen({ goal, now }: Pick<Evidence, "goal" | "now">): boolean {
  switch (goal.kind) {
    case "launched":
    case "loaded":
      return now?.file?.desired === goal.kind && (goal.hash === undefined || now.file.hash === goal.hash);
    case "stopped":
      return now?.file?.desired === "loaded";
    case "inactive":
      return now?.file?.desired === "inactive";
    case "gone":
      return now?.file === undefined;
  }
}

function judgePlaced(evidence: Evidence, goal: Extract<Goal, { kind: "launched" | "loaded" }>): Verdict {
  const { now, changed } = evidence;
  const unseen = notSeen(evidence);
  if (unseen !== undefined || now?.file === undefined) return unseen ?? waiting("it is not known yet");
  const { file } = now;
  const there = now.places.filter(isWanted);
  if (there.length === 0) {
    if (now.refusals.length > 0 && file.global) {
      return { kind: "refused", refusals: now.refusals, steadyMs: doubtfulSteadyMs };
    }
    return waiting(now.refusals.length > 0 ? "no machine takes it" : "it has no machine yet", now.refusals);
  }
  const hash = goal.hash ?? file.hash;
  const judged = there.map((place) => ({ place, ...judgePlace(place, { goal, hash, changed }) }));
  const failed = judged.filter(({ kind }) => kind === "failed");
  if (failed.length > 0) return { kind: "failed", places: failed.map(({ place }) => place), steadyMs: longest(failed) };
  const late = judged.find(({ kind }) => kind === "waiting");
  if (late !== undefined) return waiting(late.why);
  const note = judged.find(({ why }) => why !== "")?.why;
  return {
    kind: "reached",
    places: there,
    ...(note === undefined ? {} : { note }),
    // The leader writes to one machine after the other
    steadyMs: Math.max(longest(judged), file.global && changed ? doubtfulSteadyMs : 0),
  };
}

interface PlaceVerdict {
  readonly kind: "good" | "failed" | "waiting";
  /** How one is that is under way; of a good one what is worth saying, "" for nothing. */
  readonly why: string;
  readonly steadyMs: number;
}

interface PlaceEvidence {
  readonly goal: Extract<Goal, { kind: "launched" | "loaded" }>;
  readonly hash: string;
  readonly changed: boolean;
}

function judgePlace(place: UnitReport, { goal, hash, changed }: PlaceEvidence): PlaceVerdict {
  const on = `on ${machineLegend(place.machine, false)}`;
  const good: PlaceVerdict = { kind: "good", why: "", steadyMs: changed ? steadyMs : 0 };
  const failed: PlaceVerdict = { kind: "failed", why: "", steadyMs: changed ? steadyMs : 0 };
  if (place.knowledge === "lost") return under(`it was ${on}, which does not answer`);
  if (place.knowledge === "pending" || place.target !== goal.kind) return under(`it is on its way ${on}`);
  const isDone = goal.kind === "loaded" ? place.started !== true : isStarted(place, goal.restart);
  if (place.problem !== undefined && !isUnderWay(place)) {
    return isDone && place.hash === hash ? failed : { ...failed, steadyMs: doubtfulSteadyMs };
  }
  if (place.hash !== hash) return under(`its text is on its way ${on}`);
  if (goal.kind === "loaded") {
    if (!isDone || isUnderWay(place)) return under(`it is ${stateOf(place)} ${on}`);
    return isStopped(place) ? { ...good, steadyMs: 0 } : { ...good, why: elsewise(place), steadyMs: doubtfulSteadyMs };
  }
  // Its job goes on for as long as systemd tries
  if (isVain(place)) return { ...failed, steadyMs: 0 };
  if (!isDone)
    return under(`${goal.restart === undefined ? "it is" : "it is to be restarted,"} ${stateOf(place)} ${on}`);
  switch (place.active) {
    case "active":
      return good;
    case "failed":
      return failed;
    case "inactive":
      return ended(place);
    case undefined:
    default:
      return under(`it is ${stateOf(place)} ${on}`);
  }
}

/** Its start has been carried out and it does not run: it has run and ended, or there was nothing to run. */
function ended({ result }: UnitReport): PlaceVerdict {
  const isBad = result !== undefined && result !== "success";
  return { kind: isBad ? "failed" : "good", why: "", steadyMs: 0 };
}

function isStarted(place: UnitReport, restart: string | undefined): boolean {
  return place.started === true && (restart === undefined || coversRestart(place.restart, restart));
}

function judgeStopped(evidence: Evidence): Verdict {
  const unseen = notSeen(evidence);
  if (unseen !== undefined) return unseen;
  const places = evidence.now?.places ?? [];
  const alive = places.filter(({ machine }) => machine.alive);
  const all = alive.filter(({ knowledge }) => knowledge === "reported");
  const up = all.find((place) => place.started === true || isUnderWay(place));
  if (up !== undefined) return stillThere(up);
  const late = alive.find((place) => place.target === "launched");
  if (late !== undefined) return waiting(`it is to be stopped on ${machineLegend(late.machine, false)}`);
  const other = all.find((place) => !isStopped(place));
  const note = other === undefined ? lostNote(places) : { note: elsewise(other) };
  const steady = other === undefined ? 0 : doubtfulSteadyMs;
  return { kind: "reached", places: alive.filter(isWanted), ...note, steadyMs: steady };
}

/** It is to be down, or away: under way, unless its machine says that it cannot. */
function stillThere(place: UnitReport): Verdict {
  if (place.problem !== undefined && !isUnderWay(place)) {
    return { kind: "failed", places: [place], steadyMs: stuckSteadyMs };
  }
  return waiting(`it is ${stateOf(place)} on ${machineLegend(place.machine, false)}`);
}

function judgeInactive(evidence: Evidence): Verdict {
  const unseen = notSeen(evidence);
  return unseen ?? awayFrom(evidence.now?.places ?? []);
}

function judgeGone({ now }: Evidence): Verdict {
  if (now?.commitAtHand === false) return waiting("this agent has not got the adopted commit");
  if (now?.file !== undefined) return waiting("it is still there");
  return awayFrom(now?.places ?? []);
}

function awayFrom(places: readonly UnitReport[]): Verdict {
  const left = places.find(({ machine }) => machine.alive);
  if (left !== undefined) return stillThere(left);
  return { kind: "reached", places: [], ...lostNote(places), steadyMs: 0 };
}

/** Undefined once the cluster wants what was asked for. */
function notSeen(evidence: Evidence): Verdict | undefined {
  if (isSeen(evidence)) return undefined;
  const { goal, now, wasSeen } = evidence;
  if (!wasSeen || now?.commitAtHand === false) return waiting("the change is on its way");
  if (now?.file === undefined) return { kind: "overtaken", why: "it was taken away meanwhile" };
  const { hold, desired } = now.file;
  if (desired === goal.kind) return { kind: "overtaken", why: "its text was replaced meanwhile" };
  const by = hold === undefined ? "" : `, held by ${hold.by}`;
  return { kind: "overtaken", why: `it was changed meanwhile: it is to be ${desired}${by}` };
}

function lostNote(places: readonly UnitReport[]): { readonly note?: string } {
  const lost = places.find(({ machine }) => !machine.alive);
  if (lost === undefined) return {};
  return { note: `it may still run on ${machineLegend(lost.machine, false)}, which does not answer` };
}

/** Whether the unit is meant to be there. */
function isWanted(place: UnitReport): boolean {
  return place.target === "loaded" || place.target === "launched";
}

/** Nothing of it runs, and the job that stopped it has ended. */
function isStopped(place: UnitReport): boolean {
  return place.started !== true && isDown(place.active);
}

/** What a timer, a socket or another unit has started is up, though nobody told its machine to start it. */
function elsewise(place: UnitReport): string {
  return `it is ${stateOf(place)} on ${machineLegend(place.machine, false)}, started by another unit`;
}

/** Whatever a machine could not do before: systemd is at it now. */
function isUnderWay(place: UnitReport): boolean {
  return place.active === "activating" || place.active === "deactivating";
}

function isVain(place: UnitReport): boolean {
  return place.sub?.startsWith("auto-restart") === true && (place.restarts ?? 0) >= vainRestarts;
}

function stateOf(place: UnitReport): string {
  return place.knowledge === "reported" ? `${place.active ?? "-"} (${place.sub ?? "-"})` : place.knowledge;
}

function longest(all: readonly { readonly steadyMs: number }[]): number {
  return Math.max(0, ...all.map((each) => each.steadyMs));
}

function waiting(why: string, refusals: readonly Refusal[] = []): Verdict {
  return { kind: "waiting", why, refusals };
}

function under(why: string): PlaceVerdict {
  return { kind: "waiting", why, steadyMs: 0 };
}
