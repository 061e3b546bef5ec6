// A plan in words: a table for a terminal, Markdown for a pull request. Given to `flotilla plan`. Names, metadata and messages
// are foreign text: on a terminal they are made harmless, in Markdown they stand in code spans, where nothing is obeyed.
import type { Refusal } from "../domain/placement.ts";
import {
  type ClusterPlan,
  type MachineName,
  type PlanAction,
  type PlanChange,
  type PlannedMachine,
  type PlannedUnit,
  planActions,
  planChanges,
} from "../domain/plan.ts";
import { type ProblemRecord, describeProblem } from "../domain/problem.ts";
import { type Cell, type Tone, formatTable } from "../text/columns.ts";
import { formatSpan } from "../text/time.ts";
import { visible } from "../text/width.ts";

/** What is planned, as its reader calls it. */
export type PlanSubject =
  | { readonly kind: "working-copy"; readonly path: string }
  | { readonly kind: "commit"; readonly name: string; readonly commit: string; readonly subject: string };

export interface PlanTextOptions {
  readonly subject: PlanSubject;
  /** Whole ids. */
  readonly full: boolean;
  readonly colour: boolean;
  /** Wall clock now: how old the state is. */
  readonly nowMs: number;
}

export interface PlanMarkdownOptions {
  readonly subject: PlanSubject;
  readonly warnings: readonly ProblemRecord[];
  readonly nowMs: number;
}

const shortIdChars = 8;
const shortCommitChars = 7;
/** Machines that are named in one cell. */
const maxMachinesNamed = 3;
/** Younger than this a state is as good as now. */
const freshMs = 60_000;

const tones: Readonly<Record<PlanChange, Tone>> = {
  added: "good",
  changed: "busy",
  removed: "bad",
  moved: "busy",
  refused: "bad",
};

/** One line where nothing changes; else what is compared with what, the sums, and a row for each unit and what is done. */
export function planText(plan: ClusterPlan, { subject, full, colour, nowMs }: PlanTextOptions): string {
  if (plan.units.length === 0) return "No change\n";
  const rows = plan.units.flatMap((unit) =>
    rowsOf(unit, full).map(({ action, where, why }): readonly Cell[] => [
      { text: unit.name },
      { text: unit.change, tone: tones[unit.change] },
      { text: action, ...(action === waitWord ? { tone: "bad" } : {}) },
      { text: where },
      { text: why },
    ]),
  );
  const table = formatTable({ legend: ["unit", "change", "action", "machine", "why"], rows }, { legend: true, colour });
  return `${visible(`${subjectText(subject)} against ${againstText(plan)}${ageText(plan, nowMs)}`)}\n${sumText(plan)}\n\n${table}`;
}

function ageText({ atMs }: ClusterPlan, nowMs: number): string {
  return nowMs - atMs < freshMs ? "" : `, as it was ${formatSpan(nowMs - atMs)} ago`;
}

/** Where there is one action and its opposite elsewhere, it is a move. */
const moveWord = "move";
const waitWord = "wait";
const none = "-";

interface Row {
  readonly action: PlanAction | typeof moveWord | typeof waitWord | typeof none;
  readonly where: string;
  readonly why: string;
}

function rowsOf(unit: PlannedUnit, full: boolean): readonly Row[] {
  const why = whyText(unit);
  const waits: readonly Row[] = unit.waits === undefined ? [] : [{ action: waitWord, where: none, why }];
  const { actions } = unit;
  const [from, to] = moveOf(unit);
  if (from !== undefined && to !== undefined)
    return [{ action: moveWord, where: `${machineText(from, full)} -> ${machineText(to, full)}`, why }];
  if (actions.length === 0 && waits.length === 0) return [{ action: none, where: placesText(unit, full), why }];
  const done = planActions.flatMap((action): readonly Row[] => {
    const machines = actions.flatMap((each) => (each.action === action ? [each.machine] : []));
    return machines.length === 0 ? [] : [{ action, where: machinesText(machines, full), why }];
  });
  return [...done, ...waits];
}

/** From one machine to one other: nothing for a unit that is done something else with. */
function moveOf({ actions }: PlannedUnit): readonly (MachineName | undefined)[] {
  const leaves = actions.filter(({ action }) => action === "stop" || action === "unload");
  const comes = actions.filter(({ action }) => action === "start" || action === "load");
  const isMove = actions.length === 2 && leaves.length === 1 && comes.length === 1;
  return isMove ? [leaves[0]?.machine, comes[0]?.machine] : [];
}

