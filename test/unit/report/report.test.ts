import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import type { ManifestTarget } from "../../../agent/domain/placement.ts";
import type { UnitStatus } from "../../../agent/domain/status.ts";
import type { TargetState } from "../../../agent/domain/unit.ts";
import {
  answers,
  checkListing,
  clusterText,
  listingText,
  listings,
  reportCluster,
  reportMachines,
  reportUnit,
  reportUnitFile,
  reportUnitFiles,
  reportUnits,
  unitText,
} from "../../../agent/report/report.ts";
import {
  emptyPicture,
  sampleCommit,
  sampleHash,
  sampleIds,
  sampleMachine,
  sampleManifest,
  sampleNowMs,
  samplePicture,
  sampleStatus,
  sampleUnit,
} from "../../fakes/fake-cluster.ts";

/** No holds, and nothing that cannot be read. */
const nothingBeside = { submitted: new Map(), held: new Map(), unknown: new Set<never>() };

const { n1, n2, gone } = sampleIds;
const short = { full: false, nowMs: sampleNowMs };
const plain = { ...short, colour: false };
const adopted = { commit: sampleCommit, ref: "main", epoch: 1, atMs: 0, subject: "s", author: "a" };

function value<T>(checked: { ok: true; value: T } | { ok: false; problems: readonly Error[] }): T {
  if (!checked.ok) throw checked.problems[0] ?? new Error("no problem given");
  return checked.value;
}

function cells(
  names: readonly string[],
  list: "machines" | "units" | "unitFiles",
  picture: ClusterPicture,
  full = false,
) {
  const shape = { names, keys: [] };
  const options = { shape, full, nowMs: sampleNowMs, colour: false, legend: false };
  const text =
    list === "machines"
      ? listingText(listings.machines.fields, { ...options, rows: reportMachines(picture) })
      : list === "units"
        ? listingText(listings.units.fields, { ...options, rows: reportUnits(picture) })
        : listingText(listings.unitFiles.fields, { ...options, rows: value(reportUnitFiles(picture)) });
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => line.split(/\t+/));
}

// F-390 to F-393: how machines are named
const legends = [
  { name: "F-390 short", ip: "5.6.7.8", full: false, machine: "f22c7d6e...", target: "f22c7d6e.../5.6.7.8" },
  { name: "F-390 full", ip: "5.6.7.8", full: true, machine: n1, target: `${n1}/5.6.7.8` },
  { name: "F-391 short", ip: "", full: false, machine: "f22c7d6e...", target: "f22c7d6e..." },
  { name: "F-391 full", ip: "", full: true, machine: n1, target: n1 },
];
for (const { name, ip, full, machine, target } of legends) {
  test(name, () => {
    const picture: ClusterPicture = {
      ...emptyPicture(),
      machines: new Map([[n1, sampleMachine(n1, { publicIp: ip, metadata: { ping: "pong", foo: "bar" } })]]),
      manifests: new Map([sampleManifest(n1, { "a.service": "launched" })]),
    };
    assert.deepEqual(cells(["machine", "ip", "metadata"], "machines", picture, full), [
      [machine, ip === "" ? "-" : ip, "foo=bar,ping=pong"],
    ]);
    assert.deepEqual(cells(["machine"], "units", picture, full), [[target]]);
  });
}

test("F-393: no address, no metadata", () => {
  const picture = { ...emptyPicture(), machines: new Map([[n1, sampleMachine(n1)]]) };
  assert.deepEqual(cells(["ip", "metadata", "hostname", "leader", "lead", "units"], "machines", picture), [
    ["-", "-", "-", "false", "true", "0"],
  ]);
});

test("F-396, F-399: target and hash of unit files", () => {
  const rows = cells(["unit", "target", "hash"], "unitFiles", samplePicture());
  const target = new Map(rows.map(([unit, where]) => [unit, where]));
  assert.equal(target.get("hello.service"), "59f61aeb.../10.79.0.13");
  assert.equal(target.get("log.service"), "global");
  assert.equal(target.get("web@4.service"), "-");
  assert.equal(target.get("web@.service"), "-");
  assert.equal(target.get("lost.service"), "0d15ea5e...", "of a lost machine only the id is known");
  assert.equal(rows[0]?.[2], sampleHash("db.service").slice(0, 7));
  assert.equal(cells(["hash"], "unitFiles", samplePicture(), true)[0]?.[0], sampleHash("db.service"));
});

