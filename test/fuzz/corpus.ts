// The corpus: one folder a target, one file an input. Every file is replayed by the tests; what was found goes in here.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const corpusFolder = fileURLToPath(new URL("./corpus", import.meta.url));

export interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** In the order of their names. */
export async function readCorpus(target: string, folder = corpusFolder): Promise<readonly Entry[]> {
  return readFiles(join(folder, target));
}

/** All plain files below a folder, by name. */
export async function readFiles(folder: string): Promise<readonly Entry[]> {
  const found = await readdir(folder, { withFileTypes: true, recursive: true });
  const paths = found.flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name)] : [])).sort();
  return Promise.all(
    paths.map(async (path) => ({ name: path.slice(folder.length + 1), bytes: Uint8Array.from(await readFile(path)) })),
  );
}

/** Keeps an input, named by what it is and by its digest. Answers its path from the top of the corpus. */
export async function keepInput(
  target: string,
  { kind, bytes }: { readonly kind: "found" | "new"; readonly bytes: Uint8Array },
  folder = corpusFolder,
): Promise<string> {
  const name = `${kind}-${createHash("sha256").update(bytes).digest("hex").slice(0, 12)}`;
  await mkdir(join(folder, target), { recursive: true });
  await writeFile(join(folder, target, name), bytes);
  return join(target, name);
}
