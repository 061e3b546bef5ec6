// The count of lost machines by itself: who is asked after and for how long, what counts together, and what is told.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Machine, MachineSettings } from "../../../agent/domain/machine.ts";
import type { MachineId } from "../../../agent/domain/names.ts";
import type { Manifest, Standing } from "../../../agent/domain/placement.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ClusterEvent } from "../../../agent/domain/submitted.ts";
import { type Judgement, Losses } from "../../../agent/loops/losses.ts";
import { tidyUp } from "../../../agent/loops/housekeeping.ts";
import { PictureReader, type RegistryPicture } from "../../../agent/loops/picture.ts";
import type { Entry, LeaseId } from "../../../agent/ports/registry.ts";
import { encodeMachine, encodeMachineSettings, encodeManifest, keys } from "../../../agent/text/values.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { machineLeaseMs } from "./house.ts";

const { signal } = new AbortController();
const idOf = (number: number): MachineId => number.toString(16).padStart(32, "0") as MachineId;
const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

/** Machines 1 to `count`; all have a manifest, those that are not `lost` a record as well. */
class Scene {
  readonly clock = new FakeClock({ seed: 1 });
  readonly count: number;
  /** Numbers of machines whose keys are gone; of those that were given up; of those that operators have cordoned. */
  readonly lost = new Set<number>();
  readonly givenUp = new Set<number>();
  readonly cordoned = new Set<number>();
  readonly settings = new Map<number, MachineSettings>();
  /** What is left of leases, where it is not nearly all. */
  readonly leftMs = new Map<number, number>();
  readonly asked: number[] = [];
  failure: Problem | undefined;
  readonly losses: Losses;
  #revision = 1;
  readonly #reader = new PictureReader();

