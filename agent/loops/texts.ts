// The unit texts that a manifest names: those that this machine has kept, and the others from where they are from. Of git's
// units that is git alone: the registry says which unit and which hash, never what is in it. Given to local.ts.
import { type CommitId, type UnitName, byName } from "../domain/names.ts";
import type { ManifestEntry } from "../domain/placement.ts";
import { Problem, asProblem } from "../domain/problem.ts";
import type { Unit } from "../domain/unit.ts";
import type { Git } from "../ports/git.ts";
import { type Commits, refusedHere } from "./commits.ts";
import type { Fetches } from "./fetches.ts";
import type { KeptTexts } from "./kept-texts.ts";
import type { SubmittedTexts } from "./submitted-texts.ts";

export interface Texts {
  /**
   * As given; where a text cannot be had and an older one of that unit was kept, with that one's hash: it is what the machine
   * runs, also after a reboot, until the new one can be had.
   */
  readonly entries: readonly ManifestEntry[];
  readonly units: ReadonlyMap<UnitName, Unit>;
  /** Those with an older text that is to be put to no new use for so many ms: the new one may come meanwhile. */
  readonly awaited: { readonly names: ReadonlySet<UnitName>; readonly ms: number };
  /** Why some are left out or older (not to be had now, or not with the hash that the manifest names), or not kept. */
  readonly missing: Problem | undefined;
}

export interface TextSources {
  /** Undefined: no repository is set. */
  readonly git: GitSource | undefined;
  readonly submitted: Pick<SubmittedTexts, "find" | "refusal">;
  readonly kept: Pick<KeptTexts, "load" | "find" | "keep">;
}

export interface GitSource {
  readonly port: Git;
  readonly commits: Commits;
}

type GitEntry = ManifestEntry & { readonly source: "git" };

/**
 * What is at hand; has a commit fetched only when it is not in the store. Rejects with the signal only: what cannot be had is
 * left out.
 */
export async function findTexts(
  entries: readonly ManifestEntry[],
  sources: TextSources & { readonly fetches: Fetches },
  signal: AbortSignal,
): Promise<Texts> {
  const { kept, submitted } = sources;
  await kept.load();
  const refused = entries.find((entry) => entry.source === "submitted" && submitted.refusal(entry) !== undefined);
  const usable = refused === undefined ? entries : entries.filter(({ source }) => source !== "submitted");
  const units = new Map<UnitName, Unit>();
  for (const entry of usable) {
    const unit = kept.find(entry);
    if (unit?.hash === entry.hash) units.set(entry.name, unit);
  }
  const wanting = usable.filter(({ name }) => !units.has(name));
  const byHand = await submitted.find(
    wanting.filter(({ source }) => source === "submitted"),
    signal,
  );
  const inGit = await findInGit(
    wanting.filter((entry): entry is GitEntry => entry.source === "git"),
    sources,
    signal,
  );
  for (const unit of [...byHand.units, ...inGit.units.values()]) units.set(unit.name, unit);
  const standIns = new Map<UnitName, Unit>();
  for (const entry of usable) {
    const older = units.has(entry.name) ? undefined : kept.find(entry);
    if (older !== undefined) standIns.set(entry.name, older);
  }
  for (const unit of standIns.values()) units.set(unit.name, unit);
  const unkept = await kept.keep(units).then(
    () => undefined,
    (error: unknown) => asProblem(error, "disk-write", "Cannot keep the units' texts"),
  );
  return {
    entries: entries.map((entry) => ({ ...entry, hash: standIns.get(entry.name)?.hash ?? entry.hash })),
    units,
    awaited: { names: new Set(inGit.awaitedMs > 0 ? standIns.keys() : []), ms: inGit.awaitedMs },
    missing: inGit.missing ?? byHand.missing ?? (refused && submitted.refusal(refused)) ?? unkept,
  };
}

interface FoundInGit {
  readonly units: ReadonlyMap<UnitName, Unit>;
  readonly awaitedMs: number;
  readonly missing: Problem | undefined;
}

