// docs/scale.md: the tables behind the chart, as one run has measured them.
import { compare } from "./budgets.ts";
import { type Results, type Row, grouped } from "./figures.ts";
import { format, resolveConfig } from "prettier";
import { fileURLToPath } from "node:url";

const path = fileURLToPath(new URL("../../docs/scale.md", import.meta.url));

/** `beside`: what the computer was and did when the run began. */
export async function document(results: Results, beside: string): Promise<string> {
  const { placement = [], scale = [] } = results;
  const text = `# Scale

Written by \`npm run bench -- --chart\`, on a computer with ${beside}. Seconds are medians where there were several runs.

![Placement by units, and units that run after one machine in ten has died](scale.svg)

## Placement

The function that places, from nothing: one unit in ten asks for a region, one in fifty conflicts with its like. *Again* is a pass
in which nothing is to be done. Heap is what state and decisions hold, for each unit; memory is the most that the process had.

${table(placement, [
  ["units", count("units")],
  ["machines", count("machines")],
  [
    "seconds",
    (row) => `${cell(row, "seconds")} (${cell(row, "least")} to ${cell(row, "most")}, ${cell(row, "runs")} runs)`,
  ],
  ["of the processor", plain("cpuSeconds")],
  ["again, seconds", plain("againSeconds")],
  ["heap, bytes", plain("bytes")],
  ["memory, MB", plain("residentMB")],
])}

## One change

The whole engine, on a registry in memory with 150,000 units on 5,000 machines: processor's time of all threads from the change to the write of
manifests, and how many are written.

${table(results["change"] ?? [], [
  ["what", plain("what")],
  ["median", plain("median")],
  ["least", plain("least")],
  ["most", plain("most")],
  ["runs", plain("runs")],
])}

A leader that reads a commit of more than 100,000 units does nothing else for some seconds. Machines that may lead are given \`EngineLease=15s\` there,
so that nobody takes it for dead.

## Many machines

Whole agents on one real etcd, with the real protocol; systemd, disks and git are in memory, and all but the leader share one process.
Units count as running when a status in etcd says so. Who dies says nothing: first its lease of 10 s has to run out.

${lying(scale, [
  ["seconds", plain("seconds")],
  ["of them since the last lease was over", plain("afterGoneSeconds")],
  ["agents told of a new manifest", count("woken")],
  ["requests to etcd", count("requests")],
  ["of them renewals of leases", count("renewals")],
  ["requests of a machine, a second", plain("perMachineSecond")],
  ["keys written", count("puts")],
  ["to etcd, MB", plain("inMB")],
  ["from etcd, MB", plain("outMB")],
  ["etcd's processor, seconds", plain("etcdCpuSeconds")],
  ["leader's processor, seconds", plain("leaderCpuSeconds")],
  ["leader's memory, MB", plain("leaderMB")],
  ["all other agents' processor, seconds", plain("othersCpuSeconds")],
])}

## Budgets that this run has measured

${table(compare(results), [
  ["what", plain("what")],
  ["at most", plain("bound")],
  ["measured", plain("measured")],
  ["", plain("verdict")],
])}
`;
  return format(text, { ...(await resolveConfig(path)), parser: "markdown" });
}

type Column = readonly [head: string, value: (row: Row) => string];

/** One column a row, headed by what it is. */
function lying(rows: readonly Row[], figures: readonly Column[]): string {
  const turned = figures.map(([head, value]): Row => {
    return Object.fromEntries([["", head], ...rows.map((row) => [cell(row, "what"), value(row)] as const)]);
  });
  return table(turned, [["", plain("")], ...rows.map((row): Column => [cell(row, "what"), plain(cell(row, "what"))])]);
}

function table(rows: readonly Row[], columns: readonly Column[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(([head]) => head)),
    line(columns.map(() => "---")),
    ...rows.map((row) => line(columns.map(([, value]) => value(row)))),
  ].join("\n");
}

function plain(key: string): Column[1] {
  return (row) => cell(row, key);
}

function count(key: string): Column[1] {
  return (row) => grouped(Number(row[key]));
}

function cell(row: Row, key: string): string {
  return String(row[key] ?? "–");
}
