import assert from "node:assert/strict";
import { test } from "node:test";
import { heartbeatMs, maxEventStreams } from "../../../agent/api/changes.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { Clock } from "../../../agent/ports/clock.ts";
import type { ClusterView } from "../../../agent/ports/cluster.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import {
  FakeCluster,
  alonePicture,
  emptyPicture,
  sampleCommit,
  sampleIds,
  samplePicture,
} from "../../fakes/fake-cluster.ts";
import { api, ask, codeOf } from "./asking.ts";

const good: readonly (readonly [string, string])[] = [
  ["/v2", "resources"],
  ["/v2/machines", "machines"],
  ["/v2/units", "units"],
  ["/v2/unit-files", "unitFiles"],
  ["/v2/unit-files/hello.service", "text"],
  ["/v2/unit-files/web@.service", "text"],
  ["/v2/unit-files/web%401.service", "text"],
  ["/v2/status", "machines"],
  ["/v2/status/web@4.service", "refusals"],
  ["/v2/holds", "holds"],
  ["/v2/events", "events"],
  ["/v2/openapi.json", "paths"],
];
for (const [path, key] of good) {
  test(`GET ${path}`, async () => {
    const { status, headers, json } = await ask(api(), path);
    assert.equal(status, 200);
    assert.match(headers.get("content-type") ?? "", /^application\/json/);
    assert.equal(headers.get("server"), "flotilla/1.2.3");
    assert.ok(Object.hasOwn(json, key), key);
  });
}

const bad: readonly { path: string; method?: string; status: number; code: string; allow?: string }[] = [
  { path: "/v2/", status: 404, code: "api-path" },
  { path: "/v2/machines/", status: 404, code: "api-path" },
  { path: "/v2/nope", status: 404, code: "api-path" },
  { path: "/v2/unit-files/a.service/text", status: 404, code: "api-path" },
  { path: "/v2/unit-files/nope.service", status: 404, code: "unit-unknown" },
  { path: "/v2/status/nope.service", status: 404, code: "unit-unknown" },
  { path: "/v2/unit-files/nope", status: 400, code: "unit-name" },
  { path: "/v2/unit-files/..%2F..%2Fetc%2Fpasswd", status: 400, code: "unit-name" },
  { path: "/v2/status/a%00b.service", status: 400, code: "unit-name" },
  { path: "/v2/status/%ff.service", status: 400, code: "unit-name" },
  { path: `/v2/status/${"a".repeat(300)}.service`, status: 400, code: "unit-name" },
  { path: "/v2/machines", method: "DELETE", status: 405, code: "api-method", allow: "GET, HEAD" },
  { path: "/v2/machines", method: "POST", status: 405, code: "api-method", allow: "GET, HEAD" },
  {
    path: "/v2/unit-files/hello.service",
    method: "POST",
    status: 405,
    code: "api-method",
    allow: "GET, HEAD, PUT, DELETE",
  },
  { path: "/v2/holds", method: "PUT", status: 405, code: "api-method", allow: "GET, HEAD, POST, DELETE" },
  { path: "/v2/unit-files/a.service/restart", status: 405, code: "api-method", allow: "POST" },
  { path: "/v2/machines?role=web", status: 400, code: "api-query" },
  { path: "/v2/machines?metadata=role", status: 400, code: "api-query" },
  { path: "/v2/units?unti=a", status: 400, code: "api-query" },
  { path: "/v2/units?unit=%5Ba", status: 400, code: "glob-malformed" },
  { path: `/v2/units?${"state=a&".repeat(65)}`, status: 400, code: "api-query" },
  { path: "/v2/events?since=1", status: 400, code: "api-query" },
  { path: "/v2/sync", method: "GET", status: 405, code: "api-method", allow: "POST" },
  { path: "/v2/changes", method: "POST", status: 405, code: "api-method", allow: "GET, HEAD" },
  { path: "/v2", method: "PATCH", status: 405, code: "api-method", allow: "GET, HEAD" },
];
for (const { path, method = "GET", status, code, allow } of bad) {
  test(`${method} ${path.slice(0, 40)}: ${status} ${code}`, async () => {
    const handler = api();
    const answer = await ask(handler, path, { method });
    assert.equal(answer.status, status);
    const { error } = answer.json as { error: { code: string; message: string } };
    assert.equal(error.code, code);
    assert.ok(error.message.startsWith("Cannot "));
    if (allow !== undefined) assert.equal(answer.headers.get("allow"), allow);
    assert.deepEqual(handler.log.errors, [], "a client's mistake is not the agent's error");
  });
}

