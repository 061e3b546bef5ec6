// The registry's keys under one prefix, kept in memory: a snapshot, then every change. Given to the loops and the view,
// which read it instead of the registry. Keeps its own place; what it has stays while the registry is away.
import { Problem, asProblem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Change, Entry, Registry, Snapshot } from "../ports/registry.ts";
import { Pauses, childOf, stopped } from "./pauses.ts";
import { Restores } from "./restores.ts";

const firstPauseMs = 200;
/** Well below a lease: a leader that takes office counts machines as seen only a lease after its own mirror is back. */
const longestPauseMs = 5_000;
/** A watch that lasted this long, or brought something, was a good one: the next pause is short again. */
const goodWatchMs = 10_000;
const defaultCompareMs = 600_000;
/**
 * A watch stands within a call's deadline, or its opening is given up. Where it took longer this process was suspended
 * meanwhile, and the store may have been put back since it answered.
 */
const openMs = 2_500;

export interface MirrorOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  /** "" is everything. */
  readonly prefix: string;
  /** Shared by all that ask the same store; one of its own unless set. */
  readonly restores?: Restores;
  /** Everything is read anew this often, whatever the watch says; 10 minutes unless set. */
  readonly compareMs?: number;
}

export interface Mirror {
  /** Runs while anyone holds it. Returns the way to let go (once; more does nothing). What was read is kept. */
  acquire(): () => void;
  /** Resolves when the content is whole and the registry is being watched; rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>;
  /** Resolves when everything up to this revision has been seen; rejects with the signal's reason. */
  reached(revision: number, signal: AbortSignal): Promise<void>;
  /** The live content, in no order; empty before the first snapshot. Changes only between two `onChange` calls. */
  entries(): ReadonlyMap<string, Entry>;
  get(key: string): Entry | undefined;
  /** Everything up to this revision has been seen; 0 before the first snapshot. */
  readonly revision: number;
  /** Monotonic ms when the store was last found put back to an earlier state, by this mirror or another; -Infinity: never. */
  readonly wentBackMs: number;
  /** Whether the content is whole and a watch stands. */
  readonly connected: boolean;
  /** Monotonic ms since when it has been connected without a break; after an outage, when the registry came back. */
  readonly connectedSinceMs: number;
  /** Why it is not connected, as far as known. */
  readonly lastProblem: Problem | undefined;
  /**
   * Calls `listener` with the keys that changed, for whole revisions only: never in the middle of a transaction. Also
   * called, with no keys, when the connection is lost or comes back. Returns the way to stop.
   */
  onChange(listener: (changed: ReadonlySet<string>) => void): () => void;
}

export function createMirror(options: MirrorOptions): Mirror {
  return new RegistryMirror(options);
}

const nothing: ReadonlySet<string> = new Set();

