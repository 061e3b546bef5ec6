import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { UnitHash, UnitName } from "../../../agent/domain/names.ts";
import { compare } from "../../../agent/plan/plan.ts";
import { plan as machinePlan } from "../../../agent/reconcile/reconcile.ts";
import { fc } from "../../property.ts";
import { type Case, id, inShort, plan, stateOf, textOf, unitsOf } from "./clusters.ts";
import { systemdHash } from "../../../agent/text/hash.ts";

const a = { has: "web.service" };
const two = { a, b: {} };
const web = { "web.service": {} };

interface Row extends Partial<Case> {
  readonly name: string;
  readonly is: readonly string[];
}

const rows: readonly Row[] = [
  { name: "the same is no change", is: [] },
  { name: "a new unit starts where it fits", after: { ...web, "x.service": {} }, is: ["x.service added: start b"] },
  {
    name: "a new unit that is to be loaded",
    after: { ...web, "x.service": { target: "loaded" } },
    is: ["x.service added: load b"],
  },
  {
    name: "a new unit that wants to be inactive",
    after: { ...web, "x.service": { target: "inactive" } },
    is: ["x.service added: nothing"],
  },
  {
    name: "a new unit that no machine takes",
    after: { ...web, "x.service": { metadata: [{ key: "region", values: ["mars"] }] } },
    is: ["x.service added: wait (metadata)"],
  },
  { name: "a unit that is gone stops", after: {}, is: ["web.service removed: stop a"] },
  { name: "changed text restarts", after: { "web.service": { text: "2" } }, is: ["web.service changed: restart a"] },
  {
    name: "changed text reloads where the unit says so",
    after: { "web.service": { text: "2", onChange: "reload" } },
    is: ["web.service changed: reload a"],
  },
  {
    name: "changed text starts what is not running",
    machines: { a: { has: "web.service", stopped: "web.service" }, b: {} },
    after: { "web.service": { text: "2", onChange: "reload" } },
    is: ["web.service changed: start a"],
  },
  {
    name: "changed text of what is only loaded",
    before: { "web.service": { target: "loaded" } },
    after: { "web.service": { target: "loaded", text: "2" } },
    is: ["web.service changed: rewrite a"],
  },
  {
    name: "launched to loaded",
    after: { "web.service": { target: "loaded" } },
    is: ["web.service changed: stop a"],
  },
  {
    name: "loaded to launched",
    before: { "web.service": { target: "loaded" } },
    after: web,
    is: ["web.service changed: start a"],
  },
  {
    name: "launched to inactive",
    after: { "web.service": { target: "inactive" } },
    is: ["web.service changed: stop a"],
  },
  {
    name: "loaded to nowhere",
    before: { "web.service": { target: "loaded" } },
    after: {},
    is: ["web.service removed: unload a"],
  },
  {
    name: "new demands move it",
    machines: { a, b: { metadata: { region: "eu" } } },
    after: { "web.service": { text: "2", metadata: [{ key: "region", values: ["eu"] }] } },
    is: ["web.service changed: stop a, start b"],
  },
  {
    name: "new demands that nothing satisfies",
    after: { "web.service": { text: "2", metadata: [{ key: "region", values: ["eu"] }] } },
    is: ["web.service changed: stop a, wait (metadata)"],
  },
  {
    name: "a unit that follows one which moves is moved, though it is the same",
    machines: { a: { has: "web.service log.service" }, b: { metadata: { region: "eu" } } },
    before: { ...web, "log.service": { machineOf: ["web.service" as UnitName] } },
    after: {
      "web.service": { text: "2", metadata: [{ key: "region", values: ["eu"] }] },
      "log.service": { machineOf: ["web.service" as UnitName] },
    },
    is: ["log.service moved: stop a, start b", "web.service changed: stop a, start b"],
  },
  {
    name: "a unit whose leader goes is refused, though it is the same",
    machines: { a: { has: "web.service log.service" } },
    before: { ...web, "log.service": { machineOf: ["web.service" as UnitName] } },
    after: { "log.service": { machineOf: ["web.service" as UnitName] } },
    is: ["log.service refused: stop a, wait (machine-of)", "web.service removed: stop a"],
  },
  {
    name: "what waits before and after is no change",
    before: { ...web, "x.service": { metadata: [{ key: "region", values: ["mars"] }] } },
    after: { ...web, "x.service": { metadata: [{ key: "region", values: ["mars"] }] } },
    is: [],
  },
  {
    name: "what waited for room is placed",
    machines: { a },
    before: { ...web, "x.service": { conflicts: ["web.service"] } },
    after: { "x.service": { conflicts: ["web.service"] } },
    is: ["web.service removed: stop a", "x.service moved: start a"],
  },
  {
    name: "what happens anyway is no part of it",
    machines: { a: { has: "web.service", standing: "gone" }, b: {} },
    after: { ...web, "x.service": { target: "inactive" } },
    is: ["x.service added: nothing"],
  },
  {
    name: "nothing stops where nothing has come yet",
    machines: { a: { has: "web.service", standing: "gone" }, b: {}, c: { metadata: { region: "eu" } } },
    after: { "web.service": { text: "2", metadata: [{ key: "region", values: ["eu"] }] } },
    is: ["web.service changed: start c"],
  },
  {
    name: "and what is yet to come has the new text at once",
    machines: { a: { has: "web.service", standing: "gone" }, b: {} },
    after: { "web.service": { text: "2" } },
    is: ["web.service changed: start b"],
  },
  {
    name: "a unit on every machine",
    machines: { a: { has: "log.service" }, b: { has: "log.service" }, c: {} },
    before: { "log.service": { global: true } },
    after: { "log.service": { global: true, text: "2" } },
    is: ["log.service changed: restart a, restart b, start c"],
  },
  {
    name: "a cordoned machine takes nothing new and keeps what it has",
    machines: { a: { has: "web.service", cordoned: true }, b: {} },
    after: { "web.service": { text: "2" }, "x.service": {}, "y.service": {} },
    is: ["web.service changed: restart a", "x.service added: start b", "y.service added: start b"],
  },
  {
    name: "a unit of a higher priority displaces one of a lower",
    machines: { a },
    after: { ...web, "x.service": { priority: 5, conflicts: ["web.service"] } },
    is: ["web.service refused: stop a, wait (conflict)", "x.service added: start a"],
  },
  {
    name: "what is displaced goes where there is room",
    machines: { a: { has: "web.service", memoryBytes: 100 }, b: { memoryBytes: 50 } },
    before: { "web.service": { memory: { bytes: 50 } } },
    after: { "web.service": { memory: { bytes: 50 } }, "x.service": { priority: 5, memory: { bytes: 90 } } },
    is: ["web.service moved: stop a, start b", "x.service added: start a"],
  },
  {
    name: "a template and its instance",
    machines: { a: { has: "web@1.service" } },
    before: { "web@.service": { template: true }, "web@1.service": {} },
    after: { "web@.service": { template: true, text: "2" }, "web@1.service": { text: "2" } },
    is: ["web@.service changed: nothing", "web@1.service changed: restart a"],
  },
  {
    name: "a submitted unit stays beside the commit",
    before: { "web.service": { source: "submitted" } },
    after: {},
    is: [],
  },
  {
    name: "and gives way to a unit of its name",
    before: { "web.service": { source: "submitted", target: "loaded" } },
    after: { "web.service": {} },
    is: ["web.service changed: start a"],
  },
  {
    name: "a held unit stays held",
    holds: [{ unit: "web.service", target: "loaded" }],
    after: { "web.service": { text: "2" } },
    is: ["web.service changed: rewrite a"],
  },
  {
    name: "of a held unit another target changes nothing yet",
    holds: [{ unit: "web.service", target: "launched" }],
    after: { "web.service": { target: "inactive" } },
    is: ["web.service changed: nothing"],
  },
  {
    name: "a hold waits for a unit that comes",
    holds: [{ unit: "x.service", target: "loaded" }],
    after: { ...web, "x.service": {} },
    is: ["x.service added: load b"],
  },
  {
    name: "what cannot be read stays, and what follows it",
    machines: { a: { has: "web.service log.service" }, b: { metadata: { region: "eu" } } },
    before: { "log.service": { machineOf: ["web.service" as UnitName] } },
    after: {
      "log.service": {
        machineOf: ["web.service" as UnitName],
        metadata: [{ key: "region", values: ["eu"] }],
        text: "2",
      },
    },
    unknown: ["web.service"],
    is: ["log.service changed: restart a"],
  },
];

