// A machine alone: without registry and repository, after a reboot, with a store of git that is gone or a disk that is
// full or damaged. What it was last told to run, runs.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { CommitId } from "../../../agent/domain/names.ts";
import { keys } from "../../../agent/text/values.ts";
import { type Box, House, type Told, changed, name, service } from "./house.ts";

let house: House;
let box: Box;
let commit: CommitId;
afterEach(() => house.close());

const told = (unit: string, more: Partial<Told> = {}): Told => ({ unit, commit, text: service(), ...more });

/** A machine that leads nothing and runs these. */
async function running(units: Readonly<Record<string, string>>): Promise<void> {
  house = await House.open({ machines: "a", leaders: "" });
  box = house.box("a");
  commit = house.commit(units);
  box.start();
  await box.tell(
    [1, 1],
    Object.entries(units).map(([unit, text]) => told(unit, { text })),
  );
  await house.until(async () => (await box.listed()).length === Object.keys(units).length, 5_000);
  box.asked();
}

/** Neither registry nor repository, from now on. */
function cutOff(): void {
  box.connection.cutOff();
  house.repository.fault = { kind: "unreachable" };
}

/** Power is lost and comes back; nobody can be asked. */
async function rebootAlone(): Promise<void> {
  await box.crash();
  cutOff();
  box.start();
}

describe("a machine that reboots alone", () => {
  test("brings back what it was told to run, and nothing else", async () => {
    await running({ "web.service": service(), "held.service": service(), "gone.service": service() });
    await box.tell(
      [1, 2],
      [told("web.service"), told("held.service", { target: "loaded" }), told("gone.service", { target: "released" })],
    );
    await house.until(() => box.up().join() === "web.service", 5_000);
    await house.clock.advance(1_000);
    await rebootAlone();
    await house.until(() => box.up().length > 0, 6_000);
    await house.clock.advance(20_000);
    assert.deepEqual(box.up(), ["web.service"]);
    assert.equal(box.systemd.textOf(name("held.service")), service());
    assert.equal(box.systemd.textOf(name("gone.service")), undefined);
  });

  test("from the disk of another machine starts none of that one's units", async () => {
    await running({ "web.service": service() });
    await box.stop();
    const kept = box.disk.files.get("manifest.json") ?? "";
    box.disk.files.set("manifest.json", kept.replaceAll("a".repeat(32), "b".repeat(32)));
    box.start();
    await rebootAlone();
    await house.clock.advance(20_000);
    assert.deepEqual(box.up(), []);
    assert.ok(box.log.events("warn").includes("manifest.not-ours"));
  });

  test("needs no store of git for it", async () => {
    await running({ "web.service": service(), "db.service": changed() });
    box.gitStore.commits.clear();
    box.gitStore.head = undefined;
    await rebootAlone();
    await house.until(() => box.up().length === 2, 6_000);
    assert.deepEqual(
      [box.systemd.textOf(name("web.service")), box.systemd.textOf(name("db.service"))],
      [service(), changed()],
    );
    await house.clock.advance(20_000);
    assert.equal(await box.problem("git-unreachable"), undefined, "nothing is missing");
  });

  test("runs the text that it had where it was told of another that it never got", async () => {
    await running({ "web.service": service(), "db.service": service() });
    house.repository.fault = { kind: "unreachable" };
    const next = house.commit({ "web.service": changed(), "db.service": service(), "new.service": service() });
    await box.tell(
      [1, 2],
      [
        told("web.service", { commit: next, text: changed() }),
        told("db.service", { commit: next, text: changed(), target: "loaded" }),
        told("new.service", { commit: next }),
      ],
    );
    await house.until(() => box.up().join() === "web.service", 5_000);
    await rebootAlone();
    await house.until(() => box.up().length === 1, 6_000);
    await house.clock.advance(20_000);
    assert.deepEqual(box.up(), ["web.service"]);
    assert.equal(box.systemd.textOf(name("web.service")), service());
    assert.notEqual(await box.problem("git-unreachable"), undefined);
    house.repository.fault = undefined;
    box.connection.restore();
    await house.until(() => box.up().length === 2, 30_000);
    assert.equal(box.systemd.textOf(name("web.service")), changed());
    await house.until(async () => (await box.problem("git-unreachable")) === undefined, 15_000);
  });

  test("uses no kept text for another unit, and none that came by another way", async () => {
    await running({ "web.service": service() });
    await box.stop();
    const kept = box.disk.files.get("unit-texts") ?? "";
    for (const forged of [kept.replaceAll("web.service", "db.service"), kept.replaceAll('"git"', '"submitted"')]) {
      assert.notEqual(forged, kept);
      box.gitStore.commits.clear();
      box.gitStore.head = undefined;
      box.systemd.reboot();
      box.disk.files.set("unit-texts", forged);
      cutOff();
      box.start();
      await house.clock.advance(15_000);
      assert.deepEqual(box.up(), []);
      assert.equal(box.systemd.textOf(name("web.service")), undefined);
      assert.notEqual(await box.problem("git-unreachable"), undefined);
      await box.stop();
    }
  });

  test("with damaged texts asks git, and heals them", async () => {
    await running({ "web.service": service() });
    await box.crash();
    const kept = box.disk.files.get("unit-texts") ?? "";
    box.disk.files.set("unit-texts", kept.slice(0, 40));
    box.connection.cutOff();
    box.start();
    await house.until(() => box.up().length === 1, 6_000);
    assert.equal(box.disk.files.get("unit-texts"), kept);
    assert.ok(box.log.events("error").includes("kept-texts.damaged"));
  });
});

