// What a machine asks on its way into etcd, in memory: a token's store, DNS, a cluster that is up or not, and etcd's data.
import { Problem } from "../../agent/domain/problem.ts";
import type { LiveCluster, LiveMember, TokenEntry, TokenLook } from "../../agent/domain/discovery.ts";
import type { DiscoveryStore, EtcdReach, Names, RegisterResult, SrvRecord } from "../../agent/ports/discovery.ts";
import type { Clock } from "../../agent/ports/clock.ts";
import type { EtcdMember, EtcdMembers } from "../../agent/ports/etcd-cluster.ts";

/** The store of one token; several machines share one by `connect`. */
export class FakeToken {
  size: string | undefined;
  readonly entries: TokenEntry[] = [];
  revision = 1;
  /** Calls so far. */
  asked = 0;
  /** When set, every call rejects with it. */
  trouble: Problem | undefined;
  /** When set, registrations are refused with it. */
  refusal: Problem | undefined;
  isLocal = false;
  readonly #waiting = new Set<() => void>();
  readonly #clock: Clock;

  constructor(clock: Clock, size?: string) {
    this.#clock = clock;
    this.size = size;
  }

  /** As somebody else's machine would. */
  put(id: string, value: string): void {
    this.entries.push({ id, value, order: ++this.revision });
    for (const wake of [...this.#waiting]) wake();
  }

  connect(): DiscoveryStore {
    return {
      shown: "discovery service http://store (token abcd...)",
      isLocal: this.isLocal,
      look: async (signal) => {
        this.#check(signal);
        const look: TokenLook =
          this.size === undefined
            ? { kind: "absent" }
            : { kind: "token", size: this.size, entries: [...this.entries], revision: this.revision };
        return look;
      },
      register: async ({ id, value }, signal): Promise<RegisterResult> => {
        this.#check(signal);
        if (this.refusal !== undefined) return { kind: "refused", problem: this.refusal };
        if (this.entries.some((entry) => entry.id === id)) return { kind: "exists" };
        this.put(id, value);
        return { kind: "created" };
      },
      changed: async ({ revision, mostMs }, signal) => {
        this.#check(signal);
        if (this.entries.some(({ order }) => order > revision)) return;
        const over = new AbortController();
        const limit = AbortSignal.any([over.signal, signal]);
        const woken = new Promise<void>((resolve) => {
          this.#waiting.add(resolve);
          limit.addEventListener("abort", () => this.#waiting.delete(resolve), { once: true });
        });
        const slept = this.#clock.sleep(mostMs, limit).catch(() => undefined); // woken, or given up
        await Promise.race([woken, slept]);
        over.abort();
        this.#check(signal, 0);
      },
    };
  }

  #check(signal: AbortSignal, counts = 1): void {
    this.asked += counts;
    if (signal.aborted) throw new Problem("aborted", "Cannot finish asking: it was given up");
    if (this.trouble !== undefined) throw this.trouble;
  }
}

export function unreachableStore(): Problem {
  return new Problem("discovery-unreachable", "Cannot reach discovery service http://store (token abcd...)");
}

/** A cluster of etcd as its own members see it; nobody answers while it is undefined. */
export class FakeReach implements EtcdReach {
  cluster: LiveCluster | undefined;
  /** Peer URLs and client URLs that answer; undefined: all of the cluster's. */
  only: ReadonlySet<string> | undefined;
  /** Peers asked, and changes of the membership, in order. */
  readonly calls: string[] = [];
  /** When set, changes of the membership reject with it, each once. */
  readonly troubles: Problem[] = [];
  #next = 0xa0;

  async askPeers(peerUrls: readonly string[], { signal }: { readonly signal: AbortSignal }): Promise<EtcdMembers> {
    this.calls.push(`peers ${peerUrls.join(" ")}`);
    if (signal.aborted) throw new Problem("aborted", "Cannot finish asking: it was given up");
    return this.#answer((member) => member.peerUrls, peerUrls);
  }

  connect(endpoints: readonly string[]) {
    const change = (what: string): void => {
      const trouble = this.troubles.shift();
      this.calls.push(trouble === undefined ? what : `${what} failed`);
      if (trouble !== undefined) throw trouble;
    };
    return {
      members: async () => this.#answer((member) => member.clientUrls, endpoints),
      addMember: async (peerUrls: readonly string[]) => {
        change(`add ${peerUrls.join(" ")}`);
        const added = { id: (this.#next++).toString(16), name: "", peerUrls, clientUrls: [], isLearner: false };
        const { clusterId, members } = this.#answer((member) => member.clientUrls, endpoints);
        this.cluster = { clusterId, members: [...members, added] };
        return { added, members: [...members, added] };
      },
      removeMember: async (id: string) => {
        change(`remove ${id}`);
        const { clusterId, members } = this.#answer((member) => member.clientUrls, endpoints);
        this.cluster = { clusterId, members: members.filter((member) => member.id !== id) };
      },
      close: async () => undefined,
    };
  }

  #answer(urlsOf: (member: LiveMember) => readonly string[], asked: readonly string[]): EtcdMembers {
    const up = this.cluster?.members.filter(({ clientUrls }) => clientUrls.length > 0) ?? [];
    // Of a cluster that is still forming the peers answer, and no client URL
    const answering = up.length > 0 ? up : (this.cluster?.members ?? []);
    const heard = answering
      .flatMap(urlsOf)
      .some((url) => asked.includes(url) && (this.only === undefined || this.only.has(url)));
    if (this.cluster === undefined || !heard)
      throw new Problem("registry-unreachable", `Cannot ask ${asked.join(" ")}`);
    const members = this.cluster.members.map((member): EtcdMember => ({ ...member, isLearner: false }));
    return { clusterId: this.cluster.clusterId, members };
  }
}

export class FakeNames implements Names {
  readonly records = new Map<string, readonly SrvRecord[]>();
  readonly hosts = new Map<string, readonly string[]>();
  trouble: Problem | undefined;

  async srv(name: string): Promise<readonly SrvRecord[]> {
    if (this.trouble !== undefined) throw this.trouble;
    return this.records.get(name) ?? [];
  }

  async addresses(host: string): Promise<readonly string[]> {
    if (this.trouble !== undefined) throw this.trouble;
    return this.hosts.get(host) ?? (/^[0-9.]+$/.test(host) ? [host] : []);
  }
}
