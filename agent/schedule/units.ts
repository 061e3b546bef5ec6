// The wanted units of one pass, with every relation between them resolved: who follows, conflicts with and replaces whom.
// Given to the other files of this room. What is here does not change during a pass.
import type { UnitName } from "../domain/names.ts";
import { byName } from "../domain/names.ts";
import type { PlacementOptions } from "../domain/unit.ts";
import type { WantedUnit } from "../domain/placement.ts";
import { literalStart, patternTest } from "../text/conflict.ts";

/** A wanted unit whose target is not inactive. */
export interface ActiveUnit {
  /** Its place in name order. */
  readonly index: number;
  readonly name: UnitName;
  readonly options: PlacementOptions;
  /** The active units that it names with MachineOf=. */
  readonly follows: readonly ActiveUnit[];
  /** The first unit of MachineOf= that is not active, if any: it then fits nowhere. */
  readonly absent: UnitName | undefined;
  readonly followers: readonly ActiveUnit[];
  /** Its Conflicts=, and the Conflicts= of any unit that match its name. */
  readonly declares: readonly Pattern[];
  readonly matching: readonly Pattern[];
  /** The other side of every Replaces= relation that counts (fleet.md 8.5). */
  readonly replaces: readonly ActiveUnit[];
  readonly replacedBy: readonly ActiveUnit[];
}

/** One pattern text of Conflicts=, whoever declares it. */
export interface Pattern {
  readonly index: number;
  readonly matches: readonly ActiveUnit[];
  readonly declaredBy: readonly ActiveUnit[];
}

type Draft = { -readonly [K in keyof ActiveUnit]: ActiveUnit[K] extends readonly (infer E)[] ? E[] : ActiveUnit[K] };

export interface LinkedUnits {
  /** In name order. */
  readonly units: readonly ActiveUnit[];
  readonly named: ReadonlyMap<string, ActiveUnit>;
}

/** All active units, linked; time grows with units, links and pattern matches. */
export function linkUnits(wanted: readonly WantedUnit[]): LinkedUnits {
  const drafts = wanted
    .filter((unit) => unit.target !== "inactive")
    .sort((a, b) => byName(a.name, b.name))
    .map((unit, index) => draft(unit, index));
  const named = new Map<string, Draft>(drafts.map((unit) => [unit.name, unit]));
  const find = matchFinder(drafts, named);
  linkFollowers(drafts, named);
  linkConflicts(drafts, find);
  linkReplaces(drafts, find);
  return { units: drafts, named };
}

/** Most units have no relation: they share one empty list, which `add` replaces by a list of the unit's own. */
const none: never[] = [];

function draft(unit: WantedUnit, index: number): Draft {
  return {
    index,
    name: unit.name,
    options: unit.options,
    follows: none,
    absent: undefined,
    followers: none,
    declares: none,
    matching: none,
    replaces: none,
    replacedBy: none,
  };
}

function add<E>(list: E[], element: E): E[] {
  if (list === none) return [element];
  list.push(element);
  return list;
}

function linkFollowers(drafts: readonly Draft[], named: ReadonlyMap<string, Draft>): void {
  for (const unit of drafts) {
    for (const name of new Set(unit.options.machineOf)) {
      const target = named.get(name);
      if (target === undefined) {
        unit.absent ??= name;
        continue;
      }
      unit.follows = add(unit.follows, target);
      target.followers = add(target.followers, unit);
    }
  }
}

function linkConflicts(drafts: readonly Draft[], find: (pattern: string) => readonly Draft[]): void {
  const patterns = new Map<string, { index: number; matches: readonly Draft[]; declaredBy: Draft[] }>();
  for (const unit of drafts) {
    for (const text of new Set(unit.options.conflicts)) {
      let pattern = patterns.get(text);
      if (pattern === undefined) {
        pattern = { index: patterns.size, matches: find(text), declaredBy: [] };
        patterns.set(text, pattern);
        for (const match of pattern.matches) match.matching = add(match.matching, pattern);
      }
      pattern.declaredBy.push(unit);
      unit.declares = add(unit.declares, pattern);
    }
  }
}

/** Not a relation: with itself, when each names the other, and with a unit that the replacing one follows (it would chase it). */
function linkReplaces(drafts: readonly Draft[], find: (pattern: string) => readonly Draft[]): void {
  const claims = new Map<Draft, Set<Draft>>();
  for (const unit of drafts) {
    if (unit.options.replaces.length > 0) claims.set(unit, new Set(unit.options.replaces.flatMap(find)));
  }
  for (const [unit, claimed] of claims) {
    const leaders = allFollowed(unit);
    for (const other of [...claimed].sort((a, b) => a.index - b.index)) {
      if (other === unit || leaders.has(other) || claims.get(other)?.has(unit) === true) continue;
      unit.replaces = add(unit.replaces, other);
      other.replacedBy = add(other.replacedBy, unit);
    }
  }
}

function allFollowed(unit: ActiveUnit): ReadonlySet<ActiveUnit> {
  const found = new Set<ActiveUnit>(unit.follows);
  for (const each of found) for (const next of each.follows) found.add(next);
  return found;
}

/** Finds by pattern without reading every name: by key when it is literal, else within the names that begin alike. */
function matchFinder(
  drafts: readonly Draft[],
  named: ReadonlyMap<string, Draft>,
): (pattern: string) => readonly Draft[] {
  const known = new Map<string, readonly Draft[]>();
  return (pattern) => {
    let found = known.get(pattern);
    if (found === undefined) {
      found = search(pattern);
      known.set(pattern, found);
    }
    return found;
  };

  function search(pattern: string): readonly Draft[] {
    const { start, exact } = literalStart(pattern);
    if (exact) {
      const unit = named.get(pattern);
      return unit === undefined ? [] : [unit];
    }
    const test = patternTest(pattern);
    const found: Draft[] = [];
    for (let at = firstFrom(drafts, start); at < drafts.length; at++) {
      const unit = drafts[at];
      if (!unit?.name.startsWith(start)) break;
      if (test(unit.name)) found.push(unit);
    }
    return found;
  }
}

/** The first place in name order whose name is not before `start`. */
function firstFrom(units: readonly ActiveUnit[], start: string): number {
  let low = 0;
  let high = units.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byName(units[middle]?.name ?? "", start) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
