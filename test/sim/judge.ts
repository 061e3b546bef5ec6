// Whoever judges: sees every change of the store at once, every job that an agent asks for and every unit that comes up or
// goes down, and ends the simulation at the first thing that must never be. What has a reason it knows from the store's own
// history and from the troubles that machines had, never from what an agent thinks.
import type { Change, Entry } from "../../agent/ports/registry.ts";
import type { CommitId, MachineId, UnitName } from "../../agent/domain/names.ts";
import { type Manifest, type ManifestEntry, comparePositions } from "../../agent/domain/placement.ts";
import { Problem } from "../../agent/domain/problem.ts";
import {
  encodeManifest,
  keys,
  machineOfSettings,
  parseLeader,
  parseMachineSettings,
  parseManifest,
  parseRevision,
} from "../../agent/text/values.ts";
import type { FakeJob } from "../fakes/fake-systemd.ts";
import type { Cluster } from "./cluster.ts";
import { isSameForSystemd } from "./host.ts";
import type { SimMachine } from "./machine.ts";
import { calm } from "./seat.ts";
import { Violation } from "./trace.ts";
import type { Wishes } from "./wishes.ts";

/** A machine whose way to the store was in order, but for less than this at a time, must never count as lost. */
const shortTroubleMs = 5_000;
/** So long after a change of what is wanted, units may be moved for its sake. */
const wishWindowMs = 120_000;
/** A job that was asked for so shortly before may have been carried out with the text that came after it. */
const inFlightMs = 2_000;
/** A machine that comes back acts on its own copy for so long at most, until it has heard the registry. */
const returnMs = 15_000;
/** A leader that nothing has held up for so long sees what the store sees, and waits for nobody to come back. */
const clearMs = 15_000;
/** ... but for what has just happened. */
const newsMs = 500;
/** A permit runs out, and what had it is stopped, so long after a trouble at most. */
const fallMs = 60_000;
/** Machines that were given up so shortly before count among those that are lost at once. */
const togetherMs = 55_000;

interface Seen {
  readonly entry: ManifestEntry;
  /** Since when the machine has it unreleased, as the store says. */
  readonly sinceMs: number;
}

export class Judge {
  readonly #cluster: Cluster;
  /** Set once people wish for anything. */
  wishes: Wishes | undefined;
  readonly #manifests = new Map<MachineId, Manifest>();
  readonly #texts = new Map<MachineId, Set<string>>();
  readonly #entries = new Map<MachineId, Map<UnitName, Seen>>();
  readonly #askedMs = new Map<string, number>();
  /** What their agent was told of units when it asked for a job that is on its way to systemd. */
  readonly #asked = new Map<string, ManifestEntry | undefined>();
  /** Units of which their agent does not know what came of its last job. */
  readonly #unsure = new Set<string>();
  /** The restart that was asked for last, of those that a machine has carried out. */
  readonly #carriedOut = new Map<string, string | undefined>();
  readonly #present = new Set<MachineId>();
  readonly #absences = new Map<MachineId, { readonly fromMs: number; untilMs: number | undefined }[]>();
  readonly #up = new Map<UnitName, Map<SimMachine, number>>();
  /** What went down last. */
  #left:
    | { readonly machine: SimMachine; readonly unit: UnitName; readonly atMs: number; readonly sinceMs: number }
    | undefined;
  readonly #givenUp = new Map<MachineId, { readonly epoch: number; readonly atMs: number }>();
  readonly #cordoned = new Set<MachineId>();
  readonly #drained = new Set<MachineId>();
  /** What people wish by the store, as far as it has changed since the judge looks. */
  readonly #wishes = new Map<string, string>();
  readonly #badCommits = new Set<CommitId>();
  #leaderEpoch = 0;
  #leader: { readonly id: MachineId; readonly sinceMs: number } | undefined;
  #unclearMs = -Infinity;
  #wishMs = -Infinity;
  #storeTroubleMs = -Infinity;
  #restoredMs = -Infinity;
  /** When somebody said so; Infinity: nobody has. */
  #markedMs = Infinity;
  checks = 0;
  /** How many changes the store has seen, leases not among them. */
  changes = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Follows the store until the end. */
  async follow(over: AbortSignal): Promise<void> {
    const { store } = this.#cluster;
    while (!over.aborted) {
      const operator = store.connect();
      const { entries, revision } = await operator.read("");
      this.#begin(entries.map((entry) => ({ kind: "put", entry })));
      try {
        for await (const batch of operator.watch("", revision + 1, over)) {
          for (const change of batch.changes) this.#change(change);
        }
      } catch (error) {
        // The store was restored or compacted: what it holds now is read anew
        if (!(error instanceof Problem) || error.code === "aborted") throw error;
      } finally {
        await operator.close();
      }
    }
  }

