// Looks at every machine of a site five times a second and holds what it sees against what must never happen. What runs is
// read from control groups and process names: neither flotilla nor systemd is asked. Writes down all that starts and stops.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Sight, Store } from "./store.ts";
import type { SoakMachine } from "./site.ts";
import type { Wish, Wishes } from "./wishes.ts";

const sampleMs = 200;
const lookMs = 300;
/** Design: a machine that is silent for less keeps its presence, with a little for what the measuring takes. */
export const harmlessSilenceMs = 5_300;
/** What etcd said longer ago is no word on what is now. */
const freshMs = 1_000;
/**
 * A leader of etcd's that wakes may revoke a lease that a newer one had extended: its machine claims its id anew at once, and
 * nobody has given it up for that.
 */
const reclaimMs = 2_000;
/** How far back silence may explain what is seen. */
const memoryMs = 25_000;
/** Of a unit that was left running on a machine that was cut off: two of it, until this long after the machine is back. */
const settlingMs = 20_000;
/** Of a unit whose place was given away while its machine was silent: it runs there by then. */
const handedOverMs = 15_000;

export interface Run {
  readonly machine: string;
  readonly unit: string;
  readonly edition: number;
  readonly pid: number;
  /** When the process began, in the kernel's own count: tells it from a later one with the same number. */
  readonly began: string;
}

export interface Violation {
  readonly atMs: number;
  readonly what: string;
  /** What was broken at the time. */
  readonly during: readonly string[];
}

/** Something that may stop, for as long as this lasts. A field left out: any. */
export interface Excuse {
  readonly unit?: string;
  readonly units?: ReadonlySet<string>;
  readonly machine?: string;
  readonly because: string;
}

/** A unit's text was edited on its machine. */
interface Edit {
  readonly unit: string;
  readonly machine: string;
  /** It was started since, and so may run with that text. */
  isStarted: boolean;
}

interface Silence {
  fromMs: number;
  /** Infinity: it lasts. */
  toMs: number;
}

/** What is looked at: a site, or what a test makes up. */
export interface Watched {
  readonly machines: readonly SoakMachine[];
  readonly wishes: Pick<Wishes, "all" | "get" | "stopped">;
  readonly store: Pick<Store, "look">;
  readonly hasMajority: boolean;
  isConnected(machine: SoakMachine): boolean;
}

export interface WatchOptions {
  readonly onViolation: (violation: Violation) => void;
  /** Monotonic; the computer's unless set. */
  readonly clock?: () => number;
}

export class Watch {
  readonly violations: Violation[] = [];
  /** What is broken now, for reports. */
  readonly broken = new Set<string>();
  /** How many times something was held against what must be. */
  checks = 0;
  /** The longest time for which two of one unit were seen after a machine was back. */
  longestDoubleMs = 0;
  /** The newest that a majority of etcd said, and when; undefined: nothing for longer than a few looks. */
  sight: (Sight & { readonly atMs: number }) | undefined;
  /** When etcd was last seen to have another leader of its own. */
  termFromMs = 0;
  readonly #site: Watched;
  readonly #notes: string[] = [];
  readonly #excuses = new Set<Excuse>();
  readonly #edits = new Set<Edit>();
  /** By unit, the machine that keeps it. */
  readonly #kept = new Map<string, string>();
  readonly #runs = new Map<string, ReadonlyMap<string, Run>>();
  readonly #silences = new Map<string, Silence[]>();
  readonly #doubles = new Map<string, number>();
  /** Stopped where their place was given away: by unit, where that was, and until when they have to run elsewhere. */
  readonly #awaited = new Map<string, { readonly machine: string; readonly untilMs: number }>();
  /** Ids of machines that were present when etcd was looked at last. */
  readonly #present = new Set<string>();
  /** When machines were last seen to be gone that have not come back. */
  readonly #gone = new Map<string, number>();
  readonly #over = new AbortController();
  readonly #clock: () => number;
  readonly #fromMs: number;
  readonly #onViolation: (violation: Violation) => void;
  #loops: readonly Promise<void>[] = [];
  #term = "";

