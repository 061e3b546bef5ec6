// Unit files: fleet's cases F-030 to F-049 in the form that systemd.syntax(7) gives them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { unitHash } from "../../../agent/text/hash.ts";
import {
  type UnitFile,
  canonicalText,
  concatenate,
  lastValue,
  listValue,
  maxLineBytes,
  parseUnitFile,
} from "../../../agent/text/unit-file.ts";
import { fc, tries } from "../../property.ts";

function read(text: Uint8Array | string): UnitFile {
  const parsed = parseUnitFile(text, "x.service");
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.problems.map(String).join("; "));
  return parsed.value;
}

/** `section/key=value@line` of each assignment. */
const brief = (text: string): readonly string[] =>
  read(text).assignments.map(({ section, key, value, line }) => `${section}/${key}=${value}@${line}`);

const readings: readonly { readonly name: string; readonly text: string; readonly expect: readonly string[] }[] = [
  { name: "F-035 empty", text: "", expect: [] },
  {
    name: "F-036 comments, blanks round the sign, lists",
    text: [
      "# first",
      "[Unit]",
      ";[Bogus]",
      "Description = Foo",
      "",
      "[Service]",
      'ExecStart=echo "ping";',
      'ExecStop=echo "pong"',
      "# ExecStop=",
      "ExecStop=echo post",
      "[X-Fleet]",
      "MachineMetadata=foo=bar",
      "MachineMetadata=baz=qux",
    ].join("\n"),
    expect: [
      "Unit/Description=Foo@4",
      'Service/ExecStart=echo "ping";@7',
      'Service/ExecStop=echo "pong"@8',
      "Service/ExecStop=echo post@10",
      "X-Fleet/MachineMetadata=foo=bar@12",
      "X-Fleet/MachineMetadata=baz=qux@13",
    ],
  },
  { name: "F-037 a strange key", text: "[Service]\n<<<<<<<<<<<=bar\n", expect: ["Service/<<<<<<<<<<<=bar@2"] },
  {
    name: "F-038 continuation lines, a comment among them",
    text: "[Service]\nExecStart=/bin/a \\\n  -x \\\n# not this\\\n ; nor this\n  -y\nExecStop=/bin/b\n",
    expect: ["Service/ExecStart=/bin/a    -x    -y@2", "Service/ExecStop=/bin/b@7"],
  },
  { name: "two backslashes do not continue", text: "[A]\nB=c\\\\\nD=e", expect: ["A/B=c\\\\@2", "A/D=e@3"] },
  { name: "three do", text: "[A]\nB=c\\\\\\\nD=e", expect: ["A/B=c\\\\ D=e@2"] },
  { name: "a blank after the backslash ends the line", text: "[A]\nB=c\\ \nD=e", expect: ["A/B=c\\@2", "A/D=e@3"] },
  { name: "a blank line ends a continuation", text: "[A]\nB=c \\\n\nD=e", expect: ["A/B=c@2", "A/D=e@4"] },
  { name: "a comment does not continue", text: "[A]\n# x \\\nB=c", expect: ["A/B=c@3"] },
  { name: "the file ends in a continuation", text: "[A]\nB=c \\", expect: ["A/B=c@2"] },
  { name: "a header over two lines", text: "[A\\\n]\nB=c", expect: ["A /B=c@3"] },
  { name: "F-042 CR LF", text: "[A]\r\nB=c \\\r\n d\r\nE=f\r\n", expect: ["A/B=c   d@2", "A/E=f@4"] },
  { name: "a CR alone ends a line, as it does for systemd", text: "# x\r[A]\rB=c", expect: ["A/B=c@3"] },
  { name: "byte order mark", text: "\ufeff[A]\nB=c", expect: ["A/B=c@2"] },
  { name: "F-045 no end-of-line comments", text: "[A]\nB=b # text ; more", expect: ["A/B=b # text ; more@2"] },
  { name: "F-046 an empty value is kept", text: "[A]\nB=\nB = \t", expect: ["A/B=@2", "A/B=@3"] },
  { name: "F-048 sections merge", text: "[A]\nB=1\n[C]\nD=2\n[A]\nB=3", expect: ["A/B=1@2", "C/D=2@4", "A/B=3@6"] },
  { name: "the first equals sign counts", text: "[A]\nB=c=d==", expect: ["A/B=c=d==@2"] },
  { name: "names of the prototype", text: "[__proto__]\nconstructor=1", expect: ["__proto__/constructor=1@2"] },
  { name: "indented header and key", text: "  [A]  \n\tB = c", expect: ["A/B=c@2"] },
  {
    name: "free text in a section for other programs, which systemd passes over whole",
    text: "[X-Other]\nsome words\n= more \\\n[A]\nB=c\n[A]\nB=d\n[X-]\nwords",
    expect: ["X-Other/B=c@5", "A/B=d@7"],
  },
];
for (const { name, text, expect } of readings) test(name, () => assert.deepEqual(brief(text), expect));

