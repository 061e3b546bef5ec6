// States of units in fleet's API v1: what each living machine's systemd says of them. Inner part of fleet.ts.
import type { ClusterPicture } from "../domain/cluster.ts";
import { type MachineId, byName } from "../domain/names.ts";
import type { UnitStatus } from "../domain/status.ts";
import { FleetFailure, json, withoutEmpty } from "./fleet-answers.ts";
import type { FleetInquiry } from "./fleet-inquiry.ts";
import { pageAsked, pageOf } from "./fleet-pages.ts";

/** GET /state: by unit name, then machine id; narrowed by the whole name of a unit, of a machine, or both. */
export function listStates({ picture, query }: FleetInquiry): Response {
  const [unit, machine] = [query.get("unitName") ?? "", query.get("machineID") ?? ""];
  const asked = pageAsked(query);
  const all = statesIn(picture, (name, id) => (unit === "" || name === unit) && (machine === "" || id === machine));
  const { items, nextPageToken } = pageOf(all, { ...asked, keyOf: ({ key }) => key });
  return json(withoutEmpty({ nextPageToken, states: items.map(entityOf) }));
}

/** GET /state/NAME: on one of its machines, the first by id. */
export function getState({ picture }: FleetInquiry, name: string): Response {
  const [state] = statesIn(picture, (unit) => unit === name);
  if (state === undefined) throw new FleetFailure(404, "unit state does not exist");
  return json(entityOf(state));
}

interface State {
  /** Unit name and machine id; a blank stands in neither and sorts before all that does. */
  readonly key: string;
  readonly machine: MachineId;
  readonly unit: UnitStatus;
}

/** In key order. What a machine said before it went says nothing about now. */
function statesIn(picture: ClusterPicture, isAsked: (unit: string, machine: string) => boolean): readonly State[] {
  const states: State[] = [];
  for (const [machine, { units }] of picture.statuses) {
    if (!picture.machines.has(machine)) continue;
    for (const unit of units) {
      if (isAsked(unit.name, machine)) states.push({ key: `${unit.name} ${machine}`, machine, unit });
    }
  }
  return states.sort((a, b) => byName(a.key, b.key));
}

/** Keys in fleet's order. */
function entityOf({ machine, unit: { hash, name, active, load, sub } }: State): object {
  return withoutEmpty({
    hash,
    machineID: machine,
    name,
    systemdActiveState: active,
    systemdLoadState: load,
    systemdSubState: sub,
  });
}
