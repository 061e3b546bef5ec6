// Registry values: what is written reads back; what is wrong is a problem that names its key.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { manifestTargets } from "../../../agent/domain/placement.ts";
import { parseCommitId, parseMachineId, parseUnitHash, parseUnitName, unitTypes } from "../../../agent/domain/names.ts";
import { type Checked, Problem, describeProblem, toRecord } from "../../../agent/domain/problem.ts";
import {
  encodeEvent,
  encodeHold,
  encodeLeader,
  encodeMachine,
  encodeMachineSettings,
  encodeManifest,
  encodeRestart,
  encodeRevision,
  encodeStatus,
  encodeSubmittedUnit,
  keptProblems,
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
} from "../../../agent/text/values.ts";

const id = value(parseMachineId("0123456789abcdef0123456789abcdef"));
const other = value(parseMachineId("f".repeat(32)));
const commit = value(parseCommitId("a".repeat(40)));
const hash = value(parseUnitHash("b".repeat(40)));
const [db, web] = ["db.service", "web@1.service"].map((name) => value(parseUnitName(name))) as [never, never];

const machine = {
  id,
  nonce: "n1",
  hostname: "one",
  publicIp: "",
  metadata: { region: "eu", __proto__x: "y" },
  cpus: 2,
  memoryBytes: 2 ** 34,
  mayLead: true,
  version: "0.1.0",
};
const drain = { id: "d1", by: "ann@desk", sinceMs: 1, deadlineMs: 2, state: "stopped", because: "no room" } as const;
const settings = { machine: id, metadata: {}, cordoned: true, drain, by: "ann@desk", atMs: 3 } as const;
const manifest = {
  machine: id,
  epoch: 7,
  generation: 2,
  units: [
    { name: db, source: "git", commit, hash, target: "launched" },
    { name: web, source: "git", commit, hash, target: "released", fenceMs: 10_000 },
  ],
} as const;
const problem = { code: "c", message: "m", hint: "h", file: "f", line: 3 };
const revision = {
  adopted: { commit, ref: "refs/heads/main", epoch: 7, atMs: 1.5, subject: "", author: "A <a@b>" },
  refused: { commit, ref: "refs/heads/main", atMs: 1, problems: [problem] },
};
const state = { load: "loaded", active: "active", sub: "running", result: "success", sinceMs: 1, restarts: 0 };
const status = {
  machine: id,
  seen: { epoch: 7, generation: 2 },
  units: [
    { name: db, hash, ...state, problem },
    { name: web, hash, ...state },
  ],
};

test("every value reads back as it was written", () => {
  const leader = { machine: id, hostname: "one" };
  assert.deepEqual(parseLeader(keys.leader, encodeLeader(leader)), { ok: true, value: leader });
  assert.deepEqual(parseMachine(keys.machine(id), encodeMachine(machine)), { ok: true, value: machine });
  assert.deepEqual(parseManifest(keys.manifest(id), encodeManifest(manifest)), { ok: true, value: manifest });
  assert.deepEqual(parseRevision(keys.revision, encodeRevision(revision)), { ok: true, value: revision });
  assert.deepEqual(parseRevision(keys.revision, encodeRevision({})), { ok: true, value: {} });
  assert.deepEqual(parseStatus(keys.status(id), encodeStatus(status)), { ok: true, value: status });
});

test("what operators say of a machine reads back as it was written, and keeps what a newer version says", () => {
  const bare = { machine: id, metadata: { rack: "r7", disk: null }, by: "ann@desk", atMs: 3 };
  const { deadlineMs: _, because: __, ...moving } = { ...drain, state: "moving" as const };
  for (const each of [bare, settings, { ...bare, cordoned: true as const, drain: moving }, { ...settings, later: [1] }])
    assert.deepEqual(parseMachineSettings(keys.settingsOf(id), encodeMachineSettings(each)), { ok: true, value: each });
  assert.equal(machineOfSettings(keys.settingsOf(id)), id);
});

test("why a drain stopped is never too long to be read", () => {
  const because = `${"x".repeat(1023)}\u{1f600}${"x".repeat(100)}`;
  const read = parseMachineSettings(
    keys.settingsOf(id),
    encodeMachineSettings({ ...settings, drain: { ...drain, because } }),
  );
  assert.ok(read.ok);
  assert.equal(read.value.drain?.because, "x".repeat(1023));
});

test("a key of a newer version is no fault", () => {
  assert.ok(parseLeader("leader", JSON.stringify({ machine: id, hostname: "h", later: 1 })).ok);
});

