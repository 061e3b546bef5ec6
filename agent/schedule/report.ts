// Last step of a pass: the board compared with what was so before, as decisions with their reasons. Given to schedule.ts.
// Decides nothing any more.
import { byName, type MachineId, type UnitName } from "../domain/names.ts";
import type { ClusterState, Decision, Refusal } from "../domain/placement.ts";
import { type Host, shortId, standingRefusal } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { inWords, refusalCounter } from "./refusals.ts";
import type { ActiveUnit } from "./units.ts";

export function report(pass: Pass, state: ClusterState): readonly Decision[] {
  const refusals = refusalCounter(pass);
  const decisions: Decision[] = [];
  const unwanted = [...pass.owners.keys()].filter((name) => !pass.named.has(name)).sort(byName);
  const inactive = new Set(unwanted.length === 0 ? [] : state.wanted.map((unit) => unit.name));
  let next = 0;
  const dropUnwantedBefore = (end: UnitName | undefined): void => {
    for (let name = unwanted[next]; name !== undefined; name = unwanted[++next]) {
      if (end !== undefined && name > end) return;
      dropOthers(name, ownersOf(name), inactive.has(name) ? "its target is inactive" : "it is no longer wanted");
    }
  };
  for (const unit of pass.units) {
    dropUnwantedBefore(unit.name);
    if (unit.options.global) reportGlobal(unit);
    else reportSingle(unit);
  }
  dropUnwantedBefore(undefined);
  return decisions;

  function ownersOf(unit: UnitName): readonly MachineId[] {
    return pass.owners.get(unit) ?? [];
  }

  function reportSingle(unit: ActiveUnit): void {
    const owners = ownersOf(unit.name);
    const on = pass.board.hostOf(unit)?.id;
    if (on === undefined) {
      decisions.push(wait(unit, refusals(unit), owners[0]));
      dropOthers(
        unit.name,
        owners.slice(1).filter((id) => pass.index.byId.has(id)),
        "no machine takes it",
      );
    } else if (owners.includes(on)) {
      decisions.push({ kind: "keep", unit: unit.name, on });
      dropOthers(
        unit.name,
        owners.filter((id) => id !== on),
        `it is on ${shortId(on)}`,
      );
    } else {
      const [from] = owners;
      const because = whyPlaced(unit, from);
      decisions.push({ kind: "place", unit: unit.name, on, ...(from === undefined ? {} : { from }), because });
      dropOthers(unit.name, owners.slice(1), `it moves to ${shortId(on)}`);
    }
  }

  function dropOthers(unit: UnitName, owners: readonly MachineId[], because: string): void {
    for (const on of [...owners].sort(byName)) decisions.push({ kind: "drop", unit, on, because });
  }

  function whyPlaced(unit: ActiveUnit, from: MachineId | undefined): string {
    if (from === undefined) return "it is wanted and on no machine";
    if (!pass.index.byId.has(from)) return `machine ${shortId(from)} went away`;
    const reason = pass.reasons.get(unit) ?? "it may not stay";
    return `it leaves ${shortId(from)}: ${reason}`;
  }

  function reportGlobal(unit: ActiveUnit): void {
    const owners = new Set(ownersOf(unit.name));
    for (const host of pass.index.hosts) {
      const had = owners.has(host.id);
      const has = pass.board.isOn(unit, host);
      if (has && had) decisions.push({ kind: "keep", unit: unit.name, on: host.id });
      else if (has)
        decisions.push({ kind: "place", unit: unit.name, on: host.id, because: "it runs on every machine that fits" });
      else if (had) decisions.push({ kind: "drop", unit: unit.name, on: host.id, because: whyDropped(unit, host) });
    }
    if (!pass.board.isPlaced(unit)) decisions.push(wait(unit, refusals(unit), undefined));
  }

  function whyDropped(unit: ActiveUnit, host: Host): string {
    if (pass.cycles.has(unit)) return inWords(pass, { unit, host, rule: "machine-of-cycle" });
    const rule = standingRefusal(unit.options, host) ?? pass.board.arrivalRefusal(unit, host);
    return rule === undefined ? "it may not stay" : inWords(pass, { unit, host, rule });
  }
}

function wait(unit: ActiveUnit, refusals: readonly Refusal[], from: MachineId | undefined): Decision {
  return { kind: "wait", unit: unit.name, refusals, ...(from === undefined ? {} : { from }) };
}
