// The engine with its memory against one without: whatever becomes of the registry, a pass that looks at what has changed
// writes the very manifests that a pass over everything would. From the registry's values to what is written to it, over random
// histories of a cluster whose machines do as they are told, one step at a time.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe as suite, test } from "node:test";
import { createWantedReader } from "../../../agent/desired/desired.ts";
import type { MachineSettings } from "../../../agent/domain/machine.ts";
import { type CommitId, type MachineId, type UnitHash, type UnitName, byName } from "../../../agent/domain/names.ts";
import { type Manifest, type WantedUnit, undecidable } from "../../../agent/domain/placement.ts";
import type { UnitStatus } from "../../../agent/domain/status.ts";
import type { TargetState, Unit, WantedState } from "../../../agent/domain/unit.ts";
import { standings, wantedSources } from "../../../agent/loops/cluster-state.ts";
import { Feed, type Novelty } from "../../../agent/loops/feed.ts";
import { type Budgets, Moves } from "../../../agent/loops/moves.ts";
import { PictureReader, type RegistryPicture } from "../../../agent/loops/picture.ts";
import type { Entry } from "../../../agent/ports/registry.ts";
import { type ManifestInput, type NextManifests, nextManifests } from "../../../agent/schedule/manifests.ts";
import { type Outcome, Scheduler } from "../../../agent/schedule/schedule.ts";
import * as values from "../../../agent/text/values.ts";
import { fc, tries } from "../../property.ts";
import { id, unit as wantedUnit } from "../schedule/cluster.ts";
import { clusters } from "../schedule/random.ts";

const { keys } = values;
const letters = ["a", "b", "c", "d"];
const names = ["a.service", "b.service", "c.service", "v@1.service", "w@1.service", "w@2.service"] as UnitName[];
const byHand = ["c.service", "hand.service", "w@9.service"] as UnitName[];
const by = "ann@desk";

type Step =
  | { readonly kind: "pass"; readonly refusedAfter: number; readonly forMs: number }
  | { readonly kind: "settled" }
  | { readonly kind: "leader"; readonly allowSubmit: boolean }
  | { readonly kind: "commit"; readonly wanted: readonly WantedUnit[]; readonly text: string }
  | { readonly kind: "accept" | "settle" | "leave"; readonly machine: string }
  | { readonly kind: "report"; readonly machine: string; readonly active: string }
  | {
      readonly kind: "join";
      readonly machine: string;
      readonly metadata: Readonly<Record<string, string>>;
      readonly open: boolean;
    }
  | { readonly kind: "settings"; readonly machine: string; readonly is: Partial<MachineSettings> }
  | { readonly kind: "garbage" | "remove"; readonly key: string }
  | { readonly kind: "edit"; readonly machine: string; readonly unit: UnitName }
  | { readonly kind: "submit"; readonly unit: UnitName; readonly asks: string; readonly target: TargetState }
  | { readonly kind: "hold"; readonly unit: UnitName; readonly target: TargetState }
  | { readonly kind: "restart"; readonly unit: UnitName; readonly is: string };

const machine = fc.constantFrom(...letters);
const target = fc.constantFrom("launched" as const, "launched" as const, "loaded" as const, "inactive" as const);
const metadata = fc.constantFrom<Readonly<Record<string, string>>>({}, { r: "1" }, { r: "2", z: "x" });
const anyUnit = fc.constantFrom(...names, ...byHand);
const ofMachine = fc
  .tuple(fc.constantFrom(keys.machine, keys.status, keys.settingsOf), machine)
  .map(([key, letter]) => key(id(letter)));
const ofUnit = fc.tuple(fc.constantFrom(keys.unit, keys.hold, keys.restart), anyUnit).map(([key, unit]) => key(unit));
const ofManifest = machine.map((letter) => keys.manifest(id(letter)));
const kind = <Kind extends Step["kind"]>(...is: readonly [Kind, ...Kind[]]): fc.Arbitrary<Kind> =>
  fc.constantFrom(...is);

