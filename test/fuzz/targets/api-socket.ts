// Bytes on the socket of the API, before any of them is known to be HTTP. The first line says how they come: "whole" at once,
// "pieces" line by line, "cut" with the client gone behind them.
import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiClient } from "../../../agent/adapters/api-client.ts";
import { serveApi } from "../../../agent/adapters/api-server.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { FakeCluster, heldPicture } from "../../fakes/fake-cluster.ts";
import { type Asked, api } from "../../unit/api/asking.ts";
import { type Said, type Target, mustHold, textOf } from "../target.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
const socketPath = join(folder, "s");
let handler: Asked = api(new FakeCluster(heldPicture()));
const server = await serveApi(
  {
    handle: (request) => handler.handle(request),
    endStreams: () => handler.endStreams(),
  },
  { socket: socketPath, limits: { pipelined: 4 } },
);
const client = createApiClient(socketPath);

/** So long without a byte, and the server has said what it has to say. */
const quietMs = 4;
const closedMs = 5_000;
const maxAnswerBytes = 4 * 1024 * 1024;
/** A request that can only be answered in one way: so many of them, so many answers. */
const plain = /^GET \/v2\/(?:machines|status) HTTP\/1\.1\r\nHost: x$/;

export const target: Target = {
  name: "api-socket",
  reads: "bytes on the API's socket",
  maxBytes: 128 * 1024,
  words: [
    ...["whole\n", "pieces\n", "cut\n", "GET /v2/machines HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v2/sync HTTP/1.1\r\n"],
    ...[
      "PUT /v2/unit-files/a.service HTTP/1.1\r\n",
      " HTTP/1.0\r\n",
      " HTTP/1.1\r\n",
      "Host: x\r\n",
      "\r\n\r\n",
      "\r\n",
    ],
    ...[
      "Expect: 100-continue\r\n",
      "Expect: x\r\n",
      "Transfer-Encoding: chunked\r\n",
      "Content-Length: 5\r\n",
      "5\r\nabcde\r\n",
    ],
    ...["0\r\n\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n"],
    ...[
      "Host: [::\r\n",
      "Host: a b\r\n",
      "CONNECT x:1 HTTP/1.1\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\n",
    ],
    ...[
      "GET http://x/v2/units HTTP/1.1\r\n",
      "GET // HTTP/1.1\r\n",
      "/fleet/v1/units",
      "/v2/changes",
      "Content-Length: -1\r\n",
    ],
  ],
  async run(input): Promise<Said> {
    const end = input.indexOf(0x0a);
    const how = textOf(input.subarray(0, Math.max(0, end)));
    handler = api(new FakeCluster(heldPicture()));
    const bytes = input.subarray(end + 1);
    const raw = await spoken(how, bytes);
    const [logged] = handler.log.errors;
    mustHold(logged === undefined, `no failure: ${logged?.event ?? ""} ${String(logged?.error)}`);
    mustHold(/^(?:HTTP\/1\.1 [1-5]|$)/.test(raw), `an answer: ${JSON.stringify(raw.slice(0, 100))}`);
    const statuses = [...raw.matchAll(/HTTP\/1\.1 ([2-5]\d\d) /g)].map(([, status = ""]) => status);
    const asked = textOf(bytes).split("\r\n\r\n");
    const isPlain = how === "whole" && asked.pop() === "" && asked.every((each) => plain.test(each));
    const expected = Math.min(asked.length, 6); // one at work, four that wait, and a refusal
    mustHold(!isPlain || statuses.length >= expected, `${expected} answers to ${asked.length}, not ${statuses.length}`);
    const problems = [...raw.matchAll(/^\{"error":.*?\}(?=HTTP\/1\.1 |$)/gm)].map(([text]) => problemIn(text));
    const refusals = statuses.filter((status) => Number(status) >= 400).length;
    // To HEAD nobody says why, and a client that has gone hears nothing any more
    const isHeard = how !== "cut" && !/\bHEAD\b/.test(textOf(bytes));
    mustHold(
      !isHeard || problems.length >= refusals,
      `a reason for each of ${refusals} refusals, not ${problems.length}`,
    );
    // Whatever it was, the next client is heard
    await client.get("/v2/machines");
    return { outcome: `${how.slice(0, 6)} ${[...new Set(statuses)].sort().join(" ")}`, problems, texts: [raw] };
  },
  async close() {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  },
};

/** What the server says to the bytes until it has nothing more to say. */
async function spoken(how: string, bytes: Uint8Array): Promise<string> {
  const socket = connect(socketPath);
  const said: Buffer[] = [];
  let saidBytes = 0;
  socket.on("error", () => undefined); // it is the server's right to hang up
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("data", (chunk: Buffer) => {
    said.push(chunk);
    saidBytes += chunk.length;
  });
  if (how === "pieces") await inPieces(socket, bytes);
  else socket.write(bytes);
  if (how === "cut") socket.destroySoon();
  for (let before = -1; before !== saidBytes && !socket.closed;) {
    before = saidBytes;
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, quietMs))]);
  }
  mustHold(saidBytes < maxAnswerBytes, "an answer that has an end");
  socket.end();
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, closedMs)))]);
  clearTimeout(timer);
  mustHold(socket.closed, "a connection that ends with its client");
  return Buffer.concat(said).toString("latin1");
}

async function inPieces(socket: Socket, bytes: Uint8Array): Promise<void> {
  socket.setNoDelay(true);
  for (let at = 0, count = 0; at < bytes.length && !socket.destroyed; count++) {
    const end = bytes.indexOf(0x0a, at);
    const to = end < 0 || count > 40 ? bytes.length : end + 1;
    socket.write(bytes.subarray(at, to));
    await new Promise(setImmediate);
    at = to;
  }
}

/** The refusal, of our shape or of fleet's. */
function problemIn(text: string): Problem {
  const { error } = JSON.parse(text) as { readonly error: { readonly code?: unknown; readonly message?: unknown } };
  const { code, message } = error;
  mustHold(code !== "internal", `an answer: ${text.slice(0, 200)}`);
  mustHold(
    typeof message === "string" &&
      (typeof code === "number" || (typeof code === "string" && code !== "" && message !== "")),
    `a refusal: ${text.slice(0, 200)}`,
  );
  return new Problem(
    typeof code === "string" ? code : "fleet",
    message === "" ? "(fleet's servers say nothing)" : message,
  );
}
