// Units as lists of options: what fleet's API carries means the same unit as the text, and nothing slips in between.
import assert from "node:assert/strict";
import { test } from "node:test";
import { unitHash } from "../../../agent/text/hash.ts";
import { type UnitOption, canonicalOfTexts, optionsOfTexts, textOfOptions } from "../../../agent/text/unit-options.ts";
import { fc, tries } from "../../property.ts";

/** `section/name=value`. */
function option(text: string): UnitOption {
  const [, section = "", name = "", value = ""] = /^([^/]*)\/([^=]*)=([^]*)$/.exec(text) ?? [];
  return { section, name, value };
}

function listed(...texts: readonly string[]): readonly string[] {
  const options = optionsOfTexts(texts);
  assert.ok(options.ok);
  return options.value.map(({ section, name, value }) => `${section}/${name}=${value}`);
}

function written(...options: readonly string[]): string {
  const text = textOfOptions(options.map(option), "a.service");
  assert.ok(text.ok, text.ok ? "" : text.problems.map(String).join("; "));
  return text.value.text;
}

const lists: readonly {
  readonly name: string;
  readonly texts: readonly string[];
  readonly expect: readonly string[];
}[] = [
  { name: "nothing", texts: [""], expect: [] },
  {
    name: "comments go, order stays, sections come together",
    texts: ["# a\n[Unit]\nAfter=b\n[Service]\nExecStart=/bin/a # b\n[Unit]\nAfter=a\n"],
    expect: ["Unit/After=b", "Unit/After=a", "Service/ExecStart=/bin/a # b"],
  },
  {
    name: "a value over several lines, an empty one, a backslash at the end",
    texts: ["[A]\nB = x \\\n  y\nC=\nD=x\\ \n"],
    expect: ["A/B=x \\\n  y", "A/C=", "A/D=x\\ "],
  },
  {
    name: "drop-ins come after what they change",
    texts: ["[Service]\nA=1\n[Install]\nB=2\n", "[Service]\nA=\nA=3\n"],
    expect: ["Service/A=1", "Service/A=", "Service/A=3", "Install/B=2"],
  },
];
for (const { name, texts, expect } of lists) test(`options: ${name}`, () => assert.deepEqual(listed(...texts), expect));

test("text: sections in order of appearance, a blank line between them", () => {
  assert.equal(
    written("Service/ExecStart=/bin/a", "Unit/After=b", "Service/Type=oneshot"),
    "[Service]\nExecStart=/bin/a\nType=oneshot\n\n[Unit]\nAfter=b\n",
  );
});

test("the hash of what is written is fleet's", () => {
  assert.equal(unitHash(written("Service/ExecStart=/bin/sleep 100"), []), "1c6fb6f3684bafb0c173d8b8b957ceff031180c1");
});

const strays: readonly (readonly [section: string, name: string, value: string])[] = [
  ["Service", "ExecStart", "/bin/a\n[Install]"],
  ["Service", "ExecStart", "/bin/a\nExecStartPost=/bin/b"],
  ["Service", "ExecStart", "/bin/a\\"],
  ["Service", "Exec=Start", "/bin/a"],
  ["Service", "#ExecStart", "/bin/a"],
  ["Service", "ExecStart\n", "/bin/a"],
  ["Service]\nX=y\n[A", "B", "c"],
  ["Service", "", "a"],
  ["", "A", "b"],
  ["Service", "A", "b\0"],
];
for (const [section, name, value] of strays) {
  test(`refused: ${JSON.stringify({ section, name, value })}`, () => {
    const text = textOfOptions([option("Unit/A=b"), { section, name, value }], "a.service");
    assert.ok(!text.ok);
    assert.ok(text.problems.every(({ at }) => at?.file === "a.service"));
  });
}

test("whatever is written is read back as it was, and means the same", () => {
  const word = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,5}$/);
  const value = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.stringMatching(/^[a-z\\ #;=[\]"\n]{0,12}$/),
    fc.constant("a \\\nb \\\nc"),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ section: word, name: word, value }), { maxLength: 6 }), (options) => {
      const first = textOfOptions(options, "a.service");
      if (!first.ok) return;
      const again = optionsOfTexts([first.value.text]);
      assert.ok(again.ok);
      const name = ({ section, name: own }: UnitOption): string => `${section}/${own}`;
      const sections = [...new Set(options.map(({ section }) => section))];
      const expected = sections.flatMap((section) => options.filter((each) => each.section === section));
      assert.deepEqual(again.value.map(name), expected.map(name));
      const second = textOfOptions(again.value, "a.service");
      assert.ok(second.ok);
      assert.equal(second.value.canonical, first.value.canonical);
      const canonical = canonicalOfTexts([first.value.text]);
      assert.ok(canonical.ok);
      assert.equal(canonical.value, first.value.canonical);
    }),
    { numRuns: tries(500) },
  );
});
