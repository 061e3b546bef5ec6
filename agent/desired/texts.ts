// Blobs of unit files and drop-ins, read and parsed once for all units that share them, and once for all commits that
// share them. Given to expand.ts; commits are held by desired.ts' callers.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { UnitHash, UnitName } from "../domain/names.ts";
import { parsedUnitHash } from "../text/hash.ts";
import type { OptionsReading, UnitOptions } from "./options.ts";
import { type UnitFile, decodeText, parseUnitFile } from "../text/unit-file.ts";

/** Bytes of one unit file or drop-in. Real ones have a few thousand; what is larger belongs in a file of its own. */
export const maxUnitBytes = 64 * 1024;

/** A text, what it says, and what follows from it alone. */
export interface Text {
  readonly text: string;
  readonly parsed: UnitFile;
  /** The hash of a unit that has this text and no drop-ins. */
  readonly hash: UnitHash;
  readonly options: KnownOptions;
}

/** Options read from one text alone, without a remark, by path and unit: of the last commit with it, and of the one being read. */
export class KnownOptions {
  #reading = new Map<string, UnitOptions>();
  #last = new Map<string, UnitOptions>();

  get size(): number {
    return new Set([...this.#reading.keys(), ...this.#last.keys()]).size;
  }

  get(key: string): UnitOptions | undefined {
    const known = this.#reading.get(key) ?? this.#last.get(key);
    if (known !== undefined) this.#reading.set(key, known);
    return known;
  }

  set(key: string, options: UnitOptions): void {
    this.#reading.set(key, options);
  }

  /** Instances come and go, each with a name of its own, while their template stays: those that have gone are let go. */
  endCommit(): void {
    [this.#last, this.#reading] = [this.#reading, this.#last];
    this.#reading.clear();
  }
}

/** Keeps what `read` makes of a text for one unit, if it is free of remarks and so the same whenever it is read. */
export function rememberOptions(
  text: Text,
  { path, name, read }: { readonly path: string; readonly name: UnitName; readonly read: () => OptionsReading },
): OptionsReading {
  const key = `${path}\0${name}`;
  const known = text.options.get(key);
  if (known !== undefined) return { options: known, problems: [], warnings: [] };
  const reading = read();
  if (reading.problems.length > 0 || reading.warnings.length > 0) return reading;
  text.options.set(key, reading.options);
  return reading;
}

/** Texts known by blob id, of the last two commits read with it. One belongs to one reader of a repository. */
export interface ParseCache {
  /** How many texts it holds. */
  readonly size: number;
  get(oid: string): Text | undefined;
  set(oid: string, text: Text): void;
  /** Says that a commit has been read: what neither it nor the one before used is let go. */
  endCommit(): void;
}

export function createParseCache(): ParseCache {
  let reading = new Map<string, Text>();
  let last = new Map<string, Text>();
  let before = new Map<string, Text>();
  return {
    get size(): number {
      return new Set([...reading.keys(), ...last.keys(), ...before.keys()]).size;
    },
    get(oid) {
      const text = reading.get(oid) ?? last.get(oid) ?? before.get(oid);
      if (text !== undefined) reading.set(oid, text);
      return text;
    },
    set(oid, text) {
      reading.set(oid, text);
    },
    endCommit() {
      for (const text of reading.values()) text.options.endCommit();
      [before, last, reading] = [last, reading, new Map<string, Text>()];
    },
  };
}

/** A blob's bytes, or the reason why it was not to be had (say "git-blob-size"). */
export type Blobs = ReadonlyMap<string, Uint8Array | Problem>;

export interface TextReader {
  /** The text of the blob that lies at `path`, or all that is wrong with it there. */
  read(at: { readonly path: string; readonly oid: string }): Checked<Text>;
}

/** Throws for a blob that was not given: a hole in what was read is never taken for an absence. */
export function createTextReader(blobs: Blobs, cache: ParseCache): TextReader {
  return {
    read({ path, oid }) {
      const known = cache.get(oid);
      if (known !== undefined) return valid(known);
      const bytes = blobs.get(oid);
      if (bytes === undefined) throw new Error(`No blob ${oid} was given for ${path}`);
      if (bytes instanceof Problem) {
        return invalid(blobProblem(bytes, path));
      }
      if (bytes.length > maxUnitBytes) {
        const hint = `At most ${maxUnitBytes} are allowed; keep large texts in files of their own`;
        return invalid(
          new Problem("unit-size", `Cannot take a unit file of ${bytes.length} bytes`, { hint, at: { file: path } }),
        );
      }
      const decoded = decodeText(bytes, path);
      if (!decoded.ok) return decoded;
      const parsed = parseUnitFile(decoded.value, path);
      if (!parsed.ok) return parsed;
      const text: Text = {
        text: decoded.value,
        parsed: parsed.value,
        hash: parsedUnitHash(parsed.value, []),
        options: new KnownOptions(),
      };
      cache.set(oid, text);
      return valid(text);
    },
  };
}

/** Why a blob was not to be had, told at the file that needs it. */
export function blobProblem({ code, message, hint, cause }: Problem, file: string): Problem {
  return new Problem(code, message, { hint, at: { file }, cause });
}
