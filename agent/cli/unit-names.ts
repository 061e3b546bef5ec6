// Unit names as people type them.
import { type UnitName, isUnitType, parseUnitName } from "../domain/names.ts";
import { orThrow } from "./checked.ts";

/** The whole name: `.service` is added where no type is given. Throws Problem "unit-name". */
export function completeUnitName(text: string): UnitName {
  const type = text.slice(text.lastIndexOf(".") + 1);
  return orThrow(parseUnitName(text.includes(".") && isUnitType(type) ? text : `${text}.service`));
}
