// OnPartition=: what becomes of a unit while its machine is cut off from the cluster. One that is to be stopped there must
// be sure to end within a known time, which is read from its own text here. Given to options.ts and stop-order.ts. Pure.
import { unitNameParts } from "../domain/names.ts";
import { type Place, Problem } from "../domain/problem.ts";
import { type Fence, defaultStopMs, longestStopMs } from "../domain/unit.ts";
import { parseTimeSpan } from "../text/time-span.ts";
import { type Assignment, type UnitFile, listAssignments } from "../text/unit-file.ts";
import { type Reading, itemsOf } from "./option-reading.ts";

export const partitionWords = ["keep", "stop"] as const;

/** One text of a unit and the file that it stands in. */
export interface Source {
  readonly file: string;
  readonly parsed: UnitFile;
}

/** An assignment with its place. */
export interface Placed {
  readonly key: string;
  readonly value: string;
  readonly at: Place;
}

/** What is known of one type: where its options stand, and which commands run when it is stopped. */
interface StopRules {
  readonly section: string;
  readonly timeouts: readonly string[];
  /** Each of these commands has the timeout once. */
  readonly before: string;
  readonly after: string;
  /** Steps beside the commands: processes that are asked to end, then killed. */
  readonly steps: (before: number, after: number) => number;
}

const rules: Readonly<Record<string, StopRules>> = {
  service: {
    section: "Service",
    timeouts: ["TimeoutStopSec", "TimeoutSec"],
    before: "ExecStop",
    after: "ExecStopPost",
    steps: (before, after) => before + 1 + (after > 0 ? after + 1 : 0),
  },
  socket: {
    section: "Socket",
    timeouts: ["TimeoutSec"],
    before: "ExecStopPre",
    after: "ExecStopPost",
    steps: (before, after) => (before > 0 ? before + 1 : 0) + (after > 0 ? after + 1 : 0),
  },
};

/** They run nothing: systemd lets go of them at once. */
const instant: readonly string[] = ["timer", "path", "target"];

/**
 * What would leave processes behind, or give them more time, after the last timeout. An empty KillMode= takes back what
 * stands before it; an empty value of the others, as one of a timeout, is passed over (load-fragment.c of systemd).
 */
const unbounded: readonly {
  readonly key: string;
  readonly isFine: (value: string) => boolean;
  readonly fix: string;
}[] = [
  {
    key: "KillMode",
    isFine: (value) => ["", "control-group", "mixed"].includes(value),
    fix: "It leaves processes behind: write KillMode=mixed, or remove the line",
  },
  {
    key: "SendSIGKILL",
    isFine: (value) => ["yes", "true", "1", "on", "y", "t"].includes(value.toLowerCase()),
    fix: "What does not end by itself must be killed: remove the line",
  },
  {
    key: "FinalKillSignal",
    isFine: (value) => ["SIGKILL", "KILL", "9"].includes(value),
    fix: "Only SIGKILL is sure to end a process: remove the line",
  },
  {
    key: "TimeoutStopFailureMode",
    isFine: (value) => value === "terminate" || value === "kill",
    fix: "Aborting takes another timeout: write terminate or kill",
  },
];

/** How a unit with OnPartition=stop is stopped; undefined for all others, and where a problem was found. */
export function readFence(reading: Reading, sources: readonly Source[]): Fence | undefined {
  const asked = itemsOf("OnPartition", reading).at(-1);
  if (asked?.text !== "stop") return undefined;
  const asking: Placed = { key: "OnPartition", value: "stop", at: asked.setting.at };
  return readStop(sources, {
    type: unitNameParts(reading.name).type,
    defaultMs: defaultStopMs,
    refuse: (what, fix) => {
      const { key, value, at } = what ?? asking;
      const message = `Cannot take ${key}=${value} with OnPartition=stop in unit "${reading.shown}"`;
      reading.problems.push(new Problem("unit-partition", message, { hint: fix, at }));
    },
  });
}

export interface StopReading {
  readonly type: string;
  /** Of each step, where the text says nothing. */
  readonly defaultMs: number;
  /** What keeps its end from being known; undefined: that it is of such a type, or so long. */
  readonly refuse: (what: Placed | undefined, fix: string) => void;
}

/** How long the stop of a unit may take, by its own text; undefined where something was refused. */
export function readStop(
  sources: readonly Source[],
  { type, defaultMs, refuse }: StopReading,
): Pick<Fence, "stepMs" | "stopMs"> | undefined {
  if (instant.includes(type)) return { stepMs: 0, stopMs: 0 };
  const rule = rules[type];
  if (rule === undefined) {
    refuse(undefined, fixOfType(type));
    return undefined;
  }
  let isSure = true;
  for (const { key, isFine, fix } of unbounded) {
    const last = all(sources, rule.section, [key]).findLast(({ value }) => value !== "" || key === "KillMode");
    if (last === undefined || isFine(last.value)) continue;
    refuse(last, fix);
    isSure = false;
  }
  const timeout = all(sources, rule.section, rule.timeouts).findLast(({ value }) => value !== "");
  const read = timeout === undefined ? { ms: defaultMs } : readTimeout(timeout);
  if ("fix" in read) refuse(timeout, read.fix);
  if ("fix" in read || !isSure) return undefined;
  const count = (key: string): number => commands(sources, { section: rule.section, key });
  const stopMs = rule.steps(count(rule.before), count(rule.after)) * read.ms;
  if (stopMs <= longestStopMs) return { stepMs: read.ms, stopMs };
  refuse(timeout, tooLong);
  return undefined;
}

export const tooLong = `All steps of its stop together may take ${longestStopMs / 60_000} min`;

function readTimeout({ value }: Placed): { readonly ms: number } | { readonly fix: string } {
  const ms = parseTimeSpan(value);
  if (ms === undefined) return { fix: "Write a time, as in 10s or 1min 30s" };
  if (ms === 0 || ms === Infinity) return { fix: "It would never be killed: write a time, as in 10s" };
  return { ms };
}

function fixOfType(type: string): string {
  switch (type) {
    case "slice":
      return "Write it in the units of the slice, which are stopped each by itself";
    default:
      return `A ${type} that is in use cannot be taken away for sure`;
  }
}

function all(sources: readonly Source[], section: string, keys: readonly string[]): readonly Placed[] {
  return sources.flatMap(({ file, parsed }) =>
    parsed.assignments
      .filter((each) => each.section === section && keys.includes(each.key))
      .map(({ key, value, line }) => ({ key, value, at: { file, line } })),
  );
}

/** One line may hold several commands, parted by semicolons that stand alone. */
function commands(sources: readonly Source[], option: { readonly section: string; readonly key: string }): number {
  const assignments: readonly Assignment[] = sources.flatMap(({ parsed }) => parsed.assignments);
  return listAssignments({ assignments, sections: [] }, option).reduce(
    (sum, { value }) => sum + value.split(/[ \t]+/).filter((word) => word === ";").length + 1,
    0,
  );
}
