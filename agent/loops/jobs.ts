// Jobs under way in systemd, one for a unit at most, side by side: none holds up another, or the pass that asked for it.
// What may succeed later rests and is tried again. Given to local.ts.
import type { Job, Launched } from "../domain/action.ts";
import type { UnitName } from "../domain/names.ts";
import type { ManifestEntry } from "../domain/placement.ts";
import { Problem, asProblem } from "../domain/problem.ts";
import { isDown } from "../domain/status.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { JobResult, Systemd } from "../ports/systemd.ts";

/** A job that systemd would not take, or a stop that did not stop, is tried again after this, doubling up to the most. */
const firstRetryMs = 5_000;
const longestRetryMs = 300_000;

export interface JobPorts {
  readonly systemd: Systemd;
  readonly clock: Clock;
  readonly log: Log;
  /** What has come of a job: the unit is gone, or lies there with this launched mark. Undefined problem: all is well. */
  readonly onEnd: (unit: UnitName, end: JobEnd) => void;
  /** Asked at the last moment, for what waited long: false, and it is not wanted any more, and the unit stays as it is. */
  readonly mayBegin: (kind: "start" | "stop", unit: UnitName) => boolean;
  /** Asked once it has stopped: false, and it was called back meanwhile. */
  readonly mayRemove: (unit: UnitName) => boolean;
}

export interface JobEnd {
  readonly problem: Problem | undefined;
  /** What lies there now, when the job has changed it. */
  readonly lies?: "gone" | Launched;
}

/** What the manifest wants of each unit here. */
export type Wanted = ReadonlyMap<UnitName, ManifestEntry>;

interface Task {
  readonly job: Job;
  readonly entry: ManifestEntry | undefined;
  readonly over: AbortController;
  /** True when what the job is for has come about. */
  done: Promise<boolean>;
}

/** A unit left alone for a while; a change of what is wanted ends it. */
interface Rest {
  readonly wish: string;
  readonly untilMs: number;
  readonly failures: number;
}

export class Jobs {
  readonly #ports: JobPorts;
  readonly #tasks = new Map<UnitName, Task>();
  readonly #rests = new Map<UnitName, Rest>();
  /** When a pass looked last: a rest that was over by then has been seen. */
  #lookedMs = 0;

  constructor(ports: JobPorts) {
    this.#ports = ports;
  }

