// Whether something has to be built again: a digest over all that it is built from.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Of files and of folders with all that is below them, names and contents; what is not there counts as nothing. */
export function digest(paths) {
  const hash = createHash("sha256");
  for (const path of paths.flatMap(files).sort()) hash.update(`${path}\0`).update(content(path)).update("\0");
  return hash.digest("hex");
}

function files(path) {
  if (!existsSync(path)) return [];
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? files(join(path, entry.name)) : [join(path, entry.name)],
    );
  } catch (error) {
    if (error.code === "ENOTDIR") return [path];
    throw error;
  }
}

function content(path) {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (error.code === "EINVAL") return readFileSync(path); // it is no link
    throw error;
  }
}