test("HEAD is GET without the body, and opens no stream", async () => {
  const view = new FakeCluster(samplePicture());
  const handler = api(view);
  for (const path of ["/v2/machines", "/v2/changes"]) {
    const { status, text } = await ask(handler, path, { method: "HEAD" });
    assert.deepEqual([status, text], [200, ""]);
  }
  assert.equal(view.listeners.size, 0);
});

test("a body is refused before it is read", async () => {
  const long = await ask(api(), "/v2/sync", { method: "POST", headers: { "content-length": "5000" } });
  assert.equal(long.status, 413);
  const chunked = await ask(api(), "/v2/sync", { method: "POST", headers: { "transfer-encoding": "chunked" } });
  assert.equal(chunked.status, 411);
});

const failures: readonly { error: Error; status: number; code: string; logged: boolean }[] = [
  {
    error: new Problem("registry-unreachable", "Cannot read it"),
    status: 503,
    code: "registry-unreachable",
    logged: false,
  },
  { error: new Problem("strange", "Cannot do it"), status: 500, code: "strange", logged: true },
  { error: new TypeError("x is not a function"), status: 500, code: "internal", logged: true },
];
for (const { error, status, code, logged } of failures) {
  test(`a view that fails with ${code} is an answer`, async () => {
    const handler = api(new FakeCluster(error));
    const answer = await ask(handler, "/v2/machines");
    assert.equal(answer.status, status);
    assert.equal(codeOf(answer), code);
    assert.ok(!answer.text.includes("not a function"), "what is internal stays in the log");
    assert.equal(handler.log.errors.length, logged ? 1 : 0);
    if (logged) assert.equal(handler.log.errors[0]?.error, error);
  });
}

test("without the commit unit files are unknown, not none", async () => {
  const { revision } = samplePicture();
  const answer = await ask(api(new FakeCluster({ ...emptyPicture(), desired: undefined, revision })), "/v2/unit-files");
  assert.equal(answer.status, 503);
  assert.equal(codeOf(answer), "commit-missing");
});

test("sync passes on what came of it, and the client's going", async () => {
  const view = new FakeCluster(samplePicture());
  view.syncs = async () => ({ outcome: "adopted", commit: sampleCommit, problems: [] });
  assert.deepEqual((await ask(api(view), "/v2/sync", { method: "POST" })).json, {
    outcome: "adopted",
    commit: sampleCommit,
    problems: [],
  });

  const client = new AbortController();
  view.syncs = (signal) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
  const handler = api(view);
  const answer = ask(handler, "/v2/sync", { method: "POST", signal: client.signal });
  client.abort();
  assert.equal((await answer).status, 500);
  assert.deepEqual(handler.log.errors, [], "nobody is there to be told, and nothing is wrong");

  view.syncs = async () => {
    throw new Problem("no-leader", "Cannot fetch: no machine leads");
  };
  assert.equal((await ask(api(view), "/v2/sync", { method: "POST" })).status, 503);
});

