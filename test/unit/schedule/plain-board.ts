// What is where, for the plain meaning of placement (plain.ts): whether a machine takes a unit as things stand, and which
// machine a unit would rather have. Slow on purpose: everything is counted anew whenever it is asked for.
import type { CandidateMachine, RefusalRule, WantedUnit } from "../../../agent/domain/placement.ts";
import type { MachineId } from "../../../agent/domain/names.ts";
import { type PlainUnits, areSiblings, isNamed, liking, satisfies, valueOf } from "./plain-units.ts";

/** Something that units reserve, and the rule that refuses a unit where too little of it is left. */
interface Resource {
  readonly rule: "memory" | "cpu";
  /** 0: not known, and never too little. */
  readonly capacity: (machine: CandidateMachine) => number;
  readonly reserve: (unit: WantedUnit, machine: CandidateMachine) => number;
}

const resources: readonly Resource[] = [
  {
    rule: "memory",
    capacity: (machine) => machine.memoryBytes ?? 0,
    reserve: ({ options: { memory } }, { memoryBytes = 0 }) => {
      if (memory === undefined) return 0;
      return "bytes" in memory ? memory.bytes : Math.floor((memoryBytes * memory.percent) / 100);
    },
  },
  {
    rule: "cpu",
    capacity: (machine) => machine.milliCpus ?? 0,
    reserve: ({ options }) => options.milliCpus ?? 0,
  },
];

export type PlainBoard = ReturnType<typeof plainBoard>;

/** An empty board. A unit that is not global is on at most one machine; nothing here sees to that. */
export function plainBoard(units: PlainUnits, listed: readonly CandidateMachine[]) {
  const machines = [...listed].sort((a, b) => (a.id < b.id ? -1 : 1));
  const present = machines.filter((machine) => machine.standing === "present");
  let on = new Map(units.ordered.map((unit) => [unit, new Set<CandidateMachine>()]));
  let madeWay = new Set<WantedUnit>();

  const isOn = (unit: WantedUnit, machine: CandidateMachine): boolean => on.get(unit)!.has(machine);
  const there = (machine: CandidateMachine): readonly WantedUnit[] =>
    units.ordered.filter((unit) => isOn(unit, machine));
  const load = (machine: CandidateMachine): number => there(machine).length;
  const put = (unit: WantedUnit, machine: CandidateMachine): void => void on.get(unit)!.add(machine);
  const take = (unit: WantedUnit, machine: CandidateMachine): void => void on.get(unit)!.delete(machine);

  /** Does it, and undoes all of it where it comes to nothing. */
  const attempt = (act: () => boolean): boolean => {
    const before = { on: new Map([...on].map(([unit, set]) => [unit, new Set(set)])), madeWay: new Set(madeWay) };
    const done = act();
    if (!done) ({ on, madeWay } = before);
    return done;
  };
  /** What would come of it; nothing is changed. */
  const imagine = <Result>(act: () => Result): Result => {
    let result: Result;
    attempt(() => {
      result = act();
      return false;
    });
    return result!;
  };

  /** What the unit reserves and would not find on the machine, if those in `without` were not there. */
  const lacking = (
    unit: WantedUnit,
    machine: CandidateMachine,
    without: ReadonlySet<WantedUnit> = new Set(),
  ): readonly Resource[] =>
    resources.filter(({ capacity, reserve }) => {
      const own = reserve(unit, machine);
      const others = there(machine).filter((other) => !without.has(other));
      const reserved = others.reduce((sum, other) => sum + reserve(other, machine), 0);
      return own > 0 && capacity(machine) > 0 && reserved + own > capacity(machine);
    });

  /** All rules by which the machine refuses the unit, in order: it counts for the first. Replacing others is not looked at. */
  const refusals = (unit: WantedUnit, machine: CandidateMachine): readonly RefusalRule[] => {
    if (machine.standing === "presumed") return ["no-machine"];
    const { spread } = unit.options;
    const lacks = lacking(unit, machine).map((resource) => resource.rule);
    const rules: readonly (readonly [RefusalRule, boolean])[] = [
      ["machine-id", !isNamed(unit, machine)],
      ["metadata", !satisfies(unit, machine)],
      ["cordoned", machine.cordoned === true],
      ["spread", spread !== undefined && valueOf(machine, spread) === undefined],
      ["machine-of", units.targets(unit).some((target) => target === undefined || !isOn(target, machine))],
      ["conflict", there(machine).some((other) => units.conflict(unit, other))],
      ["replaced", there(machine).some((other) => units.replaces(other, unit))],
      ["memory", lacks.includes("memory")],
      ["cpu", lacks.includes("cpu")],
    ];
    return rules.flatMap(([rule, refuses]) => (refuses ? [rule] : []));
  };

  /** Instances of the unit's template on all machines with the same value of the key by which it is spread. */
  const crowd = (unit: WantedUnit, machine: CandidateMachine): number => {
    const { spread } = unit.options;
    const value = spread === undefined ? undefined : valueOf(machine, spread);
    if (spread === undefined || value === undefined) return 0;
    const alike = machines.filter((other) => valueOf(other, spread) === value);
    return alike.flatMap(there).filter((other) => areSiblings(unit, other)).length;
  };

  /** The present machines, the one that the unit would rather have first. */
  const ranked = (unit: WantedUnit): readonly CandidateMachine[] =>
    present
      .map((machine) => ({ machine, crowd: crowd(unit, machine), liked: liking(unit, machine), load: load(machine) }))
      .sort(
        (a, b) => a.crowd - b.crowd || b.liked - a.liked || a.load - b.load || (a.machine.id < b.machine.id ? -1 : 1),
      )
      .map(({ machine }) => machine);

  return {
    machines,
    present,
    machine: (id: MachineId): CandidateMachine | undefined => machines.find((each) => each.id === id),
    /** In the order of ids. */
    placesOf: (unit: WantedUnit): readonly CandidateMachine[] => machines.filter((machine) => isOn(unit, machine)),
    isOn,
    /** In the order of decision. */
    there,
    load,
    put,
    take,
    attempt,
    imagine,
    lacking,
    refusals,
    crowd,
    ranked,
    /** Those there that the unit replaces. */
    replacedBy: (unit: WantedUnit, machine: CandidateMachine): readonly WantedUnit[] =>
      there(machine).filter((other) => units.replaces(unit, other)),
    /** The unit, and with it all there that follow it, near or far, in the order of decision; none of them global. */
    groupOf: (unit: WantedUnit, machine: CandidateMachine): readonly WantedUnit[] => [
      unit,
      ...there(machine).filter((other) => !other.options.global && units.follows(other, unit)),
    ],
    /** Whether it follows one that is there and is not global. */
    isLed: (unit: WantedUnit, machine: CandidateMachine): boolean =>
      there(machine).some((other) => !other.options.global && units.follows(unit, other)),
    /** A unit makes way for one that replaces it at most once a pass. */
    hasMadeWay: (unit: WantedUnit): boolean => madeWay.has(unit),
    noteMadeWay: (unit: WantedUnit): void => void madeWay.add(unit),
  };
}
