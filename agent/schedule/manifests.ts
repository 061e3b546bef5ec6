// From decisions to what each machine is told: the manifests to be written, and only those that change. Beside
// schedule.ts the second file of this room that loops/ may import. Pure; hand-over between live machines is explicit here:
// a unit is stopped, and seen stopped, on the first machine before the second is told of it.
import { byName, type CommitId, type MachineId, type UnitName } from "../domain/names.ts";
import {
  type Decision,
  type Handover,
  type Manifest,
  type ManifestEntry,
  type Standing,
  comparePositions,
} from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import type { MachineStatus } from "../domain/status.ts";
import type { Unit } from "../domain/unit.ts";

export interface ManifestInput {
  /** Made by `schedule` of these same units, machines and manifests. */
  readonly decisions: readonly Decision[];
  readonly desired: {
    /** Of the units whose source is git. */
    readonly commit: CommitId | undefined;
    readonly units: ReadonlyMap<UnitName, Pick<Unit, "source" | "hash" | "target" | "options">>;
  };
  /** Restarts that were asked for and are still to be told, by unit; one that was told stays in its entry. */
  readonly restarts: ReadonlyMap<UnitName, string>;
  /** As they stand now; also those of machines that are gone. */
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly statuses: ReadonlyMap<MachineId, Pick<MachineStatus, "seen"> & { readonly units: readonly Named[] }>;
  /** A machine that is not in it is gone. */
  readonly standing: ReadonlyMap<MachineId, Standing>;
  readonly epoch: number;
  /** Above every generation written in this epoch so far. Every manifest of `writes` has it. */
  readonly generation: number;
}

interface Named {
  readonly name: UnitName;
}

export interface NextManifests {
  /** To be written in this order: a gone machine is told to let go before another is told to take over. */
  readonly writes: readonly Manifest[];
  /** Units that have a new machine but are not yet seen gone from another, in name order. */
  readonly handovers: readonly Handover[];
}

/**
 * The manifests that the decisions ask for. A manifest is written when an entry of it comes, goes or changes its hash or
 * target, or when a present machine has none; a newer commit alone changes nothing. All that is wanted in a written
 * manifest names the newest commit. An entry is released only by a decision that says so, and taken out only when its
 * machine is present and has been seen without the unit under a manifest that releases it. Throws Problem
 * "placement-unwanted" or "manifest-order" when the input contradicts itself; nothing may be written then.
 */
export function nextManifests(input: ManifestInput): NextManifests {
  const asked = readDecisions(input.decisions);
  const ids = [...new Set([...input.manifests.keys(), ...input.standing.keys()])].sort(byName);
  const drafts = new Map<MachineId, Draft>();
  for (const id of ids) drafts.set(id, openDraft(input, { id, asked }));
  const holders = findHolders(input, drafts);
  const handovers: Handover[] = [];
  for (const [id, draft] of drafts) {
    for (const name of asked.wanted.get(id) ?? []) {
      const current = draft.entries.get(name);
      const wanted = wantedEntry(input, { name, current });
      const held = current !== undefined && current.target !== "released";
      const [from] = held || isGlobal(input, name) ? [] : (holders.get(name) ?? []).filter((other) => other !== id);
      if (from !== undefined) handovers.push({ unit: name, from, to: id });
      else if (current === undefined || differs(current, wanted)) draft.change(wanted);
    }
  }
  handovers.sort((a, b) => byName(a.unit, b.unit) || byName(a.to, b.to));
  const changed = [...drafts]
    .filter(([, draft]) => draft.changed)
    .map(([id, draft]) => finish(input, { id, draft, asked }));
  const gone = changed.filter((manifest) => !input.standing.has(manifest.machine));
  const others = changed.filter((manifest) => input.standing.has(manifest.machine));
  return { writes: [...gone, ...others], handovers };
}

interface Asked {
  /** By machine: units that it is to have. */
  readonly wanted: ReadonlyMap<MachineId, ReadonlySet<UnitName>>;
  /** By machine: units that it is to let go of, on positive evidence. */
  readonly released: ReadonlyMap<MachineId, ReadonlySet<UnitName>>;
  /** Units without any machine: one that is gone keeps its entry, for its return. */
  readonly waiting: ReadonlySet<UnitName>;
}

