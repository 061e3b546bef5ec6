// Many agents in one process, for tests and the bench of what they ask of etcd: every loop is the real one and so is the
// way to etcd, with a connection, a lease, keys and watches of each agent's own; systemd, disk and git are in memory.
import type { Machine } from "../../agent/domain/machine.ts";
import type { MachineId } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import { type Agent, startAgent } from "../../agent/loops/agent.ts";
import { Commits } from "../../agent/loops/commits.ts";
import type { Git } from "../../agent/ports/git.ts";
import type { Log } from "../../agent/ports/log.ts";
import type { Registry, WatchBatch } from "../../agent/ports/registry.ts";
import type { Systemd } from "../../agent/ports/systemd.ts";
import { keys, parseStatus } from "../../agent/text/values.ts";
import type { FakeFiles, FakeRepository } from "../fakes/fake-git.ts";
import { FakeSystemd } from "../fakes/fake-systemd.ts";
import { MemoryDisk } from "../fakes/memory-disk.ts";
import { clock, connect } from "./etcd-client.ts";

export const machineLeaseMs = 10_000;
const engineLeaseMs = 5_000;
/** As the setting's default. */
const requestTimeoutMs = 5_000;
/** Calls to systemd that are let through before the process looks after its connections again. */
const turnsTogether = 5;
/** Agents that start side by side: a thousand at once would be a load that no cluster has. */
const startingTogether = 50;

export interface SwarmOptions {
  readonly endpoints: readonly string[];
  /** Number of the first machine: swarms in several processes make one cluster. */
  readonly from?: number;
  readonly count: number;
  /** How many of them may lead; none unless set. */
  readonly leaders?: number;
  readonly repository: FakeRepository;
}

/** Since the swarm was started. */
export interface SwarmCounts {
  /** Agents that run. */
  readonly agents: number;
  /** Units that the registry shows as active on these machines. */
  readonly active: number;
  /** Changes of manifests that were told to agents, and how many different agents that were. */
  readonly told: number;
  readonly woken: number;
  /** Statuses written. */
  readonly statuses: number;
  /** What the agents warned of: event and how often. */
  readonly warnings: Readonly<Record<string, number>>;
}

export class Swarm {
  readonly agents: readonly SimulatedAgent[];
  readonly #shared: Shared;

  /** Starts all of them, some at a time; resolves when each is in the registry. */
  static async start(options: SwarmOptions): Promise<Swarm> {
    const git = options.repository.open();
    const shared = { git, commits: new Commits(git), endpoints: options.endpoints, turns: new Turns() };
    const from = options.from ?? 0;
    const agents = Array.from(
      { length: options.count },
      (_, index) => new SimulatedAgent(shared, { number: from + index, mayLead: index < (options.leaders ?? 0) }),
    );
    const swarm = new Swarm(agents, shared);
    try {
      for (let at = 0; at < agents.length; at += startingTogether) {
        const group = agents.slice(at, at + startingTogether);
        for (const each of group) each.start();
        await Promise.all(group.map((each) => each.present));
      }
      return swarm;
    } catch (error) {
      await swarm.close();
      throw error;
    }
  }

  private constructor(agents: readonly SimulatedAgent[], shared: Shared) {
    this.agents = agents;
    this.#shared = shared;
  }

  /** Fetches and reads the newest commit, which on machines of their own all would do at once. */
  async read(): Promise<void> {
    const { git, commits } = this.#shared;
    await commits.desired(await git.fetch());
  }

  counts(): SwarmCounts {
    const running = this.agents.filter((each) => each.isRunning);
    const warnings: Record<string, number> = {};
    for (const { warned } of this.agents)
      for (const [event, count] of warned) warnings[event] = (warnings[event] ?? 0) + count;
    const sum = (of: (each: SimulatedAgent) => number): number => running.reduce((all, each) => all + of(each), 0);
    return {
      agents: running.length,
      active: sum((each) => each.active),
      told: sum((each) => each.told),
      woken: running.filter((each) => each.told > 0).length,
      statuses: sum((each) => each.statuses),
      warnings,
    };
  }

  forget(): void {
    for (const each of this.agents) each.forget();
  }

  async close(): Promise<void> {
    await Promise.all(this.agents.map((each) => each.kill()));
    await this.#shared.git.close();
  }
}

interface Shared {
  readonly git: Git;
  readonly commits: Commits;
  readonly endpoints: readonly string[];
  readonly turns: Turns;
}

/**
 * A thousand machines have a thousand processors; here they share one. What they do at once is done one after another, and
 * between their turns every connection is heard: else leases would run out that no real machine would lose.
 */
class Turns {
  readonly #waiting: (() => void)[] = [];

  take(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(this.#next);
    });
  }

  readonly #next = (): void => {
    for (const resolve of this.#waiting.splice(0, turnsTogether)) resolve();
    if (this.#waiting.length > 0) setImmediate(this.#next);
  };
}

function inTurn(systemd: Systemd, turns: Turns): Systemd {
  const after = async <T>(call: () => Promise<T>): Promise<T> => {
    await turns.take();
    return call();
  };
  return {
    placed: () => after(() => systemd.placed()),
    foreign: (names) => after(() => systemd.foreign(names)),
    states: (names) => after(() => systemd.states(names)),
    write: (units) => after(() => systemd.write(units)),
    enable: (names) => after(() => systemd.enable(names)),
    reload: () => after(() => systemd.reload()),
    run: (job, unit, signal) => after(() => systemd.run(job, unit, signal)),
    noteAhead: (unit, next) => after(() => systemd.noteAhead(unit, next)),
    noteLaunched: (unit, note) => after(() => systemd.noteLaunched(unit, note)),
    grantPermit: (untilMs) => after(() => systemd.grantPermit(untilMs)),
    extendPermit: (untilMs) => after(() => systemd.extendPermit(untilMs)),
    letGo: (unit) => after(() => systemd.letGo(unit)),
    remove: (unit) => after(() => systemd.remove(unit)),
    onChange: (listener) => systemd.onChange(listener),
    close: () => systemd.close(),
  };
}

