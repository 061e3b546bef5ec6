// What operators say of machines, metadata and maintenance: from what was asked for to what is written into the registry.
// Given to hands.ts, which writes it in one transaction with its events.
import { type Drain, type MachineSettings, maxDrainMs, maxMetadataChanges, minDrainMs } from "../domain/machine.ts";
import { type MachineId, byName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { EventKind, Person } from "../domain/submitted.ts";
import type { MaintenanceRequest, MaintenanceResult, MetadataChange } from "../ports/hands.ts";
import type { Guard, Registry, Write } from "../ports/registry.ts";
import { formatSpan } from "../text/time.ts";
import { encodeMachineSettings, keys, parseMachine, parseMachineSettings } from "../text/values.ts";

export interface SettingsStep {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
  /** One line for each machine that changes. */
  readonly said: readonly { readonly machine: MachineId; readonly message: string }[];
}

/** What one request for maintenance comes to; nothing is written when `event` is undefined: it is so already. */
export interface MaintenanceStep {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
  readonly event: { readonly kind: EventKind; readonly machine: MachineId; readonly message: string } | undefined;
  readonly result: MaintenanceResult;
}

interface Given {
  readonly registry: Pick<Registry, "get">;
  readonly by: Person;
  readonly atMs: number;
  /** What a machine that is gone was called; undefined or "" where nobody knows. */
  readonly nameOfGone: (machine: MachineId) => Promise<string | undefined>;
  readonly signal?: AbortSignal | undefined;
}

/** Machines in one transaction: each costs a guard, a write and an event. */
const maxMachines = 33;
const maxValueChars = 256;
/** Keys that an event spells out. */
const maxShownKeys = 8;

/**
 * What the changes come to now, nothing when it is so already. Rejects with "metadata-change", with every Problem of
 * settings that cannot be read, and as the registry does.
 */
export async function changeSettings(changes: readonly MetadataChange[], given: Given): Promise<SettingsStep> {
  for (const change of changes) mustBeTakeable(change);
  const machines = [...new Set(changes.map(({ machine }) => machine))].sort(byName);
  if (machines.length > maxMachines) {
    throw new Problem("metadata-change", `Cannot change the metadata of ${machines.length} machines at once`, {
      hint: `At most ${maxMachines} are changed in one step`,
    });
  }
  const guards: Guard[] = [];
  const writes: Write[] = [];
  const said: SettingsStep["said"][number][] = [];
  for (const machine of machines) {
    const key = keys.settingsOf(machine);
    const own = changes.filter((change) => change.machine === machine);
    const before = await readSettings(machine, given);
    const metadata = laidOver(before.settings.metadata, { changes: own, published: before.published });
    if (same(metadata, before.settings.metadata)) continue;
    if (Object.keys(metadata).length > maxMetadataChanges) {
      throw new Problem("metadata-change", `Cannot change so many metadata keys of machine "${machine}"`, {
        hint: `At most ${maxMetadataChanges} are changed here; set the others in its own settings, [Machine] Metadata=`,
      });
    }
    guards.push({ kind: "modified", key, revision: before.revision });
    writes.push(writeSettings({ ...before.settings, metadata, by: given.by, atMs: given.atMs }));
    const shown = await nameOf(machine, before, given);
    said.push({ machine, message: `${given.by} changed the metadata of ${shown}: ${inWords(own)}` });
  }
  return { guards, writes, said };
}

/**
 * What a cordon, its end or a drain comes to now. `newId`: unlike every other drain's. Rejects with "machine-unknown",
 * "drain-time", with every Problem of settings that cannot be read, and as the registry does.
 */
export async function maintain(
  { machine, change, withinMs }: MaintenanceRequest,
  given: Given & { readonly newId: () => string },
): Promise<MaintenanceStep> {
  if (withinMs !== undefined && !(withinMs >= minDrainMs && withinMs <= maxDrainMs)) {
    throw new Problem("drain-time", `Cannot drain a machine within ${withinMs} ms`, {
      hint: `It takes from ${minDrainMs / 1000} s to ${maxDrainMs / 86_400_000} days, or as long as it takes`,
    });
  }
  const found = await readSettings(machine, given);
  const { settings: before, revision, isThere } = found;
  const { cordoned, drain: known, rests, ...others } = before;
  const moving = known?.state === "moving" ? known : undefined;
  const { by, atMs } = given;
  const step = (settings: MachineSettings, { kind, says, result }: Saying): MaintenanceStep => ({
    guards: [{ kind: "modified", key: keys.settingsOf(machine), revision }],
    writes: [writeSettings({ ...settings, by, atMs })],
    event: { kind, machine, message: `${by} ${says}` },
    result,
  });
  const shown = await nameOf(machine, found, given);
  switch (change) {
    case "cordon": {
      if (cordoned === true) return unchanged(moving);
      const says = `cordoned ${shown}`;
      const result = { outcome: "cordoned" as const };
      return step({ ...before, cordoned: true }, { kind: "machine-cordoned", says, result });
    }
    case "uncordon": {
      if (cordoned === undefined && known === undefined && rests === undefined) return unchanged(undefined);
      const ends = [...(moving === undefined ? [] : ["drain"]), ...(rests === undefined ? [] : ["rest"])];
      const says = `uncordoned ${shown}${ends.length === 0 ? "" : `, which ends its ${ends.join(" and its ")}`}`;
      const result = { outcome: "uncordoned" as const, ...(moving === undefined ? {} : { drain: moving }) };
      return step(others, { kind: "machine-uncordoned", says, result });
    }
    case "drain": {
      if (moving !== undefined && withinMs === undefined) return unchanged(moving);
      if (!isThere) {
        throw new Problem("machine-unknown", `Cannot drain machine "${machine}": it is not there`, {
          hint: "Units of a machine that went away are placed elsewhere by themselves",
        });
      }
      const deadline = withinMs === undefined ? {} : { deadlineMs: atMs + withinMs };
      const drain: Drain = { id: given.newId(), by, sinceMs: atMs, ...deadline, state: "moving" };
      const says = `drains ${shown}${withinMs === undefined ? "" : `, for ${formatSpan(withinMs)} at most`}`;
      const result = { outcome: "draining" as const, drain };
      return step({ ...before, cordoned: true, drain }, { kind: "drain-started", says, result });
    }
  }
}

interface Saying {
  readonly kind: EventKind;
  /** Behind the name of whoever asked. */
  readonly says: string;
  readonly result: MaintenanceResult;
}

function unchanged(drain: Drain | undefined): MaintenanceStep {
  const result: MaintenanceResult = { outcome: "unchanged", ...(drain === undefined ? {} : { drain }) };
  return { guards: [], writes: [], event: undefined, result };
}

/** Keys that say nothing of the machine by themselves. */
const aboutTheWord: ReadonlySet<string> = new Set(["machine", "by", "atMs"]);

/** The registry's key goes only when nothing is said any more, not even by a newer version. */
export function writeSettings(settings: MachineSettings): Write {
  const key = keys.settingsOf(settings.machine);
  const { metadata, ...more } = settings;
  const isEmpty = Object.keys(metadata).length === 0 && Object.keys(more).every((each) => aboutTheWord.has(each));
  return isEmpty ? { kind: "delete", key } : { kind: "put", key, value: encodeMachineSettings(settings) };
}

function mustBeTakeable({ machine, key, value }: MetadataChange): void {
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(key)) {
    throw new Problem("metadata-change", `Cannot take the metadata key "${key.slice(0, 64)}" of machine "${machine}"`, {
      hint: "1 to 128 letters, digits and _.- are allowed",
    });
  }
  if (value !== undefined && (value === "" || value.length > maxValueChars || /[\u0000-\u001f\u007f]/.test(value))) {
    throw new Problem("metadata-change", `Cannot take this value of metadata key "${key}" of machine "${machine}"`, {
      hint: `1 to ${maxValueChars} characters on one line are allowed`,
    });
  }
}

