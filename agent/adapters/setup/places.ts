// Files of the machine, reached folder by folder, so that nobody else can lead a write of root's somewhere else: a link on
// the way is followed only where none but root could have put it there. Given to the files of this folder.
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readlink, rename, symlink, unlink } from "node:fs/promises";
import { Problem } from "../../domain/problem.ts";
import { codeOf, hintFor } from "./around.ts";

/** As the kernel's own bound (path_resolution(7)). */
const maxLinks = 40;
/** Files larger than this are not read into memory to be compared or changed. */
export const maxReadBytes = 64 * 1024 * 1024;
const folderMode = 0o755;

/** A name in a folder that is held open: what others do to the path above it does not matter any more. */
export interface Spot {
  readonly folder: FileHandle;
  /** Path of the folder on the machine, links resolved. */
  readonly folderPath: string;
  readonly name: string;
}

interface Walk {
  readonly root: string;
  /** Make folders that are missing. */
  readonly create: boolean;
  /** Follow the last name as well, where it is a link. */
  readonly followLast: boolean;
}

/**
 * Does `work` at `path` (absolute, clean). Resolves with undefined when a folder on the way is missing and none is to be
 * made. Rejects with "setup-path" (a link that somebody else may have made, a file where a folder is wanted), "setup-write".
 */
export async function atSpot<T>(path: string, walk: Walk, work: (spot: Spot) => Promise<T>): Promise<T | undefined> {
  const held: Held[] = [];
  try {
    const spot = await reach(path, walk, held);
    return spot === undefined ? undefined : await work(spot);
  } finally {
    await Promise.all(held.map(({ handle }) => handle.close()));
  }
}

interface Held {
  readonly handle: FileHandle;
  readonly name: string;
}

/** Every folder that is opened goes into `held`; `trail` are those of them that lead to where we are. */
async function reach(path: string, { root, create, followLast }: Walk, held: Held[]): Promise<Spot | undefined> {
  const top: Held = { handle: await openFolder(root), name: "" };
  held.push(top);
  let trail: readonly Held[] = [];
  let rest = partsOf(path);
  let links = 0;
  if (rest.length === 0) throw pathProblem(path, "it is the root itself");
  for (;;) {
    const [name = "", ...later] = rest;
    const { handle: here } = trail.at(-1) ?? top;
    const folderPath = `/${trail.map((each) => each.name).join("/")}`;
    const isLast = later.length === 0;
    if (name === "..") {
      if (isLast) throw pathProblem(path, "a link on the way ends in ..");
      trail = trail.slice(0, -1);
      rest = later;
      continue;
    }
    const target = isLast && !followLast ? undefined : await linkTarget(here, { name, path, folderPath });
    if (target !== undefined) {
      links += 1;
      if (links > maxLinks) throw pathProblem(path, "its links go round in a circle");
      if (target.startsWith("/")) trail = [];
      rest = [...partsOf(target), ...later];
      if (rest.length === 0) throw pathProblem(path, "a link on the way leads to the root");
      continue;
    }
    if (isLast) return { folder: here, folderPath, name };
    const next = await enter(here, { name, path, create });
    if (next === undefined) return undefined;
    const step = { handle: next, name };
    held.push(step);
    trail = [...trail, step];
    rest = later;
  }
}

function partsOf(path: string): readonly string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function joined(folderPath: string, name: string): string {
  return folderPath === "/" ? `/${name}` : `${folderPath}/${name}`;
}

