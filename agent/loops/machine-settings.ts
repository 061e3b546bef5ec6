// What operators change of machines' metadata: from the changes that were asked for to what is written into the registry.
// Given to hands.ts, which writes it in one transaction with its events.
import { type MachineSettings, maxMetadataChanges } from "../domain/machine.ts";
import { type MachineId, byName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { Person } from "../domain/submitted.ts";
import type { MetadataChange } from "../ports/hands.ts";
import type { Guard, Registry, Write } from "../ports/registry.ts";
import { encodeMachineSettings, keys, parseMachine, parseMachineSettings } from "../text/values.ts";

export interface SettingsStep {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
  /** One line for each machine that changes. */
  readonly said: readonly { readonly machine: MachineId; readonly message: string }[];
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
export async function changeSettings(
  changes: readonly MetadataChange[],
  given: {
    readonly registry: Pick<Registry, "get">;
    readonly by: Person;
    readonly atMs: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<SettingsStep> {
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
    const metadata = laidOver(before.metadata, { changes: own, published: before.published });
    if (same(metadata, before.metadata)) continue;
    if (Object.keys(metadata).length > maxMetadataChanges) {
      throw new Problem("metadata-change", `Cannot change so many metadata keys of machine "${machine}"`, {
        hint: `At most ${maxMetadataChanges} are changed here; set the others in its own settings, [Machine] Metadata=`,
      });
    }
    const settings: MachineSettings = { machine, metadata, by: given.by, atMs: given.atMs };
    guards.push({ kind: "modified", key, revision: before.revision });
    writes.push(
      Object.keys(metadata).length === 0
        ? { kind: "delete", key }
        : { kind: "put", key, value: encodeMachineSettings(settings) },
    );
    said.push({ machine, message: `${given.by} changed the metadata of ${machine.slice(0, 8)}: ${inWords(own)}` });
  }
  return { guards, writes, said };
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
  readonly metadata: MachineSettings["metadata"];
  /** What the machine says itself; undefined while it is not there. */
  readonly published: Readonly<Record<string, string>> | undefined;
}

async function readSettings(
  machine: MachineId,
  { registry, signal }: { readonly registry: Pick<Registry, "get">; readonly signal?: AbortSignal | undefined },
): Promise<Before> {
  const key = keys.settingsOf(machine);
  const { entry } = await registry.get(key, signal);
  const read = entry === undefined ? undefined : parseMachineSettings(key, entry.value);
  if (read?.ok === false) throw new AggregateError(read.problems);
  const announced = (await registry.get(keys.machine(machine), signal)).entry;
  const parsed = announced === undefined ? undefined : parseMachine(announced.key, announced.value);
  return {
    revision: entry?.modRevision ?? 0,
    metadata: read?.value.metadata ?? {},
    published: parsed?.ok === true ? parsed.value.metadata : undefined,
  };
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
