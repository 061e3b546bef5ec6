// A child process that cannot outlive this one: for the playground's etcd and its agents.
import { spawn } from "node:child_process";
import { access, constants, open } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { delimiter, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Problem } from "../domain/problem.ts";

export interface Child {
  readonly pid: number;
  /** Resolves when it has ended, however. */
  readonly exited: Promise<void>;
  signal(name: "SIGTERM" | "SIGKILL"): void;
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What it prints is added to this file, mode 0600. */
  readonly logFile: string;
  /** How to get the command, if it is missing. */
  readonly hint: string;
}

/**
 * Starts it with a kernel promise that it is killed when this process dies (prctl(2), PR_SET_PDEATHSIG). Rejects with
 * "child-missing" when there is no such command, "child-start" when it cannot be run.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  await refuseMissing(options);
  const log = await open(options.logFile, "a", 0o600);
  try {
    const process = spawn("setpriv", ["--pdeathsig", "KILL", "--", options.command, ...options.args], {
      env: { ...options.env },
      stdio: ["ignore", log.fd, log.fd],
    });
    const exited = new Promise<void>((resolve) => {
      process.once("exit", () => resolve());
      process.once("error", () => resolve());
    });
    await new Promise<void>((resolve, reject) => {
      process.once("spawn", resolve);
      process.once("error", reject);
    });
    const { pid } = process;
    if (pid === undefined) throw new Error("no process id");
    return { pid, exited, signal: (name) => void process.kill(name) };
  } catch (error) {
    const hint = "It is started by setpriv, of util-linux: apt-get install util-linux";
    throw new Problem("child-start", `Cannot start ${options.command}`, { hint, cause: error });
  } finally {
    await log.close();
  }
}

/** setpriv would be the one to notice, and its complaint would stand in the child's own log. */
async function refuseMissing({ command, env, hint }: ChildOptions): Promise<void> {
  const folders = isAbsolute(command) ? [""] : (env["PATH"] ?? "/usr/bin:/bin").split(delimiter);
  for (const folder of folders) {
    try {
      await access(join(folder, command), constants.X_OK);
      return;
    } catch {
      continue; // not there, or not for us: the next folder may have it
    }
  }
  throw new Problem("child-missing", `Cannot find the program ${command}`, { hint });
}

/** Between two tries to connect. */
const knockPauseMs = 50;

/** Whether somebody listens on the port of loopback before `signal`. Rejects with nothing: false says it was not so. */
export async function answersOn(port: number, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (open) return true;
    await sleep(knockPauseMs, undefined, { signal }).catch(() => undefined);
  }
  return false;
}

/** TCP ports on loopback that nobody listens on at the moment. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
