// Small examples of what docs/placement.md says, section by section: that the plain definition means the same. The engine is
// held against the definition in properties.test.ts.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import type { MetadataTest } from "../../../agent/domain/unit.ts";
import { type Asked, type Case, applied, cluster, describe } from "./cluster.ts";
import { plainDecisions } from "./plain.ts";

interface Row extends Case {
  readonly name: string;
  readonly expect: readonly string[];
}

const plain: Asked = {};
const bytes = (amount: number, more: Asked = plain): Asked => ({ ...more, memory: { bytes: amount } });
const many = (names: readonly string[], asked: Asked = plain): Record<string, Asked> =>
  Object.fromEntries(names.map((name) => [name, asked]));
/** Unit names to one machine. */
const at = (machine: string, ...names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, machine]));
const eu: MetadataTest = { key: "region", test: "equals", value: "eu" };

const sections: Readonly<Record<string, readonly Row[]>> = {
  "what is asked in which order": [
    {
      name: "the higher priority first, then by name",
      units: { p: bytes(6), q: bytes(6, { priority: 5 }), r: bytes(6, { priority: 5 }) },
      machines: ["a", "b"],
      facts: { a: { memoryBytes: 10 }, b: { memoryBytes: 10 } },
      expect: ["wait p: memory 2", "place q on a", "place r on b"],
    },
    {
      name: "one that is followed has the priority of its follower, near or far",
      units: {
        base: bytes(6),
        middle: { machineOf: ["base"] },
        top: { machineOf: ["middle"], priority: 5 },
        other: bytes(6, { priority: 4 }),
      },
      machines: ["a"],
      facts: { a: { memoryBytes: 10 } },
      expect: ["place base on a", "place middle on a", "wait other: memory 1", "place top on a"],
    },
    {
      name: "one that is followed does not hand its own priority on",
      units: { base: { priority: 5 }, p: bytes(6, { machineOf: ["base"] }), o: bytes(6) },
      machines: ["a"],
      facts: { a: { memoryBytes: 10 } },
      expect: ["place base on a", "place o on a", "wait p: memory 1"],
    },
    {
      name: "one that is followed is decided just before the first of its followers",
      units: { p: { machineOf: ["z"] }, q: plain, z: plain },
      machines: ["a", "b"],
      expect: ["place p on a", "place q on b", "place z on a"],
    },
  ],
  "what may stay, stays": [
    {
      name: "whatever is reserved, spread, liked or cordoned",
      units: { p: bytes(20, { avoid: [eu], spread: "zone", milliCpus: 9_000 }) },
      machines: { a: { region: "eu" }, b: { zone: "1" } },
      facts: { a: { memoryBytes: 10, milliCpus: 1_000, cordoned: true } },
      at: at("a", "p"),
      expect: ["keep p on a"],
    },
    {
      name: "not where its demands do not hold any more",
      units: { p: { demands: [{ key: "disk", test: "above", value: 5 }] } },
      machines: { a: { disk: "5" }, b: { disk: "5.5" } },
      at: at("a", "p"),
      expect: ["place p on b from a"],
    },
    {
      name: "of two that conflict the one that was decided first: by priority",
      units: { p: plain, q: { conflicts: ["p"], priority: 1 } },
      machines: ["a"],
      at: at("a", "p", "q"),
      expect: ["wait p from a: conflict 1", "keep q on a"],
    },
  ],
  "comparisons with metadata": [
    {
      name: "a key that is not there only differs or is missing",
      units: {
        above: { demands: [{ key: "k", test: "above", value: -1 }] },
        below: { demands: [{ key: "k", test: "below", value: 1 }] },
        differs: { demands: [{ key: "k", test: "differs", value: "1" }] },
        equals: { demands: [{ key: "k", test: "equals", value: "1" }] },
        exists: { demands: [{ key: "k", test: "exists" }] },
        missing: { demands: [{ key: "k", test: "missing" }] },
      },
      machines: ["a"],
      expect: [
        "wait above: metadata 1",
        "wait below: metadata 1",
        "place differs on a",
        "wait equals: metadata 1",
        "wait exists: metadata 1",
        "place missing on a",
      ],
    },
    {
      name: "numbers; what is none satisfies nothing",
      units: {
        "at-least": { demands: [{ key: "k", test: "at-least", value: 5 }] },
        "at-most": { demands: [{ key: "k", test: "at-most", value: 5 }] },
        word: { demands: [{ key: "word", test: "at-least", value: 0 }] },
        empty: { demands: [{ key: "empty", test: "at-least", value: 0 }] },
      },
      machines: { a: { k: "5.0", word: "many", empty: "" } },
      expect: ["place at-least on a", "place at-most on a", "wait empty: metadata 1", "wait word: metadata 1"],
    },
  ],
  "what waits is placed": [
    {
      name: "a machine counts for the first rule that it breaks",
      units: { p: bytes(20, { spread: "zone", machineOf: ["q"], metadata: [{ key: "x", values: ["1"] }] }) },
      machines: { a: { x: "1", zone: "1" }, b: { x: "1", zone: "1" }, c: { x: "1" }, d: {}, "e?": {} },
      facts: { b: { cordoned: true } },
      expect: ["wait p: metadata 1, cordoned 1, spread 1, machine-of 1, no-machine 1"],
    },
    {
      name: "memory and processors of all that is there, global units too",
      units: { g: bytes(4, { global: true }), p: bytes(6), q: bytes(1), r: { milliCpus: 1_001 }, s: plain },
      machines: ["a"],
      facts: { a: { memoryBytes: 10, milliCpus: 1_000 } },
      at: at("a", "g", "p"),
      expect: ["keep g on a", "keep p on a", "wait q: memory 1", "wait r: cpu 1", "place s on a"],
    },
    {
      name: "a share of the machine's own memory, rounded down; of an unknown one nothing",
      units: { p: { memory: { percent: 50 } }, q: bytes(2), r: bytes(1) },
      machines: ["a"],
      facts: { a: { memoryBytes: 5 } },
      at: at("a", "p"),
      expect: ["keep p on a", "place q on a", "place r on a"],
    },
    {
      name: "what is not known of a machine refuses nothing",
      units: { p: bytes(100), q: { milliCpus: 9_000 }, r: { memory: { percent: 90 } }, s: { memory: { percent: 90 } } },
      machines: ["a"],
      facts: { a: { memoryBytes: 0 } },
      expect: ["place p on a", "place q on a", "place r on a", "place s on a"],
    },
    {
      name: "fewest instances in the same zone, before load",
      units: { ...many(["w@1.service", "w@2.service", "w@3.service"], { spread: "zone" }), ...many(["o", "p"]) },
      machines: { a: { zone: "1" }, b: { zone: "1" }, c: { zone: "2" } },
      at: { ...at("a", "w@1.service"), ...at("c", "o", "p") },
      expect: [
        "keep o on c",
        "keep p on c",
        "keep w@1.service on a",
        "place w@2.service on c",
        "place w@3.service on b",
      ],
    },
    {
      name: "presumed machines count for spreading; other types and templates do not",
      units: { ...many(["w@1.service", "w@2.service", "w@1.timer", "x@1.service"], { spread: "zone" }) },
      machines: { "a?": { zone: "1" }, b: { zone: "1" }, c: { zone: "2" }, d: { zone: "2" } },
      at: { ...at("a", "w@1.service"), ...at("c", "w@1.timer", "x@1.service") },
      expect: ["keep w@1.service on a", "keep w@1.timer on c", "place w@2.service on d", "keep x@1.service on c"],
    },
    {
      name: "then the most that it would rather have, less what it would rather not, before load",
      units: { o: plain, p: { prefer: [eu], avoid: [{ key: "slow", test: "exists" }] } },
      machines: { a: {}, b: { region: "eu", slow: "" }, c: { region: "eu" } },
      at: at("c", "o"),
      expect: ["keep o on c", "place p on c"],
    },
    {
      name: "the machine that it is leaving comes first, but not when cordoned",
      units: { p: plain, q: plain },
      machines: ["a", "b", "c"],
      facts: { b: { cordoned: true } },
      leaving: { p: "b", q: "c" },
      expect: ["place p on a", "place q on c"],
    },
    {
      name: "global units neither come to a cordoned machine nor displace",
      units: { g: bytes(6, { global: true, priority: 10 }), p: bytes(6) },
      machines: ["a", "b", "c"],
      facts: { a: { cordoned: true }, b: { memoryBytes: 10 } },
      at: at("b", "p"),
      expect: ["place g on c", "keep p on b"],
    },
  ],
  displacement: [
    {
      name: "a conflicting unit of a lower priority goes, and finds another machine",
      units: { low: plain, u: { priority: 1, conflicts: ["low"], metadata: [{ key: "x", values: ["1"] }] } },
      machines: { a: { x: "1" }, b: {} },
      at: at("a", "low"),
      expect: ["place low on b from a", "place u on a"],
    },
    {
      name: "none of an equal priority, and no global one",
      units: { equal: { priority: 1 }, g: { global: true }, u: { priority: 1, conflicts: ["equal", "g"] } },
      machines: ["a", "b"],
      facts: { b: { cordoned: true } },
      at: at("a", "equal", "g"),
      expect: ["keep equal on a", "keep g on a", "wait u: cordoned 1, conflict 1"],
    },
    {
      name: "not where another rule refuses",
      units: { low: bytes(8), u: bytes(8, { priority: 1 }) },
      machines: ["a"],
      facts: { a: { memoryBytes: 10, cordoned: true } },
      at: at("a", "low"),
      expect: ["keep low on a", "wait u: cordoned 1"],
    },
    {
      name: "for room the lowest priority first, of equal ones the last by name, and only what reserves what lacks",
      units: {
        idle: { priority: -9 },
        busy: { priority: -9, milliCpus: 1 },
        p: bytes(4),
        q: bytes(4),
        r: bytes(2, { priority: 1 }),
        u: bytes(4, { priority: 2 }),
      },
      machines: ["a"],
      facts: { a: { memoryBytes: 10 } },
      at: at("a", "idle", "busy", "p", "q", "r"),
      expect: [
        "keep busy on a",
        "keep idle on a",
        "keep p on a",
        "wait q from a: memory 1",
        "keep r on a",
        "place u on a",
      ],
    },
    {
      name: "with sparing: what a bigger one made needless stays, the highest priority first",
      units: { p: bytes(1), q: bytes(2, { priority: 1 }), r: bytes(7, { priority: 2 }), u: bytes(8, { priority: 3 }) },
      machines: ["a"],
      facts: { a: { memoryBytes: 10 } },
      at: at("a", "p", "q", "r"),
      // p, q and r were taken; with u there are 2 bytes to spare: q stays, and then there is no room for p
      expect: ["wait p from a: memory 1", "keep q on a", "wait r from a: memory 1", "place u on a"],
    },
    {
      name: "with followers: they go too",
      units: {
        base: bytes(6),
        near: { machineOf: ["base"] },
        far: { machineOf: ["near"] },
        u: bytes(6, { priority: 1, machineId: "aaaaaaaa" }),
      },
      machines: ["a", "b"],
      facts: { a: { memoryBytes: 10 } },
      at: at("a", "base", "near", "far"),
      expect: ["place base on b from a", "place far on b from a", "place near on b from a", "place u on a"],
    },
    {
      name: "not one that has the priority of its follower, nor one that a global unit follows",
      units: {
        base: bytes(3),
        top: { machineOf: ["base"], priority: 5 },
        host: bytes(3),
        g: { global: true, machineOf: ["host"] },
        u: bytes(6, { priority: 5 }),
      },
      machines: ["a"],
      facts: { a: { memoryBytes: 8 } },
      at: at("a", "base", "top", "host", "g"),
      expect: ["keep base on a", "keep g on a", "keep host on a", "keep top on a", "wait u: memory 1"],
    },
    {
      name: "not one that the unit follows",
      units: { base: bytes(6), u: bytes(6, { priority: 1, machineOf: ["base"] }) },
      machines: ["a"],
      facts: { a: { memoryBytes: 10 } },
      at: at("a", "base"),
      expect: ["keep base on a", "wait u: memory 1"],
    },
    {
      name: "where the highest of the displaced is lowest, then where the fewest are",
      units: {
        ...many(["b1", "b2"], bytes(4)),
        c: bytes(8),
        mid: bytes(8, { priority: 1 }),
        u: bytes(8, { priority: 2 }),
      },
      machines: ["a", "b", "c"],
      facts: { a: { memoryBytes: 8 }, b: { memoryBytes: 8 }, c: { memoryBytes: 8 } },
      at: { ...at("a", "mid"), ...at("b", "b1", "b2"), ...at("c", "c") },
      expect: ["keep b1 on b", "keep b2 on b", "wait c from c: memory 3", "keep mid on a", "place u on c"],
    },
    {
      name: "what is displaced may displace in its turn",
      units: { p: bytes(8), q: bytes(8, { priority: 1 }), u: bytes(8, { priority: 2, machineId: "bbbbbbbb" }) },
      machines: ["a", "b"],
      facts: { a: { memoryBytes: 8 }, b: { memoryBytes: 8 } },
      at: { p: "a", q: "b" },
      expect: ["wait p from a: memory 2", "place q on a from b", "place u on b"],
    },
  ],
  "drained machines": [
    {
      name: "in the order of decision, as many as the step allows; those that follow are not counted",
      units: { f: { machineOf: ["p"] }, g: { global: true }, p: plain, q: { priority: 1 }, r: plain },
      machines: ["a", "b"],
      facts: { a: { cordoned: true, drain: 2 } },
      at: at("a", "f", "g", "p", "q", "r"),
      expect: [
        "place f on b from a",
        "keep g on a",
        "place g on b",
        "place p on b from a",
        "place q on b from a",
        "keep r on a",
      ],
    },
    {
      name: "one that has moved with another is not counted either",
      units: { f: { machineOf: ["p"] }, p: plain, r: plain, s: plain },
      machines: ["a", "b"],
      facts: { a: { cordoned: true, drain: 2 } },
      at: at("a", "f", "p", "r", "s"),
      expect: ["place f on b from a", "place p on b from a", "place r on b from a", "keep s on a"],
    },
    {
      name: "all that follow or none, and the drain says why",
      units: { f: bytes(6, { machineOf: ["p"] }), p: bytes(6), q: plain },
      machines: ["a", "b", "c", "d?"],
      facts: { a: { cordoned: true, drain: 3 }, b: { memoryBytes: 10 }, c: { cordoned: true } },
      at: at("a", "f", "p", "q"),
      expect: ["keep f on a", "keep p on a stuck: cordoned 1, memory 1, no-machine 1", "place q on b from a"],
    },
    {
      name: "what is stuck does not use up the step, and nothing is displaced or replaced for it",
      units: { p: { priority: 9, conflicts: ["o"] }, o: plain, q: { replaces: ["o"] }, r: plain, s: plain },
      machines: ["a", "b"],
      facts: { a: { cordoned: true, drain: 1 } },
      at: { ...at("a", "p", "q", "r", "s"), o: "b" },
      expect: [
        "keep o on b",
        "keep p on a stuck: conflict 1",
        "keep q on a stuck: replaced 1",
        "place r on b from a",
        "keep s on a",
      ],
    },
    {
      name: "a budget of nothing moves nothing, and asks nobody",
      units: { p: { metadata: [{ key: "x", values: ["1"] }] } },
      machines: { a: { x: "1" }, b: {} },
      facts: { a: { cordoned: true, drain: 0 } },
      at: at("a", "p"),
      expect: ["keep p on a"],
    },
    {
      name: "to the best machine for the unit; a drained one takes nothing",
      units: { "w@1.service": { spread: "zone" }, "w@2.service": { spread: "zone" }, o: plain },
      machines: { a: { zone: "1" }, b: { zone: "2" }, c: { zone: "1" }, d: { zone: "3" } },
      facts: { a: { cordoned: true, drain: 1 }, d: { cordoned: true, drain: 1 } },
      at: { "w@1.service": "a", "w@2.service": "b", o: "c" },
      expect: ["keep o on c", "place w@1.service on c from a", "keep w@2.service on b"],
    },
    {
      name: "without another machine",
      units: { p: plain },
      machines: ["a"],
      facts: { a: { cordoned: true, drain: 1 } },
      at: at("a", "p"),
      expect: ["keep p on a stuck: no-machine 0"],
    },
  ],
  rebalancing: [
    {
      name: "only where it is switched on",
      units: many(["p", "q", "r"]),
      machines: ["a", "b"],
      at: at("a", "p", "q", "r"),
      expect: ["keep p on a", "keep q on a", "keep r on a"],
    },
    {
      name: "the last in the order of decision, as long as the loads become more even",
      units: { p: plain, q: plain, r: { priority: 1 } },
      machines: ["a", "b"],
      at: at("a", "p", "q", "r"),
      rebalance: 3,
      expect: ["keep p on a", "place q on b from a", "keep r on a"],
    },
    {
      name: "as many moves as the step allows",
      units: many(["p", "q", "r", "s"]),
      machines: ["a", "b"],
      at: at("a", "p", "q", "r", "s"),
      rebalance: 1,
      expect: ["keep p on a", "keep q on a", "keep r on a", "place s on b from a"],
    },
    {
      name: "with its followers, if the target has then no more than the source",
      units: { o: plain, p: plain, q: { machineOf: ["p"] }, r: { machineOf: ["z"] }, z: plain },
      machines: ["a", "b"],
      at: at("a", "o", "p", "q", "r", "z"),
      rebalance: 1,
      expect: ["keep o on a", "keep p on a", "keep q on a", "place r on b from a", "place z on b from a"],
    },
    {
      name: "not to where it likes it less, where it is spread worse, or where nothing new comes",
      units: {
        "w@1.service": { spread: "zone" },
        "w@2.service": { spread: "zone" },
        ...many(["x", "y", "z"], { prefer: [eu] }),
      },
      machines: { a: { region: "eu", zone: "1" }, b: { zone: "2" }, c: { region: "eu" } },
      facts: { c: { cordoned: true } },
      at: { ...at("a", "w@1.service", "x", "y", "z"), "w@2.service": "b" },
      rebalance: 2,
      expect: ["keep w@1.service on a", "keep w@2.service on b", "keep x on a", "keep y on a", "keep z on a"],
    },
    {
      name: "where the most loaded can give none, the next one is looked at",
      units: { ...many(["p", "q", "r", "s"], { machineId: "aaaaaaaa" }), ...many(["t", "u"]) },
      machines: ["a", "b", "c"],
      at: { ...at("a", "p", "q", "r", "s"), ...at("b", "t", "u") },
      rebalance: 1,
      expect: [
        ...["keep p on a", "keep q on a", "keep r on a", "keep s on a"],
        ...["keep t on b", "place u on c from b"],
      ],
    },
  ],
};

for (const [section, rows] of Object.entries(sections)) {
  suite(`placement, plainly: ${section}`, () => {
    for (const { name, expect, ...given } of rows) {
      test(name, () => {
        const state = cluster(given);
        const decisions = plainDecisions(state);
        assert.deepEqual(decisions.map(describe), expect);
        if (given.rebalance !== undefined || state.machines.some((each) => each.drain !== undefined)) return;
        const later = plainDecisions(applied(state, decisions)).map((each) => each.kind);
        assert.ok(!later.includes("place") && !later.includes("drop"), "and then stays so");
      });
    }
  });
}
