// How many columns a text takes on a terminal, and how to show foreign text without letting it command the terminal.
// Given to whatever prints; pure.

/** Wide and fullwidth ranges of Unicode's East Asian Width (UAX #11) that are not emoji; inclusive, ascending. */
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2329, 0x232a],
  [0x2e80, 0x303e],
  [0x3041, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6b],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18dff],
  [0x1aff0, 0x1b2ff],
  [0x1f200, 0x1f265],
  [0x20000, 0x3fffd],
];

/** Printable ASCII, as nearly all text is: known at a glance. */
const ordinary = /^[\x20-\x7e]*$/;

let segmenter: Intl.Segmenter | undefined;

/** Columns of `text` on a terminal: 2 for wide characters and emoji, 0 for combining marks. No control characters. */
export function displayWidth(text: string): number {
  if (ordinary.test(text)) return text.length;
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** Stops of a terminal's tab. */
export const tabWidth = 8;
/** Select Graphic Rendition (ECMA-48 8.3.117). */
const colours = /\u001b\[[0-9;]*m/g;

/** Rows that a line takes on a terminal of so many columns, at least one; it may have colours and tabs. */
export function displayRows(line: string, columns: number): number {
  let width = 0;
  for (const [index, text] of line.replace(colours, "").split("\t").entries()) {
    if (index > 0) {
      const column = width % columns;
      const stop = (Math.floor(column / tabWidth) + 1) * tabWidth;
      width += Math.min(stop, columns - 1) - column; // a tab never goes on to the next row
    }
    width += displayWidth(text);
  }
  return Math.max(1, Math.ceil(width / columns));
}

function graphemeWidth(grapheme: string): number {
  // Variation selector 16 asks for the emoji's picture, which is wide
  if (/^\p{Emoji_Presentation}|^\p{Regional_Indicator}{2}|^\p{Emoji}.*\ufe0f/u.test(grapheme)) return 2;
  for (const character of grapheme) {
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character)) continue;
    return isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
  }
  return 0;
}

function isWide(codePoint: number): boolean {
  return wideRanges.some(([first, last]) => first <= codePoint && codePoint <= last);
}

// Control characters, line and paragraph separators, and the marks that turn the direction of the text around
const commanding = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const commandingButLayout = /(?![\n\t])[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** `text` on one line, with everything that could move the cursor or hide text written as `\x1b` or `\u{202e}`. */
export function visible(text: string): string {
  return ordinary.test(text) ? text : text.replace(commanding, escaped);
}

/** The same for text of many lines: line feeds and tabs stay. */
export function visibleLines(text: string): string {
  return text.replace(commandingButLayout, escaped);
}

/**
 * A JSON document that says the same, and that a terminal shows and does not obey: JSON itself has only what is below U+0020
 * escaped in its texts.
 */
export function visibleJson(document: string): string {
  return document.replace(commandingButLayout, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`; // none of them takes more than one
  });
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}
