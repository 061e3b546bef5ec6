// The place where faults happen: machines that boot, an etcd of three members and a git server, all in a network of their own
// that is gone with this process. Knows what has been broken on purpose, and so what anybody may expect to work.
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import type { ClusterReport, UnitReport } from "../../agent/domain/report.ts";
import { flotillaParts } from "../system/booted/flotilla.ts";
import { type End, Links, type Loss, type Mend } from "../system/booted/links.ts";
import { type BootedMachine, createMachine } from "../system/booted/machine.ts";
import { Network } from "../system/booted/network.ts";
import { type GitServer, startGitServer } from "../system/git-server.ts";
import { UnitsRepository } from "../system/units-repository.ts";
import { type Member, Store } from "./store.ts";
import { Wishes } from "./wishes.ts";

const firstAddress = 11;
const bootMs = 120_000;
const apiMs = 3_000;
/** How often the leader looks for a commit: often, as nobody calls it. */
const schedule = "*/3 * * * * *";

export class SoakMachine implements End {
  readonly booted: BootedMachine;
  /** As flotilla calls it. */
  readonly id: string;
  /** Where its control groups begin; undefined while it is down. */
  group: string | undefined;
  /** Its agent is dead, frozen or has not said anything since. */
  isAgentAway = false;
  isUnplugged = false;

  constructor(booted: BootedMachine, id: string) {
    this.booted = booted;
    this.id = id;
  }

  get name(): string {
    return this.booted.name;
  }

  get address(): string {
    return this.booted.address;
  }

  get port(): string {
    return this.booted.port;
  }

  get isUp(): boolean {
    return this.group !== undefined;
  }

  async boot(): Promise<void> {
    await this.booted.boot({ until: "flotilla.service", timeoutMs: bootMs });
    await this.isBack();
  }

  /** Within an instant; nothing of it may be expected from before that. */
  async powerCut(): Promise<void> {
    this.noteDown();
    await this.booted.powerCut();
  }

  /** Nothing of it may be expected until its agent answers again. */
  noteDown(): void {
    this.group = undefined;
    this.isAgentAway = true;
  }

  /** After it has been started by whatever means. */
  async isBack(): Promise<void> {
    await this.booted.waitForUnit("flotilla.service", { timeoutMs: bootMs });
    this.group = await this.booted.controlGroup();
    await this.agentAnswers();
  }

  async agentAnswers(): Promise<void> {
    await this.booted.waitFor("an answer of the agent", async () => (await this.status()) !== undefined, {
      timeoutMs: bootMs,
    });
    this.isAgentAway = false;
  }

  /** Process of a service of the machine, as seen from here; undefined: it does not run. */
  processOf(service: string): number | undefined {
    if (this.group === undefined) return undefined;
    try {
      const [first = ""] = readFileSync(join(this.group, "system.slice", service, "cgroup.procs"), "utf8").split("\n");
      return first === "" ? undefined : Number(first);
    } catch {
      return undefined; // it has no control group, so it does not run
    }
  }

  signal(service: string, signal: NodeJS.Signals): void {
    const pid = this.processOf(service);
    if (pid === undefined) throw new Error(`${this.name}: ${service} does not run`);
    process.kill(pid, signal);
  }

