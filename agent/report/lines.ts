// What `status` says, in lines: a label, a colon, the value. Inner part of report/.
import { type ProblemRecord, describeProblem } from "../domain/problem.ts";
import type {
  ClusterReport,
  CommitReport,
  HoldReport,
  MachineReference,
  UnitDetail,
  UnitReport,
} from "../domain/report.ts";
import { type Tone, paint } from "../text/columns.ts";
import { formatMoment, formatSpan } from "../text/time.ts";
import { visible } from "../text/width.ts";
import { lossWaitText } from "./loss-waits.ts";
import { maintenanceText } from "./maintenance.ts";
import { type TextOptions, hashText, isBadResult, machineLegend, toneOf } from "./fields.ts";

type LineOptions = TextOptions & { readonly colour: boolean };

/** One labelled value; more than one line of it stands below the first. */
export interface Entry {
  readonly label: string;
  readonly lines: readonly string[];
}

/** Units and problems named in the summary; the listings show all. */
const maxNamed = 10;
const labelWidth = 9;
const unknownWithout = "not known: the registry cannot be reached";

export function unitLines(unit: UnitDetail, options: LineOptions): readonly string[] {
  const entries = [...aboutFile(unit, options), ...aboutWaiting(unit, options)];
  const { description } = unit.file ?? {};
  const title = visible(description === undefined ? unit.name : `${unit.name} - ${description}`);
  const places = unit.places.flatMap((place) => ["", ...print(aboutPlace(place, options))]);
  return [title, ...print(entries), ...places];
}

function aboutFile(unit: UnitDetail, options: LineOptions): readonly Entry[] {
  const { file, commit } = unit;
  if (file === undefined) {
    const unknown = "unknown: this agent has not got the adopted commit";
    return [entry("File", unit.commitAtHand ? "none in the adopted commit" : unknown)];
  }
  return [
    entry("File", file.source === "submitted" ? `none: ${handText(file, options)}` : file.file),
    ...(commit === undefined ? [] : [entry("Commit", commitText(commit, options))]),
    entry("Hash", hashText(file.hash, options.full)),
    entry("Wants", wantsText(file)),
    ...(file.hold === undefined ? [] : [entry("Hold", holdText(file.hold, options))]),
  ];
}

function wantsText(file: NonNullable<UnitDetail["file"]>): string {
  if (file.template) return "nothing: a template is not run itself";
  return file.global ? `${file.desired} on every machine that fits (global)` : file.desired;
}

function handText({ by = "somebody", atMs }: NonNullable<UnitDetail["file"]>, { nowMs }: LineOptions): string {
  return `submitted by ${by}${atMs === undefined ? "" : `, ${formatSpan(nowMs - atMs)} ago`}`;
}

/** Who holds it at what, why and for how long; and what the repository says. */
export function holdText({ target, declared, by, why, atMs, untilMs }: HoldReport, { nowMs }: LineOptions): string {
  const until = untilMs === undefined ? "until it is lifted" : `until ${formatMoment(untilMs)}`;
  const said = declared === undefined ? "the repository no longer has it" : `the repository says ${declared}`;
  return `${target} by ${by}, ${formatSpan(nowMs - atMs)} ago, ${until}${why === undefined ? "" : `: ${why}`} (${said})`;
}

function aboutWaiting(unit: UnitDetail, { colour, full }: LineOptions): readonly Entry[] {
  const { name, lossWait } = unit;
  if (lossWait !== undefined) {
    const text = lossWaitText(lossWait, { name, refer: (machine) => machineText(machine, full) });
    return [raw("Waiting", [paint(visible(text), tone(colour, "bad"))])];
  }
  if (unit.refusals.length > 0) {
    const reasons = unit.refusals.map(
      ({ machines, rule, example }) => `${count(machines, "machine")}: ${example} (${rule})`,
    );
    return [raw("Waiting", [paint("no machine takes it", tone(colour, "bad")), ...reasons.map(visible)])];
  }
  const { file } = unit;
  if (unit.places.length > 0 || file === undefined || file.template) return [];
  if (file.desired === "inactive") return [entry("Machine", "none: it wants to be inactive")];
  return [entry("Machine", file.global ? "none fits" : "none yet")];
}

