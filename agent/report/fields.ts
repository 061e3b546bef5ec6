// The columns of every listing: name, what it means, and how a row's value is written in it. Names and forms are fleet's
// where fleet had the column. Inner part of report/.
import type { HoldReport, MachineReference, MachineReport, UnitFileReport, UnitReport } from "../domain/report.ts";
import type { Cell, Table, Tone } from "../text/columns.ts";
import { formatSpan } from "../text/time.ts";
import { maintenanceText } from "./maintenance.ts";

/** How a listing's values are written. */
export interface TextOptions {
  /** Whole ids and hashes instead of their beginnings. */
  readonly full: boolean;
  /** Wall clock now, for what is written as "5s ago". */
  readonly nowMs: number;
}

export interface Field<Row> {
  /** For the command's help. */
  readonly means: string;
  cell(row: Row, options: TextOptions): Cell;
  /** What rows are ordered by, where the text would order them wrongly; undefined: not known. */
  order?(row: Row): number | string | undefined;
}

export interface FieldTable<Row> {
  readonly all: Readonly<Record<string, Field<Row>>>;
  /** Those shown when none are named. */
  readonly usual: readonly string[];
  /** Shown behind the usual ones as soon as this is so of one of the rows. */
  readonly extra?: { readonly field: string; when(row: Row): boolean };
}

/** Characters of an id or hash that are shown unless the whole is asked for. */
const shortIdChars = 8;
const shortHashChars = 7;

/** Shown without being asked for as soon as one of the rows is held. */
const holdField: Field<{ readonly hold?: HoldReport }> = {
  means: "what an operator holds it at, who, until when and why; shown by itself when a listed unit is held",
  cell: ({ hold }, { nowMs }) => (hold === undefined ? plain("") : { text: holdText(hold, nowMs), tone: "busy" }),
};

export const machineFields: FieldTable<MachineReport> = {
  usual: ["machine", "ip", "metadata"],
  extra: { field: "state", when: ({ cordoned, rests }) => cordoned === true || rests !== undefined },
  all: {
    machine: { means: "machine id", cell: (row, { full }) => plain(full ? row.id : shortId(row.id)) },
    ip: { means: "published address", cell: (row) => plain(row.ip), order: (row) => addressOrder(row.ip) },
    metadata: { means: "metadata, as key=value", cell: (row) => plain(metadataText(row.metadata)) },
    hostname: { means: "its own name", cell: (row) => plain(row.hostname) },
    version: { means: "flotilla's version there", cell: (row) => plain(row.version) },
    leader: {
      means: "whether it leads now",
      cell: (row) => ({ text: String(row.leader), ...(row.leader ? { tone: "good" } : {}) }),
    },
    lead: { means: "whether it may lead", cell: (row) => plain(String(row.mayLead)) },
    units: {
      means: "how many units it was given",
      cell: (row) => plain(String(row.units)),
      order: (row) => row.units,
    },
    cpus: { means: "how many processors it has", cell: (row) => plain(String(row.cpus)), order: (row) => row.cpus },
    memory: {
      means: "how much memory it has",
      cell: (row) => plain(memoryText(row.memoryBytes)),
      order: (row) => row.memoryBytes,
    },
    state: {
      means:
        "cordoned, draining, drained, resting, or - for one that takes units; shown by itself when a listed machine takes none",
      cell: (row) => (row.cordoned === true || row.rests !== undefined ? maintenanceText(row) : plain("")),
    },
  },
};

export const unitFields: FieldTable<UnitReport> = {
  usual: ["unit", "machine", "active", "sub"],
  extra: { field: "hold", when: ({ hold }) => hold !== undefined },
  all: {
    unit: { means: "unit name", cell: (row) => plain(row.name) },
    machine: {
      means: "where it is",
      cell: (row, { full }) => plain(machineLegend(row.machine, full)),
      order: (row) => row.machine.id,
    },
    active: {
      means: 'systemd\'s active state; "lost" when the machine stopped answering',
      cell: (row) => stateCell(row, row.knowledge === "lost" ? "lost" : row.active),
    },
    sub: { means: "systemd's sub state", cell: (row) => stateCell(row, row.sub) },
    load: { means: "systemd's load state", cell: (row) => plain(row.load) },
    hash: { means: "hash of the unit that lies there", cell: (row, { full }) => plain(hashText(row.hash, full)) },
    since: {
      means: "how long ago the active state changed",
      cell: (row, { nowMs }) => plain(row.sinceMs === undefined ? "" : `${formatSpan(nowMs - row.sinceMs)} ago`),
      // As it reads: what changed last comes first
      order: (row) => (row.sinceMs === undefined ? undefined : -row.sinceMs),
    },
    result: {
      means: "how its last run ended",
      cell: (row) => ({ ...plain(row.result), ...(isBadResult(row.result) ? { tone: "bad" } : {}) }),
    },
    restarts: {
      means: "how often systemd restarted it",
      cell: (row) => plain(row.restarts?.toString()),
      order: (row) => row.restarts,
    },
    target: { means: "what the machine was told: loaded, launched or released", cell: (row) => plain(row.target) },
    source: { means: "where it comes from: git or submitted", cell: (row) => plain(row.source) },
    hold: holdField,
    problem: {
      means: "what the machine could not do for it, last",
      cell: (row) => ({ ...plain(row.problem?.message), ...(row.problem === undefined ? {} : { tone: "bad" }) }),
    },
  },
};

