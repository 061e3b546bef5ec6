import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { createDiscoveryService } from "../../../agent/api/discovery-service.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { silentLog } from "../../fakes/silent-log.ts";

const token = "ab".repeat(16);

test("a long poll that is over leaves nothing behind", async (t) => {
  const listening = t.mock.method(EventTarget.prototype, "addEventListener");
  const service = await createDiscoveryService({
    disk: new MemoryDisk(),
    clock: new FakeClock(),
    log: silentLog,
    newToken: () => token,
    publicUrl: undefined,
    lifetimes: { formedMs: 1_000, openMs: 1_000 },
  });
  const url = "http://discovery.example:8087";
  assert.equal((await service.handle(new Request(`${url}/new?size=3`, { method: "POST" }))).status, 200);
  for (let poll = 0; poll < 3; poll++) {
    const gone = new AbortController();
    const answer = await service.handle(new Request(`${url}/${token}?wait=true`, { signal: gone.signal }));
    gone.abort();
    assert.equal(await answer.text(), "");
  }
  const left = await service.handle(new Request(`${url}/${token}?wait=true`));
  await left.body?.cancel();
  const signals = new Set(
    listening.mock.calls.flatMap((call) => (call.this instanceof AbortSignal ? [call.this] : [])),
  );
  const heard = [...signals].filter((signal) => !signal.aborted && getEventListeners(signal, "abort").length > 0);
  assert.deepEqual(
    heard.map((signal) => getEventListeners(signal, "abort").length),
    [],
  );
});
