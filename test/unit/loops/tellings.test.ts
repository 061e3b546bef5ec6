// What the engine leaves word of: many machines at once are told in few events.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MachineId, UnitHash, UnitName } from "../../../agent/domain/names.ts";
import type { Manifest, ManifestEntry } from "../../../agent/domain/placement.ts";
import { maxEventsTogether } from "../../../agent/domain/submitted.ts";
import type { TidyBatch } from "../../../agent/loops/housekeeping.ts";
import { PictureReader } from "../../../agent/loops/picture.ts";
import { tellings } from "../../../agent/loops/tellings.ts";
import { maxTransactionOps, maxValueBytes } from "../../../agent/ports/registry.ts";

const unit: ManifestEntry = {
  name: "web.service" as UnitName,
  source: "submitted",
  hash: "0".repeat(64) as UnitHash,
  target: "launched",
};
const idOf = (number: number): MachineId => String(number).padStart(32, "0") as MachineId;

function messages(count: number, changes: { readonly before?: true; readonly now?: true }): readonly string[] {
  const manifests = Array.from({ length: count }, (_, number): Manifest => ({
    machine: idOf(number),
    epoch: 1,
    generation: 1,
    units: number === 0 ? [unit] : [],
  }));
  const as = (givenUp: true | undefined): readonly Manifest[] =>
    manifests.map((each) => (givenUp === undefined ? each : { ...each, givenUp }));
  const picture = {
    ...new PictureReader().read(new Map(), undefined),
    manifests: new Map(as(changes.before).map((each) => [each.machine, each])),
  };
  const outcome = { displaced: [], moved: [], stuck: [], newlyWaiting: [], waiting: 0, touched: [] };
  const batches = tellings(
    { picture, writes: as(changes.now), outcome, ended: [], nameOf: (id) => `host-${Number(id)}` },
    { by: "host-a", nowMs: 1, nonce: "1-1" },
  );
  return batches.flatMap(({ said }) => said.map(({ message }) => message));
}

test("machines that are given up are named with what they had, one by one up to a bound", () => {
  assert.deepEqual(messages(2, { now: true }), [
    "host-0 is lost; it had web.service",
    "host-1 is lost; it had no units",
  ]);
  const many = messages(maxEventsTogether + 3, { now: true });
  assert.equal(many.length, maxEventsTogether + 1);
  assert.equal(many.at(-1), "3 more machines are lost, or back");
});

test("those that are back are named, and those of which nothing is new are not", () => {
  assert.deepEqual(messages(1, { before: true }), ["host-0 is back"]);
  assert.deepEqual(messages(1, { before: true, now: true }), []);
  assert.deepEqual(messages(1, {}), []);
});

test("what very many machines give away at once is told whole, in batches that the registry takes", () => {
  const drained = 2 * maxTransactionOps + 1;
  const told = (because: string): readonly TidyBatch[] => {
    const moved = Array.from({ length: drained }, (_, number) => ({
      unit: `u${number}.service` as UnitName,
      from: idOf(number),
      because,
    }));
    return tellings(
      {
        picture: new PictureReader().read(new Map(), undefined),
        writes: [],
        outcome: { displaced: [], moved, stuck: [], newlyWaiting: [], waiting: 0, touched: [] },
        ended: [],
        nameOf: (id) => `host-${Number(id)}`,
      },
      { by: "host-a", nowMs: 1, nonce: "1-1" },
    );
  };
  const batches = told("the machine is drained");
  const sizes = batches.map(({ guards, writes }) => 1 + guards.length + writes.length);
  assert.deepEqual(sizes, [maxTransactionOps, maxTransactionOps, 4], "with the fence");
  assert.equal(new Set(batches.flatMap(({ writes }) => writes.map(({ key }) => key))).size, drained);
  assert.deepEqual(
    batches.flatMap(({ said }) => said.map(({ message }) => message)),
    Array.from({ length: drained }, (_, n) => `u${n}.service leave host-${n}: the machine is drained`),
  );
  for (const { writes } of told("\u0001".repeat(100_000))) {
    assert.ok(Buffer.byteLength(JSON.stringify(writes)) < maxValueBytes);
  }
});
