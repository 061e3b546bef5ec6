// Placement as docs/placement.md says it, step by step and without any index: the meaning against which the quick engine is
// held. Slow on purpose; shares with it nothing but globs and the conflict test of two units.
import { byName, type MachineId, type UnitName } from "../../../agent/domain/names.ts";
import {
  type CandidateMachine,
  type ClusterState,
  type RefusalRule,
  type WantedUnit,
  refusalRules,
} from "../../../agent/domain/placement.ts";
import { type Outcome, type Refused, describe } from "./cluster.ts";
import { type PlainBoard, plainBoard } from "./plain-board.ts";
import { type PlainUnits, liking, plainUnits } from "./plain-units.ts";

/** What is known, and the board that the four steps fill. */
interface Pass {
  readonly state: ClusterState;
  readonly units: PlainUnits;
  readonly board: PlainBoard;
}

/** Decisions as `describe` writes them. */
export function plainSchedule(state: ClusterState): readonly string[] {
  return plainDecisions(state).map(describe);
}

export function plainDecisions(state: ClusterState): readonly Outcome[] {
  const units = plainUnits(state.wanted);
  const pass: Pass = { state, units, board: plainBoard(units, state.machines) };
  stay(pass);
  placeWaiting(pass);
  const stuck = drain(pass);
  rebalance(pass);
  return differences(pass, whyTheyWait(pass), whyTheyAreStuck(pass, stuck));
}

/** The machines that a unit is placed on, by evidence: seen running, present, presumed, gone; then by id. */
function ownersOf({ state, board }: Pass, name: UnitName): readonly MachineId[] {
  const isRunning = (on: MachineId): boolean =>
    (state.running ?? []).some((each) => each.unit === name && each.on === on);
  const rank = (on: MachineId): number => {
    const machine = board.machine(on);
    return machine === undefined ? 3 : isRunning(on) ? 0 : machine.standing === "present" ? 1 : 2;
  };
  const owners = new Set(state.placements.flatMap((each) => (each.unit === name ? [each.on] : [])));
  return [...owners].sort((a, b) => rank(a) - rank(b) || byName(a, b));
}

/** Step 1: what may stay, stays. */
function stay(pass: Pass): void {
  const { units, board } = pass;
  const mayStay = (unit: WantedUnit, machine: CandidateMachine): boolean => {
    if (machine.standing === "presumed") return true;
    const isThereOrMayComeBack = (leader: WantedUnit | undefined): boolean =>
      leader !== undefined &&
      (board.isOn(leader, machine) ||
        (!leader.options.global && board.placesOf(leader).some(({ standing }) => standing === "presumed")));
    const rules = board.refusals(unit, machine);
    return (
      !units.follows(unit, unit) &&
      !(["machine-id", "metadata", "conflict"] as const).some((rule) => rules.includes(rule)) &&
      units.targets(unit).every(isThereOrMayComeBack)
    );
  };
  for (const unit of units.ordered) {
    for (const owner of ownersOf(pass, unit.name)) {
      const machine = board.machine(owner);
      if (machine === undefined || (!unit.options.global && board.placesOf(unit).length > 0)) continue;
      if (mayStay(unit, machine)) board.put(unit, machine);
    }
  }
}

