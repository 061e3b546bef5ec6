// What the leader decides when machines and registry come and go: nothing on what it does not know, at once on what it
// does, and never two machines for one unit.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { Clock } from "../../../agent/ports/clock.ts";
import type { Registry, WatchBatch, WriteResult } from "../../../agent/ports/registry.ts";
import { keys } from "../../../agent/text/values.ts";
import {
  type Box,
  House,
  type HouseOptions,
  changed,
  engineLeaseMs,
  gate,
  idOf,
  machineLeaseMs,
  name,
  passingOn,
  service,
} from "./house.ts";

let house: House;
afterEach(() => house.close());

const spread = {
  "log.service": service("Global=true"),
  "web1.service": service(),
  "web2.service": service(),
  "web3.service": service(),
};
const placed = { "log.service": "abc", "web1.service": "a", "web2.service": "b", "web3.service": "c" };

/** Three machines with one unit each and a global one on all. */
async function spreadOut(options: HouseOptions = {}): Promise<void> {
  house = await House.open(options);
  await house.ready();
  await house.deploy(spread);
  await house.until(() => house.isUp(placed), 5_000);
  await house.until(async () => (await allListed()) === 6, 5_000);
  quiet();
}

const allListed = async (): Promise<number> =>
  [...(await house.held()).statuses.values()].reduce((sum, { units }) => sum + units.length, 0);

/** Forgets what systemd was asked for. */
function quiet(): void {
  for (const each of house.machines) each.asked();
}

/** All that systemd was asked for beyond reading unit files anew. */
function disturbances(): readonly string[] {
  return house.machines.flatMap((each) =>
    each.asked().flatMap((line) => (line === "reload" ? [] : [`${each.letter}: ${line}`])),
  );
}

describe("a machine that goes away", () => {
  test("after it was seen present is given up as soon as its lease is over", async () => {
    await spreadOut({ leaders: "a" });
    await house.box("c").crash();
    const fromMs = house.clock.monotonicMs();
    await house.until(() => house.up()["web3.service"] !== undefined, machineLeaseMs + 1_000);
    assert.ok(house.clock.monotonicMs() - fromMs > machineLeaseMs / 2, "not before");
    assert.equal(house.up()["web3.service"], "a");
    quiet();
    house.box("c").start();
    await house.until(() => house.up()["log.service"] === "abc", 5_000);
    await house.clock.advance(30_000);
    assert.equal(house.up()["web3.service"], "a", "nothing goes back for balance");
    assert.deepEqual(disturbances(), ["c: write log.service", "c: start log.service"]);
  });

  test("together with others is given up with them: whoever stays is told once", async () => {
    house = await House.open({ machines: "abcd", leaders: "a", lossBrakePercent: 100 });
    await house.ready();
    await house.deploy(Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`web${n}.service`, service()])));
    await house.until(() => Object.keys(house.up()).length === 8, 5_000);
    await house.clock.advance(2 * machineLeaseMs); // all were seen for a full lease
    const generation = async (): Promise<number> => (await house.held()).manifests.get(idOf("a"))?.generation ?? 0;
    const before = await generation();
    for (const letter of ["b", "c", "d"]) await house.box(letter).kill();
    for (const letter of ["b", "c", "d"]) {
      for (const key of [keys.machine, keys.status]) await house.remove(key(idOf(letter)));
      await house.clock.advance(100);
    }
    await house.until(() => house.box("a").up().length === 8, 2_000);
    assert.equal(await generation(), before + 1);
  });

  /** The third machine and all that may lead are away; the third's lease is over when another machine takes office. */
  const absentAtTakeOver = async (): Promise<void> => {
    await spreadOut({ leaders: "ab" });
    for (const letter of ["a", "b", "c"]) await house.box(letter).kill();
    await house.until(async () => (await house.held()).machines.size === 0, machineLeaseMs + 1_000);
    house.box("a").start();
    house.box("b").start();
    await house.leading();
  };

  test("before a new leader took office has one full lease from then on to come back", async () => {
    await absentAtTakeOver();
    const [a, b] = [house.box("a"), house.box("b")];
    const isElsewhere = (): boolean => [...a.up(), ...b.up()].includes("web3.service");
    await house.always(() => !isElsewhere(), machineLeaseMs, 100);
    await house.until(isElsewhere, 2_000);
    house.box("c").start();
    await house.until(() => !house.box("c").up().includes("web3.service"), 10_000);
  });

  test("that comes back within that lease keeps all that it has", async () => {
    await absentAtTakeOver();
    await house.clock.advance(machineLeaseMs - 500);
    assert.equal((await house.held()).machines.has(idOf("c")), false);
    house.box("c").start();
    await house.clock.advance(30_000);
    assert.deepEqual([disturbances(), house.up()], [[], placed]);
  });
});

