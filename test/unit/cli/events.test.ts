// events --follow against the real API, over a registry and an agent that go away and come back.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { createApi } from "../../../agent/api/api.ts";
import { runCommand } from "../../../agent/cli/args.ts";
// Loaded beforehand: no clock of a test waits for a disk
import "../../../agent/cli/agent.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ClusterEvent } from "../../../agent/domain/submitted.ts";
import { DirectClient } from "../../fakes/direct-client.ts";
import { FakeCluster, emptyPicture, sampleNowMs } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { type FakeTools, fakeTools } from "../../fakes/fake-tools.ts";
import { silentLog } from "../../fakes/silent-log.ts";

const gone = new Problem("agent-unreachable", "Cannot reach the agent");
/** The registry is away: no event is known. */
const alone = { ...emptyPicture(), stale: true as const };
const after = (...messages: readonly string[]) => ({ ...emptyPicture(), events: messages.map(event) });

function event(message: string): ClusterEvent {
  return { atMs: sampleNowMs, kind: "unit-restarted", by: "ann@desk", message };
}

let cluster: FakeCluster;
let tools: FakeTools;
let client: DirectClient;

beforeEach(() => {
  cluster = new FakeCluster(after("first"));
  tools = fakeTools({ apiClient: async () => client });
  const given = { view: cluster, hands: new FakeHands(), clock: tools.clock, log: silentLog, version: "1" };
  client = new DirectClient(createApi(given));
});

/** Follows, and is ended by a signal when `meanwhile` has resolved; resolves with its exit code. */
async function follow(meanwhile: () => Promise<void>): Promise<number> {
  const following = runCommand(["events", "--follow", "--json"], tools);
  const early = following.then((code) => assert.fail(`it has ended with ${code}: ${tools.stderr.text}`));
  try {
    await Promise.race([early, until(() => shown().length > 0 && cluster.listeners.size > 0).then(meanwhile)]);
  } finally {
    early.catch(() => undefined); // it shall end now
    tools.interrupt();
  }
  return following;
}

function shown(): readonly string[] {
  return tools.stdout.text
    .split("\n")
    .flatMap((line) => (line === "" ? [] : (JSON.parse(line) as ClusterEvent).message));
}

/** With time passing meanwhile: `mostMs` of it. */
async function until(condition: () => boolean, mostMs = 60_000): Promise<void> {
  for (let ms = 0; ms < mostMs && !condition(); ms += 50) {
    await tools.clock.advance(50);
    await pause(0);
  }
  assert.ok(condition(), `not in time; it said: ${tools.stderr.text}${tools.stdout.text}`);
}

/** Until it has been asked for events once more. */
async function untilAsked(mostMs?: number): Promise<void> {
  const before = client.asked.length;
  await until(() => client.asked.length > before, mostMs);
}

const said = (what: RegExp): number => tools.stderr.text.match(what)?.length ?? 0;

test("a registry that is away and comes back brings what is new, once, and is told of once", async () => {
  const code = await follow(async () => {
    for (const now of [alone, alone, after("first", "second")]) {
      const asked = untilAsked(1_000);
      cluster.change(now);
      await asked;
    }
    await until(() => shown().length > 1, 1_000);
    const asked = untilAsked(1_000);
    cluster.change(alone);
    await asked;
    await until(() => said(/while the registry is away/g) === 2, 1_000);
  });
  assert.equal(code, 0);
  assert.deepEqual(shown(), ["first", "second"]);
  assert.equal(said(/while the registry is away/g), 2, "once for each time");
});

test("an agent that ends as it is asked, and is back in a moment, is waited for", async () => {
  const code = await follow(async () => {
    const asked = untilAsked(1_000);
    cluster.change(after("first", "last words"));
    client.away = gone;
    // The stream wakes the command, whose question meets nobody
    await until(() => said(/Cannot reach the agent/g) === 1, 1_000);
    client.away = undefined;
    await asked;
    await until(() => shown().length > 1, 1_000);
  });
  assert.equal(code, 0);
  assert.deepEqual(shown(), ["first", "last words"]);
  assert.equal(said(/Cannot reach the agent/g), 1);
});

test("an agent that is away for minutes is told of at once, and waited for", async () => {
  const code = await follow(async () => {
    client.away = gone;
    cluster.change(after("first"));
    await until(() => said(/Cannot reach the agent/g) === 1, 1_000);
    for (let ms = 0; ms < 180_000; ms += 1_000) {
      await tools.clock.advance(1_000);
      await pause(0);
    }
    cluster.now = after("first", "meanwhile");
    client.away = undefined;
    await until(() => shown().length > 1, 6_000);
  });
  assert.equal(code, 0);
  assert.deepEqual(shown(), ["first", "meanwhile"]);
  assert.equal(said(/Cannot reach the agent/g), 1);
});

test("a registry that is away when it begins is a failure", async () => {
  cluster.now = alone;
  for (const line of ["events", "events --follow"]) {
    assert.equal(await runCommand(line.split(" "), tools), 1);
    assert.equal(tools.stdout.text, "");
  }
  assert.equal(said(/Cannot tell what happened in the cluster while the registry is away/g), 2);
});