function placesText({ after }: PlannedUnit, full: boolean): string {
  return after === undefined || after.machines.length === 0 ? none : machinesText(after.machines, full);
}

function machinesText(machines: readonly MachineName[], full: boolean): string {
  if (machines.length > maxMachinesNamed) return `${machines.length} machines`;
  return machines.map((machine) => machineText(machine, full)).join(", ");
}

function machineText({ id, hostname }: MachineName, full: boolean): string {
  const shown = full ? id : `${id.slice(0, shortIdChars)}...`;
  return hostname === "" ? shown : `${shown}/${hostname}`;
}

function whyText(unit: PlannedUnit): string {
  const { change, template, differs = [], before, after, because, displacedBy, waits, hold } = unit;
  const parts = [
    ...(template === true ? ["a template, which is not run itself"] : []),
    ...differs.map((each) => differenceText(each, unit)),
    ...(change === "added" && after?.target === "inactive" && template !== true ? ["it wants to be inactive"] : []),
    ...(change === "removed" && before?.machines.length === 0 && template !== true ? ["it is on no machine"] : []),
    ...(displacedBy === undefined ? [] : [`it gives way to ${displacedBy}`]),
    ...(because === undefined || displacedBy !== undefined ? [] : [because]),
    ...(waits === undefined ? [] : [waits.map(refusalText).join("; ") || "no machine takes it"]),
    ...(hold === undefined
      ? []
      : [`held at ${hold.target} by ${hold.by}${hold.why === undefined ? "" : `: ${hold.why}`}`]),
  ];
  return parts.length === 0 ? none : parts.join("; ");
}

function differenceText(
  difference: NonNullable<PlannedUnit["differs"]>[number],
  { before, after, source, hold }: PlannedUnit,
): string {
  switch (difference) {
    case "text":
      return "text";
    case "target":
      // Where a hold says what counts, both sides are the same
      return hold !== undefined || before === undefined || after === undefined
        ? "target"
        : `target ${before.target} -> ${after.target}`;
    case "source":
      return source === "git" ? "was submitted by hand" : "is submitted by hand";
  }
}

function refusalText({ rule, machines, example }: Refusal): string {
  return `${count(machines, "machine")}: ${example} (${rule})`;
}

/** `2 added, 1 changed; 2 starts, 1 restart on 3 machines; 1 would wait`. */
function sumText({ summary, machines }: ClusterPlan): string {
  const units = planChanges.flatMap((change) => said(summary.units[change], change));
  const actions = planActions.flatMap((action) =>
    said(summary.actions[action], plural(summary.actions[action], action)),
  );
  const where = actions.length === 0 ? "nothing to do on machines" : actions.join(", ");
  const on = actions.length === 0 ? "" : ` on ${count(machines.length, "machine")}`;
  return [units.join(", "), `${where}${on}`, ...said(summary.waiting, "would wait")].join("; ");
}

function said(many: number, what: string): readonly string[] {
  return many === 0 ? [] : [`${many} ${what}`];
}

function plural(many: number, noun: string): string {
  return many === 1 ? noun : `${noun}s`;
}

function count(many: number, noun: string): string {
  return `${many} ${plural(many, noun)}`;
}

function subjectText(subject: PlanSubject): string {
  if (subject.kind === "working-copy") return subject.path === "." ? "This working copy" : subject.path;
  return `${subject.commit.slice(0, shortCommitChars)} ${subject.subject}`;
}

function againstText({ against }: ClusterPlan): string {
  return against === undefined
    ? "a cluster without a commit"
    : `${against.commit.slice(0, shortCommitChars)} (${against.ref})`;
}

// A comment of a pull request holds 65,536 characters
const maxMarkdownChars = 60_000;
const maxRows = 100;
const maxListed = 50;
const maxSpanChars = 300;

