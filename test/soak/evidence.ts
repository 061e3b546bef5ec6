// What is kept of a site in which something happened that must not: journals of all machines, logs of etcd, what the watch
// wrote down, and the violation itself.
import { execFile } from "node:child_process";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Campaign } from "./campaign.ts";

const run = promisify(execFile);
const journalBytes = 256 * 1024 * 1024;

/** Into a folder that is made; also of machines that are down, whose disks are there. */
export async function keepEvidence({ site, watch }: Campaign, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "violations.json"), JSON.stringify(watch.violations, undefined, 2));
  await writeFile(join(folder, "record.txt"), watch.record);
  await Promise.all([
    ...site.store.members.map((member) => copyFile(site.store.logOf(member), join(folder, `${member.name}.log`))),
    ...site.machines.map(async ({ name, booted }) => {
      const directory = booted.onDisk("/var/log/journal");
      const args = ["--directory", directory, "--output=short-precise", "--no-pager", "--quiet"];
      const { stdout } = await run("journalctl", args, { maxBuffer: journalBytes });
      await writeFile(join(folder, `${name}.journal`), stdout);
    }),
  ]);
}
