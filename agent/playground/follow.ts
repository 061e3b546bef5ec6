// Says what changes while the playground runs: machines that go and come, commits, units that start, restart, move or
// fail. Given to playground.ts only.
import { Problem, describeProblem } from "../domain/problem.ts";
import type { UnitReport } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { Clock } from "../ports/clock.ts";
import type { PlaygroundCluster } from "../ports/playground.ts";
import { type Look, alive, look, shortCommit } from "./look.ts";
import type { Narrator } from "./narrator.ts";

export interface Following {
  readonly clock: Clock;
  readonly connect: (socket: string) => Promise<ApiClient>;
  readonly story: Narrator;
  readonly cluster: PlaygroundCluster;
}

/** Before another machine is asked, when the one that was listened to does not answer any more. */
const pauseMs = 300;
/** Of a commit's subject and of a problem; the rest is for `flotilla status`. */
const subjectChars = 50;
const problemChars = 400;

/** Until `signal`. */
export async function follow(following: Following, signal: AbortSignal): Promise<void> {
  const { clock, connect, story, cluster } = following;
  const teller = new Teller(cluster);
  while (!signal.aborted) {
    for (const line of teller.machines()) story.step(line);
    const next = new AbortController();
    const stop = () => next.abort();
    signal.addEventListener("abort", stop, { once: true });
    // The agent that is listened to may be the one that is killed: then the next one is asked.
    const unlisten = cluster.onChange(stop);
    try {
      const client = await connect(alive(cluster).socket);
      for await (const _change of client.changes(next.signal)) {
        const seen = await look(client, cluster, next.signal);
        for (const line of [...teller.machines(), ...teller.changes(seen)]) story.step(line);
      }
    } catch (error) {
      // An error that is not a Problem and not our own end is a mistake to be seen.
      if (!(error instanceof Problem) && !next.signal.aborted) throw error;
      // Its machine went down, or all are off: wait for one that is on, a moment at a time.
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    } finally {
      unlisten();
      signal.removeEventListener("abort", stop);
    }
  }
}

interface Known {
  readonly unit: UnitReport;
  readonly state: string;
}

/** Remembers what was told and finds what is new. */
class Teller {
  readonly #cluster: PlaygroundCluster;
  readonly #names: ReadonlyMap<string, string>;
  #on: ReadonlySet<string>;
  #units: ReadonlyMap<string, Known> | undefined;
  #adopted: string | undefined;
  #problems: ReadonlySet<string> = new Set();

  constructor(cluster: PlaygroundCluster) {
    this.#cluster = cluster;
    this.#names = new Map(cluster.machines.map(({ id, name }) => [id, name]));
    this.#on = this.#running();
  }

  machines(): readonly string[] {
    const before = this.#on;
    const now = this.#running();
    this.#on = now;
    return [
      ...[...before].filter((name) => !now.has(name)).map((name) => `${name} is off; its units move within 15 s`),
      ...[...now].filter((name) => !before.has(name)).map((name) => `${name} is on`),
      ...(now.size === 0 && before.size > 0
        ? ["No machine is on: switch one on with flotilla playground start m1"]
        : []),
    ];
  }

  changes(seen: Look): readonly string[] {
    return [...this.#commits(seen), ...this.#states(seen), ...this.#troubles(seen)];
  }

  #commits({ adopted }: Look): readonly string[] {
    const before = this.#adopted;
    this.#adopted = adopted?.commit ?? before;
    if (adopted === undefined || before === undefined || before === adopted.commit) return [];
    return [`commit ${shortCommit(adopted)}: ${plain(adopted.subject, subjectChars)}`];
  }

  #states(seen: Look): readonly string[] {
    const before = this.#units;
    const now = new Map<string, Known>();
    const lines: string[] = [];
    for (const unit of seen.units) {
      const key = `${unit.name} on ${this.#names.get(unit.machine.id) ?? unit.machine.id.slice(0, 8)}`;
      const known = before?.get(key);
      // What is on its way is told when it has arrived.
      const place = seen.isMoving(unit) ? known : { unit, state: stateOf(unit) };
      if (place === undefined) continue;
      now.set(key, place);
      const change = before === undefined ? undefined : changeOf(known, place);
      if (change !== undefined) lines.push(`${key}: ${change}`);
    }
    for (const key of before?.keys() ?? []) if (!now.has(key)) lines.push(`${key}: gone`);
    this.#units = now;
    return lines;
  }

  #troubles({ problems, refused }: Look): readonly string[] {
    const before = this.#problems;
    const refusal = refused === undefined ? [] : [`commit ${shortCommit(refused)} is refused, nothing has changed:`];
    const all = [...refusal, ...[...(refused?.problems ?? []), ...problems].map(describeProblem)];
    const now = new Set(all.map((text) => plain(text, problemChars)));
    this.#problems = now;
    return [...now].filter((text) => !before.has(text));
  }

  #running(): ReadonlySet<string> {
    return new Set(this.#cluster.machines.filter((machine) => machine.running).map(({ name }) => name));
  }
}

function changeOf(before: Known | undefined, { unit, state }: Known): string | undefined {
  if (before?.state !== state) return state;
  if (before.unit.sinceMs === unit.sinceMs || unit.knowledge !== "reported") return undefined;
  return unit.active === "active" ? `restarted, ${state}` : `has run, ${state}`;
}

function stateOf(unit: UnitReport): string {
  if (unit.knowledge === "reported") return `${unit.active ?? "?"} (${unit.sub ?? "?"})`;
  return unit.knowledge === "lost" ? "lost, nothing is heard of its machine" : unit.knowledge;
}

/** A foreign text in one line. */
function plain(text: string, chars: number): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, " ").slice(0, chars);
}
