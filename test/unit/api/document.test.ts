import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import document from "../../../schemas/openapi.json" with { type: "json" };
import { createClock } from "../../../agent/adapters/clock.ts";
import { maxEventStreams } from "../../../agent/api/changes.ts";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { Drain, MachineSettings } from "../../../agent/domain/machine.ts";
import type {
  MachineExplanation,
  PlaceExplanation,
  RefusedUnit,
  UnitExplanation,
} from "../../../agent/domain/explanation.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import { Problem, type ProblemRecord } from "../../../agent/domain/problem.ts";
import type {
  ClusterReport,
  CommitReport,
  DrainReport,
  HoldReport,
  LossWait,
  MachineDetail,
  MachineReference,
  MachineReport,
  UnitDetail,
  UnitFileReport,
  UnitFileText,
  UnitReport,
} from "../../../agent/domain/report.ts";
import { type ClusterEvent, type Hold, eventKinds } from "../../../agent/domain/submitted.ts";
import type { SyncResult } from "../../../agent/domain/sync.ts";
import type { Clock } from "../../../agent/ports/clock.ts";
import type { MaintenanceResult } from "../../../agent/ports/hands.ts";
import {
  FakeCluster,
  sampleCommit,
  sampleIds,
  sampleNowMs,
  samplePicture,
  sampleUnit,
} from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { type Init, answered, api, ask, codeOf, isFor, mustBeAsDocumented, operations } from "./asking.ts";

type Fields<Report> = { readonly [Field in keyof Report]-?: 1 };

const unitFile: Fields<UnitFileReport> = {
  ...{ name: 1, source: 1, by: 1, atMs: 1, desired: 1, hash: 1, hold: 1, state: 1 },
  ...{ global: 1, template: 1, machine: 1, description: 1, file: 1 },
};

const machine: Fields<MachineReport> = {
  ...{ id: 1, ip: 1, metadata: 1, hostname: 1, version: 1, leader: 1, mayLead: 1 },
  ...{ cpus: 1, memoryBytes: 1, units: 1, cordoned: 1, drain: 1, rests: 1 },
};

const bodies: Readonly<Record<string, object>> = {
  "PATCH /v2/machines/{name}": { metadata: { role: "db" } },
  "POST /v2/machines/{name}/drain": { withinMs: 600_000 },
  "PUT /v2/unit-files/{name}": { text: "[Unit]\n" },
  "PUT /v2/unit-files/{name}/target": { target: "loaded" },
  "POST /v2/holds": { patterns: ["hello.service"] },
  "DELETE /v2/holds": { patterns: ["hello.service"] },
};
const stream = "GET /v2/changes";

interface Sample extends Init {
  readonly path: string;
}

/** A good request of each resource and method but the stream. */
const requests: ReadonlyMap<string, Sample> = new Map(
  [...operations.keys()]
    .filter((name) => name !== stream)
    .map((name) => {
      const [method = "", template = ""] = name.split(" ");
      const path = template.replace("{name}", template.includes("/machines/") ? sampleIds.n1 : "hello.service");
      return [name, { method, path, ...(bodies[name] === undefined ? {} : { body: bodies[name] }) }];
    }),
);

/** The sample with everything that a report may show. */
function fullPicture(): ClusterPicture {
  const picture = samplePicture();
  const hello = "hello.service" as UnitName;
  const hold: Hold = {
    unit: hello,
    target: "launched",
    by: "ann@laptop",
    why: "disk",
    atMs: sampleNowMs,
    untilMs: sampleNowMs + 1,
  };
  const events = eventKinds.map((kind): ClusterEvent => ({
    kind,
    atMs: sampleNowMs,
    by: "ann@laptop",
    message: kind,
    unit: hello,
    commit: sampleCommit,
    machine: sampleIds.n1,
  }));
  const desired = picture.desired!;
  const drain: Drain = {
    ...{ id: "drain-1", by: "ann@laptop", sinceMs: sampleNowMs, deadlineMs: sampleNowMs + 1 },
    ...{ state: "stopped", because: "no machine takes what is left" },
  };
  const settings: MachineSettings = {
    ...{ machine: sampleIds.n1, metadata: {}, cordoned: true, drain, by: "ann@laptop", atMs: sampleNowMs },
  };
  const byHand = sampleUnit("byhand.service", { source: "submitted", file: "" });
  return {
    ...picture,
    settings: new Map([[sampleIds.n1, settings]]),
    holds: new Map([[hello, hold]]),
    events,
    desired: {
      ...desired,
      units: new Map([...desired.units, [byHand.name, byHand]]),
      held: new Map([[hello, { hold, declared: "loaded" }]]),
    },
    statuses: new Map(
      [...picture.statuses].map(([id, status]) => [
        id,
        { ...status, units: status.units.map((unit) => ({ ...unit, started: true as const, restart: "restart-1" })) },
      ]),
    ),
  };
}