suite("plan", () => {
  for (const { name, is, machines = two, before = web, after = web, ...more } of rows)
    test(name, () => assert.deepEqual(inShort(plan({ machines, before, after, ...more })), is));

  test("sums and machines are those of the units", () => {
    const { summary, machines } = plan({
      machines: { a: { has: "web.service log.service" }, b: { has: "log.service" } },
      before: { ...web, "log.service": { global: true } },
      after: { "log.service": { global: true, text: "2" }, "x.service": { metadata: [{ key: "k", values: ["v"] }] } },
    });
    assert.deepEqual(summary.units, { added: 1, changed: 1, removed: 1, moved: 0, refused: 0 });
    assert.equal(summary.waiting, 1);
    assert.deepEqual(
      { ...summary.actions },
      { start: 0, restart: 2, reload: 0, stop: 1, load: 0, rewrite: 0, unload: 0 },
    );
    assert.deepEqual(
      machines.map(({ machine, actions }) => [machine.hostname, actions]),
      [
        ["host-a", { restart: ["log.service"], stop: ["web.service"] }],
        ["host-b", { restart: ["log.service"] }],
      ],
    );
  });

  test("placement is handed everything that it looks at", () => {
    const machine = {
      metadata: { region: "eu" },
      memoryBytes: 1024,
      milliCpus: 500,
      cordoned: true,
      rests: 2,
    } as const;
    const { before, after } = compare(
      stateOf({
        machines: {
          a: { ...machine, has: "web.service", leaving: "old.service" },
          b: { standing: "gone", has: "x.service" },
        },
        before: { ...web, "web@.service": { template: true } },
        holds: [{ unit: "web.service", target: "loaded" }],
      }),
      { units: unitsOf(web, "units"), templates: new Map() },
    );
    const seen = {
      machines: [{ id: id("a"), standing: "present", ...machine }],
      placements: [
        { unit: "web.service", on: id("a") },
        { unit: "x.service", on: id("b") },
      ],
      leaving: [{ unit: "old.service", on: id("a") }],
      running: [
        { unit: "web.service", on: id("a") },
        { unit: "x.service", on: id("b") },
      ],
    };
    for (const { cluster } of [before, after]) {
      const { wanted, ...rest } = cluster;
      assert.deepEqual(rest, seen);
      assert.deepEqual(
        wanted.map(({ name, target }) => [name, target]),
        [["web.service", "loaded"]],
      );
    }
  });

  test("it says who displaces whom", () => {
    const [displaced] = plan({
      machines: { a },
      before: web,
      after: { ...web, "x.service": { priority: 5, conflicts: ["web.service"] } },
    }).units;
    assert.equal(displaced?.displacedBy, "x.service");
  });

  test("it says why, and by whom a unit is held", () => {
    const { units } = plan({
      machines: { a: { has: "web.service log.service" }, b: { metadata: { region: "eu" } } },
      before: { ...web, "log.service": { machineOf: ["web.service" as UnitName] } },
      after: {
        "web.service": { text: "2", metadata: [{ key: "region", values: ["eu"] }] },
        "log.service": { machineOf: ["web.service" as UnitName] },
      },
      holds: [{ unit: "web.service", target: "loaded", why: "disk" }],
    });
    const [log, held] = units;
    assert.match(log?.because ?? "", /web\.service/);
    assert.match(held?.because ?? "", /region=eu/);
    assert.deepEqual(held?.hold, { unit: "web.service", target: "loaded", by: "ann@lap", why: "disk" });
    assert.deepEqual([held.before?.target, held.after?.target], ["loaded", "loaded"]);
  });
});

