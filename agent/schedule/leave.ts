// The last steps of a pass that change anything: units leave machines that are drained, and a few move to make loads more even.
// Given to schedule.ts. A unit moves with all that follow it there, or stays: nothing is left without a place.
import type { Refusal } from "../domain/placement.ts";
import { anyRefusal, isOn, put, take } from "./board.ts";
import { byTurn } from "./follow.ts";
import type { Host } from "./machines.ts";
import { shortId } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { compareHosts, score, spreadCount } from "./rank.ts";
import { RefusalCount, type Refused } from "./refusals.ts";
import { type ActiveUnit, allFollowed, groupOn } from "./units.ts";

/** In id order of machines, and in the order of decision. A machine without budget waits until its last units have arrived. */
export function drain(pass: Pass): void {
  for (const host of pass.hosts.present) {
    let left = host.drain;
    if (left === 0) continue;
    for (const unit of [...host.units].sort(byTurn)) {
      if (left === 0) break;
      if (unit.host !== host || followsThere(unit, host) || isFixed(pass, unit)) continue;
      const target = newHome(pass, { unit, from: host });
      if (target === undefined) {
        pass.stuck.add(unit);
        pass.examined.add(unit);
        continue;
      }
      move(pass, { unit, from: host, to: target, because: "the machine is drained" });
      left--;
    }
  }
}

/** The last unit of the machine with the most of them goes first; a move must not make anything but load worse. */
export function rebalance(pass: Pass): void {
  for (let left = pass.rebalance; left > 0; left--) {
    if (!moveOne(pass)) return;
  }
}

function moveOne(pass: Pass): boolean {
  const open = pass.hosts.present.filter((host) => !host.cordoned);
  const byLoad = [...open].sort((a, b) => b.load - a.load || a.index - b.index);
  const least = byLoad.at(-1)?.load ?? 0;
  for (const from of byLoad) {
    if (from.load - least < 2) return false;
    for (const unit of [...from.units].sort((a, b) => byTurn(b, a))) {
      if (unit.host !== from || followsThere(unit, from) || isFixed(pass, unit)) continue;
      const size = groupOf(unit, from).length;
      const isBetter = (host: Host): boolean => host.load + size <= from.load - size;
      const target = newHome(pass, { unit, from, isBetter });
      if (target === undefined) continue;
      const because = `it had ${from.load} units, ${shortId(target.id)} had ${target.load}`;
      move(pass, { unit, from, to: target, because });
      return true;
    }
  }
  return false;
}

function isFixed({ fixed }: Pass, unit: ActiveUnit): boolean {
  const { host } = unit;
  return fixed.size > 0 && host !== undefined && groupOf(unit, host).some((each) => fixed.has(each.name));
}

/** It goes when that one goes. */
function followsThere(unit: ActiveUnit, host: Host): boolean {
  return [...allFollowed(unit)].some((target) => target.host === host && target !== unit);
}

/** The unit first, then those that follow it there, in the order of decision. */
function groupOf(unit: ActiveUnit, host: Host): readonly ActiveUnit[] {
  return groupOn(unit, host)
    .filter((each) => !each.options.global)
    .sort(byTurn);
}

/** Why no other machine takes a unit that is to leave its own, with all that follow it there. */
export function whyStuck({ hosts }: Pick<Pass, "hosts">, unit: ActiveUnit): readonly Refusal[] {
  const from = unit.host;
  if (from === undefined) return [];
  if (hosts.hosts.length === 1) return [{ rule: "no-machine", machines: 0, example: "no other machine is present" }];
  const group = groupOf(unit, from);
  const count = new RefusalCount();
  for (const each of group) take(each, from);
  for (const host of hosts.hosts) {
    if (host !== from) takesAll(group, { host, onRefusal: (refused) => count.add(refused) });
  }
  for (const each of group) put(each, from);
  return count.refusals();
}

/**
 * The machine that the unit would rather have, of those that take it with its followers as things stand. With `isBetter`
 * only of those, and where each of them is spread as well and finds its preferences as good.
 */
function newHome(
  { hosts }: Pass,
  {
    unit,
    from,
    isBetter,
  }: { readonly unit: ActiveUnit; readonly from: Host; readonly isBetter?: (host: Host) => boolean },
): Host | undefined {
  const group = groupOf(unit, from);
  const candidates = hosts
    .classOf(unit.options, unit.wishes)
    .members.filter((host) => host !== from && isBetter?.(host) !== false);
  for (const each of group) take(each, from);
  let best: Host | undefined;
  for (const host of candidates) {
    if (best !== undefined && compareHosts(unit, best, host) < 0) continue;
    if (isBetter !== undefined && group.some((each) => isWorse(each, { from, to: host }))) continue;
    if (takesAll(group, { host })) best = host;
  }
  for (const each of group) put(each, from);
  return best;
}

function isWorse(unit: ActiveUnit, { from, to }: { readonly from: Host; readonly to: Host }): boolean {
  return score(unit.options, to) < score(unit.options, from) || spreadCount(unit, to) > spreadCount(unit, from);
}

/** Asked in turn, each with those before it there; the first that is refused is told of. Nobody of them is anywhere. */
function takesAll(
  group: readonly ActiveUnit[],
  { host, onRefusal }: { readonly host: Host; readonly onRefusal?: (refused: Refused) => void },
): boolean {
  const taken: ActiveUnit[] = [];
  for (const unit of group) {
    const isReplacing = unit.replaces.some((other) => isOn(other, host));
    const rule = anyRefusal(unit, host) ?? (isReplacing ? "replaced" : undefined);
    if (rule !== undefined) {
      onRefusal?.({ unit, host, rule });
      break;
    }
    put(unit, host);
    taken.push(unit);
  }
  for (const unit of taken) take(unit, host);
  return taken.length === group.length;
}

function move(
  { examined, reasons, moved, disturbed }: Pass,
  {
    unit,
    from,
    to,
    because,
  }: { readonly unit: ActiveUnit; readonly from: Host; readonly to: Host; readonly because: string },
): void {
  const group = groupOf(unit, from);
  for (const each of group) take(each, from);
  for (const each of group) {
    put(each, to);
    examined.add(each);
    reasons.set(each, because);
    moved.set(each, { from, because });
  }
  disturbed.add(from);
}
