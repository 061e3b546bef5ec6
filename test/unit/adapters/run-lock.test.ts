import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { createRunLock } from "../../../agent/adapters/run-lock.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";

describe("the lock of a first boot", () => {
  let folder: string;
  let path: string;
  const clock = new FakeClock();
  before(async () => (folder = await mkdtemp(join(tmpdir(), "flotilla-lock-"))));
  beforeEach(async () => {
    path = join(folder, "run", "lock");
    await rm(join(folder, "run"), { recursive: true, force: true });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("is held by one, and free when given back", async () => {
    const lock = createRunLock(path, { clock });
    assert.equal(await lock.holder(), undefined);
    const release = await lock.take();
    assert.equal((await lock.holder())?.pid, process.pid);
    await assert.rejects(createRunLock(path, { clock }).take(), {
      code: "bootstrap-running",
      message: new RegExp(String(process.pid)),
    });
    await release();
    assert.equal(await lock.holder(), undefined);
    await (
      await lock.take()
    )();
    assert.deepEqual(await readdir(join(folder, "run")), []);
  });

  test("says what other work is going on, where it is not a boot", async () => {
    const words = { code: "discovery-running", work: "flotilla discovery join", hint: "Wait for it" };
    const lock = createRunLock(path, { clock, words });
    const release = await lock.take();
    await assert.rejects(lock.take(), {
      ...{ code: "discovery-running", hint: "Wait for it" },
      message: `Cannot begin: another flotilla discovery join is at work (process ${process.pid})`,
    });
    await release();
  });

  test("what a dead process left is taken over, also where its number lives on", async () => {
    const child = spawn("sleep", ["600"]);
    const pid = child.pid ?? 0;
    const lock = createRunLock(path, { clock });
    const release = await lock.take();
    const own = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    await release();
    const { bootId } = own;
    const leftovers = [
      { pid, sinceMs: 1, bootId, began: "1" }, // another process has the number by now
      { ...own, bootId: "another" }, // of an earlier boot
      { pid: 4_194_304, sinceMs: 1, bootId, began: "12" }, // there is none
    ];
    for (const text of [...leftovers.map((each) => JSON.stringify(each)), "", "{", "null"]) {
      await writeFile(path, text);
      assert.equal(await lock.holder(), undefined, text);
      await (
        await lock.take()
      )();
    }
    child.kill();
    await once(child, "exit");
    assert.deepEqual(await readdir(join(folder, "run")), []);
  });

  test("of many that come at once one has it", async () => {
    const took = await Promise.allSettled(Array.from({ length: 8 }, () => createRunLock(path, { clock }).take()));
    assert.equal(took.filter(({ status }) => status === "fulfilled").length, 1);
  });
});
