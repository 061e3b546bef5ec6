// What is packed into the single executable beside the program itself: the git worker, the example units. Run from
// source or from dist/main.js there is none of it, and files beside the program serve instead.
import { getAsset, isSea } from "node:sea";

/** Names as .ci/release/ gives them to the executable. */
export type PackedName = "git-worker.js" | "example-units.json";

/** Whether this process is the single executable: process.execPath is flotilla itself, not Node. */
export function isPacked(): boolean {
  return isSea();
}

/** The text of a packed file; undefined outside of the executable. Throws when the executable was built without it. */
export function packedText(name: PackedName): string | undefined {
  return isSea() ? getAsset(name, "utf8") : undefined;
}
