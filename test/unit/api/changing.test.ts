import assert from "node:assert/strict";
import type { UnderlyingSource } from "node:stream/web";
import { test } from "node:test";
import { bodyTimeoutMs, maxBodyBytes } from "../../../agent/api/body.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { sampleIds, sampleNowMs } from "../../fakes/fake-cluster.ts";
import { type Asked, FakeHands } from "../../fakes/fake-hands.ts";
import { type Init, api, ask, codeOf } from "./asking.ts";

const text = "[Service]\nExecStart=/bin/sleep infinity\n";
const by = "ann@laptop";
const webUnit = "/v2/unit-files/web.service";

const changes: readonly {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly status: number;
  readonly answer: object;
  readonly asked: object;
}[] = [
  {
    method: "PUT",
    path: webUnit,
    body: { text },
    status: 201,
    answer: { outcome: "created" },
    asked: { call: "submit", given: { name: "web.service", text, dropIns: [], target: undefined, replace: false, by } },
  },
  {
    method: "PUT",
    path: "/v2/unit-files/web%40.service",
    body: { text, dropIns: [{ name: "10-a.conf", text: "[Unit]\n" }], target: "inactive", replace: true },
    status: 201,
    answer: { outcome: "created" },
    asked: {
      call: "submit",
      given: {
        name: "web@.service",
        text,
        dropIns: [{ name: "10-a.conf", text: "[Unit]\n" }],
        target: "inactive",
        replace: true,
        by,
      },
    },
  },
  {
    method: "DELETE",
    path: webUnit,
    status: 200,
    answer: { outcome: "destroyed" },
    asked: { call: "destroy", given: { name: "web.service", by } },
  },
  {
    method: "PUT",
    path: `${webUnit}/target`,
    body: { target: "loaded", why: "new disk", forMs: 60_000 },
    status: 200,
    answer: { outcome: "held", before: "launched", target: "loaded" },
    asked: {
      call: "setTarget",
      given: { name: "web.service", target: "loaded", why: "new disk", forMs: 60_000, by },
    },
  },
  {
    method: "POST",
    path: `${webUnit}/restart`,
    status: 202,
    answer: { id: "restart-1" },
    asked: { call: "restart", given: { name: "web.service", by } },
  },
  {
    method: "POST",
    path: "/v2/holds",
    body: { patterns: ["web.service", "db*"], forMs: 1000 },
    status: 200,
    answer: {
      holds: [{ unit: "web.service", target: "loaded", by, atMs: sampleNowMs, untilMs: sampleNowMs + 1000 }],
    },
    asked: {
      call: "hold",
      given: { patterns: ["web.service", "db*"], target: "loaded", why: undefined, forMs: 1000, by },
    },
  },
  {
    method: "DELETE",
    path: "/v2/holds",
    body: { patterns: ["web.service"] },
    status: 200,
    answer: { resumed: ["web.service"] },
    asked: { call: "resume", given: { patterns: ["web.service"], by } },
  },
  {
    method: "DELETE",
    path: "/v2/holds?unit=web.service&unit=*",
    status: 200,
    answer: { resumed: ["web.service"] },
    asked: { call: "resume", given: { patterns: ["web.service", "*"], by } },
  },
  {
    method: "PATCH",
    path: `/v2/machines/${sampleIds.n1}`,
    body: { metadata: { role: "web", disk: null } },
    status: 200,
    answer: { outcome: "changed" },
    asked: {
      call: "changeMetadata",
      given: {
        changes: [
          { machine: sampleIds.n1, key: "role", value: "web" },
          { machine: sampleIds.n1, key: "disk", value: undefined },
        ],
        by,
      },
    },
  },
  ...(["cordon", "uncordon"] as const).map((change) => ({
    method: "POST",
    path: `/v2/machines/${sampleIds.n1}/${change}`,
    status: 200,
    answer: { outcome: "cordoned" },
    asked: { call: "maintain", given: { machine: sampleIds.n1, change, by } },
  })),
  {
    method: "POST",
    path: `/v2/machines/${sampleIds.n1}/drain`,
    body: { withinMs: 600_000 },
    status: 200,
    answer: { outcome: "cordoned" },
    asked: { call: "maintain", given: { machine: sampleIds.n1, change: "drain", withinMs: 600_000, by } },
  },
];
for (const { method, path, body, status, answer, asked } of changes) {
  test(`${method} ${path}`, async () => {
    const hands = new FakeHands();
    const told = await ask(api(undefined, { hands }), path, { method, body, headers: { "flotilla-by": by } });
    assert.deepEqual([told.status, told.json], [status, answer]);
    assert.deepEqual(hands.asked, [asked as Asked]);
  });
}

