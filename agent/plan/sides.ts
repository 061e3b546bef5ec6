// The cluster as it is and as a commit would have it, both as placement looks at them. Given to plan.ts.
import { type UnitName, byName } from "../domain/names.ts";
import { type ClusterState, type Placement, undecidable } from "../domain/placement.ts";
import type { ExportedHold, ExportedMachine, ExportedState, ExportedUnit } from "../domain/plan.ts";
import type { TargetState, Unit } from "../domain/unit.ts";
import { unitExporter } from "../text/exported-unit.ts";

/** A unit on one side, with the target that counts. */
export interface SideUnit extends ExportedUnit {
  readonly effective: TargetState;
  readonly hold?: ExportedHold;
}

export interface Side {
  /** Templates, too; in name order. */
  readonly units: ReadonlyMap<UnitName, SideUnit>;
  readonly cluster: ClusterState;
  /** Of which nothing is decided: they stay where they are. */
  readonly undecided: ReadonlySet<UnitName>;
}

/** The units of a commit, as far as a plan looks at them. */
export interface CommitUnits {
  readonly units: ReadonlyMap<UnitName, Unit>;
  readonly templates: ReadonlyMap<UnitName, Unit>;
}

/** As the cluster is, by its adopted commit, submitted units and holds. */
export function sideBefore(state: ExportedState): Side {
  return sideOf(state, state.units);
}

/** The same machines with the commit's units. A submitted unit gives way to one of the commit; holds stay in force. */
export function sideAfter(state: ExportedState, { units, templates }: CommitUnits): Side {
  const submitted = state.units.filter(
    ({ name, source }) => source === "submitted" && !units.has(name) && !templates.has(name),
  );
  const exportUnit = unitExporter();
  const own = [...units.values()].map(exportUnit);
  const patterns = [...templates.values()].map((unit) => ({ ...exportUnit(unit), template: true as const }));
  return sideOf(state, [...own, ...patterns, ...submitted]);
}

function sideOf(state: ExportedState, units: readonly ExportedUnit[]): Side {
  const holds = new Map(state.holds.map((hold) => [hold.unit, hold]));
  const all = units.map((unit): SideUnit => {
    // A hold is a word on the repository's unit alone
    const hold = unit.source === "git" && unit.template !== true ? holds.get(unit.name) : undefined;
    return { ...unit, effective: hold?.target ?? unit.target, ...(hold === undefined ? {} : { hold }) };
  });
  all.sort((a, b) => byName(a.name, b.name));
  const wanted = all.flatMap(({ name, effective, options, template }) =>
    template === true ? [] : [{ name, target: effective, options }],
  );
  return {
    units: new Map(all.map((unit) => [unit.name, unit])),
    cluster: { ...clusterOf(state), wanted },
    undecided: undecidable(all, new Set(state.unknown)),
  };
}

function clusterOf({ machines }: ExportedState): Omit<ClusterState, "wanted"> {
  const listed = (of: (machine: ExportedMachine) => readonly UnitName[]): readonly Placement[] =>
    machines.flatMap((machine) => of(machine).map((unit) => ({ unit, on: machine.id })));
  return {
    machines: machines.flatMap(({ id, standing, metadata, memoryBytes, milliCpus, cordoned, rests }) =>
      standing === "gone"
        ? []
        : [
            {
              ...{ id, standing, metadata },
              ...(memoryBytes === undefined ? {} : { memoryBytes }),
              ...(milliCpus === undefined ? {} : { milliCpus }),
              ...(cordoned === undefined ? {} : { cordoned }),
              ...(rests === undefined ? {} : { rests }),
            },
          ],
    ),
    placements: listed(({ units }) => units),
    leaving: listed(({ leaving }) => leaving),
    running: listed(({ running }) => running),
  };
}
