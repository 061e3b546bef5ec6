// Units on their way because a machine is drained, or for loads to be more even: how many more may go now, and when a drain
// has come to its end. Given to engine.ts, which carries it out. Remembers what is on its way for one tenure; a new leader
// counts what machines are still told to let go of.
import type { Drain } from "../domain/machine.ts";
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import type { Decision } from "../domain/placement.ts";
import type { UnitStatus } from "../domain/status.ts";
import type { WantedState } from "../domain/unit.ts";
import type { Board, Outcome } from "../schedule/schedule.ts";
import { keys } from "../text/values.ts";
import type { RegistryPicture } from "./picture.ts";

/** Units of one machine that are on their way at the same time. */
export const drainStep = 5;
/** Units that an event or a reason names. */
const maxNamed = 8;
/** Of a drain's reason, as the schema has it. */
const maxReasonChars = 1_024;
/** A service that systemd has started so often and starts again is not coming up. */
const hopelessRestarts = 3;
/**
 * So long, in ms, a start is waited for before the next units go: systemd's own bound unless a unit sets another. A oneshot
 * that works for hours is starting all the while, and holds up no drain.
 */
const longestStartMs = 90_000;

interface OnWay {
  readonly from: MachineId;
  /** Whether it ran well where it was: only then its failing elsewhere says something. */
  readonly wasUp: boolean;
  /** Wall ms when it was first seen starting on its new machine; undefined: it is not, or no longer. */
  startingMs?: number | undefined;
}

/** A drain that has come to its end. */
export interface DrainEnd {
  readonly machine: MachineId;
  readonly drain: Drain;
}

export interface Budgets {
  readonly drains: ReadonlyMap<MachineId, number>;
  /** Units that may be moved for balance. */
  readonly rebalance: number;
  /** Wall ms of the next deadline or of the next move for balance; Infinity for none. */
  readonly dueMs: number;
}

export class Moves {
  readonly #onWay = new Map<UnitName, OnWay>();
  /** Time between two moves for balance; Infinity: there are none. */
  readonly #balanceEveryMs: number;
  #balancedMs: number;
  readonly #board: Pick<Board, "concerned">;

  /** `perMinute`: units moved for balance; 0: none. */
  constructor(
    board: Pick<Board, "concerned">,
    { perMinute, nowMs }: { readonly perMinute: number; readonly nowMs: number },
  ) {
    this.#board = board;
    this.#balanceEveryMs = perMinute === 0 ? Infinity : 60_000 / perMinute;
    this.#balancedMs = nowMs;
  }

