import assert from "node:assert/strict";
import { test } from "node:test";
import type { Checked } from "../../../agent/domain/problem.ts";
import { reportMachines, reportUnitFiles, reportUnits } from "../../../agent/report/report.ts";
import {
  type UnitSelection,
  maxSelectors,
  selectMachines,
  selectUnitFiles,
  selectUnits,
} from "../../../agent/report/select.ts";
import { sampleIds, samplePicture } from "../../fakes/fake-cluster.ts";

const picture = samplePicture();
const everything: UnitSelection = { units: [], machines: [], states: [] };

function good<T>(checked: Checked<T>): T {
  assert.ok(checked.ok);
  return checked.value;
}

function unitsOf(selection: Partial<UnitSelection>): readonly string[] {
  const rows = good(selectUnits(reportUnits(picture), { ...everything, ...selection }));
  return rows.map(({ name, machine }) => `${name.replace(".service", "")}@${machine.id.slice(0, 2)}`);
}

const unitCases: readonly (readonly [Partial<UnitSelection>, string])[] = [
  [{ units: ["web@*"] }, "web@1@59 web@2@f2"],
  [{ units: ["web@1.service", "db.service"] }, "db@b4 web@1@59"],
  [{ units: ["web"] }, ""],
  [{ units: ["log.service"], machines: ["59f6"] }, "log@59"],
  [{ machines: [sampleIds.n2] }, "db@b4 log@b4 parked@b4"],
  [{ machines: ["F22C"] }, "fresh@f2 log@f2 old@f2 web@2@f2"],
  [{ machines: ["n2"] }, "db@b4 log@b4 parked@b4"],
  [{ machines: ["10.79.0.13", "0d15"] }, "hello@59 log@59 lost@0d web@1@59"],
  [{ machines: ["10.79"] }, ""],
  [{ machines: [""] }, ""],
  [{ states: ["failed"] }, "db@b4"],
  [{ states: ["dead", "start"] }, "log@f2 parked@b4"],
  [{ states: ["pending"] }, "fresh@f2"],
  [{ states: ["lost"] }, "lost@0d"],
  [{ states: ["reported"] }, ""],
  [{ units: ["log*"], states: ["loaded"], machines: ["n3", "n1"] }, "log@59 log@f2"],
];
for (const [selection, expected] of unitCases) {
  test(`units by ${JSON.stringify(selection)}`, () => assert.equal(unitsOf(selection).join(" "), expected));
}

test("a unit that its machine could not start is found by its problem, whatever systemd says of it", () => {
  const row = reportUnits(picture).find((each) => each.problem === undefined);
  assert.ok(row);
  const problem = { code: "systemd-job", message: "Cannot start unit" };
  const rows = [{ ...row, knowledge: "reported", active: "inactive", sub: "dead", problem } as const, row];
  assert.deepEqual(good(selectUnits(rows, { ...everything, states: ["problem"] })), rows.slice(0, 1));
});

test("nothing asked is everything", () => {
  assert.deepEqual(unitsOf({}), unitsOf({ units: ["*"] }));
  assert.equal(unitsOf({}).length, reportUnits(picture).length);
});

const fileCases: readonly (readonly [Partial<UnitSelection>, string])[] = [
  [{ units: ["web@.service"] }, "web@.service"],
  [{ states: ["inactive"], units: ["o*", "web@4*"] }, "off.service web@4.service"],
  [{ states: ["launched"], machines: ["n2"] }, "db.service"],
  [{ states: ["loaded"] }, "parked.service"],
  [{ states: ["launched"], units: ["log.service"] }, "log.service"],
  [{ machines: ["n3"] }, "hello.service web@1.service"],
];
for (const [selection, expected] of fileCases) {
  test(`unit files by ${JSON.stringify(selection)}`, () => {
    const rows = good(selectUnitFiles(good(reportUnitFiles(picture)), { ...everything, ...selection }));
    assert.equal(rows.map(({ name }) => name).join(" "), expected);
  });
}

const machineCases: readonly (readonly [readonly string[], string])[] = [
  [[], "n3 n2 n1"],
  [["role=web"], "n3"],
  [["role=web", "region=eu"], ""],
  [["region=eu", "role=db"], "n2"],
  [["role="], ""],
  [["toString=x"], ""],
];
for (const [pairs, expected] of machineCases) {
  test(`machines by ${pairs.join(" ") || "nothing"}`, () => {
    const rows = good(selectMachines(reportMachines(picture), pairs));
    assert.equal(rows.map(({ hostname }) => hostname).join(" "), expected);
  });
}

const wrong: readonly (readonly [what: string, checked: Checked<unknown>, codes: readonly string[]])[] = [
  ["a pattern", selectUnits([], { ...everything, units: ["[a", "b*", "\\"] }), ["glob-malformed", "glob-malformed"]],
  [
    "too many names",
    selectUnits([], { ...everything, units: Array<string>(maxSelectors + 1).fill("a") }),
    ["api-query"],
  ],
  ["too many machines", selectUnitFiles([], { ...everything, machines: Array<string>(65).fill("a") }), ["api-query"]],
  ["metadata", selectMachines([], ["role", "=web", "a=b"]), ["api-query", "api-query"]],
  ["much metadata", selectMachines([], Array<string>(maxSelectors + 1).fill("a=b")), ["api-query"]],
];
for (const [what, checked, codes] of wrong) {
  test(`${what} that cannot be taken is named`, () => {
    assert.deepEqual(checked.ok ? [] : checked.problems.map(({ code }) => code), codes);
  });
}
