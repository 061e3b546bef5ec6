// Why a unit is where it is or nowhere, and what a machine takes and refuses: tables, and that it is what placement does.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import type { MachinePlacement, UnitPlacement } from "../../../agent/domain/explanation.ts";
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import { type ClusterState, type WantedUnit, opennessKey } from "../../../agent/domain/placement.ts";
import type { MachineReference } from "../../../agent/domain/report.ts";
import { explainMachine, explainUnit } from "../../../agent/schedule/explain.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { fc, tries } from "../../property.ts";
import { type Asked, type Case, applied, cluster, id } from "./cluster.ts";
import { clusters } from "./random.ts";

const gigabyte = 1024 ** 3;
const refer = (machine: MachineId): MachineReference => ({
  id: machine,
  ip: "",
  hostname: `m${machine.charAt(0)}`,
  alive: true,
});

function explain(state: ClusterState, name: string): UnitPlacement {
  const found = explainUnit(state, { name: name as UnitName, refer });
  assert.ok(found);
  return found;
}

/** `metadata 3 -> 1`. */
const steps = ({ funnel }: UnitPlacement): readonly string[] =>
  funnel.map(({ rule, machines, left }) => `${rule} ${machines} -> ${left}`);
/** `ma: needs disk=ssd (metadata); is cordoned (cordoned)`. */
const nearest = ({ misses }: UnitPlacement): readonly string[] =>
  misses.map(
    ({ machine, breaks }) =>
      `${machine.hostname}: ${breaks.map(({ rule, because }) => `${because} (${rule})`).join("; ")}`,
  );
const places = (found: UnitPlacement): readonly string[] =>
  found.places.map(({ machine, decision, because, rank, from }) =>
    [
      `${decision} ${machine.hostname}`,
      ...(from === undefined ? [] : [`from ${from.hostname}`]),
      ...(rank === undefined ? [] : [`rank ${rank}`]),
    ]
      .join(" ")
      .concat(`: ${because}`),
  );
const disk = (value: string): NonNullable<Asked["metadata"]> => [{ key: "disk", values: [value] }];
const many = (letters: string, asked: Asked = {}): Record<string, Asked> =>
  Object.fromEntries(Array.from(letters).map((letter) => [`${letter}.service`, asked]));

interface Row extends Case {
  readonly name: string;
  readonly steps?: readonly string[];
  readonly nearest?: readonly string[];
  readonly changes: readonly string[];
}

