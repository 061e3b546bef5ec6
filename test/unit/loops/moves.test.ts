// What the leader moves though it could stay: units of drained machines step by step, units of a lower priority, and units
// that make loads more even where that is asked for; each with its event, and none without need.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { MachineSettings } from "../../../agent/domain/machine.ts";
import { drainStep } from "../../../agent/loops/moves.ts";
import { keys, parseMachineSettings } from "../../../agent/text/values.ts";
import { House, type HouseOptions, idOf, name, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

async function open(options: HouseOptions): Promise<void> {
  house = await House.open(options);
  await house.ready();
}

const many = (count: number, ...fleet: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, n) => [`u${String(n).padStart(2, "0")}.service`, service(...fleet)]),
  );

/** How many units are up on each machine. */
function loads(): Readonly<Record<string, number>> {
  return Object.fromEntries(house.machines.map((each) => [each.letter, each.up().length]));
}

async function drain(letter: string, withinMs?: number): Promise<void> {
  const { hands } = house.box("a").agent;
  await house.settle(hands.maintain({ machine: idOf(letter), change: "drain", by: "ann@desk", withinMs }));
}

async function drainOf(letter: string): Promise<MachineSettings["drain"]> {
  const key = keys.settingsOf(idOf(letter));
  const { entry } = await house.settle(house.operator.get(key));
  const read = entry === undefined ? undefined : parseMachineSettings(key, entry.value);
  assert.ok(read?.ok === true);
  return read.value.drain;
}

async function told(kind: string): Promise<readonly string[]> {
  const { events } = await house.settle(house.box("a").agent.view.picture());
  return events.flatMap((event) => (event.kind === kind ? [event.message] : []));
}

test("a drained machine gives its units away in steps, each stopped there before it starts elsewhere, and keeps the global ones", async () => {
  await open({ machines: "ab", leaders: "a" });
  await house.deploy({ ...many(24), "log.service": service("Global=true") });
  await house.until(() => loads()["b"] === 13 && loads()["a"] === 13);
  await drain("b");
  let most = 0;
  await house.until(async () => {
    const { manifests } = await house.held();
    const leaving = manifests.get(idOf("b"))?.units.filter(({ target }) => target === "released") ?? [];
    most = Math.max(most, leaving.length);
    return (await drainOf("b"))?.state === "done";
  });
  assert.ok(most > 0 && most <= drainStep, `${most} at once`);
  assert.deepEqual(loads(), { a: 25, b: 1 });
  assert.match((await told("drain-ended")).join(), /host-b is drained/);
  assert.ok((await told("units-moved")).length >= 12 / drainStep);
});

test("a drain ends where a unit that ran does not come up elsewhere: the rest stays", async () => {
  await open({ machines: "ab", leaders: "a" });
  await house.deploy(many(24));
  await house.until(() => loads()["b"] === 12);
  await house.until(async () => {
    const status = (await house.held()).statuses.get(idOf("b"));
    return status?.units.filter(({ active }) => active === "active").length === 12;
  });
  const [first] = house.box("b").up();
  assert.ok(first !== undefined);
  house.box("a").systemd.onStart(name(first), { kind: "fails", status: 3 });
  await drain("b");
  await house.until(async () => (await drainOf("b"))?.state === "stopped");
  const { because } = (await drainOf("b")) ?? {};
  assert.match(because ?? "", new RegExp(`${first} ran here and does not come up on host-a \\(exit-code\\)`));
  await house.clock.advance(60_000);
  assert.ok((loads()["b"] ?? 0) >= 12 - 2 * drainStep, "the rest has stayed");
});

test("a unit of a higher priority displaces one of a lower, which waits; the event names both", async () => {
  await open({ machines: "ab", leaders: "a" });
  const big = "MemoryReserve=600M"; // each machine has less than twice that
  await house.deploy({ "low1.service": service(big), "low2.service": service(big) });
  await house.until(() => Object.keys(house.up()).length === 2);
  await house.deploy({
    "low1.service": service(big),
    "low2.service": service(big),
    "high.service": service(big, "Priority=10"),
    "equal.service": service(big),
  });
  await house.until(() => house.up()["high.service"] !== undefined && house.up()["low1.service"] === undefined);
  assert.notEqual(house.up()["low2.service"], undefined, "one is enough");
  assert.deepEqual(await told("unit-displaced"), [
    `high.service displaces low1.service on host-${house.up()["high.service"] ?? ""}: its priority is higher`,
  ]);
  await house.clock.advance(30_000);
  assert.deepEqual(Object.keys(house.up()).sort(), ["high.service", "low2.service"]);
});

