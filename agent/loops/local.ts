// This machine's share: its manifest and what lies here -> actions -> systemd. Works from its own copies when registry
// and git are away. Never acts on anything it could not read: unknown is not absent.
import type { Job, PlacedUnit } from "../domain/action.ts";
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import { type Manifest, type ManifestEntry, comparePositions } from "../domain/placement.ts";
import { Problem, type ProblemRecord, asProblem, toRecord } from "../domain/problem.ts";
import type { SystemdState } from "../domain/status.ts";
import type { Unit } from "../domain/unit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { Git } from "../ports/git.ts";
import type { Log } from "../ports/log.ts";
import type { JobResult, Systemd } from "../ports/systemd.ts";
import { plan } from "../reconcile/reconcile.ts";
import { encodeManifest, parseManifest } from "../text/values.ts";
import type { Commits } from "./commits.ts";
import { childOf } from "./pauses.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** The manifest last accepted, kept across restarts and reboots; also the mark below which manifests are refused. */
const manifestFile = "manifest.json";
/** A job that systemd would not take, or a stop that did not stop, is tried again after this, doubling up to the most. */
const firstRetryMs = 5_000;
const longestRetryMs = 300_000;
/** At start the registry's manifest is waited for this long before the own copy is acted on. */
const patienceMs = 5_000;

export interface LocalPorts {
  readonly me: MachineId;
  readonly systemd: Systemd;
  /** Undefined: no repository is set; only units that lie here already can be kept. */
  readonly git: Git | undefined;
  readonly commits: Commits | undefined;
  readonly disk: Disk;
  /** Resolves when the registry's manifest has been offered, or is known to be missing. */
  readonly registryReady: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

/** What this machine holds, for its status. */
export interface Holding {
  /** Undefined until the first manifest; nothing may be said of the machine before. */
  readonly manifest: Manifest | undefined;
  readonly placed: readonly PlacedUnit[];
  readonly problems: ReadonlyMap<UnitName, ProblemRecord>;
}

interface Task {
  readonly job: Job;
  readonly entry: ManifestEntry | undefined;
  readonly over: AbortController;
  /** True when what the job is for has come about. */
  done: Promise<boolean>;
}

/** A unit left alone for a while after a job that may succeed later; a change of what is wanted ends it. */
interface Rest {
  readonly wanted: string;
  readonly untilMs: number;
  readonly failures: number;
}

export class Local {
  readonly #ports: LocalPorts;
  readonly #waker = new Waker();
  readonly #tasks = new Map<UnitName, Task>();
  readonly #rests = new Map<UnitName, Rest>();
  readonly #problems = new Map<UnitName, ProblemRecord>();
  readonly #listeners = new Set<() => void>();
  #manifest: Manifest | undefined;
  #offered: string | undefined;
  #placed: readonly PlacedUnit[] | undefined;
  #loaded = false;
  #first = true;
  #reloadDue = false;

  constructor(ports: LocalPorts) {
    this.#ports = ports;
  }

