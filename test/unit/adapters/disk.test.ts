// The agent's own files: all or nothing, only for root's eyes, and never outside their folder.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { createDisk } from "../../../agent/adapters/disk.ts";
import type { Disk } from "../../../agent/ports/disk.ts";
import { rejectsWith } from "../../contract/registry.ts";

describe("disk", () => {
  let folder: string;
  let disk: Disk;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "flotilla-disk-"));
    disk = createDisk(join(folder, "state"));
  });
  afterEach(() => {
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true, force: true });
  });

  test("what is written is read, replaced and removed", async () => {
    assert.equal(await disk.read("a"), undefined);
    await disk.write("a", "ünï\n");
    assert.equal(await disk.read("a"), "ünï\n");
    await disk.write("a", "");
    assert.equal(await disk.read("a"), "");
    await disk.remove("a");
    await disk.remove("a");
    assert.equal(await disk.read("a"), undefined);
  });

  test("files are for their owner only, folders are made, and nothing else is left", async () => {
    await disk.write("deep/er/web@1.service", "x");
    const path = join(folder, "state/deep/er/web@1.service");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, "state")).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(join(folder, "state/deep/er")), ["web@1.service"]);
  });

  test("writes of one name come in the order of their calls", async () => {
    await Promise.all(Array.from({ length: 30 }, (_, index) => disk.write("a", String(index).repeat(1_000))));
    assert.equal(await disk.read("a"), "29".repeat(1_000));
  });

  test("what a crash left of an unfinished write is neither read nor in the way", async () => {
    await disk.write("a", "old");
    writeFileSync(join(folder, "state/a.new"), "ha");
    assert.equal(await disk.read("a"), "old");
    await disk.write("a", "new");
    assert.deepEqual([readdirSync(join(folder, "state")), await disk.read("a")], [["a"], "new"]);
  });

  test("a write that cannot be finished leaves the old text, and the next one is not stopped by it", async () => {
    await disk.write("a", "old");
    mkdirSync(join(folder, "state/a.new")); // in the place of the temporary file
    const problem = await rejectsWith("disk-write", disk.write("a", "new"));
    assert.match(problem.message, /^Cannot write file ".*\/state\/a"$/);
    assert.equal(readFileSync(join(folder, "state/a"), "utf8"), "old");
    rmSync(join(folder, "state/a.new"), { recursive: true });
    await disk.write("a", "new");
    assert.equal(await disk.read("a"), "new");
  });

  test("what cannot be read is a problem, not an absence", async () => {
    mkdirSync(join(folder, "state/a"), { recursive: true });
    await rejectsWith("disk-read", disk.read("a"));
    await rejectsWith("disk-write", disk.remove("a"));
    writeFileSync(join(folder, "state/file"), "");
    await rejectsWith("disk-read", disk.read("file/below"));
  });

  for (const name of [
    "",
    ".",
    "..",
    "../a",
    "a/../../b",
    "/etc/passwd",
    "a//b",
    "a/",
    "a b",
    "a\0",
    "ü",
    "x".repeat(256),
  ]) {
    test(`no such name as ${JSON.stringify(name.slice(0, 20))}`, async () => {
      await assert.rejects(disk.read(name), /as a file name/);
      await assert.rejects(disk.write(name, ""), /as a file name/);
      await assert.rejects(disk.remove(name), /as a file name/);
    });
  }
});
