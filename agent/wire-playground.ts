// A whole cluster on this computer: private machines with an agent each, in this process around one embedded registry,
// or with `etcd` as processes of their own around a real etcd. Implements ports/playground.ts.
import { createApiClient } from "./adapters/api-client.ts";
import { serveApi } from "./adapters/api-server.ts";
import { type Child, answersOn, freePorts, startChild } from "./adapters/child.ts";
import { machineHost } from "./adapters/machine-host.ts";
import {
  freshDirectory,
  hexOf,
  lastLine,
  makeDirectory,
  makeRepository,
  randomHex,
  removeDirectory,
  writePrivate,
} from "./adapters/playground-files.ts";
import { forgetPrivate, notePrivate } from "./adapters/shell/private-machine.ts";
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
/** An agent that is told to end and does not is killed. */
const agentEndMs = 5_000;
const etcdTimeoutMs = 30_000;

/** What the machines are told apart by: two regions, two kinds of disk. */
const metadata = ["region=eu,disk=ssd", "region=eu,disk=hdd", "region=us,disk=ssd"];

export function createPlaygroundWorld(parts: PlaygroundParts): PlaygroundWorld {
  const controlSocket = `${parts.directory}/control.sock`;
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
  /** Aborted when the end begins: nothing is started any more. */
  readonly #over = new AbortController();
  #registry: EmbeddedRegistry | undefined;
  #etcd: { readonly child: Child; readonly url: string } | undefined;

  private constructor(parts: PlaygroundParts) {
    this.#parts = parts;
    this.repository = `${parts.directory}/units`;
  }

  static async open(parts: PlaygroundParts, opening: Opening): Promise<Cluster> {
    const { options, progress, signal, controlSocket } = opening;
    await refuseSecond(controlSocket);
    await freshDirectory(parts.directory);
    const cluster = new Cluster(parts);
    const stop = () => cluster.#over.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      progress("Making a repository of the example units");
      await makeRepository(cluster.repository, parts.example);
      signal.throwIfAborted();
      progress(options.etcd ? "Starting etcd" : "Starting an embedded registry");
      if (options.etcd) cluster.#etcd = await startEtcd(parts, signal);
      else cluster.#registry = await createEmbeddedRegistry({ clock: parts.clock });
      progress(
        options.machines === 1
          ? "Starting a machine with a systemd of its own"
          : `Starting ${options.machines} machines, each with a systemd of its own`,
      );
      for (let index = 0; index < options.machines; index++) cluster.machines.push(cluster.#box(index));
      await cluster.#startAll();
      signal.throwIfAborted();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** All or none: the first failure stops the others, and is the one that is told. */
  async #startAll(): Promise<void> {
    const failures: unknown[] = [];
    const starts = this.machines.map(async (box) => {
      try {
        await box.start(this.#over.signal);
      } catch (error) {
        failures.push(error);
        this.#over.abort(error);
      }
    });
    await Promise.all(starts);
    if (failures.length > 0) throw failures[0];
  }

  #box(index: number): Box {
    const name = `m${index + 1}`;
    return new Box({
      parts: this.#parts,
      name,
      index,
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
    const box = this.#find(name);
    if (!box.running) throw new Problem("playground-machine", `Cannot kill ${name}: it is off`);
    await box.kill();
  }

  async start(name: string): Promise<void> {
    await this.#find(name).start(this.#over.signal);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#over.abort(new Problem("aborted", "Cannot start a machine: the playground ends"));
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
  /** From 0. */
  readonly index: number;
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

/** One machine of the playground: a private machine and its agent. Its orders are carried out one after another. */
class Box implements PlaygroundMachine {
  readonly name: string;
  readonly id: MachineId;
  readonly socket: string;
  readonly #box: BoxParts;
  readonly #directory: string;
  #machine: PrivateMachine | undefined;
  #agent: Running | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(box: BoxParts) {
    this.#box = box;
    this.name = box.name;
    this.#directory = `${box.parts.directory}/${box.name}`;
    this.socket = `${this.#directory}/api.sock`;
    // Begins with the machine's own number, because listings show the first eight digits.
    const rest = hexOf(this.#directory).slice(0, 24);
    this.id = `${String(box.index + 1).repeat(8)}${rest}` as MachineId;
  }

  get running(): boolean {
    return this.#machine !== undefined;
  }

  get pid(): number | undefined {
    return this.#machine?.pid;
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#inTurn(() => this.#start(signal));
  }

  /** Without a word to the others. */
  kill(): Promise<void> {
    return this.#inTurn(() => this.#kill());
  }

  /** The agent is told to end and does so in its own time, within a bound. */
  stop(): Promise<void> {
    return this.#inTurn(() => this.#stop());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined); // told to the one who asked for it
    return done;
  }

  async #start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.running) throw new Problem("playground-machine", `Cannot start ${this.name}: it is on`);
    const host = `${this.#directory}/machine`;
    await makeDirectory(this.#directory);
    // A power cut leaves nothing under /run.
    await removeDirectory(`${host}/flotilla`);
    const machine = await machineHost.startMachine({ directory: host, name: this.name, signal });
    this.#machine = machine;
    try {
      signal.throwIfAborted();
      await notePrivate(this.#box.parts.directory, this.id, { pid: machine.pid, runtime: `${host}/run` });
      this.#agent = await this.#startAgent(machine, `${host}/flotilla`);
      await this.#answering(this.#agent, signal);
    } catch (error) {
      await this.#kill();
      throw error;
    }
    // Whoever kills the machine's process kills the machine, agent and all.
    machine.exited
      .then(() => this.#inTurn(async () => (this.#machine === machine ? this.#kill() : undefined)))
      .catch((error: unknown) => this.#box.parts.log(this.name).error("playground.machine", error));
  }

  async #kill(): Promise<void> {
    const agent = this.#agent;
    const machine = this.#machine;
    this.#agent = undefined;
    this.#machine = undefined;
    agent?.kill();
    await forgetPrivate(this.#box.parts.directory, this.id);
    await machine?.kill();
    await agent?.ended;
    if (machine !== undefined) this.#box.onDown();
  }

  async #stop(): Promise<void> {
    const agent = this.#agent;
    const machine = this.#machine;
    this.#agent = undefined;
    this.#machine = undefined;
    agent?.stop();
    await Promise.all([this.#ended(agent), machine?.kill()]);
  }

  async #ended(agent: Running | undefined): Promise<void> {
    if (agent === undefined) return;
    const ended = new AbortController();
    const late = this.#box.parts.clock.sleep(agentEndMs, ended.signal).then(
      () => agent.kill(),
      () => undefined,
    );
    await agent.ended;
    ended.abort();
    await late;
  }

  /** Resolves when the agent's API answers; rejects when the agent has ended instead. */
  async #answering(agent: Running, signal: AbortSignal): Promise<void> {
    const { parts } = this.#box;
    const client = createApiClient(this.socket);
    const gone = new AbortController();
    agent.ended.then(() => gone.abort()).catch(() => gone.abort());
    const endMs = parts.clock.monotonicMs() + agentTimeoutMs;
    for (;;) {
      try {
        await client.get("/v2", { signal, timeoutMs: agentTimeoutMs });
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!gone.signal.aborted && parts.clock.monotonicMs() < endMs) await parts.clock.sleep(30, signal);
        else {
          throw new Problem("playground-agent", `Cannot start the agent of ${this.name}`, {
            hint: `Its last words: ${await lastLine(`${parts.directory}/${this.name}.log`)}`,
            cause: error,
          });
        }
      }
    }
  }

  async #startAgent(machine: PrivateMachine, runDirectory: string): Promise<Running> {
    const conf = `${this.#directory}/flotilla.conf`;
    await writePrivate(conf, this.#conf(machine, runDirectory));
    return this.#box.etcdUrl === undefined ? this.#startHere(conf) : this.#startProcess(conf);
  }

  /** The same settings file as on a real machine, so that the playground shows how one looks. */
  #conf(machine: PrivateMachine, runDirectory: string): string {
    const { etcdUrl, repository, metadata: facts, index } = this.#box;
    return `[Machine]
Id=${this.id}
Hostname=${this.name}
PublicIP=127.0.0.${index + 1}
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
StateDirectory=${this.#directory}/state
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
    const bootId = randomHex();
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
      logFile: `${parts.directory}/${this.name}.log`,
      hint: "This is flotilla itself",
    });
    return { kill: () => child.signal("SIGKILL"), stop: () => child.signal("SIGTERM"), ended: child.exited };
  }
}

async function settingsOf(conf: string): Promise<Settings> {
  const { settings } = await readSettings({ config: conf, flags: {} }, {});
  return settings;
}

/** One member on loopback, all in the playground's folder. Resolves when it listens. */
async function startEtcd(parts: PlaygroundParts, signal: AbortSignal): Promise<{ child: Child; url: string }> {
  const [client = 0, peer = 0] = await freePorts(2);
  const url = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const logFile = `${parts.directory}/etcd.log`;
  const child = await startChild({
    command: "etcd",
    args: [
      ...["--name", "playground", "--data-dir", `${parts.directory}/etcd`],
      ...["--listen-client-urls", url, "--advertise-client-urls", url],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `playground=${peerUrl}`, "--log-outputs", "stderr"],
    ],
    env: { PATH: parts.environment["PATH"], ETCD_UNSUPPORTED_ARCH: parts.environment["ETCD_UNSUPPORTED_ARCH"] },
    logFile,
    hint: "Install it: apt-get install etcd-server; or leave out --etcd",
  });
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  const late = parts.clock.sleep(etcdTimeoutMs, over.signal).then(stop, () => undefined);
  child.exited.then(stop).catch(stop);
  try {
    if (!signal.aborted && (await answersOn(client, over.signal))) return { child, url };
  } finally {
    over.abort();
    signal.removeEventListener("abort", stop);
    await late;
  }
  child.signal("SIGKILL");
  await child.exited;
  signal.throwIfAborted();
  throw new Problem("playground-etcd", "Cannot start etcd", { hint: `Its last words: ${await lastLine(logFile)}` });
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
