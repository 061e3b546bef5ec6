// The wanted units, with every relation between them resolved: who follows, conflicts with and replaces whom, and in whose
// turn each is decided. Given to the other files of this room. Kept from pass to pass: a change costs what it touches.
import type { UnitName } from "../domain/names.ts";
import { byName, unitNameParts } from "../domain/names.ts";
import type { PlacementOptions } from "../domain/unit.ts";
import type { WantedUnit } from "../domain/placement.ts";
import { literalStart, patternTest } from "../text/conflict.ts";
import { type Follower, setTurns } from "./follow.ts";
import { type Host, wishKey } from "./machines.ts";

/** A wanted unit whose target is not inactive. Unless said otherwise only this file writes to it. */
export interface ActiveUnit extends Follower<ActiveUnit> {
  readonly name: UnitName;
  readonly options: PlacementOptions;
  /** Of its standing wishes, as `HostIndex.classOf` takes it. */
  readonly wishes: string;
  /** The active units that it names with MachineOf=, in that order. */
  follows: readonly ActiveUnit[];
  /** The first unit of MachineOf= that is not active, if any: it then fits nowhere. */
  absent: UnitName | undefined;
  followers: readonly ActiveUnit[];
  cycle: readonly ActiveUnit[] | undefined;
  /** Its Conflicts=, and the Conflicts= of any unit that match its name. */
  declares: readonly Pattern[];
  matching: readonly Pattern[];
  /** The other side of every Replaces= relation that counts, in name order. */
  replaces: readonly ActiveUnit[];
  replacedBy: readonly ActiveUnit[];
  /** Where board.ts has put it: one machine, or for a global unit any number. */
  host: Host | undefined;
  hosts: Set<Host> | undefined;
  /** With whom it is spread: the instances of its template with the same Spread=. Undefined: with nobody. */
  readonly spread: SpreadGroup | undefined;
  /** While it waits, under what waiting.ts has filed it; of a global unit: whether it has asked every machine that fits. */
  filed: string | undefined;
  hasAsked: boolean;
}

/** One pattern text of Conflicts=, whoever declares it. */
export interface Pattern {
  readonly text: string;
  readonly start: string;
  readonly exact: boolean;
  readonly test: (name: string) => boolean;
  readonly id: number;
  declarers: number;
}

export interface SpreadGroup {
  readonly id: string;
  readonly key: string;
  /** By value of the key: its members on machines with that value. Written by board.ts. */
  readonly counts: Map<string, number>;
}

/** Most units have no relation: they share one empty list. */
const none: readonly never[] = [];
/** From so many changes on the list of names is sorted anew instead of mended. */
const bulk = 1_000;

export class UnitIndex {
  readonly named = new Map<UnitName, ActiveUnit>();
  readonly globals = new Set<ActiveUnit>();
  readonly replacing = new Set<ActiveUnit>();
  readonly #groups = new Map<string, SpreadGroup>();
  readonly #patterns = new Map<string, Pattern>();
  #nextPattern = 0;
  /** Patterns by the text that they begin with; exact ones under their whole text. */
  readonly #starts = new Map<string, Pattern[]>();
  readonly #startLengths = new Map<number, number>();
  /** By name, active or not: the units that name it with MachineOf=. */
  readonly #namedBy = new Map<UnitName, Set<ActiveUnit>>();
  /** In name order; undefined while it has to be made anew. */
  #sorted: ActiveUnit[] | undefined;
  /** How many units ask for a priority. Without any nobody displaces anybody. */
  prioritized = 0;

