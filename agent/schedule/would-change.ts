// What would place a unit that is on no machine: changes that follow from what the nearest machines lack, each tried on the
// cluster before it is told of. Given to explain.ts. Works on a scheduler that is nobody else's, and leaves it as it was.
import type { BrokenRule } from "../domain/explanation.ts";
import { type MachineId, byName } from "../domain/names.ts";
import {
  type CandidateMachine,
  type ClusterState,
  type RefusalRule,
  type WantedUnit,
  opennessKey,
} from "../domain/placement.ts";
import { type MetadataRule, type MetadataTest, priorityBounds } from "../domain/unit.ts";
import { bytesInWords, cpusInWords } from "../text/amounts.ts";
import { someOf, unmet } from "./broken.ts";
import type { Host } from "./machines.ts";
import { conflicting } from "./refusals.ts";
import type { Scheduler } from "./schedule.ts";
import type { ActiveUnit } from "./units.ts";

/** Changes that are told of. */
const mostChanges = 8;
/** Where more units stand in the way, stopping them is no counsel. */
const mostToStop = 3;
/** Priorities that are tried to find the lowest. */
const mostPriorities = 8;

/** A machine that does not take the unit, with every rule that it breaks. */
export interface Miss {
  readonly host: Host;
  readonly because: readonly BrokenRule[];
}

export interface Wondering {
  readonly scheduler: Scheduler;
  readonly state: ClusterState;
  readonly wanted: WantedUnit;
  /** The nearest ones: what is looked at. */
  readonly misses: readonly Miss[];
  readonly nameOf: (id: MachineId) => string;
}

/** The state with these machines and units instead of those of the same names. */
interface Change {
  readonly says: string;
  /** The least trouble first. */
  readonly trouble: number;
  readonly machines?: readonly CandidateMachine[];
  readonly units?: readonly WantedUnit[];
  /** Where the unit must be then; anywhere unless said. */
  readonly on?: MachineId;
}

const trouble = { little: 0, machine: 2, priority: 3, stop: 4 } as const;

/** Sentences, those that change least first. */
export function whatWouldChange(wondering: Wondering): readonly string[] {
  const { scheduler, wanted } = wondering;
  if (wanted.target === "inactive") {
    const change = { says: `start ${wanted.name}`, trouble: 0, units: [{ ...wanted, target: "launched" as const }] };
    return tryOut(wondering, change) === undefined ? [] : [change.says];
  }
  const unit = scheduler.last.units.named.get(wanted.name);
  if (unit === undefined || unit.cycle !== undefined) return [];
  const changes = [
    ...wondering.misses.flatMap((miss) => mend(unit, { miss, wondering }) ?? []),
    ...(wanted.options.global ? [] : [furtherMachine(wondering)]),
  ].sort((a, b) => a.trouble - b.trouble);
  const told = new Map<string, number>();
  for (const change of changes) {
    if (told.size === mostChanges) break;
    if (!told.has(change.says) && tryOut(wondering, change) !== undefined) told.set(change.says, change.trouble);
  }
  const priority = wanted.options.global || told.size === mostChanges ? undefined : higherPriority(wondering);
  if (priority !== undefined) told.set(priority, trouble.priority);
  return [...told].sort(([, a], [, b]) => a - b).map(([says]) => says);
}

/** What the cluster would be like with the change: whom the unit displaces; undefined: it is not placed all the same. */
function tryOut(
  { scheduler, state, wanted }: Wondering,
  { machines = [], units = [], on }: Omit<Change, "says" | "trouble">,
): { readonly displaced: readonly { readonly unit: string; readonly from: MachineId }[] } | undefined {
  const none = { changed: [], removed: [] };
  scheduler.change({ machines: { ...none, changed: machines }, units: { ...none, changed: units } });
  const { displaced } = scheduler.pass();
  const places = [...scheduler.placesOf(wanted.name)];
  const isPlaced = on === undefined ? places.length > 0 : places.includes(on);
  const ids = new Set(machines.map(({ id }) => id));
  const names = new Set(units.map(({ name }) => name));
  const before = state.machines.filter(({ id }) => ids.has(id));
  for (const { id } of before) ids.delete(id);
  scheduler.change({
    machines: { changed: before, removed: [...ids] },
    units: { ...none, changed: state.wanted.filter(({ name }) => names.has(name)) },
  });
  scheduler.pass();
  return isPlaced ? { displaced: displaced.filter(({ by }) => by === wanted.name) } : undefined;
}

