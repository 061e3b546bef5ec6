// What operators say of a machine for its maintenance: cordon, drain and their end, as they stand in the registry, each with its
// event, and what is shown of them. What the engine makes of them has tests of its own.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { MachineSettings } from "../../../agent/domain/machine.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { MaintenanceResult } from "../../../agent/ports/hands.ts";
import { reportMachine } from "../../../agent/report/report.ts";
import { encodeMachineSettings, keys, parseMachineSettings } from "../../../agent/text/values.ts";
import { House, idOf, service } from "./house.ts";

const by = "ann@desk";
const day = 24 * 3_600_000;
let house: House;
beforeEach(async () => {
  house = await House.open({ machines: "ab", leaders: "a", git: false });
  house.start();
  await house.until(async () => (await house.held()).machines.size === 2, 5_000);
});
afterEach(() => house.close());

type Change = Parameters<typeof ask>[1];

function ask(letter: string, change: "cordon" | "uncordon" | "drain", withinMs?: number): Promise<MaintenanceResult> {
  const { hands } = house.box("a").agent;
  return house.settle(hands.maintain({ machine: idOf(letter), change, by, withinMs }));
}

async function kept(letter: string): Promise<MachineSettings | undefined> {
  const key = keys.settingsOf(idOf(letter));
  const { entry } = await house.settle(house.operator.get(key));
  if (entry === undefined) return undefined;
  const read = parseMachineSettings(key, entry.value);
  assert.ok(read.ok);
  return read.value;
}

async function put(settings: MachineSettings): Promise<void> {
  const key = keys.settingsOf(settings.machine);
  const value = encodeMachineSettings(settings);
  await house.settle(house.operator.write({ guards: [], writes: [{ kind: "put", key, value }] }));
}

/** The events of machines, without who did it. */
async function told(letter = "b"): Promise<readonly string[]> {
  const { events } = await house.settle(house.box(letter).agent.view.picture());
  return events.flatMap(({ machine, kind, message }) =>
    machine === undefined ? [] : [`${machine.charAt(0)} ${kind}: ${message}`],
  );
}

test("a cordon stands, is said once, and leaves nothing behind when it is lifted", async () => {
  assert.deepEqual(await ask("b", "cordon"), { outcome: "cordoned" });
  assert.equal((await kept("b"))?.cordoned, true);
  assert.equal((await kept("b"))?.by, by);
  assert.deepEqual(await ask("b", "cordon"), { outcome: "unchanged" });
  const picture = await house.settle(house.box("b").agent.view.picture());
  assert.equal(picture.settings.get(idOf("b"))?.cordoned, true);
  assert.deepEqual(await ask("b", "uncordon"), { outcome: "uncordoned" });
  assert.equal(await kept("b"), undefined);
  assert.deepEqual(await ask("b", "uncordon"), { outcome: "unchanged" });
  assert.deepEqual(await told(), [
    "b machine-cordoned: ann@desk cordoned host-b",
    "b machine-uncordoned: ann@desk uncordoned host-b",
  ]);
});

test("a drain cordons; another one joins it, unless it names a time", async () => {
  const { outcome, drain } = await ask("b", "drain");
  assert.equal(outcome, "draining");
  assert.deepEqual(await kept("b"), {
    machine: idOf("b"),
    metadata: {},
    cordoned: true,
    drain,
    by,
    atMs: drain?.sinceMs,
  });
  assert.deepEqual([drain?.by, drain?.state, drain?.deadlineMs], [by, "moving", undefined]);
  assert.deepEqual(await ask("b", "drain"), { outcome: "unchanged", drain });
  assert.deepEqual(await ask("b", "cordon"), { outcome: "unchanged", drain });

  const timed = await ask("b", "drain", 600_000);
  assert.equal(timed.outcome, "draining");
  assert.notEqual(timed.drain?.id, drain?.id);
  assert.equal(timed.drain?.deadlineMs, (timed.drain?.sinceMs ?? 0) + 600_000);
  assert.deepEqual((await kept("b"))?.drain, timed.drain);
  assert.deepEqual(await ask("b", "drain"), { outcome: "unchanged", drain: timed.drain }, "its time stays");
  assert.deepEqual(await told(), [
    "b drain-started: ann@desk drains host-b",
    "b drain-started: ann@desk drains host-b, for 10min at most",
  ]);
});

test("an uncordoning ends a drain that is moving, and says so", async () => {
  const { drain } = await ask("b", "drain");
  assert.deepEqual(await ask("b", "uncordon"), { outcome: "uncordoned", drain });
  assert.equal(await kept("b"), undefined);
  assert.equal((await told()).at(-1), "b machine-uncordoned: ann@desk uncordoned host-b, which ends its drain");
});

