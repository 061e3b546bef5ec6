// A machine's systemd in memory, behind ports/systemd.ts: what a test wants to happen it says beforehand.
// Units and their states outlive the agent's handles (`open`), as they do on a machine; `reboot` ends them.
import type { LaunchNote, PlacedUnit } from "../../agent/domain/action.ts";
import { type UnitHash, type UnitName, byName, unknownText } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { SystemdState } from "../../agent/domain/status.ts";
import type { Unit } from "../../agent/domain/unit.ts";
import type { Clock } from "../../agent/ports/clock.ts";
import type { JobResult, Systemd } from "../../agent/ports/systemd.ts";
import { systemdHash, unitHash } from "../../agent/text/hash.ts";

export type FakeJob = "start" | "stop" | "restart" | "reload";

/**
 * How a start (or restart) of a unit goes: up and staying so; failed with this exit status; not ending until `finish` or
 * a stop; refused or failed because of another unit.
 */
export type FakeStart =
  | { readonly kind: "up"; readonly sub?: string }
  | { readonly kind: "fails"; readonly status: number }
  | { readonly kind: "hangs" }
  | { readonly kind: "needs"; readonly unit: string; readonly how: "missing" | "failed" };

export interface FakeSystemdOptions {
  readonly wallMs?: () => number;
  /** On which permits end, whatever becomes of agents; the real one unless set. */
  readonly clock?: Pick<Clock, "monotonicMs" | "sleep">;
}

interface Launch extends LaunchNote {
  readonly as?: UnitHash | undefined;
}

interface Lying {
  readonly text: string;
  readonly hash: UnitHash;
  readonly systemdHash: UnitHash;
  readonly launched: UnitHash | undefined;
  readonly launchedAs?: UnitHash | undefined;
  readonly restarted?: string | undefined;
  readonly ahead?: "stop" | { readonly note: Launch; readonly invocation: number } | undefined;
  readonly installDue?: true | undefined;
  readonly fenceStepMs?: number | undefined;
  /** How often it had been started when this text came to lie there. */
  readonly changedAt: number;
}

interface Hanging {
  readonly job: FakeJob;
  readonly end: (result: JobResult) => void;
}

/** Lines by which a unit goes down with another, takes another with it when it starts, and cannot start without it. */
const goesWith = /^(Requires|Requisite|BindsTo|PartOf)=/;
const pullsIn = /^(Wants|Requires|Requisite|BindsTo)=/;
const needs = /^(Requires|BindsTo)=/;

const forgotten: Partial<Lying> = { launched: undefined, restarted: undefined, ahead: undefined };

const notFound: SystemdState = {
  load: "not-found",
  active: "inactive",
  sub: "dead",
  result: "",
  sinceMs: 0,
  restarts: 0,
};

export class FakeSystemd {
  /** Everything that was asked of systemd, in order: `write web.service`, `reload`, `start web.service`. */
  readonly asked: string[] = [];

  readonly #wallMs: () => number;
  readonly #clock: Pick<Clock, "monotonicMs" | "sleep">;
  readonly #lying = new Map<UnitName, Lying>();
  readonly #states = new Map<UnitName, SystemdState>();
  readonly #host = new Map<UnitName, string>();
  readonly #aliases = new Map<UnitName, UnitName>();
  readonly #starts = new Map<UnitName, FakeStart>();
  readonly #hanging = new Map<UnitName, Set<Hanging>>();
  /** Units of which a stop does not end until `finish`, or until another job takes its place. */
  readonly #slowStops = new Set<UnitName>();
  /** How often each unit has been started, by whatever job: another count is another invocation. */
  readonly #invocations = new Map<UnitName, number>();
  readonly #enabled = new Set<UnitName>();
  readonly #unwritable = new Map<UnitName, Problem>();
  readonly #listeners = new Set<(names: ReadonlySet<UnitName> | undefined) => void>();
  /** How long a unit takes to go down when its permit ends, on the clock; at once unless set. */
  readonly #fallMs = new Map<UnitName, number>();
  #falls = new AbortController();
  /** What the end of the permit is stopping: no start calls that off. */
  readonly #falling = new Set<UnitName>();
  /** A permit was refused because of that. */
  #isAwaited = false;
  #permit: { readonly untilMs: number; readonly over: AbortController } | undefined;
  #reachable = true;
  #isEnded = false;