const faults: readonly { readonly name: string; readonly text: string; readonly expect: readonly string[] }[] = [
  {
    name: "F-041 words without a sign",
    text: "[Service]\n<<<<\n[Unit]\nsome words\n",
    expect: ["unit-line@2", "unit-line@4"],
  },
  { name: "F-043 words after a header", text: "[Service] junk\nA=b\n", expect: ["unit-section@1"] },
  { name: "F-043 a header without an end", text: "\n[Service\nA=b\n", expect: ["unit-section@2"] },
  { name: "F-043 a name alone at the end", text: "[Service]\nA", expect: ["unit-line@2"] },
  { name: "F-044 .include", text: ".include /x\n[A]\nB=c", expect: ["unit-line@1"] },
  { name: "F-036 an assignment before any header", text: "A=b\n[A]\nB=c", expect: ["unit-outside@1"] },
  { name: "F-037 a ruler before any header", text: ">>>>\n[A]", expect: ["unit-line@1"] },
  { name: "no name", text: "[A]\n = b", expect: ["unit-line@2"] },
  { name: "words in flotilla's own section", text: "[X-Other]\nword\n[X-Fleet]\nword\n", expect: ["unit-line@4"] },
  { name: "words in a section that is none of systemd's", text: "[x-other]\nword\n", expect: ["unit-line@2"] },
  { name: "no section name", text: "[]\nA=b", expect: ["unit-section@1"] },
  { name: "brackets in a section name", text: "[A][B]\n", expect: ["unit-section@1"] },
  { name: "a comment after a header", text: "[A] # [x]\n", expect: ["unit-section@1"] },
  { name: "NUL", text: "[A]\nB=\0c", expect: ["unit-encoding@2"] },
  { name: "a line beyond systemd's bound", text: `[A]\nB=${"x".repeat(maxLineBytes)}`, expect: ["unit-line-length@2"] },
  {
    name: "a joined line beyond the bound",
    text: `[A]\nB=${"x".repeat(maxLineBytes / 2)}\\\n${"y".repeat(maxLineBytes / 2)}`,
    expect: ["unit-line-length@2"],
  },
  {
    name: "all at once, in order",
    text: "A=b\n[A\nx\n[B]\n=c\n",
    expect: ["unit-outside@1", "unit-section@2", "unit-line@3", "unit-line@5"],
  },
];
for (const { name, text, expect } of faults) {
  test(`refused: ${name}`, () => {
    const parsed = parseUnitFile(text, "units/x.service");
    assert.ok(!parsed.ok);
    assert.deepEqual(
      parsed.problems.map(({ code, at }) => `${code}@${at?.line ?? 0}`),
      expect,
    );
    for (const { hint, at, message } of parsed.problems) {
      assert.ok(hint !== undefined && !hint.endsWith("."));
      assert.equal(at?.file, "units/x.service");
      assert.ok(message.length < 200);
    }
  });
}

test("bytes that are not UTF-8 are refused with their line", () => {
  const parsed = parseUnitFile(Buffer.from("[A]\nB=ok\nC=\xe9\n", "latin1"), "x.service");
  assert.ok(!parsed.ok);
  assert.deepEqual(parsed.problems[0]!.at, { file: "x.service", line: 3 });
  assert.deepEqual(read(Buffer.from("[A]\nB=é\n", "utf8")).assignments[0]!.value, "é");
});

test("F-047: fleet's bound of 2048 bytes in a line is gone", () => {
  assert.equal(read(`[A]\nB=${"x".repeat(2100)}`).assignments[0]!.value.length, 2100);
});

test("a line of blanks is read in linear time", () => {
  const started = performance.now();
  read(`[A]\nB=x${" ".repeat(500_000)}y${" ".repeat(500_000)}`);
  assert.ok(performance.now() - started < 1_000);
});

test("an empty assignment resets a list; later ones build it anew, also across drop-ins", () => {
  const file = concatenate([read("[S]\nE=1\nE=2\n[T]\nE=x"), read("[S]\nE=\nE=3\nF=y"), read("[S]\nF=")]);
  assert.deepEqual(listValue(file, { section: "S", key: "E" }), ["3"]);
  assert.equal(lastValue(file, { section: "S", key: "E" }), "3");
  assert.equal(lastValue(file, { section: "S", key: "F" }), undefined);
  assert.deepEqual(listValue(file, { section: "T", key: "E" }), ["x"]);
  assert.deepEqual(file.sections, ["S", "T"]);
});

