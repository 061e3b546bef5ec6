// Files of the machine as sources read them: whole, bounded, and only such as are files.
import { constants, open } from "node:fs/promises";
import { join } from "node:path";
import { unfit } from "./source.ts";

/** Of one piece. */
const pieceBytes = 64 * 1024;

export interface ReadLimits {
  readonly mostBytes: number;
  /** A pipe is read as well (`--from-file /dev/stdin`), for as long as it takes. */
  readonly mayBePipe?: boolean;
}

/** The file's bytes; undefined when there is none. Rejects with Problem "source-unfit" when it cannot be read or is too long. */
export async function readWhole(
  path: string,
  { mostBytes, mayBePipe = false }: ReadLimits,
): Promise<Buffer | undefined> {
  let file;
  try {
    // without blocking: a pipe that nobody writes to would hold us for good
    file = await open(path, constants.O_RDONLY | (mayBePipe ? 0 : constants.O_NONBLOCK));
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw unfit(`Cannot read ${path}`, undefined, error);
  }
  try {
    const look = await file.stat();
    if (!look.isFile() && !(mayBePipe && !look.isDirectory())) throw unfit(`Cannot read ${path}: it is not a file`);
    const parts: Buffer[] = [];
    for (let bytes = 0; ;) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(pieceBytes), 0, pieceBytes, null);
      if (bytesRead === 0) return Buffer.concat(parts);
      bytes += bytesRead;
      if (bytes > mostBytes) throw unfit(`Cannot read ${path}: it is longer than ${mostBytes} bytes`);
      parts.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** Those of the names that are in the folder. Rejects as `readWhole`. */
export async function readFolder(
  folder: string,
  { names, mostBytes }: { readonly names: readonly string[]; readonly mostBytes: number },
): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const name of names) {
    const content = await readWhole(join(folder, name), { mostBytes });
    if (content !== undefined) files.set(name, content);
  }
  return files;
}