/** A machine while it is mended, in words and as it would be. */
interface Mending {
  machine: CandidateMachine;
  units: readonly WantedUnit[];
  trouble: number;
  readonly says: string[];
}

/** All that keeps the unit from this machine, put right; undefined where that cannot be done by a word. */
function mend(
  unit: ActiveUnit,
  { miss, wondering }: { readonly miss: Miss; readonly wondering: Wondering },
): Change | undefined {
  const { state, nameOf, wanted } = wondering;
  const { host, because } = miss;
  const machine = state.machines.find(({ id }) => id === host.id);
  if (machine === undefined) return undefined;
  const mending: Mending = { machine, units: [], trouble: because.length - 1, says: [] };
  const isMended = because.every(({ rule }) => mendRule(rule, { unit, host, mending, state, name: nameOf(host.id) }));
  if (!isMended) return undefined;
  return {
    says: mending.says.join(" and "),
    trouble: mending.trouble,
    ...(mending.machine === machine ? {} : { machines: [mending.machine] }),
    units: mending.units,
    ...(wanted.options.global ? { on: host.id } : {}),
  };
}

/** Whether there is a way. */
function mendRule(
  rule: RefusalRule,
  {
    unit,
    host,
    mending,
    state,
    name,
  }: {
    readonly unit: ActiveUnit;
    readonly host: Host;
    readonly mending: Mending;
    readonly state: ClusterState;
    readonly name: string;
  },
): boolean {
  const { machine, says } = mending;
  switch (rule) {
    case "metadata": {
      const { rules, tests } = unmet(unit, host);
      const metadata = mendMetadata({ rules, tests, metadata: machine.metadata });
      mending.machine = { ...machine, metadata };
      says.push(...metadataSays({ before: machine.metadata, after: metadata, name }));
      return true;
    }
    case "spread": {
      const key = unit.options.spread ?? "";
      mending.machine = { ...machine, metadata: { ...machine.metadata, [key]: "1" } };
      says.push(`give ${name} the metadata key ${key}`);
      return true;
    }
    case "cordoned": {
      const { cordoned: _cordoned, rests: _rests, drain: _drain, ...open } = machine;
      mending.machine = open;
      says.push(`uncordon ${name}`);
      return true;
    }
    case "memory": {
      const lacking = host.reservedBytes + host.bytesOf(unit.options.memory) - host.memoryBytes;
      mending.machine = { ...machine, memoryBytes: host.memoryBytes + lacking };
      says.push(`free ${bytesInWords(lacking, Math.ceil)} of memory on ${name}`);
      return true;
    }
    case "cpu": {
      const lacking = host.reservedMilliCpus + (unit.options.milliCpus ?? 0) - host.milliCpus;
      mending.machine = { ...machine, milliCpus: host.milliCpus + lacking };
      says.push(`free ${cpusInWords(lacking, Math.ceil)} processors on ${name}`);
      return true;
    }
    case "machine-of": {
      const leader = state.wanted.find((each) => each.name === unit.absent);
      if (leader === undefined) return false;
      mending.units = [...mending.units, { ...leader, target: "launched" }];
      says.push(`start ${leader.name}`);
      return true;
    }
    case "conflict": {
      const names = conflicting(unit, host).map((each) => each.name);
      if (names.length > mostToStop) return false;
      const stopped = state.wanted.filter((each) => names.includes(each.name));
      mending.units = [...mending.units, ...stopped.map((each) => ({ ...each, target: "inactive" as const }))];
      mending.trouble += trouble.stop;
      says.push(`stop ${names.join(" and ")}`);
      return true;
    }
    case "machine-id":
    case "machine-of-cycle":
    case "replaced":
    case "no-machine":
      return false;
  }
}

function mendMetadata({
  rules,
  tests,
  metadata,
}: {
  readonly rules: readonly MetadataRule[];
  readonly tests: readonly MetadataTest[];
  readonly metadata: CandidateMachine["metadata"];
}): CandidateMachine["metadata"] {
  const mended = new Map(Object.entries(metadata));
  for (const { key, values } of rules) if (values[0] !== undefined) mended.set(key, values[0]);
  for (const each of tests) {
    const value = valueFor(each);
    if (value === undefined) mended.delete(each.key);
    else mended.set(each.key, value);
  }
  return Object.fromEntries(mended);
}