  constructor(options: FakeSystemdOptions = {}) {
    this.#wallMs = options.wallMs ?? Date.now;
    this.#clock = options.clock ?? realClock;
  }

  /** How `name` starts from now on; without this every unit comes up. */
  onStart(name: UnitName, start: FakeStart): void {
    this.#starts.set(name, start);
  }

  /** From now on its stops do not end by themselves, whoever waits for them or not: `finish` ends one. */
  hangStops(name: UnitName, hang: boolean): void {
    if (hang) this.#slowStops.add(name);
    else this.#slowStops.delete(name);
  }

  /** When its permit ends, `name` is `deactivating` for so long before it is down. */
  fallsWithin(name: UnitName, ms: number): void {
    this.#fallMs.set(name, ms);
  }

  /** The end of the permit of units with OnPartition=stop; undefined while there is none. */
  get permitUntilMs(): number | undefined {
    return this.#permit?.untilMs;
  }

  /** How often it has been started, restarts included. */
  invocations(name: UnitName): number {
    return this.#invocations.get(name) ?? 0;
  }

  /** Whether its [Install] section has been honoured since the machine booted. */
  isEnabled(name: UnitName): boolean {
    return this.#enabled.has(name);
  }

  /** The host has a unit of this name itself. */
  addHostUnit(name: UnitName, where: string): void {
    this.#host.set(name, where);
  }

  /** systemd has a slice without a file: up, and the host's own only at the root. */
  addMadeSlice(name: UnitName): void {
    if (name === "-.slice") this.#host.set(name, "a unit without a file");
    this.#states.set(name, { ...notFound, load: "loaded", active: "active", sub: "active" });
  }

  /** The host has a unit of its own by this name as well. */
  addHostAlias(alias: UnitName, of: UnitName): void {
    this.#host.set(alias, `a name of ${of}`);
    this.#aliases.set(alias, of);
  }

  removeHostUnit(name: UnitName): void {
    this.#host.delete(name);
  }

  hostUnit(name: UnitName): string | undefined {
    return this.#host.get(name);
  }

  /** Writes of `name` fail with this, until undefined. */
  failWrites(name: UnitName, problem: Problem | undefined): void {
    if (problem === undefined) this.#unwritable.delete(name);
    else this.#unwritable.set(name, problem);
  }

  /** What happens to a unit without the agent's doing: it crashes, ends, is stopped by hand. */
  setState(name: UnitName, change: Partial<SystemdState>): void {
    const state = { ...this.state(name), ...change };
    const moved = change.active !== undefined && change.active !== this.state(name).active;
    this.#states.set(name, moved && change.sinceMs === undefined ? { ...state, sinceMs: this.#wallMs() } : state);
    this.#tell(new Set([name]));
    if (this.state(name).active !== "deactivating") this.#fell(name);
    // However it went down: the stop that took it down has come to its end
    if (moved && !this.#isUp(name)) this.#endStops(name);
  }

  state(name: UnitName): SystemdState {
    const known = this.#states.get(name);
    if (known !== undefined) return known;
    if (this.#aliases.has(name) || (!this.#lying.has(name) && !this.#host.has(name))) return notFound;
    const result = /\.(target|slice)$/.test(name) ? "" : "success";
    return { ...notFound, load: "loaded", result };
  }

  /** The text that lies there; undefined when the unit is not placed. */
  textOf(name: UnitName): string | undefined {
    return this.#lying.get(name)?.text;
  }

  /** Somebody writes another text over the one that lies there. */
  edit(name: UnitName, text: string): void {
    this.#note(name, {
      text,
      hash: unitHash(text, []),
      systemdHash: systemdHash({ text, dropIns: [] }),
      changedAt: this.invocations(name),
    });
  }

