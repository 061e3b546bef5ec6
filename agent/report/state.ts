// The picture of the cluster as an exported state, from which plans are made elsewhere. Given to the API; pure.
import type { ClusterPicture } from "../domain/cluster.ts";
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import type { ClusterState, Placement } from "../domain/placement.ts";
import { type ExportedMachine, type ExportedState, type ExportedUnit, stateVersion } from "../domain/plan.ts";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { Unit, WantedState } from "../domain/unit.ts";
import { commitMissing } from "./report.ts";
import { unitExporter } from "../text/exported-unit.ts";

/**
 * Refused where the whole is not known, for a plan from a part would be wrong: "commit-missing", and "registry-unreachable"
 * while the picture is an old one.
 */
export function reportState(picture: ClusterPicture, atMs: number): Checked<ExportedState> {
  const { desired, placing, revision } = picture;
  if (picture.stale === true)
    return invalid(
      new Problem("registry-unreachable", "Cannot tell the state of the cluster while the registry is away", {
        hint: "flotilla status shows what this machine knows by itself",
      }),
    );
  if (desired === undefined || placing === undefined) return invalid(commitMissing(revision));
  const { adopted } = revision;
  return valid({
    version: stateVersion,
    atMs,
    ...(adopted === undefined ? {} : { adopted: { commit: adopted.commit, ref: adopted.ref } }),
    machines: machinesOf(picture, placing),
    units: unitsOf(desired, placing),
    holds: [...picture.holds.values()]
      .sort((a, b) => byName(a.unit, b.unit))
      .map(({ unit, target, by, why }) => ({ unit, target, by, ...(why === undefined ? {} : { why }) })),
    unknown: [...desired.unknown].sort(byName),
  });
}

/** What a hold says stands by itself: here is what the unit's source says. */
function unitsOf(desired: WantedState, { wanted }: ClusterState): readonly ExportedUnit[] {
  const placed = new Map(wanted.map(({ name, options }) => [name, options]));
  const exportUnit = unitExporter();
  const exported = (unit: Unit): ExportedUnit => ({
    ...exportUnit(unit),
    target: desired.held.get(unit.name)?.declared ?? unit.target,
    options: placed.get(unit.name) ?? unit.options,
  });
  const all = [
    ...[...desired.units.values()].map(exported),
    ...[...desired.templates.values()].map((unit) => ({ ...exported(unit), template: true as const })),
  ];
  return all.sort((a, b) => byName(a.name, b.name));
}

function machinesOf(picture: ClusterPicture, placing: ClusterState): readonly ExportedMachine[] {
  const candidates = new Map(placing.machines.map((machine) => [machine.id, machine]));
  const [units, leaving, running] = [placing.placements, placing.leaving, placing.running].map(byMachine);
  const ids = new Set([...candidates.keys(), ...picture.manifests.keys()]);
  return [...ids].sort(byName).map((id) => {
    const { standing, metadata, memoryBytes, milliCpus, cordoned, rests } = candidates.get(id) ?? gone;
    return {
      id,
      hostname: picture.machines.get(id)?.hostname ?? "",
      standing,
      metadata,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(milliCpus === undefined ? {} : { milliCpus }),
      ...(cordoned === undefined ? {} : { cordoned }),
      ...(rests === undefined ? {} : { rests }),
      units: units?.get(id) ?? [],
      leaving: leaving?.get(id) ?? [],
      running: running?.get(id) ?? [],
    };
  });
}

const gone: Pick<ExportedMachine, "standing" | "metadata" | "memoryBytes" | "milliCpus" | "cordoned" | "rests"> = {
  standing: "gone",
  metadata: {},
};

function byMachine(placements: readonly Placement[] | undefined): ReadonlyMap<MachineId, readonly UnitName[]> {
  const found = new Map<MachineId, UnitName[]>();
  for (const { unit, on } of placements ?? []) {
    const known = found.get(on);
    if (known === undefined) found.set(on, [unit]);
    else known.push(unit);
  }
  for (const units of found.values()) units.sort(byName);
  return found;
}
