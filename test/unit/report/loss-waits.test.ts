// Which lost machine a unit waits for, told from one picture.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { MachineId } from "../../../agent/domain/names.ts";
import type { Decision, Manifest, ManifestTarget } from "../../../agent/domain/placement.ts";
import type { ClusterEvent } from "../../../agent/domain/submitted.ts";
import type { Unit } from "../../../agent/domain/unit.ts";
import { lossWaitOf, lossWaitText } from "../../../agent/report/loss-waits.ts";
import {
  emptyPicture,
  sampleIds,
  sampleMachine,
  sampleManifest,
  sampleNowMs,
  sampleStatus,
  sampleUnit,
} from "../../fakes/fake-cluster.ts";

const { n1, n2, gone } = sampleIds;
type Told = Readonly<Record<string, readonly [target: ManifestTarget, fenceMs?: number]>>;

function manifest(machine: MachineId, told: Told): readonly [MachineId, Manifest] {
  const targets = Object.fromEntries(Object.entries(told).map(([unit, [target]]) => [unit, target]));
  const [, { units, ...position }] = sampleManifest(machine, targets);
  const fenced = units.map((entry) => {
    const fenceMs = told[entry.name]?.[1];
    return { ...entry, ...(fenceMs === undefined ? {} : { fenceMs }) };
  });
  return [machine, { ...position, units: fenced }];
}

/** Only n1 is there. */
function picture(
  told: ReadonlyMap<MachineId, Manifest>,
  more: Partial<ClusterPicture> & { readonly units?: readonly Unit[] } = {},
): ClusterPicture {
  const { units = [sampleUnit("db.service")], ...rest } = more;
  const empty = emptyPicture();
  return {
    ...empty,
    machines: new Map([[n1, sampleMachine(n1)]]),
    desired: { ...empty.desired!, units: new Map(units.map((unit) => [unit.name, unit])) },
    manifests: told,
    ...rest,
  };
}

const told = (...all: readonly (readonly [MachineId, Told])[]): ReadonlyMap<MachineId, Manifest> =>
  new Map(all.map(([machine, units]) => manifest(machine, units)));
const lostWith = (units: Told) => told([gone, units], [n1, {}]);
const fenced = { "db.service": ["launched", 4_000] } as const;
const braked: ClusterEvent = { kind: "machines-lost", by: "n1", message: "", atMs: sampleNowMs };
const coming: Decision = { kind: "place", unit: sampleUnit("db.service").name, on: n1, because: "" };
const waitsFor = (given: ClusterPicture, unit = "db.service") => {
  const wait = lossWaitOf(unit, given);
  return wait === undefined ? "nothing" : [wait.machine?.id, wait.until, wait.unit, wait.mostMs];
};
const forDb = [gone, "stopped", "db.service", 4_000];

describe("a unit waits for the lost machine that is to stop it", () => {
  test("once nothing is left that hangs on its lease, a status neither", () => {
    assert.deepEqual(waitsFor(picture(lostWith(fenced))), forDb);
    const statuses = new Map([sampleStatus(gone, { "db.service": {} })]);
    assert.equal(waitsFor(picture(lostWith(fenced), { statuses })), "nothing");
    assert.equal(waitsFor(picture(told([n1, fenced]))), "nothing");
  });

  test("only where that is its to say", () => {
    assert.equal(waitsFor(picture(lostWith({ "db.service": ["launched"] }))), "nothing");
  });

  test("for the slowest of several", () => {
    const slower = { "db.service": ["launched", 9_000] } as const;
    for (const both of [told([gone, fenced], [n2, slower]), told([n2, slower], [gone, fenced])]) {
      assert.deepEqual(waitsFor(picture(both)), [n2, "stopped", "db.service", 9_000]);
    }
  });

  test("not once another machine is told of it", () => {
    assert.equal(waitsFor(picture(told([gone, fenced], [n1, { "db.service": ["launched"] }]))), "nothing");
    assert.deepEqual(waitsFor(picture(told([gone, fenced], [n1, { "db.service": ["released"] }]))), forDb);
  });

  test("also where it was to let go of it and was not seen to; not if no machine takes the unit", () => {
    const released = lostWith({ "db.service": ["released", 4_000] });
    assert.deepEqual(waitsFor(picture(released, { decisions: [coming] })), forDb);
    const waiting: Decision = { kind: "wait", unit: coming.unit, refusals: [] };
    assert.equal(waitsFor(picture(released, { decisions: [waiting] })), "nothing");
    assert.equal(waitsFor(picture(lostWith({}), { decisions: [coming] })), "nothing");
  });

  test("with all that follow it, near or far", () => {
    const follows = (name: string, peer: string): Unit =>
      sampleUnit(name, { options: { machineOf: [sampleUnit(peer).name] } });
    const units = [
      sampleUnit("db.service"),
      follows("app.service", "db.service"),
      follows("log.service", "app.service"),
      // Two that follow each other
      follows("x.service", "y.service"),
      follows("y.service", "x.service"),
    ];
    const all = Object.fromEntries(units.map(({ name }) => [name, ["launched"] as const]));
    const given = picture(lostWith({ ...all, ...fenced }), { units });
    assert.deepEqual(waitsFor(given, "app.service"), forDb);
    assert.deepEqual(waitsFor(given, "log.service"), forDb);
    assert.equal(waitsFor(given, "x.service"), "nothing");
    const released = { ...all, "db.service": ["released", 4_000] } as const;
    assert.deepEqual(waitsFor(picture(told([gone, released], [n1, {}]), { units }), "app.service"), forDb);
    const moved = told([gone, released], [n1, { "db.service": ["launched", 4_000] }]);
    assert.equal(waitsFor(picture(moved, { units }), "app.service"), "nothing");
  });

  test("only if it is to run, and is known", () => {
    const inactive = sampleUnit("db.service", { target: "inactive" });
    assert.equal(waitsFor(picture(lostWith(fenced), { units: [inactive] })), "nothing");
    assert.equal(waitsFor(picture(lostWith(fenced), { units: [] })), "nothing");
    assert.equal(waitsFor(picture(lostWith(fenced), { desired: undefined })), "nothing");
  });
});

