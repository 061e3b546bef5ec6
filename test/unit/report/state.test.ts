import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { ExportedState } from "../../../agent/domain/plan.ts";
import type { Checked } from "../../../agent/domain/problem.ts";
import { compare, planChange } from "../../../agent/plan/plan.ts";
import { reportState } from "../../../agent/report/state.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { readExportedState } from "../../../agent/text/exported-state.ts";
import { heldPicture, sampleCommit, sampleIds, samplePicture } from "../../fakes/fake-cluster.ts";

function good<T>(checked: Checked<T>): T {
  assert.ok(checked.ok, checked.ok ? "" : checked.problems.map(({ message }) => message).join("\n"));
  return checked.value;
}

const stateOf = (picture: ClusterPicture): ExportedState => good(reportState(picture, 7));

suite("the exported state", () => {
  test("goes through a file and is the same", () => {
    for (const picture of [samplePicture(), heldPicture()]) {
      const state = stateOf(picture);
      const text = JSON.stringify(state);
      assert.deepEqual(JSON.stringify(good(readExportedState(text, "state.json"))), text);
    }
  });

  test("has machines with what they have, the gone ones too", () => {
    const { machines, adopted, atMs } = stateOf(samplePicture());
    assert.deepEqual([adopted, atMs], [{ commit: sampleCommit, ref: "main" }, 7]);
    const [gone, n3] = machines;
    assert.deepEqual(gone, {
      ...{ id: sampleIds.gone, hostname: "", standing: "gone", metadata: {} },
      ...{ units: ["lost.service"], leaving: ["web@2.service"], running: [] },
    });
    assert.deepEqual(n3?.units, ["hello.service", "log.service", "web@1.service"]);
    assert.deepEqual([n3.hostname, n3.metadata], ["n3", { role: "web", region: "us", disk: "ssd" }]);
  });

  test("has what a unit's source says, and holds beside it", () => {
    const { units, holds } = stateOf(heldPicture());
    const db = units.find(({ name }) => name === "db.service");
    assert.equal(db?.target, "launched");
    assert.deepEqual(
      holds.map(({ unit, target, by, why }) => [unit, target, by, why]),
      [
        ["db.service", "loaded", "ann@lap", "disk is replaced"],
        ["web@4.service", "inactive", "ann@lap", undefined],
      ],
    );
    assert.equal(units.find(({ name }) => name === "byhand.service")?.source, "submitted");
    assert.equal(units.find(({ name }) => name === "web@.service")?.template, true);
  });

  test("has no texts of units and no addresses", () => {
    const text = JSON.stringify(stateOf(heldPicture()));
    for (const secret of ["ExecStart", "MemoryMax", "10.79.0", "Ann Example", "boot-1"])
      assert.ok(!text.includes(secret), secret);
  });

  test("what placement is told in its own words is exported so", () => {
    const picture = samplePicture();
    const placing = picture.placing;
    assert.ok(placing);
    const demand = [{ key: "AllowSubmit", values: ["yes"] }];
    const wanted = placing.wanted.map((unit) => ({ ...unit, options: { ...unit.options, metadata: demand } }));
    const machines = placing.machines.map((machine) => ({
      ...machine,
      memoryBytes: 5,
      cordoned: true as const,
      rests: 2,
    }));
    const state = stateOf({ ...picture, placing: { ...placing, wanted, machines } });
    assert.deepEqual(state.units.find(({ name }) => name === "db.service")?.options.metadata, demand);
    assert.deepEqual(
      state.machines.filter(({ cordoned, memoryBytes, rests }) => cordoned === true && memoryBytes === 5 && rests === 2)
        .length,
      machines.length,
    );
  });

  test("of the commit that the cluster runs the plan is no change", () => {
    const picture = heldPicture();
    const { units, templates } = picture.desired!;
    // The commit itself says what the holds overrule
    const declared = [...units.values()].flatMap((unit) =>
      unit.source === "submitted"
        ? []
        : [[unit.name, { ...unit, target: picture.desired!.held.get(unit.name)?.declared ?? unit.target }] as const],
    );
    const comparison = compare(stateOf(picture), { units: new Map(declared), templates });
    const decided = {
      before: schedule(comparison.before.cluster),
      after: schedule(comparison.after.cluster),
    };
    assert.deepEqual(planChange(comparison, decided).units, []);
    assert.deepEqual(comparison.before.cluster.wanted, comparison.after.cluster.wanted);
  });

  for (const [what, picture, code] of [
    ["an old picture", { ...samplePicture(), stale: true as const }, "registry-unreachable"],
    ["without the commit", { ...samplePicture(), desired: undefined, placing: undefined }, "commit-missing"],
  ] as const)
    test(`${what} is no state`, () => {
      const checked = reportState(picture, 0);
      assert.deepEqual(checked.ok ? [] : checked.problems.map((problem) => problem.code), [code]);
    });
});

const broken: readonly (readonly [name: string, text: string, code: string, message: RegExp])[] = [
  ["no JSON", "{", "state-json", /^Cannot read "s\.json" as JSON$/],
  ["something else", "[]", "state-shape", /^Cannot take "s\.json" for the state of a cluster$/],
  ["another version", '{"version": 9}', "state-version", /^Cannot read version 9 of a state in "s\.json"$/],
  ["half of it", '{"version": 1, "atMs": 1, "machines": [], "units": [], "holds": []}', "state-shape", /"unknown"/],
  [
    "a name that is a path",
    '{"version": 1, "atMs": 1, "machines": [], "units": [], "holds": [], "unknown": ["../a.service"]}',
    "state-shape",
    /unknown\[0\]/,
  ],
];
suite("a state that cannot be read", () => {
  for (const [name, text, code, message] of broken)
    test(name, () => {
      const checked = readExportedState(text, "s.json");
      assert.ok(!checked.ok);
      assert.equal(checked.problems[0]?.code, code);
      assert.match(checked.problems[0].message, message);
    });
});
