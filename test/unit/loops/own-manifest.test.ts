import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Manifest } from "../../../agent/domain/placement.ts";
import { OwnManifest } from "../../../agent/loops/own-manifest.ts";
import { Troubles } from "../../../agent/loops/troubles.ts";
import { encodeManifest } from "../../../agent/text/values.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { idOf } from "./house.ts";

const manifest = (generation: number): Manifest => ({ machine: idOf("a"), epoch: 1, generation, units: [] });
const text = (generation: number): string => encodeManifest(manifest(generation));

/** Its own manifest at generation 2 is being written, and what is done meanwhile ends before the disk does. */
async function whileWriting(meanwhile: (own: OwnManifest) => void) {
  const disk = new MemoryDisk();
  const troubles = new Troubles();
  const own = new OwnManifest({ me: idOf("a"), disk, log: new MemoryLog(), troubles });
  own.offer(text(1));
  await own.accept();
  let release = (): void => undefined;
  const begun = new Promise<void>((begin) => {
    disk.gate = new Promise((open) => (release = open));
    const write = disk.write.bind(disk);
    disk.write = (name, written) => {
      begin();
      return write(name, written);
    };
  });
  own.offer(text(2));
  const accepting = own.accept();
  await begun;
  meanwhile(own);
  release();
  await accepting;
  return { own, disk, troubles };
}

describe("a manifest that is offered while an older one is being written", () => {
  test("is not taken for the one that was written, and is accepted next", async () => {
    const { own, disk } = await whileWriting((each) => {
      assert.deepEqual([each.current, each.unkept], [manifest(1), manifest(2)], "nobody acts on it before it is kept");
      assert.equal(each.offer(text(3)), true, "there is something to do");
    });
    assert.deepEqual([own.current, own.unkept], [manifest(2), undefined]);
    assert.equal(disk.files.get("manifest.json"), text(2));
    assert.equal(own.isHeard, false, "the registry has said more since");
    await own.accept();
    assert.deepEqual(own.current, manifest(3));
    assert.equal(disk.files.get("manifest.json"), text(3));
    assert.equal(own.isHeard, true);
  });

  test("is refused where it is older than what has been written by then", async () => {
    const { own, disk, troubles } = await whileWriting((each) => each.offer(text(1)));
    await own.accept();
    assert.deepEqual(own.current, manifest(2));
    assert.equal(disk.files.get("manifest.json"), text(2));
    assert.equal(own.isHeard, false);
    assert.deepEqual(
      troubles.list().map(({ code }) => code),
      ["manifest-stale"],
    );
  });
});
