// Second step of a pass: replaced units make room, and what waits is placed. Given to schedule.ts.
// Only Replaces= and Priority= take a unit from where it could stay: the first only when another machine takes it with all
// its own constraints.
import { anyRefusal, arrivalRefusal, isOn, put, take } from "./board.ts";
import { type Displacement, displacement } from "./displace.ts";
import { byTurn } from "./follow.ts";
import type { Host } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { openPools } from "./pools.ts";
import { compareHosts } from "./rank.ts";
import { inWords } from "./refusals.ts";
import type { ActiveUnit } from "./units.ts";
import { shapeOf } from "./waiting.ts";

/**
 * Bound on rounds. A round that moves or displaces a unit can free a place for one that was refused before; a unit is moved
 * at most once in a pass, and each displacement is for a higher priority, so rounds end by themselves.
 */
const maxRounds = 1_000;
/** Where more machines have been freed, waiting units ask all machines instead of each of these. */
const fewFreed = 16;

export function settle(pass: Pass): void {
  const { hosts, before, waiting, units, freed, disturbed, examined, reasons, fixed } = pass;
  const replacing = [...units.replacing].filter((unit) => unit.replaces.length > 0).sort(byTurn);
  const moved = new Set<ActiveUnit>();
  /** Shapes that have found nobody to displace, as things stand. */
  const hopeless = new Set<string>();
  let work: ActiveUnit[] = firstWork();
  let at = -1;
  const pools = openPools(work, { index: hosts, accept });

  for (let round = 0; round < maxRounds; round++) {
    let changed = false;
    for (const unit of replacing) changed = partFromReplaced(unit) || changed;
    if (round > 0 || disturbed.size > 0) {
      forget(); // what a machine refused then it may take now
      work = [...waiting.all(), ...units.globals].sort(byTurn);
    }
    for (at = 0; at < work.length; at++) {
      const unit = work[at];
      if (unit === undefined) continue;
      changed = (unit.options.global ? placeGlobal(unit) : place(unit)) || changed;
    }
    at = -1;
    if (!changed || (replacing.length === 0 && disturbed.size === 0)) break;
  }
  for (const unit of [...waiting.untried]) {
    // Whether these are taken depends on more than what is on a machine
    if (unit.replaces.length === 0 && unit.follows.length === 0) waiting.file(unit);
  }

  /** All that may be placed now. What every machine has refused is asked about only where something was freed. */
  function firstWork(): ActiveUnit[] {
    if (freed.size > fewFreed) return [...units.globals, ...waiting.all()].sort(byTurn);
    const list = [...units.globals, ...waiting.untried];
    for (const alike of waiting.refused) {
      const [one] = alike;
      if (one === undefined || ![...freed].some((host) => mayTake(one, host))) continue;
      for (const unit of alike) list.push(unit);
    }
    return list.sort(byTurn);
  }

  function mayTake(unit: ActiveUnit, host: Host): boolean {
    return anyRefusal(unit, host) === undefined || displacement(unit, { host, units, fixed }) !== undefined;
  }

  function place(unit: ActiveUnit): boolean {
    if (fixed.has(unit.name)) return false;
    examined.add(unit);
    if (unit.host !== undefined || unit.cycle !== undefined || unit.absent !== undefined) return false;
    const host = choose(unit) ?? displaceFor(unit);
    if (host === undefined) return false;
    arrive(unit, host);
    waiting.remove(unit);
    return true;
  }

  /** Where it comes, global units that follow it find what they missed. */
  function arrive(unit: ActiveUnit, host: Host): void {
    put(unit, host);
    if (unit.followers.length > 0) freed.add(host);
  }

  /** The machine it had, if it may go back; the one of a unit that it follows; else the first in its order that takes it. */
  function choose(unit: ActiveUnit): Host | undefined {
    const last = backTo(unit, before.owners(unit.name)) ?? backTo(unit, before.leaving(unit.name));
    if (last !== undefined) return last;
    // Decided anew in each pass until it is down elsewhere: what follows it may have gone ahead
    if (before.isStillLeaving(unit.name)) {
      const ahead = unit.followers.filter(({ options }) => !options.global).sort(byTurn);
      const ids = ahead.flatMap(({ name }) => before.owners(name));
      const beside = backTo(unit, ids);
      if (beside !== undefined) return beside;
    }
    const leader = unit.follows.find((target) => !target.options.global);
    if (leader === undefined) return pools.first(unit);
    const { host } = leader;
    return host !== undefined && admits(unit, host) ? host : undefined;
  }

  function backTo(unit: ActiveUnit, ids: readonly Host["id"][]): Host | undefined {
    for (const id of ids) {
      const host = hosts.byId.get(id);
      if (host !== undefined && admits(unit, host)) return host;
    }
    return undefined;
  }

  /** Whether the unit may come to this machine, of which nothing is known yet. Makes room where it must. */
  function admits(unit: ActiveUnit, host: Host): boolean {
    return anyRefusal(unit, host) === undefined && makeRoom(unit, host);
  }

  /** The same of a present machine that satisfies the unit's standing wishes. */
  function accept(unit: ActiveUnit, host: Host): boolean {
    return arrivalRefusal(unit, host) === undefined && makeRoom(unit, host);
  }

  function placeGlobal(unit: ActiveUnit): boolean {
    if (unit.cycle !== undefined || fixed.has(unit.name)) return false;
    const { members } = hosts.classOf(unit.options, unit.wishes);
    let changed = false;
    // Whoever refused it before does so until something is freed there
    for (const host of !unit.hasAsked || freed.size > fewFreed ? members : freed) {
      if (isOn(unit, host) || anyRefusal(unit, host) !== undefined) continue;
      if (unit.replaces.some((other) => isOn(other, host))) continue; // a global unit moves nobody
      arrive(unit, host);
      changed = true;
    }
    unit.hasAsked = true;
    if (changed) examined.add(unit);
    return changed;
  }

  /** The machine on which units of a lower priority have given way, if there is one. */
  function displaceFor(unit: ActiveUnit): Host | undefined {
    if (units.prioritized === 0) return undefined;
    const shape = shapeOf(unit);
    if (hopeless.has(shape)) return undefined;
    const last = [...before.owners(unit.name), ...before.leaving(unit.name)];
    let best: Displacement | undefined;
    for (const host of hosts.classOf(unit.options, unit.wishes).members) {
      const found = displacement(unit, { host, units, fixed });
      if (found === undefined) continue;
      const order =
        best === undefined
          ? -1
          : found.highest - best.highest ||
            found.units.size - best.units.size ||
            placeIn(last, found.host) - placeIn(last, best.host) ||
            compareHosts(unit, found.host, best.host);
      if (order < 0) best = found;
    }
    if (best === undefined) {
      hopeless.add(shape);
      return undefined;
    }
    for (const other of best.units) {
      take(other, best.host);
      reasons.set(other, `displaced by ${unit.name}`);
      pass.displacedBy.set(other, unit);
      wake(other);
    }
    disturb(best.host);
    return best.host;
  }

  /** Those that it was on, or is leaving, come first. */
  function placeIn(last: readonly Host["id"][], host: Host): number {
    const place = last.indexOf(host.id);
    return place < 0 ? last.length : place;
  }

  /** Units that were together before the one came to replace the other. */
  function partFromReplaced(unit: ActiveUnit): boolean {
    const { host } = unit;
    if (host?.present !== true || fixed.has(unit.name)) return false;
    let changed = false;
    for (const other of [...unit.replaces].sort(byTurn)) {
      if (isOn(other, host)) changed = moveAway([other], { from: host, for: unit }) || changed;
    }
    return changed;
  }

  function makeRoom(unit: ActiveUnit, host: Host): boolean {
    if (unit.replaces.length === 0) return true;
    const there = unit.replaces.filter((other) => isOn(other, host)).sort(byTurn);
    if (there.length === 0) return true;
    // As long as it has to be stopped elsewhere it is decided anew in each pass, and would move them to and fro
    return !before.isStillLeaving(unit.name) && moveAway(there, { from: host, for: unit });
  }

  /** All of them or none. */
  function moveAway(
    list: readonly ActiveUnit[],
    { from, for: cause }: { readonly from: Host; readonly for: ActiveUnit },
  ): boolean {
    const moves: { readonly unit: ActiveUnit; readonly to: Host }[] = [];
    for (const unit of list) {
      const to = newHome(unit, from);
      if (to === undefined) {
        for (const move of moves) {
          take(move.unit, move.to);
          put(move.unit, from);
        }
        return false;
      }
      take(unit, from);
      arrive(unit, to);
      moves.push({ unit, to });
    }
    for (const { unit } of moves) {
      moved.add(unit);
      examined.add(unit);
      reasons.set(unit, `replaced by ${cause.name}`);
      releaseFollowers(unit);
    }
    disturb(from);
    return true;
  }

  /** The machine but `not` that the unit would rather have and that takes it as things stand, without moving anyone else. */
  function newHome(unit: ActiveUnit, not: Host): Host | undefined {
    if (unit.options.global || moved.has(unit) || fixed.has(unit.name)) return undefined;
    take(unit, not);
    let best: Host | undefined;
    for (const host of hosts.classOf(unit.options, unit.wishes).members) {
      if (host === not || (best !== undefined && compareHosts(unit, best, host) < 0)) continue;
      if (arrivalRefusal(unit, host) !== undefined) continue;
      if (unit.replaces.some((other) => isOn(other, host))) continue;
      best = host;
    }
    put(unit, not);
    return best;
  }

  /** They are placed anew in this pass, after it and with it. */
  function releaseFollowers(unit: ActiveUnit): void {
    const left = [unit];
    for (let leader = left.pop(); leader !== undefined; leader = left.pop()) {
      for (const follower of leader.followers) {
        const { host } = follower;
        if (host?.present !== true || isOn(leader, host) || fixed.has(follower.name)) continue;
        reasons.set(follower, inWords({ unit: follower, host, rule: "machine-of" }));
        take(follower, host);
        wake(follower);
        left.push(follower);
      }
    }
  }

  /** It waits from now on, and has its turn in this round if that is still to come. */
  function wake(unit: ActiveUnit): void {
    examined.add(unit);
    waiting.add(unit);
    const now = work[at];
    if (at < 0 || now === undefined || byTurn(unit, now) <= 0) return;
    let low = at + 1;
    let high = work.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = work[middle];
      if (other !== undefined && byTurn(other, unit) < 0) low = middle + 1;
      else high = middle;
    }
    if (work[low] !== unit) work.splice(low, 0, unit);
  }

  /** Something left this machine. What was refused before may be taken there, in this round too. */
  function disturb(host: Host): void {
    freed.add(host);
    forget();
    const isFirst = disturbed.size === 0;
    disturbed.add(host);
    if (!isFirst) return; // all that wait have their turn already
    const now = work[at];
    if (at < 0 || now === undefined) return;
    const done = work.slice(0, at + 1);
    const rest = [...waiting.all(), ...units.globals].filter((unit) => byTurn(unit, now) > 0);
    work = [...done, ...rest.sort(byTurn)];
  }

  function forget(): void {
    pools.forget();
    hopeless.clear();
  }
}