/** One that satisfies the comparison; undefined: to lack the key. */
function valueFor(test: MetadataTest): string | undefined {
  switch (test.test) {
    case "exists":
      return "yes";
    case "equals":
      return test.value;
    case "at-most":
    case "at-least":
      return String(test.value);
    case "below":
      return String(test.value - 1);
    case "above":
      return String(test.value + 1);
    case "missing":
    case "differs":
      return undefined;
  }
}

function metadataSays({
  before,
  after,
  name,
}: {
  readonly before: CandidateMachine["metadata"];
  readonly after: CandidateMachine["metadata"];
  readonly name: string;
}): readonly string[] {
  const given = pairs(after, before).filter((pair) => pair !== `${opennessKey}=yes`);
  const taken = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  return [
    ...(given.length === 0 ? [] : [`give ${name} the metadata ${given.join(" ")}`]),
    ...taken.map((key) => `take the metadata key ${key} from ${name}`),
    ...(before[opennessKey] === after[opennessKey] ? [] : [`set ${opennessKey}=yes on ${name}`]),
  ];
}

/** `disk=ssd`, in the order of keys, of those that `known` does not have. */
function pairs(metadata: CandidateMachine["metadata"], known: CandidateMachine["metadata"] = {}): readonly string[] {
  return Object.entries(metadata)
    .sort(([a], [b]) => byName(a, b))
    .flatMap(([key, value]) => (known[key] === value ? [] : [`${key}=${value}`]));
}

/** One with all that it asks and nothing on it. */
function furtherMachine({ state, wanted }: Wondering): Change {
  const { metadata: rules, demands = [], spread, memory, milliCpus } = wanted.options;
  const keys = mendMetadata({ rules, tests: demands, metadata: {} });
  const metadata = spread === undefined || Object.hasOwn(keys, spread) ? keys : { ...keys, [spread]: "1" };
  const asked = pairs(keys).filter((pair) => pair !== `${opennessKey}=yes`);
  const needs = [
    ...(asked.length === 0 ? [] : [`the metadata ${asked.join(" ")}`]),
    ...(metadata === keys || spread === undefined ? [] : [`the metadata key ${spread}`]),
    ...(memory === undefined
      ? []
      : [
          "bytes" in memory
            ? `${bytesInWords(memory.bytes, Math.ceil)} of memory`
            : `${memory.percent} % of its memory free`,
        ]),
    ...(milliCpus === undefined ? [] : [`${cpusInWords(milliCpus, Math.ceil)} processors`]),
  ];
  return {
    says: `add a machine${needs.length === 0 ? "" : ` with ${needs.join(" and ")}`}`,
    trouble: trouble.machine,
    machines: [{ id: freeId(state), metadata, standing: "present" }],
  };
}

function freeId({ machines }: ClusterState): MachineId {
  const taken = new Set<string>(machines.map(({ id }) => id));
  for (let n = 0; ; n++) {
    const id = n.toString(16).padStart(32, "f");
    if (!taken.has(id)) return id as MachineId;
  }
}

/** The lowest priority with which it would be placed, and who would make way. */
function higherPriority(wondering: Wondering): string | undefined {
  const { scheduler, wanted, nameOf } = wondering;
  const { units } = scheduler.last;
  const own = units.named.get(wanted.name)?.priority ?? 0;
  const above = new Set<number>();
  for (const unit of units.named.values())
    if (unit.name !== wanted.name && unit.priority >= own && unit.priority < priorityBounds.most)
      above.add(unit.priority);
  const ascending = [...above].sort((a, b) => a - b);
  const highest = ascending.at(-1);
  const withPriority = (than: number): ReturnType<typeof tryOut> =>
    tryOut(wondering, { units: [{ ...wanted, options: { ...wanted.options, priority: than + 1 } }] });
  if (highest === undefined || withPriority(highest) === undefined) return undefined;
  for (const than of ascending.slice(0, mostPriorities)) {
    const found = withPriority(than);
    if (found === undefined) continue;
    const [first] = found.displaced;
    if (first === undefined) return `set Priority= above ${than}`;
    const where = found.displaced.every(({ from }) => from === first.from) ? ` on ${nameOf(first.from)}` : "";
    return `set Priority= above ${than}: it would displace ${someOf(found.displaced.map(({ unit }) => unit))}${where}`;
  }
  return undefined;
}
