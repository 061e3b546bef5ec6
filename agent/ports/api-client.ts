// What a command may ask of a running agent: its HTTP API on a unix socket, answers as parsed JSON.
// The caller checks an answer's shape; this port knows only HTTP.
import type { Person } from "../domain/submitted.ts";

/** Longest answer that is read; 150,000 units are about 60 MB. */
export const maxAnswerBytes = 256 * 1024 * 1024;
/** An ordinary request is given up after this long. */
export const answerTimeoutMs = 30_000;
/** A stream that has been silent this long is broken: the agent sends a heartbeat three times as often. */
export const streamSilenceMs = 45_000;

export interface AskOptions {
  readonly signal?: AbortSignal;
  /** From sending until the whole answer is read; `answerTimeoutMs` unless said. */
  readonly timeoutMs?: number;
}

export interface ChangeOptions extends AskOptions {
  /** Sent as JSON; left out: no body. */
  readonly body?: object;
  /** Who asks, for events and holds; the user of this process and its host unless said. */
  readonly by?: Person;
}

/**
 * Every call rejects with a Problem: "agent-unreachable" (no socket, nobody listening, no permission, broken off),
 * "agent-timeout", "agent-answer" (not this API's answer), "aborted", or the agent's own problem with its code and hint.
 * Where the agent found several things wrong it is an AggregateError of them.
 */
export interface ApiClient {
  /** `path` begins with "/v2"; its parts are already encoded. Resolves with the parsed JSON of a 2xx answer. */
  get(path: string, options?: AskOptions): Promise<unknown>;
  post(path: string, options?: ChangeOptions): Promise<unknown>;
  put(path: string, body: object, options?: Omit<ChangeOptions, "body">): Promise<unknown>;
  delete(path: string, options?: ChangeOptions): Promise<unknown>;
  /** Yields "changed" once when connected and once after every change of the cluster that follows. Ends only by rejecting. */
  changes(signal: AbortSignal): AsyncIterable<"changed">;
}
