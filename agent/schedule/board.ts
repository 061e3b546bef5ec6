// What is where while a pass goes on, and whether a unit may join it. Given to the steps of this room and plays no part of
// its own: it neither chooses nor explains. The only writer of what is on a machine.
import type { RefusalRule } from "../domain/placement.ts";
import { type Host, standingRefusal, valueOf } from "./machines.ts";
import type { ActiveUnit, Pattern } from "./units.ts";

export function put(unit: ActiveUnit, host: Host): void {
  if (unit.hosts !== undefined) unit.hosts.add(host);
  else unit.host = host;
  host.units.add(unit);
  count(unit, { host, by: 1 });
}

export function take(unit: ActiveUnit, host: Host): void {
  if (unit.hosts !== undefined) unit.hosts.delete(host);
  else unit.host = undefined;
  host.units.delete(unit);
  count(unit, { host, by: -1 });
}

export function isOn(unit: ActiveUnit, host: Host): boolean {
  return unit.hosts !== undefined ? unit.hosts.has(host) : unit.host === host;
}

export function isPlaced(unit: ActiveUnit): boolean {
  return unit.hosts !== undefined ? unit.hosts.size > 0 : unit.host !== undefined;
}

/** The one meaning of conflict, for global units and others. The unit itself is not on that machine. */
export function conflicts(unit: ActiveUnit, host: Host): boolean {
  return (
    unit.declares.some((pattern) => host.matching.has(pattern)) ||
    unit.matching.some((pattern) => host.declaring.has(pattern))
  );
}

/** The first rule that keeps the unit from staying with what is on this machine. */
export function refusal(unit: ActiveUnit, host: Host): Extract<RefusalRule, "machine-of" | "conflict"> | undefined {
  return misses(unit, host) ? "machine-of" : conflicts(unit, host) ? "conflict" : undefined;
}

/** Whether a unit that it follows is not on this machine. */
export function misses(unit: ActiveUnit, host: Host): boolean {
  return unit.absent !== undefined || unit.follows.some((target) => !isOn(target, host));
}

/** Why a present machine whose metadata fit takes nothing of the kind, whatever else runs there. */
export function closedTo(
  unit: Pick<ActiveUnit, "options">,
  host: Pick<Host, "cordoned" | "metadata">,
): Extract<RefusalRule, "cordoned" | "spread"> | undefined {
  if (host.cordoned) return "cordoned";
  const key = unit.options.spread;
  return key !== undefined && valueOf(host.metadata, key) === undefined ? "spread" : undefined;
}

/** The first rule that keeps the unit from coming to a present machine that satisfies its standing wishes. */
export function arrivalRefusal(unit: ActiveUnit, host: Host): RefusalRule | undefined {
  const rule = closedTo(unit, host) ?? refusal(unit, host);
  if (rule !== undefined) return rule;
  if (unit.replacedBy.some((other) => isOn(other, host))) return "replaced";
  return lacks(unit, host);
}

/** What there is not enough of on this machine for one more such unit. */
export function lacks(
  { options }: Pick<ActiveUnit, "options">,
  host: Pick<Host, "memoryBytes" | "milliCpus" | "reservedBytes" | "reservedMilliCpus" | "bytesOf">,
): Extract<RefusalRule, "memory" | "cpu"> | undefined {
  const bytes = host.bytesOf(options.memory);
  if (bytes > 0 && host.reservedBytes + bytes > host.memoryBytes) return "memory";
  const { milliCpus = 0 } = options;
  return milliCpus > 0 && host.reservedMilliCpus + milliCpus > host.milliCpus ? "cpu" : undefined;
}

/** As `arrivalRefusal`, of any machine. */
export function anyRefusal(unit: ActiveUnit, host: Host): RefusalRule | undefined {
  if (!host.present) return "no-machine";
  return standingRefusal(unit.options, host) ?? arrivalRefusal(unit, host);
}

function count(unit: ActiveUnit, { host, by }: { readonly host: Host; readonly by: 1 | -1 }): void {
  const { memory, milliCpus = 0 } = unit.options;
  if (memory !== undefined) host.reservedBytes += by * host.bytesOf(memory);
  host.reservedMilliCpus += by * milliCpus;
  for (const pattern of unit.matching) tally(host.matching, pattern, by);
  for (const pattern of unit.declares) tally(host.declaring, pattern, by);
  if (unit.spread === undefined) return;
  const value = valueOf(host.metadata, unit.spread.key);
  if (value !== undefined) tally(unit.spread.counts, value, by);
}

/** A count of 0 is left out. */
function tally<K extends Pattern | string>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
