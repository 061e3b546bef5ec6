// When a cron expression is next due, computed with the package "cron" and no timers of its own.
// Given to wire (checking the settings) and to the sync loop (planning the next poll). The only importer of that package.
import { CronTime } from "cron";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { Cron } from "../ports/cron.ts";

/** An expression may have at most this many characters. */
const maxExpressionLength = 256;

/** The largest useful step of each field, from the right: beyond it `*` + `/n` silently means "once per field wrap". */
const fields = [
  { name: "day of the week", span: 7 },
  { name: "month", span: 12 },
  { name: "day of the month", span: 31 },
  { name: "hour", span: 24 },
  { name: "minute", span: 60 },
  { name: "second", span: 60 },
] as const;

/**
 * The expression itself when it can be used as `GitSettings.schedule`: five fields, six (seconds first) or a preset such
 * as `@hourly`, every step within its field, and due at least once within eight years. Local time zone.
 */
export function checkSchedule(expression: string): Checked<string> {
  const text = expression.trim();
  const refuse = (hint: string, cause?: unknown): Checked<string> =>
    invalid(new Problem("schedule-shape", `Cannot use the schedule "${text.slice(0, 80)}"`, { hint, cause }));

  if (text === "" || text.length > maxExpressionLength)
    return refuse(`It must have between 1 and ${maxExpressionLength} characters`);
  const parts = text.startsWith("@") ? [] : text.split(/\s+/);
  if (parts.length !== 0 && parts.length !== 5 && parts.length !== 6)
    return refuse("Write five fields (minute hour day month weekday), or six with the seconds first");
  for (const [index, part] of [...parts].reverse().entries()) {
    const problem = checkSteps(part, fields[index]);
    if (problem !== undefined) return refuse(problem);
  }
  const verdict = CronTime.validateCronExpression(text);
  if (!verdict.valid)
    return refuse(
      "Write it as in crontab(5), for example */30 * * * * * for every 30 seconds",
      named(verdict.error, "the expression is not valid"),
    );
  try {
    new CronTime(text).sendAt();
  } catch (error) {
    return refuse("No date within eight years fits it", named(error, "it is never due"));
  }
  return valid(text);
}

/** What is wrong with the steps of one field, as a hint; undefined when nothing is. */
function checkSteps(part: string, field: (typeof fields)[number] | undefined): string | undefined {
  for (const range of part.split(",")) {
    const step = /\/(\d+)$/.exec(range)?.[1];
    if (step === undefined || field === undefined) continue;
    const steps = Number(step);
    if (steps < 1 || steps >= field.span)
      return `The step /${step} of the ${field.name} must be between 1 and ${field.span - 1}`;
  }
  return undefined;
}

/** The package's errors hold a page of debugging help; a reader needs one line. */
function named(error: unknown, fallback: string): Error {
  const line = error instanceof Error ? error.message.split("\n")[0]?.trim() : undefined;
  return new Error(line === undefined || line === "" || line.startsWith("Something went wrong") ? fallback : line);
}

/** Parsed expressions are kept: a handful of schedules, asked again and again. */
const maxParsed = 64;

/** `next` throws for an expression that `checkSchedule` does not accept. About 1 ms for each new answer. */
export function createCron(): Cron {
  const parsed = new Map<string, CronTime>();
  return {
    next(schedule, afterMs) {
      let time = parsed.get(schedule);
      if (time === undefined) {
        if (parsed.size >= maxParsed) parsed.clear();
        time = new CronTime(schedule);
        parsed.set(schedule, time);
      }
      return time.getNextDateFrom(new Date(afterMs)).toMillis();
    },
  };
}
