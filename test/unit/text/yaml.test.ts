import assert from "node:assert/strict";
import { test } from "node:test";
import { type YamlNode, isNull, maxYamlAliases, maxYamlDepth, parseYaml } from "../../../agent/text/yaml.ts";

/** Scalars as their source text, for a look at the whole. */
function plain(node: YamlNode | undefined): unknown {
  if (node === undefined) return undefined;
  if (node.kind === "scalar") return node.text;
  if (node.kind === "list") return node.items.map(plain);
  return node.pairs.map(({ key, value }) => [plain(key), plain(value)]);
}

function read(text: string): unknown {
  const parsed = parseYaml(text);
  return parsed.ok ? parsed.documents.map(plain) : parsed.fault.reason;
}

const cases: readonly (readonly [name: string, text: string, is: unknown])[] = [
  ["nothing", "", []],
  ["a comment", "# a\n", []],
  ["source texts", "[0644, yes, 1e3, ~, 'it''s', \"a\\tb\"]", [["0644", "yes", "1e3", "~", "it's", "a\tb"]]],
  [
    "a literal block",
    "a: |\n  b\n   c\n\nd: e",
    [
      [
        ["a", "b\n c\n"],
        ["d", "e"],
      ],
    ],
  ],
  ["a folded block", "a: >-\n  b\n  c\n", [[["a", "b c"]]]],
  ["CRLF in a block", "a: |\r\n  b\r\n  c\r\n", [[["a", "b\nc\n"]]]],
  [
    "nothing for a value",
    "a:\nb: 1",
    [
      [
        ["a", ""],
        ["b", "1"],
      ],
    ],
  ],
  [
    "duplicates stay",
    "a: 1\na: 2",
    [
      [
        ["a", "1"],
        ["a", "2"],
      ],
    ],
  ],
  ["two documents", "a: 1\n---\nb: 2", [[["a", "1"]], [["b", "2"]]]],
  [
    "an alias",
    "a: &x [1]\nb: *x",
    [
      [
        ["a", ["1"]],
        ["b", ["1"]],
      ],
    ],
  ],
  [
    "a merge",
    "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}",
    [
      [
        [
          "a",
          [
            ["p", "1"],
            ["q", "2"],
          ],
        ],
        [
          "b",
          [
            ["q", "3"],
            ["p", "1"],
          ],
        ],
      ],
    ],
  ],
  [
    "merges, the first wins",
    "a: {<<: [{p: 1}, {p: 2, q: 3}]}",
    [
      [
        [
          "a",
          [
            ["p", "1"],
            ["q", "3"],
          ],
        ],
      ],
    ],
  ],
  ["a quoted << is a key", "'<<': a", [[["<<", "a"]]]],
  ["a merge of no mapping", "<<: a", '"<<" takes a mapping, or a list of them'],
  ["an alias to nothing", "a: *x", 'unknown alias "x"'],
  ["an alias to itself", "a: &x [*x]", 'unknown alias "x"'],
  ["__proto__ is a key", "__proto__: 1", [[["__proto__", "1"]]]],
  ["too many aliases", `a: &x 1\nb: [${"*x,".repeat(maxYamlAliases + 1)}]`, `more than ${maxYamlAliases} aliases`],
  [
    "too deep",
    "[".repeat(maxYamlDepth + 1) + "]".repeat(maxYamlDepth + 1),
    `nesting exceeded maxDepth (${maxYamlDepth})`,
  ],
];
for (const [name, text, is] of cases) test(`YAML: ${name}`, () => assert.deepEqual(read(text), is));

test("offsets point at what was written", () => {
  const text = "a: 'b'\nc: |+\n  d\ne: [f, {g: h}]\ni: !!binary aGk=\nj:\n";
  const parsed = parseYaml(text);
  const [root] = parsed.ok ? parsed.documents : [];
  const values = root?.kind === "mapping" ? root.pairs.map(({ value }) => value) : [];
  assert.deepEqual(
    values.map(({ offset }) => text.slice(offset, offset + 3)),
    ["'b'", "|+\n", "[f,", "aGk", "j:\n"],
  );
  assert.deepEqual(
    values.map(({ tag }) => tag),
    [undefined, undefined, undefined, "!!binary", undefined],
  );
  const block = values[1];
  assert.equal(block?.kind === "scalar" && text.slice(block.linesOffset).startsWith("  d\n"), true);
});

test("null is what YAML 1.2 calls so, unquoted", () => {
  const parsed = parseYaml("[~, null, Null, NULL, '', 'null', nul, no]");
  const [list] = parsed.ok ? parsed.documents : [];
  assert.deepEqual(list?.kind === "list" && list.items.map(isNull), [
    true,
    true,
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("a fault has its offset", () => {
  const parsed = parseYaml("a: b\nc: %d\n");
  assert.equal(!parsed.ok && parsed.fault.offset, 8);
});
