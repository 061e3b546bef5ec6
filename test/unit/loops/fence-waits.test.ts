// Units with OnPartition=stop: how long nothing is decided of them when their machine is gone, and who waits for a word.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { Manifest, ManifestEntry } from "../../../agent/domain/placement.ts";
import { FenceWaits, type Lived } from "../../../agent/loops/fence-waits.ts";
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
const always = { connectedSinceMs: -Infinity };

describe("a wait", () => {
  const told = {
    c: [
      ["db.service", "launched", 4_000],
      ["web.service", "launched"],
    ],
  } as const;

  test("is what is left of the unit's stop when its machine's lease ends, and a margin", () => {
    const waits = new FenceWaits();
    assert.deepEqual(waits.look(picture(told, { machines: "c" }), { nowMs: 1_000, ...always }).units, new Set());
    waits.changed(idOf("c"), 2_000);
    const first = waits.look(picture(told), { nowMs: 2_100, ...always });
    assert.deepEqual([listed(first.units), first.over, first.dueMs], ["db.service", [], 3_900]);
    const second = waits.look(picture(told), { nowMs: 5_999, ...always });
    assert.equal(second.units, first.units, "the same set while nothing changes");
    assert.equal(second.dueMs, 1);
    const third = waits.look(picture(told), { nowMs: 6_000, ...always });
    assert.deepEqual([listed(third.units), third.over, third.dueMs], ["", [name("db.service")], Infinity]);
    assert.deepEqual(waits.look(picture(told), { nowMs: 7_000, ...always }).over, []);
  });

  test("of a unit that is down before the lease can end is the margin alone", () => {
    const waits = new FenceWaits();
    for (const [fenceMs, dueMs] of [
      [0, 1_000],
      [1_000, 1_000],
      [3_600_000, 3_600_000],
    ] as const) {
      const look = waits.look(picture({ c: [["db.service", "launched", fenceMs]] }), { nowMs: 0, ...always });
      assert.equal(look.dueMs, dueMs);
    }
  });

  test("begins anew when the machine was there, or may have been unseen", () => {
    const waits = new FenceWaits();
    const due = (nowMs: number, connectedSinceMs = -Infinity): number =>
      waits.look(picture(told), { nowMs, connectedSinceMs }).dueMs;
    assert.equal(due(0), 4_000);
    assert.equal(due(3_000), 1_000);
    waits.changed(idOf("c"), 3_500);
    assert.equal(due(3_500), 4_000);
    assert.equal(due(6_000, 5_000), 3_000, "the registry was away from 3,500 to 5,000");
    waits.look(picture(told, { machines: "c" }), { nowMs: 6_500, ...always });
    assert.equal(due(7_000), 4_000);
  });

  test("does not begin while anything that hangs on its lease is there", () => {
    const waits = new FenceWaits();
    assert.equal(waits.look(picture(told, { statuses: "c" }), { nowMs: 0, ...always }).dueMs, Infinity);
    assert.equal(waits.look(picture(told), { nowMs: 9_000, ...always }).dueMs, 4_000);
  });

  test("is also for one that it was told to let go of and may not have; not when another has been told of it", () => {
    const released = { c: [["db.service", "released", 4_000]] } as const;
    assert.equal(new FenceWaits().look(picture(released), { nowMs: 0, ...always }).dueMs, 4_000);
    const elsewhere = { ...released, a: [["db.service", "launched", 4_000]] } as const;
    const look = new FenceWaits().look(picture(elsewhere, { machines: "a" }), { nowMs: 0, ...always });
    assert.deepEqual([look.units, look.dueMs], [new Set(), Infinity]);
  });
});

test("a machine waits for a word when it has claimed its id since its manifest was written, and is told such a unit", () => {
  const told = { a: [["db.service", "launched", 4_000]], b: [["web.service", "launched"]] } as const;
  const waiting = (revisions: Readonly<Record<string, number>>, there = "ab"): string =>
    [
      ...new FenceWaits().unconfirmed({
        ...picture(told, { machines: there }),
        modified: new Map(
          Object.entries(revisions).map(([key, at]) => {
            const [what = "", letter = ""] = key.split(" ");
            return [what === "record" ? keys.machine(idOf(letter)) : keys.manifest(idOf(letter)), at];
          }),
        ),
      }),
    ].join(" ");
  assert.equal(waiting({ "manifest a": 5, "manifest b": 5, "record a": 6, "record b": 6 }), idOf("a"));
  assert.equal(waiting({ "manifest a": 7, "manifest b": 5, "record a": 6, "record b": 6 }), "");
  assert.equal(waiting({ "manifest a": 5, "manifest b": 5, "record b": 6 }, "b"), "", "it is not there");
});
