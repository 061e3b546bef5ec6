// What every group of steps works with: the root it stands on, the programs there, and the words for what fails.
// Given to the files of this folder only.
import { join } from "node:path";
import type { Looked, StepKind, StepOf, Step } from "../../domain/first-boot.ts";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { Programs } from "./programs.ts";
import type { Manager } from "./manager.ts";

export interface Around {
  /** "/" for the machine itself; else a folder that stands for it: no kernel, no systemd of its own is touched then. */
  readonly root: string;
  readonly programs: Programs;
  readonly manager: Manager;
  readonly clock: Clock;
  readonly log: Log;
  /** What the provider calls this machine; undefined: it says nothing. */
  readonly instanceId: string | undefined;
}

/** How steps of one kind are looked at, checked and carried out. Same promises as ports/host-setup.ts. */
export interface Doer<Kind extends StepKind> {
  look(step: StepOf<Kind>, around: Around): Promise<Looked>;
  check(step: StepOf<Kind>, around: Around, before: readonly Step[]): Promise<readonly Problem[]>;
  apply(step: StepOf<Kind>, around: Around, signal: AbortSignal): Promise<readonly string[]>;
}

/** Whether the steps are for this very machine, with its kernel and processes. */
export function isLive({ root }: Around): boolean {
  return root === "/";
}

/** Where a path of the machine lies. */
export function at({ root }: Around, path: string): string {
  return join(root, path);
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: "The file system is full",
  EDQUOT: "The quota is used up",
  EROFS: "The file system is mounted read-only",
  EACCES: "It takes the rights of root",
  EPERM: "It takes the rights of root; an immutable file (chattr) or a security module may be in the way as well",
  EISDIR: "A folder stands there",
  ENOTDIR: "A file stands where a folder is wanted",
};

/** What to do about an error of the file system, where that is known. */
export function hintFor(error: unknown): string | undefined {
  if (error instanceof Problem) return error.hint;
  return hints[codeOf(error) ?? ""];
}

/** `undefined` for what is not there; everything else is the caller's. */
export async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
