// Options of [X-Fleet] that contradict each other, in fleet's words: for fleet's API and its command's name.
// desired.ts refuses the same in flotilla's own words, and more.
import type { UnitName } from "../domain/names.ts";
import { compileGlob } from "../text/glob.ts";
import type { UnitFile } from "../text/unit-file.ts";
import { readOptions } from "./options.ts";

/** fleet's first objection to a unit; undefined when it has none. fleet calls MachineOf= by the name Peers. */
export function fleetObjection(name: UnitName, parsed: UnitFile): string | undefined {
  const { placement } = readOptions(name, [{ file: name, parsed }]).options;
  const { machineId, machineOf, conflicts, replaces, global } = placement;
  const asked = {
    MachineID: machineId !== undefined,
    Peers: machineOf.length > 0,
    Conflicts: conflicts.length > 0,
    Replaces: replaces.length > 0,
    Global: global,
  };
  for (const [what, patterns] of [["conflict", conflicts] as const, ["replace", replaces] as const]) {
    for (const peer of machineOf) {
      const pattern = patterns.find((each) => matches(each, peer));
      if (pattern !== undefined) return `unresolvable requirements: peer "${peer}" matches ${what} "${pattern}"`;
    }
  }
  const pair = pairs.find(([one, other]) => asked[one] && asked[other]);
  return pair === undefined ? undefined : `${pair[0]} cannot be used with ${pair[1]}`;
}

/** In fleet's order. */
const pairs = [
  ["MachineID", "Peers"],
  ["MachineID", "Conflicts"],
  ["MachineID", "Global"],
  ["MachineID", "Replaces"],
  ["Global", "Peers"],
  ["Global", "Replaces"],
  ["Conflicts", "Replaces"],
] as const;

function matches(pattern: string, unit: string): boolean {
  const glob = compileGlob(pattern);
  return glob.ok && glob.value(unit);
}