  constructor(site: Watched, { onViolation, clock = () => performance.now() }: WatchOptions) {
    this.#site = site;
    this.#onViolation = onViolation;
    this.#clock = clock;
    this.#fromMs = clock();
  }

  start(): void {
    this.#loops = [this.#repeat(sampleMs, async () => this.sample()), this.#repeat(lookMs, () => this.look())];
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#loops);
  }

  /** Since the watch began. */
  get nowMs(): number {
    return this.#clock() - this.#fromMs;
  }

  /** Lets what it names stop, until the result is called. */
  excuse(excuse: Excuse): () => void {
    this.#excuses.add(excuse);
    return () => this.#excuses.delete(excuse);
  }

  /**
   * The text of a unit is about to be edited on its machine: when it is started after that, its agent may start it anew with
   * the repository's, once. Until the result is called.
   */
  edited(unit: string, machine: string): () => void {
    const edit = { unit, machine, isStarted: false };
    this.#edits.add(edit);
    return () => this.#edits.delete(edit);
  }

  /**
   * So many machines are about to be lost at once that nothing of theirs may be moved: what they run now is neither given away
   * nor started elsewhere, however long they are silent. Until the result is called.
   */
  keep(machines: readonly SoakMachine[]): () => void {
    const kept = machines.flatMap(({ name }) =>
      [...(this.#runs.get(name)?.keys() ?? [])]
        .filter((unit) => this.#site.wishes.get(unit)?.isGlobal !== true)
        .map((unit) => [unit, name] as const),
    );
    for (const [unit, machine] of kept) this.#kept.set(unit, machine);
    return () => kept.forEach(([unit]) => this.#kept.delete(unit));
  }

  note(text: string): void {
    this.#notes.push(`${(this.nowMs / 1000).toFixed(1).padStart(8)}  ${text}`);
  }

  /** All that started, stopped and was noted, oldest first. */
  get record(): string {
    return this.#notes.join("\n") + "\n";
  }

  violate(what: string): void {
    const violation = { atMs: Math.round(this.nowMs), what, during: [...this.broken] };
    this.note(`VIOLATION: ${what}`);
    this.violations.push(violation);
    this.#onViolation(violation);
  }

  /** What runs on a machine that is up, by unit. */
  runsOn(machine: SoakMachine): ReadonlyMap<string, Run> {
    return machine.isUp ? (this.#runs.get(machine.name) ?? new Map()) : new Map();
  }

  /** On machines that are up. */
  runsOf(unit: string): readonly Run[] {
    return this.#site.machines.flatMap((machine) => this.runsOn(machine).get(unit) ?? []);
  }

  /** The machine that leads by etcd's word, if it is up. */
  get leader(): SoakMachine | undefined {
    const { sight } = this;
    return this.#site.machines.find((machine) => machine.isUp && machine.id === sight?.leader?.machine);
  }

  /** Ms until it is so; rejects when it is not in time (which may change meanwhile), or when the watch is ended. */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    within: number | (() => number),
  ): Promise<number> {
    const fromMs = performance.now();
    const leftMs = typeof within === "number" ? () => within - (performance.now() - fromMs) : within;
    while (!(await condition())) {
      if (this.#over.signal.aborted) throw new Error("The watch was ended");
      if (leftMs() < 0) throw new Error(`Not so after ${Math.round(performance.now() - fromMs)} ms: ${what}`);
      await pause(50);
    }
    return Math.round(performance.now() - fromMs);
  }

  /** What differs from what the cluster shall run; empty: nothing. */
  differences(): readonly string[] {
    const { sight } = this;
    if (sight === undefined || this.nowMs - sight.atMs > freshMs) return ["etcd does not answer"];
    const found: string[] = [];
    const up = this.#site.machines.filter((machine) => machine.isUp);
    for (const machine of up) if (!sight.machines.has(machine.id)) found.push(`${machine.name} is not present in etcd`);
    if (this.leader === undefined) found.push("nobody leads");
    const wishes = this.#site.wishes.all();
    for (const { name, edition, isGlobal } of wishes) {
      const runs = this.runsOf(name);
      const wanted = this.#site.wishes.stopped.has(name) ? 0 : isGlobal ? up.length : 1;
      if (runs.length !== wanted) found.push(`${name} runs on ${runs.map((run) => run.machine).join("+") || "none"}`);
      for (const run of runs)
        if (run.edition !== edition) found.push(`${name} runs with an old text on ${run.machine}`);
    }
    const names = new Set(wishes.map(({ name }) => name));
    for (const machine of up)
      for (const run of this.runsOn(machine).values())
        if (!names.has(run.unit)) found.push(`${run.unit} runs on ${run.machine} and was removed`);
    return found;
  }

  async #repeat(everyMs: number, task: () => Promise<void>): Promise<void> {
    while (!this.#over.signal.aborted) {
      const fromMs = performance.now();
      await task();
      await pause(Math.max(10, everyMs - (performance.now() - fromMs)));
    }
  }

  /** Asks etcd once. */
  async look(): Promise<void> {
    const askedMs = this.nowMs;
    const sight = await this.#site.store.look();
    if (sight === undefined) {
      if (this.sight !== undefined && this.nowMs - this.sight.atMs > 5 * lookMs) this.sight = undefined;
      return;
    }
    const { leader } = sight;
    if (leader?.epoch !== this.sight?.leader?.epoch) this.note(`leader ${this.#nameOf(leader?.machine)}`);
    for (const { id, name } of this.#site.machines) {
      const [is, was] = [sight.machines.has(id), this.sight?.machines.has(id)];
      if (is !== was) this.note(`${name} is ${is ? "present" : "absent"} in etcd`);
    }
    if (sight.term !== this.#term) {
      this.note(`etcd is in term ${sight.term}`);
      this.#term = sight.term;
      this.termFromMs = this.nowMs;
    }
    this.sight = { ...sight, atMs: askedMs };
    for (const machine of this.#site.machines) this.#checkPresence(machine, sight);
  }

  /** No false alarm: neither for a silence that is harmless, nor for a stall of the store that is. */
  #checkPresence(machine: SoakMachine, sight: Sight): void {
    this.checks++;
    if (sight.machines.has(machine.id)) {
      this.#present.add(machine.id);
      this.#gone.delete(machine.id);
      return;
    }
    if (this.#present.delete(machine.id)) this.#gone.set(machine.id, this.nowMs);
    const goneMs = this.#gone.get(machine.id) ?? Infinity;
    const isExcused = [machine.name, storeName].some((name) => this.#silentFor(name) > harmlessSilenceMs);
    if (isExcused) this.#gone.delete(machine.id);
    else if (this.nowMs > goneMs + reclaimMs) {
      this.#gone.delete(machine.id);
      this.violate(`${machine.name} counts as dead though it was never silent for ${harmlessSilenceMs} ms`);
    }
  }

  /** Looks at every machine once. */
  sample(): void {
    const { machines, wishes } = this.#site;
    this.#hear(storeName, this.#site.hasMajority);
    for (const machine of machines) this.#hear(machine.name, this.#site.isConnected(machine));
    const before = new Map(this.#runs);
    for (const machine of machines) {
      const runs = machine.group === undefined ? undefined : runsBelow(machine.group, machine.name);
      if (runs === undefined) this.#runs.delete(machine.name);
      else this.#runs.set(machine.name, runs);
    }
    for (const machine of machines) if (machine.isUp) this.#compare(machine, before.get(machine.name) ?? new Map());
    for (const wish of wishes.all()) if (!wish.isGlobal) this.#checkDouble(wish);
    for (const [unit, { machine, untilMs }] of this.#awaited) {
      const runs = this.runsOf(unit);
      if (runs.some((run) => run.machine !== machine) || this.#isExcused({ unit })) this.#awaited.delete(unit);
      else if (runs.length > 0 || this.nowMs > untilMs) {
        this.#awaited.delete(unit);
        const now = runs.length > 0 ? "started again there" : `runs nowhere after ${handedOverMs} ms`;
        this.violate(`${unit} was stopped on ${machine} as if for another machine, and ${now}`);
      }
    }
  }

  #hear(name: string, isHeard: boolean): void {
    const silences = this.#silences.get(name) ?? [];
    this.#silences.set(name, silences);
    const last = silences.at(-1);
    if (isHeard && last?.toMs === Infinity) last.toMs = this.nowMs;
    if (!isHeard && last?.toMs !== Infinity) silences.push({ fromMs: this.nowMs, toMs: Infinity });
  }

  /** The longest silence that reaches into the time that is remembered. */
  #silentFor(name: string): number {
    const nowMs = this.nowMs;
    const near = (this.#silences.get(name) ?? []).filter(({ toMs }) => toMs > nowMs - memoryMs);
    return Math.max(0, ...near.map(({ fromMs, toMs }) => Math.min(toMs, nowMs) - fromMs));
  }

  /** Ms since it could be heard again without a break; 0: it cannot. */
  #heardFor(name: string): number {
    const last = this.#silences.get(name)?.at(-1);
    return last === undefined ? this.nowMs : last.toMs === Infinity ? 0 : this.nowMs - last.toMs;
  }

  #compare(machine: SoakMachine, before: ReadonlyMap<string, Run>): void {
    const now = this.runsOn(machine);
    for (const [unit, run] of now) {
      const was = before.get(unit);
      if (was?.pid === run.pid && was.began === run.began) continue;
      this.note(`${machine.name} starts ${unit}/${run.edition}`);
      this.#judgeStart(machine, unit);
    }
    for (const [unit, run] of before) {
      this.checks++;
      const is = now.get(unit);
      if (is?.pid === run.pid && is.began === run.began) continue;
      this.note(`${machine.name} ${is === undefined ? "stops" : "restarted"} ${unit}/${run.edition}`);
      this.#judgeStop(machine, { unit, isBack: is !== undefined });
    }
    for (const edit of this.#edits) {
      const [was, is] = [before.get(edit.unit), now.get(edit.unit)];
      if (edit.machine === machine.name && is !== undefined && (was?.pid !== is.pid || was.began !== is.began))
        edit.isStarted = true;
    }
  }

  #judgeStart(machine: SoakMachine, unit: string): void {
    const home = this.#kept.get(unit);
    if (home === undefined || home === machine.name || this.#isExcused({ unit, machine: machine.name })) return;
    this.violate(`${unit} was started on ${machine.name}, and ${home} was to keep it`);
  }

  #judgeStop(machine: SoakMachine, { unit, isBack }: { unit: string; isBack: boolean }): void {
    if (this.#isExcused({ unit, machine: machine.name })) return;
    const edit = [...this.#edits].find((each) => each.unit === unit && each.machine === machine.name);
    if (edit?.isStarted === true) {
      this.#edits.delete(edit);
      return;
    }
    // Long enough silent that its place may have been given away: then the newer copy wins
    const { isGlobal = false, isFenced = false } = this.#site.wishes.get(unit) ?? {};
    // Its machine may not know whether it is given away
    if (isFenced && !isBack && [machine.name, storeName].some((name) => this.#silentLately(name))) return;
    const mayBeGivenAway = !isBack && !isGlobal && !this.#kept.has(unit) && this.#silentLately(machine.name);
    if (!mayBeGivenAway) this.violate(`${unit} ${isBack ? "was restarted" : "was stopped"} on ${machine.name}`);
    else if (!this.#awaited.has(unit))
      this.#awaited.set(unit, { machine: machine.name, untilMs: this.nowMs + handedOverMs });
  }

  /** A machine comes back to its share a while after it is heard again. */
  #silentLately(name: string): boolean {
    const sinceMs = this.nowMs - memoryMs - settlingMs;
    return (this.#silences.get(name) ?? []).some(
      ({ fromMs, toMs }) => toMs > sinceMs && Math.min(toMs, this.nowMs) - fromMs > harmlessSilenceMs,
    );
  }

  /** Without `machine`: anywhere. */
  #isExcused({ unit, machine }: { unit: string; machine?: string }): boolean {
    return [...this.#excuses].some(
      (each) =>
        (each.unit ?? unit) === unit &&
        each.units?.has(unit) !== false &&
        (machine === undefined || (each.machine ?? machine) === machine),
    );
  }

  /**
   * Never two of one unit on two machines that are connected: at once, or some time after one of them is back. Of what is
   * fenced never two at all.
   */
  #checkDouble({ name: unit, isFenced }: Wish): void {
    const runs = this.runsOf(unit);
    this.checks++;
    if (runs.length < 2) {
      const fromMs = this.#doubles.get(unit);
      if (fromMs !== undefined && fromMs !== Infinity)
        this.longestDoubleMs = Math.max(this.longestDoubleMs, this.nowMs - fromMs);
      this.#doubles.delete(unit);
      return;
    }
    const heardMs =
      runs.map((run) => Math.min(this.#heardFor(run.machine), this.#heardFor(storeName))).sort((a, b) => b - a)[1] ?? 0;
    if (heardMs === 0 && !isFenced) return;
    const fromMs = this.#doubles.get(unit) ?? this.nowMs;
    if (!this.#doubles.has(unit)) this.#doubles.set(unit, fromMs);
    const allowedMs =
      runs.some((run) => this.#silentLately(run.machine)) || this.#silentLately(storeName) ? settlingMs : 0;
    if ((heardMs <= allowedMs && !isFenced) || fromMs === Infinity) return;
    this.#doubles.set(unit, Infinity);
    const why = isFenced ? "and has OnPartition=stop" : "which are connected";
    this.violate(`${unit} runs on ${runs.map((run) => run.machine).join(" and ")}, ${why}`);
  }

  #nameOf(id: string | undefined): string {
    return this.#site.machines.find((machine) => machine.id === id)?.name ?? "is gone";
  }
}

const storeName = "the store";

/** The units' own processes: those whose name says so. */
function runsBelow(group: string, machine: string): ReadonlyMap<string, Run> {
  const runs = new Map<string, Run>();
  const look = (folder: string): void => {
    for (const name of foldersIn(folder)) {
      if (name.endsWith(".slice")) look(join(folder, name));
      if (!name.endsWith(".service")) continue;
      const run = runIn(join(folder, name), { unit: name, machine });
      if (run !== undefined) runs.set(name, run);
    }
  };
  look(join(group, "system.slice"));
  return runs;
}

function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return []; // it went meanwhile, with all that was in it
  }
}

function runIn(folder: string, { unit, machine }: { unit: string; machine: string }): Run | undefined {
  try {
    const [first = ""] = readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n");
    if (first === "") return undefined;
    const [name = ""] = readFileSync(`/proc/${first}/cmdline`, "utf8").split("\0");
    const edition = name.startsWith(`${unit}/`) ? Number(name.slice(unit.length + 1)) : undefined;
    if (edition === undefined) return undefined; // none of ours, or systemd's own until it has become one
    const stat = readFileSync(`/proc/${first}/stat`, "utf8");
    return {
      machine,
      unit,
      edition,
      pid: Number(first),
      began: stat.slice(stat.lastIndexOf(")")).split(" ")[20] ?? "",
    };
  } catch {
    return undefined; // it ended meanwhile
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
