// The syntax of values in [X-Fleet]: quoted lists, specifiers, words for yes and no. Given to
// options.ts. Knows no option by name.
import { type UnitName, unitNameParts } from "../domain/names.ts";

/** A value read, or in one sentence what its author can do about it. */
export type Read<T> = { readonly value: T } | { readonly fix: string };

/**
 * The items of a value as fleet splits them: a value that begins and ends with a quote is a list of items parted by
 * blanks, quotes group and are dropped, and there is no escape; any other value is one item, whatever it holds.
 */
export function splitItems(value: string): readonly string[] {
  if (!value.startsWith('"') || !value.endsWith('"')) return [value];
  const items: string[] = [];
  let item = "";
  let isQuoted = false;
  for (const char of value) {
    if (char === '"') isQuoted = !isQuoted;
    else if (!isQuoted && (char === " " || char === "\t")) {
      items.push(item);
      item = "";
    } else item += char;
  }
  return [...items, item];
}

/** The items that say something. What fleet took to be an item with a quote in it, or an item of nothing, is a slip. */
export function readItems(value: string): Read<readonly string[]> {
  if (!value.includes('"')) return value === "" ? { fix: nothingNamed } : { value: [value] };
  const isList = value.startsWith('"') && value.endsWith('"');
  const quotes = value.split('"').length - 1;
  if (quotes % 2 === 1) return { fix: "Close the quote: each item of a list stands in a pair of quotes" };
  if (!isList && (value.startsWith('"') || value.endsWith('"'))) {
    return { fix: 'Quote every item of a list, as in "one" "two"' };
  }
  const items = splitItems(value).filter((item) => item !== "");
  return items.length === 0 ? { fix: nothingNamed } : { value: items };
}

const nothingNamed = "Name at least one item, or remove the line";

/** `write`: how a part of the name is put in. `%n` whole name, `%N` name without type, `%p` prefix, `%i` instance (empty where there is none), `%%` a percent sign. */
export function expandSpecifiers(
  text: string,
  name: UnitName,
  { write = (part) => part }: { readonly write?: (part: string) => string } = {},
): Read<string> {
  const { value, unknown } = expandKnown(text, name, { write });
  if (unknown === undefined) return { value };
  return { fix: `"${unknown}" is none of %n %N %p %i; write %% for a percent sign` };
}

/** The same where other specifiers are systemd's, and stay as they stand; `unknown` is the first of them. */
export function expandKnown(
  text: string,
  name: UnitName,
  { write = (part) => part }: { readonly write?: (part: string) => string } = {},
): { readonly value: string; readonly unknown: string | undefined } {
  if (!text.includes("%")) return { value: text, unknown: undefined };
  const { stem, prefix, instance = "" } = unitNameParts(name);
  let unknown: string | undefined;
  const value = text.replace(/%(.?)/gsu, (whole, letter: string) => {
    switch (letter) {
      case "n":
        return write(name);
      case "N":
        return write(stem);
      case "p":
        return write(prefix);
      case "i":
        return write(instance);
      case "%":
        return "%";
      default:
        unknown ??= whole;
        return whole;
    }
  });
  return { value, unknown };
}

/** The same for a glob pattern over names, where a backslash that a name brings in stands for itself. */
export function expandPattern(text: string, name: UnitName): Read<string> {
  // Of what a pattern may mean otherwise no name holds anything else
  return expandSpecifiers(text, name, { write: (part) => part.replaceAll("\\", "\\\\") });
}

/** The same for an amount, where a last `%` that stands alone is its unit of measure, as in `25%` and `%i%`. */
export function expandAmount(text: string, name: UnitName): Read<string> {
  let signs = 0;
  while (text.at(-1 - signs) === "%") signs++;
  if (signs % 2 === 0) return expandSpecifiers(text, name);
  const expanded = expandSpecifiers(text.slice(0, -1), name);
  return "value" in expanded ? { value: `${expanded.value}%` } : expanded;
}

/** Whether the value differs from unit to unit. */
export function hasSpecifiers(text: string): boolean {
  return /%[nNpi]/.test(text);
}

const words: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "1", "on", "t"].map((word) => [word, true] as const),
  ...["false", "no", "0", "off", "f"].map((word) => [word, false] as const),
]);

/** fleet's words in any case; others, which fleet took for "no", are refused. */
export function readBoolean(text: string): Read<boolean> {
  const value = words.get(text.toLowerCase());
  return value === undefined ? { fix: `Write one of ${[...words.keys()].join(", ")}` } : { value };
}

/** A whole number within bounds. */
export function readWhole(
  text: string,
  { least, most }: { readonly least: number; readonly most: number },
): Read<number> {
  const value = /^[+-]?[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
  if (value !== undefined && value >= least && value <= most) return { value };
  return { fix: `Write a whole number from ${least} to ${most}` };
}
