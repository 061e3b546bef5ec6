import assert from "node:assert/strict";
import { test } from "node:test";
import { suggest } from "../../../agent/text/suggest.ts";

const options = ["MachineID", "MachineOf", "MachineMetadata", "Conflicts", "Replaces", "Global"];
const cases: readonly (readonly [word: string, expected: string | undefined])[] = [
  ["MachineMetdata", "MachineMetadata"],
  ["MachineId", "MachineID"],
  ["machineof", "MachineOf"],
  ["global", "Global"],
  ["Golbal", "Global"],
  ["Conflict", "Conflicts"],
  ["Conficlts", "Conflicts"],
  ["Replace", "Replaces"],
  ["MachineMeta", undefined],
  ["Weight", undefined],
  ["", undefined],
  ["Gl", undefined],
];
for (const [word, expected] of cases) {
  test(`"${word}" -> ${expected ?? "nothing"}`, () => assert.equal(suggest(word, options), expected));
}

test("a word that is itself known is not its own suggestion", () => assert.equal(suggest("abc", ["abc"]), undefined));
test("of equal ones that with the same letters is meant", () =>
  assert.equal(suggest("staet", ["start", "state"]), "state"));
test("ties go to the first", () => assert.equal(suggest("abx", ["aby", "abz"]), "aby"));
