// A machine's way to the store: requests and answers travel apart, each may be slow, lost or held up. What the agent sees is
// what ports/registry.ts promises; what it cannot see (whether a lost answer's write was carried out) it is not told.
import { type EmbeddedConnection, type EmbeddedRegistry } from "../../agent/adapters/registry/embedded.ts";
import { aborted, deferred, unreachable } from "../../agent/adapters/registry/calls.ts";
import type { Registry, WatchBatch } from "../../agent/ports/registry.ts";
import type { FakeClock } from "../fakes/fake-clock.ts";
import { keys } from "../../agent/text/values.ts";
import type { Dice } from "./dice.ts";
import { Violation } from "./trace.ts";

/** As the real adapter: no answer by then is no answer. */
export const deadlineMs = 2_000;
/** A watch whose stream went silent is found out by its pings within this. */
const pingMs = 6_000;

const mostCallsInSecond = 100;

/** One way between a machine and the store. */
export interface Way {
  /** Nothing gets through. */
  cut: boolean;
  /** Each message takes up to this long. */
  slowMs: number;
  /** Share of messages that get lost. */
  loss: number;
}

export interface LinkWorld {
  readonly clock: FakeClock;
  readonly dice: Dice;
  readonly store: EmbeddedRegistry;
  /** While the store stands still: resolves when it goes on. */
  readonly storeAwake: () => Promise<void> | undefined;
  /** Rises when the store begins anew from a backup: what was on its way from before never arrives. */
  readonly storeEra: () => number;
  /** Ends the simulation: what is thrown at an agent it would only take for a failed call. */
  readonly fail: (violation: Violation) => void;
}

export class Link {
  readonly there: Way = { cut: false, slowMs: 2, loss: 0 };
  readonly back: Way = { cut: false, slowMs: 2, loss: 0 };
  readonly #world: LinkWorld;
  readonly #direct: EmbeddedConnection;
  readonly #watches = new Set<AbortController>();
  #callsSinceMs = 0;
  #calls = 0;
  #healed = deferred();

  constructor(world: LinkWorld) {
    this.#world = world;
    this.#direct = world.store.connect();
  }

  get isWell(): boolean {
    return [this.there, this.back].every((way) => !way.cut && way.slowMs < 50 && way.loss === 0);
  }

  /** Both ways are as they should be. */
  heal(): void {
    for (const way of [this.there, this.back]) Object.assign(way, { cut: false, slowMs: 2, loss: 0 });
    const healed = this.#healed;
    this.#healed = deferred();
    healed.resolve();
  }

  /** As one process of the machine sees the store, until `ended`. */
  open(ended: AbortSignal): Registry {
    const direct = this.#direct;
    return {
      read: (prefix, signal) => this.#call("read", signal, () => direct.read(prefix)),
      get: (key, signal) => this.#call("get", signal, () => direct.get(key)),
      write: (transaction, signal) => {
        if (!isFenced(transaction)) {
          this.#world.fail(new Violation("safety/unfenced", "A decision is written without a fence"));
        }
        return this.#call("write", signal, () => direct.write(transaction));
      },
      grantLease: (ttlMs, signal) => this.#call("grant a lease", signal, () => direct.grantLease(ttlMs)),
      renewLease: (id, signal) => this.#call("renew a lease", signal, () => direct.renewLease(id)),
      leaseLeftMs: (id, signal) => this.#call("ask after a lease", signal, () => direct.leaseLeftMs(id)),
      revokeLease: (id, signal) => this.#call("revoke a lease", signal, () => direct.revokeLease(id)),
      watch: (prefix, from, signal) => this.#watch(prefix, from, { signal, ended }),
      close: async () => undefined,
    };
  }

  /** The next messages of its watches are lost: they break. */
  breakWatches(): void {
    for (const watch of this.#watches) watch.abort();
  }

  async #call<T>(what: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    if (signal?.aborted === true) throw aborted(what, signal.reason);
    const { clock } = this.#world;
    this.#count();
    const over = new AbortController();
    const travel = (async (): Promise<T> => {
      await this.#cross(this.there);
      await this.#world.storeAwake();
      // A store that has stood still finds the request in its socket, if nobody has hung up; some it has read already
      if (over.signal.aborted && this.#world.dice.chance(0.5)) return await new Promise<never>(() => undefined);
      let answer: { readonly value: T } | { readonly error: unknown };
      try {
        answer = { value: await work() };
      } catch (error) {
        answer = { error };
      }
      await this.#cross(this.back);
      if ("error" in answer) throw answer.error;
      return answer.value;
    })();
    travel.catch(() => undefined); // whoever has hung up does not hear it
    const late = clock.sleep(deadlineMs, over.signal).then(
      () => {
        throw unreachable(what, new Error(`No answer within ${deadlineMs} ms`));
      },
      () => new Promise<never>(() => undefined),
    );
    const stop = stopOf(what, signal);
    try {
      return await Promise.race([travel, late, stop.promise]);
    } finally {
      over.abort();
      stop.dispose();
    }
  }

  /** Nobody asks the store for ever more: a loop that runs wild is as bad as one that stands. */
  #count(): void {
    const nowMs = this.#world.clock.monotonicMs();
    if (nowMs >= this.#callsSinceMs + 1_000) {
      this.#callsSinceMs = nowMs;
      this.#calls = 0;
    }
    if (++this.#calls !== mostCallsInSecond) return;
    this.#world.fail(new Violation("safety/flood", `A machine asks the store ${this.#calls} times in a second`));
  }

  /** Resolves when a message has arrived; never when it is lost. */
  async #cross(way: Way): Promise<void> {
    const { clock, dice } = this.#world;
    if (way.loss > 0 && dice.chance(way.loss)) await new Promise<never>(() => undefined);
    const ms = way.slowMs > 0 ? dice.between(0, way.slowMs) : 0;
    if (ms > 0) await clock.sleep(ms);
    if (way.cut) await new Promise<never>(() => undefined);
  }