  /** The registry's value of this machine's manifest; call at every change of it. */
  offer(value: string): void {
    if (this.#offered === value) return;
    this.#offered = value;
    this.#waker.wake();
  }

  /** Undefined until what lies here has been read once. */
  holding(): Holding | undefined {
    if (this.#placed === undefined) return undefined;
    return { manifest: this.#manifest, placed: this.#placed, problems: this.#problems };
  }

  /** Calls `listener` whenever `holding` may have changed. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Until `signal`. Units are left as they are; jobs already asked for go on in systemd. */
  async run(signal: AbortSignal): Promise<void> {
    const { systemd, clock, log, troubles } = this.#ports;
    // After a lost connection anything may have changed; single state changes are the status's business.
    const stop = systemd.onChange((names) => {
      if (names === undefined) this.#waker.wake();
    });
    try {
      await this.#hearRegistry(signal);
      await tick({ name: "local", waker: this.#waker, clock, log, troubles, pass: (each) => this.#pass(each) }, signal);
    } finally {
      stop();
      const tasks = [...this.#tasks.values()];
      for (const task of tasks) task.over.abort();
      await Promise.all(tasks.map((task) => task.done));
    }
  }

  /**
   * After a reboot the own copy may name units that have moved meanwhile: the registry is heard first, if it can be had
   * soon. Without it the own copy holds.
   */
  async #hearRegistry(signal: AbortSignal): Promise<void> {
    const { clock, registryReady } = this.#ports;
    const { controller, dispose } = childOf(signal);
    const over = () => controller.abort();
    const patience = clock.sleep(patienceMs, controller.signal).then(over, over);
    // Rejects only when cut short: then the own copy serves.
    await registryReady(controller.signal).catch(over);
    dispose();
    await patience;
  }

  async #pass(signal: AbortSignal): Promise<number | undefined> {
    const { systemd } = this.#ports;
    await this.#accept();
    this.#placed = await systemd.placed();
    const manifest = this.#manifest;
    if (manifest === undefined) {
      this.#tell();
      return undefined;
    }
    const { units, missing } = await this.#resolve(manifest, signal);
    this.#abandonOutdated(manifest);
    const lying = this.#placed.map((unit) => unit.name);
    const fresh = wantedNames(manifest).filter((name) => !lying.includes(name));
    const [states, foreign] = await Promise.all([systemd.states(lying), systemd.foreign(fresh)]);
    // What an earlier process wrote may never have been read by systemd.
    this.#reloadDue ||= this.#first && this.#placed.some((unit) => unread(unit, states.get(unit.name)));
    this.#first = false;
    const { plan: todo, problems } = plan({
      entries: manifest.units,
      units,
      placed: this.#placed,
      states,
      foreign,
      busy: this.#busy(manifest),
      reloadDue: this.#reloadDue,
    });
    this.#renewProblems(manifest, problems);
    this.#reloadDue ||= todo.reload;
    const failed = await this.#write(todo.write.map(({ unit }) => unit));
    if (todo.reload) await systemd.reload();
    this.#reloadDue = false;
    if (todo.write.length > 0) this.#placed = await systemd.placed();
    this.#launch(
      todo.jobs.filter((job) => !failed.has(job.unit)),
      manifest,
    );
    this.#tell();
    if (missing !== undefined) throw missing;
    return this.#nextRetryMs();
  }

  /** Takes the newer of the own copy and what the registry offers, and keeps it before acting on it. */
  async #accept(): Promise<void> {
    const { disk, troubles, log, me } = this.#ports;
    if (!this.#loaded) {
      const kept = await disk.read(manifestFile);
      const read = kept === undefined ? undefined : parseManifest(manifestFile, kept);
      if (read?.ok === true) this.#manifest = read.value;
      // A damaged copy is no reason to stop anything: the registry's manifest takes its place.
      if (read?.ok === false) log.error("manifest.damaged", read.problems[0]);
      this.#loaded = true;
    }
    const offered = this.#offered;
    if (offered === undefined) return;
    const read = parseManifest(`manifests/${me}`, offered);
    if (!read.ok) {
      const [first] = read.problems;
      if (first !== undefined) troubles.set("manifest", toRecord(first));
      return;
    }
    const manifest = read.value;
    if (manifest.machine !== me) {
      troubles.set("manifest", {
        code: "manifest-foreign",
        message: `Cannot use a manifest made for machine ${manifest.machine}`,
      });
      return;
    }
    const order = this.#manifest === undefined ? 1 : comparePositions(manifest, this.#manifest);
    if (order < 0) {
      troubles.set("manifest", {
        code: "manifest-stale",
        message: `Cannot use manifest ${positionText(manifest)}: this machine has seen ${positionText(this.#manifest ?? manifest)}`,
        hint: "The registry was restored from an older copy, or an old leader wrote it; what runs here goes on running",
      });
      return;
    }
    troubles.clear("manifest");
    if (order === 0) return;
    await disk.write(manifestFile, encodeManifest(manifest));
    this.#manifest = manifest;
    log.info("manifest.accepted", {
      epoch: manifest.epoch,
      generation: manifest.generation,
      units: manifest.units.length,
    });
  }

  /**
   * The texts that the manifest names, from git alone. A unit whose text is not to be had, or differs from the hash in
   * the manifest, is left out; the first reason comes back in `missing`, so that the pass is repeated.
   */
  async #resolve(
    manifest: Manifest,
    signal: AbortSignal,
  ): Promise<{ units: ReadonlyMap<UnitName, Unit>; missing: Problem | undefined }> {
    const units = new Map<UnitName, Unit>();
    const { commits, git } = this.#ports;
    const entries = manifest.units.filter((entry) => entry.target !== "released");
    if (entries.length === 0) return { units, missing: undefined };
    if (commits === undefined || git === undefined) {
      return {
        units,
        missing: new Problem("git-unset", "Cannot read unit texts: no repository is set", {
          hint: "Set URL= in [Git]",
        }),
      };
    }
    let missing: Problem | undefined;
    let fetched = false;
    const unresolved = new Set<ManifestEntry>();
    for (const [commit, group] of groupByCommit(entries)) {
      try {
        if (!(await commits.has(commit)) && !fetched) {
          fetched = true;
          await git.fetch(signal);
        }
        const desired = await commits.desired(commit);
        for (const entry of group) {
          const unit = desired.ok ? desired.value.units.get(entry.name) : undefined;
          if (unit?.hash === entry.hash) units.set(entry.name, unit);
          else unresolved.add(entry);
        }
      } catch (error) {
        missing ??= asProblem(error, "git-commit", `Cannot read commit ${commit}`);
        for (const entry of group) unresolved.add(entry);
      }
    }
    if (unresolved.size > 0) await this.#resolveFromHead(unresolved, units);
    for (const entry of unresolved) {
      if (units.has(entry.name)) continue;
      missing ??= new Problem(
        "unit-hash",
        `Cannot find unit "${entry.name}" with hash ${entry.hash.slice(0, 7)} in commit ${entry.commit}`,
        {
          hint: "The registry names a text that the repository does not hold; the unit is left as it is",
        },
      );
    }
    return { units, missing };
  }

  /** A commit that was rewritten away may be gone everywhere; the same text under the branch's head serves as well. */
  async #resolveFromHead(entries: ReadonlySet<ManifestEntry>, units: Map<UnitName, Unit>): Promise<void> {
    const { commits, git } = this.#ports;
    const head = await git?.head();
    if (head === undefined || commits === undefined) return;
    const desired = await commits.desired(head);
    if (!desired.ok) return;
    for (const entry of entries) {
      const unit = desired.value.units.get(entry.name);
      if (unit?.hash === entry.hash) units.set(entry.name, unit);
    }
  }

