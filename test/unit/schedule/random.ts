// Random clusters, rich in relations on few names and values, and random histories of them.
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { CandidateMachine, ClusterState, Placement, WantedUnit } from "../../../agent/domain/placement.ts";
import type { MemoryReserve, MetadataRule, MetadataTest } from "../../../agent/domain/unit.ts";
import { fc } from "../../property.ts";
import { type ClusterChange, applyChange } from "./change.ts";
import { type Asked, id, unit } from "./cluster.ts";

const names = [
  ...["a.service", "b.service", "c.service", "d.service", "e.timer", "f.socket", "g.service"],
  ...["v@1.service", "v@1.timer", "v@2.service", "w@1.service", "w@2.service", "w@3.service", "w@4.service"],
];
const letters = ["a", "b", "c", "d", "e", "f", "g"];
/** Machines that may have something; the last is always gone. */
const places = [...letters, "h"].map(id);
const patterns = [...names, "w@*.service", "v@1.*", "[abc].service", "*.timer", "?.service", "*", "[", "none.service"];

export interface Extent {
  /** Whether machines may be presumed. */
  readonly presumed?: boolean;
  /** Whether there are reserves, spreading, preferences, priorities, demands and cordons. */
  readonly wishes?: boolean;
  /** Whether machines are drained and loads made even. */
  readonly moves?: boolean;
}

/** `often` (a half, or whole) of ten times the value, else nothing. */
function maybe<T>(often: number, value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof(
    { weight: 20 - 2 * often, arbitrary: fc.constant(undefined) },
    { weight: 2 * often, arbitrary: value },
  );
}

/** Up to `most` of the values in any order, seldom more than one. */
function some(often: number, values: readonly string[], most = 2): fc.Arbitrary<readonly string[]> {
  if (values.length === 0) return fc.constant([]);
  const one = fc.constantFrom(...values).map((value) => [value]);
  const several = fc.shuffledSubarray([...values], { minLength: 1, maxLength: Math.min(most, values.length) });
  return maybe(often, fc.oneof({ weight: 2, arbitrary: one }, { weight: 1, arbitrary: several })).map(
    (found) => found ?? [],
  );
}

/** The record without what is undefined. */
function defined<T extends object>(record: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]: Exclude<T[Key], undefined>;
  };
}

const metadata: fc.Arbitrary<Readonly<Record<string, string>>> = fc
  .record({
    r: maybe(9, fc.constantFrom("1", "2", "3")),
    z: maybe(8, fc.constantFrom("x", "y")),
    n: maybe(5, fc.constantFrom("4", "8", "many", "")),
  })
  .map(defined);
const metadataRules: fc.Arbitrary<readonly MetadataRule[]> = maybe(
  1,
  fc.subarray(["1", "2", "3"], { minLength: 1, maxLength: 2 }).map((values) => [{ key: "r", values }]),
).map((rules) => rules ?? []);
const metadataTest: fc.Arbitrary<MetadataTest> = fc.oneof(
  fc.record({
    key: fc.constantFrom("r", "z"),
    test: fc.constantFrom("equals" as const, "differs" as const),
    value: fc.constantFrom("1", "2", "x"),
  }),
  fc.record({
    key: fc.constantFrom("n", "r"),
    test: fc.constantFrom("below" as const, "at-most" as const, "above" as const, "at-least" as const),
    value: fc.constantFrom(2, 4, 5.5),
  }),
  fc.record({ key: fc.constantFrom("r", "z", "n"), test: fc.constantFrom("exists" as const, "missing" as const) }),
);
const metadataTests = fc.array(metadataTest, { minLength: 1, maxLength: 3 });
const memory: fc.Arbitrary<MemoryReserve> = fc.oneof(
  fc.constantFrom(1, 2, 3, 5).map((bytes) => ({ bytes })),
  fc.constantFrom(5, 25, 50, 70).map((percent) => ({ percent })),
);
const target = fc.oneof(
  { weight: 8, arbitrary: fc.constant("launched" as const) },
  { weight: 1, arbitrary: fc.constantFrom("loaded" as const, "inactive" as const) },
);

