// One value, one text.
import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalJson } from "../../../agent/text/canonical-json.ts";
import { fc } from "../../property.ts";

test("keys come in order, at every depth, and undefined ones are left out", () => {
  assert.equal(
    canonicalJson({ b: 1, a: { d: [{ z: null, y: true }], c: undefined } }),
    '{"a":{"d":[{"y":true,"z":null}]},"b":1}',
  );
});

test("it reads back as what was written, whatever the order of keys", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      assert.equal(canonicalJson(backwards(value)), text);
    }),
  );
});

for (const value of [NaN, Infinity, 1n, () => 1, [undefined], Symbol("x")]) {
  test(`${typeof value} ${String(value)} is refused`, () => assert.throws(() => canonicalJson(value), TypeError));
}

test("a cycle is refused", () => {
  const loop: { self?: unknown } = {};
  loop.self = loop;
  assert.throws(() => canonicalJson(loop), TypeError);
});

function backwards(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(backwards);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, backwards(member)]),
  );
}
