// Puts together this machine's first boot for the commands; loaded for nobody else.
import { checkSchedule } from "./adapters/cron.ts";
import { createDisk } from "./adapters/disk.ts";
import { findAddresses } from "./adapters/host-addresses.ts";
import { createLog, createStderrLog } from "./adapters/log.ts";
import { hasCloudInit, isRoot, ownBootId, ownPid, readUserDataFile } from "./adapters/own-process.ts";
import { createRunLock } from "./adapters/run-lock.ts";
import { createSettingsFiles } from "./adapters/settings-files.ts";
import { createHostSetup } from "./adapters/setup/setup.ts";
import { createUserDataSources } from "./adapters/sources/sources.ts";
import { type StatusWorld, bootStatus, waitForBoot } from "./bootstrap/boot-status.ts";
import type { BootWorld } from "./bootstrap/boot-world.ts";
import { bootstrapOnce } from "./bootstrap/bootstrap.ts";
import { dryRun } from "./bootstrap/dry-run.ts";
import type { Tools } from "./cli/tools.ts";
import { Problem } from "./domain/problem.ts";
import type { Disk } from "./ports/disk.ts";
import type { FirstBoot } from "./ports/first-boot.ts";
import type { Log } from "./ports/log.ts";

const stateDirectory = "/var/lib/flotilla";
const runDirectory = "/run/flotilla";
const lockPath = `${runDirectory}/bootstrap.lock`;

interface Parts extends Pick<Tools, "clock" | "env" | "version"> {
  /** Path of this program, for units that run it. */
  readonly flotilla: string;
}

export function createFirstBoot({ clock, env, version, flotilla }: Parts): FirstBoot {
  const log = createStderrLog({ logLevel: levelOf(env["FLOTILLA_LOG_LEVEL"]), logFormat: "text" });
  // What is only looked at says what is wrong by itself
  const quiet: Log = createLog({ level: "error", format: "text", write: () => undefined });
  const disk = createDisk(stateDirectory);
  const lock = createRunLock(lockPath, { clock });

  const worldWith = async (own: Log): Promise<BootWorld> => ({
    version,
    pid: ownPid,
    bootId: await ownBootId(),
    disk,
    lock,
    sources: createUserDataSources({ clock, log: own }),
    findAddresses: ({ metadata, source }) => findAddresses({ metadata, source, environment: env }),
    openSetup: (instanceId) => createHostSetup({ clock, log: own, instanceId, flotilla }),
    settingsFiles: createSettingsFiles(),
    checkSchedule,
    hasCloudInit: () => hasCloudInit(),
    clock,
    log: own,
  });

  /** One connection to systemd for all that one question takes. */
  const asking = async <T>(ask: (world: StatusWorld) => Promise<T>): Promise<T> => {
    const setup = createHostSetup({ clock, log: quiet, flotilla });
    try {
      return await ask({ bootId: await ownBootId(), disk, runDisk: createDisk(runDirectory), lock, setup, clock });
    } finally {
      await setup.close();
    }
  };

  return {
    async run(request, signal) {
      if (!isRoot()) {
        throw new Problem("bootstrap-root", "Cannot set up this machine without the rights of root", {
          hint: "sudo flotilla bootstrap; --dry-run and --validate need no root",
        });
      }
      return bootstrapOnce(await worldWith(log), request, signal);
    },
    dryRun: async (request, watching) =>
      dryRun({ ...(await worldWith(quiet)), disk: asFarAsSeen(disk) }, request, watching),
    status: () => asking(bootStatus),
    wait: (timeoutMs, watching) => asking((world) => waitForBoot(world, { timeoutMs, ...watching })),
    readFile: readUserDataFile,
  };
}

/** What only root may read is as good as not there for a plan: more of it is shown as due then. */
function asFarAsSeen(disk: Disk): Disk {
  return { ...disk, read: (name) => (isRoot() ? disk.read(name) : disk.read(name).catch(() => undefined)) };
}

function levelOf(text: string | undefined): "debug" | "info" | "warn" | "error" {
  return text === "debug" || text === "warn" || text === "error" ? text : "info";
}
