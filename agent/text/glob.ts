// Glob patterns over unit names, for Conflicts= and Replaces= (as Go's path.Match). Given to desired/ and
// schedule/. Never a regular expression: time is bounded by pattern length times name length, whatever the pattern.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";

/** Room for a name's 255 bytes and some classes. */
export const maxGlobLength = 1024;

type Range = readonly [low: string, high: string];
/** One character of the name, or any run of them. */
type Step =
  | { readonly kind: "literal"; readonly char: string }
  | { readonly kind: "any" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly Range[] }
  | { readonly kind: "run" };

/**
 * The test for a whole name: `*` any run without "/", `?` one character but "/", `[abc]`, `[a-z]`, `[^a]` classes, `\`
 * takes the next character as it is. A pattern is also the name that it spells, for `mnt-my\x2ddata.mount` is a name as
 * systemd-escape(1) writes it. Problem "glob-malformed": an open or empty class, a range the wrong way round, a lone `\` at
 * the end, or a pattern above `maxGlobLength`.
 */
export function compileGlob(pattern: string): Checked<(name: string) => boolean> {
  if (pattern.length > maxGlobLength) {
    return invalid(
      new Problem("glob-malformed", `Cannot read a pattern of ${pattern.length} characters`, {
        hint: `At most ${maxGlobLength} are allowed`,
      }),
    );
  }
  if (!/[*?[\\]/.test(pattern)) return valid((name) => name === pattern);
  const steps = parseSteps(pattern);
  if (typeof steps === "string") {
    return invalid(new Problem("glob-malformed", `Cannot read the pattern "${pattern}"`, { hint: steps }));
  }
  return valid((name) => name === pattern || matches(steps, name));
}

/** The steps, or in words what is wrong. */
function parseSteps(pattern: string): readonly Step[] | string {
  const steps: Step[] = [];
  const chars = Array.from(pattern);
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] ?? "";
    if (char === "*") {
      if (steps.at(-1)?.kind !== "run") steps.push({ kind: "run" });
    } else if (char === "?") {
      steps.push({ kind: "any" });
    } else if (char === "\\") {
      const next = chars[++at];
      if (next === undefined) return 'Nothing follows the last "\\"';
      steps.push({ kind: "literal", char: next });
    } else if (char === "[") {
      const parsed = parseClass(chars, at + 1);
      if (typeof parsed === "string") return parsed;
      steps.push(parsed.step);
      at = parsed.last;
    } else {
      steps.push({ kind: "literal", char });
    }
  }
  return steps;
}

/** Reads a class from just after its "[" on; `last` is where its "]" stands. */
function parseClass(chars: readonly string[], from: number): { readonly step: Step; readonly last: number } | string {
  const ranges: Range[] = [];
  let at = from;
  const negated = chars[at] === "^";
  if (negated) at++;
  const open = 'A class begins with "[" and has no end "]"';
  while (chars[at] !== "]") {
    const low = readClassChar(chars, at);
    if (low === undefined) return at >= chars.length ? open : `A class cannot hold "${chars[at] ?? ""}" here`;
    at = low.next;
    if (chars[at] !== "-") {
      ranges.push([low.char, low.char]);
      continue;
    }
    const high = readClassChar(chars, at + 1);
    if (high === undefined) return at + 1 >= chars.length ? open : 'A range such as "a-z" lacks its end';
    if (codeOf(high.char) < codeOf(low.char)) return `The range "${low.char}-${high.char}" is the wrong way round`;
    ranges.push([low.char, high.char]);
    at = high.next;
  }
  if (ranges.length === 0) return "A class must name at least one character";
  return { step: { kind: "class", negated, ranges }, last: at };
}

function readClassChar(
  chars: readonly string[],
  at: number,
): { readonly char: string; readonly next: number } | undefined {
  const char = chars[at];
  if (char === undefined || char === "-" || char === "]") return undefined;
  if (char !== "\\") return { char, next: at + 1 };
  const escaped = chars[at + 1];
  return escaped === undefined ? undefined : { char: escaped, next: at + 2 };
}

/** Every run takes as little as it can; only the last run seen is ever widened, which is enough and bounds the time. */
function matches(steps: readonly Step[], name: string): boolean {
  let step = 0;
  let char = 0;
  let runStep = -1;
  let runEnd = 0;
  while (char < name.length || step < steps.length) {
    const current = steps[step];
    if (current?.kind === "run") {
      runStep = step++;
      runEnd = char;
      continue;
    }
    const width = char < name.length && current !== undefined ? takes(current, name, char) : 0;
    if (width > 0) {
      step++;
      char += width;
      continue;
    }
    if (runStep < 0 || runEnd >= name.length || name[runEnd] === "/") return false;
    runEnd += widthAt(name, runEnd);
    char = runEnd;
    step = runStep + 1;
  }
  return true;
}

/** How many code units of the name this step takes at `at`; 0: it does not match there. */
function takes(step: Exclude<Step, { kind: "run" }>, name: string, at: number): number {
  const width = widthAt(name, at);
  const char = width === 1 ? name.charAt(at) : name.slice(at, at + width);
  if (step.kind === "literal") return step.char === char ? width : 0;
  if (step.kind === "any") return char === "/" ? 0 : width;
  const code = codeOf(char);
  const inside = step.ranges.some(([low, high]) => code >= codeOf(low) && code <= codeOf(high));
  return inside !== step.negated && char !== "/" ? width : 0;
}

function widthAt(name: string, at: number): number {
  return (name.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}