function openFolder(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

/** Where an open folder's entry lies for calls that take paths: the kernel goes through the handle, not through names. */
export function inside(folder: FileHandle, name: string): string {
  return `/proc/self/fd/${folder.fd}/${name}`;
}

/** Target of a link that may be followed; undefined when `name` is no link. */
async function linkTarget(
  folder: FileHandle,
  { name, path, folderPath }: { readonly name: string; readonly path: string; readonly folderPath: string },
): Promise<string | undefined> {
  let entry;
  try {
    entry = await lstat(inside(folder, name));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw readProblem(path, error);
  }
  if (!entry.isSymbolicLink()) return undefined;
  if (entry.uid !== ownId() || !(await isRootsOwn(folder))) {
    throw pathProblem(path, `${joined(folderPath, name)} is a link that others than root could have made`);
  }
  return readlink(inside(folder, name));
}

/** Whether nobody else can make, rename or take away what is in it. */
export async function isRootsOwn(folder: FileHandle): Promise<boolean> {
  const { uid, mode } = await folder.stat();
  return uid === ownId() && (mode & 0o022) === 0;
}

function ownId(): number {
  return process.geteuid?.() ?? 0;
}

async function enter(
  folder: FileHandle,
  { name, path, create }: { readonly name: string; readonly path: string; readonly create: boolean },
): Promise<FileHandle | undefined> {
  for (const isSecond of [false, true]) {
    try {
      return await openFolder(inside(folder, name));
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENOTDIR" || code === "ELOOP") throw pathProblem(path, `${name} is no folder`);
      if (code !== "ENOENT" || isSecond) throw readProblem(path, error);
      if (!create) return undefined;
      await makeFolder(folder, { name, path });
    }
  }
  return undefined;
}

/** On the disk once this resolves. Below a folder that is somebody's own, the new one is theirs too. */
async function makeFolder(
  folder: FileHandle,
  { name, path }: { readonly name: string; readonly path: string },
): Promise<void> {
  try {
    await mkdir(inside(folder, name), { mode: folderMode });
    await folder.sync();
    const { uid, gid } = await folder.stat();
    if (uid === ownId()) return;
    const made = await openFolder(inside(folder, name));
    try {
      await made.chown(uid, gid);
    } finally {
      await made.close();
    }
  } catch (error) {
    if (codeOf(error) === "EEXIST") return; // somebody else made it just now; entering it says whether it will do
    throw new Problem("setup-write", `Cannot make a folder for ${path}`, { hint: hintFor(error), cause: error });
  }
}

/** What stands at a spot. */
export type Standing =
  | { readonly kind: "nothing" }
  | { readonly kind: "folder" | "other" }
  | { readonly kind: "link"; readonly target: string }
  | {
      readonly kind: "file";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      /** Undefined: larger than `maxReadBytes`. */
      readonly content: Buffer | undefined;
    };

export async function standing({ folder, folderPath, name }: Spot): Promise<Standing> {
  const path = joined(folderPath, name);
  let file: FileHandle;
  try {
    // Not blocking: a pipe that somebody put there must hold up nobody
    file = await open(inside(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return { kind: "nothing" };
    if (code === "ELOOP") return { kind: "link", target: await readlink(inside(folder, name)) };
    if (code === "ENXIO") return { kind: "other" };
    throw readProblem(path, error);
  }
  try {
    const stat = await file.stat();
    if (stat.isDirectory()) return { kind: "folder" };
    if (!stat.isFile()) return { kind: "other" };
    const content = stat.size > maxReadBytes ? undefined : await file.readFile();
    return { kind: "file", mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, content };
  } catch (error) {
    throw readProblem(path, error);
  } finally {
    await file.close();
  }
}

export interface NewFile {
  readonly content: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** All or nothing: a file beside it, its content, owner and mode, then on the disk, then in the old one's place. */
export async function replaceFile(spot: Spot, { content, mode, uid, gid }: NewFile): Promise<void> {
  await besides(spot, async (fresh) => {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(fresh, flags, 0o600);
    try {
      await file.writeFile(content);
      await file.chown(uid, gid);
      await file.chmod(mode); // after chown, which takes setuid away
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

export async function replaceLink(spot: Spot, target: string): Promise<void> {
  await besides(spot, (fresh) => symlink(target, fresh));
}

/** `make` at a name of our own beside the spot, then the rename. One name for each: what a crash left is used up. */
async function besides({ folder, folderPath, name }: Spot, make: (fresh: string) => Promise<void>): Promise<void> {
  const fresh = inside(folder, `.flotilla-${createHash("sha256").update(name).digest("hex").slice(0, 16)}.new`);
  const path = joined(folderPath, name);
  try {
    try {
      await make(fresh);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      await unlink(fresh);
      await make(fresh);
    }
    await rename(fresh, inside(folder, name));
    await folder.sync();
  } catch (error) {
    await unlink(fresh).catch(() => undefined); // the first error is the one to tell
    throw new Problem("setup-write", `Cannot write ${path}`, { hint: hintFor(error), cause: error });
  }
}

/** Takes a file or link away; a folder only when it is empty. False: there was nothing. */
export async function removeAt({ folder, folderPath, name }: Spot): Promise<boolean> {
  try {
    await unlink(inside(folder, name));
    await folder.sync();
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw new Problem("setup-write", `Cannot remove ${joined(folderPath, name)}`, {
      hint: hintFor(error),
      cause: error,
    });
  }
}

/** Gives what stands there another name in the same folder. */
export async function renameAt({ folder, folderPath, name }: Spot, to: string): Promise<void> {
  try {
    await rename(inside(folder, name), inside(folder, to));
  } catch (error) {
    throw new Problem("setup-write", `Cannot set ${joined(folderPath, name)} aside`, {
      hint: hintFor(error),
      cause: error,
    });
  }
}

/** A folder at the spot with this owner and mode, made or set right. A link there is refused. */
export async function ownFolder(
  { folder, folderPath, name }: Spot,
  owner: { readonly uid: number; readonly gid: number; readonly mode: number },
): Promise<void> {
  const path = joined(folderPath, name);
  try {
    await mkdir(inside(folder, name), { mode: owner.mode });
    await folder.sync();
  } catch (error) {
    if (codeOf(error) !== "EEXIST") {
      throw new Problem("setup-write", `Cannot make the folder ${path}`, { hint: hintFor(error), cause: error });
    }
    const made = await open(
      inside(folder, name),
      constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
    ).catch((cause: unknown) => {
      throw pathProblem(path, "it is no folder, or a link that others than root could have made", cause);
    });
    await made.close();
    return; // its owner may have reasons for its mode
  }
  const made = await openFolder(inside(folder, name));
  try {
    await made.chown(owner.uid, owner.gid);
    await made.chmod(owner.mode);
  } finally {
    await made.close();
  }
}

export function pathProblem(path: string, why: string, cause?: unknown): Problem {
  return new Problem("setup-path", `Cannot write ${path}: ${why}`, {
    hint: "Name a path that only root can change, or clear away what is in the way",
    cause,
  });
}

function readProblem(path: string, cause: unknown): Problem {
  return new Problem("setup-read", `Cannot read ${path}`, { hint: hintFor(cause), cause });
}
