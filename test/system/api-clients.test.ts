// Fifty clients at one agent, half of them misbehaving in every way there is, over the unix socket and over TCP: what the
// others ask is answered, all of it and at once, and the agent's memory stays as it was. FLOTILLA_TEST_CLIENTS_S says for how
// many seconds; 20 unless set.
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { type Socket, connect } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../../agent/adapters/child.ts";
import { LoneAgent } from "./lone-agent.ts";

const lastsMs = Number(process.env["FLOTILLA_TEST_CLIENTS_S"] ?? "20") * 1_000;
const goodClients = 25;
const badClients = 25;
/** Connections that a bad client has at the same time. */
const lanes = 2;
/** In the cluster, so that answers have some size. */
const units = 200;
/** A request that takes longer has been starved. Far above what is seen, because machines that test are busy. */
const slowestMs = 15_000;
/** Growth that is no leak: buffers of connections that are open, code that is compiled late. */
const allowedGrowthBytes = 24 * 1024 * 1024;

type Where = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** What a client that behaves has seen. */
interface Tally {
  readonly tookMs: number[];
  readonly lost: string[];
  /** Of each client. */
  readonly answers: number[];
  events: number;
}

interface Seat {
  readonly tally: Tally;
  readonly client: number;
}

const paths = ["/v2", "/v2/machines", "/v2/units", "/v2/unit-files", "/v2/status"];

async function good(where: Where, { tally, client }: Seat, over: AbortSignal): Promise<void> {
  for (let round = 0; !over.aborted; round++) {
    const path = paths[round % paths.length] ?? "/v2";
    const startMs = performance.now();
    const answer = await ask(where, path).catch((error: unknown) => String(error));
    if (answer === 200) {
      tally.tookMs.push(performance.now() - startMs);
      tally.answers[client] = (tally.answers[client] ?? 0) + 1;
    } else tally.lost.push(`${path}: ${answer}`);
    if (round % 4 === 3) tally.events += await hear(where);
    await sleep(5);
  }
}

/** The status, once all of the answer is there and is JSON. */
function ask(where: Where, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...where, path, agent: false, timeout: 30_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.once("error", reject);
      response.once("end", () => {
        try {
          JSON.parse(text);
          resolve(response.statusCode ?? 0);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    asked.once("timeout", () => asked.destroy(new Error("no answer within 30 s")));
    asked.once("error", reject);
    asked.end();
  });
}

/** Listens to events until the first one, and leaves in good order. */
async function hear(where: Where): Promise<number> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ ...where, path: "/v2/changes", agent: false }, resolve)
      .once("error", reject)
      .end();
  });
  // 503: others hold all the streams there are, which is said at once
  if (response.statusCode !== 200) return (response.destroy(), 0);
  await new Promise((resolve) => response.once("data", resolve));
  response.destroy();
  return 1;
}

/** One way to misbehave: with a connection of its own, until the server ends it or the way is done. */
interface Vice {
  readonly name: string;
  run(socket: Socket, over: AbortSignal): Promise<void>;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const post = (length: string): string =>
  `PUT /v2/unit-files/a.service HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${length}\r\n\r\n`;
const noise = Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 2_654_435_761) % 251));

