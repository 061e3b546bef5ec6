// flotilla's discovery service as etcd itself uses it: real members with --discovery against it, long polls over real
// HTTP, a restart in the middle, and what it refuses. Our own joining is tried in discovery-join.test.ts.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { randomBytes } from "node:crypto";
import { serveTcp } from "../../agent/adapters/api-server.ts";
import { freePorts } from "../../agent/adapters/child.ts";
import { createClock } from "../../agent/adapters/clock.ts";
import { createDisk } from "../../agent/adapters/disk.ts";
import { createDiscoveryService } from "../../agent/api/discovery-service.ts";
import type { TcpServer } from "../../agent/ports/api-server.ts";
import { silentLog } from "../fakes/silent-log.ts";
import { withoutEtcd } from "./etcd-server.ts";

const day = 86_400_000;
let directory: string;
let port: number;
let server: TcpServer;
const members: ChildProcess[] = [];

async function start(): Promise<void> {
  const handler = await createDiscoveryService({
    disk: createDisk(join(directory, "service")),
    clock: createClock(),
    log: silentLog,
    newToken: () => randomBytes(16).toString("hex"),
    publicUrl: undefined,
    lifetimes: { formedMs: day, openMs: day },
  });
  server = await serveTcp(handler, { host: "127.0.0.1", port });
  ({ port } = server);
}

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "flotilla-discovery-"));
  [port = 0] = await freePorts(1);
  await start();
});

after(async () => {
  for (const each of members) each.kill("SIGKILL");
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const bound = (): { readonly signal: AbortSignal } => ({ signal: AbortSignal.timeout(20_000) });

async function newToken(size: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/new?size=${size}`, { method: "POST", ...bound() });
  assert.equal(response.status, 200);
  return response.text();
}

async function register(
  url: string,
  { id, value }: { readonly id: string; readonly value: string },
): Promise<Response> {
  const body = new URLSearchParams({ value });
  return fetch(`${url}/${id}?prevExist=false`, { method: "PUT", body, ...bound() });
}

/** A real member that asks the service itself. */
async function member(url: string, name: string): Promise<{ readonly client: string; readonly log: string }> {
  const [client = 0, peer = 0] = await freePorts(2);
  const log = join(directory, `${name}.log`);
  const urls = { client: `http://127.0.0.1:${client}`, peer: `http://127.0.0.1:${peer}` };
  const child = spawn(
    "sh",
    ["-c", 'exec etcd "$@" >"$0" 2>&1', log, "--name", name, "--data-dir", join(directory, name)].concat(
      ["--listen-client-urls", urls.client, "--advertise-client-urls", urls.client],
      ["--listen-peer-urls", urls.peer, "--initial-advertise-peer-urls", urls.peer, "--discovery", url],
    ),
    { stdio: "ignore" },
  );
  members.push(child);
  return { client: urls.client, log };
}

async function eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    assert.ok(Date.now() < until, `${what} within 30 s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

suite("discovery service", () => {
  test("etcd's own --discovery forms a cluster, over a restart of the service", { skip: withoutEtcd }, async () => {
    const url = await newToken(3);
    const nodes = async (): Promise<number> => {
      const list = (await (await fetch(url, bound())).json()) as { node: { nodes?: object[] } };
      return list.node.nodes?.length ?? 0;
    };
    const first = await member(url, "m1");
    await eventually("m1 has registered", async () => ((await nodes()) === 1 ? true : undefined));
    await server.close();
    await start();
    assert.equal(await nodes(), 1, "what was registered outlives the service");
    await member(url, "m2");
    await member(url, "m3");
    await eventually("a cluster of three", async () => {
      const response = await fetch(`${first.client}/health`, bound());
      return response.ok && (await response.text()).includes("true") ? true : undefined;
    });
    const late = await member(url, "m4");
    await eventually("the fourth hears that it is full", async () =>
      /cluster is full|discovery: cluster|proxy/i.test(readFileSync(late.log, "utf8")) ? true : undefined,
    );
  });

  test("a long poll wakes with the next registration, and only of its own token", async () => {
    const [url, other] = [await newToken(3), await newToken(3)];
    const waiting = fetch(`${url}?wait=true&recursive=true`, bound());
    const head = await waiting; // the head comes at once
    assert.equal(head.status, 200);
    const body = head.json() as Promise<{ action: string; node: { value: string } }>;
    await register(other, { id: "1", value: "x=http://x:1" });
    await register(url, { id: "2", value: "a=http://a:1" });
    const event = await body;
    assert.deepEqual([event.action, event.node.value], ["create", "a=http://a:1"]);
  });

  test("a second member of a name is refused before anybody is harmed", async () => {
    const url = await newToken(3);
    assert.equal((await register(url, { id: "1", value: "a=http://a:1" })).status, 201);
    const refused = await register(url, { id: "2", value: "a=http://b:1" });
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /Member 1 has the name a/);
  });

  test("closing ends long polls", async () => {
    const url = await newToken(2);
    const body = (await fetch(`${url}?wait=true`, bound())).text();
    await server.close();
    assert.equal(await body, "");
    await start();
  });

  test("bodies are bounded", async () => {
    const url = await newToken(2);
    const huge = await register(url, { id: "1", value: "a".repeat(100_000) });
    assert.equal(huge.status, 413);
  });

  test("two services cannot have one port", async () => {
    await assert.rejects(
      serveTcp({ handle: async () => new Response(), endStreams: () => undefined }, { host: "127.0.0.1", port }),
      {
        code: "server-listen",
      },
    );
  });
});

process.once("exit", () => members.forEach((each) => each.kill("SIGKILL")));
