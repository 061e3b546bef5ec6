// What may happen to a cluster between two passes, as data, and what the cluster is then. For tests that follow one over
// several passes; random ones are made in random.ts.
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { CandidateMachine, ClusterState, Placement, WantedUnit } from "../../../agent/domain/placement.ts";
import { applied } from "./cluster.ts";
import { plainDecisions } from "./plain.ts";

/** A change of a machine or a unit that is not there changes nothing, except that it comes by `machine` or `unit`. */
export type ClusterChange =
  /** It comes; one that is there already is all as given now. */
  | { readonly kind: "machine"; readonly machine: CandidateMachine }
  /** What is placed on it stays on record. */
  | { readonly kind: "machine-gone"; readonly id: MachineId }
  | { readonly kind: "machine-standing"; readonly id: MachineId; readonly is: Pick<CandidateMachine, "standing"> }
  | { readonly kind: "machine-metadata"; readonly id: MachineId; readonly is: Pick<CandidateMachine, "metadata"> }
  | {
      readonly kind: "machine-capacity";
      readonly id: MachineId;
      readonly is: Pick<CandidateMachine, "memoryBytes" | "milliCpus">;
    }
  /** Cordoned, drained, with another budget, or neither any more. */
  | {
      readonly kind: "machine-service";
      readonly id: MachineId;
      readonly is: Pick<CandidateMachine, "cordoned" | "drain">;
    }
  /** It comes; one that is there already is all as given now. */
  | { readonly kind: "unit"; readonly unit: WantedUnit }
  | { readonly kind: "unit-gone"; readonly name: UnitName }
  | { readonly kind: "unit-options"; readonly name: UnitName; readonly is: Pick<WantedUnit, "options"> }
  | { readonly kind: "unit-target"; readonly name: UnitName; readonly is: Pick<WantedUnit, "target"> }
  /** All that is placed on a machine, and all that is leaving it; the machine may be gone. */
  | {
      readonly kind: "placed";
      readonly on: MachineId;
      readonly placed: readonly UnitName[];
      readonly leaving: readonly UnitName[];
    }
  /** All that is seen running on a machine. */
  | { readonly kind: "running"; readonly on: MachineId; readonly running: readonly UnitName[] }
  | { readonly kind: "rebalance"; readonly moves: number }
  /**
   * What is decided for the cluster as it is now has been carried out, by the machines in `on` or by all. The others
   * have not begun: what shall leave them is leaving, what shall come has not come.
   */
  | { readonly kind: "carried-out"; readonly on?: readonly MachineId[] };

export function applyChange(state: ClusterState, change: ClusterChange): ClusterState {
  switch (change.kind) {
    case "machine":
      return { ...state, machines: [...without(state.machines, change.machine.id), change.machine] };
    case "machine-gone":
      return { ...state, machines: without(state.machines, change.id) };
    case "machine-standing":
    case "machine-metadata":
      return withMachine(state, change.id, (machine) => ({ ...machine, ...change.is }));
    case "machine-capacity":
      return withMachine(state, change.id, (machine) => {
        const { memoryBytes: _memory, milliCpus: _cpus, ...rest } = machine;
        return { ...rest, ...change.is };
      });
    case "machine-service":
      return withMachine(state, change.id, (machine) => {
        const { cordoned: _cordoned, drain: _drain, ...rest } = machine;
        return { ...rest, ...change.is };
      });
    case "unit":
      return {
        ...state,
        wanted: [...state.wanted.filter((unit) => unit.name !== change.unit.name), change.unit],
      };
    case "unit-gone":
      return { ...state, wanted: state.wanted.filter((unit) => unit.name !== change.name) };
    case "unit-options":
    case "unit-target": {
      const changed = state.wanted.map((unit) => (unit.name === change.name ? { ...unit, ...change.is } : unit));
      return { ...state, wanted: changed };
    }
    case "placed":
      return {
        ...state,
        placements: withPlacements(state.placements, change.on, change.placed),
        leaving: withPlacements(state.leaving, change.on, change.leaving),
      };
    case "running":
      return { ...state, running: withPlacements(state.running, change.on, change.running) };
    case "rebalance":
      return { ...state, rebalance: change.moves };
    case "carried-out":
      return carriedOut(state, change.on);
  }
}

function without(machines: readonly CandidateMachine[], id: MachineId): readonly CandidateMachine[] {
  return machines.filter((machine) => machine.id !== id);
}

function withMachine(
  state: ClusterState,
  id: MachineId,
  changed: (machine: CandidateMachine) => CandidateMachine,
): ClusterState {
  return { ...state, machines: state.machines.map((machine) => (machine.id === id ? changed(machine) : machine)) };
}

function withPlacements(
  placements: readonly Placement[] | undefined,
  on: MachineId,
  names: readonly UnitName[],
): readonly Placement[] {
  return [...(placements ?? []).filter((each) => each.on !== on), ...names.map((unit) => ({ unit, on }))];
}

function carriedOut(state: ClusterState, on: readonly MachineId[] | undefined): ClusterState {
  const then = applied(state, plainDecisions(state)).placements;
  const places = new Set([...state.placements, ...(state.leaving ?? []), ...then].map((each) => each.on));
  const namesOn = (placements: readonly Placement[] | undefined, machine: MachineId): readonly UnitName[] =>
    (placements ?? []).flatMap((each) => (each.on === machine ? [each.unit] : []));
  let after = state;
  for (const machine of places) {
    const shall = namesOn(then, machine);
    const had = namesOn(state.placements, machine);
    const leaving = namesOn(state.leaving, machine);
    const change: ClusterChange =
      on === undefined || on.includes(machine)
        ? { kind: "placed", on: machine, placed: shall, leaving: [] }
        : {
            kind: "placed",
            on: machine,
            placed: had.filter((name) => shall.includes(name)),
            leaving: [...new Set([...leaving, ...had])].filter((name) => !shall.includes(name)),
          };
    after = applyChange(after, change);
  }
  return after;
}
