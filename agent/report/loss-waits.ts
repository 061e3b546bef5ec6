// Why a unit is not started though its machine is gone, or though it has had none: from what any machine can see, whoever leads.
// Since when the leader counts the machine as gone only the leader knows. Inner part of report/.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { MachineId, UnitName } from "../domain/names.ts";
import { type ManifestEntry, fenceWaitMs } from "../domain/placement.ts";
import type { LossWait, MachineReference } from "../domain/report.ts";
import { isBrakeOn } from "../domain/submitted.ts";
import { formatSpan } from "../text/time.ts";
import { referTo } from "./places.ts";

/** Undefined of a unit that waits for no such machine, and while the adopted commit is not at hand. */
export function lossWaitOf(name: string, picture: ClusterPicture): LossWait | undefined {
  const unit = findUnit(name, picture);
  if (unit === undefined || unit.target === "inactive" || unit.options.global || isThere(unit.name, picture)) {
    return undefined;
  }
  const lost = told(unit.name, picture).find(({ entry }) => entry.target !== "released")?.machine;
  if (lost !== undefined && isBrakeOn(picture.events)) {
    return { machine: referTo(lost, picture.machines), until: "returned" };
  }
  if (lost === undefined && !isPlaced(unit.name, picture)) return undefined;
  const followed = [...withFollowed(unit.name, picture)];
  for (const each of followed) {
    const fence = fenceOf(each, picture);
    if (fence === undefined) continue;
    return { machine: referTo(fence.machine, picture.machines), until: "stopped", unit: each, mostMs: fence.mostMs };
  }
  const unheard = followed.find(
    (each) => findUnit(each, picture)?.fence !== undefined && !isAnywhere(each, picture) && isPlaced(each, picture),
  );
  return unheard === undefined ? undefined : { until: "heard", unit: unheard };
}

/** In words, after the unit's name or "it"; `refer`: how machines are written. */
export function lossWaitText(
  { machine, until, unit, mostMs }: LossWait,
  { name, refer }: { readonly name: string; readonly refer: (machine: MachineReference) => string },
): string {
  if (until === "returned")
    return "its machine is lost together with many others: it stays there until enough of them are back";
  const what = unit === undefined || unit === name ? "it" : `${unit}, which it follows,`;
  if (machine === undefined)
    return `it waits until machines that the leader may not have heard of must have stopped ${what} by themselves (OnPartition=stop)`;
  const most =
    mostMs === undefined
      ? ""
      : `; no longer than ${formatSpan(Math.ceil(mostMs / 1_000) * 1_000)} after the leader counts it as lost`;
  return `it waits for ${refer(machine)}, which is lost, to have stopped ${what} by itself (OnPartition=stop)${most}`;
}

interface Told {
  readonly machine: MachineId;
  readonly entry: ManifestEntry;
}

/** What machines that are not there have been told of it. */
function told(name: UnitName, { manifests, machines }: ClusterPicture): readonly Told[] {
  return [...manifests].flatMap(([machine, { units }]) => {
    const entry = machines.has(machine) ? undefined : units.find((each) => each.name === name);
    return entry === undefined ? [] : [{ machine, entry }];
  });
}

function isThere(name: UnitName, { manifests, machines }: ClusterPicture): boolean {
  return [...manifests].some(
    ([machine, { units }]) => machines.has(machine) && units.some((each) => isMeant(each, name)),
  );
}

/** Whether any machine is told of it, be it to let go of it, or shows it. */
function isAnywhere(name: UnitName, { manifests, statuses }: ClusterPicture): boolean {
  const hasIt = ({ units }: { readonly units: readonly { readonly name: UnitName }[] }): boolean =>
    units.some((each) => each.name === name);
  return [...manifests.values()].some(hasIt) || [...statuses.values()].some(hasIt);
}

/** Whether a machine is decided on for it, and is still to be told. */
function isPlaced(name: UnitName, { decisions }: ClusterPicture): boolean {
  return decisions.some((decision) => decision.kind === "place" && decision.unit === name);
}

function isMeant(entry: ManifestEntry, name: UnitName): boolean {
  return entry.name === name && entry.target !== "released";
}

/**
 * The machine on which it may still be running, the slowest to stop it where there are several. One that was to let go of it
 * and was not seen to counts, too, as long as nobody else was told of it. Machines of which anything is left that hangs on
 * their lease are not lost yet.
 */
function fenceOf(
  name: UnitName,
  picture: ClusterPicture,
): { readonly machine: MachineId; readonly mostMs: number } | undefined {
  const isTold = [...picture.manifests.values()].some(({ units }) => units.some((each) => isMeant(each, name)));
  let slowest: { readonly machine: MachineId; readonly mostMs: number } | undefined;
  for (const { machine, entry } of told(name, picture)) {
    if (entry.fenceMs === undefined || picture.statuses.has(machine)) continue;
    if (entry.target === "released" && isTold) continue;
    const mostMs = fenceWaitMs(entry.fenceMs);
    if (slowest === undefined || mostMs > slowest.mostMs) slowest = { machine, mostMs };
  }
  return slowest;
}

/** The unit, and all that it follows (MachineOf=), near before far. */
function withFollowed(name: UnitName, picture: ClusterPicture): Iterable<UnitName> {
  const found = new Set([name]);
  // A set is walked to what was added meanwhile
  for (const each of found) for (const peer of findUnit(each, picture)?.options.machineOf ?? []) found.add(peer);
  return found;
}

function findUnit(name: string, { desired }: ClusterPicture) {
  return desired?.units.get(name as UnitName);
}
