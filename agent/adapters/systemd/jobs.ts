// systemd's jobs: asking for one, waiting for its end, and saying in words what failed. Given to systemd.ts.
// A job's end is told by signal, or, when the connection was lost in the middle, taken from the unit's state.
import type { UnitName } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import { isDown, isUp } from "../../domain/status.ts";
import type { JobResult } from "../../ports/systemd.ts";
import { managerCall, resetFailed } from "./calls.ts";
import { PeerError, type Signal } from "./peer.ts";
import { type Caller, type Listed, aliasOf, list, property, text, typeInterface, whole } from "./units.ts";

/** systemd tells the end of a job that is over at once before it answers the request: ends of unknown jobs kept. */
const keptEnds = 1_024;
/** A job that does not end holds its slot no longer than this, so that hanging starts cannot hold up the others. */
const slotMs = 5_000;
/** How long a job whose connection was lost waits for the next connection, which says what became of it. */
const lostMs = 60_000;

export type JobKind = "start" | "stop" | "restart" | "reload";

const methods: Readonly<Record<JobKind, string>> = {
  start: "StartUnit",
  stop: "StopUnit",
  restart: "RestartUnit",
  reload: "ReloadUnit",
};

interface Waiting {
  readonly kind: JobKind;
  readonly unit: UnitName;
  readonly end: (result: string) => void;
  readonly fail: (problem: Problem) => void;
}

export class Jobs {
  readonly #call: Caller;
  readonly #waiting = new Map<string, Waiting>();
  /** Ends of jobs that nobody waits for (yet), oldest first. */
  readonly #ends = new Map<string, string>();
  readonly #queue: (() => void)[] = [];
  #free: number;
  #lost: NodeJS.Timeout | undefined;

  constructor(options: { readonly call: Caller; readonly concurrency: number }) {
    this.#call = options.call;
    this.#free = Math.max(1, Math.floor(options.concurrency));
  }

