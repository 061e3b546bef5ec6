// The registry's entries as typed values, for the engine and the view. A value is read once for each revision of it; one
// that cannot be read is a problem with a name and keeps the place of what it hides: unknown is not absent.
import { type Leader, type Machine, type MachineSettings, effectiveMetadata } from "../domain/machine.ts";
import type { CommitId, MachineId, UnitName } from "../domain/names.ts";
import { type Manifest, type ManifestEntry, type Revision, comparePositions } from "../domain/placement.ts";
import type { Checked, Problem } from "../domain/problem.ts";
import type { MachineStatus } from "../domain/status.ts";
import type { ClusterEvent, Hold, RestartRequest, SubmittedUnit } from "../domain/submitted.ts";
import type { Entry } from "../ports/registry.ts";
import {
  keys,
  machineOfKey,
  machineOfSettings,
  parseEvent,
  parseHold,
  parseLeader,
  parseMachine,
  parseMachineSettings,
  parseManifest,
  parseRestart,
  parseRevision,
  parseStatus,
  parseSubmittedUnit,
  unitOfKey,
} from "../text/values.ts";
import { isSame } from "./mirror.ts";

/** Maps are in key order. */
export interface RegistryPicture {
  readonly leader: (Leader & { readonly epoch: number }) | undefined;
  readonly revision: Revision;
  /** False while the adopted commit is there and cannot be read: then it is not known whether there is one. */
  readonly isRevisionKnown: boolean;
  /** With what operators changed of their metadata. */
  readonly machines: ReadonlyMap<MachineId, Machine>;
  /** What operators say of machines; also of those that are not there. */
  readonly settings: ReadonlyMap<MachineId, MachineSettings>;
  /** Of a machine that is `ahead`: what it says that it has, in place of what the registry says that it was told. */
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly statuses: ReadonlyMap<MachineId, MachineStatus>;
  /** Machines that have seen a newer manifest than the registry has: it was put back to an earlier state. */
  readonly ahead: ReadonlySet<MachineId>;
  readonly submitted: ReadonlyMap<UnitName, SubmittedUnit>;
  readonly holds: ReadonlyMap<UnitName, Hold>;
  readonly restarts: ReadonlyMap<UnitName, RestartRequest>;
  /** In the order in which they were told, whatever the clocks of those who told them said. */
  readonly events: readonly ClusterEvent[];
  /** Units of which a submission or a hold is there but cannot be read. */
  readonly unreadableUnits: ReadonlySet<UnitName>;
  /** Machines of which some value is there but cannot be read: nothing may be decided about them. */
  readonly unreadable: ReadonlySet<MachineId>;
  /** Living machines whose metadata is not known, because what was changed of it cannot be read. */
  readonly unsettled: ReadonlySet<MachineId>;
  readonly problems: readonly Problem[];
  /** Of every key the mod revision of the value that this picture shows: whoever acts on it guards with that one. */
  readonly modified: ReadonlyMap<string, number>;
}

/** A picture whose owner may bring it up to date. */
interface Mutable extends RegistryPicture {
  readonly machines: Map<MachineId, Machine>;
  readonly manifests: Map<MachineId, Manifest>;
  readonly statuses: Map<MachineId, MachineStatus>;
  readonly ahead: Set<MachineId>;
  readonly modified: Map<string, number>;
}

interface Read {
  readonly of: Entry;
  readonly value: Checked<unknown>;
}

/** Reads pictures one after another, remembering values between them. */
export class PictureReader {
  #known = new Map<string, Read>();
  readonly #laidOver = new WeakMap<Machine, { readonly settings: MachineSettings; readonly machine: Machine }>();
  readonly #told = new Map<MachineId, Manifest>();
  readonly #held = new WeakMap<MachineStatus, Manifest>();
  #last: Mutable | undefined;

  /**
   * `changed`: the keys that may differ since the last call; all may when it is left out. The maps of a picture may be
   * brought up to date by the next call that names them: whoever does so keeps no picture.
   */
  read(entries: ReadonlyMap<string, Entry>, changed?: ReadonlySet<string>): RegistryPicture {
    if (changed === undefined || this.#last === undefined || !this.#patch(this.#last, { entries, changed })) {
      this.#last = this.#readAll(entries);
    }
    return this.#last;
  }

