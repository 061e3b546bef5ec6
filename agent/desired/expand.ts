// From the named files, links and drop-ins of a tree to whole units: texts read, drop-ins put in order, templates spread
// over their instances, options read. Given to desired.ts. Faults go to the reports; a unit with faults is left out.
import { type UnitName, byName, isTemplate } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { DropIn, Unit } from "../domain/unit.ts";
import { parsedUnitHash } from "../text/hash.ts";
import { type UnitFile, concatenate, lastValue, listValue } from "../text/unit-file.ts";
import { type Paths, resolveLink, templateOf } from "./links.ts";
import { expandKnown, hasSpecifiers } from "./option-values.ts";
import { type OptionsReading, type Source, type UnitOptions, readOptions } from "./options.ts";
import { type Blobs, type Text, type TextReader, blobProblem, rememberOptions } from "./texts.ts";
import type { DropInEntry, NamedEntry, Tree } from "./tree.ts";

/** Where faults and oddities are told. */
export interface Reports {
  problem(...problems: readonly Problem[]): void;
  warning(...warnings: readonly Problem[]): void;
}

/** A unit and what the rules across units ask of it. */
export interface ExpandedUnit {
  readonly unit: Unit;
  readonly machineOfAt: UnitOptions["machineOfAt"];
  /** Its texts: the same list for all that share them. */
  readonly sources: readonly Source[];
}

export interface Expansion {
  /** In name order. */
  readonly units: ReadonlyMap<UnitName, ExpandedUnit>;
  /** In name order. */
  readonly templates: ReadonlyMap<UnitName, Unit>;
}

export interface Given {
  readonly tree: Tree;
  readonly paths: Paths;
  readonly blobs: Blobs;
  readonly texts: TextReader;
}

/** Text and drop-ins as several units may share them. */
interface Body {
  readonly text: Text;
  /** Where the text lies. */
  readonly path: string;
  readonly dropIns: readonly DropIn[];
  readonly sources: readonly Source[];
  /** Text and drop-ins, read one after the other. */
  readonly whole: UnitFile;
  readonly hash: Unit["hash"];
  /** As it is written. */
  readonly description: string | undefined;
  readonly hasInstall: boolean;
  /** Whether its options depend on the unit's name. */
  readonly usesSpecifiers: boolean;
}

/** What is made of a template: undefined parts have faults, which have been told. */
interface Model {
  readonly body: Body | undefined;
  readonly options: UnitOptions | undefined;
}

export function expand(given: Given, reports: Reports): Expansion {
  const { tree, paths, blobs, texts } = given;
  const units = new Map<UnitName, ExpandedUnit>();
  const templates = new Map<UnitName, Unit>();
  const models = new Map<string, Model>();

  /** The drop-ins of a unit: its template's, then its own; an own one of the same name stands in for the template's. */
  const dropInsOf = (name: UnitName): readonly DropInEntry[] => {
    const own = tree.dropIns.get(name) ?? [];
    const template = templateOf(name);
    const shared = template === undefined ? [] : (tree.dropIns.get(template) ?? []);
    if (own.length === 0 || shared.length === 0) return own.length === 0 ? shared : own;
    return [...shared.filter((each) => own.every(({ name: other }) => other !== each.name)), ...own];
  };

  const readBody = (file: { path: string; oid: string }, name: UnitName): Body | undefined => {
    const text = texts.read(file);
    if (!text.ok) reports.problem(...text.problems);
    else if (text.value.parsed.sections.length === 0) {
      const hint = "systemd takes an empty unit file for a masked unit; write its sections or remove the file";
      reports.problem(
        new Problem("unit-empty", `Cannot take the empty unit "${name}"`, { hint, at: { file: file.path } }),
      );
      return undefined;
    }
    const dropIns = dropInsOf(name).map((entry) => {
      const read = texts.read(entry);
      if (!read.ok) reports.problem(...read.problems);
      return read.ok ? { entry, text: read.value } : undefined;
    });
    if (!text.ok || !dropIns.every((each) => each !== undefined)) return undefined;
    return makeBody({ path: file.path, text: text.value }, dropIns);
  };

  const optionsOf = (name: UnitName, body: Body): UnitOptions | undefined => {
    const read = (): OptionsReading => {
      const reading = readOptions(name, body.sources);
      return { ...reading, warnings: [...reading.warnings, ...reloadWarning(name, body, reading.options)] };
    };
    const { text, path } = body;
    const { options, problems, warnings } =
      body.dropIns.length > 0 ? read() : rememberOptions(text, { path, name, read });
    reports.problem(...problems);
    reports.warning(...warnings);
    return problems.length === 0 ? options : undefined;
  };

  const add = (entry: NamedEntry, body: Body, options: UnitOptions): void => {
    const unit = makeUnit(entry, body, options);
    if (isTemplate(entry.name)) templates.set(entry.name, unit);
    else units.set(entry.name, { unit, machineOfAt: options.machineOfAt, sources: body.sources });
  };

  for (const entry of tree.files) {
    const body = readBody(entry, entry.name);
    const options = body === undefined ? undefined : optionsOf(entry.name, body);
    if (isTemplate(entry.name)) models.set(entry.path, { body, options });
    if (body !== undefined && options !== undefined) add(entry, body, options);
  }
  for (const link of tree.links) {
    const target = blobs.get(link.oid);
    if (target === undefined) throw new Error(`No blob ${link.oid} was given for ${link.path}`);
    if (target instanceof Problem) {
      reports.problem(blobProblem(target, link.path));
      continue;
    }
    const resolved = resolveLink({ ...link, target }, paths);
    if (!resolved.ok) {
      reports.problem(...resolved.problems);
      continue;
    }
    const model = models.get(resolved.value);
    // Its template has faults, or is a second file of its name: both have been told, at the template.
    if (model?.body === undefined || model.options === undefined) continue;
    const hasOwn = (tree.dropIns.get(link.name) ?? []).length > 0;
    const file = paths.entries.get(resolved.value);
    const body = hasOwn && file !== undefined ? readBody(file, link.name) : model.body;
    if (body === undefined) continue;
    const follows = model.options.placement.machineOf.includes(link.name);
    const options = body !== model.body || body.usesSpecifiers || follows ? optionsOf(link.name, body) : model.options;
    if (options !== undefined) add(link, body, options);
  }
  return { units: inNameOrder(units), templates: inNameOrder(templates) };
}

