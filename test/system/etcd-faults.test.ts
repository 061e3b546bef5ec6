// The adapter and the loops on it while etcd and the network fail: cut connections, frozen and restarted members, wrong
// logins and certificates. Real etcd on loopback.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { explainError } from "../../agent/domain/problem.ts";
import { Secret } from "../../agent/domain/settings.ts";
import { createMirror } from "../../agent/loops/mirror.ts";
import { renew } from "../../agent/loops/renewal.ts";
import { campaign } from "../../agent/loops/tenure.ts";
import type { Registry, Write } from "../../agent/ports/registry.ts";
import { rejectsWith } from "../contract/registry.ts";
import { clock, connect, quietLog, settingsFor } from "./etcd-client.ts";
import { type EtcdOptions, type EtcdServer, startEtcd, withoutEtcd } from "./etcd-server.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const never = new AbortController().signal;
/** The default's. */
const { requestTimeoutMs } = settingsFor([]);

describe("etcd with faults", { skip: withoutEtcd, timeout: 240_000 }, () => {
  test("a connection cut in the middle of a 7,000-event catch-up loses nothing", async (t) => {
    const server = await etcd(t, { isHidden: true });
    const count = 7_000;
    const writer = registry(t, server.endpoints);
    const first = (await writer.get("none")).revision + 1;
    for (let each = 0; each < count; each += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, index) => put(writer, `k/${each + index}`, "x".repeat(150))));
    }
    const proxy = await TcpProxy.start(server.port());
    t.after(() => proxy.close());
    const reader = registry(t, [proxy.url]);
    await reader.get("none");
    const seen: string[] = [];
    let next = first;
    proxy.cutAfterBytes = 400_000; // of about 2 MB, each time anew
    while (seen.length < count) {
      try {
        for await (const batch of reader.watch("k/", next, never)) {
          for (const change of batch.changes) if (change.kind === "put") seen.push(change.entry.key);
          next = batch.revision + 1;
          if (seen.length >= count) break;
        }
      } catch (error) {
        assert.equal(codeOf(error), "registry-unreachable");
      }
    }
    assert.ok(proxy.cuts >= 3, `the connection was cut ${proxy.cuts} times`);
    assert.equal(seen.length, count, "no event twice");
    assert.equal(new Set(seen).size, count, "no event missing");
  });

  test("a mirror over a connection that is cut again and again ends with what etcd holds", async (t) => {
    const server = await etcd(t, { isHidden: true });
    const proxy = await TcpProxy.start(server.port());
    t.after(() => proxy.close());
    const writer = registry(t, server.endpoints);
    const mirror = createMirror({ registry: registry(t, [proxy.url]), clock, log: quietLog, prefix: "" });
    const release = mirror.acquire();
    t.after(release);
    await mirror.ready(never);
    let revision = 0;
    for (let index = 0; index < 300; index++) {
      revision = (await put(writer, `k${index % 40}`, String(index))).revision;
      if (index % 60 === 30) proxy.cut();
    }
    await mirror.reached(revision, AbortSignal.timeout(20_000));
    const { entries } = await writer.read("");
    const mirrored = [...mirror.entries().values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    assert.deepEqual(mirrored, entries);
    assert.equal(proxy.cuts, 5);
  });

  test("a frozen etcd: every call rejects within its deadline, and works again after", async (t) => {
    const server = await etcd(t);
    const client = registry(t, server.endpoints, { requestTimeoutMs: 1_000 });
    const lease = await client.grantLease(60_000);
    const { revision } = await put(client, "a", "1");
    const watch = client.watch("a", revision + 1, never)[Symbol.asyncIterator]();
    await watch.next();
    server.freeze();
    const calls: readonly (() => Promise<unknown>)[] = [
      () => client.read(""),
      () => client.get("a"),
      () => put(client, "a", "2"),
      () => client.grantLease(5_000),
      () => client.renewLease(lease.id),
      () => client.revokeLease(lease.id),
      () => client.watch("a", revision, never)[Symbol.asyncIterator]().next(),
    ];
    await Promise.all(
      calls.map(async (call, index) => {
        const fromMs = performance.now();
        await rejectsWith("registry-unreachable", call());
        const tookMs = performance.now() - fromMs;
        assert.ok(tookMs < 1_500, `call ${index} took ${tookMs} ms`);
      }),
    );
    const { code } = await rejectsWith("registry-unreachable", watch.next()); // pings go unanswered: 13 s at most
    assert.equal(code, "registry-unreachable");
    server.thaw();
    await eventually(async () => (await client.get("a")).entry !== undefined);
    await put(client, "a", "3");
  });

  test("etcd 0.6 s late each way: every renewal of a lease is answered, and the member stays in use", async (t) => {
    const server = await etcd(t, { isHidden: true });
    const proxy = await TcpProxy.start(server.port());
    t.after(() => proxy.close());
    const client = registry(t, [proxy.url]);
    const { id } = await client.grantLease(60_000);
    proxy.delayMs = 600;
    const took: number[] = [];
    const time = async (call: Promise<unknown>): Promise<void> => {
      const fromMs = performance.now();
      await call;
      took.push(Math.round(performance.now() - fromMs));
    };
    for (let round = 0; round < 4; round++) {
      await time(client.renewLease(id));
      await time(client.get("a")); // a member that rests is checked first, which takes as long again
    }
    assert.ok(Math.min(...took) >= 1_150, `it was not late: ${took.join(", ")} ms`);
    assert.ok(Math.max(...took) < requestTimeoutMs, `the calls took ${took.join(", ")} ms`);
  });

  test("a renewal that a frozen member does not answer goes on through another one", async (t) => {
    const server = await etcd(t, { members: 3, isHidden: true });
    const frozen = await follower(server);
    const other = [0, 1, 2].find((member) => member !== frozen)!;
    for (let round = 0; round < 3; round++) {
      // Whenever both are good, the one that will be frozen is asked
      const asked = { ...clock, random: () => 0 };
      const client = connect([server.endpoint(frozen), server.endpoint(other)], {}, { clock: asked });
      t.after(() => client.close());
      const { id } = await client.grantLease(60_000);
      await clock.sleep(500); // in which both have answered a check
      server.freeze(frozen);
      const took: number[] = [];
      for (let renewal = 0; renewal < 4; renewal++) {
        const fromMs = performance.now();
        await renew({ registry: client, clock, id, everyMs: 1_000 }, never);
        took.push(Math.round(performance.now() - fromMs));
      }
      server.thaw(frozen);
      assert.ok(took[0]! >= 700, `the frozen member was not asked: ${took.join(", ")} ms`);
      assert.ok(Math.max(...took) < 2_500, `the renewals took ${took.join(", ")} ms`);
    }
  });

  test("a write whose answer is lost is sent once, not again behind the caller's back", async (t) => {
    const server = await etcd(t);
    const client = registry(t, server.endpoints, { requestTimeoutMs: 500 });
    const { revision } = await put(client, "a", "before");
    server.freeze();
    await rejectsWith("registry-unreachable", put(client, "a", "once"));
    server.thaw();
    const witness = registry(t, server.endpoints);
    await clock.sleep(2_000); // time in which a hidden attempt would arrive
    const { entry } = await witness.get("a");
    assert.ok(
      entry !== undefined && entry.modRevision <= revision + 1,
      `written ${(entry?.modRevision ?? 0) - revision} times`,
    );
  });

  test("a restarted etcd: watches break and resume, leases and keys live on", async (t) => {
    const server = await etcd(t);
    const client = registry(t, server.endpoints);
    const lease = await client.grantLease(30_000);
    const { revision } = await put(client, "a", "1", lease.id);
    const watch = client.watch("", revision + 1, never)[Symbol.asyncIterator]();
    await watch.next();
    const broken = rejectsWith("registry-unreachable", watch.next());
    await server.kill();
    await broken;
    await rejectsWith("registry-unreachable", client.get("a"));
    await server.start();
    await eventually(async () => (await client.get("a")).entry?.lease === lease.id);
    await client.renewLease(lease.id);
    const later = await put(client, "b", "2");
    for await (const batch of client.watch("", revision + 1, never)) {
      if (batch.changes.length === 0) continue;
      assert.equal(batch.revision, later.revision);
      break;
    }
  });

  test("a leader on a frozen etcd stands down before its lease ends; another leads after the thaw, in a higher epoch", async (t) => {
    const server = await etcd(t);
    const stop = new AbortController();
    t.after(() => stop.abort());
    const run = (value: string) => {
      const client = registry(t, server.endpoints);
      return campaign({ registry: client, clock, log: quietLog, key: "leader", value, leaseMs: 3_000 }, stop.signal);
    };
    const first = await run("a");
    assert.ok(first);
    const second = run("b");
    const frozenMs = performance.now();
    server.freeze();
    await over(first.signal);
    const stoodMs = performance.now() - frozenMs;
    assert.ok(stoodMs < 3_000, `stood down after ${stoodMs} ms`);
    assert.equal(first.alive(), false);
    server.thaw();
    const next = await second;
    assert.ok(next);
    assert.ok(next.epoch > first.epoch);
    const stale = await registry(t, server.endpoints).write({
      guards: [first.guard],
      writes: [{ kind: "put", key: "x", value: "stale" }],
    });
    assert.equal(stale.applied, false);
    await next.resign();
  });

  test("one of three endpoints frozen: a caller that repeats reads and guarded writes sees at most short faults", async (t) => {
    const server = await etcd(t, { members: 3 });
    const client = registry(t, server.endpoints, { requestTimeoutMs: 1_000 });
    await put(client, "a", "0");
    server.freeze(2);
    await eventually(async () => (await client.get("a")).entry !== undefined); // if it led, another has to be elected
    let failed = 0;
    let worstMs = 0;
    const total = 60;
    for (let index = 0; index < total; index++) {
      const fromMs = performance.now();
      await put(client, "a", String(index)).catch((error: unknown) => {
        assert.equal(codeOf(error), "registry-unreachable");
        failed++;
      });
      worstMs = Math.max(worstMs, performance.now() - fromMs);
    }
    assert.ok(worstMs < 1_600, `a call took ${worstMs} ms`);
    assert.ok(failed <= total / 4, `${failed} of ${total} calls failed`);
    server.thaw(2);
    await eventually(async () => (await put(client, "a", "end")).applied);
  });

  test("no etcd at all: one clear problem, at once", async (t) => {
    const client = registry(t, ["http://localhost:1"]);
    const problem = await rejectsWith("registry-unreachable", client.read("machines/"));
    assert.match(problem.message, /^Cannot read registry keys under "machines\/"$/);
    assert.match(String(problem.hint), /Check that etcd is running/);
  });

  test("with users: right, wrong and missing logins, keys beyond the user's rights, and a restart", async (t) => {
    const server = await etcd(t);
    const password = "s3cret-pass";
    await server.enableAuth({ name: "fleet", password, prefix: "/flotilla/" });
    const login = { username: "fleet", password: new Secret(password) };
    const client = registry(t, server.endpoints, login);
    const { revision } = await put(client, "a", "1");
    assert.equal((await client.read("")).entries.length, 1);

    const wrong = registry(t, server.endpoints, { username: "fleet", password: new Secret("wr0ng-pass") });
    const refusal = await rejectsWith("registry-refused", wrong.get("a"));
    assert.match(String(refusal.hint), /username and password/);
    assert.doesNotMatch(`${explainError(refusal)} ${JSON.stringify(refusal)}`, /wr0ng|s3cret/);
    await rejectsWith("registry-refused", wrong.watch("", 1, never)[Symbol.asyncIterator]().next());
    const none = registry(t, server.endpoints);
    assert.match(String((await rejectsWith("registry-refused", none.get("a"))).hint), /asks for a user/);
    const beyond = registry(t, server.endpoints, { ...login, prefix: "/other/" });
    assert.match(String((await rejectsWith("registry-refused", beyond.get("a"))).hint), /right to read and write/);
    await rejectsWith("registry-refused", put(beyond, "a", "1"));
    await rejectsWith("registry-refused", nextChange(beyond, 1));

    const watch = client.watch("", revision + 1, never)[Symbol.asyncIterator]();
    await watch.next();
    const broken = watch.next().then(
      () => "went on",
      (error: unknown) => codeOf(error),
    );
    await server.restart(); // forgets every token
    assert.match(String(await broken), /registry-unreachable|watch-compacted/);
    await eventually(async () => (await client.get("a")).entry?.value === "1");
    const mirror = createMirror({ registry: client, clock, log: quietLog, prefix: "" });
    const release = mirror.acquire();
    t.after(release);
    await mirror.ready(AbortSignal.timeout(10_000));
    await server.restart();
    let last = 0;
    await eventually(async () => {
      last = (await put(client, "a", "2")).revision;
      return true;
    });
    await mirror.reached(last, AbortSignal.timeout(20_000));
    assert.equal(mirror.get("a")?.value, "2");
  });

  test("a user where etcd knows none", async (t) => {
    const server = await etcd(t);
    const client = registry(t, server.endpoints, { username: "fleet", password: new Secret("x") });
    assert.match(String((await rejectsWith("registry-refused", client.get("a"))).hint), /knows no users/);
  });

  test("TLS: with its certificates it works; a wrong CA, no client certificate and unreadable files are refused", async (t) => {
    const server = await etcd(t, { tls: true });
    const { ca, cert, key, otherCa } = server.tls!;
    const good = { caFile: ca, certFile: cert, keyFile: key };
    const client = registry(t, server.endpoints, good);
    const { revision } = await put(client, "a", "1");
    for await (const batch of client.watch("a", revision, never)) if (batch.changes.length === 1) break;

    const wrongCa = registry(t, server.endpoints, { ...good, caFile: otherCa });
    const problem = await rejectsWith("registry-refused", wrongCa.get("a"));
    assert.match(String(problem.hint), /CA, certificate and key/);
    await rejectsWith("registry-refused", wrongCa.get("a"));
    await rejectsWith("registry-refused", registry(t, server.endpoints, { caFile: ca }).get("a"));
    await rejectsWith("registry-refused", registry(t, server.endpoints).get("a"));

    const missing = registry(t, server.endpoints, { ...good, caFile: join(server.directory, "none.crt") });
    assert.match(explainError(await rejectsWith("registry-refused", missing.get("a"))), /none\.crt.*ENOENT/);
    const broken = join(server.directory, "broken.crt");
    writeFileSync(broken, "not a certificate");
    await rejectsWith("registry-refused", registry(t, server.endpoints, { ...good, certFile: broken }).get("a"));
    const plain = registry(
      t,
      server.endpoints.map((each) => each.replace("https", "http")),
    );
    await rejectsWith("registry-unreachable", plain.get("a"));
  });

  test("another cluster's prefix is another world", async (t) => {
    const server = await etcd(t);
    const [one, two] = [registry(t, server.endpoints), registry(t, server.endpoints, { prefix: "/flotilla-two/" })];
    await put(one, "a", "1");
    await put(two, "a", "2");
    const guarded = await two.write({
      guards: [{ kind: "created", key: "b", revision: 0 }],
      writes: [{ kind: "put", key: "b", value: "2" }],
    });
    assert.equal(guarded.applied, true);
    const content = async (each: Registry) => (await each.read("")).entries.map(({ key, value }) => `${key}=${value}`);
    assert.deepEqual(await content(one), ["a=1"]);
    assert.deepEqual(await content(two), ["a=2", "b=2"]);
  });
});