/** Step 2: what waits is placed, in rounds until one changes nothing. */
function placeWaiting(pass: Pass): void {
  const { state, units, board } = pass;

  /** Whether a unit has found a machine. */
  const place = (unit: WantedUnit): boolean => {
    const isParting = (on: MachineId): boolean =>
      (state.parting ?? []).some((each) => each.unit === unit.name && each.on === on);
    const leaving = (state.leaving ?? [])
      .flatMap((each) => (each.unit === unit.name && !isParting(each.on) ? [each.on] : []))
      .sort();
    const backTo = [...ownersOf(pass, unit.name), ...leaving].flatMap((on) => board.machine(on) ?? []);
    const isLeaving = (state.leaving ?? []).some((each) => each.unit === unit.name);
    const ahead = isLeaving ? units.ordered.filter((each) => units.targets(each).includes(unit)) : [];
    const beside = ahead
      .filter((each) => !each.options.global)
      .flatMap((each) => ownersOf(pass, each.name))
      .flatMap((on) => board.machine(on) ?? []);
    const asked = [...backTo, ...beside, ...board.ranked(unit)];
    const taker = asked.find((machine) => board.refusals(unit, machine).length === 0 && makeWay(pass, unit, machine));
    if (taker === undefined) return displace(pass, unit, asked);
    board.put(unit, taker);
    return true;
  };
  const placeGlobal = (unit: WantedUnit): boolean => {
    const takers = board.present.filter(
      (machine) =>
        !board.isOn(unit, machine) &&
        board.refusals(unit, machine).length === 0 &&
        board.replacedBy(unit, machine).length === 0,
    );
    for (const machine of takers) board.put(unit, machine);
    return takers.length > 0;
  };

  for (let changed = true; changed;) {
    changed = false;
    for (const unit of units.ordered) {
      const [machine] = board.placesOf(unit);
      if (unit.options.global || machine?.standing !== "present") continue;
      for (const other of board.replacedBy(unit, machine)) {
        if (board.isOn(other, machine)) changed = moveAway(pass, [other], machine) || changed;
      }
    }
    for (const unit of units.ordered) {
      if (units.follows(unit, unit)) continue;
      if (unit.options.global) changed = placeGlobal(unit) || changed;
      else if (board.placesOf(unit).length === 0) changed = place(unit) || changed;
    }
  }
}

/** Whether all that the unit replaces on the machine have been moved elsewhere; if not, or as long as it leaves another, none has. */
function makeWay(pass: Pass, unit: WantedUnit, machine: CandidateMachine): boolean {
  const list = pass.board.replacedBy(unit, machine);
  const isLeaving = (pass.state.leaving ?? []).some((each) => each.unit === unit.name);
  return list.length === 0 || (!isLeaving && moveAway(pass, list, machine));
}

/** Moves units that are replaced on `from`, all or none; those there that follow them are on no machine then. */
function moveAway({ units, board }: Pass, list: readonly WantedUnit[], from: CandidateMachine): boolean {
  const release = (leader: WantedUnit): void => {
    for (const follower of board.there(from)) {
      const isLeft = units.targets(follower).includes(leader) && !board.isOn(leader, from);
      if (!isLeft || follower.options.global || !board.isOn(follower, from)) continue;
      board.take(follower, from);
      release(follower);
    }
  };
  return board.attempt(() => {
    for (const unit of list) {
      board.take(unit, from);
      const home =
        unit.options.global || board.hasMadeWay(unit)
          ? undefined
          : board
              .ranked(unit)
              .find(
                (machine) =>
                  machine !== from &&
                  board.refusals(unit, machine).length === 0 &&
                  board.replacedBy(unit, machine).length === 0,
              );
      if (home === undefined) return false;
      board.put(unit, home);
    }
    for (const unit of list) {
      board.noteMadeWay(unit);
      release(unit);
    }
    return true;
  });
}

/** Whether a unit that no machine takes has displaced others. `asked`: the machines in the order in which it asks them. */
function displace(pass: Pass, unit: WantedUnit, asked: readonly CandidateMachine[]): boolean {
  const { units, board } = pass;
  const takesAway: readonly RefusalRule[] = ["conflict", "memory", "cpu"];
  const choices = asked.flatMap((machine) => {
    if (!board.refusals(unit, machine).every((rule) => takesAway.includes(rule))) return [];
    if (board.replacedBy(unit, machine).length > 0) return [];
    const going = whoGoes(pass, unit, machine);
    if (going === undefined) return [];
    return [{ machine, going, highest: Math.max(...going.map(units.priority)) }];
  });
  choices.sort((a, b) => a.highest - b.highest || a.going.length - b.going.length);
  return choices.some(({ machine, going }) =>
    board.attempt(() => {
      for (const other of going) board.take(other, machine);
      board.put(unit, machine);
      return true;
    }),
  );
}

