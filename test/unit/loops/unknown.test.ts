// What is not known is not absent: units that follow one that cannot be read, changes while the registry is away or the adopted
// commit unreadable, values that nobody could read again, and many things that end at once.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Problem } from "../../../agent/domain/problem.ts";
import type { Hands } from "../../../agent/ports/hands.ts";
import type { Registry } from "../../../agent/ports/registry.ts";
import { keys, parseEvent } from "../../../agent/text/values.ts";
import { House, type HouseOptions, changed, idOf, machineLeaseMs, name, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

const by = "ann@desk";
const hands = (letter: string): Hands => house.box(letter).agent.hands;

async function ready(options: HouseOptions): Promise<void> {
  house = await House.open(options);
  await house.ready();
}

function submit(letter: string, unit: string, text = service()): Promise<string> {
  return house.settle(
    hands(letter).submit({ name: name(unit), text, replace: false, by, target: "launched" as const }),
  );
}

function code(work: Promise<unknown>): Promise<string> {
  return house.settle(
    work.then(
      (value) => `done ${JSON.stringify(value)}`,
      (error: unknown) => (error instanceof Problem ? error.code : String(error)),
    ),
  );
}

/** Everything that `hands` can be asked of a unit of the repository. */
function askAll(letter: string): Promise<readonly string[]> {
  const unit = name("web.service");
  return Promise.all([
    code(hands(letter).setTarget({ name: unit, target: "loaded", by })),
    code(hands(letter).restart(unit, by)),
    code(hands(letter).hold({ patterns: ["*"], target: "loaded", by })),
    code(hands(letter).submit({ name: unit, text: changed(), replace: false, by })),
    code(hands(letter).destroy(unit, by)),
  ]);
}

test("what follows a unit that cannot be read stays where it is, however far it follows", async () => {
  await ready({ machines: "ab" });
  await house.deploy({
    "far.service": service("MachineOf=near.service"),
    "near.service": service("MachineOf=hand.service"),
  });
  await submit("a", "hand.service");
  await house.until(() => Object.keys(house.up()).length === 3, 5_000);
  const before = house.up();
  for (const each of house.machines) each.asked();
  await house.put(keys.unit(name("hand.service")), "{");
  await house.clock.advance(machineLeaseMs * 2);
  assert.deepEqual(house.up(), before);
  for (const each of house.machines) assert.deepEqual(each.asked(), []);
});

test("nothing is changed on a picture that may be old: a unit that is not seen is not unknown", async () => {
  await ready({ machines: "ab" });
  await house.deploy({ "web.service": service() });
  house.box("b").connection.cutOff();
  await house.clock.advance(3_000);
  assert.deepEqual([...new Set(await askAll("b"))], ["registry-unreachable"]);
  assert.equal(await code(hands("b").resume(["*"], by)), "registry-unreachable");
});

test("while the adopted commit cannot be read no name counts as free", async () => {
  await ready({ machines: "ab" });
  await house.deploy({ "web.service": service() });
  await house.until(() => Object.keys(house.up()).length === 1, 5_000);
  await house.put(keys.revision, "{");
  await house.clock.advance(1_000);
  assert.deepEqual([...new Set(await askAll("b"))], ["commit-missing"]);
  assert.equal((await house.operator.read(keys.units)).entries.length, 0);
  assert.equal(Object.keys(house.up()).length, 1);
});

test("a leader without a repository decides nothing while the adopted commit cannot be read", async () => {
  house = await House.open({ machines: "a", git: false });
  house.start();
  await house.until(async () => (await house.held()).manifests.size === 1, 5_000);
  await submit("a", "hand.service");
  await house.until(() => house.isUp({ "hand.service": "a" }), 5_000);
  await house.put(keys.revision, "[]");
  await house.remove(keys.unit(name("hand.service")));
  await house.clock.advance(5_000);
  assert.deepEqual(house.up(), { "hand.service": "a" });
  assert.notEqual(await house.box("a").problem("revision-unreadable"), undefined);
});

test("a leader without a repository makes room for the first machine that has one", async () => {
  house = await House.open({ machines: "ab", git: "b" });
  house.commit({ "web.service": service() });
  house.box("a").start();
  await house.until(async () => (await house.held()).manifests.size === 1, 5_000);
  await submit("a", "hand.service");
  await house.until(() => house.isUp({ "hand.service": "a" }), 5_000);
  house.box("a").asked();
  house.box("b").start();
  await house.until(() => house.isUp({ "hand.service": "a", "web.service": "b" }), 60_000);
  assert.equal(await house.leader(), "b");
  assert.deepEqual(house.box("a").asked(), []);
});

test("an event can be read, however much it would have to say", async () => {
  await ready({ machines: "a" });
  await house.deploy(Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`u${at}.service`, service()])));
  const patterns = Array.from({ length: 64 }, () => `u${"*".repeat(500)}`);
  await house.settle(hands("a").hold({ patterns, target: "loaded", by, why: "\u{1f600}".repeat(128) }));
  const long = { machine: idOf("a"), value: "v".repeat(200) };
  const metadata = Array.from({ length: 8 }, (_, at) => ({ ...long, key: `${"k".repeat(126)}${at}` }));
  await house.settle(hands("a").changeMetadata(metadata, by));
  const { entries } = await house.operator.read(keys.events);
  assert.equal(entries.length >= 3, true);
  for (const { key, value } of entries) assert.equal(parseEvent(key, value).ok, true, value);
});

