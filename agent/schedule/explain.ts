// Why placement decides as it does: of one unit where it is and why, or why nowhere and what would change that; of one machine
// what it takes and refuses. Side door of the room, given to those who answer people. Asks the very rules that decide, on the
// board of a whole pass; after that a unit costs a look at every machine, and a machine one at every unit. Pure.
import type {
  BrokenRule,
  Candidate,
  Capacity,
  FunnelStep,
  MachinePlacement,
  PlacedUnit,
  RefusedUnit,
  UnitPlacement,
} from "../domain/explanation.ts";
import { type MachineId, type UnitName, byName } from "../domain/names.ts";
import { type ClusterState, type Decision, type RefusalRule, refusalRules } from "../domain/placement.ts";
import type { MachineReference } from "../domain/report.ts";
import { put, take } from "./board.ts";
import { becauseOf, breaks, firstBroken } from "./broken.ts";
import type { Host } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { compareHosts, score, spreadCount } from "./rank.ts";
import { decided } from "./schedule.ts";
import type { ActiveUnit } from "./units.ts";
import { type Miss, whatWouldChange } from "./would-change.ts";

/** Machines that are named of those that take a unit, and that do not. */
const mostCandidates = 5;
const mostMisses = 5;
const mostMissesOfGlobal = 50;
/** Waiting units that are named with what a machine has against each. */
const mostWaiting = 10;

export type Refer = (id: MachineId) => MachineReference;

/** Undefined: the cluster does not want such a unit. */
export function explainUnit(
  state: ClusterState,
  { name, refer }: { readonly name: UnitName; readonly refer: Refer },
): UnitPlacement | undefined {
  const wanted = state.wanted.find((each) => each.name === name);
  if (wanted === undefined) return undefined;
  const scheduler = decided(state);
  const { hosts, units } = scheduler.last;
  const unit = units.named.get(name);
  const nameOf = shortNames(hosts.hosts, refer);
  const change = (misses: readonly Miss[]): readonly string[] =>
    whatWouldChange({ scheduler, state, wanted, misses, nameOf });
  const common = { name, global: wanted.options.global, machines: hosts.hosts.length };
  if (unit === undefined) {
    const nothing = { funnel: [], candidates: { machines: 0, first: [] }, misses: [] };
    return { ...common, state: "inactive", places: [], ...nothing, changes: change([]) };
  }
  const decisions = scheduler.decisionsOf([name]);
  const sight = look(unit, scheduler.last);
  const places = placesOf(decisions, { unit, sight, hosts, refer });
  const misses = nearest(unit, sight);
  const displacedBy = decisions.flatMap((each) => ("displacedBy" in each ? (each.displacedBy ?? []) : []))[0];
  const explained = {
    ...common,
    state: places.length > 0 ? ("placed" as const) : ("waiting" as const),
    ...(displacedBy === undefined ? {} : { displacedBy }),
    places,
    funnel: funnelOf(unit, sight),
    candidates: {
      machines: unit.options.global ? 0 : sight.takers.length,
      first: unit.options.global
        ? []
        : sight.takers.slice(0, mostCandidates).map(({ host, ...facts }) => ({ machine: refer(host.id), ...facts })),
    },
    misses: misses.map(({ host, because }) => ({ machine: refer(host.id), breaks: because })),
  };
  // Last: it tries changes on the board
  const asks = explained.state === "waiting" || unit.options.global;
  return { ...explained, changes: asks ? change(misses.slice(0, mostMisses)) : [] };
}

/** Every machine's answer to a unit, as if it were on none of them. */
interface Sight {
  /** Those that take it, first the one that it would rather have. */
  readonly takers: readonly (Omit<Candidate, "machine"> & { readonly host: Host })[];
  readonly refusing: readonly { readonly host: Host; readonly rules: readonly RefusalRule[] }[];
  /** By first rule. */
  readonly counts: ReadonlyMap<RefusalRule, number>;
  readonly because: (host: Host, rules: readonly RefusalRule[]) => readonly BrokenRule[];
}