/** Of `u.service`, which waits. */
const waiting: readonly Row[] = [
  {
    name: "nobody is there",
    units: { "u.service": {} },
    steps: ["no-machine 0 -> 0"],
    nearest: [],
    changes: ["add a machine"],
  },
  {
    name: "metadata",
    units: { "u.service": { metadata: disk("ssd") } },
    machines: { a: {}, b: { disk: "hdd" } },
    steps: ["metadata 2 -> 0"],
    nearest: ["ma: needs disk=ssd (metadata)", "mb: needs disk=ssd (metadata)"],
    changes: [
      "give ma the metadata disk=ssd",
      "give mb the metadata disk=ssd",
      "add a machine with the metadata disk=ssd",
    ],
  },
  {
    name: "several rules: fewest first, each in turn in the funnel",
    units: {
      "u.service": { metadata: disk("ssd"), memory: { bytes: 2 * gigabyte } },
      "v.service": { memory: { bytes: gigabyte } },
    },
    machines: { a: {}, b: { disk: "ssd" }, c: { disk: "ssd" }, d: {} },
    facts: {
      a: { memoryBytes: gigabyte, cordoned: true },
      b: { memoryBytes: 2.5 * gigabyte },
      c: { cordoned: true },
      d: {},
    },
    at: { "v.service": "b" },
    steps: ["metadata 4 -> 2", "cordoned 2 -> 1", "memory 1 -> 0"],
    nearest: [
      "mb: needs 2G of memory, 1.5G are free (memory)",
      "mc: is cordoned (cordoned)",
      "md: needs disk=ssd (metadata)",
      "ma: needs disk=ssd (metadata); is cordoned (cordoned); needs 2G of memory, 1G are free (memory)",
    ],
    changes: [
      "free 512M of memory on mb",
      "uncordon mc",
      "give md the metadata disk=ssd",
      "give ma the metadata disk=ssd and uncordon ma and free 1G of memory on ma",
      "add a machine with the metadata disk=ssd and 2G of memory",
      "set Priority= above 0: it would displace v.service on mb",
    ],
  },
  {
    name: "comparisons: a value that satisfies them, or no value",
    units: {
      "u.service": {
        demands: [
          { key: "cores", test: "above", value: 4 },
          { key: "spot", test: "missing" },
          { key: "gpu", test: "exists" },
        ],
      },
    },
    machines: { a: { spot: "1" } },
    nearest: ["ma: needs cores>4, !spot, gpu (metadata)"],
    changes: [
      "give ma the metadata cores=5 gpu=yes and take the metadata key spot from ma",
      "add a machine with the metadata cores=5 gpu=yes",
    ],
  },
  {
    name: "comparisons that nothing satisfies: no counsel",
    units: {
      "u.service": {
        demands: [
          { key: "cores", test: "above", value: 4 },
          { key: "cores", test: "below", value: 2 },
        ],
      },
    },
    machines: ["a"],
    changes: [],
  },
  {
    name: "a conflict with one of a higher priority: it can only be stopped",
    units: { "u.service": { conflicts: ["v.service"] }, "v.service": { priority: 1_000 } },
    machines: ["a"],
    at: { "v.service": "a" },
    steps: ["conflict 1 -> 0"],
    nearest: ["ma: conflicts with v.service (conflict)"],
    changes: ["add a machine", "stop v.service"],
  },
  {
    name: "a conflict: who would be displaced, and from which priority on",
    units: { "u.service": { conflicts: ["v.service"] }, "v.service": { priority: 5 } },
    machines: ["a"],
    at: { "v.service": "a" },
    changes: ["add a machine", "set Priority= above 5: it would displace v.service on ma", "stop v.service"],
  },
  {
    name: "processors",
    units: { "u.service": { milliCpus: 1_500 }, "v.service": { milliCpus: 1_000 } },
    machines: ["a"],
    facts: { a: { milliCpus: 2_000 } },
    at: { "v.service": "a" },
    nearest: ["ma: needs 1.5 processors, 1 are free (cpu)"],
    changes: [
      "free 0.5 processors on ma",
      "add a machine with 1.5 processors",
      "set Priority= above 0: it would displace v.service on ma",
    ],
  },
  {
    name: "it follows one that is inactive",
    units: { "u.service": { machineOf: ["v.service"] }, "v.service": { target: "inactive" } },
    machines: ["a"],
    nearest: ["ma: needs v.service, which is inactive or not in the repository (machine-of)"],
    changes: ["start v.service"],
  },
  {
    name: "it follows one that cannot be placed itself: starting it changes nothing",
    units: {
      "u.service": { machineOf: ["v.service"] },
      "v.service": { target: "inactive", metadata: disk("ssd") },
    },
    machines: ["a"],
    changes: [],
  },
  {
    name: "freed memory that another would take first is no counsel",
    units: {
      ...many("v", { memory: { bytes: 6 } }),
      ...many("w", { memory: { bytes: 6 }, priority: 5 }),
      "u.service": { memory: { bytes: 6 } },
    },
    machines: ["a"],
    facts: { a: { memoryBytes: 10 } },
    at: { "v.service": "a" },
    nearest: ["ma: needs 6 of memory, 4 are free (memory)"],
    changes: ["add a machine with 6 of memory", "set Priority= above 5: it would displace v.service on ma"],
  },
  {
    name: "it is spread, and no machine has the key",
    units: { "u@1.service": {}, "u.service": { spread: "zone" } },
    machines: ["a"],
    nearest: ["ma: needs metadata with the key zone, over which it is spread (spread)"],
    changes: ["give ma the metadata key zone", "add a machine with the metadata key zone"],
  },
  {
    name: "it asks for another machine",
    units: { "u.service": { machineId: id("z") } },
    machines: ["a"],
    nearest: [`ma: needs machine ${id("z")} (machine-id)`],
    changes: [],
  },
  {
    name: "a machine that may still come back is the last, and nothing else is said of it",
    units: { "u.service": { metadata: disk("ssd") } },
    machines: ["a?", "b"],
    steps: ["metadata 2 -> 1", "no-machine 1 -> 0"],
    nearest: ["mb: needs disk=ssd (metadata)", "ma: has not come back yet (no-machine)"],
    changes: ["give mb the metadata disk=ssd", "add a machine with the metadata disk=ssd"],
  },
  {
    name: "it follows itself",
    units: { "u.service": { machineOf: ["v.service"] }, "v.service": { machineOf: ["u.service"] } },
    machines: ["a"],
    steps: ["machine-of-cycle 1 -> 0"],
    nearest: ["ma: u.service follows v.service follows u.service (machine-of-cycle)"],
    changes: [],
  },
  {
    name: "units that people submit are not taken there",
    units: { "u.service": { metadata: [{ key: opennessKey, values: ["yes"] }] } },
    machines: { a: { [opennessKey]: "no" } },
    nearest: ["ma: needs AllowSubmit=yes (metadata)"],
    changes: ["set AllowSubmit=yes on ma", "add a machine"],
  },
];