  constructor(count: number, { brakePercent = 50 } = {}) {
    this.count = count;
    this.losses = new Losses({
      registry: {
        leaseLeftMs: async (lease) => {
          if (this.failure !== undefined) throw this.failure;
          this.asked.push(Number(lease));
          return this.leftMs.get(Number(lease)) ?? machineLeaseMs - 1_000;
        },
      },
      mirror: { get: (key) => this.#entries().get(key) },
      clock: this.clock,
      machineLeaseMs,
      brakePercent,
    });
  }

  lose(...all: readonly number[]): void {
    for (const number of all) this.lost.add(number);
  }

  picture(): RegistryPicture {
    return this.#reader.read(this.#entries(), undefined);
  }

  /** Also writes what it comes to: who is given up. */
  async judge(presumed: readonly number[] = []): Promise<Judgement> {
    const picture = this.picture();
    const standing = new Map<MachineId, Standing>([...picture.machines.keys()].map((id) => [id, "present"]));
    for (const number of presumed) standing.set(idOf(number), "presumed");
    const judged = await this.losses.judge(picture, standing, signal);
    for (const number of this.lost) if (!judged.standing.has(idOf(number))) this.givenUp.add(number);
    this.#revision++;
    return judged;
  }

  /** A machine that was lost, in its next boot. */
  comeBack(number: number): void {
    this.lost.delete(number);
    this.#revision++;
  }

  /** Who is to rest, as `NUMBER LOSSES SECONDS`. */
  rests(): readonly string[] {
    const picture = this.picture();
    const nowMs = this.clock.wallMs();
    return this.losses.rests(picture, { by: "leader", nowMs, nonce: "n" }).map(({ machine, writes }) => {
      this.losses.rested(machine, picture);
      this.givenUp.delete(Number.parseInt(machine, 16));
      const put = writes.find(({ key }) => key === keys.settingsOf(machine));
      const { rests } = JSON.parse(put?.kind === "put" ? put.value : "{}") as MachineSettings;
      return `${Number.parseInt(machine, 16)} ${rests?.losses} ${((rests?.untilMs ?? 0) - nowMs) / 1_000}`;
    });
  }

  #entries(): ReadonlyMap<string, Entry> {
    const found = new Map<string, Entry>();
    const put = (key: string, value: string, lease?: string): void => {
      const revisions = { createRevision: 1, modRevision: this.#revision };
      found.set(key, { key, value, ...revisions, ...(lease === undefined ? {} : { lease: lease as LeaseId }) });
    };
    for (const number of numbers(this.count)) {
      const machine = idOf(number);
      const manifest: Manifest = { machine, epoch: 1, generation: 1, units: [] };
      put(keys.manifest(machine), encodeManifest(this.givenUp.has(number) ? { ...manifest, givenUp: true } : manifest));
      if (!this.lost.has(number)) put(keys.machine(machine), encodeMachine(record(number)), String(number));
      const word = { machine, metadata: {}, by: "ann", atMs: 1 };
      const settings = this.cordoned.has(number) ? ({ ...word, cordoned: true } as const) : this.settings.get(number);
      if (settings !== undefined) put(keys.settingsOf(machine), encodeMachineSettings(settings));
    }
    return found;
  }
}

function record(number: number): Machine {
  return {
    ...{ id: idOf(number), nonce: "n", hostname: `m${number}`, publicIp: "", metadata: {}, cpus: 1, memoryBytes: 1 },
    ...{ mayLead: true, version: "1" },
  };
}

const outcome = ({ brake, isHeld }: Judgement): string =>
  brake !== undefined ? `brake ${brake.lost.length} of ${brake.machines}` : isHeld ? "held" : "none";

describe("how many are too many", () => {
  for (const [machines, lost, percent, expected] of [
    [2, 1, 50, "none"],
    [3, 1, 1, "none"],
    [3, 2, 50, "brake 2 of 3"],
    [4, 2, 50, "none"],
    [4, 2, 49, "brake 2 of 4"],
    [100, 51, 50, "brake 51 of 100"],
    [100, 50, 50, "none"],
    [100, 99, 100, "none"],
    [100, 100, 99, "brake 100 of 100"],
    [100, 2, 1, "brake 2 of 100"],
  ] as const) {
    test(`${lost} of ${machines} with ${percent}%: ${expected}`, async () => {
      const scene = new Scene(machines, { brakePercent: percent });
      scene.lose(...numbers(lost));
      assert.equal(outcome(await scene.judge()), expected);
    });
  }

  test("those that were given up count for a minute, and cordoned ones never", async () => {
    const scene = new Scene(6);
    scene.lose(1, 2);
    assert.equal(outcome(await scene.judge()), "none");
    scene.lose(3, 4);
    assert.equal(outcome(await scene.judge()), "brake 4 of 6");
    const { standing, dueMs } = await scene.judge();
    assert.deepEqual(
      [1, 2, 3, 4].map((number) => standing.get(idOf(number))),
      [undefined, undefined, "presumed", "presumed"],
      "what was given up stays so",
    );
    assert.equal(dueMs, 60_000, "it wakes when the first count no longer");
    scene.cordoned.add(3);
    assert.equal(outcome(await scene.judge()), "brake 3 of 5");
    await scene.clock.advance(60_000);
    assert.equal(outcome(await scene.judge()), "none", "one of three");
  });

  test("is not asked where all that are lost were given up: nothing is left to hold", async () => {
    const scene = new Scene(4);
    for (const number of [1, 2, 3]) {
      scene.lose(number);
      scene.givenUp.add(number);
    }
    assert.equal(outcome(await scene.judge()), "none");
    const one = new Scene(5);
    one.lose(1, 2);
    await one.judge();
    assert.equal(outcome(await one.judge()), "none");
    one.lose(3);
    assert.equal(outcome(await one.judge()), "brake 3 of 5");
    one.cordoned.add(3);
    assert.equal(outcome(await one.judge()), "none", "two of four, and nothing is left to hold");
  });

  test("another leader counts what nobody has given up, and nothing that somebody has", async () => {
    const scene = new Scene(20);
    scene.lose(...numbers(12));
    for (const number of numbers(11)) scene.givenUp.add(number);
    assert.equal(outcome(await scene.judge()), "none");
    const other = new Scene(20);
    other.lose(...numbers(12));
    assert.equal(outcome(await other.judge()), "brake 12 of 20");
  });
});

describe("who is silent", () => {
  test("is asked for when one is lost, and no more once nobody is", async () => {
    const scene = new Scene(4);
    await scene.judge();
    assert.deepEqual(scene.asked, []);
    scene.lose(1);
    assert.equal(outcome(await scene.judge()), "none");
    assert.deepEqual(scene.asked, [2, 3, 4]);
    await scene.judge();
    assert.equal(scene.asked.length, 3);
  });

  test("may be lost as well: nothing is given up until that is known, one way", async () => {
    const scene = new Scene(4);
    for (const number of [2, 3]) scene.leftMs.set(number, 3_000);
    scene.lose(1);
    const first = await scene.judge();
    assert.deepEqual([outcome(first), first.dueMs], ["held", 400]);
    scene.lose(2, 3);
    assert.equal(outcome(await scene.judge()), "brake 3 of 4");
  });

  test("... or the other", async () => {
    const scene = new Scene(4);
    for (const number of [2, 3]) scene.leftMs.set(number, 3_000);
    scene.lose(1);
    assert.equal(outcome(await scene.judge()), "held");
    scene.leftMs.clear();
    assert.equal(outcome(await scene.judge()), "held", "it does not ask all the time");
    await scene.clock.advance(400);
    assert.equal(outcome(await scene.judge()), "none");
  });

  test("may be on its way back: while that is not known it may be lost as well", async () => {
    const scene = new Scene(3);
    scene.lose(1, 2);
    assert.equal(outcome(await scene.judge([2])), "held");
    assert.equal(outcome(await scene.judge()), "brake 2 of 3");
  });

  test("for longer than its lease is no longer waited for", async () => {
    const scene = new Scene(4);
    for (const number of [2, 3]) scene.leftMs.set(number, 3_000);
    scene.lose(1);
    for (let passedMs = 0; passedMs <= machineLeaseMs / 2 + 1_000; passedMs += 400) {
      assert.equal(outcome(await scene.judge()), "held", `${passedMs} ms`);
      await scene.clock.advance(400);
    }
    assert.equal(outcome(await scene.judge()), "none");
  });

  test("is guessed from a sample of many, another one each time", async () => {
    const scene = new Scene(1_000);
    scene.lose(1);
    for (const number of numbers(1_000)) if (number % 10 < 6) scene.leftMs.set(number, 2_000);
    assert.equal(outcome(await scene.judge()), "held");
    const first = new Set(scene.asked.splice(0));
    assert.ok(first.size > 50 && first.size <= 64, `${first.size}`);
    await scene.clock.advance(400);
    await scene.judge();
    assert.ok(scene.asked.every((number) => !first.has(number)));
  });

  test("cannot be told without the registry: nothing is decided", async () => {
    const scene = new Scene(3);
    scene.lose(1);
    scene.failure = new Problem("registry-unreachable", "Cannot ask");
    await assert.rejects(scene.judge(), { code: "registry-unreachable" });
    scene.failure = undefined;
    assert.equal(outcome(await scene.judge()), "none");
  });
});

describe("what is told", () => {
  const event = (kind: ClusterEvent["kind"]): ClusterEvent => ({ kind, by: "leader", atMs: 1, message: "" });
  const brake = { lost: [idOf(1), idOf(2)], machines: 3 };

  for (const [name, events, given, kind] of [
    ["that it is on", [], { brake, isSettled: false }, "machines-lost"],
    ["once", [event("machines-lost"), event("unit-held")], { brake, isSettled: false }, undefined],
    [
      "again after it was over",
      [event("machines-lost"), event("machines-returned")],
      { brake, isSettled: false },
      "machines-lost",
    ],
    ["that it is over", [event("machines-lost")], { brake: undefined, isSettled: true }, "machines-returned"],
    [
      "not while machines may be coming back",
      [event("machines-lost")],
      { brake: undefined, isSettled: false },
      undefined,
    ],
    ["nothing of what never was", [event("unit-held")], { brake: undefined, isSettled: true }, undefined],
  ] as const) {
    test(name, () => {
      const told = new Scene(3).losses.tell({ events: events as readonly ClusterEvent[] }, given);
      assert.equal(told.event?.kind, kind);
      assert.equal(told.trouble?.code, given.brake === undefined ? undefined : "loss-brake");
    });
  }
});

describe("a rest", () => {
  /** Lost, given up and back; who is to rest then. */
  const flap = async (scene: Scene, { afterMs = 1_000 } = {}): Promise<readonly string[]> => {
    await scene.clock.advance(afterMs);
    scene.lose(1);
    await scene.judge();
    scene.comeBack(1);
    const found = scene.rests();
    scene.givenUp.delete(1);
    await scene.judge();
    return found;
  };

  test("doubles with each loss, up to ten minutes", async () => {
    const scene = new Scene(3);
    const found: string[] = [];
    for (let each = 0; each < 8; each++) found.push(...(await flap(scene)));
    assert.deepEqual(found, ["1 2 30", "1 3 60", "1 4 120", "1 5 240", "1 6 480", "1 7 600", "1 8 600"]);
  });

  test("is not for losses that are ten minutes apart, and goes on where an earlier leader has counted", async () => {
    const scene = new Scene(3);
    assert.deepEqual(await flap(scene), []);
    assert.deepEqual(await flap(scene, { afterMs: 600_000 }), []);
    const other = new Scene(3);
    other.settings.set(1, { machine: idOf(1), metadata: {}, rests: { losses: 4, untilMs: 1 }, by: "a", atMs: 1 });
    assert.deepEqual(await flap(other), ["1 5 240"]);
  });

  test("counts what an earlier leader gave up as one loss", async () => {
    const scene = new Scene(3);
    scene.givenUp.add(1);
    assert.deepEqual(scene.rests(), [], "it is back under this leader");
    scene.givenUp.delete(1);
    assert.deepEqual(await flap(scene), ["1 2 30"]);
  });

  test("is written once for a return, however often the pass is repeated", async () => {
    const scene = new Scene(3);
    await flap(scene);
    scene.lose(1);
    await scene.judge();
    await scene.judge();
    scene.comeBack(1);
    assert.deepEqual(scene.rests(), ["1 2 30"]);
    scene.givenUp.add(1);
    assert.deepEqual(scene.rests(), [], "the manifest that says that it is back was not written yet");
  });

  test("ends with its time, and where a leader's clock was ahead", () => {
    const nowMs = 1_000_000_000;
    const ended = (untilMs: number): readonly [number, number] => {
      const scene = new Scene(1);
      scene.settings.set(1, { machine: idOf(1), metadata: {}, rests: { losses: 2, untilMs }, by: "a", atMs: 1 });
      const given = { isGits: () => false, commit: undefined, by: "leader", nowMs, nonce: "n" };
      const { batches, dueMs } = tidyUp({ picture: scene.picture(), ...given });
      return [batches.length, dueMs];
    };
    assert.deepEqual(ended(nowMs + 5_000), [0, 5_000]);
    assert.deepEqual(ended(nowMs), [1, Infinity]);
    assert.deepEqual(ended(nowMs + 24 * 3_600_000), [1, Infinity]);
  });
});
