// The store that the cluster shares: etcd's model (revisions, guarded transactions, leases, watches) and nothing more.
// Two adapters, one contract (test/contract/registry.ts). Keys here are relative: the adapter adds the cluster's prefix.

/** Revisions are whole numbers that rise with every write of the store; create and mod revisions as in etcd's KV API. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lease?: LeaseId;
}

declare const leaseBrand: unique symbol;
export type LeaseId = string & { readonly [leaseBrand]: true };

/** All keys under a prefix as they stood at one revision, in key order. */
export interface Snapshot {
  readonly revision: number;
  readonly entries: readonly Entry[];
}

export type Change =
  | { readonly kind: "put"; readonly entry: Entry }
  | { readonly kind: "delete"; readonly key: string; readonly revision: number };

/** All changes of one or more whole revisions, in order; empty when the store only says how far it is. */
export interface WatchBatch {
  /** Everything up to and including this revision has been delivered. Resume from `revision + 1`. */
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** `created`: the key's create revision equals `revision` (0: it does not exist). `modified`: the same of its mod revision. */
export interface Guard {
  readonly kind: "created" | "modified";
  readonly key: string;
  readonly revision: number;
}

export type Write =
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly lease?: LeaseId }
  | { readonly kind: "delete"; readonly key: string };

/** At most this many guards plus writes in one transaction (etcd's own default is 128). */
export const maxTransactionOps = 100;
/** A value may have at most this many bytes (etcd's request limit is 1.5 MiB). */
export const maxValueBytes = 1_000_000;
/** Keys and values of one transaction may have at most this many bytes together. */
export const maxTransactionBytes = 1_400_000;

export interface WriteResult {
  /** False when a guard did not hold; nothing was written then. */
  readonly applied: boolean;
  readonly revision: number;
}

/**
 * Every call rejects with a Problem: "registry-unreachable" (down, frozen, cut off, no answer within the adapter's
 * deadline; a write's outcome is then unknown), "registry-refused" (wrong password, no permission, bad certificate, too
 * large), "lease-lost", "watch-compacted", or "aborted" (the signal, or `close`). No call is repeated behind the caller's
 * back. Keys are of printable ASCII without blanks, at most 512 bytes.
 */
export interface Registry {
  /** Complete or rejected; pages inside, all at one revision; no size limit but memory. */
  read(prefix: string, signal?: AbortSignal): Promise<Snapshot>;
  get(key: string, signal?: AbortSignal): Promise<{ readonly entry: Entry | undefined; readonly revision: number }>;
  /** One transaction. Order of writes does not matter; one key at most once. */
  write(
    transaction: { readonly guards: readonly Guard[]; readonly writes: readonly Write[] },
    signal?: AbortSignal,
  ): Promise<WriteResult>;
  /**
   * Every change under `prefix` from revision `from` on, without a gap, whole revisions only. Throws "watch-compacted"
   * when `from` is no longer kept, or when the store has not come so far as just before it: it was put back to an earlier
   * state, or is a moment behind what it has told (read anew in all cases), "registry-unreachable" when the stream breaks
   * (resume after the last batch). The first batch comes as soon as the store has taken the watch; it may be empty.
   */
  watch(prefix: string, from: number, signal: AbortSignal): AsyncIterable<WatchBatch>;
  /** `ttlMs` as granted, at least as long as asked. */
  grantLease(ttlMs: number, signal?: AbortSignal): Promise<{ readonly id: LeaseId; readonly ttlMs: number }>;
  /**
   * Once; resolves when the store has confirmed, with a revision that it has reached (what answers may lag a little behind).
   * "lease-lost" when the lease no longer exists. Count validity from before the call.
   */
  renewLease(id: LeaseId, signal?: AbortSignal): Promise<number>;
  /** How long it lasts if nobody renews it, in ms, and up to a second less than that; 0 when it no longer exists. */
  leaseLeftMs(id: LeaseId, signal?: AbortSignal): Promise<number>;
  /** Its keys go with it. Resolves also when it no longer exists. */
  revokeLease(id: LeaseId, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
