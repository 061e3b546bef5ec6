// From what is decided to what each machine is told: the manifests to be written, and only those that change. Beside
// schedule.ts the second file of this room that loops/ may import. Pure; hand-over between live machines is explicit here:
// a unit is stopped, and seen stopped, on the first machine before the second is told of it.
import { byName, type CommitId, type MachineId, type UnitName } from "../domain/names.ts";
import {
  type Handover,
  type Manifest,
  type ManifestEntry,
  type Standing,
  comparePositions,
} from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import { type MachineStatus, type UnitStatus, isDown, isUp } from "../domain/status.ts";
import type { Unit } from "../domain/unit.ts";
import type { Board } from "./schedule.ts";

export interface ManifestInput {
  /** Where a Scheduler that was told of these same units, machines, manifests and statuses has put everything. */
  readonly board: Board;
  /** Machines whose manifests may have to change: those that a pass has touched, and those of which anything else is new. */
  readonly touched: Iterable<MachineId>;
  readonly desired: {
    /** Of the units whose source is git. */
    readonly commit: CommitId | undefined;
    readonly units: ReadonlyMap<UnitName, Pick<Unit, "source" | "hash" | "target" | "options" | "fence">>;
  };
  /** Units of which nothing is decided: what machines are told of them stays as it is. */
  readonly undecidable: ReadonlySet<UnitName>;
  /** Restarts that were asked for and are still to be told, by unit; one that was told stays in its entry. */
  readonly restarts: ReadonlyMap<UnitName, { readonly id: string }>;
  /** As they stand now; also those of machines that are gone. */
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly statuses: ReadonlyMap<MachineId, Pick<MachineStatus, "seen"> & { readonly units: readonly Shown[] }>;
  /** Machines whose manifest has to be written in any case: the registry has lost it, or the machine waits for a word. */
  readonly unwritten: ReadonlySet<MachineId>;
  /** The word that a machine may be given (`Manifest.word`); of others the one that stands goes on. */
  readonly wordOf: (machine: MachineId) => number | undefined;
  /** A machine that is not in it is gone. */
  readonly standing: ReadonlyMap<MachineId, Standing>;
  readonly epoch: number;
  /** Above every generation written in this epoch so far. Every manifest of `writes` has it. */
  readonly generation: number;
}

/** What is left out is not known. */
type Shown = Pick<UnitStatus, "name"> & Partial<Pick<UnitStatus, "hash" | "started" | "active">>;

interface Place {
  readonly id: MachineId;
  readonly name: UnitName;
}

export interface NextManifests {
  /** To be written in this order: a gone machine is told to let go before another is told to take over. */
  readonly writes: readonly Manifest[];
  /** Units that have a new machine but are not yet seen gone from another, in name order. */
  readonly handovers: readonly Handover[];
}

/**
 * The manifests that the board asks for, of the touched machines. A manifest is written when an entry of it comes, goes or
 * changes its hash or target, when a present machine has none, and when a machine is given up or is there again; a newer
 * commit alone changes nothing. All that is wanted in a written manifest names the newest commit. The time that a stop takes falls
 * only once the machine shows that nothing runs there with an older text. An entry is released only
 * on positive evidence, and taken out only when its machine is present and has been seen without the unit under a manifest
 * that releases it. Throws Problem "placement-unwanted" or "manifest-order" when the input contradicts itself; nothing may be
 * written then.
 */
export function nextManifests(input: ManifestInput): NextManifests {
  const { board, standing, undecidable } = input;
  const writes: { readonly gone: Manifest[]; readonly others: Manifest[] } = { gone: [], others: [] };
  const handovers: Handover[] = [];
  for (const id of [...new Set(input.touched)].sort(byName)) {
    const draft = openDraft(input, id);
    const wanted = [...board.wantedOn(id)].filter((name) => !undecidable.has(name));
    let found: TakenUp | undefined;
    const takenUp = (): TakenUp => (found ??= takenUpOn(input, id));
    for (const name of wanted) {
      const current = draft.entries.get(name);
      const next = wantedEntry(input, { name, current, takenUp });
      const held = current !== undefined && current.target !== "released";
      const [from] = isGlobal(input, name) ? [] : held ? runners(input, { id, name }) : others(input, { id, name });
      if (from !== undefined) {
        handovers.push({ unit: name, from, to: id });
        if (held) draft.change({ ...current, target: "released" });
      } else if (current === undefined || differs(current, next)) draft.change(next);
    }
    if (!draft.changed) continue;
    const manifest = finish(input, { id, draft, wanted: new Set(wanted), takenUp });
    (standing.has(id) ? writes.others : writes.gone).push(manifest);
  }
  handovers.sort((a, b) => byName(a.unit, b.unit) || byName(a.to, b.to));
  return { writes: [...writes.gone, ...writes.others], handovers };
}