  /** What its agent says of the cluster; undefined: it does not answer. */
  async status(): Promise<ClusterReport | undefined> {
    return (await this.#get("/v2/status")) as ClusterReport | undefined;
  }

  async units(): Promise<readonly UnitReport[] | undefined> {
    return ((await this.#get("/v2/units")) as { units: readonly UnitReport[] } | undefined)?.units;
  }

  async #get(path: string): Promise<unknown> {
    if (!this.booted.running) return undefined;
    try {
      const socket = `/proc/${this.booted.pid}/root/run/flotilla/flotilla.sock`;
      return await createApiClient(socket).get(path, { timeoutMs: apiMs });
    } catch {
      return undefined; // which is the question
    }
  }
}

export interface SiteOptions {
  readonly machines: number;
  readonly say?: (text: string) => void;
}

export class Site {
  readonly network: Network;
  readonly links: Links;
  readonly store: Store;
  readonly git: GitServer;
  readonly wishes: Wishes;
  readonly machines: readonly SoakMachine[];
  readonly directory: string;
  readonly #cuts = new Set<Loss>();

  private constructor(parts: Pick<Site, "network" | "store" | "git" | "wishes" | "machines" | "directory">) {
    this.network = parts.network;
    this.links = new Links(parts.network);
    this.store = parts.store;
    this.git = parts.git;
    this.wishes = parts.wishes;
    this.machines = parts.machines;
    this.directory = parts.directory;
  }

  /** All are up; what they run comes about later. */
  static async open({ machines: count, say = () => undefined }: SiteOptions): Promise<Site> {
    const directory = await mkdtemp("/var/tmp/flotilla-soak-");
    const network = await Network.open();
    let store: Store | undefined;
    let git: GitServer | undefined;
    try {
      // One build from beginning to end, whatever is built meanwhile
      const dist = join(directory, "dist");
      await cp(new URL("../../dist", import.meta.url), dist, { recursive: true });
      await mkdir(join(directory, "etcd"));
      store = await Store.start(network, { directory: join(directory, "etcd") });
      say("etcd runs");
      git = await startGitServer({ directory: join(directory, "git"), listen: (server) => network.listen(server) });
      const repository = await UnitsRepository.make({ directory: join(directory, "work"), origin: git.repository });
      const wishes = await Wishes.make(repository);
      const parts = { network, store, git, dist };
      const numbers = Array.from({ length: count }, (_, index) => index + 1);
      const machines = await Promise.all(numbers.map((number) => makeMachine(parts, number)));
      const site = new Site({ network, store, git, wishes, machines, directory });
      await Promise.all(machines.map((machine) => machine.boot()));
      say(`${count} machines are up`);
      return site;
    } catch (error) {
      await closeAll({ network, store, git, directory });
      throw error;
    }
  }

  async close(): Promise<void> {
    await closeAll(this);
  }

  /** Loses packets until it is mended. */
  async lose(loss: Loss): Promise<Mend> {
    const mend = await this.links.lose(loss);
    if ((loss.percent ?? 100) < 100) return mend;
    this.#cuts.add(loss);
    return async () => {
      await mend();
      this.#cuts.delete(loss);
    };
  }

  /** A majority of members works and reaches each other. */
  get hasMajority(): boolean {
    return this.store.members.some((member) => this.#isInMajority(member));
  }

  /** Whether its agent lives and can speak with etcd; of an etcd that is down itself, whether it could if it were up. */
  isConnected(machine: SoakMachine): boolean {
    if (!machine.isUp || machine.isAgentAway || machine.isUnplugged) return false;
    const { members } = this.store;
    const serving = members.filter((member) => this.#isInMajority(member));
    return (serving.length > 0 ? serving : members).some((member) => this.#reach(machine, member));
  }

  #isInMajority(member: Member): boolean {
    if (!this.store.works(member)) return false;
    const others = this.store.members.filter((other) => other !== member && this.store.works(other));
    const near = others.filter((other) => this.#reach(member, other));
    return near.length + 1 > this.store.members.length / 2;
  }

  #reach(one: End, other: End): boolean {
    return this.#passes(one, other) && this.#passes(other, one);
  }

  #passes(from: End, to: End): boolean {
    return ![...this.#cuts].some((cut) => cut.from === from && (cut.to === undefined || cut.to === to));
  }
}

interface Parts {
  readonly network: Network;
  readonly store: Store;
  readonly git: GitServer;
  readonly dist: string;
}

async function makeMachine({ network, store, git, dist }: Parts, number: number): Promise<SoakMachine> {
  const parts = await flotillaParts({ dist });
  const address = `10.77.0.${firstAddress - 1 + number}`;
  const settings = `[Machine]
PublicIP=${address}
Metadata=number=${number}

[Git]
URL=${git.url}
Schedule=${schedule}
Jitter=0s

[Registry]
Endpoints=${store.endpoints.join(",")}

[Agent]
LogLevel=debug
`;
  const booted = await createMachine({
    network,
    name: `m${number}`,
    address,
    binds: parts.binds,
    files: { ...parts.files, "/etc/flotilla/flotilla.conf": { text: settings, mode: 0o600 } },
    enable: ["flotilla.service"],
  });
  const id = (await readFile(booted.onDisk("/etc/machine-id"), "utf8")).trim();
  return new SoakMachine(booted, id);
}

async function closeAll(parts: {
  readonly network: Network;
  readonly store: Store | undefined;
  readonly git: GitServer | undefined;
  readonly directory: string;
}): Promise<void> {
  await parts.store?.close();
  await parts.git?.close();
  await parts.network.close();
  await rm(parts.directory, { recursive: true, force: true });
}
