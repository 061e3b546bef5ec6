// What is where while a pass goes on, and whether a unit may join it. Given to schedule.ts and plays no part of its own:
// it neither chooses nor explains. It lives as long as one pass.
import type { RefusalRule } from "../domain/placement.ts";
import type { Host } from "./machines.ts";
import type { ActiveUnit, Pattern } from "./units.ts";

export class Board {
  readonly #loads: number[] = [];
  /** By unit index: the machine of a unit that is not global. */
  readonly #where: (Host | undefined)[] = [];
  readonly #globals = new Map<ActiveUnit, Set<Host>>();
  /** For each pattern, by machine: units there whose name matches it, and units there that declare it. */
  readonly #matching: (Map<Host, number> | undefined)[] = [];
  readonly #declaring: (Map<Host, number> | undefined)[] = [];

  put(unit: ActiveUnit, host: Host): void {
    if (unit.options.global) this.#hostsOf(unit).add(host);
    else this.#where[unit.index] = host;
    this.#count(unit, host, 1);
  }

  take(unit: ActiveUnit, host: Host): void {
    if (unit.options.global) this.#hostsOf(unit).delete(host);
    else this.#where[unit.index] = undefined;
    this.#count(unit, host, -1);
  }

  load(host: Host): number {
    return this.#loads[host.index] ?? 0;
  }

  /** The machine of a unit that is not global. */
  hostOf(unit: ActiveUnit): Host | undefined {
    return this.#where[unit.index];
  }

  isOn(unit: ActiveUnit, host: Host): boolean {
    return unit.options.global ? this.#globals.get(unit)?.has(host) === true : this.#where[unit.index] === host;
  }

  isPlaced(unit: ActiveUnit): boolean {
    return unit.options.global ? (this.#globals.get(unit)?.size ?? 0) > 0 : this.#where[unit.index] !== undefined;
  }

  /** The one meaning of conflict, for global units and others (fleet.md 8.3). The unit itself is not on that machine. */
  conflicts(unit: ActiveUnit, host: Host): boolean {
    return (
      unit.declares.some((pattern) => (this.#matching[pattern.index]?.get(host) ?? 0) > 0) ||
      unit.matching.some((pattern) => (this.#declaring[pattern.index]?.get(host) ?? 0) > 0)
    );
  }

  /** The first rule that keeps the unit from joining what is on this machine (fleet.md 8.2, 3 and 4). */
  refusal(unit: ActiveUnit, host: Host): RefusalRule | undefined {
    if (unit.absent !== undefined || unit.follows.some((target) => !this.isOn(target, host))) return "machine-of";
    return this.conflicts(unit, host) ? "conflict" : undefined;
  }

  /** As `refusal`, for a unit that is new there: it must not sit with one that replaces it either. */
  arrivalRefusal(unit: ActiveUnit, host: Host): RefusalRule | undefined {
    const rule = this.refusal(unit, host);
    if (rule !== undefined) return rule;
    return unit.replacedBy.some((other) => this.isOn(other, host)) ? "replaced" : undefined;
  }

  #hostsOf(unit: ActiveUnit): Set<Host> {
    let hosts = this.#globals.get(unit);
    if (hosts === undefined) this.#globals.set(unit, (hosts = new Set()));
    return hosts;
  }

  #count(unit: ActiveUnit, host: Host, by: 1 | -1): void {
    this.#loads[host.index] = this.load(host) + by;
    for (const pattern of unit.matching) tally(this.#matching, pattern, host, by);
    for (const pattern of unit.declares) tally(this.#declaring, pattern, host, by);
  }
}

function tally(counts: (Map<Host, number> | undefined)[], pattern: Pattern, host: Host, by: 1 | -1): void {
  const count = (counts[pattern.index] ??= new Map<Host, number>());
  count.set(host, (count.get(host) ?? 0) + by);
}
