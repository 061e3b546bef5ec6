// cordon, uncordon and drain as people type them, against the real API over a cluster that the test changes step by step.
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { createApi } from "../../../agent/api/api.ts";
import { runCommand } from "../../../agent/cli/args.ts";
// Loaded beforehand: no clock of a test waits for a disk
import "../../../agent/cli/agent.ts";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { Drain, MachineSettings } from "../../../agent/domain/machine.ts";
import type { MachineId } from "../../../agent/domain/names.ts";
import type { Decision, ManifestTarget } from "../../../agent/domain/placement.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { MaintenanceRequest, MaintenanceResult } from "../../../agent/ports/hands.ts";
import { DirectClient } from "../../fakes/direct-client.ts";
import {
  FakeCluster,
  emptyPicture,
  sampleIds,
  sampleMachine,
  sampleManifest,
  sampleNowMs,
  sampleStatus,
  sampleUnit,
} from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { FakeOutput, type FakeTools, fakeTools } from "../../fakes/fake-tools.ts";
import { silentLog } from "../../fakes/silent-log.ts";

const { n1, n2, n3, gone } = sampleIds;
const moving: Drain = { id: "d1", by: "ann@desk", sinceMs: sampleNowMs, state: "moving" };
const global = "log.service";

/** What one moment of the cluster is: by unit where it is; log.service is global and on every machine. */
interface Moment {
  readonly units?: Readonly<Record<string, MachineId | undefined>>;
  /** Units that are told to leave n3, and are seen there still. */
  readonly leaving?: readonly string[];
  /** Of n3. */
  readonly drain?: Drain;
  readonly cordoned?: boolean;
  /** Why units on n3 are taken by no other machine. */
  readonly refused?: Readonly<Record<string, string>>;
  readonly machines?: readonly MachineId[];
  readonly more?: Partial<ClusterPicture>;
}

function picture(moment: Moment): ClusterPicture {
  const { units = {}, leaving = [], drain, refused = {}, machines = [n1, n2, n3] } = moment;
  const names = { [n1]: "n1", [n2]: "n2", [n3]: "n3" };
  const on = (id: MachineId): Readonly<Record<string, ManifestTarget>> => ({
    ...Object.fromEntries(Object.entries(units).flatMap(([name, at]) => (at === id ? [[name, "launched"]] : []))),
    ...Object.fromEntries(id === n3 ? leaving.map((name) => [name, "released"]) : []),
    [global]: "launched",
  });
  const settings: MachineSettings = {
    ...{ machine: n3, metadata: {}, cordoned: true, by: "ann@desk", atMs: sampleNowMs },
    ...(drain === undefined ? {} : { drain }),
  };
  const all = [...Object.keys(units), ...leaving].map((name) => sampleUnit(name));
  const { desired } = emptyPicture();
  assert.ok(desired);
  return {
    ...emptyPicture(),
    machines: new Map(
      machines.map((id) => [
        id,
        sampleMachine(id, { hostname: names[id] ?? "", publicIp: `10.0.0.${names[id]?.at(1)}` }),
      ]),
    ),
    settings: moment.cordoned === true || drain !== undefined ? new Map([[n3, settings]]) : new Map(),
    manifests: new Map(machines.map((id) => sampleManifest(id, on(id)))),
    statuses: new Map(
      machines.map((id) => sampleStatus(id, Object.fromEntries(Object.keys(on(id)).map((u) => [u, {}])))),
    ),
    desired: {
      ...desired,
      units: new Map([...all, sampleUnit(global, { options: { global: true } })].map((unit) => [unit.name, unit])),
    },
    decisions: Object.entries(refused).map(([unit, example]): Decision => ({
      ...{ kind: "keep", unit: unit as Decision["unit"], on: n3 },
      refusals: [{ rule: "metadata", machines: 2, example }],
    })),
    ...moment.more,
  };
}

/** Refuses a machine where it is told to. */
class OwnHands extends FakeHands {
  refuses: ReadonlyMap<MachineId, Problem> = new Map();

  override async maintain(given: MaintenanceRequest): Promise<MaintenanceResult> {
    const result = await super.maintain(given);
    const refusal = this.refuses.get(given.machine);
    if (refusal !== undefined) throw refusal;
    return result;
  }
}

