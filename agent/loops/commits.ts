// From a commit id to its checked units, for the leader and for every machine. Keeps the last few results, so that a
// pass costs nothing while nothing changed.
import { type ParseCache, createParseCache, readCommit, selectBlobs } from "../desired/desired.ts";
import type { CommitId } from "../domain/names.ts";
import { type Checked, Problem, invalid } from "../domain/problem.ts";
import type { DesiredState } from "../domain/unit.ts";
import type { Git, TreeEntry } from "../ports/git.ts";

/** Commits whose units are kept in memory: the adopted one, the one before, and one being tried. */
const keptCommits = 3;
/** Blobs read side by side. */
const parallelReads = 32;

export class Commits {
  readonly #git: Git;
  readonly #kept = new Map<CommitId, Promise<Checked<DesiredState>>>();
  readonly #cache: ParseCache = createParseCache();
  /** One commit is read at a time: they share the cache. */
  #reading: Promise<unknown> = Promise.resolve();

  constructor(git: Git) {
    this.#git = git;
  }

  /** Whether `desired` can answer without the network. */
  async has(commit: CommitId): Promise<boolean> {
    return this.#kept.has(commit) || (await this.#git.has(commit));
  }

  /** The units of a commit in the store, or every problem of it. Rejects as Git does when the store cannot be read. */
  async desired(commit: CommitId): Promise<Checked<DesiredState>> {
    const known = this.#kept.get(commit);
    if (known !== undefined) {
      this.#kept.delete(commit);
      this.#kept.set(commit, known);
      return known;
    }
    const reading = this.#reading.then(() => this.#read(commit));
    this.#reading = reading.catch(() => undefined);
    this.#kept.set(commit, reading);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= keptCommits) break;
      this.#kept.delete(oldest);
    }
    try {
      return await reading;
    } catch (error) {
      this.#kept.delete(commit);
      throw error;
    }
  }

  async #read(commit: CommitId): Promise<Checked<DesiredState>> {
    const entries = await this.#tree(commit);
    if (entries instanceof Problem) return invalid(entries);
    const wanted = selectBlobs(entries, this.#cache);
    const blobs = new Map<string, Uint8Array | Problem>();
    for (let from = 0; from < wanted.length; from += parallelReads) {
      const batch = wanted.slice(from, from + parallelReads);
      const bytes = await Promise.all(batch.map((oid) => this.#blob(oid)));
      batch.forEach((oid, index) => {
        const blob = bytes[index];
        if (blob !== undefined) blobs.set(oid, blob);
      });
    }
    return readCommit({ commit, entries, blobs, cache: this.#cache });
  }

  /** A commit without the folder of units, or with far too much in it, is refused as any other bad one. */
  async #tree(commit: CommitId): Promise<readonly TreeEntry[] | Problem> {
    try {
      return await this.#git.tree(commit);
    } catch (error) {
      if (error instanceof Problem && (error.code === "git-path" || error.code === "git-tree-size")) return error;
      throw error;
    }
  }

  /** A blob that is too large is the commit's fault, not the store's: it is refused by name. */
  async #blob(oid: string): Promise<Uint8Array | Problem> {
    try {
      return await this.#git.blob(oid);
    } catch (error) {
      if (error instanceof Problem && error.code === "git-blob-size") return error;
      throw error;
    }
  }
}

/** Why this machine has no use of a commit that another one has adopted: it reads it otherwise. */
export function refusedHere(commit: CommitId, [first]: readonly Problem[]): Problem {
  return new Problem("commit-refused-here", `Cannot use commit ${commit} on this machine`, {
    hint: "The leader took it: compare Path= in [Git] and the version of flotilla with the leader's",
    at: first?.at,
    cause: first,
  });
}
