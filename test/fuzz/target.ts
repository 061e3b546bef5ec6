// What a target of fuzzing says: a reader of foreign bytes, how it is called, and what must hold beyond what must hold for
// all of them. The rules for all are here, too. Given to targets/ and to the thread that runs them.
import { Problem, explainError, maxExplainedChars, maxProblemChars } from "../../agent/domain/problem.ts";

export interface Target {
  /** Its folder in the corpus. */
  readonly name: string;
  /** What it is, in a few words. */
  readonly reads: string;
  /** What stands in texts of this format. */
  readonly words: readonly string[];
  /** Longer inputs are not made: a little more than the reader takes, or what makes it work hard. */
  readonly maxBytes: number;
  /** How often `run` has the reader read the input, to compare: its time is divided by it. Once unless set. */
  readonly readings?: number;
  /** Gives the reader one input. Throws what must not be; the rules below are applied to what it says. */
  run(input: Uint8Array): Said | Promise<Said>;
  /** Ends what the target has started. */
  close?(): Promise<void>;
}

/** What a reader said to one input. */
export interface Said {
  /** In a word, for telling inputs apart: "taken", a status; "refused", which needs a problem that says why. */
  readonly outcome: string;
  readonly problems: readonly Problem[];
  /** Other text that people get to see. */
  readonly texts?: readonly string[];
}

/** What breaks the rules in what was said; undefined: nothing. */
export function breachOf({ outcome, problems, texts = [] }: Said): string | undefined {
  if (/\brefused\b/.test(outcome) && problems.length === 0) return "a refusal without a problem";
  for (const problem of problems) {
    const breach = problemBreach(problem);
    if (breach !== undefined) return `${breach}: ${JSON.stringify(describe(problem)).slice(0, 400)}`;
  }
  for (const text of texts)
    if (/\n\s+at .*:\d+:\d+/.test(text)) return `a stack: ${JSON.stringify(text.slice(0, 400))}`;
  return pollution();
}

function describe(problem: unknown): string {
  return problem instanceof Problem ? `${problem.code}: ${explainError(problem)}` : String(problem);
}

function problemBreach(problem: unknown): string | undefined {
  if (!(problem instanceof Problem)) return "not a Problem";
  const { code, message, hint } = problem;
  if (!/^[a-z][a-z0-9-]*$/.test(code)) return "a problem without a code";
  if (message.trim() === "") return "a problem without a message";
  const whole = explainError(problem);
  if (message.length > maxProblemChars || whole.length > maxExplainedChars)
    return `a message of ${whole.length} characters`;
  if ((hint?.length ?? 0) > maxProblemChars) return `a hint of ${hint?.length ?? 0} characters`;
  if (/\n\s+at .*:\d+:\d+/.test(whole)) return "a stack in a message";
  // "URL scheme undefined" is fleet's own word
  if (/(?<!scheme )\bundefined\b|\[object /.test(message.replace(/"[^"]*"|'[^']*'/g, "")))
    return "a message about nothing";
  return undefined;
}

/** What the breach begins with that stays for all inputs that follow. */
export const pollutedPrototype = "a polluted prototype";

const innocent = new Map(
  [Object.prototype, Array.prototype, Function.prototype, String.prototype].map((each) => [each, keysOf(each)]),
);

/** Whether an input has changed what all objects have in common. */
function pollution(): string | undefined {
  for (const [each, keys] of innocent) if (keysOf(each) !== keys) return `${pollutedPrototype}: ${keysOf(each)}`;
  return undefined;
}

function keysOf(object: object): string {
  return Reflect.ownKeys(object).map(String).join(" ");
}

/** Throws when it is not so: what must hold for one target. */
export function mustHold(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`It does not hold: ${what}`);
}

/** Why a reader refuses, where warnings or other readers' problems would hide that it does not say it. */
export function reasons(problems: readonly Problem[]): readonly Problem[] {
  mustHold(problems.length > 0, "a refusal that says why");
  return problems;
}

/** A rejection of a reader: its Problems. Whatever else was thrown goes on. */
export function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof Problem) return [error];
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.flatMap(problemsOf);
  throw error;
}

/** Text as readers get it that decode leniently. */
export function textOf(input: Uint8Array): string {
  return Buffer.from(input).toString("utf8");
}
