// The table of placement: what fleet did, each row in its corrected form where it was amiss.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import { standingRefusal } from "../../../agent/schedule/machines.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { conflictTest, patternTest } from "../../../agent/text/conflict.ts";
import { type Asked, type Case, applied, cluster, describe, id, options } from "./cluster.ts";

const metadata = (...rules: readonly string[]): NonNullable<Asked["metadata"]> =>
  rules.map((rule) => {
    const [key = "", values = ""] = rule.split("=");
    return { key, values: values.split("|") };
  });
const plain: Asked = {};
const many = (names: readonly string[], asked: Asked = plain): Record<string, Asked> =>
  Object.fromEntries(names.map((name) => [name, asked]));

interface Row extends Case {
  readonly name: string;
  readonly expect: readonly string[];
}

const engine: readonly Row[] = [
  { name: "F-150: nothing", expect: [] },
  {
    name: "F-151: what is placed stays",
    units: { foo: plain },
    machines: ["a"],
    at: { foo: "a" },
    expect: ["keep foo on a"],
  },
  {
    name: "F-152: its machine went away",
    units: { foo: plain },
    machines: ["a"],
    at: { foo: "c" },
    expect: ["place foo on a from c"],
  },
  {
    name: "F-153: inactive is dropped",
    units: { foo: { target: "inactive" } },
    machines: ["a"],
    at: { foo: "a" },
    expect: ["drop foo on a"],
  },
  { name: "F-154: unplaced", units: { foo: plain }, machines: ["a"], expect: ["place foo on a"] },
  {
    name: "F-155: loaded is placed too",
    units: { foo: { target: "loaded" } },
    machines: ["a"],
    expect: ["place foo on a"],
  },
  { name: "F-156: no machine", units: { foo: plain }, expect: ["wait foo: no-machine 0"] },
  {
    name: "F-157: of two empty ones the lower id",
    units: { foo: plain },
    machines: ["b", "a"],
    expect: ["place foo on a"],
  },
  {
    name: "F-158: the less loaded",
    units: many(["p", "q", "r", "s"]),
    machines: ["a", "b"],
    at: { p: "a", q: "a", r: "b" },
    expect: ["keep p on a", "keep q on a", "keep r on b", "place s on b"],
  },
  {
    name: "F-160: by name, in turn",
    units: many(["p", "q", "r", "s", "t"]),
    machines: ["a", "b", "c"],
    expect: ["place p on a", "place q on b", "place r on c", "place s on a", "place t on b"],
  },
  {
    name: "F-161: no rebalancing",
    units: many(["p", "q", "r"]),
    machines: ["a", "b"],
    at: { p: "a", q: "a", r: "a" },
    expect: ["keep p on a", "keep q on a", "keep r on a"],
  },
  {
    name: "a placed unit is dropped by a commit without it",
    machines: ["a"],
    at: { gone: "a" },
    expect: ["drop gone on a"],
  },
  {
    name: "F-163: without any machine it waits for the return of its own",
    units: { foo: plain },
    at: { foo: "a" },
    expect: ["wait foo from a: no-machine 0"],
  },
  {
    name: "F-166: a global unit on every machine",
    units: { g: { global: true } },
    machines: ["a", "b", "c"],
    at: { g: "b" },
    expect: ["place g on a", "keep g on b", "place g on c"],
  },
  {
    name: "F-167, F-223 to F-227: a global unit where its metadata fits",
    units: {
      foo: { global: true, metadata: metadata("region=us-west") },
      bar: { global: true, metadata: metadata("disk=ssd") },
    },
    machines: { a: { disk: "ssd" }, b: { region: "us-west" }, c: { region: "us-east" } },
    expect: ["place bar on a", "place foo on b"],
  },
  {
    name: "a global unit leaves a machine that no longer fits",
    units: { g: { global: true, metadata: metadata("dog=woof") } },
    machines: { a: { cat: "miaow" }, b: { dog: "woof" } },
    at: { g: "ab" },
    expect: ["drop g on a", "keep g on b"],
  },
  {
    name: "a global unit that fits nowhere says why",
    units: { g: { global: true, metadata: metadata("dog=woof") } },
    machines: ["a", "b"],
    expect: ["wait g: metadata 2"],
  },
  {
    name: "a global unit on a machine that is gone is not dropped there: it may return",
    units: { g: { global: true } },
    machines: ["a"],
    at: { g: "ab" },
    expect: ["keep g on a"],
  },
  {
    name: "an inactive global unit is dropped everywhere",
    units: { g: { global: true, target: "inactive" } },
    machines: ["a"],
    at: { g: "ab" },
    expect: ["drop g on a", "drop g on b"],
  },
  {
    name: "F-169 better: an inactive global unit counts for nothing",
    units: { "g.service": { global: true, target: "inactive", conflicts: ["w*.service"] }, "web.service": plain },
    machines: ["a"],
    expect: ["place web.service on a"],
  },
  {
    name: "F-170: of two that conflict the later moves",
    units: { a: plain, b: { conflicts: ["a"] } },
    machines: ["a", "b"],
    at: { a: "a", b: "a" },
    expect: ["keep a on a", "place b on b from a"],
  },
  {
    name: "F-171: one for each machine",
    units: many(["w@1", "w@2", "w@3"], { conflicts: ["w@*"] }),
    machines: ["a", "b"],
    expect: ["place w@1 on a", "place w@2 on b", "wait w@3: conflict 2"],
  },
  {
    name: "F-172: a chain in one pass, names in the other order",
    units: { a: { machineOf: ["b"] }, b: { machineOf: ["c"] }, c: plain, bb: plain },
    machines: ["a", "b"],
    expect: ["place a on a", "place b on a", "place bb on b", "place c on a"],
  },
  {
    name: "F-173: a circle is named",
    units: { a: { machineOf: ["b"] }, b: { machineOf: ["a"] } },
    machines: ["a", "b"],
    expect: ["wait a: machine-of-cycle 2", "wait b: machine-of-cycle 2"],
  },
  {
    name: "F-173: what follows a circle waits for it",
    units: { a: { machineOf: ["a"] }, b: { machineOf: ["a"] } },
    machines: ["a"],
    expect: ["wait a: machine-of-cycle 1", "wait b: machine-of 1"],
  },
  {
    name: "F-174: its target becomes inactive",
    units: { a: { machineOf: ["b"] }, b: { target: "inactive" } },
    machines: ["a"],
    at: { a: "a", b: "a" },
    expect: ["wait a from a: machine-of 1", "drop b on a"],
  },
  {
    name: "F-175: both move in one pass",
    units: { a: { machineOf: ["b"] }, b: plain },
    machines: ["b"],
    at: { a: "a", b: "a" },
    expect: ["place a on b from a", "place b on b from a"],
  },
  {
    name: "F-176: follows a global unit to where it belongs",
    units: { a: { machineOf: ["g"] }, g: { global: true, metadata: metadata("x=1") } },
    machines: { a: {}, b: { x: "1" } },
    expect: ["place a on b", "place g on b"],
  },
  {
    name: "F-177: its target is unknown",
    units: { a: { machineOf: ["zzz"] } },
    machines: ["a", "b"],
    expect: ["wait a: machine-of 2"],
  },
  {
    name: "a follower goes after its target, which does not wait for it",
    units: { a: { machineOf: ["b"], metadata: metadata("x=1") }, b: plain },
    machines: { a: {}, b: { x: "1" } },
    expect: ["wait a: metadata 1, machine-of 1", "place b on a"],
  },
  {
    name: "F-178 better: the replaced one stays while no other machine takes it",
    units: { new: { replaces: ["old"] }, old: plain },
    machines: ["a"],
    at: { old: "a" },
    expect: ["wait new: replaced 1", "keep old on a"],
  },
  {
    name: "F-179 better: the replaced one's own constraints hold",
    units: { new: { replaces: ["old"], metadata: metadata("r=1") }, old: { metadata: metadata("r=1") } },
    machines: { a: { r: "1" }, b: {} },
    at: { old: "a" },
    expect: ["wait new: metadata 1, replaced 1", "keep old on a"],
  },
  {
    name: "F-180 better: always the replaced one moves",
    units: { new: { replaces: ["old"] }, old: plain, p: plain, q: plain },
    machines: ["a", "b"],
    at: { old: "a", p: "b", q: "b" },
    expect: ["place new on a", "place old on b from a", "keep p on b", "keep q on b"],
  },
  {
    name: "F-180: together before the one came to replace the other",
    units: { new: { replaces: ["old"] }, old: plain },
    machines: ["a", "b"],
    at: { old: "a", new: "a" },
    expect: ["keep new on a", "place old on b from a"],
  },
  {
    name: "together and no other machine: both stay",
    units: { new: { replaces: ["old"] }, old: plain },
    machines: ["a"],
    at: { old: "a", new: "a" },
    expect: ["keep new on a", "keep old on a"],
  },
  {
    name: "the replaced one does not come to the one that replaces it",
    units: { new: { replaces: ["old"] }, old: plain },
    machines: ["a"],
    at: { new: "a" },
    expect: ["keep new on a", "wait old: replaced 1"],
  },
  {
    name: "followers go with the replaced one",
    units: { new: { replaces: ["old"] }, old: plain, side: { machineOf: ["old"] }, p: plain, q: plain, r: plain },
    machines: ["a", "b"],
    at: { old: "a", side: "a", p: "b", q: "b", r: "b" },
    expect: [
      "place new on a",
      "place old on b from a",
      "keep p on b",
      "keep q on b",
      "keep r on b",
      "place side on b from a",
    ],
  },
  {
    name: "one that has still to be down elsewhere moves nobody yet",
    units: { new: { replaces: ["old"], metadata: metadata("x=1") }, old: plain, p: plain, q: plain },
    machines: { a: { x: "1" }, b: { x: "1" }, c: {} },
    at: { old: "a", p: "b", q: "b" },
    leaving: { new: "c" },
    expect: ["place new on b", "keep old on a", "keep p on b", "keep q on b"],
  },
  {
    name: "F-181: each names the other: no relation",
    units: { new: { replaces: ["old"] }, old: { replaces: ["new"] } },
    machines: ["a"],
    at: { old: "a" },
    expect: ["place new on a", "keep old on a"],
  },
  {
    name: "a unit cannot replace what it follows through others",
    units: { new: { replaces: ["old"], machineOf: ["mid"] }, mid: { machineOf: ["old"] }, old: plain },
    machines: ["a", "b"],
    expect: ["place mid on a", "place new on a", "place old on a"],
  },
  {
    name: "the last owner wins while it may",
    units: { p: plain },
    machines: ["a", "b"],
    leaving: { p: "b" },
    expect: ["place p on b"],
  },
  {
    name: "one that has still to be down elsewhere goes where what follows it has gone ahead",
    units: { p: { metadata: metadata("x=1") }, side: { machineOf: ["p"] }, q: plain, r: plain },
    machines: { a: {}, b: { x: "1" }, c: { x: "1" } },
    at: { side: "b", q: "b", r: "b" },
    leaving: { p: "a" },
    expect: ["place p on b", "keep q on b", "keep r on b", "keep side on b"],
  },
  {
    name: "a last owner that may not is passed over",
    units: { p: { metadata: metadata("x=1") } },
    machines: { a: { x: "1" }, b: {} },
    leaving: { p: "b" },
    expect: ["place p on a"],
  },
  {
    name: "on two machines: the lowest id keeps it",
    units: { p: plain },
    machines: ["a", "b"],
    at: { p: "ab" },
    expect: ["keep p on a", "drop p on b"],
  },
  {
    name: "on two machines: the one seen running keeps it",
    units: { p: plain },
    machines: ["a", "b"],
    at: { p: "ab" },
    running: { p: "b" },
    expect: ["keep p on b", "drop p on a"],
  },
  {
    name: "on two machines: the one that fits keeps it",
    units: { p: { metadata: metadata("x=1") } },
    machines: { a: {}, b: { x: "1" } },
    at: { p: "ab" },
    running: { p: "a" },
    expect: ["keep p on b", "drop p on a"],
  },
  {
    name: "a returned machine does not get back what runs elsewhere",
    units: { p: plain },
    machines: ["a", "b"],
    at: { p: "ba" },
    running: { p: "b" },
    expect: ["keep p on b", "drop p on a"],
  },
  {
    name: "F-562: a presumed machine keeps what it has",
    units: { p: plain },
    machines: ["a", "b?"],
    at: { p: "b" },
    expect: ["keep p on b"],
  },
  {
    name: "F-562: a presumed machine's metadata is not judged",
    units: { p: { metadata: metadata("x=1") }, g: { global: true, metadata: metadata("x=1") } },
    machines: { "a?": {} },
    at: { p: "a", g: "a" },
    expect: ["keep g on a", "keep p on a"],
  },
  {
    name: "F-562: a presumed machine receives nothing",
    units: { p: plain },
    machines: ["a?"],
    expect: ["wait p: no-machine 1"],
  },
  {
    name: "what a commit leaves out goes from a presumed machine too",
    machines: ["a?"],
    at: { p: "a" },
    expect: ["drop p on a"],
  },
  {
    name: "a follower stays while its target's machine may come back",
    units: { a: { machineOf: ["b"] }, b: plain },
    machines: ["a", "b?"],
    at: { a: "a", b: "b" },
    expect: ["keep a on a", "keep b on b"],
  },
  {
    name: "a unit that becomes global stays where it is",
    units: { g: { global: true } },
    machines: ["a", "b"],
    at: { g: "b" },
    expect: ["place g on a", "keep g on b"],
  },
  {
    name: "a global unit that becomes single stays on one",
    units: { g: plain },
    machines: ["a", "b"],
    at: { g: "ab" },
    expect: ["keep g on a", "drop g on b"],
  },
  {
    name: "F-229, F-570 better: a placed unit beats a global one that is not",
    units: { "a.service": { global: true, conflicts: ["b.service"] }, "b.service": plain },
    machines: ["a", "b"],
    at: { "b.service": "a" },
    expect: ["place a.service on b", "keep b.service on a"],
  },
  {
    name: "of unplaced ones the earlier name wins, global or not",
    units: { "a.service": { global: true, conflicts: ["b.service"] }, "b.service": plain },
    machines: ["a", "b"],
    expect: ["place a.service on a", "place a.service on b", "wait b.service: conflict 2"],
  },
  {
    name: "a place that a move sets free goes to one that was refused before",
    units: { a1: { conflicts: ["old", "blk"] }, blk: plain, new: { replaces: ["old"] }, old: plain },
    machines: ["a", "b"],
    at: { old: "a", blk: "b" },
    expect: ["place a1 on a", "keep blk on b", "place new on a", "place old on b from a"],
  },
  {
    name: "a machine that a move has emptied counts as emptier at once",
    units: {
      ...many(["c1", "c2", "d1", "d2", "d3", "m", "old", "z"]),
      ...many(["s1", "s2", "s3"], { machineOf: ["old"] }),
      new: { replaces: ["old"], metadata: metadata("x=1") },
    },
    machines: { a: { x: "1" }, c: {}, d: {} },
    at: { old: "a", s1: "a", s2: "a", s3: "a", c1: "c", c2: "c", d1: "d", d2: "d", d3: "d" },
    expect: [
      "keep c1 on c",
      "keep c2 on c",
      "keep d1 on d",
      "keep d2 on d",
      "keep d3 on d",
      "place m on c",
      "place new on a",
      "place old on c from a",
      "place s1 on c from a",
      "place s2 on c from a",
      "place s3 on c from a",
      "place z on a",
    ],
  },
];

