// The registry's keys and values: how machines, the leader, the adopted commit, manifests and statuses are written there
// and read back. Given to loops/. What another machine wrote is foreign: it is checked whole before it is believed.
import eventSchema from "../../schemas/event.json" with { type: "json" };
import holdSchema from "../../schemas/hold.json" with { type: "json" };
import leaderSchema from "../../schemas/leader.json" with { type: "json" };
import machineSettingsSchema from "../../schemas/machine-settings.json" with { type: "json" };
import machineSchema from "../../schemas/machine.json" with { type: "json" };
import manifestSchema from "../../schemas/manifest.json" with { type: "json" };
import restartSchema from "../../schemas/restart.json" with { type: "json" };
import revisionSchema from "../../schemas/revision.json" with { type: "json" };
import submittedUnitSchema from "../../schemas/submitted-unit.json" with { type: "json" };
import syncRequestSchema from "../../schemas/sync-request.json" with { type: "json" };
import syncResultSchema from "../../schemas/sync-result.json" with { type: "json" };
import statusSchema from "../../schemas/status.json" with { type: "json" };
import type { Leader, Machine, MachineSettings } from "../domain/machine.ts";
import { type MachineId, type UnitName, byName, parseMachineId, parseUnitName } from "../domain/names.ts";
import type { Manifest, Revision } from "../domain/placement.ts";
import { type Checked, Problem, type ProblemRecord, invalid, valid } from "../domain/problem.ts";
import type { MachineStatus } from "../domain/status.ts";
import type { ClusterEvent, Hold, RestartRequest, SubmittedUnit } from "../domain/submitted.ts";
import type { SyncRequest, SyncResult } from "../domain/sync.ts";
import { canBeWritten, canonicalJson } from "./canonical-json.ts";
import { compileSchema } from "./schema.ts";

/** Keys relative to the cluster's prefix (design: three keys a machine). Those that end in "/" are prefixes. */
export const keys = {
  leader: "leader",
  revision: "revision",
  syncRequest: "sync-request",
  syncResult: "sync-result",
  restored: "restored",
  machines: "machines/",
  manifests: "manifests/",
  statuses: "statuses/",
  units: "units/",
  holds: "holds/",
  restarts: "restarts/",
  events: "events/",
  machineSettings: "machine-settings/",
  machine: (id: MachineId): string => `machines/${id}`,
  settingsOf: (id: MachineId): string => `machine-settings/${id}`,
  manifest: (id: MachineId): string => `manifests/${id}`,
  status: (id: MachineId): string => `statuses/${id}`,
  unit: (name: UnitName): string => `units/${name}`,
  hold: (name: UnitName): string => `holds/${name}`,
  restart: (name: UnitName): string => `restarts/${name}`,
  /** In order of time; `nonce` tells apart what happened in one millisecond. */
  event: (atMs: number, nonce: string): string => `events/${String(Math.trunc(atMs)).padStart(13, "0")}-${nonce}`,
} as const;

/** The unit that a key under units/, holds/ or restarts/ is about; undefined for every other key. */
export function unitOfKey(key: string): UnitName | undefined {
  const match = /^(?:units|holds|restarts)\/(.+)$/.exec(key);
  const name = match?.[1] === undefined ? undefined : parseUnitName(match[1]);
  return name?.ok === true ? name.value : undefined;
}

/** The machine whose settings a key under machine-settings/ holds; undefined for every other key. */
export function machineOfSettings(key: string): MachineId | undefined {
  const id = key.startsWith(keys.machineSettings) ? parseMachineId(key.slice(keys.machineSettings.length)) : undefined;
  return id?.ok === true ? id.value : undefined;
}

/** The machine that a key under machines/, manifests/ or statuses/ belongs to; undefined for every other key. */
export function machineOfKey(key: string): MachineId | undefined {
  const match = /^(?:machines|manifests|statuses)\/([0-9a-f]{32})$/.exec(key);
  const id = match?.[1] === undefined ? undefined : parseMachineId(match[1]);
  return id?.ok === true ? id.value : undefined;
}