/** Of a global unit only of the machines that lack it. */
function look(unit: ActiveUnit, { hosts }: Pass): Sight {
  const { host: home } = unit;
  const away = <T>(work: () => T): T => {
    if (home !== undefined) take(unit, home);
    const done = work();
    if (home !== undefined) put(unit, home);
    return done;
  };
  return away(() => {
    const asked = hosts.hosts.filter((host) => unit.hosts?.has(host) !== true);
    const answer = breaks(unit);
    const answers = asked.map((host) => ({ host, rules: answer(host) }));
    const refusing = answers.filter(({ rules }) => rules.length > 0);
    const counts = new Map<RefusalRule, number>();
    for (const { host, rules } of refusing) {
      const first = firstBroken(unit, { host, rules });
      if (first !== undefined) counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    const { spread, prefer, avoid } = unit.options;
    const takers = answers
      .filter(({ rules }) => rules.length === 0)
      .map(({ host }) => host)
      .sort((a, b) => compareHosts(unit, a, b))
      .map((host, at) => ({
        host,
        rank: at + 1,
        ...(unit.spread === undefined || spread === undefined ? {} : { spread: spreadCount(unit, host) }),
        ...(prefer === undefined && avoid === undefined ? {} : { preference: score(unit.options, host) }),
        units: host.load,
      }));
    const because: Sight["because"] = (host, rules) =>
      away(() => rules.map((rule) => ({ rule, because: becauseOf({ unit, host, rule }) })));
    return { takers, refusing, counts, because };
  });
}

/** In the order of the rules; each takes those away that it refuses first. */
function funnelOf(unit: ActiveUnit, { takers, refusing, counts }: Sight): readonly FunnelStep[] {
  const all = takers.length + refusing.length;
  if (all === 0) return unit.options.global ? [] : [{ rule: "no-machine", machines: 0, left: 0 }];
  let left = all;
  return refusalRules.flatMap((rule): readonly FunnelStep[] => {
    const refused = counts.get(rule) ?? 0;
    if (refused === 0 && !asksFor(unit, rule)) return [];
    const machines = left;
    left -= refused;
    return [{ rule, machines, left }];
  });
}

function asksFor(unit: ActiveUnit, rule: RefusalRule): boolean {
  const { machineId, metadata, demands, spread, memory, milliCpus } = unit.options;
  switch (rule) {
    case "machine-id":
      return machineId !== undefined;
    case "metadata":
      return metadata.length > 0 || demands !== undefined;
    case "spread":
      return spread !== undefined;
    case "machine-of":
      return unit.cycle === undefined && (unit.follows.length > 0 || unit.absent !== undefined);
    case "conflict":
      return unit.declares.length > 0 || unit.matching.length > 0;
    case "replaced":
      return unit.replaces.length > 0 || unit.replacedBy.length > 0;
    case "memory":
      return memory !== undefined;
    case "cpu":
      return milliCpus !== undefined;
    case "cordoned":
    case "machine-of-cycle":
    case "no-machine":
      return false;
  }
}

/** Fewest rules first; of equal ones the machine that came furthest, one that may not come back last. */
function nearest(unit: ActiveUnit, { refusing, because }: Sight): readonly Miss[] {
  const reach = ({ host, rules }: Sight["refusing"][number]): number =>
    host.present && rules[0] !== undefined ? refusalRules.indexOf(rules[0]) : -1;
  return [...refusing]
    .sort((a, b) => a.rules.length - b.rules.length || reach(b) - reach(a) || a.host.index - b.host.index)
    .slice(0, unit.options.global ? mostMissesOfGlobal : mostMisses)
    .map(({ host, rules }) => ({ host, because: because(host, rules) }));
}

function placesOf(
  decisions: readonly Decision[],
  {
    unit,
    sight,
    hosts,
    refer,
  }: Pick<Pass, "hosts"> & { readonly unit: ActiveUnit; readonly sight: Sight; readonly refer: Refer },
): readonly PlacedUnit[] {
  return decisions.flatMap((decision): readonly PlacedUnit[] => {
    if (decision.kind !== "keep" && decision.kind !== "place") return [];
    const host = hosts.byId.get(decision.on);
    const rank = unit.options.global ? undefined : sight.takers.find((each) => each.host === host)?.rank;
    const place = { machine: refer(decision.on), ...(rank === undefined ? {} : { rank }) };
    if (decision.kind === "keep") return [{ ...place, decision: "keep", because: whyKept(unit, { host, sight }) }];
    const from = decision.from === undefined ? {} : { from: refer(decision.from) };
    return [{ ...place, decision: "place", because: decision.because, ...from }];
  });
}

function whyKept(
  unit: ActiveUnit,
  { host, sight }: { readonly host: Host | undefined; readonly sight: Sight },
): string {
  if (host?.present === false) return "the machine may still be coming back: it keeps what it has";
  if (unit.options.global) return "it runs on every machine that fits";
  const leader = unit.follows.find((each) => !each.options.global);
  const why =
    leader === undefined ? "it was there, and no rule takes it away" : `it follows ${leader.name}, which is there`;
  const refused = sight.refusing.find((each) => each.host === host);
  if (host === undefined || refused === undefined) return why;
  const words = sight.because(host, refused.rules).map(({ because }) => because);
  return `${why}; it would not come there anew (${words.join(", ")})`;
}

/** Undefined: placement knows no such machine. */
export function explainMachine(state: ClusterState, { id }: { readonly id: MachineId }): MachinePlacement | undefined {
  const { hosts, units } = decided(state).last;
  const host = hosts.byId.get(id);
  if (host === undefined) return undefined;
  const others = [...units.named.values()]
    .filter((unit) => !host.units.has(unit))
    .sort((a, b) => byName(a.name, b.name));
  const refuses = new Map<RefusalRule, { units: number; readonly unit: string; readonly because: string }>();
  const waiting: RefusedUnit[] = [];
  const globals: RefusedUnit[] = [];
  let takes = 0;
  let waits = 0;
  for (const unit of others) {
    const rules = breaks(unit)(host);
    const rule = firstBroken(unit, { host, rules });
    if (rule === undefined) {
      takes++;
      continue;
    }
    const known = refuses.get(rule);
    if (known === undefined) refuses.set(rule, { units: 1, unit: unit.name, because: becauseOf({ unit, host, rule }) });
    else known.units++;
    const isWaiting = !unit.options.global && unit.host === undefined;
    if (isWaiting) waits++;
    if (!unit.options.global && (!isWaiting || waits > mostWaiting)) continue;
    const told = {
      unit: unit.name,
      breaks: rules.map((each) => ({ rule: each, because: becauseOf({ unit, host, rule: each }) })),
    };
    (unit.options.global ? globals : waiting).push(told);
  }
  return {
    standing: host.present ? "present" : "presumed",
    metadata: host.metadata,
    ...(host.cordoned ? { cordoned: true } : {}),
    memoryBytes: capacity(host.memoryBytes, host.reservedBytes),
    milliCpus: capacity(host.milliCpus, host.reservedMilliCpus),
    units: [...host.units]
      .sort((a, b) => byName(a.name, b.name))
      .map(({ name, options }) => ({
        unit: name,
        memoryBytes: host.bytesOf(options.memory),
        milliCpus: options.milliCpus ?? 0,
      })),
    takes,
    refuses: refusalRules.flatMap((rule) => {
      const entry = refuses.get(rule);
      return entry === undefined ? [] : [{ rule, ...entry }];
    }),
    waiting: { units: waits, first: waiting },
    globals,
  };
}

/** What stays may reserve more than there is. */
function capacity(total: number, reserved: number): Capacity {
  return total === Infinity ? { reserved } : { total, reserved, free: Math.max(0, total - reserved) };
}

/** Hostnames, or the beginning of the id where that is not one machine's alone. */
function shortNames(hosts: readonly Host[], refer: Refer): (id: MachineId) => string {
  const many = new Map<string, number>();
  for (const { id } of hosts) many.set(refer(id).hostname, (many.get(refer(id).hostname) ?? 0) + 1);
  return (id) => {
    const { hostname } = refer(id);
    return hostname === "" || (many.get(hostname) ?? 0) > 1 ? id.slice(0, 8) : hostname;
  };
}