function aboutPlace(place: UnitReport, options: LineOptions): readonly Entry[] {
  return [
    entry("Machine", machineText(place.machine, options.full)),
    raw("State", [stateText(place, options)]),
    ...(place.knowledge === "reported" ? aboutRun(place, options) : []),
    ...(place.target === undefined ? [entry("Told", "nothing: no manifest has it there")] : []),
    ...(place.target === "released" ? [entry("Told", "to stop it and take it away")] : []),
    ...(place.problem === undefined ? [] : [raw("Problem", problemLines(place.problem, options))]),
  ];
}

function aboutRun(place: UnitReport, { full, colour }: LineOptions): readonly Entry[] {
  const result = place.result === undefined ? [] : [visible(place.result)];
  return [
    ...result.map((text) => raw("Result", [paint(text, tone(colour, isBadResult(text) ? "bad" : undefined))])),
    entry("Restarts", String(place.restarts ?? 0)),
    entry("Hash", hashText(place.hash, full)),
    ...(place.commit === undefined ? [] : [entry("Commit", hashText(place.commit, full))]),
  ];
}

function stateText(place: UnitReport, { nowMs, colour }: LineOptions): string {
  const mood = tone(colour, toneOf(place));
  switch (place.knowledge) {
    case "lost":
      return `${paint("lost", mood)}: the machine stopped answering, the unit may still run there`;
    case "pending":
      return `${paint("pending", mood)}: nothing heard of it from there yet`;
    case "reported": {
      const state = paint(visible(`${place.active ?? "-"} (${place.sub ?? "-"})`), mood);
      const load = place.load === "loaded" ? "" : visible(`, load ${place.load ?? "-"}`);
      return state + load + sinceText(place.sinceMs, nowMs);
    }
  }
}

function sinceText(sinceMs: number | undefined, nowMs: number): string {
  return sinceMs === undefined ? "" : ` since ${formatMoment(sinceMs)}; ${formatSpan(nowMs - sinceMs)} ago`;
}

export function clusterLines(cluster: ClusterReport, options: LineOptions): readonly string[] {
  return print([
    aboutLeader(cluster, options),
    ...aboutCommits(cluster, options),
    aboutMachines(cluster, options),
    ...aboutUnits(cluster, options),
    ...(cluster.holds.length === 0
      ? []
      : [
          raw(
            "Holds",
            some(cluster.holds, (hold) => [visible(`${hold.unit}: ${holdText(hold, options)}`)]),
          ),
        ]),
    ...(cluster.problems.length === 0
      ? []
      : [
          raw(
            "Trouble",
            some(cluster.problems, (problem) => problemLines(problem, options)),
          ),
        ]),
  ]);
}

function aboutLeader(cluster: ClusterReport, { full, colour }: LineOptions): Entry {
  const { leader } = cluster;
  if (leader === undefined && isAway(cluster)) return entry("Leader", unknownWithout);
  if (leader === undefined) return raw("Leader", [paint("none", tone(colour, "bad"))]);
  return entry("Leader", `${machineText(leader.machine, full)}, epoch ${leader.epoch}`);
}

/** Whether this is what the machine that answers knows without the registry. */
function isAway({ problems }: ClusterReport): boolean {
  return problems.some(({ code }) => code === "registry-unreachable");
}

/** Unknown is not none: without the files of a commit nobody has said that there is none. */
function noCommitText(cluster: ClusterReport): string {
  if (cluster.units.files !== undefined) return "none adopted yet";
  return isAway(cluster) ? unknownWithout : "not known: what the registry says of it cannot be read";
}

function aboutCommits(cluster: ClusterReport, options: LineOptions): readonly Entry[] {
  const { adopted, refused } = cluster;
  const { nowMs, full, colour } = options;
  const run =
    adopted === undefined
      ? entry("Commit", noCommitText(cluster))
      : raw("Commit", [
          visible(commitText(adopted, options)),
          visible(`${adopted.author}, branch ${adopted.ref}, ${formatSpan(nowMs - adopted.atMs)} ago`),
        ]);
  if (refused === undefined) return [run];
  const title = `${hashText(refused.commit, full)}, branch ${refused.ref}, ${formatSpan(nowMs - refused.atMs)} ago`;
  // All of them: this is where their author looks
  const problems = refused.problems.map((problem) => visible(describeProblem(problem)));
  return [run, raw("Refused", [paint(visible(title), tone(colour, "bad")), ...problems])];
}

