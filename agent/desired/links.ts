// Where a link of the tree leads, worked out from git objects alone; no file system is asked. Given to expand.ts.
// A link names an instance and leads, in one step and inside the repository, to the file of its template.
import { type UnitName, isInstance, unitNameParts } from "../domain/names.ts";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { NamedEntry, TreeEntryLike } from "./tree.ts";

/** Linux' PATH_MAX. */
export const maxLinkBytes = 4096;

/** What lies at which path. */
export interface Paths {
  readonly entries: ReadonlyMap<string, TreeEntryLike>;
  readonly folders: ReadonlySet<string>;
}

export function indexPaths(entries: readonly TreeEntryLike[]): Paths {
  const folders = new Set<string>([""]);
  for (const { path } of entries) {
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const folder = path.slice(0, slash);
      if (folders.has(folder)) break;
      folders.add(folder);
    }
  }
  return { entries: new Map(entries.map((entry) => [entry.path, entry])), folders };
}

export interface Link extends NamedEntry {
  /** Its blob: the target as written. */
  readonly target: Uint8Array;
}

/**
 * The path of the template's file that the link leads to. Problems, at the link: "link-name" (it does not name an
 * instance), "link-target" (absolute, escaping, dangling, chained, looping, not a path), "link-template" (a file, but not
 * that of its template).
 */
export function resolveLink(link: Link, paths: Paths): Checked<string> {
  const refuse = (code: string, why: string, hint: string): Checked<never> =>
    invalid(new Problem(code, `Cannot take the link "${link.path}"${why}`, { hint, at: { file: link.path } }));
  const { template } = unitNameParts(link.name);
  if (template === undefined || !isInstance(link.name)) {
    const hint = "Only an instance of a template, such as web@1.service, may be a link; put a file there";
    return refuse("link-name", `: "${link.name}" is not an instance`, hint);
  }
  const toTemplate = `A link leads to the file of its template ${template}, as in ../templates/${template}`;
  const target = readTarget(link.target);
  if (target === undefined) return refuse("link-target", ": its target is not a path", toTemplate);
  if (target.startsWith("/")) return refuse("link-target", `: its target "${target}" is absolute`, toTemplate);

  const parts = link.path.split("/").slice(0, -1);
  const steps = target.split("/").filter((step) => step !== "" && step !== ".");
  for (const [index, step] of steps.entries()) {
    if (step === "..") {
      if (parts.pop() === undefined) {
        return refuse("link-target", `: its target "${target}" leads out of the repository`, toTemplate);
      }
      continue;
    }
    parts.push(step);
    if (index === steps.length - 1) break;
    const folder = parts.join("/");
    if (paths.entries.get(folder)?.kind === "link") {
      return refuse("link-target", `: its target "${target}" leads through another link, "${folder}"`, toTemplate);
    }
    if (!paths.folders.has(folder)) return refuse("link-target", `: its target "${target}" is not there`, toTemplate);
  }
  const end = parts.join("/");
  const found = paths.entries.get(end);
  if (end === link.path) return refuse("link-target", ": it leads to itself", toTemplate);
  if (found?.kind === "link") return refuse("link-target", `: it leads to another link, "${end}"`, toTemplate);
  if (paths.folders.has(end)) return refuse("link-target", `: its target "${target}" is a folder`, toTemplate);
  if (found?.kind !== "file" || target.endsWith("/")) {
    const hint = `${toTemplate}; it must be among the files that flotilla reads`;
    return refuse("link-target", `: its target "${target}" is not there`, hint);
  }
  if (parts.at(-1) !== template) return refuse("link-template", `: it leads to "${end}"`, toTemplate);
  return valid(end);
}

/** A link whose target cannot be read as text is no path for us; neither is an empty one. */
function readTarget(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0 || bytes.length > maxLinkBytes) return undefined;
  const text = Buffer.from(bytes).toString("utf8");
  return /[\x00-\x1f\x7f\ufffd]/.test(text) ? undefined : text;
}

/** The template of an instance, if the name is one. */
export function templateOf(name: UnitName): UnitName | undefined {
  return isInstance(name) ? unitNameParts(name).template : undefined;
}