function makeBody(
  file: { readonly path: string; readonly text: Text },
  dropIns: readonly { readonly entry: DropInEntry; readonly text: Text }[],
): Body {
  const sources: readonly Source[] = [
    { file: file.path, parsed: file.text.parsed },
    ...dropIns.map(({ entry, text }) => ({ file: entry.path, parsed: text.parsed })),
  ];
  const whole = dropIns.length === 0 ? file.text.parsed : concatenate(sources.map(({ parsed }) => parsed));
  const named = dropIns.map(({ entry, text }) => ({ name: entry.name, file: text.parsed }));
  return {
    text: file.text,
    path: file.path,
    dropIns: dropIns.map(({ entry, text }) => ({ name: entry.name, file: entry.path, text: text.text })),
    sources,
    whole,
    hash: dropIns.length === 0 ? file.text.hash : parsedUnitHash(file.text.parsed, named),
    description: firstDescription(file.text.parsed),
    hasInstall: installOptions.some((key) => listValue(whole, { section: "Install", key }).length > 0),
    usesSpecifiers: whole.assignments.some(({ section, value }) => section === "X-Fleet" && hasSpecifiers(value)),
  };
}

function makeUnit(entry: NamedEntry, body: Body, options: UnitOptions): Unit {
  return {
    name: entry.name,
    source: "git",
    file: entry.path,
    text: body.text.text,
    dropIns: body.dropIns,
    hash: body.hash,
    target: isTemplate(entry.name) ? "inactive" : options.target,
    options: options.placement,
    onChange: options.onChange,
    ...(options.fence === undefined ? {} : { fence: options.fence }),
    description: descriptionOf(entry.name, body),
    hasInstall: body.hasInstall,
  };
}

/** As systemd shows it, as far as the name tells; a template's as it is written. */
function descriptionOf(name: UnitName, { description }: Body): string | undefined {
  if (description?.includes("%") !== true || isTemplate(name)) return description;
  return expandKnown(description, name).value;
}

/** What in [Install] makes systemd do something when the unit is enabled. */
const installOptions = ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"] as const;

function firstDescription(file: UnitFile): string | undefined {
  return file.assignments.find(({ section, key, value }) => section === "Unit" && key === "Description" && value !== "")
    ?.value;
}

/** systemd refuses to reload a service that does not say how, and most other types of units. */
function reloadWarning(name: UnitName, body: Body, options: UnitOptions): readonly Problem[] {
  if (options.onChange !== "reload" || canReload(name, body.whole)) return [];
  const at = body.sources
    .flatMap(({ file, parsed }) => parsed.assignments.map((each) => ({ ...each, file })))
    .findLast(({ section, key }) => section === "X-Fleet" && key === "OnChange");
  const how = name.endsWith(".service") ? "say how in ExecReload= under [Service], or " : "";
  const hint = `It is restarted instead: ${how}write OnChange=restart`;
  return [
    new Problem("unit-no-reload", `Unit "${name}" asks for a reload on change but cannot be reloaded`, {
      hint,
      at: at === undefined ? undefined : { file: at.file, line: at.line },
    }),
  ];
}

function canReload(name: UnitName, text: UnitFile): boolean {
  if (name.endsWith(".mount")) return true;
  const says = (section: string, key: string): boolean => listValue(text, { section, key }).length > 0;
  if (name.endsWith(".service"))
    return says("Service", "ExecReload") || lastValue(text, { section: "Service", key: "Type" }) === "notify-reload";
  return says("Unit", "PropagatesReloadTo");
}

function inNameOrder<T>(map: ReadonlyMap<UnitName, T>): ReadonlyMap<UnitName, T> {
  return new Map([...map].sort(([a], [b]) => byName(a, b)));
}
