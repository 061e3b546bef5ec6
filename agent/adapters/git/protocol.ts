// What the main thread and the git worker say to each other: plain data only. Given to thread.ts and worker.ts.
import type { CommitId } from "../../domain/names.ts";
import { Problem, explainError } from "../../domain/problem.ts";
import type { CommitInfo, TreeEntry } from "../../ports/git.ts";
import type { Brought, Errand, StoreOptions } from "./store.ts";

/** At most this many entries cross in one message: taking in a larger one would hold up the main thread. */
export const pageEntries = 2_000;

export interface Page {
  readonly entries: readonly TreeEntry[];
  readonly more: boolean;
}

/** Every call of the worker: what goes in, what comes out. */
export interface Calls {
  readonly bring: { readonly input: Errand; readonly output: Brought };
  readonly has: { readonly input: CommitId; readonly output: boolean };
  readonly info: { readonly input: CommitId; readonly output: CommitInfo };
  readonly tree: { readonly input: { readonly commit: CommitId; readonly from: number }; readonly output: Page };
  readonly blob: { readonly input: string; readonly output: Uint8Array };
}

export type CallName = keyof Calls;

export type ToWorker =
  | { [Name in CallName]: { readonly id: number; readonly call: Name; readonly input: Calls[Name]["input"] } }[CallName]
  | { readonly id: number; readonly call: "abort" };

export type FromWorker =
  { readonly id: number; readonly value: unknown } | { readonly id: number; readonly problem: WireProblem };

export type WorkerData = StoreOptions;

/** A Problem as data; its causes become one line. */
export interface WireProblem {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly cause: string | undefined;
}

export function toWire(problem: Problem): WireProblem {
  const { code, message, hint, cause } = problem;
  return { code, message, hint, cause: cause === undefined ? undefined : explainError(cause) };
}

export function fromWire({ code, message, hint, cause }: WireProblem): Problem {
  return new Problem(code, message, { hint, cause: cause === undefined ? undefined : new Error(cause) });
}
