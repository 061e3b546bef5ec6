// etcd's own members, as far as flotilla asks for them: who is in the cluster, one more, one less. Discovery and the
// replacement of a lost member use it; the registry's adapter learns its endpoints from the same list.

export interface EtcdMember {
  /** Lowercase hex without leading zeros, as etcdctl prints it. */
  readonly id: string;
  /** "" until the member has started for the first time. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member has started for the first time. */
  readonly clientUrls: readonly string[];
  /** Has the data, but no vote. */
  readonly isLearner: boolean;
}

/** A cluster as its members see it, in order of their ids. */
export interface EtcdMembers {
  /** Lowercase hex without leading zeros. */
  readonly clusterId: string;
  readonly members: readonly EtcdMember[];
}

/**
 * Every call rejects with a Problem: "registry-unreachable" (nobody answers within the deadline; of a change the outcome is
 * then unknown: ask for the members), "registry-refused" (login, certificate, rights, another cluster than expected),
 * "cluster-unhealthy" (etcd does not risk the change: too few members are up and in touch), "member-exists" (a peer
 * URL is taken), or "aborted". No change is sent twice.
 */
export interface EtcdCluster {
  /** Asks any of the endpoints; the answer is agreed on by a majority (etcd 3.4: it is that member's own view). */
  members(signal?: AbortSignal): Promise<EtcdMembers>;
  /** Takes in a voting member that will start with these peer URLs. With users, it takes etcd's role root. */
  addMember(
    peerUrls: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly added: EtcdMember; readonly members: readonly EtcdMember[] }>;
  /** Resolves also when there is no such member any more. With users, it takes etcd's role root. */
  removeMember(id: string, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
