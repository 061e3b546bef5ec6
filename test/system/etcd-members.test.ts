// A cluster's members come and go, on real etcd: the registry learns all of them from one, survives losing any of them,
// starts again without the one that it was given, and refuses another cluster. And etcd's member calls themselves.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createPlain } from "node:http";
import { createServer as createSecure } from "node:https";
import { type AddressInfo, type Server, type Socket, createServer as createSilent } from "node:net";
import { type TestContext, describe, test } from "node:test";
import { EtcdConnection } from "../../agent/adapters/registry/etcd-connection.ts";
import { parseKept } from "../../agent/adapters/registry/etcd-endpoints.ts";
import { keptFile } from "../../agent/adapters/registry/etcd-membership.ts";
import { membersOverPeer } from "../../agent/adapters/registry/etcd-peers.ts";
import { explainError } from "../../agent/domain/problem.ts";
import { Secret } from "../../agent/domain/settings.ts";
import { createMirror } from "../../agent/loops/mirror.ts";
import type { Clock } from "../../agent/ports/clock.ts";
import type { EtcdCluster } from "../../agent/ports/etcd-cluster.ts";
import type { Registry } from "../../agent/ports/registry.ts";
import { rejectsWith } from "../contract/registry.ts";
import { MemoryDisk } from "../fakes/memory-disk.ts";
import { MemoryLog } from "../fakes/memory-log.ts";
import { type World, clock, connect, connectCluster, quietLog, settingsFor } from "./etcd-client.ts";
import { readFigures } from "./etcd-meter.ts";
import { type EtcdOptions, type EtcdServer, startEtcd, withoutEtcd } from "./etcd-server.ts";

const directory = "/var/lib/flotilla";

