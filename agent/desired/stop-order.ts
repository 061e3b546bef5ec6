// What stops before a unit with OnPartition=stop, when that is stopped: systemd stops with it what requires it, and first of
// all what is ordered after it. Their time is part of the time after which it is surely down. Given to desired.ts. Pure.
import { type UnitName, byName, unitNameParts } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import { type Fence, longestStopMs } from "../domain/unit.ts";
import type { ExpandedUnit } from "./expand.ts";
import { expandSpecifiers } from "./option-values.ts";
import { type Source, readStop, tooLong } from "./partition.ts";

/** systemd-system.conf(5), DefaultTimeoutStopSec=. */
const systemdsStopMs = 90_000;
/** Names in a ring that are spelled out. */
const maxShownRing = 20;

/** Whoever has one of these to a unit is stopped with it (systemd.unit(5)). */
const stoppedWith = ["Requires", "Requisite", "BindsTo", "PartOf", "StopPropagatedFrom"];
const stops = ["PropagatesStopTo"];
const after = ["After"];
const before = ["Before"];

type Units = ReadonlyMap<UnitName, ExpandedUnit>;
type Edges = Map<UnitName, Set<UnitName>>;

export interface Reckoning {
  /** Of units that wait for others; the others' is their own. */
  readonly fences: ReadonlyMap<UnitName, Fence>;
  /** Code "unit-partition": nobody can say when such a unit is down. */
  readonly problems: readonly Problem[];
}

/** All units with OnPartition=stop on a machine are stopped at once, each after those of them that are ordered after it. */
export function reckonStops(units: Units): Reckoning {
  const fenced = [...units].flatMap(([name, { unit }]) => (unit.fence === undefined ? [] : [name]));
  if (fenced.length === 0) return { fences: new Map(), problems: [] };
  const { companions, followers } = bondsOf(units);
  const stopping = reached(fenced, (name) => companions.get(name) ?? []);
  const first = (name: UnitName): readonly UnitName[] =>
    [...(followers.get(name) ?? [])].filter((each) => stopping.has(each));
  return reckon(units, { fenced, first, involved: reached(fenced, first) });
}

interface Stopping {
  readonly fenced: readonly UnitName[];
  /** What must be down before this unit is stopped. */
  readonly first: (name: UnitName) => readonly UnitName[];
  /** The units with OnPartition=stop, and all that any of them waits for. */
  readonly involved: ReadonlySet<UnitName>;
}

/** From those that wait for nobody to those that wait for them; what is left over waits for itself. */
function reckon(units: Units, { fenced, first, involved }: Stopping): Reckoning {
  const problems: Problem[] = [];
  const awaitedBy: Edges = new Map();
  const pending = new Map<UnitName, number>();
  for (const name of involved) {
    const awaited = first(name);
    pending.set(name, awaited.length);
    for (const each of awaited) join(awaitedBy, each, name);
  }
  const awaitedMs = new Map<UnitName, number>();
  const fences = new Map<UnitName, Fence>();
  const ready = [...involved].filter((name) => pending.get(name) === 0);
  for (let name = ready.pop(); name !== undefined; name = ready.pop()) {
    pending.delete(name);
    const waits = awaitedMs.get(name) ?? 0;
    const ms = waits + ownMs(name, { units, problems });
    const fence = units.get(name)?.unit.fence;
    if (ms > longestStopMs && waits > 0)
      problems.push(problemOf(units, { name, hint: `With what stops first: ${tooLong}` }));
    else if (fence !== undefined && waits > 0) fences.set(name, { ...fence, stopMs: ms });
    for (const each of awaitedBy.get(name) ?? []) {
      awaitedMs.set(each, Math.max(awaitedMs.get(each) ?? 0, ms));
      const left = (pending.get(each) ?? 0) - 1;
      pending.set(each, left);
      if (left === 0) ready.push(each);
    }
  }
  const stuck = fenced.filter((name) => pending.has(name)).sort(byName)[0];
  if (stuck !== undefined) {
    const ring = ringFrom(stuck, (name) => first(name).find((each) => pending.has(each)));
    const shown = ring.length > maxShownRing ? [...ring.slice(0, maxShownRing), "..."] : ring;
    const hint = `They are to stop one after the other in a ring, which systemd refuses: remove After= or Before= from one of ${shown.join(" ")}`;
    problems.push(problemOf(units, { name: ring[0] ?? stuck, hint }));
  }
  return { fences, problems };
}

