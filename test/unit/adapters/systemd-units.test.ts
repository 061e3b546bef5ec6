// What is remembered of units between two readings: what systemd's signals have not made doubtful is not read again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Units, unitPath } from "../../../agent/adapters/systemd/units.ts";
import type { Call, Signal } from "../../../agent/adapters/systemd/peer.ts";
import type { UnitName } from "../../../agent/domain/names.ts";

const names = ["a.service", "b.service"] as UnitName[];

/** A systemd in which all units are in one state; counts the properties that it was asked for. */
function manager([active, sub]: readonly [active: string, sub: string]) {
  let read = 0;
  const call = ({ member, body }: Call): Promise<readonly unknown[]> => {
    if (member === "Get") {
      read++;
      const [, property] = body ?? [];
      return Promise.resolve([property === "Result" ? "success" : 0n]);
    }
    const rows = names.map((name) => [name, "", "loaded", active, sub, "", unitPath(name), 0, "", "/"]);
    return Promise.resolve([rows]);
  };
  const asked = (): number => {
    const before = read;
    read = 0;
    return before;
  };
  return { call, asked };
}

function said(member: string, ...body: readonly unknown[]): Signal {
  const place = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };
  return { ...place, member, body };
}

async function followed(state: readonly [active: string, sub: string] = ["active", "running"]) {
  const units = new Units();
  const { call, asked } = manager(state);
  units.follow(names);
  await units.states(names, call);
  assert.ok(asked() > 0, "the first time all is read");
  await units.states(names, call);
  assert.equal(asked(), 0, "and then nothing");
  const after = async (...signals: readonly Signal[]): Promise<number> => {
    for (const signal of signals) units.signalled(signal);
    await units.states(names, call);
    return asked();
  };
  return { units, after };
}

const gone = (name: string): Signal => said("UnitRemoved", name, unitPath(name));
const come = (name: string): Signal => said("UnitNew", name, unitPath(name));

test("a unit that systemd lets go of is read anew, and no other", async () => {
  const { after } = await followed();
  const ofOne = await after(gone("a.service"), come("a.service"));
  assert.ok(ofOne > 0);
  assert.equal(await after(gone("a.service"), come("a.service"), gone("b.service"), come("b.service")), 2 * ofOne);
});

test("a reload, which takes every unit up again as it was, has nothing read anew", async () => {
  const { after } = await followed();
  const all = names.flatMap((name) => [gone(name), come(name)]);
  assert.equal(await after(said("Reloading", true), ...all, said("Reloading", false)), 0);
});

test("a unit that is not taken up again in a reload is read anew, and so is one let go of after it", async () => {
  const { after } = await followed();
  assert.ok((await after(said("Reloading", true), gone("a.service"), said("Reloading", false))) > 0);
  assert.ok((await after(gone("b.service"), come("b.service"))) > 0);
});

test("an inactive unit that systemd loads and lets go of, as it does at every look, is no news", async () => {
  const { units, after } = await followed(["inactive", "dead"]);
  for (const signal of [come("a.service"), gone("a.service")]) assert.equal(units.signalled(signal), undefined);
  assert.equal(await after(come("b.service"), gone("b.service")), 0);
  const reload = [said("Reloading", true), gone("a.service"), said("Reloading", false)];
  assert.equal(await after(...reload), 0);
});

test("a unit that ran and that systemd lets go of is told of", async () => {
  const { units } = await followed();
  assert.equal(units.signalled(gone("a.service")), "a.service");
});

test("since when a unit is in its state is the moment that this state began, by asking and by signal", async () => {
  const moments = [
    ["active", "ActiveEnterTimestamp"],
    ["reloading", "ActiveEnterTimestamp"],
    ["activating", "InactiveExitTimestamp"],
    ["deactivating", "ActiveExitTimestamp"],
    ["inactive", "InactiveEnterTimestamp"],
    ["failed", "InactiveEnterTimestamp"],
    ["maintenance", "StateChangeTimestamp"],
  ] as const;
  const values = Object.fromEntries([...moments.entries()].map(([at, [, name]]) => [name, BigInt(at + 1) * 1_000n]));
  const [name] = names;
  for (const [active, moment] of moments) {
    const units = new Units();
    units.follow(names);
    const { call } = manager([active, "sub"]);
    const asked = (each: Call): Promise<readonly unknown[]> =>
      each.member === "Get" && String(each.body?.[1]).endsWith("Timestamp")
        ? Promise.resolve([values[String(each.body?.[1])]])
        : call(each);
    const wanted = Number(values[moment]) / 1_000;
    assert.equal((await units.states(names, asked)).get(name!)?.sinceMs, wanted, `${active}, asked for`);
    const changed = {
      path: unitPath(name!),
      interface: "org.freedesktop.DBus.Properties",
      member: "PropertiesChanged",
    };
    units.signalled({
      ...changed,
      body: ["org.freedesktop.systemd1.Service", { Result: "success", NRestarts: 0 }, []],
    });
    const all = { ...values, ActiveState: active, SubState: "sub" };
    units.signalled({ ...changed, body: ["org.freedesktop.systemd1.Unit", all, []] });
    const told = await units.states(names, () => call({ path: "", interface: "", member: "ListUnitsByNames" }));
    assert.equal(told.get(name!)?.sinceMs, wanted, `${active}, told by signal`);
  }
});
