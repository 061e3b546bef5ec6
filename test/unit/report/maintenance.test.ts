// What is shown of machines that operators keep units off.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { Drain, MachineSettings } from "../../../agent/domain/machine.ts";
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { Decision, Refusal } from "../../../agent/domain/placement.ts";
import { reportMachineExplanation } from "../../../agent/report/explanation.ts";
import {
  answers,
  checkListing,
  clusterText,
  listingText,
  listings,
  reportCluster,
  reportMachine,
  reportMachines,
} from "../../../agent/report/report.ts";
import { sampleIds, sampleManifest, sampleNowMs, samplePicture } from "../../fakes/fake-cluster.ts";

const { n1, n2, n3, gone } = sampleIds;
const moving: Drain = { id: "d1", by: "ann@desk", sinceMs: sampleNowMs - 60_000, state: "moving" };
const refusals: readonly Refusal[] = [{ rule: "metadata", machines: 2, example: "needs role=web" }];
const web: Decision = { kind: "keep", unit: "web@1.service" as UnitName, on: n3, refusals };

function settingsOf(machine: MachineId, drain?: Drain): readonly [MachineId, MachineSettings] {
  const by = "ann@desk";
  return [
    machine,
    { machine, metadata: {}, cordoned: true, ...(drain === undefined ? {} : { drain }), by, atMs: sampleNowMs },
  ];
}

function maintained(...all: readonly (readonly [MachineId, MachineSettings])[]): ClusterPicture {
  const picture = samplePicture();
  return { ...picture, settings: new Map(all), decisions: [...picture.decisions, web] };
}

function listing(picture: ClusterPicture, fields?: string): readonly string[] {
  const shape = checkListing(listings.machines.fields, { fields, sort: undefined });
  assert.ok(shape.ok);
  const more = { full: false, legend: true, colour: false, nowMs: sampleNowMs };
  const text = listingText(listings.machines.fields, { shape: shape.value, rows: reportMachines(picture), ...more });
  return text.trimEnd().split("\n");
}

const stopped: Drain = { ...moving, state: "stopped", because: "no machine takes what is left" };

test("a cluster without maintenance looks as it did", () => {
  assert.doesNotMatch(listing(samplePicture())[0] ?? "", /STATE/);
  assert.ok(reportMachines(samplePicture()).every((each) => !("cordoned" in each) && !("drain" in each)));
  assert.equal(reportCluster(samplePicture(), { machine: n1, version: "1" }).machines.cordoned, undefined);
});

test("the listing says which machines are cordoned, and how far drains have come", () => {
  const [head, ...rows] = listing(maintained(settingsOf(n1), settingsOf(n3, moving)));
  assert.match(head ?? "", /STATE$/);
  const state = (id: string): string | undefined =>
    rows.find((row) => row.startsWith(id.slice(0, 8)))?.match(/\t+([^\t]*)$/)?.[1];
  assert.deepEqual([state(n1), state(n2), state(n3)], ["cordoned", "-", "draining, 2 left"]);
  const other = maintained(settingsOf(n1, { ...moving, state: "done" }), settingsOf(n3, stopped));
  assert.deepEqual(listing(other, "state").slice(1).toSorted(), ["-", "drain stopped, 2 left", "drained"]);
});

test("what is left on a machine that is drained: all units but global ones, each with why no other takes it", () => {
  const report = reportMachine(maintained(settingsOf(n3, moving)), n3);
  assert.ok(report.ok);
  assert.deepEqual(report.value.drain, { ...moving, left: 2 });
  assert.deepEqual(report.value.leaving, [
    { unit: "hello.service", refusals: [] },
    { unit: "web@1.service", refusals },
  ]);
  assert.ok(answers.machine(JSON.parse(JSON.stringify(report.value))).ok, "the command understands the agent");
});

test("what is being stopped there is told apart from what stays", () => {
  const picture = maintained(settingsOf(n3, stopped));
  const manifests = new Map([
    ...picture.manifests,
    sampleManifest(n3, { "hello.service": "released", "log.service": "launched", "web@1.service": "launched" }),
  ]);
  const report = reportMachine({ ...picture, manifests }, n3);
  assert.ok(report.ok);
  assert.deepEqual(report.value.leaving, [
    { unit: "hello.service", stopping: true, refusals: [] },
    { unit: "web@1.service", refusals },
  ]);
});