const vices: readonly Vice[] = [
  { name: "says nothing", run: (socket, over) => rest(socket, 30_000, over) },
  { name: "a head, byte by byte", run: (socket, over) => drip(socket, get("/v2").slice(0, -2).repeat(20), over) },
  {
    name: "a body, byte by byte",
    run: (socket, over) => drip(socket, post("Content-Length: 4000") + "x".repeat(4_000), over),
  },
  {
    name: "closes its half and waits",
    run: (socket, over) => {
      socket.end("GET /v2 HT");
      return rest(socket, 30_000, over);
    },
  },
  {
    name: "a body of a gigabyte, announced",
    run: (socket, over) => flood(socket, post("Content-Length: 1000000000"), over),
  },
  { name: "a body without end", run: (socket, over) => flood(socket, post("Transfer-Encoding: chunked"), over) },
  {
    name: "noise",
    run: (socket, over) => {
      socket.write(noise);
      return rest(socket, 5_000, over);
    },
  },
  {
    name: "listens to events and reads none",
    run: (socket, over) => {
      socket.pause().write(get("/v2/changes"));
      return rest(socket, 3_000, over);
    },
  },
  {
    name: "leaves events at once",
    run: async (socket, over) => {
      socket.write(get("/v2/changes"));
      await rest(socket, 20, over);
    },
  },
  {
    name: "asks for everything and reads nothing",
    run: (socket, over) => {
      socket.pause().write(get("/v2/units").repeat(12));
      return rest(socket, 10_000, over);
    },
  },
  {
    name: "thousands of requests ahead",
    run: (socket, over) => {
      socket.write(get("/v2/status").repeat(1_000));
      return rest(socket, 5_000, over);
    },
  },
  {
    name: "asks and is gone",
    run: async (socket) => {
      socket.write(get("/v2/unit-files"));
      await sleep(1);
    },
  },
  {
    name: "bad JSON, bad paths, bad methods",
    run: async (socket, over) => {
      const bodies = ["{", "[]", '"x"', "{}", '{"text":1}', "\u0000"];
      for (const body of bodies) socket.write(post(`Content-Length: ${body.length}`) + body);
      socket.write(`${get("/v2/none")}${get("/%00%ff")}BREW /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await rest(socket, 200, over);
    },
  },
];

async function bad(where: Where, first: number, over: AbortSignal): Promise<number> {
  let done = 0;
  for (let turn = first; !over.aborted; turn++) {
    const vice = vices[turn % vices.length];
    if (vice === undefined) break;
    const socket = connect(
      "socketPath" in where ? { path: where.socketPath, allowHalfOpen: true } : { ...where, allowHalfOpen: true },
    );
    socket.on("error", () => undefined); // being cut off is what it has earned
    socket.on("data", () => undefined);
    await vice.run(socket, over);
    socket.destroy();
    done++;
    await sleep(50);
  }
  return done;
}

/** Until the server has ended it, but no longer than this. */
async function rest(socket: Socket, ms: number, over: AbortSignal): Promise<void> {
  const done = new AbortController();
  const end = (): void => done.abort();
  socket.once("close", end).once("end", end);
  const signal = AbortSignal.any([done.signal, over]);
  await sleep(ms, undefined, { signal }).catch(() => undefined); // it ended sooner
}

async function drip(socket: Socket, text: string, over: AbortSignal): Promise<void> {
  for (const byte of text) {
    if (over.aborted || socket.destroyed || socket.readableEnded) return;
    socket.write(byte);
    await sleep(50);
  }
}

async function flood(socket: Socket, head: string, over: AbortSignal): Promise<void> {
  socket.write(head);
  const piece = `10000\r\n${"x".repeat(65_536)}\r\n`;
  for (let sent = 0; sent < 400 && !over.aborted && !socket.destroyed && !socket.readableEnded; sent++) {
    if (!socket.write(piece))
      await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), rest(socket, 1_000, over)]);
  }
}

/** In the agent's process: tells what its heap holds once all that is garbage is collected. */
const teller = `process.on("SIGUSR2", () => { gc(); gc(); console.error("heap " + process.memoryUsage().heapUsed); });`;

async function heapBytes(agent: LoneAgent): Promise<number> {
  const told = (): readonly string[] => agent.output.match(/^heap \d+$/gm) ?? [];
  const before = told().length;
  process.kill(agent.pid, "SIGUSR2");
  const all = await agent.eventually(told, ({ length }) => length > before, "the heap's size is told");
  return Number(all.at(-1)?.slice("heap ".length));
}

async function fill(where: Where): Promise<void> {
  for (let unit = 0; unit < units; unit++) {
    const text = `[Unit]\nDescription=number ${unit}\n[Service]\nExecStart=/bin/sleep infinity\n# ${"x".repeat(1_000)}\n`;
    const status = await new Promise((resolve, reject) => {
      const headers = { "Content-Type": "application/json" };
      request(
        { ...where, agent: false, method: "PUT", path: `/v2/unit-files/number-${unit}.service`, headers },
        (response) => response.resume().once("end", () => resolve(response.statusCode)),
      )
        .once("error", reject)
        .end(JSON.stringify({ text }));
    });
    assert.equal(status, 201);
  }
}

function middle(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

async function start(
  context: TestContext,
): Promise<{ readonly agent: LoneAgent; readonly doors: readonly [Where, Where] }> {
  const agent = await LoneAgent.create({ machine: false });
  context.after(() => agent.close());
  const [port = 0] = await freePorts(1);
  await agent.configure({
    Git: { Schedule: undefined, Jitter: undefined },
    API: { Listen: `127.0.0.1:${port}` },
    Agent: { LogLevel: "warn" },
  });
  const [command, ...words] = agent.called.words;
  const measured = ["--expose-gc", "--import", `data:text/javascript,${encodeURIComponent(teller)}`];
  agent.called = { ...agent.called, words: [command, ...measured, ...words] };
  agent.launch();
  await agent.until(/MACHINE/, ["list-machines"]);
  return { agent, doors: [{ socketPath: agent.socket }, { host: "127.0.0.1", port }] };
}

test("fifty clients, half of them bad", async (context) => {
  const { agent, doors } = await start(context);
  await fill(doors[0]);
  const tally: Tally = { tookMs: [], lost: [], answers: Array.from({ length: goodClients }, () => 0), events: 0 };
  const over = new AbortController();
  const door = (client: number): Where => doors[client % 2] ?? doors[0];
  const clients = Array.from({ length: goodClients }, (_, client) =>
    good(door(client), { tally, client }, over.signal),
  );
  const vicious = Array.from({ length: badClients * lanes }, (_, client) => bad(door(client), client, over.signal));
  // The first seconds bring code and buffers into memory that stay there
  await sleep(lastsMs / 4);
  const earlyBytes = await heapBytes(agent);
  await sleep((lastsMs * 3) / 4);
  over.abort();
  const misdeeds = (await Promise.all(vicious)).reduce((sum, each) => sum + each, 0);
  await Promise.all(clients);
  await agent.eventually(
    () => heapBytes(agent),
    (bytes) => bytes - earlyBytes < allowedGrowthBytes,
    "memory is as it was",
  );

  const { tookMs, lost, events } = tally;
  const third = Math.floor(tookMs.length / 3);
  const [early, late] = [middle(tookMs.slice(0, third)), middle(tookMs.slice(-third))];
  const growth = (await heapBytes(agent)) - earlyBytes;
  context.diagnostic(
    `${tookMs.length} answers, ${events} events, ${misdeeds} misdeeds; half within ${early.toFixed(1)} ms at first and ` +
      `${late.toFixed(1)} ms at last, slowest ${Math.max(...tookMs).toFixed(0)} ms; heap ${(earlyBytes / 1e6).toFixed(1)} MB and ` +
      `${(growth / 1e6).toFixed(1)} MB more`,
  );
  assert.deepEqual(lost.slice(0, 5), [], `${lost.length} requests lost`);
  assert.ok(
    tally.answers.every((count) => count > 2),
    `some were starved: ${tally.answers.join(" ")}`,
  );
  assert.ok(events > 0, "events were heard");
  assert.ok(misdeeds > badClients, `${misdeeds} misdeeds`);
  assert.ok(Math.max(...tookMs) < slowestMs, `${Math.max(...tookMs)} ms for one answer`);
  assert.ok(late < 4 * early + 1_000, `from ${early} ms to ${late} ms`);
  assert.deepEqual(agent.lines("error"), []);
  assert.equal(await agent.stop(), 0);
});
