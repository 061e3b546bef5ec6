// This machine in the registry: claims its id with its boot's nonce and keeps the lease alive that says it lives. Presence lost
// to an outage is taken up again, and a name or address that has changed is told. Where the registry was put back it leaves a
// mark, for the leaders that come (`Trust`).
import type { Machine } from "../domain/machine.ts";
import { Problem, asProblem, toRecord } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";
import type { Entry, LeaseId, Registry } from "../ports/registry.ts";
import { encodeMachine, encodeRestored, keys, parseMachine } from "../text/values.ts";
import { renew } from "./renewal.ts";
import type { Restores } from "./restores.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** Nonces of this machine's boots, a line each, the newest first: after a reboot its own old record is known by them. */
const nonceFile = "nonce";
/** An agent may have been killed before it claimed the id, and a registry that was put back may show an earlier boot's record. */
const rememberedBoots = 8;
/** How often an id that another machine holds is looked at again. */
const takenRetryMs = 2_000;
/** How often this machine's name and address are looked at while it is present. */
const lookMs = 60_000;

/** What of a machine may change while its agent runs. */
export type Facts = Pick<Machine, "hostname" | "publicIp">;

export interface BeatPorts {
  readonly machine: Machine;
  /** Those of now, "" for an address that cannot be told; without it they stay as they are in `machine`. */
  readonly facts?: (() => Promise<Facts>) | undefined;
  readonly registry: Registry;
  readonly disk: Disk;
  readonly leaseMs: number;
  readonly restores: Restores;
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
  #machine: Machine;
  #lookedMs = -Infinity;
  readonly #waker = new Waker();
  readonly #listeners = new Set<() => void>();
  readonly #heldListeners = new Set<() => void>();
  #heldUntilMs = -Infinity;
  #isHastened = false;
  #claim: Claim | undefined;
  #lease: { readonly id: LeaseId; readonly ttlMs: number } | undefined;
  /** Of earlier boots: the record may show one of them until the first claim, or where the store was put back. */
  #earlier: readonly string[] | undefined;
  #isNoted = false;
  #doubted = false;
  /** Whether the lease was out of reach for longer than it lasts since the claim: it may be one of an earlier time. */
  #isLapsed = false;
  /** The registry was put back, and that is still to be said in it. */
  #isUnmarked = false;
  #verdict: "open" | "held" | "refused" = "open";
  /** Whether this process has ever had the id. */
  #wasHeld = false;
  readonly #waiting = new Set<() => void>();

  constructor(ports: BeatPorts) {
    this.#ports = ports;
    this.#machine = ports.machine;
    // A registry that was put back has an old status too, or none: claiming the id anew has it written
    ports.restores.onFound(() => {
      this.doubt();
      this.mark();
    });
  }

  /** This machine as it announces itself now. */
  get machine(): Machine {
    return this.#machine;
  }

  /**
   * Undefined while this machine is not in the registry, as far as it knows; also as soon as the registry was found put back, for
   * what it tells then is of before.
   */
  claim(): Claim | undefined {
    return this.#doubted ? undefined : this.#claim;
  }

  /** Monotonic ms before which the lease cannot have run out, whatever comes: from when what was answered last was sent. */
  heldUntilMs(): number {
    return this.#heldUntilMs;
  }

