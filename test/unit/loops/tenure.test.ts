// Election on a clock of our own: a tenure is over before another begins, whatever the registry, the network and the
// process do; and what a stale leader still writes is not applied.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import {
  type EmbeddedConnection,
  type EmbeddedRegistry,
  createEmbeddedRegistry,
} from "../../../agent/adapters/registry/embedded.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { keepLease } from "../../../agent/loops/lease.ts";
import { type Tenure, campaign } from "../../../agent/loops/tenure.ts";
import type { Clock } from "../../../agent/ports/clock.ts";
import type { Registry } from "../../../agent/ports/registry.ts";
import { FakeClock, seededRandom, settled } from "../../fakes/fake-clock.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { passingOn } from "./house.ts";

const leaseMs = 5_000;
const key = "leader";

describe("tenure", () => {
  let clock: FakeClock;
  let log: MemoryLog;
  let store: EmbeddedRegistry;
  let operator: EmbeddedConnection;
  let stop: AbortController;

  beforeEach(async () => {
    clock = new FakeClock();
    log = new MemoryLog();
    store = await createEmbeddedRegistry({ clock });
    operator = store.connect();
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await settled();
    await store.close();
  });

  const run = (registry: Registry, value: string, own: Clock = clock) =>
    campaign({ registry, clock: own, log, key, value, leaseMs }, stop.signal);
  const leading = async (registry: Registry, value: string): Promise<Tenure> => {
    const candidate = candidateOf(run(registry, value));
    await clock.advanceUntil(() => candidate.tenure !== undefined, 60_000);
    return candidate.tenure!;
  };
  const holder = async () => (await operator.get(key)).entry;

  test("a lone candidate leads, keeps leading, and makes room when it resigns", async () => {
    const tenure = await leading(store.connect(), "a");
    const entry = await holder();
    assert.equal(entry?.value, "a");
    assert.equal(entry.createRevision, tenure.epoch);
    assert.equal(entry.lease, tenure.lease);
    await clock.advance(600_000);
    assert.equal(tenure.alive(), true);
    assert.equal((await holder())?.modRevision, tenure.epoch, "an idle leader writes nothing but renewals");
    await tenure.resign();
    assert.equal(tenure.alive(), false);
    assert.equal(tenure.signal.aborted, true);
    assert.equal(await holder(), undefined);
    assert.equal(clock.sleeping, 0, "nothing is left behind");
    await tenure.resign();
  });

  test("on a clean hand-over the next one leads within a second, in a higher epoch", async () => {
    const first = await leading(store.connect(), "a");
    const second = candidateOf(run(store.connect(), "b"));
    await clock.advance(20_000);
    assert.equal(second.tenure, undefined);
    await first.resign();
    await clock.advanceUntil(() => second.tenure !== undefined, 1_000);
    assert.ok(second.tenure!.epoch > first.epoch);
    assert.equal((await holder())?.value, "b");
  });

  test("of ten candidates one leads", async () => {
    const candidates = Array.from({ length: 10 }, (_, index) => candidateOf(run(store.connect(), String(index))));
    await clock.advance(10_000);
    assert.equal(candidates.filter(({ tenure }) => tenure?.alive()).length, 1);
  });

  test("a candidate that waits for its turn asks next to nothing", async () => {
    await leading(store.connect(), "a");
    const asked = counted(store.connect());
    candidateOf(run(asked.registry, "b"));
    await clock.advance(600_000);
    assert.ok(asked.count("get") <= 3, `${asked.count("get")} looks in ten minutes`);
    assert.equal(asked.count("grantLease"), 0);
  });

  test("of a hundred candidates for a free key few ask for a lease", async () => {
    const first = await leading(store.connect(), "a");
    const asked = counted(store.connect());
    const candidates = Array.from({ length: 100 }, (_, index) => candidateOf(run(asked.registry, String(index))));
    await clock.advance(1_000);
    await first.resign();
    await clock.advance(1_000);
    assert.equal(candidates.filter(({ tenure }) => tenure?.alive()).length, 1);
    assert.ok(asked.count("grantLease") <= 10, `${asked.count("grantLease")} leases were asked for`);
  });

  test("cut off, it stands down before its lease can run out; another leads within lease and a second", async () => {
    const link = store.connect();
    const first = await leading(link, "a");
    const second = candidateOf(run(store.connect(), "b"));
    await clock.advance(7_000);
    const cutMs = clock.monotonicMs();
    link.cutOff();
    await clock.advanceUntil(() => first.signal.aborted, leaseMs);
    assert.notEqual(await holder(), undefined, "the registry still holds its key when it has stood down");
    assert.ok(clock.monotonicMs() - cutMs <= leaseMs - 1_000);
    await clock.advanceUntil(() => second.tenure !== undefined, leaseMs + 1_000 - (clock.monotonicMs() - cutMs));
    assert.equal((first.signal.reason as Problem).code, "lease-lost");
  });

  test("frozen, it stands down in time, and is not revived when the registry answers again", async () => {
    for (const late of [false, true]) {
      const link = store.connect();
      const tenure = await leading(link, "a");
      link.freeze({ late });
      await clock.advanceUntil(() => tenure.signal.aborted, leaseMs - 1_000 + 10);
      link.restore(); // the registry would still have renewed it
      await clock.advance(200);
      assert.equal(tenure.alive(), false);
      await tenure.resign();
      await link.close();
    }
  });

  test("a short outage ends nothing", async () => {
    const link = store.connect();
    const tenure = await leading(link, "a");
    for (let each = 0; each < 5; each++) {
      link.cutOff();
      await clock.advance(2_000);
      link.restore();
      await clock.advance(3_000);
    }
    assert.equal(tenure.alive(), true);
    assert.equal((await holder())?.createRevision, tenure.epoch);
  });

  test("a process that wakes after its lease knows that it is over before anything has told it", async () => {
    const own = clock.process();
    const link = store.connect();
    const candidate = candidateOf(run(link, "a", own));
    await clock.advanceUntil(() => candidate.tenure !== undefined, 1_000);
    const tenure = candidate.tenure!;
    const other = candidateOf(run(store.connect(), "b"));
    own.suspend();
    link.freeze(); // nor does it hear anything
    await clock.advance(leaseMs + 2_000);
    assert.equal(tenure.signal.aborted, false, "it sleeps: its timers have not fired");
    assert.equal(tenure.alive(), false);
    assert.equal(other.tenure?.alive(), true);
    const { applied } = await operator.write({
      guards: [tenure.guard],
      writes: [{ kind: "put", key: "x", value: "stale" }],
    });
    assert.equal(applied, false, "and if it does not ask, the registry refuses its writes");
    own.resume();
    await clock.advance(0);
    assert.equal(tenure.signal.aborted, true);
  });

  test("all of time may jump at once", async () => {
    const tenure = await leading(store.connect(), "a");
    clock.jump(leaseMs * 3);
    assert.equal(tenure.alive(), false);
    await clock.advance(0);
    assert.equal(tenure.signal.aborted, true);
  });

  for (const touch of ["deleted", "overwritten"] as const) {
    test(`a leader whose key is ${touch} notices`, async () => {
      const tenure = await leading(store.connect(), "a");
      await operator.write({
        guards: [],
        writes: [touch === "deleted" ? { kind: "delete", key } : { kind: "put", key, value: "usurper" }],
      });
      await settled();
      assert.equal(tenure.signal.aborted, true);
      assert.match(String((tenure.signal.reason as Problem).hint), /deleted or changed/);
      await tenure.resign();
    });
  }

  test("a key whose name only begins like the leader's means nothing", async () => {
    const tenure = await leading(store.connect(), "a");
    await operator.write({ guards: [], writes: [{ kind: "put", key: `${key}-board`, value: "" }] });
    await operator.write({ guards: [], writes: [{ kind: "delete", key: `${key}-board` }] });
    await clock.advance(1_000);
    assert.equal(tenure.alive(), true);
  });

  test("a leader whose watch broke still notices what happened meanwhile", async () => {
    const link = store.connect();
    const tenure = await leading(link, "a");
    link.cutOff();
    await operator.write({ guards: [], writes: [{ kind: "put", key, value: "usurper" }] });
    store.compact();
    link.restore();
    await clock.advance(1_000);
    assert.equal(tenure.signal.aborted, true);
  });

  test("a leader whose key went with a restore notices, though the store has come further than it was watching since", async () => {
    const { id } = await operator.grantLease(leaseMs);
    const slow: Registry = { ...passingOn(store.connect()), grantLease: async () => ({ id, ttlMs: leaseMs }) };
    const backup = store.backUp();
    const tenure = await leading(slow, "a");
    store.restoreFrom(backup);
    for (let count = 0; count < 9; count++) {
      await operator.write({ guards: [], writes: [{ kind: "put", key: "other", value: String(count) }] });
    }
    await clock.advance(1_000);
    assert.equal(tenure.signal.aborted, true);
    assert.match(String((tenure.signal.reason as Problem).hint), /deleted or changed/);
  });

  test("an attempt that succeeded unheard is recognised by its lease", async () => {
    const tenure = await leading(deafWriter(store.connect()), "a");
    assert.equal(tenure.alive(), true);
    assert.equal((await holder())?.createRevision, tenure.epoch);
  });

  test("the candidate waits for a registry that is away, with growing pauses, and says so once", async () => {
    const link = store.connect();
    link.cutOff();
    let calls = 0;
    const counting: Registry = { ...passingOn(link), get: (each, signal) => (calls++, link.get(each, signal)) };
    const candidate = candidateOf(run(counting, "a"));
    await clock.advance(120_000);
    assert.ok(calls >= 20 && calls <= 40, `${calls} tries in two minutes`);
    assert.deepEqual(log.events("warn"), ["campaign.waiting"]);
    link.restore();
    await clock.advanceUntil(() => candidate.tenure !== undefined, 7_000);
  });

  test("candidates that wait ask for next to nothing", async () => {
    await leading(store.connect(), "a");
    const link = store.connect();
    let calls = 0;
    const counting: Registry = { ...passingOn(link), get: (each, signal) => (calls++, link.get(each, signal)) };
    const candidate = candidateOf(run(counting, "b"));
    await clock.advance(600_000);
    assert.equal(candidate.tenure, undefined);
    assert.ok(calls <= 25, `${calls} requests in ten minutes`);
  });

  test("the signal ends a campaign, and a tenure, which can then still resign", async () => {
    const tenure = await leading(store.connect(), "a");
    const waiting = run(store.connect(), "b");
    await clock.advance(1_000);
    stop.abort();
    assert.equal(await waiting, undefined);
    assert.equal(tenure.alive(), false);
    assert.notEqual(await holder(), undefined);
    await tenure.resign();
    assert.equal(await holder(), undefined);
    assert.equal(clock.sleeping, 0, "nothing is left behind");
  });

  test("a lease whose answer came too late is worth nothing", async () => {
    const link = store.connect();
    const slow: Registry = {
      ...passingOn(link),
      grantLease: async (ttlMs, signal) => {
        const granted = await link.grantLease(ttlMs, signal);
        clock.jump(leaseMs);
        return granted;
      },
    };
    const lease = await keepLease({ registry: slow, clock, log, leaseMs }, stop.signal);
    assert.equal(lease.alive(), false);
    await lease.release();
  });
});