let cluster: FakeCluster;
let hands: OwnHands;
let client: DirectClient;
let tools: FakeTools;

beforeEach(() => {
  cluster = new FakeCluster(picture({}));
  hands = new OwnHands();
  tools = fakeTools({ apiClient: async () => client });
  client = new DirectClient(createApi({ view: cluster, hands, clock: tools.clock, log: silentLog, version: "1" }));
});

/** The command with what it says and its exit code, as golden files have it. */
async function say(line: string, work = settle(runCommand(line.split(" "), tools))): Promise<string> {
  const code = await work;
  const text = `${tools.stderr.text.replaceAll(/^(?=.)/gm, "[stderr] ")}${tools.stdout.text}[exit ${code}]\n`;
  tools.stderr.writes.length = 0;
  tools.stdout.writes.length = 0;
  return text;
}

/** What it settles as, with time passing meanwhile. */
async function settle<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  work.then(end, end);
  await until(() => isOver);
  return work;
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000 && !condition(); turn++) {
    await tools.clock.advance(50);
    await pause(0);
  }
  assert.ok(condition(), `not in time; it said: ${tools.stderr.text}${tools.stdout.text}`);
}

/** Begins the command and lets each moment follow when the text before it has been said. */
async function plays(line: string, moments: readonly (readonly [says: string, then: () => void])[]): Promise<string> {
  const work = runCommand(line.split(" "), tools);
  for (const [says, then] of moments) {
    await until(() => tools.stderr.text.includes(says));
    then();
  }
  return say(line, settle(work));
}

function text(expected: string): string {
  return expected.replace(/^\n/, "").replaceAll(/^ +/gm, "");
}

const asked = (): readonly unknown[] =>
  hands.asked.map(({ given }) => {
    const { machine, change, withinMs } = given as MaintenanceRequest;
    return [machine, change, ...(withinMs === undefined ? [] : [withinMs])];
  });

