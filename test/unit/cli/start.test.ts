// What a command loads before it does anything: a listing shall answer before one notices, so nothing heavy is among it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";

const top = join(import.meta.dirname, "../../..");

/** Everything that a file imports before it runs, itself or through others; what is imported by call is not. */
function loadedBy(path: string, all = new Set<string>()): ReadonlySet<string> {
  if (all.has(path)) return all;
  all.add(path);
  const text = readFileSync(path, "utf8");
  for (const [, clause = "", specifier = ""] of text.matchAll(/^import\s+(?:([^;"=()]*?)\s+from\s+)?"([^"]+)";/gm)) {
    if (/^type\b/.test(clause)) continue;
    if (!specifier.startsWith(".")) all.add(specifier);
    else if (specifier.endsWith(".ts")) loadedBy(resolve(dirname(path), specifier), all);
  }
  return all;
}

test("the parser of command lines is the only library that every command loads", () => {
  const loaded = [...loadedBy(join(top, "agent/main.ts"))];
  const outside = loaded.filter((each) => !each.startsWith("/") && !each.startsWith("node:"));
  assert.deepEqual(outside, ["commander"]);
  assert.ok(loaded.length > 20, "the imports were found");
});

test("nothing that only an agent needs is loaded by every command", () => {
  const rooms = [...loadedBy(join(top, "agent/main.ts"))]
    .filter((each) => each.startsWith("/"))
    .map((each) => relative(join(top, "agent"), each).split("/")[0]);
  for (const room of [
    "loops",
    "api",
    "schedule",
    "reconcile",
    "settings",
    "desired",
    "firstboot",
    "userdata",
    "discovery",
  ])
    assert.ok(!rooms.includes(room), room);
});
