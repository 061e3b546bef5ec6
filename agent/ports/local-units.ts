// Unit files that are named on a command line, as they lie on this machine: for submit, load, start and restart. Unlike in
// a working copy links are followed, for what is submitted is a text and not a link.
import type { UnitName } from "../domain/names.ts";

/** Largest file that is read; what a unit may have is checked by whoever reads it as one. */
export const maxLocalBytes = 1024 * 1024;
/** Files in one folder of drop-ins. */
export const maxLocalDropIns = 500;

export interface LocalDropIn {
  /** The unit or template by whose name the folder is called. */
  readonly unit: UnitName;
  readonly name: string;
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface LocalUnit {
  /** As it was asked for. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Of the unit and of its template, from the folders beside the file and beside what a link leads to; by folder, then name. */
  readonly dropIns: readonly LocalDropIn[];
}

/** Rejections are Problems: "local-unit-read" (no permission, no file, too large, too many), "aborted" (the signal). */
export interface LocalUnits {
  /** The unit's text and drop-ins; undefined when nothing lies at the path. */
  find(path: string, of: { readonly name: UnitName; readonly signal?: AbortSignal }): Promise<LocalUnit | undefined>;
}
