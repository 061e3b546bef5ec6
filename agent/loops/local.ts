// This machine's share: its manifest and what lies here -> actions -> systemd. Works from its own copies when registry
// and git are away. Never acts on anything it could not read: unknown is not absent.
import type { PlacedUnit, Write } from "../domain/action.ts";
import type { UnitName } from "../domain/names.ts";
import type { Manifest, ManifestEntry } from "../domain/placement.ts";
import { Problem, type ProblemRecord, asProblem, toRecord } from "../domain/problem.ts";
import type { SystemdState } from "../domain/status.ts";
import type { Unit } from "../domain/unit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Systemd } from "../ports/systemd.ts";
import { plan } from "../reconcile/reconcile.ts";
import type { Fence } from "./fence.ts";
import { Fetches } from "./fetches.ts";
import { type JobEnd, Jobs } from "./jobs.ts";
import type { OwnManifest } from "./own-manifest.ts";
import { patiently } from "./pauses.ts";
import { type TextSources, findTexts } from "./texts.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** At start the registry's manifest is waited for this long before the own copy is acted on. */
const patienceMs = 5_000;

/** Nobody tells when the host gives up a name: it is looked for this often. */
const foreignMs = 60_000;

export interface LocalPorts {
  readonly systemd: Systemd;
  readonly manifest: OwnManifest;
  readonly texts: TextSources;
  readonly fence: Fence;
  /** Resolves when the registry's manifest has been offered, or is known to be missing. */
  readonly registryReady: (signal: AbortSignal) => Promise<void>;
  /** Resolves unless this machine's id is known to be another's, whose manifest it then is; never without a registry. */
  readonly mayBegin: (signal: AbortSignal) => Promise<void>;
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

export class Local {
  readonly #ports: LocalPorts;
  readonly #waker = new Waker();
  readonly #jobs: Jobs;
  readonly #fetches: Fetches;
  readonly #problems = new Map<UnitName, ProblemRecord>();
  readonly #listeners = new Set<() => void>();
  #placed: readonly PlacedUnit[] | undefined;
  /** What jobs have done since the last look began. */
  #meanwhile = new Map<UnitName, Lies>();
  /** What the last pass knew. */
  #texts: ReadonlyMap<UnitName, Unit> = new Map();
  /** Units with OnPartition=stop that are to run here. */
  #fenced: ReadonlySet<UnitName> = new Set();
  #first = true;
  #reloadDue = false;

  constructor(ports: LocalPorts) {
    const { systemd, clock, log } = ports;
    this.#ports = ports;
    this.#fetches = new Fetches({ clock, onEnd: () => this.#waker.wake() });
    this.#jobs = new Jobs({
      systemd,
      clock,
      log,
      onEnd: (unit, end) => this.#ended(unit, end),
      mayBegin: (kind, unit) => (kind === "stop" ? this.#wantedNow(unit) !== "launched" : this.#mayStart(unit)),
      mayRemove: (unit) => ["released", undefined].includes(this.#wantedNow(unit)),
    });
  }

