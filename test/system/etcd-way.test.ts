// The way from a machine to etcd: straight, whatever proxy the environment names; by a new connection where one is silent, and
// by none where an endpoint rests; to one cluster, and to nothing that is no etcd. Real etcd on loopback.
import assert from "node:assert/strict";
import { createServer as createHttp2 } from "node:http2";
import { type AddressInfo, type Server, type Socket, connect as dial, createServer } from "node:net";
import { type TestContext, describe, test } from "node:test";
import { Secret } from "../../agent/domain/settings.ts";
import { rejectsWith } from "../contract/registry.ts";
import { clock, connect, connectCluster } from "./etcd-client.ts";
import { startEtcd, withoutEtcd } from "./etcd-server.ts";

describe("the way to etcd", { skip: withoutEtcd, timeout: 120_000 }, () => {
  for (const name of ["https_proxy", "http_proxy", "grpc_proxy"])
    test(`${name} is not gone through`, async (t) => {
      const server = await startEtcd();
      t.after(() => server.close());
      setVariable(t, name, "http://127.0.0.1:1");
      const client = connect(server.endpoints);
      t.after(() => client.close());
      assert.equal((await client.get("a")).entry, undefined);
    });

  test("behind one address a silent member is left for another within the machine's lease", async (t) => {
    const server = await startEtcd({ members: 3, isHidden: true });
    t.after(() => server.close());
    let target = 0;
    const balancer = createServer((from) => {
      const to = dial(server.port(target), "127.0.0.1");
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const)
        one
          .on("error", () => undefined)
          .on("close", () => other.destroy())
          .pipe(other);
    });
    const client = connect([`http://127.0.0.1:${await listen(t, balancer)}`]);
    t.after(() => client.close());
    const { revision } = await client.get("a");
    const watch = client.watch("", revision + 1, new AbortController().signal)[Symbol.asyncIterator]();
    await watch.next();
    const broken = rejectsWith("registry-unreachable", watch.next());
    target = 1;
    server.freeze(0);
    const fromMs = performance.now();
    while (!(await client.get("a").then(isSo, () => false))) await clock.sleep(100);
    const tookMs = performance.now() - fromMs;
    assert.ok(tookMs < 9_000, `it took ${tookMs} ms`);
    await broken;
    server.thaw(0);
  });

  test("two clusters with users: no call fails for the one that is not used", async (t) => {
    const servers = [await startEtcd({ isHidden: true }), await startEtcd({ isHidden: true })];
    t.after(() => Promise.all(servers.map((server) => server.close())));
    const [name, password] = ["fleet", "s3cret-pass"];
    for (const server of servers) await server.enableAuth({ name, password, prefix: "/flotilla/" });
    // A login keeps etcd's processor busy for a good part of a second
    const login = { username: name, password: new Secret(password), requestTimeoutMs: 10_000 };
    const client = connect(
      servers.flatMap((server) => server.endpoints),
      login,
    );
    t.after(() => client.close());
    for (let call = 0; call < 40; call++) {
      await client.get("a");
      await clock.sleep(100);
    }
  });

  test("what answers without a header is no etcd, and that is said", async (t) => {
    const empty = createHttp2();
    empty.on("stream", (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.alloc(5)); // one message, with nothing in it
    });
    const url = `http://127.0.0.1:${await listen(t, empty)}`;
    const client = connect([url]);
    t.after(() => client.close());
    const put = { kind: "put", key: "a", value: "1" } as const;
    const members = connectCluster([url]);
    t.after(() => members.close());
    for (const call of [
      () => client.get("a"),
      () => client.read(""),
      () => client.write({ guards: [], writes: [put] }),
      () => client.watch("", 2, new AbortController().signal)[Symbol.asyncIterator]().next(),
      () => members.members(),
    ])
      assert.match(String((await rejectsWith("registry-refused", call())).hint), /no header/);
  });

  test("an endpoint that rests is not connected to", async (t) => {
    const server = await startEtcd({ isHidden: true });
    t.after(() => server.close());
    let connections = 0;
    const bad = createServer((socket) => {
      connections++;
      socket.on("error", () => undefined).destroy();
    });
    const client = connect([`http://127.0.0.1:${await listen(t, bad)}`, ...server.endpoints]);
    t.after(() => client.close());
    for (let call = 0; call < 20; call++) {
      await client.get("a");
      await clock.sleep(50);
    }
    assert.ok(connections > 0);
    const before = connections;
    await clock.sleep(6_000);
    assert.equal(connections, before);
  });
});

function isSo(): true {
  return true;
}

async function listen(t: TestContext, server: Pick<Server, "on" | "listen" | "close" | "address">): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Until the test is over. */
function setVariable(t: TestContext, name: string, value: string): void {
  const before = process.env[name];
  process.env[name] = value;
  t.after(() => {
    if (before === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = before;
  });
}
