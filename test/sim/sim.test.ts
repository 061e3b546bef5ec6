// Several hundred simulated clusters, each with faults of its own; and that the simulator tells what is broken from what is not.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { simulate } from "./simulate.ts";

/** `npm run sim` runs any others. */
const first = 1;
const seeds = 300;
const perTest = 25;

describe("simulated clusters", { concurrency: 1 }, () => {
  for (let from = first; from < first + seeds; from += perTest) {
    test(`seeds ${from} to ${from + perTest - 1}`, async () => {
      for (let seed = from; seed < from + perTest; seed++) {
        const { broken, trace } = await simulate(seed);
        assert.equal(
          broken,
          undefined,
          `seed ${seed} (npm run sim -- --from ${seed} --seeds 1 --trace): ${JSON.stringify(broken)}\n${trace.slice(-60).join("\n")}`,
        );
      }
    });
  }

  test("a seed is all that a simulation depends on", async () => {
    const [one, other] = [await simulate(7), await simulate(7)];
    assert.deepEqual(one.trace, other.trace);
  });
});
