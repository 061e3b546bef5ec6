import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { HoldReport, MachineReport, UnitFileReport, UnitReport } from "../../../agent/domain/report.ts";
import { checkListing, listingText, listings, sortedRows } from "../../../agent/report/report.ts";
import { sampleIds, sampleNowMs } from "../../fakes/fake-cluster.ts";

const nowMs = sampleNowMs;

function shapeOf<Row>(fields: Parameters<typeof checkListing<Row>>[0], words: { fields?: string; sort?: string }) {
  const checked = checkListing(fields, { fields: words.fields, sort: words.sort });
  assert.ok(checked.ok, "the words are right");
  return checked.value;
}

function unit(name: string, more: Partial<UnitReport> = {}): UnitReport {
  const machine = { id: sampleIds.n1, ip: "", hostname: "", alive: true };
  return { name, machine, knowledge: "reported", active: "active", sub: "running", load: "loaded", ...more };
}

function machine(id: string, more: Partial<MachineReport> = {}): MachineReport {
  const usual = { ip: "", metadata: {}, hostname: "", version: "1", leader: false, mayLead: true, units: 0 };
  return { ...usual, id, cpus: 1, memoryBytes: 1024 ** 3, ...more };
}

function file(name: string, more: Partial<UnitFileReport> = {}): UnitFileReport {
  return {
    ...{ name, source: "git", desired: "launched", state: "launched", hash: "0".repeat(40) },
    ...{ global: false, template: false, file: `static/${name}` },
    ...more,
  };
}

suite("rows in an order that was asked for", () => {
  const rows = [
    unit("a.service", { restarts: 9, sinceMs: nowMs - 5_000, active: "failed" }),
    unit("b.service", { restarts: 10, sinceMs: nowMs - 1_000 }),
    unit("c.service", { knowledge: "pending" }),
    unit("d.service", { restarts: 10, sinceMs: nowMs - 9_000, active: "failed" }),
  ];
  const cases: readonly (readonly [sort: string, expect: string])[] = [
    ["unit", "abcd"],
    ["-unit", "dcba"],
    ["restarts", "abdc"],
    ["-restarts", "bdac"],
    ["active", "bcad"],
    ["active,-unit", "cbda"],
    ["since", "badc"],
    ["-since", "dabc"],
    [" -restarts , -unit ", "dbac"],
  ];
  for (const [sort, expect] of cases)
    test(sort, () => {
      const { fields } = listings.units;
      const sorted = sortedRows(fields, { rows, shape: shapeOf(fields, { sort }), nowMs });
      assert.equal(sorted.map(({ name }) => name.charAt(0)).join(""), expect);
    });

  test("numbers within addresses count as numbers, no address comes last", () => {
    const { fields } = listings.machines;
    const all = [
      machine("1", { ip: "10.0.0.10" }),
      machine("2"),
      machine("3", { ip: "10.0.0.9" }),
      machine("4", { ip: "9.0.0.1" }),
    ];
    const order = (sort: string) =>
      sortedRows(fields, { rows: all, shape: shapeOf(fields, { sort }), nowMs }).map(({ id }) => id);
    assert.deepEqual(order("ip"), ["4", "3", "1", "2"]);
    assert.deepEqual(order("-ip"), ["1", "3", "4", "2"]);
  });

  test("every field can be sorted by, both ways round", () => {
    const { fields } = listings.units;
    for (const name of Object.keys(fields.all)) {
      for (const sort of [name, `-${name}`]) {
        const sorted = sortedRows(fields, { rows, shape: shapeOf(fields, { sort }), nowMs });
        assert.deepEqual(new Set(sorted), new Set(rows), sort);
      }
    }
  });

  const wrong: readonly (readonly [sort: string, message: string, hint: RegExp])[] = [
    ["", "Cannot sort by nothing", /Fields are unit,/],
    ["-", 'Cannot sort by ""', /Fields are unit,/],
    ["actve", 'Cannot sort by "actve"', /Did you mean active\?/],
    ["constructor", 'Cannot sort by "constructor"', /Fields are unit,/],
  ];
  for (const [sort, message, hint] of wrong)
    test(`wrong: ${JSON.stringify(sort)}`, () => {
      const checked = checkListing(listings.units.fields, { fields: undefined, sort });
      const [problem] = checked.ok ? [] : checked.problems;
      assert.equal(problem?.message, message);
      assert.match(problem.hint ?? "", hint);
    });

  test("wrong columns and a wrong order are told at once", () => {
    const checked = checkListing(listings.units.fields, { fields: "x", sort: "y" });
    assert.deepEqual(checked.ok ? [] : checked.problems.map(({ message }) => message), [
      'Invalid key in output format: "x"',
      'Cannot sort by "y"',
    ]);
  });
});

suite("holds in listings", () => {
  const hold: HoldReport = { unit: "b.service", target: "loaded", by: "ann@lap", atMs: nowMs - 60_000 };
  const style = { full: false, legend: true, colour: false, nowMs };
  const text = (rows: readonly UnitFileReport[], more: { fields?: string } = {}) => {
    const { fields } = listings.unitFiles;
    return listingText(fields, { ...style, rows, shape: shapeOf(fields, more) });
  };

  test("the column comes by itself when somebody holds a unit, and not before", () => {
    assert.doesNotMatch(text([file("a.service")]), /HOLD/);
    const lines = text([file("a.service"), file("b.service", { hold })]).split("\n");
    assert.match(lines[0] ?? "", /TARGET\tHOLD$/);
    assert.match(lines[1] ?? "", /\t-$/);
    assert.match(lines[2] ?? "", /\tloaded by ann@lap$/);
  });

  test("columns that were asked for are all that is shown", () => {
    assert.equal(text([file("b.service", { hold })], { fields: "unit" }), "UNIT\nb.service\n");
  });

  const cells: readonly (readonly [more: Partial<HoldReport>, text: string])[] = [
    [{}, "loaded by ann@lap"],
    [{ why: "disk swap" }, "loaded by ann@lap: disk swap"],
    [{ untilMs: nowMs + 7_200_000 }, "loaded by ann@lap, for 2h more"],
    [{ untilMs: nowMs - 1, why: "x" }, "loaded by ann@lap, for 0s more: x"],
    [{ why: "a\u001b[2J" }, "loaded by ann@lap: a\\x1b[2J"],
  ];
  for (const [more, expect] of cells)
    test(expect, () =>
      assert.equal(text([file("b.service", { hold: { ...hold, ...more } })], { fields: "hold" }), `HOLD\n${expect}\n`),
    );
});
