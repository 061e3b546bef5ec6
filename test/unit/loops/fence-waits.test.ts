// Units with OnPartition=stop: how long nothing is decided of them when their machine is gone, and who waits for a word.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { Manifest, ManifestEntry } from "../../../agent/domain/placement.ts";
import type { Unit } from "../../../agent/domain/unit.ts";
import { type Claimed, FenceWaits, type Lived } from "../../../agent/loops/fence-waits.ts";
import { keys } from "../../../agent/text/values.ts";
import { idOf, name } from "./house.ts";

type Told = readonly [unit: string, target: "launched" | "released", fenceMs?: number];

function entry([unit, target, fenceMs]: Told): ManifestEntry {
  const hash = "0".repeat(40) as ManifestEntry["hash"];
  return { name: name(unit), source: "submitted", hash, target, ...(fenceMs === undefined ? {} : { fenceMs }) };
}

function picture(
  told: Readonly<Record<string, readonly Told[]>>,
  there: { readonly machines?: string; readonly statuses?: string } = {},
): Lived {
  const manifests = new Map<MachineId, Manifest>();
  for (const [letter, units] of Object.entries(told)) {
    manifests.set(idOf(letter), { machine: idOf(letter), epoch: 1, generation: 1, units: units.map(entry) });
  }
  const present = (letters = ""): ReadonlyMap<MachineId, object> =>
    new Map(Array.from(letters).map((letter) => [idOf(letter), {}]));
  return { manifests, machines: present(there.machines), statuses: present(there.statuses) };
}

const listed = (units: ReadonlySet<UnitName>): string => [...units].sort().join(" ");
const always = { connectedSinceMs: -Infinity, heardOfMs: -Infinity, putBackMs: -Infinity };
const nothing: ReadonlyMap<UnitName, Pick<Unit, "target">> = new Map();

describe("a wait", () => {
  const told = {
    c: [
      ["db.service", "launched", 4_000],
      ["web.service", "launched"],
    ],
  } as const;

  test("is what is left of the unit's stop when its machine's lease ends, and a margin", () => {
    const waits = new FenceWaits();
    assert.deepEqual(
      waits.look(picture(told, { machines: "c" }), nothing, { nowMs: 1_000, ...always }).units,
      new Set(),
    );
    waits.changed(idOf("c"), 2_000);
    const first = waits.look(picture(told), nothing, { nowMs: 2_100, ...always });
    assert.deepEqual([listed(first.units), first.over, first.dueMs], ["db.service", [], 3_900]);
    const second = waits.look(picture(told), nothing, { nowMs: 5_999, ...always });
    assert.equal(second.units, first.units, "the same set while nothing changes");
    assert.equal(second.dueMs, 1);
    const third = waits.look(picture(told), nothing, { nowMs: 6_000, ...always });
    assert.deepEqual([listed(third.units), third.over, third.dueMs], ["", [name("db.service")], Infinity]);
    assert.deepEqual(waits.look(picture(told), nothing, { nowMs: 7_000, ...always }).over, []);
  });

  test("of a unit that is down before the lease can end is the margin alone", () => {
    const waits = new FenceWaits();
    for (const [fenceMs, dueMs] of [
      [0, 1_000],
      [1_000, 1_000],
      [3_600_000, 3_600_000],
    ] as const) {
      const look = waits.look(picture({ c: [["db.service", "launched", fenceMs]] }), nothing, { nowMs: 0, ...always });
      assert.equal(look.dueMs, dueMs);
    }
  });

  test("begins anew when the machine was there, or may have been unseen", () => {
    const waits = new FenceWaits();
    const due = (nowMs: number, connectedSinceMs = -Infinity): number =>
      waits.look(picture(told), nothing, { ...always, nowMs, connectedSinceMs }).dueMs;
    assert.equal(due(0), 4_000);
    assert.equal(due(3_000), 1_000);
    waits.changed(idOf("c"), 3_500);
    assert.equal(due(3_500), 4_000);
    assert.equal(due(6_000, 5_000), 3_000, "the registry was away from 3,500 to 5,000");
    waits.look(picture(told, { machines: "c" }), nothing, { nowMs: 6_500, ...always });
    assert.equal(due(7_000), 4_000);
  });

  test("does not begin while anything that hangs on its lease is there", () => {
    const waits = new FenceWaits();
    assert.equal(waits.look(picture(told, { statuses: "c" }), nothing, { nowMs: 0, ...always }).dueMs, Infinity);
    assert.equal(waits.look(picture(told), nothing, { nowMs: 9_000, ...always }).dueMs, 4_000);
  });

  test("is also for one that it was told to let go of and may not have; not when another has been told of it", () => {
    const released = { c: [["db.service", "released", 4_000]] } as const;
    assert.equal(new FenceWaits().look(picture(released), nothing, { nowMs: 0, ...always }).dueMs, 4_000);
    const elsewhere = { ...released, a: [["db.service", "launched", 4_000]] } as const;
    const look = new FenceWaits().look(picture(elsewhere, { machines: "a" }), nothing, { nowMs: 0, ...always });
    assert.deepEqual([look.units, look.dueMs], [new Set(), Infinity]);
  });
});

