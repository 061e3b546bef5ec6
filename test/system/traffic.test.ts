// What a cluster asks of etcd: cost follows change. One changed unit wakes one agent; an idle cluster renews leases and does
// nothing else. A real etcd counts.
import assert from "node:assert/strict";
import { type TestContext, describe, test } from "node:test";
import { keys } from "../../agent/text/values.ts";
import { FakeRepository } from "../fakes/fake-git.ts";
import { connect } from "./etcd-client.ts";
import { type EtcdFigures, allRequests, between, readFigures } from "./etcd-meter.ts";
import { type EtcdServer, startEtcd, withoutEtcd } from "./etcd-server.ts";
import { Swarm, type SwarmOptions, instances } from "./swarm.ts";

describe("traffic", { skip: withoutEtcd, timeout: 240_000 }, () => {
  test("one changed unit writes one manifest and wakes one agent, which writes one status", async (t) => {
    const atEnd = closing(t);
    const repository = new FakeRepository();
    const units = { ...instances(40), "static/one.service": "[Service]\nExecStart=/bin/sleep 1000\n" };
    repository.commit(units);
    const { etcd, swarm } = await swarmOf(atEnd, { count: 20, leaders: 1, repository });
    await until("all units are active", () => swarm.counts().active === 41);
    await untilQuiet(etcd);
    swarm.forget();
    const written = await putsBelow(atEnd, etcd);
    const before = await readFigures(etcd.url);

    repository.commit({ ...units, "static/one.service": "[Service]\nExecStart=/bin/sleep 2000\n" });
    const result = await swarm.agents[0]!.agent.view.sync();
    assert.equal(result.outcome, "adopted");
    await until("the status is written", () => swarm.counts().statuses > 0);
    await untilQuiet(etcd);

    const change = between(before, await readFigures(etcd.url));
    const told = swarm.agents.filter((each) => each.told > 0);
    assert.equal(told.length, 1, "one agent is woken");
    const { id, systemd } = told[0]!;
    assert.equal(swarm.counts().told, 1, "and once");
    const [event = ""] = [...written.keys()].filter((key) => key.startsWith(keys.events));
    assert.deepEqual(Object.fromEntries(written), {
      [keys.revision]: 1,
      [event]: 1,
      [keys.manifest(id)]: 1,
      [keys.status(id)]: 1,
    });
    assert.equal(change.puts, 4);
    assert.equal(change.deletes, 0);
    // The commit with its event, the manifest, the status: nobody reads what it has been told of
    assert.deepEqual(besideRenewals(change), { Txn: 3 });
    assert.deepEqual(systemd.asked.slice(-3), ["write one.service", "reload", "restart one.service"]);
    for (const each of swarm.agents.filter((other) => other.id !== id))
      assert.ok(!each.systemd.asked.includes("restart one.service"));
  });

  test("an idle cluster of 1,000 agents does nothing but renew its leases", async (t) => {
    const atEnd = closing(t);
    const repository = new FakeRepository();
    repository.commit(instances(1_000));
    const count = 1_000;
    const { etcd, swarm } = await swarmOf(atEnd, { count, leaders: 3, repository });
    await until("all units are active", () => swarm.counts().active === 1_000);
    await until("every machine has its status", () => swarm.agents.every((each) => each.statuses > 0));

    const spanMs = 10_000;
    const idle = await calm(swarm, async () => {
      await untilQuiet(etcd);
      swarm.forget();
      const before = await readFigures(etcd.url);
      await pass(spanMs);
      return between(before, await readFigures(etcd.url));
    });

    assert.deepEqual(besideRenewals(idle), {});
    assert.deepEqual([idle.puts, idle.deletes, idle.events], [0, 0, 0]);
    const perMachine = allRequests(idle) / count / (spanMs / 1000);
    assert.ok(perMachine <= 0.5, `${perMachine} requests a second from each machine`);
    assert.ok(perMachine >= 0.2, `${perMachine} renewals a second are too few to live by`);
    assert.deepEqual(swarm.counts().warnings, {});
  });
});

type AtEnd = (close: () => Promise<void>) => void;

/** What is to be closed when the test is over, the last first. */
function closing(t: TestContext): AtEnd {
  const closers: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
  });
  return (close) => closers.push(close);
}

async function swarmOf(
  atEnd: AtEnd,
  options: Omit<SwarmOptions, "endpoints">,
): Promise<{ readonly etcd: EtcdServer; readonly swarm: Swarm }> {
  const etcd = await startEtcd();
  atEnd(() => etcd.close());
  const swarm = await Swarm.start({ endpoints: etcd.endpoints, ...options });
  atEnd(() => swarm.close());
  return { etcd, swarm };
}

/** How often each key is put from now on. Resolves when etcd has taken the watch. */
async function putsBelow(atEnd: AtEnd, etcd: EtcdServer): Promise<ReadonlyMap<string, number>> {
  const registry = connect(etcd.endpoints);
  const over = new AbortController();
  const puts = new Map<string, number>();
  const { revision } = await registry.get(keys.revision);
  const batches = registry.watch("", revision + 1, over.signal)[Symbol.asyncIterator]();
  await batches.next();
  const counting = (async () => {
    for (let next = await batches.next(); next.done !== true; next = await batches.next())
      for (const change of next.value.changes)
        if (change.kind === "put") puts.set(change.entry.key, (puts.get(change.entry.key) ?? 0) + 1);
  })().catch((error: unknown) => {
    if (!over.signal.aborted) throw error;
  });
  atEnd(async () => {
    over.abort();
    await counting;
    await registry.close();
  });
  return puts;
}

/**
 * What was measured while no agent complained: a thousand in one process on a busy computer may hear etcd too late, and look
 * whether it is there. The last of three tries counts in any case.
 */
async function calm<T>(swarm: Swarm, measure: () => Promise<T>): Promise<T> {
  for (let left = 3; ; left--) {
    const measured = await measure();
    if (left === 1 || Object.keys(swarm.counts().warnings).length === 0) return measured;
  }
}

/** Requests by method. */
function besideRenewals({ requests }: EtcdFigures): Readonly<Record<string, number>> {
  return Object.fromEntries([...requests].filter(([method]) => method !== "LeaseKeepAlive"));
}

/** No request but renewals for two seconds. */
async function untilQuiet(etcd: EtcdServer): Promise<void> {
  let last = await readFigures(etcd.url);
  const isQuiet = async (): Promise<boolean> => {
    await pass(2_000);
    const now = await readFigures(etcd.url);
    const change = between(last, now);
    last = now;
    return Object.keys(besideRenewals(change)).length === 0;
  };
  await until("nothing is asked of etcd any more", isQuiet);
}

/** How long is no matter of these tests: a thousand agents in one process take half a minute where nothing else runs. */
async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 180_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`Not seen in time: ${what}`);
    await pass(20);
  }
}

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