/** One machine's next entries. Lives as long as one call. */
class Draft {
  readonly entries: Map<UnitName, ManifestEntry>;
  changed: boolean;

  constructor(manifest: Manifest | undefined, isNew: boolean) {
    this.entries = new Map(manifest?.units.map((entry) => [entry.name, entry]));
    this.changed = isNew;
  }

  change(entry: ManifestEntry): void {
    this.entries.set(entry.name, entry);
    this.changed = true;
  }

  remove(name: UnitName): void {
    this.changed = this.entries.delete(name) || this.changed;
  }
}

/** The machine's present entries, without what is seen gone and with what it must let go of marked so. */
function openDraft(input: ManifestInput, id: MachineId): Draft {
  const { board, undecidable } = input;
  const manifest = input.manifests.get(id);
  const isNew = manifest === undefined && input.standing.get(id) === "present";
  const isTold = manifest === undefined || isGivenUp(input, manifest) === (manifest.givenUp === true);
  const draft = new Draft(manifest, isNew || !isTold || input.unwritten.has(id));
  if (manifest === undefined) return draft;
  const isGone = goneFrom(input, manifest);
  for (const entry of manifest.units) {
    if (entry.target === "released") {
      if (isGone(entry.name)) draft.remove(entry.name);
    } else if (!undecidable.has(entry.name) && board.mustLetGo(id, entry.name)) {
      draft.change({ ...entry, target: "released" });
    }
  }
  return draft;
}

/** Of a machine that may be coming back it stays as it is. */
function isGivenUp({ standing }: ManifestInput, { machine, givenUp }: Manifest): boolean {
  const known = standing.get(machine);
  return known === undefined || (known === "presumed" && givenUp === true);
}

/** Whether the machine has been seen without a unit that this manifest of it releases. */
function goneFrom({ standing, statuses }: ManifestInput, manifest: Manifest): (name: UnitName) => boolean {
  const status = standing.get(manifest.machine) === "present" ? statuses.get(manifest.machine) : undefined;
  if (status === undefined || comparePositions(status.seen, manifest) < 0) return () => false;
  const there = new Set(status.units.map((unit) => unit.name));
  return (name) => !there.has(name);
}

/** Machines that are not gone and have the unit, may have it, or are told to let go of it; in id order. */
function holders(input: ManifestInput, name: UnitName): readonly MachineId[] {
  return input.board.concerned(name).filter((id) => {
    if (!input.standing.has(id)) return false;
    if (input.statuses.get(id)?.units.some((unit) => unit.name === name) === true) return true;
    const manifest = input.manifests.get(id);
    const entry = manifest?.units.find((each) => each.name === name);
    if (manifest === undefined || entry === undefined) return false;
    return entry.target !== "released" || !goneFrom(input, manifest)(name);
  });
}

/** Those of them that are not this one. */
function others(input: ManifestInput, { id, name }: Place): readonly MachineId[] {
  return holders(input, name).filter((other) => other !== id);
}

/**
 * Other machines on which a unit with OnPartition=stop is not seen down, where it is not seen up on this one that has been told of
 * it: as after the registry was put back to before it moved. It is taken back here, and handed over like any other.
 */
function runners(input: ManifestInput, { id, name }: Place): readonly MachineId[] {
  const shown = (on: MachineId): string =>
    input.statuses.get(on)?.units.find((unit) => unit.name === name)?.active ?? "inactive";
  if (input.desired.units.get(name)?.fence === undefined) return [];
  if (isUp(shown(id))) return [];
  return others(input, { id, name }).filter((other) => !isDown(shown(other)));
}

function isGlobal(input: ManifestInput, name: UnitName): boolean {
  return input.desired.units.get(name)?.options.global === true;
}

/** A newer commit alone is no difference. */
function differs(a: ManifestEntry, b: ManifestEntry): boolean {
  return (
    a.hash !== b.hash ||
    a.target !== b.target ||
    a.source !== b.source ||
    a.restart !== b.restart ||
    a.fenceMs !== b.fenceMs
  );
}

/** What a machine shows of the newest texts. */
interface TakenUp {
  /** Units of which nothing older runs there. */
  readonly units: ReadonlySet<UnitName>;
  /** Nothing older runs there of any unit. */
  readonly isAll: boolean;
}

