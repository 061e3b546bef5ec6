import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { get as httpGet } from "node:http";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Limits } from "../../../agent/adapters/api-connections.ts";
import { type Guard, localGuard, tokenGuard } from "../../../agent/adapters/api-guard.ts";
import { serveApi, serveTcp } from "../../../agent/adapters/api-server.ts";
import { Secret } from "../../../agent/domain/settings.ts";
import type { ApiHandler } from "../../../agent/ports/api-server.ts";

const large = "x".repeat(8 * 1024 * 1024);

/** The query of each /large that was cut off. */
const lost: string[] = [];

/** Paths: /large, /slow (until the client goes), /throw, /broken (in the middle of its body), /body (its length), or itself. */
const handler: ApiHandler = {
  handle: async (request) => {
    const { pathname, search } = new URL(request.url);
    switch (pathname) {
      case "/large":
        request.signal.addEventListener("abort", () => lost.push(search));
        return new Response(large);
      case "/slow":
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        return new Response("late");
      case "/throw":
        throw new Error("of the application's own");
      case "/broken":
        return new Response(
          new ReadableStream({
            start: (stream) => stream.enqueue(Buffer.from("half")),
            pull: () => Promise.reject(new Error("the other half is lost")),
          }),
        );
      case "/body":
        return Response.json({ length: (await request.text()).length });
      default:
        return Response.json({ pathname });
    }
  },
  endStreams: () => undefined,
};

interface Given {
  readonly limits?: Partial<Limits>;
  readonly guard?: Guard;
  readonly tcp?: boolean;
}

type Where = { readonly path: string } | { readonly host: string; readonly port: number };

async function serving(context: TestContext, { limits = {}, guard, tcp = false }: Given): Promise<Where> {
  if (tcp) {
    const server = await serveTcp(handler, { host: "127.0.0.1", port: 0, limits, guard });
    context.after(() => server.close());
    return { host: "127.0.0.1", port: server.port };
  }
  const folder = mkdtempSync(join(tmpdir(), "flotilla-limits-"));
  const server = await serveApi(handler, { socket: join(folder, "s"), limits, guard });
  context.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { path: join(folder, "s") };
}

/** A connection as a bad client has it. */
class Line {
  readonly socket: Socket;
  /** The first of what it was told; `bytes` counts all of it. */
  heard = "";
  bytes = 0;
  readonly closed: Promise<void>;

  constructor(where: Where) {
    this.socket = connect(where);
    this.socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (this.heard.length < 256 * 1024) this.heard += chunk.toString("latin1");
    });
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
  }

  static async to(where: Where, text = ""): Promise<Line> {
    const line = new Line(where);
    await new Promise<void>((resolve) => line.socket.once("connect", () => resolve()));
    line.socket.write(text);
    return line;
  }

  /** What it was told until the server ended it, which it must within this. */
  async end(ms = 15_000): Promise<string> {
    const late = new AbortController();
    await Promise.race([
      this.closed,
      sleep(ms, undefined, { signal: late.signal }).then(
        (): never => assert.fail(`Still open after ${ms} ms; heard ${JSON.stringify(this.heard.slice(0, 200))}`),
        () => undefined,
      ),
    ]);
    late.abort();
    return this.heard;
  }

  async hears(pattern: RegExp, ms = 15_000): Promise<void> {
    const endMs = performance.now() + ms;
    while (!pattern.test(this.heard)) {
      if (performance.now() > endMs)
        assert.fail(`${String(pattern)} is not in ${JSON.stringify(this.heard.slice(0, 500))}`);
      await sleep(5);
    }
  }
}

async function asked(
  where: Where,
  path = "/",
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: string }> {
  const at = "path" in where ? { socketPath: where.path } : where;
  return new Promise((resolve, reject) => {
    httpGet({ ...at, path, agent: false, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.once("error", reject);
    }).once("error", reject);
  });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!(await condition())) {
    assert.ok(performance.now() < endMs, "not so within 15 s");
    await sleep(20);
  }
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const short: Partial<Limits> = { headersMs: 300, requestMs: 600, stalledMs: 500, patienceMs: 200 };