export const encodeLeader = (leader: Leader): string => canonicalJson(leader);
export const encodeMachine = (machine: Machine): string => canonicalJson(machine);
/** Why a drain stopped is cut off where it says more than may stand there. */
export const encodeMachineSettings = (settings: MachineSettings): string => {
  const { drain } = settings;
  if (drain?.because === undefined) return canonicalJson(settings);
  return canonicalJson({ ...settings, drain: { ...drain, because: cutOff(drain.because) } });
};
export const encodeManifest = (manifest: Manifest): string => canonicalJson(manifest);
export const encodeRevision = (revision: Revision): string => canonicalJson(revision);
export const encodeStatus = (status: MachineStatus): string => canonicalJson(status);
export const encodeSubmittedUnit = (unit: SubmittedUnit): string => canonicalJson(unit);
export const encodeHold = (hold: Hold): string => canonicalJson(hold);
export const encodeRestart = (request: RestartRequest): string => canonicalJson(request);
/** A message that says more than an event may hold is cut off: an event that nobody can read would tell nothing. */
export const encodeEvent = (event: ClusterEvent): string => canonicalJson({ ...event, message: cutOff(event.message) });

export const encodeSyncRequest = (request: SyncRequest): string => canonicalJson(request);
export const encodeSyncResult = (result: SyncResult & { readonly id: string }): string => canonicalJson(result);

/** That etcd was restored, as the machine found that says so. Nobody reads more of it than that it is there. */
export const encodeRestored = (mark: {
  readonly machine: MachineId;
  readonly hostname: string;
  readonly atMs: number;
}): string => canonicalJson(mark);

/** As the schemas of events and of machines' settings have it. */
const maxMessageChars = 1_024;

function cutOff(text: string): string {
  return text.slice(0, maxMessageChars).replace(/[\ud800-\udbff]$/, "");
}

const maxKeptProblems = 200;
/** In JSON, as UTF-8: with what is written beside them well below the 1.5 MiB that etcd takes in a request. */
const maxKeptProblemBytes = 768 * 1024;

/** Problems of one commit that are kept in the registry: the first ones, the rest are counted in the log. */
export function keptProblems(problems: readonly ProblemRecord[]): readonly ProblemRecord[] {
  const utf8 = new TextEncoder();
  let bytes = 0;
  const end = problems.findIndex((problem, index) => {
    bytes += utf8.encode(canonicalJson(problem)).length + 1;
    return index >= maxKeptProblems || bytes > maxKeptProblemBytes;
  });
  return end < 0 ? problems : problems.slice(0, end);
}

const leaderShape = compileSchema<Leader>(leaderSchema);
const machineShape = compileSchema<Machine>(machineSchema);
const machineSettingsShape = compileSchema<MachineSettings>(machineSettingsSchema);
const manifestShape = compileSchema<Manifest>(manifestSchema);
const revisionShape = compileSchema<Revision>(revisionSchema);
const statusShape = compileSchema<MachineStatus>(statusSchema);
const submittedUnitShape = compileSchema<SubmittedUnit>(submittedUnitSchema);
const holdShape = compileSchema<Hold>(holdSchema);
const restartShape = compileSchema<RestartRequest>(restartSchema);
const eventShape = compileSchema<ClusterEvent>(eventSchema);
const syncRequestShape = compileSchema<SyncRequest>(syncRequestSchema);
const syncResultShape = compileSchema<SyncResult & { readonly id: string }>(syncResultSchema);

/*
 * The parsers take the key (or the file's name) that the text was found under. Problems have code "registry-value", name
 * that key, and are all that is wrong with the value, at most 50. Keys that this version does not know are kept, not read.
 */

export function parseLeader(key: string, text: string): Checked<Leader> {
  return read(key, text, leaderShape, () => []);
}

export function parseMachine(key: string, text: string): Checked<Machine> {
  return read(key, text, machineShape, (machine) => strangers(key, machine.id));
}

/** Also refuses settings under another machine's key. */
export function parseMachineSettings(key: string, text: string): Checked<MachineSettings> {
  return read(key, text, machineSettingsShape, ({ machine }) =>
    machineOfSettings(key) === machine
      ? []
      : [new Problem("shape", `Cannot take machine "${machine}" here`, { hint: "The key belongs to another" })],
  );
}

/** Also refuses a manifest that is another machine's, and units that are not in name order, each once. */
export function parseManifest(key: string, text: string): Checked<Manifest> {
  return read(key, text, manifestShape, (manifest) => [
    ...strangers(key, manifest.machine),
    ...misnamed(manifest.units),
  ]);
}

