// The placement function alone: how long it takes from nothing and with nothing to do, and what it holds in memory, for a
// few units and for two million. Each size has a process of its own, with as much memory as it takes.
import type { ClusterState } from "../../agent/domain/placement.ts";
import type { MachineId, UnitName } from "../../agent/domain/names.ts";
import { schedule } from "../../agent/schedule/schedule.ts";
import { type Row, grouped, megabytes, round, spread, timed } from "./figures.ts";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const sizes: readonly (readonly [units: number, machines: number, runs: number])[] = [
  [1_000, 100, 5],
  [10_000, 1_000, 5],
  [150_000, 5_000, 5],
  [500_000, 5_000, 3],
  [2_000_000, 6_100, 3],
];
const heapMB = 16_000;

/**
 * Seconds are the median of some runs one after another; what else the computer does is in them, and not in `cpuSeconds`.
 * `bytes`: heap held by state and decisions, for each unit.
 */
export async function placement(say: (text: string) => void): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const [units, machines, runs] of sizes) {
    const row = await inProcess(units, machines, runs);
    say(`${grouped(units)} units on ${grouped(machines)} machines: ${row["seconds"] ?? ""} s`);
    rows.push(row);
  }
  return rows;
}

function inProcess(...size: readonly number[]): Promise<Row> {
  const child = fork(fileURLToPath(import.meta.url), size.map(String), {
    execArgv: ["--import", "tsx", "--expose-gc", `--max-old-space-size=${heapMB}`],
  });
  return new Promise((resolve, reject) => {
    child.once("message", (row) => resolve(row as Row));
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      reject(new Error(`Placing ${size[0] ?? 0} units ended with ${code ?? signal ?? ""}`)),
    );
  });
}

function measure(units: number, machines: number, runs: number): Row {
  const before = heapHeld();
  const state = plainState(units, machines);
  const times: number[] = [];
  const cpuTimes: number[] = [];
  let decisions: ReturnType<typeof schedule> = [];
  for (let run = 0; run < runs; run++) {
    const cpu = process.cpuUsage();
    const fresh = timed(() => schedule(state));
    const { user, system } = process.cpuUsage(cpu);
    cpuTimes.push((user + system) / 1e6);
    decisions = fresh.value;
    times.push(fresh.ms / 1000);
  }
  const bytes = Math.round((heapHeld() - before) / units);
  const placements = decisions.flatMap((each) => (each.kind === "place" ? [{ unit: each.unit, on: each.on }] : []));
  decisions = [];
  const again = timed(() => schedule({ ...state, placements }));
  const { median, least, most } = spread(times);
  const residentMB = megabytes(process.resourceUsage().maxRSS * 1024);
  return {
    units,
    machines,
    seconds: median,
    least,
    most,
    runs,
    cpuSeconds: spread(cpuTimes).median,
    againSeconds: round(again.ms / 1000),
    bytes,
    residentMB,
  };
}

function heapHeld(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** One unit in ten asks for a region, one in fifty conflicts with its like. */
function plainState(units: number, machines: number): ClusterState {
  const none = { machineId: undefined, machineOf: [], metadata: [], conflicts: [], replaces: [], global: false };
  return {
    machines: Array.from({ length: machines }, (_, index) => ({
      id: index.toString(16).padStart(32, "0") as MachineId,
      metadata: { region: `r${index % 5}` },
      standing: "present" as const,
    })),
    wanted: Array.from({ length: units }, (_, index) => ({
      name: `unit-${index % 50 === 0 ? "alone" : "plain"}@${index}.service` as UnitName,
      target: "launched" as const,
      options: {
        ...none,
        metadata: index % 10 === 1 ? [{ key: "region", values: [`r${index % 5}`] }] : [],
        conflicts: index % 50 === 0 ? [`unit-alone@${index}?.service`] : [],
      },
    })),
    placements: [],
  };
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const [units = 0, machines = 0, runs = 1] = process.argv.slice(2).map(Number);
  process.send(measure(units, machines, runs));
}