  /**
   * Stops waiting for jobs whose unit is now wanted otherwise; systemd lets a new job take the old one's place. True when
   * there were any: what is noted of their units says how far they may have come.
   */
  abandonOutdated(wanted: Wanted): boolean {
    let any = false;
    for (const [name, task] of this.#tasks) {
      const entry = wanted.get(name);
      if (wish(entry) === wish(task.entry)) continue;
      task.over.abort();
      this.#tasks.delete(name);
      any = true;
    }
    for (const [name, rest] of this.#rests) if (rest.wish !== wish(wanted.get(name))) this.#rests.delete(name);
    return any;
  }

  /** Units that a pass leaves alone: a job is under way, or they rest. To be asked once in a pass. */
  busy(): ReadonlySet<UnitName> {
    const now = this.#ports.clock.monotonicMs();
    this.#lookedMs = now;
    const resting = [...this.#rests].filter(([, rest]) => rest.untilMs > now).map(([name]) => name);
    return new Set([...this.#tasks.keys(), ...resting]);
  }

  /** Ms until the first rest is over that no pass has seen over, at least 1; undefined when nothing rests. */
  nextRetryMs(): number | undefined {
    const ends = [...this.#rests.values()].map(({ untilMs }) => untilMs).filter((untilMs) => untilMs > this.#lookedMs);
    return ends.length === 0 ? undefined : Math.max(1, Math.min(...ends) - this.#ports.clock.monotonicMs());
  }

  /** Neither waits any longer for starts of these units nor lets them rest. */
  forgetStarts(names: readonly UnitName[]): void {
    for (const name of names) {
      this.#rests.delete(name);
      const task = this.#tasks.get(name);
      if (task === undefined || task.job.kind === "stop" || task.job.kind === "remove") continue;
      task.over.abort();
      this.#tasks.delete(name);
    }
  }

  /** Leaves a unit alone until it is time to try again. */
  rest(name: UnitName, entry: ManifestEntry | undefined): void {
    const failures = (this.#rests.get(name)?.failures ?? 0) + 1;
    const ms = Math.min(firstRetryMs * 2 ** (failures - 1), longestRetryMs);
    this.#rests.set(name, { wish: wish(entry), untilMs: this.#ports.clock.monotonicMs() + ms, failures });
  }

  launch(jobs: readonly Job[], wanted: Wanted): void {
    const tasks = jobs.map((job): Task => {
      const entry = wanted.get(job.unit);
      const task: Task = { job, entry, over: new AbortController(), done: Promise.resolve(false) };
      this.#tasks.set(job.unit, task);
      return task;
    });
    // All are known before the first begins, so that `after` finds those that come later in name order.
    for (const task of tasks) task.done = this.#carryOut(task);
  }

  /** Waits for nothing any more; jobs already asked for go on in systemd. Resolves when every task has let go. */
  async end(): Promise<void> {
    const tasks = [...this.#tasks.values()];
    for (const task of tasks) task.over.abort();
    await Promise.all(tasks.map((task) => task.done));
  }

  async #carryOut(task: Task): Promise<boolean> {
    const { job, entry, over } = task;
    let end: JobEnd & { readonly retry: boolean };
    try {
      // Deferred, so that every task of the batch is in place.
      await Promise.resolve();
      const gone = await Promise.all(job.after.map((name) => this.#isOver(name)));
      const held = job.after.filter((_, index) => gone[index] === false);
      if (held.length > 0) throw tooEarly(job, held);
      over.signal.throwIfAborted();
      end = await this.#perform(task);
    } catch (error) {
      if (over.signal.aborted) return false;
      end = { problem: asProblem(error, "unit-job", `Cannot ${job.kind} unit "${job.unit}"`), retry: true };
    }
    if (this.#tasks.get(job.unit) === task) this.#tasks.delete(job.unit);
    if (end.retry) this.rest(job.unit, entry);
    else this.#rests.delete(job.unit);
    this.#ports.onEnd(job.unit, end);
    return end.problem === undefined;
  }

  /** Whether a unit that must go first has gone; a stop that failed and rests until it is tried again has not. */
  async #isOver(name: UnitName): Promise<boolean> {
    const task = this.#tasks.get(name);
    return task === undefined ? !this.#rests.has(name) : task.done;
  }

  async #perform({
    job,
    entry,
    over,
  }: Pick<Task, "job" | "entry" | "over">): Promise<JobEnd & { readonly retry: boolean }> {
    const { systemd, log, clock } = this.#ports;
    const fromMs = clock.monotonicMs();
    const kind = job.kind === "remove" ? "stop" : job.kind;
    const mayBegin = (): boolean => this.#ports.mayBegin(kind === "stop" ? "stop" : "start", job.unit);
    if (!mayBegin()) return { problem: undefined, retry: false };
    // Noted before: an agent that is killed while the job goes on is followed by one that knows of it
    if (kind === "stop") {
      await systemd.noteAhead(job.unit, "stop");
      if (job.kind === "remove") await systemd.letGo(job.unit);
    } else if (kind !== "reload" && entry !== undefined)
      await systemd.noteAhead(job.unit, { hash: entry.hash, restart: entry.restart });
    over.signal.throwIfAborted();
    // The pass that has found so looks at what was noted
    if (!mayBegin()) return { problem: undefined, retry: false };
    const result = await systemd.run(kind, job.unit, over.signal);
    log.info("unit.job", {
      unit: job.unit,
      job: job.kind,
      result: result.result,
      because: job.because,
      ms: Math.round(clock.monotonicMs() - fromMs),
    });
    // It may have ended at the very moment at which it was no longer wanted.
    over.signal.throwIfAborted();
    if (kind === "stop") return this.#afterStop({ job, over }, result);
    // Asked again it would say no again, and the text would never be taken up
    if (kind === "reload" && result.result === "refused")
      return this.#perform({ job: { ...job, kind: "restart", because: "it cannot be reloaded" }, entry, over });
    const refused = result.result === "refused" || result.result === "dependency";
    if (refused) return { problem: problemOf(job, result), retry: true };
    // Told once with this text: fleet's rule is that a start that failed is not tried again until something changes.
    if (entry === undefined) return { problem: result.problem, retry: false };
    const { hash, restart } = entry;
    const lies = await systemd.noteLaunched(job.unit, { hash, restart });
    return { problem: result.problem, retry: false, lies };
  }

  /** What counts is that the unit is down, whatever the stop job was called. */
  async #afterStop(
    { job, over }: Pick<Task, "job" | "over">,
    result: JobResult,
  ): Promise<JobEnd & { readonly retry: boolean }> {
    const { systemd } = this.#ports;
    const state = (await systemd.states([job.unit])).get(job.unit);
    over.signal.throwIfAborted();
    if (!isDown(state?.active)) {
      return { problem: problemOf(job, result), retry: true };
    }
    if (job.kind === "remove" && this.#ports.mayRemove(job.unit)) {
      await systemd.remove(job.unit);
      return { problem: undefined, retry: false, lies: "gone" };
    }
    return { problem: undefined, retry: false, lies: await systemd.noteLaunched(job.unit, undefined) };
  }
}

/** What is wanted of a unit here, as text to compare. */
function wish(entry: ManifestEntry | undefined): string {
  return entry === undefined || entry.target === "released"
    ? "gone"
    : `${entry.target} ${entry.hash} ${entry.restart ?? ""}`;
}

function tooEarly(job: Job, held: readonly UnitName[]): Problem {
  return new Problem("unit-held", `Cannot ${job.kind} unit "${job.unit}" before ${held.join(", ")} has stopped`, {
    hint: "It is tried again",
  });
}

function problemOf(job: Job, { problem, result }: JobResult): Problem {
  return problem ?? new Problem("unit-job", `Cannot ${job.kind} unit "${job.unit}": the job ended as ${result}`);
}
