// The units that are on no machine, and what is known of each: not yet tried, or refused by every machine. Given to the steps
// of this room. A unit that was refused everywhere is tried again only where something has been freed since.
import { type ActiveUnit, placesOf } from "./units.ts";

export class Waiting {
  readonly #untried = new Set<ActiveUnit>();
  /** By shape: all that are alike are refused alike. */
  readonly #refused = new Map<string, Set<ActiveUnit>>();

  /** Whatever was known of it is forgotten. */
  add(unit: ActiveUnit): void {
    this.remove(unit);
    this.#untried.add(unit);
  }

  remove(unit: ActiveUnit): void {
    this.#untried.delete(unit);
    if (unit.filed === undefined) return;
    const alike = this.#refused.get(unit.filed);
    alike?.delete(unit);
    if (alike?.size === 0) this.#refused.delete(unit.filed);
    unit.filed = undefined;
  }

  /** Every machine has refused it, and will until something is freed there. */
  file(unit: ActiveUnit): void {
    this.remove(unit);
    unit.filed = shapeOf(unit);
    const alike = this.#refused.get(unit.filed);
    if (alike === undefined) this.#refused.set(unit.filed, new Set([unit]));
    else alike.add(unit);
  }

  has(unit: ActiveUnit): boolean {
    return unit.filed !== undefined || this.#untried.has(unit);
  }

  get untried(): Iterable<ActiveUnit> {
    return this.#untried;
  }

  /** Groups of units that every machine answers alike. */
  get refused(): Iterable<ReadonlySet<ActiveUnit>> {
    return this.#refused.values();
  }

  *all(): Iterable<ActiveUnit> {
    yield* this.#untried;
    for (const alike of this.#refused.values()) yield* alike;
  }
}

/** Whether a machine's answer to it depends on what else is there. */
export function isRelated(unit: ActiveUnit): boolean {
  return (
    unit.follows.length > 0 ||
    unit.absent !== undefined ||
    unit.declares.length > 0 ||
    unit.matching.length > 0 ||
    unit.replaces.length > 0 ||
    unit.replacedBy.length > 0 ||
    unit.options.memory !== undefined ||
    unit.options.milliCpus !== undefined ||
    unit.options.spread !== undefined
  );
}

/** Equal for units that every machine answers alike. */
export function shapeOf(unit: ActiveUnit): string {
  const { options } = unit;
  if (!isRelated(unit)) return `${unit.wishes}\n${unit.priority}`;
  const names = (list: readonly ActiveUnit[]): string => list.map((each) => each.name).join();
  const ids = (list: readonly { readonly id: number }[]): string => list.map((each) => each.id).join();
  return [
    unit.wishes,
    unit.priority,
    unit.absent ?? "",
    names(unit.follows),
    ids(unit.declares),
    ids(unit.matching),
    names(unit.replaces),
    names(unit.replacedBy),
    options.memory === undefined ? "" : JSON.stringify(options.memory),
    options.milliCpus ?? "",
    options.spread ?? "",
  ].join("\n");
}

/** Where the unit is placed and has not been before, or is not and has been. */
export function differs(unit: ActiveUnit, owners: readonly string[]): boolean {
  let places = 0;
  for (const host of placesOf(unit)) {
    if (!owners.includes(host.id)) return true;
    places++;
  }
  return places !== owners.length;
}