  /**
   * Takes `gone` away and adds `come`. Nobody of `gone` may be on the board. Returns every unit some relation, circle or
   * priority of which has changed, without those that are gone; those that only match other patterns are `repatterned`.
   */
  change({ gone, come }: { readonly gone: readonly ActiveUnit[]; readonly come: readonly WantedUnit[] }): {
    readonly touched: ReadonlySet<ActiveUnit>;
    readonly repatterned: ReadonlySet<ActiveUnit>;
  } {
    if (gone.length + come.length > bulk) this.#sorted = undefined;
    const touched = new Set<ActiveUnit>();
    const repatterned = new Set<ActiveUnit>();
    for (const unit of gone) this.#remove(unit, { touched, repatterned });
    const added = come.map((wanted) => this.#add(wanted));
    for (const unit of added) {
      this.#tie(unit, touched);
      touched.add(unit);
    }
    this.#linkPatterns(added, repatterned);
    for (const unit of gone) touched.delete(unit);
    for (const unit of setTurns(touched)) touched.add(unit);
    if (this.replacing.size > 0 || gone.some(({ replaces }) => replaces.length > 0)) this.#linkReplaces(touched);
    for (const unit of gone) {
      touched.delete(unit);
      repatterned.delete(unit);
    }
    return { touched, repatterned };
  }

  #add(wanted: WantedUnit): ActiveUnit {
    const { name, options } = wanted;
    const unit: ActiveUnit = {
      name,
      options,
      wishes: wishKey(options),
      follows: none,
      absent: undefined,
      followers: none,
      cycle: undefined,
      declares: none,
      matching: none,
      replaces: none,
      replacedBy: none,
      host: undefined,
      hosts: options.global ? new Set() : undefined,
      spread: this.#groupOf(wanted),
      filed: undefined,
      hasAsked: false,
      priority: 0,
      root: name,
      turn: 0,
    };
    this.named.set(name, unit);
    if (options.global) this.globals.add(unit);
    if (options.replaces.length > 0) this.replacing.add(unit);
    if (options.priority !== undefined) this.prioritized++;
    for (const target of options.machineOf) {
      const namers = this.#namedBy.get(target);
      if (namers === undefined) this.#namedBy.set(target, new Set([unit]));
      else namers.add(unit);
    }
    if (this.#sorted !== undefined) this.#sorted.splice(firstFrom(this.#sorted, name), 0, unit);
    return unit;
  }

  #remove(unit: ActiveUnit, { touched, repatterned }: Record<"touched" | "repatterned", Set<ActiveUnit>>): void {
    this.named.delete(unit.name);
    this.globals.delete(unit);
    this.replacing.delete(unit);
    if (unit.options.priority !== undefined) this.prioritized--;
    if (this.#sorted !== undefined) this.#sorted.splice(firstFrom(this.#sorted, unit.name), 1);
    for (const target of unit.options.machineOf) {
      const namers = this.#namedBy.get(target);
      namers?.delete(unit);
      if (namers?.size === 0) this.#namedBy.delete(target);
    }
    for (const target of unit.follows) {
      target.followers = target.followers.filter((each) => each !== unit);
      touched.add(target);
    }
    for (const follower of unit.followers) {
      this.#linkFollower(follower);
      touched.add(follower);
    }
    for (const other of [...unit.replaces, ...unit.replacedBy]) touched.add(other);
    for (const pattern of unit.declares) {
      if (--pattern.declarers === 0) this.#forgetPattern(pattern, repatterned);
    }
  }

  #groupOf({ name, options }: WantedUnit): SpreadGroup | undefined {
    if (options.spread === undefined || options.global) return undefined;
    const { template, instance } = unitNameParts(name);
    if (template === undefined || instance === undefined) return undefined;
    const id = `${template}\n${options.spread}`;
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = { id, key: options.spread, counts: new Map() };
      this.#groups.set(id, group);
    }
    return group;
  }

  /** Those that it follows, and those that follow it. */
  #tie(unit: ActiveUnit, touched: Set<ActiveUnit>): void {
    if (unit.options.machineOf.length > 0) {
      this.#linkFollower(unit);
      for (const target of unit.follows) {
        if (!target.followers.includes(unit)) target.followers = [...target.followers, unit];
        touched.add(target);
      }
    }
    const namers = this.#namedBy.get(unit.name);
    if (namers === undefined) return;
    unit.followers = [...namers];
    for (const follower of namers) {
      this.#linkFollower(follower);
      touched.add(follower);
    }
  }

  #linkFollower(unit: ActiveUnit): void {
    const names = [...new Set(unit.options.machineOf)];
    unit.absent = names.find((name) => !this.named.has(name));
    unit.follows = names.flatMap((name) => this.named.get(name) ?? []);
  }

  #linkPatterns(added: readonly ActiveUnit[], repatterned: Set<ActiveUnit>): void {
    const fresh = new Set<Pattern>();
    for (const unit of added) {
      if (unit.options.conflicts.length === 0) continue;
      unit.declares = [...new Set(unit.options.conflicts)].map((text) => {
        const pattern = this.#patterns.get(text) ?? this.#newPattern(text, fresh);
        pattern.declarers++;
        return pattern;
      });
    }
    for (const unit of added) {
      for (const pattern of this.#patternsFor(unit.name)) {
        if (!fresh.has(pattern)) unit.matching = [...unit.matching, pattern];
      }
    }
    for (const pattern of fresh) {
      for (const unit of this.#find(pattern)) {
        unit.matching = [...unit.matching, pattern];
        repatterned.add(unit);
        for (const host of placesOf(unit)) host.matching.set(pattern, (host.matching.get(pattern) ?? 0) + 1);
      }
    }
  }

  #newPattern(text: string, fresh: Set<Pattern>): Pattern {
    const { start, exact } = literalStart(text);
    const pattern = { text, start, exact, test: patternTest(text), id: this.#nextPattern++, declarers: 0 };
    this.#patterns.set(text, pattern);
    fresh.add(pattern);
    const alike = this.#starts.get(start);
    if (alike !== undefined) alike.push(pattern);
    else {
      this.#starts.set(start, [pattern]);
      this.#startLengths.set(start.length, (this.#startLengths.get(start.length) ?? 0) + 1);
    }
    return pattern;
  }

  #forgetPattern(pattern: Pattern, repatterned: Set<ActiveUnit>): void {
    this.#patterns.delete(pattern.text);
    const alike = (this.#starts.get(pattern.start) ?? []).filter((each) => each !== pattern);
    if (alike.length > 0) this.#starts.set(pattern.start, alike);
    else {
      this.#starts.delete(pattern.start);
      const left = (this.#startLengths.get(pattern.start.length) ?? 1) - 1;
      if (left === 0) this.#startLengths.delete(pattern.start.length);
      else this.#startLengths.set(pattern.start.length, left);
    }
    for (const unit of this.#find(pattern)) {
      unit.matching = unit.matching.filter((each) => each !== pattern);
      repatterned.add(unit);
      for (const host of placesOf(unit)) host.matching.delete(pattern);
    }
  }

  /** Asks only those patterns whose beginning the name has. */
  #patternsFor(name: string): readonly Pattern[] {
    if (this.#starts.size === 0) return none;
    const found: Pattern[] = [];
    for (const length of this.#startLengths.keys()) {
      if (length > name.length) continue;
      for (const pattern of this.#starts.get(name.slice(0, length)) ?? none) {
        if (pattern.exact ? length === name.length : pattern.test(name)) found.push(pattern);
      }
    }
    return found;
  }

  /** In name order; without reading every name: by key when it is literal, else within the names that begin alike. */
  #find({ text, start, exact, test }: Pick<Pattern, "text" | "start" | "exact" | "test">): readonly ActiveUnit[] {
    if (exact) {
      const unit = this.named.get(text as UnitName);
      return unit === undefined ? none : [unit];
    }
    const sorted = (this.#sorted ??= [...this.named.values()].sort((a, b) => byName(a.name, b.name)));
    const found: ActiveUnit[] = [];
    for (let at = firstFrom(sorted, start); at < sorted.length; at++) {
      const unit = sorted[at];
      if (!unit?.name.startsWith(start)) break;
      if (test(unit.name)) found.push(unit);
    }
    return found;
  }

  /**
   * All relations of Replaces= anew: few units have it. Not a relation: with itself, when each names the other, and with a
   * unit that the replacing one follows (it would chase it).
   */
  #linkReplaces(touched: Set<ActiveUnit>): void {
    const claims = new Map<ActiveUnit, ReadonlySet<ActiveUnit>>();
    for (const unit of [...this.replacing].sort((a, b) => byName(a.name, b.name))) {
      const find = (text: string): readonly ActiveUnit[] =>
        this.#find({ text, ...literalStart(text), test: patternTest(text) });
      claims.set(unit, new Set(unit.options.replaces.flatMap(find)));
    }
    const replacedBy = new Map<ActiveUnit, ActiveUnit[]>();
    for (const [unit, claimed] of claims) {
      const leaders = allFollowed(unit);
      const others = [...claimed]
        .filter((other) => other !== unit && !leaders.has(other) && claims.get(other)?.has(unit) !== true)
        .sort((a, b) => byName(a.name, b.name));
      if (!areSame(unit.replaces, others)) touched.add(unit);
      unit.replaces = others;
      for (const other of others) {
        const list = replacedBy.get(other);
        if (list === undefined) replacedBy.set(other, [unit]);
        else list.push(unit);
      }
    }
    for (const other of new Set([...this.#replaced, ...replacedBy.keys()])) {
      const list = replacedBy.get(other) ?? none;
      if (!areSame(other.replacedBy, list)) touched.add(other);
      other.replacedBy = list;
    }
    this.#replaced = [...replacedBy.keys()];
  }

  #replaced: readonly ActiveUnit[] = none;
}

/** Where the unit is. */
export function placesOf(unit: ActiveUnit): Iterable<Host> {
  return unit.hosts ?? (unit.host === undefined ? none : [unit.host]);
}

/** All that it follows, near or far. */
export function allFollowed(unit: ActiveUnit): ReadonlySet<ActiveUnit> {
  const found = new Set<ActiveUnit>(unit.follows);
  for (const each of found) for (const next of each.follows) found.add(next);
  return found;
}

/** The unit, and all there that follow it, near or far; in no order. */
export function groupOn(unit: ActiveUnit, host: Host): readonly ActiveUnit[] {
  const group = new Set<ActiveUnit>([unit]);
  for (const each of group) for (const next of each.followers) group.add(next);
  return [...group].filter((each) => each === unit || host.units.has(each));
}

function areSame(a: readonly ActiveUnit[], b: readonly ActiveUnit[]): boolean {
  return a.length === b.length && a.every((each, at) => each === b[at]);
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
