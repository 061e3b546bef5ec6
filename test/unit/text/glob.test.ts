// Glob patterns: fleet's cases F-198 and F-199, the semantics of 4.5, and the bound on time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileGlob, maxGlobLength } from "../../../agent/text/glob.ts";
import { fc, tries } from "../../property.ts";

function matches(pattern: string, name: string): boolean {
  const glob = compileGlob(pattern);
  assert.ok(glob.ok, `refused: ${pattern}`);
  return glob.value(name);
}

const cases: readonly (readonly [pattern: string, name: string, expected: boolean])[] = [
  ["*", "foo.service", true], // F-198
  ["foo.*", "foo.socket", true],
  ["foo@*.service", "foo@12.service", true],
  ["foo@[abc].service", "foo@a.service", true],
  ["foo@?.service", "foo@1.service", true],
  ["foo.service", "bar.service", false], // F-199
  ["foo@[abc].service", "foo@d.service", false],
  ["foo@*.service", "foo@.service", true],
  ["foo@?.service", "foo@.service", false],
  ["foo", "foo.service", false],
  ["oo.service", "foo.service", false],
  ["[a-c]x", "bx", true],
  ["[a-c]x", "dx", false],
  ["[^a-c]x", "dx", true],
  ["[^a-c]x", "bx", false],
  ["[a^]x", "^x", true],
  ["[\\]]", "]", true],
  ["[\\-a]", "-", true],
  ["\\*", "*", true],
  ["\\*", "x", false],
  ["a\\@b", "a@b", true],
  ["*a*b*", "xxaxxbxx", true],
  ["*a*b*", "xxbxxaxx", false],
  ["*.service", "a.service.socket", false],
  ["**", "anything", true],
  ["", "", true],
  ["*", "", true],
  ["*", "a/b", false],
  ["?", "/", false],
  ["[^a]", "/", false],
  ["a.c", "abc", false],
  ["mnt-my\\x2ddata.mount", "mnt-my\\x2ddata.mount", true], // an escaped name, as systemd writes it, is its own pattern
  ["mnt-my\\x2ddata.mount", "mnt-myx2ddata.mount", true],
  ["mnt-my\\x2ddata.*", "mnt-my\\x2ddata.mount", false],
  ["?", "🐟", true],
  ["[🐟-🐡]", "🐠", true],
];
for (const [pattern, name, expected] of cases) {
  test(`${pattern} ${expected ? "matches" : "does not match"} ${name}`, () =>
    assert.equal(matches(pattern, name), expected));
}

for (const pattern of [
  "[",
  "[]",
  "[^]",
  "[a",
  "[a-",
  "[a-]",
  "[-a]",
  "[z-a]",
  "a\\",
  "[\\",
  "x".repeat(maxGlobLength + 1),
]) {
  test(`${pattern.slice(0, 12)} is refused`, () => {
    const glob = compileGlob(pattern);
    assert.ok(!glob.ok);
    assert.deepEqual(
      glob.problems.map(({ code }) => code),
      ["glob-malformed"],
    );
  });
}

test("a pattern made to backtrack is answered in bounded steps", () => {
  const started = performance.now();
  assert.equal(matches(`${"*a".repeat(500)}b`, "a".repeat(255)), false);
  assert.equal(matches(`${"*a".repeat(127)}*`, "a".repeat(255)), true);
  assert.ok(performance.now() - started < 1_000);
});

/** The obvious way, for comparison: exponential, so only for short texts. */
function slowly(pattern: string, name: string): boolean {
  if (pattern === "") return name === "";
  if (pattern.startsWith("*")) return slowly(pattern.slice(1), name) || (name !== "" && slowly(pattern, name.slice(1)));
  return name !== "" && (pattern.startsWith("?") || pattern[0] === name[0]) && slowly(pattern.slice(1), name.slice(1));
}

test("agrees with the obvious way on every small pattern and name", () => {
  const word = (alphabet: string) =>
    fc.array(fc.constantFrom(...Array.from(alphabet)), { maxLength: 7 }).map((chars) => chars.join(""));
  fc.assert(
    fc.property(word("ab*?"), word("ab"), (pattern, name) => {
      assert.equal(matches(pattern, name), slowly(pattern, name));
    }),
    { numRuns: tries(2_000) },
  );
});