describe("a machine with a full disk", () => {
  test("brings its units back all the same, by the manifest that it has, and takes up the newer one when there is room", async () => {
    await running({ "web.service": service(), "new.service": service() });
    await box.tell([1, 2], [told("web.service")]);
    await house.until(() => box.up().length === 1, 5_000);
    await box.crash();
    box.disk.isFull = true;
    await box.tell([1, 3], [told("web.service"), told("new.service", { text: service() })]);
    box.start();
    await house.until(() => box.up().length > 0, 6_000);
    await house.clock.advance(10_000);
    assert.deepEqual(box.up(), ["web.service"]);
    const problem = await box.problem("disk-write");
    assert.match(problem?.hint ?? "", /full/);
    box.disk.isFull = false;
    await house.until(() => box.up().join() === "new.service,web.service", 15_000);
    await house.until(async () => (await box.problem("disk-write")) === undefined, 15_000);
  });

  test("starts nothing that it is no longer to run, though it could not keep word of that", async () => {
    await running({ "web.service": service(), "moved.service": service(), "gone.service": service() });
    await box.crash();
    box.disk.isFull = true;
    await box.tell([1, 2], [told("web.service"), told("moved.service", { target: "released" })]);
    box.start();
    await house.until(() => box.up().length > 0, 15_000);
    await house.clock.advance(20_000);
    assert.deepEqual(box.up(), ["web.service"]);
    box.disk.isFull = false;
    await house.clock.advance(15_000);
    assert.deepEqual(await box.listed(), ["web.service active"]);
  });

  test("is present after a reboot, with its status, and says that its disk is full", async () => {
    await running({ "web.service": service() });
    await box.crash();
    await house.clock.advance(15_000);
    box.disk.isFull = true;
    box.start();
    await house.until(async () => (await house.operator.get(keys.machine(box.id))).entry !== undefined, 3_000);
    await house.until(async () => (await box.listed()).join() === "web.service active", 10_000);
    assert.notEqual(await box.problem("disk-write"), undefined);
    box.disk.isFull = false;
    await house.until(async () => (await box.problem("disk-write")) === undefined, 15_000);
    assert.equal(box.disk.files.get("nonce")?.split("\n")[0], box.machine.nonce);
  });

  test("starts what it can read, also where the text cannot be kept", async () => {
    await running({ "web.service": service() });
    const { files } = box.disk;
    const write = box.disk.write.bind(box.disk);
    let full = true;
    await box.stop();
    box.through = {
      disk: (disk) => ({
        read: (file) => disk.read(file),
        remove: (file) => disk.remove(file),
        // The manifest still fits
        write: async (file, text) => {
          box.disk.isFull = full && file === "unit-texts";
          await write(file, text);
        },
      }),
    };
    box.start();
    const next = house.commit({ "web.service": service(), "new.service": changed() });
    await box.tell([1, 2], [told("web.service"), told("new.service", { commit: next, text: changed() })]);
    await house.until(() => box.up().length === 2, 5_000);
    assert.notEqual(await box.problem("disk-write"), undefined);
    full = false;
    await house.until(() => files.get("unit-texts")?.includes("new.service") === true, 15_000);
    await house.until(async () => (await box.problem("disk-write")) === undefined, 15_000);
  });
});