const hashes: readonly (readonly [id: string, text: string, hash: string])[] = [
  ["F-030", "[Service]\nExecStart=/bin/sleep 100\n", "1c6fb6f3684bafb0c173d8b8b957ceff031180c1"],
  ["F-033", "\n[Service]\nExecStart=/usr/bin/sleep infinity\n", "40ea6646945809f4b420a50475ee68503088f127"],
  ["F-034", "[Service]\nExecStart=/usr/bin/sleep infinity", "40ea6646945809f4b420a50475ee68503088f127"],
  ["F-034", "[Service]\nExecStart=/usr/bin/sleep 10", "5bf16b98c62f35fcdc723d32989cdeba7a2dd2a8"],
  ["F-034", "[Service]\nExecStart=/usr/bin/sleep 2000", "5ba5292ab6a82b623ee6086dc90b3354ba004832"],
  ["F-035", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"],
  ["3.3", "[Unit]\nDescription=some description\n", "a0f275d46bc6ee0eca06be7c339913c07d99c0c7"],
];
for (const [id, text, hash] of hashes)
  test(`${id}: hash ${hash.slice(0, 7)}`, () => assert.equal(unitHash(text, []), hash));

test("F-042: the canonical text groups, trims and drops what does not count", () => {
  const untidy = "# c\r\n[Service]\r\nA = 1\r\n\r\n[Unit]\r\nB=2\r\n[Service]\r\n;x\r\n  C  =  3  \r\n[Empty]\r\n";
  const tidy = "[Service]\nA=1\nC=3\n\n[Unit]\nB=2\n";
  assert.equal(canonicalText(read(untidy)), tidy);
  assert.equal(unitHash(untidy, []), unitHash(tidy, []));
  assert.notEqual(unitHash("[S]\nA=1\nB=2", []), unitHash("[S]\nB=2\nA=1", []));
});

test("F-038: continuation lines stay as written in the canonical text, as fleet hashes them", () => {
  assert.equal(canonicalText(read("[A]\nB = x \\\r\n  y\\\n# no\n  z \n")), "[A]\nB=x \\\n  y\\\n  z\n");
});

test("a value that seems to go on cannot swallow the next line of the canonical text", () => {
  assert.equal(canonicalText(read("[A]\nB=x\\")), "[A]\nB=x\n");
  assert.equal(canonicalText(read("[A]\nB=x \\\n\nC=y")), "[A]\nB=x\nC=y\n");
  assert.equal(canonicalText(read("[A]\nB=x\\ \nC=y")), "[A]\nB=x\\ \nC=y\n");
  assert.notEqual(unitHash("[A]\nB=x \\\n\nC=y", []), unitHash("[A]\nB=x \\\nC=y", []));
});

test("F-039: the canonical text is its own canonical text", () => {
  const line = fc.constantFrom("[A]", "[B]", "x=1", "y = a \\", "  cont", "# c", "", "x=", "z=\\\\", "k=v\\\\\\");
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const parsed = parseUnitFile(lines.join("\n"), "x");
      if (!parsed.ok) return;
      const canonical = canonicalText(parsed.value);
      const again = read(canonical);
      assert.equal(canonicalText(again), canonical);
      const values = (file: UnitFile, section: string) =>
        file.assignments.filter((each) => each.section === section).map(({ key, value }) => `${key}=${value}`);
      for (const section of ["A", "B"]) assert.deepEqual(values(again, section), values(parsed.value, section));
    }),
    { numRuns: tries(3_000) },
  );
});

test("drop-ins change the hash by name, content, order and number; comments in them do not", () => {
  const text = "[A]\nB=c\n";
  const one = { name: "a.conf", text: "[A]\nD=e\n" };
  const two = { name: "b.conf", text: "[A]\nF=g\n" };
  const variants = [
    [],
    [one],
    [two],
    [one, two],
    [two, one],
    [{ ...one, name: "c.conf" }],
    [{ ...one, text: "" }],
    [{ name: "a.conf", text: "[A]\nD=x\n" }],
  ];
  assert.equal(new Set(variants.map((dropIns) => unitHash(text, dropIns))).size, variants.length);
  assert.equal(unitHash(text, [{ ...one, text: "# c\n[A]\nD = e" }]), unitHash(text, [one]));
});

test("a text that cannot be read has a hash of its own", () => {
  const broken = unitHash("[A]\nB=c\ntorn", []);
  assert.match(broken, /^[0-9a-f]{40}$/);
  assert.notEqual(broken, unitHash("[A]\nB=c\n", []));
  assert.notEqual(broken, unitHash("[A]\nB=c\nTorn", []));
});
