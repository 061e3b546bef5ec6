// Waits until what was asked for has come about: asks after every change of the cluster, judges, and says of each unit at
// once how it ended. Knows no command; given to carry-out.ts.
import type { UnitName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { UnitDetail } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { answers } from "../report/report.ts";
import { type Goal, type Verdict, isSeen, judge } from "../report/verdict.ts";
import { isAborted, isPassing } from "./away.ts";
import { ChangeFeed } from "./change-feed.ts";
import { orThrow } from "./checked.ts";
import type { Tools } from "./tools.ts";
import { sideBySide } from "./unit-arguments.ts";

export interface Awaited {
  readonly name: UnitName;
  readonly goal: Goal;
  /** Whether anything was changed; without, what is so at once was so before. */
  readonly changed: boolean;
}

/** How the waiting for one unit ended. */
export type Ending =
  | (Extract<Verdict, { kind: "reached" | "failed" | "refused" | "overtaken" }> & {
      /** Whether it was so at the first look. */
      readonly atOnce: boolean;
    })
  | { readonly kind: "timeout" | "interrupted"; readonly last: Extract<Verdict, { kind: "waiting" }> };

/** What has been found of a unit that is still waited for. */
export interface Waiting {
  readonly name: UnitName;
  readonly last: Extract<Verdict, { kind: "waiting" }>;
}

export interface WaitOptions {
  readonly tools: Pick<Tools, "clock" | "signal">;
  readonly client: ApiClient;
  /** Infinity: for ever. */
  readonly timeoutMs: number;
  /** Called once for each unit, in the order in which they end. */
  readonly ended: (unit: Awaited, ending: Ending) => Promise<void>;
  /** Called after every look, with what is left. */
  readonly looked: (left: readonly Waiting[]) => Promise<void>;
  /** The agent cannot be reached; it is asked again. */
  readonly away: (problem: Problem) => Promise<void>;
}

/** Without any change the agent is asked this often: a change may have been missed. */
const pollMs = 5_000;
/** Changes come in crowds; so long after one look the next may come. */
const restMs = 100;

/** One unit on its way. */
interface Watch {
  readonly unit: Awaited;
  wasSeen: boolean;
  looks: number;
  /** The ending that it will have if it stays so, and since when. */
  candidate:
    | { readonly text: string; readonly verdict: Exclude<Verdict, { kind: "waiting" }>; readonly sinceMs: number }
    | undefined;
  last: Extract<Verdict, { kind: "waiting" }>;
}

/** Resolves when every unit has ended, at the time-out, or at the signal. Rejects when the agent refuses to answer. */
export async function waitFor(units: readonly Awaited[], options: WaitOptions): Promise<void> {
  const { tools, client, timeoutMs } = options;
  const { clock, signal } = tools;
  const endMs = clock.monotonicMs() + timeoutMs;
  let unsaid: Problem | undefined;
  const feed = new ChangeFeed({ client, clock, signal, away: (problem) => (unsaid = problem) });
  let left: readonly Watch[] = units.map(newWatch);
  try {
    for (;;) {
      left = await look(left, options);
      if (left.length === 0) return;
      if (unsaid !== undefined) await options.away(unsaid);
      unsaid = undefined;
      const nowMs = clock.monotonicMs();
      if (signal.aborted || nowMs >= endMs) break;
      await options.looked(left.map(({ unit, last }) => ({ name: unit.name, last })));
      await feed.next(Math.min(endMs - nowMs, dueMs(left, nowMs), pollMs));
      await clock.sleep(restMs, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  } finally {
    await feed.end();
  }
  const kind = signal.aborted ? "interrupted" : "timeout";
  for (const { unit, last } of left) await options.ended(unit, { kind, last });
}

function newWatch(unit: Awaited): Watch {
  return {
    unit,
    wasSeen: false,
    looks: 0,
    candidate: undefined,
    last: { kind: "waiting", why: "nothing is known yet", refusals: [] },
  };
}

/** Until the first of them has been steady for long enough. */
function dueMs(left: readonly Watch[], nowMs: number): number {
  const due = left.flatMap(({ candidate }) =>
    candidate === undefined ? [] : [candidate.sinceMs + steadyOf(candidate.verdict) - nowMs],
  );
  return Math.max(0, Math.min(Infinity, ...due));
}

async function look(watches: readonly Watch[], options: WaitOptions): Promise<readonly Watch[]> {
  const { tools, client } = options;
  const details = await sideBySide(watches, async ({ unit }) => ask(client, { name: unit.name, signal: tools.signal }));
  const left: Watch[] = [];
  for (const [index, watch] of watches.entries()) {
    const detail = details[index];
    const ending =
      detail === "unknown" ? undefined : endingOf(watch, { now: detail, nowMs: tools.clock.monotonicMs() });
    if (ending === undefined) left.push(watch);
    else await options.ended(watch.unit, ending);
  }
  return left;
}

/** Everything known of the unit; undefined: there is none; "unknown": nobody can say now. */
async function ask(
  client: ApiClient,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<UnitDetail | undefined | "unknown"> {
  if (signal.aborted) return "unknown";
  try {
    return await findDetail(client, { name, signal });
  } catch (error) {
    // The feed of changes says what is wrong
    if (isAborted(signal) || isPassing(error)) return "unknown";
    throw error;
  }
}

/** All that is known of a unit; undefined: there is none. */
export async function findDetail(
  client: ApiClient,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<UnitDetail | undefined> {
  try {
    return orThrow(answers.unit(await client.get(`/v2/status/${encodeURIComponent(name)}`, { signal })));
  } catch (error) {
    if (error instanceof Problem && error.code === "unit-unknown") return undefined;
    throw error;
  }
}

function endingOf(
  watch: Watch,
  { now, nowMs }: { readonly now: UnitDetail | undefined; readonly nowMs: number },
): Ending | undefined {
  const { goal, changed } = watch.unit;
  const verdict = judge({ goal, now, changed, wasSeen: watch.wasSeen });
  watch.looks++;
  watch.wasSeen ||= isSeen({ goal, now });
  if (verdict.kind === "waiting") {
    watch.last = verdict;
    watch.candidate = undefined;
    return undefined;
  }
  // Whatever a machine says anew begins the time anew
  const text = JSON.stringify(verdict);
  if (watch.candidate?.text !== text) watch.candidate = { text, verdict, sinceMs: nowMs };
  if (nowMs - watch.candidate.sinceMs < steadyOf(verdict)) {
    watch.last = { kind: "waiting", why: "it is to stay so for a moment", refusals: [] };
    return undefined;
  }
  return { ...verdict, atOnce: watch.looks === 1 };
}

function steadyOf(verdict: Exclude<Verdict, { kind: "waiting" }>): number {
  return verdict.kind === "overtaken" ? 0 : verdict.steadyMs;
}
