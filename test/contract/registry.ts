// What every registry must do: each sentence of ports/registry.ts as a test. Run against the embedded registry
// (registry.embedded.test.ts) and against a real etcd (test/system/etcd.test.ts).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Problem } from "../../agent/domain/problem.ts";
import {
  type Change,
  type Entry,
  type LeaseId,
  type Registry,
  type WatchBatch,
  type Write,
  maxTransactionBytes,
  maxTransactionOps,
  maxValueBytes,
} from "../../agent/ports/registry.ts";
import { seededRandom } from "../fakes/fake-clock.ts";

export interface RegistryHarness {
  /** Another client of the same store, under the same prefix. */
  connect(): Registry;
  /** Forgets all history up to the present revision. */
  compact(): Promise<void>;
  /** Lets this much time go by for the store. */
  pass(ms: number): Promise<void>;
  /** How many keys count as many: 100,000, unless the store writes all of itself at every change. */
  readonly manyKeys: number;
  /** The shortest lease that the store grants as asked. */
  readonly leaseMs: number;
  close(): Promise<void>;
}

/** Bound on every wait of these tests, in the store's own time. */
const patienceMs = 30_000;

export function registryContract(name: string, start: () => Promise<RegistryHarness>): void {
  describe(`registry contract: ${name}`, { timeout: 180_000 }, () => {
    let harness: RegistryHarness;
    let registry: Registry;
    let folder = 0;
    /** A prefix of each test's own. */
    const fresh = (): string => `t${++folder}/`;

    before(async () => {
      harness = await start();
      registry = harness.connect();
    });
    after(() => harness.close());

    const put = (key: string, value: string, lease?: LeaseId) =>
      registry.write({ guards: [], writes: [{ kind: "put", key, value, ...(lease === undefined ? {} : { lease }) }] });
    const remove = (key: string) => registry.write({ guards: [], writes: [{ kind: "delete", key }] });
    const value = async (key: string) => (await registry.get(key)).entry?.value;
    const until = async (what: string, condition: () => Promise<boolean> | boolean): Promise<void> => {
      for (let waited = 0; !(await condition()); waited += 50) {
        if (waited > patienceMs) throw new Error(`Still not so after ${patienceMs} ms: ${what}`);
        await harness.pass(50);
      }
    };

    describe("keys and revisions", () => {
      test("a key is what was written last, and remembers when it was created", async () => {
        const key = `${fresh()}a`;
        assert.equal((await registry.get(key)).entry, undefined);
        const first = await put(key, "one");
        const second = await put(key, "two");
        assert.ok(first.applied && second.applied);
        assert.ok(second.revision > first.revision);
        const { entry, revision } = await registry.get(key);
        assert.deepEqual(entry, { key, value: "two", createRevision: first.revision, modRevision: second.revision });
        assert.ok(revision >= second.revision);
      });

      test("a key that was deleted and written again is a new one", async () => {
        const key = `${fresh()}a`;
        const first = await put(key, "one");
        assert.ok((await remove(key)).applied);
        assert.equal(await value(key), undefined);
        const again = await put(key, "two");
        const { entry } = await registry.get(key);
        assert.equal(entry?.createRevision, again.revision);
        assert.ok(again.revision > first.revision + 1);
      });

      test("deleting what is not there is applied, and no revision", async () => {
        const before = await put(`${fresh()}a`, "");
        const result = await remove(`${fresh()}none`);
        assert.deepEqual(result, { applied: true, revision: before.revision });
      });

      test("values are kept as they are", async () => {
        const prefix = fresh();
        const values = ["", "\n\t\u0000", "ünï€😀", '{"a":1}', "x".repeat(100_000)];
        for (const [index, each] of values.entries()) await put(`${prefix}${index}`, each);
        const { entries } = await registry.read(prefix);
        assert.deepEqual(
          entries.map((entry) => entry.value),
          values,
        );
      });

      test("all clients see one store", async () => {
        const key = `${fresh()}a`;
        const other = harness.connect();
        await put(key, "x");
        assert.equal((await other.get(key)).entry?.value, "x");
        await other.close();
      });
    });

    describe("guards", () => {
      test("created: 0 means that the key does not exist", async () => {
        const key = `${fresh()}a`;
        const create = (text: string) =>
          registry.write({
            guards: [{ kind: "created", key, revision: 0 }],
            writes: [{ kind: "put", key, value: text }],
          });
        assert.equal((await create("one")).applied, true);
        assert.equal((await create("two")).applied, false);
        assert.equal(await value(key), "one");
      });

      test("created and modified hold for exactly their revision, and all must hold", async () => {
        const prefix = fresh();
        const [leader, target] = [`${prefix}leader`, `${prefix}target`];
        const epoch = (await put(leader, "me")).revision;
        await put(leader, "still me");
        const modified = (await put(target, "0")).revision;
        const attempt = async (created: number, mod: number, text: string): Promise<boolean> => {
          const { applied } = await registry.write({
            guards: [
              { kind: "created", key: leader, revision: created },
              { kind: "modified", key: target, revision: mod },
            ],
            writes: [{ kind: "put", key: target, value: text }],
          });
          return applied;
        };
        assert.equal(await attempt(epoch + 1, modified, "stale leader"), false);
        assert.equal(await attempt(epoch, modified - 1, "stale target"), false);
        assert.equal(await attempt(0, modified, "no leader"), false);
        assert.equal(await value(target), "0");
        assert.equal(await attempt(epoch, modified, "1"), true);
        assert.equal(await attempt(epoch, modified, "2"), false, "the write moved the mod revision on");
        assert.equal(await value(target), "1");
      });

      test("modified: 0 means that the key does not exist", async () => {
        const key = `${fresh()}a`;
        const guards = [{ kind: "modified", key, revision: 0 }] as const;
        assert.equal((await registry.write({ guards, writes: [{ kind: "put", key, value: "1" }] })).applied, true);
        assert.equal((await registry.write({ guards, writes: [{ kind: "put", key, value: "2" }] })).applied, false);
      });

      test("of many that want to create one key, one does", async () => {
        const key = `${fresh()}a`;
        const clients = [registry, harness.connect(), harness.connect()];
        const results = await Promise.all(
          Array.from({ length: 30 }, (_, index) =>
            clients[index % clients.length]!.write({
              guards: [{ kind: "created", key, revision: 0 }],
              writes: [{ kind: "put", key, value: String(index) }],
            }),
          ),
        );
        const winners = results.flatMap((result, index) => (result.applied ? [index] : []));
        assert.equal(winners.length, 1);
        assert.equal(await value(key), String(winners[0]));
        for (const client of clients.slice(1)) await client.close();
      });

      test("a transaction that is not applied writes nothing and moves no revision", async () => {
        const prefix = fresh();
        const had = await put(`${prefix}a`, "1");
        const result = await registry.write({
          guards: [{ kind: "created", key: `${prefix}a`, revision: 0 }],
          writes: [
            { kind: "delete", key: `${prefix}a` },
            { kind: "put", key: `${prefix}b`, value: "2" },
          ],
        });
        assert.deepEqual(result, { applied: false, revision: had.revision });
        assert.deepEqual(
          (await registry.read(prefix)).entries.map((entry) => entry.value),
          ["1"],
        );
      });
    });

    describe("read", () => {
      test("everything under the prefix, nothing beside it, in key order", async () => {
        const prefix = fresh();
        const inside = ["", "!", "A", "a", "a/b", "a@1.service", "b", "~"].map((name) => `${prefix}${name}`);
        const outside = [prefix.slice(0, -1), `${prefix.slice(0, -1)}.`, `${prefix.slice(0, -1)}0`];
        for (const key of [...inside.toReversed(), ...outside]) await put(key, "x");
        assert.deepEqual(
          (await registry.read(prefix)).entries.map((entry) => entry.key),
          inside,
        );
        const all = new Set((await registry.read("")).entries.map((entry) => entry.key));
        for (const key of [...inside, ...outside]) assert.ok(all.has(key), key);
      });

      test("a snapshot and the watch from its next revision make one story", async () => {
        const prefix = fresh();
        await put(`${prefix}a`, "1");
        const { entries, revision } = await registry.read(prefix);
        const last = await put(`${prefix}b`, "2");
        const changes = await collect(registry, { prefix, from: revision + 1, until: last.revision });
        assert.deepEqual(
          [...entries.map((entry) => entry.value), ...changes.map(describeChange)],
          ["1", `put ${prefix}b=2`],
        );
      });

      test("very many keys, complete, while others write", { timeout: 120_000 }, async () => {
        const prefix = fresh();
        const count = harness.manyKeys;
        const from = (await put(`${prefix}x`, "")).revision + 1;
        await writeMany(
          registry,
          Array.from({ length: count }, (_, index) => keyNumber(prefix, index)),
        );
        const stop = new AbortController();
        const writer = writeUntil(registry, `${prefix}w`, stop.signal);
        const snapshot = await registry.read(`${prefix}k`);
        stop.abort();
        await writer;
        assert.equal(snapshot.entries.length, count);
        for (const [index, entry] of snapshot.entries.entries()) {
          if (entry.key !== keyNumber(prefix, index)) assert.fail(`Key ${index} is ${entry.key}`);
        }
        assert.ok(snapshot.entries.every((entry) => entry.modRevision <= snapshot.revision));
        const last = Math.max(...snapshot.entries.slice(-1_000).map((entry) => entry.modRevision));
        const changes = await collect(registry, { prefix: `${prefix}k`, from, until: last });
        assert.equal(new Set(changes.map((change) => (change.kind === "put" ? change.entry.key : ""))).size, count);
        await clear(registry, prefix);
      });

      test("6 MB of values at once, read and watched", async () => {
        const prefix = fresh();
        const from = (await registry.get("none")).revision + 1;
        const text = "v".repeat(900_000);
        let last = 0;
        for (let index = 0; index < 7; index++) last = (await put(`${prefix}${index}`, text)).revision;
        const { entries } = await registry.read(prefix);
        assert.deepEqual(
          entries.map((entry) => entry.value.length),
          Array.from({ length: 7 }, () => text.length),
        );
        const changes = await collect(registry, { prefix, from, until: last });
        assert.equal(changes.length, 7);
        assert.ok(changes.every((change) => change.kind === "put" && change.entry.value === text));
        await clear(registry, prefix);
      });
    });

    describe("limits", () => {
      const puts = (prefix: string, count: number, text = ""): Write[] =>
        Array.from({ length: count }, (_, index) => ({ kind: "put", key: `${prefix}${index}`, value: text }));

      test(`${maxTransactionOps} guards and writes are taken, one more is not`, async () => {
        const prefix = fresh();
        const guards = [{ kind: "created", key: `${prefix}0`, revision: 0 }] as const;
        const full = { guards, writes: puts(prefix, maxTransactionOps - 1) };
        assert.equal((await registry.write(full)).applied, true);
        await rejectsWith("registry-refused", registry.write({ guards, writes: puts(prefix, maxTransactionOps) }));
        assert.equal((await registry.read(prefix)).entries.length, maxTransactionOps - 1);
      });

      test("a value of the greatest size is taken, one byte more is not", async () => {
        const key = `${fresh()}a`;
        await put(key, "x".repeat(maxValueBytes));
        assert.equal((await value(key))?.length, maxValueBytes);
        await rejectsWith("registry-refused", put(key, "x".repeat(maxValueBytes + 1)));
        await rejectsWith("registry-refused", put(key, "ü".repeat(maxValueBytes / 2 + 1)));
        await remove(key);
      });

      test("a transaction of the greatest size is taken, one byte more is not", async () => {
        const prefix = fresh();
        const writes = puts(prefix, 2, "x".repeat(maxTransactionBytes / 2 - prefix.length - 1));
        assert.equal((await registry.write({ guards: [], writes })).applied, true);
        const more: Write[] = [...writes, { kind: "put", key: "a", value: "" }];
        await rejectsWith("registry-refused", registry.write({ guards: [], writes: more }));
        await clear(registry, prefix);
      });

      const badKeys = ["", "a b", "ü", "a\n", "a\u0000", "x".repeat(513)];
      for (const key of badKeys) {
        test(`no such key as ${JSON.stringify(key.slice(0, 20))}`, async () => {
          await rejectsWith("registry-refused", put(key, ""));
          await rejectsWith("registry-refused", registry.get(key));
        });
      }

      test("one key at most once in a transaction", async () => {
        const key = `${fresh()}a`;
        const writes: Write[] = [
          { kind: "put", key, value: "1" },
          { kind: "delete", key },
        ];
        await rejectsWith("registry-refused", registry.write({ guards: [], writes }));
      });
    });

    describe("leases", () => {
      test("a granted lease lasts at least as long as asked, and its keys show it", async () => {
        const lease = await registry.grantLease(harness.leaseMs);
        assert.ok(lease.ttlMs >= harness.leaseMs);
        const key = `${fresh()}a`;
        await put(key, "1", lease.id);
        assert.equal((await registry.get(key)).entry?.lease, lease.id);
        await registry.revokeLease(lease.id);
      });

      test("unrenewed it expires, its keys go in one revision, and a watch says so", async () => {
        const prefix = fresh();
        const { id } = await registry.grantLease(harness.leaseMs);
        const other = await registry.grantLease(harness.leaseMs * 100);
        await put(`${prefix}a`, "1", id);
        const { revision } = await put(`${prefix}b`, "1", id);
        await put(`${prefix}c`, "1", other.id);
        await put(`${prefix}d`, "1", id);
        await put(`${prefix}d`, "kept", undefined); // no longer under the lease
        await until("the keys are gone", async () => (await registry.read(prefix)).entries.length === 2);
        const { entries, revision: now } = await registry.read(prefix);
        assert.deepEqual(
          entries.map((entry) => entry.key),
          [`${prefix}c`, `${prefix}d`],
        );
        const changes = await collect(registry, { prefix, from: revision + 1, until: now });
        const deletes = changes.filter((change) => change.kind === "delete");
        assert.deepEqual(
          deletes.map((change) => change.key),
          [`${prefix}a`, `${prefix}b`],
        );
        assert.equal(new Set(deletes.map((change) => change.revision)).size, 1);
        await rejectsWith("lease-lost", registry.renewLease(id));
        await rejectsWith("lease-lost", put(`${prefix}e`, "1", id));
        assert.equal(await value(`${prefix}e`), undefined);
        await registry.revokeLease(other.id);
      });

      test("renewed it stays, for many times its length", async () => {
        const key = `${fresh()}a`;
        const { id, ttlMs } = await registry.grantLease(harness.leaseMs);
        await put(key, "1", id);
        const { revision } = await registry.get(key);
        for (let each = 0; each < 6; each++) {
          await harness.pass(ttlMs / 3);
          const reached = await registry.renewLease(id);
          assert.ok(reached >= revision && reached <= (await registry.get(key)).revision, `${reached}`);
        }
        assert.equal(await value(key), "1");
        await registry.revokeLease(id);
      });

      test("revoked it takes its keys with it; revoking again resolves", async () => {
        const prefix = fresh();
        const { id } = await registry.grantLease(harness.leaseMs * 100);
        await put(`${prefix}a`, "1", id);
        await registry.revokeLease(id);
        assert.deepEqual((await registry.read(prefix)).entries, []);
        await registry.revokeLease(id);
        await rejectsWith("lease-lost", registry.renewLease(id));
      });

      test("how long it has left is told to anybody, until nothing is", async () => {
        const other = harness.connect();
        const { id, ttlMs } = await registry.grantLease(harness.leaseMs * 100);
        const granted = await other.leaseLeftMs(id);
        assert.ok(granted > ttlMs - 5_000 && granted <= ttlMs, `${granted} ms of ${ttlMs}`);
        await harness.pass(2_500);
        const passed = await other.leaseLeftMs(id);
        assert.ok(passed > ttlMs - 10_000 && passed < ttlMs - 1_500, `${passed} ms of ${ttlMs}, 2.5 s later`);
        await registry.renewLease(id);
        assert.ok((await other.leaseLeftMs(id)) >= passed + 1_000, "a renewal gives it back");
        await registry.revokeLease(id);
        assert.equal(await other.leaseLeftMs(id), 0);
        assert.equal(await other.leaseLeftMs("7587862091234567" as LeaseId), 0, "one that never was");
        await other.close();
      });

      test("another client may renew and revoke it", async () => {
        const key = `${fresh()}a`;
        const other = harness.connect();
        const { id } = await registry.grantLease(harness.leaseMs * 100);
        await put(key, "1", id);
        await other.renewLease(id);
        await other.revokeLease(id);
        assert.equal(await value(key), undefined);
        await other.close();
      });

      test("a lease that never was is lost", async () => {
        await rejectsWith("lease-lost", registry.renewLease("7587862091234567" as LeaseId));
        await registry.revokeLease("7587862091234567" as LeaseId);
      });
    });

    describe("watch", () => {
      test("the first batch comes at once, and says how far it is", async () => {
        const { revision } = await registry.get("none");
        const stop = new AbortController();
        for await (const batch of registry.watch(fresh(), revision + 1, stop.signal)) {
          assert.deepEqual(batch, { revision, changes: [] });
          break;
        }
      });

      test("changes come as they happen, whole revisions, only those under the prefix", async () => {
        const prefix = fresh();
        const from = (await registry.get("none")).revision + 1;
        const stop = new AbortController();
        const watch = registry.watch(prefix, from, stop.signal)[Symbol.asyncIterator]();
        await watch.next();
        await put(`${prefix.slice(0, -1)}x`, "beside");
        const both: Write[] = [
          { kind: "put", key: `${prefix}a`, value: "1" },
          { kind: "put", key: `${prefix}b`, value: "2" },
        ];
        const first = await registry.write({ guards: [], writes: both });
        const got = await nextWithChanges(watch);
        assert.equal(got.revision, first.revision);
        assert.deepEqual(got.changes.map(describeChange).sort(), [`put ${prefix}a=1`, `put ${prefix}b=2`]);
        const second = await remove(`${prefix}a`);
        assert.deepEqual((await nextWithChanges(watch)).changes, [
          { kind: "delete", key: `${prefix}a`, revision: second.revision },
        ]);
        const third = await put(`${prefix}b`, "3");
        assert.deepEqual((await nextWithChanges(watch)).changes, [
          {
            kind: "put",
            entry: { key: `${prefix}b`, value: "3", createRevision: first.revision, modRevision: third.revision },
          },
        ]);
        stop.abort();
        await rejectsWith("aborted", watch.next());
      });

      test("resumed after any batch, nothing is missing and nothing comes twice", async () => {
        const prefix = fresh();
        const from = (await registry.get("none")).revision + 1;
        const total = 300;
        const writing = (async () => {
          let revision = 0;
          for (let index = 0; index < total; index++) revision = (await put(keyNumber(prefix, index), "")).revision;
          return revision;
        })();
        const seen: string[] = [];
        let next = from;
        const follow = async (): Promise<void> => {
          let batches = 0;
          for await (const batch of registry.watch(prefix, next, new AbortController().signal)) {
            seen.push(...batch.changes.map((change) => (change.kind === "put" ? change.entry.key : change.key)));
            next = batch.revision + 1;
            if (++batches === 3 || seen.length >= total) return; // leave in the middle, come back later
          }
        };
        // etcd tells of a change a moment before it counts its revision: whoever is back at once is ahead of it
        for (let ahead = 0; seen.length < total;) {
          await follow().catch((error: unknown) => {
            if (!(error instanceof Problem) || error.code !== "watch-compacted" || ++ahead > 3) throw error;
          });
        }
        assert.deepEqual(
          seen,
          Array.from({ length: total }, (_, index) => keyNumber(prefix, index)),
        );
        assert.equal(next, (await writing) + 1);
      });

      test("replayed, it gives what a snapshot gives", async () => {
        const prefix = fresh();
        const random = seededRandom(7);
        const from = (await registry.get("none")).revision + 1;
        let last = 0;
        for (let round = 0; round < 200; round++) {
          const keys = ["a", "b", "c", "d", "e"].filter(() => random() < 0.4).map((key) => `${prefix}${key}`);
          const writes = keys.map((key): Write =>
            random() < 0.4 ? { kind: "delete", key } : { kind: "put", key, value: String(Math.floor(random() * 1000)) },
          );
          last = (await registry.write({ guards: [], writes })).revision;
        }
        const replayed = new Map<string, Entry>();
        for (const change of await collect(registry, { prefix, from, until: last })) {
          if (change.kind === "put") replayed.set(change.entry.key, change.entry);
          else assert.ok(replayed.delete(change.key), "only what is there can be deleted");
        }
        const { entries } = await registry.read(prefix);
        assert.deepEqual(
          [...replayed.values()].sort((a, b) => (a.key < b.key ? -1 : 1)),
          entries,
        );
      });

      test("a compacted past is told, not skipped", async () => {
        const prefix = fresh();
        const { revision } = await put(`${prefix}a`, "1");
        for (let index = 0; index < 5; index++) await put(`${prefix}a`, String(index));
        await harness.compact();
        const stop = new AbortController();
        const watch = registry.watch(prefix, revision, stop.signal)[Symbol.asyncIterator]();
        await rejectsWith("watch-compacted", nextWithChanges(watch)); // an empty batch may come before
        const snapshot = await registry.read(prefix);
        assert.deepEqual(
          snapshot.entries.map((entry) => entry.value),
          ["4"],
        );
        const later = await put(`${prefix}a`, "5");
        const changes = await collect(registry, { prefix, from: snapshot.revision + 1, until: later.revision });
        assert.deepEqual(changes.map(describeChange), [`put ${prefix}a=5`]);
      });

      test("a watch from where the store has not come is told so: it would wait in silence", async () => {
        const prefix = fresh();
        const { revision } = await put(`${prefix}a`, "1");
        const stop = new AbortController();
        const watch = registry.watch(prefix, revision + 1_000_000, stop.signal)[Symbol.asyncIterator]();
        await rejectsWith("watch-compacted", watch.next());
      });

      test("a watch that keeps up does not mind a compaction", async () => {
        const prefix = fresh();
        const { revision } = await put(`${prefix}a`, "1");
        const stop = new AbortController();
        const watch = registry.watch(prefix, revision + 1, stop.signal)[Symbol.asyncIterator]();
        await watch.next();
        await put(`${prefix}a`, "2");
        await nextWithChanges(watch);
        await harness.compact();
        await put(`${prefix}a`, "3");
        assert.deepEqual((await nextWithChanges(watch)).changes.map(describeChange), [`put ${prefix}a=3`]);
        stop.abort();
        await rejectsWith("aborted", watch.next());
      });
    });

    describe("signals and the end", () => {
      test("an aborted signal stops every call", async () => {
        const signal = AbortSignal.abort(new Error("enough"));
        const key = `${fresh()}a`;
        const lease = await registry.grantLease(harness.leaseMs * 100);
        await rejectsWith("aborted", registry.read("", signal));
        await rejectsWith("aborted", registry.get(key, signal));
        await rejectsWith("aborted", registry.write({ guards: [], writes: [{ kind: "put", key, value: "" }] }, signal));
        await rejectsWith("aborted", registry.grantLease(harness.leaseMs, signal));
        await rejectsWith("aborted", registry.renewLease(lease.id, signal));
        await rejectsWith("aborted", registry.leaseLeftMs(lease.id, signal));
        await rejectsWith("aborted", registry.revokeLease(lease.id, signal));
        await rejectsWith("aborted", registry.watch("", 1, signal)[Symbol.asyncIterator]().next());
        assert.equal(await value(key), undefined, "what was aborted before it was sent was not written");
        await registry.revokeLease(lease.id);
      });

      test("a signal aborted on the way ends a wait at once", async () => {
        const stop = new AbortController();
        const { revision } = await registry.get("none");
        const watch = registry.watch(fresh(), revision + 1, stop.signal)[Symbol.asyncIterator]();
        await watch.next();
        const waiting = watch.next();
        stop.abort();
        await rejectsWith("aborted", waiting);
      });

      test("closed, it ends its watches and takes no call; closing again resolves", async () => {
        const client = harness.connect();
        const { revision } = await client.get("none");
        const watch = client.watch("", revision + 1, new AbortController().signal)[Symbol.asyncIterator]();
        await watch.next();
        const waiting = watch.next();
        const ended = rejectsWith("aborted", waiting);
        await client.close();
        await ended;
        await rejectsWith("aborted", client.get("none"));
        await rejectsWith("aborted", client.watch("", 1, new AbortController().signal)[Symbol.asyncIterator]().next());
        await client.close();
        assert.equal((await registry.get("none")).entry, undefined, "others go on");
      });
    });
  });
}

