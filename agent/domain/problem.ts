// What went wrong, for people: what was tried, with which value, where, and what to do about it.
// Given to every room; imports nothing.

/** A place in a file of a person's: `file` as they know it (a path in the repository), `line` and `column` from 1. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  /** Path of the key in a structured file: `coreos.units[2].command`. */
  readonly key?: string;
}

export interface ProblemDetails {
  /** What the reader can do about it: one sentence, no full stop. */
  readonly hint?: string | undefined;
  readonly at?: Place | undefined;
  readonly cause?: unknown;
}

/** Of a message and of a hint: what they quote may be as long as a path, a line or a file. What is more is cut off. */
export const maxProblemChars = 1_000;
/** Of a message with all its causes. */
export const maxExplainedChars = 4_000;

/**
 * One thing that is wrong. `code` is for programs ("unit-unknown-option"); `message` names the action and the value, has
 * no full stop and never the cause's own text: `describeProblem` walks the chain.
 */
export class Problem extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly at: Place | undefined;

  constructor(code: string, message: string, details: ProblemDetails = {}) {
    super(cutOff(message, maxProblemChars), details.cause === undefined ? {} : { cause: details.cause });
    this.name = "Problem";
    this.code = code;
    this.hint = details.hint === undefined ? undefined : cutOff(details.hint, maxProblemChars);
    this.at = details.at;
  }
}

/** A problem as plain data: what is kept in the registry, sent by the API and printed with `--json`. */
export interface ProblemRecord {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly key?: string;
}

/** The result of reading something foreign: the value, or every problem found (never empty). */
export type Checked<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problems: readonly Problem[] };

export function valid<T>(value: T): Checked<T> {
  return { ok: true, value };
}

export function invalid<T = never>(...problems: readonly Problem[]): Checked<T> {
  return { ok: false, problems };
}

/** Gathered errors that are told; a host has a few addresses, a settings file a few slips. */
const maxGathered = 8;

/** The message of an error and of all its causes, joined by ": ", each said once; gathered errors by "; ". */
export function explainError(error: unknown): string {
  const parts: string[] = [];
  for (let each: unknown = error, depth = 0; each !== undefined && each !== null && depth < 8; depth++) {
    const text = ownWords(each, parts.join(" "));
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    each = each instanceof Error ? each.cause : undefined;
  }
  return cutOff(parts.join(": "), maxExplainedChars);
}

/** At most as many characters, no half of one among them. */
function cutOff(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** `told` is what was said before: a path in it is not named again by what the operating system adds. */
function ownWords(thrown: unknown, told = ""): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) {
    const gathered = thrown.errors
      .slice(0, maxGathered)
      .map((each: unknown) => explainError(each))
      .join("; ");
    return thrown.message === "" ? gathered : `${thrown.message}: ${gathered}`;
  }
  if (thrown instanceof Error) return withoutPath(thrown.message || thrown.name, told);
  return typeof thrown === "string" ? thrown : JSON.stringify(thrown);
}

/** Node's "ENOENT: no such file or directory, open '/a/b'" and "connect ENOENT /a/b", without a path that is known. */
function withoutPath(text: string, told: string): string {
  const [tail, opened, connected] = /, \w+ '(\/[^']*)'$|(?<=^connect [A-Z]+) (\/.*)$/.exec(text) ?? [];
  return tail !== undefined && told.includes(opened ?? connected ?? "") ? text.slice(0, -tail.length) : text;
}

/** Any thrown value as a Problem: itself, or wrapped under `code` and `message`. */
export function asProblem(error: unknown, code: string, message: string): Problem {
  return error instanceof Problem ? error : new Problem(code, message, { cause: error });
}

export function toRecord(problem: Problem): ProblemRecord {
  return {
    code: problem.code,
    message: explainError(problem),
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    ...(problem.at === undefined ? {} : { file: problem.at.file }),
    ...(problem.at?.line === undefined ? {} : { line: problem.at.line }),
    ...(problem.at?.column === undefined ? {} : { column: problem.at.column }),
    ...(problem.at?.key === undefined ? {} : { key: problem.at.key }),
  };
}

/** One line for people: `file:line:column: message (hint)`. */
export function describeProblem(problem: ProblemRecord): string {
  const numbers = [problem.line, problem.column].filter((number) => number !== undefined);
  const place = problem.file === undefined ? "" : `${[problem.file, ...numbers].join(":")}: `;
  return `${place}${problem.message}${problem.hint === undefined ? "" : ` (${problem.hint})`}`;
}

export function unreachable(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}