/** Fields of what is answered with, so that the compiler says which one is new. */
const reports: {
  readonly Drain: Fields<DrainReport>;
  readonly Maintenance: Fields<MaintenanceResult>;
  readonly Commit: Fields<CommitReport>;
  readonly Event: Fields<ClusterEvent>;
  readonly Hold: Fields<HoldReport>;
  readonly LossWait: Fields<LossWait>;
  readonly Machine: Fields<MachineReport>;
  readonly MachineDetail: Fields<MachineDetail>;
  readonly MachineExplanation: Fields<MachineExplanation>;
  readonly MachineReference: Fields<MachineReference>;
  readonly PlaceExplanation: Fields<PlaceExplanation>;
  readonly Problem: Fields<ProblemRecord>;
  readonly RefusedUnit: Fields<RefusedUnit>;
  readonly Status: Fields<ClusterReport>;
  readonly Sync: Fields<SyncResult>;
  readonly Unit: Fields<UnitReport>;
  readonly UnitDetail: Fields<UnitDetail>;
  readonly UnitExplanation: Fields<UnitExplanation>;
  readonly UnitFile: Fields<UnitFileReport>;
  readonly UnitFileText: Fields<UnitFileText>;
} = {
  Drain: { id: 1, by: 1, sinceMs: 1, deadlineMs: 1, state: 1, because: 1, left: 1 },
  Maintenance: { outcome: 1, drain: 1 },
  Commit: { commit: 1, ref: 1, atMs: 1, subject: 1, author: 1 },
  Event: { kind: 1, atMs: 1, by: 1, message: 1, unit: 1, commit: 1, machine: 1 },
  Hold: { unit: 1, target: 1, declared: 1, by: 1, why: 1, atMs: 1, untilMs: 1 },
  LossWait: { machine: 1, until: 1, unit: 1, mostMs: 1 },
  Machine: machine,
  MachineDetail: { ...machine, leaving: 1 },
  MachineExplanation: {
    ...{ machine: 1, standing: 1, metadata: 1, cordoned: 1, drain: 1, memoryBytes: 1, milliCpus: 1, units: 1 },
    ...{ rests: 1, takes: 1, refuses: 1, waiting: 1, globals: 1 },
  },
  MachineReference: { id: 1, ip: 1, hostname: 1, alive: 1 },
  PlaceExplanation: { machine: 1, decision: 1, because: 1, from: 1, rank: 1, sinceMs: 1, leaving: 1 },
  Problem: { code: 1, message: 1, hint: 1, file: 1, line: 1, column: 1, key: 1 },
  RefusedUnit: { unit: 1, breaks: 1 },
  Status: { agent: 1, leader: 1, adopted: 1, refused: 1, machines: 1, units: 1, holds: 1, problems: 1 },
  Sync: { outcome: 1, commit: 1, problems: 1 },
  Unit: {
    ...{ name: 1, machine: 1, knowledge: 1, target: 1, commit: 1, source: 1, hold: 1, restart: 1, started: 1 },
    ...{ load: 1, active: 1, sub: 1, result: 1, sinceMs: 1, restarts: 1, hash: 1, problem: 1 },
  },
  UnitDetail: { name: 1, commitAtHand: 1, file: 1, commit: 1, places: 1, refusals: 1, lossWait: 1 },
  UnitExplanation: {
    ...{ name: 1, state: 1, because: 1, global: 1, hold: 1, displacedBy: 1, event: 1, places: 1, machines: 1 },
    ...{ funnel: 1, candidates: 1, misses: 1, changes: 1, lossWait: 1 },
  },
  UnitFile: unitFile,
  UnitFileText: { ...unitFile, text: 1, dropIns: 1 },
};

const full = () => new FakeCluster(fullPicture());

