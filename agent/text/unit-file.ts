// Unit files as systemd reads them (systemd.syntax(7)), as an ordered list of assignments with their lines. Given to
// desired/ and hash.ts. Knows no option by name and never writes: systemd gets the author's own bytes.
import { type Checked, Problem, valid } from "../domain/problem.ts";

/** systemd's LONG_LINE_MAX, for one line and for one assignment joined over several lines. */
export const maxLineBytes = 1024 * 1024;

/** One assignment. */
export interface Assignment {
  readonly section: string;
  readonly key: string;
  /** As systemd sees it: continuation lines joined by one blank each, trimmed. "" where a list is reset. */
  readonly value: string;
  /** As written, for the canonical text: backslashes and line ends of continuation lines kept. */
  readonly written: string;
  /** Where it begins, from 1. */
  readonly line: number;
}

/** The assignments of one or several texts, in order. */
export interface UnitFile {
  readonly assignments: readonly Assignment[];
  /** Names of the sections in order of first appearance, empty ones too. */
  readonly sections: readonly string[];
}

/** A line and the continuation lines that belong to it. */
interface LogicalLine {
  readonly line: number;
  readonly joined: string;
  readonly written: string;
}

/**
 * Reads one unit file or drop-in. `file` is named in the problems, and all of them are reported, in line order:
 * "unit-encoding" (not UTF-8, or a NUL), "unit-line-length", "unit-section" (a header that cannot be read), "unit-line"
 * (no "=", no name before it; in a section of another program that is passed over, as by systemd), "unit-outside" (an
 * assignment before the first header, which fleet dropped and systemd ignores: what its author asked for would silently not
 * happen).
 */
export function parseUnitFile(input: Uint8Array | string, file: string): Checked<UnitFile> {
  const { read, problems } = readUnitFile(input, file);
  return problems.length > 0 ? { ok: false, problems } : valid(read);
}

/** The same, with what could be read beside the problems: for whoever tells of every fault in it, and runs nothing of it. */
export function readUnitFile(
  input: Uint8Array | string,
  file: string,
): { readonly read: UnitFile; readonly problems: readonly Problem[] } {
  const decoded = decodeText(input, file);
  if (!decoded.ok) return { read: { assignments: [], sections: [] }, problems: decoded.problems };
  const problems: Problem[] = [];
  const assignments: Assignment[] = [];
  const sections = new Set<string>();
  const complain = (code: string, line: number, message: string, hint: string): void => {
    problems.push(new Problem(code, message, { hint, at: { file, line } }));
  };

  // After a header that cannot be read, what follows belongs to nobody knows what: it is read for its own faults only.
  let section: string | undefined;
  let sawHeader = false;
  for (const { line, joined, written } of logicalLines(decoded.value)) {
    if (joined.length > maxLineBytes / 4 && Buffer.byteLength(joined) > maxLineBytes) {
      complain("unit-line-length", line, `Cannot read a line of ${Buffer.byteLength(joined)} bytes`, lineLengthHint);
      continue;
    }
    const text = trim(joined);
    if (text === "") continue;
    if (text.startsWith("[")) {
      sawHeader = true;
      section = undefined;
      const fault = headerFault(text);
      if (fault !== undefined) {
        complain("unit-section", line, `Cannot read the section header ${excerpt(text)}`, fault);
        continue;
      }
      section = text.slice(1, -1);
      sections.add(section);
      continue;
    }
    const equals = text.indexOf("=");
    if (equals <= 0) {
      if (isForeign(section)) continue;
      const hint = text.startsWith(".include")
        ? "systemd has no .include any more; use a drop-in, NAME.d/*.conf"
        : equals === 0
          ? 'Write a name before the "="'
          : 'A line is a comment (# or ;), a [Section] or Name=Value; end a line with "\\" to go on in the next';
      complain("unit-line", line, `Cannot read the line ${excerpt(text)}`, hint);
      continue;
    }
    const key = trim(text.slice(0, equals));
    if (!sawHeader) {
      complain("unit-outside", line, `Cannot take ${excerpt(`${key}=`)} outside of a section`, outsideHint);
      continue;
    }
    if (section === undefined) continue;
    const value = trim(text.slice(equals + 1));
    assignments.push({ section, key, value, written: writtenValue(written, value), line });
  }
  return { read: { assignments, sections: [...sections] }, problems };
}

/** Without a state between texts; keeps a byte order mark. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text behind the bytes, its byte order mark kept. Problem "unit-encoding". */
export function decodeText(input: Uint8Array | string, file: string): Checked<string> {
  let text: string;
  if (typeof input === "string") text = input;
  else {
    try {
      text = utf8.decode(input);
    } catch (cause) {
      const problem = new Problem("unit-encoding", "Cannot read the text as UTF-8", {
        hint: "Save the file as UTF-8",
        at: { file, line: lineOfBadUtf8(input) },
        cause,
      });
      return { ok: false, problems: [problem] };
    }
  }
  const nul = text.indexOf("\0");
  if (nul < 0) return valid(text);
  const problem = new Problem("unit-encoding", "Cannot take a NUL byte in a unit file", {
    hint: "A unit file is plain text",
    at: { file, line: text.slice(0, nul).split("\n").length },
  });
  return { ok: false, problems: [problem] };
}

