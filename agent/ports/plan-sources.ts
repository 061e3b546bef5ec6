// What `flotilla plan` reads on this machine beside a working copy: commits of the repository around the current folder, and
// a state in a file. Nothing is contacted, nothing is checked out, nothing is written.
import type { CommitId } from "../domain/names.ts";
import type { Problem } from "../domain/problem.ts";
import type { TreeEntry } from "./git.ts";

/** A commit, as far as it lies in the folder of the repository that is the current one. */
export interface LocalCommit {
  readonly commit: CommitId;
  /** First line of the message, at most 200 characters. */
  readonly subject: string;
  /** In path order, at most 200,000. Paths are from the repository's root. */
  readonly entries: readonly TreeEntry[];
  /**
   * Bytes of these blobs, by id. A Problem stands for one that is larger than 1 MiB ("git-blob-size") or not there, as in a
   * clone that is not whole ("git-commit").
   */
  readonly read: (oids: readonly string[], signal?: AbortSignal) => Promise<ReadonlyMap<string, Uint8Array | Problem>>;
}

/** The largest state that is read: some 100,000 units. */
export const maxStateBytes = 256 * 1024 * 1024;

/**
 * Rejections are Problems: "git-program" (no git on this machine), "git-repository" (it cannot be read), "git-path" (the
 * commit has no such folder), "git-tree-size", "state-read" (no such file, no permission, too large), "aborted" (the signal).
 */
export interface PlanSources {
  /** Whether the path is a folder's, or a link's to one. */
  isFolder(path: string): Promise<boolean>;
  /** What an id, branch or tag means; undefined: nothing, or there is no repository here. */
  commit(name: string, signal?: AbortSignal): Promise<LocalCommit | undefined>;
  /** The text of a file that holds a state. */
  state(path: string, signal?: AbortSignal): Promise<string>;
}
