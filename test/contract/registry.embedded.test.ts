// The embedded registry keeps the contract, without a disk and with one.
import { createEmbeddedRegistry } from "../../agent/adapters/registry/embedded.ts";
import type { Disk } from "../../agent/ports/disk.ts";
import { FakeClock } from "../fakes/fake-clock.ts";
import { MemoryDisk } from "../fakes/memory-disk.ts";
import { type RegistryHarness, registryContract } from "./registry.ts";

async function start(disk?: Disk): Promise<RegistryHarness> {
  const clock = new FakeClock();
  const store = await createEmbeddedRegistry({ clock, ...(disk === undefined ? {} : { disk }) });
  return {
    connect: () => store.connect(),
    compact: async () => store.compact(),
    pass: (ms) => clock.advance(ms),
    manyKeys: disk === undefined ? 100_000 : 3_000,
    leaseMs: 1_000,
    close: () => store.close(),
  };
}

registryContract("embedded, in memory", () => start());
registryContract("embedded, on disk", () => start(new MemoryDisk()));
