// A machine's hold on its id: taken up again after a restart, a reboot or an outage, refused to a clone; and the status
// that hangs on it.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { Problem } from "../../../agent/domain/problem.ts";
import type { Entry, Registry } from "../../../agent/ports/registry.ts";
import { keys } from "../../../agent/text/values.ts";
import { type Box, House, changed, idOf, machineLeaseMs, name, service, passingOn } from "./house.ts";

let house: House;
afterEach(() => house.close());

const recordOf = async (box: Box): Promise<Entry | undefined> => (await house.operator.get(keys.machine(box.id))).entry;
const claims = (box: Box): number => box.log.lines.filter(({ event }) => event === "machine.present").length;

/** One machine with one unit that runs, as told by hand. */
async function one(units = ["web.service"]): Promise<Box> {
  house = await House.open({ machines: "a", leaders: "" });
  const box = house.box("a");
  const commit = house.commit(Object.fromEntries(units.map((unit) => [unit, service()])));
  box.start();
  await box.tell(
    [1, 1],
    units.map((unit) => ({ unit, commit, text: service() })),
  );
  await house.until(async () => (await box.listed()).length === units.length);
  return box;
}

describe("beat", () => {
  test("it renews its lease and writes nothing while nothing changes", async () => {
    const box = await one();
    const before = await house.operator.read("");
    await house.clock.advance(300_000);
    assert.equal((await house.operator.read("")).revision, before.revision);
    assert.equal(claims(box), 1);
  });

  test("requests that are lost for five seconds, at the worst moment, do not cost it its lease", async () => {
    house = await House.open({ machines: "a", leaders: "" });
    const box = house.box("a");
    let isLost = false;
    const deadlineMs = 2_000;
    box.through = {
      registry: (registry) => ({
        ...passingOn(registry),
        renewLease: async (id, signal) => {
          if (!isLost) return registry.renewLease(id, signal);
          await house.clock.sleep(deadlineMs, signal);
          throw new Problem("registry-unreachable", `Cannot renew lease "${id}"`);
        },
      }),
    };
    box.start();
    await house.until(() => claims(box) === 1);
    const before = await recordOf(box);
    for (let offsetMs = 0; offsetMs < machineLeaseMs / 3; offsetMs += 100) {
      await house.clock.advance(machineLeaseMs + offsetMs);
      isLost = true;
      await house.clock.advance(5_000);
      isLost = false;
      await house.clock.advance(machineLeaseMs);
      assert.equal((await recordOf(box))?.createRevision, before?.createRevision, `lost after ${offsetMs} ms`);
    }
  });

  test("after a restart of the agent it takes up its own record at once, and nobody has thought it gone", async () => {
    const box = await one();
    const before = await recordOf(box);
    await box.stop();
    box.start();
    await house.until(() => claims(box) === 2, 100);
    const after = await recordOf(box);
    assert.equal(after?.createRevision, before?.createRevision, "the record was never away");
    assert.notEqual(after?.lease, before?.lease);
    await house.until(async () => (await box.status()) !== undefined, 2_000);
    // The old process's lease runs out, and takes nothing with it.
    await house.always(() => claims(box) === 2, 2 * machineLeaseMs, 500);
    assert.equal((await recordOf(box))?.createRevision, before?.createRevision);
    assert.notEqual(await box.status(), undefined);
  });

  test("after a reboot it knows its record by the boot before", async () => {
    const box = await one();
    await box.crash();
    box.start();
    await house.until(() => claims(box) === 2, 100);
    const record = await recordOf(box);
    assert.match(record?.value ?? "", /a-boot-2/);
  });

  test("also in a store that is put back to before the reboot, though it has claimed its id since", async () => {
    const box = await one();
    const backup = house.store.backUp();
    await box.crash();
    box.start();
    await house.until(() => claims(box) === 2, 100);
    house.store.restoreFrom(backup);
    await house.until(() => claims(box) === 3, machineLeaseMs / 2);
    assert.equal(await box.problem("machine-id-taken"), undefined);
    assert.match((await recordOf(box))?.value ?? "", /a-boot-2/);
  });

  test("also in one that is put back to several boots before", async () => {
    const box = await one();
    const backup = house.store.backUp();
    for (const boot of [2, 3, 4]) {
      await box.crash();
      box.start();
      await house.until(() => claims(box) === boot, 100);
    }
    house.store.restoreFrom(backup);
    await house.until(() => claims(box) === 5, machineLeaseMs / 2);
    assert.equal(await box.problem("machine-id-taken"), undefined);
  });

  test("also when its agent was killed after it had noted the boot, and before it had claimed the id", async () => {
    const box = await one();
    await box.crash();
    const { files } = box.disk;
    box.through = {
      registry: (registry): Registry => ({
        ...calls(registry),
        write: async () => {
          throw new Problem("registry-unreachable", "Cannot write");
        },
      }),
    };
    box.start();
    await house.until(() => files.get("nonce")?.startsWith(box.machine.nonce) === true, 1_000);
    await box.kill();
    box.through = {};
    box.start();
    await house.until(() => claims(box) === 2, 1_000);
    assert.equal(await box.problem("machine-id-taken"), undefined);
  });

  test("also when the first write after the reboot fails", async () => {
    const box = await one();
    await box.crash();
    let fails = 1;
    box.through = {
      registry: (registry): Registry => ({
        ...calls(registry),
        write: async (transaction, signal) => {
          if (fails-- > 0) throw new Problem("registry-unreachable", "Cannot write");
          return registry.write(transaction, signal);
        },
      }),
    };
    box.start();
    await house.until(() => claims(box) === 2, 1_000);
    assert.equal(await box.problem("machine-id-taken"), undefined);
  });

  test("a clone is refused, with both addresses, until the other is gone", async () => {
    house = await House.open({ machines: "ab", leaders: "" });
    const [box, clone] = [house.box("a"), house.box("b")];
    box.start();
    await house.until(() => claims(box) === 1, 1_000);
    clone.machine = { ...clone.machine, id: box.id };
    clone.start();
    await house.clock.advance(30_000);
    assert.deepEqual([claims(clone), claims(box)], [0, 1]);
    const problem = await clone.problem("machine-id-taken");
    assert.match(problem?.message ?? "", /host-a \(10\.0\.0\.97\) holds it/);
    assert.match(problem?.hint ?? "", /host-b \(10\.0\.0\.98\)/);
    assert.equal(await box.problem("machine-id-taken"), undefined);
    await box.kill();
    await house.until(() => claims(clone) === 1, machineLeaseMs + 3_000);
    assert.equal(await clone.problem("machine-id-taken"), undefined);
  });

  describe("a machine that was cloned with its disk", () => {
    /** The original runs a unit; the clone has its disk, and is otherwise as `like` says. */
    async function cloned(like: { readonly hostname?: string; readonly publicIp?: string }): Promise<[Box, Box]> {
      house = await House.open({ machines: "ab", leaders: "" });
      const [box, clone] = [house.box("a"), house.box("b")];
      const commit = house.commit({ "web.service": service() });
      box.start();
      await box.tell([1, 1], [{ unit: "web.service", commit, text: service() }]);
      await house.until(async () => (await box.listed()).length === 1);
      for (const [file, text] of box.disk.files) clone.disk.files.set(file, text);
      clone.machine = { ...clone.machine, ...like, id: box.id };
      clone.start();
      return [box, clone];
    }

    test("does not get the id while its original lives, starts nothing, and says whose it is", async () => {
      const [box, clone] = await cloned({ hostname: "host-a" });
      const before = await recordOf(box);
      await house.always(() => clone.up().length === 0 && box.up().length === 1, 5 * machineLeaseMs, 500);
      assert.deepEqual([claims(clone), claims(box)], [0, 1]);
      assert.deepEqual(await recordOf(box), before);
      const problem = await clone.problem("machine-id-taken");
      assert.match(problem?.message ?? "", /Cannot claim machine id a+: host-a \(10\.0\.0\.97\) holds it/);
      assert.match(
        problem?.hint ?? "",
        /This machine is host-a \(10\.0\.0\.98\).*run out.*\/etc\/machine-id of its own/,
      );
      assert.deepEqual(clone.log.events("error"), ["machine.id-taken"]);
      assert.equal(await box.problem("machine-id-taken"), undefined);
      await box.kill();
      await house.until(() => claims(clone) === 1, machineLeaseMs + 3_000);
      await house.until(() => clone.up().length === 1, 2_000);
      assert.equal(await clone.problem("machine-id-taken"), undefined);
    });

    for (const [what, like] of [
      ["another address", { publicIp: "10.9.9.9" }],
      ["another name", { hostname: "renamed" }],
    ] as const)
      test(`is not told from one that comes back with ${what}, which waits until its old record has run out`, async () => {
        const box = await one();
        await box.crash();
        box.machine = { ...box.machine, ...like };
        box.start();
        await house.clock.advance(machineLeaseMs / 2);
        assert.deepEqual([claims(box), box.up()], [1, []]);
        await house.until(() => claims(box) === 2, machineLeaseMs);
        await house.until(() => box.up().length === 1, 2_000);
        assert.equal(await box.problem("machine-id-taken"), undefined);
      });

    test("and has its name and address as well takes the id over; the original says so, and nothing stops on either", async () => {
      const [box, clone] = await cloned({ hostname: "host-a", publicIp: "10.0.0.97" });
      await house.until(() => claims(clone) === 1, 1_000);
      await house.until(async () => (await box.problem("machine-id-taken")) !== undefined, 3_000);
      const problem = await box.problem("machine-id-taken");
      assert.match(
        problem?.message ?? "",
        /Cannot keep machine id a+: host-a \(10\.0\.0\.97\) has taken it from host-a/,
      );
      assert.match(problem?.hint ?? "", /goes on running.*copy.*\/etc\/machine-id of its own/);
      assert.deepEqual(box.log.events("error"), ["machine.id-taken"]);
      await house.until(() => clone.up().length === 1, 2_000);
      box.asked();
      await house.always(() => clone.up().length === 1 && box.up().length === 1, 5 * machineLeaseMs, 500);
      // They do not take it from each other again and again
      assert.deepEqual([claims(clone), claims(box)], [1, 1]);
      for (const each of [box, clone]) {
        await each.stop();
        each.start();
        await house.clock.advance(20_000);
      }
      assert.deepEqual(box.asked(), []);
      assert.deepEqual(house.up(), { "web.service": "ab" });
      assert.deepEqual([claims(clone), claims(box)], [2, 1]);
      await clone.crash();
      await house.until(() => claims(box) === 2, machineLeaseMs + 3_000);
      assert.equal(await box.problem("machine-id-taken"), undefined);
    });
  });

  test("a record that went away without its lease is written again at once", async () => {
    const box = await one();
    await house.remove(keys.machine(box.id));
    await house.until(() => claims(box) === 2, 1_000);
  });

  test("a boot that cannot be noted, or read, keeps no machine out", async () => {
    house = await House.open({ machines: "a", leaders: "" });
    const box = house.box("a");
    const broken = (code: string) => (): Promise<never> => Promise.reject(new Problem(code, "Cannot reach the disk"));
    box.through = {
      disk: (disk) => ({
        read: (file) => (file === "nonce" ? broken("disk-read")() : disk.read(file)),
        write: (file, text) => disk.write(file, text),
        remove: (file) => disk.remove(file),
      }),
    };
    box.start();
    await house.until(() => claims(box) === 1, 1_000);
    assert.notEqual(await box.problem("disk-read"), undefined);
    await box.stop();
    box.through = {};
    box.start();
    await house.until(() => claims(box) === 2, 1_000);
    assert.equal(await box.problem("disk-read"), undefined);
  });

  test("a record that nobody can read is taken over", async () => {
    house = await House.open({ machines: "a", leaders: "" });
    await house.put(keys.machine(idOf("a")), "{");
    house.start();
    await house.until(() => claims(house.box("a")) === 1, 1_000);
  });

  test("a lease that was lost is had again, and the status is written anew under it", async () => {
    const box = await one();
    const before = await box.status();
    box.connection.cutOff();
    await house.until(async () => (await recordOf(box)) === undefined, machineLeaseMs + 1_000);
    assert.equal(await box.status(), undefined);
    await house.clock.advance(60_000);
    box.connection.restore();
    await house.until(() => claims(box) === 2, machineLeaseMs / 2, 100);
    await house.until(async () => (await box.status()) !== undefined, 15_000, 100);
    assert.deepEqual(await box.status(), before);
    const [record, status] = [await recordOf(box), (await house.operator.get(keys.status(box.id))).entry];
    assert.equal(record?.lease, status?.lease);
    assert.equal(await box.problem("registry-unreachable"), undefined);
  });

  test("for every length of an outage it is back within half a lease of the registry's return", async () => {
    const box = await one();
    for (let awayMs = 21_000; awayMs < 46_000; awayMs += 1_700) {
      const before = claims(box);
      box.connection.cutOff();
      await house.clock.advance(awayMs);
      box.connection.restore();
      await house.until(() => claims(box) > before, machineLeaseMs / 2, 100);
    }
  });

  /** A machine whose name and address are what the test says. */
  async function seeing(
    publicIp: string,
  ): Promise<{ readonly box: Box; readonly facts: { hostname: string; publicIp: string; fail: boolean } }> {
    house = await House.open({ machines: "a", leaders: "" });
    const box = house.box("a");
    const facts = { hostname: box.machine.hostname, publicIp, fail: false };
    box.machine = { ...box.machine, publicIp };
    box.facts = async () => (facts.fail ? Promise.reject(new Error("no /proc")) : Promise.resolve({ ...facts }));
    box.start();
    await house.until(() => claims(box) === 1);
    return { box, facts };
  }
  const addressOf = async (box: Box): Promise<string> =>
    (await house.held()).machines.get(box.id)?.publicIp ?? "no record";

  test("a name and an address that change are told within about a minute, under the same lease", async () => {
    const { box, facts } = await seeing("10.0.0.1");
    const before = await recordOf(box);
    facts.publicIp = "10.0.0.2";
    await house.until(async () => (await addressOf(box)) === "10.0.0.2", 65_000);
    const after = await recordOf(box);
    assert.deepEqual([after?.createRevision, after?.lease], [before?.createRevision, before?.lease]);
    facts.hostname = "renamed";
    await house.until(async () => (await house.held()).machines.get(box.id)?.hostname === "renamed", 65_000);
    await house.clock.advance(180_000);
    assert.equal(claims(box), 3, "each was told once");
  });

  test("an address that comes after the agent is told at once, and one that is gone stays known", async () => {
    const { box, facts } = await seeing("");
    facts.publicIp = "10.0.0.1";
    await house.until(async () => (await addressOf(box)) === "10.0.0.1", machineLeaseMs / 2);
    facts.publicIp = "";
    await house.clock.advance(180_000);
    assert.equal(await addressOf(box), "10.0.0.1");
    assert.equal(claims(box), 2);
  });

  test("one that comes before the first claim is in it: the record of the boot before is known by it", async () => {
    const { box, facts } = await seeing("10.0.0.1");
    await box.crash();
    box.machine = { ...box.machine, publicIp: "" };
    facts.publicIp = "10.0.0.1";
    box.start();
    await house.until(() => claims(box) === 2, 100);
    assert.equal(await addressOf(box), "10.0.0.1");
  });

  test("facts that stay as they are, or cannot be told for a while, have nothing written", async () => {
    const { box, facts } = await seeing("10.0.0.1");
    const { revision } = await house.operator.read("");
    await house.clock.advance(180_000);
    facts.fail = true;
    await house.clock.advance(180_000);
    assert.equal((await house.operator.read("")).revision, revision);
    assert.equal(claims(box), 1);
  });
});

