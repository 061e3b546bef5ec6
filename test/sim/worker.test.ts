// A simulation that does not come back is named by its seed, and the next ones are simulated.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "./worker.ts";

const script = `process.on("message", (seed) => {
  if (seed === 2) process.exit(7);
  if (seed === 3) for (;;);
  process.send({ seed, broken: undefined, checks: 1, ms: 1 });
});`;

test("a seed whose process ends or hangs is broken, and the next is simulated in another", async () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-worker-"));
  const main = join(folder, "main.mjs");
  writeFileSync(main, script);
  const worker = new Worker(main, { longestMs: 2_000 });
  try {
    const checks: (string | undefined)[] = [];
    for (let seed = 1; seed <= 5; seed++) {
      const report = await worker.simulate(seed);
      assert.equal(report.seed, seed);
      checks.push(report.broken?.check);
    }
    assert.deepEqual(checks, [undefined, "process/ended", "process/hangs", undefined, undefined]);
  } finally {
    worker.end();
    rmSync(folder, { recursive: true });
  }
});
