// A small cluster for the tests of the loops: whole agents on a clock of the test's own, around one registry in memory,
// one repository, and for each machine a systemd and a disk that outlive its agent. What goes wrong, the test says.
import assert from "node:assert/strict";
import {
  type EmbeddedConnection,
  type EmbeddedRegistry,
  createEmbeddedRegistry,
} from "../../../agent/adapters/registry/embedded.ts";
import type { Machine } from "../../../agent/domain/machine.ts";
import type { CommitId, MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { Manifest, ManifestEntry, ManifestTarget, Revision } from "../../../agent/domain/placement.ts";
import { Problem, type ProblemRecord } from "../../../agent/domain/problem.ts";
import type { MachineStatus } from "../../../agent/domain/status.ts";
import { type Agent, startAgent } from "../../../agent/loops/agent.ts";
import type { Clock } from "../../../agent/ports/clock.ts";
import type { Cron } from "../../../agent/ports/cron.ts";
import type { Disk } from "../../../agent/ports/disk.ts";
import type { Git } from "../../../agent/ports/git.ts";
import type { Registry } from "../../../agent/ports/registry.ts";
import type { JobResult, Systemd } from "../../../agent/ports/systemd.ts";
import { unitHash } from "../../../agent/text/hash.ts";
import {
  encodeManifest,
  keys,
  parseLeader,
  parseMachine,
  parseManifest,
  parseRevision,
  parseStatus,
} from "../../../agent/text/values.ts";
import { FakeClock, settled } from "../../fakes/fake-clock.ts";
import { type FakeFiles, FakeRepository, FakeStore } from "../../fakes/fake-git.ts";
import { FakeSystemd } from "../../fakes/fake-systemd.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";

export const machineLeaseMs = 10_000;
export const engineLeaseMs = 5_000;
/** What the house's polls are apart, unless a house says otherwise. */
export const pollMs = 30_000;

/** A service with these lines in its [X-Fleet] section. */
export function service(...fleet: readonly string[]): string {
  return ["[Service]", "ExecStart=/bin/sleep infinity", "[X-Fleet]", ...fleet, ""].join("\n");
}

/** The same with another text, hence another hash. */
export function changed(...fleet: readonly string[]): string {
  return service(...fleet).replace("infinity", "1000");
}

/** One with `OnPartition=stop` that is down so many seconds after it is told to stop, at the latest. */
export function fenced(stopSec: number, ...fleet: readonly string[]): string {
  return service("OnPartition=stop", ...fleet).replace("[X-Fleet]", `TimeoutStopSec=${stopSec}\n[X-Fleet]`);
}

export function name(text: string): UnitName {
  return text as UnitName;
}

/** "a" stands for aaaa...: 32 hex digits. */
export function idOf(letter: string): MachineId {
  return letter.repeat(32) as MachineId;
}

export interface HouseOptions {
  /** Letters from a to f, one a machine. */
  readonly machines?: string;
  /** Letters of machines that may lead; all unless set. */
  readonly leaders?: string;
  readonly seed?: number;
  /** Ms between two polls. */
  readonly pollMs?: number;
  readonly metadata?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Letters of machines that have a repository; all unless set. False: none has. */
  readonly git?: boolean | string;
  /** Letters of machines that take what people submit; all unless set. */
  readonly submit?: string;
  /** Units moved in a minute for balance; none unless set. */
  readonly rebalancePerMinute?: number;
  /** Of a hundred machines, lost at once; 50 unless set. */
  readonly lossBrakePercent?: number;
}

/** What the registry holds, read and checked. */
export interface Held {
  readonly leader: { readonly machine: MachineId; readonly epoch: number } | undefined;
  readonly revision: Revision;
  readonly machines: ReadonlyMap<MachineId, Machine>;
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly statuses: ReadonlyMap<MachineId, MachineStatus>;
}

export class House {
  readonly clock: FakeClock;
  readonly store: EmbeddedRegistry;
  readonly operator: EmbeddedConnection;
  readonly repository = new FakeRepository();
  readonly machines: readonly Box[];
  readonly cron: Cron;

  private constructor(options: HouseOptions, { clock, store }: { clock: FakeClock; store: EmbeddedRegistry }) {
    this.clock = clock;
    this.store = store;
    this.operator = store.connect();
    const step = options.pollMs ?? pollMs;
    this.cron = { next: (_, afterMs) => (Math.floor(afterMs / step) + 1) * step };
    const leaders = options.leaders ?? options.machines ?? "abc";
    this.machines = Array.from(options.machines ?? "abc").map(
      (letter) =>
        new Box(this, {
          letter,
          mayLead: leaders.includes(letter),
          metadata: options.metadata?.[letter] ?? {},
          hasGit: typeof options.git === "string" ? options.git.includes(letter) : options.git !== false,
          allowSubmit: options.submit?.includes(letter) !== false,
          rebalancePerMinute: options.rebalancePerMinute ?? 0,
          lossBrakePercent: options.lossBrakePercent ?? 50,
        }),
    );
  }

  static async open(options: HouseOptions = {}): Promise<House> {
    const clock = new FakeClock({ seed: options.seed ?? 1 });
    return new House(options, { clock, store: await createEmbeddedRegistry({ clock }) });
  }

  /** Ends everything; no timer may be left behind. */
  async close(): Promise<void> {
    await Promise.all(this.machines.map((each) => each.stop()));
    for (const each of this.machines) each.systemd.reboot();
    await this.store.close();
    await settled();
    assert.equal(this.clock.sleeping, 0, "a timer was left behind");
  }

  box(letter: string): Box {
    const found = this.machines.find((each) => each.letter === letter);
    assert.ok(found !== undefined);
    return found;
  }

  start(): void {
    for (const each of this.machines) each.start();
  }

  /** Starts all agents on an empty commit; resolves when every machine is present and one leads. */
  async ready(): Promise<void> {
    this.commit({ "README.md": "Units" });
    this.start();
    await this.until(async () => {
      const { machines, revision, manifests } = await this.held();
      const isLed = revision.adopted !== undefined && manifests.size === this.machines.length;
      return machines.size === this.machines.length && (isLed || this.machines.every((each) => !each.machine.mayLead));
    }, 5_000);
  }

  /** Commits and has the leader fetch; resolves when it has adopted. */
  async deploy(units: FakeFiles): Promise<CommitId> {
    const commit = this.commit(units);
    const result = await this.settle(this.machines[0]!.agent.view.sync());
    assert.equal(result.outcome, "adopted", JSON.stringify(result.problems));
    return commit;
  }

  /** What the promise settles as, with time passing meanwhile. */
  async settle<T>(work: Promise<T>, mostMs = 10_000): Promise<T> {
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    work.then(end, end);
    await this.until(() => isOver, mostMs);
    return work;
  }

  /** A commit of these units, each `NAME` to its text. */
  commit(units: FakeFiles, subject?: string): CommitId {
    return this.repository.commit(units, subject === undefined ? {} : { subject });
  }

  async until(condition: () => boolean | Promise<boolean>, mostMs = 60_000, stepMs = 20): Promise<void> {
    const endMs = this.clock.monotonicMs() + mostMs;
    await settled();
    while (!(await condition())) {
      assert.ok(
        this.clock.monotonicMs() < endMs,
        `It did not come true within ${mostMs} ms: ${String(condition)}; up are ${JSON.stringify(this.up())}`,
      );
      await this.clock.advance(stepMs);
    }
  }

  /** Checks the condition all the while. */
  async always(condition: () => boolean, ms: number, stepMs = 50): Promise<void> {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.clock.monotonicMs() < endMs) {
      await this.clock.advance(stepMs);
      assert.ok(condition(), `It ceased to hold: ${String(condition)}`);
    }
  }

  /** e.g. `{ "web.service": "a", "log.service": "abc" }`: what is up, and on which machines. */
  up(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const each of this.machines) for (const unit of each.up()) found[unit] = (found[unit] ?? "") + each.letter;
    return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  isUp(wanted: Readonly<Record<string, string>>): boolean {
    const sorted = Object.entries(wanted).sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify(this.up()) === JSON.stringify(Object.fromEntries(sorted));
  }

  /** e.g. "ab": letters of the machines on which the unit is not down, be it only on its way. */
  running(unit: string): string {
    const isDown = ({ systemd }: Box): boolean => ["inactive", "failed"].includes(systemd.state(name(unit)).active);
    return this.machines.flatMap((each) => (isDown(each) ? [] : [each.letter])).join("");
  }

  /** Time passes, and db.service is never on two machines. */
  async neverTwo(ms: number, stepMs = 50): Promise<void> {
    await this.always(() => this.running("db.service").length <= 1, ms, stepMs);
  }

  /** Letter of the machine that the registry names as leader. */
  async leader(): Promise<string | undefined> {
    return (await this.held()).leader?.machine.charAt(0);
  }

  /** The machine that leads, once one does. */
  async leading(): Promise<Box> {
    await this.until(async () => (await this.leader()) !== undefined, 20_000);
    return this.box((await this.leader()) ?? "");
  }

  async held(): Promise<Held> {
    const { entries } = await this.operator.read("");
    const machines = new Map<MachineId, Machine>();
    const manifests = new Map<MachineId, Manifest>();
    const statuses = new Map<MachineId, MachineStatus>();
    let leader: Held["leader"];
    let revision: Revision = {};
    for (const { key, value, createRevision } of entries) {
      if (key === keys.leader) leader = { machine: read(parseLeader, key, value).machine, epoch: createRevision };
      else if (key === keys.revision) revision = read(parseRevision, key, value);
      else if (key.startsWith(keys.machines)) {
        const machine = read(parseMachine, key, value);
        machines.set(machine.id, machine);
      } else if (key.startsWith(keys.manifests)) {
        const parsed = parseManifest(key, value);
        if (parsed.ok) manifests.set(parsed.value.machine, parsed.value);
      } else if (key.startsWith(keys.statuses)) {
        const status = read(parseStatus, key, value);
        statuses.set(status.machine, status);
      }
    }
    return { leader, revision, machines, manifests, statuses };
  }

  async put(key: string, value: string): Promise<void> {
    await this.operator.write({ guards: [], writes: [{ kind: "put", key, value }] });
  }

  async remove(key: string): Promise<void> {
    await this.operator.write({ guards: [], writes: [{ kind: "delete", key }] });
  }
}

