// Placement with a memory: told of changes alone, it always stands where a look at everything from nothing would stand, and
// names every machine that has to be told something.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import { type ClusterState, type Placement, undecidable } from "../../../agent/domain/placement.ts";
import { type ClusterChanges, type Outcome, Scheduler, schedule } from "../../../agent/schedule/schedule.ts";
import { fc, tries } from "../../property.ts";
import { applied, cluster, describe, id, unit } from "./cluster.ts";
import { histories, statesOf } from "./random.ts";

const nothing: ClusterState = { wanted: [], machines: [], placements: [] };

type Lists = ReadonlyMap<MachineId, readonly UnitName[]>;

/** What a machine has in one list and has not in the other, by machine: the whole of each that differs. */
function changedLists(before: readonly Placement[] = [], now: readonly Placement[] = []): Lists {
  const group = (list: readonly Placement[]): Map<MachineId, UnitName[]> => {
    const lists = new Map<MachineId, UnitName[]>();
    for (const { unit: name, on } of list) lists.set(on, [...(lists.get(on) ?? []), name]);
    return lists;
  };
  const [a, b] = [group(before), group(now)];
  const isSame = (on: MachineId): boolean => JSON.stringify(a.get(on)) === JSON.stringify(b.get(on));
  return new Map(
    [...new Set([...a.keys(), ...b.keys()])].filter((on) => !isSame(on)).map((on) => [on, b.get(on) ?? []]),
  );
}

function changedItems<T, K>(
  before: readonly T[],
  now: readonly T[],
  keyOf: (item: T) => K,
): { changed: T[]; removed: K[] } {
  const known = new Map(before.map((item) => [keyOf(item), JSON.stringify(item)]));
  const left = new Set(now.map(keyOf));
  return {
    changed: now.filter((item) => known.get(keyOf(item)) !== JSON.stringify(item)),
    removed: [...known.keys()].filter((key) => !left.has(key)),
  };
}

/** One part of what is different after another, so that no order in which it is told can matter. */
function differences(before: ClusterState, now: ClusterState): readonly ClusterChanges[] {
  return [
    { units: changedItems(before.wanted, now.wanted, ({ name }) => name) },
    { machines: changedItems(before.machines, now.machines, (machine) => machine.id) },
    { placed: changedLists(before.placements, now.placements) },
    { leaving: changedLists(before.leaving, now.leaving) },
    { parting: changedLists(before.parting, now.parting) },
    { running: changedLists(before.running, now.running) },
  ];
}

/** Machines whose manifests do not say what is decided. */
function untold(state: ClusterState, scheduler: Scheduler): readonly MachineId[] {
  const machines = new Set([...state.machines.map((machine) => machine.id), ...state.placements.map(({ on }) => on)]);
  return [...machines].filter((machine) => {
    const placed = state.placements.flatMap((each) => (each.on === machine ? [each.unit] : []));
    const wanted = [...scheduler.wantedOn(machine)];
    return wanted.some((name) => !placed.includes(name)) || placed.some((name) => scheduler.mustLetGo(machine, name));
  });
}

const inOrder = [0, 1, 2, 3, 4, 5];

/** Told of the changes from state to state alone, in this order, it decides as from nothing and names whom it has to tell. */
function follow(states: readonly ClusterState[], turns = inOrder): void {
  const scheduler = new Scheduler();
  let before = nothing;
  for (const state of states) {
    const parts = differences(before, state);
    for (const turn of turns) scheduler.change(parts[turn] ?? {});
    const outcome: Outcome = scheduler.pass(state.rebalance);
    const decisions = schedule(state);
    assert.deepEqual(scheduler.decisions().map(describe), decisions.map(describe));
    assert.deepEqual(scheduler.decisions(), decisions);
    for (const machine of untold(state, scheduler)) assert.ok(outcome.touched.includes(machine), machine);
    assert.equal(outcome.waiting, new Set(decisions.flatMap((each) => (each.kind === "wait" ? [each.unit] : []))).size);
    before = state;
  }
}

