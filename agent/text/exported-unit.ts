// A unit as a plan looks at it. Given to report/, which exports a cluster's, and to plan/, which sets a commit's beside them.
import type { UnitHash } from "../domain/names.ts";
import type { ExportedUnit } from "../domain/plan.ts";
import type { Unit } from "../domain/unit.ts";
import { systemdHash } from "./hash.ts";

/** For many units: a text that instances share is read once. */
export function unitExporter(): (unit: Unit) => ExportedUnit {
  const known = new Map<string, UnitHash>();
  const hashOf = (unit: Unit): UnitHash => {
    const key = `${unit.fence?.stepMs ?? ""} ${unit.hash}`;
    const hash = known.get(key) ?? systemdHash(unit);
    known.set(key, hash);
    return hash;
  };
  return (unit) => {
    const { name, source, hash, target, options, onChange } = unit;
    return { name, source, hash, systemdHash: hashOf(unit), target, options, onChange };
  };
}
