// Units of a working copy looked at as those of a commit are, and by systemd besides. Given to the verify command, which
// prints, and to plan; knows no output.
import { type Examination, examineTree, selectBlobs } from "../desired/desired.ts";
import { isInstance, parseUnitName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { Unit } from "../domain/unit.ts";
import type { WorkingCopy, WorkingTree } from "../ports/working-copy.ts";

export interface Verification {
  /** What would refuse the commit. By file, then line. */
  readonly problems: readonly Problem[];
  /** What is odd; systemd's own findings come last. */
  readonly warnings: readonly Problem[];
  /** How many units and templates were looked at. */
  readonly units: number;
  /** False: there is no systemd-analyze here, so that options of systemd itself were not looked at. */
  readonly analyzed: boolean;
}

/** Files read side by side. */
const parallelReads = 16;
/** Of one file alone nothing can be said about the units beside it. */
const acrossUnits: ReadonlySet<string> = new Set(["machine-of-unknown", "machine-of-inactive", "drop-in-unused"]);

/** Looks at a folder as a whole, or at one unit with its template and drop-ins. Rejects as WorkingCopy does. */
export async function verifyWorkingCopy(
  copy: WorkingCopy,
  { path, signal }: { readonly path: string; readonly signal?: AbortSignal },
): Promise<Verification> {
  const tree = await copy.tree(path, signal);
  const { found, units, templates, problems, warnings } = await examineWorkingTree(tree, signal);
  const nameProblems = problems.length === 0 ? askedProblems(tree) : [];
  const wanted = tree.asked?.path;
  // That it looks like a unit is no news where its name is refused as one
  const isUntold = ({ at }: Problem): boolean => nameProblems.length === 0 || at?.file !== wanted;
  const all = [...templates.values(), ...units.values()];
  const looked = wanted === undefined ? worthAnalyzing(all) : all.filter(({ file }) => file === wanted);
  const analysis = looked.length === 0 ? undefined : await copy.analyze(looked, signal);
  return {
    problems: [...problems, ...nameProblems],
    warnings: [
      ...warnings.filter(({ code }) => wanted === undefined || !acrossUnits.has(code)).filter(isUntold),
      ...(analysis?.findings ?? []),
    ],
    units: wanted === undefined ? found : Math.min(found, 1),
    analyzed: analysis?.available ?? true,
  };
}

/** Its units as the leader would read them from a commit. Rejects when it is given up. */
export async function examineWorkingTree(tree: WorkingTree, signal: AbortSignal | undefined): Promise<Examination> {
  return examineTree({ entries: tree.entries, blobs: await readBlobs(tree, signal) });
}

/** A file that cannot be read is a problem of that file; the others are looked at all the same. */
async function readBlobs(
  tree: WorkingTree,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, Uint8Array | Problem>> {
  const blobs = new Map<string, Uint8Array | Problem>();
  const wanted = selectBlobs(tree.entries);
  for (let from = 0; from < wanted.length; from += parallelReads) {
    if (signal?.aborted === true) throw new Problem("aborted", "Cannot go on reading", { cause: signal.reason });
    const read = wanted.slice(from, from + parallelReads).map(async (oid) => {
      try {
        blobs.set(oid, await tree.read(oid));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        blobs.set(oid, error);
      }
    });
    await Promise.all(read);
  }
  return blobs;
}

/** One file that was asked for by name is not passed over in silence. */
function askedProblems({ asked }: WorkingTree): readonly Problem[] {
  if (asked === undefined) return [];
  const parsed = parseUnitName(asked.path.slice(asked.path.lastIndexOf("/") + 1));
  if (parsed.ok) return [];
  return parsed.problems.map(
    ({ code, message, hint }) => new Problem(code, message, { hint, at: { file: asked.path } }),
  );
}

/** Instances that differ from their template in nothing but the name are looked at with it. */
function worthAnalyzing(units: readonly Unit[]): readonly Unit[] {
  const hashes = new Set(units.filter(({ name }) => name.includes("@.")).map(({ hash }) => hash));
  return units.filter(({ name, hash }) => !isInstance(name) || !hashes.has(hash));
}