describe("etcd's members", { skip: withoutEtcd, timeout: 240_000 }, () => {
  test("given one of three, it learns the others; that one is lost for good, and everything goes on", async (t) => {
    const server = await etcd(t, { members: 3 });
    const disk = new MemoryDisk();
    const later = laterClock();
    const client = registry(t, [server.endpoint(0)], { keeping: { disk, directory }, clock: later.clock });
    const lease = await client.grantLease(60_000);
    const { revision } = await put(client, "a", "0", lease.id);
    await eventually(() => kept(disk).length === 3);
    assert.deepEqual([...kept(disk)].sort(), [...server.endpoints].sort());

    // Several watches, so that some stand on the member that is lost.
    const mirrors = Array.from({ length: 18 }, () =>
      createMirror({ registry: client, clock, log: quietLog, prefix: "" }),
    );
    for (const mirror of mirrors) t.after(mirror.acquire());
    for (const mirror of mirrors) await mirror.ready(AbortSignal.timeout(10_000));
    await server.lose(0);
    const felt = await feel(client, { calls: 200, lease: lease.id });
    t.diagnostic(`a member killed: ${shown(felt)}`);
    assert.ok(felt.failed <= 10, shown(felt));
    assert.ok(felt.lastFailedMs < 5_000, shown(felt)); // if it led, another has to be elected
    const last = await put(client, "a", "1", lease.id);
    assert.ok(last.revision > revision);
    for (const mirror of mirrors) await mirror.reached(last.revision, AbortSignal.timeout(10_000));
    await client.renewLease(lease.id);

    const again = registry(t, [server.endpoint(0)], { keeping: { disk, directory } });
    assert.equal((await again.get("a")).entry?.value, "1", "from the kept list");

    // The lost member is replaced by one at other ports.
    const cluster = etcdCluster(t, server.endpoints);
    const lost = (await cluster.members()).members.find(({ name }) => name === "m0");
    await whenHealthy(() => cluster.removeMember(lost?.id ?? ""));
    const place = await server.prepareMember();
    await whenHealthy(() => cluster.addMember([server.peerUrl(place)]));
    await server.start();
    later.pass(400_000);
    await eventually(async () => {
      await client.get("a");
      return kept(disk).includes(server.endpoint(place));
    });
    assert.deepEqual([...kept(disk)].sort(), [...server.endpoints].sort());
    // Of the three that it was born with, two more go, one after the other: by now it knows the new one.
    const { members } = await cluster.members();
    const old = members.find(({ name }) => name === "m1")?.id ?? "";
    await whenHealthy(() => cluster.removeMember(old));
    await server.lose(1);
    await eventually(async () => (await put(client, "a", "2")).applied);
  });

  test("a frozen member is left alone after the first calls, and its watches move", async (t) => {
    const server = await etcd(t, { members: 3 });
    const client = registry(t, server.endpoints);
    await put(client, "a", "0");
    // The first to answer serves until the others have been looked at
    await eventually(async () => {
      await client.get("a");
      return ((await readFigures(server.endpoint(2))).requests.get("Range") ?? 0) > 1;
    });
    const mirrors = Array.from({ length: 30 }, () =>
      createMirror({ registry: client, clock, log: quietLog, prefix: "" }),
    );
    for (const mirror of mirrors) t.after(mirror.acquire());
    for (const mirror of mirrors) await mirror.ready(AbortSignal.timeout(10_000));
    server.freeze(2);
    t.after(() => server.thaw(2));
    const fromMs = performance.now();
    const felt = await feel(client, { calls: 300 });
    t.diagnostic(`a member frozen: ${shown(felt)}`);
    assert.ok(felt.failed <= 10, shown(felt));
    const { revision } = await put(client, "a", "1");
    for (const mirror of mirrors) await mirror.reached(revision, AbortSignal.timeout(10_000));
    const moved = mirrors.map(({ connectedSinceMs }) => connectedSinceMs - fromMs).filter((afterMs) => afterMs > 0);
    t.diagnostic(`${moved.length} watches moved, the last after ${Math.round(Math.max(...moved))} ms`);
    assert.ok(moved.length > 0, "a third of them stood there");
    server.thaw(2);
    await eventually(async () => (await put(client, "a", "2")).applied);
  });

  test("when the endpoints change, a watch on one that is no longer among them goes on", async (t) => {
    const server = await etcd(t);
    const url = server.endpoint();
    const connection = new EtcdConnection({ settings: settingsFor([url]), clock, log: quietLog });
    t.after(() => connection.close());
    const key = Buffer.from("/flotilla/a");
    const request = { create_request: { key } };
    const stream = await connection.stream("watch", { service: "Watch", method: "watch", request });
    t.after(stream.cancel);
    connection.use([url.replace("localhost", "127.0.0.1")]);
    await connection.call("put", { service: "KV", method: "put", request: { key, value: Buffer.from("1") } });
    const response = (await stream.next()) as { readonly events: readonly unknown[] };
    assert.equal(response.events.length, 1);
  });

  test("endpoints that are dead or silent at the start cost no call", async (t) => {
    const server = await etcd(t);
    const silent = await listen(
      t,
      createSilent(() => undefined),
    );
    const client = registry(t, ["http://localhost:1", `http://localhost:${silent}`, server.endpoint()]);
    const fromMs = performance.now();
    await Promise.all(Array.from({ length: 10 }, (_, index) => put(client, `k${index}`, "1")));
    assert.ok(performance.now() - fromMs < 1_500, "it waited for those that do not answer");
    for (let index = 0; index < 50; index++) await put(client, "a", String(index));
  });

  test("another cluster is refused before anything is written there, until the file is removed", async (t) => {
    const [mine, other] = [await etcd(t), await etcd(t)];
    const disk = new MemoryDisk();
    const keeping = { disk, directory };
    const first = registry(t, mine.endpoints, { keeping });
    await put(first, "a", "mine");
    await eventually(() => disk.files.has(keptFile));
    const [myId, otherId] = await Promise.all(
      [mine, other].map(async (each) => (await membersOverPeer([each.peerUrl()])).clusterId),
    );
    assert.notEqual(myId, otherId);
    const before = await other.revision();

    await mine.stop();
    const log = new MemoryLog();
    const strayed = registry(t, other.endpoints, { keeping, log });
    const refusal = await rejectsWith("registry-refused", put(strayed, "a", "stray"));
    const said = `${refusal.message} ${String(refusal.hint)}`;
    for (const part of [myId, otherId, other.endpoint(), `${directory}/${keptFile}`])
      assert.ok(said.includes(String(part)), `${String(part)} in: ${said}`);
    await rejectsWith("registry-refused", strayed.grantLease(5_000));
    await rejectsWith("registry-refused", strayed.watch("", 1, never)[Symbol.asyncIterator]().next());
    assert.equal(await other.revision(), before, "nothing was written");
    assert.equal(log.lines.filter((line) => JSON.stringify(line).includes("foreign-cluster")).length, 1);

    disk.files.delete(keptFile);
    const moved = registry(t, other.endpoints, { keeping });
    await put(moved, "a", "1");
    await eventually(() => disk.files.has(keptFile));
    assert.ok(disk.files.get(keptFile)?.includes(String(otherId)));
  });

  test("endpoints of two clusters: only the one that answered first is used", async (t) => {
    const [one, two] = [await etcd(t), await etcd(t)];
    const client = registry(t, [one.endpoint(), two.endpoint()]);
    for (let index = 0; index < 40; index++) await put(client, `k${index}`, "1");
    const { entries } = await client.read("");
    assert.equal(entries.length, 40, "all in one place");
  });

  test("a damaged file is set aside and told, and the configured endpoints do", async (t) => {
    const server = await etcd(t);
    const disk = new MemoryDisk();
    disk.files.set(keptFile, "{ half");
    const log = new MemoryLog();
    const client = registry(t, server.endpoints, { keeping: { disk, directory }, log });
    await put(client, "a", "1");
    assert.ok(log.lines.some((line) => JSON.stringify(line).includes("registry.endpoints-damaged")));
    assert.equal(disk.files.get("etcd-endpoints.damaged.json"), "{ half");
    await eventually(() => kept(disk).length === 1);
  });

  test("a disk that cannot be written changes nothing", async (t) => {
    const server = await etcd(t, { members: 3 });
    const disk = new MemoryDisk();
    disk.isFull = true;
    const log = new MemoryLog();
    const client = registry(t, [server.endpoint(0)], { keeping: { disk, directory }, log });
    await put(client, "a", "1");
    await eventually(() => log.lines.some((line) => JSON.stringify(line).includes("registry.endpoints-unkept")));
    await server.kill(0);
    await eventually(async () => (await put(client, "a", "2")).applied);
  });

  test("with users: a user without the role root learns the members, and may not change them", async (t) => {
    const server = await etcd(t, { members: 3 });
    await server.enableAuth({ name: "fleet", password: "s3cret-pass", prefix: "/flotilla/" });
    const login = { username: "fleet", password: new Secret("s3cret-pass") };
    const disk = new MemoryDisk();
    const client = connect([server.endpoint(0)], login, { keeping: { disk, directory } });
    t.after(() => client.close());
    await put(client, "a", "1");
    await eventually(() => kept(disk).length === 3);
    const cluster = connectCluster(server.endpoints, login);
    t.after(() => cluster.close());
    await rejectsWith("registry-refused", cluster.addMember(["http://127.0.0.1:1"]));
    const root = connectCluster(server.endpoints, { username: "root", password: new Secret("rootpass") });
    t.after(() => root.close());
    const { members } = await whenHealthy(() => root.addMember(["http://127.0.0.1:1"]));
    assert.equal(members.length, 4);
  });

  test("an idle registry asks no more than its leases need", async (t) => {
    const server = await etcd(t);
    const client = registry(t, server.endpoints, { keeping: { disk: new MemoryDisk(), directory } });
    const lease = await client.grantLease(10_000);
    await client.renewLease(lease.id);
    await clock.sleep(500); // the look at the members that follows the first call
    const before = await server.requests();
    for (let index = 0; index < 20; index++) await client.renewLease(lease.id);
    assert.equal((await server.requests()) - before, 20);
  });

  test("members: listed, added, refused, removed", async (t) => {
    const server = await etcd(t, { members: 3 });
    const cluster = etcdCluster(t, [server.endpoint(1)]);
    const before = await cluster.members();
    assert.match(before.clusterId, /^[1-9a-f][0-9a-f]{0,15}$/);
    assert.deepEqual(before.members.map(({ name }) => name).sort(), ["m0", "m1", "m2"]);
    for (const each of before.members) {
      const index = Number(each.name.slice(1));
      assert.deepEqual([each.peerUrls, each.clientUrls], [[server.peerUrl(index)], [server.endpoint(index)]]);
      assert.equal(each.isLearner, false);
    }
    await rejectsWith(
      "member-exists",
      whenHealthy(() => cluster.addMember([server.peerUrl(2)])),
    );
    const { added, members } = await whenHealthy(() => cluster.addMember(["http://127.0.0.1:1", "http://127.0.0.1:2"]));
    assert.deepEqual(
      { ...added, id: "", peerUrls: [...added.peerUrls].sort() },
      {
        id: "",
        name: "",
        peerUrls: ["http://127.0.0.1:1", "http://127.0.0.1:2"],
        clientUrls: [],
        isLearner: false,
      },
    );
    assert.ok(members.some(({ id }) => id === added.id) && members.length === 4);
    const problem = await rejectsWith("cluster-unhealthy", cluster.addMember(["http://127.0.0.1:4"]));
    assert.match(problem.message, /^Cannot add a member with peer URL "http:\/\/127.0.0.1:4" to etcd$/);
    await cluster.removeMember(added.id);
    await cluster.removeMember(added.id);
    assert.deepEqual((await cluster.members()).members, before.members);
    await rejectsWith("registry-refused", cluster.removeMember("m0"));
    await rejectsWith("registry-refused", cluster.addMember([]));
    await rejectsWith("registry-refused", cluster.addMember(["nonsense"]));
    const stopped = AbortSignal.abort();
    await rejectsWith("aborted", cluster.members(stopped));
    await cluster.close();
    await rejectsWith("aborted", cluster.members());
  });

  test("over peers: the same list, from whichever peer answers", async (t) => {
    const server = await etcd(t, { members: 3 });
    const listed = await etcdCluster(t, server.endpoints).members();
    assert.deepEqual(await membersOverPeer([server.peerUrl(0)]), listed);
    await server.kill(0);
    const silent = await listen(
      t,
      createSilent(() => undefined),
    );
    const peers = [server.peerUrl(0), `http://127.0.0.1:${silent}`, "nonsense", server.peerUrl(1)];
    assert.deepEqual(await membersOverPeer(peers), listed);
    const problem = await rejectsWith("registry-unreachable", membersOverPeer([server.endpoint(1)]));
    assert.match(explainError(problem), /is not etcd|HTTP status/); // a client URL is none
  });

  test("over peers: what is no etcd, too much, elsewhere or silent is told, in time", async (t) => {
    const port = await listen(
      t,
      createPlain((request, response) => {
        const id = { "x-etcd-cluster-id": "ab" };
        if (request.headers.host?.startsWith("127.0.0.1") === true) response.writeHead(302, { location: "/elsewhere" });
        else if (request.headers.host?.startsWith("localhost") === true)
          response.writeHead(200, id).write("x".repeat(300_000));
        else response.writeHead(200, id).write("{}");
        response.end();
      }),
    );
    const silent = await listen(
      t,
      createSilent(() => undefined),
    );
    const cases: readonly (readonly [url: string, words: RegExp])[] = [
      [`http://127.0.0.1:${port}`, /HTTP status 302/],
      [`http://localhost:${port}`, /more than 262144 bytes/],
      [`http://127.0.0.2:${port}`, /this is not etcd/],
      [`http://127.0.0.1:${silent}`, /no answer within 0.3 s/],
      ["http://127.0.0.1:1", /ECONNREFUSED/],
      ["unix:///run/x", /unix/],
    ];
    for (const [url, words] of cases) {
      const problem = await rejectsWith("registry-unreachable", membersOverPeer([url], { timeoutMs: 300 }));
      assert.match(explainError(problem), words, url);
    }
    const stop = new AbortController();
    const asked = membersOverPeer([`http://127.0.0.1:${silent}`], { signal: stop.signal });
    stop.abort();
    await rejectsWith("aborted", asked);
    await rejectsWith("registry-refused", membersOverPeer([]));
    await rejectsWith("registry-refused", membersOverPeer(["https://127.0.0.1:1"], { tls: { caFile: "/none.pem" } }));
  });

  test("over peers with TLS: its authority and its certificate", async (t) => {
    const { ca, cert, key, otherCa } = (await etcd(t, { tls: true })).tls!;
    const files = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
    const list =
      '[{"id":13848237193218254693,"peerURLs":["https://p:2380"],"name":"m","clientURLs":["https://c:2379"]}]';
    const port = await listen(
      t,
      createSecure({ ...files, requestCert: true, rejectUnauthorized: true }, (_, response) => {
        response.writeHead(200, { "x-etcd-cluster-id": "00ab" }).end(list);
      }),
    );
    const url = [`https://localhost:${port}`];
    assert.deepEqual(await membersOverPeer(url, { tls: { caFile: ca, certFile: cert, keyFile: key } }), {
      clusterId: "ab",
      members: [
        {
          id: 13848237193218254693n.toString(16),
          name: "m",
          peerUrls: ["https://p:2380"],
          clientUrls: ["https://c:2379"],
          isLearner: false,
        },
      ],
    });
    await rejectsWith("registry-unreachable", membersOverPeer(url, { tls: { caFile: ca } }));
    const wrong = { caFile: otherCa, certFile: cert, keyFile: key };
    await rejectsWith("registry-unreachable", membersOverPeer(url, { tls: wrong }));
  });
});

