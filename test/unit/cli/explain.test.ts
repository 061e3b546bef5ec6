// explain as people type it, against the real API over clusters that are made up: what words mean, and what only the whole
// cluster shows. What placement says of units and machines stands in the tests of schedule/ and in the golden files.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createApi } from "../../../agent/api/api.ts";
import { runCommand } from "../../../agent/cli/args.ts";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import type { Drain, MachineSettings } from "../../../agent/domain/machine.ts";
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type { Decision } from "../../../agent/domain/placement.ts";
import { DirectClient } from "../../fakes/direct-client.ts";
import { FakeCluster, crowdedPicture, sampleIds, sampleMachine, sampleNowMs } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { FakeOutput, fakeTools } from "../../fakes/fake-tools.ts";
import { silentLog } from "../../fakes/silent-log.ts";

const { n1, n2, n3, gone } = sampleIds;

async function say(
  line: string,
  {
    picture = crowdedPicture(),
    isTerminal = false,
  }: { readonly picture?: ClusterPicture; readonly isTerminal?: boolean } = {},
): Promise<string> {
  const tools = fakeTools({
    ...(isTerminal ? { stdout: new FakeOutput({ isTerminal }) } : {}),
    apiClient: async () =>
      new DirectClient(
        createApi({
          view: new FakeCluster(picture),
          hands: new FakeHands(),
          clock: tools.clock,
          log: silentLog,
          version: "1",
        }),
      ),
  });
  const code = await runCommand(["explain", ...line.split(" ")], tools);
  return `${tools.stderr.text.replaceAll(/^(?=.)/gm, "[stderr] ")}${tools.stdout.text}[exit ${code}]\n`;
}

/** The lines of one label. */
function lines(text: string, label: string): readonly string[] {
  const all = text.split("\n");
  const start = all.findIndex((line) => line.trimStart().startsWith(`${label}:`));
  if (start < 0) return [];
  const rest = all.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith(" ".repeat(11)));
  return [(all[start] ?? "").trimStart().slice(label.length + 2), ...rest.slice(0, end).map((line) => line.trim())];
}

/** The picture with a machine of this hostname in place of n1's. */
function named(hostname: string): ClusterPicture {
  const picture = crowdedPicture();
  const machines = new Map(picture.machines).set(n1, sampleMachine(n1, { hostname, publicIp: "10.79.0.11" }));
  return { ...picture, machines };
}

/** n3 is drained, and this was decided of hello.service. */
function drained(state: Drain["state"], decisions: readonly Decision[] = []): ClusterPicture {
  const settings: MachineSettings = {
    ...{ machine: n3, metadata: {}, cordoned: true, by: "ann@lap", atMs: sampleNowMs },
    drain: { id: "d1", by: "ann@lap", sinceMs: sampleNowMs, state },
  };
  const picture = crowdedPicture();
  const placing = picture.placing!;
  const machines = placing.machines.map((each) => (each.id === n3 ? { ...each, cordoned: true as const } : each));
  return { ...picture, settings: new Map([[n3, settings]]), decisions, placing: { ...placing, machines } };
}

