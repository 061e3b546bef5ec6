// What `bootstrap status` and `bootstrap --dry-run` say, in lines: a label, a colon, the value, as `status` does. A door of
// its own beside report.ts; pure.
import type { BootResult, BootStatus, BootUnit, DryRun, FindingRecord, StepRecord } from "../domain/boot-result.ts";
import { type ProblemRecord, describeProblem } from "../domain/problem.ts";
import { type Tone, paint } from "../text/columns.ts";
import { formatMoment, formatSpan } from "../text/time.ts";
import { visible } from "../text/width.ts";

export interface BootTextOptions {
  readonly colour: boolean;
  readonly nowMs: number;
  /** Every finding, step and probe. */
  readonly full: boolean;
}

const labelWidth = 9;
/** Of a list, unless all are asked for. */
const maxShown = 10;

interface Entry {
  readonly label: string;
  readonly lines: readonly string[];
}

/** What `bootstrap status` prints. */
export function bootText(status: BootStatus, options: BootTextOptions): string {
  const { result } = status;
  const entries = [
    stateEntry(status, options),
    ...waitEntries(status, options),
    ...(result === undefined ? [] : resultEntries(result, options)),
    ...unitEntries(status.units, options),
    ...list(
      "Problem",
      status.problems.flatMap((problem) => problemLines(problem, options)),
      { full: true },
    ),
  ];
  return print(entries);
}

/** What `bootstrap --dry-run` says beside the diff. */
export function dryRunText(found: DryRun, options: BootTextOptions): string {
  const { source, mode, steps, findings, problems, left, watch, unseen, isRefused } = found;
  const due = steps.filter(({ same }) => !same).length;
  const state = isRefused
    ? paint("would be refused: only name, accounts and keys would be carried out", options.colour ? "bad" : undefined)
    : due === 0
      ? "nothing would change"
      : `${due} of ${steps.length} steps would be carried out`;
  const wrong = findings.filter(({ severity }) => options.full || severity !== "info");
  return print([
    { label: "Source", lines: [sourceText(source)] },
    ...(mode === "beside-cloud-init" ? [{ label: "Mode", lines: ["beside cloud-init"] }] : []),
    { label: "Plan", lines: [state] },
    ...list("Starts", watch.map(visible), { full: true }),
    ...list(
      "Finding",
      wrong.map((finding) => findingLine(finding, options)),
      options,
    ),
    ...list("Left", left.map(leftLine), options),
    ...list("Unseen", unseen.flatMap(hinted), options),
    ...list(
      "Problem",
      problems.flatMap((problem) => problemLines(problem, options)),
      { full: true },
    ),
  ]);
}

/** One line for somebody who waits, without its end: "waiting for flotilla.service: activating (start), 12s". */
export function bootWaitLine({ waitsFor }: BootStatus, nowMs: number): string {
  const [first, ...others] = waitsFor;
  if (first === undefined) return "waiting";
  const more = others.length === 0 ? "" : `, and for ${others.length} more`;
  return visible(`waiting for ${first.what}${forText(first.sinceMs, nowMs)}${more}`);
}

const words: Readonly<Record<BootStatus["standing"], readonly [string, Tone]>> = {
  none: ["none: no first boot has run since this machine started", "bad"],
  refused: ["refused: nothing of the user-data was carried out but name, accounts and keys", "bad"],
  failed: ["failed", "bad"],
  working: ["at work", "busy"],
  waiting: ["not whole yet", "busy"],
  partly: ["over, but not all of it was done", "bad"],
  whole: ["whole", "good"],
};

function stateEntry({ standing, result }: BootStatus, { colour, nowMs }: BootTextOptions): Entry {
  const [word, tone] = words[standing];
  const endedMs = result?.endedMs;
  const ended =
    endedMs === undefined ? "" : `; the run ended ${formatMoment(endedMs)}, ${formatSpan(nowMs - endedMs)} ago`;
  return { label: "State", lines: [paint(word, colour ? tone : undefined) + ended] };
}

function waitEntries({ waitsFor }: BootStatus, { nowMs }: BootTextOptions): readonly Entry[] {
  const lines = waitsFor.map(({ what, sinceMs }) => visible(`${what}${forText(sinceMs, nowMs)}`));
  return list("Waits for", lines, { full: true });
}

function forText(sinceMs: number, nowMs: number): string {
  return sinceMs === 0 ? "" : `, for ${formatSpan(nowMs - sinceMs)}`;
}

