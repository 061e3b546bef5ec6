// What is shown of machines that operators keep units off: cordons, drains and what is left to move. Inner part of report/.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { Drain } from "../domain/machine.ts";
import { type MachineId, byName } from "../domain/names.ts";
import type { DrainReport, LeavingUnit, MachineReport } from "../domain/report.ts";
import type { Tone } from "../text/columns.ts";
import { isOccupied, isWanted, placesOn } from "./places.ts";

/** What operators say of a machine beside its metadata. */
export function describeMaintenance(
  picture: ClusterPicture,
  machine: MachineId,
): Pick<MachineReport, "cordoned" | "drain"> {
  const { cordoned, drain } = picture.settings.get(machine) ?? {};
  if (cordoned === undefined) return {};
  return { cordoned, ...(drain === undefined ? {} : { drain: withLeft(drain, leavingUnits(picture, machine)) }) };
}

/** Undefined of a machine without a drain, and where it is not known which units are global. */
export function leavingUnits(picture: ClusterPicture, machine: MachineId): readonly LeavingUnit[] | undefined {
  const { settings, desired, decisions } = picture;
  const { cordoned, drain } = settings.get(machine) ?? {};
  if (desired === undefined || cordoned === undefined || drain === undefined) return undefined;
  const refusals = new Map(
    decisions.flatMap((each) => (each.kind === "keep" && each.on === machine ? [[each.unit, each.refusals]] : [])),
  );
  return placesOn(machine, picture)
    .filter((place) => isOccupied(place) && desired.units.get(place.unit)?.options.global !== true)
    .map((place): LeavingUnit => {
      const stopping = isWanted(place) ? {} : { stopping: true as const };
      return { unit: place.unit, ...stopping, refusals: refusals.get(place.unit) ?? [] };
    })
    .sort((a, b) => byName(a.unit, b.unit));
}

/** A drain as it stands in the registry, and nothing that a newer version may have put beside it. */
export function describeDrain({ id, by, sinceMs, deadlineMs, state, because }: Drain): DrainReport {
  return {
    ...{ id, by, sinceMs, state },
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(because === undefined ? {} : { because }),
  };
}

function withLeft(drain: Drain, leaving: readonly LeavingUnit[] | undefined): DrainReport {
  return { ...describeDrain(drain), ...(leaving === undefined ? {} : { left: leaving.length }) };
}

/** `cordoned`, `draining, 3 left`, `drained`, `drain stopped, 2 left`. */
export function maintenanceText(drain: DrainReport | undefined): { readonly text: string; readonly tone: Tone } {
  if (drain === undefined) return { text: "cordoned", tone: "busy" };
  const left = drain.left === undefined ? "" : `, ${drain.left} left`;
  switch (drain.state) {
    case "moving":
      return { text: `draining${left}`, tone: "busy" };
    case "done":
      return { text: "drained", tone: "good" };
    case "stopped":
      return { text: `drain stopped${left}`, tone: "bad" };
  }
}
