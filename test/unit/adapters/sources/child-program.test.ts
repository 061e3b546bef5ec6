import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { createRun } from "../../../../agent/adapters/sources/child-program.ts";
import { Problem } from "../../../../agent/domain/problem.ts";
import { quickClock, rootWith } from "../../../fakes/metadata-service.ts";

const run = createRun(quickClock);
const never = new AbortController().signal;

async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    try {
      // a process that nobody has waited for yet is over all the same
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return true;
    } catch {
      return true;
    }
    await quickClock.sleep(200);
  }
  return false;
}

suite("programs of the host", () => {
  test("what it prints, how it ends, and nothing of our environment", async () => {
    const ran = await run(["sh", "-c", 'echo out; echo "lang=$LC_ALL home=$HOME" >&2; exit 3'], {
      signal: never,
      mostBytes: 100,
    });
    assert.deepEqual(ran, { code: 3, stdout: Buffer.from("out\n"), stderr: "lang=C home=" });
  });

  test("no such program", async () => {
    assert.equal(await run(["flotilla-no-such-program"], { signal: never, mostBytes: 100 }), undefined);
  });

  const ends = [
    ["prints without end", "yes", "source-unfit"],
    ["does not end", "sleep 600", "source-later"],
  ] as const;
  for (const [name, script, code] of ends)
    test(`one that ${name}, with all that it started`, async (t) => {
      const file = join(rootWith(t), "pid");
      await assert.rejects(
        run(["sh", "-c", `sleep 600 & echo $! >'${file}'; ${script}`], { signal: never, mostBytes: 1000 }),
        (error) => error instanceof Problem && error.code === code,
      );
      assert.ok(await isGone(Number(readFileSync(file, "utf8"))));
    });

  test("an abort ends it and what it started", async (t) => {
    const file = join(rootWith(t), "pid");
    const stop = new AbortController();
    const reason = new Error("enough");
    const running = run(["sh", "-c", `sleep 600 & echo $! >'${file}.new'; mv '${file}.new' '${file}'; wait`], {
      signal: stop.signal,
      mostBytes: 1000,
    });
    while (!existsSync(file)) await quickClock.sleep(100);
    stop.abort(reason);
    await assert.rejects(running, reason);
    assert.ok(await isGone(Number(readFileSync(file, "utf8"))));
  });
});
