// Requests to the discovery service, from whoever reaches its port: one after the other on one state, with time between them.
// "=== " on a line of its own stands between two; `LATER MS` in place of a request lets time pass.
import { createDiscoveryService } from "../../../agent/api/discovery-service.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ApiHandler } from "../../../agent/ports/api-server.ts";
import { type StoredService, encodeDiscoveryStore, parseDiscoveryStore } from "../../../agent/text/discovery-store.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { requestIn } from "../request.ts";
import { type Said, type Target, mustHold } from "../target.ts";

const storeName = "discovery-service.json";
const dayMs = 86_400_000;
const lifetimes = { formedMs: dayMs, openMs: 7 * dayMs };
/** The tokens that are given out: as an input can name them. */
const tokenOf = (count: number): string => count.toString(16).padStart(32, "0");
const maxRequests = 100;
const between = "\n=== \n";

function parts(input: Uint8Array): readonly Buffer[] {
  const all: Buffer[] = [];
  const bytes = Buffer.from(input);
  for (let at = 0; at <= bytes.length && all.length < maxRequests;) {
    const end = bytes.indexOf(between, at);
    all.push(bytes.subarray(at, end < 0 ? bytes.length : end));
    at = end < 0 ? bytes.length + 1 : end + between.length;
  }
  return all;
}

/** What is kept, held to what is promised of it and to what was kept before. */
function checkedStore(text: string, before: StoredService | undefined): StoredService {
  const parsed = parseDiscoveryStore(text);
  mustHold(parsed.ok, "what is kept can be read");
  const stored = parsed.value;
  mustHold(encodeDiscoveryStore(stored) === text, "what is kept is written the same");
  mustHold(stored.index > (before?.index ?? 0), "an index that rises with each change");
  for (const { size, createdIndex, formedAtMs, entries } of stored.tokens) {
    mustHold(entries.length <= size, `at most ${size} members, not ${entries.length}`);
    mustHold((formedAtMs !== undefined) === (entries.length === size), "formed when all are there");
    const indexes = [createdIndex, ...entries.map((each) => each.createdIndex), stored.index + 1];
    mustHold(
      indexes.every((each, at) => at === 0 || each > (indexes[at - 1] ?? 0)),
      "members in the order of their indexes",
    );
    mustHold(new Set(entries.map(({ id }) => id)).size === entries.length, "each member once");
  }
  return stored;
}

/** The refusal, of etcd's shape. */
function problemIn(text: string, status: number): Problem {
  const { errorCode, message, cause } = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const isRefusal = typeof errorCode === "number" && typeof message === "string" && typeof cause === "string";
  mustHold(isRefusal, `a refusal with ${status}: ${text.slice(0, 200)}`);
  return new Problem(`etcd-${errorCode}`, `${message}: ${cause}`);
}

async function listed(service: ApiHandler, { tokens }: StoredService): Promise<readonly string[]> {
  const answers = tokens.map(({ token }) => service.handle(new Request(`http://localhost/${token}`)));
  return Promise.all(answers.map(async (each) => (await each).text()));
}

export const target: Target = {
  name: "discovery-service",
  reads: "requests to the discovery service",
  maxBytes: 64 * 1024,
  words: [
    ...[between, "LATER 86400001\n", "GET /", "PUT /", "POST /new?size=3\n", "DELETE /", "HEAD /health\n"],
    ...[`/${tokenOf(1)}`, `/${tokenOf(2)}`, "/_config/size", "/1f", "/2e", "/ffffffffffffffff", "/_config"],
    ...["?wait=true", "&waitIndex=2", "?recursive=true", "?prevExist=false", "?size=9", "?size=0"],
    ...["\n\n", "value=3", "value=", "m1=http://10.0.0.1:2380", ",m1=https://[::1]:2380", "m2=http://10.0.0.2:2380"],
    ...["content-type: application/x-www-form-urlencoded\n", "%2C", "%3D", "host: x\n", "\n=== \nGET /new"],
  ],
  async run(input): Promise<Said> {
    const clock = new FakeClock();
    const disk = new MemoryDisk();
    const log = new MemoryLog();
    let made = 0;
    const newToken = (): string => tokenOf(made++);
    const options = { disk, clock, log, newToken, publicUrl: undefined, lifetimes };
    const service = await createDiscoveryService(options);
    const problems: Problem[] = [];
    const bodies: Promise<readonly [text: string, status: number, method: string]>[] = [];
    let stored: StoredService | undefined;
    let last = disk.files.get(storeName);
    for (const part of parts(input)) {
      const later = /^LATER (\d{1,12})$/.exec(part.toString("latin1").trim());
      if (later !== null) await clock.advance(Number(later[1]));
      const request = later === null ? requestIn(part) : undefined;
      if (request === undefined) continue;
      const { method } = request;
      const response = await service.handle(request);
      // A long poll ends when it likes: the next request is not kept waiting for it
      const body = response.text().then((text) => [method === "HEAD" ? "" : text, response.status, method] as const);
      bodies.push(body);
      const text = disk.files.get(storeName);
      if (text !== undefined && text !== last) stored = checkedStore(text, stored);
      last = text;
      mustHold(response.headers.get("x-etcd-index") === String(stored?.index ?? 0), "the index of what is kept");
    }
    service.endStreams();
    const answers = await Promise.all(bodies);
    const [error] = log.lines.filter(({ level }) => level === "error");
    if (error !== undefined) throw new Error(`It failed: ${error.event}`, { cause: error.error });
    mustHold(clock.sleeping === 0, "no timer left behind");
    for (const [text, status, method] of answers)
      if (status >= 400 && method !== "HEAD") problems.push(problemIn(text, status));
    if (stored !== undefined) {
      const again = await createDiscoveryService({ ...options, clock: new FakeClock({ wallMs: clock.wallMs() }) });
      const [one, other] = await Promise.all([listed(service, stored), listed(again, stored)]);
      mustHold(JSON.stringify(one) === JSON.stringify(other), "the same answers after a restart");
    }
    const statuses = [...new Set(answers.map(([, status]) => status))].sort();
    return { outcome: statuses.join(" "), problems, texts: answers.map(([text]) => text) };
  },
};
