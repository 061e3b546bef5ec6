// Units with OnPartition=stop on this machine: they run on a permit of systemd's that ends before this machine's lease can
// have run out, and are started only while that lease is held and on the leader's word for it. Given
// to local.ts.
import type { MachineId, UnitName } from "../domain/names.ts";
import { fenceLeadMs } from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Entry, Registry } from "../ports/registry.ts";
import type { Systemd } from "../ports/systemd.ts";
import { keys, parseManifest } from "../text/values.ts";
import type { Beat, Claim } from "./beat.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** A leader is elected, has had the registry for a lease and has written to every machine that waits, within this. */
const wordMs = 20_000;

export interface FencePorts {
  readonly me: MachineId;
  readonly systemd: Pick<Systemd, "placed" | "extendPermit" | "grantPermit">;
  readonly registry: Pick<Registry, "get">;
  readonly beat: Pick<Beat, "claim" | "heldUntilMs" | "onHeld" | "hasten">;
  /** Takes this machine's manifest as it was read, at this revision: it is to be offered before this returns. */
  readonly offer: (manifest: Entry, revision: number) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

/** `ended`: systemd has none, and what had it is down. Undefined: not known, or not asked for. */
type Permit = { readonly untilMs: number } | "ended" | undefined;

export class Fence {
  readonly #ports: FencePorts;
  readonly #waker = new Waker();
  readonly #listeners = new Set<() => void>();
  /** Undefined until it was looked, by whoever comes first. */
  #needed: boolean | undefined;
  #permit: Permit;
  /** The claim after which the manifest was read, first at this moment, and whether the leader's word in it is for that. */
  #heard: { readonly claim: Claim; readonly sinceMs: number; readonly isConfirmed: boolean } | undefined;
  #isOverdue = false;

  constructor(ports: FencePorts) {
    this.#ports = ports;
  }

  /** Whether there are such units here: only then a permit is kept, and the lease renewed more often. */
  need(needed: boolean): void {
    if (needed === this.#needed) return;
    this.#needed = needed;
    this.#ports.beat.hasten(needed);
    // One that is not extended ends by itself
    if (!needed) this.#permit = undefined;
    this.#waker.wake();
  }

  /**
   * Whether the manifest that was offered last is true of the present: this machine holds its lease, and the leader has given
   * its word for this claim of the id (`Manifest.word`). What was written before may be of a registry that was put back to
   * before the units were moved from here.
   */
  isFresh(): boolean {
    const { beat, clock } = this.#ports;
    const claim = beat.claim();
    if (claim === undefined || this.#heard?.claim !== claim) return false;
    return this.#heard.isConfirmed && clock.monotonicMs() < this.#untilMs();
  }

  /** Whether such units may be started now, by a manifest that was fresh. */
  isOpen(): boolean {
    const permit = this.#permit;
    const { clock } = this.#ports;
    return typeof permit === "object" && clock.monotonicMs() < permit.untilMs && this.isFresh();
  }

  /** The permit has ended, or there was none since the machine booted: what it took down is to be forgotten before the next. */
  hasEnded(): boolean {
    return this.#permit === "ended";
  }

  /** Whether this machine is not in the registry, as far as it knows. */
  isCutOff(): boolean {
    const { beat, clock } = this.#ports;
    return beat.claim() === undefined || clock.monotonicMs() >= this.#untilMs();
  }

  /** Whether it is in the registry, and no leader has given its word since, for longer than a leader needs. */
  isUnconfirmed(): boolean {
    return !this.isCutOff() && !this.isFresh() && this.#isOverdue;
  }

  /**
   * Gives a permit after one has ended, and says what went down with that and has none itself. The Problem: systemd will not
   * have it. Rejects where it cannot be reached.
   */
  async open(): Promise<readonly UnitName[] | Problem> {
    const untilMs = this.#untilMs();
    let fallen: readonly UnitName[];
    try {
      fallen = await this.#ports.systemd.grantPermit(untilMs);
    } catch (error) {
      if (error instanceof Problem && error.code === "systemd-permit") return error;
      throw error;
    }
    this.#set({ untilMs });
    return fallen;
  }

  /** Calls `listener` when such units may be started, or no longer may. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** This machine's manifest in the registry has changed: it may be the one that is waited for. */
  heed(): void {
    const isHeard = this.#heard?.isConfirmed === true && this.#heard.claim === this.#ports.beat.claim();
    if (this.#needed === true && !isHeard) this.#waker.wake();
  }

  /** Until `signal`. The permit is left to end by itself: an agent that restarts in time extends it. */
  async run(signal: AbortSignal): Promise<void> {
    const { beat, clock, log, troubles } = this.#ports;
    const stop = beat.onHeld(() => this.#waker.wake());
    try {
      // A lease that is held again lets a permit be extended that has little time left
      const pass = (each: AbortSignal): Promise<undefined> => this.#pass(each);
      await tick({ name: "fence", waker: this.#waker, clock, log, troubles, heedsWakes: true, pass }, signal);
    } finally {
      stop();
    }
  }

  async #pass(signal: AbortSignal): Promise<undefined> {
    const { beat, systemd } = this.#ports;
    // An earlier agent's permit has little time left, and local waits for the registry first
    if (this.#needed === undefined) {
      const placed = await systemd.placed();
      this.#needFirst(placed.some(({ fenceStepMs }) => fenceStepMs !== undefined));
    }
    const claim = beat.claim();
    if (!this.#isNeeded() || claim === undefined) return undefined;
    // What was decided while nobody held the record is heard before anything goes on under the new one
    if (this.#heard?.claim !== claim || !this.#heard.isConfirmed) await this.#hear(claim, signal);
    const untilMs = this.#untilMs();
    const stands = await systemd.extendPermit(untilMs);
    if (this.#isNeeded()) this.#set(stands ? { untilMs } : "ended");
    return undefined;
  }

  /** Unless somebody has said meanwhile. */
  #needFirst(needed: boolean): void {
    if (this.#needed === undefined) this.need(needed);
  }

  /** Asked again after every wait. */
  #isNeeded(): boolean {
    return this.#needed === true;
  }

  async #hear(claim: Claim, signal: AbortSignal): Promise<void> {
    const { registry, me, offer } = this.#ports;
    const { entry, revision } = await registry.get(keys.manifest(me), signal);
    if (entry !== undefined) offer(entry, revision);
    const before = this.#heard?.claim === claim ? this.#heard : undefined;
    const isConfirmed = entry !== undefined && wordIn(entry) === claim.revision;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#heard = { claim, sinceMs: before?.sinceMs ?? nowMs, isConfirmed };
    const wasOverdue = this.#isOverdue;
    this.#isOverdue = !isConfirmed && nowMs - this.#heard.sinceMs >= wordMs;
    if (before?.isConfirmed !== isConfirmed || wasOverdue !== this.#isOverdue) this.#tell();
  }

  #untilMs(): number {
    return this.#ports.beat.heldUntilMs() - fenceLeadMs;
  }

  #set(permit: Permit): void {
    const before = this.#permit;
    this.#permit = permit;
    const isSame = typeof permit === typeof before;
    if (permit === "ended" && typeof before === "object") this.#ports.log.warn("fence.fell");
    // One that ended while the lease was out of reach is given anew when it is held again
    if (!isSame || (permit === "ended" && this.isFresh())) this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** One that cannot be read says nothing; whoever takes it up tells of it. */
function wordIn({ key, value }: Entry): number | undefined {
  const read = parseManifest(key, value);
  return read.ok ? read.value.word : undefined;
}