test("unit files come in name order, templates among them", () => {
  const names = cells(["unit"], "unitFiles", samplePicture()).flat();
  assert.deepEqual(names, [...names].sort());
  assert.ok(names.includes("web@.service"));
});

test("F-397: a unit that nothing has been heard of yet has - in every column", () => {
  const picture: ClusterPicture = {
    ...emptyPicture(),
    machines: new Map([[n1, sampleMachine(n1)]]),
    manifests: new Map([sampleManifest(n1, { "a.service": "launched" })]),
  };
  const fields = ["load", "active", "sub", "hash", "since", "result", "restarts", "problem"];
  assert.deepEqual(cells(fields, "units", picture), [fields.map(() => "-")]);
});

// F-395: the current state is derived
interface StateCase {
  readonly name: string;
  readonly told?: ManifestTarget;
  readonly seen?: Partial<UnitStatus>;
  readonly behind?: boolean;
  readonly dead?: boolean;
  readonly expect: TargetState;
}
const states: readonly StateCase[] = [
  { name: "not placed", expect: "inactive" },
  { name: "placed, nothing heard", told: "launched", expect: "inactive" },
  { name: "placed and loaded", told: "loaded", seen: { active: "inactive" }, expect: "loaded" },
  {
    name: "told to start, not yet done",
    told: "launched",
    seen: { active: "inactive" },
    behind: true,
    expect: "loaded",
  },
  { name: "told to start and done", told: "launched", seen: {}, expect: "launched" },
  { name: "started, a newer manifest on its way", told: "launched", seen: {}, behind: true, expect: "launched" },
  { name: "a start that failed was still a start", told: "launched", seen: { active: "failed" }, expect: "launched" },
  { name: "a oneshot that is over", told: "launched", seen: { active: "inactive" }, expect: "launched" },
  { name: "being taken away", told: "released", seen: {}, expect: "inactive" },
  { name: "its machine is lost", told: "launched", dead: true, expect: "inactive" },
];
for (const { name, told, seen, behind, dead, expect } of states) {
  test(`current state: ${name}`, () => {
    const unit = sampleUnit("a.service");
    const picture: ClusterPicture = {
      ...emptyPicture(),
      machines: new Map(dead === true ? [] : [[n1, sampleMachine(n1)]]),
      revision: { adopted },
      desired: { commit: sampleCommit, units: new Map([[unit.name, unit]]), templates: new Map(), ...nothingBeside },
      manifests: new Map(told === undefined ? [] : [sampleManifest(n1, { "a.service": told })]),
      statuses: new Map(
        seen === undefined ? [] : [sampleStatus(n1, { "a.service": seen }, { generation: behind === true ? 3 : 4 })],
      ),
    };
    assert.equal(value(reportUnitFiles(picture))[0]?.state, expect);
  });
}

test("a lost machine's units are shown as lost, not left out and not as they were", () => {
  const picture: ClusterPicture = {
    ...emptyPicture(),
    manifests: new Map([sampleManifest(gone, { "a.service": "launched", "b.service": "released" })]),
    statuses: new Map([sampleStatus(gone, { "a.service": {} })]),
  };
  assert.deepEqual(cells(["unit", "machine", "active", "sub", "load"], "units", picture), [
    ["a.service", "0d15ea5e...", "lost", "-", "-"],
  ]);
  assert.match(unitText(value(reportUnit(picture, "b.service")), plain), /lost.*may still run there/);
});

test("a unit that runs where no manifest has it is shown", () => {
  const picture: ClusterPicture = {
    ...emptyPicture(),
    machines: new Map([[n1, sampleMachine(n1)]]),
    statuses: new Map([sampleStatus(n1, { "stray.service": {} })]),
  };
  assert.deepEqual(cells(["unit", "active", "target"], "units", picture), [["stray.service", "active", "-"]]);
  assert.match(unitText(value(reportUnit(picture, "stray.service")), plain), /no manifest has it there/);
});

test("units are ordered by name, then machine", () => {
  const rows = reportUnits(samplePicture()).map(({ name, machine }) => `${name} ${machine.id}`);
  assert.deepEqual(rows, [...rows].sort());
  assert.equal(rows.filter((row) => row.startsWith("log.service")).length, 3, "a global unit once on each machine");
});