  /** Brings what machines say of themselves and are told up to date. False, and nothing done, when anything else has changed. */
  #patch(
    picture: Mutable,
    { entries, changed }: { readonly entries: ReadonlyMap<string, Entry>; readonly changed: ReadonlySet<string> },
  ): boolean {
    const patches: (() => void)[] = [];
    for (const key of changed) {
      const entry = entries.get(key);
      const before = this.#known.get(key);
      const machine = machineOfKey(key);
      if (entry === undefined || before?.value.ok !== true || machine === undefined) return false;
      if (isSame(before.of, entry)) continue;
      const read = this.#parseOfMachine(machine, entry);
      if (!read.value.ok) return false;
      patches.push(() => {
        this.#known.set(key, { of: entry, value: read.value });
        picture.modified.set(key, entry.modRevision);
        read.enter(picture);
      });
    }
    for (const patch of patches) patch();
    return true;
  }

  #readAll(entries: ReadonlyMap<string, Entry>): Mutable {
    const known = new Map<string, Read>();
    const problems: Problem[] = [];
    const unreadable = new Set<MachineId>();
    const machines = new Map<MachineId, Machine>();
    const settings = new Map<MachineId, MachineSettings>();
    const unsettled = new Set<MachineId>();
    const manifests = new Map<MachineId, Manifest>();
    const statuses = new Map<MachineId, MachineStatus>();
    const submitted = new Map<UnitName, SubmittedUnit>();
    const holds = new Map<UnitName, Hold>();
    const restarts = new Map<UnitName, RestartRequest>();
    const events: { readonly event: ClusterEvent; readonly revision: number }[] = [];
    const unreadableUnits = new Set<UnitName>();

    const value = <T>(entry: Entry, parse: (key: string, text: string) => Checked<T>): T | undefined => {
      const before = this.#known.get(entry.key);
      // A value's parser follows from its key, so what was kept under the key has the type that is asked for.
      const isKnown = before !== undefined && isSame(before.of, entry);
      const read = isKnown ? (before.value as Checked<T>) : parse(entry.key, entry.value);
      known.set(entry.key, { of: entry, value: read });
      if (read.ok) return read.value;
      problems.push(...read.problems);
      const machine = machineOfKey(entry.key);
      if (machine !== undefined) unreadable.add(machine);
      const unit = unitOfKey(entry.key);
      // A restart that cannot be read is one that nobody is told of: nothing is taken from the unit
      if (unit !== undefined && !entry.key.startsWith(keys.restarts)) unreadableUnits.add(unit);
      return undefined;
    };

    const leaderEntry = entries.get(keys.leader);
    const leader = leaderEntry === undefined ? undefined : value(leaderEntry, parseLeader);
    const revisionEntry = entries.get(keys.revision);
    const revision = revisionEntry === undefined ? {} : value(revisionEntry, parseRevision);

    for (const key of [...entries.keys()].sort()) {
      const entry = entries.get(key);
      if (entry === undefined) continue;
      if (key.startsWith(keys.events)) {
        const event = value(entry, parseEvent);
        if (event !== undefined) events.push({ event, revision: entry.createRevision });
        continue;
      }
      const unit = unitOfKey(key);
      if (unit !== undefined) {
        if (key === keys.unit(unit)) set(submitted, unit, value(entry, parseSubmittedUnit));
        else if (key === keys.hold(unit)) set(holds, unit, value(entry, parseHold));
        else if (key === keys.restart(unit)) set(restarts, unit, value(entry, parseRestart));
        continue;
      }
      const changed = machineOfSettings(key);
      if (changed !== undefined) {
        const read = value(entry, parseMachineSettings);
        if (read === undefined) unsettled.add(changed);
        else settings.set(changed, read);
        continue;
      }
      const machine = machineOfKey(key);
      if (machine === undefined) continue;
      if (key === keys.machine(machine)) set(machines, machine, value(entry, parseMachine));
      else if (key === keys.status(machine)) set(statuses, machine, value(entry, parseStatus));
      else if (key === keys.manifest(machine)) set(manifests, machine, value(entry, parseManifest));
    }
    for (const [id, each] of settings) {
      const machine = machines.get(id);
      if (machine !== undefined) machines.set(id, this.#layOver(machine, each));
    }
    this.#known = known;
    this.#told.clear();
    for (const [id, manifest] of manifests) this.#told.set(id, manifest);
    const picture: Mutable = {
      leader:
        leader === undefined || leaderEntry === undefined
          ? undefined
          : { ...leader, epoch: leaderEntry.createRevision },
      revision: revision ?? {},
      isRevisionKnown: revision !== undefined,
      machines,
      settings,
      manifests,
      statuses,
      ahead: new Set(),
      submitted,
      holds,
      restarts,
      events: events.sort((a, b) => a.revision - b.revision).map(({ event }) => event),
      unreadableUnits,
      unreadable,
      unsettled,
      problems,
      modified: new Map([...entries.values()].map(({ key, modRevision }) => [key, modRevision])),
    };
    for (const id of statuses.keys()) this.#settleManifest(picture, id);
    return picture;
  }

  /** Whichever is newer: what the machine was told, or what it says that it has. */
  #settleManifest(picture: Mutable, id: MachineId): void {
    const told = this.#told.get(id);
    const status = picture.statuses.get(id);
    picture.ahead.delete(id);
    if (status !== undefined && (told === undefined || comparePositions(status.seen, told) > 0)) {
      picture.ahead.add(id);
      const held = this.#held.get(status) ?? heldManifest(status, { told, picture });
      this.#held.set(status, held);
      picture.manifests.set(id, held);
    } else if (told === undefined) picture.manifests.delete(id);
    else picture.manifests.set(id, told);
  }

  /** The value of a key under machines/, manifests/ or statuses/, and how it enters a picture. */
  #parseOfMachine(
    machine: MachineId,
    { key, value }: Entry,
  ): { readonly value: Checked<unknown>; readonly enter: (picture: Mutable) => void } {
    if (key === keys.manifest(machine)) {
      const read = parseManifest(key, value);
      return {
        value: read,
        enter: (picture) => {
          if (!read.ok) return;
          this.#told.set(machine, read.value);
          this.#settleManifest(picture, machine);
        },
      };
    }
    if (key === keys.status(machine)) {
      const read = parseStatus(key, value);
      return {
        value: read,
        enter: (picture) => {
          if (!read.ok) return;
          picture.statuses.set(machine, read.value);
          this.#settleManifest(picture, machine);
        },
      };
    }
    const read = parseMachine(key, value);
    return {
      value: read,
      enter: ({ machines, settings }) =>
        read.ok && machines.set(machine, this.#layOver(read.value, settings.get(machine))),
    };
  }

  /** Of the same two the same machine: whoever compares sees that nothing has changed. */
  #layOver(machine: Machine, settings: MachineSettings | undefined): Machine {
    if (settings === undefined) return machine;
    const known = this.#laidOver.get(machine);
    if (known?.settings === settings) return known.machine;
    const laid = { ...machine, metadata: effectiveMetadata(machine.metadata, settings.metadata) };
    this.#laidOver.set(machine, { settings, machine: laid });
    return laid;
  }
}