describe("tenures never overlap", () => {
  for (const seed of Array.from({ length: 25 }, (_, index) => index + 1)) {
    test(`seed ${seed}`, () => storm(seed, { deletes: false }));
  }
});

// Deleting the key by hand makes room at once, whatever the leader knows: then only the fence is left, and must do.
describe("no write of an older epoch follows one of a newer, also when the key is deleted by hand", () => {
  for (const seed of Array.from({ length: 10 }, (_, index) => index + 101)) {
    test(`seed ${seed}`, () => storm(seed, { deletes: true }));
  }
});

/** Three candidates under random freezes, cuts and suspensions. At no moment do two believe that they lead. */
async function storm(seed: number, { deletes }: { readonly deletes: boolean }): Promise<void> {
  const random = seededRandom(seed);
  const clock = new FakeClock({ seed });
  const log = new MemoryLog();
  const store = await createEmbeddedRegistry({ clock });
  const stop = new AbortController();
  const operator = store.connect();
  const candidates = Array.from({ length: 3 }, (_, index) => ({
    link: store.connect(),
    own: clock.process(),
    name: `c${index}`,
    tenures: [] as Tenure[],
  }));
  const check = (): void => {
    const alive = candidates.filter(({ tenures }) => tenures.some((tenure) => tenure.alive()));
    assert.ok(
      deletes || alive.length <= 1,
      `seed ${seed}: ${alive.map(({ name }) => name).join(" and ")} lead at once`,
    );
  };
  const campaigns = candidates.map(async ({ link, own, name, tenures }) => {
    while (!stop.signal.aborted) {
      const tenure = await campaign({ registry: link, clock: own, log, key, value: name, leaseMs }, stop.signal);
      if (tenure === undefined) return;
      tenures.push(tenure);
      check();
      await ended(tenure.signal);
      await tenure.resign();
    }
  });
  let newest = 0;
  for (let step = 0; step < 400; step++) {
    const candidate = candidates[Math.floor(random() * candidates.length)]!;
    const dice = random();
    if (dice < 0.04) candidate.link.freeze({ late: random() < 0.5 });
    else if (dice < 0.07) candidate.link.cutOff();
    else if (dice < 0.15) candidate.link.restore();
    else if (dice < 0.18) candidate.own.suspend();
    else if (dice < 0.24) candidate.own.resume();
    else if (deletes && dice < 0.26) await operator.write({ guards: [], writes: [{ kind: "delete", key }] });
    else if (dice < 0.35) {
      // A leader that asks nobody, not even itself: only the fence stands between it and the store.
      const tenure = candidate.tenures.at(-1);
      if (tenure !== undefined) {
        const { applied } = await operator.write({
          guards: [tenure.guard],
          writes: [{ kind: "put", key: "state", value: candidate.name }],
        });
        if (applied) {
          assert.ok(tenure.epoch >= newest, `seed ${seed}: epoch ${tenure.epoch} wrote after ${newest}`);
          newest = tenure.epoch;
        }
      }
    } else await advanceChecking(clock, random() * 1_500, check);
    check();
  }
  for (const { link, own } of candidates) {
    link.restore();
    own.resume();
  }
  await clock.advanceUntil(() => candidates.some(({ tenures }) => tenures.some((each) => each.alive())), 60_000);
  assert.ok(candidates.flatMap(({ tenures }) => tenures).length > 1, `seed ${seed}: leadership has never moved`);
  stop.abort();
  await clock.advance(5_000);
  await Promise.all(campaigns);
  await store.close();
}