test("unknown is not none: without its commit an agent lists no files as if there were none", () => {
  const missing = { ...emptyPicture(), desired: undefined, revision: { adopted } };
  // The registry is away, or what it says of the commit cannot be read
  const unsaid = { ...emptyPicture(), desired: undefined };
  for (const picture of [missing, unsaid]) {
    for (const checked of [
      reportUnitFiles(picture),
      reportUnitFile(picture, "a.service"),
      reportUnit(picture, "a.service"),
    ]) {
      assert.equal(checked.ok ? "listed" : checked.problems[0]?.code, "commit-missing");
    }
  }
  assert.deepEqual(value(reportUnitFiles(emptyPicture())), []);
});

test("unknown is not none: a summary without the registry says neither that nobody leads nor that no commit was adopted", () => {
  const away = { code: "registry-unreachable", message: "Cannot reach the registry" };
  const unreadable = { code: "registry-value", message: "Cannot read revision" };
  const lines = (given: Partial<ClusterPicture>) => {
    const report = reportCluster({ ...emptyPicture(), ...given }, { machine: n1, version: "1" });
    assert.ok(!("adopted" in report));
    return clusterText(report, plain).split("\n").slice(0, 2);
  };
  assert.deepEqual(lines({ desired: undefined, stale: true, problems: [away] }), [
    "   Leader: not known: the registry cannot be reached",
    "   Commit: not known: the registry cannot be reached",
  ]);
  assert.deepEqual(lines({ desired: undefined, problems: [unreadable] }), [
    "   Leader: none",
    "   Commit: not known: what the registry says of it cannot be read",
  ]);
  assert.deepEqual(lines({ stale: true, problems: [away] })[1], "   Commit: none adopted yet", "as it was last");
});

test("names that are none are unknown, whatever they are", () => {
  for (const name of ["", "nope.service", "__proto__", "constructor", "../../etc/passwd", "x".repeat(5000)]) {
    for (const checked of [reportUnitFile(samplePicture(), name), reportUnit(samplePicture(), name)]) {
      assert.equal(checked.ok ? "found" : checked.problems[0]?.code, "unit-unknown");
    }
  }
});

test("why a unit waits is told per rule, with counts", () => {
  const text = unitText(value(reportUnit(samplePicture(), "web@4.service")), plain);
  assert.match(text, /2 machines: conflicts with web@1\.service \(conflict\)/);
  assert.match(text, /1 machine: needs role=web \(metadata\)/);
});

test("F-401: fields", () => {
  const units = listings.units.fields;
  assert.deepEqual(value(checkListing(units, { fields: " sub,unit ,", sort: undefined })).names, ["sub", "unit"]);
  const cases = [
    { text: "", message: "Must define output format" },
    { text: " , ", message: "Must define output format" },
    { text: "bogus", message: 'Invalid key in output format: "bogus"' },
    { text: "unit,toString", message: 'Invalid key in output format: "toString"' },
  ];
  for (const { text, message } of cases) {
    const checked = checkListing(units, { fields: text, sort: undefined });
    assert.equal(checked.ok ? "" : checked.problems[0]?.message, message);
  }
});

test("every column can be shown of every row, and says what it means", () => {
  for (const list of ["machines", "units", "unitFiles"] as const) {
    const { fields } = listings[list];
    const names = Object.keys(fields.all);
    for (const full of [true, false]) {
      for (const row of cells(names, list, samplePicture(), full)) {
        assert.equal(row.length, names.length);
        assert.ok(row.every((text) => text !== ""));
      }
    }
    assert.ok(fields.usual.every((name) => names.includes(name)));
    assert.ok(Object.values<{ means: string }>(fields.all).every(({ means }) => means.length > 5));
  }
});

test("the cluster's summary counts what the listings show", () => {
  const report = reportCluster(samplePicture(), { machine: n2, version: "1" });
  const total = Object.values(report.units.byState).reduce((sum, many) => sum + many, 0);
  assert.equal(total, reportUnits(samplePicture()).length);
  assert.deepEqual(report.units.byState, {
    activating: 1,
    active: 5,
    deactivating: 1,
    failed: 1,
    inactive: 1,
    lost: 1,
    pending: 1,
  });
  assert.deepEqual(report.units.waiting, ["web@4.service"]);
  assert.deepEqual(
    report.machines.lost.map(({ machine, units }) => [machine.id, units]),
    [[gone, 1]],
  );
});

