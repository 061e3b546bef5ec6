// A way through another machine to an agent's API: ssh listens on a socket in a folder of this process alone and hands on what
// comes there, to a socket or a port on the other side. One connection by ssh for all that a command asks.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Problem } from "../../domain/problem.ts";
import type { Endpoint, SshOptions } from "../../ports/reach.ts";
import { checkSocketPath } from "../socket-path.ts";
import { sshFailure } from "./ssh-failure.ts";
import { sshWords } from "./ssh-words.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const lookPauseMs = 10;
/** Beside the time to connect: to be let in, which a person may have to help with. */
const letInMs = 60_000;

export interface Tunnel {
  /** Path of a socket behind which the endpoint is. */
  readonly socket: string;
  /** False once the connection has broken. */
  stands(): boolean;
}

export interface TunnelOptions {
  readonly endpoint: Endpoint;
  readonly ssh: SshOptions;
  readonly env: Environment;
  /** Gives up opening it. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * It is there until this process ends, however it ends: the command at the other side reads from us and ends with us. When it
 * breaks nothing of it stays. Rejects with Problems of code "ssh-...", as a MachineShell does, and "aborted".
 */
export async function openTunnel({ endpoint, ssh, env, signal }: TunnelOptions): Promise<Tunnel> {
  const { tunnel } = ssh;
  if (tunnel === undefined) throw new Error("There is no tunnel to open");
  const folder = await mkdtemp(join(env["TMPDIR"] ?? tmpdir(), "flotilla-ssh-"));
  const clear = (): void => rmSync(folder, { recursive: true, force: true });
  let end = (): void => undefined;
  const over = (): void => {
    process.off("exit", clear).off("exit", end);
    clear();
  };
  process.once("exit", clear);
  const socket = join(folder, "api");
  const log = join(folder, "ssh.log");
  try {
    checkSocketPath(socket);
    const words = sshWords({
      // The tunnel is the machine to go to here, by its own port
      ssh: { ...ssh, tunnel: undefined, port: undefined },
      to: tunnel,
      command: "cat",
      mayAsk: (process.stdin as { readonly isTTY?: boolean }).isTTY === true,
      terminal: false,
      forwardAgent: false,
      logs: { own: log, tunnel: log },
    });
    // Not handed to a connection that is there for others, which would keep it
    const forward = [
      "-o",
      "ControlPath=none",
      "-o",
      "ExitOnForwardFailure=yes",
      "-L",
      `${socket}:${farSide(endpoint)}`,
    ];
    const child = spawn("ssh", [...forward, ...words], { env: { ...env }, stdio: ["pipe", "ignore", "ignore"] });
    end = () => void child.kill("SIGTERM");
    process.once("exit", end);
    await ready(child, { socket, log, host: tunnel.host, withinMs: ssh.timeoutMs + letInMs, signal });
    const stands = (): boolean => child.exitCode === null && child.signalCode === null;
    if (stands()) child.once("exit", over);
    else over();
    return { socket, stands };
  } catch (error) {
    over();
    throw error;
  }
}

/** A colon in a path would end it for ssh, which takes none in quotes either. */
function farSide(endpoint: Endpoint): string {
  if (endpoint.kind === "unix") {
    if (!endpoint.path.includes(":")) return endpoint.path;
    throw new Problem("api-socket-path", `Cannot reach "${endpoint.path}" through a tunnel`, {
      hint: "ssh takes no path with a colon",
    });
  }
  const { hostname, port, protocol } = new URL(endpoint.origin);
  return `${hostname}:${port === "" ? (protocol === "https:" ? 443 : 80) : port}`;
}

interface Waiting {
  readonly socket: string;
  readonly log: string;
  readonly host: string;
  readonly withinMs: number;
  readonly signal: AbortSignal | undefined;
}

async function ready(child: ChildProcess, { socket, log, host, withinMs, signal }: Waiting): Promise<void> {
  let failed: Error | undefined;
  let ended = false;
  child.once("error", (error) => {
    failed = error;
    ended = true;
  });
  child.once("exit", () => (ended = true));
  child.stdin?.on("error", () => undefined); // it ended first, which is told by what is asked of it
  const late = AbortSignal.timeout(withinMs);
  while (!hasEnded() && !late.aborted && signal?.aborted !== true) {
    if (existsSync(socket)) {
      // Nothing of it keeps this process alive
      child.unref();
      (child.stdin as { unref?: () => void } | null)?.unref?.();
      return;
    }
    await sleep(lookPauseMs);
  }
  child.kill("SIGTERM");
  if (signal?.aborted === true) throw new Problem("aborted", `Cannot wait for tunnel "${host}": it was given up`);
  if (failed !== undefined) {
    throw new Problem("ssh-missing", "Cannot start ssh", {
      hint: "Install OpenSSH's client: apt-get install openssh-client",
      cause: failed,
    });
  }
  const own = await readFile(log, "utf8").catch(() => ""); // it came to no word
  const said = sshFailure({ what: `tunnel "${host}"`, host, own, tunnel: "", tunnelHost: undefined });
  throw (
    said ??
    new Problem("ssh-failed", `Cannot reach tunnel "${host}" by ssh`, { hint: `Try it by hand: ssh -v ${host}` })
  );

  /** The compiler takes the first look for lasting. */
  function hasEnded(): boolean {
    return ended;
  }
}
