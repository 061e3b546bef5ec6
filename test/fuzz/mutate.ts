// How inputs are made: entries of the corpus, changed as damage and malice change them. Pure: the same chance gives the same
// bytes. Given to campaign.ts.
import type { Chance } from "./chance.ts";

export interface Material {
  /** In a fixed order; at least one. */
  readonly corpus: readonly Uint8Array[];
  /** What stands in texts of this format. */
  readonly words: readonly string[];
  /** No input is longer. */
  readonly maxBytes: number;
}

const maxChanges = 6;
/** What one change may add by saying a thing again. */
const maxRepeatedBytes = 8 * 1024;

/** Names that mean something to JavaScript, numbers at their limits, marks of encodings and of terminals. */
const treacherous: readonly (string | Uint8Array)[] = [
  ...["__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "__defineGetter__", "valueOf", "then"],
  ...["0", "-1", "-0", "1e999", "NaN", "Infinity", "null", "true", "255", "256", "65536", "2147483648", "4294967296"],
  ...["9007199254740993", "18446744073709551616", "0x7fffffff", "1e-7", "00", "٣", "1".repeat(64)],
  ...["\ufeff", "\0", "\r\n", "\r", "\u2028", "\u202e", "\u001b[2J", "\u0085", "\u00a0", "é", "\u{1f600}", "İ", "ß"],
  ...["../", "/", "//", "\\", "%00", "%2e%2e", "$(x)", "`", "'", '"', "\\u0000", "\\ud800", "${x}", "%n", "%i", "%"],
  ...["{", "}", "[", "]", "{}", "[]", ",", ":", ";", "=", "#", "<", ">", "&", "*", "|", "!", "@", "?", " ", "\t", "\n"],
  ...[Uint8Array.of(0xff), Uint8Array.of(0xc0, 0x80), Uint8Array.of(0xed, 0xa0, 0x80), Uint8Array.of(0xf4, 0x90)],
  ...[Uint8Array.of(0xff, 0xfe), Uint8Array.of(0xe2, 0x82), Uint8Array.of(0x1f, 0x8b), Uint8Array.of(0x80)],
];

const brackets: readonly (readonly [open: string, close: string])[] = [
  ["[", "]"],
  ["{", "}"],
  ["(", ")"],
  ['{"a":', "}"],
  ["<a>", "</a>"],
  ["[[", ""],
  ["- ", ""],
];

/** One input: an entry of the corpus with a few changes. */
export function makeInput(chance: Chance, material: Material): Uint8Array {
  let input = chance.pick(material.corpus) ?? new Uint8Array();
  const changes = chance.oneIn(32) ? 0 : 1 + chance.below(chance.oneIn(4) ? maxChanges * 3 : maxChanges);
  for (let count = 0; count < changes; count++) input = changed(input, { chance, material });
  return input.subarray(0, material.maxBytes);
}

/**
 * One thing said over and over, as `repeat` makes it, between the two ends of an entry: what time a reader takes must grow
 * with its input and no faster.
 */
export function makeRepeated(chance: Chance, material: Material): (bytes: number) => Uint8Array {
  const base = (chance.pick(material.corpus) ?? new Uint8Array()).subarray(0, 2_000);
  const said = fragment(chance, material);
  const one = said.length === 0 ? Uint8Array.of(0x20) : said.subarray(0, 200);
  const at = chance.oneIn(4) ? base.length : lineStart(base, chance.below(base.length + 1));
  const tail = chance.oneIn(2) ? base.subarray(at) : word(chance, material);
  return (bytes) => {
    const times = Math.max(1, Math.floor((bytes - at - tail.length) / one.length));
    return joined(base.subarray(0, at), repeated(one, times), tail).subarray(0, material.maxBytes);
  };
}

function changed(
  input: Uint8Array,
  { chance, material }: { readonly chance: Chance; readonly material: Material },
): Uint8Array {
  const at = chance.below(input.length + 1);
  const to = Math.min(input.length, at + chance.below(chance.oneIn(3) ? input.length : 16));
  const [before, part, after] = [input.subarray(0, at), input.subarray(at, to), input.subarray(to)];
  switch (chance.below(14)) {
    case 0:
      return flipped(input, chance);
    case 1:
      return joined(before, after);
    case 2:
      return chance.oneIn(2) ? before : input.subarray(at);
    case 3:
    case 4:
      return joined(before, word(chance, material), input.subarray(at));
    case 5:
      return joined(before, word(chance, material), after);
    case 6: {
      const other = chance.pick(material.corpus) ?? input;
      return joined(before, other.subarray(chance.below(other.length + 1)));
    }
    case 7: {
      const from = lineStart(input, at);
      return joined(input.subarray(0, from), fragment(chance, material), input.subarray(from));
    }
    case 8: {
      const times = 2 + chance.below(chance.oneIn(4) ? 400 : 4);
      return joined(before, repeated(part, Math.min(times, maxRepeatedBytes / Math.max(1, part.length))), after);
    }
    case 9:
      return withoutLine(input, at);
    case 10:
      return swappedLines(input, chance);
    case 11: {
      const [open, close] = chance.pick(brackets) ?? ["[", "]"];
      const depth = 1 + chance.below(chance.oneIn(8) ? 3_000 : 80);
      return joined(before, bytesOf(open.repeat(depth)), part, bytesOf(close.repeat(depth)), after);
    }
    case 12: {
      const text = bytesOf(chance.pick(["a", " ", "\\", "0", "\t", "-", "/", "€", "a=", "\n"]) ?? "a");
      return joined(before, repeated(text, 1 + chance.below(2_000)), input.subarray(at));
    }
    default:
      return numberChanged(input, { chance, at });
  }
}

function flipped(input: Uint8Array, chance: Chance): Uint8Array {
  const copy = Uint8Array.from(input);
  for (let count = 1 + chance.below(4); count > 0; count--) {
    const at = chance.below(copy.length);
    const byte = copy[at] ?? 0;
    if (at < copy.length) copy[at] = chance.oneIn(2) ? byte ^ (1 << chance.below(8)) : chance.below(256);
  }
  return copy;
}

/** The digits at or behind `at` become another number. */
function numberChanged(
  input: Uint8Array,
  { chance, at }: { readonly chance: Chance; readonly at: number },
): Uint8Array {
  const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;
  let from = at;
  while (from < input.length && !isDigit(input[from])) from++;
  let to = from;
  while (isDigit(input[to])) to++;
  if (from === input.length) return flipped(input, chance);
  const number = chance.pick(["0", "-1", "1", "255", "65536", "4294967295", "9007199254740993", "1e400", "0.1"]);
  return joined(input.subarray(0, from), bytesOf(number ?? "0"), input.subarray(to));
}

/** A word of the format, or one that is treacherous everywhere. */
function word(chance: Chance, { words }: Material): Uint8Array {
  const chosen = words.length > 0 && chance.oneIn(2) ? chance.pick(words) : chance.pick(treacherous);
  return typeof chosen === "object" ? chosen : bytesOf(chosen ?? "");
}

/** A line or a piece of some entry, or a word. */
function fragment(chance: Chance, material: Material): Uint8Array {
  if (chance.oneIn(3)) return word(chance, material);
  const other = chance.pick(material.corpus) ?? new Uint8Array();
  const at = chance.below(other.length);
  if (chance.oneIn(3)) return other.subarray(at, at + 1 + chance.below(24));
  const from = lineStart(other, at);
  const end = other.indexOf(0x0a, from);
  return other.subarray(from, end < 0 ? other.length : end + 1);
}

function lineStart(input: Uint8Array, at: number): number {
  return at === 0 ? 0 : input.lastIndexOf(0x0a, at - 1) + 1;
}

function withoutLine(input: Uint8Array, at: number): Uint8Array {
  const from = lineStart(input, at);
  const end = input.indexOf(0x0a, from);
  return joined(input.subarray(0, from), end < 0 ? new Uint8Array() : input.subarray(end + 1));
}

function swappedLines(input: Uint8Array, chance: Chance): Uint8Array {
  const [one, other] = [chance.below(input.length), chance.below(input.length)].map((at) => lineStart(input, at));
  const [first = 0, second = 0] = (one ?? 0) < (other ?? 0) ? [one, other] : [other, one];
  return joined(input.subarray(second), input.subarray(first, second), input.subarray(0, first));
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

function repeated(part: Uint8Array, times: number): Uint8Array {
  if (part.length === 0) return part;
  return Uint8Array.from(Buffer.alloc(part.length * Math.max(1, Math.floor(times)), part));
}
