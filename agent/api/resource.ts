// What a resource of the API is given and gives back. Inner part of api/; knows no web framework.
import { Problem } from "../domain/problem.ts";
import type { ClusterPicture } from "../domain/cluster.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";

export interface Inquiry {
  readonly view: ClusterView;
  readonly clock: Clock;
  /** The part of the path that names something, decoded; "" for resources without. Unchecked. */
  readonly name: string;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

/** One resource: what it answers is sent as JSON. Throws a Problem for everything that is not so. */
export interface Resource {
  readonly method: "GET" | "POST";
  /** Below the API's root; ":name" stands for one part. */
  readonly path: string;
  /** For the index. */
  readonly gives: string;
  answer(inquiry: Inquiry): Promise<object>;
}

/** The picture is kept in the agent's memory; longer than this it cannot take unless something is stuck. */
const pictureTimeoutMs = 10_000;

/** The cluster's picture, within its time. */
export function pictureOf({ view, clock, signal }: Inquiry): Promise<ClusterPicture> {
  return within(
    { clock, signal, ms: pictureTimeoutMs },
    (inner) => view.picture(inner),
    () => new Problem("picture-timeout", `Cannot read the state of the cluster within ${pictureTimeoutMs / 1000} s`),
  );
}

/** `work`, given up with `late` after `ms`, or when `signal` says so; whatever is given up is told through its signal. */
async function within<T>(
  limits: { readonly clock: Clock; readonly signal: AbortSignal; readonly ms: number },
  work: (signal: AbortSignal) => Promise<T>,
  late: () => Problem,
): Promise<T> {
  const over = new AbortController();
  const signal = AbortSignal.any([limits.signal, over.signal]);
  const alarm = limits.clock.sleep(limits.ms, signal).then((): never => {
    throw late();
  });
  try {
    return await Promise.race([work(signal), alarm]);
  } finally {
    over.abort();
  }
}
