// A lease that is kept for as long as it can be trusted. Given to tenure.ts. Trust is reckoned on our own monotonic clock
// from the moment a renewal was sent, so it ends before the registry can have given the lease up, whatever it says later.
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { LeaseId, Registry } from "../ports/registry.ts";
import { Pauses } from "./pauses.ts";
import { renew } from "./renewal.ts";

/** Trust ends this much before the lease could, or a fifth of it if that is less: clocks drift, and writes travel. */
const longestMarginMs = 1_000;

export interface LeaseOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

export interface KeptLease {
  readonly id: LeaseId;
  /** Aborted when the lease can no longer be trusted; its reason is a Problem "lease-lost" or the caller's own. Never revived. */
  readonly signal: AbortSignal;
  /** By the clock, at this moment: the signal may be late in a process that was suspended. */
  alive(): boolean;
  /** Ends the trust at once. The lease itself is left to run out, unless `release` is called. */
  end(reason: Problem): void;
  /** Ends it and gives the lease back; its keys go. Resolves also when that failed: then it runs out. */
  release(): Promise<void>;
}

/**
 * Gets a lease and renews it every third of its length until `signal`, or until it can no longer be trusted. Rejects as
 * `Registry.grantLease` does, or with "lease-lost" when the answer took longer than the lease is worth.
 */
export async function keepLease(options: LeaseOptions, signal: AbortSignal): Promise<KeptLease> {
  const { registry, clock } = options;
  const sentMs = clock.monotonicMs();
  const { id, ttlMs } = await registry.grantLease(options.leaseMs, signal);
  const lease = new Lease(options, { id, ttlMs, sentMs });
  lease.start(signal);
  return lease;
}

class Lease implements KeptLease {
  readonly id: LeaseId;
  readonly #options: LeaseOptions;
  readonly #over = new AbortController();
  readonly #worthMs: number;
  readonly #ttlMs: number;
  #trustedUntilMs: number;
  #work: readonly Promise<void>[] = [];

  constructor(
    options: LeaseOptions,
    granted: { readonly id: LeaseId; readonly ttlMs: number; readonly sentMs: number },
  ) {
    this.id = granted.id;
    this.#options = options;
    this.#ttlMs = granted.ttlMs;
    this.#worthMs = granted.ttlMs - Math.min(longestMarginMs, granted.ttlMs / 5);
    this.#trustedUntilMs = granted.sentMs + this.#worthMs;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  start(parent: AbortSignal): void {
    const stop = (): void => this.#over.abort(parent.reason);
    if (parent.aborted) stop();
    else parent.addEventListener("abort", stop, { once: true });
    this.signal.addEventListener("abort", () => parent.removeEventListener("abort", stop), { once: true });
    this.#work = [this.#untilAborted(() => this.#renew()), this.#untilAborted(() => this.#guard())];
  }

  alive(): boolean {
    return !this.signal.aborted && this.#options.clock.monotonicMs() < this.#trustedUntilMs;
  }

  end(reason: Problem): void {
    this.#over.abort(reason);
  }

  async release(): Promise<void> {
    this.#over.abort(new Problem("lease-lost", `Cannot go on under lease "${this.id}"`, { hint: "It was given back" }));
    await Promise.all(this.#work);
    try {
      await this.#options.registry.revokeLease(this.id);
    } catch (error) {
      this.#options.log.debug("lease.left-to-expire", { lease: this.id, error: String(error) });
    }
  }

  /** Ends the trust when its time is up. */
  async #guard(): Promise<void> {
    const { clock } = this.#options;
    while (this.alive()) await clock.sleep(this.#trustedUntilMs - clock.monotonicMs(), this.signal);
    this.#expire();
  }

  async #renew(): Promise<void> {
    const { clock, registry } = this.#options;
    const thirdMs = this.#ttlMs / 3;
    // A lease has little time: the pauses stay so short that some attempt falls into any moment of the registry's return.
    const pauses = new Pauses(clock, { firstMs: this.#ttlMs / 25, mostMs: this.#ttlMs / 10 });
    await clock.sleep(thirdMs, this.signal);
    while (this.alive()) {
      const sentMs = clock.monotonicMs();
      const isRenewed = await this.#renewOnce(registry);
      if (!this.alive()) break; // the answer came too late: what is over stays over
      if (isRenewed) {
        this.#trustedUntilMs = sentMs + this.#worthMs;
        pauses.reset();
        await clock.sleep(Math.max(0, thirdMs - (clock.monotonicMs() - sentMs)), this.signal);
      } else await pauses.wait(this.signal);
    }
    this.#expire();
  }

  /** False when nobody knows. */
  async #renewOnce(registry: Registry): Promise<boolean> {
    try {
      const { clock } = this.#options;
      await renew({ registry, clock, id: this.id, everyMs: this.#ttlMs / 10 }, this.signal);
      return true;
    } catch (error) {
      if (error instanceof Problem && error.code === "lease-lost") this.end(error);
      else if (!(error instanceof Problem)) throw error;
      return false;
    }
  }

  #expire(): void {
    this.end(
      new Problem("lease-lost", `Cannot go on under lease "${this.id}"`, { hint: "It was not renewed in time" }),
    );
  }

  /** An abort is how this work ends; any other failure ends the trust too, and is told. */
  async #untilAborted(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.signal.aborted) return;
      this.#options.log.error("lease.failed", error, { lease: this.id });
      this.#expire();
    }
  }
}