const clusterRows: readonly Row[] = [
  {
    name: "F-500: pairs share a machine",
    units: {
      "ping.0": plain,
      "ping.1": plain,
      "ping.2": plain,
      "pong.0": { machineOf: ["ping.0"] },
      "pong.1": { machineOf: ["ping.1"] },
      "pong.2": { machineOf: ["ping.2"] },
    },
    machines: ["a", "b", "c"],
    expect: [
      "place ping.0 on a",
      "place ping.1 on b",
      "place ping.2 on c",
      "place pong.0 on a",
      "place pong.1 on b",
      "place pong.2 on c",
    ],
  },
  {
    name: "F-501: a pair moves together, others stay",
    units: {
      "ping.0": plain,
      "ping.1": plain,
      "pong.0": { machineOf: ["ping.0"] },
      "pong.1": { machineOf: ["ping.1"] },
    },
    machines: ["a", "c"],
    at: { "ping.0": "a", "pong.0": "a", "ping.1": "b", "pong.1": "b" },
    expect: ["keep ping.0 on a", "place ping.1 on c from b", "keep pong.0 on a", "place pong.1 on c from b"],
  },
  {
    name: "of two that conflict by a name with a backslash the later moves",
    units: { "mnt-my\\x2ddata.mount": plain, "w.service": { conflicts: ["mnt-my\\x2ddata.mount"] } },
    machines: ["a", "b"],
    at: { "mnt-my\\x2ddata.mount": "a", "w.service": "a" },
    expect: ["keep mnt-my\\x2ddata.mount on a", "place w.service on b from a"],
  },
  {
    name: "F-502: five that conflict on three machines",
    units: many(["conflict.0", "conflict.1", "conflict.2", "conflict.3", "conflict.4"], { conflicts: ["conflict.*"] }),
    machines: ["a", "b", "c"],
    expect: [
      "place conflict.0 on a",
      "place conflict.1 on b",
      "place conflict.2 on c",
      "wait conflict.3: conflict 3",
      "wait conflict.4: conflict 3",
    ],
  },
  {
    name: "F-503: the first stays alone",
    units: { "conflicts-with-hello": { conflicts: ["hello"] }, hello: plain },
    machines: ["a"],
    at: { "conflicts-with-hello": "a" },
    expect: ["keep conflicts-with-hello on a", "wait hello: conflict 1"],
  },
  {
    name: "F-504: then it is destroyed",
    units: { hello: plain },
    machines: ["a"],
    at: { "conflicts-with-hello": "a" },
    expect: ["drop conflicts-with-hello on a", "place hello on a"],
  },
  {
    name: "F-505: several conflicts each",
    units: many(["m.0", "m.1", "m.2"], { conflicts: ["m.2", "m.1", "m.0"] }),
    machines: ["a", "b", "c"],
    expect: ["place m.0 on a", "place m.1 on b", "place m.2 on c"],
  },
  {
    name: "F-506: the replacing one takes the replaced one's machine",
    units: {
      "replace-kick0": { replaces: ["replace.0"] },
      "replace.0": plain,
      "replace.1": plain,
      "replace.2": { machineOf: ["replace.1"] },
    },
    machines: ["a", "b"],
    at: { "replace.0": "a", "replace.1": "b", "replace.2": "b" },
    expect: ["place replace-kick0 on a", "place replace.0 on b from a", "keep replace.1 on b", "keep replace.2 on b"],
  },
  {
    name: "F-507: circular declarations have no effect",
    units: { "replace-kick0": { replaces: ["replace.0"] }, "replace.0": { replaces: ["replace-kick0"] } },
    machines: ["a", "b"],
    at: { "replace.0": "a", "replace-kick0": "a" },
    expect: ["keep replace-kick0 on a", "keep replace.0 on a"],
  },
  {
    name: "F-508: pinned, by full id and by short id",
    units: { p: { machineId: id("b") }, q: { machineId: id("a").slice(0, 8) }, r: { machineId: "" } },
    machines: ["a", "b"],
    expect: ["place p on b", "place q on a", "wait r: machine-id 2"],
  },
  {
    name: "F-509: global beside others",
    units: { global: { global: true }, hello: plain },
    machines: ["a", "b"],
    at: { hello: "a" },
    expect: ["place global on a", "place global on b", "keep hello on a"],
  },
  {
    name: "F-511: globals that conflict: the placed one stays",
    units: many(["cg.0", "cg.1"], { global: true, conflicts: ["cg.*"] }),
    machines: ["a", "b"],
    at: { "cg.1": "ab" },
    expect: ["wait cg.0: conflict 2", "keep cg.1 on a", "keep cg.1 on b"],
  },
  {
    name: "F-512, F-513: by metadata of each machine",
    units: {
      "m@a": { metadata: metadata("hostname=a") },
      "m@b": { metadata: metadata("hostname=b") },
      "m@x": { metadata: metadata("hostname=x") },
    },
    machines: { a: { hostname: "a" }, b: { hostname: "b" } },
    expect: ["place m@a on a", "place m@b on b", "wait m@x: metadata 2"],
  },
  {
    name: "F-520: only the one of the lost machine moves",
    units: many(["c.0", "c.1", "c.2"], { conflicts: ["c.*"] }),
    machines: ["a", "c", "d"],
    at: { "c.0": "a", "c.1": "b", "c.2": "c" },
    expect: ["keep c.0 on a", "place c.1 on d from b", "keep c.2 on c"],
  },
];