describe("cordon and uncordon", () => {
  test("by hostname, address and the beginning of an id; each machine once", async () => {
    assert.equal(
      await say(`cordon n3 10.0.0.2 ${n3.slice(0, 5)} n1`),
      text(`
        Machine 59f61aeb.../10.0.0.3 (n3) is cordoned: it takes nothing new
        Machine b40f1753.../10.0.0.2 (n2) is cordoned: it takes nothing new
        Machine f22c7d6e.../10.0.0.1 (n1) is cordoned: it takes nothing new
        [exit 0]
      `),
    );
    assert.deepEqual(
      asked(),
      [n3, n2, n1].map((id) => [id, "cordon"]),
    );
  });

  test("what is so already is said, and no failure", async () => {
    hands.maintains = { outcome: "unchanged" };
    assert.equal(await say("cordon n3"), "Machine 59f61aeb.../10.0.0.3 (n3) is cordoned already\n[exit 0]\n");
    assert.equal(await say("uncordon n3"), "Machine 59f61aeb.../10.0.0.3 (n3) is not cordoned\n[exit 0]\n");
    hands.maintains = { outcome: "unchanged", drain: moving };
    assert.match(await say("cordon n3"), /is cordoned already, and being drained\n\[exit 0\]/);
  });

  test("an uncordoning says when it ends a drain", async () => {
    hands.maintains = { outcome: "uncordoned" };
    assert.equal(await say("uncordon n3"), "Machine 59f61aeb.../10.0.0.3 (n3) takes units again\n[exit 0]\n");
    hands.maintains = { outcome: "uncordoned", drain: moving };
    assert.match(
      await say("uncordon n3"),
      /takes units again; its drain is ended, and what has moved stays where it is/,
    );
  });

  test("words that name no machine, or several, change nothing at all", async () => {
    assert.equal(
      await say("cordon n3 web1 10.0.0.22"),
      text(`
        [stderr] flotilla: Cannot find machine "web1"
        [stderr] hint: flotilla list-machines shows those that live; any other is named by its id
        [stderr] flotilla: Cannot find machine "10.0.0.22"
        [stderr] hint: Did you mean 10.0.0.2?
        [exit 1]
      `),
    );
    const twin = `${n3.slice(0, 8)}${"0".repeat(24)}` as MachineId;
    cluster.now = picture({ machines: [n1, n3, twin] });
    assert.equal(
      await say("cordon 59f6"),
      text(`
        [stderr] flotilla: Cannot tell which machine "59f6" is
        [stderr] hint: It is one of ${n3} (n3), ${twin}
        [exit 1]
      `),
    );
    assert.match(await say("cordon"), /Cannot tell which machines to cordon\n.*\n\[exit 2\]/);
    assert.deepEqual(asked(), []);
  });

  test("a machine that is gone is known by its hostname while an event tells of its loss", async () => {
    const events = [{ kind: "machine-lost", machine: gone, message: "n4 is lost; it had no units" }] as const;
    const more = { events: events.map((event) => ({ ...event, atMs: sampleNowMs, by: "n1" })) };
    cluster.now = picture({ more });
    hands.maintains = { outcome: "cordoned" };
    assert.equal(
      await say("cordon n4"),
      "Machine 0d15ea5e... (n4), which is not there, is cordoned: it takes nothing new\n[exit 0]\n",
    );
    assert.match(await say("cordon n44"), /Cannot find machine "n44"\n.*Did you mean n4\?\n/);
    cluster.now = picture({ machines: [n1, gone], more: { ...more, stale: true } });
    assert.match(await say("cordon n4"), /Cannot tell which machine "n4" is while the registry is away\n/);
  });

  test("a machine that is gone is known by what is remembered of it, any by its whole id", async () => {
    const settings: MachineSettings = { machine: gone, metadata: {}, cordoned: true, by: "ann@desk", atMs: 1 };
    cluster.now = picture({ more: { settings: new Map([[gone, settings]]) } });
    hands.maintains = { outcome: "uncordoned" };
    assert.equal(
      await say(`uncordon ${gone.slice(0, 6)}`),
      "Machine 0d15ea5e..., which is not there, takes units again\n[exit 0]\n",
    );
    hands.maintains = { outcome: "cordoned" };
    const other = "e".repeat(32);
    assert.match(await say(`cordon ${other}`), /^Machine eeeeeeee\.\.\., which is not there, is cordoned/);
    assert.deepEqual(asked(), [
      [gone, "uncordon"],
      [other, "cordon"],
    ]);
  });

  test("one machine's trouble does not keep the others from it", async () => {
    hands.refuses = new Map([[n2, new Problem("registry-changed", "Cannot cordon it: others keep changing it")]]);
    assert.equal(
      await say("cordon n1 n2 n3"),
      text(`
        [stderr] flotilla: Cannot cordon it: others keep changing it
        Machine f22c7d6e.../10.0.0.1 (n1) is cordoned: it takes nothing new
        Machine 59f61aeb.../10.0.0.3 (n3) is cordoned: it takes nothing new
        [exit 1]
      `),
    );
    const document = JSON.parse((await say("cordon n1 n2 --json")).replace(/\[exit 1\]\n$/, "")) as {
      readonly machines: readonly {
        readonly outcome: string;
        readonly problems?: readonly { readonly code: string }[];
      }[];
    };
    assert.deepEqual(
      document.machines.map(({ outcome, problems }) => [outcome, problems?.[0]?.code]),
      [
        ["cordoned", undefined],
        ["failed", "registry-changed"],
      ],
    );
  });
});

test("a reader that goes away does not change the exit code of a cordon", async () => {
  tools.stdout.broken = "output-closed";
  assert.equal(await say("cordon n1 n2"), "[exit 0]\n");
  hands.refuses = new Map([[n2, new Problem("registry-changed", "Cannot cordon it: others keep changing it")]]);
  assert.match(await say("cordon n1 n2"), /\[exit 1\]\n$/);
});

