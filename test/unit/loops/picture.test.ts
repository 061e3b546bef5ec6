// The registry's entries as values: read once for each value, and never an old one for a new one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClusterEvent, isBrakeOn } from "../../../agent/domain/submitted.ts";
import { PictureReader } from "../../../agent/loops/picture.ts";
import type { Entry } from "../../../agent/ports/registry.ts";
import { encodeEvent, encodeMachine, encodeMachineSettings, encodeManifest, keys } from "../../../agent/text/values.ts";
import { idOf } from "./house.ts";

const a = idOf("a");
const by = "ann@desk";

function entry(key: string, value: string, modRevision = 1): [string, Entry] {
  return [key, { key, value, createRevision: 1, modRevision }];
}

const machine = encodeMachine({
  id: a,
  nonce: "0",
  hostname: "host-a",
  publicIp: "",
  metadata: { disk: "hdd" },
  cpus: 1,
  memoryBytes: 1,
  mayLead: true,
  version: "1",
});
const settings = encodeMachineSettings({ machine: a, metadata: { disk: "ssd" }, by, atMs: 1 });
const manifest = (generation: number): string => encodeManifest({ machine: a, epoch: 1, generation, units: [] });

test("whatever else changes, what has not changed is the same object: also a machine whose metadata was changed", () => {
  const reader = new PictureReader();
  const there = [
    entry(keys.machine(a), machine),
    entry(keys.settingsOf(a), settings),
    entry(keys.manifest(a), manifest(1)),
  ];
  const first = reader.read(new Map(there));
  const [laidOver, told] = [first.machines.get(a), first.manifests.get(a)];
  assert.deepEqual(laidOver?.metadata, { disk: "ssd" });
  const next = reader.read(new Map([...there, entry("holds/web.service", "{")]));
  assert.equal(next.machines.get(a), laidOver);
  assert.equal(next.manifests.get(a), told);
});

test("a machine is another when its settings are, or when it says something else itself", () => {
  const reader = new PictureReader();
  const read = (own: string, changes: string, revision: number): unknown =>
    reader
      .read(new Map([entry(keys.machine(a), own, revision), entry(keys.settingsOf(a), changes, revision)]))
      .machines.get(a)?.metadata;
  assert.deepEqual(read(machine, settings, 1), { disk: "ssd" });
  assert.deepEqual(read(machine, settings.replace("ssd", "nvme"), 2), { disk: "nvme" });
  assert.deepEqual(read(machine.replace("hdd", "x").replace("disk", "rack"), settings, 3), { rack: "x", disk: "ssd" });
});

for (const changed of [undefined, new Set([keys.manifest(a)])]) {
  test(`a store that went back may have another value at the same revision: it is read ${changed === undefined ? "anew" : "where it was named"}`, () => {
    const reader = new PictureReader();
    reader.read(new Map([entry(keys.manifest(a), manifest(1), 7)]));
    const { manifests } = reader.read(new Map([entry(keys.manifest(a), manifest(2), 7)]), changed);
    assert.equal(manifests.get(a)?.generation, 2);
  });
}

test("events are in the order in which they were told: whoever told later may have a clock that is behind", () => {
  const lost: ClusterEvent = { kind: "machines-lost", message: "2 of 3", by, atMs: 9_000 };
  const returned: ClusterEvent = { kind: "machines-returned", message: "all are back", by, atMs: 1_000 };
  const told = [lost, returned].map((event, index): [string, Entry] => {
    const key = keys.event(event.atMs, "nonce");
    return [key, { key, value: encodeEvent(event), createRevision: index + 1, modRevision: index + 1 }];
  });
  const { events } = new PictureReader().read(new Map(told));
  assert.deepEqual(events, [lost, returned]);
  assert.equal(isBrakeOn(events), false);
});
