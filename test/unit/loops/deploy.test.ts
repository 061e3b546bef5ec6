// From a commit to running units: what the leader adopts and refuses, how it lives through a git that is away, and what a
// sync that is asked for on any machine comes to.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { CommitId } from "../../../agent/domain/names.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { SyncResult } from "../../../agent/domain/sync.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { keys } from "../../../agent/text/values.ts";
import {
  House,
  type HouseOptions,
  changed,
  gate,
  idOf,
  machineLeaseMs,
  name,
  passingOn,
  pollMs,
  service,
} from "./house.ts";

let house: House;
afterEach(() => house.close());

async function open(options: HouseOptions = {}): Promise<House> {
  house = await House.open(options);
  return house;
}

describe("deploy", () => {
  test("a commit is adopted, and its units run where placement says", async () => {
    await open({ metadata: { c: { disk: "ssd" } } });
    await house.ready();
    const commit = await house.deploy({
      "web@.service": service("Conflicts=web@*.service"),
      "web@1.service": "-> web@.service",
      "web@2.service": "-> web@.service",
      "log.service": service("Global=true"),
      "db.service": service("MachineMetadata=disk=ssd"),
      "side.service": service("MachineOf=db.service"),
      "off.service": service("DesiredState=inactive"),
      "lying.service": service("DesiredState=loaded"),
    });
    const wanted = {
      "db.service": "c",
      "log.service": "abc",
      "side.service": "c",
      "web@1.service": "b",
      "web@2.service": "a",
    };
    await house.until(() => house.isUp(wanted), 5_000);
    await house.until(async () => (await house.held()).statuses.size === 3, 2_000);
    const { revision, manifests, machines } = await house.held();
    assert.equal(revision.adopted?.commit, commit);
    assert.equal(revision.adopted.subject, "Commit 2");
    assert.equal(revision.refused, undefined);
    const picture = await house.settle(house.box("b").agent.view.picture());
    assert.ok(picture.desired !== undefined);
    const decisions = schedule({
      wanted: [...picture.desired.units.values()],
      machines: [...machines.values()].map(({ id, metadata }) => ({ id, metadata, standing: "present" })),
      placements: [...manifests].flatMap(([on, { units }]) => units.map((unit) => ({ unit: unit.name, on }))),
    });
    assert.deepEqual([...new Set(decisions.map(({ kind }) => kind))], ["keep"], "nothing is left to be decided");
    const lying = [...manifests.values()].flatMap(({ units }) => units).find((each) => each.name === "lying.service");
    assert.equal(lying?.target, "loaded");
  });

  test("a bad commit is refused with all its problems; the last good one stays; the next good one is adopted", async () => {
    await open({ machines: "ab" });
    await house.ready();
    const good = await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    for (const each of house.machines) each.asked();

    const bad = house.commit({
      "api.service": service("MachineMetdata=disk=ssd"),
      "web.service": service("Global=perhaps"),
      "x/web.service": service(),
    });
    await house.until(async () => (await house.held()).revision.refused !== undefined, pollMs + 1_000);
    const { revision } = await house.held();
    assert.equal(revision.adopted?.commit, good);
    assert.equal(revision.refused?.commit, bad);
    const files = revision.refused.problems.map(({ file }) => file);
    assert.ok(files.includes("api.service") && files.includes("web.service"), files.join(" "));
    assert.ok(revision.refused.problems.length >= 3);
    assert.match(JSON.stringify(revision.refused.problems), /MachineMetadata/);
    await house.clock.advance(2 * pollMs);
    assert.deepEqual([house.up(), house.box("a").asked(), house.box("b").asked()], [{ "web.service": "a" }, [], []]);
    const said = house.machines.flatMap(({ log }) => log.events("warn"));
    assert.deepEqual(said, ["commit.refused"], "it is refused once, not at every poll");

    const next = house.commit({ "web.service": changed() });
    await house.until(async () => (await house.held()).revision.adopted?.commit === next, pollMs + 1_000);
    assert.equal((await house.held()).revision.refused, undefined);
    await house.until(() => house.box("a").systemd.textOf(name("web.service")) === changed(), 5_000);
  });

  test("a commit that was recorded without an answer is carried out", async () => {
    await open({ machines: "a" });
    const a = house.box("a");
    let isLost = false;
    a.through = {
      registry: (registry) => ({
        ...passingOn(registry),
        write: async (transaction, signal) => {
          const written = await registry.write(transaction, signal);
          if (!isLost || !transaction.writes.some(({ key }) => key === keys.revision)) return written;
          isLost = false;
          throw new Problem("registry-unreachable", "Cannot write: No answer within 2000 ms");
        },
      }),
    };
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    isLost = true;
    const next = house.commit({ "db.service": service() });
    await house.until(() => house.isUp({ "db.service": "a" }), pollMs + 5_000);
    assert.equal((await house.held()).revision.adopted?.commit, next);
  });

  test("a commit that was recorded late, and is no longer the newest, does not stay on record", async () => {
    await open({ machines: "a" });
    const a = house.box("a");
    let late: (() => Promise<unknown>) | undefined;
    let isLate = false;
    a.through = {
      registry: (registry) => ({
        ...passingOn(registry),
        write: async (transaction, signal) => {
          if (!isLate || !transaction.writes.some(({ key }) => key === keys.revision))
            return registry.write(transaction, signal);
          isLate = false;
          late = () => registry.write(transaction);
          throw new Problem("registry-unreachable", "Cannot write: No answer within 2000 ms");
        },
      }),
    };
    await house.ready();
    const good = await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    isLate = true;
    const next = house.commit({ "db.service": service() });
    await house.until(() => late !== undefined, pollMs + 5_000);
    house.repository.reset(good);
    await late?.();
    assert.equal((await house.held()).revision.adopted?.commit, next);
    await house.until(async () => (await house.held()).revision.adopted?.commit === good, pollMs + 5_000);
    await house.always(() => house.isUp({ "web.service": "a" }), 5_000);
  });

  test("a refused commit that is taken back is forgotten", async () => {
    await open({ machines: "a" });
    await house.ready();
    const good = await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    house.commit({ "web.service": service("Nonsense=1") });
    await house.until(async () => (await house.held()).revision.refused !== undefined, pollMs + 1_000);
    house.repository.reset(good);
    await house.until(async () => (await house.held()).revision.refused === undefined, pollMs + 1_000);
    assert.equal((await house.held()).revision.adopted?.commit, good);
  });

  test("a refused commit is judged anew by each leader: its settings or its version may be others", async () => {
    await open({ machines: "ab", leaders: "a" });
    const a = house.box("a");
    a.through = { git: () => house.repository.open({ store: a.gitStore, folder: "unit" }) };
    const commit = house.commit({ "web.service": service() });
    house.start();
    const refused = async (): Promise<string | undefined> => (await house.held()).revision.refused?.commit;
    await house.until(async () => (await refused()) === commit, 5_000);
    const again = async (): Promise<void> => {
      await a.stop();
      a.start();
      await house.until(async () => (await house.leader()) === "a", 10_000);
      await house.clock.advance(2_000);
    };
    await again();
    assert.equal(await refused(), commit);
    const { entries } = await house.operator.read(keys.events);
    assert.equal(entries.length, 1, "what is refused for the same reason is told once");
    a.through = {};
    await again();
    assert.equal((await house.held()).revision.adopted?.commit, commit);
    assert.equal(await refused(), undefined);
  });

  test("a commit without units stops them and takes them away", async () => {
    await open({ machines: "a" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    house.commit({ "README.md": "empty" });
    await house.until(() => house.isUp({}), pollMs + 2_000);
    await house.until(async () => (await house.held()).manifests.get(idOf("a"))?.units.length === 0, 5_000);
  });
});

describe("sync", () => {
  test("a wall clock that is set back by hours does not put off the next poll", async () => {
    house = await House.open({ machines: "a" });
    const [box] = house.machines;
    const clock = house.clock.process();
    box!.through = { clock };
    await house.ready();
    await house.clock.advance(pollMs);
    clock.stepWall(-36_000_000);
    const commit = house.commit({ "web.service": service() });
    await house.until(async () => (await house.held()).revision.adopted?.commit === commit, pollMs + 1_000);
  });

  test("asked through a machine that does not lead, it gets the leader's answer", async () => {
    await open({ leaders: "b", pollMs: 3_600_000 });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const ask = async (letter: string): Promise<SyncResult> => house.settle(house.box(letter).agent.view.sync());

    const second = house.commit({ "web.service": changed() });
    assert.deepEqual(await ask("a"), { outcome: "adopted", commit: second, problems: [] });
    assert.deepEqual(await ask("c"), { outcome: "unchanged", commit: second, problems: [] });
    const bad = house.commit({ "web.service": service("Nonsense=1") });
    for (const letter of ["a", "b", "a"]) {
      const refused = await ask(letter);
      assert.deepEqual([refused.outcome, refused.commit], ["refused", bad]);
      assert.equal(refused.problems[0]?.file, "web.service");
    }
    house.repository.fault = { kind: "unreachable" };
    for (const letter of ["b", "c"]) {
      const failed = await ask(letter);
      assert.deepEqual([failed.outcome, failed.problems[0]?.code], ["failed", "git-unreachable"]);
    }
    const { entries } = await house.operator.read("sync-");
    assert.deepEqual(entries, [], "requests and answers are cleared away");
  });

  test("two machines that ask at once both get an answer", async () => {
    await open({ leaders: "b", pollMs: 3_600_000 });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const second = house.commit({ "web.service": changed() });
    const answers = await house.settle(
      Promise.all(["a", "b", "c"].map((letter) => house.box(letter).agent.view.sync())),
      200_000,
    );
    assert.deepEqual(
      answers.map(({ commit }) => commit),
      [second, second, second],
    );
  });

  test('without a leader it is refused as "no-leader"', async () => {
    await open({ machines: "ab", leaders: "" });
    house.start();
    await house.clock.advance(1_000);
    await assert.rejects(house.settle(house.box("a").agent.view.sync()), { code: "no-leader" });
  });

  test("without the registry it is refused after a short wait", async () => {
    await open({ machines: "ab", leaders: "b" });
    house.box("a").connection.cutOff();
    house.start();
    await house.clock.advance(1_000);
    await assert.rejects(house.settle(house.box("a").agent.view.sync()), { code: "registry-unreachable" });
  });

  test("an asker whose leader goes away in the middle is told so", async () => {
    await open({ machines: "ab", leaders: "b" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const { opened, open: release } = gate();
    house.repository.fault = { kind: "slow", until: opened };
    const asking = house.box("b").agent.view.sync();
    const fetches = house.repository.fetches;
    await house.until(() => house.repository.fetches > fetches, 2_000);
    house.box("b").connection.cutOff();
    const answer = await house.settle(asking);
    assert.equal(answer.outcome, "failed");
    assert.equal(answer.problems[0]?.code, "no-leader");
    release();
    house.box("b").connection.restore();
  });

  test("a leader that cannot yet go on from the adopted commit answers all the same", async () => {
    await open({ machines: "ab", leaders: "b" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const box = house.box("b");
    await box.stop();
    box.gitStore.commits.clear();
    house.repository.fault = { kind: "unreachable" };
    box.start();
    await house.until(async () => (await house.leader()) === "b", 10_000);
    const answer = await house.settle(box.agent.view.sync(), 15_000);
    assert.deepEqual([answer.outcome, answer.problems[0]?.code], ["failed", "git-unreachable"]);
  });

  test("a new leader whose store cannot be read for a moment reads the adopted commit again", async () => {
    await open({ leaders: "b", pollMs: 3_600_000 });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const box = house.box("b");
    await box.stop();
    let failures = 0;
    box.through = {
      git: (git) => ({
        fetch: (signal) => git.fetch(signal),
        head: () => git.head(),
        has: (commit) => git.has(commit),
        info: (commit) => git.info(commit),
        blob: (oid) => git.blob(oid),
        close: () => git.close(),
        tree: async (commit) => {
          if (failures++ === 0) throw new Problem("git-damaged", "Cannot read the git store");
          return git.tree(commit);
        },
      }),
    };
    box.start();
    await house.box("a").crash();
    await house.until(() => house.up()["web.service"] !== undefined && house.up()["web.service"] !== "a", 40_000);
    assert.ok(failures > 1);
  });
});

describe("git away", () => {
  test("the trouble is named, retried with growing pauses, and cleared when git is back", async () => {
    await open({ machines: "a", pollMs: 3_600_000 });
    house.repository.fault = { kind: "unreachable" };
    house.start();
    await house.until(async () => (await house.box("a").problem("git-unreachable")) !== undefined, 5_000);
    const tries: number[] = [];
    let seen = house.repository.fetches;
    const endMs = house.clock.monotonicMs() + 120_000;
    while (house.clock.monotonicMs() < endMs) {
      await house.clock.advance(100);
      if (house.repository.fetches > seen) tries.push(house.clock.monotonicMs());
      seen = house.repository.fetches;
    }
    const pauses = tries.slice(1).map((at, index) => at - tries[index]!);
    assert.ok(tries.length >= 5 && tries.length <= 8, `${tries.length} tries in two minutes`);
    for (const [index, pause] of pauses.slice(1).entries()) assert.ok(pause > 1.5 * pauses[index]!, pauses.join(" "));
    const { log } = house.box("a");
    assert.deepEqual(log.events("error"), ["sync.failed"], "one line for one outage");

    house.commit({ "web.service": service() });
    house.repository.fault = undefined;
    await house.until(() => house.isUp({ "web.service": "a" }), 130_000, 100);
    assert.equal(await house.box("a").problem("git-unreachable"), undefined);
    assert.ok(log.events("info").includes("sync.recovered"));
  });

  test("a new leader that lacks the adopted commit fetches it", async () => {
    await open({ leaders: "ab" });
    await house.ready();
    await house.deploy({ "web.service": service(), "log.service": service("Global=true") });
    const wanted = { "log.service": "abc", "web.service": "a" };
    await house.until(() => house.isUp(wanted), 10_000);
    const first = (await house.leader()) ?? "";
    const second = house.box(first === "a" ? "b" : "a");
    second.gitStore.commits.clear();
    await house.box(first).stop();
    await house.until(async () => (await house.leader()) === second.letter, 5_000);
    await house.until(() => second.gitStore.commits.size > 0, 5_000);
    const adopted = (await house.held()).revision.adopted?.commit;
    assert.ok(adopted !== undefined && second.gitStore.commits.has(adopted));
    assert.deepEqual(house.up(), wanted);
  });

  test("an adopted commit that is gone from the history stops nothing; the next good commit is adopted", async () => {
    await open({ leaders: "ab" });
    await house.ready();
    await house.deploy({ "web.service": service(), "log.service": service("Global=true") });
    const wanted = { "log.service": "abc", "web.service": "a" };
    await house.until(() => house.isUp(wanted), 10_000);
    const first = (await house.leader()) ?? "";
    const second = house.box(first === "a" ? "b" : "a");
    const adopted = (await house.held()).revision.adopted?.commit;
    const replaced = house.commit({ "web.service": service("Nonsense=1") });
    // As after a forced push and a store made anew: the remote no longer has it.
    second.through = {
      git: (git) => ({
        fetch: (signal) => git.fetch(signal),
        head: () => git.head(),
        has: async (commit) => commit !== adopted && git.has(commit),
        info: (commit) => git.info(commit),
        tree: (commit) => git.tree(commit === adopted ? ("0".repeat(40) as CommitId) : commit),
        blob: (oid) => git.blob(oid),
        close: () => git.close(),
      }),
    };
    await second.stop();
    second.start();
    await house.clock.advance(1_000);
    for (const each of house.machines) each.asked();
    await house.box(first).stop();
    await house.until(async () => (await house.leader()) === second.letter, 5_000);
    await house.until(async () => (await second.problem("commit-lost")) !== undefined, 5_000);
    await house.until(async () => (await house.held()).revision.refused?.commit === replaced, pollMs + 1_000);
    await house.clock.advance(3 * machineLeaseMs);
    assert.deepEqual(house.up(), wanted);
    for (const each of house.machines) assert.deepEqual(each.asked(), []);
    assert.equal((await house.held()).revision.adopted?.commit, adopted);

    const next = house.commit({ "web.service": changed() });
    await house.until(async () => (await house.held()).revision.adopted?.commit === next, pollMs + 1_000);
    await house.until(() => house.up()["web.service"] !== undefined && house.up()["log.service"] === first, 30_000);
    assert.equal(await second.problem("commit-lost"), undefined);
  });
});
