// The embedded registry across restarts and bad disks, and its connections when they are cut or frozen.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createEmbeddedRegistry } from "../../../agent/adapters/registry/embedded.ts";
import { damagedStoreFile, storeFile } from "../../../agent/adapters/registry/store-file.ts";
import { keptRevisions } from "../../../agent/adapters/registry/store.ts";
import { explainError } from "../../../agent/domain/problem.ts";
import type { LeaseId, Registry, WatchBatch } from "../../../agent/ports/registry.ts";
import { sha256 } from "../../../agent/text/digest.ts";
import { rejectsWith } from "../../contract/registry.ts";
import { FakeClock, settled } from "../../fakes/fake-clock.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";

const never = new AbortController().signal;

describe("embedded registry on disk", () => {
  test("keys without lease outlive a restart, with their revisions; leased ones do not", async () => {
    const [clock, disk] = [new FakeClock(), new MemoryDisk()];
    const before = await createEmbeddedRegistry({ clock, disk });
    const one = before.connect();
    await put(one, "a", "1");
    await put(one, "a", "2");
    const { id } = await one.grantLease(10_000);
    await put(one, "leased", "x", id);
    await put(one, "gone", "x");
    await put(one, "gone", "y", id); // now under the lease: no longer durable
    const { entries, revision } = await one.read("");
    await before.close();
    const after = await createEmbeddedRegistry({ clock, disk });
    const two = after.connect();
    const snapshot = await two.read("");
    assert.deepEqual(
      snapshot.entries,
      entries.filter((entry) => entry.lease === undefined),
    );
    assert.ok(snapshot.revision > revision, "revisions rise across restarts");
    await rejectsWith("watch-compacted", two.watch("", revision, never)[Symbol.asyncIterator]().next());
    await rejectsWith("lease-lost", two.renewLease(id));
    await after.close();
  });

  test("revisions given out under leases alone are not given out again", async () => {
    const [clock, disk] = [new FakeClock(), new MemoryDisk()];
    let last = 0;
    for (let round = 0; round < 2; round++) {
      const store = await createEmbeddedRegistry({ clock, disk });
      const client = store.connect();
      const { id } = await client.grantLease(60_000);
      for (let index = 0; index < 12_000; index++) {
        const { revision } = await put(client, "leader", String(index), id);
        if (revision <= last) assert.fail(`Revision ${revision} after ${last}`);
        last = revision;
      }
      // No close: the process was killed.
    }
    assert.ok(disk.writes <= 4, `${disk.writes} writes for 24,000 changes of a leased key`);
  });

  test("a store begun anew has higher revisions than the one that was removed", async () => {
    const [clock, disk] = [new FakeClock(), new MemoryDisk()];
    const first = await createEmbeddedRegistry({ clock, disk });
    const { revision } = await put(first.connect(), "a", "1");
    await first.close();
    disk.files.clear();
    clock.jump(3_600_000);
    const second = await createEmbeddedRegistry({ clock, disk });
    assert.ok((await put(second.connect(), "a", "1")).revision > revision);
    await second.close();
  });

  test("writes made together share one save, and are answered after it", async () => {
    const [clock, disk] = [new FakeClock(), new MemoryDisk()];
    const store = await createEmbeddedRegistry({ clock, disk });
    const client = store.connect();
    let open: () => void = () => undefined;
    disk.gate = new Promise((resolve) => (open = resolve));
    const writes = Array.from({ length: 50 }, (_, index) => put(client, `k${index}`, ""));
    await settled();
    assert.deepEqual((await client.read("")).entries, [], "nothing is seen before it is durable");
    open();
    await Promise.all(writes);
    assert.equal(disk.writes, 1);
    assert.equal((await client.read("")).entries.length, 50);
    await store.close();
  });

  test("on a full disk writes reject and leave no trace; reads go on; later it works again", async () => {
    const [clock, disk] = [new FakeClock(), new MemoryDisk()];
    const store = await createEmbeddedRegistry({ clock, disk });
    const client = store.connect();
    const { revision } = await put(client, "a", "1");
    disk.isFull = true;
    const problem = await rejectsWith("registry-unreachable", put(client, "a", "2"));
    assert.match(explainError(problem), /^Cannot write registry key "a": Cannot write file/);
    assert.equal((await client.get("a")).entry?.value, "1");
    assert.equal((await client.get("a")).revision, revision);
    disk.isFull = false;
    await put(client, "a", "3");
    await store.close();
    const again = await createEmbeddedRegistry({ clock, disk });
    assert.equal((await again.connect().get("a")).entry?.value, "3");
    await again.close();
  });

  const damages: readonly { readonly name: string; readonly damage: (text: string) => string }[] = [
    { name: "cut short", damage: (text) => text.slice(0, -10) },
    { name: "empty", damage: () => "" },
    { name: "one bit changed", damage: (text) => text.replace("keep me", "keep mf") },
    { name: "not ours", damage: () => "[]" },
    { name: "a right checksum over something else", damage: () => `flotilla-registry-1 ${sha256("{}")}\n{}\n` },
    { name: "a right checksum over no JSON", damage: () => `flotilla-registry-1 ${sha256("")}\n` },
    { name: "zeroes, as after a power loss", damage: (text) => "\0".repeat(text.length) },
  ];
  for (const { name, damage } of damages) {
    test(`a damaged file (${name}) is set aside and refused until somebody decides, never taken for empty`, async () => {
      const [clock, disk] = [new FakeClock(), new MemoryDisk()];
      const store = await createEmbeddedRegistry({ clock, disk });
      await put(store.connect(), "a", "keep me");
      await store.close();
      const good = disk.files.get(storeFile)!;
      const bad = damage(good);
      disk.files.set(storeFile, bad);
      for (let round = 0; round < 2; round++) {
        const problem = await rejectsWith("registry-damaged", createEmbeddedRegistry({ clock, disk }));
        assert.match(String(problem.hint), /registry\.db\.damaged/);
      }
      assert.equal(disk.files.get(damagedStoreFile), bad);
      disk.files.set(storeFile, good); // a good copy put back
      const restored = await createEmbeddedRegistry({ clock, disk });
      assert.equal((await restored.connect().get("a")).entry?.value, "keep me");
      await restored.close();
      disk.files.delete(storeFile);
      disk.files.delete(damagedStoreFile);
      const empty = await createEmbeddedRegistry({ clock, disk });
      assert.deepEqual((await empty.connect().read("")).entries, []);
      await empty.close();
    });
  }

  test("expired leases end when the disk has room again", async () => {
    const [clock, disk] = [new FakeClock(), new MemoryDisk()];
    const store = await createEmbeddedRegistry({ clock, disk });
    const client = store.connect();
    await put(client, "a", "1");
    const { id } = await client.grantLease(5_000);
    await put(client, "a", "2", id);
    // Ending the lease is no durable change, but the next one is; both fail together.
    disk.isFull = true;
    const failing = rejectsWith("registry-unreachable", put(client, "b", "1"));
    await failing;
    disk.isFull = false;
    await clock.advance(6_000);
    assert.equal((await client.get("a")).entry, undefined);
    await store.close();
    assert.equal(clock.sleeping, 0, "nothing is left behind");
  });
});

