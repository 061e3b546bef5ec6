// The registry of one process: etcd's model in memory, durable in one small file if a disk is given. For a machine that
// runs alone, the playground and tests. Every client has a connection of its own, which can be cut or frozen.
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Entry, LeaseId, Registry, Snapshot, WatchBatch, WriteResult } from "../../ports/registry.ts";
import {
  type Stop,
  type Transaction,
  aborted,
  checkKey,
  checkPrefix,
  checkTransaction,
  deferred,
  describeTransaction,
  refused,
  shownKey,
  unlessStopped,
  unreachable,
} from "./calls.ts";
import { type Draft, Store } from "./store.ts";
import { loadState, saveState } from "./store-file.ts";

/** Revisions given out between two saves when only leased keys change. */
const reservedRevisions = 10_000;
/** Writes taken into one save; more wait, up to the second bound, then are refused as unreachable. */
const maxGroup = 1_000;
const maxWaiting = 20_000;
/** A watch that saw nothing of its own says how far it is after this many revisions, so that it can resume there. */
const progressRevisions = 5_000;
/** Pause before an expired lease's keys are removed again when the disk would not take it. */
const expiryRetryMs = 1_000;
const defaultTimeoutMs = 2_000;

export interface EmbeddedOptions {
  readonly clock: Clock;
  /** Where keys without lease survive a restart; without it nothing does. */
  readonly disk?: Disk;
  /** After this a call on a frozen connection rejects; 2,000 unless set. */
  readonly requestTimeoutMs?: number;
}

export interface EmbeddedRegistry {
  /** `closesStore`: its `close` closes the whole registry, for the one client of a store of its own. */
  connect(options?: { readonly closesStore: boolean }): EmbeddedConnection;
  /** Forgets all history: watches that are behind, or begin at or before the present revision, are told "watch-compacted". */
  compact(): void;
  /** Everything as it stands, leases too. */
  backUp(): Backup;
  /**
   * As an etcd that was stopped and started from a backup: its revisions go back and are given out anew, every lease has its
   * whole length before it, watches break, and writes that have not been answered are lost.
   */
  restoreFrom(backup: Backup): void;
  close(): Promise<void>;
}

export interface EmbeddedConnection extends Registry {
  /** As if the network were gone: calls under way and new ones reject, watches break. */
  cutOff(): void;
  /**
   * As if the store had been stopped: calls reject after the deadline, watches fall silent. With `late`, calls made
   * meanwhile are carried out at `restore` all the same, as a stopped server finds them in its socket.
   */
  freeze(options?: { readonly late: boolean }): void;
  restore(): void;
}

/**
 * Rejects with "registry-damaged" (the file is set aside, see store-file.ts) or "disk-read". Revisions rise across
 * restarts: what was given out before is never given out again. A new store begins at the wall clock's seconds, so that
 * they also rise when the file was lost or removed.
 */
export async function createEmbeddedRegistry(options: EmbeddedOptions): Promise<EmbeddedRegistry> {
  const { disk, clock } = options;
  const stored = disk === undefined ? undefined : await loadState(disk);
  const first = stored?.ceiling ?? Math.floor(clock.wallMs() / 1000);
  return new Keeper({ ...options, store: new Store(first, stored?.entries ?? []) });
}

export interface Backup {
  readonly revision: number;
  readonly entries: readonly Entry[];
  readonly leases: readonly { readonly id: LeaseId; readonly ttlMs: number }[];
}

interface Waiting {
  readonly what: string;
  readonly work: (draft: Draft) => WriteResult | Problem;
  readonly settle: (result: WriteResult | Problem) => void;
}

/** Owns the store: one save at a time, the clocks of the leases, and the connections. */
class Keeper implements EmbeddedRegistry {
  store: Store;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly #disk: Disk | undefined;
  readonly #life = new AbortController();
  readonly #connections = new Set<Connection>();
  readonly #leaseClocks = new Map<LeaseId, AbortController>();
  #waiting: Waiting[] = [];
  #saving: Promise<void> | undefined;
  #ceiling: number;
  #leases = 0;
  #published = deferred();

  constructor(options: EmbeddedOptions & { store: Store }) {
    this.store = options.store;
    this.clock = options.clock;
    this.timeoutMs = options.requestTimeoutMs ?? defaultTimeoutMs;
    this.#disk = options.disk;
    this.#ceiling = options.store.revision;
  }

