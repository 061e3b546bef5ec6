// This machine in the registry: claims its id with its boot's nonce and keeps the lease alive that says it lives.
// Presence lost to an outage is taken up again; nothing on the machine depends on it.
import type { Machine } from "../domain/machine.ts";
import { Problem, toRecord } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";
import type { Entry, LeaseId, Registry } from "../ports/registry.ts";
import { encodeMachine, keys, parseMachine } from "../text/values.ts";
import { renew } from "./renewal.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** The nonce with which this machine last claimed its id: after a reboot its own old record is known by it. */
const nonceFile = "nonce";
/** How often an id that another machine holds is looked at again. */
const takenRetryMs = 2_000;

export interface BeatPorts {
  readonly machine: Machine;
  readonly registry: Registry;
  readonly disk: Disk;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

/** This machine's hold on its id: the lease that its keys hang on, and the mod revision of its record. */
export interface Claim {
  readonly lease: LeaseId;
  readonly revision: number;
}

export class Beat {
  readonly #ports: BeatPorts;
  readonly #waker = new Waker();
  readonly #listeners = new Set<() => void>();
  #claim: Claim | undefined;
  #lease: { readonly id: LeaseId; readonly ttlMs: number } | undefined;
  /** As this process found it: the record may show it until the first claim. */
  #previous = "";
  /** As it lies on disk. */
  #noted: string | undefined;
  #doubted = false;

  constructor(ports: BeatPorts) {
    this.#ports = ports;
  }

  /** Undefined while this machine is not in the registry, as far as it knows. */
  claim(): Claim | undefined {
    return this.#claim;
  }

  /** The claim was found not to hold: look at once. */
  doubt(): void {
    this.#doubted = true;
    this.#waker.wake();
  }

  /** Calls `listener` after every new claim. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Until `signal`. The lease is left to run out: an agent that restarts in time takes up its record, and nobody has
   * thought it gone.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, troubles, leaseMs } = this.#ports;
    // When the registry comes back the leader waits one lease for machines to be heard of: the pauses stay well below.
    const longestPauseMs = leaseMs / 4;
    await tick(
      { name: "beat", waker: this.#waker, clock, log, troubles, longestPauseMs, pass: (each) => this.#pass(each) },
      signal,
    );
  }

  async #pass(signal: AbortSignal): Promise<number> {
    const { registry, clock, leaseMs } = this.#ports;
    if (this.#lease !== undefined) {
      try {
        const { id, ttlMs } = this.#lease;
        await renew({ registry, clock, id, everyMs: ttlMs / 10 }, signal);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== "lease-lost") throw error;
        this.#lease = undefined;
        this.#claim = undefined;
      }
    }
    if (this.#doubted) this.#claim = undefined;
    this.#doubted = false;
    this.#lease ??= await registry.grantLease(leaseMs, signal);
    if (this.#claim === undefined && !(await this.#take(this.#lease.id, signal))) return takenRetryMs;
    return this.#lease.ttlMs / 3;
  }

  /** False while the id is another machine's. */
  async #take(lease: LeaseId, signal: AbortSignal): Promise<boolean> {
    const { machine, registry, disk, troubles, log } = this.#ports;
    if (this.#noted === undefined) this.#noted = this.#previous = (await disk.read(nonceFile)) ?? "";
    const key = keys.machine(machine.id);
    const { entry } = await registry.get(key, signal);
    const holder = entry === undefined ? undefined : this.#stranger(entry);
    if (holder !== undefined) {
      const problem = new Problem("machine-id-taken", `Cannot claim machine id ${machine.id}: ${holder} holds it`, {
        hint: `This machine is ${machine.hostname} (${machine.publicIp || "no address"}); a cloned machine needs an /etc/machine-id of its own`,
      });
      troubles.set("machine-id", toRecord(problem));
      return false;
    }
    if (this.#noted !== machine.nonce) {
      await disk.write(nonceFile, machine.nonce);
      this.#noted = machine.nonce;
    }
    const written = await registry.write(
      {
        guards: [{ kind: "modified", key, revision: entry?.modRevision ?? 0 }],
        writes: [{ kind: "put", key, value: encodeMachine(machine), lease }],
      },
      signal,
    );
    if (!written.applied) return false;
    this.#previous = machine.nonce;
    troubles.clear("machine-id");
    this.#claim = { lease, revision: written.revision };
    log.info("machine.present", { machine: machine.id });
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** Who holds the record, in words, unless it is this machine, in this boot or in the one before. */
  #stranger(entry: Entry): string | undefined {
    const read = parseMachine(entry.key, entry.value);
    // A record that cannot be read was written by nobody who could use it.
    if (!read.ok) return undefined;
    const { nonce, hostname, publicIp } = read.value;
    if (nonce === this.#ports.machine.nonce || nonce === this.#previous) return undefined;
    return `${hostname} (${publicIp || "no address"})`;
  }
}