test("a long list of troubles is cut, a refused commit's reasons are not", () => {
  const many = Array.from({ length: 30 }, (_, index) => ({ code: "x", message: `trouble ${index}` }));
  const refused = { commit: sampleCommit, ref: "main", atMs: 0, problems: many };
  const picture: ClusterPicture = { ...emptyPicture(), problems: many, revision: { refused } };
  const text = clusterText(reportCluster(picture, { machine: n1, version: "1" }), plain).split("\n");
  assert.equal(text.filter((line) => line.includes("trouble")).length, 40);
  assert.ok(text.some((line) => line.endsWith("and 20 more")));
});

test("foreign text cannot command the terminal", () => {
  const hostile = "x\u001b[2J\u202e\n\u009b31m";
  const unit = sampleUnit("a.service", { description: hostile, file: hostile });
  const problem = { code: "x", message: hostile, hint: hostile, file: hostile };
  const picture: ClusterPicture = {
    ...emptyPicture(),
    machines: new Map([
      [n1, sampleMachine(n1, { hostname: hostile, publicIp: hostile, metadata: { [hostile]: hostile } })],
    ]),
    leader: { machine: n1, hostname: hostile, epoch: 1 },
    revision: {
      adopted: { ...adopted, ref: hostile, subject: hostile, author: hostile },
      refused: { commit: sampleCommit, ref: hostile, atMs: 0, problems: [problem] },
    },
    desired: {
      commit: sampleCommit,
      units: new Map([[unit.name, unit]]),
      templates: new Map(),
      ...nothingBeside,
    },
    manifests: new Map([sampleManifest(n1, { "a.service": "launched" })]),
    statuses: new Map([
      sampleStatus(n1, { "a.service": { active: hostile, sub: hostile, load: hostile, result: hostile, problem } }),
    ]),
    decisions: [
      {
        kind: "wait",
        unit: "b.service" as UnitName,
        refusals: [{ rule: "conflict", machines: 1, example: hostile }],
      },
    ],
    problems: [problem],
  };
  const text =
    clusterText(reportCluster(picture, { machine: n1, version: "1" }), plain) +
    unitText(value(reportUnit(picture, "a.service")), plain);
  for (const line of text.split("\n")) assert.doesNotMatch(line, /[\p{Cc}\u202e]/u);
});

test("colour only where asked for", () => {
  const lines = (colour: boolean) =>
    [
      clusterText(reportCluster(samplePicture(), { machine: n1, version: "1" }), { ...short, colour }),
      ...["db.service", "lost.service", "web@4.service"].map((name) =>
        unitText(value(reportUnit(samplePicture(), name)), { ...short, colour }),
      ),
    ].join("");
  assert.ok(lines(true).includes("\u001b[31m"));
  assert.ok(!lines(false).includes("\u001b"));
});

test("what the API sends is what the commands read, and nothing else passes", () => {
  const sent = (report: unknown): unknown => JSON.parse(JSON.stringify(report));
  const picture = samplePicture();
  const cluster = reportCluster(picture, { machine: n1, version: "1" });
  assert.deepEqual(value(answers.cluster(sent(cluster))), sent(cluster));
  for (const name of ["db.service", "lost.service", "web@4.service", "old.service"]) {
    const unit = value(reportUnit(picture, name));
    assert.deepEqual(value(answers.unit(sent(unit))), sent(unit));
  }
  const file = value(reportUnitFile(picture, "hello.service"));
  assert.deepEqual(value(answers.unitFile(sent(file))), sent(file));
  const lists = [
    { read: listings.machines.read, answer: { machines: reportMachines(picture) } },
    { read: listings.units.read, answer: { units: reportUnits(picture) } },
    { read: listings.unitFiles.read, answer: { unitFiles: value(reportUnitFiles(picture)) } },
  ];
  for (const { read, answer } of lists) {
    assert.deepEqual(value<unknown>(read(sent(answer))), sent(Object.values(answer)[0]));
    const [rows = []] = Object.values<readonly object[]>(answer);
    for (const key of Object.keys(rows[0] ?? {})) {
      const spoilt = { [Object.keys(answer)[0] ?? ""]: [{ ...rows[0], [key]: Symbol("no JSON") }] };
      assert.equal(read(spoilt).ok, false, key);
    }
  }
  for (const answer of [undefined, null, [], {}, "x", { machines: null }, { machines: [1] }, { outcome: "other" }]) {
    for (const read of [...Object.values(answers), ...Object.values(listings).map((list) => list.read)]) {
      assert.equal(read(answer).ok, false);
    }
  }
});