/** Those named by MachineOf= are among `peers`, seldom any others. */
function wish(peers: readonly string[], { wishes = true }: Extent): fc.Arbitrary<Asked> {
  const before = {
    target,
    machineOf: fc.oneof({ weight: 40, arbitrary: some(3, peers) }, { weight: 1, arbitrary: some(10, names) }),
    metadata: metadataRules,
    conflicts: some(2, patterns),
    replaces: some(1.5, patterns),
    global: fc.integer({ min: 0, max: 6 }).map((roll) => roll === 0),
    machineId: maybe(0.5, fc.constantFrom(id("b").slice(0, 8), id("c"), "b")),
  };
  if (!wishes) return fc.record(before).map(defined);
  return fc
    .record({
      ...before,
      demands: maybe(0.5, fc.array(metadataTest, { minLength: 1, maxLength: 2 })),
      memory: maybe(5, memory),
      milliCpus: maybe(4, fc.constantFrom(250, 500, 1_000)),
      spread: maybe(3, fc.constantFrom("r", "z")),
      prefer: maybe(3, metadataTests),
      avoid: maybe(2, metadataTests),
      priority: maybe(6, fc.constantFrom(-5, 5, 10)),
    })
    .map(defined);
}

/** A unit of another name than all in `clusters`. */
export function newcomer(extent: Extent): fc.Arbitrary<WantedUnit> {
  return wish(names, extent).map((asked) => unit("u.service", asked));
}

/** Most follow none or one that stands before them; circles are few. */
function wantedUnits(extent: Extent): fc.Arbitrary<readonly WantedUnit[]> {
  return fc
    .shuffledSubarray(names)
    .chain((chosen) =>
      fc.tuple(...chosen.map((name, n) => wish(chosen.slice(0, n), extent).map((asked) => unit(name, asked)))),
    );
}

const capacity: fc.Arbitrary<Pick<CandidateMachine, "memoryBytes" | "milliCpus">> = fc
  .record({ memoryBytes: maybe(8, fc.constantFrom(0, 4, 7, 10)), milliCpus: maybe(7, fc.constantFrom(0, 500, 1_500)) })
  .map(defined);
function service({ moves = true }: Extent): fc.Arbitrary<Pick<CandidateMachine, "cordoned" | "drain">> {
  const cordoned = fc.constant({ cordoned: true as const });
  const drained = fc.integer({ min: 0, max: 3 }).map((drain) => ({ cordoned: true as const, drain }));
  return fc.oneof(
    { weight: 8, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: cordoned },
    { weight: moves ? 2 : 0, arbitrary: drained },
  );
}
function standing({ presumed = true }: Extent): fc.Arbitrary<CandidateMachine["standing"]> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constant("present" as const) },
    { weight: presumed ? 1 : 0, arbitrary: fc.constant("presumed" as const) },
  );
}

export function machine(letter: string, extent: Extent): fc.Arbitrary<CandidateMachine> {
  const { wishes = true } = extent;
  return fc
    .record({
      identity: fc.record({ id: fc.constant(id(letter)), metadata, standing: standing(extent) }),
      capacity: wishes ? capacity : fc.constant({}),
      service: wishes ? service(extent) : fc.constant({}),
    })
    .map((parts) => ({ ...parts.identity, ...parts.capacity, ...parts.service }));
}

const unitName = fc.constantFrom(...(names as UnitName[]));
const machineId: fc.Arbitrary<MachineId> = fc.constantFrom(...letters.map(id));
const somewhere: fc.Arbitrary<MachineId> = fc.constantFrom(...places);
function placed(most: number): fc.Arbitrary<readonly Placement[]> {
  return fc.uniqueArray(fc.record({ unit: unitName, on: somewhere }), {
    maxLength: most,
    size: "max",
    selector: (each) => `${each.unit} ${each.on}`,
  });
}
/** Most units somewhere, each on one machine. */
const placedOnce: fc.Arbitrary<readonly Placement[]> = fc
  .tuple(
    ...(names as UnitName[]).map((name) =>
      maybe(
        7,
        somewhere.map((on) => ({ unit: name, on })),
      ),
    ),
  )
  .map((found) => found.flatMap((each) => each ?? []));