describe("what a word means", () => {
  const cases: readonly (readonly [line: string, title: string, picture?: ClusterPicture])[] = [
    ["hello", "hello.service"],
    ["hello.service", "hello.service"],
    ["n3", "59f61aeb.../10.79.0.13 (n3)"],
    ["59f", "59f61aeb.../10.79.0.13 (n3)"],
    ["10.79.0.13", "59f61aeb.../10.79.0.13 (n3)"],
    ["--machine n3", "59f61aeb.../10.79.0.13 (n3)"],
    // both: the unit, unless it is said otherwise
    ["hello", "hello.service", named("hello")],
    ["--machine hello", "f22c7d6e.../10.79.0.11 (hello)", named("hello")],
    ["n3 --full", `${n3}/10.79.0.13 (n3)`],
  ];
  for (const [line, title, picture] of cases)
    test(`${line} is ${title}`, async () => {
      assert.equal((await say(line, picture === undefined ? {} : { picture })).split("\n")[0], title);
    });

  test("a name with a unit's type is a unit's, even if a machine is called so", async () => {
    assert.equal(
      await say("helo.service", { picture: named("helo.service") }),
      '[stderr] flotilla: Cannot find unit "helo.service"\n[stderr] hint: Did you mean hello.service?\n[exit 1]\n',
    );
  });

  test("two machines", async () => {
    const picture = named("n3");
    assert.match(await say("n3", { picture }), /Cannot tell which machine "n3" is\n.*f22c7d6e.*\n\[exit 1\]/);
    // where it is not one machine's alone the hostname is not used to name it
    assert.deepEqual(lines(await say("batch", { picture }), "To change").slice(0, 2), [
      "free 1G of memory on 59f61aeb",
      "give n2 the metadata role=web",
    ]);
  });

  test("a machine that is gone, by its whole id", async () => {
    assert.match(await say(`--machine ${gone}`), /Cannot find machine "0d15ea5e.*\n.*list-machines.*\n\[exit 1\]/);
    assert.match(await say(gone), /Cannot find a unit or a machine that "0d15ea5e.*\n.*list-machines.*\n\[exit 1\]/);
  });

  test("--json is what the API says", async () => {
    const document = JSON.parse((await say("batch --json")).replace(/\[exit 0\]\n$/, "")) as Record<string, unknown>;
    assert.deepEqual([document["name"], document["state"]], ["batch.service", "waiting"]);
  });

  test("colour only on a terminal", async () => {
    assert.ok((await say("batch", { isTerminal: true })).includes("\u001b["));
    assert.ok(!(await say("batch")).includes("\u001b["));
  });
});

describe("what only the whole cluster shows", () => {
  const hello = "hello.service" as UnitName;

  test("a unit on a drained machine: why it cannot leave, where it goes, or that its turn has not come", async () => {
    const stuck: Decision = {
      ...{ kind: "keep", unit: hello, on: n3 },
      refusals: [{ rule: "metadata", machines: 2, example: "needs role=web" }],
    };
    const goes: Decision = { kind: "place", unit: hello, on: n2, from: n3, because: "the machine is drained" };
    const told = async (picture: ClusterPicture) => lines(await say("hello", { picture }), "Leaving");
    assert.deepEqual(await told(drained("stopped", [stuck])), [
      "the machine is drained, and no other takes it",
      "2 machines: needs role=web (metadata)",
    ]);
    assert.deepEqual(await told(drained("moving", [goes])), [
      "the machine is drained; it is to go to b40f1753.../10.79.0.12 (n2)",
    ]);
    assert.deepEqual(await told(drained("moving")), ["the machine is drained; its turn has not come"]);
    assert.deepEqual(await told(drained("done")), []);
    const log = lines(await say("log", { picture: drained("moving") }), "Leaving");
    assert.deepEqual(log, [], "a global unit stays");
  });

  test("a drained machine says how far it is", async () => {
    assert.deepEqual(lines(await say("n3", { picture: drained("moving") }), "State"), [
      "draining, 2 left: it keeps what it has, and takes nothing new",
    ]);
  });

  test("a unit on a machine that is lost with many others waits for it, until that is over", async () => {
    const picture = crowdedPicture();
    const placing = picture.placing!;
    const machines = [
      ...placing.machines.filter(({ id }) => id !== n3),
      { id: n3, metadata: {}, standing: "presumed" as const },
    ];
    const lost = {
      ...{ ...picture, placing: { ...placing, machines } },
      machines: new Map([...picture.machines].filter(([id]) => id !== n3)),
    };
    const event = { by: "n1", message: "", atMs: sampleNowMs } as const;
    const braked = [{ ...event, kind: "machines-lost" as const }];
    assert.match(
      await say("hello", { picture: { ...lost, events: braked } }),
      /: its machine is lost together with many/,
    );
    const over = [...braked, { ...event, kind: "machines-returned" as const }];
    assert.doesNotMatch(await say("hello", { picture: { ...lost, events: over } }), /together with many/);
    assert.doesNotMatch(await say("hello", { picture: { ...picture, events: braked } }), /together with many/);
  });

  test("a machine that came and went rests", async () => {
    const picture = crowdedPicture();
    const placing = picture.placing!;
    const rests = { losses: 2, untilMs: sampleNowMs + 20_000 };
    const settings: MachineSettings = { machine: n3, metadata: {}, rests, by: "n1", atMs: sampleNowMs };
    const machines = placing.machines.map((each) =>
      each.id === n3 ? { ...each, cordoned: true as const, rests: 2 } : each,
    );
    const resting = { ...picture, settings: new Map([[n3, settings]]), placing: { ...placing, machines } };
    assert.deepEqual(lines(await say("n3", { picture: resting }), "State"), [
      "resting, lost 2 times: it keeps what it has, and takes nothing new",
    ]);
  });

  test("who displaced it, and when", async () => {
    const picture = crowdedPicture();
    const message = "web@1.service displaces batch.service on n3: its priority is higher";
    const event = { kind: "unit-displaced", by: "n2", unit: "batch.service" as UnitName, message } as const;
    const events = [
      { ...event, atMs: sampleNowMs - 900_000, message: "an older one" },
      { ...event, atMs: sampleNowMs - 60_000 },
      { ...event, atMs: sampleNowMs - 5_000, unit: hello },
    ];
    assert.deepEqual(lines(await say("batch", { picture: { ...picture, events } }), "Displaced"), [
      `1min ago: ${message}`,
    ]);
  });

  test("a unit that nobody wants any more", async () => {
    assert.deepEqual(lines(await say("old"), "State"), ["inactive: nobody wants it any more: it is being taken away"]);
  });

  test("a machine that may still be coming back", async () => {
    const picture = crowdedPicture();
    const placing = picture.placing!;
    const machines = [...placing.machines, { id: gone, metadata: {}, standing: "presumed" as const }];
    const away: MachineId = gone;
    const text = await say(away, { picture: { ...picture, placing: { ...placing, machines } } });
    assert.deepEqual(lines(text, "State"), ["it may still be coming back: it keeps what it has, and takes nothing"]);
    assert.deepEqual(lines(text, "Memory"), ["not known, 0 reserved"]);
  });
});