/** A line with the sums, a table, and folded what is read only when somebody wants to know. Fits into a comment. */
export function planMarkdown(plan: ClusterPlan, { subject, warnings, nowMs }: PlanMarkdownOptions): string {
  const heading = `**flotilla plan** of ${subjectSpan(subject)} against ${span(againstText(plan))}${ageText(plan, nowMs)}: `;
  const folded = warnings.length === 0 ? [] : [folding(count(warnings.length, "warning"), problemItems(warnings))];
  if (plan.units.length === 0) return fitted(`${heading}no change\n`, folded);
  const rows = plan.units.flatMap((unit) =>
    rowsOf(unit, false).map(({ action, where, why }) => [
      cell(unit.name),
      unit.change,
      action,
      where === none ? none : cell(where),
      why === none ? none : cell(why),
    ]),
  );
  const waiting = plan.units.flatMap(({ name, waits }) => (waits === undefined ? [] : [{ name, waits }]));
  return fitted(`${heading}${sumText(plan)}\n`, [
    tableText(["unit", "change", "action", "machine", "why"], rows),
    ...(waiting.length === 0
      ? []
      : [folding(`${waiting.length} would wait for a machine`, listed(waiting.map(waitItem)))]),
    ...(plan.machines.length === 0 ? [] : [folding("By machine", machineTable(plan.machines))]),
    ...folded,
  ]);
}

/** A commit that would be refused, and why. */
export function refusalMarkdown(
  problems: readonly ProblemRecord[],
  { subject, warnings }: Omit<PlanMarkdownOptions, "nowMs">,
): string {
  const heading = `**flotilla plan** of ${subjectSpan(subject)}: it would be refused, for ${count(problems.length, "problem")}\n`;
  return fitted(heading, [
    problemItems(problems),
    ...(warnings.length === 0 ? [] : [folding(count(warnings.length, "warning"), problemItems(warnings))]),
  ]);
}

function subjectSpan(subject: PlanSubject): string {
  const isHere = subject.kind === "working-copy" && subject.path === ".";
  return isHere ? "this working copy" : span(subjectText(subject));
}

function waitItem({ name, waits }: { readonly name: string; readonly waits: readonly Refusal[] }): string {
  return `- ${span(name)}: ${waits.map((each) => span(refusalText(each))).join(", ") || "no machine takes it"}`;
}

function machineTable(machines: readonly PlannedMachine[]): string {
  const used = planActions.filter((action) => machines.some(({ actions }) => actions[action] !== undefined));
  const rows = machines.map(({ machine, actions }) => [
    cell(machineText(machine, false)),
    ...used.map((action) => String(actions[action]?.length ?? 0)),
  ]);
  return tableText(["machine", ...used], rows);
}

function problemItems(problems: readonly ProblemRecord[]): string {
  return listed(problems.map((problem) => `- ${span(describeProblem(problem))}`));
}

function listed(items: readonly string[]): string {
  const more = items.length > maxListed ? [`- and ${items.length - maxListed} more`] : [];
  return [...items.slice(0, maxListed), ...more].map((line) => `${line}\n`).join("");
}

function tableText(legend: readonly string[], rows: readonly (readonly string[])[]): string {
  const shown = rows.length > maxRows ? rows.slice(0, maxRows) : rows;
  const lines = [legend, legend.map(() => "---"), ...shown].map((cells) => `| ${cells.join(" | ")} |\n`);
  const more = rows.length > maxRows ? `\nand ${rows.length - maxRows} more\n` : "";
  return lines.join("") + more;
}

function folding(title: string, inside: string): string {
  return `<details><summary>${title}</summary>\n\n${inside}\n</details>\n`;
}

/** As many parts as there is room for. */
function fitted(heading: string, parts: readonly string[]): string {
  let text = heading;
  for (const part of parts) {
    if (text.length + part.length > maxMarkdownChars) return `${text}\nThe rest is too long for here\n`;
    text += `\n${part}`;
  }
  return text;
}

/** The same in a cell of a table, where a bar ends the cell even in a code span. */
function cell(text: string): string {
  return span(text).replaceAll("|", "\\|");
}

/** Foreign text as a code span on one line. */
function span(text: string): string {
  const line = visible(text.length > maxSpanChars ? `${text.slice(0, maxSpanChars)}...` : text);
  const ticks = Math.max(0, ...Array.from(line.matchAll(/`+/g), ([run]) => run.length)) + 1;
  const pad = line.startsWith("`") || line.endsWith("`") ? " " : "";
  return `${"`".repeat(ticks)}${pad}${line}${pad}${"`".repeat(ticks)}`;
}