function read<T>(
  parse: (key: string, text: string) => { ok: true; value: T } | { ok: false; problems: readonly Problem[] },
  key: string,
  value: string,
): T {
  const checked = parse(key, value);
  assert.ok(checked.ok, `${key} cannot be read`);
  return checked.value;
}

/** One machine: what outlives its agent, and the agent while it runs. */
export class Box {
  readonly letter: string;
  readonly id: MachineId;
  readonly systemd: FakeSystemd;
  readonly disk = new MemoryDisk();
  readonly gitStore = new FakeStore();
  readonly log = new MemoryLog();
  connection: EmbeddedConnection;
  /** Changed by a test before `start`. */
  machine: Machine;
  /** Its name and address as they can be seen, where they may change. */
  facts: (() => Promise<Pick<Machine, "hostname" | "publicIp">>) | undefined;
  /** Stops of these units hang until the test lets them, or fail and leave the unit up. */
  readonly stops = new Map<UnitName, "fails" | Promise<void>>();
  /** Instead of the connection or the clock, for agents that see the world through something. */
  through: {
    readonly registry?: (registry: Registry) => Registry;
    readonly clock?: Clock;
    readonly git?: (git: Git) => Git;
    readonly systemd?: (systemd: Systemd) => Systemd;
    readonly disk?: (disk: Disk) => Disk;
  } = {};
  readonly hasGit: boolean;
  readonly rebalancePerMinute: number;
  readonly lossBrakePercent: number;
  /** Changed by a test before `start`. */
  allowSubmit: boolean;
  readonly #house: House;
  #running:
    { readonly agent: Agent; readonly over: AbortController; readonly git: Git; readonly handle: Systemd } | undefined;
  #boots = 1;
  #read = 0;

