// The whole path on real parts: commits become running units on three machines, whatever is killed, cut or stopped.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { UnitReport } from "../../agent/domain/report.ts";
import { Cluster, loop } from "./cluster.ts";

/** Design, section 10: lease of a machine, and what killing one may take beyond it. */
const machineLeaseMs = 10_000;
const beyondMs = 5_000;

const units = {
  "static/alone.service": loop(),
  "static/everywhere.service": loop("\n[X-Fleet]\nGlobal=true\n"),
  "static/side.service": loop("\n[X-Fleet]\nMachineOf=alone.service\n"),
  "static/us.service": loop("\n[X-Fleet]\nMachineMetadata=region=us\n"),
  "templates/web@.service": loop("\n[X-Fleet]\nConflicts=web@*.service\n"),
  "instances/web@1.service": "-> ../templates/web@.service",
  "instances/web@2.service": "-> ../templates/web@.service",
};
/** alone, everywhere on three, side, us, web@1, web@2. */
const placed = 8;

function where(units: readonly UnitReport[], name: string): readonly string[] {
  return units.filter((unit) => unit.name === name).map((unit) => unit.machine.hostname);
}

async function startsOf(cluster: Cluster): Promise<ReadonlyMap<string, readonly string[]>> {
  const starts = await Promise.all(cluster.machines.map(async (each) => [each.name, await each.starts()] as const));
  return new Map(starts);
}

