// Problems as HTTP answers: which status each code has, and the one shape that every failure is sent in.
import { type Checked, Problem, explainError } from "../domain/problem.ts";

/** The body of every answer that is not 2xx. */
export interface ErrorEntity {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
}

type FailureStatus = 400 | 404 | 405 | 411 | 413 | 500 | 503 | 504;

/** Codes that are not the agent's own fault (500). */
const statuses: ReadonlyMap<string, FailureStatus> = new Map([
  ["unit-name", 400],
  ["unit-unknown", 404],
  ["api-path", 404],
  ["api-method", 405],
  ["api-body-length", 411],
  ["api-body-size", 413],
  ["api-streams", 503],
  ["api-closing", 503],
  ["registry-unreachable", 503],
  ["commit-missing", 503],
  ["no-leader", 503],
  ["picture-timeout", 504],
  ["sync-timeout", 504],
]);

export function statusOf(problem: Problem): FailureStatus {
  return statuses.get(problem.code) ?? 500;
}

export function entityOf(problem: Problem): ErrorEntity {
  const { code, hint } = problem;
  return { error: { code, message: explainError(problem), ...(hint === undefined ? {} : { hint }) } };
}

/** The value, or the first problem thrown. */
export function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  throw checked.problems[0] ?? new Problem("internal", "Cannot say what is wrong: no problem was given");
}