  /** Aborted at `close`. */
  get life(): AbortSignal {
    return this.#life.signal;
  }

  connect({ closesStore } = { closesStore: false }): EmbeddedConnection {
    const connection: Connection = new Connection(this, async () => {
      this.#connections.delete(connection);
      if (closesStore) await this.close();
    });
    this.#connections.add(connection);
    return connection;
  }

  compact(): void {
    this.store.compact(this.store.revision);
    this.#announce();
  }

  backUp(): Backup {
    const { revision, entries } = this.store.read("");
    return { revision, entries, leases: [...this.store.leases].map(([id, { ttlMs }]) => ({ id, ttlMs })) };
  }

  restoreFrom({ revision, entries, leases }: Backup): void {
    for (const clock of this.#leaseClocks.values()) clock.abort();
    this.#leaseClocks.clear();
    const lost = this.#waiting;
    this.#waiting = [];
    for (const { what, settle } of lost) settle(unreachable(what, new Error("The store was restored")));
    this.store = new Store(revision, entries);
    for (const { id, ttlMs } of leases) {
      const keys = entries.filter(({ lease }) => lease === id).map(({ key }) => key);
      this.#addLease(id, { ttlMs, keys: new Set(keys) });
    }
    for (const connection of this.#connections) connection.breakOff();
    this.#announce();
  }

  async close(): Promise<void> {
    this.#life.abort(new Error("The registry was closed"));
    for (const connection of [...this.#connections]) await connection.close();
    for (const clock of this.#leaseClocks.values()) clock.abort();
    await this.#saving;
  }

  /** Settles at the next change of the store. */
  get changed(): Promise<void> {
    return this.#published.promise;
  }

  transact(what: string, transaction: Transaction): Promise<WriteResult> {
    return this.#enqueue(what, (draft) => draft.write(transaction));
  }

  grant(ttlMs: number): LeaseId {
    const id = `${this.store.revision}-${++this.#leases}` as LeaseId;
    this.#addLease(id, { ttlMs, keys: new Set() });
    return id;
  }

  #addLease(id: LeaseId, lease: { readonly ttlMs: number; readonly keys: Set<string> }): void {
    this.store.leases.set(id, { ...lease, validUntilMs: this.clock.monotonicMs() + lease.ttlMs });
    const over = new AbortController();
    this.#leaseClocks.set(id, over);
    this.#watchExpiry(id, over.signal).catch((error: unknown) => {
      if (!over.signal.aborted) throw error;
    });
  }

  renew(id: LeaseId): boolean {
    const lease = this.store.leases.get(id);
    const now = this.clock.monotonicMs();
    if (lease === undefined || lease.validUntilMs <= now) return false;
    lease.validUntilMs = now + lease.ttlMs;
    return true;
  }

  leftMs(id: LeaseId): number {
    return Math.max(0, (this.store.leases.get(id)?.validUntilMs ?? -Infinity) - this.clock.monotonicMs());
  }

  async revoke(what: string, id: LeaseId): Promise<void> {
    await this.#enqueue(what, (draft) => {
      draft.end(id);
      return { applied: true, revision: draft.revision };
    });
    this.#leaseClocks.get(id)?.abort();
    this.#leaseClocks.delete(id);
  }

  /** Ends the lease when its time is up; rejects when `signal` stops it. */
  async #watchExpiry(id: LeaseId, signal: AbortSignal): Promise<void> {
    for (;;) {
      const lease = this.store.leases.get(id);
      if (lease === undefined) break;
      const leftMs = lease.validUntilMs - this.clock.monotonicMs();
      if (leftMs > 0) await this.clock.sleep(leftMs, signal);
      // Drafts end what is overdue before anything else, so an empty transaction is enough.
      else if (!(await this.#tryExpire())) await this.clock.sleep(expiryRetryMs, signal);
    }
    this.#leaseClocks.delete(id);
  }

  async #tryExpire(): Promise<boolean> {
    try {
      await this.transact("end expired leases", { guards: [], writes: [] });
      return true;
    } catch (error) {
      // The disk would not take the new revision: the keys stay until it does, as in an etcd that cannot write.
      if (error instanceof Problem) return false;
      throw error;
    }
  }

