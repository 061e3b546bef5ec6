// Private machines behind ports/machine-host.ts: a user's systemd manager in namespaces and a control group of its own.
// Given to the playground and to tests. Leaves no process, mount or control group behind, however this process ends.
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { access, constants, mkdir, realpath, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { Problem } from "../domain/problem.ts";
import type { MachineHost, MachineOptions, PrivateMachine } from "../ports/machine-host.ts";
import { bootScript, enterScript, keeperScript, machineUnits } from "./machine-scripts.ts";

/** From the start to a systemd that has run its first units; usually a quarter of a second. */
const startTimeoutMs = 15_000;
/** How long an orderly stop may take before the power is cut. */
const stopTimeoutMs = 10_000;
/** What is kept of the machine's complaints. */
const complaintChars = 4_096;
/** A socket's path has at most 107 bytes; the longest of ours in a machine's folder is /run/systemd/private. */
const folderBytes = 107 - "/run/systemd/private".length;

const proxies = ["/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"];

type Keeper = ChildProcessByStdio<Writable, Readable, Readable>;

export const machineHost: MachineHost = {
  async startMachine(options) {
    const { signal } = options;
    if (!/^[A-Za-z0-9-]{1,64}$/.test(options.name))
      throw unfit(`the name "${options.name}"`, "Use letters, digits and -");
    const proxy = await firstExecutable(proxies);
    if (proxy === undefined) throw missing("systemd");
    const directory = await prepare(options, proxy);
    const prefix = await scopePrefix();
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-current-user", "--keep-caps"];
    const [command, ...args] = [
      ...prefix,
      ...["sh", "-c", 'eval "$MACHINE_KEEPER"', "keeper", directory, options.name, ...user],
    ] as const;
    if (signal?.aborted === true) throw abortedProblem(directory, signal);
    // In a session of its own: a Ctrl-C at the terminal is for us, and the machine ends when we say so or are gone.
    const keeper = spawn(command ?? "sh", args, {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      cwd: "/",
      env: { ...process.env, MACHINE_KEEPER: keeperScript, MACHINE_ENTER: enterScript, MACHINE_BOOT: bootScript },
    });
    return new Machine(keeper, directory).started(signal);
  },
};

class Machine implements PrivateMachine {
  readonly systemdAddress: string;
  readonly unitDirectory: string;
  readonly exited: Promise<void>;
  pid = 0;

  readonly #keeper: Keeper;
  readonly #directory: string;
  #complaints = "";
  #missing: string | undefined;
  #over = false;
  #tellReady: () => void = () => undefined;

  constructor(keeper: Keeper, directory: string) {
    this.#keeper = keeper;
    this.#directory = directory;
    this.systemdAddress = `unix:path=${join(directory, "run", "door")}`;
    this.unitDirectory = join(directory, "run", "systemd", "user");
    this.exited = new Promise((resolve) => {
      const end = (): void => {
        this.#cut();
        this.#over = true;
        resolve();
      };
      keeper.once("close", end);
      keeper.once("error", (error) => {
        this.#complain(error.message);
        end();
      });
    });
    keeper.stdin.on("error", () => undefined); // the machine ended first; `exited` says so
    keeper.stderr.setEncoding("utf8").on("data", (text: string) => this.#complain(text));
    let rest = "";
    keeper.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()?.slice(-complaintChars) ?? "";
      for (const line of lines) this.#hear(line);
    });
  }

  /** The machine once its systemd takes calls; when it does not come to that, everything is cleared away first. */
  async started(signal: AbortSignal | undefined): Promise<PrivateMachine> {
    let give: () => void = () => undefined;
    let timer: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      new Promise<"ready">((resolve) => {
        this.#tellReady = () => resolve("ready");
      }),
      this.exited.then(() => "exited" as const),
      new Promise<"aborted" | "late">((resolve) => {
        give = () => resolve("aborted");
        timer = setTimeout(() => resolve("late"), startTimeoutMs);
        signal?.addEventListener("abort", give, { once: true });
      }),
    ]);
    clearTimeout(timer);
    signal?.removeEventListener("abort", give);
    if (outcome === "ready") return this;
    await this.kill();
    if (outcome === "aborted") throw abortedProblem(this.#directory, signal);
    throw this.#failure(outcome);
  }

  async kill(): Promise<void> {
    this.#cut();
    this.#keeper.stdin.end();
    await this.exited;
  }

  async stop(): Promise<void> {
    if (this.#over) return this.exited;
    this.#keeper.stdin.write("stop\n");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, stopTimeoutMs);
    });
    await Promise.race([this.exited, late]);
    clearTimeout(timer);
    await this.kill();
  }

  #cut(): void {
    if (this.pid === 0) return;
    const pid = this.pid;
    if (this.#over) return;
    this.#over = true;
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // it was gone already
    }
  }

  #hear(line: string): void {
    const [word, value] = line.split(" ");
    if (word === "pid") this.pid = Number(value);
    else if (word === "missing") this.#missing = value;
    else if (word === "ready") this.#tellReady();
    else if (word === "ended") this.#over = true; // its process id may be another's from now on
  }

  #complain(text: string): void {
    this.#complaints = (this.#complaints + text).slice(-complaintChars);
  }

  #failure(outcome: "exited" | "late"): Problem {
    const cause = this.#complaints.trim() === "" ? undefined : new Error(this.#complaints.trim());
    if (this.#missing !== undefined) return missing(this.#missing, cause);
    if (outcome === "exited" && this.pid === 0) return missing("namespace", cause);
    const what = outcome === "late" ? `within ${startTimeoutMs / 1000} s` : "and ended at once";
    return new Problem("machine-start", `Cannot start a machine in ${this.#directory}: it did not come up ${what}`, {
      cause,
    });
  }
}

