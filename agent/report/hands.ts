// What the API answers to changes made by hand, read back; and the listing of holds. Side door of the room: only the
// commands that make such changes load it.
import type { Refusal } from "../domain/placement.ts";
import { valid } from "../domain/problem.ts";
import type { DrainReport, HoldReport, MachineReference } from "../domain/report.ts";
import type { ClusterEvent } from "../domain/submitted.ts";
import { targetStates } from "../domain/unit.ts";
import { formatMoment, formatSpan } from "../text/time.ts";
import { visible } from "../text/width.ts";
import { isDrain } from "./answers.ts";
import { type FieldTable, machineLegend } from "./fields.ts";
import type { Listing } from "./report.ts";
import { isListOf, isNumber, isOneOf, isOptional, isRecord, isText, whole } from "./shape.ts";

const isTarget = isOneOf(...targetStates);

/** What became of `PUT /v2/unit-files/NAME`. */
export interface SubmitAnswer {
  readonly outcome: "created" | "replaced" | "unchanged";
}

/** What became of `PUT /v2/unit-files/NAME/target`. */
export interface TargetAnswer {
  readonly outcome: "set" | "held" | "resumed" | "unchanged";
  readonly before: string;
  readonly target: string;
}

/** What became of `POST /v2/machines/ID/cordon`, `uncordon` and `drain`. */
export interface MaintenanceAnswer {
  readonly outcome: "cordoned" | "uncordoned" | "draining" | "unchanged";
  readonly drain?: DrainReport;
}

const isSubmit = isRecord<SubmitAnswer>({ outcome: isOneOf("created", "replaced", "unchanged") });
const isTargetAnswer = isRecord<TargetAnswer>({
  outcome: isOneOf("set", "held", "resumed", "unchanged"),
  before: isTarget,
  target: isTarget,
});
const isMaintenance = isRecord<MaintenanceAnswer>({
  outcome: isOneOf("cordoned", "uncordoned", "draining", "unchanged"),
  drain: isOptional(isDrain),
});
const isRestart = isRecord<{ readonly id: string }>({ id: isText });
const isHold = isRecord<HoldReport>({
  unit: isText,
  target: isTarget,
  declared: isOptional(isTarget),
  by: isText,
  why: isOptional(isText),
  atMs: isNumber,
  untilMs: isOptional(isNumber),
});
const isEvent = isRecord<ClusterEvent>({
  kind: isText, // of a newer agent there may be more than are known here
  atMs: isNumber,
  by: isText,
  message: isText,
  unit: isOptional(isText),
  commit: isOptional(isText),
  machine: isOptional(isText),
});
const isHolds = isRecord<{ readonly holds: readonly HoldReport[] }>({ holds: isListOf(isHold) });
const isResumed = isRecord<{ readonly resumed: readonly string[] }>({ resumed: isListOf(isText) });
const isEvents = isRecord<{ readonly events: readonly ClusterEvent[] }>({ events: isListOf(isEvent) });

/** How the answers are read back. */
export const handAnswers = {
  submit: whole(isSubmit),
  target: whole(isTargetAnswer),
  restart: whole(isRestart),
  maintenance: whole(isMaintenance),
  holds: whole(isHolds),
  resumed: whole(isResumed),
  events: whole(isEvents),
} as const;

/** Columns of `list-holds`. */
const holdFields: FieldTable<HoldReport> = {
  usual: ["unit", "target", "declared", "by", "until", "why"],
  all: {
    unit: { means: "unit name", cell: (row) => plain(row.unit) },
    target: { means: "what it is held at", cell: (row) => plain(row.target) },
    declared: { means: "what the repository says; - when it has no such unit", cell: (row) => plain(row.declared) },
    by: { means: "who placed it", cell: (row) => plain(row.by) },
    since: { means: "how long ago", cell: (row, { nowMs }) => plain(`${formatSpan(nowMs - row.atMs)} ago`) },
    until: {
      means: "when it is lifted by itself; - when somebody has to",
      cell: (row) => plain(momentText(row.untilMs)),
    },
    why: { means: "the reason that was given", cell: (row) => plain(row.why) },
  },
};

export const holdListing: Listing<HoldReport> = {
  fields: holdFields,
  key: "holds",
  read: (answer) => {
    const read = handAnswers.holds(answer);
    return read.ok ? valid(read.value.holds) : read;
  },
};

/** One line: when, and the event's own words. */
export function eventText({ atMs, message }: ClusterEvent): string {
  return `${formatMoment(atMs)}  ${visible(message)}\n`;
}

/** One line: which unit, where, until when, why, and what the repository says. */
export function holdLine({ unit, target, declared, why, untilMs }: HoldReport): string {
  const until = untilMs === undefined ? "" : ` until ${formatMoment(untilMs)}`;
  const reason = why === undefined ? "" : ` (${why})`;
  const git = declared === undefined ? "" : `; the repository wants it ${declared}`;
  return `${visible(`Unit ${unit} is held at ${target}${until}${reason}${git}`)}\n`;
}

/** `59f61aeb.../10.79.0.13 (n3)`. */
export function machineText(machine: MachineReference): string {
  const legend = machineLegend(machine, false);
  return visible(machine.hostname === "" ? legend : `${legend} (${machine.hostname})`);
}

/** `59f61aeb.../10.79.0.13`, as fleet had it behind "on". */
export function placeText(machine: MachineReference): string {
  return visible(machineLegend(machine, false));
}

/** `2 machines: needs role=web (metadata); 1 machine: conflicts with db.service (conflict)`. */
export function refusalsText(refusals: readonly Refusal[]): string {
  return refusals
    .map(({ machines, rule, example }) => `${machines} machine${machines === 1 ? "" : "s"}: ${example} (${rule})`)
    .join("; ");
}

function momentText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : formatMoment(ms);
}

function plain(text: string | undefined): { readonly text: string } {
  return { text: text === undefined || text === "" ? "-" : text };
}
