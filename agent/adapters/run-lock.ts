// The lock of work that only one process may do, as a file: who holds it, by process and boot. Implements ports/run-lock.ts. A holder that has
// ended, or is of an earlier boot, holds nothing.
import { link, mkdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { LockHolder, RunLock } from "../ports/run-lock.ts";

/** Two that clear away what a third left may meet; more often than this is no accident. */
const maxTries = 5;

interface Held extends LockHolder {
  readonly bootId: string;
  /** Ticks since boot at which the process began (proc_pid_stat(5)): a number alone may be another process by now. */
  readonly began: string;
}

/** How one that comes second is told so. */
export interface LockWords {
  /** Of the Problem. */
  readonly code: string;
  /** What the other process does: "flotilla discovery join". */
  readonly work: string;
  readonly hint: string;
}

const bootWords: LockWords = {
  code: "bootstrap-running",
  work: "flotilla bootstrap",
  hint: "flotilla bootstrap status --wait tells when it is over",
};

export interface RunLockOptions {
  readonly clock: Clock;
  /** Those of a first boot unless set. */
  readonly words?: LockWords;
}

/** `path` lies in a folder that only root can change. */
export function createRunLock(path: string, { clock, words = bootWords }: RunLockOptions): RunLock {
  const own = `${path}.${process.pid}`;
  return {
    async take() {
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o755 });
        const held: Held = {
          pid: process.pid,
          sinceMs: clock.wallMs(),
          bootId: await bootId(),
          began: (await beganAt(process.pid)) ?? "",
        };
        await writeFile(own, JSON.stringify(held), { mode: 0o644 });
        await place(path, own, words);
      } catch (error) {
        await unlink(own).catch(() => undefined); // the first error is the one to tell
        if (error instanceof Problem) throw error;
        throw new Problem("bootstrap-lock", `Cannot take the lock ${path}`, { hint: "It takes root", cause: error });
      }
      await unlink(own);
      return () => unlink(path);
    },
    holder: async () => livingHolder(await textOf(path)),
  };
}

/** A link to a file that is whole already: nobody sees half a lock, and only one can make it. */
async function place(path: string, own: string, words: LockWords): Promise<void> {
  for (let tries = 0; tries < maxTries; tries++) {
    try {
      await link(own, path);
      return;
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    const text = await textOf(path);
    const holder = await livingHolder(text);
    if (holder !== undefined) throw busy(words, holder.pid);
    await clear(path, { own, text });
  }
  throw busy(words, undefined);
}

/** Takes a dead lock away; one that somebody else made meanwhile goes back to its place. */
async function clear(
  path: string,
  { own, text }: { readonly own: string; readonly text: string | undefined },
): Promise<void> {
  const aside = `${own}.stale`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return; // another one was quicker
    throw error;
  }
  if ((await textOf(aside)) !== text) {
    await link(aside, path).catch((error: unknown) => {
      if (!hasCode(error, "EEXIST")) throw error;
    });
  }
  await unlink(aside);
}

function busy({ code, work, hint }: LockWords, pid: number | undefined): Problem {
  const who = pid === undefined ? "" : ` (process ${pid})`;
  return new Problem(code, `Cannot begin: another ${work} is at work${who}`, { hint });
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function livingHolder(text: string | undefined): Promise<LockHolder | undefined> {
  const held = text === undefined ? undefined : parse(text);
  if (held === undefined || held.bootId !== (await bootId())) return undefined;
  return (await beganAt(held.pid)) === held.began ? { pid: held.pid, sinceMs: held.sinceMs } : undefined;
}

/** Undefined for what is no lock of ours: nobody holds it. */
function parse(text: string): Held | undefined {
  try {
    const value = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
    const { pid, sinceMs, bootId: boot, began } = value ?? {};
    if (typeof pid !== "number" || typeof sinceMs !== "number") return undefined;
    if (typeof boot !== "string" || typeof began !== "string") return undefined;
    return { pid, sinceMs, bootId: boot, began };
  } catch {
    return undefined; // a power cut's remains, or somebody's own file
  }
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

/** Undefined: there is no such process. */
async function beganAt(pid: number): Promise<string | undefined> {
  const text = await textOf(`/proc/${pid}/stat`).catch(() => undefined); // it ended while it was read
  // The name in brackets may hold anything; field 22 is the twentieth behind it
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[19];
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
