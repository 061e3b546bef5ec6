// One simulated machine: what outlives its agent (systemd, disk, git store, its way to the store) and the agent that runs on it.
// It keeps account of its own troubles, so that whoever judges can tell what had a reason.
import type { Machine } from "../../agent/domain/machine.ts";
import type { MachineId, UnitName } from "../../agent/domain/names.ts";
import { type Agent, startAgent } from "../../agent/loops/agent.ts";
import { FakeStore } from "../fakes/fake-git.ts";
import { MemoryDisk } from "../fakes/memory-disk.ts";
import { silentLog } from "../fakes/silent-log.ts";
import type { FakeJob } from "../fakes/fake-systemd.ts";
import { type Cluster, engineLeaseMs, machineLeaseMs } from "./cluster.ts";
import { Link } from "./link.ts";
import { Process } from "./process.ts";
import { SimSystemd } from "./host.ts";
import { seated } from "./seat.ts";
import type { Log } from "../../agent/ports/log.ts";
import { explainError } from "../../agent/domain/problem.ts";

/** Something that keeps a machine from being heard of, for so long. */
export interface Trouble {
  readonly what: string;
  readonly fromMs: number;
  /** Undefined: it goes on. */
  untilMs: number | undefined;
}

export interface MachineOptions {
  readonly letter: string;
  readonly mayLead: boolean;
  readonly allowSubmit: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Within this a machine has been heard of again after a trouble: a call that began in it ends, and the next is sent after a pause. */
const recoveryMs = 3_000;

interface Running {
  readonly process: Process;
  readonly over: AbortController;
  readonly agent: Agent;
}

export class SimMachine {
  readonly letter: string;
  readonly id: MachineId;
  readonly systemd: SimSystemd;
  readonly disk = new MemoryDisk();
  readonly gitStore = new FakeStore();
  readonly link: Link;
  readonly troubles: Trouble[] = [];
  isOn = false;
  /** Whether its disk took the nonce of its last boot: the next one knows its own record by it. */
  isNoted = true;
  /** Switched off for good. */
  isLost = false;
  #running: Running | undefined;
  #boots = 0;
  #wallStepMs = 0;
  readonly #cluster: Cluster;
  readonly #options: MachineOptions;

  constructor(cluster: Cluster, options: MachineOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.letter = options.letter;
    this.id = options.letter.repeat(32) as MachineId;
    this.link = new Link(cluster);
    const { judge } = cluster;
    this.systemd = new SimSystemd({
      clock: cluster.clock,
      dice: cluster.dice,
      health: () => cluster.health,
      onUp: (unit) => judge.up(this, unit),
      onDown: (unit, why) => judge.down(this, { unit, why }),
      onJob: (job, unit) => judge.job(this, { job, unit }),
      onRemove: (unit) => judge.removal(this, unit),
      act: (work) => cluster.act(work),
    });
  }

  get mayLead(): boolean {
    return this.#options.mayLead;
  }

  get agent(): Agent | undefined {
    return this.#running?.agent;
  }

  get process(): Process | undefined {
    return this.#running?.process;
  }

  say(what: string): void {
    this.#cluster.trace.say(this.letter, what);
  }

  boot(): void {
    if (this.isOn) return;
    this.isOn = true;
    this.#boots++;
    this.say("boots");
    if (!this.isNoted) this.#beginTrouble("has to wait for its own record to run out");
    this.startAgent();
  }

  /** The store has a new record of it. */
  claimed(): void {
    this.#endTrouble("has to wait for its own record to run out");
  }