async function advanceChecking(clock: FakeClock, ms: number, check: () => void): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    await clock.advance(Math.min(100, ms - passed));
    check();
  }
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function candidateOf(running: Promise<Tenure | undefined>): { tenure: Tenure | undefined } {
  const candidate: { tenure: Tenure | undefined } = { tenure: undefined };
  running.then(
    (tenure) => (candidate.tenure = tenure),
    (error: unknown) => {
      throw error;
    },
  );
  return candidate;
}

/** Writes arrive and are applied, but the answer to the first one does not come back. */
function deafWriter(registry: Registry): Registry {
  let isDeaf = true;
  return {
    ...passingOn(registry),
    write: async (transaction, signal) => {
      const result = await registry.write(transaction, signal);
      if (!isDeaf) return result;
      isDeaf = false;
      throw new Problem("registry-unreachable", "Cannot write: the answer was lost");
    },
  };
}

/** What is asked of the registry, by the name of the call. */
function counted(registry: Registry): { readonly registry: Registry; count(call: "get" | "grantLease"): number } {
  const counts = { get: 0, grantLease: 0 };
  return {
    registry: {
      ...passingOn(registry),
      get: (each, signal) => {
        counts.get++;
        return registry.get(each, signal);
      },
      grantLease: (ttlMs, signal) => {
        counts.grantLease++;
        return registry.grantLease(ttlMs, signal);
      },
    },
    count: (call) => counts[call],
  };
}
