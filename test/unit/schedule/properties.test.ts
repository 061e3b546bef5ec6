// What holds of placement whatever the cluster: of the engine, and of the plain meaning by which it is judged; and that the
// two agree.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import type { UnitName } from "../../../agent/domain/names.ts";
import type { CandidateMachine, ClusterState, WantedUnit } from "../../../agent/domain/placement.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { conflictTest } from "../../../agent/text/conflict.ts";
import { fc, tries } from "../../property.ts";
import { type Outcome, applied, describe, id, unit } from "./cluster.ts";
import { plainDecisions, plainSchedule } from "./plain.ts";
import { isNamed, plainUnits, satisfies, valueOf } from "./plain-units.ts";
import { type Extent, clusters, histories, machine, newcomer, statesOf } from "./random.ts";

const usual = 400;

/** What the engine is asked. */
const engineExtent: Extent = {};

type Decide = (state: ClusterState) => readonly Outcome[];

const lines = (state: ClusterState): readonly string[] => schedule(state).map(describe);
const isActive = (each: WantedUnit): boolean => each.target !== "inactive";
const moves = (decisions: readonly Outcome[]): readonly string[] =>
  decisions.filter(({ kind }) => kind !== "keep" && kind !== "wait").map(describe);
function check<T>(values: fc.Arbitrary<T>, property: (value: T) => void, times = usual): void {
  fc.assert(fc.property(values, property), { numRuns: tries(times) });
}

suite("the quick answer is the plain one", () => {
  test("for any cluster", () => {
    check(clusters(engineExtent), (state) => {
      assert.deepEqual(lines(state), plainSchedule(state));
    });
  });

  test("at every pass of a history", () => {
    check(
      histories(engineExtent),
      (history) => {
        for (const state of statesOf(history)) assert.deepEqual(lines(state), plainSchedule(state));
      },
      usual / 4,
    );
  });

  test("for many units of a kind", () => {
    const hosts = Array.from({ length: 40 }, (_, n) => String.fromCharCode(0x400 + n));
    const kinds = ["one@*.service", "two@*.service"];
    const many = Array.from({ length: 70 }, (_, n) => n);
    const wantedMany = [
      ...many.map((n) => unit(`one@${n}.service`, { conflicts: kinds.slice(0, 1) })),
      ...many.map((n) => unit(`two@${n}.service`, n % 2 === 0 ? { conflicts: kinds } : {})),
      ...many.map((n) => unit(`any${n}.service`)),
    ];
    const state: ClusterState = {
      wanted: wantedMany,
      machines: hosts.map((letter) => ({ id: id(letter), metadata: {}, standing: "present" })),
      // unevenly loaded, so that the emptiest machine is often one that must refuse
      placements: many.map((n) => ({ unit: `any${n}.service` as UnitName, on: id(hosts[(n * n) % 13] ?? "") })),
    };
    assert.deepEqual(lines(state), plainSchedule(state));
  });
});

/** Amounts that a unit reserves of what is known of a machine, and the machine's own. */
const resources: readonly {
  readonly capacity: (machine: CandidateMachine) => number;
  readonly reserve: (unit: WantedUnit, machine: CandidateMachine) => number;
}[] = [
  {
    capacity: ({ memoryBytes = 0 }) => memoryBytes,
    reserve: ({ options: { memory = { bytes: 0 } } }, { memoryBytes = 0 }) =>
      "bytes" in memory ? memory.bytes : Math.floor((memory.percent * memoryBytes) / 100),
  },
  { capacity: ({ milliCpus = 0 }) => milliCpus, reserve: ({ options }) => options.milliCpus ?? 0 },
];

/** What is on each machine when everything has been carried out. */
function unitsAfter(state: ClusterState, decisions: readonly Outcome[]): ReadonlyMap<CandidateMachine, WantedUnit[]> {
  const after = applied(state, decisions).placements;
  return new Map(
    state.machines.map((host) => [
      host,
      state.wanted.filter((each) => after.some(({ unit: name, on }) => name === each.name && on === host.id)),
    ]),
  );
}

/** What takes a unit off a machine of the cluster. */
function leaving(state: ClusterState, decisions: readonly Outcome[]): readonly string[] {
  const known = new Set(state.machines.map((each) => each.id));
  return decisions
    .filter(({ kind, on, from = kind === "drop" ? on : undefined }) => from !== undefined && known.has(from))
    .map(describe);
}

/** A unit makes way for one that replaces it once a pass at most, and a global one that follows it leaves in the next. */
const passesWithReplaces = 3;
const replacesNone = (state: ClusterState): boolean => state.wanted.every((each) => each.options.replaces.length === 0);

