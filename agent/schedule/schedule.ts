// The front door of placement. `schedule`: the whole state in, one decision for each unit out. `Scheduler`: the same, told of
// changes, at a cost that follows the change. Given to loops/ (with schedule/manifests.ts, which turns what is decided into
// manifests). Pure: no clock, no chance, no order taken from a map; touches nothing.
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import type { CandidateMachine, ClusterState, Decision, WantedUnit } from "../domain/placement.ts";
import type { PlacementOptions } from "../domain/unit.ts";
import { Before } from "./before.ts";
import { isPlaced, take } from "./board.ts";
import { keepWhatMayStay } from "./keep.ts";
import { drain, rebalance } from "./leave.ts";
import { Host, HostIndex } from "./machines.ts";
import type { Pass, Scene } from "./pass.ts";
import { report } from "./report.ts";
import { settle } from "./settle.ts";
import { type ActiveUnit, UnitIndex, placesOf } from "./units.ts";
import { Waiting, differs } from "./waiting.ts";

/**
 * Decides for every unit, in name order (docs/placement.md). Same state in, same decisions out.
 *
 * - An active unit that is not global gets exactly one `keep`, `place` or `wait`, and a `drop` for each further machine
 *   that has it. A global one gets a `keep`, `place` or `drop` for each machine concerned, and one `wait` if it fits none.
 *   An inactive unit, or one that is placed but not wanted, gets a `drop` for each machine that has it.
 * - Who comes first: what is placed before what is not; then by priority and name, but each unit after those that it
 *   follows. Global units and others are in one order and obey one conflict rule.
 * - A machine that is gone holds nothing; what cannot be placed elsewhere waits for its return. A presumed one keeps all.
 * - After applying the decisions, the same call answers `keep` and `wait` only, unless units may leave machines that are
 *   drained, or to make loads more even.
 */
export function schedule(state: ClusterState): readonly Decision[] {
  return decided(state).decisions();
}

/** What has decided on this state, for explain.ts. */
export function decided(state: ClusterState): Scheduler {
  const scheduler = new Scheduler();
  scheduler.change({
    units: { changed: state.wanted, removed: [] },
    machines: { changed: state.machines, removed: [] },
    placed: byMachine(state.placements),
    leaving: byMachine(state.leaving ?? []),
    parting: byMachine(state.parting ?? []),
    running: byMachine(state.running ?? []),
  });
  scheduler.pass(state.rebalance);
  return scheduler;
}

/** What is different from before; what is not named is as it was. */
export interface ClusterChanges {
  /** Also of units that became inactive. */
  readonly units?: { readonly changed: readonly WantedUnit[]; readonly removed: readonly UnitName[] };
  /** A machine that is neither present nor presumed any more is removed. */
  readonly machines?: { readonly changed: readonly CandidateMachine[]; readonly removed: readonly MachineId[] };
  /** The whole of what each of these machines has, as ClusterState's `placements`, `leaving`, `parting` and `running`. */
  readonly placed?: ReadonlyMap<MachineId, readonly UnitName[]>;
  readonly leaving?: ReadonlyMap<MachineId, readonly UnitName[]>;
  readonly parting?: ReadonlyMap<MachineId, readonly UnitName[]>;
  readonly running?: ReadonlyMap<MachineId, readonly UnitName[]>;
  /** All that a machine's status shows, running or not. */
  readonly listed?: ReadonlyMap<MachineId, readonly UnitName[]>;
}

/** What a pass came to, as far as it is not what the manifests say already. Names and ids are in order. */
export interface Outcome {
  /** Machines whose manifests may have to change. */
  readonly touched: readonly MachineId[];
  /** Units that are on no machine. */
  readonly waiting: number;
  /** Of the waiting ones those that were not waiting after the pass before. */
  readonly newlyWaiting: readonly UnitName[];
  readonly displaced: readonly { readonly unit: UnitName; readonly by: UnitName; readonly from: MachineId }[];
  /** Units that were to leave a drained machine, in the order of decision, and that no other takes. */
  readonly stuck: readonly { readonly unit: UnitName; readonly on: MachineId }[];
  /** Units that leave a machine only because it is drained or for loads to be more even. */
  readonly moved: readonly { readonly unit: UnitName; readonly from: MachineId; readonly because: string }[];
}

