// How the builders take values out of a mapping: by key, with its place, addresses put in.
import type { Place } from "../domain/problem.ts";
import type { Placed } from "../domain/user-data.ts";
import type { Notes } from "./notes.ts";
import type { Tokens } from "./tokens.ts";
import { type MapValue, type TextValue, type Value, yesOrNo } from "./values.ts";

export class Reader {
  readonly notes: Notes;
  readonly tokens: Tokens;

  constructor(notes: Notes, tokens: Tokens) {
    this.notes = notes;
    this.tokens = tokens;
  }

  value(map: MapValue, key: string): Value | undefined {
    return map.entries.get(key)?.value;
  }

  /** Place of the key itself; of the mapping where it has none. */
  keyAt(map: MapValue, key: string): Place {
    return map.entries.get(key)?.at ?? map.at;
  }

  /** A text or number as text, on one line where it is one; undefined when it is not there or empty. */
  text(map: MapValue, key: string): Placed<string> | undefined {
    const value = this.value(map, key);
    return value === undefined ? undefined : this.filled(value);
  }

  /** Addresses put into a scalar. */
  filled(value: Value): Placed<string> | undefined {
    const { at } = value;
    switch (value.kind) {
      case "text": {
        const text = this.tokens.fill(value.text, at).trim();
        return text === "" ? undefined : { value: text, at };
      }
      case "number":
        return { value: value.text, at };
      case "boolean":
        return { value: String(value.value), at };
      case "null":
      case "list":
      case "map":
        return undefined;
    }
  }

  /** A text as it stands: nothing put in, nothing taken off. */
  raw(map: MapValue, key: string): TextValue | undefined {
    const value = this.value(map, key);
    return value?.kind === "text" ? value : undefined;
  }

  flag(map: MapValue, key: string): boolean | undefined {
    return this.placedFlag(map, key)?.value;
  }

  /** Also of fields that take a word beside true and false. */
  placedFlag(map: MapValue, key: string): Placed<boolean> | undefined {
    const value = this.value(map, key);
    if (value?.kind === "boolean") return { value: value.value, at: value.at };
    const word = value?.kind === "text" ? yesOrNo(value.text) : undefined;
    return value === undefined || word === undefined ? undefined : { value: word, at: value.at };
  }

  number(map: MapValue, key: string): Placed<number> | undefined {
    const value = this.value(map, key);
    if (value?.kind === "number") return { value: value.value, at: value.at };
    const text = value?.kind === "text" && /^\d{1,15}$/.test(value.text) ? Number(value.text) : undefined;
    return value === undefined || text === undefined ? undefined : { value: text, at: value.at };
  }

  map(map: MapValue, key: string): MapValue | undefined {
    const value = this.value(map, key);
    return value?.kind === "map" ? value : undefined;
  }

  /** The items of a list; one value alone counts as a list of it. */
  items(map: MapValue, key: string): readonly Value[] {
    const value = this.value(map, key);
    return value === undefined || value.kind === "null" ? [] : value.kind === "list" ? value.items : [value];
  }

  maps(map: MapValue, key: string): readonly MapValue[] {
    return this.items(map, key).filter((item) => item.kind === "map");
  }

  /** Texts of a list. `commas`: one text may hold several. */
  texts(map: MapValue, key: string, { commas = false }: { readonly commas?: boolean } = {}): readonly Placed<string>[] {
    return this.items(map, key).flatMap((item) => {
      const text = this.filled(item);
      if (text === undefined) return [];
      if (!commas) return [text];
      return splitCommas(text.value).map((value) => ({ value, at: text.at }));
    });
  }
}

/** Items of a comma list, blanks around them taken away, empty ones left out. */
export function splitCommas(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** The place of a line within a literal block, from 1; of the value itself where its lines cannot be told. */
export function lineWithin(value: TextValue, line: number | undefined): Place {
  const { firstLine, at } = value;
  if (firstLine?.line === undefined || line === undefined) return at;
  return { file: firstLine.file, line: firstLine.line + line - 1, ...(at.key === undefined ? {} : { key: at.key }) };
}