  /** The store stands still, goes on again, or has a new leader of its own. */
  storeTroubled(): void {
    this.#storeTroubleMs = this.#cluster.clock.monotonicMs();
    this.unclear();
  }

  /** Something that is no trouble of any machine keeps a leader from seeing what the store holds, for a moment. */
  unclear(): void {
    this.#unclearMs = this.#cluster.clock.monotonicMs();
  }

  /** Nobody may ever adopt it. */
  badCommit(commit: CommitId): void {
    this.#badCommits.add(commit);
  }

  storeRestored(): void {
    this.storeTroubled();
    this.#restoredMs = this.#cluster.clock.monotonicMs();
    this.#markedMs = Infinity;
  }

  wished(): void {
    this.#wishMs = this.#cluster.clock.monotonicMs();
  }

  /** All that was wished for has come about: what is moved from now on has other reasons. */
  rested(): void {
    this.#wishMs = -Infinity;
  }

  /** The machine's agent writes a file of its own. */
  written(machine: SimMachine, { name, text }: { readonly name: string; readonly text: string }): void {
    if (name !== "manifest.json") return;
    this.checks++;
    const next = manifestOf(text);
    if (next === undefined || this.#texts.get(machine.id)?.has(encodeManifest(next)) !== true) {
      this.#violated("manifest-invented", `${machine.letter} takes a manifest that the store never held`);
      return;
    }
    const before = manifestOf(machine.disk.files.get("manifest.json"));
    if (before !== undefined && comparePositions(next, before) < 0) {
      this.#violated("manifest-went-back", `${machine.letter} goes back from ${shown(before)} to ${shown(next)}`);
    }
    machine.say(`takes manifest ${shown(next)}`);
  }

  asks(machine: SimMachine, { job, unit }: { readonly job: FakeJob; readonly unit: UnitName }): void {
    this.#asked.set(`${machine.letter} ${unit} ${job}`, this.#told(machine, unit));
  }

  unsure({ letter }: SimMachine, unit: UnitName): void {
    this.#unsure.add(`${letter} ${unit}`);
  }

