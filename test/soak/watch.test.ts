// That the watch finds what it is there to find, where it takes long to come about on machines: fed by hand, on a clock of the
// test's own. Machines are folders that look like control groups, units are processes with their names.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, suite, test } from "node:test";
import type { BootedMachine } from "../system/booted/machine.ts";
import { SoakMachine } from "./site.ts";
import { Watch, type Watched, harmlessSilenceMs } from "./watch.ts";
import type { Wish } from "./wishes.ts";

const stepMs = 200;
/** Longer than a machine may be silent and keep its place. */
const longMs = harmlessSilenceMs + 2 * stepMs;
const children = new Set<ChildProcess>();
const folder = mkdtempSync(join(tmpdir(), "flotilla-watch-"));

const wish = (name: string, more: Partial<Wish> = {}): Wish => {
  return { name, edition: 1, isGlobal: false, isFenced: false, isApart: false, ...more };
};
const wishes = [
  wish("alone.service"),
  wish("fenced.service", { isFenced: true }),
  wish("every.service", { isGlobal: true }),
];

let made = 0;

/** Three machines of which nothing is broken, and nothing runs yet. */
class Scene implements Watched {
  readonly machines: readonly SoakMachine[];
  readonly wishes = {
    all: () => wishes,
    get: (name: string) => wishes.find((each) => each.name === name),
    stopped: new Set<string>(),
  };
  readonly store = { look: () => Promise.resolve(undefined) };
  hasMajority = true;
  readonly silent = new Set<SoakMachine>();
  readonly watch: Watch;
  #nowMs = 0;

  constructor() {
    this.machines = ["m1", "m2", "m3"].map((name) => {
      const machine = new SoakMachine({ name } as unknown as BootedMachine, name.repeat(16));
      machine.group = join(folder, String(++made));
      mkdirSync(join(machine.group, "system.slice"), { recursive: true });
      return machine;
    });
    this.watch = new Watch(this, { onViolation: () => undefined, clock: () => this.#nowMs });
  }

  isConnected(machine: SoakMachine): boolean {
    return !this.silent.has(machine);
  }

  get(name: string): SoakMachine {
    const machine = this.machines.find((each) => each.name === name);
    assert.ok(machine);
    return machine;
  }

  async start(unit: string, on: SoakMachine): Promise<void> {
    const child = spawn("sleep", ["600"], { argv0: `${unit}/1`, stdio: "ignore" });
    children.add(child);
    await once(child, "spawn");
    const group = join(on.group ?? "", "system.slice", unit);
    mkdirSync(group, { recursive: true });
    writeFileSync(join(group, "cgroup.procs"), `${child.pid ?? ""}\n`);
  }

  stop(unit: string, on: SoakMachine): void {
    rmSync(join(on.group ?? "", "system.slice", unit), { recursive: true });
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= stepMs) {
      this.#nowMs += stepMs;
      this.watch.sample();
    }
  }

  /** What was found since it was asked last. */
  found(): readonly string[] {
    return this.watch.violations.splice(0).map(({ what }) => what);
  }
}

/** `unit` runs on m1, for so long that nothing of before counts. */
async function running(
  unit: string,
): Promise<{ readonly scene: Scene; readonly m1: SoakMachine; readonly m2: SoakMachine }> {
  const scene = new Scene();
  const [m1, m2] = [scene.get("m1"), scene.get("m2")];
  await scene.start(unit, m1);
  scene.pass(60_000);
  assert.deepEqual(scene.found(), []);
  return { scene, m1, m2 };
}

suite("the watch", { skip: process.platform !== "linux" }, () => {
  afterEach(() => {
    for (const child of children) child.kill("SIGKILL");
    children.clear();
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("a second one of a fenced unit is found, also on a machine that is cut off", async () => {
    const { scene, m1, m2 } = await running("fenced.service");
    scene.silent.add(m1);
    scene.pass(longMs);
    await scene.start("fenced.service", m2);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), ["fenced.service runs on m1 and m2, and has OnPartition=stop"]);
    scene.pass(10_000);
    assert.deepEqual(scene.found(), [], "it is told once");
  });

  test("a second one of another unit is none while its machine is cut off, and soon after; then it is", async () => {
    const { scene, m1, m2 } = await running("alone.service");
    scene.silent.add(m1);
    scene.pass(longMs);
    await scene.start("alone.service", m2);
    scene.pass(30_000);
    scene.silent.delete(m1);
    scene.pass(19_000);
    assert.deepEqual(scene.found(), []);
    scene.pass(2_000);
    assert.deepEqual(scene.found(), ["alone.service runs on m1 and m2, which are connected"]);
  });

  test("a fenced unit may stop where its machine or the store was silent, and is found where neither was", async () => {
    for (const silence of ["machine", "store", "none", "brief"]) {
      const { scene, m1 } = await running("fenced.service");
      if (silence === "machine" || silence === "brief") scene.silent.add(m1);
      if (silence === "store") scene.hasMajority = false;
      scene.pass(silence === "brief" ? harmlessSilenceMs - stepMs : longMs);
      scene.stop("fenced.service", m1);
      scene.pass(stepMs);
      const isMeant = silence === "machine" || silence === "store";
      assert.deepEqual(scene.found(), isMeant ? [] : ["fenced.service was stopped on m1"], silence);
    }
  });

  test("another unit is found when it stops because the store was silent", async () => {
    const { scene, m1 } = await running("alone.service");
    scene.hasMajority = false;
    scene.pass(longMs);
    scene.stop("alone.service", m1);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), ["alone.service was stopped on m1"]);
  });

  test("what a machine is to keep is found when it is started elsewhere, and when it stops", async () => {
    const { scene, m1, m2 } = await running("alone.service");
    const release = scene.watch.keep([m1]);
    scene.silent.add(m1);
    scene.pass(longMs);
    await scene.start("alone.service", m2);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), ["alone.service was started on m2, and m1 was to keep it"]);
    scene.stop("alone.service", m2);
    scene.pass(stepMs);
    scene.found();
    scene.stop("alone.service", m1);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), ["alone.service was stopped on m1"]);
    await scene.start("alone.service", m1);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), [], "at home it may start");
    release();
    await scene.start("alone.service", m2);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), [], "it is kept no longer");
  });

  test("what stops on a machine that was silent must run elsewhere in time", async () => {
    const { scene, m1, m2 } = await running("alone.service");
    scene.silent.add(m1);
    scene.pass(longMs);
    scene.stop("alone.service", m1);
    scene.pass(14_000);
    assert.deepEqual(scene.found(), []);
    scene.pass(2_000);
    const gone = "alone.service was stopped on m1 as if for another machine, and";
    assert.deepEqual(scene.found(), [`${gone} runs nowhere after 15000 ms`]);

    await scene.start("alone.service", m1);
    scene.pass(stepMs);
    scene.stop("alone.service", m1);
    scene.pass(stepMs);
    await scene.start("alone.service", m1);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), [`${gone} started again there`]);

    scene.stop("alone.service", m1);
    await scene.start("alone.service", m2);
    scene.pass(30_000);
    assert.deepEqual(scene.found(), [], "it runs elsewhere");
  });

  test("a global unit has no other machine: it is found when it stops, whatever was silent", async () => {
    const { scene, m1 } = await running("every.service");
    scene.silent.add(m1);
    scene.pass(longMs);
    scene.stop("every.service", m1);
    scene.pass(stepMs);
    assert.deepEqual(scene.found(), ["every.service was stopped on m1"]);
  });
});
