// Waits until a drain has ended: looks at the machine after every change of the cluster, and tells of each unit that leaves
// where it went. Knows no command; given to drain.ts.
import { Problem } from "../domain/problem.ts";
import type { DrainReport, LeavingUnit, MachineDetail, MachineReference } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { answers } from "../report/report.ts";
import { isAborted, isPassing } from "./away.ts";
import { ChangeFeed } from "./change-feed.ts";
import { orThrow } from "./checked.ts";
import { reachablePlaces } from "./places.ts";
import type { Tools } from "./tools.ts";
import { sideBySide } from "./unit-arguments.ts";
import { findDetail } from "./wait.ts";

/** A unit that has left; without a machine it has not been seen elsewhere. */
export interface MovedUnit {
  readonly unit: string;
  readonly machine?: MachineReference;
}

/** How the waiting ended. `ended`: by somebody's uncordoning, or by another drain in its place. `gone`: the machine is. */
export interface DrainEnding {
  readonly outcome: "done" | "stopped" | "ended" | "gone" | "interrupted";
  /** As it was seen last. */
  readonly drain: DrainReport;
  /** The one that took its place. */
  readonly now?: DrainReport;
  readonly moved: readonly MovedUnit[];
  /** With why no other machine took it, as far as that was seen. */
  readonly left: readonly LeavingUnit[];
}

export interface DrainWaiting {
  readonly tools: Pick<Tools, "clock" | "signal">;
  readonly client: ApiClient;
  readonly machine: MachineReference;
  readonly drain: DrainReport;
  /** Called at the first look with how many are to leave; undefined: this agent cannot tell. */
  readonly began: (left: number | undefined) => Promise<void>;
  /** Called once for each unit that has left, when it is known where it went or that nobody can say so soon. */
  readonly left: (unit: MovedUnit, stillThere: number) => Promise<void>;
  /** Called after every look. */
  readonly looked: (stillThere: number | undefined) => Promise<void>;
  /** The agent cannot be reached; it is asked again. */
  readonly away: (problem: Problem) => Promise<void>;
}

/** Without any change the agent is asked this often: a change may have been missed. */
const pollMs = 5_000;
/** Changes come in crowds; so long after one look the next may come. */
const restMs = 100;
/** A unit that has left is placed anew within moments; after this it is told without a place. */
const settleMs = 5_000;
/** An agent that is restarted is away for less than this. */
const goneMs = 15_000;

/** Resolves when the drain has ended, or at the signal. Rejects when the agent refuses to answer. */
export async function waitForDrain(waiting: DrainWaiting): Promise<DrainEnding> {
  const { clock, signal } = waiting.tools;
  const watch = new DrainWatch(waiting);
  let unsaid: Problem | undefined;
  const feed = new ChangeFeed({ client: waiting.client, clock, signal, away: (problem) => (unsaid = problem) });
  try {
    for (;;) {
      const outcome = await watch.look();
      if (outcome !== undefined) return watch.ending(outcome);
      if (unsaid !== undefined) await waiting.away(unsaid);
      unsaid = undefined;
      if (isAborted(signal)) return watch.ending("interrupted");
      await feed.next(watch.isSettling ? restMs : pollMs);
      await clock.sleep(restMs, signal).catch((error: unknown) => {
        if (!isAborted(signal)) throw error;
      });
    }
  } finally {
    await feed.end();
  }
}

class DrainWatch {
  readonly #waiting: DrainWaiting;
  #drain: DrainReport;
  #now: DrainReport | undefined;
  /** Undefined until the first look that tells. */
  #there: ReadonlyMap<string, LeavingUnit> | undefined;
  #hasBegun = false;
  /** Those that have left and are not told of yet, with the monotonic ms since when. */
  readonly #departed = new Map<string, number>();
  readonly #moved: MovedUnit[] = [];
  /** The last reasons that were seen of each unit: while nothing is to move any more there may be none. */
  readonly #refusals = new Map<string, LeavingUnit["refusals"]>();
  #goneSinceMs: number | undefined;

