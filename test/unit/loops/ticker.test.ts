// The one shape of every loop: one pass at a time, no wake lost, failures said once and retried with growing pauses.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Problem } from "../../../agent/domain/problem.ts";
import { Waker, tick } from "../../../agent/loops/ticker.ts";
import { Troubles } from "../../../agent/loops/troubles.ts";
import { FakeClock, settled } from "../../fakes/fake-clock.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { gate } from "./house.ts";

describe("ticker", () => {
  let clock: FakeClock;
  let log: MemoryLog;
  let troubles: Troubles;
  let waker: Waker;
  let over: AbortController;
  let ended: Promise<void> = Promise.resolve();

  beforeEach(() => {
    clock = new FakeClock();
    log = new MemoryLog();
    troubles = new Troubles();
    waker = new Waker();
    over = new AbortController();
  });
  afterEach(async () => {
    over.abort();
    await ended;
    assert.equal(clock.sleeping, 0, "a timer was left behind");
  });

  const run = (pass: (signal: AbortSignal) => Promise<number | undefined>): void => {
    ended = tick({ name: "loop", waker, clock, log, troubles, pass }, over.signal);
  };

  test("one pass runs at a time; any number of wakes during it make one more", async () => {
    let passes = 0;
    let under = 0;
    let gates = [gate(), gate(), gate()];
    run(async () => {
      assert.equal(++under, 1);
      await gates[passes++]?.opened;
      under--;
      return undefined;
    });
    await settled();
    assert.equal(passes, 1, "the first pass needs no wake");
    for (let each = 0; each < 5; each++) waker.wake();
    await settled();
    assert.equal(passes, 1);
    gates[0]?.open();
    await settled();
    assert.equal(passes, 2);
    gates[1]?.open();
    await clock.advance(3_600_000);
    assert.equal(passes, 2, "nobody has woken it");
    waker.wake();
    await settled();
    assert.equal(passes, 3);
    gates[2]?.open();
    gates = [];
  });

  test("a pass says when it wants to run again; a wake comes before", async () => {
    const at: number[] = [];
    run(async () => {
      at.push(clock.monotonicMs());
      return 1_000;
    });
    await clock.advance(2_500);
    waker.wake();
    await clock.advance(1_500);
    assert.deepEqual(at, [0, 1_000, 2_000, 2_500, 3_500]);
    assert.equal(clock.sleeping, 1, "a wake leaves no timer behind");
  });

  test("failures are retried with growing pauses, said once, shown, and cleared by the first success", async () => {
    const at: number[] = [];
    let problem: Problem | undefined = new Problem("git-unreachable", "Cannot reach git", { hint: "Wait" });
    run(async () => {
      at.push(clock.monotonicMs());
      if (problem !== undefined) throw problem;
      return undefined;
    });
    await clock.advance(60_000);
    assert.deepEqual(troubles.list(), [{ code: "git-unreachable", message: "Cannot reach git", hint: "Wait" }]);
    assert.deepEqual(log.events("error"), ["loop.failed"]);
    const pauses = at.slice(1).map((each, index) => each - at[index]!);
    for (const [index, pause] of pauses.entries()) {
      const middle = Math.min(200 * 2 ** index, 10_000);
      assert.ok(pause >= 0.75 * middle && pause <= 1.25 * middle + 1, pauses.join(" "));
    }
    assert.ok(pauses.length >= 8 && pauses.length <= 14, pauses.join(" "));

    problem = new Problem("disk-write", "Cannot write");
    await clock.advanceUntil(() => troubles.list()[0]?.code === "disk-write", 15_000);
    assert.deepEqual(log.events("error"), ["loop.failed", "loop.failed"], "another trouble is another line");
    problem = undefined;
    await clock.advanceUntil(() => troubles.list().length === 0, 15_000);
    assert.deepEqual(log.events("info"), ["loop.recovered"]);

    problem = new Problem("disk-write", "Cannot write");
    const before = at.length;
    waker.wake();
    await clock.advance(260);
    assert.equal(at.length, before + 2, "after a success the first pause is short again");
  });

  test("a wake while it pauses after a failure is not lost", async () => {
    let passes = 0;
    run(async () => {
      if (++passes === 1) throw new Problem("disk-write", "Cannot write");
      return undefined;
    });
    await settled();
    waker.wake();
    await clock.advance(1_000);
    assert.equal(passes, 3, "the retry, and one for the wake");
  });

  test("where a pass heeds wakes, one ends the pause after a failure; the pauses grow all the same", async () => {
    const at: number[] = [];
    const pass = (): Promise<number | undefined> => {
      at.push(clock.monotonicMs());
      return Promise.reject(new Problem("disk-write", "Cannot write"));
    };
    ended = tick({ name: "loop", waker, clock, log, troubles, heedsWakes: true, pass }, over.signal);
    await clock.advance(60_000);
    const passes = at.length;
    assert.ok(passes <= 14, `${passes} passes`);
    waker.wake();
    await settled();
    assert.equal(at.length, passes + 1);
    await clock.advance(7_000);
    assert.equal(at.length, passes + 1);
  });

  test("anything that is thrown is a problem of the loop", async () => {
    run(() => Promise.reject(new TypeError("x is not a function")));
    await settled();
    const [trouble] = troubles.list();
    assert.equal(trouble?.code, "loop-failed");
    assert.match(trouble.message, /Cannot finish a pass of loop.*x is not a function/);
  });

  for (const [where, pass] of [
    ["while it waits for a wake", () => Promise.resolve(undefined)],
    ["while it waits for its time", () => Promise.resolve(60_000)],
    ["while it pauses after a failure", () => Promise.reject(new Problem("disk-write", "Cannot write"))],
  ] as const) {
    test(`the signal ends it ${where}`, async () => {
      run(pass);
      await settled();
      over.abort();
      await ended;
      assert.equal(clock.sleeping, 0);
    });
  }

  test("the signal ends it in the middle of a pass, once that has ended; nothing is said of it", async () => {
    const { opened, open } = gate();
    let isOver = false;
    run(async (signal) => {
      await opened;
      signal.throwIfAborted();
      return undefined;
    });
    const watching = ended.then(() => (isOver = true));
    over.abort();
    await settled();
    assert.equal(isOver, false);
    open();
    await watching;
    assert.deepEqual([log.lines, troubles.list()], [[], []]);
  });
});