/** Fails unless `work` rejects with a Problem of this code. */
export async function rejectsWith(code: string, work: Promise<unknown>): Promise<Problem> {
  let found: Problem | undefined;
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof Problem, `Not a Problem: ${String(error)}`);
    assert.equal(error.code, code, `${error.message}: ${String(error.cause)}`);
    found = error;
    return true;
  });
  return found!;
}

/** All changes under `prefix` from `from` to `until`, a revision that has one; checks what every batch must keep to. */
export async function collect(
  registry: Registry,
  range: { readonly prefix: string; readonly from: number; readonly until: number },
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  if (range.from > range.until) return changes;
  let done = range.from - 1;
  const stop = new AbortController();
  for await (const batch of registry.watch(range.prefix, range.from, stop.signal)) {
    assert.ok(batch.revision >= done, `from ${done} back to ${batch.revision}`);
    for (const change of batch.changes) {
      const revision = change.kind === "put" ? change.entry.modRevision : change.revision;
      assert.ok(revision > done && revision <= batch.revision, `revision ${revision} after ${done}`);
      assert.ok((change.kind === "put" ? change.entry.key : change.key).startsWith(range.prefix));
      if (revision <= range.until) changes.push(change);
    }
    done = batch.revision;
    if (done >= range.until) break;
  }
  return changes;
}