suite("the document of the API", () => {
  test("names every resource that there is, and no other", async () => {
    const { json } = await ask(api(), "/v2");
    const { resources } = json as { readonly resources: readonly { readonly method: string; readonly path: string }[] };
    const served = ["GET /v2", ...resources.map(({ method, path }) => `${method} ${path.replace(":name", "{name}")}`)];
    assert.deepEqual([...operations.keys()].sort(), served.sort());
  });

  test("is what is served", async () => {
    assert.deepEqual((await ask(api(), "/v2/openapi.json")).json, document);
  });

  test("tells of every operation by a name of its own", () => {
    const ids = Object.values(document.paths).flatMap((methods) =>
      Object.values(
        methods as Readonly<Record<string, { readonly operationId: string; readonly summary: string }>>,
      ).map(({ operationId }) => operationId),
    );
    assert.equal(new Set(ids).size, operations.size);
  });

  for (const [name, fields] of Object.entries(reports))
    test(`has every field of ${name}`, () => {
      const { properties } = document.components.schemas[name as keyof typeof reports];
      assert.deepEqual(Object.keys(properties).sort(), Object.keys(fields).sort());
    });

  test("has every part used", () => {
    const used = new Set(
      Array.from(JSON.stringify(document).matchAll(/"\$ref":"#\/components\/([^"]+)"/g), ([, at]) => at),
    );
    const { schemas, responses } = document.components;
    for (const [kind, parts] of Object.entries({ schemas, responses }))
      for (const name of Object.keys(parts)) assert.ok(used.has(`${kind}/${name}`), `${kind}/${name}`);
  });

  for (const [name, { path, ...init }] of requests)
    test(`${name} answers as it says`, async () => {
      const hands = new FakeHands();
      for (const outcome of ["created", "replaced", "unchanged"] as const) {
        hands.submits = outcome;
        const { status } = await ask(api(full(), { hands }), path, init);
        assert.ok(status >= 200 && status < 300, String(status));
      }
    });

  for (const outcome of ["cordoned", "uncordoned", "draining", "unchanged"] as const)
    test(`maintenance that is ${outcome} is told as it says`, async () => {
      const hands = new FakeHands();
      const drain = fullPicture().settings.get(sampleIds.n1)?.drain;
      assert.ok(drain);
      hands.maintains = { outcome, drain };
      const { path, ...init } = requests.get("POST /v2/machines/{name}/drain")!;
      assert.deepEqual((await ask(api(full(), { hands }), path, init)).json, { outcome, drain });
    });

  for (const outcome of ["set", "held", "resumed", "unchanged"] as const)
    test(`a target that is ${outcome} is told as it says`, async () => {
      const hands = new FakeHands();
      hands.targets = { outcome, before: "inactive", target: "launched" };
      const { path, ...init } = requests.get("PUT /v2/unit-files/{name}/target")!;
      assert.equal((await ask(api(full(), { hands }), path, init)).status, 200);
    });
});

/** Ways to go wrong, each with the status that it has wherever the document has it. */
const faults: readonly {
  readonly what: string;
  readonly status: number;
  readonly view?: Error;
  readonly hands?: Error;
  readonly change?: (sample: Sample) => Sample;
}[] = [
  {
    what: "a query that nobody reads",
    status: 400,
    change: (sample) => ({ ...sample, path: `${sample.path}?qwerty=1` }),
  },
  {
    what: "a page from elsewhere",
    status: 403,
    change: (sample) => ({ ...sample, headers: { origin: "https://elsewhere.example" } }),
  },
  {
    what: "no such unit",
    status: 404,
    hands: new Problem("unit-unknown", "Cannot find it"),
    change: (sample) => ({
      ...sample,
      path: sample.path.replace("hello", "nothing").replace(sampleIds.n1, "f".repeat(32)),
    }),
  },
  { what: "what is there already", status: 409, hands: new Problem("unit-git", "Cannot take it by hand") },
  {
    what: "a body where none is taken",
    status: 411,
    change: (sample) => ({ ...sample, headers: { "transfer-encoding": "chunked" } }),
  },
  {
    what: "a long body",
    status: 413,
    change: (sample) => ({
      ...sample,
      headers: { "content-type": "application/json", "content-length": String(1024 ** 2) },
    }),
  },
  {
    what: "a body of another type",
    status: 415,
    change: (sample) => ({ ...sample, headers: { "content-type": "a/b" } }),
  },
  {
    what: "a mistake of the agent's",
    status: 500,
    view: new TypeError("x is not a function"),
    hands: new TypeError("x is not a function"),
  },
  {
    what: "no registry",
    status: 503,
    view: new Problem("registry-unreachable", "Cannot reach it"),
    hands: new Problem("registry-unreachable", "Cannot reach it"),
  },
];

