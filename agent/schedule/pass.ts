// What one pass works on: the linked units, the machines, the board they are put on, and what was so before.
// Given to the steps of this room (keep, settle, report); lives as long as one call of `schedule`.
import { byName, type MachineId, type UnitName } from "../domain/names.ts";
import type { ClusterState, Placement } from "../domain/placement.ts";
import { Board } from "./board.ts";
import { followOrder } from "./follow.ts";
import { type HostIndex, indexHosts } from "./machines.ts";
import { type ActiveUnit, linkUnits } from "./units.ts";

export interface Pass {
  readonly index: HostIndex;
  /** In name order. */
  readonly units: readonly ActiveUnit[];
  readonly named: ReadonlyMap<string, ActiveUnit>;
  /** In name order, but each after those that it follows: the order of every decision. */
  readonly order: readonly ActiveUnit[];
  readonly cycles: ReadonlyMap<ActiveUnit, readonly ActiveUnit[]>;
  /** Where a unit was placed before this pass, best evidence first: seen running, present, presumed, gone; then by id. */
  readonly owners: ReadonlyMap<UnitName, readonly MachineId[]>;
  /** Where it was told to leave and may still be. */
  readonly leaving: ReadonlyMap<UnitName, readonly MachineId[]>;
  readonly board: Board;
  /** Why a unit could not stay where it was, in words. */
  readonly reasons: Map<ActiveUnit, string>;
}

export function openPass(state: ClusterState): Pass {
  const index = indexHosts(state.machines);
  const { units, named } = linkUnits(state.wanted);
  const { order, cycles } = followOrder(units, (unit) => unit.follows);
  const running = groupByUnit(state.running ?? []);
  const owners = groupByUnit(state.placements);
  for (const [unit, ids] of owners) {
    if (ids.length < 2) continue;
    const seen = new Set(running.get(unit));
    const weight = (id: MachineId): number => {
      const host = index.byId.get(id);
      if (host === undefined) return 3;
      if (seen.has(id)) return 0;
      return host.present ? 1 : 2;
    };
    ids.sort((a, b) => weight(a) - weight(b));
  }
  const leaving = groupByUnit(state.leaving ?? []);
  return { index, units, named, order, cycles, owners, leaving, board: new Board(), reasons: new Map() };
}

/** Each unit's machines, each once, in id order. */
function groupByUnit(placements: readonly Placement[]): Map<UnitName, MachineId[]> {
  const groups = new Map<UnitName, MachineId[]>();
  for (const { unit, on } of placements) {
    const group = groups.get(unit);
    if (group === undefined) groups.set(unit, [on]);
    else group.push(on);
  }
  for (const [unit, group] of groups) if (group.length > 1) groups.set(unit, [...new Set(group)].sort(byName));
  return groups;
}
