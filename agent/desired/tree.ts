// What the entries of a commit's tree are to flotilla: unit files, links, drop-ins, or nothing. By name alone; no blob
// is looked at here. Given to desired.ts.
import { type UnitName, byName, isKnownUnitType, isUnitType, parseUnitName, unitTypes } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import { suggest } from "../text/suggest.ts";

/** One entry of a tree, as the git port gives it. */
export interface TreeEntryLike {
  /** "/"-joined, from the repository's root. */
  readonly path: string;
  readonly kind: "file" | "link" | "submodule";
  /** Equal ids are equal bytes. */
  readonly oid: string;
}

/** A file or link whose name is a unit name. */
export interface NamedEntry {
  readonly name: UnitName;
  readonly path: string;
  readonly oid: string;
}

export interface DropInEntry {
  /** The unit that it belongs to. */
  readonly unit: UnitName;
  /** Its file name. */
  readonly name: string;
  readonly path: string;
  readonly oid: string;
}

export interface Tree {
  /** In path order, and each name at most once over `files` and `links`. */
  readonly files: readonly NamedEntry[];
  readonly links: readonly NamedEntry[];
  /** By unit; in the order of their file names, each at most once. */
  readonly dropIns: ReadonlyMap<UnitName, readonly DropInEntry[]>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Units and templates of one commit; as many as a tree may have entries. */
export const maxUnits = 200_000;
/** Drop-ins of one unit; an instance has its template's besides. */
export const maxDropIns = 500;
/** A drop-in's file name, with room for what an adapter puts before it. */
export const maxDropInNameBytes = 200;

/** Endings that are a slip away from a unit type and mean something else. */
const otherEndings: ReadonlySet<string> = new Set(["patch", "swp", "time"]);

/** Sorts the entries; problems and warnings are in path order. Problems: "unit-name", "unit-twice", "drop-in", "tree-path", "tree-size". */
export function sortTree(entries: readonly TreeEntryLike[], { mostDropIns = maxDropIns } = {}): Tree {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const files: NamedEntry[] = [];
  const links: NamedEntry[] = [];
  const firstPath = new Map<UnitName, string>();
  const dropIns = new Map<UnitName, Map<string, DropInEntry>>();
  const oddConfs: TreeEntryLike[] = [];

  for (const entry of [...entries].sort((a, b) => byName(a.path, b.path))) {
    const { path, kind, oid } = entry;
    const at = { file: path };
    const slash = path.lastIndexOf("/");
    const base = path.slice(slash + 1);
    if (kind === "submodule") continue;
    if (/(^|\/)(\.{0,2}|\.git)(\/|$)/.test(path)) {
      const hint = "Such a path does not come from git's own tools; make the commit anew";
      problems.push(new Problem("tree-path", `Cannot take the path "${path}"`, { hint, at }));
      continue;
    }

    const dot = base.lastIndexOf(".");
    const ending = base.slice(dot + 1);
    if (dot >= 0 && isUnitType(ending)) {
      const parsed = parseUnitName(base);
      if (!parsed.ok) {
        const { code, message, hint } = parsed.problems[0] ?? new Problem("unit-name", "Cannot take the name");
        problems.push(new Problem(code, message, { hint, at }));
        continue;
      }
      const name = parsed.value;
      const other = firstPath.get(name);
      if (other !== undefined) {
        const message = `Cannot take unit "${name}" twice: "${other}" and "${path}"`;
        const hint = "Names are unique in the whole tree, whatever the folder; remove one of the two";
        problems.push(new Problem("unit-twice", message, { hint, at }));
        continue;
      }
      firstPath.set(name, path);
      (kind === "link" ? links : files).push({ name, path, oid });
      continue;
    }

    const folder = slash < 0 ? "" : path.slice(path.lastIndexOf("/", slash - 1) + 1, slash);
    const unit = dropInUnit(folder);
    if (unit !== undefined) {
      if (ending !== "conf" || dot < 0) {
        warnings.push(nearMiss(`"${base}" is no drop-in and is ignored`, "A drop-in's name ends in .conf", path));
        continue;
      }
      const fault = dropInFault(base, kind);
      const own = dropIns.get(unit) ?? new Map<string, DropInEntry>();
      const other = own.get(base);
      if (fault !== undefined) {
        problems.push(new Problem("drop-in", `Cannot take the drop-in "${base}"`, { hint: fault, at }));
      } else if (other !== undefined) {
        const message = `Cannot take drop-in "${base}" of unit "${unit}" twice: "${other.path}" and "${path}"`;
        problems.push(new Problem("drop-in", message, { hint: "Remove or rename one of the two", at }));
      } else if (own.size >= mostDropIns) {
        const hint = `At most ${mostDropIns} are allowed; put several settings into one`;
        problems.push(new Problem("drop-in", `Cannot take so many drop-ins of unit "${unit}"`, { hint, at }));
      } else {
        dropIns.set(unit, own.set(base, { unit, name: base, path, oid }));
      }
      continue;
    }
    if (kind === "link" && dropInUnit(base) !== undefined) {
      const hint = "A link to a folder of drop-ins is not followed; put a folder there";
      problems.push(new Problem("drop-in", `Cannot take the drop-ins in "${base}"`, { hint, at }));
      continue;
    }
    if (ending === "conf" && folder.endsWith(".d")) oddConfs.push(entry);
    else if (dot > 0) warnings.push(...oddEnding(base, ending, path));
  }

  for (const { path } of oddConfs) warnings.push(...oddDropInFolder(path, firstPath));
  if (firstPath.size > maxUnits) {
    const hint = `At most ${maxUnits} are allowed`;
    problems.push(new Problem("tree-size", `Cannot take ${firstPath.size} units in one commit`, { hint }));
  }
  return {
    files,
    links,
    dropIns: new Map(
      [...dropIns].map(([unit, own]) => [unit, [...own.values()].sort((a, b) => byName(a.name, b.name))]),
    ),
    problems,
    warnings,
  };
}

/** The unit whose drop-ins are in a folder of this name; undefined for other folders. */
function dropInUnit(folder: string): UnitName | undefined {
  if (!folder.endsWith(".d")) return undefined;
  const parsed = parseUnitName(folder.slice(0, -2));
  return parsed.ok ? parsed.value : undefined;
}

function dropInFault(name: string, kind: TreeEntryLike["kind"]): string | undefined {
  if (kind === "link") return "A drop-in must be a file, not a link";
  if (!/^[0-9A-Za-z:_\\@-][0-9A-Za-z:_.\\@-]*\.conf$/.test(name)) {
    return "Its name may hold letters, digits and : - _ . \\ @ and begins with no dot";
  }
  return name.length > maxDropInNameBytes ? `Its name may have at most ${maxDropInNameBytes} bytes` : undefined;
}

function nearMiss(message: string, hint: string, path: string): Problem {
  return new Problem("near-miss", message, { hint, at: { file: path } });
}

function oddEnding(base: string, ending: string, path: string): readonly Problem[] {
  if (isKnownUnitType(ending)) {
    const parsed = parseUnitName(base);
    const hint = parsed.ok ? undefined : parsed.problems[0]?.hint;
    return [nearMiss(`"${base}" is ignored: such units cannot be placed`, hint ?? "Remove it", path)];
  }
  const meant = otherEndings.has(ending.toLowerCase()) ? undefined : suggest(ending, unitTypes);
  return meant === undefined ? [] : [nearMiss(`"${base}" is no unit and is ignored`, `Did you mean .${meant}?`, path)];
}

/** `web.d/x.conf` beside web.service, `web.servce.d/x.conf`, `service.d/x.conf`; not the `conf.d` of some program. */
function oddDropInFolder(path: string, units: ReadonlyMap<UnitName, string>): readonly Problem[] {
  const parts = path.split("/");
  const folder = parts.at(-2) ?? "";
  const stem = folder.slice(0, -2);
  const message = `The drop-in "${parts.at(-1) ?? ""}" is ignored: its folder "${folder}" names no unit`;
  const ending = stem.slice(stem.lastIndexOf(".") + 1);
  if (isUnitType(stem)) {
    return [nearMiss(message, "Drop-ins for a whole type are not read; name the unit", path)];
  }
  const service = parseUnitName(`${stem}.service`);
  if (service.ok && units.has(service.value)) return [nearMiss(message, `Did you mean ${service.value}.d?`, path)];
  if (!stem.includes(".")) return [];
  if (isUnitType(ending)) return [nearMiss(message, "Nothing of that name can be a unit", path)];
  const meant = suggest(ending, unitTypes);
  return meant === undefined ? [] : [nearMiss(message, `Did you mean .${meant}.d?`, path)];
}