  /**
   * `settling`: machines may still be coming back; nothing is moved for balance then. As long as the registry is marked as put
   * back nothing moves at all: where it comes it might have to wait for the leader's word.
   */
  budgets(
    picture: RegistryPicture,
    { desired, nowMs, settling }: { readonly desired: WantedState; readonly nowMs: number; readonly settling: boolean },
  ): Budgets {
    let dueMs = Infinity;
    for (const [unit, way] of this.#onWay) {
      if (this.#hasArrived(picture, { unit, way, desired, nowMs })) this.#onWay.delete(unit);
      else if (way.startingMs !== undefined) dueMs = Math.min(dueMs, way.startingMs + longestStartMs);
    }
    const putBack = isPutBack(picture);
    const drains = new Map<MachineId, number>();
    for (const { id, drain } of moving(picture)) {
      if (drain.deadlineMs !== undefined) dueMs = Math.min(dueMs, drain.deadlineMs);
      const isOver = drain.deadlineMs !== undefined && drain.deadlineMs <= nowMs;
      const free = isOver || putBack ? 0 : drainStep - this.#leaving(picture, id).size;
      if (free > 0) drains.set(id, free);
    }
    const nextMs = this.#balancedMs + this.#balanceEveryMs;
    const isQuiet = drains.size === 0 && this.#onWay.size === 0 && !settling && !putBack;
    if (isQuiet && nextMs > nowMs) dueMs = Math.min(dueMs, nextMs);
    return { drains, rebalance: isQuiet && nextMs <= nowMs ? 1 : 0, dueMs };
  }

  /** Units that were moved for balance and are on their way, by the machine that they leave. */
  parting(picture: RegistryPicture): ReadonlyMap<MachineId, readonly UnitName[]> {
    const found = new Map<MachineId, UnitName[]>();
    for (const [unit, { from }] of this.#onWay) {
      if (isDrained(picture, from)) continue; // what it is cordoned for holds it off
      const units = found.get(from);
      if (units === undefined) found.set(from, [unit]);
      else units.push(unit);
    }
    return found;
  }

  /** What a pass has set on its way. */
  note(picture: RegistryPicture, { outcome, nowMs }: { readonly outcome: Outcome; readonly nowMs: number }): void {
    for (const { unit, from } of outcome.moved) {
      const status = statusOf(picture, from, unit);
      this.#onWay.set(unit, { from, wasUp: status?.active === "active" });
      if (!isDrained(picture, from)) this.#balancedMs = nowMs;
    }
  }

  /**
   * The drains that end with this pass. `decide`: why a unit is where it is. While machines may still be coming back
   * nothing is given up for want of room.
   */
  ended(
    picture: RegistryPicture,
    {
      desired,
      outcome,
      nowMs,
      settling,
      waiting,
      decide,
    }: {
      readonly desired: WantedState;
      readonly outcome: Outcome;
      readonly nowMs: number;
      readonly settling: boolean;
      /** Units of which nothing is decided for a while: what is left because of them is not stuck. */
      readonly waiting: ReadonlySet<UnitName>;
      readonly decide: (units: readonly UnitName[]) => readonly Decision[];
    },
  ): readonly DrainEnd[] {
    const ends: DrainEnd[] = [];
    for (const { id, drain } of moving(picture)) {
      const end = (state: "done" | "stopped", because?: string): void => {
        const why = because === undefined ? {} : { because: because.slice(0, maxReasonChars) };
        ends.push({ machine: id, drain: { ...drain, state, ...why } });
      };
      const left = unitsLeft(picture, { machine: id, desired });
      const leaving = this.#leaving(picture, id);
      const failed = [...leaving].flatMap((unit) => this.#failure(picture, unit) ?? []);
      if (failed.length > 0) end("stopped", failed.join("; "));
      else if (left.length === 0 && leaving.size === 0) end("done");
      else if (drain.deadlineMs !== undefined && drain.deadlineMs <= nowMs) {
        end("stopped", `the deadline has passed, and these were left: ${named(left)}`);
      } else if (
        leaving.size === 0 &&
        !settling &&
        !isPutBack(picture) &&
        picture.machines.has(id) &&
        !left.some((unit) => waiting.has(unit))
      ) {
        const stuck = outcome.stuck.flatMap(({ unit, on }) => (on === id ? [unit] : []));
        end("stopped", whyStuck({ left, decisions: decide(stuck.slice(0, maxNamed)), more: stuck.length - maxNamed }));
      }
    }
    return ends;
  }

  /** Units that have set out from there and are not up elsewhere yet, or that it is told to let go of and still has. */
  #leaving(picture: RegistryPicture, machine: MachineId): ReadonlySet<UnitName> {
    const found = new Set<UnitName>();
    for (const [unit, { from }] of this.#onWay) if (from === machine) found.add(unit);
    for (const { name, target } of picture.manifests.get(machine)?.units ?? []) {
      if (target === "released") found.add(name);
    }
    return found;
  }

  #hasArrived(
    picture: RegistryPicture,
    {
      unit,
      way,
      desired,
      nowMs,
    }: { readonly unit: UnitName; readonly way: OnWay; readonly desired: WantedState; readonly nowMs: number },
  ): boolean {
    const { from, wasUp } = way;
    const before = way.startingMs;
    way.startingMs = undefined;
    const wanted = desired.units.get(unit);
    if (wanted === undefined || wanted.target === "inactive") return true;
    const place = this.#placeOf(picture, unit);
    if (place === undefined) return false;
    if (place.machine === from) return true; // it stays after all
    const { status } = place;
    if (status === undefined || status.hash !== wanted.hash) return false;
    if (wanted.target === "loaded") return true;
    const isFailed = status.active === "failed" || (status.started === true && isHopeless(status));
    if (status.active === "activating" && !isFailed) {
      way.startingMs = before ?? nowMs;
      return nowMs >= way.startingMs + longestStartMs;
    }
    if (status.started !== true) return false;
    // A failed one is kept in mind until its drain has ended
    return !isFailed || !isDrained(picture, from) || !wasUp;
  }

  /** The machine that is told to have the unit. */
  #placeOf(
    picture: RegistryPicture,
    unit: UnitName,
  ): { readonly machine: MachineId; readonly status: UnitStatus | undefined } | undefined {
    for (const machine of this.#board.concerned(unit)) {
      const entry = picture.manifests.get(machine)?.units.find(({ name }) => name === unit);
      if (entry === undefined || entry.target === "released") continue;
      return { machine, status: statusOf(picture, machine, unit) };
    }
    return undefined;
  }

