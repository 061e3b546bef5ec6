// Who must give way on one machine so that a unit of a higher priority can come. Given to settle.ts. Looks only: it leaves
// the board as it was.
import { anyRefusal, isOn, lacks, misses, closedTo } from "./board.ts";
import { byName } from "../domain/names.ts";
import { type Host, standingRefusal } from "./machines.ts";
import { excludeEachOther } from "./refusals.ts";
import type { Pass } from "./pass.ts";
import { type ActiveUnit, allFollowed, groupOn } from "./units.ts";

export interface Displacement {
  readonly host: Host;
  readonly units: ReadonlySet<ActiveUnit>;
  /** The highest priority among them. */
  readonly highest: number;
}

/** Undefined when the machine refuses the unit for more than conflicts, memory or processors, or too few may give way. */
export function displacement(
  unit: ActiveUnit,
  { host, units, fixed }: { readonly host: Host } & Pick<Pass, "units" | "fixed">,
): Displacement | undefined {
  if (units.prioritized === 0 || !host.present || standingRefusal(unit.options, host) !== undefined) return undefined;
  if (closedTo(unit, host) !== undefined || misses(unit, host)) return undefined;
  if ([...unit.replacedBy, ...unit.replaces].some((other) => isOn(other, host))) return undefined;
  if (anyRefusal(unit, host) === undefined) return undefined;
  const leaders = unit.follows.length === 0 ? undefined : allFollowed(unit);
  const gone = new Set<ActiveUnit>();
  /** The unit and those that go with it; undefined when one of them may not go. */
  const withFollowers = (other: ActiveUnit): readonly ActiveUnit[] | undefined => {
    const group = groupOn(other, host);
    const mayGo = group.every(
      (each) =>
        !each.options.global && !fixed.has(each.name) && each.priority < unit.priority && leaders?.has(each) !== true,
    );
    return mayGo ? group : undefined;
  };
  for (const other of host.units) {
    if (!excludeEachOther(unit, other)) continue;
    const group = withFollowers(other);
    if (group === undefined) return undefined;
    for (const each of group) gone.add(each);
  }
  const forRoom: ActiveUnit[] = [];
  if (shortage() !== undefined) {
    const lowestFirst = [...host.units].sort((a, b) => a.priority - b.priority || byName(b.name, a.name));
    for (const other of lowestFirst) {
      const lacking = shortage();
      if (lacking === undefined || other.priority >= unit.priority) break;
      if (gone.has(other) || !reserves(other, lacking)) continue;
      for (const each of withFollowers(other) ?? []) {
        if (gone.has(each)) continue;
        gone.add(each);
        forRoom.push(each);
      }
    }
    if (shortage() !== undefined) return undefined;
  }
  for (const each of forRoom.sort((a, b) => b.priority - a.priority || byName(a.name, b.name))) {
    if ([...allFollowed(each)].some((leader) => gone.has(leader))) continue;
    gone.delete(each);
    if (shortage() !== undefined) gone.add(each);
  }
  let highest = -Infinity;
  for (const each of gone) highest = Math.max(highest, each.priority);
  return { host, units: gone, highest };

  function shortage(): "memory" | "cpu" | undefined {
    let { reservedBytes, reservedMilliCpus } = host;
    for (const { options } of gone) {
      reservedBytes -= host.bytesOf(options.memory);
      reservedMilliCpus -= options.milliCpus ?? 0;
    }
    return lacks(unit, {
      memoryBytes: host.memoryBytes,
      milliCpus: host.milliCpus,
      bytesOf: (memory) => host.bytesOf(memory),
      reservedBytes,
      reservedMilliCpus,
    });
  }

  /** Of what lacks, memory or processors: both, where both do. */
  function reserves({ options }: ActiveUnit, lacking: "memory" | "cpu"): boolean {
    const memory = options.memory !== undefined && host.bytesOf(options.memory) > 0;
    const cpu = (options.milliCpus ?? 0) > 0;
    return lacking === "memory" ? memory || (cpu && cpuLacks()) : cpu;
  }

  function cpuLacks(): boolean {
    let { reservedMilliCpus } = host;
    for (const { options } of gone) reservedMilliCpus -= options.milliCpus ?? 0;
    const { milliCpus = 0 } = unit.options;
    return milliCpus > 0 && reservedMilliCpus + milliCpus > host.milliCpus;
  }
}
