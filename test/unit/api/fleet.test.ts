// fleet's API v1: the scenarios F-340 to F-379 with literal JSON compared as text, and requests that fleet was seen to
// answer. What is written is written by real hands, into a whole agent's registry.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { createApi } from "../../../agent/api/api.ts";
import { FleetFailure } from "../../../agent/api/fleet-answers.ts";
import { checked, encodeToken, pageAsked, pageOf, readToken } from "../../../agent/api/fleet-pages.ts";
import { serveApi } from "../../../agent/adapters/api-server.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { TargetState, Unit } from "../../../agent/domain/unit.ts";
import type { ApiHandler } from "../../../agent/ports/api-server.ts";
import type { Hands } from "../../../agent/ports/hands.ts";
import {
  FakeCluster,
  emptyPicture,
  sampleIds,
  sampleMachine,
  samplePicture,
  sampleStatus,
  sampleUnit,
} from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { MemoryLog } from "../../fakes/memory-log.ts";
import { House, type HouseOptions, idOf, name, service } from "../loops/house.ts";

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

/** `GET /path`, or `PUT /path` and a body: a text as it is, everything else as JSON. */
type Asking = readonly [line: string, body?: unknown, headers?: Readonly<Record<string, string>>];
/** And what comes of it: status, body. */
type Step = readonly [asking: Asking | string, status: number, text: string];

