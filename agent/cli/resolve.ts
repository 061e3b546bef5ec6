// Which text a unit is to have that is named on the command line of submit, load, start or restart: the cluster's own, a
// file's, or a template's. All of it is found out before anything is changed.
import { type UnitName, isInstance, isTemplate, parseUnitName, unitNameParts } from "../domain/names.ts";
import { Problem, invalid } from "../domain/problem.ts";
import type { UnitFileReport } from "../domain/report.ts";
import type { TargetState } from "../domain/unit.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { LocalUnits } from "../ports/local-units.ts";
import { orThrow } from "./checked.ts";
import type { LocalText, UnitText } from "./local-text.ts";
import { type UnitArgument, findUnit, matchUnits, sideBySide } from "./unit-arguments.ts";

export type Verb = "submit" | "load" | "start" | "restart";

export interface Resolved {
  readonly name: UnitName;
  /** As the cluster has it; undefined: it is new. */
  readonly known: UnitFileReport | undefined;
  /** What it is to have from now on; undefined: what it has. */
  readonly text: UnitText | undefined;
}

export interface Resolution {
  readonly units: readonly Resolved[];
  /** In fleet's words, for stderr. */
  readonly warnings: readonly string[];
  /** What is odd about files. */
  readonly remarks: readonly Problem[];
  /** In fleet's words, for stdout. */
  readonly notes: readonly string[];
}

export interface Resolving {
  readonly client: ApiClient;
  readonly files: LocalUnits;
  readonly verb: Verb;
  readonly replace: boolean;
  /** As fleet's client: what cannot be replaced is only warned of, and keeps its text. */
  readonly warnsOnly: boolean;
  readonly signal: AbortSignal;
}

/** What each command may replace: units that want no more than this. */
const replaceable: Readonly<Record<Verb, readonly TargetState[]>> = {
  submit: ["inactive"],
  load: ["inactive", "loaded"],
  start: ["inactive", "loaded", "launched"],
  restart: [],
};

/** One argument's part of a resolution. */
interface Part {
  readonly units: readonly Resolved[];
  readonly problems?: readonly Problem[];
  readonly warning?: string;
  readonly remarks?: readonly Problem[];
  readonly note?: string;
}

/** Rejects with every problem of every argument at once. */
export async function resolveUnits(args: readonly UnitArgument[], how: Resolving): Promise<Resolution> {
  const parts = await sideBySide(args, async (argument): Promise<Part> => {
    try {
      return await (argument.isPattern ? resolvePattern(argument, how) : resolveName(argument, how));
    } catch (error) {
      const problems = problemsOf(error);
      // One that ends every other argument as well is said once
      if (problems === undefined || problems.some(({ code }) => isFatal(code))) throw error;
      return { units: [], problems };
    }
  });
  const problems = parts.flatMap((part) => part.problems ?? []);
  if (problems.length > 0) orThrow(invalid(...problems));
  return {
    units: [...new Map(parts.flatMap(({ units }) => units).map((each) => [each.name, each])).values()],
    warnings: parts.flatMap(({ warning }) => warning ?? []),
    remarks: parts.flatMap(({ remarks }) => remarks ?? []),
    notes: parts.flatMap(({ note }) => note ?? []),
  };
}

function problemsOf(error: unknown): readonly Problem[] | undefined {
  if (error instanceof Problem) return [error];
  if (!(error instanceof AggregateError)) return undefined;
  const inner = error.errors.map(problemsOf);
  return inner.every((each) => each !== undefined) ? inner.flat() : undefined;
}

function isFatal(code: string): boolean {
  return code === "aborted" || code === "commit-missing" || /^(agent|registry|api)-/.test(code);
}

async function resolvePattern({ name, path }: UnitArgument, { client, verb, signal }: Resolving): Promise<Part> {
  if (verb === "submit") {
    throw new Problem("unit-unknown", `Cannot find the file "${path}"`, {
      hint: "Your shell expands patterns over files; leave out the quotes",
    });
  }
  const found = await matchUnits(client, { pattern: name, signal });
  const units = found.filter(({ template }) => !template);
  if (units.length === 0) {
    throw new Problem("unit-template", `Cannot ${verb} what "${name}" names: all are templates`, {
      hint: "A template is never run itself; start an instance of it",
    });
  }
  return { units: units.map((file) => ({ name: file.name as UnitName, known: file, text: undefined })) };
}

async function resolveName(argument: UnitArgument, how: Resolving): Promise<Part> {
  const name = orThrow(parseUnitName(argument.name));
  const { client, verb, signal } = how;
  if (isTemplate(name) && verb !== "submit") {
    throw new Problem("unit-template", `Cannot ${verb} "${name}": a template is never run itself`, {
      hint: `Name an instance of it: ${name.replace("@", "@1")}`,
    });
  }
  const [known, own] = await Promise.all([findUnit(client, { name, signal }), readFile(name, argument.path, how)]);
  if (known === undefined) return create({ name, argument, own }, how);
  if (known.source === "git") return besideGit({ name, argument, own, known }, how);
  return keepOrReplace({ name, argument, own, known }, how);
}

