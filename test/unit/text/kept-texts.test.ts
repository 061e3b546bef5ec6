// The unit texts that a machine keeps: one file and back, each text once, and a damaged line costs nobody else.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UnitName } from "../../../agent/domain/names.ts";
import { type KeptText, encodeKeptTexts, parseKeptTexts } from "../../../agent/text/kept-texts.ts";

const kept = (name: string, more: Partial<KeptText> = {}): KeptText => ({
  name: name as UnitName,
  source: "git",
  text: "[Service]\nExecStart=/bin/true\n",
  dropIns: [],
  ...more,
});

describe("kept texts", () => {
  test("are read as they were written, in whatever order they came", () => {
    const dropIns = [
      { name: "20-b.conf", text: "[Service]\nUser=b\n" },
      { name: "10-a.conf", text: "[Service]\nUser=a\n" },
    ];
    const units = [
      kept("a.service", { dropIns }),
      kept("b.timer", { text: "" }),
      kept("c\\x2d1@x.service", { source: "submitted" }),
    ];
    for (const given of [units, [...units].reverse()]) {
      const read = parseKeptTexts(encodeKeptTexts(given));
      assert.deepEqual(read, { units, problems: [] });
    }
    assert.equal(encodeKeptTexts([]), "");
    assert.deepEqual(parseKeptTexts(""), { units: [], problems: [] });
  });

  test("stand there once, however many instances have them; another source or drop-in is another", () => {
    const units = Array.from({ length: 200 }, (_, at) => kept(`web@${at}.service`, { text: "x".repeat(1_000) }));
    assert.ok(encodeKeptTexts(units).length < 10_000);
    const lines = encodeKeptTexts([
      kept("a.service"),
      kept("b.service", { source: "submitted" }),
      kept("c.service", { dropIns: [{ name: "a.conf", text: "" }] }),
      kept("d.service"),
    ]);
    assert.equal(lines.trimEnd().split("\n").length, 3);
  });

  test("cost each other nothing when a line is damaged, which is said without a quotation", () => {
    const whole = encodeKeptTexts([
      kept("a.service"),
      kept("b.service", { text: "[Service]\nPassword=secret\n" }),
      kept("c.service", { text: "" }),
    ]);
    const [first, second, third] = whole.trimEnd().split("\n");
    for (const damage of [
      second?.slice(0, -9),
      second?.replace("b.service", "../b"),
      second?.replace('"git"', '"moon"'),
      "{}",
      "null",
    ]) {
      const { units, problems } = parseKeptTexts(`${first ?? ""}\n${damage ?? ""}\n${third ?? ""}\n`);
      assert.deepEqual(
        units.map(({ name }) => name),
        ["a.service", "c.service"],
      );
      assert.equal(problems.length, 1);
      assert.equal(problems[0]?.message, "Cannot read kept text 2");
      assert.doesNotMatch(String(problems[0].cause), /secret/);
    }
  });

  test("are bounded: beyond it texts are left to where they are from", () => {
    const text = "x".repeat(1024 * 1024);
    const units = Array.from({ length: 70 }, (_, at) => kept(`${100 + at}.service`, { text: `${at}${text.slice(4)}` }));
    const written = encodeKeptTexts(units);
    assert.ok(written.length <= 65 * 1024 * 1024);
    const read = parseKeptTexts(written);
    assert.deepEqual([read.units.length > 60, read.problems], [true, []]);
    assert.equal(read.units[0]?.name, "100.service");
  });
});
