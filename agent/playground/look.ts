// One look at the cluster through an agent's API: what runs, what is still to come. Given to the playground's story.
import { Problem, type ProblemRecord } from "../domain/problem.ts";
import type { ClusterReport, CommitReport, UnitFileReport, UnitReport } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { PlaygroundCluster, PlaygroundMachine } from "../ports/playground.ts";

export interface Look {
  /** Everything is where the engine wants it, and systemd has done its part. */
  readonly settled: boolean;
  /** The same in one short line. */
  readonly text: string;
  readonly adopted: CommitReport | undefined;
  readonly refused: ClusterReport["refused"];
  /** The machines' own troubles. */
  readonly problems: readonly ProblemRecord[];
  readonly units: readonly UnitReport[];
  /** Whether a unit is between two states and will be in another one soon. */
  isMoving(unit: UnitReport): boolean;
}

const underWay: readonly string[] = ["activating", "deactivating", "reloading"];

/** Any machine that is on. Rejects with "playground-dark" when none is. */
export function alive(cluster: PlaygroundCluster): PlaygroundMachine {
  const machine = cluster.machines.find((each) => each.running);
  if (machine === undefined) {
    throw new Problem("playground-dark", "Cannot ask the cluster: every machine is off", {
      hint: "Switch one on: flotilla playground start m1",
    });
  }
  return machine;
}

export async function look(client: ApiClient, cluster: PlaygroundCluster, signal: AbortSignal): Promise<Look> {
  const ask = { signal };
  // Three answers of this same version's own agent; their shapes are tested with the API.
  const status = (await client.get("/v2/status", ask)) as ClusterReport;
  const { unitFiles } = (await client.get("/v2/unit-files", ask)) as { unitFiles: readonly UnitFileReport[] };
  const { units } = (await client.get("/v2/units", ask)) as { units: readonly UnitReport[] };
  const on = cluster.machines.filter((machine) => machine.running).length;
  const globals = new Set(unitFiles.filter((file) => file.global).map((file) => file.name));
  const isMoving = (unit: UnitReport) => isBetween(unit, globals.has(unit.name));
  const waiting = new Set(status.units.waiting);
  const wanted = unitFiles.filter((file) => !file.template && !waiting.has(file.name));
  const undone = wanted.filter((file) => !file.global && file.state !== file.desired);
  const missing = wanted.filter(
    (file) =>
      file.global &&
      file.desired !== "inactive" &&
      units.filter((unit) => unit.name === file.name && unit.machine.alive).length < on,
  );
  // A unit can be both: not yet where it is wanted, and on its way there.
  const toCome = new Set([...undone, ...missing, ...units.filter(isMoving)].map(({ name }) => name));
  return {
    settled: status.adopted !== undefined && status.machines.alive === on && toCome.size === 0,
    text: describe(status, { on, toCome: toCome.size }),
    adopted: status.adopted,
    refused: status.refused,
    problems: status.problems,
    units,
    isMoving,
  };
}

function isBetween(unit: UnitReport, global: boolean): boolean {
  // A global unit's place on a machine that is gone is kept for its return: it goes nowhere else.
  if (unit.knowledge === "lost") return !global;
  if (unit.knowledge === "pending" || underWay.includes(unit.active ?? "")) return true;
  // Told to run and never yet done so; one that ran and ended has a moment of its last change.
  return unit.target === "launched" && unit.active === "inactive" && unit.sinceMs === undefined;
}

function describe(
  { adopted, machines: { alive: present }, units }: ClusterReport,
  { on, toCome }: { readonly on: number; readonly toCome: number },
): string {
  if (present > on) return "The others have not missed it yet: its lease still runs";
  if (present < on) return `${present} of ${on} machines are there`;
  const machines = count(on, "machine");
  if (adopted === undefined) return `${machines}, the leader reads the first commit`;
  const rest = toCome === 0 ? "" : `, ${count(toCome, "unit")} to come`;
  return `${machines}, commit ${shortCommit(adopted)}: ${units.byState["active"] ?? 0} active${rest}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

export function shortCommit({ commit }: { readonly commit: string }): string {
  return commit.slice(0, 7);
}