describe("a wait for machines that nobody has heard of", () => {
  const target = "launched" as const;
  const wanted = new Map<UnitName, Pick<Unit, "fence" | "target">>([
    [name("db.service"), { fence: { stepMs: 4_000, stopMs: 4_000 }, target }],
    [name("feed.service"), { fence: { stepMs: 500, stopMs: 500 }, target }],
    [name("stopped.service"), { fence: { stepMs: 9_000, stopMs: 9_000 }, target: "inactive" }],
    [name("web.service"), { target }],
  ]);
  const look = (waits: FenceWaits, moments: { nowMs: number; heardOfMs?: number; putBackMs?: number }): unknown[] => {
    const found = waits.look(picture({}), wanted, { ...always, ...moments });
    return [listed(found.units), listed(new Set(found.over)), found.dueMs, found.restored];
  };

  test("is for every unit that has to be down first, until they have lost their leases", () => {
    const waits = new FenceWaits();
    assert.deepEqual(look(waits, { nowMs: 500, heardOfMs: 1_000 }), ["db.service feed.service", "", 500, 0]);
    assert.deepEqual(look(waits, { nowMs: 1_000, heardOfMs: 1_000 }), ["", "db.service feed.service", Infinity, 0]);
  });

  test("lasts for the stop of each after the registry was put back", () => {
    const waits = new FenceWaits();
    const both = { heardOfMs: 1_000, putBackMs: 1_000 };
    assert.deepEqual(look(waits, { nowMs: 1_500, ...both }), ["db.service feed.service", "", 500, 2]);
    assert.deepEqual(look(waits, { nowMs: 2_000, ...both }), ["db.service", "feed.service", 3_000, 1]);
    assert.deepEqual(look(waits, { nowMs: 5_000, ...both }), ["", "db.service", Infinity, 0]);
  });
});

describe("a word", () => {
  const told = { a: [["db.service", "launched", 4_000]], b: [["web.service", "launched"]] } as const;
  const claimed = (records: Readonly<Record<string, number>>, word?: number): Claimed => {
    const { manifests, machines } = picture(told, { machines: Object.keys(records).join("") });
    const a = idOf("a");
    const withWord = { ...manifests.get(a), ...(word === undefined ? {} : { word }) } as Manifest;
    const modified = new Map(Object.entries(records).map(([letter, at]) => [keys.machine(idOf(letter)), at]));
    return { manifests: new Map([...manifests, [a, withWord]]), machines: new Map([...machines].reverse()), modified };
  };
  const none: ReadonlySet<UnitName> = new Set();
  const unspoken = (waits: FenceWaits, given: Claimed, waiting = none): string =>
    [...waits.unspoken(given, waiting)].join(" ");

  test("is waited for by machines that are told such a unit and have none for their claim", () => {
    const waits = new FenceWaits();
    assert.equal(unspoken(waits, claimed({ a: 6, b: 6 })), idOf("a"));
    assert.equal(unspoken(waits, claimed({ a: 6, b: 6 }, 4)), idOf("a"));
    assert.equal(unspoken(waits, claimed({ a: 6, b: 6 }, 6)), "");
    assert.equal(unspoken(waits, claimed({ b: 6 }, 4)), "", "it is not there");
    assert.deepEqual(
      ["a", "b", "c"].map((letter) => waits.wordOf(idOf(letter), claimed({ a: 6, b: 7 }), none)),
      [6, 7, undefined],
    );
  });

  test("is not given while a unit of the machine's has to wait", () => {
    const waits = new FenceWaits();
    const given = claimed({ a: 6, b: 7 });
    const waiting = new Set([name("db.service")]);
    assert.deepEqual(
      [
        unspoken(waits, given, waiting),
        waits.wordOf(idOf("a"), given, waiting),
        waits.wordOf(idOf("b"), given, waiting),
      ],
      ["", undefined, 7],
    );
    assert.equal(unspoken(waits, given), idOf("a"));
  });
});