  /**
   * Renews the lease more often, for those who would be stopped by a short break, and lets no claim stand whose lease was out of
   * reach for longer than it lasts: what was decided meanwhile a registry that was put back has forgotten. Or as usual.
   */
  hasten(isHastened: boolean): void {
    this.#isHastened = isHastened;
    if (this.#dropLapsed()) this.#waker.wake();
  }

  /** Calls `listener` after every new claim, and after every renewal of its lease. */
  onHeld(listener: () => void): () => void {
    this.#heldListeners.add(listener);
    return () => this.#heldListeners.delete(listener);
  }

  /** The claim was found not to hold: look at once. */
  doubt(): void {
    this.#doubted = true;
    this.#waker.wake();
  }

  /** The registry was put back, and those who come are to know. */
  mark(): void {
    this.#isUnmarked = true;
    this.#waker.wake();
  }

  /** Has the record looked at, as the registry had it at this revision: whether it is still the one that was claimed. */
  seen(record: Entry | undefined, revision: number): void {
    const claimed = this.#claim?.revision;
    if (claimed !== undefined && revision >= claimed && record?.modRevision !== claimed) this.doubt();
  }

  /** Resolves when it is known whether the id is this machine's. Rejects with the signal's reason. */
  async judged(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#verdict !== "open", signal);
  }

  /** Resolves at once unless the id was seen to be another machine's; then when it is so no longer. */
  async unrefused(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#verdict !== "refused", signal);
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
    // When the registry comes back the leader waits one lease for machines to be heard of: the pauses stay well below. Of a
    // lease on which units hang five seconds without the registry may leave little more than one
    const longestPauseMs = (): number => leaseMs / (this.#isHastened ? 10 : 4);
    await tick(
      { name: "beat", waker: this.#waker, clock, log, troubles, longestPauseMs, pass: (each) => this.#pass(each) },
      signal,
    );
  }

  async #pass(signal: AbortSignal): Promise<number> {
    const { facts, registry, clock, leaseMs } = this.#ports;
    if (this.#lease !== undefined) {
      try {
        const { id, ttlMs } = this.#lease;
        const { sentMs, revision } = await renew({ registry, clock, id, everyMs: ttlMs / 10 }, signal);
        if (sentMs >= this.#heldUntilMs) this.#isLapsed = true;
        this.#dropLapsed();
        this.#heldUntilMs = sentMs + ttlMs;
        await this.#compare(revision, signal);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== "lease-lost") throw error;
        this.#lease = undefined;
        this.#claim = undefined;
      }
    }
    if (this.#doubted) this.#claim = undefined;
    this.#doubted = false;
    await this.#noteNonce();
    if (facts !== undefined) await this.#look(facts);
    if (this.#lease === undefined) {
      const sentMs = clock.monotonicMs();
      this.#lease = await registry.grantLease(leaseMs, signal);
      this.#heldUntilMs = sentMs + this.#lease.ttlMs;
    }
    const { id, ttlMs } = this.#lease;
    if (this.#claim === undefined && !(await this.#take(id, signal))) return takenRetryMs;
    for (const listener of this.#heldListeners) listener();
    if (this.#isUnmarked) await this.#leaveMark(signal);
    return ttlMs / (this.#isHastened ? 4 : 3);
  }

  /**
   * Against what the registry had reached before. What answers a renewal may lag behind; a read does not. So a registry that was
   * put back is found also while no watch has broken yet.
   */
  async #compare(revision: number, signal: AbortSignal): Promise<void> {
    const { registry, machine, restores, log } = this.#ports;
    const { reachedRevision, foundMs } = restores;
    restores.reached(revision);
    if (revision >= reachedRevision) return;
    const read = await registry.get(keys.machine(machine.id), signal);
    if (read.revision >= reachedRevision || restores.foundMs > foundMs) return;
    log.warn("beat.store-went-back", { from: reachedRevision, to: read.revision });
    restores.found();
  }

  #dropLapsed(): boolean {
    if (!this.#isHastened || !this.#isLapsed) return false;
    this.#claim = undefined;
    return true;
  }

  /**
   * A name or address that has changed is claimed anew, under the same lease. Looked at before each claim as well, and as long as
   * there is no address: after a boot the network may come later than the agent. One that cannot be told stays what it was.
   */
  async #look(facts: () => Promise<Facts>): Promise<void> {
    const { clock, log } = this.#ports;
    const known = this.#machine;
    const nowMs = clock.monotonicMs();
    const isKnown = this.#claim !== undefined && known.publicIp !== "";
    if (isKnown && nowMs - this.#lookedMs < lookMs) return;
    this.#lookedMs = nowMs;
    const found = await facts().catch(() => known); // asked again; until then what is known stands
    const now: Facts = { hostname: found.hostname, publicIp: found.publicIp || known.publicIp };
    if (now.hostname === known.hostname && now.publicIp === known.publicIp) return;
    this.#machine = { ...known, ...now };
    this.#claim = undefined;
    log.info("machine.changed", { ...now });
  }

  /** False while the id is another machine's. */
  async #take(lease: LeaseId, signal: AbortSignal): Promise<boolean> {
    const { registry, troubles, log } = this.#ports;
    const machine = this.#machine;
    const key = keys.machine(machine.id);
    const { entry } = await registry.get(key, signal);
    const holder = entry === undefined ? undefined : this.#stranger(entry);
    if (holder !== undefined) {
      this.#refuse(holder);
      return false;
    }
    const written = await registry.write(
      {
        guards: [{ kind: "modified", key, revision: entry?.modRevision ?? 0 }],
        writes: [{ kind: "put", key, value: encodeMachine(machine), lease }],
      },
      signal,
    );
    if (!written.applied) return false;
    troubles.clear("machine-id");
    this.#claim = { lease, revision: written.revision };
    this.#isLapsed = false;
    this.#wasHeld = true;
    log.info("machine.present", { machine: machine.id });
    this.#judge("held");
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** One mark is enough: where another machine was first, its own stands. */
  async #leaveMark(signal: AbortSignal): Promise<void> {
    const { registry, clock, log } = this.#ports;
    const machine = this.#machine;
    const key = keys.restored;
    const value = encodeRestored({ machine: machine.id, hostname: machine.hostname, atMs: clock.wallMs() });
    this.#isUnmarked = false;
    try {
      const { applied } = await registry.write(
        { guards: [{ kind: "created", key, revision: 0 }], writes: [{ kind: "put", key, value }] },
        signal,
      );
      if (applied) log.warn("registry.restored");
    } catch (error) {
      this.#isUnmarked = true;
      throw error;
    }
  }

  /**
   * Before the record is written, so that the next boot knows it. Where it cannot be written the machine is present all the
   * same: then its next boot has to wait until this record has run out.
   */
  async #noteNonce(): Promise<void> {
    const { machine, disk, troubles } = this.#ports;
    if (this.#isNoted) return;
    const { nonce } = machine;
    try {
      if (this.#earlier === undefined) {
        const lines = ((await disk.read(nonceFile)) ?? "").split("\n");
        this.#isNoted = lines[0] === nonce;
        this.#earlier = lines.filter((line) => line !== "" && line !== nonce).slice(0, rememberedBoots);
      }
      if (!this.#isNoted) await disk.write(nonceFile, [nonce, ...this.#earlier, ""].join("\n"));
      this.#isNoted = true;
      troubles.clear("nonce");
    } catch (error) {
      troubles.set("nonce", toRecord(asProblem(error, "disk-write", "Cannot note this boot")));
    }
  }

  /**
   * Who holds the record, unless it is this machine, in this boot or in an earlier one. A clone has the nonces of its
   * original's last boots on its disk: those count only beside its name and address, and otherwise once the record has run out.
   */
  #stranger(entry: Entry): Holder | undefined {
    const machine = this.#machine;
    const read = parseMachine(entry.key, entry.value);
    // A record that cannot be read was written by nobody who could use it.
    if (!read.ok) return undefined;
    const { nonce, hostname, publicIp } = read.value;
    if (nonce === machine.nonce) return undefined;
    const isBefore = this.#earlier?.includes(nonce) === true;
    if (isBefore && hostname === machine.hostname && publicIp === machine.publicIp) return undefined;
    return { who: inWords(read.value), isBefore };
  }

  #refuse({ who, isBefore }: Holder): void {
    const { troubles, log } = this.#ports;
    const machine = this.#machine;
    const own = inWords(machine);
    const remedy = "A cloned machine needs an /etc/machine-id of its own";
    const problem = this.#wasHeld
      ? new Problem("machine-id-taken", `Cannot keep machine id ${machine.id}: ${who} has taken it from ${own}`, {
          hint: `What runs here goes on running. One of the two is a copy of the other. ${remedy}`,
        })
      : new Problem("machine-id-taken", `Cannot claim machine id ${machine.id}: ${who} holds it`, {
          hint: isBefore
            ? `This machine is ${own}. If it had that name and address before, the id is its own as soon as the old record has run out. ${remedy}`
            : `This machine is ${own}. ${remedy}`,
        });
    troubles.set("machine-id", toRecord(problem));
    if (this.#verdict !== "refused") log.error("machine.id-taken", problem, { machine: machine.id, holder: who });
    this.#judge("refused");
  }

  #judge(verdict: "held" | "refused"): void {
    this.#verdict = verdict;
    for (const waiting of [...this.#waiting]) waiting();
  }

  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!condition()) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.#waiting.delete(done);
          signal.removeEventListener("abort", done);
          resolve();
        };
        this.#waiting.add(done);
        signal.addEventListener("abort", done, { once: true });
      });
    }
  }
}

/** Whose the record is: a stranger's, or that of a machine which was this one's boot before or is its original. */
interface Holder {
  readonly who: string;
  readonly isBefore: boolean;
}

function inWords({ hostname, publicIp }: Pick<Machine, "hostname" | "publicIp">): string {
  return `${hostname} (${publicIp || "no address"})`;
}
