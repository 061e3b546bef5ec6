// Which unit is on which machine, as far as anyone knows: manifests (what was told) laid over statuses (what was seen).
// Inner part of report/.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { Machine } from "../domain/machine.ts";
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import { type Manifest, type ManifestEntry, comparePositions } from "../domain/placement.ts";
import type { HoldReport, MachineReference, UnitReport } from "../domain/report.ts";
import type { MachineStatus, UnitStatus } from "../domain/status.ts";
import type { TargetState } from "../domain/unit.ts";

/** One unit on one machine, with everything that is known of the two. */
export interface Place {
  readonly unit: UnitName;
  readonly machine: MachineId;
  readonly entry: ManifestEntry | undefined;
  readonly seen: UnitStatus | undefined;
  /** Whether the machine has carried out (or is carrying out) the manifest that `entry` is from. */
  readonly upToDate: boolean;
}

/** Every unit that was placed on, or is seen on, some machine; by unit name, then machine id. */
export function allPlaces(picture: ClusterPicture): readonly Place[] {
  return machineIds(picture)
    .flatMap((machine) => placesOn(machine, picture))
    .sort((a, b) => byName(a.unit, b.unit) || byName(a.machine, b.machine));
}

/** Machines that live, or have units on record, in id order. */
export function machineIds(picture: ClusterPicture): readonly MachineId[] {
  const ids = new Set([...picture.machines.keys(), ...picture.manifests.keys(), ...picture.statuses.keys()]);
  return [...ids].sort(byName);
}

/** The same for one unit alone, in order of machine ids. */
export function placesOf(unit: string, picture: ClusterPicture): readonly Place[] {
  return machineIds(picture).flatMap((machine): readonly Place[] => {
    const manifest = picture.manifests.get(machine);
    const status = picture.statuses.get(machine);
    const entry = manifest?.units.find((each) => each.name === unit);
    const seen = status?.units.find((each) => each.name === unit);
    const name = entry?.name ?? seen?.name;
    return name === undefined ? [] : [{ unit: name, machine, entry, seen, upToDate: isUpToDate(manifest, status) }];
  });
}

/** Every unit that was placed on this machine, or is seen there. */
export function placesOn(machine: MachineId, picture: ClusterPicture): readonly Place[] {
  const manifest = picture.manifests.get(machine);
  const status = picture.statuses.get(machine);
  const entries = new Map(manifest?.units.map((entry) => [entry.name, entry]));
  const seen = new Map(status?.units.map((unit) => [unit.name, unit]));
  const upToDate = isUpToDate(manifest, status);
  return [...new Set([...entries.keys(), ...seen.keys()])].map((unit) => ({
    unit,
    machine,
    entry: entries.get(unit),
    seen: seen.get(unit),
    upToDate,
  }));
}

function isUpToDate(manifest: Manifest | undefined, status: MachineStatus | undefined): boolean {
  return manifest !== undefined && status !== undefined && comparePositions(status.seen, manifest) >= 0;
}

/** Whether the place belongs into a listing: not when it was released and nothing is seen there any more. */
export function isOccupied(place: Place): boolean {
  return place.seen !== undefined || isWanted(place);
}

/** Whether the unit is meant to be there. */
export function isWanted(place: Place): boolean {
  return place.entry !== undefined && place.entry.target !== "released";
}

/** fleet's derived state of a unit at its place. `launched` says that a start was asked for, not that it went well. */
export function currentState(place: Place): TargetState {
  if (place.seen === undefined) return "inactive";
  // A start asked for earlier shows in systemd's state while a newer manifest is still on its way
  const started = place.upToDate || place.seen.active !== "inactive";
  return place.entry?.target === "launched" && started ? "launched" : "loaded";
}

/** The machine as others refer to it. */
export function referTo(id: MachineId, machines: ReadonlyMap<MachineId, Machine>): MachineReference {
  const machine = machines.get(id);
  return {
    id,
    ip: machine?.publicIp ?? "",
    hostname: machine?.hostname ?? "",
    alive: machine !== undefined,
  };
}

function told({ entry }: Place): Pick<UnitReport, "target" | "commit" | "source"> {
  if (entry === undefined) return {};
  const { target, source, commit } = entry;
  return { target, source, ...(commit === undefined ? {} : { commit }) };
}

/** An operator's word on a unit, beside the repository's own; undefined when there is none. */
export function describeHold(name: UnitName, { holds, desired }: ClusterPicture): HoldReport | undefined {
  const hold = holds.get(name);
  const declared = desired?.held.get(name)?.declared;
  return hold === undefined ? undefined : { ...hold, ...(declared === undefined ? {} : { declared }) };
}

/** What is shown of a unit at a place. */
export function describePlace(place: Place, picture: ClusterPicture): UnitReport {
  const machine = referTo(place.machine, picture.machines);
  const hold = describeHold(place.unit, picture);
  const known = { name: place.unit, machine, ...told(place), ...(hold === undefined ? {} : { hold }) };
  // What a machine said before it stopped answering says nothing about now
  if (!machine.alive) return { ...known, knowledge: "lost" };
  if (place.seen === undefined) return { ...known, knowledge: "pending" };
  const { load, active, sub, result, sinceMs, restarts, hash, started, restart, problem } = place.seen;
  return {
    ...known,
    knowledge: "reported",
    load,
    active,
    sub,
    restarts,
    hash,
    ...(result === "" ? {} : { result }),
    ...(sinceMs === 0 ? {} : { sinceMs }),
    ...(started === undefined ? {} : { started }),
    ...(restart === undefined ? {} : { restart }),
    ...(problem === undefined ? {} : { problem }),
  };
}