async function findInGit(
  entries: readonly GitEntry[],
  { git, fetches }: Pick<TextSources, "git"> & { readonly fetches: Fetches },
  signal: AbortSignal,
): Promise<FoundInGit> {
  const units = new Map<UnitName, Unit>();
  if (git === undefined) return { units, awaitedMs: 0, missing: entries.length === 0 ? undefined : unsetProblem() };
  const lacking = new Map<CommitId, readonly GitEntry[]>();
  let missing: Problem | undefined;
  const tryTake = async (commit: CommitId, group: readonly GitEntry[]): Promise<void> => {
    try {
      if (!lacking.has(commit) && !(await git.commits.has(commit))) lacking.set(commit, group);
      else missing ??= await take(commit, { group, units, sources: git });
    } catch (error) {
      if (signal.aborted) throw error;
      missing ??= asProblem(error, "git-commit", `Cannot read commit ${commit}`);
    }
  };
  for (const [commit, group] of groupByCommit(entries)) await tryTake(commit, group);
  const fetched = fetches.look([...lacking.keys()], git.port, signal);
  if (fetched.kind === "over") {
    missing ??= fetched.failure;
    // What came in between is there, and what did not is told
    for (const [commit, group] of lacking) await tryTake(commit, group);
  }
  if (units.size < entries.length) {
    try {
      await takeFromHead(entries, { units, sources: git });
    } catch (error) {
      if (signal.aborted) throw error;
      missing ??= asProblem(error, "git-commit", "Cannot read the branch's head");
    }
  }
  const absent = entries.filter((entry) => !units.has(entry.name));
  if (absent.length === 0) return { units, awaitedMs: 0, missing: undefined };
  // While a commit is being fetched there is nothing to tell of it
  const unknown = absent.find(({ commit }) => !lacking.has(commit));
  const awaitedMs = fetched.kind === "awaited" ? fetched.patienceMs : 0;
  return { units, awaitedMs, missing: missing ?? (unknown && unknownText(unknown)) };
}

function unsetProblem(): Problem {
  return new Problem("git-unset", "Cannot read unit texts: no repository is set", { hint: "Set URL= in [Git]" });
}

interface Taking {
  readonly group: readonly GitEntry[];
  readonly units: Map<UnitName, Unit>;
  readonly sources: GitSource;
}

/** Why this machine cannot use the commit at all, if so. */
async function take(commit: CommitId, { group, units, sources }: Taking): Promise<Problem | undefined> {
  const desired = await sources.commits.desired(commit);
  if (!desired.ok) return refusedHere(commit, desired.problems);
  for (const entry of group) {
    const unit = desired.value.units.get(entry.name);
    if (unit?.hash === entry.hash) units.set(entry.name, unit);
  }
  return undefined;
}

/** A commit that was rewritten away may be gone everywhere; the same text under the branch's head serves as well. */
async function takeFromHead(entries: readonly GitEntry[], taking: Omit<Taking, "group">): Promise<void> {
  const head = await taking.sources.port.head();
  if (head === undefined) return;
  await take(head, { ...taking, group: entries.filter((entry) => !taking.units.has(entry.name)) });
}

function unknownText({ name, hash, commit }: GitEntry): Problem {
  return new Problem("unit-hash", `Cannot find unit "${name}" with hash ${hash.slice(0, 7)} in commit ${commit}`, {
    hint: "The registry names a text that the repository does not hold; the unit is left as it is",
  });
}

function groupByCommit(entries: readonly GitEntry[]): ReadonlyMap<CommitId, readonly GitEntry[]> {
  const groups = new Map<CommitId, GitEntry[]>();
  for (const entry of [...entries].sort((a, b) => byName(a.commit, b.commit))) {
    const group = groups.get(entry.commit);
    if (group === undefined) groups.set(entry.commit, [entry]);
    else group.push(entry);
  }
  return groups;
}