  job(machine: SimMachine, { job, unit }: { readonly job: FakeJob; readonly unit: UnitName }): void {
    this.checks++;
    machine.say(`asks to ${job} ${unit}`);
    const nowMs = this.#cluster.clock.monotonicMs();
    const key = `${machine.letter} ${unit}`;
    const isInFlight = nowMs <= (this.#askedMs.get(key) ?? -Infinity) + inFlightMs;
    if (job !== "stop") this.#askedMs.set(key, nowMs);
    const asked = `${key} ${job}`;
    const entry = this.#asked.has(asked) ? this.#asked.get(asked) : this.#told(machine, unit);
    this.#asked.delete(asked);
    const isUnsure = this.#unsure.delete(key);
    const carriedOut = this.#carriedOut.get(key);
    if (job === "restart") this.#carriedOut.set(key, entry?.restart);
    // A unit that was stopped, or started without one, no longer knows of it: a store that was put back may ask anew
    if (job === "stop" || entry?.restart === undefined) this.#carriedOut.delete(key);
    if (job === "start") {
      if (entry?.target !== "launched") {
        this.#violated("start-untold", `${machine.letter} starts ${unit}, which it was not told to run`);
      }
      return;
    }
    if (!machine.systemd.up().has(unit)) return;
    if (job === "stop") {
      if (entry?.target !== "launched") return;
      this.#violated("stop-untold", `${machine.letter} stops ${unit}, which it was told to run`);
    }
    // Once more does no harm: nothing is stopped for it
    if (job === "reload") return;
    const text = machine.systemd.textOf(unit);
    // What came of a job that is still under way its successor cannot know
    if (machine.systemd.isBusy(unit)) return;
    if (!isSameForSystemd(machine.systemd.wasTold(unit), text) || isInFlight || isUnsure) return;
    if (entry?.restart === undefined)
      this.#violated("restart-untold", `${machine.letter} restarts ${unit} without a new text`);
    else if (entry.restart === carriedOut)
      this.#violated("restart-twice", `${machine.letter} restarts ${unit} twice for one request`);
  }

  removal(machine: SimMachine, unit: UnitName): void {
    this.checks++;
    const entry = this.#told(machine, unit);
    if (entry !== undefined && entry.target !== "released") {
      this.#violated("removal-untold", `${machine.letter} removes ${unit}, which it was told to keep`);
    }
  }

  up(machine: SimMachine, unit: UnitName): void {
    this.checks++;
    machine.say(`${unit} is up`);
    const nowMs = this.#cluster.clock.monotonicMs();
    const there = this.#up.get(unit) ?? new Map<SimMachine, number>();
    this.#up.set(unit, there);
    const left = this.#left;
    if (left?.unit === unit && left.machine === machine && left.atMs === nowMs) {
      // A restart is one job
      there.set(machine, left.sinceMs);
      return;
    }
    for (const [other, sinceMs] of there) {
      if (this.wishes?.isGlobal(unit) === true) continue;
      const isRestored = nowMs - this.#restoredMs < wishWindowMs;
      // What was placed after the backup on a machine that is away, and is still being stopped there, nobody has heard of, unless
      // somebody who saw that the store was put back has said so
      const isHidden = isRestored && this.#markedMs > nowMs - inFlightMs && !this.#present.has(other.id);
      if (this.wishes?.isSingle(unit) === true && !isHidden) {
        this.#violated("two-of-single", `${unit} comes up on ${machine.letter} while it is up on ${other.letter}`);
      }
      // A registry that was put back tells a machine that has just come back what it was told long ago: nobody can know better
      if (isRestored) continue;
      if (this.#wasAbsent(other, sinceMs) || this.#wasAbsent(machine, nowMs - returnMs)) continue;
      this.#violated("two-of-one", `${unit} comes up on ${machine.letter} while it is up on ${other.letter}`);
    }
    there.set(machine, nowMs);
  }

  down(machine: SimMachine, { unit, why }: { readonly unit: UnitName; readonly why: string }): void {
    const there = this.#up.get(unit);
    const atMs = this.#cluster.clock.monotonicMs();
    this.#left = { machine, unit, atMs, sinceMs: there?.get(machine) ?? atMs };
    there?.delete(machine);
    machine.say(`${unit} is down (${why})`);
    this.checks++;
    if (why === "stopped" && this.#isTold(machine, unit)) this.#mayFall(machine, unit);
  }

  #isTold(machine: SimMachine, unit: UnitName): boolean {
    return this.#told(machine, unit)?.target === "launched" && !machine.systemd.isBusy(unit);
  }

  /** What nobody has stopped has lost its permit: then its machine was not heard of for a while, or the store was not. */
  #mayFall(machine: SimMachine, unit: UnitName): void {
    const nowMs = this.#cluster.clock.monotonicMs();
    if (this.#storeTroubleMs > nowMs - wishWindowMs || this.#restoredMs > nowMs - wishWindowMs) return;
    if (machine.wasTroubled(nowMs - fallMs, shortTroubleMs)) return;
    this.#violated("stopped-by-itself", `${unit} is stopped on ${machine.letter}, which was well`);
  }

  /** Where a unit is up. */
  places(unit: UnitName): readonly SimMachine[] {
    return [...(this.#up.get(unit)?.keys() ?? [])];
  }

  /** Units that are up anywhere. */
  upUnits(): readonly UnitName[] {
    return [...this.#up].filter(([, there]) => there.size > 0).map(([unit]) => unit);
  }

  #begin(changes: readonly Change[]): void {
    const gone = new Set(this.#present);
    for (const change of changes) {
      if (change.kind === "put" && change.entry.key === keys.leader) this.#leads(change.entry);
      if (change.kind === "put") this.#setSettings(change.entry.key, change.entry.value);
    }
    this.#manifests.clear();
    for (const change of changes) {
      if (change.kind !== "put") continue;
      const { key, value } = change.entry;
      if (key === keys.restored) this.#marked();
      else if (key.startsWith(keys.machines)) gone.delete(this.#isPresent(key));
      else if (key.startsWith(keys.manifests)) this.#takeManifest(key, value);
    }
    for (const id of gone) this.#isAbsent(id);
  }

  #change(change: Change): void {
    this.checks++;
    this.changes++;
    const key = change.kind === "put" ? change.entry.key : change.key;
    if (key === keys.leader) {
      if (change.kind === "delete") this.#leaderEpoch = 0;
      else this.#leads(change.entry);
      this.#cluster.trace.say("store", change.kind === "put" ? `leader ${change.entry.value}` : "no leader");
    } else if (key.startsWith(keys.machines)) {
      if (change.kind === "put") this.#isPresent(key);
      else this.#lost(this.#isAbsent(key.slice(keys.machines.length) as MachineId));
    } else if (key.startsWith(keys.manifests) && change.kind === "put") {
      this.#manifestWritten(key, change.entry.value);
    } else if (key === keys.restored) {
      this.#cluster.trace.say("store", change.kind === "put" ? "is marked as restored" : "is no longer marked");
      if (change.kind === "put") this.#marked();
    } else if (isWish(key)) {
      const value = change.kind === "put" ? change.entry.value : undefined;
      const before = this.#wishes.get(key) ?? "";
      const now = wishOf(key, value);
      this.#wishes.set(key, now);
      if (value !== undefined) this.#setSettings(key, value);
      if (value !== undefined && key === keys.revision) this.#judged(key, value);
      if (now !== before) this.wished();
    }
  }

  #leads({ key, value, createRevision }: Entry): void {
    const read = parseLeader(key, value);
    this.#leaderEpoch = createRevision;
    this.#leader = read.ok ? { id: read.value.machine, sinceMs: this.#cluster.clock.monotonicMs() } : undefined;
  }

  #setSettings(key: string, value: string): void {
    const id = machineOfSettings(key);
    if (id === undefined) return;
    const read = parseMachineSettings(key, value);
    if (read.ok && read.value.cordoned === true) this.#cordoned.add(id);
    else this.#cordoned.delete(id);
    if (read.ok && read.value.drain?.state === "moving") this.#drained.add(id);
    else this.#drained.delete(id);
  }

  /** Adopted is what is good, refused what has a fault: neither is a matter of what could be read at the moment. */
  #judged(key: string, value: string): void {
    this.checks++;
    const read = parseRevision(key, value);
    if (!read.ok) return;
    const { adopted, refused } = read.value;
    if (adopted !== undefined && this.#badCommits.has(adopted.commit))
      this.#violated("bad-commit-adopted", `Commit ${adopted.commit.slice(0, 7)} is adopted, which has a fault`);
    if (refused !== undefined && !this.#badCommits.has(refused.commit))
      this.#violated("good-commit-refused", `Commit ${refused.commit.slice(0, 7)} is refused, which has no fault`);
  }

  #marked(): void {
    this.#markedMs = Math.min(this.#markedMs, this.#cluster.clock.monotonicMs());
  }

  #isPresent(key: string): MachineId {
    const id = key.slice(keys.machines.length) as MachineId;
    if (!this.#present.has(id)) this.#cluster.trace.say("store", `has ${id.charAt(0)}`);
    this.#present.add(id);
    for (const each of this.#absences.get(id) ?? []) each.untilMs ??= this.#cluster.clock.monotonicMs();
    this.#machine(id).claimed();
    return id;
  }

  #isAbsent(id: MachineId): MachineId {
    if (!this.#present.delete(id)) return id;
    const absences = this.#absences.get(id) ?? [];
    this.#absences.set(id, [...absences, { fromMs: this.#cluster.clock.monotonicMs(), untilMs: undefined }]);
    this.#cluster.trace.say("store", `has lost ${id.charAt(0)}`);
    return id;
  }

  #lost(id: MachineId): void {
    const machine = this.#machine(id);
    const nowMs = this.#cluster.clock.monotonicMs();
    if (this.#storeTroubleMs > nowMs - 60_000 || machine.wasTroubled(nowMs - 20_000, shortTroubleMs)) return;
    this.#violated("false-alarm", `${machine.letter} is taken for lost without a trouble of its own`);
  }

  #manifestWritten(key: string, value: string): void {
    const next = parseManifest(key, value);
    if (!next.ok) {
      this.#violated("manifest-unreadable", `${key} cannot be read: ${next.problems[0]?.message ?? ""}`);
      return;
    }
    // Above the leader's own only where the store went back
    if (next.value.epoch < this.#leaderEpoch || this.#leaderEpoch === 0) {
      this.#violated("stale-leader", `Epoch ${next.value.epoch} writes ${key} in epoch ${this.#leaderEpoch}`);
    }
    const isNew = this.#manifests.get(next.value.machine)?.givenUp !== true;
    if (next.value.givenUp === true && isNew) this.#givesUp(next.value);
    this.#takeManifest(key, value);
  }

  /** A machine is given up: not while more than half are lost at once, by a leader that must have seen it. */
  #givesUp({ machine: id, epoch }: Manifest): void {
    this.checks++;
    const nowMs = this.#cluster.clock.monotonicMs();
    this.#givenUp.set(id, { epoch, atMs: nowMs });
    if (this.#cordoned.has(id) || !this.#isClear(nowMs)) return;
    const isThere = (other: MachineId): boolean => {
      const wentMs = this.#absences.get(other)?.at(-1)?.fromMs ?? -Infinity;
      return other !== id && (this.#present.has(other) || wentMs > nowMs - newsMs);
    };
    const lost = [...this.#manifests].flatMap(([other, { givenUp }]) => {
      if (isThere(other) || this.#cordoned.has(other)) return [];
      const before = this.#givenUp.get(other);
      const isRecent = before?.epoch === epoch && before.atMs > nowMs - togetherMs;
      return givenUp !== true || isRecent ? [other] : [];
    });
    const there = this.#cluster.machines.filter((other) => isThere(other.id));
    if (lost.length < 2 || lost.length <= there.length) return;
    const letters = lost.map((each) => each.charAt(0)).join(" and ");
    this.#violated("gave-up-too-many", `${id.charAt(0)} is given up while ${letters} are lost at once`);
  }

  #isClear(nowMs: number): boolean {
    const { weather } = this.#cluster;
    if (this.#leader === undefined || weather !== calm) return false;
    const sinceMs = Math.max(this.#leader.sinceMs, this.#unclearMs);
    if (nowMs - sinceMs < clearMs || nowMs - this.#restoredMs < wishWindowMs) return false;
    return nowMs - this.#wishMs > inFlightMs && !this.#machine(this.#leader.id).wasTroubled(nowMs - clearMs, 0);
  }

  #takeManifest(key: string, value: string): void {
    const read = parseManifest(key, value);
    if (!read.ok) return;
    const next = read.value;
    const machine = this.#machine(next.machine);
    const nowMs = this.#cluster.clock.monotonicMs();
    this.#cluster.trace.say("store", `manifest of ${machine.letter} ${shown(next)}: ${brief(next)}`);
    const texts = this.#texts.get(next.machine) ?? new Set<string>();
    this.#texts.set(next.machine, texts.add(encodeManifest(next)));
    const before = this.#entries.get(next.machine) ?? new Map<UnitName, Seen>();
    const entries = new Map<UnitName, Seen>();
    for (const entry of next.units) {
      if (entry.target === "released") continue;
      entries.set(entry.name, { entry, sinceMs: before.get(entry.name)?.sinceMs ?? nowMs });
    }
    this.#manifests.set(next.machine, next);
    this.#entries.set(next.machine, entries);
    const others = [...entries.keys()].map((other) => ({ other, isNew: !before.has(other) }));
    for (const [unit, seen] of before) {
      const now = entries.get(unit)?.entry.target;
      if (now === "launched" || now === seen.entry.target) continue;
      this.#released(machine, { unit, sinceMs: seen.sinceMs, others });
    }
  }

  /** A machine is told to let go of a unit: there must be a reason. */
  #released(
    machine: SimMachine,
    {
      unit,
      sinceMs,
      others,
    }: {
      readonly unit: UnitName;
      readonly sinceMs: number;
      readonly others: readonly { readonly other: UnitName; readonly isNew: boolean }[];
    },
  ): void {
    this.checks++;
    const nowMs = this.#cluster.clock.monotonicMs();
    if (nowMs - this.#wishMs < wishWindowMs || nowMs - this.#restoredMs < wishWindowMs) return;
    // A drain waits as long as it must
    if (this.#drained.has(machine.id)) return;
    const doubles = this.#cluster.machines.filter(
      (other) =>
        other !== machine &&
        this.#entries.get(other.id)?.has(unit) === true &&
        this.#wasLost(other, this.#entries.get(other.id)?.get(unit)?.sinceMs ?? nowMs),
    );
    if (this.#wasLost(machine, sinceMs) || doubles.length > 0) return;
    const isBound = this.wishes?.isBound(unit) === true;
    const isAnyLost = this.#cluster.machines.some((each) => this.#wasLost(each, nowMs - wishWindowMs));
    if (isBound && isAnyLost) return;
    // It gives way to another: one that has waited for a machine to join, or to be down elsewhere first
    const { wishes } = this;
    if (others.some(({ other, isNew }) => isNew && wishes?.mayDisplace(other, unit) === true)) return;
    // Another machine has come that takes it
    if (others.some(({ other }) => wishes?.mayReplace(other, unit) === true)) return;
    this.#violated("release-without-reason", `${machine.letter} is told to let go of ${unit}`);
  }

  /** Absent at some time since then, for a reason of its own. */
  #wasLost(machine: SimMachine, sinceMs: number): boolean {
    if (!this.#wasAbsent(machine, sinceMs)) return false;
    return !machine.isOn || machine.wasTroubled(sinceMs - 20_000, shortTroubleMs);
  }

  #wasAbsent({ id }: SimMachine, sinceMs: number): boolean {
    const absences = this.#absences.get(id) ?? [];
    return !this.#present.has(id) || absences.some(({ untilMs }) => (untilMs ?? Infinity) >= sinceMs);
  }

  #told(machine: SimMachine, unit: UnitName): ManifestEntry | undefined {
    return manifestOf(machine.disk.files.get("manifest.json"))?.units.find(({ name }) => name === unit);
  }

  #machine(id: MachineId): SimMachine {
    const found = this.#cluster.machines.find((each) => each.id === id);
    if (found === undefined) throw new Error(`No machine ${id}`);
    return found;
  }

  #violated(check: string, message: string): void {
    this.#cluster.trace.say("judge", `VIOLATION ${check}: ${message}`);
    this.#cluster.fail(new Violation(`safety/${check}`, message));
  }
}

function isWish(key: string): boolean {
  return [keys.revision, keys.holds, keys.units, keys.machineSettings, keys.restarts].some((each) =>
    key.startsWith(each),
  );
}

/** What of it is people's: a leader notes there as well what it makes of machines and commits. */
function wishOf(key: string, value: string | undefined): string {
  if (value === undefined) return "";
  const revision = key === keys.revision ? parseRevision(key, value) : undefined;
  if (revision?.ok === true) return revision.value.adopted?.commit ?? "";
  const settings = machineOfSettings(key) === undefined ? undefined : parseMachineSettings(key, value);
  if (settings?.ok !== true) return value;
  const { metadata, cordoned, drain } = settings.value;
  const isBlank = Object.keys(metadata).length === 0 && cordoned === undefined && drain === undefined;
  return isBlank ? "" : JSON.stringify([metadata, cordoned, drain]);
}

function manifestOf(text: string | undefined): Manifest | undefined {
  const read = text === undefined ? undefined : parseManifest("manifest.json", text);
  return read?.ok === true ? read.value : undefined;
}

function shown({ epoch, generation }: Manifest): string {
  return `${epoch}.${generation}`;
}

const marks = { launched: "", loaded: "~", released: "-" } as const;

/** `web.service -log.service`: what is released has a minus. */
function brief({ units }: Manifest): string {
  return units.map(({ name, target, hash }) => `${marks[target]}${name}#${hash.slice(0, 3)}`).join(" ");
}
