// etcd's model in memory: keys with revisions, guarded transactions, leases, a bounded history for watches. Given to
// embedded.ts, which adds time, disk and clients. Nothing here waits, and nothing is seen before it is published.
import { Problem } from "../../domain/problem.ts";
import type { Change, Entry, LeaseId, Snapshot, WatchBatch, WriteResult } from "../../ports/registry.ts";
import type { Transaction } from "./calls.ts";

/** History kept for watches; whoever falls further behind reads anew. */
export const keptRevisions = 20_000;
const keptBytes = 64 * 1024 * 1024;
/** A watch batch spans at most this many revisions. */
const batchRevisions = 1_000;

export interface Lease {
  readonly ttlMs: number;
  readonly keys: Set<string>;
  /** Monotonic ms after which it no longer holds. */
  validUntilMs: number;
}

interface Moment {
  readonly changes: readonly Change[];
  readonly bytes: number;
}

export class Store {
  readonly leases = new Map<LeaseId, Lease>();
  readonly #entries: Map<string, Entry>;
  #revision: number;
  /** One element for each revision after `#compacted`, oldest first, from `#oldest` on. */
  #history: Moment[] = [];
  #oldest = 0;
  #compacted: number;
  #bytes = 0;

  /** `entries` stand without leases; nothing before `revision` is known to watches. */
  constructor(revision: number, entries: readonly Entry[]) {
    this.#revision = revision;
    this.#compacted = revision;
    this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  read(prefix: string): Snapshot {
    const entries = [...this.#entries.values()].filter((entry) => entry.key.startsWith(prefix));
    return { revision: this.#revision, entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)) };
  }

  /** Changes from `from` on, at most 1,000 revisions of them; undefined when `from` is no longer kept, or not reached yet. */
  since(prefix: string, from: number): WatchBatch | undefined {
    if (from <= this.#compacted || from > this.#revision + 1) return undefined;
    const first = this.#oldest + (from - this.#compacted - 1);
    const moments = this.#history.slice(first, first + batchRevisions);
    const changes = moments.flatMap((moment) => moment.changes.filter((change) => keyOf(change).startsWith(prefix)));
    return { revision: from - 1 + moments.length, changes };
  }

  /** Forgets the history up to and including `revision`. */
  compact(revision: number): void {
    while (this.#compacted < revision && this.#oldest < this.#history.length) {
      this.#bytes -= this.#history[this.#oldest]?.bytes ?? 0;
      this.#oldest++;
      this.#compacted++;
    }
    if (this.#oldest > this.#history.length / 2) {
      this.#history = this.#history.slice(this.#oldest);
      this.#oldest = 0;
    }
  }

  draft(): Draft {
    return new Draft(this, this.#entries);
  }

  /** Makes a draft of this very state the state. */
  publish(draft: Draft): void {
    for (const [key, entry] of draft.staged) {
      const before = this.#entries.get(key);
      if (before?.lease !== undefined) this.leases.get(before.lease)?.keys.delete(key);
      if (entry === undefined) this.#entries.delete(key);
      else this.#entries.set(key, entry);
      if (entry?.lease !== undefined) this.leases.get(entry.lease)?.keys.add(key);
    }
    for (const lease of draft.ended) this.leases.delete(lease);
    for (const changes of draft.moments) {
      const bytes = changes.reduce((sum, change) => sum + sizeOf(change), 0);
      this.#history.push({ changes, bytes });
      this.#bytes += bytes;
    }
    this.#revision = draft.revision;
    const kept = this.#history.length - this.#oldest;
    if (kept > keptRevisions) this.compact(this.#compacted + kept - keptRevisions);
    while (this.#bytes > keptBytes) this.compact(this.#compacted + 1);
  }
}

/** Transactions worked out one after another on top of a store, and not yet seen by anybody. */
export class Draft {
  readonly staged = new Map<string, Entry | undefined>();
  readonly moments: (readonly Change[])[] = [];
  readonly ended = new Set<LeaseId>();
  /** Whether a key without lease came, changed or went. */
  isDurable = false;
  revision: number;
  readonly #store: Store;
  readonly #entries: ReadonlyMap<string, Entry>;

  constructor(store: Store, entries: ReadonlyMap<string, Entry>) {
    this.#store = store;
    this.#entries = entries;
    this.revision = store.revision;
  }

  /** "lease-lost" when a put names a lease that does not exist; nothing is staged then. */
  write({ guards, writes }: Transaction): WriteResult | Problem {
    const holds = guards.every((guard) => {
      const entry = this.#get(guard.key);
      const revision = guard.kind === "created" ? entry?.createRevision : entry?.modRevision;
      return (revision ?? 0) === guard.revision;
    });
    if (!holds) return { applied: false, revision: this.revision };
    for (const write of writes) {
      const lease = write.kind === "put" ? write.lease : undefined;
      if (lease !== undefined && (this.ended.has(lease) || !this.#store.leases.has(lease))) {
        return new Problem("lease-lost", `Cannot write under lease "${lease}"`, { hint: "The lease has ended" });
      }
    }
    const revision = this.revision + 1;
    const changes = writes.flatMap((write): readonly Change[] => {
      const before = this.#get(write.key);
      if (write.kind === "delete") return before === undefined ? [] : [{ kind: "delete", key: write.key, revision }];
      const entry: Entry = {
        key: write.key,
        value: write.value,
        createRevision: before?.createRevision ?? revision,
        modRevision: revision,
        ...(write.lease === undefined ? {} : { lease: write.lease }),
      };
      return [{ kind: "put", entry }];
    });
    this.#stage(changes);
    return { applied: true, revision: this.revision };
  }

  /** Its keys go with it. False when there is no such lease. */
  end(id: LeaseId): boolean {
    const lease = this.#store.leases.get(id);
    if (lease === undefined || this.ended.has(id)) return false;
    this.ended.add(id);
    const staged = [...this.staged.values()].flatMap((entry) => (entry?.lease === id ? [entry.key] : []));
    const keys = [...new Set([...lease.keys, ...staged])].filter((key) => this.#get(key)?.lease === id).sort();
    const revision = this.revision + 1;
    this.#stage(keys.map((key) => ({ kind: "delete", key, revision })));
    return true;
  }

  /** The keys without lease, as they would stand, in no order. */
  durableEntries(): readonly Entry[] {
    const entries = new Map<string, Entry | undefined>([...this.#entries, ...this.staged]);
    return [...entries.values()].filter((entry) => entry !== undefined && entry.lease === undefined) as Entry[];
  }

  #get(key: string): Entry | undefined {
    return this.staged.has(key) ? this.staged.get(key) : this.#entries.get(key);
  }

  #stage(changes: readonly Change[]): void {
    if (changes.length === 0) return; // as in etcd: what changes nothing has no revision of its own
    for (const change of changes) {
      const key = keyOf(change);
      const before = this.#get(key);
      const after = change.kind === "put" ? change.entry : undefined;
      if ((before !== undefined && before.lease === undefined) || (after !== undefined && after.lease === undefined)) {
        this.isDurable = true;
      }
      this.staged.set(key, after);
    }
    this.moments.push(changes);
    this.revision++;
  }
}

function keyOf(change: Change): string {
  return change.kind === "put" ? change.entry.key : change.key;
}

function sizeOf(change: Change): number {
  return keyOf(change).length + (change.kind === "put" ? change.entry.value.length : 0) + 64;
}
