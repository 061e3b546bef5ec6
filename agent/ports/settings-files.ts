// The files that settings come from, read and nothing more: what they mean is for settings/.
import type { Checked } from "../domain/problem.ts";
import type { SettingsText } from "../domain/settings.ts";

/** At most one of the two is there: a flotilla.conf hides a fleet.conf. */
export interface SettingsFilesFound {
  readonly conf: SettingsText | undefined;
  readonly fleetConf: SettingsText | undefined;
}

/** Every problem is "settings-read": no permission, no regular file, above 1 MiB, not UTF-8; and where said, missing. */
export interface SettingsFiles {
  /**
   * The file of this path, which must then exist; without a path /etc/flotilla/flotilla.conf, or else
   * /etc/fleet/fleet.conf, or nothing at all.
   */
  find(path: string | undefined): Promise<Checked<SettingsFilesFound>>;
  /** Every one of these files by its path; a missing one is a problem. */
  secrets(paths: readonly string[]): Promise<ReadonlyMap<string, Checked<SettingsText>>>;
}
