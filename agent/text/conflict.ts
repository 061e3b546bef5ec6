// Whether two units may not share a machine. One meaning for all who ask: schedule/ when it places, reconcile/ when it
// orders a start after a stop. Knows names and patterns only.
import { compileGlob } from "./glob.ts";

/** What a conflict depends on. */
export interface Conflicting {
  readonly name: string;
  /** Glob patterns over unit names. */
  readonly conflicts: readonly string[];
}

/** The test for one pattern; a malformed pattern matches nothing (desired/ has refused it by then). */
export function patternTest(pattern: string): (name: string) => boolean {
  const glob = compileGlob(pattern);
  return glob.ok ? glob.value : () => false;
}

/** What every name that matches begins with: the pattern up to its first special character; all of it when `exact`. */
export function literalStart(pattern: string): { readonly start: string; readonly exact: boolean } {
  const special = pattern.search(/[*?[\\]/);
  return special < 0 ? { start: pattern, exact: true } : { start: pattern.slice(0, special), exact: false };
}

/**
 * A test of pairs: true when a pattern of either matches the other's name. A unit never conflicts with
 * itself. Each pattern is compiled once for the life of the returned function.
 */
export function conflictTest(): (a: Conflicting, b: Conflicting) => boolean {
  const tests = new Map<string, (name: string) => boolean>();
  const matches = (patterns: readonly string[], name: string): boolean =>
    patterns.some((pattern) => {
      const test = tests.get(pattern) ?? patternTest(pattern);
      tests.set(pattern, test);
      return test(name);
    });
  return (a, b) => a.name !== b.name && (matches(a.conflicts, b.name) || matches(b.conflicts, a.name));
}