suite("placement", () => {
  for (const { name, expect, ...given } of [...engine, ...clusterRows]) {
    test(name, () => {
      const state = cluster(given);
      const decisions = schedule(state);
      assert.deepEqual(decisions.map(describe), expect);
      assert.deepEqual(schedule(state), decisions, "F-568: the same again");
      const later = schedule(applied(state, decisions)).map((each) => each.kind);
      assert.deepEqual(
        later.filter((kind) => kind !== "keep" && kind !== "wait"),
        [],
      );
    });
  }

  test("a chain may be of any length", () => {
    const length = 20_000;
    const units = Object.fromEntries(
      Array.from({ length }, (_, n) => [`u${n}`, n + 1 < length ? { machineOf: [`u${n + 1}`] } : plain]),
    );
    const decisions = schedule(cluster({ units, machines: ["a", "b"] }));
    assert.equal(decisions.length, length);
    assert.ok(decisions.every((each) => each.kind === "place" && each.on === id("a")));
  });
});

suite("able to run", () => {
  const cases: readonly { name: string; has?: Record<string, string>; asked: Asked; expect: string | undefined }[] = [
    { name: "F-200, F-204: nothing asked", has: { region: "us-west" }, asked: plain, expect: undefined },
    { name: "F-201: its id", asked: { machineId: id("a") }, expect: undefined },
    { name: "F-201: its short id", asked: { machineId: "aaaaaaaa" }, expect: undefined },
    { name: "F-202: another id", asked: { machineId: id("b") }, expect: "machine-id" },
    { name: "an id of neither length", asked: { machineId: "aaaa" }, expect: "machine-id" },
    {
      name: "F-130, F-203: one value",
      has: { region: "us-east-1" },
      asked: { metadata: metadata("region=us-east-1") },
      expect: undefined,
    },
    {
      name: "F-131: one of two values",
      has: { groups: "ping" },
      asked: { metadata: metadata("groups=ping|pong") },
      expect: undefined,
    },
    {
      name: "F-132, F-205: another value",
      has: { groups: "ping" },
      asked: { metadata: metadata("groups=pong") },
      expect: "metadata",
    },
    {
      name: "F-133: all keys must hold",
      has: { region: "us-east-1", groups: "ping" },
      asked: { metadata: metadata("groups=pong", "region=us-east-1") },
      expect: "metadata",
    },
    { name: "F-134: no metadata at all", asked: { metadata: metadata("groups=pong") }, expect: "metadata" },
    {
      name: "a key of every object is not metadata",
      asked: { metadata: metadata("constructor=x") },
      expect: "metadata",
    },
    { name: "the id is asked first", asked: { machineId: "x", metadata: metadata("a=b") }, expect: "machine-id" },
  ];
  for (const { name, has = {}, asked, expect } of cases) {
    test(name, () => assert.equal(standingRefusal(options(asked), { id: id("a"), metadata: has }), expect));
  }

  const there: readonly Row[] = [
    {
      name: "F-206: its target is there",
      units: { ping: { machineOf: ["pong"] }, pong: plain },
      machines: ["a"],
      at: { pong: "a" },
      expect: ["place ping on a", "keep pong on a"],
    },
    {
      name: "F-207: both targets are there",
      units: { x: { machineOf: ["ping", "pong"] }, ping: plain, pong: plain },
      machines: ["a"],
      at: { ping: "a", pong: "a" },
      expect: ["keep ping on a", "keep pong on a", "place x on a"],
    },
    {
      name: "F-209: targets apart",
      units: { x: { machineOf: ["ping", "pong"] }, ping: plain, pong: plain },
      machines: ["a", "b"],
      at: { ping: "a", pong: "b" },
      expect: ["keep ping on a", "keep pong on b", "wait x: machine-of 2"],
    },
    {
      name: "F-210: conflicts with one that is not there",
      units: { x: { conflicts: ["pong"] }, ping: plain },
      machines: ["a"],
      at: { ping: "a" },
      expect: ["keep ping on a", "place x on a"],
    },
    {
      name: "F-211, F-212: conflicts with one that is",
      units: { x: { conflicts: ["pong", "ping"] }, ping: plain },
      machines: ["a"],
      at: { ping: "a" },
      expect: ["keep ping on a", "wait x: conflict 1"],
    },
    {
      name: "F-213: replaces one that is not there",
      units: { x: { replaces: ["pong"] }, ping: plain },
      machines: ["a"],
      at: { ping: "a" },
      expect: ["keep ping on a", "place x on a"],
    },
    {
      name: "F-214: replaces one that is there, and another machine takes it",
      units: { x: { replaces: ["ping"] }, ping: plain, q: plain, r: plain },
      machines: ["a", "b"],
      at: { ping: "a", q: "b", r: "b" },
      expect: ["place x on a", "place ping on b from a"],
    },
  ];
  for (const { name, expect, ...given } of there) {
    test(name, () => {
      const found = schedule(cluster(given)).map(describe);
      for (const line of expect) assert.ok(found.includes(line), `${line} in ${found.join("; ")}`);
    });
  }
});

