// What came of a pass: the board compared with what was so before, as decisions with their reasons. Given to schedule.ts.
// Decides nothing any more.
import { byName, type MachineId, type UnitName } from "../domain/names.ts";
import type { Decision } from "../domain/placement.ts";
import { isOn, isPlaced, refusal } from "./board.ts";
import { type Host, shortId, standingRefusal } from "./machines.ts";
import { whyStuck } from "./leave.ts";
import type { Pass } from "./pass.ts";
import { inWords, refusalCounter } from "./refusals.ts";
import type { ActiveUnit } from "./units.ts";

/** Of these units, wanted or not, in the order given. */
export function report(
  pass: Pass,
  { names, inactive }: { readonly names: Iterable<UnitName>; readonly inactive: ReadonlySet<UnitName> },
): readonly Decision[] {
  const { units, hosts, before, reasons, displacedBy, stuck } = pass;
  const refusals = refusalCounter(hosts);
  const decisions: Decision[] = [];
  for (const name of names) {
    const unit = units.named.get(name);
    if (unit === undefined) {
      dropOthers(name, before.owners(name), inactive.has(name) ? "its target is inactive" : "it is no longer wanted");
    } else if (unit.options.global) reportGlobal(unit);
    else reportSingle(unit);
  }
  return decisions;

  function reportSingle(unit: ActiveUnit): void {
    const owners = before.owners(unit.name);
    const on = unit.host?.id;
    if (on === undefined) {
      decisions.push({
        kind: "wait",
        unit: unit.name,
        refusals: refusals(unit),
        ...(owners[0] === undefined ? {} : { from: owners[0] }),
        ...displaced(unit),
      });
      dropOthers(
        unit.name,
        owners.slice(1).filter((id) => hosts.byId.has(id)),
        "no machine takes it",
      );
    } else if (owners.includes(on)) {
      decisions.push({
        kind: "keep",
        unit: unit.name,
        on,
        ...(stuck.has(unit) ? { refusals: whyStuck(pass, unit) } : {}),
      });
      dropOthers(
        unit.name,
        owners.filter((id) => id !== on),
        `it is on ${shortId(on)}`,
      );
    } else {
      const [from] = owners;
      decisions.push({
        kind: "place",
        unit: unit.name,
        on,
        because: whyPlaced(unit, from),
        ...(from === undefined ? {} : { from }),
        ...displaced(unit),
      });
      dropOthers(unit.name, owners.slice(1), `it moves to ${shortId(on)}`);
    }
  }

  function displaced(unit: ActiveUnit): { readonly displacedBy?: UnitName } {
    const by = displacedBy.get(unit);
    return by === undefined ? {} : { displacedBy: by.name };
  }

  function dropOthers(unit: UnitName, owners: readonly MachineId[], because: string): void {
    for (const on of [...owners].sort(byName)) decisions.push({ kind: "drop", unit, on, because });
  }

  function whyPlaced(unit: ActiveUnit, from: MachineId | undefined): string {
    if (from === undefined) return reasons.get(unit) ?? "it is wanted and on no machine";
    if (!hosts.byId.has(from)) return `machine ${shortId(from)} went away`;
    return `it leaves ${shortId(from)}: ${reasons.get(unit) ?? "it may not stay"}`;
  }

  function reportGlobal(unit: ActiveUnit): void {
    const owners = new Set(before.owners(unit.name));
    for (const host of hosts.hosts) {
      const had = owners.has(host.id);
      const has = isOn(unit, host);
      if (has && had) decisions.push({ kind: "keep", unit: unit.name, on: host.id });
      else if (has)
        decisions.push({ kind: "place", unit: unit.name, on: host.id, because: "it runs on every machine that fits" });
      else if (had) decisions.push({ kind: "drop", unit: unit.name, on: host.id, because: whyDropped(unit, host) });
    }
    if (!isPlaced(unit)) decisions.push({ kind: "wait", unit: unit.name, refusals: refusals(unit) });
  }

  function whyDropped(unit: ActiveUnit, host: Host): string {
    if (unit.cycle !== undefined) return inWords({ unit, host, rule: "machine-of-cycle" });
    const rule = standingRefusal(unit.options, host) ?? refusal(unit, host);
    return rule === undefined ? "it may not stay" : inWords({ unit, host, rule });
  }
}