test("a view that never answers is given up", async () => {
  // A clock on which every pause is over at once
  const clock: Clock = { ...createClock(), sleep: async () => undefined };
  let told: AbortSignal | undefined;
  const view = new FakeCluster();
  const stuck: ClusterView = {
    me: view.me,
    version: view.version,
    onChange: (listener) => view.onChange(listener),
    sync: (signal) => view.sync(signal),
    picture: (signal) => {
      told = signal;
      return new Promise(() => undefined);
    },
  };
  const answer = await ask(api(stuck, { clock }), "/v2/machines");
  assert.equal(answer.status, 504);
  assert.equal(codeOf(answer), "picture-timeout");
  assert.equal(told?.aborted, true);
});

async function openStream(handler: { handle(request: Request): Promise<Response> }, signal?: AbortSignal) {
  const response = await handler.handle(
    new Request("http://localhost/v2/changes", signal === undefined ? {} : { signal }),
  );
  const reader = response.body!.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  return {
    response,
    read: async () => {
      const { value } = await reader.read();
      return value === undefined ? undefined : new TextDecoder().decode(value);
    },
    cancel: () => reader.cancel(),
  };
}

test("a stream says change at once and after each change, and lives through quiet times", async () => {
  const view = new FakeCluster(samplePicture());
  const clock = new FakeClock();
  const stream = await openStream(api(view, { clock }));
  assert.equal(stream.response.headers.get("content-type"), "text/event-stream");
  assert.equal(await stream.read(), "event: change\ndata: {}\n\n");
  const next = stream.read();
  view.change(samplePicture());
  assert.equal(await next, "event: change\ndata: {}\n\n");
  const quiet = stream.read();
  await clock.advance(heartbeatMs);
  assert.match((await quiet) ?? "", /^: /);
  await stream.cancel();
  assert.equal(view.listeners.size, 0);
});

test("however many changes a slow client misses, it is sent few", async () => {
  const view = new FakeCluster(samplePicture());
  const clock = new FakeClock();
  const handler = api(view, { clock });
  const stream = await openStream(handler);
  for (let index = 0; index < 10_000; index++) view.change(samplePicture());
  handler.endStreams();
  let events = 0;
  for (let text = await stream.read(); text !== undefined; text = await stream.read()) events++;
  assert.ok(events >= 1 && events <= 4, `${events} events`);
});

test("while the registry is away what one machine knows is marked, and what it cannot know is refused", async () => {
  const handler = api(new FakeCluster(alonePicture(sampleIds.n3)));
  for (const [path, key] of [
    ["/v2/machines?metadata=role=web", "machines"],
    ["/v2/units?unit=hello.service", "units"],
  ] as const) {
    const { status, json } = await ask(handler, path);
    assert.deepEqual([status, json["stale"], (json[key] as unknown[]).length], [200, true, 1], path);
    assert.equal((await ask(api(), path)).json["stale"], undefined);
  }
  const own = `/v2/machines/${sampleIds.n3}`;
  for (const path of ["/v2/holds", "/v2/events", "/v2/state", own, `${own}/explanation`]) {
    const refused = await ask(handler, path);
    assert.deepEqual([refused.status, codeOf(refused)], [503, "registry-unreachable"], path);
  }
});

test("streams are counted, end together, and then no new one opens", async () => {
  const view = new FakeCluster(samplePicture());
  const clock = new FakeClock();
  const handler = api(view, { clock });
  const streams = await Promise.all(Array.from({ length: maxEventStreams }, () => openStream(handler)));
  assert.equal(view.listeners.size, maxEventStreams);
  const refused = await ask(handler, "/v2/changes");
  assert.equal(refused.status, 503);
  assert.equal(codeOf(refused), "api-streams");
  await streams[0]?.cancel();
  const client = new AbortController();
  const again = await openStream(handler, client.signal);
  assert.equal(again.response.status, 200);
  client.abort();
  assert.equal(view.listeners.size, maxEventStreams - 1, "a client that has gone is forgotten");
  handler.endStreams();
  for (const stream of streams.slice(1)) while ((await stream.read()) !== undefined);
  assert.equal(view.listeners.size, 0);
  assert.equal(clock.sleeping, 0, "no timer is left behind");
  assert.equal((await ask(handler, "/v2/changes")).status, 503);
});