suite("a unit that waits", () => {
  for (const { name, steps: funnel, nearest: misses, changes, ...given } of waiting)
    test(name, () => {
      const found = explain(cluster(given), "u.service");
      assert.equal(found.state, "waiting");
      assert.deepEqual([found.places, found.candidates], [[], { machines: 0, first: [] }]);
      if (funnel !== undefined) assert.deepEqual(steps(found), funnel);
      if (misses !== undefined) assert.deepEqual(nearest(found), misses);
      assert.deepEqual(found.changes, changes);
    });

  test("no more than five machines are named", () => {
    const state = cluster({ units: { "u.service": { metadata: disk("ssd") } }, machines: Array.from("abcdefgh") });
    const found = explain(state, "u.service");
    assert.deepEqual([found.machines, found.misses.length, found.changes.length], [8, 5, 6]);
  });

  test("who takes its place is named", () => {
    const state = cluster({
      units: { "u.service": {}, "v.service": { priority: 5, conflicts: ["u.service"] } },
      machines: ["a"],
      at: { "u.service": "a" },
    });
    const { state: is, displacedBy } = explain(state, "u.service");
    assert.deepEqual([is, displacedBy], ["waiting", "v.service"]);
  });
});

suite("a unit that is placed", () => {
  test("it stays, whoever else would take it, and how these rank", () => {
    const state = cluster({
      units: {
        "w@1.service": { spread: "zone", prefer: [{ key: "disk", test: "equals", value: "ssd" }] },
        "w@2.service": { spread: "zone" },
        ...many("xyz"),
      },
      machines: { a: { zone: "1" }, b: { zone: "2" }, c: { zone: "2", disk: "ssd" }, d: {} },
      at: { "w@1.service": "a", "w@2.service": "a", "x.service": "b", "y.service": "c", "z.service": "c" },
    });
    const found = explain(state, "w@1.service");
    assert.deepEqual(places(found), ["keep ma rank 3: it was there, and no rule takes it away"]);
    assert.deepEqual(
      found.candidates.first.map(({ machine, ...facts }) => ({ on: machine.hostname, ...facts })),
      [
        { on: "mc", rank: 1, spread: 0, preference: 1, units: 2 },
        { on: "mb", rank: 2, spread: 0, preference: 0, units: 1 },
        { on: "ma", rank: 3, spread: 1, preference: 0, units: 1 },
      ],
    );
    assert.deepEqual(steps(found), ["spread 4 -> 3"]);
    assert.deepEqual(found.changes, []);
  });

  test("it comes, in the words of the decision", () => {
    const state = cluster({ units: many("uv"), machines: ["a", "b"], at: { "u.service": "z", "v.service": "a" } });
    const found = explain(state, "u.service");
    assert.deepEqual(places(found), [`place mb from mz rank 1: machine ${"z".repeat(8)} went away`]);
  });

  test("it stays where it would not come anew", () => {
    const state = cluster({
      units: many("u"),
      machines: ["a"],
      facts: { a: { cordoned: true } },
      at: { "u.service": "a" },
    });
    const found = explain(state, "u.service");
    assert.deepEqual(places(found), [
      "keep ma: it was there, and no rule takes it away; it would not come there anew (is cordoned)",
    ]);
    assert.deepEqual(found.candidates.machines, 0);
  });

  test("it does not come to a machine that came and went", () => {
    const facts = { a: { cordoned: true, rests: 3 } } as const;
    const state = cluster({ units: many("u"), machines: ["a"], facts });
    const found = explain(state, "u.service");
    assert.deepEqual(nearest(found), ["ma: came and went 3 times and takes nothing new for a while (cordoned)"]);
    assert.ok(found.changes.includes("uncordon ma"));
    const [decision] = schedule(state);
    const refusals = decision?.kind === "wait" ? decision.refusals : [];
    const example = `machine ${"a".repeat(8)} came and went 3 times and takes nothing new for a while`;
    assert.deepEqual(refusals, [{ rule: "cordoned", machines: 1, example }]);
  });

  test("it follows another, and stays on a machine that may come back", () => {
    const state = cluster({
      units: { "u.service": { machineOf: ["v.service"] }, "v.service": {}, "w.service": {} },
      machines: ["a", "b?"],
      at: { "u.service": "a", "v.service": "a", "w.service": "b" },
    });
    assert.deepEqual(places(explain(state, "u.service")), ["keep ma rank 1: it follows v.service, which is there"]);
    assert.deepEqual(places(explain(state, "w.service")), [
      "keep mb: the machine may still be coming back: it keeps what it has",
    ]);
  });
});

