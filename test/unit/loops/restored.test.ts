// A registry that was put back to an earlier state, and units with OnPartition=stop: what it has forgotten may still be running
// somewhere. Beside partition.test.ts, where machines are lost without that.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { keys } from "../../../agent/text/values.ts";
import { House, fenced, machineLeaseMs, name, passingOn, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

const onSsd = { c: { disk: "ssd" } } as const;

const isMarked = async (): Promise<boolean> => (await house.operator.get(keys.restored)).entry !== undefined;
const isTold = async (): Promise<boolean> => (await (await house.leading()).problem("registry-restored")) !== undefined;

/** A cluster whose leader has had the registry for long, without units. */
async function quiet(
  leaders = "ab",
  metadata: Readonly<Record<string, Record<string, string>>> = onSsd,
): Promise<void> {
  house = await House.open({ machines: "abc", leaders, metadata });
  await house.ready();
  await house.clock.advance(2 * machineLeaseMs);
}

describe("what was placed on a machine after the backup", () => {
  /** db.service runs on c, takes all of its time when it has to stop, and the backup knows nothing of it. */
  async function forgotten(stopSec: number): Promise<() => void> {
    await quiet();
    const backup = house.store.backUp();
    // Told to the leader: whoever else is asked follows the whole registry for a while
    house.commit({ "db.service": fenced(stopSec, "Prefer=disk=ssd") });
    await house.settle((await house.leading()).agent.view.sync());
    await house.until(() => house.running("db.service") === "c", 5_000);
    const c = house.box("c");
    await house.until(async () => (await c.listed()).length === 1, 5_000);
    c.systemd.fallsWithin(name("db.service"), stopSec * 1_000);
    return () => house.store.restoreFrom(backup);
  }

  test("is started elsewhere only once it must be down there, when its agent is dead", async () => {
    const restore = await forgotten(8);
    await house.box("c").kill();
    restore();
    await house.neverTwo(60_000);
    assert.match(house.running("db.service"), /^[ab]$/);
  });

  test("the same by a leader that knows of the restore only from the mark of one that is dead", async () => {
    const restore = await forgotten(8);
    await house.box("c").kill();
    restore();
    await house.until(isMarked, 5_000, 10);
    // Whoever saw it is gone, and those that come have seen nothing
    for (const letter of "ab") await house.box(letter).kill();
    for (const letter of "ab") house.box(letter).start();
    await house.neverTwo(60_000);
    assert.match(house.running("db.service"), /^[ab]$/);
    assert.equal(await isMarked(), false);
  });

  test("the same by one that has heard of nothing since the backup but its lease", async () => {
    const restore = await forgotten(60);
    await house.clock.advance(5_000); // every lease has been renewed
    const leader = await house.leading();
    await house.box("c").kill();
    await leader.kill();
    restore();
    await house.neverTwo(120_000);
    assert.equal(house.running("db.service").replace(leader.letter, "").length, 1);
  });

  test("is waited for also when its machine came back, and is lost before it was told", async () => {
    const restore = await forgotten(60);
    restore();
    await house.neverTwo(8_000);
    assert.equal(house.running("db.service"), "c");
    house.box("c").connection.cutOff();
    await house.neverTwo(200_000);
    assert.match(house.running("db.service"), /^[ab]$/);
  });

  test("is told by the leader to wait, until somebody who knows better takes the mark away", async () => {
    const restore = await forgotten(120);
    const c = house.box("c");
    await c.kill();
    c.systemd.fallsWithin(name("db.service"), 3_000);
    restore();
    await house.until(isTold, 2 * machineLeaseMs, 50);
    await house.clock.advance(2 * machineLeaseMs);
    assert.deepEqual([await isTold(), house.running("db.service")], [true, ""]);
    await house.remove(keys.restored);
    await house.until(() => /^[ab]$/.test(house.running("db.service")), 2_000);
    assert.equal(await isTold(), false);
  });
});

test("a machine that gets its first such unit while it is cut off does not start it under the claim of before", async () => {
  await quiet();
  const c = house.box("c");
  c.connection.cutOff();
  await house.deploy({ "db.service": fenced(4, "Prefer=disk=ssd") });
  await house.until(async () => (await house.held()).manifests.get(c.id)?.word !== undefined, 5_000);
  const backup = house.store.backUp();
  await house.until(() => house.running("db.service") !== "", 30_000);
  await house.clock.advance(5_000);
  for (const box of house.machines) box.connection.cutOff();
  house.store.restoreFrom(backup);
  // Its lease lives again, and its record is the one that it claimed
  c.connection.restore();
  await house.neverTwo(5_000);
  for (const box of house.machines) box.connection.restore();
  await house.neverTwo(60_000);
});

test("a machine gets no word while one of its forgotten units may be elsewhere, though another need not wait", async () => {
  await quiet("b", { a: { pool: "x" }, c: { pool: "x", disk: "ssd" } });
  const backup = house.store.backUp();
  const inPool = ["MachineMetadata=pool=x", "Prefer=disk=ssd"];
  await house.deploy({ "db.service": fenced(60, ...inPool), "quick.service": fenced(1, ...inPool) });
  const [a, c] = [house.box("a"), house.box("c")];
  const areOn = (letter: string): boolean =>
    house.running("db.service") === letter && house.running("quick.service") === letter;
  await house.until(() => areOn("c"), 5_000);
  await house.clock.advance(5_000);
  c.connection.cutOff();
  await house.until(() => areOn("a"), 120_000, 50);
  await house.clock.advance(3_000);
  a.systemd.fallsWithin(name("db.service"), 60_000);
  await a.kill();
  house.store.restoreFrom(backup);
  c.connection.restore();
  await house.neverTwo(120_000);
  assert.match(house.running("db.service"), /^[ac]$/);
});

test("while the mark stands a change of leader holds up nothing else", async () => {
  await quiet();
  const units = { "web.service": service(), "slow.service": fenced(600, "Prefer=disk=ssd") };
  await house.deploy(units);
  await house.until(() => house.running("slow.service") === "c", 20_000);
  await house.clock.advance(2 * machineLeaseMs);
  const backup = house.store.backUp();
  await house.deploy({ ...units, "x.service": service() });
  await house.clock.advance(5_000);
  house.store.restoreFrom(backup);
  await house.clock.advance(80_000);
  const leader = await house.leading();
  await leader.stop();
  await house.until(async () => ![leader.letter, undefined].includes(await house.leader()), 10_000, 10);
  leader.start();
  assert.equal(await isMarked(), true);
  house.commit({ ...units, "y.service": service() });
  await house.settle((await house.leading()).agent.view.sync());
  await house.until(() => house.running("y.service") !== "", 2_000);
});

describe("a restore of which all have been told", () => {
  const started = async (unit: string): Promise<number> => {
    const fromMs = house.clock.monotonicMs();
    await house.until(() => house.running(unit) !== "", 30_000, 50);
    return house.clock.monotonicMs() - fromMs;
  };

  test("is not found once more by whoever looks at the whole registry again", async () => {
    await quiet();
    const c = house.box("c");
    await c.problems();
    const backup = house.store.backUp();
    await house.deploy({ "db.service": fenced(25) });
    await house.until(() => house.running("db.service") !== "", 30_000);
    await c.problems();
    await house.clock.advance(400_000); // it has let go of it
    house.store.restoreFrom(backup);
    await house.clock.advance(600_000);
    assert.equal(await isMarked(), false);
    await c.problems();
    await house.clock.advance(3_000);
    assert.equal(await isMarked(), false);
    house.commit({ "db.service": fenced(25), "new.service": fenced(25) });
    await house.settle((await house.leading()).agent.view.sync());
    assert.ok((await started("new.service")) < 1_000);
  });

  test("is over for later leaders as well when somebody has taken the mark away", async () => {
    await quiet();
    const backup = house.store.backUp();
    await house.deploy({ "db.service": fenced(600, "Prefer=disk=ssd") });
    await house.until(() => house.running("db.service") === "c", 5_000);
    const c = house.box("c");
    await house.clock.advance(5_000);
    await c.kill();
    c.systemd.fallsWithin(name("db.service"), 3_000);
    house.store.restoreFrom(backup);
    await house.until(isTold, 2 * machineLeaseMs, 50);
    await house.clock.advance(2 * machineLeaseMs);
    await house.remove(keys.restored);
    const leader = await house.leading();
    await leader.stop();
    await house.until(async () => ![leader.letter, undefined].includes(await house.leader()), 10_000, 10);
    leader.start();
    await house.until(() => /^[ab]$/.test(house.running("db.service")), 5_000, 50);
  });
});

test("a restore is found by renewals alone, where watches stand still", async () => {
  house = await House.open({ machines: "abc", leaders: "ab", metadata: onSsd });
  const c = house.box("c");
  let isStill = false;
  c.through = {
    registry: (registry) => ({
      ...passingOn(registry),
      watch: async function* (prefix, from, signal) {
        try {
          yield* registry.watch(prefix, from, signal);
        } catch (error) {
          if (!isStill || signal.aborted) throw error;
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
          throw signal.reason;
        }
      },
    }),
  };
  await house.ready();
  await house.clock.advance(2 * machineLeaseMs);
  const backup = house.store.backUp();
  await house.deploy({ "db.service": fenced(2, "Prefer=disk=ssd") });
  await house.until(() => house.running("db.service") === "c", 5_000);
  for (let each = 0; each < 100; each++) await house.put(keys.hold(name("x.service")), "{}");
  await house.remove(keys.hold(name("x.service")));
  await house.clock.advance(5_000);
  isStill = true;
  c.systemd.fallsWithin(name("db.service"), 2_000);
  house.store.restoreFrom(backup);
  await house.neverTwo(60_000);
  assert.equal(house.running("db.service"), "c");
});

test("a manifest that somebody deletes is no restore", async () => {
  await quiet();
  await house.deploy({ "db.service": fenced(25, "Prefer=disk=ssd"), "web.service": service() });
  await house.until(() => house.running("db.service") === "c", 30_000);
  await house.clock.advance(2 * machineLeaseMs);
  await house.remove(keys.manifest(house.box("a").id));
  await house.clock.advance(2 * machineLeaseMs);
  assert.equal(await isMarked(), false);
  assert.equal(await isTold(), false);
  assert.ok((await house.held()).manifests.has(house.box("a").id));
});

test("a drain waits for what waits, though nothing of it can be decided for a while", async () => {
  await quiet("a");
  await house.deploy({ "db.service": fenced(4, "Prefer=disk=ssd"), "web.service": service("Prefer=disk=ssd") });
  await house.until(() => house.running("db.service") === "c" && house.running("web.service") === "c", 30_000);
  await house.clock.advance(2 * machineLeaseMs);
  const { connection, agent } = house.box("a");
  connection.cutOff();
  await house.clock.advance(4_000);
  connection.restore();
  await house.until(() => house.box("a").log.lines.at(-1)?.event === "mirror.returned", 5_000, 10);
  await house.clock.advance(1_000);
  const c = house.box("c").id;
  await house.settle(agent.hands.maintain({ machine: c, change: "drain", by: "ann@desk" }));
  const drain = async () => (await house.settle(agent.view.picture())).settings.get(c)?.drain;
  await house.until(() => house.running("web.service") !== "c" && house.running("web.service") !== "", 5_000);
  assert.equal(house.running("db.service"), "c");
  await house.until(async () => (await drain())?.state !== "moving", 30_000);
  assert.deepEqual([(await drain())?.state, (await drain())?.because], ["done", undefined]);
  assert.match(house.running("db.service"), /^[ab]$/);
});

test("a drain moves nothing as long as the registry is marked as put back: where it comes it might have to wait", async () => {
  await quiet("a");
  await house.deploy({ "db.service": fenced(4, "Prefer=disk=ssd"), "web.service": service("Prefer=disk=ssd") });
  await house.until(() => house.running("db.service") === "c" && house.running("web.service") === "c", 30_000);
  await house.clock.advance(2 * machineLeaseMs);
  const backup = house.store.backUp();
  for (const value of "12345") await house.put(keys.restart(name("gone.service")), value);
  house.store.restoreFrom(backup);
  await house.until(isMarked, 5_000, 10);
  const { agent } = house.box("a");
  await house.until(() => house.running("db.service") === "c", 5_000);
  const c = house.box("c").id;
  await house.settle(agent.hands.maintain({ machine: c, change: "drain", by: "ann@desk" }));
  while (await isMarked()) {
    assert.deepEqual([house.running("db.service"), house.running("web.service")], ["c", "c"]);
    await house.clock.advance(1_000);
  }
  const isMoved = (unit: string): boolean => /^[ab]$/.test(house.running(unit));
  await house.until(() => isMoved("db.service") && isMoved("web.service"), 5_000);
  const drain = async () => (await house.settle(agent.view.picture())).settings.get(c)?.drain;
  await house.until(async () => (await drain())?.state === "done", 10_000);
});
