// Tells the scheduler what is different since it was told last. Given to engine.ts. Values are compared as objects: whoever
// reads the registry reads each of them once, and what was read again has changed.
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import type { CandidateMachine, Manifest, Standing, WantedUnit } from "../domain/placement.ts";
import type { Machine, MachineSettings } from "../domain/machine.ts";
import { type MachineStatus, isUp } from "../domain/status.ts";
import type { Unit, WantedState } from "../domain/unit.ts";
import type { Scheduler } from "../schedule/schedule.ts";
import { candidate, isAnyClosed, wantedUnit } from "./cluster-state.ts";
import type { RegistryPicture } from "./picture.ts";

export interface Seen {
  readonly picture: RegistryPicture;
  readonly desired: WantedState;
  readonly standing: ReadonlyMap<MachineId, Standing>;
  /** How many units may leave each machine that is being drained. */
  readonly drains: ReadonlyMap<MachineId, number>;
  /** Units moved off machines for balance that have not arrived elsewhere, by machine. */
  readonly parting: ReadonlyMap<MachineId, readonly UnitName[]>;
}

/** What anything is new of. Of units: what machines are told of them, though their places may be the same. */
export interface Novelty {
  readonly machines: ReadonlySet<MachineId>;
  readonly units: ReadonlySet<UnitName>;
}

interface ToldMachine {
  readonly machine: Machine | undefined;
  readonly settings: MachineSettings | undefined;
  readonly standing: Standing;
  readonly drain: number;
}