suite("units that are not one of these", () => {
  test("inactive: starting it is tried", () => {
    const state = cluster({
      units: { "u.service": { target: "inactive" }, "v.service": { target: "inactive", metadata: disk("ssd") } },
      machines: ["a"],
    });
    const { state: is, funnel, changes } = explain(state, "u.service");
    assert.deepEqual([is, funnel, changes], ["inactive", [], ["start u.service"]]);
    assert.deepEqual(explain(state, "v.service").changes, []);
  });

  test("unknown", () => {
    assert.equal(explainUnit(cluster({ machines: ["a"] }), { name: "u.service" as UnitName, refer }), undefined);
  });

  test("global: machine by machine", () => {
    const state = cluster({
      units: { "u.service": { global: true, metadata: disk("ssd") } },
      machines: { a: { disk: "ssd" }, b: {}, c: { disk: "ssd" } },
      facts: { c: { cordoned: true } },
      at: { "u.service": "a" },
    });
    const found = explain(state, "u.service");
    assert.deepEqual(places(found), ["keep ma: it runs on every machine that fits"]);
    assert.deepEqual(steps(found), ["metadata 2 -> 1", "cordoned 1 -> 0"]);
    assert.deepEqual(nearest(found), ["mc: is cordoned (cordoned)", "mb: needs disk=ssd (metadata)"]);
    assert.deepEqual(found.changes, ["uncordon mc", "give mb the metadata disk=ssd"]);
  });
});

suite("a machine", () => {
  const state = cluster({
    units: {
      ...many("abc", { memory: { bytes: 2 } }),
      "big.service": { memory: { bytes: 100 } },
      "free.service": {},
      "ssd.service": { metadata: disk("ssd") },
      "every.service": { global: true, metadata: disk("ssd") },
      "off.service": { target: "inactive" },
    },
    machines: { a: { disk: "hdd" }, b: { disk: "ssd" } },
    facts: { a: { memoryBytes: 5, milliCpus: 0 } },
    at: { "a.service": "a", "b.service": "a", "c.service": "b", "free.service": "b", "ssd.service": "b" },
  });

  test("what it has, takes and refuses", () => {
    const found = explainMachine(state, { id: id("a") });
    const expected: MachinePlacement = {
      standing: "present",
      metadata: { disk: "hdd" },
      memoryBytes: { total: 5, reserved: 4, free: 1 },
      milliCpus: { reserved: 0 },
      units: ["a", "b"].map((name) => ({ unit: `${name}.service`, memoryBytes: 2, milliCpus: 0 })),
      takes: 1,
      refuses: [
        { rule: "metadata", units: 2, unit: "every.service", because: "needs disk=ssd" },
        { rule: "memory", units: 2, unit: "big.service", because: "needs 100 of memory, 1 are free" },
      ],
      waiting: { units: 0, first: [] },
      globals: [{ unit: "every.service", breaks: [{ rule: "metadata", because: "needs disk=ssd" }] }],
    };
    assert.deepEqual(found, expected);
  });

  test("units that wait, ten of them", () => {
    const units = many("abcdefghijklm", { metadata: disk("ssd") });
    const found = explainMachine(cluster({ units, machines: ["a"], facts: { a: { cordoned: true } } }), {
      id: id("a"),
    });
    assert.equal(found?.cordoned, true);
    assert.deepEqual([found.waiting.units, found.waiting.first.length], [13, 10]);
    assert.deepEqual(found.waiting.first[0], {
      unit: "a.service",
      breaks: [
        { rule: "metadata", because: "needs disk=ssd" },
        { rule: "cordoned", because: "is cordoned" },
      ],
    });
  });

  test("one that may still be coming back, and one that is not known", () => {
    const presumed = cluster({ units: many("ab"), machines: ["a?"], at: { "a.service": "a" } });
    const found = explainMachine(presumed, { id: id("a") });
    assert.deepEqual([found?.standing, found?.takes], ["presumed", 0]);
    assert.deepEqual(found?.waiting.first, [
      { unit: "b.service", breaks: [{ rule: "no-machine", because: "has not come back yet" }] },
    ]);
    assert.equal(explainMachine(presumed, { id: id("b") }), undefined);
  });
});

