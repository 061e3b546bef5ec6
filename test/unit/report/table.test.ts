import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTable } from "../../../agent/text/columns.ts";
import { formatMoment, formatSpan } from "../../../agent/text/time.ts";
import { displayRows, displayWidth, visible, visibleLines } from "../../../agent/text/width.ts";

const plain = { legend: true, colour: false };

function rows(...lines: readonly (readonly string[])[]) {
  return lines.map((line) => line.map((text) => ({ text })));
}

test("a table is padded with tabs as fleet's was", () => {
  const table = {
    legend: ["machine", "ip", "metadata"],
    rows: rows(["59f61aeb...", "10.79.0.13", "disk=ssd,region=us"], ["b40f1753...", "10.79.0.12", "-"]),
  };
  assert.equal(
    formatTable(table, plain),
    "MACHINE\t\tIP\t\tMETADATA\n59f61aeb...\t10.79.0.13\tdisk=ssd,region=us\nb40f1753...\t10.79.0.12\t-\n",
  );
});

test("a cell of exactly eight columns still has a whole tab behind it", () => {
  assert.equal(
    formatTable({ legend: ["a", "b"], rows: rows(["12345678", "x"], ["1234567", "y"]) }, plain),
    "A\t\tB\n12345678\tx\n1234567\t\ty\n",
  );
});

test("without a legend the header has no influence on width", () => {
  const table = { legend: ["averylongname", "b"], rows: rows(["x", "y"]) };
  assert.equal(formatTable(table, { legend: false, colour: false }), "x\ty\n");
  assert.equal(formatTable({ ...table, rows: [] }, { legend: false, colour: false }), "");
  assert.equal(formatTable({ ...table, rows: [] }, plain), "AVERYLONGNAME\tB\n");
});

test("wide characters take two columns when tabs are counted", () => {
  // 6 columns of ideographs need one tab, 8 need two to reach 16
  assert.equal(
    formatTable({ legend: ["u", "x"], rows: rows(["日本語", "1"], ["日本語版", "2"]) }, plain),
    "U\t\tX\n日本語\t\t1\n日本語版\t2\n",
  );
});

test("colour surrounds the text and does not move the next column", () => {
  const table = { legend: ["a", "b"], rows: [[{ text: "active", tone: "good" as const }, { text: "-" }]] };
  assert.equal(formatTable(table, { legend: false, colour: true }), "\u001b[32mactive\u001b[0m\t-\n");
  assert.equal(formatTable(table, { legend: false, colour: false }), "active\t-\n");
});

test("a cell cannot command the terminal or break its row", () => {
  assert.equal(
    formatTable({ legend: ["a", "b"], rows: rows(["x\u001b[2Jy\n", "\tz"]) }, { legend: false, colour: false }),
    "x\\x1b[2Jy\\x0a\t\\x09z\n",
  );
});

const widths: readonly (readonly [string, number, string])[] = [
  ["", 0, "empty"],
  ["web@1.service", 13, "ASCII"],
  ["日本", 4, "ideographs"],
  ["ｱｲｳ", 3, "halfwidth katakana"],
  ["한글", 4, "hangul syllables"],
  ["ＡＢ", 4, "fullwidth letters"],
  ["e\u0301", 1, "a combining accent"],
  ["é", 1, "a precomposed accent"],
  ["🚀", 2, "an emoji"],
  ["👩‍👩‍👧", 2, "a family joined from several emoji"],
  ["🇩🇪", 2, "a flag"],
  ["✔", 1, "a text symbol"],
  ["✔\ufe0f", 2, "the same asked for as an emoji"],
  ["a\u200bb", 2, "a zero width space"],
  ["𠀋", 2, "an ideograph beyond 16 bits"],
];
for (const [text, width, name] of widths) {
  test(`display width: ${name}`, () => assert.equal(displayWidth(text), width));
}

const rowsOf: readonly (readonly [text: string, rows: number, name: string])[] = [
  ["", 1, "an empty line"],
  ["a".repeat(20), 1, "a full row"],
  ["a".repeat(21), 2, "one more"],
  [`\u001b[31m${"a".repeat(20)}\u001b[0m`, 1, "colours"],
  ["日".repeat(11), 2, "wide letters"],
  ["a\tb\tcccc", 1, "tabs"],
  ["a\tb\tccccc", 2, "tabs and one more"],
  ["a\tb\tc\t\t\td", 1, "tabs that go no further than the last column"],
];
for (const [text, count, name] of rowsOf) {
  test(`rows of 20 columns: ${name}`, () => assert.equal(displayRows(text, 20), count));
}

test("what could mislead a reader is written out", () => {
  assert.equal(visible("a\u001b]0;title\u0007b"), "a\\x1b]0;title\\x07b");
  assert.equal(visible("user\u202egnp.exe"), "user\\u{202e}gnp.exe");
  assert.equal(visible("\u009b31m"), "\\x9b31m");
  assert.equal(visible("fair text, 日本"), "fair text, 日本");
  assert.equal(visibleLines("[Unit]\n\tx\r\u001b[H"), "[Unit]\n\tx\\x0d\\x1b[H");
});

test("moments agree with the platform's calendar over four centuries", () => {
  for (let ms = -12_000_000_000_000; ms < 12_000_000_000_000; ms += 86_399_000 * 37) {
    const expected = new Date(ms).toISOString().replace("T", " ").slice(0, 19) + " UTC";
    assert.equal(formatMoment(ms), expected);
  }
  assert.equal(formatMoment(Date.UTC(2024, 1, 29, 23, 59, 59, 999)), "2024-02-29 23:59:59 UTC");
});

const spans: readonly (readonly [number, string])[] = [
  [-5000, "0s"],
  [999, "0s"],
  [5000, "5s"],
  [262_000, "4min 22s"],
  [240_000, "4min"],
  [3_600_000, "1h"],
  [10_920_000, "3h 2min"],
  [1_051_200_000, "12d 4h"],
  [86_400_000 + 5000, "1d"],
];
for (const [ms, text] of spans) test(`a span of ${ms} ms`, () => assert.equal(formatSpan(ms), text));
