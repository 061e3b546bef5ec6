// Which of two machines a unit would rather have, of those that take it. Given to the steps of this room.
import type { PlacementOptions } from "../domain/unit.ts";
import { type Host, holds, valueOf } from "./machines.ts";
import type { ActiveUnit } from "./units.ts";

/** Negative when the unit would rather have `a`; 0 only for one and the same machine. */
export function compareHosts(unit: ActiveUnit, a: Host, b: Host): number {
  return (
    spreadCount(unit, a) - spreadCount(unit, b) ||
    score(unit.options, b) - score(unit.options, a) ||
    a.load - b.load ||
    a.index - b.index
  );
}

/** How many of those with which it is spread are on machines with the same value; 0 for a unit that is not spread. */
export function spreadCount({ spread }: ActiveUnit, host: Host): number {
  if (spread === undefined) return 0;
  const value = valueOf(host.metadata, spread.key);
  return value === undefined ? 0 : (spread.counts.get(value) ?? 0);
}

/** How many of Prefer= hold less how many of Avoid=. */
export function score({ prefer, avoid }: PlacementOptions, { metadata }: Host): number {
  const count = (tests: PlacementOptions["prefer"] = []): number =>
    tests.reduce((sum, test) => sum + (holds(test, metadata) ? 1 : 0), 0);
  return count(prefer) - count(avoid);
}