const never = new AbortController().signal;

async function etcd(t: TestContext, options: EtcdOptions = {}): Promise<EtcdServer> {
  const server = await startEtcd(options);
  t.after(() => server.close());
  return server;
}

function registry(t: TestContext, endpoints: readonly string[], world: World = {}): Registry {
  const client = connect(endpoints, {}, world);
  t.after(() => client.close());
  return client;
}

function etcdCluster(t: TestContext, endpoints: readonly string[]): EtcdCluster {
  const cluster = connectCluster(endpoints);
  t.after(() => cluster.close());
  return cluster;
}

function put(client: Registry, key: string, value: string, lease?: Awaited<ReturnType<Registry["grantLease"]>>["id"]) {
  return client.write({
    guards: [],
    writes: [{ kind: "put", key, value, ...(lease === undefined ? {} : { lease }) }],
  });
}

function kept(disk: MemoryDisk): readonly string[] {
  const read = parseKept(disk.files.get(keptFile) ?? "");
  return read.ok ? read.value.endpoints : [];
}

/** etcd changes members only when the others have been in touch for five seconds, or a lost one has been missed. */
async function whenHealthy<T>(change: () => Promise<T>): Promise<T> {
  let result: T | undefined;
  await eventually(async () => {
    try {
      result = await change();
      return true;
    } catch (error) {
      if (codeOf(error) === "cluster-unhealthy") return false;
      throw error;
    }
  });
  return result as T;
}