export function describeChange(change: Change): string {
  return change.kind === "put" ? `put ${change.entry.key}=${change.entry.value}` : `delete ${change.key}`;
}

async function nextWithChanges(watch: AsyncIterator<WatchBatch, unknown>): Promise<WatchBatch> {
  for (;;) {
    const { value, done } = await watch.next();
    if (done === true) throw new Error("The watch ended by itself");
    if (value.changes.length > 0) return value;
  }
}

function keyNumber(prefix: string, index: number): string {
  return `${prefix}k${String(index).padStart(6, "0")}`;
}

async function writeMany(registry: Registry, keys: readonly string[]): Promise<void> {
  for (let page = 0; page < keys.length; page += maxTransactionOps) {
    const writes = keys.slice(page, page + maxTransactionOps).map((key): Write => ({ kind: "put", key, value: "v" }));
    await registry.write({ guards: [], writes });
  }
}

/** Takes away what later tests would have to carry along. */
async function clear(registry: Registry, prefix: string): Promise<void> {
  const keys = (await registry.read(prefix)).entries.map((entry) => entry.key);
  for (let page = 0; page < keys.length; page += maxTransactionOps) {
    const writes = keys.slice(page, page + maxTransactionOps).map((key): Write => ({ kind: "delete", key }));
    await registry.write({ guards: [], writes });
  }
  assert.deepEqual((await registry.read(prefix)).entries, []);
}

async function writeUntil(registry: Registry, key: string, signal: AbortSignal): Promise<void> {
  for (let index = 0; !signal.aborted; index++) {
    await registry.write({ guards: [], writes: [{ kind: "put", key: `${key}${index}`, value: "w" }] });
    await new Promise((resolve) => setImmediate(resolve));
  }
}
