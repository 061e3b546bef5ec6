// The API on a real unix socket, asked by the commands' own client.
import assert from "node:assert/strict";
import { linkSync, lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type Server, createServer, request } from "node:http";
import { type Socket, connect, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createApi } from "../../../agent/api/api.ts";
import { createApiClient } from "../../../agent/adapters/api-client.ts";
import { serveApi } from "../../../agent/adapters/api-server.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import { whoAsks } from "../../../agent/adapters/person.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ApiHandler } from "../../../agent/ports/api-server.ts";
import type { Log } from "../../../agent/ports/log.ts";
import { FakeCluster, samplePicture } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";

const quiet: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => quiet,
};

function scratch(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-api-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function running(context: TestContext, more: { handler?: ApiHandler; socket?: string } = {}) {
  const socket = more.socket ?? join(scratch(context), "run", "flotilla.sock");
  const view = new FakeCluster(samplePicture());
  const handler =
    more.handler ?? createApi({ view, hands: new FakeHands(), clock: createClock(), log: quiet, version: "1.2.3" });
  const server = await serveApi(handler, { socket });
  context.after(() => server.close());
  return { socket, view, server, client: createApiClient(socket) };
}

/** A server that is not ours: whatever `answer` does. */
async function foreign(context: TestContext, answer: (socket: Socket) => void): Promise<string> {
  const path = join(scratch(context), "other.sock");
  const sockets = new Set<Socket>();
  const server = createSocketServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return path;
}

function rejectsWith(promise: Promise<unknown>, code: string, hint?: RegExp): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code);
    if (hint !== undefined) assert.match(error.hint ?? "", hint);
    return true;
  });
}

test("answers cross the socket; so do problems, with their hints", async (context) => {
  const { client, socket } = await running(context);
  const { machines } = (await client.get("/v2/machines")) as { machines: unknown[] };
  assert.equal(machines.length, 3);
  assert.deepEqual(await client.post("/v2/sync"), {
    outcome: "unchanged",
    problems: [],
    commit: "4f2a9c16d1b0f6a3c7d5e8f90123456789abcdef",
  });
  await rejectsWith(client.get("/v2/status/helo.service"), "unit-unknown", /Did you mean hello\.service\?/);
  assert.equal(lstatSync(socket).mode & 0o777, 0o600);
});

test("changes cross the socket with who asks; so do all problems of one answer", async (context) => {
  const hands = new FakeHands();
  const view = new FakeCluster(samplePicture());
  const handler = createApi({ view, hands, clock: createClock(), log: quiet, version: "1.2.3" });
  const { client } = await running(context, { handler });
  const unit = "/v2/unit-files/web.service";
  const text = "[Unit]\nDescription=日本語\n";
  assert.deepEqual(await client.put(unit, { text }, { by: "ann@laptop" }), { outcome: "created" });
  assert.deepEqual(await client.post("/v2/holds", { body: { patterns: ["none*"] } }), { holds: [] });
  assert.deepEqual(await client.delete("/v2/holds", { body: { patterns: ["web.service"] }, by: "ann@laptop" }), {
    resumed: ["web.service"],
  });
  assert.deepEqual(await client.delete(unit), { outcome: "destroyed" });
  const people = hands.asked.map(({ given }) => given.by);
  assert.deepEqual(people, ["ann@laptop", whoAsks(), "ann@laptop", whoAsks()]);
  const [submitted] = hands.asked;
  assert.equal(submitted?.call === "submit" && submitted.given.text, text);

  hands.failure = new AggregateError([
    new Problem("unit-empty", "Cannot take it", { hint: "Write something" }),
    new Problem("unit-section", "Cannot read it", { at: { file: "web.service", line: 3, column: 1, key: "a" } }),
  ]);
  await assert.rejects(client.put(unit, { text }), (error) => {
    assert.ok(error instanceof AggregateError);
    assert.equal(error.message, 'Cannot take unit "web.service"');
    const [empty, section] = error.errors as readonly unknown[];
    assert.ok(empty instanceof Problem && section instanceof Problem);
    assert.deepEqual([empty.code, empty.hint, section.code], ["unit-empty", "Write something", "unit-section"]);
    assert.deepEqual(section.at, { file: "web.service", line: 3, column: 1, key: "a" });
    return true;
  });
  await rejectsWith(client.put(unit, { text: "a".repeat(600_000) }), "api-body-size");
  await rejectsWith(client.delete("/v2/holds"), "api-body-json");
});

test("a large answer arrives whole", async (context) => {
  const text = JSON.stringify({ rows: Array.from({ length: 200_000 }, (_, row) => ({ row, name: `unit-${row}` })) });
  const handler = { handle: async () => new Response(text), endStreams: () => undefined };
  const { client } = await running(context, { handler });
  const { rows } = (await client.get("/v2/units")) as { rows: unknown[] };
  assert.equal(rows.length, 200_000);
});

test("changes are heard until the listener has had enough", async (context) => {
  const { client, view } = await running(context);
  const enough = new AbortController();
  let heard = 0;
  const listening = async () => {
    for await (const change of client.changes(enough.signal)) {
      assert.equal(change, "changed");
      if (++heard === 3) return;
      view.change(samplePicture());
    }
  };
  await listening();
  assert.equal(heard, 3);
  await until(() => view.listeners.size === 0);
});

test("a listener that gives up is told so, and the agent forgets it", async (context) => {
  const { client, view } = await running(context);
  const enough = new AbortController();
  const changes = client.changes(enough.signal)[Symbol.asyncIterator]();
  await changes.next();
  assert.equal(view.listeners.size, 1);
  enough.abort();
  await rejectsWith(changes.next(), "aborted");
  await until(() => view.listeners.size === 0);
});

