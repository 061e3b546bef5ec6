// From the picture of the cluster to what people and programs are shown of it. Front door of the room; pure.
// The API answers with the reports; the commands turn them into tables and lines.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { Machine } from "../domain/machine.ts";
import { type MachineId, byName, maxUnitNameBytes } from "../domain/names.ts";
import type { Refusal, Revision } from "../domain/placement.ts";
import { type Checked, Problem, type ProblemRecord, describeProblem, invalid, valid } from "../domain/problem.ts";
import type {
  ClusterReport,
  CommitReport,
  HoldReport,
  MachineDetail,
  MachineReference,
  MachineReport,
  UnitDetail,
  UnitFileReport,
  UnitFileText,
  UnitReport,
} from "../domain/report.ts";
import type { Unit, WantedState } from "../domain/unit.ts";
import { formatTable } from "../text/columns.ts";
import { suggest } from "../text/suggest.ts";
import { visible, visibleLines } from "../text/width.ts";
import {
  readCluster,
  readMachine,
  readMachines,
  readSync,
  readUnit,
  readUnitFile,
  readUnitFiles,
  readUnits,
} from "./answers.ts";
import { type FieldTable, machineFields, tabulate, unitFields, unitFileFields, usualFields } from "./fields.ts";
import { type ToldEvent, nameOfGone } from "./gone.ts";
import { clusterLines, unitLines } from "./lines.ts";
import { lossWaitOf } from "./loss-waits.ts";
import { describeMaintenance, leavingUnits } from "./maintenance.ts";
import { type SortKey, checkSort, sortRows } from "./order.ts";
import {
  type Place,
  allPlaces,
  currentState,
  describeHold,
  describePlace,
  isOccupied,
  isWanted,
  machineIds,
  placesOf,
  referTo,
} from "./places.ts";
import { isRecord } from "./shape.ts";

/** Living machines, in id order. */
export function reportMachines(picture: ClusterPicture): readonly MachineReport[] {
  return [...picture.machines.values()].map((machine) => describeMachine(machine, picture));
}

/**
 * One living machine. Refused with "machine-unknown", or "registry-unreachable" while nobody can say whether it lives and what
 * operators say of it.
 */
export function reportMachine(picture: ClusterPicture, id: MachineId): Checked<MachineDetail> {
  if (picture.stale === true) return invalid(registryAway(`how machine "${id}" is`));
  const machine = picture.machines.get(id);
  if (machine === undefined) return invalid(machineNotThere(id));
  const leaving = leavingUnits(picture, id);
  return valid({ ...describeMachine(machine, picture), ...(leaving === undefined ? {} : { leaving }) });
}

export function machineNotThere(id: MachineId): Problem {
  return new Problem("machine-unknown", `Cannot find machine "${id}"`, {
    hint: "flotilla list-machines shows those that live",
  });
}

/** Unknown is not absent: what cannot be told from this machine's own knowledge alone. */
export function registryAway(what: string): Problem {
  return new Problem("registry-unreachable", `Cannot tell ${what} while the registry is away`, {
    hint: "flotilla status says what keeps this machine from it",
  });
}

function describeMachine(machine: Machine, picture: ClusterPicture): MachineReport {
  return {
    id: machine.id,
    ip: machine.publicIp,
    metadata: machine.metadata,
    hostname: machine.hostname,
    version: machine.version,
    leader: picture.leader?.machine === machine.id,
    mayLead: machine.mayLead,
    cpus: machine.cpus,
    memoryBytes: machine.memoryBytes,
    units: unitsGiven(picture, machine.id),
    ...describeMaintenance(picture, machine.id),
  };
}

/** Every unit that is on a machine or was placed on one, by unit name, then machine id. */
export function reportUnits(picture: ClusterPicture): readonly UnitReport[] {
  return allPlaces(picture)
    .filter(isOccupied)
    .map((place) => describePlace(place, picture));
}

/**
 * Units and templates of the adopted commit and by hand, in name order. Refused with "commit-missing" while this agent has
 * not got the commit, or does not know which it is: unknown is not none.
 */
export function reportUnitFiles(picture: ClusterPicture): Checked<readonly UnitFileReport[]> {
  if (picture.desired === undefined) return invalid(commitMissing(picture.revision));
  const { units, templates } = picture.desired;
  const placed = placedUnits(picture);
  return valid(
    [...units.values(), ...templates.values()]
      .sort((a, b) => byName(a.name, b.name))
      .map((unit) => describeFile(unit, { picture, place: placed.get(unit.name) })),
  );
}