/** The same, where of some units, others in each state, nothing is decided. */
function followFixed(states: readonly ClusterState[], picks: readonly number[]): void {
  const scheduler = new Scheduler();
  let before = nothing;
  for (const [at, state] of states.entries()) {
    const picked = state.wanted.filter((_, index) => ((picks[(at + index) % picks.length] ?? 0) + index) % 3 === 0);
    const fixed = undecidable(state.wanted, new Set(picked.map(({ name }) => name)));
    const anew = new Scheduler();
    for (const part of differences(before, state)) scheduler.change(part);
    for (const part of differences(nothing, state)) anew.change(part);
    scheduler.pass(state.rebalance, fixed);
    anew.pass(state.rebalance, fixed);
    assert.deepEqual(scheduler.decisions().map(describe), anew.decisions().map(describe));
    for (const { name, options, target } of state.wanted) {
      if (!fixed.has(name) || target === "inactive") continue;
      const known = state.machines.map((machine) => machine.id);
      const had = state.placements.flatMap((each) => (each.unit === name && known.includes(each.on) ? [each.on] : []));
      const has = [...scheduler.placesOf(name)];
      assert.ok(
        has.every((on) => had.includes(on)),
        name,
      );
      assert.equal(has.length, options.global ? had.length : Math.min(1, had.length), name);
    }
    before = state;
  }
}

suite("told of changes alone, it decides as from nothing", () => {
  const many = { numRuns: tries(300) };

  test("over histories of plain clusters", () =>
    fc.assert(
      fc.property(histories({ wishes: false, moves: false }), (history) => follow(statesOf(history))),
      many,
    ));
  test("over histories with reserves, spreading, preferences and priorities", () =>
    fc.assert(
      fc.property(histories({ moves: false }), (history) => follow(statesOf(history))),
      many,
    ));
  test("over histories with drains and rebalancing, told in any order", () =>
    fc.assert(
      fc.property(histories(), fc.shuffledSubarray(inOrder, { minLength: inOrder.length }), (history, turns) =>
        follow(statesOf(history), turns),
      ),
      many,
    ));

  test("over histories in which of some units nothing is decided", () =>
    fc.assert(
      fc.property(histories(), fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }), (history, picks) =>
        followFixed(statesOf(history), picks),
      ),
      many,
    ));

  test("where a unit is moved off for balance in the very pass in which it came, and one that it kept away may come", () => {
    const state = cluster({
      units: {
        "g.service": { global: true, metadata: [{ key: "r", values: ["1"] }], conflicts: ["s.service"] },
        "w.service": { global: true, metadata: [{ key: "r", values: ["1"] }] },
        "s.service": { priority: 10 },
      },
      machines: { a: { r: "1" }, b: {}, d: { r: "1" } },
      at: { "g.service": "d", "w.service": "d" },
      rebalance: 1,
    });
    const next: ClusterState = { ...state, placements: applied(state, schedule(state)).placements };
    assert.ok(schedule(next).map(describe).includes("place g.service on a"));
    follow([state, next]);
  });

  test("where it is moved off, and one that follows it on every machine is left there", () => {
    const state = cluster({
      units: { "l.service": {}, "g.service": { global: true, machineOf: ["l.service"] } },
      machines: ["a", "b"],
      at: { "g.service": "a" },
      rebalance: 1,
    });
    assert.deepEqual(schedule(state).map(describe), ["keep g.service on a", "place l.service on b"]);
    follow([state, state]);
  });

  test("where it is replaced, and one that follows it on every machine is left there", () => {
    const state = cluster({
      units: {
        "a.service": {},
        "m.service": {},
        "g.service": { global: true, machineOf: ["a.service"], metadata: [{ key: "r", values: ["1"] }], priority: -1 },
        "r.service": { metadata: [{ key: "r", values: ["1"] }], replaces: ["a.service"], priority: -2 },
      },
      machines: { a: { r: "1" }, b: {} },
      at: { "g.service": "a" },
    });
    assert.deepEqual(schedule(state).map(describe), [
      "place a.service on b",
      "keep g.service on a",
      "place m.service on b",
      "place r.service on a",
    ]);
    follow([state, state]);
  });
});

