// The etcd of a site: three members, each with a network end of its own on the bridge, so that machines and members can be
// cut off from each other one by one. Real processes of the host's etcd, which can be killed, frozen and started again.
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { type End } from "../system/booted/links.ts";
import { type Network } from "../system/booted/network.ts";

const prefix = "/flotilla/";
const readyMs = 30_000;
const askMs = 1_000;
const firstAddress = 21;

export interface Member extends End {
  readonly clientUrl: string;
  readonly peerUrl: string;
  process: ChildProcess | undefined;
  isFrozen: boolean;
}

/** What the members agreed on at one moment, as a majority of them knows it. */
export interface Sight {
  /** Ids of machines that hold their presence lease. */
  readonly machines: ReadonlySet<string>;
  /** Ids of machines that came and went, and take nothing new for a while. */
  readonly resting: ReadonlySet<string>;
  /** Id of the machine that leads, and its epoch. */
  readonly leader: { readonly machine: string; readonly epoch: number } | undefined;
  /** Of etcd's own leader: a new one gives every lease its whole time again. */
  readonly term: string;
}

export class Store {
  readonly members: readonly Member[];
  readonly #network: Network;
  readonly #directory: string;

  private constructor(network: Network, parts: { directory: string; members: readonly Member[] }) {
    this.#network = network;
    this.#directory = parts.directory;
    this.members = parts.members;
  }

  static async start(
    network: Network,
    { directory, count = 3 }: { directory: string; count?: number },
  ): Promise<Store> {
    const members: Member[] = [];
    for (let index = 0; index < count; index++) {
      const [name, address] = [`e${index + 1}`, `10.77.0.${firstAddress + index}`];
      const urls = { clientUrl: `http://${address}:2379`, peerUrl: `http://${address}:2380` };
      const port = await network.plug(name, address);
      members.push({ name, address, port, ...urls, process: undefined, isFrozen: false });
    }
    const store = new Store(network, { directory, members });
    for (const member of members) store.#spawn(member);
    for (const member of members) await store.#ready(member);
    return store;
  }

  get endpoints(): readonly string[] {
    return this.members.map(({ clientUrl }) => clientUrl);
  }