test("a unit that is there already is no new one", async () => {
  const hands = new FakeHands();
  for (const [outcome, status] of [
    ["replaced", 201],
    ["unchanged", 200],
  ] as const) {
    hands.submits = outcome;
    const told = await ask(api(undefined, { hands }), webUnit, { method: "PUT", body: { text } });
    assert.deepEqual([told.status, told.json], [status, { outcome }]);
  }
});

test("who asks is what they say, or unknown", async () => {
  const hands = new FakeHands();
  const handler = api(undefined, { hands });
  const restart = (said: string | undefined) =>
    ask(handler, `${webUnit}/restart`, {
      method: "POST",
      ...(said === undefined ? {} : { headers: { "flotilla-by": said } }),
    });
  for (const said of [undefined, "  ", "ann@laptop", "a".repeat(128)]) assert.equal((await restart(said)).status, 202);
  assert.deepEqual(
    hands.asked.map(({ given }) => given.by),
    ["unknown", "unknown", "ann@laptop", "a".repeat(128)],
  );
  for (const said of ["a".repeat(129), "\u00e4@b", "a\u0007b"]) {
    const refused = await ask(handler, `${webUnit}/restart`, {
      method: "POST",
      headers: { "flotilla-by": said },
    }).catch(
      (error: unknown) => error, // what cannot be a header at all never leaves the client
    );
    if (!(refused instanceof Error)) assert.equal(codeOf(refused as Awaited<ReturnType<typeof ask>>), "api-by");
  }
  assert.equal(hands.asked.length, 4);
});

