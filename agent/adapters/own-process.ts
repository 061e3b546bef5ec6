// What a first boot asks of its own process and of the machine's other setup program. Given to wire-bootstrap.ts.
import { access, readFile } from "node:fs/promises";
import { Problem } from "../domain/problem.ts";
import { readWhole } from "./sources/files.ts";

/** A payload has at most 16 MiB; what is larger is no user-data. */
const mostBytes = 16 * 1024 * 1024;

export const ownPid: number = process.pid;

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Of this boot: 32 lowercase hex digits. */
export async function ownBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim().replaceAll("-", "");
}

/** Whether cloud-init ran at this boot and was given something: without a data source it did nothing of a document. */
export async function hasCloudInit({ root = "" }: { readonly root?: string } = {}): Promise<boolean> {
  const folder = `${root}/run/cloud-init`;
  if (!(await isThere(`${folder}/instance-data.json`)) && !(await isThere(`${folder}/result.json`))) return false;
  const id = await readFile(`${folder}/cloud-id`, "utf8").catch(() => ""); // older versions write none
  return id.trim() !== "none";
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false; // of a folder that only root may see the same is true for us
  }
}

/** A file that was named on the command line; "-" is standard input. Rejects with Problem "user-data-file". */
export async function readUserDataFile(name: string): Promise<Uint8Array> {
  const path = name === "-" ? "/dev/stdin" : name;
  const found = await readWhole(path, { mostBytes, mayBePipe: true }).catch((cause: unknown) => {
    throw new Problem("user-data-file", `Cannot use ${name} as user-data`, { cause });
  });
  if (found === undefined) throw new Problem("user-data-file", `Cannot find the file ${name}`);
  return found;
}