suite("for any cluster", () => {
  const isActive = ({ target }: WantedUnit): boolean => target !== "inactive";

  test("the funnel of a unit that waits counts what the decision counts", () => {
    fc.assert(
      fc.property(clusters(), (state) => {
        for (const decision of schedule(state)) {
          if (decision.kind !== "wait") continue;
          const found = explain(state, decision.unit);
          const isCircle = decision.refusals.some(({ rule }) => rule === "machine-of-cycle");
          const counted = found.funnel
            .filter(({ rule }) => !isCircle || rule === "machine-of-cycle")
            .map(({ rule, machines, left }) => ({ rule, machines: machines - left }))
            .filter(({ machines }) => machines > 0);
          const decided = decision.refusals
            .map(({ rule, machines }) => ({ rule, machines }))
            .filter(({ machines }) => machines > 0);
          assert.deepEqual(counted, decided);
          assert.equal(found.state, "waiting");
        }
      }),
      { numRuns: tries(300) },
    );
  });

  test("a machine that is said to take a unit takes it, and nobody makes way", () => {
    let asked = 0;
    fc.assert(
      fc.property(clusters({ moves: false }), (random) => {
        const wanted = random.wanted.map((each) => ({ ...each, options: { ...each.options, replaces: [] } }));
        const first = { ...random, wanted };
        // All is carried out, and those that wait are left out: nothing but the unit itself is still to be decided
        const decisions = schedule(first);
        const waits = new Set(decisions.flatMap(({ kind, unit }) => (kind === "wait" ? [unit] : [])));
        const after = applied(first, decisions);
        const state = { ...after, wanted: wanted.filter(({ name }) => !waits.has(name)) };
        for (const unit of state.wanted.filter((each) => isActive(each) && !each.options.global)) {
          // What follows it would leave with it, and others could come in its place
          if (wanted.some(({ options }) => options.machineOf.includes(unit.name))) continue;
          const { candidates, places: homes } = explain(state, unit.name);
          for (const { machine } of candidates.first) {
            // A global unit could come to where it was in its place
            if (homes.some(({ machine: home }) => home.id === machine.id)) continue;
            const here = { ...unit, options: { ...unit.options, machineId: machine.id } };
            const then = schedule({
              ...state,
              wanted: state.wanted.map((each) => (each === unit ? here : each)),
              placements: state.placements.filter(({ unit: name }) => name !== unit.name),
            });
            const places = then.flatMap((each) => (each.kind === "place" && each.unit === unit.name ? [each.on] : []));
            assert.deepEqual(places, [machine.id]);
            assert.deepEqual(
              then.filter((each) => "displacedBy" in each && each.displacedBy === unit.name),
              [],
            );
            asked++;
          }
        }
      }),
      { numRuns: tries(150) },
    );
    assert.ok(asked > 100, `${asked} were asked`);
  });

  test("what is said to help helps when placement begins anew", () => {
    let tried = 0;
    fc.assert(
      fc.property(clusters({ moves: false }), (state) => {
        for (const { name } of state.wanted.filter((each) => !each.options.global)) {
          for (const says of explain(state, name).changes) {
            const [verb, what = "", ...more] = says.split(" ");
            if (more.length > 0 || !["uncordon", "start", "stop"].includes(verb ?? "")) continue;
            const target = verb === "start" ? "launched" : "inactive";
            const then = schedule({
              ...state,
              machines: state.machines.map((each) => {
                const { cordoned: _cordoned, ...open } = each;
                return verb === "uncordon" && refer(each.id).hostname === what ? open : each;
              }),
              wanted: state.wanted.map((each) => (each.name === what ? { ...each, target } : each)),
            });
            const kinds = then.flatMap(({ kind, unit }) => (unit === name && kind !== "drop" ? [kind] : []));
            assert.ok(kinds.includes("place") || kinds.includes("keep"), `${says} does not place ${name}`);
            tried++;
          }
        }
      }),
      { numRuns: tries(200) },
    );
    assert.ok(tried > 20, `${tried} were tried`);
  });

  test("what would change it leaves the answer as it was, whoever is asked first", () => {
    fc.assert(
      fc.property(clusters(), (state) => {
        for (const { name } of state.wanted) assert.deepEqual(explain(state, name), explain(state, name));
      }),
      { numRuns: tries(50) },
    );
  });
});