const ordinary: fc.WeightedArbitrary<Step>[] = [
  {
    weight: 12,
    arbitrary: fc.record({
      kind: kind("pass"),
      refusedAfter: fc.constantFrom(Infinity, Infinity, Infinity, 0, 1, 2),
      forMs: fc.constantFrom(0, 1_000, 60_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind("leader"), allowSubmit: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: kind("settled") }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kind("commit"),
      wanted: clusters().map(({ wanted }) => wanted.filter(({ name }) => names.includes(name))),
      text: fc.constantFrom("one", "two"),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: kind("accept", "settle"), machine }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: kind("report"), machine, active: fc.constantFrom("active", "active", "failed") }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kind("leave"), machine }) },
  { weight: 3, arbitrary: fc.record({ kind: kind("join"), machine, metadata, open: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind("settings"),
      machine,
      is: fc.constantFrom<Partial<MachineSettings>>(
        {},
        { metadata: { r: "2" } },
        { cordoned: true },
        { cordoned: true, drain: { id: "1", by, sinceMs: 1, state: "moving" } },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kind("garbage", "remove"), key: fc.oneof(ofMachine, ofUnit) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind("submit"),
      unit: fc.constantFrom(...byHand),
      asks: fc.constantFrom(
        "",
        "MachineOf=a.service",
        "MachineOf=hand.service",
        "Conflicts=w@*.service",
        "Global=true",
      ),
      target,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kind("hold"), unit: anyUnit, target }) },
  { weight: 2, arbitrary: fc.record({ kind: kind("restart"), unit: anyUnit, is: fc.constantFrom("r1", "r2") }) },
];
/** What people do to manifests, which are nobody's but the leader's. */
const meddling: fc.WeightedArbitrary<Step>[] = [
  { weight: 1, arbitrary: fc.record({ kind: kind("garbage", "remove"), key: ofManifest }) },
  { weight: 1, arbitrary: fc.record({ kind: kind("edit"), machine, unit: anyUnit }) },
];
const extent = { minLength: 1, maxLength: 90, size: "max" } as const;
const histories = fc.oneof(
  fc.array(fc.oneof(...ordinary), extent),
  fc.array(fc.oneof(...ordinary, ...meddling), extent),
);

interface Simulated {
  accepted: Manifest | undefined;
  runs: readonly Pick<UnitStatus, "name" | "hash">[];
}

/** The registry, and the machines that act on it. */
class World {
  readonly entries = new Map<string, Entry>();
  changed = new Set<string>();
  nowMs = 1_000_000;
  commit: Parameters<typeof wantedSources>[1]["desired"];
  epoch = 1;
  settling = true;
  allowSubmit = true;
  /** Whether nobody but leaders has written manifests. */
  isFenced = true;
  /** Units that were global at some time: they may be on several machines. */
  readonly global = new Set<UnitName>();
  readonly #machines = new Map<string, Simulated>(letters.map((each) => [each, { accepted: undefined, runs: [] }]));
  #revision = 1;

  /** A unit is never told to two machines that live. */
  check(): void {
    if (!this.isFenced) return;
    const living = letters.filter((letter) => this.entries.has(keys.machine(id(letter))));
    for (const name of [...names, ...byHand]) {
      const told = living.filter((letter) =>
        this.manifest(letter)?.units.some((each) => each.name === name && each.target !== "released"),
      );
      assert.ok(told.length <= 1 || this.global.has(name), `${name} is told to ${told.join(" and ")}`);
    }
  }

