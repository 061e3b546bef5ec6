// A machine that is lost, or only cut off: a unit with OnPartition=stop never runs twice, one with keep does at most until
// its machine is back, and nothing moves because somebody deletes a record.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { Problem } from "../../../agent/domain/problem.ts";
import type { Registry } from "../../../agent/ports/registry.ts";
import { encodeMachine, keys } from "../../../agent/text/values.ts";
import { Fate } from "./killed.ts";
import { type Box, House, fenced, gate, idOf, machineLeaseMs, name, passingOn, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

const stopMs = 4_000;
/** From the end of the lease: what is left of the stop, which begins a second before it, and a second for the kernel. */
const waitMs = stopMs - 1_000 + 1_000;

/** db.service can be stopped by its machine, web.service runs on; both on c, which is away from the leader. */
async function onC(options: { readonly leaders?: string } = {}): Promise<Box> {
  house = await House.open({ machines: "abc", leaders: "ab", metadata: { c: { disk: "ssd" } }, ...options });
  await house.ready();
  await house.deploy({
    "db.service": fenced(4, "Prefer=disk=ssd"),
    "log.service": service("MachineOf=db.service"),
    "web.service": service("Prefer=disk=ssd"),
  });
  await house.until(() => house.isUp({ "db.service": "c", "log.service": "c", "web.service": "c" }), startMs);
  await house.until(async () => (await house.box("c").listed()).length === 3, 5_000);
  await house.clock.advance(2 * machineLeaseMs); // all were seen for a full lease
  return house.box("c");
}

/** A leader whose agent has just started waits for machines that it has not heard of. */
const startMs = machineLeaseMs + 6_000;
const recordOf = async (box: Box): Promise<boolean> => (await house.held()).machines.has(box.id);
const upElsewhere = (unit: string): boolean => (house.up()[unit] ?? "").replace("c", "") !== "";

/** Whether a unit's problem was logged in these words. */
const wasTold = (box: Box, words: RegExp): boolean =>
  box.log.lines.some(({ event, error }) => event === "unit.problem" && words.test(String(error)));

/** When the unit first runs on another machine than c. */
async function movedMs(unit: string, mostMs: number): Promise<number> {
  await house.until(() => upElsewhere(unit), mostMs, 10);
  return house.clock.monotonicMs();
}

describe("a machine that is gone", () => {
  test("is waited for until it must have stopped what it is to stop; others move at once", async () => {
    const c = await onC();
    const told = (await house.leading()).log.lines.length;
    await c.crash();
    await house.until(async () => !(await recordOf(c)), machineLeaseMs + 1_000, 10);
    const goneMs = house.clock.monotonicMs();
    assert.ok((await movedMs("web.service", 2_000)) - goneMs < 1_000);
    assert.ok(!upElsewhere("db.service") && !upElsewhere("log.service"));
    const ms = (await movedMs("db.service", waitMs + 1_000)) - goneMs;
    assert.ok(ms >= waitMs && ms < waitMs + 500, `after ${ms} ms`);
    await house.until(() => upElsewhere("log.service"), 1_000);
    const said = (await house.leading()).log.lines.slice(told).filter(({ event }) => event === "units.fenced");
    assert.deepEqual(
      said.map(({ fields }) => [fields["units"], fields["named"]]),
      [[1, "db.service"]],
    );
    assert.ok(Number(said[0]?.fields["firstMs"]) <= waitMs);
    assert.equal(house.up()["log.service"], house.up()["db.service"], "what follows it waits with it");
  });

  test("is waited for by a new leader as well, from when it took office", async () => {
    const c = await onC();
    await c.crash();
    await house.until(async () => !(await recordOf(c)), machineLeaseMs + 1_000, 10);
    await house.clock.advance(waitMs / 2);
    const leader = await house.leading();
    await leader.stop();
    await house.until(async () => ![leader.letter, undefined].includes(await house.leader()), 10_000, 10);
    const electedMs = house.clock.monotonicMs();
    leader.start();
    const ms = (await movedMs("db.service", 30_000)) - electedMs;
    assert.ok(ms >= waitMs, `after ${ms} ms`);
  });

  test("that is back meanwhile keeps the unit", async () => {
    const c = await onC();
    await c.kill();
    await house.until(async () => !(await recordOf(c)), machineLeaseMs + 1_000, 10);
    await house.until(() => upElsewhere("web.service"), 2_000);
    await house.clock.advance(waitMs - 1_000);
    c.start();
    await house.always(() => !upElsewhere("db.service"), 30_000);
    await house.until(() => house.up()["db.service"] === "c", 1_000);
  });

  test("and comes back at the very moment at which it is given up is not overtaken", async () => {
    const c = await onC({ leaders: "a" });
    const a = house.box("a");
    let lost = 0;
    await a.stop();
    a.through = {
      registry: (registry) =>
        beforeRelease(registry, async () => {
          if (lost++ > 0) return;
          // The engine has decided; now the machine is there again
          await house.put(keys.machine(c.id), encodeMachine(c.machine));
        }),
    };
    a.start();
    await house.clock.advance(2 * machineLeaseMs);
    await c.kill();
    await house.until(() => lost > 0, machineLeaseMs + waitMs + 2_000);
    await house.clock.advance(5_000);
    const { manifests } = await house.held();
    assert.deepEqual(
      manifests.get(c.id)?.units.map(({ name: unit, target }) => `${unit} ${target}`),
      ["db.service launched", "log.service launched", "web.service launched"],
    );
    assert.ok(!upElsewhere("web.service"));
    await house.remove(keys.machine(c.id));
  });
});

/** Notes what is asked of the registry, but for watches. */
function heard(registry: Registry, made: string[]): Registry {
  const inner = beforeRelease(registry, async () => undefined);
  return {
    ...inner,
    read: (prefix, signal) => {
      made.push(`read ${prefix}`);
      return inner.read(prefix, signal);
    },
    get: (key, signal) => {
      made.push(`get ${key}`);
      return inner.get(key, signal);
    },
    write: (transaction, signal) => {
      made.push("write");
      return inner.write(transaction, signal);
    },
    renewLease: (id, signal) => {
      made.push("renew");
      return inner.renewLease(id, signal);
    },
  };
}

/** Calls `before` when a transaction is about to release something. */
function beforeRelease(registry: Registry, before: () => Promise<void>): Registry {
  return {
    ...passingOn(registry),
    write: async (transaction, signal) => {
      if (transaction.writes.some((each) => each.kind === "put" && each.value.includes('"released"'))) await before();
      return registry.write(transaction, signal);
    },
  };
}

/** Lets time pass in small steps, and sees that no unit with OnPartition=stop runs on two machines. */

describe("a shorter stop", () => {
  const slow = 40;
  const of = (stopSec: number): string => fenced(stopSec, "Prefer=disk=ssd");
  const toldMs = async (c: Box): Promise<number | undefined> =>
    (await house.held()).manifests.get(c.id)?.units.find((each) => each.name === "db.service")?.fenceMs;

  async function onSlowC(): Promise<Box> {
    house = await House.open({ machines: "abc", leaders: "ab", metadata: { c: { disk: "ssd" } } });
    await house.ready();
    await house.deploy({ "db.service": of(slow) });
    await house.until(() => house.isUp({ "db.service": "c" }), startMs);
    await house.clock.advance(2 * machineLeaseMs);
    const c = house.box("c");
    c.systemd.fallsWithin(name("db.service"), slow * 1_000);
    return c;
  }

  /** From now on c fetches nothing. */
  async function withoutGit(c: Box): Promise<void> {
    await c.stop();
    c.through = {
      git: (git) => ({
        head: () => git.head(),
        has: (commit) => git.has(commit),
        info: (commit) => git.info(commit),
        tree: (commit) => git.tree(commit),
        blob: (oid) => git.blob(oid),
        close: () => git.close(),
        fetch: () => Promise.reject(new Problem("git-unreachable", "Cannot reach the repository")),
      }),
    };
    c.start();
    await house.clock.advance(2 * machineLeaseMs);
  }

  test("that its machine never heard of is not reckoned with: it is waited for as long as it takes", async () => {
    const c = await onSlowC();
    c.connection.cutOff();
    await house.clock.advance(3_000);
    await house.deploy({ "db.service": of(2) });
    await house.neverTwo(machineLeaseMs + slow * 1_000, 100);
    await house.until(() => upElsewhere("db.service"), 10_000);
  });

  test("of a commit that its machine cannot have is not reckoned with either", async () => {
    const c = await onSlowC();
    await withoutGit(c);
    await house.deploy({ "db.service": of(2) });
    await house.clock.advance(600_000);
    assert.equal(await toldMs(c), slow * 1_000);
    c.connection.cutOff();
    await house.neverTwo(machineLeaseMs + slow * 1_000, 100);
    await house.until(() => upElsewhere("db.service"), 10_000);
  });

  test("counts once its machine has taken it up, and nothing is written any more", async () => {
    const c = await onSlowC();
    await house.deploy({ "db.service": of(2) });
    await house.until(async () => (await toldMs(c)) === 2_000, 5_000);
    const { generation } = (await house.held()).manifests.get(c.id) ?? {};
    await house.clock.advance(60_000);
    assert.equal((await house.held()).manifests.get(c.id)?.generation, generation);
    c.systemd.fallsWithin(name("db.service"), 2_000);
    c.connection.cutOff();
    await house.neverTwo(machineLeaseMs + 1_000, 100);
    await house.until(() => upElsewhere("db.service"), 3_000);
  });

  test("or none at all leaves its machine the word by which it starts again what it had to stop", async () => {
    const c = await onSlowC();
    await withoutGit(c);
    await house.deploy({ "db.service": service("MachineMetadata=disk=ssd") });
    await house.clock.advance(60_000);
    c.systemd.fallsWithin(name("db.service"), 0);
    c.connection.cutOff();
    await house.until(() => house.running("db.service") === "", machineLeaseMs);
    await house.clock.advance(3_000);
    c.connection.restore();
    await house.until(() => house.running("db.service") === "c", 60_000);
  });
});

describe("a machine that is cut off", () => {
  test("runs on what is to be kept; when it is back the newer copy wins, and the older is stopped", async () => {
    const c = await onC();
    c.connection.cutOff();
    await house.until(() => upElsewhere("web.service"), machineLeaseMs + 3_000);
    const other = house.running("web.service").replace("c", "");
    await house.clock.advance(60_000);
    assert.equal(house.running("web.service"), [other, "c"].join(""));
    const before = house.box(other).systemd.invocations(name("web.service"));
    c.connection.restore();
    await house.until(() => house.running("web.service") === other, 10_000);
    await house.always(() => house.running("web.service") === other, 30_000);
    assert.equal(house.box(other).systemd.invocations(name("web.service")), before, "the newer one is not touched");
    const { manifests } = await house.held();
    assert.equal(
      manifests.get(c.id)?.units.some((each) => each.name === "web.service"),
      false,
    );
  });

  test("stops what is to be stopped before its lease can have run out; elsewhere it starts only then", async () => {
    const c = await onC();
    c.systemd.fallsWithin(name("db.service"), stopMs); // it takes all of its time
    c.connection.cutOff();
    const fromMs = house.clock.monotonicMs();
    await house.until(() => c.systemd.state(name("db.service")).active === "deactivating", machineLeaseMs, 10);
    const untilMs = house.clock.monotonicMs() - fromMs;
    assert.ok(untilMs <= machineLeaseMs - 1_000, `after ${untilMs} ms`);
    assert.ok(untilMs > machineLeaseMs - 1_000 - machineLeaseMs / 4 - 500, `after ${untilMs} ms already`);
    while (!upElsewhere("db.service")) await house.neverTwo(100, 10);
    const elsewhereMs = house.clock.monotonicMs() - fromMs;
    assert.ok(elsewhereMs <= machineLeaseMs + waitMs + 1_000, `after ${elsewhereMs} ms`);
    assert.equal(c.systemd.state(name("web.service")).active, "active");
    await house.neverTwo(60_000, 100);
    c.connection.restore();
    await house.neverTwo(60_000);
    assert.equal(house.running("db.service").length, 1);
    assert.notEqual(house.running("db.service"), "c");
    assert.equal(c.systemd.state(name("db.service")).load, "not-found");
  });

  test("counts from when it asked, not from when it was answered", async () => {
    const c = await onC();
    await c.stop();
    let renewedMs = 0;
    c.through = {
      registry: (registry) => ({
        ...beforeRelease(registry, async () => undefined),
        renewLease: async (id, signal) => {
          const revision = await registry.renewLease(id, signal);
          renewedMs = house.clock.monotonicMs();
          await house.clock.sleep(900, signal);
          return revision;
        },
      }),
    };
    c.start();
    await house.clock.advance(machineLeaseMs);
    const isInTime = (): boolean => (c.systemd.permitUntilMs ?? Infinity) <= renewedMs + machineLeaseMs - 1_000;
    await house.always(isInTime, 3 * machineLeaseMs, 50);
  });

  test("does so without its agent as well, killed or frozen", async () => {
    for (const how of ["kill", "freeze"] as const) {
      const c = await onC();
      const clock = house.clock.process();
      if (how === "freeze") {
        await c.stop();
        c.through = { clock };
        c.start();
        await house.clock.advance(machineLeaseMs);
        clock.suspend();
        c.connection.freeze();
      } else await c.kill();
      const invocations = c.systemd.invocations(name("db.service"));
      while (!upElsewhere("db.service")) await house.neverTwo(100, 10);
      if (how === "freeze") {
        clock.resume();
        c.connection.restore();
      } else c.start();
      await house.neverTwo(60_000);
      assert.equal(c.systemd.invocations(name("db.service")), invocations, how);
      if (how === "kill") await house.close();
    }
  });

  test("for less than its lease leaves everything as it is, at whatever moment that is", async () => {
    const c = await onC();
    const before = c.systemd.invocations(name("db.service"));
    for (let each = 0; each < 40; each++) {
      await house.clock.advance(2_000 + each * 97);
      c.connection.cutOff();
      await house.clock.advance(5_000);
      c.connection.restore();
      await house.clock.advance(10_000);
    }
    assert.equal(c.systemd.invocations(name("db.service")), before);
    assert.ok(house.isUp({ "db.service": "c", "log.service": "c", "web.service": "c" }));
    assert.ok(!c.log.events("warn").includes("fence.fell"));
  });

  test("as it is told that a unit, which is to be reloaded, gets OnPartition=stop leaves that until it is back", async () => {
    house = await House.open({ machines: "ab", leaders: "a", metadata: { b: { disk: "ssd" } } });
    const b = house.box("b");
    const accepted = (): number => b.log.events("info").filter((event) => event === "manifest.accepted").length;
    let most = Infinity;
    b.through = {
      systemd: (systemd) => ({
        ...systemd,
        placed: async () => {
          if (accepted() > most) b.connection.cutOff();
          await house.clock.sleep(5);
          return systemd.placed();
        },
        reload: () => house.clock.sleep(5).then(() => systemd.reload()),
      }),
    };
    await house.ready();
    await house.deploy({ "db.service": service("OnChange=reload", "Prefer=disk=ssd") });
    await house.until(() => house.isUp({ "db.service": "b" }), startMs);
    await house.clock.advance(2 * machineLeaseMs);
    most = accepted();
    b.asked();
    await house.deploy({ "db.service": fenced(5, "OnChange=reload", "Prefer=disk=ssd") });
    await house.until(() => accepted() > most, 5_000);
    await house.clock.advance(2 * machineLeaseMs);
    assert.deepEqual(b.asked(), []);
    assert.ok(house.running("db.service").includes("b"), "its text says nothing of that yet");
    most = Infinity;
    b.connection.restore();
    await house.until(() => house.running("db.service") === "a", 5_000);
  });

  test("and back before anybody was told to take over starts again what it has stopped", async () => {
    const c = await onC();
    c.connection.cutOff();
    await house.until(() => c.systemd.state(name("db.service")).active === "inactive", machineLeaseMs, 10);
    c.connection.restore();
    await house.until(() => c.systemd.state(name("db.service")).active === "active", 5_000);
    await house.neverTwo(30_000);
    assert.equal(house.running("db.service"), "c");
    assert.equal(c.systemd.invocations(name("db.service")), 2);
    assert.equal(c.systemd.invocations(name("web.service")), 1);
    assert.ok(c.log.events("warn").includes("fence.fell"));
  });

  test("and back in the middle of a slow stop starts it again as soon as it is down, with what went down with it", async () => {
    const c = await onC();
    await house.deploy({
      "app.service": `[Unit]\nRequires=db.service\nAfter=db.service\n${service("Prefer=disk=ssd")}`,
      "db.service": fenced(30, "Prefer=disk=ssd"),
      "log.service": service("MachineOf=db.service"),
      "web.service": service("Prefer=disk=ssd"),
    });
    await house.until(() => c.up().includes("app.service"), startMs);
    await house.clock.advance(machineLeaseMs);
    const before = c.systemd.invocations(name("db.service"));
    const stateOf = (unit: string): string => c.systemd.state(name(unit)).active;
    c.systemd.fallsWithin(name("db.service"), 8_000);
    c.connection.cutOff();
    await house.until(() => stateOf("db.service") === "deactivating", machineLeaseMs, 10);
    c.connection.restore();
    await house.neverTwo(7_900, 10);
    assert.deepEqual([stateOf("db.service"), stateOf("app.service")], ["deactivating", "inactive"]);
    assert.ok(wasTold(c, /Cannot start unit "db\.service"/));
    await house.until(() => stateOf("db.service") === "active" && stateOf("app.service") === "active", 200, 10);
    assert.equal(c.systemd.invocations(name("db.service")), before + 1);
    await house.neverTwo(20_000);
    assert.deepEqual(await c.problems(), []);
  });

  test("and back to a commit by which nothing is to be stopped starts again what it has stopped, with what went down with it", async () => {
    const c = await onC();
    const withApp = (db: string): Record<string, string> => ({
      "app.service": `[Unit]\nRequires=db.service\nAfter=db.service\n${service("Prefer=disk=ssd")}`,
      "db.service": db,
      "log.service": service("MachineOf=db.service"),
      "web.service": service("Prefer=disk=ssd"),
    });
    await house.deploy(withApp(fenced(4, "MachineMetadata=disk=ssd")));
    await house.until(() => c.up().includes("app.service"), startMs);
    await house.clock.advance(2 * machineLeaseMs);
    c.connection.cutOff();
    await house.until(() => c.systemd.state(name("db.service")).active === "inactive", machineLeaseMs, 10);
    assert.equal(c.systemd.state(name("app.service")).active, "inactive");
    // By a new agent the newest manifest is heard first, and its commit is at hand at once
    await c.stop();
    c.gitStore.commits.add(await house.deploy(withApp(service("MachineMetadata=disk=ssd"))));
    await house.clock.advance(500);
    c.connection.restore();
    c.start();
    const isUp = (unit: string): boolean => c.systemd.state(name(unit)).active === "active";
    await house.until(() => isUp("db.service") && isUp("app.service"), 60_000);
  });

  test("starts it again also where the registry had no manifest for it when it came back, and gets one later", async () => {
    const c = await onC();
    await c.stop();
    let isThere = true;
    c.through = {
      registry: (registry) => ({
        ...passingOn(registry),
        get: async (key, signal) => {
          const found = await registry.get(key, signal);
          return isThere ? found : { ...found, entry: undefined };
        },
      }),
    };
    c.start();
    await house.clock.advance(1_000);
    c.connection.cutOff();
    await house.until(() => c.systemd.state(name("db.service")).active === "inactive", machineLeaseMs, 10);
    await house.clock.advance(2_000); // its lease may have run out: it claims its id anew
    isThere = false;
    c.connection.restore();
    await house.neverTwo(3_000);
    assert.equal(house.running("db.service"), "", "what it was told last may no longer be true");
    isThere = true;
    await house.until(() => house.running("db.service") === "c", 5_000);
  });

  test("starts it again also where the manifest that it asked for comes after a newer one that its watch has brought", async () => {
    const c = await onC();
    await c.stop();
    const answer = gate();
    let asked = 0;
    c.through = {
      registry: (registry) => ({
        ...passingOn(registry),
        get: async (key, signal) => {
          const found = await registry.get(key, signal);
          if (key === keys.manifest(c.id) && asked++ === 0) await answer.opened;
          return found;
        },
      }),
    };
    await house.clock.advance(machineLeaseMs / 2);
    c.start();
    await house.until(() => asked > 0, 5_000, 10);
    await house.deploy({
      "db.service": fenced(4, "Prefer=disk=ssd"),
      "log.service": service("MachineOf=db.service"),
      "new.service": service("Prefer=disk=ssd"),
      "web.service": service("Prefer=disk=ssd"),
    });
    await house.until(() => c.up().includes("new.service"), 5_000, 10);
    answer.open();
    await house.until(() => house.running("db.service") === "c", machineLeaseMs);
    assert.deepEqual(await c.problems(), []);
  });

  test("starts it again also when its agent is killed at any point of that", async () => {
    const points: string[] = [];
    for (let point = 1; ; point++) {
      const c = await onC();
      await c.stop();
      const fate = new Fate();
      fate.rule(c);
      c.start();
      await house.clock.advance(1_000);
      c.connection.cutOff();
      await house.until(() => c.systemd.state(name("db.service")).active === "inactive", machineLeaseMs, 10);
      fate.arm(point);
      c.connection.restore();
      for (let each = 0; each < 600 && fate.died === undefined && house.running("db.service") === ""; each++)
        await house.neverTwo(10, 10);
      if (fate.died === undefined) {
        assert.equal(house.running("db.service"), "c");
        break;
      }
      points.push(fate.died);
      await c.kill();
      c.through = {};
      c.start();
      await house.neverTwo(40_000, 50);
      assert.equal(house.running("db.service").length, 1, `killed ${fate.died}`);
      await house.close();
    }
    for (const each of ["before systemd.grantPermit", "after systemd.grantPermit", "after systemd.noteLaunched"])
      assert.ok(points.includes(each), each);
  });
});

describe("a quiet cluster", () => {
  test("asks for nothing more: a machine with such units renews its lease a little more often, and that is all", async () => {
    house = await House.open({ machines: "abc", leaders: "a", metadata: { c: { disk: "ssd" } } });
    const calls = new Map<string, string[]>();
    for (const each of house.machines) {
      const made: string[] = [];
      calls.set(each.letter, made);
      each.through = { registry: (registry) => heard(registry, made) };
    }
    await house.ready();
    await house.deploy({ "db.service": fenced(4, "Prefer=disk=ssd") });
    await house.until(() => house.isUp({ "db.service": "c" }), startMs);
    const ofManifest = (letter: string): number =>
      calls.get(letter)?.filter((call) => call === `get ${keys.manifest(idOf(letter))}`).length ?? 0;
    assert.deepEqual([ofManifest("b"), ofManifest("c")], [0, 1], "once for its claim");
    await house.clock.advance(machineLeaseMs);
    for (const made of calls.values()) made.length = 0;
    await house.clock.advance(60_000);
    const [b = [], c = []] = [calls.get("b"), calls.get("c")];
    assert.deepEqual(new Set([...b, ...c]), new Set(["renew"]));
    assert.ok(b.length <= 18 && c.length <= 24, `${b.length} and ${c.length} renewals in a minute`);
    const { permitUntilMs = 0 } = house.box("c").systemd;
    assert.ok(permitUntilMs > house.clock.monotonicMs() + machineLeaseMs / 2);
    assert.equal(house.box("b").systemd.permitUntilMs, undefined);
    await house.deploy({ "other.service": service() });
    await house.until(() => house.up()["other.service"] !== undefined, 5_000);
    await house.clock.advance(machineLeaseMs);
    assert.equal(house.box("c").systemd.permitUntilMs, undefined, "nobody extends what nobody needs");
  });
});

describe("a restart of the agent", () => {
  test("in time touches nothing, and the permit goes on", async () => {
    const c = await onC();
    for (const how of ["stop", "kill"] as const) {
      await c[how]();
      await house.clock.advance(4_000);
      c.start();
      await house.clock.advance(30_000);
      assert.equal(c.systemd.invocations(name("db.service")), 1);
    }
    assert.equal(house.running("db.service"), "c");
  });
});

describe("a reboot", () => {
  test("without the registry brings back what is to be kept, and what is to be stopped only once it is heard", async () => {
    const c = await onC();
    await c.crash();
    c.connection.cutOff();
    c.start();
    await house.until(() => c.up().includes("web.service"), 10_000);
    await house.clock.advance(2_000);
    assert.deepEqual(c.up(), ["log.service", "web.service"]);
    assert.ok(wasTold(c, /db\.service.* while this machine is cut off/));
    assert.ok(!c.systemd.asked.includes("start db.service") || c.systemd.invocations(name("db.service")) === 0);
    c.connection.restore();
    await house.until(() => house.running("db.service") === "c", 10_000);
    await house.neverTwo(30_000, 100);
    assert.equal(c.systemd.invocations(name("db.service")), 1);
  });

  test("while nobody leads starts what is to be stopped only once somebody does, and says why", async () => {
    const c = await onC();
    await c.crash();
    for (const letter of ["a", "b"]) await house.box(letter).stop();
    c.start();
    await house.until(() => c.up().includes("web.service"), 10_000);
    const isTold = (): boolean => wasTold(c, /db\.service.* before the leader has said/);
    assert.equal(isTold(), false, "a leader needs its time");
    await house.until(isTold, 30_000);
    assert.equal(c.systemd.invocations(name("db.service")), 0);
    house.box("a").start();
    await house.until(() => house.running("db.service") === "c", 30_000);
  });

  test("does not bring back what has moved meanwhile, though the own copy names it and its watch tells nothing", async () => {
    const c = await onC();
    await c.crash();
    await house.until(() => upElsewhere("db.service"), machineLeaseMs + waitMs + 2_000);
    let isHeld = true;
    let release = (): void => undefined;
    const opened = new Promise<void>((resolve) => (release = resolve));
    c.through = { registry: (registry) => deafTo(registry, keys.manifest(c.id), () => (isHeld ? opened : undefined)) };
    c.start();
    await house.neverTwo(20_000, 50);
    assert.equal(c.systemd.invocations(name("db.service")), 0);
    isHeld = false;
    release();
    await house.neverTwo(20_000, 50);
    assert.equal(c.systemd.invocations(name("db.service")), 0);
  });
});

describe("a machine that comes back to a registry that was restored", () => {
  for (const how of ["powered off", "cut off"] as const) {
    test(`does not start what has moved since the backup, while it was ${how}, though it was told to before`, async () => {
      const c = await onC();
      const backup = house.store.backUp();
      if (how === "cut off") c.connection.cutOff();
      else await c.crash();
      await house.until(() => upElsewhere("db.service"), machineLeaseMs + waitMs + 2_000);
      const started = c.systemd.invocations(name("db.service"));
      const holder = house.box(house.running("db.service"));
      for (const box of house.machines) box.connection.cutOff();
      house.store.restoreFrom(backup);
      // It is the first to be there, before anybody who knows better, and finds its record of then, with its lease
      if (how === "powered off") c.start();
      c.connection.restore();
      await house.neverTwo(4_000, 50);
      for (const box of house.machines) box.connection.restore();
      await house.neverTwo(60_000, 50);
      assert.equal(c.systemd.invocations(name("db.service")), started);
      assert.equal(house.running("db.service"), holder.letter);
      assert.equal(holder.systemd.invocations(name("db.service")), 1);
    });
  }
});

describe("a watch that lags behind what was asked for by itself", () => {
  test("brings nothing that is older than that", async () => {
    const c = await onC();
    await c.stop();
    let hold: ReturnType<typeof gate> | undefined;
    c.through = { registry: (registry) => deafTo(registry, keys.manifest(c.id), () => hold?.opened) };
    c.start();
    await house.until(() => house.running("db.service") === "c", 5_000);
    await house.clock.advance(machineLeaseMs);
    hold = gate();
    const before = c.log.lines.length;
    const units = {
      "db.service": fenced(4, "Prefer=disk=ssd"),
      "log.service": service("MachineOf=db.service"),
      "web.service": service("Prefer=disk=ssd"),
    };
    for (const added of ["first.service", "second.service"]) {
      await house.deploy({ ...units, [added]: service("Prefer=disk=ssd") });
      await house.until(
        async () => (await house.held()).manifests.get(c.id)?.units.some((each) => each.name === added) === true,
        5_000,
      );
    }
    // It claims its id anew, and asks
    await house.remove(keys.machine(c.id));
    await house.until(() => c.up().includes("second.service"), 5_000);
    const first = hold;
    hold = gate();
    first.open();
    await house.clock.advance(100);
    assert.deepEqual(await c.problems(), []);
    assert.ok(!c.up().includes("first.service"));
    hold.open();
    hold = undefined;
    await house.clock.advance(machineLeaseMs);
    assert.deepEqual(await c.problems(), []);
    assert.deepEqual(
      c.log.lines.slice(before).filter(({ level }) => level === "error"),
      [],
    );
  });
});

/** Reads and watches of this key give nothing while `held` gives a promise; asking for it by its name does. */
function deafTo(registry: Registry, key: string, held: () => Promise<void> | undefined): Registry {
  return {
    ...beforeRelease(registry, async () => undefined),
    read: async (prefix, signal) => {
      if (prefix === key) await held();
      return registry.read(prefix, signal);
    },
    async *watch(prefix, from, signal) {
      for await (const batch of registry.watch(prefix, from, signal)) {
        if (prefix === key) await held();
        yield batch;
      }
    },
  };
}

describe("a record that somebody deletes", () => {
  test("moves nothing, for its machine's lease has not run out", async () => {
    const c = await onC();
    await house.remove(keys.machine(idOf("c")));
    await house.always(() => !upElsewhere("db.service") && !upElsewhere("web.service"), 30_000);
    assert.equal(c.systemd.state(name("db.service")).active, "active");
  });

  test("of one that is cut off at the same time does not make it gone before its lease is over", async () => {
    const c = await onC();
    c.connection.cutOff();
    await house.remove(keys.machine(c.id));
    const leftMs = machineLeaseMs - machineLeaseMs / 4 - 500;
    await house.always(() => !upElsewhere("db.service") && !upElsewhere("web.service"), leftMs, 50);
    await house.until(() => upElsewhere("web.service"), machineLeaseMs);
  });
});