function readDecisions(decisions: readonly Decision[]): Asked {
  const wanted = new Map<MachineId, Set<UnitName>>();
  const released = new Map<MachineId, Set<UnitName>>();
  const waiting = new Set<UnitName>();
  for (const decision of decisions) {
    if (decision.kind === "keep" || decision.kind === "place") enter(wanted, decision.on, decision.unit);
    if (decision.kind === "drop") enter(released, decision.on, decision.unit);
    if (decision.kind === "wait") waiting.add(decision.unit);
    if ((decision.kind === "place" || decision.kind === "wait") && decision.from !== undefined) {
      enter(released, decision.from, decision.unit);
    }
  }
  return { wanted, released, waiting };
}

function enter(sets: Map<MachineId, Set<UnitName>>, machine: MachineId, unit: UnitName): void {
  const set = sets.get(machine);
  if (set === undefined) sets.set(machine, new Set([unit]));
  else set.add(unit);
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
function openDraft(input: ManifestInput, { id, asked }: { id: MachineId; asked: Asked }): Draft {
  const manifest = input.manifests.get(id);
  const standing = input.standing.get(id);
  const draft = new Draft(manifest, manifest === undefined && standing === "present");
  if (manifest === undefined) return draft;
  const released = asked.released.get(id);
  const status = standing === "present" ? input.statuses.get(id) : undefined;
  const upToDate = status !== undefined && comparePositions(status.seen, manifest) >= 0;
  const there = upToDate ? new Set(status.units.map((unit) => unit.name)) : undefined;
  for (const entry of manifest.units) {
    if (entry.target === "released") {
      if (there?.has(entry.name) === false) draft.remove(entry.name);
    } else if (released?.has(entry.name) === true && (standing !== undefined || !asked.waiting.has(entry.name))) {
      draft.change({ ...entry, target: "released" });
    }
  }
  return draft;
}

/** By unit: machines that are not gone and have it, may have it, or are told to let go of it; in id order. */
function findHolders(
  input: ManifestInput,
  drafts: ReadonlyMap<MachineId, Draft>,
): ReadonlyMap<UnitName, readonly MachineId[]> {
  const holders = new Map<UnitName, MachineId[]>();
  const hold = (name: UnitName, id: MachineId): void => {
    const machines = holders.get(name);
    if (machines === undefined) holders.set(name, [id]);
    else if (machines.at(-1) !== id) machines.push(id);
  };
  for (const [id, draft] of drafts) {
    const standing = input.standing.get(id);
    if (standing === undefined) continue;
    for (const name of draft.entries.keys()) hold(name, id);
    if (standing === "present") for (const { name } of input.statuses.get(id)?.units ?? []) hold(name, id);
  }
  return holders;
}

function isGlobal(input: ManifestInput, name: UnitName): boolean {
  return input.desired.units.get(name)?.options.global === true;
}

/** A newer commit alone is no difference. */
function differs(a: ManifestEntry, b: ManifestEntry): boolean {
  return a.hash !== b.hash || a.target !== b.target || a.source !== b.source || a.restart !== b.restart;
}

function wantedEntry(
  { desired, restarts }: ManifestInput,
  { name, current }: { readonly name: UnitName; readonly current: ManifestEntry | undefined },
): ManifestEntry {
  const unit = desired.units.get(name);
  if (unit === undefined || unit.target === "inactive") {
    throw new Problem("placement-unwanted", `Cannot place unit "${name}", which is not wanted anywhere`, {
      hint: "Decisions and desired state must be of one commit",
    });
  }
  const restart = restarts.get(name) ?? current?.restart;
  const told = {
    name,
    hash: unit.hash,
    target: unit.target,
    ...(restart === undefined ? {} : { restart }),
  };
  if (unit.source === "submitted") return { ...told, source: "submitted" };
  if (desired.commit === undefined) throw new Error(`Unit ${name} is from no commit`);
  return { ...told, source: "git", commit: desired.commit };
}

function finish(input: ManifestInput, { id, draft, asked }: { id: MachineId; draft: Draft; asked: Asked }): Manifest {
  const before = input.manifests.get(id);
  const position = { epoch: input.epoch, generation: input.generation };
  if (before !== undefined && comparePositions(position, before) <= 0) {
    throw new Problem("manifest-order", `Cannot replace the manifest of machine ${id} by one that is not newer`, {
      hint: `It has ${before.epoch}.${before.generation}, the new one would have ${position.epoch}.${position.generation}`,
    });
  }
  const wanted = asked.wanted.get(id);
  const units = [...draft.entries.values()]
    .map((entry) =>
      wanted?.has(entry.name) === true && entry.target !== "released"
        ? wantedEntry(input, { name: entry.name, current: entry })
        : entry,
    )
    .sort((a, b) => byName(a.name, b.name));
  return { machine: id, ...position, units };
}
