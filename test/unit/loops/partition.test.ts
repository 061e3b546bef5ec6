// A machine that is lost, or only cut off: a unit with OnPartition=stop never runs twice, one with keep does at most until
// its machine is back, and nothing moves because somebody deletes a record.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { Registry } from "../../../agent/ports/registry.ts";
import { encodeMachine, keys } from "../../../agent/text/values.ts";
import { type Box, House, idOf, machineLeaseMs, name, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

/** A service that is down 4 s after it is told to stop, at the latest. */
function fenced(...fleet: readonly string[]): string {
  return service("OnPartition=stop", ...fleet).replace("[X-Fleet]", "TimeoutStopSec=4\n[X-Fleet]");
}
const stopMs = 4_000;
/** From the end of the lease: what is left of the stop, which begins a second before it, and a second for the kernel. */
const waitMs = stopMs - 1_000 + 1_000;

/** db.service can be stopped by its machine, web.service runs on; both on c, which is away from the leader. */
async function onC(options: { readonly leaders?: string } = {}): Promise<Box> {
  house = await House.open({ machines: "abc", leaders: "ab", metadata: { c: { disk: "ssd" } }, ...options });
  await house.ready();
  await house.deploy({
    "db.service": fenced("Prefer=disk=ssd"),
    "log.service": service("MachineOf=db.service"),
    "web.service": service("Prefer=disk=ssd"),
  });
  await house.until(() => house.isUp({ "db.service": "c", "log.service": "c", "web.service": "c" }), 5_000);
  await house.until(async () => (await house.box("c").listed()).length === 3, 5_000);
  await house.clock.advance(2 * machineLeaseMs); // all were seen for a full lease
  return house.box("c");
}

const recordOf = async (box: Box): Promise<boolean> => (await house.held()).machines.has(box.id);
const upElsewhere = (unit: string): boolean => (house.up()[unit] ?? "").replace("c", "") !== "";

/** When the unit first runs on another machine than c. */
async function movedMs(unit: string, mostMs: number): Promise<number> {
  await house.until(() => upElsewhere(unit), mostMs, 10);
  return house.clock.monotonicMs();
}

describe("a machine that is gone", () => {
  test("is waited for until it must have stopped what it is to stop; others move at once", async () => {
    const c = await onC();
    await c.crash();
    await house.until(async () => !(await recordOf(c)), machineLeaseMs + 1_000, 10);
    const goneMs = house.clock.monotonicMs();
    assert.ok((await movedMs("web.service", 2_000)) - goneMs < 1_000);
    assert.ok(!upElsewhere("db.service") && !upElsewhere("log.service"));
    const ms = (await movedMs("db.service", waitMs + 1_000)) - goneMs;
    assert.ok(ms >= waitMs && ms < waitMs + 500, `after ${ms} ms`);
    await house.until(() => upElsewhere("log.service"), 1_000);
    assert.equal(house.up()["log.service"], house.up()["db.service"], "what follows it waits with it");
  });

  test("is waited for by a new leader as well, from when it took office", async () => {
    const c = await onC();
    await c.crash();
    await house.until(async () => !(await recordOf(c)), machineLeaseMs + 1_000, 10);
    await house.clock.advance(waitMs / 2);
    const leader = house.box((await house.leader()) ?? "");
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

/** Calls `before` when a transaction is about to release something. */
function beforeRelease(registry: Registry, before: () => Promise<void>): Registry {
  return {
    read: (prefix, signal) => registry.read(prefix, signal),
    get: (key, signal) => registry.get(key, signal),
    watch: (prefix, from, signal) => registry.watch(prefix, from, signal),
    grantLease: (ttlMs, signal) => registry.grantLease(ttlMs, signal),
    renewLease: (id, signal) => registry.renewLease(id, signal),
    revokeLease: (id, signal) => registry.revokeLease(id, signal),
    close: () => registry.close(),
    write: async (transaction, signal) => {
      if (transaction.writes.some((each) => each.kind === "put" && each.value.includes('"released"'))) await before();
      return registry.write(transaction, signal);
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
});