  /** A stream brings what is lost again, and everything in its order. */
  async #crossInOrder(way: Way): Promise<void> {
    const { clock, dice } = this.#world;
    const isLost = way.loss > 0 && dice.chance(way.loss);
    const ms = dice.between(0, way.slowMs) + (isLost ? dice.between(200, 2_000) : 0);
    if (ms > 0) await clock.sleep(ms);
    while (way.cut) await this.#healed.promise;
  }

  async *#watch(
    prefix: string,
    from: number,
    { signal, ended }: { readonly signal: AbortSignal; readonly ended: AbortSignal },
  ): AsyncGenerator<WatchBatch, void, undefined> {
    const what = "watch";
    const broken = new AbortController();
    this.#watches.add(broken);
    const inner = new AbortController();
    const stop = stopOf(what, signal);
    const cut = stopOf(what, broken.signal, unreachable(what, new Error("The stream broke")));
    const death = stopOf(what, ended);
    let silent = new AbortController();
    try {
      const batches = this.#direct.watch(prefix, from, inner.signal)[Symbol.asyncIterator]();
      for (;;) {
        const arrived = (async () => {
          const batch = await batches.next();
          const era = this.#world.storeEra();
          await this.#world.storeAwake();
          await this.#crossInOrder(this.back);
          if (era !== this.#world.storeEra()) throw unreachable(what, new Error("The store was restored"));
          return batch;
        })();
        arrived.catch(() => undefined); // whoever has hung up does not hear it
        const unheard = this.#untilFoundOut(silent.signal);
        const next = await Promise.race([arrived, unheard, stop.promise, cut.promise, death.promise]);
        silent.abort();
        silent = new AbortController();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      silent.abort();
      stop.dispose();
      cut.dispose();
      death.dispose();
      inner.abort();
      this.#watches.delete(broken);
    }
  }

  /** Pings go both ways: rejects once nothing has come through for some time. */
  async #untilFoundOut(signal: AbortSignal): Promise<never> {
    const { clock, dice } = this.#world;
    const isSilent = (): boolean => this.there.cut || this.back.cut || this.#world.storeAwake() !== undefined;
    try {
      for (let silentFor = 0; ;) {
        await clock.sleep(pingMs / 2 + dice.between(0, 100), signal);
        silentFor = isSilent() ? silentFor + 1 : 0;
        if (silentFor >= 2) break;
      }
    } catch {
      return await new Promise<never>(() => undefined); // something came
    }
    throw unreachable("watch", new Error("The stream is silent"));
  }
}

/** Whatever decides for others is written only by whoever leads at that moment, and only over what that was decided on. */
function isFenced({ guards, writes }: Parameters<Registry["write"]>[0]): boolean {
  const decided = writes.map(({ key }) => key).filter((key) => key.startsWith(keys.manifests) || key === keys.revision);
  const isLed = guards.some(({ kind, key, revision }) => kind === "created" && key === keys.leader && revision > 0);
  const isSeen = (decided: string): boolean => guards.some(({ kind, key }) => kind === "modified" && key === decided);
  return decided.length === 0 || (isLed && decided.every(isSeen));
}

/** Rejects with the signal. */
function stopOf(
  what: string,
  signal: AbortSignal | undefined,
  problem?: Error,
): { readonly promise: Promise<never>; readonly dispose: () => void } {
  if (signal === undefined) return { promise: new Promise<never>(() => undefined), dispose: () => undefined };
  let stop = (): void => undefined;
  const promise = new Promise<never>((_, reject) => {
    stop = () => reject(problem ?? aborted(what, signal.reason));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  promise.catch(() => undefined); // it may come when nobody waits any more
  return { promise, dispose: () => signal.removeEventListener("abort", stop) };
}
