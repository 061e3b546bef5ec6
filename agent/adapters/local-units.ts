// Unit files on this machine's disks, for commands that submit them. Links are followed; what is no plain file, or too
// large, is refused by name.
import { constants } from "node:fs";
import { open, readdir, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type UnitName, byName, unitNameParts } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import { type LocalDropIn, type LocalUnits, maxLocalBytes, maxLocalDropIns } from "../ports/local-units.ts";

export function createLocalUnits(): LocalUnits {
  return {
    find: async (path, { name, signal }) => {
      const bytes = await readOrNothing(path, signal);
      if (bytes === undefined) return undefined;
      return { path, bytes, dropIns: await findDropIns(path, { name, signal }) };
    },
  };
}

interface Finding {
  readonly name: UnitName;
  readonly signal: AbortSignal | undefined;
}

/** The template's and the unit's own; of two of one name that of the folder beside the file counts. */
async function findDropIns(path: string, { name, signal }: Finding): Promise<readonly LocalDropIn[]> {
  const { template } = unitNameParts(name);
  const units = template === undefined || template === name ? [name] : [template, name];
  const beside = dirname(path);
  const behind = dirname(await reading(path, () => realpath(path)));
  const folders = resolve(beside) === behind ? [beside] : [beside, behind];
  const found = new Map<string, LocalDropIn>();
  for (const unit of units) {
    for (const folder of folders) {
      for (const dropIn of await readFolder(join(folder, `${unit}.d`), { name: unit, signal })) {
        const key = `${unit}\0${dropIn.name}`;
        if (!found.has(key)) found.set(key, dropIn);
      }
    }
  }
  return [...found.values()];
}

async function readFolder(folder: string, { name, signal }: Finding): Promise<readonly LocalDropIn[]> {
  const names = await listOrNothing(folder);
  const dropIns: LocalDropIn[] = [];
  for (const each of names) {
    const path = join(folder, each);
    const bytes = await readOrNothing(path, signal);
    if (bytes === undefined) throw cannotRead(path, new Error("it leads nowhere"));
    dropIns.push({ unit: name, name: each, path, bytes });
  }
  return dropIns;
}

/** The drop-ins in a folder, in name order. */
async function listOrNothing(folder: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".conf"));
    if (names.length > maxLocalDropIns) throw new Error(`it has more than ${maxLocalDropIns} drop-ins`);
    return names.sort(byName);
  } catch (error) {
    if (isMissing(error)) return [];
    throw cannotRead(folder, error);
  }
}

async function readOrNothing(path: string, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
  if (signal?.aborted === true) throw new Problem("aborted", "Cannot go on reading", { cause: signal.reason });
  try {
    return await readBounded(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw cannotRead(path, error);
  }
}

async function readBounded(path: string): Promise<Uint8Array> {
  // Not blocking: a pipe without a writer would hold up the command for ever
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const info = await file.stat();
    if (info.isDirectory()) throw new Error("it is a folder");
    if (!info.isFile()) throw new Error("it is no plain file");
    const buffer = Buffer.alloc(Math.min(info.size, maxLocalBytes) + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      length += bytesRead;
      if (length > maxLocalBytes) throw new Error(`it has more than ${maxLocalBytes} bytes`);
      if (bytesRead === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    await file.close();
  }
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG";
}

async function reading<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw cannotRead(path, error);
  }
}

function cannotRead(path: string, cause: unknown): Problem {
  return new Problem("local-unit-read", `Cannot read "${path}"`, { cause });
}