/** Where the last pass has put everything. */
export interface Board {
  /** In no order. */
  wantedOn(machine: MachineId): Iterable<UnitName>;
  isWantedOn(machine: MachineId, unit: UnitName): boolean;
  /** Whether a machine that has this unit must let go of it: only on positive evidence. */
  mustLetGo(machine: MachineId, unit: UnitName): boolean;
  /** Every machine whose manifest or status has the unit in any way, gone or not; by id. */
  concerned(unit: UnitName): readonly MachineId[];
}

/** Placement with a memory. Belongs to whoever decides again and again; the result is always that of `schedule`. */
export class Scheduler implements Board {
  readonly #scene: Scene;
  readonly #inactive = new Set<UnitName>();
  /** Machines on which everything is judged anew. */
  readonly #dirty = new Set<MachineId>();
  /** Units that are elsewhere than the manifests say. */
  readonly #unsettled = new Set<ActiveUnit>();
  /** Units that nobody wants and that are placed. */
  readonly #strays = new Set<UnitName>();
  #waited: ReadonlySet<UnitName> = new Set();
  #last: Pass;

  constructor() {
    const hosts = new HostIndex();
    this.#scene = { units: new UnitIndex(), hosts, before: new Before(hosts), waiting: new Waiting() };
    this.#last = this.#open(0, noUnits);
  }

  change({ units, machines, placed, leaving, parting, running, listed }: ClusterChanges): void {
    const { before } = this.#scene;
    if (machines !== undefined) this.#changeMachines(machines);
    for (const [machine, names] of placed ?? []) this.#moved(machine, before.place(machine, names));
    for (const [machine, names] of leaving ?? []) this.#retry(before.leave(machine, names));
    for (const [machine, names] of parting ?? []) this.#retry(before.part(machine, names));
    for (const [machine, names] of running ?? []) {
      // Tells which machine keeps a unit that several have
      for (const name of before.run(machine, names)) if (before.owners(name).length > 1) this.#judge(name);
    }
    for (const [machine, names] of listed ?? []) before.list(machine, names);
    if (units !== undefined) this.#changeUnits(units);
  }

  /**
   * Decides on what there is now. `moves`: how many units may be moved to make loads more even. `fixed`: those of which nothing
   * is decided (`Pass.fixed`), with all that follow them.
   */
  pass(moves = 0, fixed: ReadonlySet<UnitName> = noUnits): Outcome {
    this.#fix(fixed);
    const pass = this.#open(moves, fixed);
    this.#last = pass;
    const { before, freed, examined } = pass;
    for (const unit of this.#unsettled) {
      const owners = before.owners(unit.name);
      if (differs(unit, owners)) this.#judge(unit.name); // it may stay there after all
      for (const host of [...placesOf(unit)]) {
        if (owners.includes(host.id)) continue;
        take(unit, host);
        freed.add(host);
        if (unit.followers.length > 0) this.#dirty.add(host.id); // what is kept is kept beside what is kept
      }
      examined.add(unit);
      this.#askAnew(unit);
    }
    this.#unsettled.clear();
    keepWhatMayStay(pass, this.#whole());
    settle(pass);
    drain(pass);
    rebalance(pass);
    this.#dirty.clear();
    for (const host of pass.disturbed) this.#dirty.add(host.id);
    return this.#outcome(pass);
  }

  /** Of every unit, wanted or placed, after the last pass; in name order. */
  decisions(): readonly Decision[] {
    const { units, before } = this.#scene;
    const names = new Set<UnitName>([...units.named.keys(), ...before.placedUnits()]);
    return this.#report([...names].sort(byName));
  }

  /** Of these units only. */
  decisionsOf(names: Iterable<UnitName>): readonly Decision[] {
    return this.#report(names);
  }

  *wantedOn(machine: MachineId): Iterable<UnitName> {
    for (const unit of this.#scene.hosts.byId.get(machine)?.units ?? []) yield unit.name;
  }

  isWantedOn(machine: MachineId, name: UnitName): boolean {
    const { hosts, units } = this.#scene;
    const unit = units.named.get(name);
    return unit !== undefined && hosts.byId.get(machine)?.units.has(unit) === true;
  }

  mustLetGo(machine: MachineId, name: UnitName): boolean {
    const { hosts, units } = this.#scene;
    const unit = units.named.get(name);
    if (unit === undefined) return true;
    const host = hosts.byId.get(machine);
    if (host?.units.has(unit) === true) return false;
    // A machine that is gone keeps what no other has, for its return
    return unit.options.global || unit.host === undefined ? host !== undefined : true;
  }

  /** The machines that the unit is to be on. */
  *placesOf(name: UnitName): Iterable<MachineId> {
    const unit = this.#scene.units.named.get(name);
    if (unit !== undefined) for (const host of placesOf(unit)) yield host.id;
  }

  concerned(name: UnitName): readonly MachineId[] {
    return this.#scene.before.concerned(name);
  }

  /** The last pass and all that it looked at, for explain.ts: whoever takes a unit off there puts it back. */
  get last(): Pass {
    return this.#last;
  }

  /** What is no longer decided, or is again, is judged anew. */
  #fix(fixed: ReadonlySet<UnitName>): void {
    const before = this.#last.fixed;
    if (fixed === before) return;
    for (const name of new Set([...before, ...fixed])) {
      const unit = this.#scene.units.named.get(name);
      if (unit === undefined || before.has(name) === fixed.has(name)) continue;
      this.#judge(name);
      this.#unsettled.add(unit);
      this.#askAnew(unit);
    }
  }

  #open(moves: number, fixed: ReadonlySet<UnitName>): Pass {
    return {
      ...this.#scene,
      freed: new Set(),
      disturbed: new Set(),
      examined: new Set(),
      reasons: new Map(),
      displacedBy: new Map(),
      stuck: new Set(),
      moved: new Map(),
      rebalance: moves,
      fixed,
    };
  }

