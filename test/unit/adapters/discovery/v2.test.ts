import assert from "node:assert/strict";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { once } from "node:events";
import { suite, test } from "node:test";
import { createV2Store } from "../../../../agent/adapters/discovery/v2.ts";
import { Problem, explainError } from "../../../../agent/domain/problem.ts";
import { Secret } from "../../../../agent/domain/settings.ts";
import type { DiscoveryStore } from "../../../../agent/ports/discovery.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const never = new AbortController().signal;
const noTls = { caFile: undefined, certFile: undefined, keyFile: undefined };

/** A store behind a server that answers as the test says. */
async function against(
  handler: Handler,
  use: (store: DiscoveryStore) => Promise<void>,
  { path = "/v2/keys/d/token", password }: { readonly path?: string; readonly password?: string } = {},
): Promise<void> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("No port");
  const login = password === undefined ? {} : { username: "me", password: new Secret(password) };
  const discovery = {
    ...{ kind: "v2" as const, url: `http://127.0.0.1:${address.port}${path}`, tls: noTls },
    ...{ username: undefined, password: undefined },
    ...login,
  };
  try {
    await use(createV2Store({ discovery, shown: "STORE", isLocal: true }));
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

function send(
  response: ServerResponse,
  { status, body, headers = {} }: { status: number; body: unknown; headers?: Readonly<Record<string, string>> },
): void {
  response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
}

const answer =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Handler =>
  (_, response) =>
    send(response, { status, body, headers });

async function problemOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof Problem, String(error));
    return `${error.code}: ${explainError(error)} (${error.hint ?? ""})`;
  }
  return "none";
}

