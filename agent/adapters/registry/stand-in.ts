// A registry while it cannot be opened: its file is damaged, nobody knows yet who is in its etcd, its password cannot be read.
// Every call says so, as if it could not be reached, and looks whether that has been put right. Given to wire.ts: an agent that
// did not start for it would bring no unit back.
import { Problem, asProblem } from "../../domain/problem.ts";
import type { Log } from "../../ports/log.ts";
import type { Registry, WatchBatch } from "../../ports/registry.ts";

export interface Opening {
  /** Rejects while it cannot be opened; tried again at each call. */
  readonly open: () => Promise<Registry>;
  /** What was tried: "Cannot use the registry". */
  readonly message: string;
  readonly log: Log;
}

/** The registry itself, or what stands in for it until it can be opened. Never rejects. */
export async function openOrStandIn(opening: Opening): Promise<Registry> {
  try {
    return await opening.open();
  } catch (error) {
    // At a first boot nothing is wrong: the others are still coming
    if (error instanceof Problem && error.code === "discovery-pending")
      opening.log.info("registry.pending", { what: error.message, hint: error.hint });
    else opening.log.error("registry.unusable", error);
    return new StandInRegistry(opening);
  }
}

class StandInRegistry implements Registry {
  readonly #opening: Opening;
  #real: Registry | undefined;
  #trying: Promise<Registry> | undefined;
  #isClosed = false;

  constructor(opening: Opening) {
    this.#opening = opening;
  }

  read: Registry["read"] = async (prefix, signal) => (await this.#try()).read(prefix, signal);
  get: Registry["get"] = async (key, signal) => (await this.#try()).get(key, signal);
  write: Registry["write"] = async (transaction, signal) => (await this.#try()).write(transaction, signal);
  grantLease: Registry["grantLease"] = async (ttlMs, signal) => (await this.#try()).grantLease(ttlMs, signal);
  renewLease: Registry["renewLease"] = async (id, signal) => (await this.#try()).renewLease(id, signal);
  leaseLeftMs: Registry["leaseLeftMs"] = async (id, signal) => (await this.#try()).leaseLeftMs(id, signal);
  revokeLease: Registry["revokeLease"] = async (id, signal) => (await this.#try()).revokeLease(id, signal);

  async *watch(prefix: string, from: number, signal: AbortSignal): AsyncIterable<WatchBatch> {
    yield* (await this.#try()).watch(prefix, from, signal);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#trying?.catch(() => undefined); // its callers have been told
    await this.#real?.close();
  }

  /** Callers that come together share one try. */
  async #try(): Promise<Registry> {
    if (this.#real !== undefined) return this.#real;
    if (this.#isClosed) throw new Problem("aborted", "Cannot use a closed registry");
    this.#trying ??= this.#open().finally(() => (this.#trying = undefined));
    return this.#trying;
  }

  async #open(): Promise<Registry> {
    try {
      this.#real = await this.#opening.open();
      this.#opening.log.info("registry.usable");
      return this.#real;
    } catch (error) {
      const { message } = this.#opening;
      const { hint } = asProblem(error, "registry-unusable", message);
      throw new Problem("registry-unreachable", message, { hint, cause: error });
    }
  }
}
