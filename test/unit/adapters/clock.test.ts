// The real clock: sleeps last, can be ended, and leave no timer behind.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClock } from "../../../agent/adapters/clock.ts";

const clock = createClock();

function timers(): number {
  return process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
}

test("a sleep lasts as long as it should", async () => {
  const fromMs = clock.monotonicMs();
  await clock.sleep(30.5);
  assert.ok(clock.monotonicMs() - fromMs >= 29.5);
});

test("an aborted sleep rejects with the reason and leaves no timer", async () => {
  const before = timers();
  const stop = new AbortController();
  const sleeping = clock.sleep(60_000, stop.signal);
  assert.equal(timers(), before + 1);
  stop.abort(new Error("enough"));
  await assert.rejects(sleeping, /enough/);
  await assert.rejects(clock.sleep(60_000, stop.signal), /enough/);
  assert.equal(timers(), before);
});

test("a sleep longer than a timer can be does not end at once", async () => {
  const stop = new AbortController();
  const sleeping = clock.sleep(2 ** 31 + 1_000, stop.signal);
  const first = await Promise.race([
    sleeping.then(
      () => "slept",
      () => "stopped",
    ),
    clock.sleep(50).then(() => "still asleep"),
  ]);
  assert.equal(first, "still asleep");
  stop.abort();
  await assert.rejects(sleeping);
});

test("wall clock, and chance within its bounds", () => {
  assert.ok(Math.abs(clock.wallMs() - Date.now()) < 1_000);
  for (let each = 0; each < 100; each++) {
    const chance = clock.random();
    assert.ok(chance >= 0 && chance < 1, String(chance));
  }
});
