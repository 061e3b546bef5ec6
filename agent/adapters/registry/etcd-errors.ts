// What etcd and the connection to it answer when they do not do what was asked, as the Problems of ports/registry.ts.
// Given to the etcd-*.ts files. Knows gRPC's codes and etcd's texts, and talks to nothing.
import { Problem } from "../../domain/problem.ts";
import { refused, unreachable } from "./calls.ts";

/** gRPC status codes that are told apart here (grpc.io, "Status codes"). */
export const grpc = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** A call that failed, with what gRPC said. */
export class CallFailed extends Error {
  readonly code: number;
  /** etcd has certainly done nothing for the call: there was no connection, or it gave up a read as its leader changed. */
  readonly isUndone: boolean;

  constructor(code: number, message: string, { isUndone = false } = {}) {
    super(message);
    this.name = "CallFailed";
    this.code = code;
    this.isUndone = isUndone;
  }
}

/** gRPC's words before anything is sent, and etcd's for a read that waited for its leader: a write never ends so. */
const undoneText =
  /No connection established|Name resolution failed|closed before call started|client was already closed|etcdserver: leader changed/;

/** A gRPC error as a CallFailed; anything else as one of code "unavailable" with its text. */
export function callFailed(error: unknown): CallFailed {
  if (error instanceof CallFailed) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
  const isUndone = code === grpc.unavailable && undoneText.test(text);
  return new CallFailed(code ?? grpc.unavailable, plainWords(text), { isUndone });
}

/** What went wrong, without the wrapping that gRPC's client puts around it. */
function plainWords(message: string): string {
  const text = message.replace(/^\d+ [A-Z_]+: /, "").replace(/ Resolution note: .*$/s, "");
  // It goes on with times that differ at every try, which would make one trouble look like many.
  if (text.startsWith("Deadline exceeded")) return "No answer in time";
  return text.replace(/^No connection established\. Last error: (?:Error: )?/, "").replace(/\.?\s*$/, "");
}

/** Whether it speaks against the endpoint, rather than against the request. */
export function isEndpointFault(error: unknown): boolean {
  const codes: readonly number[] = [grpc.unavailable, grpc.deadlineExceeded, grpc.internal];
  return error instanceof CallFailed && codes.includes(error.code) && !isUnhealthy(error);
}

/** There is no connection (any more); gRPC makes another one. */
export function isDropped(error: unknown): boolean {
  return error instanceof CallFailed && error.code === grpc.unavailable && !error.message.startsWith("etcdserver:");
}

/** etcd would lose its majority, or is in danger to, if the members were changed now. */
function isUnhealthy(failure: CallFailed): boolean {
  return /unhealthy cluster|not enough started members/.test(failure.message);
}

export function isMemberGone(error: unknown): boolean {
  return error instanceof CallFailed && /member not found/i.test(error.message);
}

/** Tokens are forgotten when etcd restarts, and void when users change. The request was not looked at. */
export function isStaleToken(error: unknown): boolean {
  return error instanceof CallFailed && /invalid auth token|revision in header is old/.test(error.message);
}

export function isCompacted(error: unknown): boolean {
  return error instanceof CallFailed && error.code === grpc.outOfRange && error.message.includes("compacted");
}

export function isLeaseGone(error: unknown): boolean {
  return error instanceof CallFailed && error.message.includes("requested lease not found");
}

const certificateText =
  /certificate|self.signed|unable to (get|verify)|SSL routines|ssl3|tlsv1|alert|ERR_TLS|altnames|wrong version number|EPROTO/i;

/** Sentences of etcd's (rpctypes) and what is to be done about each. */
const refusals: readonly { readonly text: RegExp; readonly hint: string }[] = [
  { text: /invalid user ID or password/, hint: "Check registry username and password" },
  { text: /user name is empty/, hint: "This etcd asks for a user: set registry username and password" },
  { text: /authentication is not enabled/, hint: "This etcd knows no users: remove registry username and password" },
  { text: /permission denied/, hint: "The etcd user needs the right to read and write everything under the prefix" },
  { text: /database space exceeded|space exceeded/, hint: "etcd's database is full: compact and defragment it" },
  { text: /too many operations|request is too large/, hint: "etcd's limits are lower than its own defaults" },
];

/** The Problem of a failed call. `what` is what was tried, in words. */
export function problemOf(what: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const failure = callFailed(error);
  if (isLeaseGone(failure)) {
    return new Problem("lease-lost", `Cannot ${what}`, { hint: "The lease has ended", cause: failure });
  }
  if (isUnhealthy(failure)) {
    return new Problem("cluster-unhealthy", `Cannot ${what}`, {
      hint: "etcd changes its members only while enough of them are up and in touch; try again in a few seconds",
      cause: failure,
    });
  }
  if (/peer ?urls already exists|member id already exist/i.test(failure.message)) {
    return new Problem("member-exists", `Cannot ${what}`, {
      hint: "A member with this peer URL is in the cluster already; remove that one first",
      cause: failure,
    });
  }
  const known = refusals.find(({ text }) => text.test(failure.message));
  if (known !== undefined) return refused(what, known.hint, failure);
  if (failure.code === grpc.unavailable && certificateText.test(failure.message)) {
    return refused(what, "Check the registry's CA, certificate and key, and that all endpoints are https", failure);
  }
  const codes: readonly number[] = [grpc.permissionDenied, grpc.unauthenticated, grpc.invalidArgument];
  if (codes.includes(failure.code)) return refused(what, "etcd does not accept the request", failure);
  return unreachable(what, failure, "Check that etcd is running and can be reached from this machine");
}