describe("a change of leader", () => {
  for (const how of ["stop", "kill"] as const) {
    test(`by ${how === "stop" ? "a clean end" : "a crash of its agent"} restarts nothing`, async () => {
      await spreadOut();
      for (let each = 0; each < 4; each++) {
        const leader = await house.leading();
        await leader[how]();
        await house.until(async () => ![leader.letter, undefined].includes(await house.leader()), 10_000);
        await house.clock.advance(1_000);
        leader.start();
        await house.clock.advance(25_000);
      }
      assert.deepEqual([disturbances(), house.up()], [[], placed]);
    });
  }

  test("all agents at once, also for longer than every lease, restart nothing", async () => {
    await spreadOut();
    for (const awayMs of [0, 30_000]) {
      await Promise.all(house.machines.map((each) => each.stop()));
      await house.clock.advance(awayMs);
      house.start();
      await house.clock.advance(30_000);
      assert.deepEqual([disturbances(), house.up()], [[], placed]);
      assert.equal(await allListed(), 6);
    }
  });

  test("to one whose picture lags behind decides only once it has seen its own election", async () => {
    await spreadOut({ leaders: "ab" });
    const leader = await house.leading();
    const other = house.box(leader.letter === "a" ? "b" : "a");
    await other.stop();
    const { opened, open: release } = gate();
    let isHeld = false;
    other.through = { registry: (registry) => lagging(registry, () => (isHeld ? opened : undefined)) };
    other.start();
    other.agent.view.onChange(() => undefined); // its mirror is at work before it leads
    await house.clock.advance(1_000);
    isHeld = true; // from now on it learns nothing new, while it still may write
    const next = house.commit({ ...spread, "web1.service": changed() });
    await house.settle(leader.agent.view.sync());
    await house.until(() => house.box("a").systemd.textOf(name("web1.service")) === changed(), 5_000);
    quiet();
    await leader.stop();
    await house.until(async () => (await house.leader()) === other.letter, 10_000);
    await house.clock.advance(5_000);
    assert.equal((await house.held()).revision.adopted?.commit, next);
    assert.equal(house.box("a").systemd.textOf(name("web1.service")), changed(), "it has not gone back");
    release();
    leader.start();
    await house.clock.advance(30_000);
    assert.deepEqual([disturbances(), house.up()], [[], placed]);
  });
});

describe("a registry that goes away", () => {
  for (const how of ["cutOff", "freeze"] as const) {
    for (const awayMs of [3_000, 9_000, 60_000, 75_000]) {
      test(`for ${awayMs / 1000} s (${how}) releases nothing and moves nothing; all statuses come back`, async () => {
        await spreadOut({ seed: awayMs });
        const { revision } = await house.operator.read("");
        for (const each of house.machines) each.connection[how]();
        await house.clock.advance(awayMs);
        assert.deepEqual(house.up(), placed);
        for (const each of house.machines) each.connection.restore();
        await house.until(async () => (await allListed()) === 6, 20_000, 100);
        await house.clock.advance(30_000);
        assert.deepEqual([disturbances(), house.up()], [[], placed]);
        for (const each of house.machines) assert.deepEqual(await each.problems(), []);
        const { manifests } = await house.held();
        for (const { units } of manifests.values())
          assert.equal(
            units.some(({ target }) => target === "released"),
            false,
          );
        assert.ok((await house.operator.read("")).revision > revision || awayMs < machineLeaseMs);
      });
    }
  }

  test("nothing moves when the leader's way back is quick and the machines' are as slow as they can be", async () => {
    house = await House.open({ leaders: "a" });
    for (const each of house.machines) {
      const luck = each.letter === "a" ? 0 : 0.999;
      each.through = { clock: unlucky(house.clock, luck) };
    }
    await house.ready();
    await house.deploy(spread);
    await house.until(() => house.isUp(placed), 5_000);
    await house.clock.advance(5_000);
    quiet();
    for (const awayMs of [31_000, 37_000, 43_000]) {
      for (const each of house.machines) each.connection.cutOff();
      await house.clock.advance(awayMs);
      for (const each of house.machines) each.connection.restore();
      await house.clock.advance(60_000);
      assert.deepEqual([disturbances(), house.up()], [[], placed]);
    }
  });
});

