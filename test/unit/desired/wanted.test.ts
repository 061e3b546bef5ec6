// What the cluster is to run, from its three sources: the commit, what people submitted, holds.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createWantedReader } from "../../../agent/desired/desired.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import type { Hold, SubmittedUnit } from "../../../agent/domain/submitted.ts";
import type { DesiredState, TargetState } from "../../../agent/domain/unit.ts";
import { unitHash } from "../../../agent/text/hash.ts";
import { sampleCommit, sampleUnit } from "../../fakes/fake-cluster.ts";

const service = "[Service]\nExecStart=/bin/true\n";

function submission(name: string, more: Partial<SubmittedUnit> = {}): [UnitName, SubmittedUnit] {
  const unit = { text: service, dropIns: [], target: "launched" as const, by: "ann", atMs: 1, ...more };
  return [name as UnitName, { ...unit, name: name as UnitName }];
}

function hold(name: string, target: TargetState): [UnitName, Hold] {
  return [name as UnitName, { unit: name as UnitName, target, by: "ann", atMs: 1 }];
}

function commitOf(...names: readonly string[]): DesiredState {
  const all = names.map((name) => sampleUnit(name));
  const isTemplate = (name: string): boolean => name.includes("@.");
  const mapOf = (template: boolean) =>
    new Map(all.filter(({ name }) => isTemplate(name) === template).map((unit) => [unit.name, unit]));
  return { commit: sampleCommit, units: mapOf(false), templates: mapOf(true), warnings: [] };
}

interface Given {
  readonly desired?: DesiredState;
  readonly submitted?: readonly [UnitName, SubmittedUnit][];
  readonly holds?: readonly [UnitName, Hold][];
  readonly unreadable?: readonly string[];
}

function wanted({ desired, submitted = [], holds = [], unreadable = [] }: Given) {
  return createWantedReader().read({
    desired,
    submitted: new Map(submitted),
    holds: new Map(holds),
    unreadable: new Set(unreadable as UnitName[]),
  });
}

/** `NAME SOURCE TARGET` of each, in order. */
function lines(given: Given): readonly string[] {
  return [...wanted(given).units.values()].map(({ name, source, target }) => `${name} ${source} ${target}`);
}

describe("wanted", () => {
  const cases: readonly (Given & { readonly name: string; readonly expect: readonly string[] })[] = [
    { name: "nothing at all", expect: [] },
    { name: "a commit alone", desired: commitOf("a.service"), expect: ["a.service git launched"] },
    {
      name: "both, in name order",
      desired: commitOf("b.service"),
      submitted: [submission("c.service"), submission("a.service", { target: "loaded" })],
      expect: ["a.service submitted loaded", "b.service git launched", "c.service submitted launched"],
    },
    {
      name: "of two of one name the repository's, also of a template's",
      desired: commitOf("a.service", "web@.service"),
      submitted: [submission("a.service", { target: "inactive" }), submission("web@.service")],
      expect: ["a.service git launched"],
    },
    {
      name: "a hold overrules, where there is something to overrule",
      desired: commitOf("a.service", "b.service"),
      holds: [hold("a.service", "loaded"), hold("gone.service", "loaded"), hold("b.service", "launched")],
      expect: ["a.service git loaded", "b.service git launched"],
    },
    {
      name: "a hold says nothing of what was submitted",
      submitted: [submission("a.service")],
      holds: [hold("a.service", "inactive")],
      expect: ["a.service submitted launched"],
    },
  ];
  for (const { name, expect, ...given } of cases) test(name, () => assert.deepEqual(lines(given), expect));

  test("a hold keeps what the repository says beside it", () => {
    const { held } = wanted({ desired: commitOf("a.service"), holds: [hold("a.service", "inactive")] });
    assert.equal(held.get("a.service" as UnitName)?.declared, "launched");
  });

  test("a submitted unit is read as one of the repository: options, drop-ins, hash; a template is never run", () => {
    const dropIns = [{ name: "10-x.conf", text: "[X-Fleet]\nConflicts=b.service\n" }];
    const { units, templates } = wanted({
      submitted: [submission("a@1.service", { dropIns }), submission("a@.service", { target: "inactive" })],
    });
    const unit = units.get("a@1.service" as UnitName);
    assert.deepEqual(unit?.options.conflicts, ["b.service"]);
    assert.equal(unit.hash, unitHash(service, dropIns));
    assert.equal(unit.file, "");
    assert.equal(templates.get("a@.service" as UnitName)?.target, "inactive");
  });

  test("what cannot be read is unknown, and no other unit is", () => {
    const { units, unknown } = wanted({
      submitted: [submission("bad.service", { text: "no section" }), submission("good.service")],
      unreadable: ["worse.service"],
    });
    assert.deepEqual([...units.keys()], ["good.service"]);
    assert.deepEqual([...unknown].sort(), ["bad.service", "worse.service"]);
  });

  test("of the same sources the same state is given again; of any other a new one", () => {
    const reader = createWantedReader();
    const desired = commitOf("a.service", "b.service");
    const [held, byHand] = [hold("a.service", "loaded"), submission("c.service")];
    const sources = (more: Given = {}) => {
      const { submitted = [byHand], holds = [held], unreadable = [] } = more;
      const unknown = new Set(unreadable as UnitName[]);
      return { desired, ...more, submitted: new Map(submitted), holds: new Map(holds), unreadable: unknown };
    };
    for (const more of [
      { desired: commitOf("a.service", "b.service") },
      { submitted: [] },
      { submitted: [submission("c.service")] },
      { holds: [] },
      { holds: [hold("a.service", "inactive")] },
      { holds: [held, hold("b.service", "loaded")] },
      { unreadable: ["b.service"] },
    ]) {
      const first = reader.read(sources());
      assert.equal(reader.read(sources()), first);
      assert.notEqual(reader.read(sources(more)), first, JSON.stringify(Object.keys(more)));
    }
  });

  test("with nothing beside git the commit's own map is given on: it is not copied", () => {
    const desired = commitOf("a.service", "b.service");
    assert.equal(wanted({ desired }).units, desired.units);
  });
});