const budget = fc.integer({ min: 0, max: 3 });

/** Up to 7 machines and 14 units. */
export function clusters(extent: Extent = {}): fc.Arbitrary<ClusterState> {
  const { wishes = true, moves = true } = extent;
  return fc
    .record({
      wanted: wantedUnits(extent),
      machines: fc.subarray(letters).chain((chosen) => fc.tuple(...chosen.map((letter) => machine(letter, extent)))),
      placements: fc.oneof({ weight: 1, arbitrary: placed(18) }, { weight: 2, arbitrary: placedOnce }),
      leaving: fc.oneof(fc.constant([]), placed(6)),
      parting: fc.oneof(fc.constant([]), placed(2)),
      running: fc.oneof(fc.constant([]), placed(10)),
      rebalance: wishes && moves ? maybe(4, budget) : fc.constant(undefined),
    })
    .map(defined);
}

function changes(extent: Extent): fc.Arbitrary<ClusterChange> {
  const { wishes = true, moves = true } = extent;
  const unitNames = fc.subarray(names as UnitName[], { maxLength: 5 });
  const asked = wish(names, extent);
  const someUnit = fc.tuple(unitName, asked).map(([name, options]) => unit(name, options));
  const kind = <Kind extends ClusterChange["kind"]>(is: Kind): fc.Arbitrary<Kind> => fc.constant(is);
  const always: fc.WeightedArbitrary<ClusterChange>[] = [
    {
      weight: 3,
      arbitrary: fc.record({
        kind: kind("machine"),
        machine: fc.constantFrom(...letters).chain((letter) => machine(letter, extent)),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind("machine-gone"), id: machineId }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: kind("machine-standing"),
        id: machineId,
        is: fc.record({ standing: standing(extent) }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: kind("machine-metadata"), id: machineId, is: fc.record({ metadata }) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: kind("unit"), unit: someUnit }) },
    { weight: 2, arbitrary: fc.record({ kind: kind("unit-gone"), name: unitName }) },
    {
      weight: 3,
      arbitrary: someUnit.map(({ name, options }) => ({ kind: "unit-options", name, is: { options } })),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind("unit-target"), name: unitName, is: fc.record({ target }) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: kind("placed"), on: somewhere, placed: unitNames, leaving: unitNames }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind("running"), on: somewhere, running: unitNames }) },
    {
      weight: 8,
      arbitrary: fc
        .record({ kind: kind("carried-out"), on: maybe(5, fc.subarray(places)) })
        .map((change): ClusterChange => defined(change)),
    },
  ];
  const alsoWishes: fc.WeightedArbitrary<ClusterChange>[] = [
    { weight: 2, arbitrary: fc.record({ kind: kind("machine-capacity"), id: machineId, is: capacity }) },
    { weight: 3, arbitrary: fc.record({ kind: kind("machine-service"), id: machineId, is: service(extent) }) },
  ];
  const alsoMoves: fc.WeightedArbitrary<ClusterChange>[] = [
    { weight: 1, arbitrary: fc.record({ kind: kind("rebalance"), moves: budget }) },
  ];
  return fc.oneof(...always, ...(wishes ? alsoWishes : []), ...(wishes && moves ? alsoMoves : []));
}

/** A cluster, and the changes before each of up to 12 further passes. */
export interface History {
  readonly start: ClusterState;
  readonly steps: readonly (readonly ClusterChange[])[];
}

export function histories(extent: Extent = {}): fc.Arbitrary<History> {
  return fc.record({
    start: clusters(extent),
    steps: fc.array(fc.array(changes(extent), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 12 }),
  });
}

/** The cluster at each pass, the first one first. */
export function statesOf({ start, steps }: History): readonly ClusterState[] {
  const states = [start];
  for (const step of steps) states.push(step.reduce(applyChange, states.at(-1)!));
  return states;
}
