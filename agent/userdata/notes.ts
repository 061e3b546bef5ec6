// What was noticed while user-data was read: gathered, each said once, bounded, given out in the order of the text.
import { type Place, Problem } from "../domain/problem.ts";
import type { Finding, Severity } from "../domain/user-data.ts";

/** No more findings than this are kept for one payload; an error among those left out refuses it all the same. */
export const maxFindings = 500;
const maxShownChars = 60;

export interface Note {
  readonly at: Place;
  readonly hint?: string | undefined;
}

export class Notes {
  readonly #findings: Finding[] = [];
  readonly #said = new Set<string>();
  #errors = 0;
  #left = 0;

  error(code: string, message: string, note: Note): void {
    this.#errors++;
    this.#add("error", new Problem(`user-data-${code}`, message, note));
  }

  warning(code: string, message: string, note: Note): void {
    this.#add("warning", new Problem(`user-data-${code}`, message, note));
  }

  info(code: string, message: string, note: Note): void {
    this.#add("info", new Problem(`user-data-${code}`, message, note));
  }

  /** Further findings are only counted: no use in finding out what to do about them. */
  get isFull(): boolean {
    return this.#findings.length >= maxFindings;
  }

  get hasErrors(): boolean {
    return this.#errors > 0;
  }

  /** In order of lines and columns; where `maxFindings` was reached the last one says how many are missing. */
  sorted(file: string): readonly Finding[] {
    const place = ({ problem: { at } }: Finding): readonly [number, number] => [at?.line ?? 0, at?.column ?? 0];
    const sorted = this.#findings.toSorted((a, b) => {
      const [lineA, columnA] = place(a);
      const [lineB, columnB] = place(b);
      return lineA - lineB || columnA - columnB;
    });
    if (this.#left === 0) return sorted;
    const problem = new Problem("user-data-more", `Cannot show ${this.#left} further findings`, {
      hint: "Mend these first",
      at: { file },
    });
    return [...sorted, { severity: this.hasErrors ? "error" : "warning", problem }];
  }

  #add(severity: Severity, problem: Problem): void {
    if (this.isFull) {
      this.#left++;
      return;
    }
    const { file, line, column } = problem.at ?? {};
    // what an anchor leads to is read at each of its uses, and is wrong once
    const message = problem.message.replace(/\[\d+\]/g, "[]");
    const said = JSON.stringify([severity, file, line, column, message]);
    if (this.#said.has(said)) return;
    this.#said.add(said);
    this.#findings.push({ severity, problem });
  }
}

/** A word of the author's for a message: cut, and with nothing in it that moves a terminal's cursor. */
export function shown(text: string): string {
  const plain = text.slice(0, maxShownChars + 1).replace(/[\p{Cc}\p{Cf}]/gu, "?");
  return plain.length <= maxShownChars ? plain : `${plain.slice(0, maxShownChars)}...`;
}