describe("statuses", () => {
  const revisions = async (): Promise<readonly number[]> =>
    [(await house.operator.get(keys.status(idOf("a")))).entry?.modRevision ?? 0].filter((each) => each > 0);

  test("a burst of changes is one write", async () => {
    const units = Array.from({ length: 50 }, (_, index) => `u${index}.service`);
    const box = await one(units);
    await house.clock.advance(5_000);
    const [before = 0] = await revisions();
    for (const unit of units)
      box.systemd.setState(name(unit), { active: "failed", sub: "failed", result: "exit-code" });
    await house.until(async () => (await box.listed()).every((line) => line.endsWith(" failed")), 1_000, 10);
    assert.deepEqual(await revisions(), [before + 1]);
  });

  test("while changes keep coming, writes are a while apart", async () => {
    const box = await one();
    await house.clock.advance(5_000);
    const { revision } = await house.operator.read("");
    for (let each = 0; each < 200; each++) {
      box.systemd.setState(name("web.service"), { restarts: each });
      await house.clock.advance(50);
    }
    const writes = (await house.operator.read("")).revision - revision;
    assert.ok(writes >= 20 && writes <= 27, `${writes} writes in ten seconds`);
    await house.until(async () => (await box.status())?.units[0]?.restarts === 199, 1_000);
  });

  test("a change that changes nothing is not written", async () => {
    const box = await one();
    const { revision } = await house.operator.read("");
    box.systemd.setState(name("web.service"), {});
    await house.clock.advance(5_000);
    assert.equal((await house.operator.read("")).revision, revision);
  });

  test("every unit that lies here is listed, whether or not systemd has been asked about it", async () => {
    const box = await one(["a.service", "b.service"]);
    const commit = house.commit({ "a.service": changed(), "b.service": service(), "c.service": service() });
    const lists: string[] = [];
    const note = async (): Promise<void> => {
      lists.push((await box.listed()).map((line) => line.split(" ")[0]).join(" "));
    };
    box.systemd.onStart(name("a.service"), { kind: "hangs" });
    await box.tell(
      [1, 2],
      [
        { unit: "a.service", commit, text: changed() },
        { unit: "b.service", commit, text: service() },
        { unit: "c.service", commit, text: service(), target: "loaded" },
      ],
    );
    for (let step = 0; step < 100; step++) {
      await house.clock.advance(10);
      await note();
    }
    assert.deepEqual([...new Set(lists)], ["a.service b.service", "a.service b.service c.service"]);
    assert.deepEqual(await box.listed(), ["a.service activating", "b.service active", "c.service inactive"]);
  });

  test("nothing is said before the first manifest", async () => {
    house = await House.open({ machines: "a", leaders: "" });
    house.start();
    await house.clock.advance(20_000);
    assert.equal(await house.box("a").status(), undefined);
  });

  test("it is written only under a claim that stands, which is had again at once", async () => {
    const box = await one();
    await house.remove(keys.machine(box.id));
    box.systemd.setState(name("web.service"), { active: "failed", sub: "failed" });
    await house.until(() => claims(box) === 2, 1_000);
    await house.until(async () => (await box.listed()).includes("web.service failed"), 2_000);
  });

  test("it is written again in a store that was put back, also where the new claim has the old one's number", async () => {
    const box = await one();
    // Marked before: then its mark is no write between the claims
    await house.put(keys.restored, "{}");
    await house.clock.advance(5_000);
    const backup = house.store.backUp();
    await box.stop();
    box.start();
    await house.until(() => claims(box) === 2, 1_000);
    await house.clock.advance(1_000);
    box.systemd.setState(name("web.service"), { active: "failed", sub: "failed" });
    await house.until(async () => (await box.listed()).includes("web.service failed"), 2_000);
    const before = await recordOf(box);
    house.store.restoreFrom(backup);
    assert.deepEqual(await box.listed(), ["web.service active"]);
    await house.until(() => claims(box) === 3, 15_000);
    assert.equal((await recordOf(box))?.modRevision, before?.modRevision);
    await house.until(async () => (await box.listed()).includes("web.service failed"), 5_000);
  });

  test("it is written again also where nothing but it has gone back", async () => {
    const box = await one();
    await house.clock.advance(5_000);
    const backup = house.store.backUp();
    box.systemd.setState(name("web.service"), { active: "failed", sub: "failed" });
    await house.until(async () => (await box.listed()).includes("web.service failed"), 2_000);
    house.store.restoreFrom(backup);
    assert.deepEqual(await box.listed(), ["web.service active"]);
    await house.until(async () => (await box.listed()).includes("web.service failed"), 5_000);
    assert.equal(claims(box), 1, "its record is what it was");
  });

  test("a clone writes no status", async () => {
    house = await House.open({ machines: "ab", leaders: "" });
    const [box, clone] = [house.box("a"), house.box("b")];
    const commit = house.commit({ "web.service": service() });
    box.start();
    await box.tell([1, 1], [{ unit: "web.service", commit, text: service() }]);
    await house.until(async () => (await box.listed()).length === 1);
    clone.machine = { ...clone.machine, id: box.id };
    clone.start();
    await house.clock.advance(1_000);
    const { revision } = await house.operator.read("");
    clone.systemd.setState(name("web.service"), { active: "failed", sub: "failed" });
    await house.clock.advance(10_000);
    assert.equal((await house.operator.read("")).revision, revision);
    assert.deepEqual(await box.listed(), ["web.service active"]);
  });
});

function calls(registry: Registry): Registry {
  return {
    ...passingOn(registry),
  };
}
