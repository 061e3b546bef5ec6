// Election: one key, created under a lease by whoever comes first; its create revision is the epoch that fences every
// write of the leader. Given to lead.ts. A tenure ends by our own clock before another can begin, and is never revived.
import { Problem, asProblem, explainError } from "../domain/problem.ts";
import type { Entry, Guard, LeaseId, Registry } from "../ports/registry.ts";
import { type KeptLease, type LeaseOptions, keepLease } from "./lease.ts";
import { Pauses, childOf, stopped } from "./pauses.ts";

const firstPauseMs = 200;
const longestPauseMs = 5_000;
/**
 * Candidates look at the key this often whatever their watch says: seldom, for a member that is cut off shows in the renewals
 * of the machine's lease, and its watches are broken then.
 */
const pollMs = 300_000;
/**
 * Before candidates look they wait a random share of this: of a thousand that hear of a free key, most find it taken again
 * and ask for no lease.
 */
const rushMs = 50;

export interface CampaignOptions extends LeaseOptions {
  readonly key: string;
  /** Who leads, as others read it. */
  readonly value: string;
  /** Asked whenever the key is free: false ends the campaign. Rejects as Registry does. */
  readonly isFit?: (signal: AbortSignal) => Promise<boolean>;
}

export interface Tenure {
  /** The key's create revision: later tenures have higher ones. */
  readonly epoch: number;
  readonly lease: LeaseId;
  /** Holds in the registry exactly while this tenure's key stands. */
  readonly guard: Guard;
  /** Aborted when the tenure is over, for good; the reason is a Problem "lease-lost", or that of the campaign's signal. */
  readonly signal: AbortSignal;
  /** By the clock, at this moment. A process that was suspended must ask before it acts: its signal may be late. */
  alive(): boolean;
  /** Ends it and makes room at once. Call it also after the signal: resolves in any case, within the registry's deadline. */
  resign(): Promise<void>;
}

/**
 * Resolves when this candidate leads, or with undefined when `signal` or `isFit` ends the campaign; while the registry is away it
 * tries again with growing pauses. The abort of `signal` also ends the tenure, but `resign` is still the caller's to call.
 */
export async function campaign(options: CampaignOptions, signal: AbortSignal): Promise<Tenure | undefined> {
  const { clock, log } = options;
  const pauses = new Pauses(clock, { firstMs: firstPauseMs, mostMs: longestPauseMs });
  let said: string | undefined;
  while (!signal.aborted) {
    try {
      await untilVacant(options, signal);
      if (options.isFit !== undefined && !(await options.isFit(signal))) return undefined;
      const tenure = await take(options, signal);
      if (tenure !== undefined) return tenure;
      if (said !== undefined) pauses.reset();
      said = undefined;
    } catch (error) {
      if (stopped(signal)) return undefined;
      const problem = asProblem(error, "campaign-failed", "Cannot campaign for leadership");
      if (said !== problem.code)
        log.warn("campaign.waiting", { code: problem.code, message: explainError(problem), hint: problem.hint });
      said = problem.code;
    }
    await pauses.wait(signal).catch((reason: unknown) => {
      if (!signal.aborted) throw reason;
    });
  }
  return undefined;
}

async function untilVacant({ registry, key, clock }: CampaignOptions, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(clock.random() * rushMs, signal);
    const { entry, revision } = await registry.get(key, signal);
    if (entry === undefined) return;
    const { controller, dispose } = childOf(signal);
    const timer = clock.sleep(pollMs * (0.9 + clock.random() / 5), controller.signal).then(
      () => controller.abort(),
      () => undefined, // the watch was quicker
    );
    try {
      await untilDeleted(registry, { key, from: revision + 1 }, controller.signal);
    } catch (error) {
      if (signal.aborted || !controller.signal.aborted) throw error;
    } finally {
      dispose();
      await timer;
    }
  }
}

/** A watch is by prefix: keys that only begin like ours are not meant. */
async function untilDeleted(
  registry: Registry,
  { key, from }: { readonly key: string; readonly from: number },
  signal: AbortSignal,
): Promise<void> {
  for await (const batch of registry.watch(key, from, signal)) {
    if (batch.changes.some((change) => change.kind === "delete" && change.key === key)) return;
  }
}