suite("conflicts of two units", () => {
  const cases: readonly [
    name: string,
    a: readonly [string, ...string[]],
    b: readonly [string, ...string[]],
    expect: boolean,
  ][] = [
    ["F-190: the other has another name", ["foo.service", "bar.service"], ["baz.service"], false],
    ["F-191: the one that is there declares it", ["foo.service"], ["bar.service", "foo.service"], true],
    ["F-192: the new one declares it", ["foo.service", "bar.service"], ["bar.service"], true],
    ["F-193: among several", ["foo.service"], ["bar.service", "foo.service", "bar.service"], true],
    ["F-194: among several, the new one", ["foo.service", "foo.service", "bar.service"], ["bar.service"], true],
    ["F-194: never with itself", ["foo.service", "foo.service"], ["foo.service", "foo.service"], false],
  ];
  for (const [name, [a, ...aConflicts], [b, ...bConflicts], expect] of cases) {
    test(name, () =>
      assert.equal(conflictTest()({ name: a, conflicts: aConflicts }, { name: b, conflicts: bConflicts }), expect),
    );
  }
  const globs: readonly [string, string, boolean][] = [
    ["*", "foo.service", true],
    ["foo.*", "foo.socket", true],
    ["foo@*.service", "foo@12.service", true],
    ["foo@[abc].service", "foo@a.service", true],
    ["foo@?.service", "foo@1.service", true],
    ["foo.service", "bar.service", false],
    ["foo@[abc].service", "foo@d.service", false],
    ["foo@[", "foo@[", false],
  ];
  for (const [pattern, name, expect] of globs) {
    test(`F-198, F-199: ${pattern} and ${name}`, () => assert.equal(patternTest(pattern)(name), expect));
  }
});