  /** Stops waiting for jobs whose unit is now wanted otherwise; systemd lets the new job take the old one's place. */
  #abandonOutdated(manifest: Manifest): void {
    const wanted = new Map(manifest.units.map((entry) => [entry.name, entry]));
    for (const [name, task] of this.#tasks) {
      if (wish(wanted.get(name)) === wish(task.entry)) continue;
      task.over.abort();
      this.#tasks.delete(name);
    }
  }

  #busy(manifest: Manifest): ReadonlySet<UnitName> {
    const busy = new Set(this.#tasks.keys());
    const wanted = new Map(manifest.units.map((entry) => [entry.name, entry]));
    const now = this.#ports.clock.monotonicMs();
    for (const [name, rest] of this.#rests) {
      if (rest.wanted !== wish(wanted.get(name))) this.#rests.delete(name);
      else if (rest.untilMs > now) busy.add(name);
    }
    return busy;
  }

  #nextRetryMs(): number | undefined {
    const now = this.#ports.clock.monotonicMs();
    const due = [...this.#rests.values()].map((rest) => rest.untilMs - now).filter((ms) => ms > 0);
    return due.length === 0 ? undefined : Math.min(...due);
  }

  /** Problems of the plan replace those of the last one; a job's problem stays until its unit does better or leaves. */
  #renewProblems(manifest: Manifest, fresh: ReadonlyMap<UnitName, Problem>): void {
    const wanted = new Set(wantedNames(manifest));
    for (const [name, problem] of this.#problems) {
      if ((planned.has(problem.code) && !fresh.has(name)) || (!wanted.has(name) && !this.#tasks.has(name))) {
        this.#problems.delete(name);
      }
    }
    for (const [name, problem] of fresh) this.#problem(name, problem);
  }

