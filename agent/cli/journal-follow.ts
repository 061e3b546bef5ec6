// The journals of units as they speak, on whichever machines they are and come to: a unit that moves is followed, and so is one
// that a pattern names later. Given to journal.ts.
import type { MachineReference } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { MachineShell } from "../ports/machine-shell.ts";
import { type JournalQuery, journalWords, placeHeading, prefixes, takesPrefix } from "../report/journal.ts";
import { isAborted, isPassing } from "./away.ts";
import { ChangeFeed } from "./change-feed.ts";
import { usageProblem } from "./checked.ts";
import { exitCodes } from "./exit-codes.ts";
import { ending, firstFailure, print } from "./journal-lines.ts";
import { type MachineUnits, byMachine, findPlaces } from "./places.ts";
import { writeFailure } from "./print.ts";
import type { Tools } from "./tools.ts";

/** Each is a process here for as long as one watches. */
const mostFollowed = 64;
/** Looks that follow changes are at least this far apart. */
const pauseMs = 1_000;
/** Without a change it is looked all the same. */
const lookMs = 60_000;

export interface Following {
  readonly tools: Tools;
  readonly client: ApiClient;
  readonly shell: MachineShell;
  /** As typed: looked up again after changes. */
  readonly words: readonly string[];
  /** Where they are now, at least one. */
  readonly targets: readonly MachineUnits[];
  readonly query: Omit<JournalQuery, "units">;
}

/**
 * Until the signal, or until no machine speaks any more. Resolves with the exit code: 0 after the signal, which is how one ends
 * it. A machine that goes away is told of and the others go on.
 */
export async function followJournals(following: Following): Promise<number> {
  const { tools, targets } = following;
  if (targets.length > mostFollowed) {
    throw usageProblem(
      `Cannot follow the journals of ${targets.length} machines`,
      `Name units of at most ${mostFollowed}`,
    );
  }
  const over = new AbortController();
  const signal = AbortSignal.any([tools.signal, over.signal]);
  const streams = new Streams(following, { signal, broken: () => over.abort() });
  streams.take(targets);
  const watching = watch(following, { streams, signal });
  const ended = await streams.ended();
  over.abort();
  await watching;
  return tools.signal.aborted ? exitCodes.ok : ended;
}

async function watch(
  { tools, client, words }: Following,
  { streams, signal }: { readonly streams: Streams; readonly signal: AbortSignal },
): Promise<void> {
  const { clock } = tools;
  // The machines speak on while the agent is away
  const feed = new ChangeFeed({ client, clock, signal, away: () => undefined });
  try {
    while (!isAborted(signal)) {
      await feed.next(lookMs);
      await look();
      await clock.sleep(pauseMs, signal);
    }
  } catch (error) {
    if (!isAborted(signal)) await writeFailure(tools, error); // no reason to end what is being followed
  } finally {
    await feed.end();
  }

  async function look(): Promise<void> {
    if (isAborted(signal)) return;
    try {
      const { places } = await findPlaces(client, words, signal);
      // Once it has begun there, so that its beginning stands in the journal: journalctl(1) waits for the second line of none
      const taken = streams.take(byMachine(places.filter(({ begun }) => begun)));
      const lines = taken.flatMap(({ machine, units }) => units.map((unit) => `${placeHeading(unit, machine)}, too\n`));
      await tools.stderr.write(lines.join(""));
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }
}

/** What is being followed: for each machine and unit one stream, which may be of several units of that machine. */
class Streams {
  readonly #following: Following;
  readonly #over: { readonly signal: AbortSignal; readonly broken: () => void };
  readonly #machines: MachineReference[] = [];
  /** By unit and machine; false once the stream has ended. */
  readonly #followed = new Map<string, boolean>();
  readonly #running = new Set<Promise<void>>();
  readonly #statuses: number[] = [];
  #failure: Error | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(following: Following, over: { readonly signal: AbortSignal; readonly broken: () => void }) {
    this.#following = following;
    this.#over = over;
  }

  /** Begins with what is not followed yet, as far as there is room. Resolves with that. */
  take(targets: readonly MachineUnits[]): readonly MachineUnits[] {
    const now = new Set(targets.flatMap(({ machine, units }) => units.map((unit) => keyOf(unit, machine))));
    // What ended is not begun anew for as long as the unit stays there
    for (const [key, runs] of this.#followed) if (!runs && !now.has(key)) this.#followed.delete(key);
    const taken: MachineUnits[] = [];
    for (const { machine, units } of targets) {
      const fresh = units.filter((unit) => !this.#followed.has(keyOf(unit, machine)));
      if (fresh.length === 0 || this.#running.size >= mostFollowed) continue;
      this.#begin(machine, fresh);
      taken.push({ machine, units: fresh });
    }
    return taken;
  }

  /** Resolves with the exit code when none of them runs any more; rejects with what ended them all. */
  async ended(): Promise<number> {
    while (this.#running.size > 0) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
    return firstFailure(this.#statuses);
  }

  #begin(machine: MachineReference, units: readonly string[]): void {
    for (const unit of units) this.#followed.set(keyOf(unit, machine), true);
    if (!this.#machines.some(({ id }) => id === machine.id)) this.#machines.push(machine);
    const run: Promise<void> = this.#stream(machine, units).then(() => {
      for (const unit of units) this.#followed.set(keyOf(unit, machine), false);
      this.#running.delete(run);
    });
    this.#running.add(run);
  }

  async #stream(machine: MachineReference, units: readonly string[]): Promise<void> {
    const { tools, shell, query, targets } = this.#following;
    const { signal, broken } = this.#over;
    const words = journalWords({ ...query, units });
    const line = (text: string, from: "stdout" | "stderr"): Promise<void> => {
      this.#turn = this.#turn.then(() => print(tools, { text, from, mark: this.#mark(machine) }));
      return this.#turn;
    };
    const mayAsk = targets.length === 1 && this.#machines.length === 1;
    try {
      this.#statuses.push(await ending(tools, () => shell.stream(machine, words, { signal, line, mayAsk })));
    } catch (error) {
      // A reader that has gone, or whatever else breaks, ends them all
      if (!signal.aborted) this.#failure = error instanceof Error ? error : new Error(String(error));
      broken();
    }
  }

  #mark(machine: MachineReference): string {
    const { output, colour } = this.#following.query;
    if (this.#machines.length < 2 || !takesPrefix(output)) return "";
    return prefixes(this.#machines, colour)[this.#machines.findIndex(({ id }) => id === machine.id)] ?? "";
  }
}

function keyOf(unit: string, machine: MachineReference): string {
  return `${machine.id} ${unit}`;
}
