// What units the words of a command line mean: names, also with a path before them, and patterns over the names that the
// cluster knows. Given to the commands that change units.
import { type UnitName, isKnownUnitType, mangleUnitName, parseUnitName } from "../domain/names.ts";
import { Problem, invalid } from "../domain/problem.ts";
import type { UnitFileReport, UnitFileText } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { answers, listings } from "../report/report.ts";
import { compileGlob } from "../text/glob.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Given } from "./command.ts";

export interface UnitArgument {
  /** As typed. */
  readonly typed: string;
  /** The unit's name, or a pattern over names. */
  readonly name: string;
  readonly isPattern: boolean;
  /** Where its file would lie: the typed path with a type. */
  readonly path: string;
  /** Whether it can only mean a file, if there is one: it has a path or a type. */
  readonly namesFile: boolean;
}

/** Questions that are put to the agent side by side. */
export const parallelAsks = 8;

/** Throws a usage problem for no arguments, and every problem of names that cannot be taken. A word that stands twice counts once. */
export function readUnitArguments(words: readonly string[], verb: string): readonly UnitArgument[] {
  if (words.length === 0) throw usageProblem(`Cannot tell which units to ${verb}`, "Name at least one");
  const read = words.map(readUnitArgument);
  const problems = read.flatMap(({ name, isPattern }) => {
    const checked = isPattern ? compileGlob(name) : parseUnitName(name);
    return checked.ok ? [] : checked.problems;
  });
  if (problems.length > 0) orThrow(invalid(...problems));
  return [...new Map(read.map((each) => [each.name, each])).values()];
}

function readUnitArgument(typed: string): UnitArgument {
  const slash = typed.lastIndexOf("/");
  const base = typed.slice(slash + 1);
  const isPattern = /[*?[]/.test(base);
  const name = isPattern ? completePattern(base) : mangleUnitName(typed);
  const path = typed.slice(0, slash + 1) + name;
  return { typed, name, isPattern, path, namesFile: slash >= 0 || base === name };
}

/** `web@?` means services; a pattern that ends in "*" means whatever comes there. */
export function completePattern(pattern: string): string {
  const type = pattern.slice(pattern.lastIndexOf(".") + 1);
  return pattern.endsWith("*") || (pattern.includes(".") && isKnownUnitType(type)) ? pattern : `${pattern}.service`;
}

/** What the cluster has under this name; undefined: nothing. */
export async function findUnit(
  client: ApiClient,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<UnitFileText | undefined> {
  try {
    const answer = await client.get(`/v2/unit-files/${encodeURIComponent(name)}`, { signal });
    return orThrow(answers.unitFile(answer));
  } catch (error) {
    if (error instanceof Problem && error.code === "unit-unknown") return undefined;
    throw error;
  }
}

/** Units and templates that a pattern names, in name order. Problem "unit-unknown" when it names none. */
export async function matchUnits(
  client: ApiClient,
  { pattern, signal }: { readonly pattern: string; readonly signal: AbortSignal },
): Promise<readonly UnitFileReport[]> {
  const answer = await client.get(`/v2/unit-files?unit=${encodeURIComponent(pattern)}`, { signal });
  const matches = orThrow(compileGlob(pattern));
  const found = orThrow(listings.unitFiles.read(answer)).filter(({ name }) => matches(name));
  if (found.length > 0) return found;
  throw new Problem("unit-unknown", `Cannot find a unit that "${pattern}" names`, {
    hint: "flotilla list-unit-files shows every unit",
  });
}

/** A unit as it was asked for and as the cluster has it. */
export interface KnownUnit {
  readonly name: UnitName;
  readonly file: UnitFileReport;
}

/** In the options of a caller for whom names that are not there are no failure; nobody can type it. */
export const passingOver = { "pass-over-unknown": true } as const;

export function isPassedOver({ options }: Given): boolean {
  return options["pass-over-unknown"] === true;
}

export interface KnownUnitsAsked {
  readonly units: readonly UnitArgument[];
  readonly signal: AbortSignal;
  readonly templates: boolean;
  /** Whether names that nothing is known of are nobody's problem. */
  readonly passOver: boolean;
}

/** Units for stop, unload and destroy. Names that nothing is known of come back as problems, the others all the same. */
export async function findKnownUnits(
  client: ApiClient,
  asked: KnownUnitsAsked,
): Promise<{ readonly found: readonly KnownUnit[]; readonly problems: readonly Problem[] }> {
  const { units, signal, templates, passOver } = asked;
  const all = await sideBySide(units, async ({ name, isPattern }): Promise<readonly UnitFileReport[] | Problem> => {
    try {
      if (isPattern) {
        const matched = await matchUnits(client, { pattern: name, signal });
        return templates ? matched : matched.filter(({ template }) => !template);
      }
      return [orThrow(answers.unitFile(await client.get(`/v2/unit-files/${encodeURIComponent(name)}`, { signal })))];
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "unit-unknown") throw error;
      return error;
    }
  });
  const files = new Map(all.flatMap((each) => (each instanceof Problem ? [] : each)).map((file) => [file.name, file]));
  return {
    found: [...files.values()].map((file) => ({ name: file.name as UnitName, file })),
    problems: passOver ? [] : all.filter((each) => each instanceof Problem),
  };
}

/** Work for each, some of it at a time; results in the order of what was given. The first that rejects ends it. */
export async function sideBySide<T, R>(all: readonly T[], work: (each: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (let from = 0; from < all.length; from += parallelAsks) {
    results.push(...(await Promise.all(all.slice(from, from + parallelAsks).map(work))));
  }
  return results;
}
