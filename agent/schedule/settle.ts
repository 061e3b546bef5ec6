// Second step of a pass: replaced units make room, and what waits is placed. Given to schedule.ts.
// Only Replaces= moves a unit that could stay, and only when another machine takes it with all its own constraints.
import type { Host } from "./machines.ts";
import { standingRefusal } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { inWords } from "./refusals.ts";
import { openPools } from "./pools.ts";
import type { ActiveUnit } from "./units.ts";

/**
 * Bound on rounds. Without Replaces= one is enough, for nothing is taken from a machine. A round that moves a unit can free
 * a place for one that was refused before; a unit is moved at most once in a pass, so rounds end by themselves.
 */
const maxRounds = 1000;

export function settle(pass: Pass): void {
  const { board, index, order, reasons } = pass;
  const pools = openPools(order, { index, load: (host) => board.load(host), accept });
  const replacing = order.filter((unit) => unit.replaces.length > 0);
  const moved = new Set<ActiveUnit>();
  for (let round = 0; round < maxRounds; round++) {
    if (round > 0) pools.forget(); // what a machine refused then it may take now
    let changed = false;
    for (const unit of replacing) changed = partFromReplaced(unit) || changed;
    for (const unit of order) changed = (unit.options.global ? placeGlobal(unit) : place(unit)) || changed;
    if (!changed || replacing.length === 0) return;
  }

  function place(unit: ActiveUnit): boolean {
    if (board.hostOf(unit) !== undefined || pass.cycles.has(unit) || unit.absent !== undefined) return false;
    const host = choose(unit);
    if (host !== undefined) board.put(unit, host);
    return host !== undefined;
  }

  /** The machine it had, if it may go back; the one of a unit that it follows; else the least loaded that takes it. */
  function choose(unit: ActiveUnit): Host | undefined {
    const before = backTo(unit, pass.owners) ?? backTo(unit, pass.leaving);
    if (before !== undefined) return before;
    const leader = unit.follows.find((target) => !target.options.global);
    if (leader === undefined) return pools.first(unit);
    const host = board.hostOf(leader);
    return host !== undefined && admits(unit, host) ? host : undefined;
  }

  function backTo(unit: ActiveUnit, before: Pass["owners"]): Host | undefined {
    for (const id of before.get(unit.name) ?? []) {
      const host = index.byId.get(id);
      if (host !== undefined && admits(unit, host)) return host;
    }
    return undefined;
  }

  /** Whether the unit may come to this machine, of which nothing is known yet. Makes room where it must. */
  function admits(unit: ActiveUnit, host: Host): boolean {
    return host.present && standingRefusal(unit.options, host) === undefined && accept(unit, host);
  }

  /** The same of a machine that satisfies the unit's standing wishes. */
  function accept(unit: ActiveUnit, host: Host): boolean {
    return board.arrivalRefusal(unit, host) === undefined && makeRoom(unit, host);
  }

  function placeGlobal(unit: ActiveUnit): boolean {
    if (pass.cycles.has(unit)) return false;
    let changed = false;
    for (const host of index.classOf(unit.options).members) {
      if (board.isOn(unit, host) || board.arrivalRefusal(unit, host) !== undefined) continue;
      if (unit.replaces.some((other) => board.isOn(other, host))) continue; // a global unit moves nobody
      board.put(unit, host);
      changed = true;
    }
    return changed;
  }

  /** Units that were together before the one came to replace the other. */
  function partFromReplaced(unit: ActiveUnit): boolean {
    const host = board.hostOf(unit);
    if (host?.present !== true) return false;
    let changed = false;
    for (const other of unit.replaces) {
      if (board.isOn(other, host)) changed = moveAway([other], { from: host, for: unit }) || changed;
    }
    return changed;
  }

  function makeRoom(unit: ActiveUnit, host: Host): boolean {
    if (unit.replaces.length === 0) return true;
    const there = unit.replaces.filter((other) => board.isOn(other, host));
    return there.length === 0 || moveAway(there, { from: host, for: unit });
  }

  /** All of them or none. */
  function moveAway(units: readonly ActiveUnit[], { from, for: cause }: { from: Host; for: ActiveUnit }): boolean {
    const moves: { readonly unit: ActiveUnit; readonly to: Host }[] = [];
    for (const unit of units) {
      board.take(unit, from);
      const to = newHome(unit, from);
      if (to === undefined) {
        board.put(unit, from);
        for (const move of moves) {
          board.take(move.unit, move.to);
          board.put(move.unit, from);
        }
        return false;
      }
      board.put(unit, to);
      moves.push({ unit, to });
    }
    for (const { unit } of moves) {
      moved.add(unit);
      reasons.set(unit, `replaced by ${cause.name}`);
      releaseFollowers(unit);
    }
    pools.forget();
    return true;
  }

  /** The least loaded machine but `not` that takes the unit as things stand, without moving anyone else. */
  function newHome(unit: ActiveUnit, not: Host): Host | undefined {
    if (unit.options.global || moved.has(unit)) return undefined;
    let best: Host | undefined;
    for (const host of index.classOf(unit.options).members) {
      if (host === not || (best !== undefined && board.load(host) >= board.load(best))) continue;
      if (board.arrivalRefusal(unit, host) !== undefined) continue;
      if (unit.replaces.some((other) => board.isOn(other, host))) continue;
      best = host;
    }
    return best;
  }

  /** They are placed anew in this pass, after it and with it. */
  function releaseFollowers(unit: ActiveUnit): void {
    const left = [unit];
    for (let leader = left.pop(); leader !== undefined; leader = left.pop()) {
      for (const follower of leader.followers) {
        const host = board.hostOf(follower);
        if (host?.present !== true || board.isOn(leader, host)) continue;
        reasons.set(follower, inWords(pass, { unit: follower, host, rule: "machine-of" }));
        board.take(follower, host);
        left.push(follower);
      }
    }
  }
}