test("a machine that is only cordoned has nothing that leaves it", () => {
  const report = reportMachine(maintained(settingsOf(n3)), n3);
  assert.ok(report.ok);
  assert.deepEqual([report.value.cordoned, report.value.drain, report.value.leaving], [true, undefined, undefined]);
});

test("without the commit it is not known which units are global, and nothing is counted", () => {
  const report = reportMachine({ ...maintained(settingsOf(n3, moving)), desired: undefined }, n3);
  assert.ok(report.ok);
  assert.deepEqual([report.value.drain, report.value.leaving], [moving, undefined]);
});

test("a machine that is not there, and one of which nobody can tell", () => {
  const codes = (picture: ClusterPicture, id: MachineId) =>
    [reportMachine(picture, id), reportMachineExplanation(picture, { id, placement: undefined })].map((report) =>
      report.ok ? undefined : report.problems[0]?.code,
    );
  assert.deepEqual(codes(samplePicture(), gone), ["machine-unknown", "machine-unknown"]);
  for (const id of [gone, n3]) {
    const away = ["registry-unreachable", "registry-unreachable"];
    assert.deepEqual(codes({ ...samplePicture(), stale: true }, id), away, "nothing is known of its drain, either");
  }
});

test("the status names machines that are cordoned, also those that are gone, and why a drain was stopped", () => {
  const picture = maintained(settingsOf(gone), settingsOf(n2, { ...moving, state: "done" }), settingsOf(n3, stopped));
  const text = clusterText(reportCluster(picture, { machine: n1, version: "1" }), {
    ...{ full: false, nowMs: sampleNowMs, colour: false },
  });
  const lines = text.split("\n").map((line) => line.trim());
  assert.ok(lines.includes("cordoned: 0d15ea5e..."), text);
  assert.ok(lines.includes("drained: b40f1753.../10.79.0.12 (n2)"), text);
  assert.ok(lines.includes("drain stopped, 2 left: 59f61aeb.../10.79.0.13 (n3): no machine takes what is left"), text);
});

test("a drain whose machine is no longer cordoned is over", () => {
  const picture = samplePicture();
  const settings: MachineSettings = { machine: n3, metadata: {}, drain: moving, by: "ann@desk", atMs: sampleNowMs };
  const report = reportMachine({ ...picture, settings: new Map([[n3, settings]]) }, n3);
  assert.ok(report.ok);
  assert.deepEqual([report.value.drain, report.value.leaving], [undefined, undefined]);
});

test("a machine that comes and goes is shown as resting, and as cordoned where an operator has said so, too", () => {
  const rests = { losses: 3, untilMs: sampleNowMs + 60_000 };
  const word = { metadata: {}, by: "leader", atMs: sampleNowMs };
  const picture = maintained(
    [n1, { machine: n1, rests, ...word }],
    [n3, { machine: n3, rests, cordoned: true, ...word }],
  );
  const rows = listing(picture);
  const state = (id: string): string | undefined =>
    rows.find((row) => row.startsWith(id.slice(0, 8)))?.match(/\t+([^\t]*)$/)?.[1];
  assert.deepEqual([state(n1), state(n3)], ["resting, lost 3 times", "cordoned"]);
  assert.match(rows[0] ?? "", /STATE$/);
  const alone = listing(maintained([n1, { machine: n1, rests, ...word }]));
  assert.match(alone[0] ?? "", /STATE$/, "one that rests is enough to show the column");
  const detail = reportMachine(picture, n1);
  assert.ok(detail.ok && detail.value.cordoned === undefined && detail.value.rests?.losses === 3);
  const report = reportCluster(picture, { machine: n1, version: "1" });
  assert.deepEqual(
    report.machines.resting?.map(({ machine, rests: rest }) => [machine.id, rest]),
    [[n1, rests]],
  );
  assert.deepEqual(
    report.machines.cordoned?.map(({ machine }) => machine.id),
    [n3],
  );
  assert.ok(answers.cluster(JSON.parse(JSON.stringify(report))).ok);
  const text = clusterText(report, { colour: false, full: false, nowMs: sampleNowMs });
  assert.match(text, /resting, lost 3 times: [0-9a-f]{8}/);
});