/** One unit file or template with its text. Refused with "unit-unknown" or "commit-missing". */
export function reportUnitFile(picture: ClusterPicture, name: string): Checked<UnitFileText> {
  const unit = findUnit(picture, name);
  if (unit === undefined) return invalid(notFound(picture, name));
  return valid({
    ...describeFile(unit, { picture, place: placesOf(name, picture).find(isWanted) }),
    text: unit.text,
    dropIns: unit.dropIns.map((dropIn) => ({ name: dropIn.name, file: dropIn.file, text: dropIn.text })),
  });
}

/** All that is known of one unit, also of one that is only still seen on machines. Refused as `reportUnitFile`. */
export function reportUnit(picture: ClusterPicture, name: string): Checked<UnitDetail> {
  const unit = findUnit(picture, name);
  const places = placesOf(name, picture);
  if (unit === undefined && places.length === 0) return invalid(notFound(picture, name));
  const placed = places.find(isWanted);
  const adopted = picture.revision.adopted;
  const lossWait = lossWaitOf(name, picture);
  return valid({
    name,
    commitAtHand: picture.desired !== undefined,
    ...(unit === undefined ? {} : { file: describeFile(unit, { picture, place: placed }) }),
    ...(unit === undefined ||
    unit.source !== "git" ||
    adopted?.commit !== picture.desired?.commit ||
    adopted === undefined
      ? {}
      : { commit: describeCommit(adopted) }),
    // A released place on a machine that answers and shows nothing is over; on a lost one nobody knows
    places: places
      .filter((place) => isOccupied(place) || !picture.machines.has(place.machine))
      .map((place) => describePlace(place, picture)),
    refusals: refusalsOf(picture, name),
    ...(lossWait === undefined ? {} : { lossWait }),
  });
}

/** The cluster as a whole. `agent` is the one that answers. */
export function reportCluster(
  picture: ClusterPicture,
  agent: { readonly machine: string; readonly version: string },
): ClusterReport {
  const units = reportUnits(picture);
  const { adopted, refused } = picture.revision;
  const cordoned = cordonedMachines(picture);
  const resting = restingMachines(picture);
  return {
    agent,
    ...(picture.leader === undefined
      ? {}
      : { leader: { machine: referTo(picture.leader.machine, picture.machines), epoch: picture.leader.epoch } }),
    ...(adopted === undefined ? {} : { adopted: describeCommit(adopted) }),
    ...(refused === undefined ? {} : { refused }),
    machines: {
      alive: picture.machines.size,
      lost: machineIds(picture)
        .filter((id) => !picture.machines.has(id))
        .map((id) => ({ machine: referByName(id, picture), units: unitsGiven(picture, id) }))
        .filter((lost) => lost.units > 0),
      ...(cordoned.length === 0 ? {} : { cordoned }),
      ...(resting.length === 0 ? {} : { resting }),
    },
    units: {
      ...(picture.desired === undefined ? {} : countFiles(picture.desired)),
      waiting: waitingUnits(picture),
      byState: countByState(units),
      troubled: units.filter((unit) => unit.problem !== undefined || unit.active === "failed"),
    },
    holds: reportHolds(picture),
    problems: picture.problems,
  };
}

/** Machines whose loss was told, each once. Some of them may be back. */
export function lostByEvents(events: readonly ToldEvent[]): readonly MachineReference[] {
  const ids = new Set(events.flatMap(({ kind, machine }) => (kind === "machine-lost" ? (machine ?? []) : [])));
  return [...ids].map((id) => ({ id, ip: "", hostname: nameOfGone(events, id), alive: false }));
}

/** Every hold, in name order; also on units that the repository no longer has. */
export function reportHolds(picture: ClusterPicture): readonly HoldReport[] {
  return [...picture.holds.keys()].sort(byName).flatMap((name) => describeHold(name, picture) ?? []);
}

/** A kind of listing: its columns, the key of its rows in the API's answer, and how that is read back into rows. */
export interface Listing<Row> {
  readonly fields: FieldTable<Row>;
  readonly key: string;
  readonly read: (answer: unknown) => Checked<readonly Row[]>;
}

export const listings: {
  readonly machines: Listing<MachineReport>;
  readonly units: Listing<UnitReport>;
  readonly unitFiles: Listing<UnitFileReport>;
} = {
  machines: { fields: machineFields, key: "machines", read: readMachines },
  units: { fields: unitFields, key: "units", read: readUnits },
  unitFiles: { fields: unitFileFields, key: "unitFiles", read: readUnitFiles },
};

/** How the other answers are read back. */
export const answers = {
  machine: readMachine,
  unitFile: readUnitFile,
  unit: readUnit,
  cluster: readCluster,
  sync: readSync,
} as const;

const isMarked = isRecord<{ readonly stale: true }>({ stale: (value) => value === true });

