// Machines that are lost: many at once, whose units stay where they are until enough are back, and single ones that come and go,
// which take nothing new for a while. Given to engine.ts, which carries it out. What a later leader must know stands in the
// registry: `givenUp` in a manifest, `rests` in a machine's settings, and the events; the rest is remembered for one tenure.
import { type MachineSettings, firstRestMs, longestRestMs } from "../domain/machine.ts";
import { type MachineId, byName } from "../domain/names.ts";
import type { Standing } from "../domain/placement.ts";
import { Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import { type ClusterEvent, isBrakeOn } from "../domain/submitted.ts";
import type { Clock } from "../ports/clock.ts";
import type { Registry } from "../ports/registry.ts";
import { formatSpan } from "../text/time.ts";
import { encodeEvent, encodeMachineSettings, keys } from "../text/values.ts";
import type { TidyBatch } from "./housekeeping.ts";
import type { Mirror } from "./mirror.ts";
import type { RegistryPicture } from "./picture.ts";

/** Machines that are lost together (a rack, a switch) are lost one lease after another: this long it waits for the next one. */
const gatherLossesMs = 200;
/** ... and so long at most, from the first. */
const mostGatherMs = 1_000;
/** A machine that was given up counts among those that are lost at once for this long. */
const togetherMs = 60_000;
/** One machine alone is never many. */
const fewestBraked = 2;
/** Machines that are asked after when others are lost; of more a sample says how many there are. */
const mostAsked = 64;
/** How often that is done while some have not been heard of. */
const askAgainMs = 400;
/** Beyond the time in which a machine that is silent must have been heard of, or be lost. */
const silenceMarginMs = 1_000;
/** A machine that was lost again within this time comes and goes. */
export const flapMemoryMs = 10 * 60_000;
/** Machines that a message names. */
const maxNamed = 3;

export interface LossPorts {
  readonly registry: Pick<Registry, "leaseLeftMs">;
  readonly mirror: Pick<Mirror, "get">;
  readonly clock: Clock;
  readonly machineLeaseMs: number;
  /** 100: there is no brake. */
  readonly brakePercent: number;
}

/** Too many are lost: nothing of theirs is moved. */
export interface Brake {
  /** In id order. */
  readonly lost: readonly MachineId[];
  /** Those that are there and those that are lost. */
  readonly machines: number;
}

export interface Judgement {
  /** With machines that are held: they count as presumed. */
  readonly standing: ReadonlyMap<MachineId, Standing>;
  readonly brake: Brake | undefined;
  /** Whether any machine is held; also while it is not known yet how many are lost. */
  readonly isHeld: boolean;
  /** In how many ms it has to be judged anew, whatever changes; Infinity: when something does. */
  readonly dueMs: number;
}

export class Losses {
  readonly #ports: LossPorts;
  /** Machines' keys that went since the last pass. */
  #gathering: { readonly firstMs: number; readonly lastMs: number } | undefined;
  /** As this leader gave them up, in monotonic ms, the last ones; kept when they come back. */
  readonly #givenUp = new Map<MachineId, number[]>();
  /** Of those the ones that have not been seen since. */
  readonly #away = new Set<MachineId>();
  /** Returns that were dealt with, by the mod revision of the machine's record. */
  readonly #returned = new Map<MachineId, number>();
  #names: ReadonlyMap<MachineId, { readonly hostname: string }> = new Map();
  readonly #lostNames = new Map<MachineId, string>();
  /** Lost while the brake was on, and not back since. */
  #together: ReadonlySet<MachineId> = new Set();
  /** Until when those may be on their way back, as others of them were. */
  #returningUntilMs = -Infinity;
  #silentSinceMs: number | undefined;
  #asked: { readonly atMs: number; readonly silent: number } | undefined;
  #turn = 0;

  constructor(ports: LossPorts) {
    this.#ports = ports;
  }

  /** A machine's key went. */
  note(): void {
    const nowMs = this.#ports.clock.monotonicMs();
    this.#gathering = { firstMs: this.#gathering?.firstMs ?? nowMs, lastMs: nowMs };
  }

  /** How long to wait for further machines to be lost; 0: none has been, or it has waited long enough. */
  gatherMs(): number {
    if (this.#gathering === undefined) return 0;
    const { firstMs, lastMs } = this.#gathering;
    const untilMs = Math.min(lastMs + gatherLossesMs, firstMs + mostGatherMs);
    const leftMs = untilMs - this.#ports.clock.monotonicMs();
    if (leftMs <= 0) this.#gathering = undefined;
    return Math.max(0, leftMs);
  }

  /**
   * Which machines are given up. `standing`: without any that is held. Machines that are lost together are lost one lease after
   * another, over a third of a lease: when the first is, the others have not been heard of for long, and are asked after. They
   * come back one after another as well, each after a pause of its own: the first gives the others one lease more. Rejects as
   * the registry does.
   */
  async judge(
    picture: RegistryPicture,
    standing: ReadonlyMap<MachineId, Standing>,
    signal: AbortSignal,
  ): Promise<Judgement> {
    const nowMs = this.#ports.clock.monotonicMs();
    const fresh: MachineId[] = [];
    for (const [id, { givenUp }] of picture.manifests) {
      if (givenUp !== true && isAbsent(id, picture, standing)) fresh.push(id);
    }
    this.#look(picture);
    const recent = this.#recentlyGivenUp(nowMs).filter(({ id }) => isAbsent(id, picture, standing));
    const lost = [...new Set([...fresh, ...recent.map(({ id }) => id)])].sort(byName);
    let machines = lost.length;
    for (const each of standing.values()) if (each === "present") machines++;
    const isBraked = fresh.length > 0 && this.#areMany(lost.length, machines);
    const isReturning = this.#areReturning(picture, { lost, isBraked });
    const given = { fresh, lost, machines, unheard: unheardOf(picture, standing) };
    const isHeld = isBraked || (fresh.length > 0 && isReturning) || (await this.#mayBeMany(picture, given, signal));
    if (isBraked || !isHeld) this.#silentSinceMs = undefined;
    if (!isHeld) for (const id of fresh) this.#giveUp(id, nowMs);
    const held = isHeld ? fresh : [];
    return {
      standing: held.length === 0 ? standing : new Map([...standing, ...held.map((id) => [id, "presumed"] as const)]),
      brake: isBraked ? { lost, machines } : undefined,
      isHeld: held.length > 0,
      dueMs: Math.min(
        isHeld && !isBraked ? askAgainMs : Infinity,
        ...(isBraked ? recent.map(({ atMs }) => atMs + togetherMs - nowMs) : []),
      ),
    };
  }

  /** What is to be told of the brake once, and what is wrong while it is on. `isSettled`: machines are not on their way back. */
  tell(
    { events }: Pick<RegistryPicture, "events">,
    { brake, isSettled }: { readonly brake: Brake | undefined; readonly isSettled: boolean },
  ): {
    readonly event: Pick<ClusterEvent, "kind" | "message"> | undefined;
    readonly trouble: ProblemRecord | undefined;
  } {
    const isTold = isBrakeOn(events);
    if (brake === undefined) {
      const message = "Enough machines are back or given up: units of those that are still lost may move";
      return { event: isTold && isSettled ? { kind: "machines-returned", message } : undefined, trouble: undefined };
    }
    const many = `${brake.lost.length} of ${brake.machines} machines are lost at once`;
    const who = `${many}: ${this.#inWords(brake.lost)}`;
    const remedy = "flotilla cordon MACHINE gives one up, and its units move";
    const problem = new Problem("loss-brake", `Cannot move units of lost machines: ${who}`, {
      hint: `They stay with their machines until enough of these are back. ${remedy}`,
    });
    const message = `${who}. None of their units is moved until enough are back; ${remedy}`;
    return { event: isTold ? undefined : { kind: "machines-lost", message }, trouble: toRecord(problem) };
  }

  /**
   * Machines that are there again after they were given up, for at least the second time lately: each has to rest, and is to
   * take nothing before that is written. One that could not be written comes again.
   */
  rests(
    picture: RegistryPicture,
    { by, nowMs, nonce }: { readonly by: string; readonly nowMs: number; readonly nonce: string },
  ): readonly (TidyBatch & { readonly machine: MachineId })[] {
    const batches: (TidyBatch & { readonly machine: MachineId })[] = [];
    for (const [id, { hostname }] of picture.machines) {
      if (picture.manifests.get(id)?.givenUp !== true) continue;
      const revision = picture.modified.get(keys.machine(id)) ?? 0;
      if (this.#returned.get(id) === revision) continue;
      const settings = picture.settings.get(id);
      const losses = this.#lossesOf(id, settings);
      if (losses < 2 || picture.unsettled.has(id)) {
        this.#returned.set(id, revision);
        continue;
      }
      const restMs = Math.min(firstRestMs * 2 ** (losses - 2), longestRestMs);
      const rested: MachineSettings = {
        ...(settings ?? { machine: id, metadata: {}, by, atMs: nowMs }),
        rests: { losses, untilMs: nowMs + restMs },
      };
      const message = `${hostname} came and went ${losses} times: it takes nothing new for ${formatSpan(restMs)}`;
      const event: ClusterEvent = { kind: "machine-rests", machine: id, message, by, atMs: nowMs };
      const key = keys.settingsOf(id);
      batches.push({
        machine: id,
        guards: [{ kind: "modified", key, revision: picture.modified.get(key) ?? 0 }],
        writes: [
          { kind: "put", key, value: encodeMachineSettings(rested) },
          { kind: "put", key: keys.event(nowMs, `${nonce}-${shortId(id)}`), value: encodeEvent(event) },
        ],
        said: [event],
      });
    }
    return batches;
  }

  /** The machine's rest was written. */
  rested(machine: MachineId, picture: RegistryPicture): void {
    this.#returned.set(machine, picture.modified.get(keys.machine(machine)) ?? 0);
  }

  /** What a machine is called, also one that is gone; the beginning of its id where this leader never saw it. */
  nameOf(id: MachineId): string {
    return this.#names.get(id)?.hostname ?? this.#lostNames.get(id) ?? shortId(id);
  }

  #areMany(lost: number, machines: number): boolean {
    const { brakePercent } = this.#ports;
    return brakePercent < 100 && lost >= fewestBraked && lost * 100 > brakePercent * machines;
  }

  /** Whether others that were lost with these have come back just now, or since the last that did. */
  #areReturning(
    { machines }: RegistryPicture,
    { lost, isBraked }: { readonly lost: readonly MachineId[]; readonly isBraked: boolean },
  ): boolean {
    const { clock, machineLeaseMs } = this.#ports;
    const nowMs = clock.monotonicMs();
    const away = [...this.#together].filter((id) => !machines.has(id));
    if (away.length < this.#together.size) this.#returningUntilMs = nowMs + machineLeaseMs + silenceMarginMs;
    const isReturning = nowMs < this.#returningUntilMs;
    this.#together = new Set(isBraked ? lost : isReturning ? away : []);
    return isReturning;
  }

  /** Whether there would be too many if those that were not heard of lately are lost, too. */
  async #mayBeMany(
    picture: RegistryPicture,
    given: {
      readonly fresh: readonly MachineId[];
      readonly lost: readonly MachineId[];
      readonly machines: number;
      /** Not there, and perhaps on their way back. */
      readonly unheard: number;
    },
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock, brakePercent, machineLeaseMs } = this.#ports;
    if (given.fresh.length === 0 || brakePercent === 100) return false;
    const { unheard } = given;
    if (this.#areMany(given.lost.length + unheard, given.machines + unheard)) return true;
    const nowMs = clock.monotonicMs();
    this.#silentSinceMs ??= nowMs;
    // Whoever is silent for longer is neither heard of nor lost: its lease is another than this machine's settings say
    if (nowMs > this.#silentSinceMs + machineLeaseMs / 2 + silenceMarginMs) return false;
    if (this.#asked === undefined || nowMs >= this.#asked.atMs + askAgainMs) {
      this.#asked = { atMs: nowMs, silent: await this.#askAfter(picture, signal) };
    }
    return this.#areMany(given.lost.length + this.#asked.silent, given.machines);
  }

  /** How many of those that are there have not been heard of for half a lease, which is more than one renewal. */
  async #askAfter({ machines }: RegistryPicture, signal: AbortSignal): Promise<number> {
    const { mirror, registry, machineLeaseMs } = this.#ports;
    const leases = [...machines.keys()].flatMap((id) => mirror.get(keys.machine(id))?.lease ?? []);
    const step = Math.max(1, Math.ceil(leases.length / mostAsked));
    const turn = this.#turn++ % step;
    const asked = leases.filter((_, index) => index % step === turn);
    const left = await Promise.all(asked.map((lease) => registry.leaseLeftMs(lease, signal)));
    const silent = left.filter((ms) => ms < machineLeaseMs / 2).length;
    return asked.length === 0 ? 0 : Math.round((silent * leases.length) / asked.length);
  }

  #recentlyGivenUp(nowMs: number): readonly { readonly id: MachineId; readonly atMs: number }[] {
    return [...this.#givenUp].flatMap(([id, times]) => {
      const atMs = times.at(-1) ?? -Infinity;
      return atMs + togetherMs > nowMs ? [{ id, atMs }] : [];
    });
  }

  /** Once, however often a pass has to be repeated. */
  #giveUp(id: MachineId, nowMs: number): void {
    if (this.#away.has(id)) return;
    this.#away.add(id);
    for (const [each, times] of this.#givenUp) {
      const kept = times.filter((atMs) => atMs + flapMemoryMs > nowMs);
      if (kept.length === 0) this.#givenUp.delete(each);
      else this.#givenUp.set(each, kept);
    }
    this.#givenUp.set(id, [...(this.#givenUp.get(id) ?? []), nowMs]);
  }

  /** Lately. An earlier leader's count goes on where it has ended; what it gave up without a rest is one. */
  #lossesOf(id: MachineId, settings: MachineSettings | undefined): number {
    const nowMs = this.#ports.clock.monotonicMs();
    const times = (this.#givenUp.get(id) ?? []).filter((atMs) => atMs + flapMemoryMs > nowMs);
    if (times.length === 0) this.#givenUp.set(id, [nowMs]);
    return Math.max(1, times.length, (settings?.rests?.losses ?? 0) + (settings?.rests === undefined ? 0 : 1));
  }

  /** Keeps in mind what machines were called while they were there, and who is there again. */
  #look({ machines, manifests }: RegistryPicture): void {
    if (machines !== this.#names) {
      for (const [id, { hostname }] of this.#names) if (!machines.has(id)) this.#lostNames.set(id, hostname);
    }
    this.#names = machines;
    for (const id of this.#lostNames.keys()) if (machines.has(id) || !manifests.has(id)) this.#lostNames.delete(id);
    for (const id of this.#away) if (machines.has(id)) this.#away.delete(id);
  }

  #inWords(machines: readonly MachineId[]): string {
    const names = machines.slice(0, maxNamed).map((id) => {
      const name = this.#lostNames.get(id);
      return name === undefined ? shortId(id) : `${name} (${shortId(id)})`;
    });
    const more = machines.length - names.length;
    return `${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  }
}

/** As commands take it. */
function shortId(id: MachineId): string {
  return id.slice(0, 8);
}

/** How many have a manifest and nothing else, and count neither as there nor as gone: this leader has yet to hear of them. */
function unheardOf(
  { manifests, machines, statuses, settings, unreadable }: RegistryPicture,
  standing: ReadonlyMap<MachineId, Standing>,
): number {
  const isThere = (id: MachineId): boolean => machines.has(id) || statuses.has(id) || unreadable.has(id);
  let found = 0;
  for (const [id, { givenUp }] of manifests) {
    if (givenUp === true || isThere(id) || settings.get(id)?.cordoned === true) continue;
    if (standing.get(id) === "presumed") found++;
  }
  return found;
}

/** One that an operator has cordoned is not waited for. */
function isAbsent(id: MachineId, { settings }: RegistryPicture, standing: ReadonlyMap<MachineId, Standing>): boolean {
  return !standing.has(id) && settings.get(id)?.cordoned !== true;
}
