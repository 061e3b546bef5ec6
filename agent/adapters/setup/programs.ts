// Programs of the machine, run with an argument list, never through a shell of ours: bounded in time and output, in a
// clean environment, and ended with all their children. Given to the files of this folder.
import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { Problem } from "../../domain/problem.ts";

/** What is kept of a program's output: the end of it. */
const keptChars = 16_384;
/** What a problem says of it. */
const toldChars = 600;
/** Between being asked to end and being ended. */
const usualGraceMs = 5_000;
const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/bin"];

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Given on its stdin. Its output is then told to nobody: it may repeat what it was given. */
  readonly input?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** Between being asked to end and being ended; 5 s unless set. */
  readonly graceMs?: number;
}

export interface Ran {
  readonly status: number;
  /** The end of its stdout. */
  readonly out: string;
  /** The end of its stdout and stderr, as they came. */
  readonly all: string;
}

export class Programs {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Its path on the machine; undefined: it is not there. A name with a slash is looked for where it says. */
  async find(name: string): Promise<string | undefined> {
    const candidates = name.includes("/") ? [name] : folders.map((folder) => join(folder, name));
    for (const path of candidates) {
      try {
        await access(join(this.#root, path), constants.X_OK);
        return path;
      } catch {
        continue; // not there, or not to be run: the next folder may have it
      }
    }
    return undefined;
  }

  /**
   * Runs it to its end, whatever its exit status. Rejects with "program-missing", "program-timeout", "program-start",
   * "aborted".
   */
  async run(argv: readonly string[], options: RunOptions): Promise<Ran> {
    const [name = "", ...args] = argv;
    options.signal.throwIfAborted();
    // A root for tests has no programs of its own: those of the house are told where to work
    const path = (await this.find(name)) ?? (this.#root === "/" ? undefined : await new Programs("/").find(name));
    if (path === undefined) throw missingProgram(name);
    return runToEnd(path, args, options);
  }

  /** The same for one that has to end with status 0. Rejects with "program-failed" as well. */
  async must(argv: readonly string[], options: RunOptions): Promise<Ran> {
    const ran = await this.run(argv, options);
    if (ran.status !== 0) throw failedProgram(argv, ran, options);
    return ran;
  }
}

export function missingProgram(name: string): Problem {
  return new Problem("program-missing", `Cannot find the program ${name}`, {
    hint: "Install the package that has it, or leave out what needs it",
  });
}

function failedProgram([name = "", ...args]: readonly string[], ran: Ran, { input }: RunOptions): Problem {
  const said = input === undefined ? ran.all.trim().slice(-toldChars) : "";
  const shown = [name, ...args].join(" ");
  return new Problem("program-failed", `Cannot run ${bounded(shown)}: it ended with status ${ran.status}`, {
    ...(said === "" ? {} : { cause: new Error(said) }),
  });
}

function bounded(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return line.length <= 120 ? line : `${line.slice(0, 120)}…`;
}

function environment(more: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: folders.join(":"), HOME: "/root", LANG: "C.UTF-8", ...more };
}

function runToEnd(path: string, args: readonly string[], options: RunOptions): Promise<Ran> {
  const { signal, timeoutMs, input, env = {}, graceMs = usualGraceMs } = options;
  return new Promise((resolve, reject) => {
    // In a group of its own, so that its children end with it
    const child = spawn(path, [...args], {
      cwd: "/",
      env: environment(env),
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    let out = "";
    let all = "";
    let ended: Problem | undefined;
    let grace: NodeJS.Timeout | undefined;
    const kill = (name: "SIGTERM" | "SIGKILL"): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, name);
      } catch (error) {
        // The group has ended meanwhile
        if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
      }
    };
    const end = (problem: Problem): void => {
      if (ended !== undefined) return;
      ended = problem;
      kill("SIGTERM");
      grace = setTimeout(() => {
        kill("SIGKILL");
        // What left the group may hold the pipes open for good
        child.stdout.destroy();
        child.stderr.destroy();
      }, graceMs);
    };
    const late = setTimeout(
      () => end(new Problem("program-timeout", `Cannot wait longer than ${timeoutMs / 1000} s for ${path}`)),
      timeoutMs,
    );
    const stop = (): void => end(new Problem("aborted", `Cannot go on waiting for ${path}`, { cause: signal.reason }));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    const over = (): void => {
      clearTimeout(late);
      clearTimeout(grace);
      signal.removeEventListener("abort", stop);
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out = (out + text).slice(-keptChars);
      all = (all + text).slice(-keptChars);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (all = (all + text).slice(-keptChars)));
    child.stdin.on("error", () => undefined); // it did not read to the end; its status says how that went
    child.stdin.end(input ?? "");
    child.once("error", (cause) => {
      over();
      reject(new Problem("program-start", `Cannot start ${path}`, { cause }));
    });
    let left: NodeJS.Timeout | undefined;
    child.once("exit", () => {
      // A command that leaves a server behind keeps its output open: its own end is what counts
      left = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, afterExitMs);
    });
    child.once("close", (code, name) => {
      over();
      clearTimeout(left);
      if (ended !== undefined) reject(ended);
      else resolve({ status: code ?? 128 + signalNumber(name), out, all });
    });
  });
}

/** How long output is read after the program itself has ended. */
const afterExitMs = 500;

function signalNumber(name: NodeJS.Signals | null): number {
  return name === "SIGKILL" ? 9 : name === "SIGTERM" ? 15 : 0;
}