  put(key: string, value: string): void {
    const createRevision = this.entries.get(key)?.createRevision ?? this.#revision + 1;
    this.entries.set(key, { key, value, createRevision, modRevision: ++this.#revision });
    this.changed.add(key);
  }

  remove(key: string): void {
    if (this.entries.delete(key)) this.#revision++;
    this.changed.add(key);
  }

  manifest(letter: string): Manifest | undefined {
    const key = keys.manifest(id(letter));
    const read = values.parseManifest(key, this.entries.get(key)?.value ?? "");
    return read.ok ? read.value : undefined;
  }

  happen(step: Exclude<Step, { kind: "pass" | "leader" | "settled" }>): void {
    switch (step.kind) {
      case "commit":
        for (const { name, options } of step.wanted) if (options.global) this.global.add(name);
        this.commit = {
          commit: sha(JSON.stringify(step)) as CommitId,
          units: new Map(
            [...step.wanted]
              .sort((a, b) => byName(a.name, b.name))
              .map((each) => [each.name, gitUnit(each, step.text)]),
          ),
          templates: new Map(),
          warnings: [],
        };
        return;
      case "settings": {
        const settings = { machine: id(step.machine), metadata: {}, by, atMs: 1, ...step.is };
        this.put(keys.settingsOf(id(step.machine)), values.encodeMachineSettings(settings));
        return;
      }
      case "garbage":
        this.isFenced &&= !step.key.startsWith(keys.manifests);
        if (this.entries.has(step.key)) this.put(step.key, "{");
        return;
      case "remove":
        this.isFenced &&= !step.key.startsWith(keys.manifests);
        this.remove(step.key);
        return;
      case "edit":
        this.isFenced = false;
        this.#edit(step.machine, step.unit);
        return;
      case "submit": {
        const text = `[Service]\nExecStart=/bin/true\n[X-Fleet]\n${step.asks}\n`;
        if (step.asks.startsWith("Global")) this.global.add(step.unit);
        const unit = { name: step.unit, text, dropIns: [], target: step.target, by, atMs: 1 };
        this.put(keys.unit(step.unit), values.encodeSubmittedUnit(unit));
        return;
      }
      case "hold":
        this.put(keys.hold(step.unit), values.encodeHold({ unit: step.unit, target: step.target, by, atMs: 1 }));
        return;
      case "restart":
        this.put(keys.restart(step.unit), values.encodeRestart({ unit: step.unit, id: step.is, by }));
        return;
      case "accept":
      case "settle":
      case "leave":
      case "report":
      case "join":
        this.#act(step);
        return;
    }
  }

  /** An operator's hand on a manifest: an entry more or less. */
  #edit(letter: string, name: UnitName): void {
    const manifest = this.manifest(letter);
    if (manifest === undefined) return;
    const left = manifest.units.filter((each) => each.name !== name);
    const hash = sha(name) as UnitHash;
    const more = { name, hash, target: "launched" as const, source: "submitted" as const };
    const units =
      left.length < manifest.units.length ? left : [...left, more].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.put(keys.manifest(id(letter)), values.encodeManifest({ ...manifest, units }));
  }

  #act(step: Extract<Step, { kind: "accept" | "settle" | "leave" | "report" | "join" }>): void {
    const machine = this.#machines.get(step.machine)!;
    const me = id(step.machine);
    const { accepted } = machine;
    switch (step.kind) {
      case "join": {
        this.put(
          keys.machine(me),
          values.encodeMachine({
            id: me,
            nonce: "0",
            hostname: step.machine,
            publicIp: "",
            metadata: step.metadata,
            cpus: 2,
            memoryBytes: 8,
            mayLead: true,
            version: "1",
            ...(step.open ? {} : { allowSubmit: false }),
          }),
        );
        return;
      }
      case "leave":
        this.remove(keys.machine(me));
        this.remove(keys.status(me));
        return;
      case "accept":
        machine.accepted = this.manifest(step.machine) ?? accepted;
        return;
      case "settle":
        machine.runs = accepted?.units.filter((each) => each.target !== "released") ?? [];
        return;
      case "report": {
        if (accepted === undefined || !this.entries.has(keys.machine(me))) return;
        const { epoch, generation } = accepted;
        const state = { load: "loaded", active: step.active, sub: "", result: "", sinceMs: 1, restarts: 0 };
        const units = machine.runs.map(({ name, hash }): UnitStatus => ({ ...state, name, hash, started: true }));
        this.put(keys.status(me), values.encodeStatus({ machine: me, seen: { epoch, generation }, units }));
        return;
      }
    }
  }
}

