// Answers of fleet's API v1: its JSON, its error entity, its words. Inner part of fleet.ts.
import { type ProblemRecord, Problem, describeProblem } from "../domain/problem.ts";
import { type FailureStatus, failureOf } from "./problems.ts";

/** A request that fleet answers with an error, in fleet's own words; "" where it has none. */
export class FleetFailure extends Problem {
  readonly status: FailureStatus;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: FailureStatus, message: string, headers: Readonly<Record<string, string>> = {}) {
    super("fleet-api", message);
    this.status = status;
    this.headers = headers;
  }
}

/** fleet's word for a registry that is away; for every request. */
export const registryAway = "fleet server unable to communicate with etcd";

/** `indent`: blanks before each level; none for one line. */
export function json(value: unknown, more: { readonly status?: number; readonly indent?: number } = {}): Response {
  const headers = { "Content-Type": "application/json" };
  return new Response(escaped(JSON.stringify(value, undefined, more.indent)), { status: more.status ?? 200, headers });
}

export function done(status: 201 | 204): Response {
  // Said, because some clients wait for a body where nothing is said of it
  return new Response(null, { status, headers: status === 201 ? { "Content-Length": "0" } : {} });
}

/** Undefined: nothing that may be told; the answer is 500 without a word, and whoever asks logs the error. */
export function failureAnswer(error: unknown): Response | undefined {
  if (error instanceof FleetFailure) return entity(error.status, error);
  const failure = failureOf(error);
  if (failure.status === 500) return undefined;
  const { code, message, hint, problems } = failure.entity.error;
  if (code === "registry-unreachable") return entity(503, { message: registryAway });
  if (code === "unit-unknown") return entity(404, { message: unitUnknown });
  return entity(failure.status, {
    message: inOneLine({ code, message, ...(hint === undefined ? {} : { hint }) }, problems),
  });
}

export const unitUnknown = "unit does not exist";

export function internalFailure(): Response {
  return entity(500, { message: "" });
}

/** In the order in which fleet's JSON has its keys; what is empty is left out. */
export function withoutEmpty<T extends Readonly<Record<string, unknown>>>(entries: T): Partial<T> {
  const kept = Object.entries(entries).filter(
    ([, value]) => value !== "" && value !== undefined && !(isObject(value) && Object.keys(value).length === 0),
  );
  return Object.fromEntries(kept) as Partial<T>;
}

function entity(
  status: FailureStatus,
  { message, headers = {} }: { readonly message: string; readonly headers?: Readonly<Record<string, string>> },
): Response {
  const response = json({ error: { code: status, message } }, { status });
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  return response;
}

function inOneLine(problem: ProblemRecord, all: readonly ProblemRecord[] | undefined): string {
  if (all === undefined || all.length === 0) return describeProblem(problem);
  const each = all.map(({ code, message, hint }) =>
    describeProblem({ code, message, ...(hint === undefined ? {} : { hint }) }),
  );
  return [problem.message, each.filter((text) => text !== problem.message).join("; ")].join(": ");
}

/** As Go's encoder writes JSON, so that equal answers are equal bytes. */
function escaped(text: string): string {
  return text.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
