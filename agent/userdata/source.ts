// A text and where it stands: offsets in it -> file, line and column as the author knows them, also for a part of a larger
// file.
import type { Place } from "../domain/problem.ts";

export class Source {
  readonly text: string;
  /** As the author knows it; for a part that was packed, with the part's name. */
  readonly file: string;
  readonly #shift: { readonly lines: number; readonly columns: number };
  #starts: readonly number[] | undefined;

  /** `shift`: lines above the text in its file, and columns before each of its lines. */
  constructor(file: string, text: string, shift: { readonly lines: number; readonly columns: number } = unshifted) {
    this.file = file;
    this.text = text;
    this.#shift = shift;
  }

  /** The place of an offset; `key` is the path of the key that it is about. */
  at(offset: number, key?: string): Place {
    const starts = (this.#starts ??= lineStarts(this.text));
    const index = lineIndex(starts, offset);
    return {
      file: this.file,
      line: index + 1 + this.#shift.lines,
      column: offset - (starts[index] ?? 0) + 1 + this.#shift.columns,
      ...(key === undefined || key === "" ? {} : { key }),
    };
  }

  /** Another text in the same place: what stands where in it stands there in the file. */
  with(text: string): Source {
    return new Source(this.file, text, this.#shift);
  }
}

const unshifted = { lines: 0, columns: 0 };

function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function lineIndex(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? Infinity) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
