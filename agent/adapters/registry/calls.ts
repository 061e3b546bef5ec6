// What both registry adapters share: the checks of what callers hand in, the Problems they reject with, and waiting that
// can be aborted. Talks to no store.
import { setMaxListeners } from "node:events";
import { Problem } from "../../domain/problem.ts";
import { type Write, type Guard, maxTransactionBytes, maxTransactionOps, maxValueBytes } from "../../ports/registry.ts";

export interface Transaction {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

const maxKeyBytes = 512;
const goodKey = /^[\x21-\x7e]*$/;

export function refused(what: string, hint: string, cause?: unknown): Problem {
  return new Problem("registry-refused", `Cannot ${what}`, { hint, cause });
}

export function unreachable(what: string, cause: unknown, hint?: string): Problem {
  return new Problem("registry-unreachable", `Cannot ${what}`, { hint, cause });
}

export function aborted(what: string, cause: unknown): Problem {
  return new Problem("aborted", `Stopped before the end: ${what}`, { cause });
}

/** For use in messages; keys of callers may be long. */
export function shownKey(key: string): string {
  return JSON.stringify(key.slice(0, 128));
}

/** Throws "registry-refused" for a prefix that no key can have. */
export function checkPrefix(what: string, prefix: string): void {
  if (prefix.length > maxKeyBytes || !goodKey.test(prefix)) {
    throw refused(what, `Keys are of printable ASCII without blanks, at most ${maxKeyBytes} bytes`);
  }
}

export function checkKey(what: string, key: string): void {
  checkPrefix(what, key);
  if (key === "") throw refused(what, "A key may not be empty");
}

/** Throws "registry-refused" for what no store would take, before anything is sent. */
export function checkTransaction(what: string, { guards, writes }: Transaction): void {
  if (guards.length + writes.length > maxTransactionOps) {
    throw refused(what, `A transaction may have at most ${maxTransactionOps} guards and writes`);
  }
  const seen = new Set<string>();
  let bytes = 0;
  for (const { key } of guards) checkKey(what, key);
  for (const write of writes) {
    checkKey(what, write.key);
    if (seen.has(write.key)) throw refused(what, `Key ${shownKey(write.key)} is written twice in one transaction`);
    seen.add(write.key);
    const valueBytes = write.kind === "put" ? Buffer.byteLength(write.value) : 0;
    if (valueBytes > maxValueBytes) {
      throw refused(what, `The value of ${shownKey(write.key)} has ${valueBytes} bytes; ${maxValueBytes} are allowed`);
    }
    bytes += valueBytes + write.key.length;
  }
  if (bytes > maxTransactionBytes) {
    throw refused(what, `The transaction has ${bytes} bytes; ${maxTransactionBytes} are allowed`);
  }
}

/** A few words for a transaction, for messages. */
export function describeTransaction({ writes }: Transaction): string {
  const first = writes[0];
  if (first === undefined) return "check registry guards";
  const more = writes.length === 1 ? "" : ` and ${writes.length - 1} more`;
  return `write registry key ${shownKey(first.key)}${more}`;
}

/** A signal, and the Problem that its abort makes of a call. */
export interface Stop {
  readonly signal: AbortSignal;
  readonly problem: (reason: unknown) => Problem;
}

/**
 * What `work` comes to, unless one of the signals comes first: then it rejects with that one's problem, and `work` goes on
 * unheard. Leaves no listener behind.
 */
export async function unlessStopped<T>(work: Promise<T>, stops: readonly Stop[]): Promise<T> {
  const undo: (() => void)[] = [];
  const stopped = new Promise<never>((_, reject) => {
    for (const { signal, problem } of stops) {
      setMaxListeners(0, signal); // many calls under one signal are no leak: each takes its listener away again
      const stop = (): void => reject(problem(signal.reason));
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
      undo.push(() => signal.removeEventListener("abort", stop));
    }
  });
  try {
    return await Promise.race([stopped, work]);
  } finally {
    for (const each of undo) each();
  }
}

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

export function deferred(): Deferred {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
