// Small checks of JSON shapes, for answers of the agent's API. A schema compiler would do it too, but it takes longer to
// load than a whole command takes to run. Inner part of report/.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";

export type Guard = (value: unknown) => boolean;

export const isText: Guard = (value) => typeof value === "string";
/** One that JSON can carry: its reader takes 1e400 for an infinity. */
export const isNumber: Guard = (value) => Number.isFinite(value);
export const isBoolean: Guard = (value) => typeof value === "boolean";

export function isOneOf(...words: readonly string[]): Guard {
  return (value) => typeof value === "string" && words.includes(value);
}

export function isListOf(guard: Guard): Guard {
  return (value) => Array.isArray(value) && value.every(guard);
}

/** An object used as a map: all its values pass. */
export function isMapOf(guard: Guard): Guard {
  return (value) => isObject(value) && Object.values(value).every(guard);
}

export function isOptional(guard: Guard): Guard {
  return (value) => value === undefined || guard(value);
}

/** An object with one guard for every field of `T`; further fields, of a newer agent, are let pass. */
export function isRecord<T>(fields: { readonly [Key in keyof T]-?: Guard }): (value: unknown) => value is T {
  const guards = Object.entries<Guard>(fields);
  return (value): value is T => isObject(value) && guards.every(([key, guard]) => guard(value[key]));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads an answer that must be whole. Problem "agent-answer". */
export function whole<T>(guard: (value: unknown) => value is T): (answer: unknown) => Checked<T> {
  return (answer) =>
    guard(answer)
      ? valid(answer)
      : invalid(
          new Problem("agent-answer", "Cannot understand the agent's answer", {
            hint: "Are the agent and this command of the same version? flotilla version; flotilla list-machines --fields machine,version",
          }),
        );
}
