// What is shown of machines that operators keep units off: cordons, drains and what is left to move. Inner part of report/.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { Drain } from "../domain/machine.ts";
import { type MachineId, byName } from "../domain/names.ts";
import type { DrainReport, LeavingUnit, MachineReport } from "../domain/report.ts";
import type { Tone } from "../text/columns.ts";
import { isOccupied, isWanted, placesOn } from "./places.ts";

/** Why a machine takes nothing new, if so. */
export function describeMaintenance(
  picture: ClusterPicture,
  machine: MachineId,
): Pick<MachineReport, "cordoned" | "drain" | "rests"> {
  const { cordoned, drain, rests } = picture.settings.get(machine) ?? {};
  const isDrained = cordoned === true && drain !== undefined;
  return {
    ...(cordoned === undefined ? {} : { cordoned }),
    ...(isDrained ? { drain: withLeft(drain, leavingUnits(picture, machine)) } : {}),
    ...(rests === undefined ? {} : { rests: { losses: rests.losses, untilMs: rests.untilMs } }),
  };
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

/**
 * Of a machine that takes nothing new: `cordoned`, `draining, 3 left`, `drained`, `drain stopped, 2 left`, and of one that no
 * operator keeps units off `resting, lost 3 times`.
 */
export function maintenanceText({ cordoned, drain, rests }: Pick<MachineReport, "cordoned" | "drain" | "rests">): {
  readonly text: string;
  readonly tone: Tone;
} {
  if (cordoned !== true && rests !== undefined) return { text: `resting, lost ${rests.losses} times`, tone: "busy" };
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