suite("discovery: answers of a store of version 2", () => {
  const page = "<html><body>Please log in</body></html>";
  const cases: readonly (readonly [name: string, handler: Handler, expect: RegExp])[] = [
    [
      "a login page",
      answer(200, page, { "content-type": "text/html" }),
      /^discovery-unreachable: Cannot understand STORE: it answers 200 with a page for people \(A login page or a proxy/,
    ],
    [
      "an empty object",
      answer(200, {}),
      /^discovery-unreachable: Cannot understand STORE: it answers 200 and "\{\}" \(Check the URL/,
    ],
    ["nothing", answer(200, ""), /^discovery-unreachable: .* 200 and nothing else/],
    ["a list", answer(200, []), /^discovery-unreachable: .* 200 and "\[\]"/],
    [
      "another service's 404",
      answer(404, "404 page not found"),
      /^discovery-unreachable: .* 404 and "404 page not found"/,
    ],
    [
      "a redirect",
      answer(302, "", { location: "http://elsewhere/" }),
      /^discovery-unreachable: .*\(It sends this machine elsewhere/,
    ],
    [
      "forbidden, as text",
      answer(403, "Forbidden"),
      /^discovery-refused: Cannot use STORE: it refuses: HTTP status 403 \(Check the token/,
    ],
    [
      "a bad request",
      answer(400, { errorCode: 209, message: "Invalid field", cause: "x" }),
      /^discovery-refused: .*Invalid field: x \(HTTP status 400\)/,
    ],
    ["gone", answer(410, ""), /^discovery-refused/],
    [
      "too many requests",
      answer(429, "slow down"),
      /^discovery-unreachable: Cannot get an answer from STORE: HTTP status 429/,
    ],
    ["overloaded", answer(503, page), /^discovery-unreachable: Cannot get an answer from STORE: HTTP status 503/],
    [
      "etcd without a leader",
      answer(500, { errorCode: 300, message: "Raft Internal Error", cause: "etcdserver: request timed out" }),
      /^discovery-unreachable: .*Raft Internal Error: etcdserver: request timed out/,
    ],
    [
      "an endless answer",
      (_, response) => void response.end("x".repeat(300_000)),
      /^discovery-unreachable: Cannot reach STORE: the answer has more than 262144 bytes/,
    ],
    [
      "a connection that is cut",
      (request) => void request.socket.destroy(),
      /^discovery-unreachable: Cannot reach STORE: /,
    ],
    [
      "a size that is none",
      answer(200, { action: "get", node: { key: "/_config/size", dir: true } }),
      /^discovery-unreachable: Cannot understand STORE/,
    ],
  ];
  for (const [name, handler, expect] of cases)
    test(name, () => against(handler, async (store) => assert.match(await problemOf(store.look(never)), expect)));

  test("a token that was never made", () =>
    against(answer(404, { errorCode: 100, message: "Key not found", cause: "/d" }), async (store) =>
      assert.deepEqual(await store.look(never), { kind: "absent" }),
    ));

  test("hidden keys, folders and a listing without nodes are no entries", () => {
    const node = (key: string, more: object) => ({
      key: `/d/token/${key}`,
      createdIndex: 7,
      modifiedIndex: 7,
      ...more,
    });
    const nodes = [node("_config", { dir: true }), node("x", { dir: true }), node("ab", { value: "m1=http://a:1" })];
    const handler: Handler = ({ url = "" }, response) => {
      const isSize = url.includes("/_config/size");
      const body = isSize ? { node: { key: "size", value: "3" } } : { node: { dir: true, nodes } };
      send(response, { status: 200, body, headers: { "x-etcd-index": "41" } });
    };
    return against(handler, async (store) =>
      assert.deepEqual(await store.look(never), {
        kind: "token",
        size: "3",
        entries: [{ id: "ab", value: "m1=http://a:1", order: 7 }],
        revision: 41,
      }),
    );
  });

  test("what the URL asks, and the login, go into every request; a slash at its end does not count", () => {
    const asked: string[] = [];
    const handler: Handler = ({ method, url, headers }, response) => {
      asked.push(`${method ?? ""} ${url ?? ""} ${headers.authorization ?? ""}`);
      send(response, { status: 201, body: { action: "create", node: { key: "/d/token/ab" } } });
    };
    return against(
      handler,
      async (store) => {
        assert.deepEqual(await store.register({ id: "ab", value: "m=http://a:1" }, never), { kind: "created" });
        assert.deepEqual(asked, ["PUT /d/token/ab?zone=1&prevExist=false Basic bWU6cHc="]);
      },
      { path: "/d/token/?zone=1", password: "pw" },
    );
  });

  test("the service's own refusal of a registration is an answer, another's is a problem", async () => {
    const full = answer(403, { errorCode: 480, message: "The cluster is full", cause: "All 3" });
    await against(full, async (store) => {
      const result = await store.register({ id: "ab", value: "m=http://a:1" }, never);
      assert.ok(result.kind === "refused");
      assert.match(explainError(result.problem), /The cluster is full: All 3/);
    });
    await against(answer(403, "Forbidden"), async (store) =>
      assert.match(await problemOf(store.register({ id: "ab", value: "m=http://a:1" }, never)), /^discovery-refused/),
    );
  });

  test("a removal is no arrival: the wait goes on behind it", () => {
    const asked: string[] = [];
    const handler: Handler = ({ url = "" }, response) => {
      const from = new URL(url, "http://x").searchParams.get("waitIndex") ?? "";
      asked.push(from);
      const action = from === "6" ? "delete" : from === "10" ? "expire" : "create";
      const modifiedIndex = from === "6" ? 9 : from === "10" ? 12 : 20;
      send(response, { status: 200, body: { action, node: { key: "/d/token/ab", modifiedIndex } } });
    };
    return against(handler, async (store) => {
      await store.changed({ revision: 5, mostMs: 10_000 }, never);
      assert.deepEqual(asked, ["6", "10", "13"]);
    });
  });

  test("a history that is gone asks for another look", () =>
    against(answer(400, { errorCode: 401, message: "The event in requested index is outdated" }), async (store) => {
      const beganMs = performance.now();
      await store.changed({ revision: 5, mostMs: 10_000 }, never);
      assert.ok(performance.now() - beganMs < 5_000);
    }));

  test("a head without a body, as of a long poll, ends in time", () =>
    against(
      (_, response) => {
        response.writeHead(200).flushHeaders();
      },
      async (store) => store.changed({ revision: 5, mostMs: 50 }, never),
    ));

  test("a certificate file that is not there is final", async () => {
    const tls = { ...noTls, caFile: "/nonexistent/ca.pem" };
    const discovery = {
      kind: "v2" as const,
      url: "https://127.0.0.1:1/t",
      username: undefined,
      password: undefined,
      tls,
    };
    const store = createV2Store({ discovery, shown: "STORE", isLocal: true });
    assert.match(
      await problemOf(store.look(never)),
      /^discovery-refused: Cannot read certificate file "\/nonexistent\/ca.pem"/,
    );
  });
});
