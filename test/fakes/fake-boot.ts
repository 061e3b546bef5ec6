// A whole first boot in memory, for tests: a machine, a disk, a source that has a document, and what is said on the way.
import { sourceNames } from "../../agent/ports/user-data-sources.ts";
import { checkSchedule } from "../../agent/adapters/cron.ts";
import type { BootWorld } from "../../agent/bootstrap/boot-world.ts";
import { bootstrapOnce } from "../../agent/bootstrap/bootstrap.ts";
import { dryRun } from "../../agent/bootstrap/dry-run.ts";
import type { BootResult, DryRun } from "../../agent/domain/boot-result.ts";
import { Problem, valid } from "../../agent/domain/problem.ts";
import { addressNames, type Addresses } from "../../agent/domain/user-data.ts";
import type { BootRequest } from "../../agent/ports/first-boot.ts";
import type { FoundUserData } from "../../agent/ports/user-data-sources.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeSetup } from "./fake-setup.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { MemoryLog } from "./memory-log.ts";

export const anyBoot: BootRequest = { sources: { timeoutMs: 1000 }, mode: "alone" };

export class FakeBoot {
  readonly setup = new FakeSetup();
  readonly disk = new MemoryDisk();
  readonly log = new MemoryLog();
  readonly clock = new FakeClock();
  /** How long each search was allowed to take. */
  readonly searches: number[] = [];
  /** What sources say that have nothing. */
  silence: "absent" | "given-up" = "given-up";
  /** Undefined: no source answers. */
  document: string | undefined;
  metadata: Partial<FoundUserData["metadata"]> = { instanceId: "i-1" };
  addresses: Addresses["values"] = { private_ipv4: "10.0.0.7" };
  cloudInit = false;
  source: FoundUserData["source"] = "nocloud";
  holder: number | undefined;
  bootId = "b".repeat(32);

  constructor(document?: string) {
    this.document = document;
  }

  /** Another boot of the same machine. */
  reboot(): void {
    this.bootId = this.bootId.replace(/./g, (letter) => (letter === "b" ? "c" : "b"));
    this.setup.ownFacts = { ...this.setup.ownFacts, bootId: this.bootId };
    this.setup.units.clear();
    this.setup.applied.length = 0;
  }

  get world(): BootWorld {
    return {
      version: "1.2.3",
      pid: 4711,
      bootId: this.bootId,
      disk: this.disk,
      lock: {
        take: async () => {
          if (this.holder !== undefined) throw new Problem("bootstrap-running", "Cannot begin");
          this.holder = 4711;
          return async () => void (this.holder = undefined);
        },
        holder: async () => (this.holder === undefined ? undefined : { pid: this.holder, sinceMs: 0 }),
      },
      sources: {
        search: async ({ timeoutMs }) => {
          this.searches.push(timeoutMs);
          return {
            found: this.#found(),
            probes: sourceNames.slice(2, 4).map((source) => ({
              source,
              outcome: this.document === undefined ? this.silence : ("found" as const),
              why: "as the test says",
              tries: 1,
              tookMs: 5,
            })),
          };
        },
      },
      findAddresses: async () => ({
        values: this.addresses,
        looked: Object.fromEntries(addressNames.map((name) => [name, ["the test"]])) as unknown as Addresses["looked"],
      }),
      openSetup: () => this.setup,
      settingsFiles: {
        find: async () => valid({ conf: undefined, fleetConf: undefined }),
        secrets: async (paths) =>
          new Map(paths.map((path) => [path, valid({ file: path, text: "secret", mode: 0o600 })])),
      },
      checkSchedule,
      hasCloudInit: async () => this.cloudInit,
      clock: this.clock,
      log: this.log,
    };
  }

  run(signal: AbortSignal = new AbortController().signal, request: BootRequest = anyBoot): Promise<BootResult> {
    return bootstrapOnce(this.world, request, signal);
  }

  dryRun(request: BootRequest = anyBoot): Promise<DryRun> {
    return dryRun(this.world, request, { signal: new AbortController().signal, progress: () => undefined });
  }

  /** All that was said and kept but for what keeps the user-data itself: no secret may be in it. */
  said(): string {
    const files = [...this.disk.files].filter(([name]) => name !== "bootstrap/user-data.json");
    return JSON.stringify([files, this.log.lines, this.log.lines.map(({ error }) => String(error))]);
  }

  #found(): FoundUserData | undefined {
    if (this.document === undefined) return undefined;
    const metadata = { instanceId: undefined, hostname: undefined, sshKeys: [], addresses: {}, ...this.metadata };
    return { source: this.source, where: "/seed", userData: new TextEncoder().encode(this.document), metadata };
  }
}