test("without being asked to, nothing moves for balance", async () => {
  await open({ machines: "ab", leaders: "a" });
  await house.box("b").stop();
  await house.deploy(many(8));
  await house.until(() => loads()["a"] === 8);
  house.box("b").start();
  await house.clock.advance(300_000);
  assert.deepEqual(loads(), { a: 8, b: 0 });
});

test("asked to, it moves one unit after another until loads are even, and says so", async () => {
  await open({ machines: "ab", leaders: "a", rebalancePerMinute: 6 });
  await house.box("b").kill();
  await house.until(async () => (await house.held()).machines.size === 1);
  await house.deploy(many(8));
  await house.until(() => loads()["a"] === 8);
  house.box("b").start();
  await house.until(async () => (await house.held()).machines.size === 2);
  const fromMs = house.clock.monotonicMs();
  await house.until(() => loads()["b"] === 4, 120_000);
  const tookMs = house.clock.monotonicMs() - fromMs;
  assert.ok(tookMs >= 3 * 10_000, `not faster than six a minute: ${tookMs} ms`);
  const moves = await told("units-moved");
  assert.equal(moves.length, 4);
  assert.match(moves[0] ?? "", /^u07\.service leave host-a: it had 8 units, bbbbbbbb had 0$/);
  await house.clock.advance(300_000);
  assert.deepEqual(loads(), { a: 4, b: 4 });
});

test("a unit of which nothing can be decided is neither moved nor said to be: its drain stops and names it", async () => {
  await open({ machines: "ab", leaders: "a" });
  await house.deploy({ "web.service": service() });
  await house.until(() => house.up()["web.service"] !== undefined);
  const from = house.up()["web.service"] ?? "";
  await house.put(keys.hold(name("web.service")), "{");
  await drain(from);
  await house.until(async () => (await drainOf(from))?.state === "stopped");
  assert.match((await drainOf(from))?.because ?? "", /nothing can be decided about web\.service/);
  await house.clock.advance(10_000);
  assert.deepEqual(await told("units-moved"), []);
  assert.deepEqual(house.up(), { "web.service": from });
});

test("units of which nothing can be decided do not keep the others on a machine that is drained", async () => {
  await open({ machines: "ab", leaders: "a" });
  await house.deploy(many(24));
  await house.until(() => loads()["b"] === 12);
  const unknown = house.box("b").up().slice(0, drainStep);
  for (const unit of unknown) await house.put(keys.hold(name(unit)), "{");
  await drain("b");
  await house.until(async () => (await drainOf("b"))?.state === "stopped");
  assert.deepEqual(house.box("b").up(), unknown);
});

/** A machine without preferred disk and one with, on which there are eight units; five of them are not up. */
async function eightOnB(): Promise<void> {
  await open({ machines: "ab", leaders: "a", metadata: { b: { disk: "ssd" } } });
  for (const each of ["a", "b"]) for (const unit of slow) house.box(each).systemd.onStart(unit, { kind: "hangs" });
  await house.deploy(many(8, "Prefer=disk=ssd"));
  await house.until(() => loads()["b"] === 8);
}

const slow = Array.from({ length: drainStep }, (_, n) => name(`u0${n}.service`));

test("units that crash again and again where they are going, as they did where they were, do not keep the others there", async () => {
  await eightOnB();
  const crash = (letter: string): void => {
    const { systemd } = house.box(letter);
    for (const unit of slow) {
      const { active, sub } = systemd.state(unit);
      if (active !== "activating" || sub === "auto-restart") continue;
      systemd.finish(unit, "failed");
      systemd.setState(unit, { active: "activating", sub: "auto-restart", restarts: 7 });
    }
  };
  crash("b");
  await house.clock.advance(2_000);
  await drain("b");
  await house.until(async () => {
    crash("a");
    return (await drainOf("b"))?.state !== "moving";
  });
  assert.equal((await drainOf("b"))?.state, "done");
  assert.deepEqual(loads(), { a: 8, b: 0 });
});

test("units that are starting for longer than systemd gives a service are not waited for by a drain", async () => {
  await eightOnB();
  await drain("b");
  await house.until(() => loads()["a"] === drainStep);
  await house.always(() => loads()["a"] === drainStep, 60_000);
  await house.until(async () => (await drainOf("b"))?.state === "done");
  assert.deepEqual(loads(), { a: 8, b: 0 });
});
