// A unit file on this machine, read as the cluster will read it: what is wrong is named with file and line before anybody
// is asked. Given to resolve.ts; loads the readers of units.
import { examineTree } from "../desired/desired.ts";
import type { UnitName } from "../domain/names.ts";
import { Problem, invalid } from "../domain/problem.ts";
import type { LocalUnit } from "../ports/local-units.ts";
import { orThrow } from "./checked.ts";

/** What is sent to the cluster. */
export interface UnitText {
  readonly text: string;
  readonly dropIns: readonly { readonly name: string; readonly text: string }[];
  /** Of both together. */
  readonly hash: string;
}

export interface LocalText extends UnitText {
  readonly path: string;
  /** What is odd about it. */
  readonly warnings: readonly Problem[];
}

/** Of one file alone nothing can be said about the units beside it. */
const acrossUnits: ReadonlySet<string> = new Set(["machine-of-unknown", "machine-of-inactive", "drop-in-unused"]);

/** The unit of this name from that file. Throws every problem that it has. */
export function readLocalText(name: UnitName, { path, bytes, dropIns }: LocalUnit): LocalText {
  const files = [
    { inTree: name as string, path, bytes },
    ...dropIns.map((each) => ({ ...each, inTree: `${each.unit}.d/${each.name}` })),
  ];
  const real = new Map(files.map((file) => [file.inTree, file.path]));
  const found = examineTree({
    entries: files.map(({ inTree }, index) => ({ path: inTree, kind: "file", oid: String(index) })),
    blobs: new Map(files.map((file, index) => [String(index), file.bytes])),
  });
  const problems = found.problems.map((problem) => atRealPath(problem, real));
  if (problems.length > 0) orThrow(invalid(...problems));
  const unit = found.units.get(name) ?? found.templates.get(name);
  if (unit === undefined) throw new Error(`Unit ${name} is neither good nor bad`);
  return {
    path,
    text: unit.text,
    dropIns: unit.dropIns.map((each) => ({ name: each.name, text: each.text })),
    hash: unit.hash,
    warnings: found.warnings.filter(({ code }) => !acrossUnits.has(code)).map((warning) => atRealPath(warning, real)),
  };
}

function atRealPath(problem: Problem, real: ReadonlyMap<string, string>): Problem {
  const { code, message, hint, at, cause } = problem;
  if (at === undefined) return problem;
  return new Problem(code, message, { hint, cause, at: { ...at, file: real.get(at.file) ?? at.file } });
}