/**
 * fleet's canonical text: sections in order of first appearance, their assignments in order as `Name=Value`, one blank
 * line between sections, no comments, LF. Sections without assignments are left out.
 */
export function canonicalText(file: UnitFile): string {
  const bySection = new Map<string, string[]>();
  for (const { section, key, written } of file.assignments) {
    const lines = bySection.get(section);
    if (lines === undefined) bySection.set(section, [`[${section}]`, `${key}=${written}`]);
    else lines.push(`${key}=${written}`);
  }
  return [...bySection.values()].map((lines) => `${lines.join("\n")}\n`).join("\n");
}

/** Several texts read one after the other, as systemd reads a unit and its drop-ins. Lines stay those of each text. */
export function concatenate(files: readonly UnitFile[]): UnitFile {
  return {
    assignments: files.flatMap((file) => file.assignments),
    sections: [...new Set(files.flatMap((file) => file.sections))],
  };
}

/** All assignments of an option that count: those after the last empty one, which resets the list. */
export function listAssignments(file: UnitFile, option: { section: string; key: string }): readonly Assignment[] {
  const all = file.assignments.filter(({ section, key }) => section === option.section && key === option.key);
  return all.slice(all.findLastIndex(({ value }) => value === "") + 1);
}

/** Their values. */
export function listValue(file: UnitFile, option: { section: string; key: string }): readonly string[] {
  return listAssignments(file, option).map(({ value }) => value);
}

/** The value of an option that is set once: the last one; undefined when there is none or the last is empty. */
export function lastValue(file: UnitFile, option: { section: string; key: string }): string | undefined {
  return listValue(file, option).at(-1);
}

/** A section for programs other than systemd and flotilla: see systemd.unit(5). */
function isForeign(section: string | undefined): boolean {
  return section?.startsWith("X-") === true && section !== "X-Fleet";
}

const outsideHint = "Put a [Section] line before it";
const lineLengthHint = `systemd reads at most ${maxLineBytes} bytes in one line`;

/** Undefined for a header that systemd takes. */
function headerFault(text: string): string | undefined {
  if (!text.includes("]")) return 'The header has no end "]"';
  if (!text.endsWith("]")) return 'Nothing may follow the "]", not even a comment';
  const name = text.slice(1, -1);
  if (name === "") return "The header names no section";
  if (/[[\]"'\\\x00-\x1f\x7f]/.test(name))
    return "A section name has no brackets, quotes, backslashes or control characters";
  return undefined;
}

/**
 * Lines joined as systemd joins them: a line that ends in an odd number of backslashes goes on in the next one, which
 * replaces the backslash by a blank; comment lines are skipped, also in between, and a comment never goes on.
 */
function* logicalLines(text: string): Generator<LogicalLine> {
  let pending: { line: number; joined: string; written: string } | undefined;
  let number = 0;
  for (const raw of physicalLines(text)) {
    number++;
    const line = number === 1 && raw.startsWith("\ufeff") ? raw.slice(1) : raw;
    if (isComment(line)) continue;
    if (!line.endsWith("\\") || !endsInContinuation(line)) {
      if (pending === undefined) yield { line: number, joined: line, written: line };
      else yield { line: pending.line, joined: pending.joined + line, written: pending.written + line };
      pending = undefined;
      continue;
    }
    pending ??= { line: number, joined: "", written: "" };
    pending = {
      line: pending.line,
      joined: `${pending.joined}${line.slice(0, -1)} `,
      written: `${pending.written}${line}\n`,
    };
  }
  // The file ended right after a backslash.
  if (pending !== undefined) yield { ...pending, written: pending.written.slice(0, -1) };
}

/**
 * The value for the canonical text. It must never end as if it went on, or the next line of the canonical text would
 * become part of it and two files of different meaning would have one hash.
 */
function writtenValue(written: string, value: string): string {
  let text = trim(written.slice(written.indexOf("=") + 1));
  // The author's last backslash is the value's own (a blank stood after it): let a blank stand after it here too.
  if (endsInContinuation(value)) return `${text} `;
  // Nothing but blanks came in the continuation lines.
  while (endsInContinuation(text)) text = trim(text.slice(0, -1));
  return text;
}

/** systemd ends a line at LF, CR LF, LF CR and at a CR alone. */
function physicalLines(text: string): readonly string[] {
  return text.includes("\r") ? text.split(/\r\n|\n\r|\n|\r/) : text.split("\n");
}

function isComment(line: string): boolean {
  let at = 0;
  while (at < line.length && isBlank(line.charCodeAt(at))) at++;
  return line[at] === "#" || line[at] === ";";
}

function endsInContinuation(line: string): boolean {
  let backslashes = 0;
  while (backslashes < line.length && line[line.length - 1 - backslashes] === "\\") backslashes++;
  return backslashes % 2 === 1;
}

/** systemd's own idea of blanks, narrower than JavaScript's. By hand: a regular expression takes quadratic time here. */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** The first line that is not UTF-8. */
function lineOfBadUtf8(bytes: Uint8Array): number {
  let line = 1;
  for (let from = 0; from < bytes.length; line++) {
    const end = bytes.indexOf(10, from);
    const slice = bytes.subarray(from, end < 0 ? bytes.length : end);
    if (Buffer.from(slice).toString("utf8").includes("\ufffd")) return line;
    if (end < 0) break;
    from = end + 1;
  }
  return line;
}