const refusals: readonly (Init & {
  readonly path: string;
  readonly status: number;
  readonly code: string;
  readonly says?: RegExp;
})[] = [
  { method: "PUT", path: "/v2/unit-files/web", body: { text }, status: 400, code: "unit-name" },
  { method: "PUT", path: webUnit, status: 400, code: "api-body-json", says: /there is none/ },
  {
    method: "PUT",
    path: webUnit,
    body: "text=a",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    status: 415,
    code: "api-body-type",
  },
  {
    method: "PUT",
    path: webUnit,
    body: "",
    headers: { "content-type": "application/json" },
    status: 400,
    code: "api-body-json",
  },
  { method: "PUT", path: webUnit, body: "{", status: 400, code: "api-body-json" },
  { method: "PUT", path: webUnit, body: "[".repeat(100_000), status: 400, code: "api-body-json" },
  { method: "PUT", path: webUnit, body: "null", status: 400, code: "api-body", says: /It must be an object/ },
  { method: "PUT", path: webUnit, body: {}, status: 400, code: "api-body", says: /key \\"text/ },
  { method: "PUT", path: webUnit, body: { text: 1 }, status: 400, code: "api-body", says: /It must be a string/ },
  {
    method: "PUT",
    path: webUnit,
    body: { text, tagret: "loaded" },
    status: 400,
    code: "api-body",
    says: /key \\"tagret/,
  },
  { method: "PUT", path: webUnit, body: { text, target: "running" }, status: 400, code: "api-body", says: /launched/ },
  {
    method: "PUT",
    path: webUnit,
    body: { text, dropIns: [{ name: "../a.conf", text }] },
    status: 400,
    code: "api-body",
  },
  { method: "PUT", path: webUnit, body: { text: "a".repeat(262_145) }, status: 400, code: "api-body" },
  { method: "PUT", path: webUnit, body: { text: "a".repeat(600_000) }, status: 413, code: "api-body-size" },
  { method: "PUT", path: `${webUnit}/target`, body: { target: "stopped" }, status: 400, code: "api-body" },
  { method: "PUT", path: `${webUnit}/target`, body: { target: "loaded", forMs: 0 }, status: 400, code: "api-body" },
  {
    method: "PUT",
    path: `${webUnit}/target`,
    body: { target: "loaded", why: "a".repeat(257) },
    status: 400,
    code: "api-body",
  },
  { method: "POST", path: "/v2/holds", body: { patterns: [] }, status: 400, code: "api-body" },
  { method: "POST", path: "/v2/holds", body: { patterns: Array(65).fill("a") }, status: 400, code: "api-body" },
  { method: "DELETE", path: "/v2/holds", status: 400, code: "api-body-json" },
  { method: "DELETE", path: webUnit, headers: { "content-length": "5000" }, status: 413, code: "api-body-size" },
  {
    method: "POST",
    path: `${webUnit}/restart`,
    headers: { "transfer-encoding": "chunked" },
    status: 411,
    code: "api-body-length",
  },
  {
    method: "PATCH",
    path: "/v2/machines/f22c7d6e",
    body: { metadata: { a: "b" } },
    status: 400,
    code: "machine-id-shape",
  },
  { method: "PATCH", path: `/v2/machines/${sampleIds.n1}`, body: { metadata: {} }, status: 400, code: "api-body" },
  { method: "POST", path: "/v2/machines/n1/cordon", status: 400, code: "machine-id-shape" },
  { method: "POST", path: `/v2/machines/${sampleIds.n1}/drain`, status: 400, code: "api-body-json" },
  ...[{ withinMs: 0 }, { withinMs: "10m" }, { deadline: 1 }].map((body) => ({
    ...{ method: "POST", path: `/v2/machines/${sampleIds.n1}/drain`, body, status: 400, code: "api-body" },
  })),
  { method: "POST", path: "/v2/sync", headers: { origin: "https://evil.example" }, status: 403, code: "api-origin" },
  { method: "DELETE", path: webUnit, headers: { origin: "null" }, status: 403, code: "api-origin" },
];
for (const { path, status, code, says, ...init } of refusals) {
  test(`${init.method ?? ""} ${path.slice(0, 40)} with ${JSON.stringify(init.body ?? init.headers ?? "nothing").slice(0, 60)}: ${code}`, async () => {
    const hands = new FakeHands();
    const handler = api(undefined, { hands });
    const answer = await ask(handler, path, init);
    assert.deepEqual([answer.status, codeOf(answer)], [status, code]);
    if (says !== undefined) assert.match(answer.text, says);
    assert.deepEqual(hands.asked, [], "nothing is done");
    assert.deepEqual(handler.log.errors, []);
  });
}

test("a page of our own may ask", async () => {
  const headers = { origin: "http://localhost:8080", host: "localhost:8080" };
  assert.equal((await ask(api(), "/v2/sync", { method: "POST", headers })).status, 200);
});

test("all that is wrong with a body is told at once", async () => {
  const { json } = await ask(api(), webUnit, { method: "PUT", body: { txt: "", replace: "yes", target: 1 } });
  const { code, problems } = json["error"] as { code: string; problems: readonly { message: string }[] };
  assert.equal(code, "api-body");
  assert.deepEqual(
    problems.map(({ message }) => message),
    [
      'Cannot find key "text"',
      'Cannot take unknown key "txt"',
      'Cannot take "target" = 1',
      'Cannot take "replace" = "yes"',
    ],
  );
});

test("all that is wrong with a unit is told at once, with its places", async () => {
  const wrong = [
    new Problem("unit-unknown-option", 'Cannot read option "Conflict"', { at: { file: "web.service", line: 5 } }),
    new Problem("unit-empty", "Cannot take an empty drop-in", { hint: "Write something", at: { file: "10-a.conf" } }),
  ];
  for (const [failure, count] of [
    [new AggregateError(wrong), 2],
    [wrong[0]!, 1],
  ] as const) {
    const hands = new FakeHands();
    hands.failure = failure;
    const handler = api(undefined, { hands });
    const answer = await ask(handler, webUnit, { method: "PUT", body: { text } });
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.json, {
      error: {
        code: "unit-refused",
        message: 'Cannot take unit "web.service"',
        problems: [
          { code: "unit-unknown-option", message: 'Cannot read option "Conflict"', file: "web.service", line: 5 },
          { code: "unit-empty", message: "Cannot take an empty drop-in", hint: "Write something", file: "10-a.conf" },
        ].slice(0, count),
      },
    });
    assert.deepEqual(handler.log.errors, []);
  }
});