suite("limits of the API's server", { concurrency: true }, () => {
  const late: readonly { readonly name: string; readonly sends: string }[] = [
    { name: "who says nothing", sends: "" },
    { name: "half a head", sends: "GET / HTTP/1.1\r\nHost: x\r\nX-A" },
    { name: "half a body", sends: "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345" },
    {
      name: "a chunked body that does not end",
      sends: "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    },
  ];
  for (const { name, sends } of late)
    test(`late: ${name} is told so and cut off`, async (context) => {
      const line = await Line.to(await serving(context, { limits: short }), sends);
      const heard = await line.end();
      assert.match(heard, /^HTTP\/1.1 408 /);
      assert.deepEqual(JSON.parse(heard.slice(heard.indexOf("\r\n\r\n"))), {
        error: { code: "api-time", message: "Cannot wait any longer for the request" },
      });
    });

  const bad: readonly { readonly name: string; readonly sends: string; readonly says: RegExp }[] = [
    { name: "another protocol", sends: "EHLO there\r\n", says: /^HTTP\/1.1 400 [^]*"code":"api-http"/ },
    { name: "TLS", sends: "\u0016\u0003\u0001\u0002\u0000\u0001", says: /^HTTP\/1.1 400 / },
    {
      name: "no host that is one",
      sends: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
      says: /^HTTP\/1.1 400 [^]*"code":"api-http"/,
    },
    {
      name: "a long head",
      sends: `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${"x".repeat(20_000)}\r\n\r\n`,
      says: /^HTTP\/1.1 431 [^]*"api-head-size"/,
    },
    { name: "a long path", sends: `GET /${"x".repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, says: /^HTTP\/1.1 431 / },
    {
      name: "a bad chunk",
      sends: "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      says: /^HTTP\/1.1 400 /,
    },
    {
      name: "two lengths",
      sends: "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      says: /^HTTP\/1.1 400 /,
    },
    {
      name: "a body that is too long",
      sends: "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\nx",
      says: /^HTTP\/1.1 413 [^]*"api-body-size"/,
    },
    {
      name: "a body that is too long, in fleet's shape",
      sends: "PUT /fleet/v1/units/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\nx",
      says: /^HTTP\/1.1 413 [^]*\{"error":\{"code":413,"message":"Cannot take/,
    },
    {
      name: "a body that waits for leave, and is too long",
      sends: "POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10000000000\r\n\r\n",
      says: /^HTTP\/1.1 413 /,
    },
  ];
  for (const { name, sends, says } of bad)
    test(`refused: ${name}`, async (context) => {
      const where = await serving(context, {});
      assert.match(await (await Line.to(where, sends)).end(), says);
      assert.equal((await asked(where)).status, 200);
    });

  test("a body that waits for leave gets it", async (context) => {
    const line = await Line.to(
      await serving(context, {}),
      "POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    await line.hears(/^HTTP\/1.1 100 /);
    line.socket.write("abc");
    assert.match(await line.end(), /200 OK[^]*\{"length":3\}$/);
  });

  test("a chunked body without end is cut off, however it is read", async (context) => {
    const where = await serving(context, { limits: { bodyBytes: 100_000 } });
    const line = await Line.to(where, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = `${(65_536).toString(16)}\r\n${"x".repeat(65_536)}\r\n`;
    let sent = 0;
    while (line.socket.writable && sent < 5_000_000) {
      line.socket.write(chunk);
      sent += chunk.length;
      await sleep(50);
    }
    await line.end();
    assert.ok(sent < 5_000_000, `${sent}`);
  });

  test("an application that throws, and one that breaks off", async (context) => {
    const where = await serving(context, {});
    assert.deepEqual(await asked(where, "/throw"), {
      status: 500,
      body: '{"error":{"code":"internal","message":"Cannot answer"}}',
    });
    await assert.rejects(asked(where, "/broken"));
    assert.equal((await asked(where)).status, 200);
  });

  test("requests ahead of their answers are answered in their order", async (context) => {
    const paths = Array.from({ length: 17 }, (_, index) => `/${index}`);
    const line = await Line.to(await serving(context, {}), paths.map(get).join(""));
    await line.hears(/"\/16"/);
    assert.deepEqual(
      line.heard.match(/"pathname":"[^"]*"/g),
      paths.map((path) => `"pathname":"${path}"`),
    );
    line.socket.destroy();
  });

  test("too many requests ahead: the first are answered, then that is said, and the connection ends", async (context) => {
    const line = await Line.to(await serving(context, {}), get("/a").repeat(3_000));
    const heard = await line.end();
    assert.equal(heard.match(/200 OK/g)?.length, 17);
    assert.match(heard, /HTTP\/1.1 429 [^]*"code":"api-pipeline"[^]*\}\n$/);
  });

  test("who sends requests without end behind one that takes its time is cut off", async (context) => {
    const line = await Line.to(await serving(context, {}), get("/slow"));
    for (let round = 0; round < 10 && !line.socket.destroyed; round++) {
      line.socket.write(get("/a").repeat(1_000));
      await sleep(20);
    }
    await line.end();
  });

  test("who reads nothing is cut off", async (context) => {
    const line = await Line.to(await serving(context, { limits: short }));
    line.socket.pause();
    line.socket.write(get("/large?nothing"));
    await until(() => lost.includes("?nothing"));
    line.socket.destroy();
  });

  test("who reads slowly gets all of it", async (context) => {
    const line = await Line.to(await serving(context, { limits: short }), get("/large"));
    for (const endMs = performance.now() + 10_000; line.bytes < large.length && performance.now() < endMs;) {
      line.socket.pause();
      await sleep(30);
      line.socket.resume();
      await sleep(10);
    }
    assert.ok(line.bytes >= large.length, `${line.bytes} bytes of it`);
    line.socket.destroy();
  });

  const token = tokenGuard(new Secret("0123456789abcdef"));
  const guarded: readonly {
    readonly name: string;
    readonly guard: Guard;
    readonly headers: Readonly<Record<string, string>>;
    readonly status: number;
  }[] = [
    { name: "the token", guard: token, headers: { Authorization: "Bearer 0123456789abcdef" }, status: 200 },
    {
      name: "the token, other case of the scheme",
      guard: token,
      headers: { Authorization: "bearer 0123456789abcdef" },
      status: 200,
    },
    { name: "no token", guard: token, headers: {}, status: 401 },
    { name: "another token", guard: token, headers: { Authorization: "Bearer 0123456789abcdeg" }, status: 401 },
    { name: "half of the token", guard: token, headers: { Authorization: "Bearer 01234567" }, status: 401 },
    { name: "an empty token", guard: token, headers: { Authorization: "Bearer " }, status: 401 },
    {
      name: "the token as a password",
      guard: token,
      headers: { Authorization: `Basic ${btoa("x:0123456789abcdef")}` },
      status: 401,
    },
    { name: "an address", guard: localGuard, headers: { Host: "127.0.0.1:1234" }, status: 200 },
    { name: "an IPv6 address", guard: localGuard, headers: { Host: "[::1]:1234" }, status: 200 },
    { name: "localhost", guard: localGuard, headers: { Host: "localhost" }, status: 200 },
    { name: "a name that a web page may have", guard: localGuard, headers: { Host: "evil.example:1234" }, status: 403 },
    {
      name: "a name that looks like an address",
      guard: localGuard,
      headers: { Host: "127.0.0.1.evil.example" },
      status: 403,
    },
  ];
  for (const { name, guard, headers, status } of guarded)
    test(`over TCP: ${name}: ${status}`, async (context) => {
      const answer = await asked(await serving(context, { guard, tcp: true }), "/", headers);
      assert.equal(answer.status, status, answer.body);
      assert.doesNotMatch(answer.body, /0123456789abcde/);
    });
});

// One after the other: they count on what is late and what is not yet
suite("room at the API's server", () => {
  test("while too much waits in memory, who reads nothing goes", async (context) => {
    const where = await serving(context, { limits: { unreadBytes: 3 * large.length, patienceMs: 200 } });
    const lines = await Promise.all(Array.from({ length: 8 }, () => Line.to(where)));
    for (const { socket } of lines) socket.pause().write(get("/large?memory"));
    const gone = (): number => lost.filter((each) => each === "?memory").length;
    await until(() => gone() >= 5);
    await sleep(1_200); // another look at them
    assert.equal(gone(), 5);
    for (const { socket } of lines) socket.destroy();
  });

  for (const tcp of [false, true])
    test(`no room, ${tcp ? "from one address" : "over a unix socket"}: the silent make it, those who are served do not`, async (context) => {
      const where = await serving(context, {
        limits: { ...(tcp ? { perAddress: 6 } : { connections: 6 }), idleMs: 60_000 },
        tcp,
      });
      const served = await Promise.all(Array.from({ length: 3 }, () => Line.to(where, get("/slow"))));
      const silent = [
        await Line.to(where),
        await Line.to(where, "GET /"),
        await Line.to(where, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"),
      ];
      const early = await Line.to(where, get("/"));
      assert.match(await early.end(), /^HTTP\/1.1 503 [^]*"code":"api-connections"/, "nobody is late yet");
      for (const each of silent) {
        let line = early;
        while (!line.heard.includes("200 OK")) {
          line = await Line.to(where, get("/"));
          await line.hears(/^HTTP/);
        }
        await each.end();
      }
      // Those rest now between two requests: they go when all others are served
      const more = await Line.to(where, get("/slow"));
      assert.equal((await asked(where)).status, 200);
      assert.ok([...served, more].every(({ socket }) => !socket.closed));
      for (const { socket } of [...served, more]) socket.destroy();
    });

  test("no room at all: that is said, and there is again when somebody goes", async (context) => {
    const where = await serving(context, { limits: { connections: 2 } });
    const [first, second] = await Promise.all([Line.to(where, get("/slow")), Line.to(where, get("/slow"))]);
    assert.match(await (await Line.to(where, get("/"))).end(), /^HTTP\/1.1 503 /);
    first.socket.destroy();
    await until(async () => (await asked(where).catch(() => ({ status: 0 }))).status === 200);
    second.socket.destroy();
  });
});