/** Those that would be displaced if the unit came; undefined where that does not work. */
function whoGoes({ units, board }: Pass, unit: WantedUnit, machine: CandidateMachine): WantedUnit[] | undefined {
  const isWeaker = (other: WantedUnit): boolean =>
    !other.options.global && units.priority(other) < units.priority(unit) && !units.follows(unit, other);
  const withFollowers = (other: WantedUnit): readonly WantedUnit[] =>
    board.there(machine).filter((each) => each === other || units.follows(each, other));
  const mayGo = (other: WantedUnit): boolean => withFollowers(other).every(isWeaker);
  const going = new Set<WantedUnit>();

  const conflicting = board.there(machine).filter((other) => units.conflict(unit, other));
  if (!conflicting.every(mayGo)) return undefined;
  for (const each of conflicting.flatMap(withFollowers)) going.add(each);

  const lowestFirst = board
    .there(machine)
    .filter(mayGo)
    .sort((a, b) => units.priority(a) - units.priority(b) || byName(b.name, a.name));
  const forRoom: WantedUnit[] = [];
  for (;;) {
    const lacks = board.lacking(unit, machine, going);
    if (lacks.length === 0) break;
    const next = lowestFirst.find(
      (other) => !going.has(other) && lacks.some((resource) => resource.reserve(other, machine) > 0),
    );
    if (next === undefined) return undefined;
    const taken = withFollowers(next).filter((other) => !going.has(other));
    forRoom.push(...taken);
    for (const each of taken) going.add(each);
  }

  const highestFirst = forRoom.sort((a, b) => units.priority(b) - units.priority(a) || byName(a.name, b.name));
  for (const each of highestFirst) {
    if ([...going].some((leader) => units.follows(each, leader))) continue;
    const others = new Set([...going].filter((other) => other !== each));
    if (board.lacking(unit, machine, others).length === 0) going.delete(each);
  }
  return [...going];
}

/** For each unit that is on no machine in the end: how many machines refuse it by which rule. */
function whyTheyWait({ units, board }: Pass): ReadonlyMap<WantedUnit, readonly Refused[]> {
  const why = (unit: WantedUnit): readonly Refused[] => {
    if (units.follows(unit, unit)) return [{ rule: "machine-of-cycle", machines: board.present.length }];
    // what refuses by no other rule holds one that it replaces and that no other machine can take
    const isReplacing = (machine: CandidateMachine): boolean => board.replacedBy(unit, machine).length > 0;
    return counted(
      board.machines.length === 0,
      board.machines.flatMap((machine) => board.refusals(unit, machine)[0] ?? (isReplacing(machine) ? "replaced" : [])),
    );
  };
  const waiting = units.ordered.filter((unit) => board.placesOf(unit).length === 0);
  return new Map(waiting.map((unit) => [unit, why(unit)]));
}

function counted(isAlone: boolean, found: readonly RefusalRule[]): readonly Refused[] {
  if (isAlone) return [{ rule: "no-machine", machines: 0 }];
  return refusalRules.flatMap((rule) => {
    const machines = found.filter((each) => each === rule).length;
    return machines === 0 ? [] : [{ rule, machines }];
  });
}

/** The first rule by which a machine refuses one of a group, asked in turn; undefined: it takes all. */
function groupRefusal(
  { board }: Pass,
  group: readonly WantedUnit[],
  machine: CandidateMachine,
): RefusalRule | undefined {
  return board.imagine(() => {
    for (const unit of group) {
      const [rule] = board.refusals(unit, machine);
      if (rule !== undefined) return rule;
      if (board.replacedBy(unit, machine).length > 0) return "replaced";
      board.put(unit, machine);
    }
    return undefined;
  });
}

/** Whether a group has moved to the first machine that takes all of it and is good enough. */
function moveGroup(
  pass: Pass,
  group: readonly WantedUnit[],
  { from, isGoodEnough }: { from: CandidateMachine; isGoodEnough: (machine: CandidateMachine) => boolean },
): boolean {
  const { board } = pass;
  const [leader] = group;
  return board.attempt(() => {
    for (const unit of group) board.take(unit, from);
    const to = board
      .ranked(leader!)
      .find((machine) => machine !== from && groupRefusal(pass, group, machine) === undefined && isGoodEnough(machine));
    if (to === undefined) return false;
    for (const unit of group) board.put(unit, to);
    return true;
  });
}