  logOf(member: Member): string {
    return join(this.#directory, `${member.name}.log`);
  }

  /** SIGKILL; the data stays. */
  async kill(member: Member): Promise<void> {
    const { process } = member;
    member.process = undefined;
    member.isFrozen = false;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const ended = once(process, "exit");
    process.kill("SIGKILL");
    await ended;
  }

  /** Starts those that do not run, on the data that they have; resolves when all answer. */
  async startAll(): Promise<void> {
    const stopped = this.members.filter((member) => member.process === undefined);
    for (const member of stopped) this.#spawn(member);
    for (const member of stopped) await this.#ready(member);
  }

  freeze(member: Member): void {
    member.isFrozen = true;
    member.process?.kill("SIGSTOP");
  }

  thaw(member: Member): void {
    member.isFrozen = false;
    member.process?.kill("SIGCONT");
  }

  works(member: Member): boolean {
    return member.process !== undefined && !member.isFrozen;
  }

  /** The member that leads, by the word of the newest term; undefined: nobody says so. */
  async leader(): Promise<Member | undefined> {
    const said = await Promise.all(
      this.members
        .filter((member) => this.works(member))
        .map(async (member) => ({ member, ...(await this.#status(member)) })),
    );
    const leaders = said.filter(({ isLeader }) => isLeader === true);
    return leaders.sort((a, b) => (b.term ?? 0) - (a.term ?? 0))[0]?.member;
  }

  /** Undefined: no member answers for a majority. */
  async look(): Promise<Sight | undefined> {
    const body = { key: base64(`${prefix}leader`), range_end: base64(`${prefix}machines0`) };
    for (const member of this.members) {
      if (!this.works(member)) continue;
      const answer = (await this.#ask(member, "/v3/kv/range", body)) as Range | undefined;
      if (answer?.header === undefined) continue;
      return sightOf(answer);
    }
    return undefined;
  }

  /** What stands below a folder of the registry, by its name there, as JSON says it. Undefined: no member answers for a majority. */
  async values(folder: string): Promise<ReadonlyMap<string, unknown> | undefined> {
    // "0" comes after "/"
    const body = { key: base64(`${prefix}${folder}/`), range_end: base64(`${prefix}${folder}0`) };
    for (const member of this.members) {
      if (!this.works(member)) continue;
      const answer = (await this.#ask(member, "/v3/kv/range", body)) as Range | undefined;
      if (answer?.header === undefined) continue;
      const named = (key: string): string => text(key).slice(prefix.length + folder.length + 1);
      return new Map((answer.kvs ?? []).map(({ key, value = "" }) => [named(key), JSON.parse(text(value))]));
    }
    return undefined;
  }

  /** Ends all members. */
  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => this.kill(member)));
  }

  async #status(member: Member): Promise<{ isLeader?: boolean; term?: number }> {
    const answer = (await this.#ask(member, "/v3/maintenance/status", {})) as Status | undefined;
    if (answer?.header === undefined) return {};
    return { isLeader: answer.leader === answer.header.member_id, term: Number(answer.raftTerm ?? 0) };
  }

  /** Undefined: it does not answer in time, or has no majority behind it. */
  async #ask(member: Member, path: string, body: object): Promise<unknown> {
    try {
      const options = { method: "POST", body: JSON.stringify(body), timeoutMs: askMs };
      const answer = await this.#network.request(`${member.clientUrl}${path}`, options);
      return answer.status === 200 ? JSON.parse(answer.body) : undefined;
    } catch {
      return undefined; // which is what callers ask about: whether it answers
    }
  }

  #spawn(member: Member): void {
    const { name, clientUrl, peerUrl } = member;
    const cluster = this.members.map((each) => `${each.name}=${each.peerUrl}`).join(",");
    const args = [
      ...["--name", name, "--data-dir", join(this.#directory, name)],
      ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", cluster, "--log-level", "info", "--logger", "zap"],
    ];
    const child = this.#network.spawn(["etcd", ...args], { end: name });
    const log = createWriteStream(this.logOf(member), { flags: "a" });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    child.once("exit", () => log.end());
    member.process = child;
  }

  async #ready(member: Member): Promise<void> {
    const endMs = performance.now() + readyMs;
    while ((await this.#ask(member, "/v3/maintenance/status", {})) === undefined) {
      if (performance.now() > endMs) throw new Error(`etcd ${member.name} does not start: see ${this.logOf(member)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

interface Status {
  readonly header?: { readonly member_id: string };
  readonly leader?: string;
  readonly raftTerm?: string;
}

interface Range {
  readonly header?: { readonly raft_term: string };
  readonly kvs?: readonly { readonly key: string; readonly value?: string; readonly create_revision: string }[];
}

function sightOf({ header, kvs = [] }: Range): Sight {
  const machines = new Set<string>();
  const resting = new Set<string>();
  let leader: Sight["leader"];
  for (const { key, value = "", create_revision } of kvs) {
    const name = text(key).slice(prefix.length);
    if (name.startsWith("machines/")) machines.add(name.slice("machines/".length));
    if (name.startsWith("machine-settings/")) {
      const { rests } = JSON.parse(text(value)) as { rests?: object };
      if (rests !== undefined) resting.add(name.slice("machine-settings/".length));
    }
    if (name === "leader") {
      const { machine } = JSON.parse(text(value)) as { machine: string };
      leader = { machine, epoch: Number(create_revision) };
    }
  }
  return { machines, resting, leader, term: header?.raft_term ?? "" };
}

function base64(words: string): string {
  return Buffer.from(words).toString("base64");
}

function text(encoded: string): string {
  return Buffer.from(encoded, "base64").toString("utf8");
}
