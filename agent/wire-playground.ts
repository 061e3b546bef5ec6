// A whole cluster on this computer: private machines with an agent each, in this process around one embedded registry,
// or with `etcd` as processes of their own around a real etcd. Implements ports/playground.ts.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createApiClient } from "./adapters/api-client.ts";
import { serveApi } from "./adapters/api-server.ts";
import { type Child, freePorts, startChild } from "./adapters/child.ts";
import { machineHost } from "./adapters/machine-host.ts";
import { freshDirectory, makeRepository, removeDirectory } from "./adapters/playground-files.ts";
import {
  type EmbeddedConnection,
  type EmbeddedRegistry,
  createEmbeddedRegistry,
} from "./adapters/registry/embedded.ts";
import type { MachineId } from "./domain/names.ts";
import { Problem, explainError } from "./domain/problem.ts";
import type { Settings } from "./domain/settings.ts";
import type { Clock } from "./ports/clock.ts";
import type { Host } from "./ports/host.ts";
import type { Log } from "./ports/log.ts";
import type { PrivateMachine } from "./ports/machine-host.ts";
import type { PlaygroundCluster, PlaygroundMachine, PlaygroundOptions, PlaygroundWorld } from "./ports/playground.ts";
import { readSettings, runAgent } from "./wire.ts";

export interface PlaygroundParts {
  /** The playground's own folder; removed at the end. */
  readonly directory: string;
  /** Folder of the example units. */
  readonly example: string;
  /** Command line that runs flotilla, for agents in processes of their own. */
  readonly flotilla: readonly [string, ...string[]];
  readonly clock: Clock;
  /** Log of the agents of this machine; they are many voices, so it goes to a file. */
  readonly log: (machine: string) => Log;
  readonly host: Host;
  readonly version: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** From the agent's start until its API answers; a second or two, more on a slow host. */
const agentTimeoutMs = 30_000;

/** What the machines are told apart by: two regions, two kinds of disk. */
const metadata = ["region=eu,disk=ssd", "region=eu,disk=hdd", "region=us,disk=ssd"];

export function createPlaygroundWorld(parts: PlaygroundParts): PlaygroundWorld {
  const controlSocket = join(parts.directory, "control.sock");
  return {
    controlSocket,
    open: (options, progress, signal) => Cluster.open(parts, { options, progress, signal, controlSocket }),
    serveControl: (cluster) => serveControl(cluster, controlSocket),
  };
}

interface Opening {
  readonly options: PlaygroundOptions;
  readonly progress: (step: string) => void;
  readonly signal: AbortSignal;
  readonly controlSocket: string;
}

class Cluster implements PlaygroundCluster {
  readonly repository: string;
  readonly machines: Box[] = [];
  readonly #parts: PlaygroundParts;
  readonly #listeners = new Set<() => void>();
  #registry: EmbeddedRegistry | undefined;
  #etcd: { readonly child: Child; readonly url: string } | undefined;

  private constructor(parts: PlaygroundParts) {
    this.#parts = parts;
    this.repository = join(parts.directory, "units");
  }

