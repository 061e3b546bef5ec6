// What an etcd replies over gRPC, to a registry and to who asks for its members. "=== METHOD" begins a reply: the message as
// JSON, which is sent as protobuf; "=== METHOD raw" bytes as they are; "=== METHOD error CODE" a refusal with that text.
import { once } from "node:events";
import { type ServerHttp2Session, type ServerHttp2Stream, createServer } from "node:http2";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClock } from "../../../agent/adapters/clock.ts";
import { createEtcdCluster } from "../../../agent/adapters/registry/etcd-members.ts";
import { createEtcdRegistry } from "../../../agent/adapters/registry/etcd.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import type { Entry, LeaseId, Registry } from "../../../agent/ports/registry.ts";
import { silentLog } from "../../fakes/silent-log.ts";
import { type Said, type Target, mustHold, problemsOf } from "../target.ts";

const etcd3 = fileURLToPath(import.meta.resolve("etcd3"));
type Service = Readonly<Record<string, { readonly responseSerialize: (message: unknown) => Buffer }>>;
/** As etcd3 itself reads etcd's proto files. */
const { loadSync } = createRequire(etcd3)("@grpc/proto-loader") as {
  readonly loadSync: (path: string, options: object) => Readonly<Record<string, Service>>;
};
const protocol = loadSync(join(dirname(etcd3), "../proto/rpc.proto"), { keepCase: true });

const methods = ["Range", "Txn", "LeaseGrant", "LeaseKeepAlive", "LeaseTimeToLive", "Watch", "MemberList", "MemberAdd"];
const unimplemented = 12;
/** `count_only` in a RangeRequest, behind the key that checks ask for. */
const countOnly = Buffer.from("/flotilla/\x48\x01", "latin1");

type Reply = { readonly message: Buffer } | { readonly code: string; readonly text: string };

/** Of each method, in the order in which they are given. */
let replies = new Map<string, Reply[]>();

function repliesIn(input: Uint8Array): typeof replies {
  const found: typeof replies = new Map();
  for (const part of Buffer.from(input).toString("latin1").split(/^=== /m).slice(1)) {
    const end = part.indexOf("\n");
    const [method = "", kind = "", code = ""] = part.slice(0, Math.max(0, end)).split(" ");
    const body = Buffer.from(part.slice(end + 1), "latin1");
    const reply: Reply | undefined =
      kind === "error"
        ? { code, text: body.toString("utf8").trim() }
        : kind === "raw"
          ? { message: body }
          : encoded(method, body);
    if (reply !== undefined) found.set(method, [...(found.get(method) ?? []), reply]);
  }
  return found;
}

/** Undefined for what is no message of this method's. */
function encoded(method: string, json: Buffer): Reply | undefined {
  const service = Object.values(protocol).find((each) => Object.hasOwn(each, method));
  try {
    const message = service?.[method]?.responseSerialize(JSON.parse(json.toString("utf8")));
    return message === undefined ? undefined : { message };
  } catch {
    return undefined;
  }
}