/** Step 3: units leave drained machines. Returns those that no machine takes. */
function drain(pass: Pass): ReadonlySet<WantedUnit> {
  const { board } = pass;
  const stuck = new Set<WantedUnit>();
  for (const from of board.present) {
    let budget = from.drain ?? 0;
    for (const unit of board.there(from)) {
      if (budget === 0) break;
      // one that has moved with another is not there any more
      if (unit.options.global || !board.isOn(unit, from) || board.isLed(unit, from)) continue;
      const group = board.groupOf(unit, from);
      if (moveGroup(pass, group, { from, isGoodEnough: () => true })) {
        budget -= 1;
        continue;
      }
      stuck.add(unit);
    }
  }
  return stuck;
}

/** How many other machines refuse one of the group of each by which rule, in the end. */
function whyTheyAreStuck(pass: Pass, stuck: ReadonlySet<WantedUnit>): ReadonlyMap<WantedUnit, readonly Refused[]> {
  const { board } = pass;
  const why = (unit: WantedUnit): readonly Refused[] => {
    const from = board.placesOf(unit)[0]!;
    const group = board.groupOf(unit, from);
    const others = board.machines.filter((machine) => machine !== from);
    return board.imagine(() => {
      for (const each of group) board.take(each, from);
      return counted(
        others.length === 0,
        others.flatMap((machine) => groupRefusal(pass, group, machine) ?? []),
      );
    });
  };
  return new Map([...stuck].map((unit) => [unit, why(unit)]));
}

/** Step 4: loads become more even, by as many moves as are allowed. */
function rebalance(pass: Pass): void {
  const { state, board } = pass;
  const moveOne = (): boolean =>
    board.present
      .filter((machine) => machine.cordoned !== true)
      .sort((a, b) => board.load(b) - board.load(a) || byName(a.id, b.id))
      .some((from) =>
        [...board.there(from)]
          .reverse()
          .filter((unit) => !unit.options.global && !board.isLed(unit, from))
          .some((unit) => {
            const group = board.groupOf(unit, from);
            const most = board.load(from) - 2 * group.length;
            // asked while the group is on neither machine
            const isGoodEnough = (to: CandidateMachine): boolean =>
              board.load(to) <= most &&
              group.every(
                (each) => liking(each, to) >= liking(each, from) && board.crowd(each, to) <= board.crowd(each, from),
              );
            return moveGroup(pass, group, { from, isGoodEnough });
          }),
      );
  for (let left = state.rebalance ?? 0; left > 0 && moveOne(); left--);
}

/** What is different from before, in the order of names. */
function differences(
  pass: Pass,
  waiting: ReadonlyMap<WantedUnit, readonly Refused[]>,
  stuck: ReadonlyMap<WantedUnit, readonly Refused[]>,
): readonly Outcome[] {
  const { state, units, board } = pass;
  const names = new Set<UnitName>(
    [...units.ordered, ...state.placements.map((each) => ({ name: each.unit }))].map((each) => each.name),
  );
  return [...names].sort().flatMap((name): readonly Outcome[] => {
    const had = ownersOf(pass, name);
    const unit = units.find(name);
    const drops = (list: readonly MachineId[]): readonly Outcome[] =>
      [...list].sort().map((on) => ({ kind: "drop", unit: name, on }));
    if (unit === undefined) return drops(had);
    const wait = (from?: MachineId): Outcome => ({
      kind: "wait",
      unit: name,
      refusals: waiting.get(unit)!,
      ...(from === undefined ? {} : { from }),
    });
    const has = board.placesOf(unit).map((machine) => machine.id);
    if (unit.options.global) {
      const found = board.machines.flatMap(({ id }): readonly Outcome[] => {
        if (has.includes(id)) return [{ kind: had.includes(id) ? "keep" : "place", unit: name, on: id }];
        return had.includes(id) ? drops([id]) : [];
      });
      return has.length > 0 ? found : [...found, wait()];
    }
    const [now] = has;
    if (now === undefined) {
      return [wait(had[0]), ...drops(had.slice(1).filter((on) => board.machine(on) !== undefined))];
    }
    if (had.includes(now)) {
      const refusals = stuck.get(unit);
      const kept: Outcome = { kind: "keep", unit: name, on: now, ...(refusals === undefined ? {} : { refusals }) };
      return [kept, ...drops(had.filter((on) => on !== now))];
    }
    const [from, ...others] = had;
    return [{ kind: "place", unit: name, on: now, ...(from === undefined ? {} : { from }) }, ...drops(others)];
  });
}
