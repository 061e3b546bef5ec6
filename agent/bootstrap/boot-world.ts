// What a first boot is given to work with, and asked for. Put together by wire; for the files of this room and their tests.
import type { FoundUserData, UserDataSources } from "../ports/user-data-sources.ts";
import type { Checked } from "../domain/problem.ts";
import type { Addresses } from "../domain/user-data.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { HostSetup } from "../ports/host-setup.ts";
import type { Log } from "../ports/log.ts";
import type { RunLock } from "../ports/run-lock.ts";
import type { SettingsFiles } from "../ports/settings-files.ts";

export interface BootWorld {
  readonly version: string;
  readonly pid: number;
  readonly bootId: string;
  /** /var/lib/flotilla: what is kept from boot to boot. */
  readonly disk: Disk;
  readonly lock: RunLock;
  readonly sources: UserDataSources;
  readonly findAddresses: (found: FoundUserData) => Promise<Addresses>;
  /** The machine, told what its provider calls it. Closed by the run. */
  readonly openSetup: (instanceId: string | undefined) => HostSetup;
  readonly settingsFiles: SettingsFiles;
  /** Whether a schedule is ever due. */
  readonly checkSchedule: (schedule: string) => Checked<string>;
  /** Whether cloud-init got user-data at this boot. */
  readonly hasCloudInit: () => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Names on the disk. */
export const bootFiles = {
  /** What was found, as it was found: user-data and what the provider says. */
  found: "bootstrap/user-data.json",
  record: "bootstrap/record.json",
  result: "bootstrap/result.json",
} as const;
