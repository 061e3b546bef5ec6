// The file system as the git library may use it: inside one folder, every file written whole and durably, loose objects
// never looked for. Given to store.ts. The library itself writes in place and without fsync.
import { createHash } from "node:crypto";
import { lstat, readFile, readdir, rmdir, stat } from "node:fs/promises";
import { basename, dirname, resolve, sep } from "node:path";
import { type FileCalls, fileCalls, makeFolder, writeDurably } from "../durable-files.ts";
import { errorCode, writeProblem } from "./failures.ts";
import { checkIndex } from "./indexes.ts";

type Encoding = { encoding?: BufferEncoding } | BufferEncoding | undefined;

/** The shape that isomorphic-git wants (its PromiseFsClient). */
export interface Files {
  readonly promises: {
    readFile(path: string | undefined, options?: Encoding): Promise<Buffer | string>;
    writeFile(path: string, data: Uint8Array | string): Promise<void>;
    unlink(path: string): Promise<void>;
    readdir(path: string): Promise<string[]>;
    mkdir(path: string): Promise<void>;
    rmdir(path: string): Promise<void>;
    stat(path: string): ReturnType<typeof stat>;
    lstat(path: string): ReturnType<typeof lstat>;
    readlink(path: string): Promise<string>;
    symlink(target: string, path: string): Promise<void>;
  };
}

/** Objects live in packs only: asking the disk for a loose one, once per read, would be most of the cost of reading. */
const looseObject = /\/objects\/[0-9a-f]{2}\/[0-9a-f]{38}$/;

/** A server chooses names of refs; none of them leads out of `root`. */
export function confinedFiles(root: string, calls: FileCalls = fileCalls): Files {
  const inside = (path: string): string => {
    const full = resolve(path);
    if (full !== root && !full.startsWith(root + sep)) throw new Error(`The path ${full} leaves the git store`);
    return full;
  };
  let packs: Promise<string[]> | undefined;
  let folder: ReturnType<typeof stat> | undefined;
  const packFolder = resolve(root, "objects/pack");
  return {
    promises: {
      readFile: async (path, options) => {
        // Without a path the library only tries, before each call, whether this returns a promise.
        if (path === undefined || looseObject.test(path)) throw notKept;
        if (path.endsWith(".idx")) return checkIndex(await readFile(inside(path)), basename(path));
        return await readFile(inside(path), options);
      },
      writeFile: async (path, data) => {
        const full = inside(path);
        packs = undefined;
        try {
          await writeWhole(full, data, calls);
        } catch (error) {
          // The library makes the folder and tries again; anything else is final.
          if (errorCode(error) === "ENOENT") throw error;
          throw writeProblem(error, full);
        } finally {
          packs = undefined;
        }
      },
      readdir: async (path) => {
        const full = inside(path);
        if (full !== packFolder) return await readdir(full);
        packs ??= readdir(full);
        try {
          return [...(await packs)];
        } catch (error) {
          packs = undefined;
          throw error;
        }
      },
      unlink: async (path) => await calls.rm(inside(path)),
      mkdir: async (path) => {
        await makeFolder(inside(path), calls);
      },
      rmdir: async (path) => await rmdir(inside(path)),
      stat: async (path) => {
        if (looseObject.test(path)) throw notKept;
        const full = inside(path);
        if (full !== root) return await stat(full);
        // Asked before each call, to see whether it is a folder; when it goes, the packs in it say so.
        folder ??= stat(root);
        try {
          return await folder;
        } catch (error) {
          folder = undefined;
          throw error;
        }
      },
      lstat: async (path) => await lstat(inside(path)),
      readlink: async (path) => Promise.reject(new Error(`No links are read here: ${path}`)),
      symlink: async (_target, path) => Promise.reject(new Error(`No links are made here: ${path}`)),
    },
  };
}

/** Made once: it is thrown for every object that is read. */
const notKept = Object.assign(new Error("No loose objects are kept"), { code: "ENOENT" });

/** After it resolves the bytes survive power loss. */
export async function writeWhole(path: string, data: Uint8Array | string, calls: FileCalls = fileCalls): Promise<void> {
  const name = createHash("sha1").update(path).digest("hex").slice(0, 16);
  await writeDurably(path, { temporary: `${dirname(path)}/.${name}.part`, data }, calls);
}