function aboutMachines({ machines }: ClusterReport, { full, colour }: LineOptions): Entry {
  const lost = machines.lost.map(({ machine, units }) =>
    paint(visible(`lost: ${machineText(machine, full)}, with ${count(units, "unit")}`), tone(colour, "bad")),
  );
  const cordoned = (machines.cordoned ?? []).map(({ machine, drain }) => {
    const { text, tone: mood } = maintenanceText({ cordoned: true, ...(drain === undefined ? {} : { drain }) });
    const why = drain?.because === undefined ? "" : `: ${drain.because}`;
    return `${paint(text, tone(colour, mood))}: ${visible(`${machineText(machine, full)}${why}`)}`;
  });
  const resting = (machines.resting ?? []).map(({ machine, rests }) => {
    const { text, tone: mood } = maintenanceText({ rests });
    return `${paint(text, tone(colour, mood))}: ${visible(machineText(machine, full))}`;
  });
  return raw("Machines", [`${machines.alive} alive`, ...lost, ...cordoned, ...resting]);
}

function aboutUnits({ units }: ClusterReport, options: LineOptions): readonly Entry[] {
  const states = Object.entries(units.byState).map(([state, many]) => visible(`${many} ${state}`));
  const { files: all, submitted = 0 } = units;
  const byHand = submitted === 0 ? "" : `${submitted} submitted by hand; `;
  const files = all === undefined ? "" : `${all - submitted} in the repository; ${byHand}`;
  const waiting =
    units.waiting.length === 0
      ? []
      : [
          raw(
            "Waiting",
            some(units.waiting, (name) => [visible(name)]),
          ),
        ];
  const troubled = some(units.troubled, (place) => {
    const where = visible(`${place.name} on ${machineLegend(place.machine, options.full)}: `);
    return place.problem === undefined
      ? [where + stateText(place, options)]
      : [where + visible(describeProblem(place.problem))];
  });
  return [
    raw("Units", [`${files}on machines: ${states.length === 0 ? "none" : states.join(", ")}`]),
    ...waiting,
    ...(troubled.length === 0 ? [] : [raw("Failing", troubled)]),
  ];
}

export function machineText(machine: MachineReference, full: boolean): string {
  const legend = machineLegend(machine, full);
  return machine.hostname === "" ? legend : `${legend} (${machine.hostname})`;
}

function commitText(commit: CommitReport, { full }: LineOptions): string {
  return `${hashText(commit.commit, full)} ${commit.subject}`;
}

function problemLines(problem: ProblemRecord, { colour }: LineOptions): readonly string[] {
  const { hint, ...said } = problem;
  const line = paint(visible(describeProblem(said)), tone(colour, "bad"));
  return hint === undefined ? [line] : [line, visible(`hint: ${hint}`)];
}

/** The first few of a list, and how many more there are. */
function some<T>(all: readonly T[], lines: (each: T) => readonly string[]): readonly string[] {
  const shown = all.slice(0, maxNamed).flatMap((each) => lines(each));
  return all.length <= maxNamed ? shown : [...shown, `and ${all.length - maxNamed} more`];
}

export function count(many: number, noun: string): string {
  return `${many} ${noun}${many === 1 ? "" : "s"}`;
}

function tone(colour: boolean, mood: Tone | undefined): Tone | undefined {
  return colour ? mood : undefined;
}

/** Foreign text: made harmless. */
export function entry(label: string, text: string): Entry {
  return { label, lines: [visible(text)] };
}

/** Lines that are harmless already. */
export function raw(label: string, lines: readonly string[]): Entry {
  return { label, lines };
}

export function print(entries: readonly Entry[]): readonly string[] {
  return entries.flatMap(({ label, lines }) =>
    lines.map(
      (line, index) => `${index === 0 ? `${label}:`.padStart(labelWidth + 1) : " ".repeat(labelWidth + 1)} ${line}`,
    ),
  );
}
