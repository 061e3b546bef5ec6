// The permit of one machine by itself: when it is asked for, extended, given anew and forgotten.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { fenceLeadMs } from "../../../agent/domain/placement.ts";
import type { Claim } from "../../../agent/loops/beat.ts";
import { Fence } from "../../../agent/loops/fence.ts";
import { Troubles } from "../../../agent/loops/troubles.ts";
import type { LeaseId } from "../../../agent/ports/registry.ts";
import { encodeManifest, keys } from "../../../agent/text/values.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { idOf, machineLeaseMs } from "./house.ts";

const me = idOf("a");
const key = keys.manifest(me);

/** A machine whose lease and permit are set by hand. */
class Bench {
  readonly clock = new FakeClock();
  readonly log = new MemoryLog();
  readonly fence: Fence;
  /** What was told, as the one who is told finds it. */
  readonly told: string[] = [];
  /** systemd's; undefined: it has none. */
  permitUntilMs: number | undefined;
  extended = 0;
  /** The leader's word in this machine's manifest; it has claimed its id at 6. */
  word: number | undefined = 6;
  #heldUntilMs = -Infinity;
  readonly #claim: Claim = { lease: "1" as LeaseId, revision: 6 };
  readonly #over = new AbortController();
  #held = (): void => undefined;

  constructor() {
    this.fence = new Fence({
      me,
      systemd: {
        placed: async () => [],
        extendPermit: async (untilMs) => {
          this.extended++;
          if ((this.permitUntilMs ?? -Infinity) <= this.clock.monotonicMs()) return false;
          this.permitUntilMs = untilMs;
          return true;
        },
        grantPermit: async (untilMs) => {
          this.permitUntilMs = untilMs;
          return [];
        },
      },
      registry: {
        get: async () => ({
          entry: { key, value: this.#manifest(), createRevision: 1, modRevision: 7 },
          revision: 7,
        }),
      },
      beat: {
        claim: () => this.#claim,
        heldUntilMs: () => this.#heldUntilMs,
        hasten: () => undefined,
        onHeld: (listener) => {
          this.#held = listener;
          return () => undefined;
        },
      },
      offer: () => undefined,
      clock: this.clock,
      log: this.log,
      troubles: new Troubles(),
    });
    this.fence.onChange(() => this.told.push(this.#state()));
  }

  #manifest(): string {
    const word = this.word === undefined ? {} : { word: this.word };
    return encodeManifest({ machine: me, epoch: 1, generation: 1, ...word, units: [] });
  }

  async open(): Promise<void> {
    const running = this.fence.run(this.#over.signal);
    this.close = async () => {
      this.#over.abort();
      await running;
    };
    await this.clock.advance(0);
  }

  close = async (): Promise<void> => undefined;

  /** The lease is renewed, and counts from now. */
  async renew(): Promise<void> {
    this.#heldUntilMs = this.clock.monotonicMs() + machineLeaseMs;
    this.#held();
    await this.clock.advance(0);
  }

  /** The fence looks although the lease was not renewed in time. */
  async look(): Promise<void> {
    this.#held();
    await this.clock.advance(0);
  }

  async need(needed: boolean): Promise<void> {
    this.fence.need(needed);
    await this.clock.advance(0);
  }

  #state(): string {
    const { fence } = this;
    return fence.isOpen() ? "open" : fence.hasEnded() ? `ended, ${fence.isFresh() ? "fresh" : "cut off"}` : "unknown";
  }
}

let bench: Bench;
afterEach(() => bench.close());

/** With a permit that systemd has, and a lease that is held. */
async function permitted(): Promise<Bench> {
  bench = new Bench();
  await bench.open();
  await bench.need(true);
  await bench.renew();
  assert.deepEqual(await bench.fence.open(), []);
  assert.equal(bench.fence.isOpen(), true);
  bench.told.length = 0;
  return bench;
}

describe("a permit", () => {
  test("lies before the end of the lease, is extended with each renewal, and nothing is told of that", async () => {
    const { fence, told, clock } = await permitted();
    for (let each = 0; each < 5; each++) {
      await clock.advance(machineLeaseMs / 4);
      await bench.renew();
      assert.equal(bench.permitUntilMs, clock.monotonicMs() + machineLeaseMs - fenceLeadMs);
    }
    assert.deepEqual(told, []);
    await clock.advance(machineLeaseMs - fenceLeadMs);
    assert.deepEqual([fence.isOpen(), fence.isFresh(), fence.isCutOff()], [false, false, true]);
  });

  test("that ended is asked for as soon as the lease is held again", async () => {
    const { fence, told, clock, log } = await permitted();
    await clock.advance(machineLeaseMs);
    await bench.renew();
    assert.deepEqual(told, ["ended, fresh"]);
    assert.deepEqual(log.events("warn"), ["fence.fell"]);
    assert.deepEqual(await fence.open(), []);
    assert.deepEqual([fence.isOpen(), told.at(-1)], [true, "open"]);
  });

  test("that was found ended while the lease was out of reach is asked for when it is held again", async () => {
    const { told, clock } = await permitted();
    await clock.advance(machineLeaseMs);
    await bench.look();
    assert.deepEqual(told, ["ended, cut off"], "nobody may give one now");
    await bench.renew();
    assert.deepEqual(told, ["ended, cut off", "ended, fresh"]);
    await bench.renew();
    assert.equal(told.length, 3, "until it is given, each renewal is an occasion");
  });

  test("that nobody needs is neither extended nor remembered; a unit that is called back is given one anew", async () => {
    const { fence, told, clock } = await permitted();
    await clock.advance(machineLeaseMs);
    await bench.renew();
    assert.equal(fence.hasEnded(), true);
    await bench.need(false);
    assert.deepEqual([fence.hasEnded(), fence.isOpen()], [false, false]);
    const { extended } = bench;
    await bench.renew();
    assert.equal(bench.extended, extended);
    told.length = 0;
    await bench.need(true);
    assert.deepEqual(told, ["ended, fresh"], "at once, and not with the next renewal");
    assert.deepEqual(await fence.open(), []);
    assert.equal(fence.isOpen(), true);
  });

  test("that is called back while systemd has it still is taken up", async () => {
    const { fence, told } = await permitted();
    await bench.need(false);
    assert.equal(fence.isOpen(), false, "whether it stands was not asked");
    await bench.need(true);
    assert.deepEqual([fence.isOpen(), told], [true, ["open"]]);
  });

  test("is not asked for before the leader's word is for this claim, and is at once when it is", async () => {
    bench = new Bench();
    bench.word = undefined;
    const { fence, told, clock } = bench;
    await bench.open();
    await bench.need(true);
    await bench.renew();
    assert.deepEqual([fence.isFresh(), fence.isCutOff()], [false, false]);
    assert.deepEqual(told.slice(-1), ["ended, cut off"]);
    fence.heed();
    await clock.advance(0);
    assert.equal(fence.isFresh(), false);
    bench.word = 9; // another time's, in a registry that was put back
    fence.heed();
    await clock.advance(0);
    assert.equal(fence.isFresh(), false);
    bench.word = 6;
    fence.heed();
    await clock.advance(0);
    assert.equal(fence.isFresh(), true);
    assert.deepEqual(told.slice(-1), ["ended, fresh"]);
  });
});
