// First step of a pass: what is placed and may stay, stays, before anything new is placed. Given to schedule.ts.
// Nothing moves because of load, of a machine that joined, or of a machine whose fate is not yet known.
import type { RefusalRule } from "../domain/placement.ts";
import { type Host, standingRefusal } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { inWords } from "./refusals.ts";
import type { ActiveUnit } from "./units.ts";

/** Of two placed units that exclude each other the earlier in order stays. */
export function keepWhatMayStay(pass: Pass): void {
  const { board, index, owners, reasons } = pass;
  for (const unit of pass.order) {
    for (const id of owners.get(unit.name) ?? []) {
      const host = index.byId.get(id);
      if (host === undefined) continue; // gone: it holds nothing
      if (!unit.options.global && board.hostOf(unit) !== undefined) break;
      const rule = refusalToStay(pass, { unit, host });
      if (rule === undefined) board.put(unit, host);
      else if (!reasons.has(unit)) reasons.set(unit, inWords(pass, { unit, host, rule }));
    }
  }
}

function refusalToStay(pass: Pass, { unit, host }: { unit: ActiveUnit; host: Host }): RefusalRule | undefined {
  if (!host.present) return undefined; // it keeps all that it has until its fate is known
  if (pass.cycles.has(unit)) return "machine-of-cycle";
  const rule = standingRefusal(unit.options, host) ?? pass.board.refusal(unit, host);
  return rule === "machine-of" && mayYetCome(pass, unit, host)
    ? pass.board.conflicts(unit, host)
      ? "conflict"
      : undefined
    : rule;
}

/** Whether all that it misses on this machine is held by machines that have not come back yet. */
function mayYetCome(pass: Pass, unit: ActiveUnit, host: Host): boolean {
  return (
    unit.absent === undefined &&
    unit.follows.every((target) => pass.board.isOn(target, host) || pass.board.hostOf(target)?.present === false)
  );
}
