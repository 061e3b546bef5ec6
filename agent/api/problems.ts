// Problems as HTTP answers: which status each code has, and the one shape that every failure is sent in.
import { type Checked, Problem, type ProblemRecord, explainError, toRecord } from "../domain/problem.ts";

/** The body of every answer that is not 2xx. */
export interface ErrorEntity {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    /** Everything that is wrong, each with its place, where several things can be. */
    readonly problems?: readonly ProblemRecord[];
  };
}

export type FailureStatus = 400 | 403 | 404 | 405 | 408 | 409 | 411 | 413 | 415 | 500 | 503 | 504;

/** Codes that are not the agent's own fault (500). */
const statuses: ReadonlyMap<string, FailureStatus> = new Map([
  ["unit-name", 400],
  ["unit-refused", 400],
  ["glob-malformed", 400],
  ["hold-time", 400],
  ["hold-why", 400],
  ["machine-id-shape", 400],
  ["metadata-change", 400],
  ["drain-time", 400],
  ["api-body", 400],
  ["api-body-json", 400],
  ["api-by", 400],
  ["api-query", 400],
  ["submit-off", 403],
  ["api-origin", 403],
  ["unit-unknown", 404],
  ["machine-unknown", 404],
  ["hold-unknown", 404],
  ["api-path", 404],
  ["api-method", 405],
  ["api-body-time", 408],
  ["registry-changed", 409],
  ["unit-differs", 409],
  ["unit-git", 409],
  ["unit-not-launched", 409],
  ["unit-submitted", 409],
  ["unit-template", 409],
  ["api-body-length", 411],
  ["api-body-size", 413],
  ["unit-size", 413],
  ["api-body-type", 415],
  ["api-streams", 503],
  ["api-closing", 503],
  ["registry-unreachable", 503],
  ["commit-missing", 503],
  ["no-leader", 503],
  ["picture-timeout", 504],
  ["sync-timeout", 504],
]);

/** A failure as it is told: one problem, and everything that it is made of. */
export interface Failure {
  readonly status: FailureStatus;
  readonly entity: ErrorEntity;
}

/** Of anything but problems of the house the words are not for others: the client is told `internal` and where to look. */
export function failureOf(error: unknown, internal = "Cannot answer"): Failure {
  if (error instanceof Problem) return told(error, []);
  const gathered: readonly unknown[] = error instanceof AggregateError ? error.errors : [];
  const problems = gathered.flatMap((each) => (each instanceof Problem ? [each] : []));
  const [first] = problems;
  return first === undefined || problems.length < gathered.length
    ? told(new Problem("internal", internal, { hint: "The agent's log says why" }), [])
    : told(first, problems);
}

/** As an AggregateError of them, under a problem that says what could not be done because of them. */
export class Refusal extends Problem {
  readonly problems: readonly Problem[];

  constructor(code: string, message: string, problems: readonly Problem[]) {
    super(code, message);
    this.problems = problems;
  }
}

function told(problem: Problem, all: readonly Problem[]): Failure {
  const { code, hint } = problem;
  const problems = problem instanceof Refusal ? problem.problems : all;
  return {
    status: statuses.get(code) ?? 500,
    entity: {
      error: {
        code,
        message: explainError(problem),
        ...(hint === undefined ? {} : { hint }),
        ...(problems.length === 0 ? {} : { problems: problems.map(toRecord) }),
      },
    },
  };
}

/** Whether the code has a place in the answers of its own. */
export function isKnown({ code }: Problem): boolean {
  return statuses.has(code);
}

/** The value; throws the problem, or all of them at once. */
export function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  const [only, ...more] = checked.problems;
  throw only !== undefined && more.length === 0 ? only : new AggregateError(checked.problems);
}
