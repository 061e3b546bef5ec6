// What operators change of machines' metadata: stronger than the machines' own words, kept without them, seen by the engine.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Problem } from "../../../agent/domain/problem.ts";
import type { MetadataChange } from "../../../agent/ports/hands.ts";
import { keys } from "../../../agent/text/values.ts";
import { House, idOf, machineLeaseMs, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

function change(letter: string, key: string, value?: string): MetadataChange {
  return { machine: idOf(letter), key, value };
}

function apply(...changes: readonly MetadataChange[]): Promise<void> {
  return house.settle(house.box("a").agent.hands.changeMetadata(changes, "ann@desk"));
}

async function metadata(letter: string): Promise<Readonly<Record<string, string>> | undefined> {
  const picture = await house.settle(house.box("a").agent.view.picture());
  return picture.machines.get(idOf(letter))?.metadata;
}

async function kept(letter: string): Promise<string | undefined> {
  return (await house.settle(house.operator.get(keys.settingsOf(idOf(letter))))).entry?.value;
}

test("changes are laid over what the machine says itself, and decide where units run", async () => {
  house = await House.open({ machines: "ab", leaders: "a", metadata: { a: { region: "eu" }, b: { region: "us" } } });
  await house.ready();
  await house.deploy({
    "web.service": service("MachineMetadata=region=eu"),
    "db.service": service("MachineMetadata=disk=ssd"),
  });
  await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
  await apply(
    change("a", "region"),
    change("b", "region", "eu"),
    change("b", "disk", "hdd"),
    change("b", "disk", "ssd"),
  );
  assert.deepEqual([await metadata("a"), await metadata("b")], [{}, { region: "eu", disk: "ssd" }]);
  await house.until(() => house.isUp({ "db.service": "b", "web.service": "b" }), 5_000);
  const picture = await house.settle(house.box("b").agent.view.picture());
  assert.deepEqual(
    picture.events.flatMap(({ kind, by, machine, message }) =>
      kind === "machine-changed" ? [[by, machine, message]] : [],
    ),
    [
      ["ann@desk", idOf("a"), "ann@desk changed the metadata of host-a: no region"],
      ["ann@desk", idOf("b"), "ann@desk changed the metadata of host-b: region=eu, disk=ssd"],
    ],
  );
});

test("what is taken away again leaves nothing behind, and what changes nothing is not written", async () => {
  house = await House.open({ machines: "ab", leaders: "a", metadata: { a: { region: "eu" } } });
  await house.ready();
  await apply(change("a", "rack", "r7"));
  await apply(change("a", "rack", "r7"));
  await apply(change("b", "nothing"));
  await apply(change("a", "rack"));
  assert.equal(await kept("a"), undefined);
  assert.equal(await kept("b"), undefined);
  const { entries } = await house.settle(house.operator.read(keys.events));
  const told = entries.filter(({ value }) => value.includes("machine-changed"));
  assert.equal(told.length, 2, "it came and it went");
});

test("a machine that is not there gets them when it comes, and keeps them when it goes", async () => {
  house = await House.open({ machines: "ab", leaders: "a", metadata: { b: { region: "us" } } });
  house.commit({ "web.service": service("MachineMetadata=role=web") });
  house.box("a").start();
  await house.until(async () => (await house.held()).revision.adopted !== undefined, 5_000);
  await apply(change("b", "role", "web"), change("b", "region"));
  house.box("b").start();
  await house.until(() => house.isUp({ "web.service": "b" }), 5_000);
  assert.deepEqual(await metadata("b"), { role: "web" });
  await house.box("b").crash();
  await house.until(async () => (await house.held()).machines.size === 1, machineLeaseMs + 1_000);
  assert.equal(await metadata("b"), undefined, "changes alone are no machine");
  house.box("b").start();
  await house.until(() => house.isUp({ "web.service": "b" }), 30_000);
});

test("changes that cannot be read move nothing, and say where they are", async () => {
  house = await House.open({ machines: "ab", leaders: "a", metadata: { a: { region: "eu" }, b: { region: "us" } } });
  await house.ready();
  await house.deploy({ "web.service": service("MachineMetadata=region=eu") });
  await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
  const key = keys.settingsOf(idOf("a"));
  await house.operator.write({ guards: [], writes: [{ kind: "put", key, value: '{"machine":' }] });
  await house.deploy({
    "web.service": service("MachineMetadata=region=us"),
    "new.service": service("MachineMetadata=region=eu"),
  });
  await house.clock.advance(2_000);
  assert.equal(house.up()["web.service"], "a", "whether it may stay cannot be judged");
  assert.equal(house.up()["new.service"], undefined, "and it takes nothing new");
  const picture = await house.settle(house.box("a").agent.view.picture());
  assert.ok(
    picture.problems.some(({ message }) => message.includes(key)),
    "the key is named",
  );
  assert.ok(picture.machines.has(idOf("a")), "it lives");
  await assert.rejects(apply(change("a", "rack", "r7")), AggregateError);
});

const refused: readonly (readonly [string, readonly MetadataChange[]])[] = [
  ["a key that is none", [change("a", "a b", "x")]],
  ["a value of two lines", [change("a", "rack", "x\ny")]],
  ["an empty value", [change("a", "rack", "")]],
  ["too many keys", Array.from({ length: 101 }, (_, index) => change("a", `k${index}`, "x"))],
  [
    "too many machines",
    Array.from({ length: 34 }, (_, index) => ({
      ...change("a", "k", "x"),
      machine: idOf("a")
        .slice(2)
        .concat(String(index + 10)) as MetadataChange["machine"],
    })),
  ],
];
for (const [what, changes] of refused) {
  test(`refused: ${what}, and nothing is written`, async () => {
    house = await House.open({ machines: "a" });
    await house.ready();
    await assert.rejects(apply(change("a", "good", "x"), ...changes), (error) => {
      assert.ok(error instanceof Problem && error.code === "metadata-change", String(error));
      return true;
    });
    assert.equal(await kept("a"), undefined);
  });
}
