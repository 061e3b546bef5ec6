// The budgets of the design beside what was measured: what, at most how much, how much it was, and whether that will do.
import { type Results, type Row, type Spread, spread } from "./figures.ts";
import { phases } from "./scale.ts";

interface Budget {
  readonly what: string;
  readonly most: number;
  readonly unit: string;
  /** Undefined: what it is read from was not measured. */
  readonly measured: (results: Results) => Spread | undefined;
}

const budgets: readonly Budget[] = [
  { what: "placement, 10,000 units on 1,000 machines", most: 0.5, unit: "s", measured: placing(10_000) },
  { what: "placement, 150,000 units on 5,000 machines", most: 5, unit: "s", measured: placing(150_000) },
  { what: "placement, 2,000,000 units on 6,100 machines", most: 60, unit: "s", measured: placing(2_000_000) },
  {
    what: "one change at 150,000 units on 5,000 machines",
    most: 20,
    unit: "ms",
    measured: row("change", "one unit more, ms of processor"),
  },
  {
    what: "manifests written for it",
    most: 1,
    unit: "",
    measured: row("change", "one unit more: manifests written"),
  },
  {
    what: "from commit to active on 3 machines",
    most: 1,
    unit: "s",
    measured: row("deploy", "from sync until it runs"),
  },
  {
    what: "200 instances on 3 machines, without systemd's own share",
    most: 2.5,
    unit: "s",
    measured: row("instances", "flotilla's own share"),
  },
  { what: "dead machine noticed", most: 10, unit: "s", measured: row("failover", "noticed") },
  { what: "its units run elsewhere", most: 15, unit: "s", measured: row("failover", "last unit active elsewhere") },
  { what: "change of leader, clean", most: 1, unit: "s", measured: row("leader", "the leader ends") },
  { what: "change of leader, crash (lease 5 s)", most: 6, unit: "s", measured: row("leader", "the leader is killed") },
  { what: "units restarted by changes of leader", most: 0, unit: "", measured: row("leader", "units restarted") },
  { what: "requests of an idle machine a second", most: 0.5, unit: "", measured: idleRequests },
  { what: "idle agent, memory", most: 80, unit: "MB", measured: idleAgents("residentMB") },
  { what: "idle agent, of a processor", most: 0.2, unit: "%", measured: idleAgents("cpuPercent") },
  { what: "--version of the single executable", most: 100, unit: "ms", measured: version },
  {
    what: "100 changed units on a machine with 1,000",
    most: 2,
    unit: "s",
    measured: row("changed", "from sync until all 100"),
  },
  { what: "reloads of systemd for them", most: 1, unit: "", measured: row("changed", "reloads") },
];

/** One row for each budget that these results speak of. The median is held against the bound. */
export function compare(results: Results): readonly Row[] {
  return budgets.flatMap(({ what, most, unit, measured }) => {
    const found = measured(results);
    if (found === undefined) return [];
    const { median, least, most: highest, runs } = found;
    const range = runs > 1 ? ` (${least} to ${highest}, ${runs} runs)` : "";
    const verdict = median <= most ? "ok" : "over";
    return [{ what, bound: `${most} ${unit}`.trim(), measured: `${median} ${unit}`.trim() + range, verdict }];
  });
}

function placing(units: number): Budget["measured"] {
  return ({ placement }) => {
    const found = placement?.find((each) => each["units"] === units);
    return found === undefined ? undefined : { ...spreadOf(found), median: Number(found["seconds"]) };
  };
}

/** The benchmark's row whose `what` begins so. */
function row(benchmark: string, what: string): Budget["measured"] {
  return (results) => {
    const found = results[benchmark]?.find((each) => String(each["what"]).startsWith(what));
    return found === undefined ? undefined : spreadOf(found);
  };
}

function spreadOf(found: Row): Spread {
  const value = (key: string): number => Number(found[key]);
  return { median: value("median"), least: value("least"), most: value("most"), runs: value("runs") };
}

/** Of a thousand machines if they were measured, else of three. */
function idleRequests({ scale, idle }: Results): Spread | undefined {
  const ofMany = scale?.find((each) => each["name"] === phases.idle)?.["perMachineSecond"];
  const ofThree = idle?.find((each) => each["requestsPerSecond"] !== undefined)?.["requestsPerSecond"];
  if (ofMany !== undefined) return spread([Number(ofMany)]);
  return ofThree === undefined ? undefined : spread([Number(ofThree) / 3]);
}

function idleAgents(key: "residentMB" | "cpuPercent"): Budget["measured"] {
  return ({ idle }) => {
    const values = idle?.flatMap((each) => (each[key] === undefined ? [] : [Number(each[key])]));
    return values === undefined ? undefined : spread(values);
  };
}

function version({ start }: Results): Spread | undefined {
  const found = start?.find((each) => each["what"] === "single executable");
  if (found === undefined) return undefined;
  const value = (key: string): number => Number(found[key]);
  return { median: value("medianMs"), least: value("leastMs"), most: value("mostMs"), runs: value("runs") };
}
