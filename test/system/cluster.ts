// A whole cluster for system tests and the bench, all real: etcd, private machines with systemd, one agent process each
// from the built program, a git repository over HTTP; or without a repository, for units given by hand alone.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import { machineHost } from "../../agent/adapters/machine-host.ts";
import { forgetPrivate, notePrivate } from "../../agent/adapters/shell/private-machine.ts";
import type { ClusterReport, UnitFileReport, UnitReport } from "../../agent/domain/report.ts";
import type { PrivateMachine } from "../../agent/ports/machine-host.ts";
import { type EtcdServer, startEtcd } from "./etcd-server.ts";
import { type GitServer, startGitServer } from "./git-server.ts";
import { UnitsRepository } from "./units-repository.ts";

const program = new URL("../../dist/main.js", import.meta.url).pathname;

export interface ClusterOptions {
  readonly machines?: number;
  /** By machine, in order; `region=eu` for all unless set. */
  readonly metadata?: readonly string[];
  /** The first commit. Left out: the cluster has no repository. */
  readonly units?: Readonly<Record<string, string>>;
  /** Cron expression of the leader's polling; never, unless set: tests sync when they mean to. */
  readonly schedule?: string;
}

/** Everything an API says at one moment. */
export interface Sight {
  readonly status: ClusterReport;
  readonly files: readonly UnitFileReport[];
  readonly units: readonly UnitReport[];
}

/** A unit that runs until it is stopped and writes down each of its starts in its machine's folder. */
export function loop(more = ""): string {
  return `[Unit]\nDescription=A loop\n\n[Service]\nExecStart=/bin/sh -c 'echo %n >>%t/starts; exec sleep infinity'\n${more}`;
}

export class Cluster {
  readonly directory: string;
  readonly machines: TestMachine[] = [];
  readonly etcd: EtcdServer;
  readonly #repository: Repository | undefined;