describe("three machines, etcd and git over HTTP", { timeout: 600_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.start({ units, metadata: ["region=eu", "region=eu", "region=us"] });
  });
  after(() => cluster.close());

  test("the first commit runs where the rules say", async () => {
    const seen = await cluster.untilActive(placed);
    assert.deepEqual([...where(seen, "everywhere.service")].sort(), ["m1", "m2", "m3"]);
    assert.deepEqual(where(seen, "side.service"), where(seen, "alone.service"));
    assert.deepEqual(where(seen, "us.service"), ["m3"]);
    assert.notDeepEqual(where(seen, "web@1.service"), where(seen, "web@2.service"));
    for (const machine of cluster.machines) {
      const starts = await machine.starts();
      assert.deepEqual(new Set(starts).size, starts.length, `${machine.name} started something twice`);
    }
  });

  test("a new link is a new instance, and nothing else is touched", async () => {
    const before = await startsOf(cluster);
    await cluster.commit({ "instances/web@3.service": "-> ../templates/web@.service" });
    assert.equal((await cluster.sync()).outcome, "adopted");
    const seen = await cluster.untilActive(placed + 1);
    const [home = ""] = where(seen, "web@3.service");
    for (const machine of cluster.machines) {
      const gained = (await machine.starts()).slice(before.get(machine.name)?.length);
      assert.deepEqual(gained, machine.name === home ? ["web@3.service"] : []);
    }
  });

  test("a changed template restarts its instances in place", async () => {
    const before = await cluster.untilActive(placed + 1);
    await cluster.commit({
      "templates/web@.service": loop("Environment=EDITION=2\n\n[X-Fleet]\nConflicts=web@*.service\n"),
    });
    await cluster.sync();
    const hash = await cluster.until("the new hash everywhere", ({ files, units }) => {
      const wanted = files.find((file) => file.name === "web@1.service")?.hash;
      const old = before.find((unit) => unit.name === "web@1.service")?.hash;
      const web = units.filter((unit) => unit.name.startsWith("web@"));
      return wanted !== old && web.every((unit) => unit.hash === wanted && unit.active === "active") && wanted;
    });
    assert.match(hash, /^[0-9a-f]{40}$/);
    const after = await cluster.untilActive(placed + 1);
    for (const name of ["web@1.service", "web@2.service", "web@3.service"]) {
      assert.deepEqual(where(after, name), where(before, name));
    }
    await cluster.until("each instance has started twice", async () => {
      const all = [...(await startsOf(cluster)).values()].flat();
      return all.filter((name) => name === "web@1.service").length === 2;
    });
  });

  test("a removed link stops its instance and leaves no file behind", async () => {
    await cluster.commit({ "instances/web@3.service": null });
    await cluster.sync();
    await cluster.untilActive(placed);
  });

  test("a bad commit is refused with every reason, and nothing changes", async () => {
    const before = await startsOf(cluster);
    await cluster.commit({
      "static/broken.service": "[Service\nExecStart=/bin/true\n",
      "static/misspelt.service": loop("\n[X-Fleet]\nMachineMetdata=region=eu\n"),
      "instances/web@9.service": "-> ../../../../etc/passwd",
      "other/alone.service": loop(),
    });
    const result = await cluster.sync();
    assert.equal(result.outcome, "refused");
    const files = new Set(result.problems.map((problem) => problem.file));
    for (const file of ["static/broken.service", "static/misspelt.service", "instances/web@9.service"]) {
      assert.ok(files.has(file), `${file} is not named`);
    }
    assert.ok(
      result.problems.some((problem) => /alone\.service/.test(problem.message)),
      "the name used twice is not named",
    );
    const sight = await cluster.until("the refusal in the status", (seen) => seen.status.refused !== undefined && seen);
    assert.equal(sight.units.length, placed);
    assert.deepEqual(await startsOf(cluster), before);
    await cluster.commit({
      "static/broken.service": null,
      "static/misspelt.service": null,
      "instances/web@9.service": null,
      "other/alone.service": null,
    });
    assert.equal((await cluster.sync()).outcome, "adopted");
    await cluster.until("no refusal any more", (seen) => seen.status.refused === undefined);
  });

  test("restarting every agent at once restarts no unit", async () => {
    const before = await startsOf(cluster);
    await Promise.all(cluster.machines.map((machine) => machine.stopAgent()));
    await Promise.all(cluster.machines.map((machine) => machine.startAgent()));
    await cluster.untilActive(placed);
    await cluster.until("a leader", (seen) => seen.status.leader !== undefined);
    const commit = await cluster.commit({ "static/later.service": loop() });
    // The new leader may have looked for itself a moment before.
    assert.equal((await cluster.sync()).commit, commit);
    const seen = await cluster.untilActive(placed + 1);
    const after = await startsOf(cluster);
    const [home = ""] = where(seen, "later.service");
    for (const [machine, starts] of after) {
      assert.deepEqual(starts.slice(before.get(machine)?.length), machine === home ? ["later.service"] : []);
    }
  });

  test("killing every agent and starting it again restarts no unit", async () => {
    const before = await startsOf(cluster);
    await Promise.all(cluster.machines.map((machine) => machine.stopAgent("SIGKILL")));
    await Promise.all(cluster.machines.map((machine) => machine.startAgent()));
    await cluster.untilActive(placed + 1);
    await cluster.until("a leader", (seen) => seen.status.leader !== undefined);
    assert.deepEqual(await startsOf(cluster), before);
  });

  test("a leader that sleeps past its lease is replaced, and does no harm when it wakes", async () => {
    const before = await startsOf(cluster);
    const old = await cluster.until("a leader", (seen) => seen.status.leader?.machine.hostname);
    const epoch = (await cluster.look()).status.leader?.epoch ?? 0;
    const sleeper = cluster.machine(old);
    const awake = cluster.machines.find((machine) => machine !== sleeper);
    assert.ok(awake);
    sleeper.signalAgent("SIGSTOP");
    try {
      await cluster.until(
        "another leader",
        async () => ((await awake.look()).status.leader?.epoch ?? 0) > epoch,
        20_000,
      );
    } finally {
      sleeper.signalAgent("SIGCONT");
    }
    await cluster.untilActive(placed + 1);
    assert.deepEqual(await startsOf(cluster), before);
  });

  test("etcd stopped for 60 s stops no unit, and what was committed meanwhile follows after", async () => {
    const before = await startsOf(cluster);
    await cluster.etcd.stop();
    await cluster.commit({ "static/meanwhile.service": loop() });
    const endMs = performance.now() + 60_000;
    while (performance.now() < endMs) {
      for (const machine of cluster.machines) {
        const { units, status } = await machine.lookAlone();
        assert.ok(
          units.every((unit) => unit.active === "active"),
          "a unit is down while etcd is away",
        );
        assert.ok(units.length > 0);
        assert.ok(
          status.problems.some((problem) => problem.code === "registry-unreachable"),
          "the outage is not named",
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
    assert.deepEqual(await startsOf(cluster), before);
    await cluster.etcd.start();
    // Each by itself: one agent may be back before another
    await cluster.until("a leader that every machine sees", async () => {
      const sights = await Promise.all(cluster.machines.map((machine) => machine.lookAlone()));
      return sights.every(({ status }) => status.leader !== undefined && status.machines.alive === 3);
    });
    await cluster.sync();
    const seen = await cluster.untilActive(placed + 2);
    const [home = ""] = where(seen, "meanwhile.service");
    for (const [machine, starts] of await startsOf(cluster)) {
      assert.deepEqual(starts.slice(before.get(machine)?.length), machine === home ? ["meanwhile.service"] : []);
    }
  });

  test("a killed machine's units move within its lease and 5 s; it comes back and nothing needless is restarted", async () => {
    const before = await cluster.untilActive(placed + 2);
    const victim = cluster.machine(where(before, "alone.service")[0] ?? "");
    const survivors = cluster.machines.filter((machine) => machine !== victim);
    const startsBefore = await startsOf(cluster);
    const lost = before.filter((unit) => unit.machine.hostname === victim.name && unit.name !== "everywhere.service");
    const movable = lost.filter((unit) => unit.name !== "us.service").map((unit) => unit.name);
    await victim.kill();
    const fromMs = performance.now();
    const moved = await cluster.until(
      "its units elsewhere",
      ({ units }) =>
        movable.every((name) =>
          units.some((unit) => unit.name === name && unit.machine.hostname !== victim.name && unit.active === "active"),
        ) && units,
      machineLeaseMs + beyondMs + 5_000,
    );
    const tookMs = performance.now() - fromMs;
    assert.ok(tookMs < machineLeaseMs + beyondMs, `took ${Math.round(tookMs)} ms`);
    for (const machine of survivors) {
      const gained = (await machine.starts()).slice(startsBefore.get(machine.name)?.length);
      const expected = movable.filter((name) => where(moved, name).includes(machine.name));
      assert.deepEqual([...gained].sort(), [...expected].sort());
    }
    const startsMoved = await startsOf(cluster);
    await victim.start();
    await cluster.until("all machines", (seen) => seen.status.machines.alive === 3);
    await cluster.untilActive(placed + 2);
    for (const machine of survivors) {
      assert.deepEqual(await machine.starts(), startsMoved.get(machine.name));
    }
  });
});