test("a manifest of an agent that knew no OnPartition= reads as it was", () => {
  const units = manifest.units.map(({ name, source, hash, target }) => ({ name, source, commit, hash, target }));
  const read = parseManifest(keys.manifest(id), encodeManifest({ ...manifest, units }));
  assert.ok(read.ok && read.value.units.every((each) => !("fenceMs" in each)));
  for (const fenceMs of [-1, 1.5, 3_600_001])
    assert.ok(
      !parseManifest(keys.manifest(id), encodeManifest({ ...manifest, units: [{ ...units[0]!, fenceMs }] })).ok,
    );
});

test("a manifest kept in a file is read under the file's name", () => {
  assert.ok(parseManifest("manifest.json", encodeManifest(manifest)).ok);
});

const refusals: readonly { name: string; of: Checked<unknown>; expect: readonly RegExp[] }[] = [
  {
    name: "no JSON",
    of: parseLeader("leader", "{secret"),
    expect: [/^Cannot read registry value "leader": Cannot read JSON of 7 characters \(SyntaxError\)$/],
  },
  { name: "an empty text", of: parseLeader("leader", ""), expect: [/JSON of 0 characters/] },
  {
    name: "several faults",
    of: parseLeader("leader", '{"machine":"x"}'),
    expect: [
      /"leader": Cannot find key "hostname"/,
      /"leader": Cannot take "machine" = "x" \(It must be: a machine id/,
    ],
  },
  {
    name: "another machine's manifest",
    of: parseManifest(keys.manifest(other), encodeManifest(manifest)),
    expect: [/Cannot take machine "0123.*" here \(The key belongs to "ffff/],
  },
  {
    name: "another machine's status",
    of: parseStatus(keys.status(other), encodeStatus(status)),
    expect: [/belongs to/],
  },
  { name: "another machine", of: parseMachine(keys.machine(other), encodeMachine(machine)), expect: [/belongs to/] },
  {
    name: "another machine's settings",
    of: parseMachineSettings(keys.settingsOf(other), encodeMachineSettings(settings)),
    expect: [/Cannot take machine/],
  },
  {
    name: "a cordon that is no yes, and a drain in a state that does not exist",
    of: parseMachineSettings(
      keys.settingsOf(id),
      encodeMachineSettings({
        ...settings,
        cordoned: false as never,
        drain: { ...drain, state: "paused" as "moving" },
      }),
    ),
    expect: [/"cordoned" = false/, /drain\.state" = "paused" \(It must be one of: moving, done, stopped\)/],
  },
  {
    name: "a unit name that is a path",
    of: parseManifest(keys.manifest(id), encodeManifest(unit("../../etc/x.service"))),
    expect: [/units\[0\]\.name/],
  },
  {
    name: "a target that does not exist",
    of: parseManifest(keys.manifest(id), encodeManifest(manifest).replace("released", "paused")),
    expect: [/units\[1\]\.target" = "paused" \(It must be one of: released, loaded, launched\)/],
  },
  {
    name: "a unit listed twice",
    of: parseManifest(
      keys.manifest(id),
      encodeManifest({ ...manifest, units: [manifest.units[0], manifest.units[0]] }),
    ),
    expect: [/Cannot take unit "db.service" after "db.service"/],
  },
  {
    name: "units out of order",
    of: parseStatus(keys.status(id), encodeStatus({ ...status, units: status.units.toReversed() })),
    expect: [/name order/],
  },
  {
    name: "a mount that claims to be a template",
    of: parseManifest(keys.manifest(id), encodeManifest(unit("a@b.mount"))),
    expect: [/manifests\/0123/],
  },
  {
    name: "an epoch beyond what a number holds",
    of: parseManifest(keys.manifest(id), encodeManifest({ ...manifest, epoch: 2 ** 53 })),
    expect: [/"epoch"/],
  },
  {
    name: "metadata that is not text",
    of: parseMachine(keys.machine(id), encodeMachine({ ...machine, metadata: { a: 1 as never } })),
    expect: [/metadata\.a" = 1/],
  },
  {
    name: "a number that could not be written back, under a key of a newer version",
    of: parseManifest(keys.manifest(id), encodeManifest(manifest).replace("{", '{"later":1e400,')),
    expect: [/too large, or it is nested too deep/],
  },
];

for (const { name, of, expect } of refusals) {
  test(`refused: ${name}`, () => {
    assert.ok(!of.ok);
    assert.deepEqual(
      of.problems.map((each) => each.code),
      expect.map(() => "registry-value"),
    );
    for (const [index, pattern] of expect.entries())
      assert.match(describeProblem(toRecord(of.problems[index]!)), pattern);
  });
}

test("machineOfKey knows the three kinds of keys and no other", () => {
  for (const key of [keys.machine(id), keys.manifest(id), keys.status(id)]) assert.equal(machineOfKey(key), id);
  for (const key of ["leader", "machines/", `machines/${id}/x`, `x/machines/${id}`, `units/${id}`, `machines/${id}\n`])
    assert.equal(machineOfKey(key), undefined, key);
});

test("the schemas list what the nouns list", () => {
  const schema = readFileSync("schemas/manifest.json", "utf8");
  assert.ok(schema.includes(`(${unitTypes.join("|")})$`));
  assert.ok(schema.includes(`"enum": [${manifestTargets.map((target) => `"${target}"`).join(", ")}]`));
  assert.ok(readFileSync("schemas/status.json", "utf8").includes(`(${unitTypes.join("|")})$`));
});

function unit(name: string): typeof manifest {
  return { ...manifest, units: [{ ...manifest.units[0], name: name as never }, manifest.units[1]] };
}

function value<T>(checked: Checked<T>): T {
  assert.ok(checked.ok);
  return checked.value;
}

const submitted = {
  name: db,
  text: "[Service]\n",
  dropIns: [{ name: "a.conf", text: "" }],
  target: "loaded",
  by: "ann@desk",
  atMs: 1,
} as const;
const hold = { unit: db, target: "loaded", by: "ann@desk", why: "disk", atMs: 1, untilMs: 2 } as const;
const restart = { unit: db, id: "m3k-1", by: "ann@desk" };
const event = {
  kind: "unit-held",
  atMs: 1,
  by: "ann@desk",
  message: "ann holds db",
  unit: db,
  commit,
  machine: id,
} as const;

test("what people write reads back as it was written", () => {
  assert.deepEqual(parseSubmittedUnit(keys.unit(db), encodeSubmittedUnit(submitted)), { ok: true, value: submitted });
  assert.deepEqual(parseHold(keys.hold(db), encodeHold(hold)), { ok: true, value: hold });
  assert.deepEqual(parseRestart(keys.restart(db), encodeRestart(restart)), { ok: true, value: restart });
  assert.deepEqual(parseEvent(keys.event(1, "n"), encodeEvent(event)), { ok: true, value: event });
  const byHand = {
    ...manifest,
    units: [{ name: db, source: "submitted", hash, target: "launched", restart: "m3k-1" }],
  } as const;
  assert.deepEqual(parseManifest(keys.manifest(id), encodeManifest(byHand)), { ok: true, value: byHand });
});

for (const [what, read] of [
  ["a submission under another's key", parseSubmittedUnit(keys.unit(web), encodeSubmittedUnit(submitted))],
  ["a hold under another's key", parseHold(keys.hold(web), encodeHold(hold))],
  ["a restart under another's key", parseRestart(keys.restart(web), encodeRestart(restart))],
  ["a target that there is not", parseHold(keys.hold(db), encodeHold(hold).replace('"loaded"', '"gone"'))],
  [
    "a drop-in with a path",
    parseSubmittedUnit(keys.unit(db), encodeSubmittedUnit(submitted).replace("a.conf", "../a.conf")),
  ],
  ["a restart's id that is no word", parseRestart(keys.restart(db), encodeRestart({ ...restart, id: "a b" }))],
  [
    "a git unit without a commit",
    parseManifest(keys.manifest(id), encodeManifest(manifest).replaceAll(`"commit":"${commit}",`, "")),
  ],
  [
    "a submitted unit with a commit",
    parseManifest(keys.manifest(id), encodeManifest(manifest).replaceAll('"source":"git"', '"source":"submitted"')),
  ],
] as const)
  test(`${what} is refused by its key`, () => {
    assert.deepEqual(read.ok ? "read" : [...new Set(read.problems.map(({ code }) => code))], ["registry-value"]);
  });

test("keys of units lead back to them", () => {
  assert.equal(unitOfKey(keys.unit(web)), web);
  assert.equal(unitOfKey(keys.hold(db)), db);
  assert.equal(unitOfKey(keys.restart(db)), db);
  for (const key of ["units/../x", "units/", "units/x", "leader", keys.event(1, "a"), keys.machine(id)])
    assert.equal(unitOfKey(key), undefined);
  assert.ok(keys.event(9, "x") < keys.event(10, "a"), "events are in order of time");
});

test("of a refused commit as many problems are kept as etcd takes in a request", () => {
  const problem = toRecord(new Problem("unit-line", "x", { at: { file: "web.service" } }));
  assert.equal(keptProblems(Array.from({ length: 500 }, () => problem)).length, 200);
  const long = { ...problem, message: "ü".repeat(4_000), hint: "ü".repeat(1_000), file: "ü".repeat(4_096) };
  const kept = keptProblems(Array.from({ length: 200 }, () => long));
  assert.ok(kept.length > 30 && kept.length < 200, `${kept.length}`);
  assert.ok(
    Buffer.byteLength(encodeRevision({ refused: { commit, ref: "main", atMs: 1, problems: kept } })) < 1_000_000,
  );
});