describe("hand-over", () => {
  test("the second machine is told only after the first was seen to have stopped", async () => {
    house = await House.open({ machines: "ab", metadata: { a: { disk: "hdd" }, b: { disk: "ssd" } } });
    await house.ready();
    await house.deploy({ "db.service": service("MachineMetadata=disk=hdd") });
    await house.until(() => house.isUp({ "db.service": "a" }), 5_000);
    const { opened, open: release } = gate();
    house.box("a").stops.set(name("db.service"), opened);
    const wish = service("MachineMetadata=disk=ssd");
    await house.deploy({ "db.service": wish });
    await house.until(() => house.box("a").asked().includes("hanging-stop db.service"), 2_000);
    for (let each = 0; each < 60; each++) {
      await house.clock.advance(1_000);
      assert.deepEqual(house.up(), { "db.service": "a" });
      const { manifests } = await house.held();
      assert.deepEqual(manifests.get(idOf("b"))?.units, [], "it has not been told");
    }
    release();
    let both = 0;
    await house.until(
      () => {
        if ((house.up()["db.service"] ?? "").length > 1) both++;
        return house.isUp({ "db.service": "b" });
      },
      5_000,
      5,
    );
    assert.equal(both, 0);
    await house.until(async () => (await house.held()).manifests.get(idOf("a"))?.units.length === 0, 5_000);
  });

  test("it goes on under a new leader", async () => {
    house = await House.open({ machines: "abc", leaders: "bc", metadata: { a: { disk: "hdd" }, b: { disk: "ssd" } } });
    await house.ready();
    await house.deploy({ "db.service": service("MachineMetadata=disk=hdd") });
    await house.until(() => house.isUp({ "db.service": "a" }), 5_000);
    const { opened, open: release } = gate();
    house.box("a").stops.set(name("db.service"), opened);
    await house.deploy({ "db.service": service("MachineMetadata=disk=ssd") });
    await house.until(() => house.box("a").asked().includes("hanging-stop db.service"), 2_000);
    const leader = await house.leading();
    await leader.stop();
    await house.until(async () => ![leader.letter, undefined].includes(await house.leader()), 5_000);
    leader.start();
    await house.always(() => house.isUp({ "db.service": "a" }), 20_000, 200);
    release();
    await house.until(() => house.isUp({ "db.service": "b" }), 5_000);
  });

  describe("whose leader, on a third machine, is killed", () => {
    const tellsSecond = ({ writes }: Parameters<Registry["write"]>[0]): boolean =>
      writes.some(
        (each) => each.kind === "put" && each.key === keys.manifest(idOf("b")) && each.value.includes("db.service"),
      );
    /** What systemd was asked for, from the beginning. */
    const jobs = (): readonly string[] =>
      house.machines.flatMap(({ letter, systemd }) =>
        systemd.asked.flatMap((line) => (/^(start|stop|restart|reload) db/.test(line) ? [`${letter}: ${line}`] : [])),
      );
    const once = ["a: start db.service", "a: stop db.service", "b: start db.service"];
    const moved = async (): Promise<void> => {
      await house.until(() => {
        assert.ok(house.running("db.service").length <= 1);
        return house.isUp({ "db.service": "b" });
      }, 20_000);
    };

    /** db.service runs on a, and its commit that moves it to b is made. `tell`: what the leader's telling b comes to. */
    async function moving(
      tell: (write: () => Promise<WriteResult>, signal: AbortSignal | undefined) => Promise<WriteResult>,
      { stop }: { readonly stop?: Promise<void> } = {},
    ): Promise<Box> {
      const metadata = { a: { disk: "hdd" }, b: { disk: "ssd" } };
      house = await House.open({ machines: "abcd", leaders: "cd", metadata });
      let leading = "";
      for (const box of [house.box("c"), house.box("d")])
        box.through = {
          registry: (registry) => ({
            ...passingOn(registry),
            write: (transaction, signal) => {
              const write = (): Promise<WriteResult> => registry.write(transaction, signal);
              return box.letter === leading && tellsSecond(transaction) ? tell(write, signal) : write();
            },
          }),
        };
      await house.ready();
      await house.deploy({ "db.service": service("MachineMetadata=disk=hdd") });
      await house.until(() => house.isUp({ "db.service": "a" }), 5_000);
      const leader = await house.leading();
      leading = leader.letter;
      if (stop !== undefined) house.box("a").stops.set(name("db.service"), stop);
      await house.deploy({ "db.service": service("MachineMetadata=disk=ssd") });
      return leader;
    }

    async function killed(leader: Box): Promise<void> {
      await leader.kill();
      const isLed = async (): Promise<boolean> => ![leader.letter, undefined].includes(await house.leader());
      await house.until(async () => {
        assert.ok(house.running("db.service").length <= 1);
        return isLed();
      }, engineLeaseMs + 2_000);
    }

    /** Also when the leader's machine has been given up, and when it is back. */
    async function staysMoved(leader: Box): Promise<void> {
      await house.neverTwo(2 * machineLeaseMs);
      leader.start();
      await house.neverTwo(2 * machineLeaseMs);
      assert.deepEqual([house.up(), jobs()], [{ "db.service": "b" }, once]);
    }

    test("when the first was told to stop, and was not seen to have stopped", async () => {
      const { opened, open: release } = gate();
      const leader = await moving((write) => write(), { stop: opened });
      await house.until(() => house.box("a").asked().includes("hanging-stop db.service"), 2_000);
      await killed(leader);
      await house.always(() => house.isUp({ "db.service": "a" }), 2 * machineLeaseMs, 200);
      assert.deepEqual((await house.held()).manifests.get(idOf("b"))?.units, [], "it has not been told");
      release();
      await moved();
      await staysMoved(leader);
    });

    test("when the first was seen to have stopped, and the second was not told", async () => {
      const dying = gate();
      const leader = await moving((_, signal) => {
        dying.open();
        return lastCall(signal);
      });
      await house.settle(dying.opened);
      assert.deepEqual([house.running("db.service"), await house.box("a").listed()], ["", []]);
      assert.deepEqual((await house.held()).manifests.get(idOf("b"))?.units, []);
      await killed(leader);
      await moved();
      await staysMoved(leader);
    });

    test("when the second was told, which the leader did not live to hear", async () => {
      const dying = gate();
      const leader = await moving(async (write, signal) => {
        assert.ok((await write()).applied);
        dying.open();
        return lastCall(signal);
      });
      await house.settle(dying.opened);
      await killed(leader);
      await moved();
      await staysMoved(leader);
    });
  });
});