suite("a pass looks at what has changed", () => {
  const machines = Array.from({ length: 50 }, (_, n) => id(String.fromCharCode(0x400 + n)));

  /** A hundred units on fifty machines, at rest. */
  function atRest(): Scheduler {
    const scheduler = new Scheduler();
    scheduler.change({
      machines: { changed: machines.map((each) => ({ id: each, metadata: {}, standing: "present" })), removed: [] },
      units: { changed: Array.from({ length: 100 }, (_, n) => unit(`u${n}.service`)), removed: [] },
    });
    settle(scheduler, scheduler.pass());
    return scheduler;
  }

  function settle(scheduler: Scheduler, { touched }: Outcome): void {
    scheduler.change({ placed: new Map(touched.map((machine) => [machine, [...scheduler.wantedOn(machine)]])) });
  }

  test("nothing changed: nobody is touched", () => {
    assert.deepEqual(atRest().pass().touched, []);
  });

  test("one unit more: one machine is touched, and none once it is told", () => {
    const scheduler = atRest();
    scheduler.change({ units: { changed: [unit("new.service")], removed: [] } });
    const outcome = scheduler.pass();
    assert.deepEqual(outcome.touched, [...scheduler.placesOf("new.service" as UnitName)]);
    settle(scheduler, outcome);
    assert.deepEqual(scheduler.pass().touched, []);
  });

  test("what could not be told is touched again", () => {
    const scheduler = atRest();
    scheduler.change({ units: { changed: [], removed: ["u7.service" as UnitName] } });
    const { touched } = scheduler.pass();
    assert.equal(touched.length, 1);
    assert.deepEqual(scheduler.pass().touched, touched);
  });

  test("a machine less: only those that take its units over are touched, and itself", () => {
    const scheduler = atRest();
    const [gone] = machines;
    assert.ok(gone !== undefined);
    const had = [...scheduler.wantedOn(gone)];
    scheduler.change({ machines: { changed: [], removed: [gone] } });
    assert.deepEqual(scheduler.pass().touched, [gone, ...had.flatMap((name) => [...scheduler.placesOf(name)])].sort());
  });

  test("units that no machine takes are named once", () => {
    const scheduler = atRest();
    const nowhere = unit("nowhere.service", { metadata: [{ key: "x", values: ["1"] }] });
    scheduler.change({ units: { changed: [nowhere], removed: [] } });
    assert.deepEqual(scheduler.pass().newlyWaiting, ["nowhere.service"]);
    assert.deepEqual([scheduler.pass().newlyWaiting, scheduler.pass().waiting], [[], 1]);
  });
});

suite("a unit of which nothing is decided", () => {
  const fixed = (...names: string[]): ReadonlySet<UnitName> => new Set(names as UnitName[]);
  const decide = (state: ClusterState, pass: ReadonlySet<UnitName>): readonly string[] => {
    const scheduler = new Scheduler();
    for (const part of differences(nothing, state)) scheduler.change(part);
    scheduler.pass(state.rebalance, pass);
    return scheduler.decisions().map(describe);
  };

  test("stays where it may not be, and what conflicts with it does not come", () => {
    const state = cluster({
      units: {
        "old.service": { metadata: [{ key: "x", values: ["1"] }] },
        "new.service": { conflicts: ["old.service"], machineId: "a", priority: 10 },
      },
      machines: { a: {}, b: { x: "1" } },
      at: { "old.service": "a" },
    });
    const held = decide(state, fixed("old.service"));
    assert.deepEqual(held.slice(1), ["keep old.service on a"]);
    assert.match(held[0] ?? "", /^wait new.service/);
  });

  test("that is nowhere goes nowhere, and displaces and replaces nobody", () => {
    const state = cluster({
      units: {
        "low.service": { priority: -5 },
        "high.service": { conflicts: ["low.service"], priority: 5, replaces: ["low.service"] },
      },
      machines: ["a"],
      at: { "low.service": "a" },
    });
    assert.ok(decide(state, fixed("high.service")).includes("keep low.service on a"));
  });

  test("takes nobody's place who is beside it already", () => {
    const state = cluster({
      units: { "one.service": { conflicts: ["two.service"] }, "two.service": {} },
      machines: ["a", "b"],
      at: { "one.service": "a", "two.service": "a" },
    });
    assert.deepEqual(decide(state, fixed("one.service")), ["keep one.service on a", "keep two.service on a"]);
  });
});
