// What was so before a pass: where the manifests have each unit, where it was told to leave, where it was seen. Given to the
// steps of this room. Kept by machine, as it is told, and by unit, as it is asked for.
import { byName, type MachineId, type UnitName } from "../domain/names.ts";
import type { HostIndex } from "./machines.ts";

const nobody: readonly never[] = [];

export class Before {
  readonly #placed = new PlacesByUnit();
  readonly #leaving = new PlacesByUnit();
  readonly #parting = new PlacesByUnit();
  readonly #running = new PlacesByUnit();
  readonly #listed = new PlacesByUnit();
  readonly #hosts: HostIndex;

  constructor(hosts: HostIndex) {
    this.#hosts = hosts;
  }

  /** Returns the units whose places changed. */
  place(machine: MachineId, units: readonly UnitName[]): ReadonlySet<UnitName> {
    return this.#placed.set(machine, units);
  }

  leave(machine: MachineId, units: readonly UnitName[]): ReadonlySet<UnitName> {
    return this.#leaving.set(machine, units);
  }

  part(machine: MachineId, units: readonly UnitName[]): ReadonlySet<UnitName> {
    return this.#parting.set(machine, units);
  }

  run(machine: MachineId, units: readonly UnitName[]): ReadonlySet<UnitName> {
    return this.#running.set(machine, units);
  }

  list(machine: MachineId, units: readonly UnitName[]): void {
    this.#listed.set(machine, units);
  }

  placedOn(machine: MachineId): ReadonlySet<UnitName> {
    return this.#placed.on(machine);
  }

  /** Every unit that is placed anywhere, wanted or not. */
  placedUnits(): Iterable<UnitName> {
    return this.#placed.units();
  }

  /** Where a unit is placed, best evidence first: seen running, present, presumed, gone; then by id. */
  owners(unit: UnitName): readonly MachineId[] {
    const ids = this.#placed.of(unit);
    if (ids.length < 2) return ids;
    const weight = (id: MachineId): number => {
      const host = this.#hosts.byId.get(id);
      if (host === undefined) return 3;
      if (this.#running.on(id).has(unit)) return 0;
      return host.present ? 1 : 2;
    };
    return [...ids].sort((a, b) => weight(a) - weight(b) || byName(a, b));
  }

  /** Where it was told to leave, may still be, and may go back to; by id. */
  leaving(unit: UnitName): readonly MachineId[] {
    const parting = this.#parting.of(unit);
    const leaving = this.#leaving.of(unit);
    return parting.length === 0 ? leaving : leaving.filter((id) => !parting.includes(id));
  }

  /** Whether it has still to be down somewhere before it can come anywhere else. */
  isStillLeaving(unit: UnitName): boolean {
    return this.#leaving.of(unit).length > 0;
  }

  /** Every machine, gone or not, that is told of it in any way or whose status shows it; by id. */
  concerned(unit: UnitName): readonly MachineId[] {
    const all = [...this.#placed.of(unit), ...this.#leaving.of(unit), ...this.#listed.of(unit)];
    return all.length < 2 ? all : [...new Set(all)].sort(byName);
  }
}

class PlacesByUnit {
  readonly #byMachine = new Map<MachineId, ReadonlySet<UnitName>>();
  readonly #byUnit = new Map<UnitName, readonly MachineId[]>();

  set(machine: MachineId, units: readonly UnitName[]): ReadonlySet<UnitName> {
    const before = this.on(machine);
    const now = new Set(units);
    const changed = new Set<UnitName>();
    for (const unit of before) {
      if (now.has(unit)) continue;
      changed.add(unit);
      const left = this.of(unit).filter((id) => id !== machine);
      if (left.length === 0) this.#byUnit.delete(unit);
      else this.#byUnit.set(unit, left);
    }
    for (const unit of now) {
      if (before.has(unit)) continue;
      changed.add(unit);
      this.#byUnit.set(unit, [...this.of(unit), machine].sort(byName));
    }
    if (now.size === 0) this.#byMachine.delete(machine);
    else this.#byMachine.set(machine, now);
    return changed;
  }

  on(machine: MachineId): ReadonlySet<UnitName> {
    return this.#byMachine.get(machine) ?? noUnits;
  }

  of(unit: UnitName): readonly MachineId[] {
    return this.#byUnit.get(unit) ?? nobody;
  }

  units(): Iterable<UnitName> {
    return this.#byUnit.keys();
  }
}

const noUnits: ReadonlySet<UnitName> = new Set();
