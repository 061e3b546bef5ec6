// Files that survive the loss of power: written whole, and in folders that are there as well. Given to disk.ts and git/. The
// calls are handed in so that a test can lose power between any two of them.
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Of node:fs/promises: all that is used to change what lies on disk. */
export interface FileCalls {
  readonly mkdir: typeof mkdir;
  readonly open: typeof open;
  readonly rename: typeof rename;
  readonly rm: typeof rm;
}

export const fileCalls: FileCalls = { mkdir, open, rename, rm };

export interface NewFile {
  /** In the same folder; whatever has this name is written over. */
  readonly temporary: string;
  readonly data: Uint8Array | string;
}

/**
 * Temporary file, fsync, rename, fsync of the folder: whenever power is lost the path has its old bytes or its new ones, and
 * once this resolves the new ones. Mode 0600. Rejects as the file system does, and leaves the old bytes.
 */
export async function writeDurably(path: string, { temporary, data }: NewFile, calls: FileCalls): Promise<void> {
  try {
    const file = await calls.open(temporary, "w", 0o600);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await calls.rename(temporary, path);
  } catch (error) {
    await calls.rm(temporary, { force: true }).catch(() => undefined); // the first error is the one to tell
    throw error;
  }
  await syncFolder(dirname(path), calls);
}

/** The folder and those above it that are missing, mode 0700: what is written into it later has a place that stays. */
export async function makeFolder(path: string, calls: FileCalls): Promise<void> {
  const first = await calls.mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made), calls);
}

/** What was made, renamed or removed in it stays so. */
export async function syncFolder(path: string, { open: openFolder }: Pick<FileCalls, "open">): Promise<void> {
  const folder = await openFolder(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