const sessions = new Set<ServerHttp2Session>();
const server = createServer();
server.on("session", (session) => {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
  session.on("error", () => undefined); // the reader has closed it: that is its right
});
server.on("stream", (stream, headers) => {
  stream.on("error", () => undefined);
  const method = headers[":path"]?.split("/").at(-1) ?? "";
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  const isStream = method === "Watch" || method === "LeaseKeepAlive";
  stream.once("data", (request: Buffer) => {
    // A check of the endpoint is asked in between, nobody knows how often
    if (request.includes(countOnly)) reply(stream, replies.get("Check") ?? [{ message: Buffer.alloc(0) }]);
    else reply(stream, isStream ? (replies.get(method) ?? []) : nextOf(method));
  });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
const port = typeof address === "object" && address !== null ? address.port : 0;

/** The last one is said again and again. */
function nextOf(method: string): readonly Reply[] {
  const all = replies.get(method) ?? [];
  return all.length > 1 ? all.splice(0, 1) : all;
}

function reply(stream: ServerHttp2Stream, given: readonly Reply[]): void {
  let status: readonly [code: string, text: string] =
    given.length > 0 ? ["0", ""] : [String(unimplemented), "no answer"];
  stream.once("wantTrailers", () =>
    stream.sendTrailers({ "grpc-status": status[0], "grpc-message": encodeURI(status[1]) }),
  );
  for (const each of given) {
    if ("message" in each) {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(each.message.length, 1);
      stream.write(Buffer.concat([head, each.message]));
    } else {
      status = [/^\d{1,5}$/.test(each.code) ? each.code : "2", each.text];
      break;
    }
  }
  stream.end();
}

const settings = {
  ...{ endpoints: [`http://127.0.0.1:${port}`], prefix: "/flotilla/", requestTimeoutMs: 5_000 },
  ...{ username: undefined, password: undefined, caFile: undefined, certFile: undefined, keyFile: undefined },
};
const options = { settings, clock: createClock(), log: silentLog };

function checkEntry({ key, value, createRevision, modRevision, lease }: Entry): void {
  const texts: readonly unknown[] = [key, value, lease ?? ""];
  mustHold(texts.every((each) => typeof each === "string") && lease !== "0", "texts, and a lease or none");
  mustHold(Number.isSafeInteger(createRevision) && Number.isSafeInteger(modRevision), "revisions that are numbers");
}

/** Asks everything there is to ask; each question by itself, so that one refusal hides nothing of the others. */
async function ask(said: (what: string, work: Promise<unknown>) => Promise<void>): Promise<void> {
  const cluster = createEtcdCluster(options);
  try {
    await said("members", cluster.members());
    await said("add", cluster.addMember(["http://10.0.0.9:2380"]));
  } finally {
    await cluster.close();
  }
  const lease = "7587868764012934924" as LeaseId;
  const registry = createEtcdRegistry(options);
  try {
    await said(
      "read",
      registry.read("units/").then(({ entries, revision }) => checkAll(entries, [revision])),
    );
    await said(
      "get",
      registry.get("leader").then(({ entry, revision }) => checkAll(entry === undefined ? [] : [entry], [revision])),
    );
    const write = { guards: [], writes: [{ kind: "put", key: "leader", value: "a" }] } as const;
    await said(
      "write",
      registry.write(write).then(({ revision }) => checkAll([], [revision])),
    );
    await said(
      "grant",
      registry.grantLease(5_000).then(({ ttlMs }) => checkAll([], [ttlMs])),
    );
    await said(
      "renew",
      registry.renewLease(lease).then((revision) => checkAll([], [revision])),
    );
    await said(
      "left",
      registry.leaseLeftMs(lease).then((leftMs) => checkAll([], [leftMs])),
    );
    await said("watch", watched(registry));
  } finally {
    await registry.close();
  }
}

function checkAll(entries: readonly Entry[], numbers: readonly number[]): void {
  for (const entry of entries) checkEntry(entry);
  mustHold(numbers.every(Number.isSafeInteger), `whole numbers: ${numbers.join(" ")}`);
}

async function watched(registry: Registry): Promise<void> {
  let last = 4;
  for await (const { revision, changes } of registry.watch("units/", 5, new AbortController().signal)) {
    checkAll(
      changes.flatMap((each) => (each.kind === "put" ? [each.entry] : [])),
      [revision],
    );
    mustHold(revision >= last, `a place that does not go back, from ${last} to ${revision}`);
    last = revision;
  }
}

export const target: Target = {
  name: "etcd-replies",
  reads: "what an etcd replies",
  maxBytes: 16 * 1024,
  words: [
    ...methods.map((method) => `=== ${method}\n`),
    ...methods.map((method) => `=== ${method} raw\n`),
    ...[
      "=== Range error 11\netcdserver: mvcc: required revision has been compacted\n",
      "=== Watch error 14\n",
      "=== Check\n{}\n",
    ],
    ...[
      "=== Txn error 16\netcdserver: invalid auth token\n",
      "=== LeaseKeepAlive error 5\n",
      "=== MemberList error 7\n",
    ],
    ...[
      '"header":{"cluster_id":"1","revision":"9"},',
      '"header":{},',
      '"revision":"18446744073709551615"',
      '"more":true,',
    ],
    ...[
      '"kvs":[],',
      '{"key":"L2Zsb3RpbGxhL3VuaXRzL2E=","value":"YQ==","mod_revision":"5"},',
      '"lease":"7",',
      '"TTL":"-1",',
    ],
    ...['"created":true,', '"canceled":true,', '"compact_revision":"3",', '"cancel_reason":"permission denied",'],
    ...[
      '"events":[{"type":"PUT","kv":{"key":"L2E=","mod_revision":"6"}}],',
      '"kv":null',
      '"type":"DELETE"',
      '"ID":"255",',
    ],
  ],
  async run(input): Promise<Said> {
    replies = repliesIn(input);
    const problems: Problem[] = [];
    let outcome = "";
    await ask(async (what, work) => {
      try {
        await work;
        outcome += ` ${what}`;
      } catch (error) {
        problems.push(...problemsOf(error));
      }
    });
    return { outcome, problems };
  },
  async close() {
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  },
};