interface Before {
  readonly revision: number;
  /** Nothing said: without metadata. */
  readonly settings: MachineSettings;
  readonly isThere: boolean;
  /** "" as long as `published` is undefined. */
  readonly hostname: string;
  /** What the machine says itself; undefined while it is not there, or cannot be read. */
  readonly published: Readonly<Record<string, string>> | undefined;
}

async function readSettings(machine: MachineId, { registry, by, atMs, signal }: Given): Promise<Before> {
  const key = keys.settingsOf(machine);
  const { entry } = await registry.get(key, signal);
  const read = entry === undefined ? undefined : parseMachineSettings(key, entry.value);
  if (read?.ok === false) throw new AggregateError(read.problems);
  const announced = (await registry.get(keys.machine(machine), signal)).entry;
  const parsed = announced === undefined ? undefined : parseMachine(announced.key, announced.value);
  return {
    revision: entry?.modRevision ?? 0,
    settings: read?.value ?? { machine, metadata: {}, by, atMs },
    isThere: announced !== undefined,
    hostname: parsed?.ok === true ? parsed.value.hostname : "",
    published: parsed?.ok === true ? parsed.value.metadata : undefined,
  };
}

/** As the leader names it in its events. */
async function nameOf(machine: MachineId, { hostname, isThere }: Before, { nameOfGone }: Given): Promise<string> {
  const known = isThere ? hostname : ((await nameOfGone(machine)) ?? "");
  return known === "" ? machine.slice(0, 8) : known;
}

/** A key that is taken away is remembered as such only where the machine has it itself, or may have it when it comes. */
function laidOver(
  before: MachineSettings["metadata"],
  { changes, published }: { readonly changes: readonly MetadataChange[] } & Pick<Before, "published">,
): MachineSettings["metadata"] {
  const metadata = new Map(Object.entries(before));
  for (const { key, value } of changes) {
    if (value !== undefined) metadata.set(key, value);
    else if (published === undefined || Object.hasOwn(published, key)) metadata.set(key, null);
    else metadata.delete(key);
  }
  return Object.fromEntries(metadata);
}

function same(a: MachineSettings["metadata"], b: MachineSettings["metadata"]): boolean {
  const [keysOfA, keysOfB] = [Object.keys(a), Object.keys(b)];
  return keysOfA.length === keysOfB.length && keysOfA.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}

function inWords(changes: readonly MetadataChange[]): string {
  const last = new Map(changes.map(({ key, value }) => [key, value]));
  const words = [...last].map(([key, value]) => (value === undefined ? `no ${key}` : `${key}=${value.slice(0, 40)}`));
  return words.length > maxShownKeys
    ? `${words.slice(0, maxShownKeys).join(", ")} and ${words.length - maxShownKeys} more`
    : words.join(", ");
}
