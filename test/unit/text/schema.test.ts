// What compileSchema says of wrong values: the path, the value, and what would have been right.
import assert from "node:assert/strict";
import { test } from "node:test";
import { describeProblem, toRecord } from "../../../agent/domain/problem.ts";
import { compileSchema, maxSchemaProblems } from "../../../agent/text/schema.ts";

const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  required: ["id"],
  additionalProperties: false,
  properties: {
    id: { type: "string", pattern: "^[0-9a-f]{4}$", description: "Four lowercase hex digits." },
    code: { type: "string", pattern: "^x" },
    kind: { enum: ["start", "stop"] },
    count: { type: "integer", minimum: 1 },
    token: { type: "string", minLength: 8, writeOnly: true },
    nothing: { type: ["array", "null"] },
    metadata: { type: "object", propertyNames: { maxLength: 3 }, additionalProperties: { type: "string" } },
    units: { type: "array", items: { type: "object", required: ["name"], properties: { name: { type: "string" } } } },
  },
};

const cases: readonly { name: string; value: unknown; expect: readonly string[] }[] = [
  { name: "a good value", value: { id: "00ff", units: [{ name: "a" }] }, expect: [] },
  { name: "a missing key", value: {}, expect: ['Cannot find key "id" (It is required)'] },
  {
    name: "a missing key deep down",
    value: { id: "0000", units: [{ name: "a" }, {}] },
    expect: ['Cannot find key "units[1].name" (It is required)'],
  },
  { name: "not an object", value: 5, expect: ['Cannot take "value" = 5 (It must be an object)'] },
  {
    name: "a pattern with a description",
    value: { id: "zz" },
    expect: ['Cannot take "id" = "zz" (It must be: Four lowercase hex digits)'],
  },
  {
    name: "a pattern without one",
    value: { id: "0000", code: "y" },
    expect: ['Cannot take "code" = "y" (It must match ^x)'],
  },
  {
    name: "one of a list",
    value: { id: "0000", kind: "strat" },
    expect: ['Cannot take "kind" = "strat" (It must be one of: start, stop)'],
  },
  {
    name: "a number out of range",
    value: { id: "0000", count: 0 },
    expect: ['Cannot take "count" = 0 (It must be >= 1)'],
  },
  {
    name: "several types",
    value: { id: "0000", nothing: "x" },
    expect: ['Cannot take "nothing" = "x" (It must be an array or null)'],
  },
  {
    name: "an unknown key",
    value: { id: "0000", knid: 1 },
    expect: [
      'Cannot take unknown key "knid" (Known keys here: code, count, id, kind, metadata, nothing, token, units)',
    ],
  },
  {
    name: "a key's name",
    value: { id: "0000", metadata: { region: "eu" } },
    expect: ['Cannot take key name "metadata.region" (It must NOT have more than 3 characters)'],
  },
  {
    name: "a key with odd characters",
    value: { id: "0000", metadata: { "a/~": 1 } },
    expect: ['Cannot take "metadata.a/~" = 1 (It must be a string)'],
  },
  {
    name: "everything at once",
    value: { id: 1, count: 1.5 },
    expect: ['Cannot take "id" = 1 (It must be a string)', 'Cannot take "count" = 1.5 (It must be an integer)'],
  },
];

for (const { name, value, expect } of cases) test(name, () => assert.deepEqual(problemsOf(schema, value), expect));

test("a secret is named, never shown", () => {
  const [line] = problemsOf(schema, { id: "0000", token: "hunter2" });
  assert.equal(line, 'Cannot take "token" (It must NOT have fewer than 8 characters)');
});

test("what an object holds is not shown", () => {
  const value = { id: { token: "hunter2" }, count: ["hunter2"] };
  assert.deepEqual(problemsOf(schema, value), [
    'Cannot take "id" = {…} (It must be a string)',
    'Cannot take "count" = […] (It must be an integer)',
  ]);
});

test("a long value is cut", () => {
  const [line] = problemsOf(schema, { id: "z".repeat(10_000) });
  assert.ok(line !== undefined && line.length < 200, line);
});

test("the list of problems is bounded", () => {
  const value = { id: "0000", units: Array.from({ length: 500 }, () => ({})) };
  assert.equal(problemsOf(schema, value).length, maxSchemaProblems);
});

test("draft 07 schemas are taken, and schemas may share an $id", () => {
  const old = { $schema: "http://json-schema.org/draft-07/schema#", $id: "same", type: "string" };
  assert.deepEqual(problemsOf(old, "x"), []);
  assert.deepEqual(problemsOf({ ...old, type: "number" }, "x"), ['Cannot take "value" = "x" (It must be a number)']);
});

test("a wrong schema throws", () => {
  assert.throws(() => compileSchema({ type: "strnig" })(1));
});

test("the code is the caller's", () => {
  const result = compileSchema(schema, { code: "settings-shape" })({});
  assert.ok(!result.ok);
  assert.deepEqual(
    result.problems.map((problem) => problem.code),
    ["settings-shape"],
  );
});

function problemsOf(shape: object, value: unknown): readonly string[] {
  const result = compileSchema(shape)(value);
  return result.ok ? [] : result.problems.map((problem) => describeProblem(toRecord(problem)));
}
