// How a machine finds its etcd: members as a list names them, entries of a discovery token, and what is kept once it is
// decided. Made by discovery/ (pure) and bootstrap/, read by the agent and by the status of a boot.

/** A first member of a cluster, as everybody's static list has it. */
export interface EtcdPeer {
  readonly name: string;
  /** At least one, each with a port; sorted. */
  readonly peerUrls: readonly string[];
}

/** What this machine would be as a member. */
export interface EtcdSelf {
  readonly name: string;
  /** Sorted; empty where a list or DNS has to tell. */
  readonly peerUrls: readonly string[];
}

/** One entry of a token, as the store has it. */
export interface TokenEntry {
  /** Lowercase hex, the member's id. */
  readonly id: string;
  /** `NAME=URL` or `NAME=URL1,NAME=URL2`, unchecked. */
  readonly value: string;
  /** The order of registration: smaller came first. */
  readonly order: number;
}

/** A token as its store shows it at one moment. */
export type TokenLook =
  | { readonly kind: "absent" }
  | {
      readonly kind: "token";
      /** Unchecked. */
      readonly size: string;
      readonly entries: readonly TokenEntry[];
      /** Changes after this revision of the store are news. */
      readonly revision: number;
    };

/** A member as a live cluster lists it. */
export interface LiveMember {
  readonly id: string;
  /** "" until the member has started for the first time, unless the first list named it. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member has started for the first time. */
  readonly clientUrls: readonly string[];
}

export interface LiveCluster {
  readonly clusterId: string;
  readonly members: readonly LiveMember[];
}

export type DiscoveryWay = "static" | "v2" | "v3" | "srv";

/** The decision, kept for good: after it nobody is asked who the members are. */
export interface JoinRecord {
  readonly role: "member" | "client";
  readonly name: string;
  readonly how: DiscoveryWay;
  /** etcd's initial-cluster-token: of a discovery URL the URL itself. Whoever knows it can join: it is not shown. */
  readonly token: string;
  /** Members that the cluster was to have at first. */
  readonly size: number;
  readonly members: readonly EtcdPeer[];
  /** Client URLs to begin with, a member's own first. Never empty. */
  readonly endpoints: readonly string[];
  /** Lowercase hex; left out where it could not be told. */
  readonly clusterId?: string;
  /** Only of members. */
  readonly member?: {
    /** Lowercase hex without leading zeros; left out where etcd's own data tells. */
    readonly id?: string;
    readonly peerUrls: readonly string[];
    readonly state: "new" | "existing";
  };
  /** Of the machine that decided: a copy of its disk is another machine. Left out by records that did not keep it. */
  readonly machineId?: string;
  readonly decidedAtMs: number;
}

/** What a machine notes before it changes something elsewhere, so that it knows itself again after a crash. */
export type JoinNote =
  | { readonly kind: "registering"; readonly token: string; readonly id: string }
  | { readonly kind: "replacing"; readonly token: string; readonly id: string };

/** What `flotilla discovery join` is about; kept in the run directory while it works, for whoever asks. */
export interface JoinProgress {
  readonly state: "asking" | "waiting" | "done" | "failed";
  /** In words: "waiting for 1 of 3 members: m1, m2 are registered". */
  readonly what: string;
  /** Since when it has been so, wall ms. */
  readonly sinceMs: number;
  /** Tries in a row without success. */
  readonly tries: number;
  /** "": the last try went well. */
  readonly lastError: string;
  /** Members that have not registered yet; 0 where that is not the question. */
  readonly missing: number;
}