  startAgent(): void {
    if (!this.isOn || this.#running !== undefined) return;
    this.#endTrouble("agent");
    const { clock, repository, cron, dice } = this.#cluster;
    const process = new Process(clock, this.#wallStepMs);
    const over = new AbortController();
    const seat = {
      process,
      dice,
      act: (work: () => Promise<void>) => this.#cluster.act(work),
      weather: () => this.#cluster.weather,
      asks: (job: FakeJob, unit: UnitName) => this.#cluster.judge.asks(this, { job, unit }),
      unsure: (unit: UnitName) => this.#cluster.judge.unsure(this, unit),
      crash: (at: string) => {
        this.killAgent(at);
        this.#cluster.later(dice.next(2_000), () => this.startAgent());
      },
    };
    const git = this.#cluster.gitOf(this, repository.open({ store: this.gitStore }));
    const { registry, systemd, disk, ...ports } = seated(seat, {
      registry: this.link.open(process.ended),
      systemd: this.systemd.open(),
      disk: this.#cluster.diskOf(this, this.disk),
      git,
    });
    const agent = startAgent(
      {
        machine: this.#announced(),
        registry,
        systemd,
        git: { port: ports.git, schedule: "*", jitterMs: 0, branch: "main" },
        cron,
        disk,
        clock: process.ownClock,
        log: this.#log(process),
        allowSubmit: this.#options.allowSubmit,
        machineLeaseMs,
        rebalancePerMinute: 0,
        lossBrakePercent: 50,
        engineLeaseMs,
      },
      over.signal,
    );
    this.#running = { process, over, agent };
    this.say("agent starts");
  }

  /** Without a word. Its units stay. */
  killAgent(at: string): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    running.process.kill();
    this.#beginTrouble("agent");
    this.say(`agent is killed ${at}`);
  }

  /** As told by systemd. */
  async stopAgent(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.say("agent is told to end");
    this.#beginTrouble("agent");
    running.over.abort(new Error("shutdown"));
    await Promise.race([running.agent.done, this.#cluster.clock.sleep(20_000)]);
    if (this.#running !== running) return;
    this.#running = undefined;
    running.process.kill();
    this.say("agent has ended");
  }

  freezeAgent(): void {
    if (this.#running === undefined || this.#running.process.isFrozen) return;
    this.say("agent is frozen");
    this.#beginTrouble("agent frozen");
    this.#running.process.freeze();
  }

  thawAgent(): void {
    if (this.#running?.process.isFrozen !== true) return;
    this.say("agent goes on");
    this.#running.process.thaw();
    this.#endTrouble("agent frozen");
  }

  /** The power goes: the agent, all units, and what systemd knew. */
  powerOff(): void {
    if (!this.isOn) return;
    this.say("loses its power");
    this.#running?.process.kill();
    this.#running = undefined;
    this.isOn = false;
    this.#beginTrouble("agent");
    this.systemd.reboot();
  }

  /** What it wrote last, or what was worn, can be read in part only. No disk that keeps its word does that. */
  tear(): void {
    const { dice } = this.#cluster;
    const files = [...this.disk.files];
    if (files.length === 0) return;
    const [name, text] = dice.pick(files);
    this.disk.files.set(name, text.slice(0, dice.between(0, text.length - 1)));
    if (name === "nonce") this.isNoted = false;
    this.say(`has torn file ${name}`);
  }

  stepWall(ms: number): void {
    this.#wallStepMs += ms;
    this.#running?.process.clock.stepWall(ms);
    this.say(`clock is set by ${ms} ms`);
  }

  /** Its way to the store has got worse, or is as it should be again. */
  linkChanged(): void {
    if (this.link.isWell) this.#endTrouble("link");
    else this.#beginTrouble("link");
  }

  /** Whether troubles of its own, one after another, have kept it from being heard of for at least `ms`, since `sinceMs`. */
  wasTroubled(sinceMs: number, ms: number): boolean {
    const nowMs = this.#cluster.clock.monotonicMs();
    let run = { fromMs: -Infinity, untilMs: -Infinity };
    for (const { fromMs, untilMs = nowMs } of [...this.troubles].sort((a, b) => a.fromMs - b.fromMs)) {
      // What begins before the one before has been got over is one trouble
      if (fromMs <= run.untilMs + recoveryMs) run = { fromMs: run.fromMs, untilMs: Math.max(run.untilMs, untilMs) };
      else run = { fromMs, untilMs };
      if (run.untilMs >= sinceMs && run.untilMs - run.fromMs >= ms) return true;
    }
    return false;
  }

  #beginTrouble(what: string): void {
    if (this.troubles.some((each) => each.what === what && each.untilMs === undefined)) return;
    this.troubles.push({ what, fromMs: this.#cluster.clock.monotonicMs(), untilMs: undefined });
  }

  #endTrouble(what: string): void {
    for (const each of this.troubles) {
      if (each.what === what && each.untilMs === undefined) each.untilMs = this.#cluster.clock.monotonicMs();
    }
  }

  /** Of its present boot. */
  get nonce(): string {
    return `${this.letter}-boot-${this.#boots}`;
  }

  #announced(): Machine {
    const { letter, metadata, mayLead, allowSubmit } = this.#options;
    return {
      id: this.id,
      nonce: this.nonce,
      hostname: `host-${letter}`,
      publicIp: `10.0.0.${letter.charCodeAt(0)}`,
      metadata,
      cpus: 2,
      memoryBytes: 1_000_000_000,
      mayLead,
      ...(allowSubmit ? {} : { allowSubmit }),
      version: "0.0.0",
    };
  }

  /** What it says stands in the trace while it lives. */
  #log(process: Process): Log {
    const say = (level: string, event: string, fields: object): void => {
      if (process.isDead) return;
      const words = Object.entries(fields).map(([key, value]) => `${key}=${String(value)}`);
      this.say(`${level} ${[event, ...words].join(" ")}`);
    };
    return {
      ...silentLog,
      info: (event, fields = {}) => say("says", event, fields),
      warn: (event, fields = {}) => say("warns", event, fields),
      error: (event, error, fields = {}) => say("errs", event, { ...fields, error: explainError(error) }),
    };
  }
}
