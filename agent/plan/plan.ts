// The front door of planning: the cluster's exported state and the units of a commit in, what the commit would do out.
// Given to `flotilla plan`, which has placement decide on both sides in between. Pure: asks nobody, decides no placement.
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import type { Decision, Refusal } from "../domain/placement.ts";
import {
  type ClusterPlan,
  type ExportedState,
  type MachineName,
  type PlanAction,
  type PlanDifference,
  type PlanSummary,
  type PlannedMachine,
  type PlannedUnit,
  planActions,
  planChanges,
} from "../domain/plan.ts";
import { type CommitUnits, type Side, type SideUnit, sideAfter, sideBefore } from "./sides.ts";

/** The cluster without the commit and with it. Placement is to decide on each `cluster` by itself, as the leader would. */
export interface Comparison {
  readonly state: ExportedState;
  readonly before: Side;
  readonly after: Side;
}

/** `commit`: all units of a commit without a fault. */
export function compare(state: ExportedState, commit: CommitUnits): Comparison {
  return { state, before: sideBefore(state), after: sideAfter(state, commit) };
}

/**
 * What differs between the two outcomes. What would happen without the commit as well (a machine went away) is no part of it,
 * and neither are units that wait on both sides.
 */
export function planChange(
  { state, before, after }: Comparison,
  decided: { readonly before: readonly Decision[]; readonly after: readonly Decision[] },
): ClusterPlan {
  const world = worldOf(state);
  const [outcomesBefore, outcomesAfter] = [outcomesOf(before, decided.before), outcomesOf(after, decided.after)];
  const names = [...new Set([...before.units.keys(), ...after.units.keys()])].sort(byName);
  const units = names.flatMap((name) => {
    const was = { unit: before.units.get(name), outcome: outcomesBefore.get(name) ?? nowhere };
    const is = { unit: after.units.get(name), outcome: outcomesAfter.get(name) ?? nowhere };
    return planUnit({ before: was, after: is }, world) ?? [];
  });
  return {
    ...(state.adopted === undefined ? {} : { against: state.adopted }),
    atMs: state.atMs,
    summary: summaryOf(units),
    units,
    machines: machinesOf(units),
  };
}

interface World {
  readonly nameOf: (id: MachineId) => MachineName;
  /** Whether the machine was told to have it: where it is yet to come there is nothing to stop. */
  readonly isThere: (unit: UnitName, on: MachineId) => boolean;
  readonly isRunning: (unit: UnitName, on: MachineId) => boolean;
}

function worldOf({ machines }: ExportedState): World {
  const names = new Map(machines.map(({ id, hostname }) => [id, { id, hostname }]));
  const told = new Map(machines.map(({ id, units, leaving }) => [id, new Set([...units, ...leaving])]));
  const running = new Map(machines.map(({ id, running: units }) => [id, new Set(units)]));
  return {
    nameOf: (id) => names.get(id) ?? { id, hostname: "" },
    isThere: (unit, on) => told.get(on)?.has(unit) === true,
    isRunning: (unit, on) => running.get(on)?.has(unit) === true,
  };
}

/** Where a unit ends up, and why. */
interface Outcome {
  /** In order of ids. */
  readonly machines: readonly MachineId[];
  readonly because: string | undefined;
  readonly displacedBy: UnitName | undefined;
  /** Set where it waits. */
  readonly refusals: readonly Refusal[] | undefined;
}

const nowhere: Outcome = { machines: [], because: undefined, displacedBy: undefined, refusals: undefined };

function outcomesOf({ cluster, undecided }: Side, decisions: readonly Decision[]): ReadonlyMap<UnitName, Outcome> {
  const found = new Map<UnitName, Outcome>();
  const gather = (unit: UnitName, more: Partial<Outcome> & { readonly on?: MachineId | undefined }): void => {
    const { machines, ...known } = found.get(unit) ?? nowhere;
    found.set(unit, {
      machines: more.on === undefined ? machines : [...machines, more.on].sort(byName),
      // What was said first is said of the machine that counts
      because: known.because ?? more.because,
      displacedBy: known.displacedBy ?? more.displacedBy,
      refusals: known.refusals ?? more.refusals,
    });
  };
  for (const decision of decisions) {
    if (undecided.has(decision.unit)) continue;
    switch (decision.kind) {
      case "keep":
        gather(decision.unit, { on: decision.on });
        break;
      case "place":
        gather(decision.unit, decision);
        break;
      case "wait":
        gather(decision.unit, { refusals: decision.refusals, displacedBy: decision.displacedBy });
        break;
      case "drop":
        gather(decision.unit, { because: decision.because });
        break;
    }
  }
  for (const { unit, on } of cluster.placements) if (undecided.has(unit)) gather(unit, { on });
  return found;
}

interface OneSide {
  readonly unit: SideUnit | undefined;
  readonly outcome: Outcome;
}

interface BothSides {
  readonly before: OneSide;
  readonly after: OneSide;
}

