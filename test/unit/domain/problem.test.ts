// How a chain of errors becomes one sentence.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem, explainError, maxExplainedChars, maxProblemChars } from "../../../agent/domain/problem.ts";

const cases: readonly { name: string; error: unknown; said: string }[] = [
  {
    name: "a path that was named is not named again by what reading it says",
    error: new Problem("x", 'Cannot read file "/a/b"', {
      cause: new Error("ENOENT: no such file or directory, open '/a/b'"),
    }),
    said: 'Cannot read file "/a/b": ENOENT: no such file or directory',
  },
  {
    name: "nor by what connecting to it says",
    error: new Problem("x", "Cannot connect to systemd at /run/s", { cause: new Error("connect ECONNREFUSED /run/s") }),
    said: "Cannot connect to systemd at /run/s: connect ECONNREFUSED",
  },
  {
    name: "a path that was not named stays",
    error: new Problem("x", "Cannot start", { cause: new Error("EACCES: permission denied, open '/a/b'") }),
    said: "Cannot start: EACCES: permission denied, open '/a/b'",
  },
  {
    name: "an address of the network stays",
    error: new Problem("x", "Cannot reach etcd", { cause: new Error("connect ECONNREFUSED 127.0.0.1:2379") }),
    said: "Cannot reach etcd: connect ECONNREFUSED 127.0.0.1:2379",
  },
  {
    name: "a path at the end of other words stays",
    error: new Problem("x", "Cannot use /t", { cause: new Error("Cannot read /t") }),
    said: "Cannot use /t: Cannot read /t",
  },
];
for (const { name, error, said } of cases) test(name, () => assert.equal(explainError(error), said));

test("what a problem says has an end, however much it quotes", () => {
  const long = `Cannot take "${"é".repeat(50_000)}"`;
  const problem = new Problem("x", long, { hint: long, cause: new Error(long) });
  assert.equal(problem.message.length, maxProblemChars);
  assert.equal(problem.hint?.length, maxProblemChars);
  assert.ok(problem.message.startsWith('Cannot take "éé') && problem.message.endsWith("é…"));
  assert.equal(explainError(problem).length, maxExplainedChars);
  assert.equal(
    explainError(new AggregateError([problem, problem, problem, problem, problem], "")).length,
    maxExplainedChars,
  );
  const halves = new Problem("x", `${"a".repeat(maxProblemChars - 2)}\u{1f600}\u{1f600}`);
  assert.equal(halves.message, `${"a".repeat(maxProblemChars - 2)}…`);
});