async function ask(handler: ApiHandler, asking: Asking | string): Promise<Answered> {
  const [line, body, headers] = typeof asking === "string" ? [asking] : asking;
  const [method = "", path = ""] = line.split(" ");
  const request = new Request(`http://localhost${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const response = await handler.handle(request);
  assert.equal(response.headers.get("server"), "fleetd/1.0.0 flotilla/1.2.3");
  return { status: response.status, text: await response.text(), headers: response.headers };
}

/** An API over a picture that is set by hand. */
function over(picture: ClusterPicture | Error, hands: Hands = new FakeHands(), log = new MemoryLog()): ApiHandler {
  return createApi({ view: new FakeCluster(picture), hands, clock: createClock(), log, version: "1.2.3" });
}

async function steps(handler: ApiHandler, all: readonly Step[]): Promise<void> {
  for (const [asking, status, text] of all) {
    const answer = await ask(handler, asking);
    assert.deepEqual([answer.status, answer.text], [status, text], JSON.stringify(asking));
    if (text !== "") assert.equal(answer.headers.get("content-type"), "application/json");
  }
}

function error(code: number, message: string): string {
  return `{"error":{"code":${code},"message":${JSON.stringify(message)}}}`;
}

const sleep = [{ section: "Service", name: "ExecStart", value: "/bin/sleep infinity" }];
const other = [{ section: "Service", name: "ExecStart", value: "/bin/sleep 1000" }];
const a = idOf("a");

/** A unit as GET has it; one that is not inactive is on the machine. */
function unit(unitName: string, state: TargetState, options = sleep): string {
  const listed = options.map(
    ({ section, name: option, value }) => `{"name":"${option}","section":"${section}","value":"${value}"}`,
  );
  const where = state === "inactive" ? "" : `"machineID":"${a}",`;
  return `{"currentState":"${state}","desiredState":"${state}",${where}"name":"${unitName}","options":[${listed.join(",")}]}`;
}

/** A whole agent, and its API; time passes while it is asked, and a while after each change. */
async function live(context: TestContext, options: HouseOptions = {}) {
  const house = await House.open({ machines: "a", git: false, ...options });
  context.after(() => house.close());
  if (options.git === true) await house.ready();
  else {
    house.start();
    await house.until(async () => (await house.held()).manifests.size === house.machines.length, 5_000);
  }
  const { agent } = house.box("a");
  const inner = createApi({
    view: agent.view,
    hands: agent.hands,
    clock: house.clock,
    log: new MemoryLog(),
    version: "1.2.3",
  });
  const handler: ApiHandler = {
    handle: async (request) => {
      const response = await house.settle(inner.handle(request));
      if (request.method !== "GET") await house.clock.advance(1_000);
      return response;
    },
    endStreams: () => inner.endStreams(),
  };
  const given = async (units: Readonly<Record<string, TargetState>>): Promise<void> => {
    for (const [unitName, target] of Object.entries(units)) {
      const text = "[Service]\nExecStart=/bin/sleep infinity\n";
      await house.settle(agent.hands.submit({ name: name(unitName), text, target, replace: false, by: "test" }));
    }
    await house.clock.advance(1_000);
  };
  return { house, handler, agent, given };
}

describe("paths and methods", () => {
  const always: readonly Step[] = [
    ["GET /", 405, error(405, "")],
    ["GET /v1-alpha", 405, error(405, "")],
    ["GET /fleet/v1", 405, error(405, "")],
    ["POST /fleet/v1", 405, error(405, "")],
    ["GET /bogus", 404, error(404, "")],
    ["GET /fleet", 404, error(404, "")],
    ["GET /fleet/v1/", 404, error(404, "")],
    ["GET /fleet/v1/nosuch", 404, error(404, "")],
    ["GET /fleet/v1/constructor", 404, error(404, "")],
    ["GET /v1/units", 404, error(404, "")],
    ["GET /fleet/v1/units/", 404, error(404, "")],
    ["GET /fleet/v1/units/foo/bar", 404, error(404, "")],
    ["GET /fleet/v1/units/foo%2Fbar", 404, error(404, "")],
    ["GET /fleet/v1/units/item/", 404, error(404, "")],
    ["GET /fleet/v1/units/%ff", 400, error(400, "")],
    ["GET /fleet/v1/machines/x", 404, error(404, "")],
    ["GET /fleet/v1/discovery/", 404, error(404, "")],
    ["POST /fleet/v1/units", 405, error(405, "only GET supported against this resource")],
    ["DELETE /fleet/v1/units", 405, error(405, "only GET supported against this resource")],
    ["POST /fleet/v1/state", 405, error(405, "only GET supported against this resource")],
    ["PUT /fleet/v1/state/a.service", 405, error(405, "only GET supported against this resource")],
    ["PATCH /fleet/v1/units/a.service", 405, error(405, "only GET, PUT and DELETE supported against this resource")],
    ["PUT /fleet/v1/machines", 405, error(405, "only GET and PATCH supported against this resource")],
    ["POST /fleet/v1/discovery", 400, error(400, "only HTTP GET supported against this resource")],
    ["PUT /fleet/v1/discovery", 400, error(400, "only HTTP GET supported against this resource")],
    ["DELETE /v1-alpha/discovery", 400, error(400, "only HTTP GET supported against this resource")],
  ];
  for (const step of always) {
    test(`F-340 to F-342, F-358 to F-360, F-370: ${JSON.stringify(step[0])}: ${step[1]}`, () =>
      steps(over(samplePicture()), [step]));
  }

  test("a method that is not taken is told which are", async () => {
    const { headers } = await ask(over(samplePicture()), "POST /fleet/v1/units/a.service");
    assert.equal(headers.get("allow"), "GET, PUT, DELETE");
  });

  test("a page from elsewhere changes nothing in its reader's name", async () => {
    const hands = new FakeHands();
    const headers = { Origin: "https://elsewhere.example" };
    const answer = await ask(over(samplePicture(), hands), [
      "DELETE /fleet/v1/units/hello.service",
      undefined,
      headers,
    ]);
    assert.equal(answer.status, 403);
    assert.match(answer.text, /^{"error":{"code":403,"message":"Cannot let a page from/);
    assert.deepEqual(hands.asked, []);
  });

  test("F-379 without the registry nothing is answered but that", async (context) => {
    const away = error(503, "fleet server unable to communicate with etcd");
    const lines = [
      "GET /",
      "GET /bogus",
      "GET /fleet/v1/units",
      "GET /v1-alpha/discovery",
      "DELETE /fleet/v1/units/a.service",
    ];
    const all = lines.map((line): Step => [line, 503, away]);
    await steps(over({ ...samplePicture(), stale: true }), all);
    await steps(over(new Problem("registry-unreachable", "Cannot read it")), all);
    const { house, handler } = await live(context);
    await steps(handler, [["GET /fleet/v1/units", 200, "{}"]]);
    house.box("a").connection.cutOff();
    await house.clock.advance(20_000);
    await steps(handler, [["GET /fleet/v1/units", 503, away]]);
  });

  test("F-356 what cannot be written is 500 without a word, and in the log", async () => {
    const picture = samplePicture();
    const broken = sampleMachine(sampleIds.n1, { metadata: { big: 1n as unknown as string } });
    const log = new MemoryLog();
    const handler = over({ ...picture, machines: new Map([[broken.id, broken]]) }, new FakeHands(), log);
    await steps(handler, [["GET /fleet/v1/machines", 500, error(500, "")]]);
    await steps(over(new TypeError("x is not a function")), [["GET /fleet/v1/units", 500, error(500, "")]]);
    assert.equal(log.lines.filter(({ event }) => event === "api.failed").length, 1);
  });

  test("while the adopted commit is not at hand units are unknown, not none", async () => {
    const { revision } = samplePicture();
    const answer = await ask(over({ ...emptyPicture(), desired: undefined, revision }), "GET /fleet/v1/units");
    assert.equal(answer.status, 503);
    assert.match(answer.text, /Cannot read the units of commit 4f2a9c16/);
  });
});

interface Scenario {
  readonly name: string;
  readonly given?: Readonly<Record<string, TargetState>>;
  readonly steps: readonly Step[];
}

const both = `{"units":[${unit("XXX.service", "inactive")},${unit("YYY.service", "inactive")}]}`;

const scenarios: readonly Scenario[] = [
  {
    name: "none",
    steps: [
      ["GET /fleet/v1/units", 200, "{}"],
      ["GET /fleet/v1/state", 200, "{}"],
    ],
  },
  {
    name: "F-343 all, in order, under either base",
    given: { "YYY.service": "inactive", "XXX.service": "inactive" },
    steps: [
      ["GET /fleet/v1/units", 200, both],
      ["GET /v1-alpha/units", 200, both],
    ],
  },
  {
    name: "F-346 one",
    given: { "XXX.service": "inactive" },
    steps: [
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "inactive")],
      ["GET /fleet/v1/units/ZZZ", 404, error(404, "unit does not exist")],
      ["GET /fleet/v1/units/ZZZ.service", 404, error(404, "unit does not exist")],
    ],
  },
  {
    name: "F-347 DELETE",
    given: { "XXX.service": "launched" },
    steps: [
      ["DELETE /fleet/v1/units/YYY.service", 404, error(404, "unit does not exist")],
      ["DELETE /fleet/v1/units/nothing", 404, error(404, "unit does not exist")],
      ["GET /fleet/v1/units", 200, `{"units":[${unit("XXX.service", "launched")}]}`],
      ["DELETE /fleet/v1/units/XXX.service", 204, ""],
      ["GET /fleet/v1/units", 200, "{}"],
    ],
  },
  {
    name: "F-348 a state is set",
    given: { "XXX.service": "inactive" },
    steps: [
      [["PUT /fleet/v1/units/XXX.service", { desiredState: "launched" }], 204, ""],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "launched")],
      [["PUT /fleet/v1/units/XXX.service", { desiredState: "loaded" }], 204, ""],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "loaded")],
      [["PUT /fleet/v1/units/XXX.service", { desiredState: "loaded" }], 204, ""],
    ],
  },
  {
    name: "F-349 a new one",
    steps: [
      [["PUT /fleet/v1/units/YYY.service", { desiredState: "loaded", options: sleep }], 201, ""],
      ["GET /fleet/v1/units/YYY.service", 200, unit("YYY.service", "loaded")],
      [["PUT /fleet/v1/units/ZZZ.service", { options: sleep }], 201, ""],
      ["GET /fleet/v1/units/ZZZ.service", 200, unit("ZZZ.service", "inactive")],
    ],
  },
  {
    name: "F-350 without options there is none",
    steps: [
      [
        ["PUT /fleet/v1/units/YYY.service", { desiredState: "loaded" }],
        409,
        error(409, "unit does not exist and options field empty"),
      ],
      [
        ["PUT /fleet/v1/units/YYY.service", { desiredState: "loaded", options: [] }],
        409,
        error(409, "unit does not exist and options field empty"),
      ],
      ["GET /fleet/v1/units", 200, "{}"],
    ],
  },
  {
    name: "F-351, F-352 the name in the body",
    given: { "XXX.service": "inactive", "YYY.service": "inactive" },
    steps: [
      [
        ["PUT /fleet/v1/units/XXX.service", { name: "YYY.service", desiredState: "loaded" }],
        400,
        error(400, 'name in URL "XXX.service" differs from unit name in request body "YYY.service"'),
      ],
      ["GET /fleet/v1/units", 200, both],
      [["PUT /fleet/v1/units/XXX.service", { desiredState: "loaded" }], 204, ""],
      ["GET /fleet/v1/units", 200, `{"units":[${unit("XXX.service", "loaded")},${unit("YYY.service", "inactive")}]}`],
    ],
  },
  {
    name: "F-353 a template does not run",
    given: { "XXX@.service": "inactive" },
    steps: [
      [
        ["PUT /fleet/v1/units/XXX@.service", { desiredState: "launched" }],
        400,
        error(400, 'cannot activate template "XXX@.service"'),
      ],
      [["PUT /fleet/v1/units/XXX@.service", { desiredState: "inactive" }], 204, ""],
      ["GET /fleet/v1/units/XXX%40.service", 200, unit("XXX@.service", "inactive")],
      ["DELETE /fleet/v1/units/XXX@.service", 204, ""],
    ],
  },
  {
    name: "F-354, F-355 the type of the body",
    given: { "XXX.service": "inactive" },
    steps: [
      [
        ["PUT /fleet/v1/units/XXX.service", "<unit/>", { "Content-Type": "application/xml" }],
        415,
        error(415, "only acceptable Content-Type is application/json"),
      ],
      [
        ["PUT /fleet/v1/units/XXX.service", "{}", { "Content-Type": "application/json, application/json" }],
        415,
        error(415, "expected 1 Content-Type, got 2"),
      ],
      ["PUT /fleet/v1/units/XXX.service", 415, error(415, "expected 1 Content-Type, got 0")],
      [
        [
          "PUT /fleet/v1/units/XXX.service",
          { desiredState: "loaded" },
          { "Content-Type": "application/json; quality=0.9" },
        ],
        204,
        "",
      ],
    ],
  },
  {
    name: "F-372 the same content says nothing new",
    given: { "XXX.service": "launched" },
    steps: [
      [
        ["PUT /fleet/v1/units/XXX.service", { options: sleep }],
        409,
        error(409, "must provide DesiredState to update existing unit"),
      ],
      [["PUT /fleet/v1/units/XXX.service", {}], 409, error(409, "must provide DesiredState to update existing unit")],
      [
        ["PUT /fleet/v1/units/XXX.service", { name: "XXX.service" }],
        409,
        error(409, "must provide DesiredState to update existing unit"),
      ],
      [["PUT /fleet/v1/units/XXX.service", { options: sleep, desiredState: "loaded" }], 204, ""],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "loaded")],
    ],
  },
  {
    name: "F-373, better: what is replaced keeps its place and what it is to do",
    given: { "XXX.service": "launched" },
    steps: [
      [["PUT /fleet/v1/units/XXX.service", { options: other }], 201, ""],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "launched", other)],
      [["PUT /fleet/v1/units/XXX.service", { options: sleep, desiredState: "inactive" }], 201, ""],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "inactive")],
    ],
  },
  {
    name: "F-374, better: options that contradict each other replace nothing",
    given: { "XXX.service": "launched" },
    steps: [
      [
        [
          "PUT /fleet/v1/units/XXX.service",
          {
            options: [
              { section: "X-Fleet", name: "Global", value: "true" },
              { section: "X-Fleet", name: "MachineOf", value: "a.service" },
            ],
          },
        ],
        400,
        error(400, "Global cannot be used with Peers"),
      ],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "launched")],
    ],
  },
  {
    name: "F-375, better: a state that is none is refused",
    given: { "XXX.service": "loaded" },
    steps: [
      [
        ["PUT /fleet/v1/units/XXX.service", { desiredState: "bogus" }],
        400,
        error(400, 'invalid desiredState "bogus": expect inactive, loaded, or launched'),
      ],
      ["GET /fleet/v1/units/XXX.service", 200, unit("XXX.service", "loaded")],
    ],
  },
  {
    name: "F-376, better: a template that shall run is not created",
    steps: [
      [
        ["PUT /fleet/v1/units/XXX@.service", { desiredState: "launched", options: sleep }],
        400,
        error(400, 'cannot activate template "XXX@.service"'),
      ],
      ["GET /fleet/v1/units", 200, "{}"],
    ],
  },
  {
    name: "names, bodies and options that are refused, and nothing is stored",
    steps: [
      [
        ["PUT /fleet/v1/units/bad%20name.service", { options: sleep }],
        400,
        error(400, "invalid character ' ' in unit name"),
      ],
      [["PUT /fleet/v1/units/noext", { options: sleep }], 400, error(400, 'unit name must contain "."')],
      [["PUT /fleet/v1/units/x.foo", { options: sleep }], 400, error(400, 'invalid unit type: "foo"')],
      [["PUT /fleet/v1/units/a.service", "[]"], 400, error(400, "unable to decode body: the body must be an object")],
      [
        ["PUT /fleet/v1/units/a.service", { name: 1, options: [{ section: "A", name: "B", value: true }, 7] }],
        400,
        error(
          400,
          "unable to decode body: name of the body must be a text; value of options[0] must be a text; options[1] must be an object",
        ),
      ],
      [
        [
          "PUT /fleet/v1/units/a.service",
          { options: [{ section: "Service", name: "ExecStart", value: "/bin/a\nUser=root" }] },
        ],
        400,
        error(
          400,
          'Cannot write option "ExecStart" in section "Service" as one option (A section and a name are plain words; every line of a value but the last ends in a backslash)',
        ),
      ],
      [
        [
          "PUT /fleet/v1/units/a.service",
          { options: [...sleep, { section: "X-Fleet", name: "MachineMetadata", value: "a=1 b=2" }] },
        ],
        400,
        error(
          400,
          'Cannot take unit "a.service": Cannot take MachineMetadata=a=1 b=2 of unit "a.service" (Quote each item: MachineMetadata="a=1" "b=2")',
        ),
      ],
      ["GET /fleet/v1/units", 200, "{}"],
    ],
  },
  {
    name: "keys in any case, null for nothing, and values that go on",
    steps: [
      [
        [
          "PUT /fleet/v1/units/a.service",
          {
            Name: null,
            DesiredState: "inactive",
            Options: [{ Section: "Service", Name: "ExecStart", Value: "/bin/sh -c \\\n  'a && b' <x" }],
          },
        ],
        201,
        "",
      ],
      [
        "GET /fleet/v1/units/a.service",
        200,
        '{"currentState":"inactive","desiredState":"inactive","name":"a.service","options":[{"name":"ExecStart","section":"Service","value":"/bin/sh -c \\\\\\n  \'a \\u0026\\u0026 b\' \\u003cx"}]}',
      ],
    ],
  },
];
describe("units", () => {
  for (const { name: what, given = {}, steps: all } of scenarios) {
    test(what, async (context) => {
      const { handler, given: prepare } = await live(context);
      await prepare(given);
      await steps(handler, all);
    });
  }
});

describe("units of the repository", () => {
  const db = service("MachineMetadata=disk=ssd");
  const options = [
    { section: "Service", name: "ExecStart", value: "/bin/sleep infinity" },
    { section: "X-Fleet", name: "MachineMetadata", value: "disk=ssd" },
  ];

  test("are told what to do, which is a hold; their options stay the repository's", async (context) => {
    const { house, handler, agent } = await live(context, { git: true, metadata: { a: { disk: "ssd" } } });
    await house.deploy({ "db.service": db });
    await house.clock.advance(1_000);
    await steps(handler, [
      ["GET /fleet/v1/units/db.service", 200, unit("db.service", "launched", options)],
      [["PUT /fleet/v1/units/db.service", { options, desiredState: "loaded" }, { "Flotilla-By": "ann@desk" }], 204, ""],
      ["GET /fleet/v1/units/db.service", 200, unit("db.service", "loaded", options)],
    ]);
    const { holds } = await house.settle(agent.view.picture());
    assert.deepEqual(
      [...holds.values()].map(({ unit: held, target, by, why }) => [held, target, by, why]),
      [["db.service", "loaded", "ann@desk", "fleet API"]],
    );
    await steps(handler, [
      [
        ["PUT /fleet/v1/units/db.service", { options: sleep, desiredState: "launched" }],
        409,
        error(
          409,
          'Cannot submit unit "db.service": the repository has it in db.service (Submit it under another name, or change it in the repository)',
        ),
      ],
      [
        "DELETE /fleet/v1/units/db.service",
        409,
        error(
          409,
          'Cannot destroy unit "db.service": the repository has it in db.service (Remove db.service from the repository and commit; flotilla stop db.service holds it meanwhile)',
        ),
      ],
    ]);
    await steps(handler, [
      [["PUT /fleet/v1/units/db.service", { desiredState: "launched" }], 204, ""],
      ["GET /fleet/v1/units/db.service", 200, unit("db.service", "launched", options)],
    ]);
    assert.equal((await house.settle(agent.view.picture())).holds.size, 0, "what the repository wants needs no hold");
  });

  test("a hold that says the same keeps its reason and its end", async (context) => {
    const { house, handler, agent } = await live(context, { git: true });
    await house.deploy({ "web.service": service() });
    const request = {
      name: name("web.service"),
      target: "loaded" as const,
      by: "ann@desk",
      why: "disk",
      forMs: 3_600_000,
    };
    await house.settle(agent.hands.setTarget(request));
    await steps(handler, [[["PUT /fleet/v1/units/web.service", { desiredState: "loaded" }], 204, ""]]);
    const { holds } = await house.settle(agent.view.picture());
    const hold = holds.get(name("web.service"));
    assert.deepEqual([hold?.by, hold?.why, hold?.untilMs !== undefined], ["ann@desk", "disk", true]);
  });

  test("drop-ins are part of the options, and giving back what was got changes nothing", async () => {
    const hands = new FakeHands();
    const handler = over(samplePicture(), hands);
    const { text } = await ask(handler, "GET /fleet/v1/units/hello.service");
    assert.equal(
      text,
      `{"currentState":"launched","desiredState":"launched","machineID":"${sampleIds.n3}","name":"hello.service","options":[` +
        '{"name":"Description","section":"Unit","value":"hello.service"},' +
        '{"name":"ExecStart","section":"Service","value":"/bin/sleep infinity"},' +
        '{"name":"MemoryMax","section":"Service","value":"64M"}]}',
    );
    await steps(handler, [[["PUT /fleet/v1/units/hello.service", text], 204, ""]]);
    assert.deepEqual(
      hands.asked.map(({ call }) => call),
      ["setTarget"],
    );
  });

  test("a global unit and a template have no machine", async () => {
    const handler = over(samplePicture());
    const [global, template] = await Promise.all(
      ["log.service", "web@.service"].map((each) => ask(handler, `GET /fleet/v1/units/${each}`)),
    );
    assert.match(global?.text ?? "", /^{"desiredState":"launched","name":"log\.service",/);
    assert.match(template?.text ?? "", /^{"currentState":"inactive","desiredState":"inactive","name":"web@\.service",/);
  });

  test("a cluster that takes units from git alone says so", async (context) => {
    const { handler } = await live(context, { git: true, submit: "" });
    const { status, text } = await ask(handler, ["PUT /fleet/v1/units/a.service", { options: sleep }]);
    assert.equal(status, 403);
    assert.match(
      text,
      /^{"error":{"code":403,"message":"Cannot take unit \\"a\.service\\" by hand: this machine takes units from git alone/,
    );
  });
});

describe("states", () => {
  const [x, y] = [sampleIds.n2, sampleIds.n1];
  const hash = "6534573729580ec3be0d27909bbfec4b1e4452d5" as ReturnType<typeof sampleUnit>["hash"];
  const told = { hash, active: "active", load: "loaded", sub: "running" };
  const picture: ClusterPicture = {
    ...emptyPicture(),
    machines: new Map([x, y].map((id) => [id, sampleMachine(id)])),
    statuses: new Map([
      sampleStatus(x, { "bbb.service": told, "ccc.service": told }),
      sampleStatus(y, { "aaa.service": told, "ccc.service": told }),
      sampleStatus(sampleIds.gone, { "ddd.service": told }),
    ]),
  };
  const state = (unitName: string, machine: string): string =>
    `{"hash":"${hash}","machineID":"${machine}","name":"${unitName}","systemdActiveState":"active","systemdLoadState":"loaded","systemdSubState":"running"}`;
  const [aaa, bbb] = [state("aaa.service", y), state("bbb.service", x)];
  const [cccX, cccY] = [state("ccc.service", x), state("ccc.service", y)];
  const cases: readonly (readonly [query: string, states: readonly string[]])[] = [
    ["", [aaa, bbb, cccX, cccY]],
    ["?unitName=aaa.service", [aaa]],
    ["?unitName=ccc.service", [cccX, cccY]],
    ["?unitName=ccc.service&unitName=aaa.service", [cccX, cccY]],
    ["?unitName=ccc", []],
    ["?unitName=nope", []],
    [`?machineID=${x}`, [bbb, cccX]],
    [`?machineID=${x.slice(0, 8)}`, []],
    ["?machineID=nope", []],
    [`?unitName=ccc.service&machineID=${x}`, [cccX]],
    ["?unitName=&machineID=", [aaa, bbb, cccX, cccY]],
  ];
  for (const [query, states] of cases) {
    test(`F-365 GET /state${query}`, () =>
      steps(over(picture), [
        [`GET /fleet/v1/state${query}`, 200, states.length === 0 ? "{}" : `{"states":[${states.join(",")}]}`],
      ]));
  }

  test("of one unit, on one machine; F-377, better: of an unknown one a proper 404", () =>
    steps(over(picture), [
      ["GET /fleet/v1/state/ccc.service", 200, cccX],
      ["GET /fleet/v1/state/nope.service", 404, error(404, "unit state does not exist")],
      ["GET /fleet/v1/state/ddd.service", 404, error(404, "unit state does not exist")],
      ["GET /fleet/v1/state/nope", 404, error(404, "unit state does not exist")],
    ]));
});

describe("machines", () => {
  const [x, y] = [idOf("a"), idOf("b")];
  const first = { id: x };
  const machines = (...all: readonly object[]): string => JSON.stringify({ machines: all });
  const twoMachines = async (context: TestContext) => {
    const { house, handler } = await live(context, { machines: "ab", leaders: "a", metadata: { b: { ping: "pong" } } });
    return { house, handler };
  };
  const ipOf = (letter: string): string => `10.0.0.${letter.charCodeAt(0)}`;
  const shown = (letter: string, metadata?: Readonly<Record<string, string>>): object => ({
    id: idOf(letter),
    ...(metadata === undefined ? {} : { metadata }),
    primaryIP: ipOf(letter),
  });

  test("F-366 byte for byte", () =>
    steps(
      over({
        ...emptyPicture(),
        machines: new Map([
          [y, sampleMachine(y, { publicIp: "1.2.3.4", metadata: { ping: "pong" } })],
          [x, sampleMachine(x)],
        ]),
      }),
      [
        [
          "GET /fleet/v1/machines",
          200,
          `{"machines":[{"id":"${first.id}"},{"id":"${y}","metadata":{"ping":"pong"},"primaryIP":"1.2.3.4"}]}`,
        ],
      ],
    ));

  test("F-367, F-368 metadata is added, replaced and removed", async (context) => {
    const { handler } = await twoMachines(context);
    await steps(handler, [
      ["GET /fleet/v1/machines", 200, machines(shown("a"), shown("b", { ping: "pong" }))],
      [
        [
          "PATCH /fleet/v1/machines",
          [
            { op: "add", path: `/${x}/metadata/foo`, value: { value: "bar" } },
            { op: "replace", path: `/${y}/metadata/ping`, value: { value: "splat" } },
          ],
          { "Content-Type": "text/plain" },
        ],
        204,
        "",
      ],
      ["GET /fleet/v1/machines", 200, machines(shown("a", { foo: "bar" }), shown("b", { ping: "splat" }))],
      [
        [
          "PATCH /fleet/v1/machines",
          [
            { op: "remove", path: `/${x}/metadata/foo` },
            { op: "remove", path: `/${y}/metadata/ping` },
          ],
        ],
        204,
        "",
      ],
      ["GET /fleet/v1/machines", 200, machines(shown("a"), shown("b"))],
    ]);
  });

  test("F-378, better: a value may be a plain text", async (context) => {
    const { handler } = await twoMachines(context);
    await steps(handler, [
      [["PATCH /fleet/v1/machines", [{ op: "add", path: `/${x}/metadata/rack`, value: "r7" }]], 204, ""],
      [["PATCH /fleet/v1/machines", [{ op: "add", path: `/${"c".repeat(32)}/metadata/rack`, value: "r7" }]], 204, ""],
      ["GET /fleet/v1/machines", 200, machines(shown("a", { rack: "r7" }), shown("b", { ping: "pong" }))],
    ]);
  });

  const good = { op: "add", path: `/${x}/metadata/foo`, value: "bar" };
  const op = "invalid op: expect add, remove, or replace";
  const path = "machine metadata path invalid";
  const value = "invalid value: add and replace require a value";
  const refused: readonly (readonly [unknown, string])[] = [
    [[good, { op: "noop", path: `/${x}/metadata/foo`, value: "bar" }], op],
    [[good, {}], op],
    [[good, { op: "add", path: `/${x}/foo`, value: "bar" }], path],
    [[good, { op: "add", path: `/${x}/metadata/a b`, value: "bar" }], path],
    [[good, { op: "remove", path: "/nobody/metadata/foo" }], path],
    [[good, { op: "add", path: `/${x}/metadata/foo` }], value],
    [[good, { op: "replace", path: `/${x}/metadata/foo`, value: { value: "" } }], value],
    [[good, { op: "replace", path: `/${x}/metadata/foo`, value: {} }], value],
    [[good, { op: "add", path: `/${x}/metadata/foo`, value: 7 }], "value of [1] must be a text"],
    [{}, "the body must be a list of operations"],
    ["", "EOF"],
  ];
  for (const [body, message] of refused) {
    test(`F-369 PATCH ${JSON.stringify(body).slice(-70)}: ${message}, and nothing is applied`, async () => {
      const hands = new FakeHands();
      await steps(over(samplePicture(), hands), [[["PATCH /fleet/v1/machines", body], 400, error(400, message)]]);
      assert.deepEqual(hands.asked, []);
    });
  }
});

describe("pages", () => {
  const numbered = (count: number): readonly string[] =>
    Array.from({ length: count }, (_, index) => `u${String(index).padStart(5, "0")}.service`);
  const samples = new Map<string, Unit>();
  const sample = (unitName: string): Unit => {
    const known = samples.get(unitName) ?? sampleUnit(unitName, { target: "inactive" });
    samples.set(unitName, known);
    return known;
  };
  const wanted = (names: readonly string[]): ClusterPicture => ({
    ...emptyPicture(),
    desired: {
      commit: undefined,
      units: new Map(names.map((each) => [name(each), sample(each)])),
      templates: new Map(),
      held: new Map(),
      submitted: new Map(),
      unknown: new Set(),
    },
  });
  interface Page {
    readonly units?: readonly { readonly name: string }[];
    readonly nextPageToken?: string;
  }
  const get = async (handler: ApiHandler, token?: string): Promise<Page> => {
    const query = token === undefined ? "" : `?nextPageToken=${encodeURIComponent(token)}`;
    const { status, text } = await ask(handler, `GET /fleet/v1/units${query}`);
    assert.equal(status, 200, text);
    return JSON.parse(text) as Page;
  };
  const names = ({ units = [] }: Page): readonly string[] => units.map((each) => each.name);
  const failing = (work: () => unknown, message: string): void => {
    assert.throws(
      work,
      (thrown) => thrown instanceof FleetFailure && thrown.status === 400 && thrown.message === message,
    );
  };

  test("F-361, F-362 fleet's tokens", () => {
    assert.equal(encodeToken({ limit: 12482, page: 0 }), "wjAAAA==");
    assert.equal(encodeToken({ limit: 19, page: 11852 }), "EwBMLg==");
    assert.deepEqual(readToken("_wMAAA=="), { limit: 1023, page: 0 });
    assert.deepEqual(readToken("LQAJAA=="), { limit: 45, page: 9 });
    failing(() => readToken("basdfasdf"), "illegal base64 data at input byte 8");
    failing(() => readToken(""), "EOF");
    failing(() => readToken("junk"), "unexpected EOF");
    failing(() => readToken("ZAAC!A=="), "illegal base64 data at input byte 4");
    failing(() => readToken("ZAACAA="), "illegal base64 data at input byte 6");
    failing(() => readToken(encodeToken({ limit: 100, page: 1, after: "x".repeat(513) })), "page token is too long");
  });

  test("F-363 tokens in the query", () => {
    const from = (query: string): unknown => pageAsked(new URLSearchParams(query));
    assert.deepEqual(from("nextPageToken=ZAACAA=="), { page: 2, after: undefined });
    assert.deepEqual(from("unitName=a&nextPageToken=ZAACAA%3D%3D&b=c"), { page: 2, after: undefined });
    assert.deepEqual(from("unitName=a"), { page: 1, after: undefined });
    failing(() => from("nextPageToken=ZAACAA==&nextPageToken=ZAACAA=="), "too many values for page token");
    failing(() => from("nextPageToken=bogus"), "illegal base64 data at input byte 4");
    failing(() => from("nextPageToken="), "EOF");
  });

  test("F-364 tokens that are of other pages", () => {
    assert.deepEqual(checked({ limit: 100, page: 9 }), { page: 9, after: undefined });
    failing(() => checked({ limit: 20, page: 9 }), "token limit must be 100");
    failing(() => checked({ limit: 100, page: 0 }), "token page must be greater than zero");
  });

  for (const collection of ["units", "state", "machines"]) {
    test(`F-344 GET /${collection} with a token of another size`, () =>
      steps(over(samplePicture()), [
        [`GET /fleet/v1/${collection}?nextPageToken=EwBMLg==`, 400, error(400, "token limit must be 100")],
      ]));
  }

  test("F-345 the rest is on the second page, also by fleet's own token", async () => {
    const all = numbered(103);
    const handler = over(wanted(all));
    const first = await get(handler);
    assert.deepEqual(names(first), all.slice(0, 100));
    assert.ok(first.nextPageToken?.startsWith("ZAACA"), "fleet's bytes come first: size 100, page 2");
    for (const token of [first.nextPageToken, "ZAACAA=="]) {
      assert.deepEqual(names(await get(handler, token)), all.slice(100));
      assert.equal((await get(handler, token)).nextPageToken, undefined);
    }
    assert.deepEqual(await get(handler, "ZAADAA=="), {});
  });

  test("F-371 behind exactly one page there is an empty one", async () => {
    const handler = over(wanted(numbered(100)));
    const { nextPageToken } = await get(handler);
    assert.equal(nextPageToken, encodeToken({ limit: 100, page: 2, after: "u00099.service" }));
    assert.deepEqual(await get(handler, nextPageToken), {});
  });

  test("beyond fleet's 65535th item they go on", () => {
    const all = Array.from({ length: 70_000 }, (_, index) => String(index).padStart(5, "0"));
    const asked = { page: 700, after: "69899", keyOf: (each: string) => each };
    assert.deepEqual(pageOf(all, asked).items, all.slice(69_900));
    const last = pageOf(all, { page: 0xffff, after: "00099", keyOf: asked.keyOf });
    assert.equal(readToken(last.nextPageToken ?? "").page, 0xffff, "the number stays within its bytes");
  });

  for (const [count, seed] of [
    [10_000, 1],
    [1_500, 2],
    [1_500, 3],
  ] as const) {
    test(`${count} units are listed without a gap or a repeat while others come and go (seed ${seed})`, async () => {
      const random = generator(seed);
      const present = new Set(numbered(count));
      const stayed = new Set(present);
      const everThere = new Set(present);
      const view = new FakeCluster(wanted([...present]));
      const handler = createApi({
        view,
        hands: new FakeHands(),
        clock: createClock(),
        log: new MemoryLog(),
        version: "1.2.3",
      });
      const seen: string[] = [];
      let token: string | undefined;
      let pages = 0;
      do {
        const page = await get(handler, token);
        seen.push(...names(page));
        token = page.nextPageToken;
        assert.ok(++pages < 300, "it comes to an end");
        const at = seen.length;
        // Whatever was or will be seen may go, the last one that was seen too; and others come anywhere
        const going = [seen.at(-1) ?? "", ...Array.from({ length: 40 }, () => numberedName(random(count)))];
        for (const each of going) {
          if (random(4) > 0 && present.delete(each)) stayed.delete(each);
        }
        for (let index = 0; index < 40; index++) {
          const each = `${numberedName(random(at + 2_000)).slice(0, 6)}-${pages}.service`;
          present.add(each);
          everThere.add(each);
        }
        view.now = wanted([...present].sort());
      } while (token !== undefined);
      assert.ok(pages >= count / 100);
      assert.ok(stayed.size < 0.95 * count && stayed.size > count / 2, `enough went, enough stayed: ${stayed.size}`);
      const listed = new Set(seen);
      assert.equal(listed.size, seen.length, "none twice");
      assert.deepEqual([...stayed].filter((each) => !listed.has(each)).slice(0, 5), [], "none that stayed is missed");
      assert.ok(seen.every((each) => everThere.has(each)));
      assert.deepEqual(seen, [...seen].sort());
    });
  }

  test("states and machines go on behind the last one too", async () => {
    const ids = Array.from(
      { length: 120 },
      (_, index) => index.toString(16).padStart(32, "0") as ReturnType<typeof idOf>,
    );
    const picture: ClusterPicture = {
      ...emptyPicture(),
      machines: new Map(ids.map((id) => [id, sampleMachine(id)])),
      statuses: new Map(ids.map((id) => sampleStatus(id, { "log.service": {}, "log@.service": {} }))),
    };
    const without: ClusterPicture = {
      ...picture,
      machines: new Map(ids.slice(1).map((id) => [id, sampleMachine(id)])),
    };
    for (const [path, kind, count] of [
      ["machines", "machines", 120],
      ["state", "states", 240],
    ] as const) {
      const view = new FakeCluster(picture);
      const handler = createApi({
        view,
        hands: new FakeHands(),
        clock: createClock(),
        log: new MemoryLog(),
        version: "1.2.3",
      });
      const seen: string[] = [];
      let query = "";
      for (let pages = 0; pages < 5; pages++) {
        const page = JSON.parse((await ask(handler, `GET /fleet/v1/${path}${query}`)).text) as Readonly<
          Record<string, unknown>
        >;
        seen.push(...((page[kind] as readonly object[] | undefined) ?? []).map((each) => JSON.stringify(each)));
        view.now = without; // the first machine goes
        const token = page["nextPageToken"];
        if (typeof token !== "string") break;
        query = `?nextPageToken=${token}`;
      }
      assert.equal(new Set(seen).size, seen.length);
      assert.ok(seen.length >= count - 1, `${kind}: ${seen.length}`);
    }
  });

  function numberedName(index: number): string {
    return `u${String(index).padStart(5, "0")}.service`;
  }

  /** Whole numbers below a bound, the same for the same seed. */
  function generator(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  }
});

describe("discovery", () => {
  interface Description {
    readonly kind: string;
    readonly id: string;
    readonly basePath: string;
    readonly schemas: Readonly<
      Record<string, { readonly id: string; readonly properties: Readonly<Record<string, unknown>> }>
    >;
    readonly resources: Readonly<
      Record<
        string,
        {
          readonly methods: Readonly<
            Record<
              string,
              {
                readonly id: string;
                readonly httpMethod: string;
                readonly path: string;
                readonly parameters?: Readonly<Record<string, { readonly location: string }>>;
              }
            >
          >;
        }
      >
    >;
  }
  const read = async (base: string): Promise<readonly [string, Description]> => {
    const { status, text, headers } = await ask(over(samplePicture()), `GET ${base}/discovery`);
    assert.deepEqual([status, headers.get("content-type")], [200, "application/json"]);
    return [text, JSON.parse(text) as Description];
  };

  test("F-370 every method of fleet's, with its path and parameters", async () => {
    const [, document] = await read("/fleet/v1");
    const methods = Object.values(document.resources).flatMap(({ methods: each }) => Object.values(each));
    assert.deepEqual(
      methods.map(({ id, httpMethod, path, parameters = {} }) =>
        [
          id,
          httpMethod,
          path,
          ...Object.entries(parameters).map(([key, { location }]) => `${key} in ${location}`),
        ].join(" "),
      ),
      [
        "fleet.Machine.List GET machines nextPageToken in query",
        "fleet.Unit.List GET units nextPageToken in query",
        "fleet.Unit.Get GET units/{unitName} unitName in path",
        "fleet.Unit.Delete DELETE units/{unitName} unitName in path",
        "fleet.Unit.Set PUT units/{unitName} unitName in path",
        "fleet.UnitState.Get GET state/{unitName} unitName in path",
        "fleet.UnitState.List GET state nextPageToken in query unitName in query machineID in query",
      ],
    );
    assert.deepEqual(
      [document.kind, document.id, document.basePath],
      ["discovery#restDescription", "fleet:v1", "/fleet/v1/"],
    );
  });

  test("every schema that is spoken of is there, and says what entities have", async () => {
    const [text, { schemas }] = await read("/v1-alpha");
    assert.deepEqual(Object.keys(schemas), [
      "Machine",
      "MachinePage",
      "UnitOption",
      "Unit",
      "UnitPage",
      "UnitState",
      "UnitStatePage",
    ]);
    for (const [, reference = ""] of text.matchAll(/"\$ref": "(\w+)"/g))
      assert.ok(schemas[reference] !== undefined, reference);
    const handler = over(samplePicture());
    for (const [path, list, schema] of [
      ["units", "units", "Unit"],
      ["state", "states", "UnitState"],
      ["machines", "machines", "Machine"],
    ] as const) {
      const page = JSON.parse((await ask(handler, `GET /v1-alpha/${path}`)).text) as Readonly<Record<string, unknown>>;
      const found = new Set((page[list] as readonly object[]).flatMap((each) => Object.keys(each)));
      assert.deepEqual([...found].sort(), Object.keys(schemas[schema]?.properties ?? {}).sort());
    }
  });
});

/** Requests that fleet 1.0.0 was asked with curl, and its answers; where it failed, what it should have said. */
test("what fleet was seen to answer", async (context) => {
  const { handler } = await live(context);
  const put = (unitName: string, body: unknown): Asking => [`PUT /fleet/v1/units/${unitName}`, body];
  await steps(handler, [
    [put("api.service", { name: "api.service", desiredState: "launched", options: sleep }), 201, ""],
    ["GET /fleet/v1/units/api.service", 200, unit("api.service", "launched")],
    [
      "GET /fleet/v1/state/api.service",
      200,
      `{"hash":"8385c9176f09a5ee3bbb88d45c6fc3f0b69d1f52","machineID":"${a}","name":"api.service","systemdActiveState":"active","systemdLoadState":"loaded","systemdSubState":"running"}`,
    ],
    [put("api.service", { desiredState: "inactive" }), 204, ""],
    // fleet took the state and answered 500 to everything about this unit from then on
    [
      put("api.service", { desiredState: "running" }),
      400,
      error(400, 'invalid desiredState "running": expect inactive, loaded, or launched'),
    ],
    [put("api.service", { name: "api.service" }), 409, error(409, "must provide DesiredState to update existing unit")],
    [
      put("other.service", { name: "api.service", desiredState: "loaded" }),
      400,
      error(400, 'name in URL "other.service" differs from unit name in request body "api.service"'),
    ],
    [put("none.service", { desiredState: "loaded" }), 409, error(409, "unit does not exist and options field empty")],
    [
      put("conf.service", {
        desiredState: "loaded",
        options: [
          { section: "X-Fleet", name: "Global", value: "true" },
          { section: "X-Fleet", name: "MachineOf", value: "a.service" },
        ],
      }),
      400,
      error(400, "Global cannot be used with Peers"),
    ],
    [put("tpl@.service", { desiredState: "inactive", options: sleep }), 201, ""],
    [put("tpl@.service", { desiredState: "launched" }), 400, error(400, 'cannot activate template "tpl@.service"')],
    ["DELETE /fleet/v1/units/api.service", 204, ""],
    ["DELETE /fleet/v1/units/api.service", 404, error(404, "unit does not exist")],
    ["DELETE /fleet/v1/units/tpl@.service", 204, ""],
    ["GET /fleet/v1/units?nextPageToken=junk", 400, error(400, "unexpected EOF")],
  ]);
  const broken = await ask(handler, put("none.service", "this is not json"));
  assert.equal(broken.status, 400);
  assert.match(broken.text, /^{"error":{"code":400,"message":"unable to decode body: /);
  const huge = await ask(
    handler,
    put("none.service", { options: [{ section: "A", name: "B", value: "x".repeat(600_000) }] }),
  );
  assert.equal(huge.status, 413);
});

test("on a socket: empty answers end, bodies of unknown length are read, headers are counted", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-fleet-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const hands = new FakeHands();
  const server = await serveApi(over(samplePicture(), hands), { socket: join(folder, "fleet.sock") });
  context.after(() => server.close());
  const send = async (
    line: string,
    body?: object,
    more: readonly string[] = [],
  ): Promise<IncomingMessage & { text: string }> => {
    const [method = "", path = ""] = line.split(" ");
    const type = body === undefined ? [] : ["Content-Type", "application/json"];
    const sent = httpRequest({ socketPath: server.socket, method, path, headers: ["Host", "fleet", ...type, ...more] });
    sent.end(body === undefined ? undefined : JSON.stringify(body)); // chunked, as no length is said
    const answer = await new Promise<IncomingMessage>((resolve, reject) =>
      sent.on("response", resolve).on("error", reject),
    );
    let text = "";
    for await (const chunk of answer.setEncoding("utf8")) text += String(chunk);
    return Object.assign(answer, { text });
  };
  const created = await send("PUT /fleet/v1/units/new.service", { options: sleep }, ["Transfer-Encoding", "chunked"]);
  assert.deepEqual([created.statusCode, created.headers["content-length"], created.text], [201, "0", ""]);
  const twice = await send("PUT /fleet/v1/units/hello.service", {}, ["Content-Type", "application/json"]);
  assert.deepEqual([twice.statusCode, twice.text], [415, error(415, "expected 1 Content-Type, got 2")]);
  const head = await send("HEAD /fleet/v1/units");
  assert.deepEqual([head.statusCode, head.headers["server"]], [405, "fleetd/1.0.0 flotilla/1.2.3"]);
  const gone = await send("DELETE /fleet/v1/units/hello.service");
  assert.deepEqual([gone.statusCode, gone.text], [204, ""]);
  assert.deepEqual(
    hands.asked.map(({ call }) => call),
    ["submit", "destroy"],
  );
});