test("closing ends streams, takes the socket away and needs no patience", async (context) => {
  const { client, server, socket } = await running(context);
  const changes = client.changes(new AbortController().signal)[Symbol.asyncIterator]();
  await changes.next();
  const ended = rejectsWith(changes.next(), "agent-unreachable");
  await server.close();
  await ended;
  assert.throws(() => lstatSync(socket), /ENOENT/);
  await server.close();
});

test("closing cuts off a request that never ends", async (context) => {
  let arrived: () => void;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const handle = () => {
    arrived();
    return new Promise<Response>(() => undefined);
  };
  const { client, server } = await running(context, { handler: { handle, endStreams: () => undefined } });
  const asked = rejectsWith(client.get("/v2/machines"), "agent-unreachable");
  await arrival;
  await server.close();
  await asked;
});

test("no socket, nobody behind it, no right to it", async (context) => {
  const folder = scratch(context);
  await rejectsWith(createApiClient(join(folder, "none")).get("/v2"), "agent-unreachable", /--socket/);
  await assert.rejects(async () => createApiClient(`/${"x".repeat(108)}`), /Cannot use/);
  await assert.rejects(async () => createApiClient(""), /Cannot use/);
  writeFileSync(join(folder, "file"), "");
  await rejectsWith(createApiClient(join(folder, "file")).get("/v2"), "agent-unreachable");
});

test("an agent that says nothing is given up in time", async (context) => {
  const silent = createApiClient(await foreign(context, () => undefined));
  await rejectsWith(silent.get("/v2", { timeoutMs: 50 }), "agent-timeout");
  const enough = new AbortController();
  const asked = silent.get("/v2", { signal: enough.signal });
  enough.abort();
  await rejectsWith(asked, "aborted");
});

const strangers: readonly { name: string; says: string; asked: string; listened: string }[] = [
  {
    name: "something that is not HTTP",
    says: "220 mail.example.org ESMTP\r\n",
    asked: "agent-unreachable",
    listened: "agent-unreachable",
  },
  {
    name: "another program's page",
    says: http("200 OK", "<html></html>"),
    asked: "agent-answer",
    listened: "agent-answer",
  },
  {
    name: "another program's error",
    says: http("502 Bad Gateway", "{}"),
    asked: "agent-answer",
    listened: "agent-answer",
  },
  {
    name: "an answer cut short",
    says: http("200 OK", "{}").replace("Length: 2", "Length: 9"),
    asked: "agent-unreachable",
    listened: "agent-answer",
  },
];
for (const { name, says, asked, listened } of strangers) {
  test(`not our agent: ${name}`, async (context) => {
    const client = createApiClient(await foreign(context, (socket) => socket.end(says)));
    await rejectsWith(client.get("/v2/machines"), asked);
    await rejectsWith(client.changes(new AbortController().signal)[Symbol.asyncIterator]().next(), listened);
  });
}

function http(status: string, body: string): string {
  return `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

test("a dead agent's socket is replaced, a living one's is not", async (context) => {
  const socket = join(scratch(context), "api.sock");
  const { client } = await running(context, { socket });
  await rejectsWith(serveApi(idle, { socket }), "api-socket-taken", /One agent/);
  assert.ok(await client.get("/v2"), "the living one still answers");

  const stale = join(scratch(context), "stale.sock");
  await leaveStale(stale);
  assert.ok(lstatSync(stale).isSocket());
  const replaced = await running(context, { socket: stale });
  assert.ok(await replaced.client.get("/v2"));
});

/** A socket file with nobody behind it: what is left of an agent that was killed. */
async function leaveStale(path: string): Promise<void> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.live`, resolve));
  linkSync(`${path}.live`, path);
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

const idle: ApiHandler = { handle: async () => new Response("{}"), endStreams: () => undefined };

test("what is not a socket is never removed", async (context) => {
  const folder = scratch(context);
  const file = join(folder, "precious");
  writeFileSync(file, "text");
  await rejectsWith(serveApi(idle, { socket: file }), "api-socket-foreign");
  symlinkSync(file, join(folder, "link"));
  await rejectsWith(serveApi(idle, { socket: join(folder, "link") }), "api-socket-foreign");
  await rejectsWith(serveApi(idle, { socket: join(file, "below") }), "api-socket");
  await rejectsWith(serveApi(idle, { socket: `/${"x".repeat(108)}` }), "api-socket-path");
  assert.ok(lstatSync(file).isFile());
});

test("bad requests do not end the server", async (context) => {
  const { socket, client } = await running(context);
  const raw = [
    "nonsense\r\n\r\n",
    "GET /v2 HTTP/1.1\r\n\r\n",
    "GET /v2 HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /v2\\..\\x HTTP/1.1\r\nHost: x\r\n\r\n",
    `GET /v2 HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(40_000)}\r\n\r\n`,
    "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "POST /v2/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
    "POST /v2/sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
  ];
  for (const text of raw) {
    await new Promise<void>((resolve) => {
      const connection = connect(socket, () => connection.end(text));
      connection.resume();
      connection.once("error", () => undefined);
      connection.once("close", () => resolve());
    });
  }
  assert.ok(await client.get("/v2"));
});

test("a long body is refused without waiting for it", async (context) => {
  const { socket } = await running(context);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const asked = request({
      socketPath: socket,
      method: "POST",
      path: "/v2/sync",
      headers: { "Content-Length": 10 ** 9 },
    });
    asked.once("response", (response) => {
      resolve(response.statusCode);
      asked.destroy();
    });
    asked.once("error", reject);
    asked.write("x");
  });
  assert.equal(status, 413);
});

/** Resolves when the condition holds; rejects when it does not come true. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(10_000);
  while (!condition()) {
    deadline.throwIfAborted();
    await turn();
  }
}