/** What stands in the way of a machine, each with what to do about it. */
const hints: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  systemd: ["systemd is not installed", "Install it: apt-get install systemd"],
  unshare: ["the program unshare is not installed", "Install it: apt-get install util-linux"],
  "systemd-run": ["the program systemd-run is not installed", "Install it: apt-get install systemd"],
  namespace: [
    "there is no right to a namespace",
    "Run as root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0",
  ],
  mount: ["there is no right to mount in a namespace", "Run as root; in a container, with --privileged"],
  cgroup2: ["there is no cgroup2 file system", "Mount it: mount -t cgroup2 none /sys/fs/cgroup/unified"],
  cgroup: [
    "there is no right to a control group",
    "Run as root, or in a session that has a systemd of its own (systemctl --user status)",
  ],
};

function missing(what: string, cause?: Error): Problem {
  const [reason, hint] = hints[what] ?? [what, undefined];
  return new Problem("machine-host", `Cannot start a private machine: ${reason}`, { hint, cause });
}

function abortedProblem(directory: string, signal: AbortSignal | undefined): Problem {
  return new Problem("aborted", `Cannot go on starting a machine in ${directory}`, { cause: signal?.reason });
}

function unfit(what: string, hint: string): Problem {
  return new Problem("machine-host", `Cannot start a private machine with ${what}`, { hint });
}

/** The machine's folder, empty of what an earlier machine left in its runtime part. Answers its real path. */
async function prepare(options: MachineOptions, proxy: string): Promise<string> {
  let directory: string;
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    directory = await realpath(options.directory);
  } catch (error) {
    throw new Problem("disk-write", `Cannot make the machine's folder ${options.directory}`, { cause: error });
  }
  if (Buffer.byteLength(directory) > folderBytes) {
    throw unfit(`the folder ${directory}`, `Its path may have at most ${folderBytes} bytes`);
  }
  if (!/^[A-Za-z0-9/._@+-]+$/.test(directory)) {
    throw unfit(`the folder ${directory}`, "Its path may hold letters, digits and / . _ @ + - only");
  }
  try {
    for (const stale of ["run", "units", "stage"]) await rm(join(directory, stale), { recursive: true, force: true });
    for (const folder of ["run/systemd/user", "units", "stage", "empty", "home"]) {
      await mkdir(join(directory, folder), { recursive: true, mode: 0o700 });
    }
    for (const [name, text] of Object.entries(machineUnits(proxy)))
      await writeFile(join(directory, "units", name), text);
    await promisify(execFile)("mkfifo", ["-m", "600", join(directory, "run", "ready")]);
  } catch (error) {
    throw new Problem("disk-write", `Cannot fill the machine's folder ${directory}`, { cause: error });
  }
  return directory;
}

/**
 * Where systemd runs the host, control groups are its own to give: it is asked for a scope in which we may make ours.
 * Elsewhere ours is made below the one that this process is in.
 */
async function scopePrefix(): Promise<readonly string[]> {
  for (const program of ["unshare", "mount"]) {
    if ((await inPath(program)) === undefined) throw missing("unshare");
  }
  const runtime = process.env["XDG_RUNTIME_DIR"];
  const root = process.getuid?.() === 0;
  const manager = root ? "/run/systemd/private" : join(runtime ?? "/nonexistent", "systemd", "private");
  if (!(await allowed(manager, constants.F_OK))) return [];
  if ((await inPath("systemd-run")) === undefined) throw missing("systemd-run");
  return ["systemd-run", ...(root ? [] : ["--user"]), "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
}

async function inPath(program: string): Promise<string | undefined> {
  const folders = (process.env["PATH"] ?? "/usr/bin:/bin").split(":");
  return firstExecutable(folders.map((folder) => join(folder, program)));
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await allowed(path, constants.X_OK)) return path;
  return undefined;
}

async function allowed(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false; // any reason means the same to the one who asks
  }
}
