// Whether what the registry shows may be decided on, and which absent machines are gone: what is absent may not have come back
// yet, and what is there may be of an earlier time. Given to engine.ts; one for each tenure. Decides only, by the monotonic clock.
import type { MachineId } from "../domain/names.ts";
import type { Position, Standing } from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import { standings } from "./cluster-state.ts";
import type { Mirror } from "./mirror.ts";
import type { RegistryPicture } from "./picture.ts";
import { keys } from "../text/values.ts";

/** Beyond a machine's full lease, for a beat that is on its way. */
const settleMarginMs = 1_000;
/** A leader that takes office so long after the registry went back still has to do with it. */
const wentBackMemoryMs = 60_000;

export interface TrustPorts {
  readonly mirror: Pick<Mirror, "connectedSinceMs">;
  readonly machineLeaseMs: number;
  /** Monotonic ms since when this machine has had the registry without a break, leading or not. */
  readonly registrySinceMs: () => number;
  /** Monotonic ms when this machine last found the registry put back to an earlier state; -Infinity: never. */
  readonly registryWentBackMs: () => number;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Pick<Log, "warn">;
  /** Called when machines are found that are ahead of the registry: it was put back. */
  readonly onBehind: () => void;
}

/** Which machines are there. */
export interface Attendance {
  /** A machine that is not in it is gone. */
  readonly standing: ReadonlyMap<MachineId, Standing>;
  /** Whether machines that are absent may still be on their way. */
  readonly isSettling: boolean;
  /** In how many ms this is to be looked at again, whatever changes; Infinity: when something does. */
  readonly dueMs: number;
}

export class Trust {
  readonly #ports: TrustPorts;
  readonly #sinceMs: number;
  /** By which machines tell older manifests from newer ones: the tenure's epoch, or above all that any machine has seen. */
  #epoch: number;
  /** Machines that were found ahead of the registry, and when the last of them was. */
  readonly #ahead = new Set<MachineId>();
  #aheadMs = -Infinity;
  /** Machines whose manifest somebody has deleted: that they are ahead of it is no sign that the registry was put back. */
  readonly #robbed = new Set<MachineId>();
  /** When the last machine was found ahead without that. */
  #behindMs = -Infinity;
  /** Those at the last look, and when one of them was lost before it was told what it has: nothing else says what that is. */
  #aheadBefore: ReadonlySet<MachineId> = new Set();
  #lostAheadMs = -Infinity;
  /** The mark that somebody left who found the registry put back: its mod revision, and since when, at which connection. */
  #mark: { readonly revision: number; readonly sinceMs: number; readonly connectedSinceMs: number } | undefined;
  /** Somebody took the mark away: what was found before that no longer counts. */
  #settledMs = -Infinity;
  readonly #witnessed = new Set<MachineId>();
  /** Since when the mirror was connected at the first look: before that it may only not have been asked. */
  #firstSinceMs: number | undefined;

  /** From taking office on; `epoch`: the tenure's. */
  constructor(ports: TrustPorts, epoch: number) {
    this.#ports = ports;
    this.#epoch = epoch;
    this.#sinceMs = ports.clock.monotonicMs();
  }

