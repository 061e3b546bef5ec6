// What the units say of each other and of machines, for the plain meaning of placement (plain.ts): who follows whom, who is
// asked first, who conflicts with or replaces whom, what metadata satisfy. Slow on purpose; only globs are the engine's own.
import type { CandidateMachine, WantedUnit } from "../../../agent/domain/placement.ts";
import type { MetadataTest } from "../../../agent/domain/unit.ts";
import { conflictTest, patternTest } from "../../../agent/text/conflict.ts";

/** The active units of a cluster. "Near or far" is: directly, or by way of others. */
export interface PlainUnits {
  /** In the order of decision. */
  readonly ordered: readonly WantedUnit[];
  readonly find: (name: string) => WantedUnit | undefined;
  /** Those named by MachineOf=; undefined for one that is inactive or not known. */
  readonly targets: (unit: WantedUnit) => readonly (WantedUnit | undefined)[];
  /** Whether `unit` follows `other`, near or far; true of a unit and itself where they follow each other in a circle. */
  readonly follows: (unit: WantedUnit, other: WantedUnit) => boolean;
  /** Its own, or that of a unit that follows it, where that is higher. */
  readonly priority: (unit: WantedUnit) => number;
  readonly conflict: (unit: WantedUnit, other: WantedUnit) => boolean;
  /** Not where they replace each other, and never one that the unit follows. */
  readonly replaces: (unit: WantedUnit, other: WantedUnit) => boolean;
}

export function plainUnits(wanted: readonly WantedUnit[]): PlainUnits {
  const active = wanted.filter((unit) => unit.target !== "inactive");
  const find = (name: string): WantedUnit | undefined => active.find((unit) => unit.name === name);
  const targets = (unit: WantedUnit): readonly (WantedUnit | undefined)[] => unit.options.machineOf.map(find);

  const leaders = new Map(active.map((unit) => [unit, new Set<WantedUnit>()]));
  for (const [unit, found] of leaders) {
    const walk = (each: WantedUnit): void =>
      targets(each).forEach((target) => {
        if (target === undefined || found.has(target)) return;
        found.add(target);
        walk(target);
      });
    walk(unit);
  }
  const follows = (unit: WantedUnit, other: WantedUnit): boolean => leaders.get(unit)!.has(other);

  const priorities = new Map(
    active.map((unit) => {
      const asking = [unit, ...active.filter((other) => follows(other, unit))];
      return [unit, Math.max(...asking.map((each) => each.options.priority ?? 0))];
    }),
  );
  const priority = (unit: WantedUnit): number => priorities.get(unit)!;

  const ordered: WantedUnit[] = [];
  const visited = new Set<WantedUnit>();
  const visit = (unit: WantedUnit): void => {
    if (visited.has(unit)) return;
    visited.add(unit);
    targets(unit).forEach((target) => target && visit(target));
    ordered.push(unit);
  };
  [...active].sort((a, b) => priority(b) - priority(a) || (a.name < b.name ? -1 : 1)).forEach(visit);

  const clash = conflictTest();
  const patterns = new Map<string, (name: string) => boolean>();
  const names = (unit: WantedUnit, other: WantedUnit): boolean =>
    unit.options.replaces.some((pattern) => {
      const matches = patterns.get(pattern) ?? patternTest(pattern);
      patterns.set(pattern, matches);
      return matches(other.name);
    });
  return {
    ordered,
    find,
    targets,
    follows,
    priority,
    conflict: (unit, other) =>
      clash(
        { name: unit.name, conflicts: unit.options.conflicts },
        { name: other.name, conflicts: other.options.conflicts },
      ),
    replaces: (unit, other) => unit !== other && names(unit, other) && !names(other, unit) && !follows(unit, other),
  };
}

/** The machine's value of a metadata key. */
export function valueOf(machine: CandidateMachine, key: string): string | undefined {
  return Object.hasOwn(machine.metadata, key) ? machine.metadata[key] : undefined;
}

export function isNamed({ options }: WantedUnit, machine: CandidateMachine): boolean {
  const { machineId } = options;
  return machineId === undefined || machineId === machine.id || machineId === machine.id.slice(0, 8);
}

export function satisfies({ options }: WantedUnit, machine: CandidateMachine): boolean {
  const hasOneOf = ({ key, values }: { key: string; values: readonly string[] }): boolean =>
    values.some((value) => value === valueOf(machine, key));
  return options.metadata.every(hasOneOf) && (options.demands ?? []).every((asked) => holds(asked, machine));
}

/** How much the unit would like the machine: the Prefer= that hold less the Avoid= that hold. */
export function liking({ options }: WantedUnit, machine: CandidateMachine): number {
  const holding = (tests: readonly MetadataTest[] = []): number =>
    tests.filter((asked) => holds(asked, machine)).length;
  return holding(options.prefer) - holding(options.avoid);
}

function holds(asked: MetadataTest, machine: CandidateMachine): boolean {
  const value = valueOf(machine, asked.key);
  const number = value !== undefined && /^[+-]?\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  switch (asked.test) {
    case "equals":
      return value === asked.value;
    case "differs":
      return value !== asked.value;
    case "exists":
      return value !== undefined;
    case "missing":
      return value === undefined;
    case "below":
      return number < asked.value;
    case "at-most":
      return number <= asked.value;
    case "above":
      return number > asked.value;
    case "at-least":
      return number >= asked.value;
  }
}

/** Whether both are instances of one template (the same name up to the first "@", the same type) and spread alike. */
export function areSiblings(unit: WantedUnit, other: WantedUnit): boolean {
  const template = templateOf(unit.name);
  const isAlike = template !== undefined && template === templateOf(other.name);
  return isAlike && !other.options.global && other.options.spread === unit.options.spread;
}

function templateOf(name: string): string | undefined {
  const instance = /^([^@]+)@.+\.([^.]+)$/.exec(name);
  return instance === null ? undefined : `${instance[1]}@.${instance[2]}`;
}