  #enqueue(what: string, work: Waiting["work"]): Promise<WriteResult> {
    if (this.life.aborted) return Promise.reject(aborted(what, this.life.reason));
    if (this.#waiting.length >= maxWaiting) {
      return Promise.reject(unreachable(what, new Error(`${maxWaiting} writes are waiting for the disk`)));
    }
    return new Promise((resolve, reject) => {
      const settle: Waiting["settle"] = (result) => {
        if (result instanceof Problem) reject(result);
        else resolve(result);
      };
      this.#waiting.push({ what, work, settle });
      this.#saving ??= this.#save();
    });
  }

  /** Takes what waits, in groups: worked out, saved, then published and answered. */
  async #save(): Promise<void> {
    await Promise.resolve(); // lets writes of the same turn join the group
    while (this.#waiting.length > 0) {
      const group = this.#waiting.slice(0, maxGroup);
      this.#waiting = this.#waiting.slice(maxGroup);
      const { store } = this;
      const draft = store.draft();
      this.#endOverdue(draft);
      const answers = group.map(({ what, work, settle }) => ({ what, result: work(draft), settle }));
      const failure = (await this.#persist(draft)) ?? (store === this.store ? undefined : new Error("It was restored"));
      if (failure !== undefined) {
        for (const { what, settle } of answers) settle(unreachable(what, failure, "Nothing was written"));
        continue;
      }
      const hadRevision = store.revision;
      store.publish(draft);
      for (const { result, settle } of answers) settle(result);
      if (store.revision !== hadRevision) this.#announce();
    }
    this.#saving = undefined; // in the same turn as the last look at what waits, so that none is left behind
  }

  #endOverdue(draft: Draft): void {
    const now = this.clock.monotonicMs();
    for (const [id, lease] of this.store.leases) if (lease.validUntilMs <= now) draft.end(id);
  }

  /** Undefined when the draft may be seen; else why it may not. */
  async #persist(draft: Draft): Promise<unknown> {
    if (this.#disk === undefined || (!draft.isDurable && draft.revision <= this.#ceiling)) return undefined;
    const ceiling = draft.revision + reservedRevisions;
    try {
      await saveState(this.#disk, { ceiling, entries: draft.durableEntries() });
      this.#ceiling = ceiling;
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #announce(): void {
    const published = this.#published;
    this.#published = deferred();
    published.resolve();
  }
}

type Link = { readonly kind: "up" | "cut" } | { readonly kind: "frozen"; readonly late: boolean };

/** One client's way to the store. */
class Connection implements EmbeddedConnection {
  readonly #keeper: Keeper;
  readonly #onClose: () => Promise<void>;
  readonly #closed = new AbortController();
  #link: Link = { kind: "up" };
  #cut = new AbortController();
  #restored = deferred();

  constructor(keeper: Keeper, onClose: () => Promise<void>) {
    this.#keeper = keeper;
    this.#onClose = onClose;
  }

  cutOff(): void {
    this.#link = { kind: "cut" };
    this.#cut.abort(new Error("The connection was cut"));
  }

  freeze(options: { readonly late: boolean } = { late: false }): void {
    if (this.#link.kind === "up") this.#link = { kind: "frozen", late: options.late };
  }

  /** Whatever is under way breaks; what comes after it goes through again. */
  breakOff(): void {
    if (this.#link.kind === "cut") return;
    this.#cut.abort(new Error("The connection broke"));
    this.#cut = new AbortController();
  }

  restore(): void {
    if (this.#link.kind === "cut") this.#cut = new AbortController();
    this.#link = { kind: "up" };
    const restored = this.#restored;
    this.#restored = deferred();
    restored.resolve();
  }

  read(prefix: string, signal?: AbortSignal): Promise<Snapshot> {
    const what = `read registry keys under ${shownKey(prefix)}`;
    return this.#call(what, signal, async () => {
      checkPrefix(what, prefix);
      return this.#keeper.store.read(prefix);
    });
  }

  get(key: string, signal?: AbortSignal): Promise<{ readonly entry: Entry | undefined; readonly revision: number }> {
    const what = `read registry key ${shownKey(key)}`;
    return this.#call(what, signal, async () => {
      checkKey(what, key);
      return { entry: this.#keeper.store.get(key), revision: this.#keeper.store.revision };
    });
  }

  write(transaction: Transaction, signal?: AbortSignal): Promise<WriteResult> {
    const what = describeTransaction(transaction);
    return this.#call(what, signal, async () => {
      checkTransaction(what, transaction);
      return this.#keeper.transact(what, transaction);
    });
  }

  grantLease(ttlMs: number, signal?: AbortSignal): Promise<{ readonly id: LeaseId; readonly ttlMs: number }> {
    const what = `get a lease of ${ttlMs} ms`;
    return this.#call(what, signal, async () => {
      if (!(ttlMs > 0)) throw refused(what, "A lease lasts longer than 0 ms");
      return { id: this.#keeper.grant(ttlMs), ttlMs };
    });
  }

  renewLease(id: LeaseId, signal?: AbortSignal): Promise<number> {
    const what = `renew lease "${id}"`;
    return this.#call(what, signal, async () => {
      if (!this.#keeper.renew(id)) throw new Problem("lease-lost", `Cannot ${what}`, { hint: "The lease has ended" });
      return this.#keeper.store.revision;
    });
  }

  leaseLeftMs(id: LeaseId, signal?: AbortSignal): Promise<number> {
    return this.#call(`ask after lease "${id}"`, signal, async () => this.#keeper.leftMs(id));
  }

  revokeLease(id: LeaseId, signal?: AbortSignal): Promise<void> {
    const what = `revoke lease "${id}"`;
    return this.#call(what, signal, () => this.#keeper.revoke(what, id));
  }

  async *watch(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    const what = `watch registry keys under ${shownKey(prefix)}`;
    checkPrefix(what, prefix);
    let next = from;
    let told: number | undefined;
    const { store } = this.#keeper;
    for (;;) {
      await this.#open(what, signal);
      if (store !== this.#keeper.store) throw unreachable(what, new Error("The store was restored"));
      const changed = this.#keeper.changed; // asked for before reading, so that no change falls between
      const batch = store.since(prefix, next);
      if (batch === undefined) {
        throw new Problem("watch-compacted", `Cannot ${what} from revision ${next}`, {
          hint: "That far back the history is no longer kept, or the store was put back to before it; read anew",
        });
      }
      const isNew = batch.revision >= next;
      next = batch.revision + 1;
      if (told === undefined || batch.changes.length > 0 || batch.revision - told >= progressRevisions) {
        told = batch.revision;
        yield batch;
      } else if (!isNew) await unlessStopped(changed, this.#stops(what, signal));
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error("The connection was closed"));
    await this.#onClose();
  }

  async #call<T>(what: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const stops = this.#stops(what, signal);
    for (const stop of stops) if (stop.signal.aborted) throw stop.problem(stop.signal.reason);
    const link = this.#link;
    if (link.kind !== "frozen") return unlessStopped(work(), stops);
    const over = new AbortController();
    const answer = this.#restored.promise.then(() => {
      if (over.signal.aborted && !link.late) throw unreachable(what, new Error("The request was dropped"));
      return work();
    });
    try {
      return await unlessStopped(Promise.race([answer, this.#deadline(what, over.signal)]), stops);
    } finally {
      over.abort();
    }
  }

  async #deadline(what: string, signal: AbortSignal): Promise<never> {
    const { clock, timeoutMs } = this.#keeper;
    await clock.sleep(timeoutMs, signal);
    throw unreachable(what, new Error(`No answer within ${timeoutMs} ms`));
  }

  /** Resolves when the store answers; rejects when the connection is cut. */
  async #open(what: string, signal: AbortSignal): Promise<void> {
    const stops = this.#stops(what, signal);
    for (const stop of stops) if (stop.signal.aborted) throw stop.problem(stop.signal.reason);
    while (this.#link.kind === "frozen") await unlessStopped(this.#restored.promise, stops);
  }

  #stops(what: string, signal: AbortSignal | undefined): readonly Stop[] {
    const stopped = (reason: unknown): Problem => aborted(what, reason);
    return [
      ...(signal === undefined ? [] : [{ signal, problem: stopped }]),
      { signal: this.#closed.signal, problem: stopped },
      { signal: this.#keeper.life, problem: stopped },
      { signal: this.#cut.signal, problem: (reason) => unreachable(what, reason) },
    ];
  }
}
