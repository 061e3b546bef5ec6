// What people write into the registry beside git: units submitted by hand, holds on git's units, restarts; and the events
// that tell who did what.
import type { CommitId, MachineId, UnitName } from "./names.ts";
import type { TargetState } from "./unit.ts";

/** `user@host` of whoever asked, as their client says it: for people, never for a decision. Printable ASCII. */
export type Person = string;
export const maxPersonChars = 128;

/** Registry key units/NAME: a unit or template that is not in the repository. At most `maxSubmittedBytes` of text. */
export interface SubmittedUnit {
  readonly name: UnitName;
  /** The author's own text; an instance made from a template has a copy of it. */
  readonly text: string;
  /** In the order in which systemd shall apply them; only what came with a template of the repository has any. */
  readonly dropIns: readonly { readonly name: string; readonly text: string }[];
  /** Of a template always `inactive`. */
  readonly target: TargetState;
  readonly by: Person;
  /** Wall ms of the last change. */
  readonly atMs: number;
}

/** Registry key holds/NAME: an operator's word on a git unit, stronger than the repository's until it is lifted. */
export interface Hold {
  readonly unit: UnitName;
  readonly target: TargetState;
  readonly by: Person;
  /** One line, at most 256 characters. */
  readonly why?: string;
  readonly atMs: number;
  /** Wall ms at which the leader lifts it; left out: it stays until somebody does. */
  readonly untilMs?: number;
}

/** Registry key restarts/NAME, under a lease of its own: each machine that runs the unit restarts it once for each id. */
export interface RestartRequest {
  readonly unit: UnitName;
  /** Unlike every other request's: `restartId`. */
  readonly id: string;
  readonly by: Person;
}

/**
 * Later than all `earlier` ones, for in a registry that was put back revisions are given out anew. `revision`: the registry's, when
 * it was asked whether there was a request before. `nonce`: lowercase letters and digits.
 */
export function restartId(
  revision: number,
  { earlier, nonce }: { readonly earlier: readonly string[]; readonly nonce: string },
): string {
  return `${Math.max(revision, ...earlier.map((id) => turnOf(id) + 1))}-${nonce}`;
}

/** Whether the request `asked` is carried out by a machine that has carried out `done`: the same one, or one that came later. */
export function coversRestart(done: string | undefined, asked: string): boolean {
  if (done === undefined || done === asked) return done === asked;
  return turnOf(done) > turnOf(asked);
}

/** 0 for what an older version has named. */
function turnOf(id: string): number {
  return Number(/^\d{1,15}(?=-)/.exec(id)?.[0] ?? 0);
}

export const eventKinds = [
  "commit-adopted",
  "commit-refused",
  "unit-submitted",
  "unit-replaced",
  "unit-target",
  "unit-destroyed",
  "unit-taken-over",
  "unit-restarted",
  "unit-held",
  "unit-resumed",
  "machine-changed",
  "machine-cordoned",
  "machine-uncordoned",
  "drain-started",
  "drain-ended",
  "unit-displaced",
  "units-moved",
  "machines-lost",
  "machines-returned",
  "machine-lost",
  "machine-returned",
  "machine-rests",
] as const;
export type EventKind = (typeof eventKinds)[number];

/** Registry key events/TIME-NONCE: who did what. The log is bounded: the leader takes away the oldest. */
export interface ClusterEvent {
  readonly kind: EventKind;
  readonly atMs: number;
  /** A person, or the hostname of the machine that led. */
  readonly by: Person;
  /** One line for people, whole by itself. */
  readonly message: string;
  readonly unit?: UnitName;
  readonly commit?: CommitId;
  readonly machine?: MachineId;
}

/** Whether units of lost machines are not moved now, for too many are: the last that was told of it. Events in the order of their telling. */
export function isBrakeOn(events: readonly Pick<ClusterEvent, "kind">[]): boolean {
  const last = events.findLast(({ kind }) => kind === "machines-lost" || kind === "machines-returned");
  return last?.kind === "machines-lost";
}

/** Text and drop-ins of one submitted unit together. */
export const maxSubmittedBytes = 256 * 1024;
/** Events that are kept. */
export const maxEvents = 1_000;
/** Units that are held or resumed together and have an event each; one event tells of more, for the log is bounded. */
export const maxEventsTogether = 16;
/** A timed hold lasts at least this long, and at most a year. */
export const minHoldMs = 1_000;
export const maxHoldMs = 366 * 24 * 3_600_000;
