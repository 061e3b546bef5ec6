// What a resource of the API is given and gives back. Inner part of api/; knows no web framework.
import type { ClusterPicture } from "../domain/cluster.ts";
import { type Checked, Problem } from "../domain/problem.ts";
import type { Person } from "../domain/submitted.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";
import type { Hands } from "../ports/hands.ts";
import { registryAway } from "../report/report.ts";
import type { UnitSelection } from "../report/select.ts";

export interface Inquiry {
  readonly view: ClusterView;
  readonly hands: Hands;
  readonly clock: Clock;
  /** The part of the path that names something, decoded; "" for resources without. Unchecked. */
  readonly name: string;
  /** Every value of a key of the query, in order; only keys that the resource takes are there. */
  readonly query: (key: string) => readonly string[];
  /** Who asks, as they say themselves. */
  readonly by: Person;
  /** The body of the request, checked; rejects with every problem of one that is not so. */
  readonly read: <T>(shape: (body: unknown) => Checked<T>) => Promise<T>;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: 200 | 201 | 202;
  /** Sent as JSON. */
  readonly body: object;
}

/** One resource and one method. Throws a Problem, or an AggregateError of them, for everything that is not so. */
export interface Resource {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the API's root; ":name" stands for one part. */
  readonly path: string;
  /** For the index. */
  readonly gives: string;
  /** Keys that the query may have; none unless said. */
  readonly query?: readonly string[];
  /** Whether it reads a body; where it does not, a body is refused. */
  readonly takesBody?: boolean;
  answer(inquiry: Inquiry): Promise<Answer>;
}

export function found(body: object): Answer {
  return { status: 200, body };
}

/** What machines are seen to have: marked while the registry is away, for then it is of this machine alone, or old. */
export function seen(picture: ClusterPicture, body: object): Answer {
  return found({ ...(picture.stale === true ? { stale: true } : {}), ...body });
}

/** The picture is kept in the agent's memory; longer than this it cannot take unless something is stuck. */
const pictureTimeoutMs = 10_000;

/** The cluster's picture, within its time. */
export function pictureOf({
  view,
  clock,
  signal,
}: Pick<Inquiry, "view" | "clock" | "signal">): Promise<ClusterPicture> {
  return within(
    { clock, signal, ms: pictureTimeoutMs },
    (inner) => view.picture(inner),
    () => new Problem("picture-timeout", `Cannot read the state of the cluster within ${pictureTimeoutMs / 1000} s`),
  );
}

/**
 * For what a machine knows nothing of by itself: rejects with "registry-unreachable" while the registry is away. `what`: as in
 * "Cannot tell ... while the registry is away".
 */
export async function wholePictureOf(inquiry: Parameters<typeof pictureOf>[0], what: string): Promise<ClusterPicture> {
  const picture = await pictureOf(inquiry);
  if (picture.stale === true) throw registryAway(what);
  return picture;
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

/** Keys of a query that narrow listings of units. */
export const selectionKeys: readonly string[] = ["unit", "machine", "state"];

export function selectionOf({ query }: Inquiry): UnitSelection {
  return { units: query("unit"), machines: query("machine"), states: query("state") };
}
