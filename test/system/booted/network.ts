// A network for booted machines: a world of namespaces with a bridge in it, which is gone with everything in it when this
// process is, however that comes about. The test's process reaches in: it serves and connects there as if it were inside.
import assert from "node:assert/strict";
import { type ChildProcess, type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { Server as HttpServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";
import { Server, Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { linkScript, keeperScript, socketScript, worldScript } from "./scripts.ts";

const run = promisify(execFile);

/** The bridge's address unless a test wants another; its network is that of the machines. */
const defaultAddress = "10.77.0.1/24";
/** Where metadata services are, on every cloud. */
export const metadataAddress = "169.254.169.254";
/** PATH may lack the folders of administrators' programs. */
const paths = `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin`;
const worldTimeoutMs = 10_000;
const commandTimeoutMs = 20_000;
const requestTimeoutMs = 10_000;
const complaintChars = 4_096;

/** Why this host cannot have booted machines: the message is one line for people. */
export class NoMachines extends Error {}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** 10 s unless set. */
  readonly timeoutMs?: number;
}

type Keeper = ChildProcessByStdio<Writable, Readable, Readable>;

let networks = 0;

export class Network {
  /** The bridge's address without prefix: where the test's servers are for machines. */
  readonly address: string;
  /** First process of the world, as seen from here. */
  readonly pid: number;
  /** The world's control group, as seen from here; each machine has one below it. */
  readonly group: string;
  readonly #prefix: string;
  readonly #keeper: Keeper;
  readonly #exited: Promise<unknown>;
  readonly #attended: Promise<unknown>[] = [];
  #ports = 0;
  #sockets: SocketMaker | undefined;
  readonly #servers = new Set<Server>();

  private constructor(keeper: Keeper, parts: { address: string; pid: number; group: string }) {
    const [address = "", prefix = "24"] = parts.address.split("/");
    this.address = address;
    this.#prefix = prefix;
    this.pid = parts.pid;
    this.group = parts.group;
    this.#keeper = keeper;
    this.#exited = keeper.exitCode === null ? once(keeper, "exit") : Promise.resolve();
  }

  /**
   * A bridge alone: `address` (with prefix) is its own; it has 169.254.169.254 as well. Rejects with NoMachines when this
   * host cannot have it.
   */
  static async open({ address = defaultAddress }: { address?: string } = {}): Promise<Network> {
    const name = `flotilla-test-${process.pid}-${++networks}`;
    // In a session of its own: a Ctrl-C at the terminal is for us, and the world ends when we say so or are gone.
    const keeper = spawn("sh", ["-c", 'eval "$KEEPER"', "keeper", name, address, `${metadataAddress}/32`], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      cwd: "/",
      env: { ...process.env, KEEPER: keeperScript, WORLD: worldScript, PATH: paths },
    });
    keeper.stdin.on("error", () => undefined); // the world ended first, which shows soon enough
    try {
      return new Network(keeper, { address, ...(await hear(keeper)) });
    } catch (error) {
      keeper.stdin.end();
      if (keeper.exitCode === null) await once(keeper, "exit");
      throw error;
    }
  }

  /** Runs a script in the world, where its mounts and interfaces are. Rejects with what it complained of when it fails. */
  async inWorld(script: string, args: readonly string[], { input }: { input?: string | Buffer } = {}): Promise<string> {
    const enter = ["--target", String(this.pid), "--mount", "--net", "--pid", "--", "setpriv", "--pdeathsig", "KILL"];
    const child = spawn("nsenter", [...enter, "--", "sh", "-c", script, "sh", ...args], {
      stdio: "pipe",
      env: { ...process.env, PATH: paths },
      timeout: commandTimeoutMs,
      killSignal: "SIGKILL",
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.on("error", () => undefined); // it may end without reading all
    child.stdin.end(input);
    const [status] = (await once(child, "close")) as [number | null];
    if (status === 0) return stdout;
    throw new Error(`A script for ${args.join(" ")} ends with ${status ?? `${commandTimeoutMs} ms`}: ${stderr.trim()}`);
  }

  /** Gives a machine its end of the network, with a fixed address; resolves with what to call that end. */
  async plug(name: string, address: string): Promise<string> {
    const port = ++this.#ports;
    await this.inWorld(linkScript, [name, String(port), `${address}/${this.#prefix}`, this.address]);
    return `port${port}`;
  }

  /**
   * Starts a process in the network, with the host's files: on the bridge, or where `plug` made an end of that name. It
   * ends with this process; the caller ends it otherwise.
   */
  spawn(
    command: readonly string[],
    { end, ...options }: { end?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
  ): ChildProcess {
    return spawn("setpriv", this.#within(command, end), { ...options, stdio: ["ignore", "pipe", "pipe"] });
  }

  #within(command: readonly string[], end?: string): readonly string[] {
    const net = end === undefined ? `/proc/${this.pid}/ns/net` : `/proc/${this.pid}/root/run/netns/${end}`;
    const enter = ["nsenter", `--net=${net}`, "--"];
    return ["--pdeathsig", "KILL", "--", ...enter, ...command];
  }

  /** Runs a command in the network to its end; its output, whatever its status. */
  async run(
    command: readonly string[],
    { timeoutMs = commandTimeoutMs }: { timeoutMs?: number } = {},
  ): Promise<string> {
    const { stdout } = await run("setpriv", this.#within(command), { timeout: timeoutMs });
    return stdout;
  }

  /**
   * Lets a server of this process (HTTP, TLS, plain) take connections in the network, at the bridge's address unless
   * `host` is set; port 0 is any free one. The caller closes it, or else `close`: a test that failed leaves nobody waiting.
   */
  async listen(server: Server, { host = this.address, port = 0 }: Partial<Address> = {}): Promise<Address> {
    const answer = await this.#socketMaker().ask({ kind: "listen", host, port });
    assert.ok(answer.handle instanceof Server);
    server.listen(answer.handle);
    await once(server, "listening");
    this.#servers.add(server);
    return { host, port: answer.port };
  }

  /** A connection to a machine, or to what listens on the bridge. Rejects when nobody answers. */
  async connect({ host, port }: Address): Promise<Socket> {
    const { handle } = await this.#socketMaker().ask({ kind: "connect", host, port });
    assert.ok(handle instanceof Socket);
    return handle;
  }

  /** One HTTP request within the network. Rejects when nobody answers in time. */
  async request(url: string, options: RequestOptions = {}): Promise<Answer> {
    const { method = "GET", headers = {}, body, timeoutMs = requestTimeoutMs } = options;
    const { hostname, port } = new URL(url);
    const signal = AbortSignal.timeout(timeoutMs);
    const socket = await this.#socketMaker().ask({ kind: "connect", host: hostname, port: Number(port || 80) }, signal);
    return new Promise((resolve, reject) => {
      const createConnection = (): Socket => socket.handle as Socket;
      const outgoing = request(url, { method, headers, signal, createConnection }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
        });
      });
      outgoing.once("error", reject);
      outgoing.once("close", () => (socket.handle as Socket).destroy());
      outgoing.end(body);
    });
  }

  #socketMaker(): SocketMaker {
    this.#sockets ??= new SocketMaker(this.#within([process.execPath, "-e", socketScript]));
    return this.#sockets;
  }

  /** Something that comes to its end with the network, and that `close` waits for; how it ends is for others to see. */
  attend(end: Promise<unknown>): void {
    end.catch(() => undefined);
    this.#attended.push(end);
  }

  /** Ends everything in it: machines, processes, interfaces, mounts, control groups. */
  async close(): Promise<void> {
    this.#sockets?.close();
    this.#keeper.stdin.end();
    await this.#exited;
    await Promise.allSettled(this.#attended);
    for (const server of this.#servers) {
      server.close();
      if (server instanceof HttpServer) server.closeAllConnections();
    }
  }
}

async function hear(keeper: Keeper): Promise<{ pid: number; group: string }> {
  let [said, complaints] = ["", ""];
  keeper.stderr
    .setEncoding("utf8")
    .on("data", (text: string) => (complaints = (complaints + text).slice(-complaintChars)));
  return new Promise((resolve, reject) => {
    const refuse = (what: string): void => {
      clearTimeout(timer);
      const cause = complaints.trim().split("\n").join("; ");
      reject(new NoMachines(`no machine can be booted here: ${what}${cause === "" ? "" : ` (${cause})`}`));
    };
    const timer = setTimeout(() => refuse(`there is no answer within ${worldTimeoutMs} ms`), worldTimeoutMs);
    keeper.once("error", (error) => refuse(error.message));
    keeper.once("close", () => {
      const missing = /^missing (.*)$/m.exec(said)?.[1];
      refuse(missing === undefined ? "the keeper ended early" : `this host lacks ${missing}`);
    });
    keeper.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const group = /^group (.*)\n/m.exec(said)?.[1];
      const pid = /^pid (\d+)\n/m.exec(said)?.[1];
      if (group === undefined || pid === undefined) return;
      clearTimeout(timer);
      resolve({ pid: Number(pid), group });
    });
  });
}

interface Wish extends Address {
  readonly kind: "listen" | "connect";
}

interface Granted {
  readonly port: number;
  readonly handle: unknown;
}

/** A process in the network that makes sockets for this one. */
class SocketMaker {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (granted: Granted) => void; reject: (error: Error) => void }>();
  #asked = 0;

  constructor(args: readonly string[]) {
    this.#process = spawn("setpriv", args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#process.on("message", (message: { id: number; port?: number; error?: string }, handle: unknown) => {
      const asker = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (asker === undefined)
        (handle as Socket | undefined)?.destroy(); // nobody waits for it any more
      else if (message.error !== undefined) asker.reject(new Error(message.error));
      else asker.resolve({ port: message.port ?? 0, handle });
    });
    this.#process.once("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("The network was closed"));
    });
  }

  async ask(wish: Wish, signal?: AbortSignal): Promise<Granted> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      signal?.addEventListener("abort", () => {
        if (this.#waiting.delete(id)) reject(new Error(`Nobody answers at ${wish.host}:${wish.port}`));
      });
      this.#process.send({ id, ...wish });
    });
  }

  close(): void {
    this.#process.kill("SIGKILL");
  }
}
