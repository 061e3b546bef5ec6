// The mirror shows what the registry holds, through outages, compactions and lost events, on a clock of our own.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import {
  type EmbeddedConnection,
  type EmbeddedRegistry,
  createEmbeddedRegistry,
} from "../../../agent/adapters/registry/embedded.ts";
import { type Mirror, createMirror } from "../../../agent/loops/mirror.ts";
import { Restores } from "../../../agent/loops/restores.ts";
import type { Registry, WatchBatch, Write } from "../../../agent/ports/registry.ts";
import { FakeClock, seededRandom, settled } from "../../fakes/fake-clock.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { gate, passingOn } from "./house.ts";

describe("mirror", () => {
  let clock: FakeClock;
  let log: MemoryLog;
  let store: EmbeddedRegistry;
  let writer: EmbeddedConnection;
  let link: EmbeddedConnection;
  const never = new AbortController().signal;

  beforeEach(async () => {
    clock = new FakeClock();
    log = new MemoryLog();
    store = await createEmbeddedRegistry({ clock });
    writer = store.connect();
    link = store.connect();
  });
  afterEach(() => store.close());

  const mirrorOf = (registry: Registry, prefix = ""): Mirror => createMirror({ registry, clock, log, prefix });
  const put = (key: string, value: string) => writer.write({ guards: [], writes: [{ kind: "put", key, value }] });
  const remove = (key: string) => writer.write({ guards: [], writes: [{ kind: "delete", key }] });
  const contentOf = (mirror: Mirror) =>
    Object.fromEntries([...mirror.entries()].map(([key, entry]) => [key, entry.value]));
  const storeContent = async (prefix = "") =>
    Object.fromEntries((await writer.read(prefix)).entries.map((entry) => [entry.key, entry.value]));
  const recorded = (mirror: Mirror): string[] => {
    const heard: string[] = [];
    mirror.onChange((changed) => heard.push([...changed].sort().join(" ")));
    return heard;
  };

  test("does not go on from what it read before a restore that was found while its watch opened", async () => {
    const restores = new Restores(clock);
    const opens = gate();
    let isLate = true;
    const late: Registry = {
      ...passingOn(link),
      watch: async function* (prefix, from, signal) {
        if (isLate) {
          isLate = false;
          await opens.opened;
        }
        yield* link.watch(prefix, from, signal);
      },
    };
    await put("a", "1");
    const backup = store.backUp();
    await put("b", "2");
    await put("c", "3");
    const mirror = createMirror({ registry: late, clock, log, prefix: "", restores });
    const release = mirror.acquire();
    await clock.advance(10);
    store.restoreFrom(backup);
    // As many as were lost, and one that the watch brings
    for (const value of ["x", "y", "z"]) await put("d", value);
    await clock.advance(10);
    restores.found();
    opens.open();
    await clock.advance(1_000);
    assert.deepEqual(contentOf(mirror), await storeContent());
    release();
  });

  test("shows what is there, then what changes, transaction by transaction", async () => {
    await put("m/a", "1");
    await put("x", "outside");
    const mirror = mirrorOf(link, "m/");
    const heard = recorded(mirror);
    const release = mirror.acquire();
    await mirror.ready(never);
    assert.deepEqual(contentOf(mirror), { "m/a": "1" });
    const writes: Write[] = [
      { kind: "put", key: "m/b", value: "2" },
      { kind: "delete", key: "m/a" },
      { kind: "put", key: "x", value: "outside" },
    ];
    const { revision } = await writer.write({ guards: [], writes });
    await mirror.reached(revision, never);
    assert.deepEqual(contentOf(mirror), { "m/b": "2" });
    assert.equal(mirror.get("m/b")?.modRevision, revision);
    assert.deepEqual(heard, ["m/a", "", "m/a m/b"]);
    release();
    await settled();
    assert.equal(mirror.connected, false);
    assert.equal(clock.sleeping, 0, "nothing is left behind");
  });

  test("runs while anybody holds it, and reads anew when taken up again", async () => {
    const mirror = mirrorOf(link);
    const [one, two] = [mirror.acquire(), mirror.acquire()];
    await mirror.ready(never);
    one();
    one();
    assert.equal(mirror.connected, true, "letting go twice counts once");
    two();
    assert.equal(mirror.connected, false);
    await put("a", "1");
    const again = mirror.acquire();
    await mirror.ready(never);
    assert.deepEqual(contentOf(mirror), { a: "1" });
    again();
  });

  test("ready and reached can be aborted", async () => {
    const mirror = mirrorOf(link);
    const stop = new AbortController();
    const waiting = [mirror.ready(stop.signal), mirror.reached(1, stop.signal)];
    stop.abort(new Error("enough"));
    for (const each of waiting) await assert.rejects(each, /enough/);
  });

  test("keeps what it has while the registry is away, and reads once when it is back", async () => {
    await put("a", "1");
    await put("newest", "0");
    const calls: string[] = [];
    const mirror = mirrorOf(counted(link, calls));
    const release = mirror.acquire();
    await mirror.ready(never);
    const since = mirror.connectedSinceMs;
    link.cutOff();
    await clock.advance(60_000);
    assert.deepEqual(
      [mirror.connected, mirror.lastProblem?.code, contentOf(mirror)],
      [false, "registry-unreachable", { a: "1", newest: "0" }],
    );
    await put("a", "2");
    await remove("a");
    await put("b", "3");
    calls.length = 0;
    link.restore();
    await clock.advanceUntil(() => mirror.connected, 15_000);
    await mirror.reached((await writer.get("b")).revision, never);
    assert.deepEqual(contentOf(mirror), { b: "3", newest: "0" });
    assert.ok(mirror.connectedSinceMs >= since + 60_000, "callers can see that the registry has only just returned");
    assert.equal(mirror.lastProblem, undefined);
    assert.deepEqual(calls, ["read", "watch"]);
    assert.deepEqual(log.events("error"), ["mirror.lost"], "one outage, one line");
    assert.deepEqual(log.events("info"), ["mirror.returned"]);
    release();
  });

  for (const { what, later } of [
    { what: "and stands still at an earlier revision", later: 0 },
    { what: "and has gone beyond where it was", later: 20 },
  ]) {
    test(`a store that was restored from a backup ${what} is read anew`, async () => {
      await put("a", "1");
      const backup = store.backUp();
      for (let edition = 2; edition < 10; edition++) await put("a", String(edition));
      await put("b", "forgotten");
      const mirror = mirrorOf(link);
      const release = mirror.acquire();
      await mirror.ready(never);
      const before = mirror.revision;
      link.cutOff();
      store.restoreFrom(backup);
      for (let edition = 0; edition < later; edition++) await put("c", String(edition));
      link.restore();
      const waiting = mirror.reached(before + 1_000, never);
      await clock.advanceUntil(() => mirror.wentBackMs >= 0 && mirror.connected, 15_000);
      await waiting; // what was promised in another life of the store holds nobody up
      assert.deepEqual(contentOf(mirror), await storeContent());
      const { revision } = await put("a", "new");
      await mirror.reached(revision, never);
      assert.equal(mirror.get("a")?.value, "new");
      release();
    });
  }

  test("a store that was restored has what it had lost last, though its revisions look the same", async () => {
    await put("kept", "1");
    await put("lost", "1");
    const backup = store.backUp();
    const mirror = mirrorOf(link);
    const release = mirror.acquire();
    await mirror.ready(never);
    const { revision } = await remove("lost");
    await mirror.reached(revision, never);
    assert.deepEqual(contentOf(mirror), { kept: "1" });
    link.cutOff();
    store.restoreFrom(backup);
    await put("new", "1"); // the revision of the removal once more
    link.restore();
    await clock.advanceUntil(() => mirror.connected, 15_000);
    assert.deepEqual(contentOf(mirror), { kept: "1", lost: "1", new: "1" });
    release();
  });

  for (const { what, later } of [
    { what: "stands at an earlier revision", later: 0 },
    { what: "has gone beyond where it was", later: 20 },
  ]) {
    test(`a store that was restored before the first watch stood, and ${what}, is read anew`, async () => {
      await put("a", "1");
      const backup = store.backUp();
      for (let edition = 2; edition < 10; edition++) await put("a", String(edition));
      let opened = 0;
      const suspended: Registry = {
        ...passingOn(link),
        async *watch(prefix, from, signal) {
          if (opened++ === 0) {
            // Between its reading and its watch the whole process stands still
            clock.jump(later === 0 ? 0 : 3_000);
            store.restoreFrom(backup);
            for (let edition = 0; edition < later; edition++) await put("c", String(edition));
          }
          yield* link.watch(prefix, from, signal);
        },
      };
      const mirror = mirrorOf(suspended);
      const release = mirror.acquire();
      await clock.advanceUntil(() => mirror.wentBackMs >= 0 && mirror.connected, 5_000);
      assert.deepEqual(contentOf(mirror), await storeContent());
      assert.equal(opened, 2);
      release();
    });
  }

  for (const { of, isLeased } of [
    { of: "of another lease", isLeased: true },
    { of: "the very same", isLeased: false },
  ]) {
    test(`a store that was restored may have the newest value, ${of}, at the same revision once more`, async () => {
      const say = async () => {
        const lease = isLeased ? { lease: (await writer.grantLease(10_000)).id } : {};
        return writer.write({ guards: [], writes: [{ kind: "put", key: "status", value: "well", ...lease }] });
      };
      await put("a", "1");
      const backup = store.backUp();
      await put("a", "2");
      const { revision } = await say();
      const mirror = mirrorOf(link);
      const release = mirror.acquire();
      await mirror.ready(never);
      link.cutOff();
      store.restoreFrom(backup);
      await put("b", "1");
      assert.equal((await say()).revision, revision);
      link.restore();
      await clock.advanceUntil(() => mirror.connected, 15_000);
      assert.deepEqual(contentOf(mirror), { a: "1", b: "1", status: "well" });
      assert.ok(mirror.wentBackMs > 0);
      release();
    });
  }

  test("tries again with growing pauses, not in a loop", async () => {
    link.cutOff();
    const calls: string[] = [];
    const mirror = mirrorOf(counted(link, calls));
    const release = mirror.acquire();
    await clock.advance(1_000);
    const early = calls.length;
    await clock.advance(120_000);
    assert.ok(early >= 2 && early <= 5, `${early} tries in the first second`);
    assert.ok(calls.length <= 60 && calls.length >= 20, `${calls.length} tries in two minutes`);
    release();
  });

  test("reads anew when the history it needs is gone", async () => {
    await put("a", "1");
    const mirror = mirrorOf(link);
    const heard = recorded(mirror);
    const release = mirror.acquire();
    await mirror.ready(never);
    link.cutOff();
    await clock.advance(1_000);
    await put("b", "2");
    await remove("a");
    store.compact();
    link.restore();
    await clock.advanceUntil(() => mirror.connected && mirror.get("b") !== undefined, 15_000);
    assert.deepEqual(contentOf(mirror), { b: "2" });
    assert.ok(heard.includes("a b"), "what went and what came is told at once");
    release();
  });

  test("compares with the registry once in a while, whatever the watch says", async () => {
    await put("a", "1");
    const mirror = mirrorOf(deaf(link));
    const release = mirror.acquire();
    await mirror.ready(never);
    const since = mirror.connectedSinceMs;
    await put("a", "2");
    await put("b", "3");
    await clock.advance(300_000);
    assert.deepEqual(contentOf(mirror), { a: "1" }, "the watch has lost these");
    await clock.advance(700_000);
    assert.deepEqual(contentOf(mirror), { a: "2", b: "3" });
    assert.equal(mirror.connected, true);
    assert.equal(mirror.connectedSinceMs, since, "comparing is no outage");
    release();
  });

  test("an idle mirror asks for nothing but the comparison", async () => {
    const calls: string[] = [];
    const mirror = mirrorOf(counted(link, calls));
    const release = mirror.acquire();
    await mirror.ready(never);
    await clock.advance(500_000);
    assert.deepEqual(calls, ["read", "watch"]);
    release();
  });

  test("a listener that throws is told of, and the others still hear", async () => {
    const mirror = mirrorOf(link);
    mirror.onChange(() => {
      throw new Error("listener");
    });
    const heard = recorded(mirror);
    const release = mirror.acquire();
    await mirror.ready(never);
    const { revision } = await put("a", "1");
    await mirror.reached(revision, never);
    assert.ok(heard.includes("a"));
    assert.ok(log.events("error").includes("mirror.listener-failed"));
    release();
  });

  test("what makes no sense ends in a new reading, not in the end of the mirror", async () => {
    const mirror = mirrorOf(failingOnce(link));
    const release = mirror.acquire();
    await clock.advanceUntil(() => mirror.connected, 15_000);
    assert.ok(log.events("error").includes("mirror.lost"));
    release();
  });

  for (const seed of [1, 2, 3, 4, 5]) {
    test(`whatever happens on the way, it ends with what the store holds (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const mirror = mirrorOf(link);
      const seen = new Map<string, string | undefined>();
      mirror.onChange((changed) => {
        for (const key of changed) seen.set(key, mirror.get(key)?.value);
      });
      const release = mirror.acquire();
      for (let step = 0; step < 300; step++) {
        const dice = random();
        const key = `k${Math.floor(random() * 8)}`;
        if (dice < 0.5) await put(key, String(step));
        else if (dice < 0.7) await remove(key);
        else if (dice < 0.76) link.cutOff();
        else if (dice < 0.8) link.freeze();
        else if (dice < 0.92) link.restore();
        else if (dice < 0.95) store.compact();
        else await clock.advance(random() * 3_000);
      }
      link.restore();
      const { revision } = await put("end", "x");
      await clock.advanceUntil(() => mirror.connected && mirror.revision >= revision, 60_000);
      assert.deepEqual(contentOf(mirror), await storeContent());
      const told = [...seen].filter(([, value]) => value !== undefined);
      assert.deepEqual(Object.fromEntries(told), await storeContent(), "who only listens knows it all");
      release();
    });
  }
});

/** The same registry, noting reads and watches. */
function counted(registry: Registry, calls: string[]): Registry {
  return {
    ...passingOn(registry),
    read: (prefix, signal) => {
      calls.push("read");
      return registry.read(prefix, signal);
    },
    watch: (prefix, from, signal) => {
      calls.push("watch");
      return registry.watch(prefix, from, signal);
    },
  };
}

/** Its watch says that it stands, and then nothing more. */
function deaf(registry: Registry): Registry {
  return {
    ...passingOn(registry),
    watch: async function* (prefix, from, signal): AsyncGenerator<WatchBatch> {
      for await (const batch of registry.watch(prefix, from, signal)) yield { revision: batch.revision, changes: [] };
    },
  };
}

/** The first watch fails with something that is no Problem. */
function failingOnce(registry: Registry): Registry {
  let hasFailed = false;
  return {
    ...passingOn(registry),
    watch: (prefix, from, signal) => {
      if (hasFailed) return registry.watch(prefix, from, signal);
      hasFailed = true;
      throw new TypeError("bug");
    },
  };
}
