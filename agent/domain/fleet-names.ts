// Unit names as fleet judges them, in fleet's words: for its API and its command's name. What flotilla
// refuses beyond fleet is told in the same manner.
import { isUnitType, maxUnitNameBytes, parseUnitName, templateTypes } from "./names.ts";

/** What is wrong with a unit name, as fleet says it; undefined for a name that flotilla takes. */
export function fleetNameFault(name: string): string | undefined {
  const checked = parseUnitName(name);
  if (checked.ok) return undefined;
  if (name === "") return "unit name cannot be empty";
  if (new TextEncoder().encode(name).length > maxUnitNameBytes) {
    return `unit name exceeds maximum length (${maxUnitNameBytes})`;
  }
  const dot = name.lastIndexOf(".");
  if (dot < 0) return 'unit name must contain "."';
  const type = name.slice(dot + 1);
  if (type === "") return 'unit name cannot end in "."';
  if (!isUnitType(type)) return `invalid unit type: ${JSON.stringify(type)}`;
  if (name.includes("@") && !templateTypes.includes(type)) return `invalid unit type for template: "${type}"`;
  const [stray] = /[^0-9A-Za-z:_.\\@-]/u.exec(name.slice(0, dot)) ?? [];
  if (stray !== undefined) return `invalid character '${shown(stray)}' in unit name`;
  if (name.startsWith("@")) return 'unit name cannot start in "@"';
  // fleet took a bare type for a name
  return checked.problems[0]?.message ?? "invalid unit name";
}

function shown(character: string): string {
  return character === "'" ? "\\'" : JSON.stringify(character).slice(1, -1);
}