suite("F-567: why a unit waits, in words", () => {
  const cases: readonly (Case & { name: string; of: string; expect: readonly string[] })[] = [
    { name: "no machine", units: { p: plain }, of: "p", expect: ["no machine is present"] },
    {
      name: "not back",
      units: { p: plain },
      machines: ["a?"],
      of: "p",
      expect: ["machine aaaaaaaa has not come back yet"],
    },
    {
      name: "id",
      units: { p: { machineId: "bbbbbbbb" } },
      machines: ["a"],
      of: "p",
      expect: ["needs machine bbbbbbbb"],
    },
    {
      name: "metadata: the first that is not met",
      units: { p: { metadata: metadata("a=1", "region=eu|us") } },
      machines: { a: { a: "1" } },
      of: "p",
      expect: ["needs region=eu or region=us"],
    },
    {
      name: "target elsewhere",
      units: { p: { machineOf: ["q"], metadata: metadata("x=1") }, q: plain },
      machines: { b: { x: "1" }, a: {} },
      at: { q: "a" },
      of: "p",
      expect: ["needs x=1", "needs q on the same machine"],
    },
    {
      name: "target unknown",
      units: { p: { machineOf: ["q"] } },
      machines: ["a"],
      of: "p",
      expect: ["needs q, which is inactive or not in the repository"],
    },
    {
      name: "circle",
      units: { p: { machineOf: ["q"] }, q: { machineOf: ["r"] }, r: { machineOf: ["p"] } },
      machines: ["a"],
      of: "q",
      expect: ["p follows q follows r follows p"],
    },
    {
      name: "Q-35 better: the other's name when its pattern counts",
      units: { p: plain, q: { conflicts: ["p"] } },
      machines: ["a"],
      at: { q: "a" },
      of: "p",
      expect: ["conflicts with q"],
    },
    {
      name: "replaced",
      units: { p: plain, q: { replaces: ["p"] } },
      machines: ["a"],
      at: { q: "a" },
      of: "p",
      expect: ["is replaced by q there"],
    },
    {
      name: "replacing",
      units: { p: { replaces: ["q"] }, q: plain },
      machines: ["a"],
      at: { q: "a" },
      of: "p",
      expect: ["replaces q, which no other machine can take"],
    },
  ];
  for (const { name, of, expect, ...given } of cases) {
    test(name, () => {
      const found = schedule(cluster(given)).find((each) => each.unit === of);
      assert.equal(found?.kind, "wait");
      assert.deepEqual(
        found.refusals.map((refusal) => refusal.example),
        expect,
      );
    });
  }
});
