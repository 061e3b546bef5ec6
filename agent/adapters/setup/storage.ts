// Steps "swap" and "mount": a swap file of its own, and what fstab(5) says is to be mounted. The lines in fstab are a step of
// the plan before; these make them true now.
import { constants } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { dirname } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import type { StepOf } from "../../domain/first-boot.ts";
import { Problem } from "../../domain/problem.ts";
import { type Around, type Doer, at, hintFor, isLive, unlessMissing } from "./around.ts";
import { checkFile } from "./files.ts";
import { needPrograms } from "./users.ts";

const programTimeoutMs = 60_000;
const mountTimeoutMs = 120_000;
const mib = 1024 * 1024;
/** `auto`: as much as there is memory, at most this, and at most this share of what is free. */
const mostAutoBytes = 4 * 1024 * mib;
const autoShare = 0.25;
/** Smaller than this a swap file is of no use. */
const leastBytes = 16 * mib;

type Swap = StepOf<"swap">;

export const swap: Doer<"swap"> = {
  async look(step, around) {
    const isOn = await isSwapping(step.file, around);
    const after = `swap in ${step.file}, ${step.sizeBytes === "auto" ? "sized by memory" : sizeText(step.sizeBytes)}\n`;
    return { same: isOn, before: isOn ? after : undefined, after };
  },
  async check(step, around) {
    const size = await sizeOf(step, around);
    const there = await unlessMissing(stat(at(around, step.file)));
    return [
      ...(there === undefined || (await isSwap(at(around, step.file))) ? [] : [foreign(step)]),
      ...(await needPrograms(around, [["mkswap"], ["swapon"]])),
      ...(await checkFile(around, { path: step.file, sizeBytes: there === undefined ? size : 0 })),
    ];
  },
  async apply(step, around, signal) {
    const { programs } = around;
    const on = (): Promise<unknown> =>
      programs.must(["swapon", "--", at(around, step.file)], { signal, timeoutMs: programTimeoutMs });
    if (await isSwapping(step.file, around)) return [];
    if ((await unlessMissing(stat(at(around, step.file)))) !== undefined) {
      if (!(await isSwap(at(around, step.file)))) throw foreign(step);
      const { status } = await programs.run(["swapon", "--", at(around, step.file)], {
        signal,
        timeoutMs: programTimeoutMs,
      });
      if (status === 0) return [];
    }
    await make(step, around, signal);
    if (isLive(around)) await on();
    return [step.file];
  },
};

async function isSwapping(file: string, around: Around): Promise<boolean> {
  const text = (await unlessMissing(readFile(at(around, "/proc/swaps"), "utf8"))) ?? "";
  return text.split("\n").some((line) => line.split(/\s+/)[0] === file);
}

async function sizeOf({ file, sizeBytes, maxSizeBytes }: Swap, around: Around): Promise<number> {
  const most = maxSizeBytes ?? mostAutoBytes;
  if (sizeBytes !== "auto") return maxSizeBytes === undefined ? sizeBytes : Math.min(sizeBytes, most);
  const folder = (await unlessMissing(statfs(dirname(at(around, file))))) ?? (await statfs(around.root));
  return Math.floor(Math.min(totalmem(), most, folder.bavail * folder.bsize * autoShare) / mib) * mib;
}

/** Where mkswap(8) leaves its mark: at the end of the first page, of the sizes that Linux has. */
const pageBytes = [4096, 16384, 65536];
const swapMark = "SWAPSPACE2";

/** Whether mkswap has been here: anything else of this name is somebody's file. */
async function isSwap(path: string): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    for (const size of pageBytes) {
      const buffer = Buffer.alloc(swapMark.length);
      await file.read(buffer, 0, buffer.length, size - buffer.length);
      if (buffer.toString("latin1") === swapMark) return true;
    }
    return false;
  } finally {
    await file.close();
  }
}

function foreign({ file, at: place }: Swap): Problem {
  return new Problem("setup-swap", `Cannot make swap in ${file}: a file that is no swap stands there`, {
    hint: "Name another file, or move that one away",
    at: place,
  });
}

/** Made beside its place, so that what stands there is whole. */
async function make(step: Swap, around: Around, signal: AbortSignal): Promise<void> {
  const fresh = { ...step, file: `${step.file}.new` };
  await fill(fresh, around, signal);
  await around.programs.must(["mkswap", "--", at(around, fresh.file)], { signal, timeoutMs: programTimeoutMs });
  await rename(at(around, fresh.file), at(around, step.file));
}

/** Written out in full: a file with holes is refused by swapon, and what fallocate makes is on some file systems. */
async function fill(step: Swap, around: Around, signal: AbortSignal): Promise<void> {
  const size = await sizeOf(step, around);
  if (size < leastBytes) {
    throw new Problem("setup-swap", `Cannot make swap in ${step.file}: there is room for ${sizeText(size)} only`, {
      hint: "Make room, or leave swap out",
      at: step.at,
    });
  }
  const path = at(around, step.file);
  try {
    await rm(path, { force: true });
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      const zeros = Buffer.alloc(mib);
      for (let written = 0; written < size; written += mib) {
        signal.throwIfAborted();
        await file.write(zeros, 0, Math.min(mib, size - written));
        await turn();
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    await rm(path, { force: true }); // half a swap file takes room and is of no use
    if (signal.aborted) throw signal.reason;
    throw new Problem("setup-write", `Cannot write ${step.file}`, { hint: hintFor(cause), cause });
  }
}

function sizeText(bytes: number): string {
  return `${Math.round(bytes / mib)} MiB`;
}

export const mount: Doer<"mount"> = {
  async look({ mountPoint }, around) {
    const same = await isMounted(mountPoint, around);
    return { same, before: same ? "mounted\n" : undefined, after: "mounted\n" };
  },
  async check({ mountPoint, at: place }, around) {
    const there = await unlessMissing(stat(at(around, mountPoint)));
    const hint = "It has to be a folder";
    return [
      ...(await needPrograms(around, [["mount"]])),
      ...(there === undefined || there.isDirectory()
        ? []
        : [new Problem("setup-mount", `Cannot mount on ${mountPoint}: a file stands there`, { hint, at: place })]),
    ];
  },
  async apply({ mountPoint }, around, signal) {
    try {
      await mkdir(at(around, mountPoint), { recursive: true, mode: 0o755 });
    } catch (cause) {
      throw new Problem("setup-mount", `Cannot make the folder ${mountPoint}`, { hint: hintFor(cause), cause });
    }
    if (!(await isMounted(mountPoint, around)))
      await around.programs.must(["mount", "--", mountPoint], { signal, timeoutMs: mountTimeoutMs });
    return [];
  },
};

async function isMounted(mountPoint: string, around: Around): Promise<boolean> {
  const text = (await unlessMissing(readFile(at(around, "/proc/self/mountinfo"), "utf8"))) ?? "";
  return text.split("\n").some((line) => unescape(line.split(" ")[4] ?? "") === mountPoint);
}

/** proc_pid_mountinfo(5) writes blanks and backslashes in octal. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}