/** Undefined: nothing about it changes. */
function planUnit(sides: BothSides, world: World): PlannedUnit | undefined {
  const { before, after } = sides;
  const unit = after.unit ?? before.unit;
  if (unit === undefined) return undefined;
  const differs = differencesOf(before.unit, after.unit);
  const change = changeOf(sides, differs);
  if (change === undefined) return undefined;
  const { name, source, template, options, hold } = unit;
  const isElsewhere = change === "moved" || change === "refused" || (change === "changed" && !isInPlace(sides));
  const { because, displacedBy, refusals } = after.outcome;
  return {
    name,
    change,
    ...(template === undefined ? {} : { template }),
    ...(options.global ? { global: true as const } : {}),
    source,
    ...(change === "changed" ? { differs } : {}),
    ...(before.unit === undefined ? {} : { before: described(before.unit, before.outcome, world) }),
    ...(after.unit === undefined ? {} : { after: described(after.unit, after.outcome, world) }),
    actions: actionsOf(sides, world),
    ...(isElsewhere && because !== undefined ? { because } : {}),
    ...(displacedBy === undefined ? {} : { displacedBy }),
    ...(after.unit === undefined || refusals === undefined ? {} : { waits: refusals }),
    ...(after.unit === undefined || hold === undefined ? {} : { hold }),
  };
}

function described(
  { effective }: SideUnit,
  { machines }: Outcome,
  { nameOf }: World,
): NonNullable<PlannedUnit["before"]> {
  return { target: effective, machines: machines.map(nameOf) };
}

function differencesOf(before: SideUnit | undefined, after: SideUnit | undefined): readonly PlanDifference[] {
  if (before === undefined || after === undefined) return [];
  return [
    ...(before.hash === after.hash ? [] : (["text"] as const)),
    ...(before.target === after.target ? [] : (["target"] as const)),
    ...(before.source === after.source ? [] : (["source"] as const)),
  ];
}

function changeOf(sides: BothSides, differs: readonly PlanDifference[]): PlannedUnit["change"] | undefined {
  const { before, after } = sides;
  if (before.unit === undefined) return "added";
  if (after.unit === undefined) return "removed";
  if (differs.length > 0) return "changed";
  if (isInPlace(sides)) return undefined;
  return after.outcome.machines.length === 0 ? "refused" : "moved";
}

function isInPlace({ before, after }: BothSides): boolean {
  const [was, is] = [before.outcome.machines, after.outcome.machines];
  return was.length === is.length && was.every((id, at) => id === is[at]);
}

function actionsOf({ before, after }: BothSides, world: World): PlannedUnit["actions"] {
  const isSame = before.unit?.hash === after.unit?.hash && before.unit?.effective === after.unit?.effective;
  const [was, is] = [new Set(before.outcome.machines), new Set(after.outcome.machines)];
  return [...new Set([...was, ...is])].sort(byName).flatMap((on) => {
    if (isSame && was.has(on) && is.has(on)) return [];
    const had =
      was.has(on) && before.unit !== undefined && world.isThere(before.unit.name, on) ? before.unit : undefined;
    const has = is.has(on) ? after.unit : undefined;
    const action = actionFor(had, has, (name) => world.isRunning(name, on));
    return action === undefined ? [] : [{ action, machine: world.nameOf(on) }];
  });
}

/** What a machine does as soon as it is told: the table of reconcile/step.ts, for a machine that is as it was told to be. */
function actionFor(
  had: SideUnit | undefined,
  has: SideUnit | undefined,
  isRunning: (name: UnitName) => boolean,
): PlanAction | undefined {
  const was = had?.effective;
  if (has === undefined) return was === undefined ? undefined : was === "launched" ? "stop" : "unload";
  const isSame = had?.hash === has.hash;
  if (has.effective !== "launched") {
    if (was === "launched") return "stop";
    return was === undefined ? "load" : isSame ? undefined : "rewrite";
  }
  if (was !== "launched") return "start";
  if (isSame) return undefined;
  if (had?.systemdHash === has.systemdHash) return "rewrite";
  return !isRunning(has.name) ? "start" : has.onChange === "reload" ? "reload" : "restart";
}

function summaryOf(units: readonly PlannedUnit[]): PlanSummary {
  const changes = units.map(({ change }) => change);
  const actions = units.flatMap((unit) => unit.actions.map(({ action }) => action));
  return {
    units: counted(planChanges, changes),
    waiting: units.filter(({ waits }) => waits !== undefined).length,
    actions: counted(planActions, actions),
  };
}

function counted<Word extends string>(words: readonly Word[], found: readonly Word[]): Readonly<Record<Word, number>> {
  const counts = new Map<Word, number>(words.map((word) => [word, 0]));
  for (const word of found) counts.set(word, (counts.get(word) ?? 0) + 1);
  return Object.fromEntries(counts) as Record<Word, number>;
}

function machinesOf(units: readonly PlannedUnit[]): readonly PlannedMachine[] {
  const found = new Map<MachineId, { readonly machine: MachineName; readonly by: Map<PlanAction, UnitName[]> }>();
  for (const { name, actions } of units) {
    for (const { action, machine } of actions) {
      const entry = found.get(machine.id) ?? { machine, by: new Map<PlanAction, UnitName[]>() };
      const known = entry.by.get(action);
      if (known === undefined) entry.by.set(action, [name]);
      else known.push(name);
      found.set(machine.id, entry);
    }
  }
  return [...found.values()]
    .sort((a, b) => byName(a.machine.id, b.machine.id))
    .map(({ machine, by }) => ({
      machine,
      actions: Object.fromEntries([...by].sort(([a], [b]) => planActions.indexOf(a) - planActions.indexOf(b))),
    }));
}
