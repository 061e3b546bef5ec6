// Decimal numbers in metadata and in the comparisons of units.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDecimal } from "../../../agent/text/decimal.ts";

const cases: readonly (readonly [text: string, value: number | undefined])[] = [
  ["0", 0],
  ["-0", 0],
  ["007", 7],
  ["+3.50", 3.5],
  ["-0.25", -0.25],
  ["9".repeat(308), 1e308],
  ["9".repeat(400), undefined],
  ...["", " 5", "5 ", "5.", ".5", "1e3", "0x10", "1,5", "--1", "5G", "NaN", "Infinity", "٣"].map(
    (text) => [text, undefined] as const,
  ),
];
for (const [text, value] of cases) {
  test(`"${text.slice(0, 20)}" is ${value ?? "no number"}`, () => {
    assert.ok(Object.is(parseDecimal(text), value));
  });
}