  #problem(name: UnitName, problem: Problem): void {
    const record = toRecord(problem);
    if (this.#problems.get(name)?.message !== record.message)
      this.#ports.log.error("unit.problem", problem, { unit: name });
    this.#problems.set(name, record);
  }

  async #write(units: readonly Unit[]): Promise<ReadonlySet<UnitName>> {
    const { systemd, log } = this.#ports;
    const failed = new Set<UnitName>();
    if (units.length === 0) return failed;
    const unwritten = await systemd.write(units);
    const installed = units.filter((unit) => unit.hasInstall && !unwritten.has(unit.name)).map((unit) => unit.name);
    const unenabled = installed.length === 0 ? new Map<UnitName, Problem>() : await systemd.enable(installed);
    for (const [name, problem] of unwritten) {
      failed.add(name);
      this.#problem(name, problem);
    }
    for (const [name, problem] of unenabled) this.#problem(name, problem);
    log.info("units.written", { units: units.length - failed.size });
    return failed;
  }

  #launch(jobs: readonly Job[], manifest: Manifest): void {
    const wanted = new Map(manifest.units.map((entry) => [entry.name, entry]));
    const tasks = jobs.map((job): Task => {
      const task: Task = {
        job,
        entry: wanted.get(job.unit),
        over: new AbortController(),
        done: Promise.resolve(false),
      };
      this.#tasks.set(job.unit, task);
      return task;
    });
    // All are known before the first begins, so that `after` finds those that come later in name order.
    for (const task of tasks) {
      task.done = this.#carryOut(task).finally(() => {
        if (this.#tasks.get(task.job.unit) === task) this.#tasks.delete(task.job.unit);
        // A pass only where one must try again: two hundred ended jobs are no reason to read two hundred units anew.
        if (this.#rests.has(task.job.unit)) this.#waker.wake();
        this.#tell();
      });
    }
  }

  async #carryOut(task: Task): Promise<boolean> {
    const { job, entry, over } = task;
    try {
      // Deferred, so that every task of the batch is in place.
      await Promise.resolve();
      const before = await Promise.all(job.after.map((name) => this.#isOver(name)));
      if (over.signal.aborted) return false;
      const held = job.after.filter((_, index) => before[index] === false);
      if (held.length > 0) {
        const problem = new Problem(
          "unit-held",
          `Cannot ${job.kind} unit "${job.unit}" before ${held.join(", ")} has stopped`,
          {
            hint: "It is tried again",
          },
        );
        this.#problem(job.unit, problem);
        this.#rest(job.unit, entry);
        return false;
      }
      const ended = await this.#perform(job, entry, over.signal);
      if (ended === undefined) {
        this.#rests.delete(job.unit);
        if (this.#problems.get(job.unit)?.code !== "unit-enable") this.#problems.delete(job.unit);
        return true;
      }
      this.#problem(job.unit, ended.problem);
      if (ended.retry) this.#rest(job.unit, entry);
      return false;
    } catch (error) {
      if (over.signal.aborted) return false;
      this.#problem(job.unit, asProblem(error, "unit-job", `Cannot ${job.kind} unit "${job.unit}"`));
      this.#rest(job.unit, entry);
      return false;
    }
  }

  /** Whether a unit that must go first has gone; a stop that failed and rests until it is tried again has not. */
  async #isOver(name: UnitName): Promise<boolean> {
    const task = this.#tasks.get(name);
    return task === undefined ? !this.#rests.has(name) : task.done;
  }

  /** Undefined when the job did what it was for. */
  async #perform(
    job: Job,
    entry: ManifestEntry | undefined,
    signal: AbortSignal,
  ): Promise<{ problem: Problem; retry: boolean } | undefined> {
    const { systemd, log, clock } = this.#ports;
    const fromMs = clock.monotonicMs();
    const kind = job.kind === "remove" ? "stop" : job.kind;
    const result = await systemd.run(kind, job.unit, signal);
    log.info("unit.job", {
      unit: job.unit,
      job: job.kind,
      result: result.result,
      because: job.because,
      ms: Math.round(clock.monotonicMs() - fromMs),
    });
    if (kind === "stop") return this.#afterStop(job, result);
    if (result.result === "refused" || result.result === "dependency")
      return { problem: jobProblem(job, result), retry: true };
    // Told once with this text: fleet's rule is that a start that failed is not tried again until something changes.
    if (entry !== undefined) {
      await systemd.noteLaunched(job.unit, entry.hash);
      this.#know(job.unit, (unit) => ({ ...unit, launched: entry.hash }));
    }
    return result.problem === undefined ? undefined : { problem: result.problem, retry: false };
  }

  /** What counts is that the unit is down, whatever the stop job was called. */
  async #afterStop(job: Job, result: JobResult): Promise<{ problem: Problem; retry: boolean } | undefined> {
    const { systemd } = this.#ports;
    const state = (await systemd.states([job.unit])).get(job.unit);
    if (state === undefined || !["inactive", "failed"].includes(state.active)) {
      return { problem: jobProblem(job, result), retry: true };
    }
    if (job.kind === "remove") {
      await systemd.remove(job.unit);
      this.#know(job.unit, () => undefined);
    } else {
      await systemd.noteLaunched(job.unit, undefined);
      this.#know(job.unit, (unit) => ({ ...unit, launched: undefined }));
    }
    return undefined;
  }

  /** Keeps what is known of the disk in step with a change that this process has just made there. */
  #know(name: UnitName, change: (unit: PlacedUnit) => PlacedUnit | undefined): void {
    this.#placed = this.#placed?.flatMap((unit) => (unit.name === name ? (change(unit) ?? []) : [unit]));
  }

  #rest(name: UnitName, entry: ManifestEntry | undefined): void {
    const failures = (this.#rests.get(name)?.failures ?? 0) + 1;
    const ms = Math.min(firstRetryMs * 2 ** (failures - 1), longestRetryMs);
    this.#rests.set(name, { wanted: wish(entry), untilMs: this.#ports.clock.monotonicMs() + ms, failures });
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Codes of problems that the plan itself finds anew in every pass. */
const planned: ReadonlySet<string> = new Set(["unit-foreign"]);

function wantedNames(manifest: Manifest): readonly UnitName[] {
  return manifest.units.filter((entry) => entry.target !== "released").map((entry) => entry.name);
}

function unread(unit: PlacedUnit, state: SystemdState | undefined): boolean {
  return unit.launched !== unit.hash || state === undefined || state.load === "not-found";
}

/** What is wanted of a unit here, as text to compare; a job or a rest ends when it changes. */
function wish(entry: ManifestEntry | undefined): string {
  return entry === undefined || entry.target === "released" ? "gone" : `${entry.target} ${entry.hash}`;
}

function jobProblem(job: Job, result: JobResult): Problem {
  return (
    result.problem ??
    new Problem("unit-job", `Cannot ${job.kind} unit "${job.unit}": the job ended as ${result.result}`)
  );
}

function positionText(position: { readonly epoch: number; readonly generation: number }): string {
  return `${position.epoch}.${position.generation}`;
}

function groupByCommit(
  entries: readonly ManifestEntry[],
): ReadonlyMap<ManifestEntry["commit"], readonly ManifestEntry[]> {
  const groups = new Map<ManifestEntry["commit"], ManifestEntry[]>();
  for (const entry of [...entries].sort((a, b) => byName(a.commit, b.commit))) {
    const group = groups.get(entry.commit);
    if (group === undefined) groups.set(entry.commit, [entry]);
    else group.push(entry);
  }
  return groups;
}