describe("embedded registry, history and queues", () => {
  test("history is bounded, and who is too far behind is told", async () => {
    const clock = new FakeClock();
    const store = await createEmbeddedRegistry({ clock });
    const client = store.connect();
    const first = (await put(client, "a", "0")).revision;
    for (let written = 0; written < keptRevisions; written += 500) {
      await Promise.all(Array.from({ length: 500 }, () => put(client, "a", "")));
    }
    for await (const batch of client.watch("", first + 1, never)) {
      assert.ok(batch.changes.length > 0, "all that is kept can be had");
      break;
    }
    await put(client, "a", "last");
    await rejectsWith("watch-compacted", client.watch("", first, never)[Symbol.asyncIterator]().next());
    await store.close();
  });

  test("a watch of something quiet says from time to time how far it is", async () => {
    const clock = new FakeClock();
    const store = await createEmbeddedRegistry({ clock });
    const client = store.connect();
    const from = (await client.get("a")).revision + 1;
    const watch: AsyncIterator<WatchBatch, unknown> = client.watch("quiet/", from, never)[Symbol.asyncIterator]();
    await watch.next();
    const next = watch.next();
    for (let index = 0; index < 6_000; index++) await put(client, "busy", String(index));
    const batch = batchOf(await next);
    assert.deepEqual(batch.changes, []);
    assert.ok(batch.revision - from >= 4_999, String(batch.revision - from));
    await store.close();
  });
});

describe("embedded registry, connections", () => {
  test("cut off, its calls and watches fail; others go on; restored, it works again", async () => {
    const store = await createEmbeddedRegistry({ clock: new FakeClock() });
    const [one, two] = [store.connect(), store.connect()];
    const { revision } = await put(one, "a", "1");
    const watch = one.watch("", revision + 1, never)[Symbol.asyncIterator]();
    await watch.next();
    const broken = rejectsWith("registry-unreachable", watch.next());
    one.cutOff();
    await broken;
    await rejectsWith("registry-unreachable", one.get("a"));
    await rejectsWith("registry-unreachable", one.watch("", revision, never)[Symbol.asyncIterator]().next());
    await put(two, "a", "2");
    one.restore();
    assert.equal((await one.get("a")).entry?.value, "2");
    await store.close();
  });

  for (const late of [false, true]) {
    test(`frozen, calls reject after the deadline; what was sent is ${late ? "carried out late" : "lost"}`, async () => {
      const clock = new FakeClock();
      const store = await createEmbeddedRegistry({ clock, requestTimeoutMs: 2_000 });
      const [one, two] = [store.connect(), store.connect()];
      const { revision } = await put(one, "a", "1");
      const watch: AsyncIterator<WatchBatch, unknown> = one.watch("", revision + 1, never)[Symbol.asyncIterator]();
      await watch.next();
      one.freeze({ late });
      const silent = watch.next();
      const failing = rejectsWith("registry-unreachable", put(one, "a", "from the ice"));
      await put(two, "b", "2");
      await clock.advance(2_000);
      await failing;
      assert.equal((await two.get("a")).entry?.value, "1");
      one.restore();
      const { changes } = batchOf(await silent);
      assert.ok(
        changes.some((change) => change.kind === "put" && change.entry.key === "b"),
        "the watch goes on where it was",
      );
      await settled();
      assert.equal((await two.get("a")).entry?.value, late ? "from the ice" : "1");
      await store.close();
      assert.equal(clock.sleeping, 0, "nothing is left behind");
    });
  }

  test("a thaw within the deadline answers as if nothing had been", async () => {
    const clock = new FakeClock();
    const store = await createEmbeddedRegistry({ clock });
    const client = store.connect();
    client.freeze();
    const slow = put(client, "a", "1");
    await clock.advance(1_000);
    client.restore();
    assert.equal((await slow).applied, true);
    await store.close();
  });
});

function batchOf(result: IteratorResult<WatchBatch, unknown>): WatchBatch {
  if (result.done === true) throw new Error("The watch ended by itself");
  return result.value;
}

function put(client: Registry, key: string, value: string, lease?: LeaseId) {
  return client.write({
    guards: [],
    writes: [{ kind: "put", key, value, ...(lease === undefined ? {} : { lease }) }],
  });
}