test("a registry that cannot be read is not the unit's fault", async () => {
  const hands = new FakeHands();
  for (const failure of [
    new Problem("registry-value", "Cannot read units/web.service"),
    new AggregateError([new Problem("registry-value", "Cannot read units/web.service")]),
    new AggregateError([new Problem("unit-empty", "Cannot take it"), new TypeError("x is not a function")]),
  ]) {
    hands.failure = failure;
    const handler = api(undefined, { hands });
    const answer = await ask(handler, webUnit, { method: "PUT", body: { text } });
    assert.equal(answer.status, 500);
    assert.doesNotMatch(answer.text, /not a function/);
    assert.equal(handler.log.errors.length, 1);
  }
});

const failures: readonly (readonly [code: string, status: number])[] = [
  ["glob-malformed", 400],
  ["hold-time", 400],
  ["hold-why", 400],
  ["metadata-change", 400],
  ["submit-off", 403],
  ["hold-unknown", 404],
  ["unit-unknown", 404],
  ["registry-changed", 409],
  ["unit-differs", 409],
  ["unit-git", 409],
  ["unit-not-launched", 409],
  ["unit-submitted", 409],
  ["unit-template", 409],
  ["unit-size", 413],
  ["commit-missing", 503],
  ["registry-unreachable", 503],
];
for (const [code, status] of failures) {
  test(`hands that fail with ${code}: ${status}`, async () => {
    const hands = new FakeHands();
    hands.failure = new Problem(code, "Cannot do it", { hint: "Do this" });
    const answer = await ask(api(undefined, { hands }), `${webUnit}/target`, {
      method: "PUT",
      body: { target: "loaded" },
    });
    assert.equal(answer.status, status);
    assert.deepEqual(answer.json, { error: { code, message: "Cannot do it", hint: "Do this" } });
  });
}

/** A request whose body comes as `source` gives it. */
function slowly(source: UnderlyingSource<Uint8Array>, signal?: AbortSignal): Request {
  return new Request(`http://localhost${webUnit}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: new ReadableStream<Uint8Array>(source),
    duplex: "half",
    ...(signal === undefined ? {} : { signal }),
  });
}

test("a body that does not come is waited for so long and no longer", async () => {
  const clock = new FakeClock();
  const hands = new FakeHands();
  let isCancelled = false;
  const request = slowly({
    start: (stream) => stream.enqueue(new TextEncoder().encode('{"text":')),
    cancel: () => {
      isCancelled = true;
    },
  });
  const answer = api(undefined, { hands, clock }).handle(request);
  await clock.advance(bodyTimeoutMs);
  const { status } = await answer;
  assert.equal(status, 408);
  assert.equal(isCancelled, true);
  assert.equal(clock.sleeping, 0);
  assert.deepEqual(hands.asked, []);
});

test("a body of unknown length is read no further than the bound", async () => {
  const piece = new Uint8Array(64 * 1024).fill(0x61);
  let sent = 0;
  const request = slowly({
    pull: (stream) => {
      sent++;
      stream.enqueue(piece);
    },
  });
  const clock = new FakeClock();
  const { status } = await api(undefined, { clock }).handle(request);
  assert.equal(status, 413);
  assert.ok(sent <= maxBodyBytes / piece.length + 4, `${sent} pieces were taken`);
  assert.equal(clock.sleeping, 0);
});

test("a body that is no UTF-8 is none", async () => {
  const request = slowly({
    start: (stream) => {
      stream.enqueue(Uint8Array.of(0x22, 0xff, 0x22));
      stream.close();
    },
  });
  assert.equal((await api().handle(request)).status, 400);
});

test("a body in pieces is one body", async () => {
  const hands = new FakeHands();
  const bytes = new TextEncoder().encode(JSON.stringify({ text: "[Unit]\nDescription=日本語\n" }));
  const request = slowly({
    start: (stream) => {
      for (const byte of bytes) stream.enqueue(Uint8Array.of(byte));
      stream.close();
    },
  });
  assert.equal((await api(undefined, { hands }).handle(request)).status, 201);
  assert.equal(hands.asked[0]?.call === "submit" && hands.asked[0].given.text, "[Unit]\nDescription=日本語\n");
});

test("a client that goes while it sends is nobody's trouble", async () => {
  const client = new AbortController();
  const clock = new FakeClock();
  const handler = api(undefined, { clock });
  const answer = handler.handle(slowly({}, client.signal));
  client.abort();
  assert.equal((await answer).status, 500);
  assert.equal(clock.sleeping, 0);
  assert.deepEqual(handler.log.errors, []);
});