  /**
   * A registry that was put back to an earlier state knows neither where units have gone since nor which commit was the last:
   * nothing is decided before every machine had its time to say what it has, and before the repository was asked. How long
   * that still is, in ms; 0: the picture may be decided on. `isCommitSure`: the repository was asked in this tenure and has no
   * newer commit, or there is none. Throws Problem "registry-behind" while that alone is missing.
   */
  returnMs(
    { ahead, machines, modified }: Pick<RegistryPicture, "ahead" | "machines" | "modified">,
    { isCommitSure }: { readonly isCommitSure: boolean },
  ): number {
    const { clock, machineLeaseMs, registryWentBackMs, log, onBehind } = this.#ports;
    const nowMs = clock.monotonicMs();
    this.#noteMark(modified.get(keys.restored));
    for (const machine of ahead) {
      if (this.#ahead.has(machine)) continue;
      this.#ahead.add(machine);
      this.#aheadMs = nowMs;
      log.warn("registry.behind", { machine });
      if (this.#robbed.has(machine)) continue;
      this.#behindMs = nowMs;
      onBehind();
    }
    for (const machine of this.#aheadBefore) if (!machines.has(machine)) this.#lostAheadMs = nowMs;
    this.#aheadBefore = new Set(ahead);
    const wentBackMs = Math.max(this.#aheadMs, registryWentBackMs());
    const leftMs = wentBackMs + machineLeaseMs + settleMarginMs - nowMs;
    if (leftMs > 0) return leftMs;
    if (wentBackMs < this.#sinceMs - wentBackMemoryMs || isCommitSure) return 0;
    throw new Problem("registry-behind", "Cannot decide: the registry was put back to an earlier state", {
      hint: "What runs goes on running; the repository must be reached, and its newest commit be a good one",
    });
  }

  /** Somebody has taken the machine's manifest away, in a registry that is followed without a break. */
  manifestDeleted(machine: MachineId): void {
    this.#robbed.add(machine);
  }

  /**
   * Until when machines may be there that nobody has heard of, as units with OnPartition=stop go by it: on this leader's own
   * account, and after the registry was put back (-Infinity: it was not, or whoever took the mark away knows better). Both in
   * monotonic ms, for `FenceWaits.look`; of the picture that `returnMs` was given last.
   */
  unheardUntil(): { readonly heardOfMs: number; readonly putBackMs: number } {
    const { clock, machineLeaseMs, registryWentBackMs } = this.#ports;
    const leaseMs = machineLeaseMs + settleMarginMs;
    // This machine has marked it meanwhile, and that no mark is left says that somebody has waited, or knows better
    const foundMs = clock.monotonicMs() < registryWentBackMs() + leaseMs ? registryWentBackMs() : -Infinity;
    const wentBackMs = Math.max(this.#behindMs, this.#lostAheadMs, this.#mark?.sinceMs ?? -Infinity, foundMs);
    return {
      heardOfMs: this.#returnedMs() + leaseMs,
      putBackMs: wentBackMs > this.#settledMs ? wentBackMs + leaseMs : -Infinity,
    };
  }

  /** Which machines are there, which may be coming back, and with that which are gone. */
  attendance(picture: RegistryPicture): Attendance {
    const settleMs = this.#settleMs();
    const witnessMs = this.#witness(picture.machines.keys());
    const isSettling = settleMs > 0;
    return {
      standing: standings(picture, { settling: isSettling, witnessed: this.#witnessed }),
      isSettling,
      dueMs: Math.min(...[settleMs, witnessMs].filter((ms) => ms > 0)),
    };
  }

  /**
   * The epoch for the next manifests, whose generation is above `generation`: above everything that any machine has seen, for
   * in a registry that was put back numbers are given out anew.
   */
  epochFor(
    {
      manifests,
      statuses,
    }: {
      readonly manifests: ReadonlyMap<MachineId, Position>;
      readonly statuses: ReadonlyMap<MachineId, { readonly seen: Position }>;
    },
    generation: number,
  ): number {
    const isAbove = (position: Position): boolean =>
      position.epoch > this.#epoch || (position.epoch === this.#epoch && position.generation > generation);
    for (const manifest of manifests.values()) if (isAbove(manifest)) this.#epoch = manifest.epoch + 1;
    for (const { seen } of statuses.values()) if (isAbove(seen)) this.#epoch = seen.epoch + 1;
    return this.#epoch;
  }

  /** Where the mirror was cut off meanwhile the registry may have been put back once more, with the mark or without it. */
  #noteMark(revision: number | undefined): void {
    const { clock, mirror } = this.#ports;
    const { connectedSinceMs } = mirror;
    const before = this.#mark;
    const isConnected = before?.connectedSinceMs === connectedSinceMs;
    if (revision !== undefined && before?.revision === revision && isConnected) return;
    const sinceMs = clock.monotonicMs();
    this.#mark = revision === undefined ? undefined : { revision, sinceMs, connectedSinceMs };
    if (revision === undefined && isConnected) this.#settledMs = sinceMs;
  }

  /** How long absent machines may still be on their way: one full lease from taking office, and from the registry's return. */
  #settleMs(): number {
    const { mirror, clock, machineLeaseMs } = this.#ports;
    const fromMs = Math.max(this.#sinceMs, mirror.connectedSinceMs);
    return Math.max(0, fromMs + machineLeaseMs + settleMarginMs - clock.monotonicMs());
  }

  /**
   * Machines that are gone when they are absent: they were seen present, and had their full lease. Nobody counts as seen for
   * one full lease after the registry has come back to this machine: what is left of the leases that are found then may be
   * less than the way back takes. How long until those that are there count as seen; they are looked at then, for one may be
   * gone soon after.
   */
  #witness(present: Iterable<MachineId>): number {
    const { clock, machineLeaseMs } = this.#ports;
    const leftMs = this.#returnedMs() + machineLeaseMs + settleMarginMs - clock.monotonicMs();
    if (leftMs > 0) this.#witnessed.clear();
    else for (const machine of present) this.#witnessed.add(machine);
    return leftMs;
  }

  /** When the registry came back to this machine. */
  #returnedMs(): number {
    const { mirror, registrySinceMs } = this.#ports;
    this.#firstSinceMs ??= mirror.connectedSinceMs;
    const brokenMs = mirror.connectedSinceMs === this.#firstSinceMs ? -Infinity : mirror.connectedSinceMs;
    return Math.max(registrySinceMs(), brokenMs);
  }
}
