// From a checked value to the value, for commands: a command ends at what is wrong.
import { type Checked, Problem } from "../domain/problem.ts";

/** The value; throws the problem, or all of them at once. */
export function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  const [only] = checked.problems;
  throw only !== undefined && checked.problems.length === 1 ? only : new AggregateError(checked.problems);
}

/** A mistake on the command line that the parser cannot see. */
export function usageProblem(message: string, hint: string): Problem {
  return new Problem("usage", message, { hint });
}
