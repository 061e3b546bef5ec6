// What holds of placement whatever the cluster: the fixed point, no forbidden pair, no needless move, and agreement with
// the plain meaning.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import fc from "fast-check";
import type {
  CandidateMachine,
  ClusterState,
  Decision,
  Placement,
  WantedUnit,
} from "../../../agent/domain/placement.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { conflictTest } from "../../../agent/text/conflict.ts";
import { applied, describe, id, unit } from "./cluster.ts";
import { plainSchedule } from "./plain.ts";

const runs = 400;
const names = [
  "a.service",
  "b.service",
  "c.service",
  "d.service",
  "e.timer",
  "w@1.service",
  "w@2.service",
  "w@3.service",
];
const letters = ["a", "b", "c", "d"];
const patterns = [...names, "w@*.service", "[ab].service", "*.timer", "?.service", "[", "none.service"];

const few = (values: readonly string[], often = 1): fc.Arbitrary<string[]> =>
  fc.oneof(
    { weight: 6 / often, arbitrary: fc.constant<string[]>([]) },
    { weight: 2, arbitrary: fc.subarray([...values], { minLength: 1, maxLength: 2 }) },
  );
const metadata = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.subarray(["1", "2"], { minLength: 1 }).map((values) => [{ key: "r", values }]) },
);
const target = fc.oneof(
  { weight: 6, arbitrary: fc.constant("launched" as const) },
  { weight: 1, arbitrary: fc.constantFrom("loaded" as const, "inactive" as const) },
);
const seldom = <T>(value: T): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant(value) });

const wanted: fc.Arbitrary<WantedUnit[]> = fc.subarray(names).chain((chosen) =>
  fc.tuple(
    ...chosen.map((name) =>
      fc
        .record({
          target,
          machineOf: few(names),
          metadata,
          conflicts: few(patterns, 2),
          replaces: few(patterns),
          global: fc.integer({ min: 0, max: 5 }).map((roll) => roll === 0),
          machineId: seldom(id("b").slice(0, 8)),
        })
        .map(({ machineId, ...asked }) => unit(name, { ...asked, ...(machineId === undefined ? {} : { machineId }) })),
    ),
  ),
);
const machine = (letter: string, presumed: boolean): fc.Arbitrary<CandidateMachine> =>
  fc.record({
    id: fc.constant(id(letter)),
    metadata: fc.constantFrom({}, { r: "1" }, { r: "2" }, { r: "3" }),
    standing: presumed
      ? fc.constantFrom("present" as const, "present" as const, "present" as const, "presumed" as const)
      : fc.constant("present" as const),
  });
const placed: fc.Arbitrary<Placement[]> = fc.uniqueArray(
  fc.record({ unit: fc.constantFrom(...(names as UnitName[])), on: fc.constantFrom(...[...letters, "e"].map(id)) }),
  { maxLength: 10, selector: (each) => `${each.unit} ${each.on}` },
);

function clusters({ presumed = true } = {}): fc.Arbitrary<ClusterState> {
  return fc.record({
    wanted,
    machines: fc.subarray(letters).chain((chosen) => fc.tuple(...chosen.map((letter) => machine(letter, presumed)))),
    placements: placed,
    leaving: fc.oneof(fc.constant([]), placed),
    running: fc.oneof(fc.constant([]), placed),
  });
}

const check = (state: fc.Arbitrary<ClusterState>, property: (state: ClusterState) => void): void => {
  fc.assert(fc.property(state, property), { numRuns: runs });
};
const lines = (state: ClusterState): readonly string[] => schedule(state).map(describe);
const isActive = (each: WantedUnit): boolean => each.target !== "inactive";

suite("whatever the cluster", () => {
  test("the quick answer is the plain one", () => {
    check(clusters(), (state) => {
      assert.deepEqual(lines(state), plainSchedule(state));
    });
  });

  test("the quick answer is the plain one for many units of a kind too", () => {
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

  test("fixed point: once applied, only keep and wait remain", () => {
    check(clusters(), (state) => {
      const again = schedule(applied(state, schedule(state)));
      assert.deepEqual(again.filter(({ kind }) => kind !== "keep" && kind !== "wait").map(describe), []);
    });
  });

  test("every active unit that is not global gets exactly one keep, place or wait", () => {
    check(clusters(), (state) => {
      const decisions = schedule(state);
      for (const each of state.wanted.filter((one) => isActive(one) && !one.options.global)) {
        const main = decisions.filter((decision) => decision.unit === each.name && decision.kind !== "drop");
        assert.equal(main.length, 1, each.name);
      }
    });
  });

  test("a unit that waits says why, for every machine", () => {
    check(clusters(), (state) => {
      for (const decision of schedule(state)) {
        if (decision.kind !== "wait") continue;
        assert.ok(decision.refusals.length > 0);
        assert.ok(decision.refusals.every((refusal) => refusal.example !== ""));
        const counted = decision.refusals.reduce((sum, refusal) => sum + refusal.machines, 0);
        const cycle = decision.refusals.some((refusal) => refusal.rule === "machine-of-cycle");
        const asked = state.machines.filter((each) => !cycle || each.standing === "present");
        assert.equal(counted, asked.length);
      }
    });
  });

  test("no two units that conflict share a machine, and each sits where its wishes hold", () => {
    const clash = conflictTest();
    check(clusters({ presumed: false }), (state) => {
      const after = applied(state, schedule(state));
      const known = new Map(state.wanted.map((each) => [each.name, each]));
      for (const { id: host, metadata: has } of state.machines) {
        const units = after.placements.flatMap((each) => (each.on === host ? (known.get(each.unit) ?? []) : []));
        for (const a of units) {
          assert.ok(a.options.metadata.every(({ key, values }) => values.includes(has[key] ?? "")));
          assert.ok(a.options.machineOf.every((name) => units.some((b) => b.name === name)));
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

  test("the order of the input has no meaning", () => {
    const shuffled = clusters().chain((state) =>
      fc.tuple(
        fc.constant(state),
        fc.record({
          wanted: fc.shuffledSubarray([...state.wanted], { minLength: state.wanted.length }),
          machines: fc.shuffledSubarray([...state.machines], { minLength: state.machines.length }),
          placements: fc.shuffledSubarray([...state.placements], { minLength: state.placements.length }),
          leaving: fc.constant(state.leaving ?? []),
          running: fc.constant(state.running ?? []),
        }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([one, other]) => assert.deepEqual(schedule(one), schedule(other))),
      { numRuns: runs },
    );
  });

  test("a machine that joins moves nothing", () => {
    const settled = clusters()
      .filter((state) => state.wanted.every((each) => each.options.replaces.length === 0))
      .chain((state) => machine("f", false).map((joins) => ({ state: applied(state, schedule(state)), joins })));
    fc.assert(
      fc.property(settled, ({ state, joins }) => {
        const decisions = schedule({ ...state, machines: [...state.machines, joins] });
        const present = new Set(state.machines.map((each) => each.id));
        const moves = decisions.filter(
          (each: Decision) =>
            (each.kind === "drop" && present.has(each.on)) ||
            (each.kind === "place" && each.from !== undefined && present.has(each.from)),
        );
        assert.deepEqual(moves.map(describe), []);
      }),
      { numRuns: runs },
    );
  });

  test("a presumed machine keeps every wanted unit that is nowhere else", () => {
    check(clusters(), (state) => {
      const decisions = schedule(state);
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
});