  signalled(signal: Signal): void {
    if (signal.member !== "JobRemoved") return;
    const [, path, , result] = signal.body.map(text);
    if (path === undefined || result === undefined) return;
    const waiting = this.#waiting.get(path);
    if (waiting !== undefined) {
      waiting.end(result);
      return;
    }
    this.#ends.set(path, result);
    if (this.#ends.size > keptEnds) for (const oldest of this.#ends.keys()) return void this.#ends.delete(oldest);
  }

  /** The connection is gone: jobs go on waiting for the next one, within a bound. */
  disconnected(): void {
    this.#lost ??= setTimeout(() => {
      this.fail(new Problem("systemd-unreachable", "Cannot learn how a job ended: the connection to systemd is lost"));
    }, lostMs);
  }

  /** Rejects everything that waits for a job's end. */
  fail(problem: Problem): void {
    clearTimeout(this.#lost);
    this.#lost = undefined;
    for (const waiting of [...this.#waiting.values()]) waiting.fail(problem);
  }

  /**
   * After a new connection: jobs that systemd still has go on, the ends of all others are taken from their units' states.
   * Numbers of jobs may begin anew, so ends heard before mean nothing now.
   */
  async resume(call: Caller): Promise<void> {
    clearTimeout(this.#lost);
    this.#lost = undefined;
    this.#ends.clear();
    const lost = [...this.#waiting];
    const rows = await list([...new Set(lost.map(([, { unit }]) => unit))], call);
    for (const [path, { kind, unit, end }] of lost) {
      const row = rows.get(unit);
      if (row?.job === path) continue;
      end(await endFromState(kind, row, call));
    }
  }

  /** Rejects with "aborted" or "systemd-unreachable" (then the job may have been taken or not). */
  async run(kind: JobKind, unit: UnitName, signal: AbortSignal): Promise<JobResult> {
    const release = await this.#slot(unit, signal);
    const timer = setTimeout(release, slotMs);
    try {
      return await this.runAtOnce(kind, unit, signal);
    } finally {
      clearTimeout(timer);
      release();
    }
  }

  /** The same without a turn, for what takes no time and cannot wait. */
  async runAtOnce(kind: JobKind, unit: UnitName, signal: AbortSignal): Promise<JobResult> {
    const path = await abortable(this.#ask(kind, unit, signal), signal);
    if (typeof path !== "string") return path;
    const result = await this.#end({ kind, unit, path }, signal);
    return this.#inWords(kind, unit, result);
  }

  /** The job's object path, or why systemd would not take it. */
  async #ask(kind: JobKind, unit: UnitName, signal: AbortSignal): Promise<string | JobResult> {
    try {
      const alias = aliasOf(unit, (await list([unit], this.#call)).get(unit));
      // Called back while that was looked up
      if (signal.aborted) throw abortedProblem(signal);
      if (alias !== undefined) return { result: "refused", problem: failure(kind, unit, aliasHint(alias)) };
      // What flotilla was asked for is somebody's wish: earlier ones do not count against it (StartLimitBurst=). In one breath
      // with the job, so that nobody sees a unit that failed as one that did not
      const isStart = kind === "start" || kind === "restart";
      const forgotten = isStart ? resetFailed(unit, this.#call) : undefined;
      const asked = this.#call(managerCall(methods[kind], "ss", [unit, "replace"]));
      const [[path]] = await Promise.all([asked, forgotten]);
      return text(path);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      return { result: "refused", problem: failure(kind, unit, refusalHint(error, unit), error) };
    }
  }

  async #end(job: { readonly kind: JobKind; readonly unit: UnitName; readonly path: string }, signal: AbortSignal) {
    const known = this.#ends.get(job.path);
    if (known !== undefined) {
      this.#ends.delete(job.path);
      return known;
    }
    // Two callers may share one job: systemd merges a request into an equal job that is under way.
    const shared = this.#waiting.get(job.path);
    const ended = new Promise<string>((resolve, reject) => {
      const over = (): void => void this.#waiting.delete(job.path);
      this.#waiting.set(job.path, {
        kind: job.kind,
        unit: job.unit,
        end: (result) => {
          over();
          shared?.end(result);
          resolve(result);
        },
        fail: (problem) => {
          over();
          shared?.fail(problem);
          reject(problem);
        },
      });
    });
    return abortable(ended, signal);
  }

  async #inWords(kind: JobKind, unit: UnitName, result: string): Promise<JobResult> {
    switch (result) {
      case "done":
      case "skipped":
        return { result };
      case "canceled":
        return { result, problem: failure(kind, unit, "Another job for the unit took its place") };
      case "timeout":
        return { result, problem: failure(kind, unit, "The job took longer than JobTimeoutSec= allows") };
      case "dependency":
        return { result, problem: failure(kind, unit, await this.#dependencyHint(unit)) };
      default: {
        // "failed", and words of newer systemds ("invalid", "assert", "unsupported", "collected", "once", "frozen").
        const hint = result === "failed" ? await this.#resultHint(unit) : `systemd says "${result}"`;
        return { result: "failed", problem: failure(kind, unit, hint ?? `flotilla journal ${unit} says why`) };
      }
    }
  }

  async #resultHint(unit: UnitName): Promise<string | undefined> {
    const typed = typeInterface(unit);
    if (typed === undefined) return undefined;
    try {
      const { path } = (await list([unit], this.#call)).get(unit) ?? {};
      if (path === undefined) return undefined;
      const read = (name: string): Promise<unknown> => property(path, { interface: typed, name }, this.#call);
      const result = text(await read("Result"));
      if (!unit.endsWith(".service")) return hintOf(result, { code: 0, status: 0 });
      const [code, status] = await Promise.all([read("ExecMainCode"), read("ExecMainStatus")]);
      return hintOf(result, { code: whole(code), status: whole(status) });
    } catch (error) {
      if (!(error instanceof PeerError || error instanceof Problem)) throw error;
      return undefined; // the job's end is known; only the words for it are not
    }
  }

  async #dependencyHint(unit: UnitName): Promise<string> {
    try {
      const path = (await list([unit], this.#call)).get(unit)?.path ?? "";
      const wants = await Promise.all(
        ["Requires", "BindsTo", "Requisite"].map((name) =>
          property(path, { interface: "org.freedesktop.systemd1.Unit", name }, this.#call),
        ),
      );
      const names = wants.flatMap((value) => (Array.isArray(value) ? value.map(text) : []));
      const rows = [...(await list([...new Set(names)], this.#call)).values()];
      const down = rows.filter((row) => !isUp(row.active));
      if (down.length > 0) {
        return `It needs ${down.map((row) => `${row.name} (${row.load === "loaded" ? row.active : row.load})`).join(", ")}`;
      }
    } catch (error) {
      if (!(error instanceof PeerError || error instanceof Problem)) throw error;
    }
    return "A unit that it requires did not start";
  }

  /**
   * Waits for one of the slots, first come, first served, but sockets before what they hand their connections to; the answer
   * gives it back, once however often it is called.
   */
  async #slot(unit: UnitName, signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw abortedProblem(signal);
    if (this.#free > 0) this.#free -= 1;
    else {
      await new Promise<void>((resolve, reject) => {
        const turn = (): void => {
          signal.removeEventListener("abort", leave);
          resolve();
        };
        const leave = (): void => {
          this.#queue.splice(this.#queue.indexOf(turn), 1);
          reject(abortedProblem(signal));
        };
        if (unit.endsWith(".socket")) this.#queue.unshift(turn);
        else this.#queue.push(turn);
        signal.addEventListener("abort", leave, { once: true });
      });
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#queue.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}

/** What became of a job whose end nobody heard, by the state that its unit is in now. */
async function endFromState(kind: JobKind, row: Listed | undefined, call: Caller): Promise<string> {
  if (row === undefined) return kind === "stop" ? "done" : "failed";
  switch (kind) {
    case "stop":
      return isDown(row.active) ? "done" : "canceled";
    case "reload":
      return row.active === "active" ? "done" : "failed";
    case "start":
    case "restart": {
      if (row.active === "active" || row.active === "reloading") return "done";
      if (row.active !== "inactive") return "failed";
      // A oneshot that has run, or a unit whose condition did not hold.
      const typed = typeInterface(row.name);
      if (typed === undefined) return "canceled";
      return text(await property(row.path, { interface: typed, name: "Result" }, call)) === "success"
        ? "done"
        : "failed";
    }
  }
}

function failure(kind: JobKind, unit: UnitName, hint: string | undefined, cause?: unknown): Problem {
  return new Problem("systemd-job", `Cannot ${kind} unit "${unit}"`, { hint, cause });
}

function aliasHint(alias: string): string {
  return `It is a name of ${alias} on this machine, which is not flotilla's; give the unit another name`;
}

function refusalHint(error: PeerError, unit: UnitName): string | undefined {
  switch (error.type) {
    case "org.freedesktop.systemd1.NoSuchUnit": {
      const missing = /Unit (\S+) not found/.exec(error.message)?.[1];
      if (missing === undefined || missing === unit) return "systemd has no such unit; is its file in place";
      return `It requires ${missing}, which this machine does not have`;
    }
    case "org.freedesktop.systemd1.BadUnitSetting":
      return "The unit file has a setting that systemd will not take; run flotilla verify on it";
    case "org.freedesktop.systemd1.UnitMasked":
      return "The unit is masked on this machine";
    case "org.freedesktop.systemd1.TransactionIsDestructive":
      return "It needs a unit that is being stopped, or is one; it can be started when that is down";
    default:
      return undefined;
  }
}

/** systemd's Result word, and how the main process ended (SIGCHLD's code, exit status or signal number), for people. */
function hintOf(result: string, main: { readonly code: number; readonly status: number }): string | undefined {
  const exited = main.code === 1 ? `Its main process exited with status ${main.status}` : undefined;
  const killed = main.code > 1 ? `Its main process was killed by signal ${main.status}` : undefined;
  switch (result) {
    case "success":
    case "":
      return undefined;
    case "exit-code":
      return main.status === 0 ? "One of its commands exited with a status other than 0" : (exited ?? killed);
    case "signal":
    case "core-dump":
      return killed ?? "One of its commands was killed by a signal";
    case "timeout":
      return "It was not up within its TimeoutStartSec=";
    case "watchdog":
      return "Its watchdog ran out";
    case "start-limit-hit":
      return "It was started too often in a short time (StartLimitBurst=)";
    case "resources":
      return "systemd lacked something to start it with (memory, a file, a folder, a user)";
    case "protocol":
      return "It did not do what its Type= promises";
    case "oom-kill":
      return "The kernel killed it for lack of memory";
    default:
      return `systemd's result is "${result}"`;
  }
}

/** Rejects with "aborted" as soon as the signal says so; the work goes on. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(abortedProblem(signal));
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

function abortedProblem(signal: AbortSignal): Problem {
  return new Problem("aborted", "Cannot go on waiting for systemd", { cause: signal.reason });
}