  /** The registry's value of this machine's manifest; call at every change of it. */
  offer(value: string): void {
    if (this.#ports.manifest.offer(value)) this.#waker.wake();
  }

  /** Undefined until what lies here has been read once. */
  holding(): Holding | undefined {
    if (this.#placed === undefined) return undefined;
    return { manifest: this.#ports.manifest.current, placed: this.#placed, problems: this.#problems };
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
    const stops = [
      systemd.onChange((names) => {
        if (names === undefined) this.#waker.wake();
      }),
      this.#ports.fence.onChange(() => this.#waker.wake()),
    ];
    try {
      await this.#hearRegistry(signal);
      // Rejects only when cut short
      await this.#ports.mayBegin(signal).catch(() => undefined);
      const pass = (each: AbortSignal): Promise<number | undefined> => this.#pass(each);
      await tick({ name: "local", waker: this.#waker, clock, log, troubles, heedsWakes: true, pass }, signal);
    } finally {
      for (const stop of stops) stop();
      await Promise.all([this.#jobs.end(), this.#fetches.end()]);
    }
  }

  /**
   * After a reboot the own copy may name units that have moved meanwhile: the registry is heard first, if it can be had
   * soon. Without it the own copy holds.
   */
  async #hearRegistry(signal: AbortSignal): Promise<void> {
    const { clock, registryReady } = this.#ports;
    // Rejects only when cut short: then the own copy serves.
    await patiently({ clock, ms: patienceMs, signal }, registryReady).catch(() => undefined);
  }

  async #pass(signal: AbortSignal): Promise<number | undefined> {
    const { systemd, manifest: own, fence } = this.#ports;
    const texts = { ...this.#ports.texts, fetches: this.#fetches };
    const isFresh = fence.isFresh();
    // A disk that takes nothing new is no reason not to do what it has
    const unaccepted = await own.accept().then(
      () => undefined,
      (error: unknown) => asProblem(error, "disk-write", "Cannot accept a manifest"),
    );
    await this.#look();
    const manifest = own.current;
    if (manifest === undefined) {
      this.#tell();
      if (unaccepted !== undefined) throw unaccepted;
      return undefined;
    }
    const told = manifest.units.filter((entry) => entry.target !== "released");
    const leaving = await this.#textsLeaving(told); // first: what is not told is not kept
    const { entries: staying, units, awaited, missing } = await findTexts(told, texts, signal);
    this.#texts = new Map([...leaving, ...units]);
    const released = manifest.units.filter((entry) => entry.target === "released");
    const wanted = new Map([...staying, ...released].map((entry) => [entry.name, entry]));
    if (this.#jobs.abandonOutdated(wanted)) await this.#look();
    const barred = await this.#bar({ staying, units, isFresh: isFresh && own.isHeard });
    const lying = new Set(this.#lying.map((unit) => unit.name));
    const fresh = staying.map((entry) => entry.name).filter((name) => !lying.has(name));
    const [states, foreign] = await Promise.all([systemd.states([...lying]), systemd.foreign(fresh)]);
    // What an earlier process wrote may never have been read by systemd.
    this.#reloadDue ||= this.#first && this.#lying.some((unit) => unread(unit, states.get(unit.name)));
    this.#first = false;
    const busy = this.#jobs.busy();
    const { plan: todo, problems } = plan({
      entries: [...wanted.values()],
      units: this.#texts,
      placed: this.#lying,
      states,
      foreign,
      busy: new Set([...busy, ...noLongerWanted(staying, own.unkept)]),
      barred: new Map([...[...awaited.names].map((name) => [name, undefined] as const), ...barred]),
      reloadDue: this.#reloadDue,
    });
    this.#renewProblems({ staying, busy }, problems);
    this.#reloadDue ||= todo.reload;
    const failed = await this.#write(todo.write);
    const refused = todo.reload ? await this.#reload() : undefined;
    this.#reloadDue = refused !== undefined;
    if (todo.write.length > 0) await this.#look();
    for (const name of failed) this.#jobs.rest(name, wanted.get(name));
    // What leaves needs no text
    const possible = todo.jobs.filter(({ kind }) => refused === undefined || kind === "stop" || kind === "remove");
    this.#jobs.launch(
      possible.filter((job) => !failed.has(job.unit)),
      wanted,
    );
    this.#tell();
    // Whatever could be done is done; for the rest the pass is repeated.
    if (unaccepted !== undefined) throw unaccepted;
    if (missing !== undefined) throw missing;
    if (refused !== undefined) throw refused;
    const isForeign = [...this.#problems.values()].some(({ code }) => code === "unit-foreign");
    const times = [this.#jobs.nextRetryMs() ?? [], isForeign ? foreignMs : [], awaited.ms > 0 ? awaited.ms : []].flat();
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Why systemd refuses to; undefined: it has read all units anew. */
  async #reload(): Promise<Problem | undefined> {
    try {
      await this.#ports.systemd.reload();
      return undefined;
    } catch (error) {
      if (error instanceof Problem && error.code === "systemd-reload") return error;
      throw error;
    }
  }

  /** As it is known now: jobs go on beside the pass. */
  get #lying(): readonly PlacedUnit[] {
    return this.#placed ?? [];
  }

  /** Reads anew what lies here. What a job did meanwhile may be missing in that, and counts. */
  async #look(): Promise<void> {
    const meanwhile = new Map<UnitName, Lies>();
    this.#meanwhile = meanwhile;
    const placed = await this.#ports.systemd.placed();
    this.#placed = [...meanwhile].reduce(withLies, placed);
  }

  /** Of what lies here and is not told to stay, where that is still at hand: nothing is fetched for it, nothing waits for it. */
  async #textsLeaving(told: readonly ManifestEntry[]): Promise<readonly (readonly [UnitName, Unit])[]> {
    const { kept } = this.#ports.texts;
    await kept.load();
    const staying = new Set(told.map(({ name }) => name));
    const released = new Map(this.#ports.manifest.current?.units.map((entry) => [entry.name, entry]));
    return this.#lying.flatMap(({ name, hash }) => {
      if (staying.has(name)) return [];
      const entry = released.get(name);
      const found = [this.#texts.get(name), entry && kept.find(entry)].find((text) => text?.hash === hash);
      return found === undefined ? [] : [[name, found] as const];
    });
  }

  /** Units with OnPartition=stop that may not be started now, and why; none while this machine is sure of them. */
  async #bar({ staying, units, isFresh }: Share): Promise<ReadonlyMap<UnitName, Problem | undefined>> {
    const { fence, systemd } = this.#ports;
    const lying = this.#lying.filter(({ fenceStepMs }) => fenceStepMs !== undefined);
    const before = new Set(lying.map(({ name }) => name));
    // One that is no longer to be stopped, too, as long as the leader reckons with it: others may have gone down with it
    const fenced = staying.flatMap(({ name, fenceMs }) =>
      units.get(name)?.fence !== undefined || (before.has(name) && fenceMs !== undefined) ? [name] : [],
    );
    this.#fenced = new Set(fenced);
    fence.need(fenced.length + lying.length > 0);
    if (fenced.length === 0) return new Map();
    let refusal: Problem | undefined;
    if (isFresh && fence.hasEnded()) {
      // First, for an agent that is killed in between finds the permit given and nothing to be started again
      const names = lying.map(({ name }) => name);
      this.#jobs.forgetStarts(names);
      for (const name of names) await systemd.noteLaunched(name, undefined);
      const opened = await fence.open();
      if (opened instanceof Problem) refusal = opened;
      else this.#jobs.forgetStarts(opened);
      await this.#look();
    }
    if (isFresh && fence.isOpen()) return new Map();
    const why = refusal ?? (fence.isCutOff() ? cutOff : fence.isUnconfirmed() ? unconfirmed : undefined);
    return new Map(fenced.map((name) => [name, why === undefined ? undefined : barredProblem(name, why)]));
  }

  /** By the newest manifest that was heard, also while it is being kept. */
  #wantedNow(unit: UnitName): ManifestEntry["target"] | undefined {
    const { unkept, current } = this.#ports.manifest;
    return (unkept ?? current)?.units.find(({ name }) => name === unit)?.target;
  }

  #mayStart(unit: UnitName): boolean {
    if (this.#wantedNow(unit) !== "launched") return false;
    if (!this.#fenced.has(unit) || this.#ports.fence.isOpen()) return true;
    this.#waker.wake();
    return false;
  }

  /** Problems of the plan replace those of the last one; a job's problem stays until its unit does better or leaves. */
  #renewProblems(
    { staying, busy }: { readonly staying: readonly ManifestEntry[]; readonly busy: ReadonlySet<UnitName> },
    fresh: ReadonlyMap<UnitName, Problem>,
  ): void {
    const wanted = new Set(staying.map((entry) => entry.name));
    for (const [name, problem] of this.#problems) {
      const outdated = planned.has(problem.code) && !fresh.has(name);
      if (outdated || (!wanted.has(name) && !busy.has(name))) this.#problems.delete(name);
    }
    for (const [name, problem] of fresh) this.#problem(name, problem);
  }

  #problem(name: UnitName, problem: Problem): void {
    const record = toRecord(problem);
    if (this.#problems.get(name)?.message !== record.message) {
      this.#ports.log.error("unit.problem", problem, { unit: name });
    }
    this.#problems.set(name, record);
  }

  async #write(writes: readonly Write[]): Promise<ReadonlySet<UnitName>> {
    const { systemd, log } = this.#ports;
    if (writes.length === 0) return new Set();
    const units = writes.map(({ unit }) => unit);
    const unwritten = await systemd.write(units);
    for (const { unit, launched } of writes)
      if (launched !== undefined && !unwritten.has(unit.name)) await systemd.noteLaunched(unit.name, launched);
    const installed = units.filter((unit) => unit.hasInstall && !unwritten.has(unit.name)).map((unit) => unit.name);
    const unenabled = installed.length === 0 ? new Map<UnitName, Problem>() : await systemd.enable(installed);
    for (const [name, problem] of [...unwritten, ...unenabled]) this.#problem(name, problem);
    log.info("units.written", { units: units.length - unwritten.size });
    return new Set(unwritten.keys());
  }

  /** Keeps what is known of unit and disk in step with what a job has just done. */
  #ended(name: UnitName, { problem, lies }: JobEnd): void {
    if (lies !== undefined) {
      this.#meanwhile.set(name, lies);
      this.#placed = this.#placed && withLies(this.#placed, [name, lies]);
    }
    if (problem !== undefined) this.#problem(name, problem);
    else if (this.#problems.get(name)?.code !== "systemd-enable") this.#problems.delete(name);
    // Only for a time to try again: two hundred ended jobs are no reason to read two hundred units anew.
    if (this.#jobs.nextRetryMs() !== undefined) this.#waker.wake();
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

type Lies = NonNullable<JobEnd["lies"]>;

/** What came of a job is known with it: the unit is settled. */
function withLies(placed: readonly PlacedUnit[], [name, lies]: readonly [UnitName, Lies]): readonly PlacedUnit[] {
  return placed.flatMap((unit): readonly PlacedUnit[] => {
    if (unit.name !== name) return [unit];
    if (lies === "gone") return [];
    const { unsettled: _, launched: __, launchedAs: ___, restarted: ____, ...settled } = unit;
    return [{ ...settled, ...lies }];
  });
}

interface Share {
  /** What the manifest wants here. */
  readonly staying: readonly ManifestEntry[];
  readonly units: ReadonlyMap<UnitName, Unit>;
  /** Whether the manifest is known to be that of the present. */
  readonly isFresh: boolean;
}

const cutOff = {
  when: " while this machine is cut off",
  hint: "It has OnPartition=stop: once the registry is heard, it starts where it is wanted",
};
const unconfirmed = {
  when: " before the leader has said that it still belongs here",
  hint: "It has OnPartition=stop, and this machine was away; `flotilla status` says whether there is a leader, and what keeps it from deciding",
};

function barredProblem(name: UnitName, why: Problem | typeof cutOff): Problem {
  if (why instanceof Problem) {
    return new Problem("unit-fenced", `Cannot start unit "${name}"`, { hint: why.hint, cause: why });
  }
  return new Problem("unit-fenced", `Cannot start unit "${name}"${why.when}`, { hint: why.hint });
}

/** Units that a newer manifest, which the disk would not take, no longer wants to run here: they are left exactly as they are. */
function noLongerWanted(staying: readonly ManifestEntry[], unkept: Manifest | undefined): readonly UnitName[] {
  if (unkept === undefined) return [];
  const launched = new Set(unkept.units.flatMap(({ name, target }) => (target === "launched" ? [name] : [])));
  return staying.flatMap(({ name }) => (launched.has(name) ? [] : [name]));
}

/** Codes of problems that the plan itself finds anew in every pass. */
const planned: ReadonlySet<string> = new Set(["unit-foreign", "unit-fenced"]);

function unread(unit: PlacedUnit, state: SystemdState | undefined): boolean {
  return unit.launched !== unit.hash || state === undefined || state.load === "not-found";
}