export class SimulatedAgent {
  readonly id: MachineId;
  readonly systemd = new FakeSystemd({ wallMs: () => clock.wallMs() });
  /** Resolves when the machine's record is in the registry. */
  readonly present: Promise<void>;
  /** As the last status in the registry says. */
  active = 0;
  told = 0;
  statuses = 0;
  readonly warned = new Map<string, number>();
  readonly #shared: Shared;
  readonly #machine: Machine;
  readonly #registry: Registry;
  #announced: () => void = () => undefined;
  #running: { readonly agent: Agent; readonly over: AbortController } | undefined;

  constructor(shared: Shared, { number, mayLead }: { readonly number: number; readonly mayLead: boolean }) {
    const letters = number.toString(16).padStart(4, "0");
    this.id = letters.padStart(32, "0") as MachineId;
    this.#shared = shared;
    this.#machine = {
      id: this.id,
      nonce: `boot-${letters}`,
      hostname: `machine-${letters}`,
      publicIp: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`,
      metadata: { region: `r${number % 5}` },
      cpus: 2,
      memoryBytes: 4_000_000_000,
      mayLead,
      version: "0.0.0",
    };
    this.present = new Promise((resolve) => (this.#announced = resolve));
    this.#registry = this.#overheard(connect(shared.endpoints, { requestTimeoutMs }, { log: this.#log() }));
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get agent(): Agent {
    if (this.#running === undefined) throw new Error("The agent does not run");
    return this.#running.agent;
  }

  start(): void {
    const over = new AbortController();
    const { git, commits, turns } = this.#shared;
    const agent = startAgent(
      {
        machine: this.#machine,
        registry: this.#registry,
        systemd: inTurn(this.systemd.open(), turns),
        git: { port: git, commits, schedule: "never", jitterMs: 0, branch: "main" },
        cron: { next: () => Number.MAX_SAFE_INTEGER },
        disk: new MemoryDisk(),
        clock,
        log: this.#log(),
        allowSubmit: true,
        rebalancePerMinute: 0,
        lossBrakePercent: 50,
        machineLeaseMs,
        engineLeaseMs,
      },
      over.signal,
    );
    this.#running = { agent, over };
  }

  /** Without a word to anybody: what it has in the registry stays until its lease runs out. */
  async kill(): Promise<void> {
    const running = this.#running;
    if (running !== undefined) {
      this.#running = undefined;
      running.over.abort(new Error("killed"));
      await running.agent.done;
    }
    await this.#registry.close();
  }

  /** Counts from here on. */
  forget(): void {
    this.told = 0;
    this.statuses = 0;
    this.warned.clear();
  }

  /** The registry, and what goes through it counted. */
  #overheard(registry: Registry): Registry {
    const manifest = keys.manifest(this.id);
    const heard = (batch: WatchBatch): void => {
      for (const change of batch.changes) if (change.kind === "put" && change.entry.key === manifest) this.told++;
    };
    return {
      read: (prefix, signal) => registry.read(prefix, signal),
      get: (key, signal) => registry.get(key, signal),
      write: async (transaction, signal) => {
        const result = await registry.write(transaction, signal);
        if (result.applied)
          for (const write of transaction.writes) if (write.kind === "put") this.#written(write.key, write.value);
        return result;
      },
      watch: async function* (prefix, from, signal) {
        for await (const batch of registry.watch(prefix, from, signal)) {
          if (prefix === manifest) heard(batch);
          yield batch;
        }
      },
      grantLease: (ttlMs, signal) => registry.grantLease(ttlMs, signal),
      renewLease: (id, signal) => registry.renewLease(id, signal),
      leaseLeftMs: (id, signal) => registry.leaseLeftMs(id, signal),
      revokeLease: (id, signal) => registry.revokeLease(id, signal),
      close: () => registry.close(),
    };
  }

  #written(key: string, value: string): void {
    if (key === keys.machine(this.id)) this.#announced();
    if (key !== keys.status(this.id)) return;
    const status = parseStatus(key, value);
    if (!status.ok) throw status.problems[0] ?? new Error("A status that cannot be read was written");
    this.statuses++;
    this.active = status.value.units.filter((unit) => unit.active === "active").length;
  }

  #log(): Log {
    const note = (event: string): void => {
      this.warned.set(event, (this.warned.get(event) ?? 0) + 1);
    };
    const log: Log = {
      debug: () => undefined,
      info: () => undefined,
      warn: note,
      error: (event, error, { loop = "" } = {}) =>
        note(`${event} ${loop} ${error instanceof Problem ? error.code : String(error)}`),
      with: () => log,
    };
    return log;
  }
}

/** Links to one template, by number. */
export function instances(count: number): FakeFiles {
  const links = Array.from({ length: count }, (_, index) => [
    `instances/w@${index}.service`,
    "-> ../templates/w@.service",
  ]);
  const template = "[Unit]\nDescription=Instance %i\n\n[Service]\nExecStart=/bin/sleep infinity\n";
  return { "templates/w@.service": template, ...(Object.fromEntries(links) as Record<string, string>) };
}