/** Undefined when another was quicker. */
async function take(options: CampaignOptions, signal: AbortSignal): Promise<Tenure | undefined> {
  const lease = await keepLease(options, signal);
  try {
    const epoch = await claim(options, lease);
    if (epoch !== undefined && lease.alive()) return new HeldTenure(options, { lease, epoch });
  } catch (error) {
    await lease.release();
    throw error;
  }
  await lease.release();
  return undefined;
}

/** The epoch if the key is ours. An attempt of unknown outcome may have succeeded: then the key carries our lease. */
async function claim({ registry, key, value }: CampaignOptions, lease: KeptLease): Promise<number | undefined> {
  let unsure: Problem | undefined;
  try {
    const { applied, revision } = await registry.write(
      {
        guards: [{ kind: "created", key, revision: 0 }],
        writes: [{ kind: "put", key, value, lease: lease.id }],
      },
      lease.signal,
    );
    if (applied) return revision;
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "registry-unreachable") throw error;
    unsure = error;
  }
  const { entry } = await registry.get(key, lease.signal);
  // The key is still free, so nobody was quicker: what kept us from it is to be told.
  if (entry === undefined && unsure !== undefined) throw unsure;
  return entry?.lease === lease.id ? entry.createRevision : undefined;
}

class HeldTenure implements Tenure {
  readonly epoch: number;
  readonly guard: Guard;
  readonly #options: CampaignOptions;
  readonly #lease: KeptLease;
  readonly #watching: Promise<void>;

  constructor(options: CampaignOptions, { lease, epoch }: { readonly lease: KeptLease; readonly epoch: number }) {
    this.epoch = epoch;
    this.guard = { kind: "created", key: options.key, revision: epoch };
    this.#options = options;
    this.#lease = lease;
    this.#watching = this.#watchKey().catch((error: unknown) => {
      if (!this.signal.aborted) this.#lease.end(asProblem(error, "lease-lost", "Cannot watch the leader's key"));
    });
    const tell = (): void => options.log.info("tenure.over", { epoch, reason: reasonOf(lease.signal) });
    if (lease.signal.aborted) tell();
    else lease.signal.addEventListener("abort", tell, { once: true });
  }

  get lease(): LeaseId {
    return this.#lease.id;
  }

  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  alive(): boolean {
    return this.#lease.alive();
  }

  async resign(): Promise<void> {
    await this.#lease.release();
    await this.#watching;
  }

  /** Ends the tenure when the key is deleted or changed by anybody; until the lease ends. */
  async #watchKey(): Promise<void> {
    const { registry, key, clock } = this.#options;
    const pauses = new Pauses(clock, { firstMs: firstPauseMs, mostMs: longestPauseMs });
    let from = this.epoch + 1;
    while (!this.signal.aborted) {
      try {
        for await (const batch of registry.watch(key, from, this.signal)) {
          const isTouched = batch.changes.some(
            (change) => (change.kind === "put" ? change.entry.key : change.key) === key,
          );
          if (isTouched) this.#depose();
          from = batch.revision + 1;
          pauses.reset();
        }
      } catch {
        if (stopped(this.signal)) return;
        await pauses.wait(this.signal);
        from = await this.#lookAgain(from);
      }
    }
  }

  /**
   * After every break: whether the key is still as we wrote it, for the registry may have been put back meanwhile, to before we
   * did. The revision to watch from.
   */
  async #lookAgain(from: number): Promise<number> {
    const { registry, key } = this.#options;
    let found: { readonly entry: Entry | undefined; readonly revision: number };
    try {
      found = await registry.get(key, this.signal);
    } catch (error) {
      if (error instanceof Problem) return from; // away: the lease decides, and the next try looks again
      throw error;
    }
    if (found.entry?.modRevision !== this.epoch || found.entry.lease !== this.lease) this.#depose();
    return found.revision + 1;
  }

  #depose(): void {
    this.#lease.end(
      new Problem("lease-lost", `Cannot lead on in epoch ${this.epoch}`, {
        hint: `The key "${this.#options.key}" was deleted or changed`,
      }),
    );
  }
}

function reasonOf(signal: AbortSignal): string {
  const reason: unknown = signal.reason;
  return reason instanceof Problem ? (reason.hint ?? reason.message) : "shutdown";
}