function properties(decide: Decide, extent: Extent): void {
  test("fixed point: once applied, only keep and wait remain", () => {
    check(clusters({ ...extent, moves: false }), (state) => {
      let after = applied(state, decide(state));
      for (let passes = replacesNone(state) ? 1 : passesWithReplaces; passes > 1; passes--) {
        after = applied(after, decide(after));
      }
      assert.deepEqual(moves(decide(after)), []);
    });
  });

  test("every active unit that is not global gets exactly one keep, place or wait", () => {
    check(clusters(extent), (state) => {
      const decisions = decide(state);
      for (const each of state.wanted.filter((one) => isActive(one) && !one.options.global)) {
        const main = decisions.filter((decision) => decision.unit === each.name && decision.kind !== "drop");
        assert.equal(main.length, 1, each.name);
      }
    });
  });

  test("a unit that waits says why, for every machine; one that is stuck, for every other one", () => {
    check(clusters(extent), (state) => {
      // What moves in the end may leave room where there was none when the unit was asked about
      const isMoving = (state.rebalance ?? 0) > 0 || state.machines.some(({ drain = 0 }) => drain > 0);
      for (const { kind, refusals } of decide(state)) {
        if (refusals === undefined) continue;
        assert.ok(refusals.length > 0 || isMoving);
        assert.ok(refusals.every((refusal) => !("example" in refusal) || refusal.example !== ""));
        const total = refusals.reduce((sum, refusal) => sum + refusal.machines, 0);
        const cycle = refusals.some((refusal) => refusal.rule === "machine-of-cycle");
        const asked = state.machines.filter((each) => !cycle || each.standing === "present");
        const all = kind === "keep" ? asked.length - 1 : asked.length;
        assert.ok(isMoving ? total <= all : total === all, `${total} of ${all}`);
      }
    });
  });

  test("no two units that conflict share a machine, and each sits where its wishes hold", () => {
    const clash = conflictTest();
    check(clusters({ ...extent, presumed: false, moves: false }), (state) => {
      for (const [host, units] of unitsAfter(state, decide(state))) {
        for (const a of units) {
          assert.ok(isNamed(a, host) && satisfies(a, host), a.name);
          const isLeft = a.options.global && !replacesNone(state);
          assert.ok(isLeft || a.options.machineOf.every((name) => units.some((b) => b.name === name)));
          for (const b of units) {
            assert.ok(
              !clash(
                { name: a.name, conflicts: a.options.conflicts },
                { name: b.name, conflicts: b.options.conflicts },
              ),
              `${a.name} and ${b.name}`,
            );
          }
        }
      }
    });
  });

  test("nothing comes where it is not wanted or finds no room", () => {
    check(clusters(extent), (state) => {
      const decisions = decide(state);
      const arrivals = decisions.filter(({ kind }) => kind === "place");
      for (const [host, units] of unitsAfter(state, decisions)) {
        const come = units.filter((each) =>
          arrivals.some(({ unit: name, on }) => name === each.name && on === host.id),
        );
        if (come.length > 0) assert.ok(host.standing === "present" && host.cordoned !== true, "takes nothing new");
        for (const { options } of come) {
          if (options.spread !== undefined) assert.notEqual(valueOf(host, options.spread), undefined);
        }
        for (const { capacity, reserve } of resources) {
          if (capacity(host) === 0 || !come.some((each) => reserve(each, host) > 0)) continue;
          const reserved = units.reduce((sum, each) => sum + reserve(each, host), 0);
          assert.ok(reserved <= capacity(host), `${reserved} of ${capacity(host)}`);
        }
      }
    });
  });

  test("the order of the input has no meaning", () => {
    const shuffled = clusters(extent).chain((state) =>
      fc.tuple(
        fc.constant(state),
        fc
          .record({
            wanted: fc.shuffledSubarray([...state.wanted], { minLength: state.wanted.length }),
            machines: fc.shuffledSubarray([...state.machines], { minLength: state.machines.length }),
            placements: fc.shuffledSubarray([...state.placements], { minLength: state.placements.length }),
          })
          .map((lists) => ({ ...state, ...lists })),
      ),
    );
    check(shuffled, ([one, other]) => assert.deepEqual(decide(one), decide(other)));
  });

  test("a machine that joins moves nothing", () => {
    const settled = clusters({ ...extent, moves: false })
      .filter(replacesNone)
      .chain((state) => machine("x", { ...extent, presumed: false, moves: false }).map((joins) => ({ state, joins })));
    check(settled, ({ state, joins }) => {
      const then = applied(state, decide(state));
      const decisions = decide({ ...then, machines: [...then.machines, joins] });
      assert.deepEqual(leaving(then, decisions), []);
    });
  });

  test("a presumed machine keeps every wanted unit that is nowhere else", () => {
    check(clusters(extent), (state) => {
      const decisions = decide(state);
      for (const { id: host, standing } of state.machines) {
        if (standing !== "presumed") continue;
        assert.ok(!decisions.some((each) => each.kind === "place" && each.on === host));
        for (const each of state.wanted.filter(isActive)) {
          const owners = state.placements.filter((one) => one.unit === each.name);
          if (owners.length !== 1 || owners[0]?.on !== host) continue;
          assert.ok(decisions.some((one) => one.kind === "keep" && one.unit === each.name && one.on === host));
        }
      }
    });
  });

  test("where all are equally important, new wishes move nobody", () => {
    check(clusters({ ...extent, moves: false }), (state) => {
      const equals = state.wanted.map((each): WantedUnit => {
        return { ...each, options: { ...each.options, priority: 0, replaces: [] } };
      });
      const bare = equals.map(({ options, ...each }): WantedUnit => {
        const { memory: _memory, milliCpus: _cpus, spread: _spread, prefer: _prefer, avoid: _avoid, ...rest } = options;
        return { ...each, options: rest };
      });
      const then = applied({ ...state, wanted: bare }, decide({ ...state, wanted: bare }));
      assert.deepEqual(leaving(then, decide({ ...then, wanted: equals })), []);
    });
  });

  test("a unit that joins takes the place of less important ones only", () => {
    const joined = fc.tuple(clusters({ ...extent, moves: false }), newcomer(extent)).map(([state, joins]) => {
      const wanted = [...state.wanted, joins].map((each): WantedUnit => {
        return { ...each, options: { ...each.options, replaces: [] } };
      });
      const before = { ...state, wanted: wanted.slice(0, -1) };
      return { ...applied(before, decide(before)), wanted };
    });
    check(joined, (state) => {
      const units = plainUnits(state.wanted);
      const joins = state.wanted.at(-1)!;
      for (const { unit: name, kind, on, from = kind === "drop" ? on : undefined } of decide(state)) {
        if (!state.machines.some((each) => each.id === from)) continue;
        assert.ok(units.priority(units.find(name)!) < units.priority(joins), name);
      }
    });
  });

  if (extent.moves === false) return;

  const settled = clusters({ ...extent, moves: false }).map((state) => applied(state, decide(state)));
  /** Units that leave a machine, but for those that follow another which leaves it. */
  const leaders = (state: ClusterState, decisions: readonly Outcome[], host: CandidateMachine): readonly string[] => {
    const left = decisions.filter(({ kind, from }) => kind === "place" && from === host.id).map((each) => each.unit);
    const followsOne = (each: WantedUnit, seen: ReadonlySet<string> = new Set()): boolean =>
      each.options.machineOf.some((name) => {
        const leader = state.wanted.find((one) => one.name === name);
        if (leader === undefined || seen.has(name)) return false;
        return left.includes(name) || followsOne(leader, new Set([...seen, name]));
      });
    return left.filter((name) => !followsOne(state.wanted.find((each) => each.name === name)!));
  };

  test("a drain moves no more than it may, and says what is left", () => {
    check(fc.tuple(settled, fc.integer({ min: 0, max: 3 })), ([state, drain]) => {
      const [first, ...others] = state.machines;
      if (first === undefined) return;
      const drained: CandidateMachine = { ...first, cordoned: true, drain };
      const decisions = decide({ ...state, machines: [drained, ...others] });
      const left = leaders(state, decisions, drained);
      assert.ok(left.length <= drain);
      const stuck = decisions.filter(({ kind, refusals }) => kind === "keep" && refusals !== undefined);
      assert.ok(stuck.every(({ on }) => on === drained.id && drain > 0 && drained.standing === "present"));
    });
  });

  test("rebalancing moves no more than it may, and makes loads more even", () => {
    check(fc.tuple(settled, fc.integer({ min: 0, max: 3 })), ([state, rebalance]) => {
      const decisions = decide({ ...state, rebalance });
      const moved = state.machines.flatMap((host) => leaders(state, decisions, host));
      assert.ok(moved.length <= rebalance);
      const unevenness = (after: readonly Outcome[]): number =>
        [...unitsAfter(state, after).values()].reduce((sum, units) => sum + units.length ** 2, 0);
      if (moved.length > 0) assert.ok(unevenness(decisions) < unevenness([]), "no more even");
    });
  });
}

suite("whatever the cluster, the engine", () => properties(schedule, engineExtent));
suite("whatever the cluster, the plain meaning", () => properties(plainDecisions, {}));