export class Feed {
  readonly #scheduler: Scheduler;
  readonly #machines = new Map<MachineId, ToldMachine>();
  readonly #manifests = new Map<MachineId, Manifest>();
  readonly #statuses = new Map<MachineId, MachineStatus>();
  readonly #restarts = new Map<UnitName, string>();
  #parting: ReadonlySet<MachineId> = new Set();
  #desired: WantedState | undefined;
  #closed = false;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  tell(seen: Seen): Novelty {
    const closed = isAnyClosed(seen.picture);
    const wasClosed = this.#closed;
    this.#closed = closed;
    const novelty = { machines: new Set<MachineId>(), units: new Set<UnitName>() };
    this.#tellMachines(seen, { all: closed !== wasClosed, novel: novelty.machines });
    this.#tellManifests(seen, novelty.machines);
    this.#tellParting(seen);
    this.#tellStatuses(seen, novelty.machines);
    this.#tellUnits(seen, { all: closed !== wasClosed, novelty });
    for (const [unit, { id }] of seen.picture.restarts) {
      if (this.#restarts.get(unit) === id) continue;
      this.#restarts.set(unit, id);
      novelty.units.add(unit);
    }
    for (const unit of this.#restarts.keys()) if (!seen.picture.restarts.has(unit)) this.#restarts.delete(unit);
    return novelty;
  }

  #tellMachines(
    { picture, standing, drains }: Seen,
    { all, novel }: { readonly all: boolean; readonly novel: Set<MachineId> },
  ): void {
    const changed: CandidateMachine[] = [];
    for (const [id, each] of standing) {
      const machine = picture.machines.get(id);
      const settings = picture.settings.get(id);
      const drain = drains.get(id) ?? 0;
      const before = this.#machines.get(id);
      const isSame =
        before?.machine === machine &&
        before?.settings === settings &&
        before?.standing === each &&
        before.drain === drain;
      if (isSame && !all) continue;
      this.#machines.set(id, { machine, settings, standing: each, drain });
      novel.add(id);
      changed.push(candidate(picture, { id, standing: each, closed: this.#closed, drain }));
    }
    const removed: MachineId[] = [];
    for (const id of this.#machines.keys()) {
      if (standing.has(id)) continue;
      this.#machines.delete(id);
      novel.add(id);
      removed.push(id);
    }
    if (changed.length + removed.length > 0) this.#scheduler.change({ machines: { changed, removed } });
  }

  #tellManifests({ picture, standing }: Seen, novel: Set<MachineId>): void {
    const placed = new Map<MachineId, UnitName[]>();
    const leaving = new Map<MachineId, UnitName[]>();
    for (const [id, manifest] of picture.manifests) {
      if (this.#manifests.get(id) === manifest) continue;
      this.#manifests.set(id, manifest);
      novel.add(id);
      placed.set(id, []);
      leaving.set(id, []);
      for (const { name, target } of manifest.units) (target === "released" ? leaving : placed).get(id)?.push(name);
    }
    for (const id of this.#manifests.keys()) {
      if (picture.manifests.has(id)) continue;
      this.#manifests.delete(id);
      novel.add(id);
      placed.set(id, []);
      leaving.set(id, []);
    }
    // Also one that was written and taken away before anything was told of it
    for (const id of standing.keys()) if (!picture.manifests.has(id)) novel.add(id);
    if (placed.size > 0) this.#scheduler.change({ placed, leaving });
  }

  #tellParting({ parting }: Seen): void {
    const changed = new Map<MachineId, readonly UnitName[]>();
    for (const [id, units] of parting) changed.set(id, units);
    for (const id of this.#parting) if (!parting.has(id)) changed.set(id, []);
    this.#parting = new Set(parting.keys());
    if (changed.size > 0) this.#scheduler.change({ parting: changed });
  }

  #tellStatuses({ picture }: Seen, novel: Set<MachineId>): void {
    const running = new Map<MachineId, UnitName[]>();
    const listed = new Map<MachineId, UnitName[]>();
    const tell = (id: MachineId, units: MachineStatus["units"]): void => {
      novel.add(id);
      listed.set(
        id,
        units.map(({ name }) => name),
      );
      running.set(
        id,
        units.flatMap(({ name, active }) => (isUp(active) ? [name] : [])),
      );
    };
    for (const [id, status] of picture.statuses) {
      if (this.#statuses.get(id) === status) continue;
      this.#statuses.set(id, status);
      tell(id, status.units);
    }
    for (const id of this.#statuses.keys()) {
      if (picture.statuses.has(id)) continue;
      this.#statuses.delete(id);
      tell(id, []);
    }
    if (running.size > 0) this.#scheduler.change({ running, listed });
  }

  #tellUnits(
    { desired }: Seen,
    {
      all,
      novelty,
    }: {
      readonly all: boolean;
      readonly novelty: { readonly machines: Set<MachineId>; readonly units: Set<UnitName> };
    },
  ): void {
    const before = this.#desired;
    if (before === desired && !all) return;
    this.#desired = desired;
    const changed: WantedUnit[] = [];
    const removed: UnitName[] = [];
    // Both are in name order, and nearly all units are the same objects: no name is looked up
    const earlier = before?.units.values();
    let was = earlier?.next().value;
    for (const unit of desired.units.values()) {
      for (; was !== undefined && was !== unit && byName(was.name, unit.name) < 0; was = earlier?.next().value) {
        removed.push(was.name);
      }
      const isKnown = was === unit || was?.name === unit.name;
      const isSame = isKnown && was !== undefined && isSameUnit(was, unit);
      if (isKnown) was = earlier?.next().value;
      if (isSame && !all) continue;
      changed.push(wantedUnit(unit, this.#closed));
      novelty.units.add(unit.name);
    }
    for (; was !== undefined; was = earlier?.next().value) removed.push(was.name);
    if (changed.length + removed.length > 0) this.#scheduler.change({ units: { changed, removed } });
    // What was not known before may be told again, wherever it is
    if (desired.unknown.size + (before?.unknown.size ?? 0) > 0) {
      for (const id of this.#manifests.keys()) novelty.machines.add(id);
    }
  }
}

/** The hash stands for text and options. */
function isSameUnit(a: Unit, b: Unit): boolean {
  return a === b || (a.hash === b.hash && a.target === b.target && a.source === b.source);
}