  static async open(parts: PlaygroundParts, opening: Opening): Promise<Cluster> {
    const { options, progress, signal, controlSocket } = opening;
    await refuseSecond(controlSocket);
    await freshDirectory(parts.directory);
    const cluster = new Cluster(parts);
    try {
      progress("Making a repository of the example units");
      await makeRepository(cluster.repository, parts.example);
      signal.throwIfAborted();
      progress(options.etcd ? "Starting etcd" : "Starting an embedded registry");
      if (options.etcd) cluster.#etcd = await startEtcd(parts);
      else cluster.#registry = await createEmbeddedRegistry({ clock: parts.clock });
      progress(`Starting ${options.machines} machines, each with a systemd of its own`);
      for (let index = 0; index < options.machines; index++) cluster.machines.push(cluster.#box(index));
      await Promise.all(cluster.machines.map((box) => box.start(signal)));
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  #box(index: number): Box {
    const name = `m${index + 1}`;
    return new Box({
      parts: this.#parts,
      name,
      metadata: metadata[index % metadata.length] ?? "",
      repository: this.repository,
      connect: () => this.#registry?.connect(),
      etcdUrl: this.#etcd?.url,
      onDown: () => {
        for (const listener of this.#listeners) listener();
      },
    });
  }

  async kill(name: string): Promise<void> {
    await this.#find(name).kill();
  }

  async start(name: string): Promise<void> {
    const box = this.#find(name);
    if (box.running) throw new Problem("playground-running", `Cannot start ${name}: it is on`);
    await box.start(new AbortController().signal);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (work: Promise<unknown> | undefined) => {
      await work?.catch((error: unknown) => failures.push(error));
    };
    await Promise.all(this.machines.map((box) => attempt(box.stop())));
    await attempt(this.#registry?.close());
    this.#etcd?.child.signal("SIGKILL");
    await attempt(this.#etcd?.child.exited);
    await attempt(removeDirectory(this.#parts.directory));
    if (failures.length > 0) throw new AggregateError(failures, "Cannot tidy up the playground");
  }

  #find(name: string): Box {
    const box = this.machines.find((each) => each.name === name);
    if (box !== undefined) return box;
    throw new Problem("playground-machine", `Cannot find a machine named "${name.slice(0, 64)}"`, {
      hint: `There are ${this.machines.map((each) => each.name).join(", ")}`,
    });
  }
}

interface BoxParts {
  readonly parts: PlaygroundParts;
  readonly name: string;
  readonly metadata: string;
  readonly repository: string;
  readonly connect: () => EmbeddedConnection | undefined;
  readonly etcdUrl: string | undefined;
  readonly onDown: () => void;
}

/** One agent while it runs. */
interface Running {
  /** Ends as if killed: without a word to the others. */
  kill(): void;
  /** Ends as told to. */
  stop(): void;
  readonly ended: Promise<void>;
}

/** One machine of the playground: a private machine and its agent. */
class Box implements PlaygroundMachine {
  readonly name: string;
  readonly socket: string;
  readonly #box: BoxParts;
  readonly #directory: string;
  readonly #id: MachineId;
  #machine: PrivateMachine | undefined;
  #agent: Running | undefined;

  constructor(box: BoxParts) {
    this.#box = box;
    this.name = box.name;
    this.#directory = join(box.parts.directory, box.name);
    this.socket = join(this.#directory, "api.sock");
    this.#id = createHash("sha256")
      .update(`${box.parts.directory} ${box.name}`)
      .digest("hex")
      .slice(0, 32) as MachineId;
  }

  get running(): boolean {
    return this.#machine !== undefined;
  }

  get pid(): number | undefined {
    return this.#machine?.pid;
  }

  async start(signal: AbortSignal): Promise<void> {
    const host = join(this.#directory, "machine");
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    // A power cut leaves nothing under /run.
    await rm(join(host, "flotilla"), { recursive: true, force: true });
    const machine = await machineHost.startMachine({ directory: host, name: this.name, signal });
    this.#machine = machine;
    this.#agent = await this.#startAgent(machine, join(host, "flotilla"));
    await this.#answering(this.#agent, signal);
    // Whoever kills the machine's process kills the machine, agent and all.
    machine.exited
      .then(() => (this.#machine === machine ? this.kill() : undefined))
      .catch((error: unknown) => this.#box.parts.log(this.name).error("playground.machine", error));
  }

  async kill(): Promise<void> {
    const agent = this.#agent;
    const machine = this.#machine;
    this.#agent = undefined;
    this.#machine = undefined;
    agent?.kill();
    await machine?.kill();
    await agent?.ended;
    if (machine !== undefined) this.#box.onDown();
  }

  async stop(): Promise<void> {
    const agent = this.#agent;
    const machine = this.#machine;
    this.#agent = undefined;
    this.#machine = undefined;
    agent?.stop();
    await Promise.all([agent?.ended, machine?.kill()]);
  }

  /** Resolves when the agent's API answers; rejects when the agent has ended instead. */
  async #answering(agent: Running, signal: AbortSignal): Promise<void> {
    const { parts } = this.#box;
    const client = createApiClient(this.socket);
    let ended = false;
    void agent.ended.then(() => (ended = true));
    const endMs = parts.clock.monotonicMs() + agentTimeoutMs;
    for (;;) {
      try {
        await client.get("/v2", { signal, timeoutMs: agentTimeoutMs });
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!ended && parts.clock.monotonicMs() < endMs) await parts.clock.sleep(30, signal);
        else {
          throw new Problem("playground-agent", `Cannot start the agent of ${this.name}`, {
            hint: `Its last words: ${await lastLine(join(parts.directory, `${this.name}.log`))}`,
            cause: error,
          });
        }
      }
    }
  }

  async #startAgent(machine: PrivateMachine, runDirectory: string): Promise<Running> {
    const conf = join(this.#directory, "flotilla.conf");
    await writeFile(conf, this.#conf(machine, runDirectory), { mode: 0o600 });
    return this.#box.etcdUrl === undefined ? this.#startHere(conf) : this.#startProcess(conf);
  }

  /** The same settings file as on a real machine, so that the playground shows how one looks. */
  #conf(machine: PrivateMachine, runDirectory: string): string {
    const { etcdUrl, repository, metadata: facts } = this.#box;
    return `[Machine]
Id=${this.#id}
Hostname=${this.name}
PublicIP=127.0.0.1
Metadata=${facts}

[Git]
URL=${repository}
Branch=main
Schedule=* * * * * *
Jitter=0

[Registry]
${etcdUrl === undefined ? "# one registry in memory, shared by all machines of the playground" : `Endpoints=${etcdUrl}`}

[Systemd]
Scope=user
Address=${machine.systemdAddress}
UnitDirectory=${machine.unitDirectory}

[Agent]
StateDirectory=${join(this.#directory, "state")}
RunDirectory=${runDirectory}
Socket=${this.socket}
`;
  }

  async #startHere(conf: string): Promise<Running> {
    const { parts, connect } = this.#box;
    const settings = await settingsOf(conf);
    const registry = connect();
    if (registry === undefined) throw new Error("The playground has no registry");
    const log = parts.log(this.name);
    const over = new AbortController();
    const bootId = randomBytes(16).toString("hex");
    const { clock, host, version, environment } = parts;
    const ended = runAgent({ settings, log, clock, host, version, environment, registry, bootId }, over.signal)
      .catch((error: unknown) => log.error("agent.failed", error))
      .finally(() => registry.close());
    return {
      kill: () => {
        registry.cutOff();
        over.abort();
      },
      stop: () => over.abort(),
      ended,
    };
  }

  async #startProcess(conf: string): Promise<Running> {
    const { parts } = this.#box;
    const [command, ...args] = parts.flotilla;
    const child = await startChild({
      command,
      args: [...args, "agent", "--config", conf],
      env: { PATH: parts.environment["PATH"], HOME: parts.environment["HOME"] },
      logFile: join(parts.directory, `${this.name}.log`),
      hint: "This is flotilla itself",
    });
    return { kill: () => child.signal("SIGKILL"), stop: () => child.signal("SIGTERM"), ended: child.exited };
  }
}

async function lastLine(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.trim().split("\n").at(-1)?.slice(0, 500) || "none";
}

async function settingsOf(conf: string): Promise<Settings> {
  const { settings } = await readSettings({ config: conf, flags: {} }, {});
  return settings;
}

/** One member on loopback, all in the playground's folder. Its own log says why it did not start. */
async function startEtcd(parts: PlaygroundParts): Promise<{ child: Child; url: string }> {
  const [client = 0, peer = 0] = await freePorts(2);
  const url = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const child = await startChild({
    command: "etcd",
    args: [
      ...["--name", "playground", "--data-dir", join(parts.directory, "etcd")],
      ...["--listen-client-urls", url, "--advertise-client-urls", url],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `playground=${peerUrl}`, "--log-outputs", "stderr"],
    ],
    env: { PATH: parts.environment["PATH"], ETCD_UNSUPPORTED_ARCH: parts.environment["ETCD_UNSUPPORTED_ARCH"] },
    logFile: join(parts.directory, "etcd.log"),
    hint: "Install etcd, e.g. apt-get install etcd-server; or leave out --etcd",
  });
  return { child, url };
}

async function refuseSecond(controlSocket: string): Promise<void> {
  const running = await createApiClient(controlSocket)
    .get("/v2", { timeoutMs: 2_000 })
    .then(
      () => true,
      (error: unknown) => !(error instanceof Problem && error.code === "agent-unreachable"),
    );
  if (!running) return;
  throw new Problem("playground-running", "Cannot start a second playground: one is running", {
    hint: "End it with Ctrl-C where it runs",
  });
}

/** GET /v2 says that it runs; POST /v2/machines/NAME/kill and .../start do what they say. */
async function serveControl(cluster: PlaygroundCluster, socket: string): Promise<{ close(): Promise<void> }> {
  return serveApi(
    {
      handle: async (request) => {
        const path = new URL(request.url).pathname;
        const order = /^\/v2\/machines\/([^/]{1,64})\/(kill|start)$/.exec(path);
        try {
          if (path === "/v2") return Response.json({ name: "flotilla playground" });
          if (request.method !== "POST" || order === null)
            throw new Problem("api-path", `Cannot find "${path.slice(0, 200)}"`);
          const [, name = "", verb] = order;
          if (verb === "kill") await cluster.kill(decodeURIComponent(name));
          else await cluster.start(decodeURIComponent(name));
          return Response.json({
            machines: cluster.machines.map((each) => ({ name: each.name, running: each.running })),
          });
        } catch (error) {
          const problem = error instanceof Problem ? error : new Problem("playground", explainError(error));
          const { code, message, hint } = problem;
          return Response.json({ error: { code, message, hint } }, { status: 400 });
        }
      },
      endStreams: () => undefined,
    },
    { socket },
  );
}
