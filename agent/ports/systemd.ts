// This machine's systemd, as far as flotilla uses it. Own files are marked by where they lie: a unit is ours when its
// link in systemd's runtime folder leads into our own folder. One contract (test/contract/systemd.ts).
import type { LaunchNote, Launched, PlacedUnit } from "../domain/action.ts";
import type { UnitName } from "../domain/names.ts";
import type { Problem } from "../domain/problem.ts";
import type { SystemdState } from "../domain/status.ts";
import type { Unit } from "../domain/unit.ts";

/** How a job ended: systemd's own word from JobRemoved, plus `refused` when it would not even take the job. */
export interface JobResult {
  readonly result: "done" | "failed" | "dependency" | "timeout" | "canceled" | "skipped" | "refused";
  /** Set unless `done` or `skipped`: what failed, in words, with systemd's own error as cause. */
  readonly problem?: Problem;
}

/**
 * Calls reject with a Problem: "systemd-unreachable" (no connection, lost in the middle, no answer in time),
 * "disk-write" / "disk-read", "aborted". While unreachable the adapter reconnects by itself with growing pauses.
 */
export interface Systemd {
  /**
   * Everything of ours on this machine, in name order; from our own folder, also after a restart of the agent. Asks systemd
   * only about launches that were noted ahead, and about units that were launched with another text than lies there. One that
   * was started again after that text came to lie there counts as launched with `unknownText`, until the next `noteLaunched`.
   */
  placed(): Promise<readonly PlacedUnit[]>;
  /** Which of these names the host itself already has, and where (a path or a word); ours are not in it. */
  foreign(names: readonly UnitName[]): Promise<ReadonlyMap<UnitName, string>>;
  /** States of these units; a unit that systemd does not know has load "not-found", active "inactive", sub "dead". */
  states(names: readonly UnitName[]): Promise<ReadonlyMap<UnitName, SystemdState>>;
  /** Writes text and drop-ins, and links them. A unit that could not be written is in the answer; the others are written. */
  write(units: readonly Unit[]): Promise<ReadonlyMap<UnitName, Problem>>;
  /**
   * Enables for this boot (runtime) what has an [Install] section. Per-unit failures are in the answer. What was written and
   * never came to this is `installDue`, also after a restart of the agent.
   */
  enable(names: readonly UnitName[]): Promise<ReadonlyMap<UnitName, Problem>>;
  /** daemon-reload. Rejects with "systemd-reload" where systemd refuses it: it goes on with what it has read. */
  reload(): Promise<void>;
  /**
   * Asks for the job and waits until it has ended, however long that takes, or until the signal: one that is not asked for yet
   * is not any more then. Jobs of a unit are asked for in the order of their calls, and launches noted so.
   */
  run(job: "start" | "stop" | "restart" | "reload", unit: UnitName, signal: AbortSignal): Promise<JobResult>;
  /**
   * Notes on disk that the unit was told to start with this text, and for which restart on request (undefined: no longer).
   * Survives the agent, not a reboot; nor another end of all units (a soft reboot, `systemctl isolate rescue.target`), which
   * the next agent finds when it first reaches systemd. Resolves to what `placed` says of it from now on.
   */
  noteLaunched(unit: UnitName, note: LaunchNote | undefined): Promise<Launched>;
  /**
   * Notes on disk what systemd is told next, before it is: the agent may be gone when the job ends. A launch counts as noted
   * as soon as the unit has been started since then, by whomever; until `noteLaunched` the unit is `unsettled` otherwise.
   */
  noteAhead(unit: UnitName, next: LaunchNote | "stop"): Promise<void>;
  /**
   * Units that were written with `fence` run on a permit. This one lasts until `untilMs` of the clock (monotonic), in place of
   * any before, and from now on they may be started. When it ends, systemd itself stops them, whatever has become of us, and
   * keeps them down: a start is `refused` until they are, and a `dependency` failure then. Rejects with "systemd-permit" where
   * systemd will not have it, as long as units that had one are being stopped; the end of that is told to `onChange` as any
   * change. Those of ours that depend on such units and are down with them count as not launched any more: the answer.
   */
  grantPermit(untilMs: number): Promise<readonly UnitName[]>;
  /** The same where a permit still stands; false where it has ended or cannot be extended, or there never was one. */
  extendPermit(untilMs: number): Promise<boolean>;
  /**
   * For a unit on its way out, before its stop: what its [Install] section asked for no longer starts it. Where it is called
   * back all the same that is `installDue`.
   */
  letGo(unit: UnitName): Promise<void>;
  /**
   * Takes a stopped unit away: disables, resets its failure, removes links and files. Systemd does not remember it where
   * another unit names it.
   */
  remove(unit: UnitName): Promise<void>;
  /**
   * Calls `listener` with the names of ours whose state may have changed (undefined: any may have, read all), including
   * after every reconnect. Returns the way to stop.
   */
  onChange(listener: (names: ReadonlySet<UnitName> | undefined) => void): () => void;
  close(): Promise<void>;
}
