import assert from "node:assert/strict";
import { mkdir, mkdtemp, open, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { atSpot, ownFolder, replaceFile } from "../../../../agent/adapters/setup/places.ts";

const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };

/** A root, and what is told to the disk for good from now on, in order. */
async function watched(t: TestContext): Promise<{ readonly root: string; readonly synced: string[] }> {
  const root = await mkdtemp(join(tmpdir(), "flotilla-places-"));
  t.after(() => rm(root, { recursive: true }));
  const handle = await open(root);
  const handles = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  const synced: string[] = [];
  t.mock.method(handles, "sync", async function (this: typeof handle): Promise<void> {
    synced.push((await readlink(`/proc/self/fd/${this.fd}`)).replace(root, "") || "/");
    await this.datasync();
  });
  return { root, synced };
}

test("a file's new folders are on the disk as well: each is confirmed in the one above it", async (t) => {
  const { root, synced } = await watched(t);
  await mkdir(join(root, "etc"));
  await atSpot("/etc/a/b/file", { root, create: true, followLast: false }, (spot) =>
    replaceFile(spot, { content: Buffer.from("text"), mode: 0o644, ...own }),
  );
  assert.deepEqual(
    synced.filter((path) => !path.includes(".flotilla-")),
    ["/etc", "/etc/a", "/etc/a/b"],
  );
});

test("so is a folder with an owner of its own", async (t) => {
  const { root, synced } = await watched(t);
  await mkdir(join(root, "home"));
  for (const expected of [["/home"], []]) {
    synced.length = 0;
    await atSpot("/home/.ssh", { root, create: false, followLast: false }, (spot) =>
      ownFolder(spot, { ...own, mode: 0o700 }),
    );
    assert.deepEqual(synced, expected);
  }
});