test("a unit of a machine that is lost with many waits for it to return, whatever it does when it is cut off", () => {
  for (const units of [fenced, { "db.service": ["launched"] }] as const) {
    const given = picture(lostWith(units), { events: [braked] });
    assert.deepEqual(waitsFor(given), [gone, "returned", undefined, undefined]);
    const over = picture(lostWith(units), { events: [braked, { ...braked, kind: "machines-returned" }] });
    assert.notDeepEqual(waitsFor(over), waitsFor(given));
  }
  assert.equal(waitsFor(picture(told([n1, fenced]), { events: [braked] })), "nothing");
  assert.equal(waitsFor(picture(told([gone, fenced], [n1, fenced]), { events: [braked] })), "nothing");
  const everywhere = sampleUnit("db.service", { options: { global: true } });
  assert.equal(waitsFor(picture(lostWith(fenced), { events: [braked], units: [everywhere] })), "nothing");
});

test("a unit that has had no machine waits for those that nobody has heard of, and so does what follows it", () => {
  const options = { machineOf: [sampleUnit("db.service").name] };
  const db = { ...sampleUnit("db.service"), fence: { stepMs: 4_000, stopMs: 4_000 } };
  const units = [db, sampleUnit("log.service", { options }), sampleUnit("web.service")];
  const decisions = units.map(({ name }): Decision => ({ kind: "place", unit: name, on: n1, because: "" }));
  const waits = (unit: string, more: Partial<ClusterPicture> = {}, given = told([n1, {}])): unknown =>
    waitsFor(picture(given, { units, decisions, ...more }), unit);
  const unheard = [undefined, "heard", "db.service", undefined];
  assert.deepEqual(waits("db.service"), unheard);
  assert.deepEqual(waits("log.service"), unheard);
  assert.equal(waits("web.service"), "nothing");
  // It is handed over, or already told
  assert.equal(waits("db.service", {}, told([n1, { "db.service": ["released", 4_000] }])), "nothing");
  assert.equal(waits("log.service", {}, told([n1, { "db.service": ["launched", 4_000] }])), "nothing");
  assert.equal(waits("db.service", { statuses: new Map([sampleStatus(n1, { "db.service": {} })]) }), "nothing");
  assert.equal(waits("db.service", { decisions: [] }), "nothing");
  const text = (unit: string): string =>
    lossWaitText({ until: "heard", unit }, { name: "db.service", refer: ({ id }) => id });
  assert.match(
    text("db.service"),
    /^it waits until machines .* must have stopped it by themselves \(OnPartition=stop\)$/,
  );
  assert.match(text("other.service"), / must have stopped other\.service, which it follows, by themselves/);
});

test("the time is said in whole seconds, never less than it is", () => {
  const machine = { id: gone, ip: "", hostname: "", alive: false };
  const text = (mostMs: number): string =>
    lossWaitText(
      { machine, until: "stopped", unit: "a.service", mostMs },
      { name: "a.service", refer: ({ id }) => id },
    );
  assert.match(text(1_000), /; no longer than 1s after the leader counts it as lost$/);
  assert.match(text(1_001), /; no longer than 2s after/);
  assert.match(text(3_600_000), /; no longer than 1h after/);
});