  constructor(
    house: House,
    {
      letter,
      mayLead,
      metadata,
      hasGit,
      allowSubmit,
      rebalancePerMinute,
      lossBrakePercent,
    }: {
      letter: string;
      mayLead: boolean;
      metadata: Readonly<Record<string, string>>;
      hasGit: boolean;
      allowSubmit: boolean;
      rebalancePerMinute: number;
      lossBrakePercent: number;
    },
  ) {
    this.#house = house;
    this.hasGit = hasGit;
    this.allowSubmit = allowSubmit;
    this.rebalancePerMinute = rebalancePerMinute;
    this.lossBrakePercent = lossBrakePercent;
    this.letter = letter;
    this.id = idOf(letter);
    this.systemd = new FakeSystemd({ wallMs: () => house.clock.wallMs(), clock: house.clock });
    this.connection = house.store.connect();
    this.machine = {
      id: this.id,
      nonce: `${letter}-boot-1`,
      hostname: `host-${letter}`,
      publicIp: `10.0.0.${letter.charCodeAt(0)}`,
      metadata,
      cpus: 2,
      memoryBytes: 1_000_000_000,
      mayLead,
      version: "0.0.0",
    };
  }

  get agent(): Agent {
    assert.ok(this.#running !== undefined, `machine ${this.letter} runs no agent`);
    return this.#running.agent;
  }

  start(): void {
    assert.equal(this.#running, undefined);
    const { clock, repository, cron } = this.#house;
    const over = new AbortController();
    const git = repository.open({ store: this.gitStore });
    const handle = this.systemd.open();
    const { through } = this;
    const seen = this.#withStops(handle);
    const agent = startAgent(
      {
        machine: this.machine,
        facts: this.facts,
        registry: through.registry?.(this.connection) ?? this.connection,
        systemd: through.systemd?.(seen) ?? seen,
        git: this.hasGit ? { port: through.git?.(git) ?? git, schedule: "*", jitterMs: 0, branch: "main" } : undefined,
        cron,
        disk: through.disk?.(this.disk) ?? this.disk,
        clock: through.clock ?? clock,
        log: this.log,
        allowSubmit: this.allowSubmit,
        machineLeaseMs,
        rebalancePerMinute: this.rebalancePerMinute,
        lossBrakePercent: this.lossBrakePercent,
        engineLeaseMs,
      },
      over.signal,
    );
    this.#running = { agent, over, git, handle };
  }

  /** The agent ends as told to; its units stay. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    running.over.abort(new Error("shutdown"));
    let isOver = false;
    const done = running.agent.done.then(() => (isOver = true));
    await this.#house.until(() => isOver, 10_000);
    await done;
    await running.git.close();
    await running.handle.close();
  }

  /** The agent is gone without a word to anybody; its units stay. */
  async kill(): Promise<void> {
    this.connection.cutOff();
    await this.stop();
    await this.connection.close();
    this.connection = this.#house.store.connect();
  }

  /** The machine loses its power: the agent, and what systemd knew. */
  async crash(): Promise<void> {
    await this.kill();
    this.systemd.reboot();
    this.machine = { ...this.machine, nonce: `${this.letter}-boot-${++this.#boots}` };
  }

  /** Units that are up here, by name. */
  up(): readonly string[] {
    const names = new Set(this.systemd.asked.flatMap((line) => line.split(" ").slice(1)));
    return [...names].filter((unit) => ["active", "activating"].includes(this.systemd.state(name(unit)).active)).sort();
  }

  /** What systemd was asked for since the last call. */
  asked(): readonly string[] {
    const from = this.#read;
    this.#read = this.systemd.asked.length;
    return this.systemd.asked.slice(from);
  }

  async problems(): Promise<readonly ProblemRecord[]> {
    let found: readonly ProblemRecord[] | undefined;
    const asking = this.agent.view.picture().then((picture) => (found = picture.problems));
    await this.#house.until(() => found !== undefined, 10_000);
    await asking;
    return found ?? [];
  }

  async problem(code: string): Promise<ProblemRecord | undefined> {
    return (await this.problems()).find((each) => each.code === code);
  }

  /** Writes this machine's manifest by hand, as a leader of that epoch would. */
  async tell(position: readonly [epoch: number, generation: number], units: readonly Told[]): Promise<void> {
    const [epoch, generation] = position;
    await this.#house.put(keys.manifest(this.id), encodeManifest(manifestOf(this.id, { epoch, generation, units })));
  }

  /** As the registry has it. */
  async status(): Promise<MachineStatus | undefined> {
    return (await this.#house.held()).statuses.get(this.id);
  }

  /** `NAME ACTIVE` of every unit in the registry's status, with the code of its problem. */
  async listed(): Promise<readonly string[]> {
    const status = await this.status();
    return (status?.units ?? []).map(
      ({ name: unit, active, problem }) => `${unit} ${active}${problem === undefined ? "" : ` ${problem.code}`}`,
    );
  }

  #withStops(systemd: Systemd): Systemd {
    const run = async (
      job: "start" | "stop" | "restart" | "reload",
      unit: UnitName,
      signal: AbortSignal,
    ): Promise<JobResult> => {
      const stop = job === "stop" ? this.stops.get(unit) : undefined;
      if (stop === "fails") {
        this.systemd.asked.push(`failing-stop ${unit}`);
        return { result: "failed", problem: new Problem("systemd-job", `Cannot stop unit "${unit}"`) };
      }
      if (stop !== undefined) {
        this.systemd.asked.push(`hanging-stop ${unit}`);
        await stop;
      }
      return systemd.run(job, unit, signal);
    };
    return { ...systemd, run };
  }
}

export interface Told {
  readonly unit: string;
  readonly commit: CommitId;
  readonly text: string;
  readonly target?: ManifestTarget;
  readonly restart?: string;
}

export function manifestOf(
  machine: MachineId,
  {
    epoch,
    generation,
    units,
  }: { readonly epoch: number; readonly generation: number; readonly units: readonly Told[] },
): Manifest {
  const entries = units.map(({ unit, commit, text, target = "launched", restart }): ManifestEntry => ({
    name: name(unit),
    source: "git",
    commit,
    hash: unitHash(text, []),
    target,
    ...(restart === undefined ? {} : { restart }),
  }));
  return { machine, epoch, generation, units: entries.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** A promise and what settles it. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** All calls of a registry, to be spread where a test wants some of them to be otherwise: an adapter's own are of a class. */
export function passingOn(registry: Registry): Registry {
  return {
    read: (prefix, signal) => registry.read(prefix, signal),
    get: (key, signal) => registry.get(key, signal),
    write: (transaction, signal) => registry.write(transaction, signal),
    watch: (prefix, from, signal) => registry.watch(prefix, from, signal),
    grantLease: (ttlMs, signal) => registry.grantLease(ttlMs, signal),
    renewLease: (id, signal) => registry.renewLease(id, signal),
    leaseLeftMs: (id, signal) => registry.leaseLeftMs(id, signal),
    revokeLease: (id, signal) => registry.revokeLease(id, signal),
    close: () => registry.close(),
  };
}
