// First step of a pass: what is placed and may stay, stays, before anything new is placed. Given to schedule.ts.
// Nothing moves because of load, of a machine that joined, or of a machine whose fate is not yet known.
import type { RefusalRule } from "../domain/placement.ts";
import { conflicts, isOn, put, refusal, take } from "./board.ts";
import { byTurn } from "./follow.ts";
import { type Host, standingRefusal } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { inWords } from "./refusals.ts";
import type { ActiveUnit } from "./units.ts";

/**
 * Judges anew all that was placed on these machines. They must be whole: with each of them all other machines of a unit that
 * is placed on several, and those of the units that follow one there. Of two units that exclude each other the earlier in
 * order stays.
 */
export function keepWhatMayStay(pass: Pass, dirty: ReadonlySet<Host>): void {
  const { units, before, waiting, hosts, freed, examined, reasons, fixed } = pass;
  const placed = new Set<ActiveUnit>();
  for (const host of dirty) {
    freed.add(host);
    for (const unit of [...host.units]) {
      take(unit, host);
      placed.add(unit);
    }
    for (const name of before.placedOn(host.id)) {
      const unit = units.named.get(name);
      if (unit !== undefined) placed.add(unit);
    }
  }
  // After the others: nobody who is there leaves for one of which nothing is decided
  const isFixed = (unit: ActiveUnit): boolean => fixed.has(unit.name);
  const inTurn = [...placed].sort(byTurn);
  for (const unit of [...inTurn.filter((each) => !isFixed(each)), ...inTurn.filter(isFixed)]) {
    examined.add(unit);
    for (const id of before.owners(unit.name)) {
      const host = hosts.byId.get(id);
      if (host === undefined || !dirty.has(host)) continue; // gone: it holds nothing; or nothing has changed there
      if (unit.host !== undefined) break;
      const rule = isFixed(unit) ? undefined : refusalToStay(unit, host);
      if (rule === undefined) put(unit, host);
      else if (!reasons.has(unit)) reasons.set(unit, inWords({ unit, host, rule }));
    }
    if (unit.options.global) continue;
    if (unit.host === undefined) waiting.add(unit);
    else waiting.remove(unit);
  }
}

function refusalToStay(unit: ActiveUnit, host: Host): RefusalRule | undefined {
  if (!host.present) return undefined; // it keeps all that it has until its fate is known
  if (unit.cycle !== undefined) return "machine-of-cycle";
  const rule = standingRefusal(unit.options, host) ?? refusal(unit, host);
  if (rule === "machine-of" && mayYetCome(unit, host)) return conflicts(unit, host) ? "conflict" : undefined;
  return rule;
}

/** Whether all that it misses on this machine is held by machines that have not come back yet. */
function mayYetCome(unit: ActiveUnit, host: Host): boolean {
  return (
    unit.absent === undefined && unit.follows.every((target) => isOn(target, host) || target.host?.present === false)
  );
}