  #report(names: Iterable<UnitName>): readonly Decision[] {
    return report(this.#last, { names, inactive: this.#inactive });
  }

  #changeMachines({ changed, removed }: NonNullable<ClusterChanges["machines"]>): void {
    const { hosts } = this.#scene;
    for (const id of removed) {
      this.#clear(id);
      hosts.delete(id);
    }
    for (const machine of changed) {
      this.#clear(machine.id);
      hosts.set(new Host(machine));
      this.#dirty.add(machine.id);
    }
    // Global units look at every machine anew: which of them fit is another question now
    if (changed.length > 0) for (const unit of this.#scene.units.globals) this.#askAnew(unit);
  }

  /** Takes everything off the machine. What was placed there is judged anew, and so is what follows it elsewhere. */
  #clear(id: MachineId): void {
    const { hosts, before } = this.#scene;
    const host = hosts.byId.get(id);
    for (const unit of [...(host?.units ?? [])]) {
      if (host !== undefined) take(unit, host);
      this.#unsettled.add(unit);
    }
    for (const name of before.placedOn(id)) this.#judge(name);
  }

  /** These units came to a machine's manifest or left it. */
  #moved(machine: MachineId, names: ReadonlySet<UnitName>): void {
    const { before, units } = this.#scene;
    for (const name of names) {
      const unit = units.named.get(name);
      if (unit === undefined) {
        if (before.owners(name).length > 0) this.#strays.add(name);
        else this.#strays.delete(name);
      } else if (differs(unit, before.owners(name))) {
        this.#judge(name);
        this.#unsettled.add(unit);
      }
      // Otherwise the manifest says now what was decided: there is nothing new to judge but for those that follow it
      for (const follower of unit?.followers ?? []) {
        this.#judge(follower.name);
        this.#askAnew(follower);
      }
    }
    if (names.size > 0 && !this.#scene.hosts.byId.has(machine)) for (const name of names) this.#judge(name);
  }

  /** Units that may go back, or no longer may, to where they were told to leave. */
  #retry(names: ReadonlySet<UnitName>): void {
    for (const name of names) {
      const unit = this.#scene.units.named.get(name);
      if (unit !== undefined) this.#askAnew(unit);
    }
  }

  /** Whatever the machines have answered it before is forgotten. */
  #askAnew(unit: ActiveUnit): void {
    if (unit.options.global) unit.hasAsked = false;
    else if (unit.host === undefined) this.#scene.waiting.add(unit);
  }

  /** All that is placed where this unit is placed is judged anew. */
  #judge(name: UnitName): void {
    for (const id of this.#scene.before.owners(name)) this.#dirty.add(id);
  }

  #changeUnits({ changed, removed }: NonNullable<ClusterChanges["units"]>): void {
    const { units, waiting, before } = this.#scene;
    const gone: ActiveUnit[] = [];
    const come: WantedUnit[] = [];
    const leave = (name: UnitName): void => {
      const unit = units.named.get(name);
      if (unit === undefined) return;
      for (const host of [...placesOf(unit)]) {
        take(unit, host);
        this.#dirty.add(host.id); // what is left there may take more
      }
      waiting.remove(unit);
      this.#unsettled.delete(unit);
      gone.push(unit);
      this.#judge(name);
    };
    for (const name of removed) {
      this.#inactive.delete(name);
      leave(name);
    }
    for (const wanted of changed) {
      const unit = units.named.get(wanted.name);
      const isActive = wanted.target !== "inactive";
      if (isActive) this.#inactive.delete(wanted.name);
      else this.#inactive.add(wanted.name);
      if (isActive && unit !== undefined && areSame(unit.options, wanted.options)) continue;
      leave(wanted.name);
      if (isActive) come.push(wanted);
    }
    const { touched, repatterned } = units.change({ gone, come });
    for (const { name } of gone) {
      if (!units.named.has(name) && before.owners(name).length > 0) this.#strays.add(name);
    }
    for (const { name } of come) this.#strays.delete(name);
    for (const unit of touched) {
      this.#judge(unit.name);
      for (const host of placesOf(unit)) this.#dirty.add(host.id);
      this.#askAnew(unit);
      this.#unsettled.add(unit);
    }
    for (const unit of repatterned) this.#askAnew(unit);
  }

  /**
   * The machines that are judged anew: with each all others that a unit of it is placed on too, and those of the units
   * that follow one of it.
   */
  #whole(): ReadonlySet<Host> {
    const { hosts, units, before } = this.#scene;
    const ids = new Set(this.#dirty);
    for (const id of ids) {
      for (const name of before.placedOn(id)) {
        for (const owner of before.owners(name)) ids.add(owner);
        for (const follower of units.named.get(name)?.followers ?? []) {
          for (const owner of before.owners(follower.name)) ids.add(owner);
        }
      }
    }
    return new Set([...ids].flatMap((id) => hosts.byId.get(id) ?? []));
  }

  #outcome(pass: Pass): Outcome {
    const { before, units, examined, waiting } = pass;
    const touched = new Set<MachineId>();
    const newlyWaiting: UnitName[] = [];
    const waited = new Set<UnitName>();
    for (const unit of examined) {
      if (units.named.get(unit.name) !== unit) continue;
      const owners = before.owners(unit.name);
      if (differs(unit, owners)) {
        this.#unsettled.add(unit);
        for (const id of owners) touched.add(id);
        for (const host of placesOf(unit)) touched.add(host.id);
      }
    }
    for (const name of this.#strays) for (const id of before.owners(name)) touched.add(id);
    const homeless = [...units.globals].filter((unit) => !isPlaced(unit));
    for (const { name } of [...waiting.all(), ...homeless]) {
      waited.add(name);
      if (!this.#waited.has(name)) newlyWaiting.push(name);
    }
    this.#waited = waited;
    const homeOf = (unit: ActiveUnit): MachineId | undefined => before.owners(unit.name)[0];
    return {
      touched: [...touched].sort(byName),
      waiting: waited.size,
      newlyWaiting: newlyWaiting.sort(byName),
      displaced: [...pass.displacedBy].flatMap(([unit, by]) => {
        const from = homeOf(unit);
        return from === undefined || unit.host?.id === from ? [] : [{ unit: unit.name, by: by.name, from }];
      }),
      stuck: [...pass.stuck].flatMap((unit) =>
        unit.host === undefined ? [] : [{ unit: unit.name, on: unit.host.id }],
      ),
      moved: [...pass.moved].map(([unit, { from, because }]) => ({ unit: unit.name, from: from.id, because })),
    };
  }
}

const noUnits: ReadonlySet<UnitName> = new Set();

function areSame(a: PlacementOptions, b: PlacementOptions): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function byMachine(
  placements: readonly { readonly unit: UnitName; readonly on: MachineId }[],
): ReadonlyMap<MachineId, readonly UnitName[]> {
  const found = new Map<MachineId, UnitName[]>();
  for (const { unit, on } of placements) {
    const units = found.get(on);
    if (units === undefined) found.set(on, [unit]);
    else units.push(unit);
  }
  return found;
}
