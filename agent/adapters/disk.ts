// The agent's own durable files, below one folder, for loops and for the embedded registry. No name leaves the folder.
import { open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Problem } from "../domain/problem.ts";
import type { Disk } from "../ports/disk.ts";
import { type FileCalls, fileCalls, makeFolder, syncFolder, writeDurably } from "./durable-files.ts";

/** Files larger than this are not read: nothing that the agent writes comes near it. */
const maxFileBytes = 256 * 1024 * 1024;

/**
 * Files below `directory` (absolute), which is made with mode 0700 when first written to. Writes of one name come after
 * one another, in the order of the calls. A name that leads out of the folder throws: it is a mistake of the program.
 */
export function createDisk(directory: string, calls: FileCalls = fileCalls): Disk {
  const writing = new Map<string, Promise<void>>();

  /** Runs `work` when all earlier work on this name is over, however it ended. */
  const inOrder = (name: string, work: () => Promise<void>): Promise<void> => {
    const run = (writing.get(name) ?? Promise.resolve()).then(work, work);
    writing.set(name, run);
    const forget = (): void => {
      if (writing.get(name) === run) writing.delete(name);
    };
    run.then(forget, forget);
    return run;
  };

  return {
    read: async (name) => {
      const path = pathOf(directory, name);
      return readText(path).catch((error: unknown) => {
        throw new Problem("disk-read", `Cannot read file "${path}"`, { hint: hintFor(error), cause: error });
      });
    },
    write: async (name, text) => {
      const path = pathOf(directory, name);
      await inOrder(name, () =>
        replace(path, text, calls).catch((error: unknown) => {
          throw new Problem("disk-write", `Cannot write file "${path}"`, { hint: hintFor(error), cause: error });
        }),
      );
    },
    remove: async (name) => {
      const path = pathOf(directory, name);
      await inOrder(name, () =>
        unlink(path, calls).catch((error: unknown) => {
          throw new Problem("disk-write", `Cannot remove file "${path}"`, { hint: hintFor(error), cause: error });
        }),
      );
    },
  };
}

function pathOf(directory: string, name: string): string {
  const parts = name.split("/");
  const isGood = parts.every((part) => /^[A-Za-z0-9@._-]{1,255}$/.test(part) && part !== "." && part !== "..");
  if (!isGood) throw new Error(`Cannot use "${name.slice(0, 128)}" as a file name`);
  return join(directory, ...parts);
}

async function readText(path: string): Promise<string | undefined> {
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size > maxFileBytes) throw new Error(`The file has ${size} bytes, more than ${maxFileBytes}`);
    return await readFile(file, "utf8");
  } finally {
    await file.close();
  }
}

/** One name for the new text, so that what a crash left behind is overwritten by the next write and never piles up. */
async function replace(path: string, text: string, calls: FileCalls): Promise<void> {
  await makeFolder(dirname(path), calls);
  await writeDurably(path, { temporary: `${path}.new`, data: text }, calls);
}

async function unlink(path: string, calls: FileCalls): Promise<void> {
  try {
    await calls.rm(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  await syncFolder(dirname(path), calls);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: "The file system is full",
  EDQUOT: "The quota is used up",
  EROFS: "The file system is mounted read-only",
  EACCES: "The agent needs the right to read and write its own folder",
  EPERM: "The agent needs the right to read and write its own folder",
};

function hintFor(error: unknown): string | undefined {
  return hints[codeOf(error) ?? ""];
}