function sha(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

function gitUnit({ name, target, options }: WantedUnit, text: string): Unit {
  const hash = sha(JSON.stringify([text, options])) as UnitHash;
  const rest = { file: name, text, dropIns: [], description: undefined, hasInstall: false };
  return { ...rest, name, source: "git", hash, target, options, onChange: "restart" };
}

/** What engine.ts decides with, in one tenure. */
class Lead {
  readonly scheduler = new Scheduler();
  readonly reader = new PictureReader();
  readonly #wanted = createWantedReader();
  readonly #feed = new Feed(this.scheduler);
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Undefined while nothing may be decided. */
  read(
    changed?: ReadonlySet<string>,
  ): { readonly picture: RegistryPicture; readonly desired: WantedState } | undefined {
    const { entries, commit: desired, allowSubmit } = this.#world;
    const picture = this.reader.read(entries, changed);
    if (picture.problems.some(({ message }) => message.includes(keys.manifests))) return undefined;
    return { picture, desired: this.#wanted.read(wantedSources(picture, { desired, allowSubmit })) };
  }

  decide(
    { picture, desired }: { readonly picture: RegistryPicture; readonly desired: WantedState },
    {
      budgets,
      parting,
      generation,
      touchedOf,
    }: {
      readonly budgets: Budgets;
      readonly parting: ReadonlyMap<MachineId, readonly UnitName[]>;
      readonly generation: number;
      readonly touchedOf?: ((novelty: Novelty, outcome: Outcome) => Iterable<MachineId>) | undefined;
    },
  ): { readonly next: NextManifests; readonly outcome: Outcome } {
    const { settling, epoch } = this.#world;
    const standing = standings(picture, { settling, witnessed: new Set([id("a")]) });
    const novelty = this.#feed.tell({ picture, desired, standing, drains: budgets.drains, parting });
    const undecided = undecidable(desired.units.values(), desired.unknown);
    const outcome = this.scheduler.pass(budgets.rebalance, undecided);
    const input: ManifestInput = {
      board: this.scheduler,
      touched: touchedOf?.(novelty, outcome) ?? [...picture.manifests.keys(), ...standing.keys()],
      desired,
      undecidable: undecided,
      restarts: picture.restarts,
      manifests: picture.manifests,
      statuses: picture.statuses,
      unwritten: picture.ahead,
      wordOf: () => undefined,
      standing,
      epoch,
      generation,
    };
    return { next: nextManifests(input), outcome };
  }
}

/** A leader that goes on from pass to pass; each of its passes is held against one that begins with nothing. */
class Tenure {
  writes = 0;
  readonly #world: World;
  readonly #lead: Lead;
  readonly #moves: Moves;
  #generation = 0;
  #isWhole = false;
  #isFirst = true;

  constructor(world: World) {
    this.#world = world;
    this.#lead = new Lead(world);
    this.#moves = new Moves(this.#lead.scheduler, { perMinute: 6, nowMs: world.nowMs });
  }

  pass(refusedAfter: number): void {
    const world = this.#world;
    const { changed, nowMs, settling } = world;
    world.changed = new Set();
    const seen = this.#lead.read(this.#isFirst ? undefined : changed);
    this.#isFirst = false;
    const plain = new Lead(world);
    const plainSeen = plain.read();
    assert.deepEqual(seen?.picture, plainSeen?.picture);
    if (seen === undefined || plainSeen === undefined) return;
    assert.deepEqual(seen.desired, plainSeen.desired);
    const { picture, desired } = seen;
    const budgets = this.#moves.budgets(picture, { desired, nowMs, settling });
    const parting = this.#moves.parting(picture);
    const isWhole = this.#isWhole;
    this.#isWhole = false;
    const generation = this.#generation + 1;
    const { scheduler } = this.#lead;
    const touched = ({ machines, units }: Novelty, outcome: Outcome): Iterable<MachineId> => [
      ...machines,
      ...outcome.touched,
      ...[...units].flatMap((unit) => [...scheduler.placesOf(unit)]),
    ];
    const { next, outcome } = this.#lead.decide(seen, {
      budgets,
      parting,
      generation,
      touchedOf: isWhole ? touched : undefined,
    });
    const { next: plainNext } = plain.decide(plainSeen, { budgets, parting, generation });
    assert.deepEqual(next, plainNext);
    for (const name of [...names, ...byHand]) {
      assert.deepEqual(scheduler.concerned(name), plain.scheduler.concerned(name));
    }
    for (const name of undecidable(desired.units.values(), desired.unknown)) {
      for (const { machine, units } of next.writes) {
        const [before, after] = [picture.manifests.get(machine)?.units ?? [], units].map((list) =>
          list.find((each) => each.name === name),
        );
        if (before?.target !== "released") assert.deepEqual(after, before, `${name}, of which nothing is known`);
      }
    }
    const written = next.writes.slice(0, refusedAfter);
    for (const manifest of written) world.put(keys.manifest(manifest.machine), values.encodeManifest(manifest));
    if (next.writes.length > 0) this.#generation++;
    this.writes += written.length;
    if (written.length < next.writes.length) return; // the registry has moved on
    this.#isWhole = true;
    this.#moves.note(picture, { outcome, nowMs });
  }
}

const pass: Step = { kind: "pass", refusedAfter: Infinity, forMs: 0 };
const unit = "a.service" as UnitName;
const commitOf = (text: string): Step => ({ kind: "commit", wanted: [wantedUnit(unit)], text });
/** Histories that chance seldom finds. */
const seldom: readonly Step[][] = [
  // A manifest is written and taken away again before the next pass
  [pass, { kind: "remove", key: keys.manifest(id("a")) }, pass],
  // A unit gets another text while a hold on it cannot be read
  [
    commitOf("one"),
    ...[pass, pass],
    { kind: "hold", unit, target: "launched" },
    { kind: "garbage", key: keys.hold(unit) },
    ...[pass, commitOf("two"), pass],
    { kind: "remove", key: keys.hold(unit) },
    pass,
  ],
];

suite("a pass over what has changed", () => {
  test("writes what a pass over everything would, whatever becomes of the registry", () => {
    let writes = 0;
    fc.assert(
      fc.property(histories, (steps) => {
        const world = new World();
        for (const letter of "abc") world.happen({ kind: "join", machine: letter, metadata: { r: "1" }, open: true });
        let tenure = new Tenure(world);
        for (const each of steps) {
          if (each.kind === "pass") {
            world.nowMs += each.forMs;
            tenure.pass(each.refusedAfter);
            world.check();
          } else if (each.kind === "settled") world.settling = false;
          else if (each.kind === "leader") {
            world.settling = true;
            world.epoch++;
            world.allowSubmit = each.allowSubmit;
            writes += tenure.writes;
            tenure = new Tenure(world);
          } else world.happen(each);
        }
        writes += tenure.writes;
      }),
      { numRuns: tries(300), examples: seldom.map((steps) => [steps]) },
    );
    assert.ok(writes > 300, "hardly anything was ever written: the property has shown nothing");
  });
});