export function parseRevision(key: string, text: string): Checked<Revision> {
  return read(key, text, revisionShape, () => []);
}

export function parseSyncRequest(key: string, text: string): Checked<SyncRequest> {
  return read(key, text, syncRequestShape, () => []);
}

export function parseSyncResult(key: string, text: string): Checked<SyncResult & { readonly id: string }> {
  return read(key, text, syncResultShape, () => []);
}

/** Also refuses a status that is another machine's, and units that are not in name order, each once. */
export function parseStatus(key: string, text: string): Checked<MachineStatus> {
  return read(key, text, statusShape, (status) => [...strangers(key, status.machine), ...misnamed(status.units)]);
}

/** Also refuses a unit under another's key. */
export function parseSubmittedUnit(key: string, text: string): Checked<SubmittedUnit> {
  return read(key, text, submittedUnitShape, ({ name }) => otherUnits(key, name));
}

/** Also refuses a hold under another unit's key. */
export function parseHold(key: string, text: string): Checked<Hold> {
  return read(key, text, holdShape, ({ unit }) => otherUnits(key, unit));
}

/** Also refuses a request under another unit's key. */
export function parseRestart(key: string, text: string): Checked<RestartRequest> {
  return read(key, text, restartShape, ({ unit }) => otherUnits(key, unit));
}

export function parseEvent(key: string, text: string): Checked<ClusterEvent> {
  return read(key, text, eventShape, () => []);
}

function read<T>(
  key: string,
  text: string,
  shape: (value: unknown) => Checked<T>,
  faults: (value: T) => readonly Problem[],
): Checked<T> {
  const parsed = json(text);
  const shaped = parsed.ok ? shape(parsed.value) : parsed;
  const problems = shaped.ok ? faults(shaped.value) : shaped.problems;
  if (shaped.ok && problems.length === 0) return valid(shaped.value);
  return invalid(...problems.map((problem) => named(key, problem)));
}

function json(text: string): Checked<unknown> {
  try {
    const value: unknown = JSON.parse(text);
    // Whoever changes a value writes the rest of it as it was, also what only a newer version knows
    if (canBeWritten(value)) return valid(value);
    return invalid(
      new Problem("shape", `Cannot use JSON of ${text.length} characters`, {
        hint: "A number in it is too large, or it is nested too deep",
      }),
    );
  } catch (error) {
    // The parser's own message quotes the text, which may be anything: only that it failed is kept.
    const kind = error instanceof Error ? error.name : typeof error;
    return invalid(new Problem("shape", `Cannot read JSON of ${text.length} characters (${kind})`));
  }
}

function named(key: string, problem: Problem): Problem {
  const shownKey = JSON.stringify(key.slice(0, 128));
  return new Problem("registry-value", `Cannot read registry value ${shownKey}`, {
    hint: problem.hint,
    cause: problem,
  });
}

/** A value under one machine's key that speaks of another. */
function strangers(key: string, id: MachineId): readonly Problem[] {
  const owner = machineOfKey(key);
  if (owner === undefined || owner === id) return [];
  return [new Problem("shape", `Cannot take machine "${id}" here`, { hint: `The key belongs to "${owner}"` })];
}

/** A value under one unit's key that speaks of another. */
function otherUnits(key: string, name: UnitName): readonly Problem[] {
  const owner = unitOfKey(key);
  if (owner === name) return [];
  return [
    new Problem("shape", `Cannot take unit "${name}" here`, { hint: `The key belongs to "${owner ?? "nobody"}"` }),
  ];
}

/** Names beyond what the schema's pattern can say, and their order: a unit listed twice could be told two things. */
function misnamed(units: Manifest["units"] | MachineStatus["units"]): readonly Problem[] {
  for (const [index, unit] of units.entries()) {
    const name = parseUnitName(unit.name);
    if (!name.ok) return name.problems;
    const before = units[index - 1];
    if (before !== undefined && byName(before.name, unit.name) >= 0) {
      return [
        new Problem("shape", `Cannot take unit "${unit.name}" after "${before.name}"`, {
          hint: "Units must be in name order, each once",
        }),
      ];
    }
  }
  return [];
}