/** 0 where nobody can say: that is a problem already. */
function ownMs(name: UnitName, { units, problems }: { readonly units: Units; readonly problems: Problem[] }): number {
  const found = units.get(name);
  if (found === undefined) return 0;
  if (found.unit.fence !== undefined) return found.unit.fence.stopMs;
  const { type } = unitNameParts(name);
  const stop = readStop(found.sources, {
    type,
    defaultMs: systemdsStopMs,
    refuse: (what, hint) =>
      problems.push(
        new Problem(
          "unit-partition",
          `Cannot take ${what === undefined ? "the stop" : `${what.key}=${what.value}`} of unit "${name}"`,
          {
            hint: `It stops before one with OnPartition=stop. ${hint}`,
            at: what?.at ?? { file: found.unit.file },
          },
        ),
      ),
  });
  return stop?.stopMs ?? 0;
}

function problemOf(units: Units, { name, hint }: { readonly name: UnitName; readonly hint: string }): Problem {
  const at = { file: units.get(name)?.unit.file ?? name };
  return new Problem("unit-partition", `Cannot take the stop of unit "${name}" with OnPartition=stop`, { hint, at });
}

/** The ring that this way leads into. */
function ringFrom(name: UnitName, next: (name: UnitName) => UnitName | undefined): readonly UnitName[] {
  const path: UnitName[] = [];
  for (let at: UnitName | undefined = name; at !== undefined; at = next(at)) {
    const seen = path.indexOf(at);
    if (seen >= 0) return path.slice(seen);
    path.push(at);
  }
  return path;
}

function reached(from: readonly UnitName[], next: (name: UnitName) => Iterable<UnitName>): ReadonlySet<UnitName> {
  const found = new Set(from);
  // A set gives also what is added while it is gone through
  for (const name of found) for (const each of next(name)) found.add(each);
  return found;
}

/** For each unit: those that are stopped with it, and those that are ordered after it. */
function bondsOf(units: Units): { readonly companions: Edges; readonly followers: Edges } {
  const companions: Edges = new Map();
  const followers: Edges = new Map();
  const words = new Map<readonly Source[], Words>();
  for (const [name, { sources }] of units) {
    const read = words.get(sources) ?? wordsOf(sources);
    words.set(sources, read);
    const named = (list: readonly string[]): readonly UnitName[] =>
      list
        .map((word) => expandSpecifiers(word, name))
        .flatMap((expanded) => ("value" in expanded ? [expanded.value as UnitName] : []))
        .filter((each) => units.has(each));
    for (const each of named(read.stoppedWith)) join(companions, each, name);
    for (const each of named(read.stops)) join(companions, name, each);
    for (const each of named(read.after)) join(followers, each, name);
    for (const each of named(read.before)) join(followers, name, each);
    const { type, stem } = unitNameParts(name);
    const activated = `${stem}.service` as UnitName;
    if (["socket", "timer", "path"].includes(type) && units.has(activated)) join(followers, name, activated);
  }
  return { companions, followers };
}

interface Words {
  readonly stoppedWith: readonly string[];
  readonly stops: readonly string[];
  readonly after: readonly string[];
  readonly before: readonly string[];
}

function wordsOf(sources: readonly Source[]): Words {
  const assignments = sources.flatMap(({ parsed }) => parsed.assignments.filter(({ section }) => section === "Unit"));
  const of = (keys: readonly string[]): readonly string[] =>
    assignments.flatMap(({ key, value }) =>
      keys.includes(key) ? value.split(/\s+/).filter((word) => word !== "") : [],
    );
  return { stoppedWith: of(stoppedWith), stops: of(stops), after: of(after), before: of(before) };
}

function join(edges: Edges, from: UnitName, to: UnitName): void {
  if (from === to) return;
  const known = edges.get(from);
  if (known === undefined) edges.set(from, new Set([to]));
  else known.add(to);
}
