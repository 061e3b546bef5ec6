// What a machine makes of readings of its own record, which may be older than its claim.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { type EmbeddedRegistry, createEmbeddedRegistry } from "../../../agent/adapters/registry/embedded.ts";
import { Beat } from "../../../agent/loops/beat.ts";
import { Restores } from "../../../agent/loops/restores.ts";
import { Troubles } from "../../../agent/loops/troubles.ts";
import type { Entry } from "../../../agent/ports/registry.ts";
import { encodeMachine, keys } from "../../../agent/text/values.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { sampleMachine } from "../../fakes/fake-cluster.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { idOf, machineLeaseMs } from "./house.ts";

const machine = sampleMachine(idOf("a"));
const key = keys.machine(machine.id);

let store: EmbeddedRegistry;
let clock: FakeClock;
let beat: Beat;
let restores: Restores;
let over: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  clock = new FakeClock();
  store = await createEmbeddedRegistry({ clock });
  restores = new Restores(clock);
  beat = new Beat({
    ...{ machine, registry: store.connect(), disk: new MemoryDisk(), leaseMs: machineLeaseMs },
    ...{ restores, clock, log: new MemoryLog(), troubles: new Troubles() },
  });
  over = new AbortController();
  running = beat.run(over.signal);
  await clock.advance(100);
});
afterEach(async () => {
  over.abort();
  await running;
  await store.close();
});

/** Passes the reading on, and says whether the id was claimed anew. */
async function claimsAnew(record: Entry | undefined, revision: number): Promise<boolean> {
  const before = beat.claim();
  assert.ok(before !== undefined);
  beat.seen(record, revision);
  await clock.advance(100);
  return beat.claim() !== before;
}

async function own(): Promise<Entry> {
  const { entry } = await store.connect().get(key, over.signal);
  assert.ok(entry !== undefined);
  return entry;
}

test("a reading that is older than the claim says nothing of it", async () => {
  const record = await own();
  const before = record.modRevision - 1;
  assert.equal(await claimsAnew(undefined, before), false, "the watch had not heard of the claim yet");
  const earlier = { ...record, createRevision: before, modRevision: before };
  assert.equal(await claimsAnew(earlier, before), false, "nor had it here: this was an earlier process's");
  assert.equal((await own()).modRevision, record.modRevision, "nothing was written");
});

test("the record that was claimed is the claim, however much later it is read", async () => {
  const record = await own();
  assert.equal(await claimsAnew(record, record.modRevision), false);
  assert.equal(await claimsAnew(record, record.modRevision + 100), false);
});

test("a later reading without the record, or with another one, is an occasion to claim it anew", async () => {
  const { modRevision } = await own();
  const registry = store.connect();
  await registry.write({ guards: [], writes: [{ kind: "delete", key }] }, over.signal);
  assert.equal(await claimsAnew(undefined, modRevision + 1), true);
  const again = await own();
  await registry.write({ guards: [], writes: [{ kind: "put", key, value: encodeMachine(machine) }] }, over.signal);
  assert.equal(await claimsAnew(await own(), again.modRevision + 1), true);
});

test("as soon as the registry was found put back no claim stands, until it is made anew", async () => {
  const before = beat.claim();
  assert.ok(before !== undefined);
  restores.found();
  assert.equal(beat.claim(), undefined);
  await clock.advance(100);
  assert.notEqual(beat.claim() ?? before, before);
});