async function etcd(t: TestContext, options: EtcdOptions = {}): Promise<EtcdServer> {
  const server = await startEtcd(options);
  t.after(() => server.close());
  return server;
}

function registry(
  t: TestContext,
  endpoints: readonly string[],
  settings: Parameters<typeof connect>[1] = {},
): Registry {
  const client = connect(endpoints, settings);
  t.after(() => client.close());
  return client;
}

/** A member that does not lead. */
async function follower(server: EtcdServer): Promise<number> {
  for (let member = 0; ; member++) {
    const status = (await server.call("/v3/maintenance/status", {}, { member })) as {
      readonly header: { readonly member_id: string };
      readonly leader: string;
    };
    if (status.leader !== status.header.member_id) return member;
  }
}

function put(client: Registry, key: string, value: string, lease?: Extract<Write, { kind: "put" }>["lease"]) {
  return client.write({
    guards: [],
    writes: [{ kind: "put", key, value, ...(lease === undefined ? {} : { lease }) }],
  });
}

async function nextChange(client: Registry, from: number): Promise<void> {
  for await (const batch of client.watch("", from, never)) if (batch.changes.length > 0) return;
}

/** Until it is so; a registry that cannot be reached yet is part of the waiting. */
async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    const isSo = await condition().catch((error: unknown) => {
      if (codeOf(error) !== "registry-unreachable") throw error;
      return false;
    });
    if (isSo) return;
    if (performance.now() > endMs) throw new Error("It did not come about within 20 s");
    await clock.sleep(100);
  }
}

function over(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