/** What reconciliation does on one machine that is as it was told to be, in the words of a plan. */
function doneByMachine(given: Case): readonly string[] {
  const told = [...unitsOf(given.after, "units").values()];
  const { plan: done } = machinePlan({
    entries: told.flatMap(({ name, hash, target }) =>
      target === "inactive" ? [] : [{ name, hash, target, source: "submitted" as const }],
    ),
    units: new Map(told.map((unit) => [unit.name, unit])),
    placed: Object.entries(given.before).flatMap(([name, { target = "launched", text = "1" }]) => {
      const hash = text.repeat(40) as UnitHash;
      const launchedAs = systemdHash({ text: textOf(text), dropIns: [] });
      return target === "inactive"
        ? []
        : [
            {
              name: name as UnitName,
              hash,
              ...(target === "launched" ? { launched: hash, launchedAs } : { launched: undefined }),
            },
          ];
    }),
    states: new Map(
      Object.keys(given.before).map((name) => {
        const active = given.machines["a"]?.stopped === name ? "failed" : "active";
        return [name as UnitName, { load: "loaded", active, sub: "", result: "", sinceMs: 0, restarts: 0 }];
      }),
    ),
    foreign: new Map(),
    busy: new Set(),
  });
  const wasLoaded = (unit: string): boolean => given.before[unit]?.target === "loaded";
  const jobs = done.jobs.map(({ kind, unit }) => (kind !== "remove" ? kind : wasLoaded(unit) ? "unload" : "stop"));
  if (jobs.length > 0) return jobs;
  return done.write.map(({ unit }) => (given.before[unit.name] === undefined ? "load" : "rewrite"));
}

test("what it says of a machine is what reconciliation does there", () => {
  const targets = fc.constantFrom("inactive", "loaded", "launched");
  const text = fc.constantFrom("1", "2", "3");
  const onChange = fc.constantFrom("restart", "reload");
  fc.assert(
    fc.property(
      fc.record({ target: targets, text }),
      fc.record({ target: targets, text, onChange }),
      fc.boolean(),
      fc.constantFrom("both", "before", "after"),
      (was, is, isFailed, there) => {
        const isPlaced = there !== "after" && was.target !== "inactive";
        const given: Case = {
          machines: {
            a: {
              has: isPlaced ? "u.service" : "",
              // Only what was launched runs
              stopped: isFailed || was.target !== "launched" ? "u.service" : "",
            },
          },
          before: there === "after" ? {} : { "u.service": was },
          after: there === "before" ? {} : { "u.service": is },
        };
        const planned = plan(given).units.flatMap(({ actions }) => actions.map(({ action }) => action));
        const gone = there !== "after" && was.target === "inactive" ? { ...given, before: {} } : given;
        assert.deepEqual(planned, doneByMachine(gone));
      },
    ),
  );
});

test("nothing is planned for a cluster that has what is asked", () => {
  assert.equal(plan({ machines: two, before: web, after: web }).machines.length, 0);
  assert.equal(plan({ machines: two, before: web, after: {} }).machines[0]?.machine.id, id("a"));
});
