// Units as they lie in a folder on this machine, before they are committed: for `flotilla verify`. Links are read, never
// followed, so that what is found here is what git would hold.
import type { Problem } from "../domain/problem.ts";
import type { Unit } from "../domain/unit.ts";
import type { TreeEntry } from "./git.ts";

export interface WorkingTree {
  /** `file`: one unit was asked for, and the entries are it and what belongs to it (its template, its drop-ins). */
  readonly kind: "folder" | "file";
  /**
   * In path order, at most 200,000. Paths are from the folder that was asked for; for one file from the root of its
   * repository, or from a folder that holds it and its template. Ids hold for this tree only.
   */
  readonly entries: readonly TreeEntry[];
  /** The file or link that was asked for, if it was one. */
  readonly asked: TreeEntry | undefined;
  /**
   * Bytes of a file, or the target of a link. At most 1 MiB: larger ones, and what cannot be read, reject with Problem
   * "working-copy-read".
   */
  read(oid: string): Promise<Uint8Array>;
}

/** What systemd itself says of units. */
export interface Analysis {
  /** False: there is no systemd-analyze on this machine, and nothing was looked at. */
  readonly available: boolean;
  /** At the files of the units and drop-ins, code "systemd-analyze". */
  readonly findings: readonly Problem[];
}

/** Rejections are Problems: "working-copy-read" (no such path, no permission, too many files), "aborted" (the signal). */
export interface WorkingCopy {
  tree(path: string, signal?: AbortSignal): Promise<WorkingTree>;
  /**
   * Has `systemd-analyze verify` look at these units, all of which stand in the same folder for it, so that their names
   * resolve. Templates are looked at as an instance.
   */
  analyze(units: readonly Unit[], signal?: AbortSignal): Promise<Analysis>;
}
