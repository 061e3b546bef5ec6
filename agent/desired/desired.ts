// The front door: from the tree of one commit to the units that it wants, or to everything that is wrong with it. Given to
// the loops, the API and `flotilla verify`. Pure: what it needs of the repository is handed in.
import { type CommitId, type UnitName, byName } from "../domain/names.ts";
import type { Problem } from "../domain/problem.ts";
import type { DesiredState, Unit } from "../domain/unit.ts";
import { encodeKeptTexts } from "../text/kept-texts.ts";
import { checkDropIns, checkPeers } from "./check.ts";
import { type Reports, expand } from "./expand.ts";
import { type KeptUnits, readKept } from "./kept.ts";
import { indexPaths } from "./links.ts";
import { type Blobs, type ParseCache, createParseCache, createTextReader } from "./texts.ts";
import { type TreeEntryLike, maxDropIns, sortTree } from "./tree.ts";
import { reckonStops } from "./stop-order.ts";
import { WantedReader, type WantedSources } from "./wanted.ts";

export type { Blobs, KeptUnits, ParseCache, TreeEntryLike, WantedReader, WantedSources };
export { createParseCache };

/** One for each loop that asks again and again what the cluster is to run. */
export function createWantedReader(): WantedReader {
  return new WantedReader(examineTree);
}

/** What `readKeptUnits` reads: a line for each text. */
export function encodeKeptUnits(units: Iterable<Unit>): string {
  return encodeKeptTexts(units);
}

/** Units of a machine's own copy. Their file is unknown, and their target is whatever the manifest says. */
export function readKeptUnits(text: string): KeptUnits {
  // Kept as one list: the template's, then the instance's own
  return readKept(text, new WantedReader((tree) => examineTree({ ...tree, mostDropIns: 2 * maxDropIns })));
}

export interface CommitTree {
  /** All below the configured folder, in any order. */
  readonly entries: readonly TreeEntryLike[];
  /** At least what `selectBlobs` asked for. A Problem stands for a blob that was not to be had, and refuses the commit. */
  readonly blobs: Blobs;
  /** Spares what the last commits had as well. */
  readonly cache?: ParseCache;
  /** Of one folder; as many as a commit may have unless set. */
  readonly mostDropIns?: number;
}

/** What a tree holds, good and bad. */
export interface Examination {
  /** How many files and links are named as units, good and bad. */
  readonly found: number;
  /** Runnable units without a fault, in name order. */
  readonly units: ReadonlyMap<UnitName, Unit>;
  /** Templates without a fault, in name order. */
  readonly templates: ReadonlyMap<UnitName, Unit>;
  /** Why the whole is refused: by file, then line. Empty: it is good. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** The whole commit, or every reason against it; warnings either way. */
export type CommitReading =
  | { readonly ok: true; readonly value: DesiredState }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };

/**
 * The blobs that reading these entries needs, each once: unit files, links and drop-ins. Those that `cache` holds are left
 * out; the same cache must then be given to the reading, and no other commits be read with it in between.
 */
export function selectBlobs(entries: readonly TreeEntryLike[], cache?: ParseCache): readonly string[] {
  const { files, links, dropIns } = sortTree(entries);
  const texts = [...files, ...[...dropIns.values()].flat()].map(({ oid }) => oid);
  return [...new Set([...texts.filter((oid) => cache?.get(oid) === undefined), ...links.map(({ oid }) => oid)])];
}

/** Reads a commit whole: one problem refuses all of it. Throws when a blob that it needs was not handed in. */
export function readCommit({ commit, ...tree }: CommitTree & { readonly commit: CommitId }): CommitReading {
  const { units, templates, problems, warnings } = examineTree(tree);
  if (problems.length > 0) return { ok: false, problems, warnings };
  return { ok: true, value: { commit, units, templates, warnings } };
}

/** The same, with the good units beside the problems. */
export function examineTree({ entries, blobs, cache = createParseCache(), mostDropIns }: CommitTree): Examination {
  const tree = sortTree(entries, { mostDropIns });
  const problems = new Gathered(tree.problems);
  const warnings = new Gathered(tree.warnings);
  const reports: Reports = {
    problem: (...found) => problems.add(found),
    warning: (...found) => warnings.add(found),
  };
  const texts = createTextReader(blobs, cache);
  const expansion = expand({ tree, paths: indexPaths(entries), blobs, texts }, reports);
  cache.endCommit();
  const named = new Set([...tree.files, ...tree.links].map(({ name }) => name));
  warnings.add(checkDropIns(tree.dropIns, { ...expansion, named }));
  // With units missing for their faults, who follows whom would be guesswork.
  if (problems.isEmpty) warnings.add(checkPeers(expansion.units));
  const { fences, problems: endless } = reckonStops(expansion.units);
  problems.add(endless);
  return {
    found: named.size,
    units: new Map(
      [...expansion.units].map(([name, { unit }]) => {
        const fence = fences.get(name);
        return [name, fence === undefined ? unit : { ...unit, fence }];
      }),
    ),
    templates: expansion.templates,
    problems: problems.sorted(),
    warnings: warnings.sorted(),
  };
}

/** Problems told once each, however many units share the text in which they are. */
class Gathered {
  readonly #found = new Map<string, Problem>();

  constructor(problems: readonly Problem[]) {
    this.add(problems);
  }

  get isEmpty(): boolean {
    return this.#found.size === 0;
  }

  add(problems: readonly Problem[]): void {
    for (const problem of problems) {
      const { code, message, at } = problem;
      const key = [at?.file, at?.line, code, message].join("\0");
      if (!this.#found.has(key)) this.#found.set(key, problem);
    }
  }

  /** By file, then line; those without a file first. */
  sorted(): readonly Problem[] {
    return [...this.#found.values()].sort(
      (a, b) =>
        byName(a.at?.file ?? "", b.at?.file ?? "") ||
        (a.at?.line ?? 0) - (b.at?.line ?? 0) ||
        byName(a.message, b.message),
    );
  }
}