export const unitFileFields: FieldTable<UnitFileReport> = {
  usual: ["unit", "hash", "dstate", "state", "target"],
  extra: { field: "hold", when: ({ hold }) => hold !== undefined },
  all: {
    unit: { means: "unit name", cell: (row) => plain(row.name) },
    hash: { means: "hash of text and drop-ins", cell: (row, { full }) => plain(hashText(row.hash, full)) },
    dstate: { means: "desired state: inactive, loaded or launched", cell: (row) => plain(row.desired) },
    state: {
      means: "current state; - for global units",
      cell: (row) => ({ ...plain(row.state), ...toneOfState(row) }),
    },
    target: {
      means: 'the machine that it is placed on; "global" for every machine that fits',
      cell: (row, { full }) => plain(row.global ? "global" : row.machine && machineLegend(row.machine, full)),
      order: (row) => (row.global ? "global" : row.machine?.id),
    },
    global: { means: "whether every machine that fits runs it", cell: (row) => plain(String(row.global)) },
    desc: { means: "description", cell: (row) => plain(row.description) },
    file: { means: "path in the repository; - for submitted units", cell: (row) => plain(row.file) },
    source: { means: "where it comes from: git or submitted", cell: (row) => plain(row.source) },
    by: { means: "who submitted it, or changed it last; - for git's units", cell: (row) => plain(row.by) },
    since: {
      means: "how long ago that was",
      cell: (row, { nowMs }) => plain(row.atMs === undefined ? "" : `${formatSpan(nowMs - row.atMs)} ago`),
      order: (row) => (row.atMs === undefined ? undefined : -row.atMs),
    },
    hold: holdField,
  },
};

/** The columns for rows when none are named. */
export function usualFields<Row>({ usual, extra }: FieldTable<Row>, rows: readonly Row[]): readonly string[] {
  return extra !== undefined && rows.some((row) => extra.when(row)) ? [...usual, extra.field] : usual;
}

/** The named columns of `rows`. Every name is one of `fields`. */
export function tabulate<Row>(
  fields: FieldTable<Row>,
  given: { readonly names: readonly string[]; readonly rows: readonly Row[] } & TextOptions,
): Table {
  const columns = given.names.flatMap((name) => fields.all[name] ?? []);
  return {
    legend: given.names,
    rows: given.rows.map((row) => columns.map((field) => field.cell(row, given))),
  };
}

/** fleet's way to name a machine: `59f61aeb.../10.79.0.13`, the whole id when asked for; the id alone without an address. */
export function machineLegend(machine: MachineReference, full: boolean): string {
  const id = full ? machine.id : shortId(machine.id);
  return machine.ip === "" ? id : `${id}/${machine.ip}`;
}

export function shortId(id: string): string {
  return `${id.slice(0, shortIdChars)}...`;
}

export function hashText(hash: string | undefined, full: boolean): string {
  return hash === undefined ? "" : full ? hash : hash.slice(0, shortHashChars);
}

/** How systemd's active state reads: red is for what needs somebody. */
export function toneOf(row: UnitReport): Tone | undefined {
  if (row.knowledge === "lost") return "bad";
  switch (row.active) {
    case "active":
      return "good";
    case "failed":
      return "bad";
    case "inactive":
    case undefined:
      return "faint";
    default:
      return "busy";
  }
}

export function isBadResult(result: string | undefined): boolean {
  return result !== undefined && result !== "success";
}

function stateCell(row: UnitReport, text: string | undefined): Cell {
  const tone = toneOf(row);
  return tone === undefined ? plain(text) : { ...plain(text), tone };
}

function toneOfState(row: UnitFileReport): { readonly tone?: Tone } {
  if (row.state === "launched") return { tone: "good" };
  return row.state !== undefined && row.state !== row.desired ? { tone: "busy" } : {};
}

/** Shorter than what `status` says of it: a cell has no room for more. */
function holdText({ target, by, why, untilMs }: HoldReport, nowMs: number): string {
  const left = untilMs === undefined ? "" : `, for ${formatSpan(untilMs - nowMs)} more`;
  return `${target} by ${by}${left}${why === undefined ? "" : `: ${why}`}`;
}

/** 10.0.0.9 before 10.0.0.10. */
function addressOrder(ip: string): string | undefined {
  return ip === "" ? undefined : ip.replace(/\d+/g, (digits) => digits.padStart(3, "0"));
}

const mebibyte = 1024 ** 2;

function memoryText(bytes: number): string {
  return bytes < 1024 * mebibyte ? `${Math.round(bytes / mebibyte)}M` : `${(bytes / 1024 / mebibyte).toFixed(1)}G`;
}

function metadataText(metadata: Readonly<Record<string, string>>): string {
  return Object.keys(metadata)
    .sort()
    .map((key) => `${key}=${metadata[key] ?? ""}`)
    .join(",");
}

function plain(text: string | undefined): Cell {
  return { text: text === undefined || text === "" ? "-" : text };
}