class RegistryMirror implements Mirror {
  readonly #options: MirrorOptions;
  readonly #restores: Restores;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(changed: ReadonlySet<string>) => void>();
  readonly #waiting = new Set<() => void>();
  #holders = 0;
  #life = new AbortController();
  #done: Promise<void> = Promise.resolve();
  #readsBegun = 0;
  #readsDone = 0;
  /** Monotonic ms when the store last answered with everything. */
  #readMs = -Infinity;
  revision = 0;
  connected = false;
  connectedSinceMs = -Infinity;
  lastProblem: Problem | undefined;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#restores = options.restores ?? new Restores(options.clock);
  }

  get wentBackMs(): number {
    return this.#restores.foundMs;
  }

  acquire(): () => void {
    if (this.#holders++ === 0) {
      this.#life = new AbortController();
      const { signal } = this.#life;
      this.#done = this.#done.then(() => this.#follow(signal));
    }
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (--this.#holders > 0) return;
      this.#life.abort();
      this.connected = false;
    };
  }

  ready(signal: AbortSignal): Promise<void> {
    return this.#until(() => this.connected, signal);
  }

  reached(revision: number, signal: AbortSignal): Promise<void> {
    // In a store that was put back the revision may be far ahead: what is read whole from now on has it, if there is such a one
    const begun = this.#readsBegun;
    return this.#until(() => this.revision >= revision || this.#readsDone > begun, signal);
  }

  entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  onChange(listener: (changed: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Until `signal`; never rejects. After every break everything is read anew: a store that was restored from a backup gives
   * out its revisions once more, and nothing less tells whether it was.
   */
  async #follow(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const pauses = new Pauses(clock, { firstMs: firstPauseMs, mostMs: longestPauseMs });
    while (!signal.aborted) {
      try {
        await this.#readAll(signal);
        const beganMs = clock.monotonicMs();
        const onChange = (): void => pauses.reset();
        await this.#watch(signal, onChange).finally(() => {
          if (clock.monotonicMs() - beganMs >= goodWatchMs) pauses.reset();
        });
        // Time to compare: it stays connected while it reads
      } catch (error) {
        if (stopped(signal)) return;
        this.#lose(asProblem(error, "mirror-failed", "Cannot follow the registry"));
        await pauses.wait(signal).catch((reason: unknown) => {
          if (!stopped(signal)) throw reason;
        });
      }
    }
  }

  async #readAll(signal: AbortSignal): Promise<void> {
    const { registry, prefix, clock, log } = this.#options;
    const number = ++this.#readsBegun;
    // What was read before the last find finds nothing more
    const known = this.#readMs < this.#restores.foundMs ? 0 : this.revision;
    const reached = Math.max(known, this.#restores.reachedRevision);
    const snapshot = await registry.read(prefix, signal);
    if (signal.aborted) return;
    this.#readsDone = number;
    const changed = this.#difference(snapshot);
    const missed = snapshot.entries.filter((entry) => entry.modRevision <= known && changed.has(entry.key));
    if (snapshot.revision < reached) {
      log.warn("mirror.store-went-back", { from: reached, to: snapshot.revision });
    } else if (missed.length > 0) log.warn("mirror.repaired", { keys: missed.length });
    if (snapshot.revision < reached || missed.length > 0) this.#restores.found();
    this.#entries.clear();
    for (const entry of snapshot.entries) this.#entries.set(entry.key, entry);
    this.revision = snapshot.revision;
    this.#readMs = clock.monotonicMs();
    if (changed.size > 0) this.#tell(changed);
  }

  #difference(snapshot: Snapshot): ReadonlySet<string> {
    const changed = new Set(this.#entries.keys());
    for (const entry of snapshot.entries) {
      const before = this.#entries.get(entry.key);
      if (isSame(entry, before)) changed.delete(entry.key);
      else changed.add(entry.key);
    }
    return changed;
  }

  /** Resolves when it is time to compare; rejects when the watch breaks or `signal` ends it. */
  async #watch(signal: AbortSignal, onChange: () => void): Promise<void> {
    const { registry, prefix, clock, compareMs = defaultCompareMs } = this.#options;
    const { controller, dispose } = childOf(signal);
    const timer = new AbortController();
    let isDue = false;
    let isOpen = false;
    const due = clock.sleep(compareMs * (0.9 + clock.random() / 5), timer.signal).then(
      () => {
        isDue = true;
        controller.abort();
      },
      () => undefined, // the watch ended before
    );
    try {
      for await (const batch of registry.watch(prefix, this.revision + 1, controller.signal)) {
        if (controller.signal.aborted) break;
        if (!isOpen && clock.monotonicMs() > this.#readMs + openMs) {
          throw new Problem("watch-late", "Cannot trust a watch that took so long to open", {
            hint: "This process stood still for some time; the registry is read anew",
          });
        }
        if (!isOpen && this.#readMs < this.#restores.foundMs) {
          throw new Problem("watch-restored", "Cannot go on from what was read before the registry was put back", {
            hint: "The registry is read anew",
          });
        }
        isOpen = true;
        const changed = this.#apply(batch.changes);
        this.revision = Math.max(this.revision, batch.revision);
        this.#connect();
        if (changed.size > 0) onChange();
        this.#tell(changed);
      }
      signal.throwIfAborted();
    } catch (error) {
      if (!this.#isOver(isDue, signal)) throw error;
    } finally {
      timer.abort();
      dispose();
      await due;
    }
  }

  #isOver(isDue: boolean, signal: AbortSignal): boolean {
    return isDue && !signal.aborted;
  }

  #apply(changes: readonly Change[]): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const change of changes) {
      if (change.kind === "put") {
        this.#entries.set(change.entry.key, change.entry);
        changed.add(change.entry.key);
      } else {
        this.#entries.delete(change.key);
        changed.add(change.key);
      }
    }
    return changed;
  }

  #connect(): void {
    if (this.connected) return;
    const { clock, log, prefix } = this.#options;
    if (this.lastProblem !== undefined) log.info("mirror.returned", { prefix, revision: this.revision });
    this.connected = true;
    this.connectedSinceMs = clock.monotonicMs();
    this.lastProblem = undefined;
    this.#tell(nothing);
  }

  #lose(problem: Problem): void {
    const { log, prefix } = this.#options;
    // One line for one outage, however often it is tried again.
    if (this.lastProblem?.code !== problem.code) log.error("mirror.lost", problem, { prefix });
    const had = this.connected;
    this.connected = false;
    this.lastProblem = problem;
    if (had) this.#tell(nothing);
  }

  #tell(changed: ReadonlySet<string>): void {
    for (const wake of [...this.#waiting]) wake();
    if (changed.size === 0 && changed !== nothing) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(changed);
      } catch (error) {
        // One listener's failure is its own: the others, and the mirror, go on.
        this.#options.log.error("mirror.listener-failed", error);
      }
    }
  }

  #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const over = (): void => {
        this.#waiting.delete(look);
        signal.removeEventListener("abort", stop);
      };
      const look = (): void => {
        if (!condition()) return;
        over();
        resolve();
      };
      const stop = (): void => {
        over();
        reject(signal.reason as Error);
      };
      this.#waiting.add(look);
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
  }
}

/** A store that was put back gives out revisions anew, for values that may be the same; but never the same lease. */
export function isSame(a: Entry, b: Entry | undefined): boolean {
  return a.modRevision === b?.modRevision && a.value === b.value && a.lease === b.lease;
}
