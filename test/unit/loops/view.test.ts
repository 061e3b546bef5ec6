// What one agent shows of the cluster, with the registry and without it.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { ClusterPicture } from "../../../agent/domain/cluster.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { Git } from "../../../agent/ports/git.ts";
import type { Registry } from "../../../agent/ports/registry.ts";
import { keys } from "../../../agent/text/values.ts";
import { type Box, House, gate, idOf, name, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

const pictureOf = (box: Box): Promise<ClusterPicture> => house.settle(box.agent.view.picture());

async function running(): Promise<void> {
  house = await House.open({ leaders: "b" });
  await house.ready();
  await house.deploy({
    "web.service": service(),
    "log.service": service("Global=true"),
    "no.service": service("MachineMetadata=x=y"),
  });
  await house.until(() => house.isUp({ "log.service": "abc", "web.service": "a" }), 5_000);
  await house.until(async () => (await house.held()).statuses.size === 3, 5_000);
}

/** A machine that has no share in the adopted commit, and has not fetched it. */
async function withoutCommit(): Promise<Box> {
  house = await House.open({ leaders: "b", pollMs: 3_600_000 });
  await house.ready();
  await house.deploy({ "web.service": service(`MachineID=${idOf("b")}`) });
  await house.until(() => house.isUp({ "web.service": "b" }), 5_000);
  return house.box("c");
}

/** As with a Path= that the repository does not have. */
function withoutFolder(git: Git): Git {
  return {
    fetch: (signal) => git.fetch(signal),
    head: () => git.head(),
    has: (commit) => git.has(commit),
    info: (commit) => git.info(commit),
    tree: () => Promise.reject(new Problem("git-path", 'Cannot find the folder "units"')),
    blob: (oid) => git.blob(oid),
    close: () => git.close(),
  };
}

describe("view", () => {
  test("every machine shows the whole cluster", async () => {
    await running();
    const { revision } = await house.held();
    for (const each of house.machines) {
      const picture = await pictureOf(each);
      assert.deepEqual([...picture.machines.keys()], ["a", "b", "c"].map(idOf));
      assert.equal(picture.leader?.machine, idOf("b"));
      assert.deepEqual(picture.revision, revision);
      assert.equal(picture.desired?.units.size, 3);
      assert.deepEqual(picture.placing?.machines.map(({ id }) => id).sort(), ["a", "b", "c"].map(idOf));
      assert.equal(picture.placing.wanted.length, 3);
      assert.equal(picture.placing.placements.length, 4);
      assert.deepEqual(
        picture.decisions.filter(({ kind }) => kind === "wait").map(({ unit }) => unit),
        ["no.service"],
      );
      assert.deepEqual(picture.problems, []);
    }
  });

  test("while nothing changes nothing is worked out anew; after a change, and after the registry was away, everything is", async () => {
    await running();
    const box = house.box("a");
    await house.clock.advance(2_000);
    const before = await pictureOf(box);
    assert.equal((await pictureOf(box)).decisions, before.decisions);
    await house.settle(box.agent.hands.setTarget({ name: name("web.service"), target: "loaded", by: "ann" }));
    const after = await pictureOf(box);
    assert.notEqual(after.decisions, before.decisions);
    assert.equal(after.desired?.units.get(name("web.service"))?.target, "loaded");
    await house.until(() => house.isUp({ "log.service": "abc" }), 5_000);
    const seen = await pictureOf(box);
    box.connection.cutOff();
    await house.until(async () => (await pictureOf(box)).stale === true, 20_000);
    assert.notEqual((await pictureOf(box)).decisions, seen.decisions);
  });

  test("without the registry from the start it shows this machine's own knowledge, and says so", async () => {
    await running();
    const box = house.box("a");
    await box.stop();
    box.connection.cutOff();
    box.start();
    await house.until(() => box.log.lines.length > 0, 1_000);
    await house.clock.advance(10_000);
    const picture = await pictureOf(box);
    assert.deepEqual([...picture.machines.keys()], [idOf("a")]);
    assert.deepEqual(
      picture.manifests.get(idOf("a"))?.units.map((unit) => unit.name),
      ["log.service", "web.service"],
    );
    assert.deepEqual(
      picture.statuses.get(idOf("a"))?.units.map(({ name, active }) => `${name} ${active}`),
      ["log.service active", "web.service active"],
    );
    assert.match(picture.problems[0]?.message ?? "", /registry.*this is what this machine knows/);
    assert.equal(picture.problems[0]?.code, "registry-unreachable");
    box.connection.restore();
    await house.clock.advance(20_000);
    const whole = await pictureOf(box);
    assert.equal(whole.machines.size, 3);
    assert.deepEqual(whole.problems, []);
  });

  test("an answer takes no longer than a few seconds while the registry is silent", async () => {
    await running();
    const box = house.box("c");
    box.connection.freeze();
    const fromMs = house.clock.monotonicMs();
    await pictureOf(box);
    assert.ok(house.clock.monotonicMs() - fromMs <= 2_500);
  });

  test("a repository that is silent holds no answer up, is asked once for all questions, and what it brings is shown", async () => {
    const box = await withoutCommit();
    const { opened, open } = gate();
    house.repository.fault = { kind: "slow", until: opened };
    const before = house.repository.fetches;
    const fromMs = house.clock.monotonicMs();
    for (let asked = 0; asked < 10; asked++) assert.equal((await pictureOf(box)).desired, undefined);
    assert.ok(house.clock.monotonicMs() - fromMs <= 2_500, "all of them together wait a moment");
    let heard = 0;
    const stop = box.agent.view.onChange(() => heard++);
    await house.clock.advance(60_000);
    assert.equal((await pictureOf(box)).desired, undefined);
    assert.equal(house.repository.fetches - before, 1);
    heard = 0;
    house.repository.fault = undefined;
    open();
    await house.clock.advance(1_000);
    assert.ok(heard > 0, "who listens is told");
    assert.equal((await pictureOf(box)).desired?.units.size, 1);
    assert.equal(house.repository.fetches - before, 1);
    stop();
  });

  test("a repository that is away is not asked at every question, and it is said", async () => {
    const box = await withoutCommit();
    house.repository.fault = { kind: "unreachable" };
    const before = house.repository.fetches;
    for (let asked = 0; asked < 10; asked++) assert.equal((await pictureOf(box)).desired, undefined);
    assert.equal(house.repository.fetches - before, 1);
    assert.notEqual(await box.problem("git-unreachable"), undefined);
    house.repository.fault = undefined;
    await house.clock.advance(31_000);
    assert.equal((await pictureOf(box)).desired?.units.size, 1);
    assert.equal(await box.problem("git-unreachable"), undefined);
    assert.equal(house.repository.fetches - before, 2);
  });

  test("a commit that this machine alone refuses is not shown as one to come: it is said why", async () => {
    house = await House.open({ leaders: "b" });
    house.box("c").through = { git: (git) => withoutFolder(git) };
    await house.ready();
    await house.deploy({ "web.service": service(`MachineID=${idOf("b")}`) });
    const box = house.box("c");
    assert.equal((await pictureOf(box)).desired, undefined);
    const problem = await box.problem("commit-refused-here");
    assert.match(problem?.message ?? "", /on this machine: Cannot find the folder/);
    assert.match(problem?.hint ?? "", /Path=.*version/);
    assert.equal(await house.box("a").problem("commit-refused-here"), undefined);
  });

  test("a value that nobody can read is named on every machine", async () => {
    await running();
    await house.put(keys.status(idOf("c")), "[]");
    for (const each of house.machines) {
      const problems = (await pictureOf(each)).problems.filter(({ code }) => code === "registry-value");
      assert.match(problems[0]?.message ?? "", new RegExp(keys.status(idOf("c"))));
    }
    await house.remove(keys.status(idOf("c")));
  });

  test("the mirror is held while somebody listens, let go after idleness, and taken up again", async () => {
    house = await House.open({ machines: "a", leaders: "" });
    const box = house.box("a");
    let watches = 0;
    box.through = {
      registry: (registry): Registry => ({
        read: (prefix, signal) => registry.read(prefix, signal),
        get: (key, signal) => registry.get(key, signal),
        write: (transaction, signal) => registry.write(transaction, signal),
        grantLease: (ttlMs, signal) => registry.grantLease(ttlMs, signal),
        renewLease: (id, signal) => registry.renewLease(id, signal),
        leaseLeftMs: (id, signal) => registry.leaseLeftMs(id, signal),
        revokeLease: (id, signal) => registry.revokeLease(id, signal),
        close: () => registry.close(),
        watch: (prefix, from, signal) => {
          if (prefix === "") {
            watches++;
            signal.addEventListener("abort", () => watches--);
          }
          return registry.watch(prefix, from, signal);
        },
      }),
    };
    box.start();
    await house.clock.advance(5_000);
    assert.equal(watches, 0, "nobody looks");
    let heard = 0;
    const stop = box.agent.view.onChange(() => heard++);
    await house.clock.advance(300_000);
    assert.equal(watches, 1);
    const before = heard;
    for (let each = 0; each < 50; each++) await house.put("machine-settings/x", String(each));
    await house.clock.advance(1_000);
    assert.ok(heard > before && heard <= before + 2, "a burst is told once");
    stop();
    await pictureOf(box);
    await house.clock.advance(30_000);
    assert.equal(watches, 1);
    await house.clock.advance(120_000);
    assert.equal(watches, 0);
    assert.equal((await pictureOf(box)).machines.size, 1);
    assert.equal(watches, 1);
  });
});
