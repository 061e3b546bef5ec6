// A registry that cannot be opened: the agent has one that cannot be reached, until that has been put right.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openOrStandIn } from "../../../agent/adapters/registry/stand-in.ts";
import { createEmbeddedRegistry } from "../../../agent/adapters/registry/embedded.ts";
import { damagedStoreFile, storeFile } from "../../../agent/adapters/registry/store-file.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";

test("a damaged registry cannot be reached, and is used as soon as its file is in order", async () => {
  const [disk, log, clock] = [new MemoryDisk(), new MemoryLog(), new FakeClock()];
  const open = async () => (await createEmbeddedRegistry({ clock, disk })).connect({ closesStore: true });
  const message = "Cannot use the embedded registry";
  const first = await openOrStandIn({ open, message, log });
  await first.write({ guards: [], writes: [{ kind: "put", key: "a", value: "1" }] });
  await first.close();
  const good = disk.files.get(storeFile) ?? "";

  disk.files.set(storeFile, good.slice(0, -5));
  const registry = await openOrStandIn({ open, message, log });
  const isUnreachable = (error: unknown): boolean =>
    error instanceof Problem && error.code === "registry-unreachable" && (error.hint ?? "").includes(damagedStoreFile);
  await assert.rejects(registry.get("a"), isUnreachable);
  await assert.rejects(registry.grantLease(1_000), isUnreachable);
  const watching = registry.watch("", 1, new AbortController().signal)[Symbol.asyncIterator]();
  await assert.rejects(Promise.resolve(watching.next()), isUnreachable);
  assert.deepEqual(log.events("error"), ["registry.unusable"]);

  disk.files.set(storeFile, good);
  disk.files.delete(damagedStoreFile);
  assert.equal((await registry.get("a")).entry?.value, "1");
  await registry.close();
  await assert.rejects(registry.get("a"), Problem);
});