/**
 * By a status that came after the manifest as it stands, so that nothing else is still to be taken up. What lies on a machine says
 * little of what runs there, only that it was started with it does.
 */
function takenUpOn({ desired, manifests, standing, statuses }: ManifestInput, id: MachineId): TakenUp {
  const manifest = manifests.get(id);
  const status = standing.get(id) === "present" ? statuses.get(id) : undefined;
  const units = new Set<UnitName>();
  if (manifest === undefined || status === undefined || comparePositions(status.seen, manifest) < 0)
    return { units, isAll: false };
  const told = new Map(manifest.units.map((entry) => [entry.name, entry]));
  let isAll = true;
  for (const { name, hash, started, active } of status.units) {
    const entry = told.get(name);
    const isNewest = hash !== undefined && entry?.hash === hash && desired.units.get(name)?.hash === hash;
    if (isNewest && (started === true || (isDown(active) && entry.target === "loaded"))) units.add(name);
    // What is down keeps no other from being stopped
    isAll &&= isNewest && entry.target !== "released" && (started === true || isDown(active));
  }
  return { units, isAll };
}

interface Wanted {
  readonly name: UnitName;
  readonly current: ManifestEntry | undefined;
  readonly takenUp: () => TakenUp;
}

/**
 * As long as an older text may run there the longer time counts: whoever is cut off stops the unit by that. Where the unit itself
 * is as it was, what stops before it is not.
 */
function fenceMsOf({ desired }: ManifestInput, { name, current, takenUp }: Wanted): number | undefined {
  const toldMs = current?.fenceMs;
  const wantedMs = desired.units.get(name)?.fence?.stopMs;
  if (toldMs === undefined || (wantedMs !== undefined && wantedMs >= toldMs)) return wantedMs;
  const { units, isAll } = takenUp();
  return units.has(name) && (wantedMs === undefined || isAll) ? wantedMs : toldMs;
}

function wantedEntry(input: ManifestInput, wanted: Wanted): ManifestEntry {
  const { desired, restarts } = input;
  const { name, current } = wanted;
  const unit = desired.units.get(name);
  if (unit === undefined || unit.target === "inactive") {
    throw new Problem("placement-unwanted", `Cannot place unit "${name}", which is not wanted anywhere`, {
      hint: "Decisions and desired state must be of one commit",
    });
  }
  const restart = restarts.get(name)?.id ?? current?.restart;
  const fenceMs = fenceMsOf(input, wanted);
  const told = {
    name,
    hash: unit.hash,
    target: unit.target,
    ...(restart === undefined ? {} : { restart }),
    ...(fenceMs === undefined ? {} : { fenceMs }),
  };
  if (unit.source === "submitted") return { ...told, source: "submitted" };
  if (desired.commit === undefined) throw new Error(`Unit ${name} is from no commit`);
  return { ...told, source: "git", commit: desired.commit };
}

/** What a machine has that the registry had forgotten comes without the time that it takes to stop. */
function withFence({ desired }: ManifestInput, entry: ManifestEntry): ManifestEntry {
  const unit = desired.units.get(entry.name);
  if (entry.fenceMs !== undefined || unit?.fence === undefined || unit.hash !== entry.hash) return entry;
  return { ...entry, fenceMs: unit.fence.stopMs };
}

interface Finishing extends Pick<Wanted, "takenUp"> {
  readonly id: MachineId;
  readonly draft: Draft;
  readonly wanted: ReadonlySet<UnitName>;
}

function finish(input: ManifestInput, { id, draft, wanted, takenUp }: Finishing): Manifest {
  const before = input.manifests.get(id);
  const position = { epoch: input.epoch, generation: input.generation };
  if (before !== undefined && comparePositions(position, before) <= 0) {
    throw new Problem("manifest-order", `Cannot replace the manifest of machine ${id} by one that is not newer`, {
      hint: `It has ${before.epoch}.${before.generation}, the new one would have ${position.epoch}.${position.generation}`,
    });
  }
  const units = [...draft.entries.values()]
    .map((entry) =>
      wanted.has(entry.name) && entry.target !== "released"
        ? wantedEntry(input, { name: entry.name, current: entry, takenUp })
        : withFence(input, entry),
    )
    .sort((a, b) => byName(a.name, b.name));
  const givenUp = before !== undefined && isGivenUp(input, before) ? { givenUp: true as const } : {};
  const word = units.some(({ fenceMs }) => fenceMs !== undefined) ? (input.wordOf(id) ?? before?.word) : undefined;
  return { machine: id, ...position, ...givenUp, ...(word === undefined ? {} : { word }), units };
}
