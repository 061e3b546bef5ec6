// Power is lost at any moment of a write, with whatever may then be on the disk: the real readers find the old text or the
// new one, and once a write has resolved the new one.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { createDisk } from "../../../agent/adapters/disk.ts";
import { writeDurably } from "../../../agent/adapters/durable-files.ts";
import { readHead, writeHead } from "../../../agent/adapters/git/record.ts";
import type { CommitId } from "../../../agent/domain/names.ts";
import { Recorder, withDisk } from "../../fakes/power-loss.ts";

/** One write, and what it makes of what a reader reads. */
interface Write {
  readonly carryOut: (recorder: Recorder) => Promise<void>;
  readonly after: string | undefined;
}

interface File {
  readonly name: string;
  readonly writes: readonly Write[];
  readonly read: (root: string) => Promise<string | undefined>;
}

const state = (root: string): string => join(root, "var/lib/flotilla");
const put = (name: string, text: string): Write => ({
  carryOut: ({ root, calls }) => createDisk(state(root), calls).write(name, text),
  after: text,
});
const away = (name: string): Write => ({
  carryOut: ({ root, calls }) => createDisk(state(root), calls).remove(name),
  after: undefined,
});
const headOf = (digit: string): Write => {
  const record = { commit: digit.repeat(40) as CommitId, repository: "/srv/units", branch: "main" };
  return {
    carryOut: ({ root, calls }) => writeHead(join(state(root), "store.head"), record, calls),
    after: record.commit,
  };
};

const files: readonly File[] = [
  {
    name: "a file of the agent's own",
    writes: [
      put("manifest.json", '{"epoch":1}'),
      put("manifest.json", '{"epoch":2,"longer":true}'),
      put("manifest.json", ""),
    ],
    read: (root) => createDisk(state(root)).read("manifest.json"),
  },
  {
    name: "a file in a folder of its own",
    writes: [put("boot/record", "one"), put("boot/record", "two")],
    read: (root) => createDisk(state(root)).read("boot/record"),
  },
  {
    name: "a file that is removed, and comes again",
    writes: [put("registry.db", "first"), away("registry.db"), put("registry.db", "second")],
    read: (root) => createDisk(state(root)).read("registry.db"),
  },
  {
    name: "the last good head of the repository",
    writes: [headOf("a"), headOf("b"), headOf("c")],
    read: async (root) => (await readHead(join(state(root), "store.head")))?.commit,
  },
];

describe("power loss", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "flotilla-recorded-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  for (const { name, writes, read } of files)
    test(name, async (t) => {
      const recorder = new Recorder(root);
      let before: string | undefined;
      let disks = 0;
      for (const { carryOut, after } of writes) {
        const from = recorder.moment;
        await carryOut(recorder);
        for (let moment = from; moment <= recorder.moment; moment++) {
          const allowed = moment === recorder.moment ? [after] : moment === from ? [before] : [before, after];
          for (const disk of recorder.disks(moment)) {
            disks++;
            const found = await withDisk(disk, read);
            assert.ok(
              allowed.includes(found),
              `${String(found)} after change ${moment} instead of ${allowed.join(" or ")}`,
            );
          }
        }
        before = after;
      }
      t.diagnostic(`${disks} disks`);
      assert.ok(disks > 50, `${disks} disks`);
    });

  test("a write without fsync is found out", async () => {
    const recorder = new Recorder(root);
    const lazy: typeof recorder.calls = {
      ...recorder.calls,
      open: (async (path: string, flags: string) => ({
        ...(await recorder.calls.open(path, flags)),
        sync: () => Promise.resolve(),
      })) as unknown as typeof recorder.calls.open,
    };
    await writeDurably(join(root, "a"), { temporary: join(root, "a.new"), data: "whole" }, lazy);
    const found = new Set<string>();
    for (const disk of recorder.disks(recorder.moment)) found.add(disk.get("a")?.toString() ?? "nothing");
    assert.ok(
      ["nothing", "", "wh", "whole", "\0\0\0\0\0"].every((each) => found.has(each)),
      [...found].join(),
    );
  });
});
