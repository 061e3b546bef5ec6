// The tree of control groups, while others make and end them.
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * The paths of all control groups below `path`, without itself. Folder by folder: a `readdir` with `recursive` fails as a whole
 * when one group ends while it reads, and that they end is what its callers await.
 */
export async function groupsBelow(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if (hasEnded(error)) return [];
    throw error;
  });
  const groups = entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
  const below = await Promise.all(groups.map(groupsBelow));
  return [...groups, ...below.flat()];
}

/** ENODEV: it ended after its folder was opened. */
function hasEnded(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENODEV");
}
