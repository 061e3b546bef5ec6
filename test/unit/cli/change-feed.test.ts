import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { createApiClient } from "../../../agent/adapters/api-client.ts";
import { ChangeFeed } from "../../../agent/cli/change-feed.ts";
import { FakeClock, settled } from "../../fakes/fake-clock.ts";

test("what waits and asks under one signal leaves nothing at it, and ends with it", async (t) => {
  const combined = t.mock.method(AbortSignal, "any");
  const over = new AbortController();
  const clock = new FakeClock();
  const client = createApiClient("/nowhere/api.sock");
  const feed = new ChangeFeed({ client, clock, signal: over.signal, away: () => undefined });
  await feed.next(1_000); // it is away
  for (let round = 0; round < 3; round++) {
    const waited = feed.next(1_000);
    await settled();
    await clock.advance(1_000);
    await waited;
    await assert.rejects(client.get("/v2", { signal: over.signal }), { code: "agent-unreachable" });
  }
  assert.equal(combined.mock.callCount(), 0);
  assert.equal(getEventListeners(over.signal, "abort").length, 1, "the feed's own");
  const last = feed.next(1_000_000);
  await settled();
  over.abort();
  await last;
  await feed.end();
  assert.equal(getEventListeners(over.signal, "abort").length, 0);
  await assert.rejects(client.get("/v2", { signal: over.signal }), { code: "aborted" });
});