/** Whether a list is what one machine knows while the registry is away: what is not in it may be there all the same. */
export function isStale(answer: unknown): boolean {
  return isMarked(answer);
}

/** How text is written. */
export interface TextOptions {
  /** Whole ids and hashes instead of their beginnings. */
  readonly full: boolean;
  /** Wall clock now, for what is written as "5s ago". */
  readonly nowMs: number;
  readonly colour: boolean;
}

/** What a listing's command line asks for; checked before anybody is asked. */
export interface ListingWords {
  /** Columns, `unit,machine`; undefined: the usual ones. */
  readonly fields: string | undefined;
  /** `active,-restarts`; undefined: as the agent has it. */
  readonly sort: string | undefined;
}

export interface ListingShape {
  /** Undefined: the usual ones. */
  readonly names: readonly string[] | undefined;
  readonly keys: readonly SortKey[];
}

/** Problems "fields-empty" and "field-unknown", all of them. */
export function checkListing<Row>(table: FieldTable<Row>, { fields, sort }: ListingWords): Checked<ListingShape> {
  const names = fields === undefined ? valid(undefined) : checkFields(table, fields);
  const keys = sort === undefined ? valid([]) : checkSort(table, sort);
  if (names.ok && keys.ok) return valid({ names: names.value, keys: keys.value });
  return invalid(...[names, keys].flatMap((each) => (each.ok ? [] : each.problems)));
}

/** Rows in the order that was asked for. */
export function sortedRows<Row>(
  table: FieldTable<Row>,
  given: Pick<TextOptions, "nowMs"> & { readonly rows: readonly Row[]; readonly shape: ListingShape },
): readonly Row[] {
  return sortRows(table, { ...given, keys: given.shape.keys, full: true });
}

/** The columns of `rows` as text, fleet's way. */
export function listingText<Row>(
  table: FieldTable<Row>,
  given: TextOptions & {
    readonly shape: ListingShape;
    readonly rows: readonly Row[];
    readonly legend: boolean;
  },
): string {
  const names = given.shape.names ?? usualFields(table, given.rows);
  return formatTable(tabulate(table, { ...given, names }), given);
}

/** `a,b` as names of columns. The messages are fleet's. */
function checkFields<Row>(fields: FieldTable<Row>, text: string): Checked<readonly string[]> {
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const known = Object.keys(fields.all);
  const all = `Fields are ${known.join(", ")}`;
  if (names.length === 0) return invalid(new Problem("fields-empty", "Must define output format", { hint: all }));
  const unknown = names.filter((name) => !Object.hasOwn(fields.all, name));
  if (unknown.length === 0) return valid(names);
  return invalid(
    ...unknown.map((name) => {
      const near = suggest(name, known);
      return new Problem("field-unknown", `Invalid key in output format: "${name.slice(0, 64)}"`, {
        hint: near === undefined ? all : `Did you mean ${near}? ${all}`,
      });
    }),
  );
}

/** What `status UNIT` says. */
export function unitText(unit: UnitDetail, options: TextOptions): string {
  return joined(unitLines(unit, options));
}

/** What `status` says. */
export function clusterText(cluster: ClusterReport, options: TextOptions): string {
  return joined(clusterLines(cluster, options));
}

/** The author's own text, byte for byte; drop-ins follow, each under its path, as systemctl(1) cat shows them. */
export function unitFileText(unit: UnitFileText): string {
  const parts = unit.dropIns.map((dropIn) => `\n# ${visible(dropIn.file)}\n${dropIn.text}`);
  return unit.text + parts.join("");
}

/** One problem on one line, and its hint on another: for stderr. */
export function problemText(problem: ProblemRecord): string {
  const { hint, ...said } = problem;
  return joined([describeProblem(said), ...(hint === undefined ? [] : [`hint: ${hint}`])].map(visible));
}