test("a unit that could not be read back is not taken", async () => {
  await ready({ machines: "a" });
  const given = { name: name("hand.service"), text: service(), replace: false, by };
  const many = Array.from({ length: 101 }, (_, at) => ({ name: `${at}.conf`, text: "[Service]\n" }));
  for (const dropIns of [many, [{ name: "a.txt", text: "[Service]\n" }]]) {
    assert.equal(await code(hands("a").submit({ ...given, dropIns })), "unit-shape");
  }
  assert.equal((await house.operator.read(keys.units)).entries.length, 0);
});

test("hundreds of holds that end at once cost a few writes and a few events", async () => {
  house = await House.open({ machines: "a" });
  let writes = 0;
  house.box("a").through = {
    registry: (registry) => through(registry, { write: () => (writes += 1) }),
  };
  await house.ready();
  await house.deploy(Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`u${at}.service`, service()])));
  await house.settle(hands("a").hold({ patterns: ["*"], target: "inactive", forMs: 5_000, by }));
  await house.clock.advance(3_000);
  writes = 0;
  const before = (await house.operator.read(keys.events)).entries.length;
  await house.until(async () => (await house.operator.read(keys.holds)).entries.length === 0, 10_000);
  assert.ok(writes <= 10, `${writes} writes`);
  assert.equal((await house.operator.read(keys.events)).entries.length - before, 5);
});

test("a machine whose registry does not answer asks for one text, not for all, and goes on with the rest", async () => {
  house = await House.open({ machines: "ab", git: false, leaders: "a" });
  let asked = 0;
  let isSilent = false;
  house.box("b").through = {
    registry: (registry) =>
      through(registry, {
        get: async (key, signal) => {
          if (!isSilent || !key.startsWith(keys.units)) return;
          asked++;
          await house.clock.sleep(5_000, signal);
          throw new Problem("registry-unreachable", "Cannot reach the registry");
        },
      }),
  };
  house.start();
  await house.until(async () => (await house.held()).manifests.size === 2, 5_000);
  const there = service(`MachineID=${idOf("b")}`);
  await submit("a", "old.service", there);
  await house.until(() => house.isUp({ "old.service": "b" }), 5_000);
  isSilent = true;
  for (let at = 0; at < 10; at++) await submit("a", `new${at}.service`, there);
  await house.settle(hands("a").destroy(name("old.service"), by));
  await house.until(() => house.isUp({}), 20_000);
  assert.ok(asked <= 4, `${asked} questions`);
  isSilent = false;
});

/** The same registry; what is given is called before each call of that name. */
function through(
  registry: Registry,
  before: { readonly get?: (key: string, signal?: AbortSignal) => Promise<void>; readonly write?: () => number },
): Registry {
  return {
    read: (...given) => registry.read(...given),
    watch: (...given) => registry.watch(...given),
    grantLease: (...given) => registry.grantLease(...given),
    renewLease: (...given) => registry.renewLease(...given),
    leaseLeftMs: (...given) => registry.leaseLeftMs(...given),
    revokeLease: (...given) => registry.revokeLease(...given),
    close: () => registry.close(),
    get: async (key, signal) => {
      await before.get?.(key, signal);
      return registry.get(key, signal);
    },
    write: (...given) => {
      before.write?.();
      return registry.write(...given);
    },
  };
}
