// What a seed of a soak gives: the same row of rounds, whatever comes of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { faults } from "./faults.ts";
import { Random } from "./random.ts";
import { chooseRound } from "./soak.ts";

/** `drawn`: how often each round asks chance while it is carried out, which depends on what is possible then. */
function rowOf(seed: number, drawn: (turn: number) => number): readonly string[] {
  const seeded = new Random(seed);
  return Array.from({ length: 300 }, (_, turn) => {
    const random = seeded.ofTurn(turn);
    const { faults: chosen, ...rest } = chooseRound(random);
    for (let count = drawn(turn); count > 0; count--) random.next();
    return JSON.stringify({ ...rest, faults: chosen.map(({ name }) => name) });
  });
}

test("a seed gives the same row of rounds, whatever is possible in each; another seed gives another", () => {
  const row = rowOf(4711, () => 0);
  assert.deepEqual(
    rowOf(4711, (turn) => turn % 7),
    row,
  );
  assert.notDeepEqual(
    rowOf(4712, () => 0),
    row,
  );
  assert.ok(new Set(row).size > 290, "rounds differ");
});

test("every fault has its turn, some with another of a different sort", () => {
  const seeded = new Random(1);
  const rounds = Array.from({ length: 1_000 }, (_, turn) => chooseRound(seeded.ofTurn(turn)));
  const met = new Set(rounds.flatMap((round) => round.faults.map(({ name }) => name)));
  assert.deepEqual(
    faults.filter(({ name }) => !met.has(name)),
    [],
  );
  const pairs = rounds.filter((round) => round.faults.length === 2);
  assert.ok(pairs.length > 200 && pairs.length < 400, `${pairs.length} of 1000`);
  for (const { faults: pair } of pairs) assert.notEqual(pair[0]?.sort, pair[1]?.sort);
});