suite("failures", () => {
  for (const [name, sample] of requests)
    for (const { what, status, view, hands: fault, change = (same: Sample) => same } of faults) {
      if (operations.get(name)?.responses[status] === undefined) continue;
      test(`${name}, ${what}: ${status}`, async () => {
        const cluster = full();
        if (view !== undefined) cluster.now = view;
        if (view !== undefined) cluster.syncs = () => Promise.reject(view);
        const hands = new FakeHands();
        hands.failure = fault;
        const { path, ...init } = change(sample);
        assert.equal((await ask(api(cluster, { hands }), path, init)).status, status);
      });
    }

  // A clock on which every pause is over at once
  const hasty: Clock = { ...createClock(), sleep: async () => undefined };
  for (const [name, { path, ...init }] of requests) {
    if (operations.get(name)?.responses["504"] === undefined) continue;
    test(`${name}, a view that is stuck: 504`, async () => {
      const stuck = full();
      stuck.picture = () => new Promise(() => undefined);
      stuck.syncs = () => Promise.reject(new Problem("sync-timeout", "Cannot finish"));
      assert.equal((await ask(api(stuck, { clock: hasty }), path, init)).status, 504);
    });
  }

  for (const [name, { path, ...init }] of requests) {
    if (operations.get(name)?.responses["408"] === undefined) continue;
    test(`${name}, a body that does not come: 408`, async () => {
      const body = new ReadableStream<Uint8Array>({});
      const headers = { "content-type": "application/json" };
      assert.equal((await ask(api(full(), { clock: hasty }), path, { ...init, headers, body })).status, 408);
    });
  }

  test(`${stream}, one too many: 503`, async () => {
    const handler = api();
    for (let open = 0; open < maxEventStreams; open++) {
      const { status, headers } = await handler.handle(new Request("http://localhost/v2/changes"));
      assert.deepEqual([status, headers.get("content-type")], [200, "text/event-stream"]);
    }
    assert.equal(codeOf(await ask(handler, "/v2/changes")), "api-streams");
    handler.endStreams();
  });

  test("every answer that the document has was given here", () => {
    const documented = [...operations].flatMap(([name, { responses }]) =>
      Object.keys(responses).map((status) => `${name} ${status}`),
    );
    const missing = documented.filter((each) => !answered.has(each) && each !== `${stream} 200`);
    assert.deepEqual(missing, []);
  });
});

const page = readFileSync(new URL("../../../docs/api.md", import.meta.url), "utf8");

suite("docs/api.md", () => {
  const transcripts = transcriptsIn(page);

  for (const { method, path, answer } of transcripts)
    test(`${method} ${path} is answered as it is shown`, () => {
      const { error } = answer as { readonly error?: { readonly code: string } };
      const name = [...operations.keys()].find((each) => isFor(each, { method, path }));
      const own = Object.keys(operations.get(name ?? "")?.responses ?? {}).filter((status) => status < "300");
      const statuses = error === undefined ? own.map(Number) : [statusesIn(page).get(error.code) ?? 0];
      // Which of two good ones it was, a transcript does not say
      const wrong = statuses.flatMap((status) => complaint({ method, path, status, json: answer }) ?? []);
      assert.ok(wrong.length < statuses.length, wrong.join("\n"));
    });

  test("shows every resource and method that takes or gives something", () => {
    const shown = new Set(transcripts.map((each) => [...operations.keys()].find((name) => isFor(name, each))));
    const plain = ["GET /v2", "GET /v2/events", "GET /v2/changes", "GET /v2/openapi.json"];
    assert.deepEqual(
      [...operations.keys()].filter((name) => !shown.has(name) && !plain.includes(name)),
      [],
    );
  });

  test("lists every code with its status", () => {
    const source = readFileSync(new URL("../../../agent/api/problems.ts", import.meta.url), "utf8");
    const codes = new Map(
      Array.from(source.matchAll(/\["([a-z-]+)", (\d{3})\]/g), ([, code, status]) => [code, Number(status)]),
    );
    assert.ok(codes.size > 30);
    assert.deepEqual(statusesIn(page), codes);
  });
});

interface Transcript {
  readonly method: string;
  readonly path: string;
  readonly answer: unknown;
}

/** Of /v2, but those that go through another program or never end. */
function transcriptsIn(markdown: string): readonly Transcript[] {
  const blocks = Array.from(markdown.matchAll(/^```console\n([\s\S]*?)^```/gm), ([, block = ""]) => block);
  const found = blocks.flatMap((block) => block.split(/^\$ /m).slice(1));
  return found.flatMap((text) => {
    const [, command = "", answer = ""] = /^((?:.*\\\n)*.*)\n([\s\S]*)$/.exec(text) ?? [];
    const [, path = ""] = /http:\/\/flotilla(\/v2[^' ]*)/.exec(command) ?? [];
    if (path === "" || command.includes(" | ") || command.includes(" -sN ")) return [];
    const [, method = "GET"] = / -X ([A-Z]+)/.exec(command) ?? [];
    return [{ method, path, answer: JSON.parse(answer) as unknown }];
  });
}

/** The table of codes: `| \`code\` | 404 |`. */
function statusesIn(markdown: string): ReadonlyMap<string | undefined, number> {
  const rows = markdown.matchAll(/^\| `([a-z-]+)` +\| (\d{3}) +\|/gm);
  return new Map(Array.from(rows, ([, code, status]) => [code, Number(status)]));
}

function complaint(answer: Parameters<typeof mustBeAsDocumented>[0]): string | undefined {
  try {
    mustBeAsDocumented(answer);
    return undefined;
  } catch (error) {
    return String(error);
  }
}