/** Where a text comes from is not in a status: of git's units the adopted commit stands in, of which the text may be another. */
const noCommit = "0".repeat(40) as CommitId;

/** The manifest that a machine has carried out, as far as its status tells: the registry has forgotten it. */
function heldManifest(
  { machine, seen, units }: MachineStatus,
  {
    told,
    picture,
  }: {
    readonly told: Manifest | undefined;
    readonly picture: Pick<RegistryPicture, "submitted" | "revision">;
  },
): Manifest {
  const commit = picture.revision.adopted?.commit ?? noCommit;
  return {
    machine,
    ...seen,
    units: units.map(({ name, hash, started, active }): ManifestEntry => {
      // Also of another text: whichever runs there, it is the safer guess
      const fenceMs = told?.units.find((entry) => entry.name === name)?.fenceMs;
      const entry = {
        name,
        hash,
        target: started === true || active !== "inactive" ? ("launched" as const) : ("loaded" as const),
        ...(fenceMs === undefined ? {} : { fenceMs }),
      };
      return picture.submitted.has(name) ? { ...entry, source: "submitted" } : { ...entry, source: "git", commit };
    }),
  };
}

function set<K, T>(map: Map<K, T>, key: K, value: T | undefined): void {
  if (value !== undefined) map.set(key, value);
}
