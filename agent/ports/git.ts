// The repository of units, as far as flotilla reads it: one branch, bare, from git objects only.
// One contract for all transports and the fake (test/contract/git.ts).
import type { CommitId } from "../domain/names.ts";

export interface TreeEntry {
  /** Full path from the repository's root, "/"-joined, no leading slash; always below the configured folder. */
  readonly path: string;
  readonly kind: "file" | "link" | "submodule";
  /** The blob's id: equal ids are equal bytes. */
  readonly oid: string;
}

export interface CommitInfo {
  readonly id: CommitId;
  /** First line of the message, at most 200 characters. */
  readonly subject: string;
  /** `Name <mail>`. */
  readonly author: string;
  readonly atMs: number;
}

/**
 * Rejections are Problems: "git-unreachable" (network, time-out, missing program), "git-refused" (credentials, host key,
 * certificate), "git-branch" (no such branch, or an empty repository), "git-repository" (no repository there),
 * "git-commit" (a commit that is not to be had), "git-path" (a commit without the configured folder: to be refused, it is no
 * order to stop everything), "git-tree-size" (far too much in it; both are told by `tree` alone), "git-blob-size",
 * "git-damaged" (the store was damaged and could not be made anew), "git-worker" (its thread died; the next call starts
 * another), "disk-write", "aborted". No message holds a password or token.
 */
export interface Git {
  /**
   * Asks the remote for the branch's newest commit and brings what is missing. One fetch at a time; a second caller
   * shares the one under way. The store is a cache: found damaged, it is set aside and fetched anew.
   */
  fetch(signal?: AbortSignal): Promise<CommitId>;
  /** The commit that the last successful fetch brought, from the store alone, also after a restart; undefined when none. */
  head(): Promise<CommitId | undefined>;
  /** Whether this commit's trees and blobs can be read from the store. */
  has(commit: CommitId): Promise<boolean>;
  info(commit: CommitId): Promise<CommitInfo>;
  /** Every file and link below the configured folder, in path order. At most 200,000 entries. */
  tree(commit: CommitId): Promise<readonly TreeEntry[]>;
  /** One blob's bytes; at most 1 MiB, larger ones reject with "git-blob-size". */
  blob(oid: string): Promise<Uint8Array>;
  close(): Promise<void>;
}