/** Never answered: it ends with the agent that made it. */
function lastCall(signal: AbortSignal | undefined): Promise<never> {
  assert.ok(signal !== undefined);
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

describe("what cannot be trusted", () => {
  test("an unreadable manifest stops all decisions and is named; deleting it is the way out", async () => {
    await spreadOut({ leaders: "a" });
    await house.put(keys.manifest(idOf("b")), "{");
    const { revision } = await house.operator.read(keys.manifests);
    await house.deploy({ ...spread, "new.service": service() });
    await house.clock.advance(20_000);
    const { entries } = await house.operator.read(keys.manifests);
    assert.ok(
      entries.every(({ modRevision }) => modRevision <= revision),
      "no manifest is written",
    );
    assert.deepEqual([disturbances(), house.up()], [[], placed]);
    const problem = await house.box("a").problem("manifest-unreadable");
    assert.match(problem?.message ?? "", new RegExp(keys.manifest(idOf("b"))));
    await house.remove(keys.manifest(idOf("b")));
    await house.until(() => house.up()["new.service"] !== undefined, 30_000, 100);
    await house.clock.advance(30_000);
    assert.equal(house.up()["log.service"], "abc");
    assert.equal(await house.box("a").problem("manifest-unreadable"), undefined);
    for (const unit of ["web1.service", "web2.service", "web3.service"])
      assert.equal(house.up()[unit]?.length, 1, unit);
  });

  for (const key of [keys.machine, keys.status]) {
    test(`an unreadable value at ${key(idOf("b")).split("/")[0]}/ moves nothing from its machine`, async () => {
      await spreadOut({ leaders: "a" });
      await house.box("b").kill();
      await house.put(key(idOf("b")), "{");
      await house.clock.advance(30_000);
      const named = (await house.box("a").problems()).some(({ message }) => message.includes(key(idOf("b"))));
      assert.equal(named, true);
      if (key === keys.machine) assert.deepEqual([disturbances(), house.up()], [[], placed]);
      await house.remove(key(idOf("b")));
    });
  }

  for (const adopts of [true, false]) {
    test(`an old leader's writes that arrive late change nothing when its successor ${adopts ? "has" : "has not"} written the same`, async () => {
      await spreadOut({ leaders: "ab", pollMs: 1_000 });
      const first = (await house.held()).revision.adopted?.commit;
      assert.ok(first !== undefined);
      const old = await house.leading();
      const other = house.box(old.letter === "a" ? "b" : "a");
      old.connection.freeze({ late: true });
      const mine = house.commit({ "mine.service": service() });
      await house.until(() => old.gitStore.commits.has(mine), 1_500);
      await house.clock.advance(200); // its record of that is on the way
      if (!adopts) house.repository.reset(first);
      const theirs = adopts ? house.commit({ ...spread, "theirs.service": service() }) : first;
      await house.until(async () => (await house.leader()) === other.letter, 20_000);
      await house.until(async () => (await house.held()).revision.adopted?.commit === theirs, 20_000);
      await house.clock.advance(15_000);
      const before = await house.held();
      old.connection.restore();
      await house.clock.advance(500);
      const after = await house.held();
      assert.deepEqual(after.revision, before.revision);
      assert.deepEqual(after.leader, before.leader);
      for (const [machine, manifest] of after.manifests) {
        if (manifest.epoch !== before.leader?.epoch) assert.deepEqual(manifest, before.manifests.get(machine));
      }
      await house.clock.advance(30_000);
      assert.equal(house.up()["mine.service"], undefined);
      assert.ok(!old.log.lines.some(({ event, fields }) => event === "commit.adopted" && fields["commit"] === mine));
    });
  }
});

test("what an operator says while a pass is under way is not undone by what the pass had read before", async () => {
  house = await House.open({ machines: "a" });
  const { opened, open: release } = gate();
  let isHeld = false;
  house.box("a").through = {
    registry: (registry) => ({
      ...lagging(registry, () => undefined),
      write: async (transaction, signal) => {
        if (isHeld && transaction.writes.some(({ key }) => key.startsWith(keys.manifests))) await opened;
        return registry.write(transaction, signal);
      },
    }),
  };
  await house.ready();
  await house.deploy({ "web.service": service() });
  const hold = { patterns: ["web.service"], target: "loaded" as const, by: "ann@desk" };
  await house.settle(house.box("a").agent.hands.hold({ ...hold, forMs: 3_000 }));
  await house.clock.advance(1_000);
  isHeld = true;
  await house.deploy({ "web.service": service(), "more.service": service() }); // the pass for it hangs at its first write
  await house.clock.advance(500);
  await house.settle(house.box("a").agent.hands.hold(hold)); // from now on it has no end
  await house.clock.advance(2_500);
  isHeld = false;
  release();
  await house.until(() => house.up()["more.service"] === "a", 5_000);
  await house.clock.advance(2_000);
  assert.equal((await house.operator.read(keys.holds)).entries.length, 1);
  assert.equal(house.up()["web.service"], undefined);
});

/** The same registry, whose watches of everything deliver nothing while `held` gives a promise. */
function lagging(registry: Registry, held: () => Promise<void> | undefined): Registry {
  return {
    read: (prefix, signal) => registry.read(prefix, signal),
    get: (key, signal) => registry.get(key, signal),
    write: (transaction, signal) => registry.write(transaction, signal),
    grantLease: (ttlMs, signal) => registry.grantLease(ttlMs, signal),
    renewLease: (id, signal) => registry.renewLease(id, signal),
    leaseLeftMs: (id, signal) => registry.leaseLeftMs(id, signal),
    revokeLease: (id, signal) => registry.revokeLease(id, signal),
    close: () => registry.close(),
    async *watch(prefix, from, signal): AsyncGenerator<WatchBatch, void, undefined> {
      for await (const batch of registry.watch(prefix, from, signal)) {
        if (prefix === "") await held();
        yield batch;
      }
    },
  };
}

function unlucky(clock: Clock, luck: number): Clock {
  return {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    random: () => luck,
  };
}
