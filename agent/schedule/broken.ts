// Every rule that a machine breaks for a unit, not the first alone, and each in words with its amount. Given to explain.ts. Asks
// the board; changes nothing.
import type { RefusalRule } from "../domain/placement.ts";
import type { MetadataRule, MetadataTest } from "../domain/unit.ts";
import { closedTo, conflicts, isOn, lacks, misses } from "./board.ts";
import { type Host, cordonInWords, holds, standingRefusal } from "./machines.ts";
import { type Refused, conflicting, cpuInWords, inWords, memoryInWords, testInWords } from "./refusals.ts";
import type { ActiveUnit } from "./units.ts";

/** Conflicting units that are named. */
const mostNamed = 3;

/**
 * What a machine that the unit is not on has against it, in the order of the rules; nothing: it takes the unit. Of one that may
 * still be coming back nothing else is judged.
 */
export function breaks(unit: ActiveUnit): (host: Host) => readonly RefusalRule[] {
  const { options } = unit;
  const byId = { ...options, metadata: [], demands: [] };
  const { machineId: _machineId, ...wishes } = options;
  const byMetadata = { ...wishes, machineId: undefined };
  const { memory: _memory, ...cpuOnly } = options;
  const { milliCpus: _milliCpus, ...memoryOnly } = options;
  return (host) => {
    if (!host.present) return ["no-machine"];
    const found: RefusalRule[] = [];
    if (standingRefusal(byId, host) !== undefined) found.push("machine-id");
    if (standingRefusal(byMetadata, host) !== undefined) found.push("metadata");
    if (host.cordoned) found.push("cordoned");
    if (closedTo(unit, { cordoned: false, metadata: host.metadata }) !== undefined) found.push("spread");
    if (unit.cycle !== undefined) found.push("machine-of-cycle");
    else if (misses(unit, host)) found.push("machine-of");
    if (conflicts(unit, host)) found.push("conflict");
    if ([...unit.replacedBy, ...unit.replaces].some((other) => isOn(other, host))) found.push("replaced");
    if (lacks({ options: memoryOnly }, host) !== undefined) found.push("memory");
    if (lacks({ options: cpuOnly }, host) !== undefined) found.push("cpu");
    return found;
  };
}

/** The rule that the machine counts for. `rules`: all that it breaks. */
export function firstBroken(
  unit: ActiveUnit,
  { host, rules }: { readonly host: Host; readonly rules: readonly RefusalRule[] },
): RefusalRule | undefined {
  const [first] = rules;
  if (rules.includes("machine-of-cycle")) return "machine-of-cycle";
  // Whether those that it replaces could make way is asked when all else fits
  if (first === "replaced" && !unit.replacedBy.some((other) => isOn(other, host)))
    return rules.find((rule) => rule === "memory" || rule === "cpu") ?? first;
  return first;
}

/** Of a machine that is named beside it: `needs 2G of memory, 1.5G are free`. */
export function becauseOf(refused: Refused): string {
  const { unit, host, rule } = refused;
  switch (rule) {
    case "metadata": {
      const { rules, tests } = unmet(unit, host);
      const words = rules.map(({ key, values }) => values.map((value) => `${key}=${value}`).join(" or "));
      return `needs ${[...words, ...tests.map(testInWords)].join(", ")}`;
    }
    case "cordoned":
      return cordonInWords(host);
    case "conflict":
      return `conflicts with ${someOf(conflicting(unit, host).map(({ name }) => name))}`;
    case "memory":
      return memoryInWords(unit, host);
    case "cpu":
      return cpuInWords(unit, host);
    case "no-machine":
      return "has not come back yet";
    case "machine-id":
    case "spread":
    case "machine-of":
    case "machine-of-cycle":
    case "replaced":
      return inWords(refused);
  }
}

/** What it asks of metadata that this machine lacks. */
export function unmet(
  { options }: Pick<ActiveUnit, "options">,
  { metadata }: Pick<Host, "metadata">,
): { readonly rules: readonly MetadataRule[]; readonly tests: readonly MetadataTest[] } {
  return {
    rules: options.metadata.filter(
      ({ key, values }) => !values.some((value) => holds({ key, test: "equals", value }, metadata)),
    ),
    tests: (options.demands ?? []).filter((test) => !holds(test, metadata)),
  };
}

/** `a, b, c and 2 more`. */
export function someOf(names: readonly string[]): string {
  const more = names.length - mostNamed;
  return more > 0 ? `${names.slice(0, mostNamed).join(", ")} and ${more} more` : names.join(", ");
}
