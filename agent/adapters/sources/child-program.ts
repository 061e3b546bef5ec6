// Runs small programs of the host (blkid, mount, vmware-rpctool) for the sources: bounded in time and output, and ended
// with everything that they started.
import { spawn } from "node:child_process";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";

/** A device that does not answer holds a program for good. */
const runMs = 15_000;
/** Of a program's complaints. */
const complaintChars = 2_048;

export interface Ran {
  /** Exit status; 128 and more: it was killed. */
  readonly code: number;
  readonly stdout: Buffer;
  /** The end of what it complained about. */
  readonly stderr: string;
}

/**
 * Runs a program by its name. Undefined: there is no such program. Rejects with Problem "source-later" when it takes too
 * long, "source-unfit" when it prints more than `mostBytes`, and with the reason of an abort; it is then no longer there.
 */
export type Run = (
  command: readonly [string, ...string[]],
  options: { readonly signal: AbortSignal; readonly mostBytes: number },
) => Promise<Ran | undefined>;

const environment = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

export function createRun(clock: Clock): Run {
  return async ([program, ...args], { signal, mostBytes }) => {
    signal.throwIfAborted();
    const over = new AbortController();
    // a group of its own: what it started ends with it
    const child = spawn(program, args, {
      detached: true,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      cwd: "/",
    });
    let why: unknown;
    const kill = (reason: unknown): void => {
      why ??= reason;
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // it had just ended
      }
    };
    const stop = (): void => kill(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    const timer = clock
      .sleep(runMs, over.signal)
      .then(() => kill(new Problem("source-later", `Cannot wait longer than ${runMs / 1000} s for ${program}`)))
      .catch(() => undefined); // it ended in time
    try {
      const parts: Buffer[] = [];
      let bytes = 0;
      let stderr = "";
      child.stdout.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes <= mostBytes) parts.push(part);
        else kill(new Problem("source-unfit", `Cannot read what ${program} prints: more than ${mostBytes} bytes`));
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr = (stderr + text).slice(-complaintChars);
      });
      const code = await new Promise<number | undefined>((resolve, reject) => {
        child.once("error", (error) => {
          if ("code" in error && error.code === "ENOENT") resolve(undefined);
          else reject(new Problem("source-unfit", `Cannot run ${program}`, { cause: error }));
        });
        child.once("close", (status) => resolve(status ?? 128));
      });
      if (why !== undefined) throw why as Error;
      return code === undefined ? undefined : { code, stdout: Buffer.concat(parts), stderr: stderr.trim() };
    } finally {
      signal.removeEventListener("abort", stop);
      over.abort();
      await timer;
    }
  };
}