/** Any text, so that a terminal shows it and does not obey it. */
export function terminalText(text: string): string {
  return visibleLines(text);
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function unitsGiven(picture: ClusterPicture, machine: MachineId): number {
  return picture.manifests.get(machine)?.units.filter((entry) => entry.target !== "released").length ?? 0;
}

/** Where each unit is meant to be; of a global unit one of its places. */
function placedUnits(picture: ClusterPicture): ReadonlyMap<string, Place> {
  // The last of a name wins in a map; the first shall
  return new Map(
    allPlaces(picture)
      .filter(isWanted)
      .reverse()
      .map((place) => [place.unit, place]),
  );
}

function describeFile(
  unit: Unit,
  where: { readonly picture: ClusterPicture; readonly place: Place | undefined },
): UnitFileReport {
  const template = where.picture.desired?.templates.has(unit.name) ?? false;
  const { global } = unit.options;
  const place = global || template ? undefined : where.place;
  const hold = describeHold(unit.name, where.picture);
  const submitted = where.picture.desired?.submitted.get(unit.name);
  return {
    name: unit.name,
    source: unit.source,
    ...(submitted === undefined ? {} : { by: submitted.by, atMs: submitted.atMs }),
    hash: unit.hash,
    desired: unit.target,
    ...(hold === undefined ? {} : { hold }),
    ...(global ? {} : { state: place === undefined ? "inactive" : currentState(place) }),
    global,
    template,
    ...(place === undefined ? {} : { machine: referTo(place.machine, where.picture.machines) }),
    ...(unit.description === undefined ? {} : { description: unit.description }),
    file: unit.file,
  };
}

/** Of a machine that is gone: by the name that it had, where that is remembered. */
function referByName(id: MachineId, { machines, events }: ClusterPicture): MachineReference {
  const machine = referTo(id, machines);
  return machine.alive ? machine : { ...machine, hostname: nameOfGone(events, id) };
}

function cordonedMachines(picture: ClusterPicture): NonNullable<ClusterReport["machines"]["cordoned"]> {
  return [...picture.settings.keys()].sort(byName).flatMap((id) => {
    const { cordoned, drain } = describeMaintenance(picture, id);
    if (cordoned === undefined) return [];
    return [{ machine: referByName(id, picture), ...(drain === undefined ? {} : { drain }) }];
  });
}

function restingMachines(picture: ClusterPicture): NonNullable<ClusterReport["machines"]["resting"]> {
  return [...picture.settings.keys()].sort(byName).flatMap((id) => {
    const { cordoned, rests } = describeMaintenance(picture, id);
    return cordoned === true || rests === undefined ? [] : [{ machine: referByName(id, picture), rests }];
  });
}

function countFiles({ units }: WantedState): { readonly files: number; readonly submitted: number } {
  const submitted = [...units.values()].filter(({ source }) => source === "submitted").length;
  return { files: units.size, submitted };
}

function describeCommit(adopted: NonNullable<Revision["adopted"]>): CommitReport {
  const { commit, ref, atMs, subject, author } = adopted;
  return { commit, ref, atMs, subject, author };
}

function findUnit(picture: ClusterPicture, name: string): Unit | undefined {
  // Names come from outside; a name that is none is in neither map
  const key = name as Unit["name"];
  return picture.desired?.units.get(key) ?? picture.desired?.templates.get(key);
}

function notFound(picture: ClusterPicture, name: string): Problem {
  if (picture.desired === undefined) return commitMissing(picture.revision);
  const near = similarUnit(picture, name.slice(0, maxUnitNameBytes));
  return new Problem("unit-unknown", `Cannot find unit "${name.slice(0, maxUnitNameBytes)}"`, {
    hint: near === undefined ? "flotilla list-unit-files shows every unit" : `Did you mean ${near}?`,
  });
}

/** A unit of the same type whose name differs by a slip; the type itself is no likeness. */
function similarUnit({ desired }: ClusterPicture, name: string): string | undefined {
  const dot = name.lastIndexOf(".");
  const type = name.slice(dot);
  const stems = [...(desired?.units.keys() ?? []), ...(desired?.templates.keys() ?? [])].flatMap((each) =>
    each.endsWith(type) ? [each.slice(0, -type.length)] : [],
  );
  const near = dot < 0 ? undefined : suggest(name.slice(0, dot), stems);
  return near === undefined ? undefined : near + type;
}

/** Why nothing can be said of the units. */
export function commitMissing({ adopted }: Revision): Problem {
  return adopted === undefined
    ? new Problem("commit-missing", "Cannot read the units: this agent does not know the adopted commit", {
        hint: "flotilla status says what keeps it from knowing",
      })
    : new Problem("commit-missing", `Cannot read the units of commit ${adopted.commit}`, {
        hint: "This agent has not fetched it yet; flotilla status says what keeps it from doing so",
      });
}

function waitingUnits(picture: ClusterPicture): readonly string[] {
  const names = picture.decisions.filter((decision) => decision.kind === "wait").map((decision) => decision.unit);
  return [...new Set<string>(names)].sort(byName);
}

function refusalsOf(picture: ClusterPicture, name: string): readonly Refusal[] {
  return picture.decisions.flatMap((decision) =>
    decision.kind === "wait" && decision.unit === name ? decision.refusals : [],
  );
}

function countByState(units: readonly UnitReport[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const unit of units) {
    const state = unit.knowledge === "reported" ? (unit.active ?? "unknown") : unit.knowledge;
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort(([a], [b]) => byName(a, b)));
}
