// A child process that cannot outlive this one: for the playground's etcd and its agents.
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { createServer } from "node:net";
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

/** Starts it with a kernel promise that it is killed when this process dies (prctl(2), PR_SET_PDEATHSIG). */
export async function startChild(options: ChildOptions): Promise<Child> {
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
    throw new Problem("child-start", `Cannot start ${options.command}`, { hint: options.hint, cause: error });
  } finally {
    await log.close();
  }
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
