// Marks of templates that nobody filled in: Jinja, Go, Terraform, ERB, sed and build systems. Such a file is for the program
// that fills it in first; a machine that took it as it is would get the marks as values.
import { addressNames } from "../domain/user-data.ts";

export interface TemplateMark {
  readonly offset: number;
  /** The mark itself, cut. */
  readonly text: string;
  /** Whose it looks like, for a sentence: "Jinja or Go". */
  readonly of: string;
}

interface Kind {
  readonly of: string;
  readonly pattern: RegExp;
}

/** Cannot well be anything else, wherever it stands. */
const anywhere: readonly Kind[] = [
  { of: "Jinja", pattern: /\{%-?\s*[a-z][^%\n]{0,200}%\}/g },
  { of: "Jinja or Go", pattern: /\{\{-?\s*(?!end\b|else\b)[A-Za-z_][A-Za-z0-9_]*(?:\s*\|\s*[a-z_]+)?\s*-?\}\}/g },
  { of: "ERB", pattern: /<%[=-]?\s[^%\n]{1,200}%>/g },
  {
    of: "Terraform",
    pattern:
      /\$\{(?:(?:file|join|split|templatefile|jsonencode|base64encode|element|lookup)\(|(?:var|local|module|data|self|count|each)\.)[^\n}]{0,200}\}?/g,
  },
  { of: "sed or a build system", pattern: /@@[A-Za-z][A-Za-z0-9_]*@@|%%[A-Za-z][A-Za-z0-9_]*%%/g },
];

/** Only where a value stands that no program reads further: shells and units have uses of their own for these. */
const inValues: readonly Kind[] = [
  ...anywhere,
  { of: "Jinja or Go", pattern: /\{\{[^\n]{0,200}?\}\}/g },
  { of: "Terraform or a shell", pattern: /\$\{[^\n}]{0,200}\}/g },
  { of: "a shell", pattern: /\$\([^\n)]{1,200}\)/g },
  { of: "sed or a build system", pattern: /@[A-Z][A-Z0-9_]+@|%[A-Za-z][A-Za-z0-9_]+%|\b__[A-Z][A-Z0-9_]*__\b/g },
  { of: "a text with places to fill in", pattern: /<[A-Za-z][A-Za-z0-9_ -]{0,60}>/g },
  { of: "CloudFormation", pattern: /\bFn::[A-Z][A-Za-z]+/g },
];

const addressToken = new RegExp(`^\\$\\{(?:${addressNames.join("|")})(?::-[^}]*)?\\}$`);

/** The first mark in a text. `isFree`: programs read the text (a script, a unit), so that only the sure ones count. */
export function findMark(text: string, isFree: boolean): TemplateMark | undefined {
  return findMarks(text, isFree)[0];
}

/** All marks, by offset, none within another. */
export function findMarks(text: string, isFree: boolean): readonly TemplateMark[] {
  const found: TemplateMark[] = [];
  for (const { of, pattern } of isFree ? anywhere : inValues)
    for (const match of text.matchAll(pattern))
      if (!addressToken.test(match[0]) && text[match.index - 1] !== "\\")
        found.push({ offset: match.index, text: cut(match[0]), of });
  found.sort((a, b) => a.offset - b.offset);
  return found.filter((mark, at) => at === 0 || mark.offset >= endOf(found[at - 1]));
}

function endOf(mark: TemplateMark | undefined): number {
  return mark === undefined ? 0 : mark.offset + mark.text.length;
}

/** In a text that is no YAML, whose values cannot be told from contents: comments left out. */
export function findMarksInBroken(text: string): readonly TemplateMark[] {
  const found: TemplateMark[] = [];
  let offset = 0;
  for (const line of text.split("\n")) {
    const code = /^\s*#/.test(line) ? "" : line;
    const sure = findMarks(code, true);
    // "key: MARK" and a mark alone on its line: where a value, or a piece of the document, was to be
    const start = /^[ \t]*(?:- +)*(?:[\w-]+:[ \t]+)?["']?/.exec(code)?.[0].length ?? 0;
    const value = findMarks(code, false).filter((mark) => mark.offset === start);
    found.push(...(sure.length > 0 ? sure : value).map((mark) => ({ ...mark, offset: mark.offset + offset })));
    offset += line.length + 1;
  }
  return found;
}

function cut(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}...`;
}
