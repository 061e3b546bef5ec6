// What a machine asks on its way into etcd: the store of a discovery token, DNS, members that are up already, and its own
// disk. One real adapter for each (adapters/discovery/); the stores have one contract (test/contract/discovery.ts).
import type { TokenLook } from "../domain/discovery.ts";
import type { Problem } from "../domain/problem.ts";
import type { EtcdCluster, EtcdMembers } from "./etcd-cluster.ts";

export type RegisterResult =
  | { readonly kind: "created" }
  /** There is an entry of this id; whose it is, a look tells. */
  | { readonly kind: "exists" }
  /** The store itself does not want it: the token is full, or another member has this name or URL. A look may tell more. */
  | { readonly kind: "refused"; readonly problem: Problem };

/**
 * One token in its store. Calls reject with a Problem: "discovery-unreachable" (no answer, an answer that says to come
 * again, or one that no store gives: try again), "discovery-refused" (it will not be otherwise the next time), "aborted".
 */
export interface DiscoveryStore {
  /** The store and the beginning of the token, for people. */
  readonly shown: string;
  /** Whether it is reached on a loopback address. */
  readonly isLocal: boolean;
  look(signal: AbortSignal): Promise<TokenLook>;
  /** Writes the entry only if there is none of this id. */
  register(entry: { readonly id: string; readonly value: string }, signal: AbortSignal): Promise<RegisterResult>;
  /** Resolves when the token may have changed since the look at `revision`, or after `mostMs`. */
  changed(since: { readonly revision: number; readonly mostMs: number }, signal: AbortSignal): Promise<void>;
}

export interface SrvRecord {
  /** Without a dot at its end. */
  readonly host: string;
  readonly port: number;
}

/** Calls reject with Problem "names-unreachable" (no answer of a name server; try again) or "aborted". */
export interface Names {
  /** By priority, then weight, then name; empty: there is no such record. */
  srv(name: string, signal: AbortSignal): Promise<readonly SrvRecord[]>;
  /** Of a host name or address; empty: there is no such host. */
  addresses(host: string, signal: AbortSignal): Promise<readonly string[]>;
}

/** Members that are up already. */
export interface EtcdReach {
  /**
   * As the first of these peers to answer sees it, which nobody has agreed on. Rejects with "registry-unreachable",
   * "registry-refused" or "aborted".
   */
  askPeers(
    peerUrls: readonly string[],
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<EtcdMembers>;
  /** By client URLs; connects at the first call. The caller closes it. */
  connect(endpoints: readonly string[]): EtcdCluster;
}

export interface EtcdData {
  /** Whether etcd has a write-ahead log in its data folder: it then starts from that, whatever it is told. "disk-read". */
  hasLog(): Promise<boolean>;
}