  constructor(waiting: DrainWaiting) {
    this.#waiting = waiting;
    this.#drain = waiting.drain;
  }

  /** Whether it is worth to look again soon, even if nothing seems to change. */
  get isSettling(): boolean {
    return this.#departed.size > 0;
  }

  ending(outcome: DrainEnding["outcome"]): DrainEnding {
    const left = [...(this.#there?.values() ?? [])].map((each) => ({
      ...each,
      refusals: this.#refusals.get(each.unit) ?? [],
    }));
    const unseen = [...this.#departed.keys()].map((unit) => ({ unit }));
    const now = this.#now === undefined ? {} : { now: this.#now };
    return { outcome, drain: this.#drain, ...now, moved: [...this.#moved, ...unseen], left };
  }

  /** Resolves with how the drain has ended; undefined: it goes on, or nobody can say. */
  async look(): Promise<DrainEnding["outcome"] | undefined> {
    const nowMs = this.#waiting.tools.clock.monotonicMs();
    const detail = await this.#ask();
    if (detail === "unknown") return undefined;
    if (detail === undefined) {
      this.#goneSinceMs ??= nowMs;
      return nowMs - this.#goneSinceMs >= goneMs ? "gone" : undefined;
    }
    this.#goneSinceMs = undefined;
    if (detail.drain?.id !== this.#drain.id) {
      this.#now = detail.drain;
      return "ended";
    }
    this.#drain = detail.drain;
    await this.#take(detail, nowMs);
    await this.#follow(nowMs);
    await this.#waiting.looked(this.#there?.size);
    if (this.#departed.size > 0 || this.#drain.state === "moving") return undefined;
    // What was told to leave is there until it has stopped
    if (this.#drain.state === "done") return (this.#there?.size ?? 0) === 0 ? "done" : undefined;
    return "stopped";
  }

  async #take({ leaving }: MachineDetail, nowMs: number): Promise<void> {
    if (!this.#hasBegun) await this.#waiting.began(leaving?.length);
    this.#hasBegun = true;
    if (leaving === undefined) return;
    const there = new Map(leaving.map((each) => [each.unit, each]));
    for (const unit of this.#there?.keys() ?? []) if (!there.has(unit)) this.#departed.set(unit, nowMs);
    for (const { unit, refusals } of leaving) if (refusals.length > 0) this.#refusals.set(unit, refusals);
    this.#there = there;
  }

  /** Where those that have left came to. */
  async #follow(nowMs: number): Promise<void> {
    const { client, machine, tools, left } = this.#waiting;
    const departed = [...this.#departed];
    const places = await sideBySide(departed, async ([unit]) => {
      try {
        const detail = await findDetail(client, { name: unit, signal: tools.signal });
        return detail === undefined ? [] : reachablePlaces(detail).map((place) => place.machine);
      } catch (error) {
        // The feed of changes says what is wrong
        if (isAborted(tools.signal) || isPassing(error)) return [];
        throw error;
      }
    });
    for (const [at, [unit, sinceMs]] of departed.entries()) {
      const place = places[at]?.find(({ id }) => id !== machine.id);
      if (place === undefined && nowMs - sinceMs < settleMs) continue;
      this.#departed.delete(unit);
      const moved = { unit, ...(place === undefined ? {} : { machine: place }) };
      this.#moved.push(moved);
      await left(moved, this.#there?.size ?? 0);
    }
  }

  /** Undefined: the machine is not there; "unknown": nobody can say now. */
  async #ask(): Promise<MachineDetail | undefined | "unknown"> {
    const { client, machine, tools } = this.#waiting;
    if (tools.signal.aborted) return "unknown";
    try {
      return orThrow(answers.machine(await client.get(`/v2/machines/${machine.id}`, { signal: tools.signal })));
    } catch (error) {
      if (error instanceof Problem && error.code === "machine-unknown") return undefined;
      if (isAborted(tools.signal) || isPassing(error)) return "unknown";
      throw error;
    }
  }
}
