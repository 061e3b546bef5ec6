// What is asked of journalctl and systemctl on the machines of units, and how what several of them say becomes one text. Pure;
// side door of the room: only the commands that go to machines load it.
import type { MachineReference } from "../domain/report.ts";
import { byName } from "../domain/names.ts";
import { displayWidth, visible } from "../text/width.ts";
import { machineLegend } from "./fields.ts";

export type Words = readonly [string, ...string[]];

/** What is asked of the journal of one machine. */
export interface JournalQuery {
  /** Whole unit names, at least one. */
  readonly units: readonly string[];
  readonly follow: boolean;
  /** A number, or `all`; undefined: 10, or all where `since` is given. */
  readonly lines: string | undefined;
  /** As journalctl(1) takes them. */
  readonly since: string | undefined;
  readonly until: string | undefined;
  /** journalctl's own name of a mode; undefined: `short`, or of several machines what `isMerged` says. */
  readonly output: string | undefined;
  readonly sudo: boolean;
  readonly colour: boolean;
  /** Whether other machines are asked as well. */
  readonly several: boolean;
}

const usualLines = "10";
/** Its lines begin with the moment, to the microsecond: of several machines they can be put in order. */
const mergeableOutput = "short-iso-precise";

/** fleet's words, and more of them where more is asked. */
export function journalWords(query: JournalQuery): Words {
  const { units, follow, lines, since, until, sudo, colour, several } = query;
  const count = lines ?? (since === undefined ? usualLines : undefined);
  const words: Words = [
    "journalctl",
    ...units.map((unit) => `--unit=${unit}`),
    "--no-pager",
    ...(count === undefined ? [] : [`--lines=${count}`]),
    `--output=${query.output ?? (several ? mergeableOutput : "short")}`,
    // One clock for all of them
    ...(isMerged(query) ? ["--utc"] : []),
    ...(since === undefined ? [] : [`--since=${since}`]),
    ...(until === undefined ? [] : [`--until=${until}`]),
    ...(follow ? ["--follow"] : []),
  ];
  if (sudo) return ["sudo", ...words];
  return colour ? coloured(words) : words;
}

/** A unit's name may begin with a dash, and none of systemctl's options is asked for by it: `-Hroot@db.service`. */
export function statusWords(unit: string, colour: boolean): Words {
  const words: Words = ["systemctl", "status", "--no-pager", "--full", "--", unit];
  return colour ? coloured(words) : words;
}

/** systemd's programs colour a terminal only, which they do not have here. */
function coloured(words: Words): Words {
  return ["env", "SYSTEMD_COLORS=1", "SYSTEMD_URLIFY=0", ...words];
}

/** Whether the lines of several machines are put in the order of time. */
export function isMerged({ several, output }: Pick<JournalQuery, "several" | "output">): boolean {
  return several && (output === undefined || output === mergeableOutput);
}

/** Whether lines of this output may have something put in front of them: not where a program reads them. */
export function takesPrefix(output: string | undefined): boolean {
  return output === undefined || !/^(json|export)/.test(output);
}

/** Lines of several machines, each with its machine's place in the list, in the order of time. What carries no time stays
 * behind the line that it followed. */
export function mergeLines(
  machines: readonly (readonly string[])[],
): readonly { readonly machine: number; readonly line: string }[] {
  const entries = machines.flatMap((lines, machine) => {
    let key = "";
    return lines.map((line) => {
      key = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,]\d+/.exec(withoutPaint(line))?.[0] ?? key;
      return { key, machine, line };
    });
  });
  // Stable: what happened at the same moment keeps the order of machines and lines
  return [...entries].sort((a, b) => byName(a.key, b.key)).map(({ machine, line }) => ({ machine, line }));
}

/** xterm's colours that can be told apart on light and dark: cyan, yellow, green, magenta, blue, and their bright ones. */
const paints = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/**
 * What stands in front of each machine's lines, in the same order: hostnames where they differ, else the beginnings of ids, all
 * of one width.
 */
export function prefixes(machines: readonly MachineReference[], colour: boolean): readonly string[] {
  const hostnames = machines.map(({ hostname }) => visible(hostname));
  const differ = new Set(hostnames).size === machines.length && !hostnames.includes("");
  const names = differ ? hostnames : machines.map(({ id }) => visible(id.slice(0, 8)));
  const width = Math.max(0, ...names.map(displayWidth));
  return names.map((each, index) => {
    const text = `${each}${" ".repeat(width - displayWidth(each))} |`;
    return `${colour ? `\u001b[${paints[index % paints.length] ?? 0}m${text}\u001b[0m` : text} `;
  });
}

/** `web@1.service on 59f61aeb.../10.79.0.13 (n3)`: stands above what a machine says of a unit. */
export function placeHeading(unit: string, machine: MachineReference): string {
  const { hostname } = machine;
  return visible(`${unit} on ${machineLegend(machine, false)}${hostname === "" ? "" : ` (${hostname})`}`);
}

/** `machine 59f61aeb.../10.79.0.13`, for a message. */
export function machineName(machine: MachineReference): string {
  return visible(`machine ${machineLegend(machine, false)}`);
}

const paint = /\u001b\[[0-9;]{0,24}m/g;

/** A line that others wrote, for a terminal: colours stay, whatever else a terminal would obey is spelled out. */
export function terminalLine(line: string): string {
  const colours = line.match(paint) ?? [];
  const texts = line.split(paint).map((text) => text.split("\t").map(visible).join("\t"));
  return texts.map((text, index) => text + (colours[index] ?? "")).join("");
}

function withoutPaint(line: string): string {
  return line.replace(paint, "");
}
