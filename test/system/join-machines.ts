// Machines on their way into etcd, for tests: settings, state and an etcd of its own for each, on loopback ports of one
// computer; and the discovery services that they ask. Everything it starts ends with `close`, by process id.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { createClock } from "../../agent/adapters/clock.ts";
import type { JoinProgress, JoinRecord } from "../../agent/domain/discovery.ts";
import { createDiscoveryTools } from "../../agent/wire-discovery.ts";
import { joinByRequest } from "../../agent/wire-join.ts";

const clock = createClock();
const patienceMs = 30_000;

export interface MachineOptions {
  readonly name: string;
  /** Lines of [Etcd] beside the URLs and the data directory. */
  readonly etcd: string;
  /** Without PeerURLs=. */
  readonly withoutPeerUrls?: boolean;
  readonly peerUrl?: string;
}

/** A folder and whatever runs in it. */
export class JoinWorldOnDisk {
  /** Not below /tmp: data of etcd is refused there. */
  readonly directory = mkdtempSync(join(homedir(), ".flotilla-join-"));
  readonly #closers: (() => Promise<void>)[] = [];
  #ports: number[] = [];

  constructor() {
    process.once("exit", this.#onExit);
  }

  readonly #onExit = (): void => rmSync(this.directory, { recursive: true, force: true });

  /** A port that is free now; all of one world differ. */
  async port(): Promise<number> {
    for (;;) {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      server.close();
      await once(server, "close");
      if (address === null || typeof address === "string") throw new Error("No port");
      if (this.#ports.includes(address.port)) continue;
      this.#ports.push(address.port);
      return address.port;
    }
  }

  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async machine(options: MachineOptions): Promise<JoinMachine> {
    const machine = new JoinMachine(this.directory, options, await this.port(), await this.port());
    await machine.configure(options.etcd);
    this.onClose(() => machine.close());
    return machine;
  }

  /** Our own discovery service. `stop` and `start` keep its tokens. */
  async service(tls?: { readonly cert: string; readonly key: string }): Promise<OwnService> {
    const service = new OwnService(join(this.directory, `service-${await this.port()}`), await this.port(), tls);
    this.onClose(() => service.stop());
    await service.start();
    return service;
  }

  /** A single etcd as a store, with both its versions. */
  async etcdStore(): Promise<string> {
    const [client, peer] = [await this.port(), await this.port()];
    const url = `http://127.0.0.1:${client}`;
    const folder = join(this.directory, `store-${client}`);
    const child = spawnEtcd(folder, {
      ETCD_ENABLE_V2: "true",
      ETCD_LISTEN_CLIENT_URLS: url,
      ETCD_ADVERTISE_CLIENT_URLS: url,
      ETCD_LISTEN_PEER_URLS: `http://127.0.0.1:${peer}`,
      ETCD_INITIAL_ADVERTISE_PEER_URLS: `http://127.0.0.1:${peer}`,
      ETCD_INITIAL_CLUSTER: `default=http://127.0.0.1:${peer}`,
    });
    this.onClose(() => end(child));
    await answering(url, () => readFileSync(`${folder}.log`, "utf8"));
    return url;
  }

  async close(): Promise<void> {
    process.removeListener("exit", this.#onExit);
    await Promise.all(this.#closers.map((close) => close()));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class JoinMachine {
  readonly name: string;
  readonly peerUrl: string;
  readonly clientUrl: string;
  readonly config: string;
  readonly state: string;
  readonly data: string;
  readonly #run: string;
  readonly #options: MachineOptions;
  #etcd: ChildProcess | undefined;

  constructor(directory: string, options: MachineOptions, peerPort: number, clientPort: number) {
    this.name = options.name;
    this.#options = options;
    this.peerUrl = options.peerUrl ?? `http://127.0.0.1:${peerPort}`;
    this.clientUrl = `http://127.0.0.1:${clientPort}`;
    const own = join(directory, `${options.name}-${peerPort}`);
    this.config = `${own}.conf`;
    this.state = join(own, "state");
    this.#run = join(own, "run");
    this.data = join(own, "etcd");
  }

  async configure(etcd: string): Promise<void> {
    const peer = this.#options.withoutPeerUrls === true ? "" : `PeerURLs=${this.peerUrl}\n`;
    const client = etcd.includes("Role=client") ? "" : `ClientURLs=${this.clientUrl}\n`;
    const folders = `DataDirectory=${this.data}\n[Agent]\nStateDirectory=${this.state}\nRunDirectory=${this.#run}\n`;
    const text = `[Machine]\nHostname=${this.name}\n[Etcd]\n${peer}${client}${etcd}\n${folders}LogLevel=error\n`;
    await writeFile(this.config, text);
  }

  /** `flotilla discovery join`, within this process. */
  async join(
    how: { readonly once?: boolean; readonly signal?: AbortSignal; readonly nameServer?: string } = {},
  ): Promise<JoinRecord> {
    const { once: isOnce = false, signal = AbortSignal.timeout(patienceMs), nameServer } = how;
    const record = await joinByRequest(
      { config: this.config, nameServer, once: isOnce },
      { environment: {}, clock },
      signal,
    );
    if (record === undefined) throw new Error("There was nothing to join");
    return record;
  }

  /** Starts to join; `stop` is a power cut, `done` resolves with the record, or rejects. */
  joining(): { readonly done: Promise<JoinRecord>; stop(): Promise<void> } {
    const over = new AbortController();
    const done = this.join({ signal: AbortSignal.any([over.signal, AbortSignal.timeout(patienceMs)]) });
    return {
      done,
      stop: async () => {
        over.abort();
        await done.catch(() => undefined); // the cut itself
      },
    };
  }

  async progress(): Promise<JoinProgress | undefined> {
    const path = join(this.#run, "discovery.json");
    return existsSync(path) ? (JSON.parse(await readFile(path, "utf8")) as JoinProgress) : undefined;
  }

  /** Waits until what is shown matches. */
  async shows(pattern: RegExp): Promise<JoinProgress> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const progress = await this.progress();
      if (progress !== undefined && pattern.test(`${progress.state}: ${progress.what}`)) return progress;
      if (Date.now() > deadline)
        throw new Error(`${this.name} does not show ${String(pattern)} but ${JSON.stringify(progress)}`);
      await clock.sleep(20);
    }
  }

  async environment(): Promise<Readonly<Record<string, string>>> {
    const text = await readFile(join(this.state, "etcd-initial.env"), "utf8");
    return Object.fromEntries(
      text
        .split("\n")
        .filter((line) => /^[A-Z]/.test(line))
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
  }

  /** etcd.service as its drop-in starts it: by the written environment and nothing else that says who is in the cluster. */
  async startEtcd(more: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#etcd = spawnEtcd(this.data, {
      ...(await this.environment()),
      ETCD_LISTEN_PEER_URLS: this.peerUrl.replace("localhost", "127.0.0.1"),
      ETCD_LISTEN_CLIENT_URLS: this.clientUrl,
      ETCD_ADVERTISE_CLIENT_URLS: this.clientUrl,
      ...more,
    });
  }

  /** etcd's own `--discovery`, beside ours. */
  async startNative(discovery: string): Promise<void> {
    await mkdir(dirname(this.data), { recursive: true });
    this.#etcd = spawnEtcd(this.data, {
      ETCD_NAME: this.name,
      ETCD_DISCOVERY: discovery,
      ETCD_INITIAL_ADVERTISE_PEER_URLS: this.peerUrl,
      ETCD_LISTEN_PEER_URLS: this.peerUrl,
      ETCD_LISTEN_CLIENT_URLS: this.clientUrl,
      ETCD_ADVERTISE_CLIENT_URLS: this.clientUrl,
    });
  }

  async serves(): Promise<void> {
    await answering(this.clientUrl, () => readFileSync(`${this.data}.log`, "utf8"));
  }

  async stopEtcd(): Promise<void> {
    if (this.#etcd !== undefined) await end(this.#etcd);
    this.#etcd = undefined;
  }

  /** Everything that it had on its disk is gone; its settings come with the machine. */
  async loseDisk(): Promise<void> {
    await this.stopEtcd();
    await rm(this.data, { recursive: true, force: true });
    await rm(this.state, { recursive: true, force: true });
    await rm(this.#run, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await this.stopEtcd();
  }

  /** Members as this machine's etcd sees them: `id name`, sorted. */
  async members(): Promise<{ readonly clusterId: string; readonly members: readonly string[] }> {
    const answer = await fetch(`${this.peerUrl}/members`, { signal: AbortSignal.timeout(5_000) });
    const text = (await answer.text()).replace(/"id":\s*(\d+)/g, '"id":"$1"');
    const members = JSON.parse(text) as readonly { readonly id: string; readonly name: string }[];
    return {
      clusterId: answer.headers.get("x-etcd-cluster-id") ?? "",
      members: members.map(({ id, name }) => `${BigInt(id).toString(16)} ${name}`).sort(),
    };
  }

  /** Writes and reads a key through etcd's JSON gateway: a majority has agreed. */
  async agrees(): Promise<void> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const body = JSON.stringify({ key: "YQ==", value: "Yg==" });
      const put = fetch(`${this.clientUrl}/v3/kv/put`, { method: "POST", body, signal: AbortSignal.timeout(2_000) });
      const isWritten = await put.then(
        (answer) => answer.ok,
        () => false, // not up yet, or without a majority
      );
      if (isWritten) return;
      if (Date.now() > deadline)
        throw new Error(`${this.name}: ${readFileSync(`${this.data}.log`, "utf8").slice(-2000)}`);
      await clock.sleep(50);
    }
  }
}

/** `flotilla discovery serve`, within this process. */
export class OwnService {
  readonly url: string;
  readonly #directory: string;
  readonly #port: number;
  readonly #tools = createDiscoveryTools({ clock, env: {} });
  #running: { readonly over: AbortController; readonly done: Promise<void> } | undefined;