for (const state of ["done", "stopped"] as const) {
  test(`after a drain that is ${state} there may be another, and the machine is cordoned until that is lifted`, async () => {
    const { drain } = await ask("b", "drain");
    assert.ok(drain);
    await put({ machine: idOf("b"), metadata: {}, cordoned: true, drain: { ...drain, state }, by, atMs: 1 });
    assert.deepEqual(await ask("b", "cordon"), { outcome: "unchanged" });
    await house.clock.advance(1_000);
    const again = await ask("b", "drain");
    assert.equal(again.outcome, "draining");
    assert.notEqual(again.drain?.id, drain.id);
    await put({ machine: idOf("b"), metadata: {}, cordoned: true, drain: { ...drain, state }, by, atMs: 1 });
    assert.deepEqual(await ask("b", "uncordon"), { outcome: "uncordoned" }, "nothing was moving any more");
    assert.equal(await kept("b"), undefined);
  });
}

test("metadata and maintenance leave each other alone", async () => {
  const { hands } = house.box("a").agent;
  const rack = (value: string | undefined) =>
    house.settle(hands.changeMetadata([{ machine: idOf("b"), key: "rack", value }], by));
  await rack("r7");
  const { drain } = await ask("b", "drain");
  assert.deepEqual((await kept("b"))?.metadata, { rack: "r7" });
  await rack("r8");
  assert.deepEqual([(await kept("b"))?.cordoned, (await kept("b"))?.drain], [true, drain]);
  await rack(undefined);
  assert.deepEqual((await kept("b"))?.metadata, {});
  assert.equal((await kept("b"))?.cordoned, true, "no metadata is not nothing");
  await rack("r9");
  await ask("b", "uncordon");
  const { metadata, cordoned, drain: over } = (await kept("b")) ?? {};
  assert.deepEqual([metadata, cordoned, over], [{ rack: "r9" }, undefined, undefined]);
});

test("what a newer version says of a machine stays", async () => {
  const key = keys.settingsOf(idOf("b"));
  const value = JSON.stringify({ machine: idOf("b"), metadata: {}, by, atMs: 1, colour: "green" });
  await house.settle(house.operator.write({ guards: [], writes: [{ kind: "put", key, value }] }));
  await ask("b", "cordon");
  await ask("b", "uncordon");
  assert.match((await house.settle(house.operator.get(key))).entry?.value ?? "", /"colour":"green"/);
});

test("a machine that is not there can be cordoned, and not drained", async () => {
  assert.deepEqual(await ask("c", "cordon"), { outcome: "cordoned" });
  await assert.rejects(ask("c", "drain"), isProblem("machine-unknown"));
  assert.equal((await kept("c"))?.drain, undefined);
  assert.deepEqual(await ask("c", "uncordon"), { outcome: "uncordoned" });
});

test("a machine that is lost is named as the event of its loss names it, and one that nobody knew by its id", async () => {
  await house.box("b").crash();
  await house.until(async () => (await told("a")).some((line) => line.includes("lost")), 60_000);
  await ask("b", "cordon");
  await house.settle(house.box("a").agent.hands.changeMetadata([{ machine: idOf("b"), key: "rack", value: "r7" }], by));
  await ask("c", "cordon");
  assert.deepEqual(await told("a"), [
    "b machine-lost: host-b is lost; it had no units",
    "b machine-cordoned: ann@desk cordoned host-b",
    "b machine-changed: ann@desk changed the metadata of host-b: rack=r7",
    "c machine-cordoned: ann@desk cordoned cccccccc",
  ]);
});

test("what two say at the same moment stands whole", async () => {
  const all = await Promise.all([ask("b", "drain"), ask("b", "drain"), ask("b", "cordon")]);
  const drains = all.flatMap(({ drain }) => drain?.id ?? []);
  assert.equal(new Set(drains).size, 1, "they are one drain");
  assert.equal((await kept("b"))?.drain?.id, drains[0]);
});

test("why units stay on a machine that is drained is shown while it moves, and after it was stopped for that", async () => {
  const { hands } = house.box("a").agent;
  const units = { "here.service": service(`MachineID=${idOf("b")}`), "free.service": service() };
  for (const [name, text] of Object.entries(units))
    await house.settle(hands.submit({ name: name as UnitName, text, target: "launched", replace: false, by }));
  await house.until(() => Object.keys(house.up()).length === 2, 5_000);
  await ask("b", "drain");
  await house.until(async () => (await kept("b"))?.drain?.state === "stopped", 60_000);
  const report = reportMachine(await house.settle(house.box("a").agent.view.picture()), idOf("b"));
  assert.ok(report.ok);
  assert.deepEqual(report.value.leaving, [
    { unit: "here.service", refusals: [{ rule: "machine-id", machines: 1, example: `needs machine ${idOf("b")}` }] },
  ]);
});

for (const withinMs of [999, 0, -1, NaN, 7 * day + 1]) {
  test(`a drain within ${withinMs} ms is refused`, async () => {
    await assert.rejects(ask("b", "drain", withinMs), isProblem("drain-time"));
    assert.equal(await kept("b"), undefined);
  });
}

test("settings that cannot be read are changed by nobody", async () => {
  const key = keys.settingsOf(idOf("b"));
  await house.settle(house.operator.write({ guards: [], writes: [{ kind: "put", key, value: '{"machine":' }] }));
  for (const change of ["cordon", "uncordon", "drain"] satisfies readonly Change[])
    await assert.rejects(ask("b", change), AggregateError);
});

function isProblem(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Problem && error.code === code;
}