/** The real clock, put forward on request. */
function laterClock(): { readonly clock: Clock; readonly pass: (ms: number) => void } {
  let aheadMs = 0;
  return {
    clock: { ...clock, monotonicMs: () => clock.monotonicMs() + aheadMs },
    pass: (ms) => (aheadMs += ms),
  };
}

interface Felt {
  readonly calls: number;
  readonly failed: number;
  readonly worstMs: number;
  /** From the first call until the last that failed was over. */
  readonly lastFailedMs: number;
}

/** Writes, one after another with a short pause, as many as said; with a lease, renewals in between. */
async function feel(
  client: Registry,
  options: { calls: number; lease?: Parameters<Registry["renewLease"]>[0] },
): Promise<Felt> {
  const { calls, lease } = options;
  const fromMs = performance.now();
  let [failed, worstMs, lastFailedMs] = [0, 0, 0];
  for (let index = 0; index < calls; index++) {
    const calledMs = performance.now();
    try {
      if (lease !== undefined && index % 5 === 4) await client.renewLease(lease);
      else await put(client, "felt", String(index));
    } catch (error) {
      assert.equal(codeOf(error), "registry-unreachable");
      failed++;
      lastFailedMs = performance.now() - fromMs;
    }
    worstMs = Math.max(worstMs, performance.now() - calledMs);
    await clock.sleep(20);
  }
  return { calls, failed, worstMs, lastFailedMs };
}

function shown({ calls, failed, worstMs, lastFailedMs }: Felt): string {
  return `${failed} of ${calls} calls failed, the last after ${Math.round(lastFailedMs)} ms; the longest took ${Math.round(worstMs)} ms`;
}

/** Until it is so; a registry that cannot be reached yet is part of the waiting. */
async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    const isSo = await Promise.resolve()
      .then(condition)
      .catch((error: unknown) => {
        if (codeOf(error) !== "registry-unreachable") throw error;
        return false;
      });
    if (isSo) return;
    if (performance.now() > endMs) throw new Error("It did not come about within 20 s");
    await clock.sleep(50);
  }
}

/** On a port of loopback; its connections end with the test. */
async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()); // the other end went away, as some of the tests have it
  });
  server.listen(0);
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