  /** Ends a job that hangs. */
  finish(name: UnitName, result: "done" | "failed"): void {
    if (this.state(name).active === "deactivating") {
      this.#down(name);
      return;
    }
    if (result === "done") this.setState(name, { load: "loaded", active: "active", sub: "running", result: "success" });
    else this.setState(name, { load: "loaded", active: "failed", sub: "failed", result: "timeout" });
    this.#endHanging(name, (job) =>
      result === "done"
        ? { result }
        : { result, problem: failure(job, name, "It was not up within its TimeoutStartSec=") },
    );
  }

  /** The connection is lost: every call is rejected until `reconnect`. */
  disconnect(): void {
    this.#reachable = false;
  }

  reconnect(): void {
    this.#reachable = true;
    this.#tell(undefined);
  }

  /** Runtime files and states are gone; the host's own units are not. */
  reboot(): void {
    for (const name of [...this.#hanging.keys()]) this.#endHanging(name, (job) => canceled(job, name));
    this.#permit?.over.abort(new Error("reboot"));
    this.#falls.abort(new Error("reboot"));
    this.#falls = new AbortController();
    this.#permit = undefined;
    this.#falling.clear();
    this.#lying.clear();
    this.#states.clear();
    this.#invocations.clear();
    this.#enabled.clear();
  }

  /** All units are down, and what lies here is not gone: a soft reboot. Agents end with it. */
  softReboot(): void {
    for (const name of [...this.#hanging.keys()]) this.#endHanging(name, (job) => canceled(job, name));
    this.#permit?.over.abort(new Error("soft reboot"));
    this.#falls.abort(new Error("soft reboot"));
    this.#falls = new AbortController();
    this.#permit = undefined;
    this.#falling.clear();
    this.#states.clear();
    this.#isEnded = true;
  }

  /** An agent's handle. */
  open(): Systemd {
    if (this.#isEnded) for (const name of this.#lying.keys()) this.#note(name, forgotten);
    this.#isEnded = false;
    const own = new Set<(names: ReadonlySet<UnitName> | undefined) => void>();
    const over = new AbortController();
    const reach = (): void => {
      if (over.signal.aborted) throw new Problem("aborted", "Cannot use a closed connection to systemd");
      if (!this.#reachable) throw new Problem("systemd-unreachable", "Cannot reach systemd");
    };
    return {
      placed: async () =>
        [...this.#lying].sort(([a], [b]) => byName(a, b)).map(([name, lying]) => this.#placed(name, lying)),
      foreign: async (names) => {
        reach();
        return new Map(names.flatMap((name) => (this.#host.has(name) ? [[name, this.#host.get(name) ?? ""]] : [])));
      },
      states: async (names) => {
        reach();
        return new Map(names.map((name) => [name, this.state(name)]));
      },
      write: async (units) => new Map(units.flatMap((unit) => this.#write(unit))),
      enable: async (names) => {
        reach();
        const problems = new Map(names.flatMap((name) => this.#enable(name)));
        for (const name of names) this.#note(name, { installDue: undefined });
        return problems;
      },
      reload: async () => {
        reach();
        this.asked.push("reload");
      },
      run: async (job, name, signal) => {
        reach();
        if (signal.aborted) throw aborted(signal);
        return this.#run(job, name, AbortSignal.any([signal, over.signal]));
      },
      noteLaunched: async (name, note) => {
        const launchedAs = note === undefined ? undefined : this.#launchOf(name, note).as;
        this.#note(name, { launched: note?.hash, launchedAs, restarted: note?.restart, ahead: undefined });
        return {
          launched: note?.hash,
          ...(launchedAs === undefined ? {} : { launchedAs }),
          ...(note?.restart === undefined ? {} : { restarted: note.restart }),
        };
      },
      noteAhead: async (name, next) => {
        const note = next === "stop" ? undefined : this.#launchOf(name, next);
        this.#note(name, { ahead: note === undefined ? "stop" : { note, invocation: this.invocations(name) } });
      },
      grantPermit: async (untilMs) => {
        reach();
        if (this.#falling.size > 0) {
          this.#isAwaited = true;
          throw new Problem("systemd-permit", "Cannot let units with OnPartition=stop run", {
            hint: "What ran here is still being stopped",
          });
        }
        const fallen = this.#permit === undefined ? this.#dependents((name) => !this.#isUp(name)) : [];
        for (const name of fallen) this.#note(name, forgotten);
        this.#arm(untilMs);
        return fallen;
      },
      extendPermit: async (untilMs) => {
        reach();
        if (this.#permit === undefined) return false;
        this.#arm(untilMs);
        return true;
      },
      letGo: async (name) => {
        reach();
        if (!this.#enabled.delete(name)) return;
        this.asked.push("reload");
        this.#note(name, { installDue: true });
      },
      remove: async (name) => {
        reach();
        const where = this.#host.get(name);
        if (where !== undefined) throw foreignProblem(name, where);
        this.asked.push(`remove ${name}`);
        this.#lying.delete(name);
        this.#enabled.delete(name);
        this.#states.delete(name);
      },
      onChange: (listener) => {
        own.add(listener);
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      close: async () => {
        over.abort(new Error("closed"));
        for (const listener of own) this.#listeners.delete(listener);
      },
    };
  }

  #write(unit: Unit): [UnitName, Problem][] {
    const where = this.#host.get(unit.name);
    const problem = where === undefined ? this.#unwritable.get(unit.name) : foreignProblem(unit.name, where);
    if (problem !== undefined) return [[unit.name, problem]];
    this.asked.push(`write ${unit.name}`);
    const { text, dropIns, hasInstall, fence } = unit;
    if (!hasInstall) this.#enabled.delete(unit.name);
    this.#lying.set(unit.name, {
      launched: undefined,
      ...this.#lying.get(unit.name),
      text,
      hash: unitHash(text, dropIns),
      systemdHash: systemdHash(unit),
      installDue: hasInstall ? true : undefined,
      fenceStepMs: fence?.stepMs,
      changedAt: this.invocations(unit.name),
    });
    return [];
  }

  #note(name: UnitName, change: Partial<Lying>): void {
    const lying = this.#lying.get(name);
    if (lying !== undefined) this.#lying.set(name, { ...lying, ...change });
  }

  #launchOf(name: UnitName, note: LaunchNote): Launch {
    const lying = this.#lying.get(name);
    return lying?.hash === note.hash ? { ...note, as: lying.systemdHash } : note;
  }

  #placed(name: UnitName, lying: Lying): PlacedUnit {
    const { hash, restarted, ahead, installDue, fenceStepMs } = lying;
    const isOther = ahead === undefined && ![undefined, hash].includes(lying.launched);
    const isUp = !["inactive", "failed"].includes(this.state(name).active);
    const isDoubtful = isOther && isUp && this.invocations(name) > lying.changedAt;
    const launched = isDoubtful ? unknownText : lying.launched;
    if (isDoubtful) this.#note(name, { launched, launchedAs: undefined });
    const isStarted = typeof ahead === "object" && this.invocations(name) !== ahead.invocation;
    const note = isStarted
      ? ahead.note
      : { hash: launched, restart: restarted, as: isDoubtful ? undefined : lying.launchedAs };
    return {
      name,
      hash,
      launched: note.hash,
      ...(note.as === undefined || note.hash === undefined ? {} : { launchedAs: note.as }),
      ...(note.restart === undefined ? {} : { restarted: note.restart }),
      ...(ahead === undefined || isStarted ? {} : { unsettled: ahead === "stop" ? "stop" : "launch" }),
      ...(installDue === undefined ? {} : { installDue }),
      ...(fenceStepMs === undefined ? {} : { fenceStepMs }),
    };
  }

  #arm(untilMs: number): void {
    this.#permit?.over.abort(new Error("another permit"));
    const permit = { untilMs, over: new AbortController() };
    this.#permit = permit;
    const end = (): void => {
      if (this.#permit === permit) this.#fall();
    };
    if (untilMs <= this.#clock.monotonicMs()) end();
    else this.#clock.sleep(untilMs - this.#clock.monotonicMs(), permit.over.signal).then(end, () => undefined);
  }

  /** The permit is over: what had it goes down, by systemd's own doing. */
  #fall(): void {
    this.#permit = undefined;
    const fenced = [...this.#lying].flatMap(([name, { fenceStepMs }]) => (fenceStepMs === undefined ? [] : [name]));
    for (const name of [...fenced, ...this.#dependents(() => true)].filter((each) => this.#isUp(each))) {
      this.#endHanging(name, (job) => canceled(job, name));
      this.setState(name, { active: "deactivating", sub: "stop" });
      this.#falling.add(name);
      const ms = this.#fallMs.get(name) ?? 0;
      if (ms === 0) this.#down(name);
      else
        this.#clock.sleep(ms, this.#falls.signal).then(
          () => this.#down(name),
          () => undefined,
        );
    }
  }

  /** The stop of `name` has come to its end. */
  #down(name: UnitName): void {
    if (this.state(name).active !== "deactivating") return;
    this.setState(name, { active: "inactive", sub: "dead" });
    this.#endHanging(name, () => ({ result: "done" }));
  }

  /** It is no longer stopped by the end of a permit: the last such lets another be given. */
  #fell(name: UnitName): void {
    if (!this.#falling.delete(name) || this.#falling.size > 0 || !this.#isAwaited) return;
    this.#isAwaited = false;
    this.#tell(undefined);
  }

  #isUp(name: UnitName): boolean {
    return !["inactive", "failed"].includes(this.state(name).active);
  }

  /** Units of ours without a permit of their own that depend on one with, or on another that does, and are as asked. */
  #dependents(isAsked: (name: UnitName) => boolean): readonly UnitName[] {
    const lying = [...this.#lying].filter(([name, { fenceStepMs }]) => fenceStepMs !== undefined || isAsked(name));
    const reached = new Set(lying.flatMap(([name, { fenceStepMs }]) => (fenceStepMs === undefined ? [] : [name])));
    for (let before = -1; before !== reached.size;) {
      before = reached.size;
      for (const [name] of lying)
        if (this.#named(name, goesWith).some((other) => reached.has(other))) reached.add(name);
    }
    return lying.flatMap(([name, { fenceStepMs }]) => (fenceStepMs === undefined && reached.has(name) ? [name] : []));
  }

  /** Units of ours that its text names behind these keys. */
  #named(name: UnitName, keys: RegExp): readonly UnitName[] {
    const lines = (this.#lying.get(name)?.text ?? "").split("\n").filter((line) => keys.test(line));
    const words = lines.flatMap((line) => line.slice(line.indexOf("=") + 1).split(" ")) as UnitName[];
    return words.filter((word) => this.#lying.has(word));
  }

  #enable(name: UnitName): [UnitName, Problem][] {
    const text = this.#lying.get(name)?.text ?? "";
    const [, key, other] = /^(Alias|Also)=(.*)$/m.exec(text) ?? [];
    const beside = key === "Also" ? this.#lying.get(other as UnitName)?.text : undefined;
    const alias = key === "Alias" ? other : /^Alias=(.*)$/m.exec(beside ?? "")?.[1];
    const taken = [...this.#host.keys()].find((host) => host === alias);
    if (taken === undefined) {
      if (text.includes("[Install]")) this.#enabled.add(name);
      return [];
    }
    const hint = `${taken} is the machine's own (${this.#host.get(taken) ?? ""})`;
    return [[name, new Problem("systemd-enable", `Cannot enable unit "${name}"`, { hint })]];
  }

  async #run(job: FakeJob, name: UnitName, signal: AbortSignal): Promise<JobResult> {
    this.asked.push(`${job} ${name}`);
    const state = this.state(name);
    const alias = this.#aliases.get(name);
    if (alias !== undefined) return refused(job, name, `It is a name of ${alias} on this machine`);
    if (state.load === "not-found" && job !== "stop") return refused(job, name, "systemd has no such unit");
    switch (job) {
      case "stop":
        if (this.#falling.has(name)) return this.#hang(job, name, signal);
        this.#endHanging(name, (hanging) => canceled(hanging, name));
        if (this.#slowStops.has(name) && !["inactive", "failed"].includes(state.active)) {
          this.setState(name, { active: "deactivating", sub: "stop" });
          return this.#hang(job, name, signal);
        }
        this.setState(name, { active: "inactive", sub: "dead" });
        return { result: "done" };
      case "reload":
        if (state.active !== "active") return refused(job, name, "It is not active");
        if (!/\.(service|mount)$/.test(name)) return refused(job, name, "It cannot be reloaded");
        return { result: "done" };
      case "start":
        if (state.active === "active") return { result: "done" };
        // An equal job is under way
        if (state.active === "activating") return this.#hang(job, name, signal);
        return this.#start(job, name, signal);
      case "restart":
        return this.#start(job, name, signal);
    }
  }

  async #start(job: FakeJob, name: UnitName, signal: AbortSignal): Promise<JobResult> {
    const falls = [name, ...this.#named(name, pullsIn)].find((each) => this.#falling.has(each));
    if (falls !== undefined) return refused(job, name, `${falls} is being stopped`);
    for (const other of this.#named(name, needs)) {
      if (this.state(other).active === "active") continue;
      if ((await this.#start("start", other, signal)).result !== "done")
        return { result: "dependency", problem: failure(job, name, `It needs ${other}`) };
    }
    if (this.#lying.get(name)?.fenceStepMs !== undefined && this.#permit === undefined)
      return { result: "dependency", problem: failure(job, name, "It needs flotilla-permit.target (inactive)") };
    // A stop under way has to end first
    if (this.state(name).active === "deactivating") {
      this.#endHanging(name, (hanging) => canceled(hanging, name));
      this.setState(name, { active: "inactive", sub: "dead" });
    }
    const start = this.#starts.get(name) ?? { kind: "up" };
    if (start.kind !== "needs") this.#invocations.set(name, this.invocations(name) + 1);
    switch (start.kind) {
      case "up":
        this.setState(name, { load: "loaded", active: "active", sub: start.sub ?? "running", result: "success" });
        return { result: "done" };
      case "fails":
        this.setState(name, { load: "loaded", active: "failed", sub: "failed", result: "exit-code" });
        return { result: "failed", problem: failure(job, name, `Its main process exited with status ${start.status}`) };
      case "needs":
        if (start.how === "missing") {
          return refused(job, name, `It requires ${start.unit}, which this machine does not have`);
        }
        return { result: "dependency", problem: failure(job, name, `It needs ${start.unit} (failed)`) };
      case "hangs":
        this.setState(name, { load: "loaded", active: "activating", sub: "start" });
        return this.#hang(job, name, signal);
    }
  }

  #hang(job: FakeJob, name: UnitName, signal: AbortSignal): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const jobs = this.#hanging.get(name) ?? new Set();
      const hanging: Hanging = { job, end: resolve };
      this.#hanging.set(name, jobs.add(hanging));
      const leave = (): void => {
        jobs.delete(hanging);
        reject(aborted(signal));
      };
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
    });
  }

  #endStops(name: UnitName): void {
    const jobs = this.#hanging.get(name) ?? new Set();
    for (const hanging of [...jobs].filter(({ job }) => job === "stop")) {
      jobs.delete(hanging);
      hanging.end({ result: "done" });
    }
  }

  #endHanging(name: UnitName, result: (job: FakeJob) => JobResult): void {
    for (const hanging of this.#hanging.get(name) ?? []) hanging.end(result(hanging.job));
    this.#hanging.delete(name);
  }

  #tell(names: ReadonlySet<UnitName> | undefined): void {
    for (const listener of [...this.#listeners]) setImmediate(listener, names);
  }
}

const realClock: Pick<Clock, "monotonicMs" | "sleep"> = {
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      });
    }),
};

function failure(job: FakeJob, name: UnitName, hint: string, cause?: unknown): Problem {
  return new Problem("systemd-job", `Cannot ${job} unit "${name}"`, { hint, cause });
}

export function aborted(signal: AbortSignal): Problem {
  return new Problem("aborted", "Cannot go on waiting for systemd", { cause: signal.reason });
}

function refused(job: FakeJob, name: UnitName, hint: string): JobResult {
  return { result: "refused", problem: failure(job, name, hint, new Error(`Unit ${name} cannot be loaded`)) };
}

function canceled(job: FakeJob, name: UnitName): JobResult {
  return { result: "canceled", problem: failure(job, name, "Another job for the unit took its place") };
}

function foreignProblem(name: UnitName, where: string): Problem {
  return new Problem("unit-foreign", `Cannot place unit "${name}": this machine has one of its own at ${where}`);
}