interface Found {
  readonly name: UnitName;
  readonly argument: UnitArgument;
  /** The file at the typed path. */
  readonly own: LocalText | undefined;
}

type Known = Found & { readonly known: UnitFileReport };

/** A new unit: from its file, from the cluster's template, from the template beside where its file would be. */
async function create({ name, argument, own }: Found, how: Resolving): Promise<Part> {
  if (own !== undefined) return { units: [{ name, known: undefined, text: own }], remarks: own.warnings };
  const { template } = unitNameParts(name);
  if (!isInstance(name) || template === undefined) {
    throw new Problem("unit-unknown", `unable to find Unit(${name}) in Registry or on filesystem`, {
      hint: `There is no file "${argument.path}", and flotilla list-unit-files shows no such unit`,
    });
  }
  const known = await findUnit(how.client, { name: template, signal: how.signal });
  if (known !== undefined) return { units: [{ name, known: undefined, text: known }] };
  const beside = await readTemplate(name, argument.path, how);
  if (beside === undefined) {
    throw new Problem(
      "unit-unknown",
      `failed getting Unit(${argument.typed}) from template: unable to find template Unit(${template}) in Registry or on filesystem`,
      { hint: `There is no file "${folderOf(argument.path)}${template}"` },
    );
  }
  return { units: [{ name, known: undefined, text: beside }], remarks: beside.warnings };
}

/** A name is the repository's or a hand's, never both's. */
function besideGit({ name, argument, own, known }: Known, { verb, replace }: Resolving): Part {
  const unit = { name, known, text: undefined };
  if (own === undefined && verb !== "submit" && !replace) return { units: [unit] };
  const differs = own !== undefined && own.hash !== known.hash;
  if (verb === "submit" || replace || (differs && argument.namesFile)) {
    const from = own === undefined ? "" : ` from "${own.path}"`;
    throw new Problem("unit-git", `Cannot ${verb} unit "${name}"${from}: the repository has it in ${known.file}`, {
      hint: `Change ${known.file} there and commit, or use another name`,
    });
  }
  if (!differs) return { units: [unit] };
  return {
    units: [unit],
    warning: `WARNING: Unit ${name} in the repository differs from local unit file ${own.path}. The repository's counts.`,
  };
}

async function keepOrReplace({ name, argument, own, known }: Known, how: Resolving): Promise<Part> {
  const unit = { name, known, text: undefined };
  const fromTemplate = own === undefined && isInstance(name);
  const local = fromTemplate ? await readTemplate(name, argument.path, how) : own;
  if (!how.replace) {
    if (local === undefined || local.hash === known.hash) return { units: [unit] };
    const kind = fromTemplate ? "template unit file" : "unit file";
    return {
      units: [unit],
      warning: `WARNING: Unit ${name} in registry differs from local ${kind} ${local.path}. Add --replace to override.`,
    };
  }
  if (local === undefined) {
    throw new Problem("unit-unknown", `Cannot replace unit "${name}": there is no file "${argument.path}"`, {
      hint: "--replace takes the text of a file, or of the template beside it",
    });
  }
  if (local.hash === known.hash) {
    return { units: [unit], note: `Found same Unit(${name}) in Registry, nothing to do` };
  }
  if (!replaceable[how.verb].includes(known.desired)) {
    if (!how.warnsOnly) throw irreplaceable(known, { verb: how.verb, typed: argument.typed });
    return {
      units: [unit],
      warning: `Warning: can not replace Unit(${name}) in state '${known.desired}', use the appropriate command`,
    };
  }
  return { units: [{ name, known, text: local }], remarks: local.warnings };
}

/** To put a text under what is to be up would stop it, or leave it running with the old one. */
function irreplaceable(
  { name, desired }: UnitFileReport,
  { verb, typed }: { readonly verb: Verb; readonly typed: string },
): Problem {
  const right = desired === "launched" ? "start" : "load";
  return new Problem("unit-replace", `Cannot ${verb} unit "${name}" with a new text: it is ${desired}`, {
    hint: `flotilla ${right} --replace ${typed} puts the text in place and keeps it ${desired}`,
  });
}

function readTemplate(name: UnitName, path: string, how: Resolving): Promise<LocalText | undefined> {
  const { template } = unitNameParts(name);
  return template === undefined ? Promise.resolve(undefined) : readFile(name, folderOf(path) + template, how);
}

async function readFile(name: UnitName, path: string, { files, signal }: Resolving): Promise<LocalText | undefined> {
  const [found, { readLocalText }] = await Promise.all([
    files.find(path, { name, signal }),
    // The readers of units are loaded for nobody else
    import("./local-text.ts"),
  ]);
  return found === undefined ? undefined : readLocalText(name, found);
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}