  private constructor(directory: string, parts: { etcd: EtcdServer; repository: Repository | undefined }) {
    this.directory = directory;
    this.etcd = parts.etcd;
    this.#repository = parts.repository;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const directory = await mkdtemp("/var/tmp/flotilla-test-");
    const etcd = await startEtcd({ directory: join(directory, "etcd") });
    const repository = options.units === undefined ? undefined : await makeRepository(directory);
    const cluster = new Cluster(directory, { etcd, repository });
    try {
      if (options.units !== undefined) await cluster.commit(options.units);
      for (let index = 0; index < (options.machines ?? 3); index++) {
        cluster.machines.push(
          new TestMachine(cluster, {
            name: `m${index + 1}`,
            metadata: options.metadata?.[index] ?? "region=eu",
            schedule: options.schedule ?? "0 0 1 1 *",
          }),
        );
      }
      await Promise.all(cluster.machines.map((machine) => machine.start()));
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  get git(): GitServer {
    assert.ok(this.#repository, "the cluster has no repository");
    return this.#repository.git;
  }

  /** Where agents fetch; undefined: the cluster has no repository. */
  get gitUrl(): string | undefined {
    return this.#repository?.git.url;
  }

  /** As the repository's. */
  commit(files: Readonly<Record<string, string | null>>): Promise<string> {
    assert.ok(this.#repository, "the cluster has no repository");
    return this.#repository.units.commit(files);
  }

  machine(name: string): TestMachine {
    const machine = this.machines.find((each) => each.name === name);
    assert.ok(machine, `no machine ${name}`);
    return machine;
  }

  /** The same commit's units on any machine, as the API of a running agent tells. */
  async look(): Promise<Sight> {
    let failure: unknown;
    for (const machine of this.machines.filter((each) => each.agentRunning)) {
      try {
        return await machine.look();
      } catch (error) {
        failure = error;
      }
    }
    throw new Error("No agent answers", { cause: failure });
  }

  /** Has the leader fetch now, through the first running agent; the outcome as the API tells it. */
  async sync(): Promise<{ outcome: string; commit?: string; problems: readonly { message: string; file?: string }[] }> {
    const machine = this.machines.find((each) => each.agentRunning);
    assert.ok(machine);
    return (await createApiClient(machine.socket).post("/v2/sync")) as Awaited<ReturnType<Cluster["sync"]>>;
  }

  /** Looks until the condition holds; what it was last told, and every agent's log, go into the failure. */
  async until<T>(
    what: string,
    condition: (sight: Sight) => T | undefined | false | Promise<T | undefined | false>,
    timeoutMs = 30_000,
  ): Promise<T> {
    const endMs = performance.now() + timeoutMs;
    let last: unknown;
    while (performance.now() < endMs) {
      try {
        const sight = await this.look();
        last = sight;
        const found = await condition(sight);
        if (found !== undefined && found !== false) return found;
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const logs = await Promise.all(this.machines.map(async (each) => `--- ${each.name}\n${await each.log()}`));
    const seen = last instanceof Error ? String(last) : JSON.stringify(last, undefined, 1);
    throw new Error(`Not seen within ${timeoutMs} ms: ${what}\nlast: ${seen.slice(0, 6_000)}\n${logs.join("\n")}`);
  }

  /** Every unit of the commit is where it belongs and active; how many units on machines there are. */
  async untilActive(count: number, timeoutMs = 60_000): Promise<readonly UnitReport[]> {
    return this.until(
      `${count} units active`,
      ({ units }) => {
        const active = units.filter((unit) => unit.knowledge === "reported" && unit.active === "active");
        return active.length === count && units.length === count && units;
      },
      timeoutMs,
    );
  }

  async close(): Promise<void> {
    const results = await Promise.allSettled(this.machines.map((machine) => machine.stop()));
    results.push(...(await Promise.allSettled([this.etcd.stop(), this.#repository?.git.close()])));
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
}

interface Repository {
  readonly git: GitServer;
  readonly units: UnitsRepository;
}

async function makeRepository(directory: string): Promise<Repository> {
  const git = await startGitServer({ directory: join(directory, "git") });
  const units = await UnitsRepository.make({ directory: join(directory, "work"), origin: git.repository });
  return { git, units };
}

export class TestMachine {
  readonly name: string;
  readonly socket: string;
  readonly directory: string;
  readonly id: string;
  machine: PrivateMachine | undefined;
  readonly #cluster: Cluster;
  readonly #settings: { metadata: string; schedule: string };
  #agent: { process: ChildProcess; exited: Promise<void> } | undefined;

  constructor(cluster: Cluster, settings: { name: string; metadata: string; schedule: string }) {
    this.#cluster = cluster;
    this.#settings = settings;
    this.name = settings.name;
    this.directory = join(cluster.directory, settings.name);
    this.socket = join(this.directory, "api.sock");
    this.id = Buffer.from(settings.name.padEnd(16, "-")).toString("hex");
  }

  get agentRunning(): boolean {
    return this.#agent !== undefined;
  }

  get agentPid(): number {
    assert.ok(this.#agent?.process.pid);
    return this.#agent.process.pid;
  }

  async start(): Promise<void> {
    await mkdir(this.directory, { recursive: true });
    await rm(join(this.directory, "machine", "flotilla"), { recursive: true, force: true });
    const directory = join(this.directory, "machine");
    this.machine = await machineHost.startMachine({ directory, name: this.name });
    // Commands that go to the machine enter it, as on a playground
    await notePrivate(this.#cluster.directory, this.id, { pid: this.machine.pid, runtime: join(directory, "run") });
    await this.startAgent();
  }

  /** `more`: lines for the settings' section [Agent]. */
  async startAgent(more = ""): Promise<void> {
    const { machine } = this;
    assert.ok(machine);
    const conf = join(this.directory, "flotilla.conf");
    const { gitUrl } = this.#cluster;
    const git = gitUrl === undefined ? "" : `[Git]\nURL=${gitUrl}\nSchedule=${this.#settings.schedule}\nJitter=0\n`;
    await writeFile(
      conf,
      `[Machine]
Id=${this.id}
Hostname=${this.name}
PublicIP=127.0.0.1
Metadata=${this.#settings.metadata}
${git}[Registry]
Endpoints=${this.#cluster.etcd.url}
[Systemd]
Scope=user
Address=${machine.systemdAddress}
UnitDirectory=${machine.unitDirectory}
[Agent]
StateDirectory=${join(this.directory, "state")}
RunDirectory=${join(this.directory, "machine", "flotilla")}
Socket=${this.socket}
LogLevel=debug
${more}`,
      { mode: 0o600 },
    );
    const log = createWriteStream(join(this.directory, "agent.log"), { flags: "a" });
    // For a profile: FLOTILLA_TEST_NODE_ARGS="--cpu-prof --cpu-prof-dir=/var/tmp/profile"
    const nodeArgs = (process.env["FLOTILLA_TEST_NODE_ARGS"] ?? "").split(" ").filter((arg) => arg !== "");
    const agent = spawn(process.execPath, [...nodeArgs, program, "agent", "--config", conf], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] },
    });
    agent.stdout.pipe(log);
    agent.stderr.pipe(log);
    const exited = new Promise<void>((resolve) => {
      agent.once("exit", () => {
        if (this.#agent?.process === agent) this.#agent = undefined;
        resolve();
      });
    });
    this.#agent = { process: agent, exited };
  }

  async look(): Promise<Sight> {
    const [seen, files] = await Promise.all([this.lookAlone(), this.#get("/v2/unit-files")]);
    return { ...seen, files: (files as { unitFiles: UnitFileReport[] }).unitFiles };
  }

  /** What an agent can say without a registry, even one that has never seen which commit the cluster runs. */
  async lookAlone(): Promise<Omit<Sight, "files">> {
    const [status, units] = await Promise.all([this.#get("/v2/status"), this.#get("/v2/units")]);
    return { status: status as ClusterReport, units: (units as { units: UnitReport[] }).units };
  }

  #get(path: string): Promise<unknown> {
    return createApiClient(this.socket).get(path, { timeoutMs: 5_000 });
  }

  /** Ends the agent alone; its units and its systemd go on. */
  async stopAgent(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const agent = this.#agent;
    agent?.process.kill(signal);
    await agent?.exited;
  }

  signalAgent(signal: NodeJS.Signals): void {
    this.#agent?.process.kill(signal);
  }

  /** Cuts the power: agent, systemd and units end at once. */
  async kill(): Promise<void> {
    const agent = this.#agent;
    agent?.process.kill("SIGKILL");
    await forgetPrivate(this.#cluster.directory, this.id);
    await Promise.all([this.machine?.kill(), agent?.exited]);
    this.machine = undefined;
  }

  async stop(): Promise<void> {
    await this.stopAgent("SIGKILL");
    await forgetPrivate(this.#cluster.directory, this.id);
    await this.machine?.kill();
    this.machine = undefined;
  }

  /** Names of units in the order in which they were started here since the machine's boot. */
  async starts(): Promise<readonly string[]> {
    const file = join(this.directory, "machine", "run", "starts");
    const text = await readFile(file, "utf8").catch(() => "");
    return text.split("\n").filter((line) => line !== "");
  }

  async log(): Promise<string> {
    return (await readFile(join(this.directory, "agent.log"), "utf8").catch(() => "")).slice(-3_000);
  }
}
