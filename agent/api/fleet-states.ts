// States of units in fleet's API v1: what each machine's systemd says of them. Inner part of fleet.ts.
import type { UnitReport } from "../domain/report.ts";
import { reportUnit, reportUnits } from "../report/report.ts";
import { FleetFailure, json, withoutEmpty } from "./fleet-answers.ts";
import type { FleetInquiry } from "./fleet-inquiry.ts";
import { pageAsked, pageOf } from "./fleet-pages.ts";

/** GET /state: by unit name, then machine id; narrowed by the whole name of a unit, of a machine, or both. */
export function listStates({ picture, query }: FleetInquiry): Response {
  const [unit, machine] = [query.get("unitName") ?? "", query.get("machineID") ?? ""];
  const asked = pageAsked(query);
  const all = reportUnits(picture).filter(
    (each) => isKnown(each) && (unit === "" || each.name === unit) && (machine === "" || each.machine.id === machine),
  );
  // A blank stands in neither and sorts before all that does
  const { items, nextPageToken } = pageOf(all, { ...asked, keyOf: (each) => `${each.name} ${each.machine.id}` });
  return json(withoutEmpty({ nextPageToken, states: items.map(entityOf) }));
}

/** GET /state/NAME: on one of its machines, the first by id. */
export function getState({ picture }: FleetInquiry, name: string): Response {
  const unit = reportUnit(picture, name);
  const state = unit.ok ? unit.value.places.find(isKnown) : undefined;
  if (state === undefined) throw new FleetFailure(404, "unit state does not exist");
  return json(entityOf(state));
}

/** Whether a machine that lives has said something of it. */
function isKnown({ knowledge }: UnitReport): boolean {
  return knowledge === "reported";
}

/** Keys in fleet's order. */
function entityOf({ hash, machine, name, active, load, sub }: UnitReport): object {
  return withoutEmpty({
    hash,
    machineID: machine.id,
    name,
    systemdActiveState: active,
    systemdLoadState: load,
    systemdSubState: sub,
  });
}
