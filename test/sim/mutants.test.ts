// That the table of mutants is in step with the code: each can be put in, and changes something.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { mutated } from "./mutate.ts";
import { mutants } from "./mutants.ts";

const agent = fileURLToPath(new URL("../../agent", import.meta.url));

describe("mutants", () => {
  for (const mutant of mutants) {
    test(mutant.name, () => {
      const text = readFileSync(join(agent, mutant.file), "utf8");
      assert.notEqual(mutated(text, mutant), text);
    });
  }

  test("have a name each", () => {
    const names = mutants.map(({ name }) => name);
    assert.deepEqual([...new Set(names)], names);
  });

  test("cannot be put in where their text is missing, or is there twice", () => {
    const mutant = { name: "any", breaks: "Nothing", file: "main.ts", from: "a", to: "b" };
    assert.throws(() => mutated("c", mutant), /Mutant "any" does not apply: its text occurs 0 times in agent\/main.ts/);
    assert.throws(() => mutated("a a", mutant), /its text occurs 2 times/);
  });
});