function resultEntries(result: BootResult, options: BootTextOptions): readonly Entry[] {
  const { source, instanceId, mode, stages, steps, findings, left, probes } = result;
  const { full, nowMs } = options;
  const tookMs = (result.endedMs ?? nowMs) - result.startedMs;
  const times = stages.map(({ name, tookMs: ms }) => `${name} ${seconds(ms)}`).join(", ");
  const failed = steps.filter(({ result: word }) => word === "failed");
  const wrong = findings.filter(({ severity }) => full || severity === "warning");
  const isNothing = source === undefined && result.state === "done";
  return [
    { label: "Source", lines: [isNothing ? "none has user-data for this machine: nothing to do" : sourceText(source)] },
    ...(instanceId === undefined ? [] : [{ label: "Instance", lines: [visible(instanceId)] }]),
    ...(mode === "beside-cloud-init" ? [{ label: "Mode", lines: ["beside cloud-init"] }] : []),
    { label: "Took", lines: [`${seconds(tookMs)}${times === "" ? "" : `: ${times}`}`] },
    { label: "Steps", lines: [stepCounts(steps)] },
    ...(full
      ? list(
          "Done",
          steps.map((step) => visible(`${step.result}: ${step.does}`)),
          options,
        )
      : []),
    ...list(
      "Failed",
      failed.flatMap((step) => stepLines(step, options)),
      { full: true },
    ),
    ...list(
      "Finding",
      wrong.map((finding) => findingLine(finding, options)),
      options,
    ),
    ...list("Left", left.map(leftLine), options),
    ...(source === undefined || full
      ? list(
          "Asked",
          probes.map((probe) => probeLine(probe)),
          { full: true },
        )
      : []),
  ];
}

function sourceText(source: BootResult["source"]): string {
  if (source === undefined) return "none";
  const kept = source.isKept ? ", as the last boot found it: no source answers" : "";
  return visible(`${source.name}, ${source.where}${kept}`);
}

function stepCounts(steps: readonly StepRecord[]): string {
  const counted = (["done", "same", "failed", "skipped"] as const).map(
    (word) => [word, steps.filter(({ result }) => result === word).length] as const,
  );
  const said = counted.filter(([, many]) => many > 0).map(([word, many]) => `${many} ${stepWords[word]}`);
  return said.length === 0 ? "none" : said.join(", ");
}

const stepWords = { done: "done", same: "as it should be", failed: "failed", skipped: "left out" } as const;

function stepLines({ does, problem }: StepRecord, { colour }: BootTextOptions): readonly string[] {
  const title = paint(visible(does), colour ? "bad" : undefined);
  return problem === undefined ? [title] : [title, ...hinted(problem)];
}

function findingLine(finding: FindingRecord, { colour }: BootTextOptions): string {
  const { severity } = finding;
  const tone = severity === "error" ? "bad" : severity === "warning" ? "busy" : undefined;
  return `${paint(severity, colour ? tone : undefined)}: ${visible(describeProblem(finding))}`;
}

function leftLine({ id, path, isRemoved }: BootResult["left"][number]): string {
  const what = path === undefined || id.includes(path) ? id : `${id} (${path})`;
  return visible(`${what}: no longer in the user-data, ${isRemoved ? "taken away" : "stays as it is"}`);
}

function probeLine({ source, outcome, why }: BootResult["probes"][number]): string {
  return visible(`${source}: ${outcome}, ${why}`);
}

const tones: Readonly<Record<BootUnit["standing"], Tone | undefined>> = {
  up: "good",
  finished: "good",
  left: "faint",
  starting: "busy",
  waits: "busy",
  failed: "bad",
  "not-started": "bad",
};

function unitEntries(units: readonly BootUnit[], { colour, nowMs }: BootTextOptions): readonly Entry[] {
  const width = Math.max(0, ...units.map(({ unit }) => unit.length));
  const lines = units.map(({ unit, standing, words: state, sinceMs }) => {
    const text = paint(visible(state), colour ? tones[standing] : undefined);
    return `${visible(unit).padEnd(width)}  ${text}${forText(sinceMs, nowMs)}`;
  });
  return list("Units", lines, { full: true });
}

function problemLines(problem: ProblemRecord, { colour }: BootTextOptions): readonly string[] {
  const [line = "", ...more] = hinted(problem);
  return [paint(line, colour ? "bad" : undefined), ...more];
}

function hinted(problem: ProblemRecord): readonly string[] {
  const { hint, ...said } = problem;
  return [visible(describeProblem(said)), ...(hint === undefined ? [] : [visible(`hint: ${hint}`)])];
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)}s` : formatSpan(ms);
}

/** No entry for no lines. */
function list(label: string, lines: readonly string[], { full }: { readonly full: boolean }): readonly Entry[] {
  if (lines.length === 0) return [];
  if (full || lines.length <= maxShown) return [{ label, lines }];
  return [{ label, lines: [...lines.slice(0, maxShown), `and ${lines.length - maxShown} more: --full`] }];
}

function print(entries: readonly Entry[]): string {
  return entries
    .flatMap(({ label, lines }) =>
      lines.map((line, index) => `${(index === 0 ? `${label}:` : "").padStart(labelWidth + 1)} ${line}\n`),
    )
    .join("");
}