  readonly #tls: { readonly cert: string; readonly key: string } | undefined;

  constructor(directory: string, port: number, tls?: { readonly cert: string; readonly key: string }) {
    this.#directory = directory;
    this.#port = port;
    this.#tls = tls;
    this.url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  }

  async start(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    const over = new AbortController();
    const request = {
      ...{ host: "127.0.0.1", port: this.#port, directory: this.#directory, publicUrl: this.url },
      ...{ certFile: this.#tls?.cert, keyFile: this.#tls?.key, keepFormedMs: 3_600_000 },
    };
    await new Promise<void>((resolve, reject) => {
      const done = this.#tools.serve(request, async () => resolve(), over.signal);
      done.catch(reject);
      this.#running = { over, done };
    });
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.over.abort();
    await running?.done;
  }

  async newToken(size: number, caFile?: string): Promise<string> {
    return this.#tools.newToken({ url: this.url, size, caFile }, AbortSignal.timeout(5_000));
  }
}

function spawnEtcd(folder: string, environment: Readonly<Record<string, string>>): ChildProcess {
  const child = spawn("etcd", [], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      ETCD_DATA_DIR: folder,
      ETCD_LOGGER: "zap",
      ETCD_LOG_LEVEL: "info",
      ...environment,
    },
  });
  const log = createWriteStream(`${folder}.log`, { flags: "a" });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  child.once("exit", () => log.end());
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

async function answering(url: string, log: () => string): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const asked = fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) });
    const isUp = await asked.then(
      (answer) => answer.ok,
      () => false, // not up yet
    );
    if (isUp) return;
    if (Date.now() > deadline) throw new Error(`etcd at ${url} does not answer: ${log().slice(-2000)}`);
    await clock.sleep(50);
  }
}
