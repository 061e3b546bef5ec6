// Placement as one would say it, without any index: the meaning against which the quick one is held.
// Slow on purpose; shares with it nothing but the conflict test of two units and the standing rules of one machine.
import type { CandidateMachine, ClusterState, WantedUnit } from "../../../agent/domain/placement.ts";
import { standingRefusal } from "../../../agent/schedule/machines.ts";
import { conflictTest, patternTest } from "../../../agent/text/conflict.ts";

type Name = string;

/** Decisions as `describe` writes them. */
export function plainSchedule(state: ClusterState): readonly string[] {
  const clash = conflictTest();
  const machines = [...state.machines].sort((a, b) => (a.id < b.id ? -1 : 1));
  const present = machines.filter((machine) => machine.standing === "present");
  const units = state.wanted.filter((unit) => unit.target !== "inactive").sort((a, b) => (a.name < b.name ? -1 : 1));
  const find = (name: Name): WantedUnit | undefined => units.find((unit) => unit.name === name);
  const on = new Map<Name, Set<CandidateMachine>>(units.map((unit) => [unit.name, new Set()]));
  const isOn = (unit: WantedUnit, machine: CandidateMachine): boolean => on.get(unit.name)!.has(machine);
  const there = (machine: CandidateMachine): readonly WantedUnit[] => units.filter((unit) => isOn(unit, machine));
  const load = (machine: CandidateMachine): number => there(machine).length;
  const targets = (unit: WantedUnit): readonly (WantedUnit | undefined)[] => unit.options.machineOf.map(find);
  const moved = new Set<WantedUnit>();

  const leaders = (unit: WantedUnit): ReadonlySet<WantedUnit> => {
    const found = new Set<WantedUnit>();
    const walk = (each: WantedUnit): void =>
      targets(each).forEach((target) => {
        if (target === undefined || found.has(target)) return;
        found.add(target);
        walk(target);
      });
    walk(unit);
    return found;
  };
  const inCircle = (unit: WantedUnit): boolean => leaders(unit).has(unit);
  const names = (unit: WantedUnit, other: WantedUnit): boolean =>
    unit.options.replaces.some((pattern) => patternTest(pattern)(other.name));
  const replaces = (unit: WantedUnit, other: WantedUnit): boolean =>
    unit !== other && names(unit, other) && !names(other, unit) && !leaders(unit).has(other);

  const order: WantedUnit[] = [];
  const visited = new Set<WantedUnit>();
  const visit = (unit: WantedUnit): void => {
    if (visited.has(unit)) return;
    visited.add(unit);
    targets(unit).forEach((target) => target && visit(target));
    order.push(unit);
  };
  units.forEach(visit);

  const misses = (unit: WantedUnit, machine: CandidateMachine): boolean =>
    targets(unit).some((target) => target === undefined || !isOn(target, machine));
  const conflicts = (unit: WantedUnit, machine: CandidateMachine): boolean =>
    there(machine).some((other) =>
      clash(
        { name: unit.name, conflicts: unit.options.conflicts },
        { name: other.name, conflicts: other.options.conflicts },
      ),
    );
  const arrival = (unit: WantedUnit, machine: CandidateMachine): string | undefined => {
    if (machine.standing === "presumed") return "no-machine";
    const standing = standingRefusal(unit.options, machine);
    if (standing !== undefined) return standing;
    if (misses(unit, machine)) return "machine-of";
    if (conflicts(unit, machine)) return "conflict";
    return there(machine).some((other) => replaces(other, unit)) ? "replaced" : undefined;
  };
  const least = (list: readonly CandidateMachine[]): readonly CandidateMachine[] =>
    [...list].sort((a, b) => load(a) - load(b) || (a.id < b.id ? -1 : 1));

  const owners = new Map<Name, string[]>();
  for (const placement of state.placements) {
    owners.set(placement.unit, [...new Set([...(owners.get(placement.unit) ?? []), placement.on])].sort());
  }
  const seen = (name: Name, machine: string): boolean =>
    (state.running ?? []).some((each) => each.unit === name && each.on === machine);
  const rank = (name: Name, machine: string): number => {
    const known = machines.find((each) => each.id === machine);
    return known === undefined ? 3 : seen(name, machine) ? 0 : known.standing === "present" ? 1 : 2;
  };
  for (const [name, list] of owners) list.sort((a, b) => rank(name, a) - rank(name, b));
  const leaving = (name: Name): readonly string[] =>
    (state.leaving ?? []).flatMap((each) => (each.unit === name ? [each.on] : [])).sort();
  const ownersOf = (name: Name): readonly string[] => owners.get(name) ?? [];

  // what may stay, stays
  for (const unit of order) {
    for (const owner of ownersOf(unit.name)) {
      const machine = machines.find((each) => each.id === owner);
      if (machine === undefined || (!unit.options.global && on.get(unit.name)!.size > 0)) continue;
      const undecided = targets(unit).every(
        (target) =>
          target !== undefined &&
          (isOn(target, machine) ||
            (!target.options.global && [...on.get(target.name)!].some((each) => each.standing === "presumed"))),
      );
      const stays =
        machine.standing === "presumed" ||
        (!inCircle(unit) &&
          standingRefusal(unit.options, machine) === undefined &&
          undecided &&
          !conflicts(unit, machine));
      if (stays) on.get(unit.name)!.add(machine);
    }
  }

  const home = (unit: WantedUnit, not: CandidateMachine): CandidateMachine | undefined =>
    unit.options.global || moved.has(unit)
      ? undefined
      : least(present).find(
          (machine) =>
            machine !== not &&
            arrival(unit, machine) === undefined &&
            !there(machine).some((other) => replaces(unit, other)),
        );
  const moveAway = (list: readonly WantedUnit[], from: CandidateMachine): boolean => {
    const before = new Map([...on].map(([name, set]) => [name, new Set(set)]));
    for (const unit of list) {
      on.get(unit.name)!.delete(from);
      const to = home(unit, from);
      if (to === undefined) {
        for (const [name, set] of before) on.set(name, set);
        return false;
      }
      on.get(unit.name)!.add(to);
    }
    for (const unit of list) {
      moved.add(unit);
      const release = (leader: WantedUnit): void =>
        units.forEach((follower) => {
          if (follower.options.global || !isOn(follower, from) || isOn(leader, from)) return;
          if (!targets(follower).includes(leader)) return;
          on.get(follower.name)!.delete(from);
          release(follower);
        });
      release(unit);
    }
    return true;
  };
  const displaced = (unit: WantedUnit, machine: CandidateMachine): readonly WantedUnit[] =>
    there(machine).filter((other) => replaces(unit, other));

  // what waits is placed, until nothing changes
  const anyReplaces = units.some((unit) => units.some((other) => replaces(unit, other)));
  for (let changed = true; changed; changed = changed && anyReplaces) {
    changed = false;
    for (const unit of order) {
      const [machine] = on.get(unit.name)!;
      if (unit.options.global || machine?.standing !== "present") continue;
      for (const other of displaced(unit, machine))
        if (isOn(other, machine)) changed = moveAway([other], machine) || changed;
    }
    for (const unit of order) {
      if (inCircle(unit)) continue;
      if (unit.options.global) {
        for (const machine of present) {
          if (isOn(unit, machine) || arrival(unit, machine) !== undefined) continue;
          if (displaced(unit, machine).length > 0) continue;
          on.get(unit.name)!.add(machine);
          changed = true;
        }
        continue;
      }
      if (on.get(unit.name)!.size > 0) continue;
      const first = [...ownersOf(unit.name), ...leaving(unit.name)].flatMap(
        (owner) => present.find((machine) => machine.id === owner) ?? [],
      );
      const taker = [...first, ...least(present)].find((machine) => {
        if (arrival(unit, machine) !== undefined) return false;
        const others = displaced(unit, machine);
        return others.length === 0 || moveAway(others, machine);
      });
      if (taker === undefined) continue;
      on.get(unit.name)!.add(taker);
      changed = true;
    }
  }

  // what is different from before
  const letter = (machine: string): string => machine.charAt(0);
  const from = (machine: string | undefined): string => (machine === undefined ? "" : ` from ${letter(machine)}`);
  const rules = ["machine-id", "metadata", "machine-of", "machine-of-cycle", "conflict", "replaced", "no-machine"];
  const refusals = (unit: WantedUnit): string => {
    if (inCircle(unit)) return machines.length === 0 ? "machine-of-cycle 0" : `machine-of-cycle ${present.length}`;
    if (machines.length === 0) return "no-machine 0";
    const found = machines.map((machine) => arrival(unit, machine) ?? "replaced");
    return rules
      .flatMap((rule) => {
        const count = found.filter((each) => each === rule).length;
        return count === 0 ? [] : [`${rule} ${count}`];
      })
      .join(", ");
  };
  return [...new Set([...units.map((unit) => unit.name as string), ...owners.keys()])].sort().flatMap((name) => {
    const unit = find(name);
    const had = ownersOf(name);
    const drops = (list: readonly string[]): string[] =>
      [...list].sort().map((each) => `drop ${name} on ${letter(each)}`);
    if (unit === undefined) return drops(had);
    const has = [...on.get(name)!].map((machine) => machine.id as string);
    if (unit.options.global) {
      const lines = machines.flatMap(({ id }) => {
        if (has.includes(id)) return [`${had.includes(id) ? "keep" : "place"} ${name} on ${letter(id)}`];
        return had.includes(id) ? drops([id]) : [];
      });
      return has.length > 0 ? lines : [...lines, `wait ${name}: ${refusals(unit)}`];
    }
    const [now] = has;
    if (now === undefined) {
      const others = had.slice(1).filter((each) => machines.some((machine) => machine.id === each));
      return [`wait ${name}${from(had[0])}: ${refusals(unit)}`, ...drops(others)];
    }
    if (had.includes(now)) return [`keep ${name} on ${letter(now)}`, ...drops(had.filter((each) => each !== now))];
    return [`place ${name} on ${letter(now)}${from(had[0])}`, ...drops(had.slice(1))];
  });
}