describe("drain", () => {
  beforeEach(() => {
    hands.maintains = { outcome: "draining", drain: moving };
  });
  const start = (moment: Moment): void => {
    cluster.now = picture({ drain: moving, ...moment });
  };
  const next = (moment: Moment) => (): void => cluster.change(picture({ drain: moving, ...moment }));

  test("it tells of each unit where it went, until nothing but global units is left", async () => {
    start({ units: { "a.service": n3, "b.service": n3, "c.service": n2 } });
    const said = await plays("drain n3", [
      ["2 units are left", next({ units: { "a.service": n1, "b.service": n3, "c.service": n2 } })],
      ["a.service moved", next({ units: { "a.service": n1 }, leaving: ["b.service"] })],
      ["", next({ units: { "a.service": n1, "b.service": n2 }, drain: { ...moving, state: "done" } })],
    ]);
    assert.equal(
      said,
      text(`
        [stderr] Draining machine 59f61aeb.../10.0.0.3 (n3): 2 units are left
        [stderr] Unit a.service moved to f22c7d6e.../10.0.0.1 (n1): 1 left
        [stderr] Unit b.service moved to b40f1753.../10.0.0.2 (n2): 0 left
        Machine 59f61aeb.../10.0.0.3 (n3) is drained
        [exit 0]
      `),
    );
    assert.deepEqual(asked(), [[n3, "drain"]]);
  });

  test("a unit that is told to leave is there until it has stopped", async () => {
    start({ leaving: ["a.service"], drain: { ...moving, state: "done" } });
    const work = runCommand(["drain", "n3"], tools);
    await until(() => tools.stderr.text.includes("1 unit is left"));
    await tools.clock.advance(60_000);
    assert.equal(tools.stdout.text, "", "it still runs there");
    next({ units: { "a.service": n1 }, drain: { ...moving, state: "done" } })();
    assert.match(await say("drain n3", settle(work)), /a\.service moved to .*\nMachine .* is drained\n\[exit 0\]\n$/);
  });

  test("a unit of which nobody knows where it goes is told of all the same, and holds nothing up", async () => {
    start({ units: { "a.service": n3 } });
    const said = await plays("drain n3", [["1 unit is left", next({ drain: { ...moving, state: "done" } })]]);
    assert.match(said, /Unit a\.service has left: 0 left\nMachine .* is drained\n\[exit 0\]\n$/);
  });

  test("a machine without units is drained at once", async () => {
    start({ drain: { ...moving, state: "done" } });
    assert.match(await say("drain n3"), /: 0 units are left\nMachine .* is drained\n\[exit 0\]\n$/);
  });

  test("when it stops it says of each unit why it stays, and fails", async () => {
    const units = { "a.service": n3, "b.service": n3 };
    start({ units, refused: { "a.service": "needs role=web" } });
    const stopped: Drain = { ...moving, state: "stopped", because: "no other machine takes what is left" };
    const said = await plays("drain n3", [["2 units are left", next({ units, drain: stopped })]]);
    assert.equal(
      said,
      text(`
        [stderr] Draining machine 59f61aeb.../10.0.0.3 (n3): 2 units are left
        [stderr] Unit a.service stays: 2 machines: needs role=web (metadata)
        [stderr] Unit b.service stays
        [stderr] flotilla: Cannot drain machine 59f61aeb.../10.0.0.3 (n3) any further: no other machine takes what is left
        [stderr] hint: What is left runs on there, and the machine stays cordoned: flotilla uncordon n3
        [exit 1]
      `),
    );
  });

  test("a reader that goes away does not change the exit code", async () => {
    const units = { "a.service": n3 };
    start({ units });
    tools.stderr.broken = "output-closed";
    const work = settle(runCommand(["drain", "n3"], tools));
    await until(() => tools.clock.sleeping > 0);
    next({ units, drain: { ...moving, state: "stopped" } })();
    assert.equal(await work, 1);
  });

  test("what is still being stopped when it stops is on its way", async () => {
    const because = "the deadline has passed";
    start({ units: { "a.service": n3 }, leaving: ["b.service"], drain: { ...moving, state: "stopped", because } });
    assert.match(
      await say("drain n3"),
      /Unit a\.service stays\n.*Unit b\.service is on its way: it is still being stopped there\n.*the deadline has passed/,
    );
  });

  test("very many that stay are not all named", async () => {
    const units = Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`u${at + 10}.service`, n3]));
    start({ units, drain: { ...moving, state: "stopped", because: "its time is over" } });
    const said = await say("drain n3");
    assert.equal(said.match(/ stays$/gm)?.length, 50);
    assert.match(said, /and 10 more: flotilla list-units --machine n3\n/);
  });

  test("--deadline is the drain's own time", async () => {
    start({ drain: { ...moving, state: "done" } });
    await say("drain n3 --deadline 10min");
    assert.deepEqual(asked(), [[n3, "drain", 600_000]]);
    assert.match(await say("drain n3 --deadline 8d"), /Cannot take "8d" as --deadline\n.*a week at most\n\[exit 2\]/);
    assert.match(await say("drain n3 --deadline soon"), /\[exit 2\]/);
    assert.equal(asked().length, 1);
  });

  test("--no-wait asks and ends", async () => {
    start({ units: { "a.service": n3 } });
    assert.equal(
      await say("drain n3 --no-wait"),
      "Draining machine 59f61aeb.../10.0.0.3 (n3): flotilla list-machines says how far it is\n[exit 0]\n",
    );
  });

  test("one that is moving is joined, and whose it is is said", async () => {
    const early = { ...moving, sinceMs: sampleNowMs - 300_000 };
    hands.maintains = { outcome: "unchanged", drain: early };
    start({ units: { "a.service": n3 }, drain: early });
    const said = await plays("drain n3", [
      [
        "as ann@desk began 5min ago: 1 unit is left",
        next({ units: { "a.service": n1 }, drain: { ...early, state: "done" } }),
      ],
    ]);
    assert.match(said, /\[exit 0\]/);
  });

  test("Ctrl-C ends the waiting and not the drain, and says how to end it", async () => {
    start({ units: { "a.service": n3 } });
    const said = await plays("drain n3", [["1 unit is left", () => tools.interrupt()]]);
    assert.match(
      said,
      /Not waiting any longer; the drain of machine 59f61aeb.* \(n3\) goes on: flotilla uncordon n3 ends it\n\[exit 130\]/,
    );
    assert.deepEqual(asked(), [[n3, "drain"]]);
  });

  test("somebody else's uncordoning ends it", async () => {
    start({ units: { "a.service": n3 } });
    const said = await plays("drain n3", [
      ["1 unit is left", () => cluster.change(picture({ units: { "a.service": n3 } }))],
    ]);
    assert.match(said, /any further: it was uncordoned\n.*flotilla events says by whom\n\[exit 1\]/);
  });

  test("and so does another drain in its place", async () => {
    start({ units: { "a.service": n3 } });
    const said = await plays("drain n3", [
      ["1 unit is left", next({ units: { "a.service": n3 }, drain: { ...moving, id: "d2", by: "bob@lap" } })],
    ]);
    assert.match(said, /any further: bob@lap began another drain in its place\n.*flotilla drain n3 waits for that one/);
  });

  test("a machine that goes away ends it, but not one whose agent is restarted", async () => {
    start({ units: { "a.service": n3 } });
    const work = runCommand(["drain", "n3"], tools);
    await until(() => tools.stderr.text.includes("1 unit is left"));
    next({ units: { "a.service": n3 }, machines: [n1, n2] })();
    await tools.clock.advance(10_000);
    next({ units: { "a.service": n3 } })();
    await tools.clock.advance(10_000);
    assert.doesNotMatch(tools.stderr.text, /Cannot/);
    next({ units: { "a.service": n1 }, machines: [n1, n2] })();
    assert.match(await say("drain n3", settle(work)), /any further: it is not there any more\n.*\n\[exit 1\]/);
  });

  test("a machine that is not there cannot be drained", async () => {
    hands.refuses = new Map([[gone, new Problem("machine-unknown", "Cannot drain machine: it is not there")]]);
    assert.match(await say(`drain ${gone}`), /Cannot drain machine: it is not there\n\[exit 1\]/);
    assert.match(await say("drain n33"), /Cannot find machine "n33"\n.*Did you mean n3\?\n\[exit 1\]/);
  });

  test("an agent that goes away is waited for", async () => {
    start({ units: { "a.service": n3 } });
    const said = await plays("drain n3", [
      [
        "1 unit is left",
        () => {
          client.away = new Problem("agent-unreachable", "Cannot reach the agent");
          next({ units: { "a.service": n3 } })();
        },
      ],
      [
        "Cannot reach the agent",
        () => {
          client.away = undefined;
          next({ units: { "a.service": n1 }, drain: { ...moving, state: "done" } })();
        },
      ],
    ]);
    assert.equal(said.match(/Cannot reach the agent/g)?.length, 1, "it is said once");
    assert.match(said, /is drained\n\[exit 0\]/);
  });

  test("while the registry is away nobody has ended it, also where the drained machine itself is asked", async () => {
    start({ units: { "a.service": n3 } });
    const work = runCommand(["drain", "n3"], tools);
    await until(() => tools.stderr.text.includes("1 unit is left"));
    // What n3 knows by itself: it is there, and no word of an operator is
    cluster.change(picture({ machines: [n3], more: { stale: true, desired: undefined } }));
    await tools.clock.advance(20_000);
    next({ units: { "a.service": n1 }, drain: { ...moving, state: "done" } })();
    const said = await say("drain n3", settle(work));
    assert.doesNotMatch(said, /uncordoned|any further/);
    assert.match(said, /is drained\n\[exit 0\]/);
  });

  test("an agent without the commit cannot count, and the end is told all the same", async () => {
    start({ units: { "a.service": n3 }, more: { desired: undefined } });
    const said = await plays("drain n3", [
      [
        "Draining machine 59f61aeb.../10.0.0.3 (n3)\n",
        next({ drain: { ...moving, state: "done" }, more: { desired: undefined } }),
      ],
    ]);
    assert.match(said, /is drained\n\[exit 0\]/);
  });

  test("--json is one document, and nothing beside it", async () => {
    start({ units: { "a.service": n3, "b.service": n3 }, refused: { "b.service": "needs role=web" } });
    const work = runCommand(["drain", "n3", "--json"], tools);
    await until(() => client.asked.filter((each) => each === `GET /v2/machines/${n3}`).length > 1);
    const stopped: Drain = { ...moving, state: "stopped", because: "no room" };
    next({ units: { "a.service": n1, "b.service": n3 }, drain: stopped })();
    assert.equal(await settle(work), 1);
    assert.equal(tools.stderr.text, "");
    const document = JSON.parse(tools.stdout.text) as Readonly<Record<string, unknown>>;
    const { command, outcome, left, problems } = document;
    assert.deepEqual([command, outcome], ["drain", "stopped"]);
    assert.deepEqual(document["drain"], { ...stopped, left: 1 });
    assert.deepEqual(document["moved"], [
      { unit: "a.service", machine: { id: n1, ip: "10.0.0.1", hostname: "n1", alive: true } },
    ]);
    assert.deepEqual(left, [
      { unit: "b.service", refusals: [{ rule: "metadata", machines: 2, example: "needs role=web" }] },
    ]);
    assert.equal((problems as readonly { readonly code: string }[])[0]?.code, "drain-stopped");
  });

  test("on a terminal one line tells how many are left", async () => {
    tools = { ...tools, stderr: new FakeOutput({ isTerminal: true }) };
    start({ units: { "a.service": n3 } });
    await plays("drain n3", [
      ["(n3): 1 left", next({ units: { "a.service": n1 }, drain: { ...moving, state: "done" } })],
    ]);
  });
});

describe("list-machines", () => {
  test("a column says which are cordoned and how far drains are, and fleetctl's listing stays as it was", async () => {
    assert.doesNotMatch(await say("list-machines"), /STATE/);
    cluster.now = picture({ units: { "a.service": n3 }, drain: moving });
    assert.match(await say("list-machines"), /STATE\n[^]*59f61aeb\S*\t.*\tdraining, 1 left\n/);
    const { runFleetctl } = await import("../../../agent/cli/fleetctl.ts");
    const fleets = await say("list-machines", settle(runFleetctl(["list-machines"], tools)));
    assert.doesNotMatch(fleets, /STATE|draining/);
    const { machines } = JSON.parse((await say("list-machines --json")).replace(/\[exit 0\]\n$/, "")) as {
      readonly machines: readonly { readonly hostname: string; readonly cordoned?: true; readonly drain?: object }[];
    };
    assert.deepEqual(machines.map(({ hostname, cordoned, drain }) => [hostname, cordoned, drain]).sort(), [
      ["n1", undefined, undefined],
      ["n2", undefined, undefined],
      ["n3", true, { ...moving, left: 1 }],
    ]);
  });
});