  #failure(picture: RegistryPicture, unit: UnitName): string | undefined {
    const way = this.#onWay.get(unit);
    const place = this.#placeOf(picture, unit);
    if (way?.wasUp !== true || place?.status === undefined || place.machine === way.from) return undefined;
    const { active, result } = place.status;
    if (active !== "failed" && !isHopeless(place.status)) return undefined;
    this.#onWay.delete(unit);
    const where = picture.machines.get(place.machine)?.hostname ?? place.machine.slice(0, 8);
    return `${unit} ran here and does not come up on ${where} (${result || active})`;
  }
}

/** It crashes as often as systemd starts it. */
function isHopeless({ active, sub, restarts }: UnitStatus): boolean {
  return active === "activating" && sub === "auto-restart" && restarts >= hopelessRestarts;
}

function isPutBack({ modified }: RegistryPicture): boolean {
  return modified.has(keys.restored);
}

function* moving({ settings }: RegistryPicture): Iterable<{ readonly id: MachineId; readonly drain: Drain }> {
  for (const [id, { cordoned, drain }] of settings) {
    if (cordoned === true && drain?.state === "moving") yield { id, drain };
  }
}

function isDrained({ settings }: RegistryPicture, machine: MachineId): boolean {
  return settings.get(machine)?.drain?.state === "moving";
}

/** What is on the machine and has to leave it when it is drained; in name order. */
function unitsLeft(
  { manifests }: RegistryPicture,
  { machine, desired }: { readonly machine: MachineId; readonly desired: WantedState },
): readonly UnitName[] {
  const entries = manifests.get(machine)?.units ?? [];
  return entries.flatMap(({ name }) => (desired.units.get(name)?.options.global === true ? [] : [name])).sort(byName);
}

function statusOf({ statuses }: RegistryPicture, machine: MachineId, unit: UnitName): UnitStatus | undefined {
  return statuses.get(machine)?.units.find(({ name }) => name === unit);
}

function whyStuck({
  left,
  decisions,
  more,
}: {
  readonly left: readonly UnitName[];
  readonly decisions: readonly Decision[];
  readonly more: number;
}): string {
  const reasons = decisions.flatMap((each) => {
    if (each.kind !== "keep" || each.refusals === undefined) return [];
    const rules = each.refusals.map(({ rule, machines, example }) => `${rule} on ${machines}: ${example}`);
    return [`no other machine takes ${each.unit} (${rules.join("; ")})`];
  });
  if (reasons.length === 0) return `nothing can be decided about ${named(left)}`;
  return more > 0 ? `${reasons.join(", ")}, and ${more} more` : reasons.join(", ");
}

/** e.g. `a.service, b.service and 3 more`. */
export function named(units: readonly UnitName[]): string {
  const first = units.slice(0, maxNamed).join(", ");
  return units.length > maxNamed ? `${first} and ${units.length - maxNamed} more` : first;
}
