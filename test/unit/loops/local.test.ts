// One machine and its share, told by hand: what it takes up, what it refuses and leaves alone, and how one unit's trouble
// stays that unit's.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { Problem } from "../../../agent/domain/problem.ts";
import type { CommitId } from "../../../agent/domain/names.ts";
import { keys } from "../../../agent/text/values.ts";
import { type Box, House, type Told, changed, gate, name, service } from "./house.ts";

let house: House;
let box: Box;
let commit: CommitId;
afterEach(() => house.close());

const patienceMs = 5_000;
const told = (unit: string, more: Partial<Told> = {}): Told => ({ unit, commit, text: service(), ...more });

/** A machine that leads nothing, with a repository of these units; not yet started. */
async function open(units: Readonly<Record<string, string>>): Promise<void> {
  house = await House.open({ machines: "a", leaders: "" });
  box = house.box("a");
  commit = house.commit(units);
}

/** The same, started, told to run all of them, and doing so. */
async function running(units: Readonly<Record<string, string>>): Promise<void> {
  await open(units);
  box.start();
  await box.tell(
    [1, 1],
    Object.entries(units).map(([unit, text]) => told(unit, { text })),
  );
  await house.until(() => box.up().length === Object.keys(units).length, 2_000);
  await house.until(async () => (await box.listed()).length === Object.keys(units).length, 2_000);
  box.asked();
}

describe("a manifest", () => {
  test("is worked from the own copy when the registry is away at the start, after a short patience", async () => {
    await running({ "web.service": service() });
    await box.crash();
    box.connection.cutOff();
    box.start();
    await house.clock.advance(patienceMs - 500);
    assert.deepEqual(box.up(), []);
    await house.until(() => box.up().length === 1, 1_000);
    assert.equal(box.systemd.textOf(name("web.service")), service());
    box.connection.restore();
    await house.clock.advance(20_000);
    assert.deepEqual(box.asked(), ["write web.service", "reload", "start web.service"]);
  });

  test("of the registry comes before the own copy when it can be had: after a reboot units may have moved", async () => {
    await running({ "web.service": service(), "db.service": service() });
    await box.crash();
    await box.tell([1, 2], [told("db.service")]);
    box.start();
    await house.until(() => box.up().length === 1, 1_000);
    await house.clock.advance(10_000);
    assert.deepEqual(box.asked(), ["write db.service", "reload", "start db.service"]);
  });

  for (const [what, position] of [
    ["epoch", [1, 9]],
    ["generation", [2, 3]],
  ] as const) {
    test(`of an older ${what} is refused and named, also after a restart; a newer one ends that`, async () => {
      await running({ "web.service": service() });
      await box.tell([2, 4], [told("web.service")]);
      await house.clock.advance(1_000);
      await box.tell(position, []);
      await house.clock.advance(10_000);
      const problem = await box.problem("manifest-stale");
      assert.match(problem?.message ?? "", new RegExp(`${position.join("\\.")}.*2\\.4`));
      await box.stop();
      box.start();
      await house.clock.advance(10_000);
      assert.notEqual(await box.problem("manifest-stale"), undefined);
      assert.deepEqual([box.up(), box.asked()], [["web.service"], []]);
      await box.tell([3, 1], []);
      await house.until(() => box.up().length === 0, 1_000);
      assert.equal(await box.problem("manifest-stale"), undefined);
    });
  }

  for (const [what, value] of [
    ["no JSON", "{"],
    ["of another shape", '{"machine":"a"}'],
    ["another machine's", '{"machine":"' + "b".repeat(32) + '","epoch":9,"generation":9,"units":[]}'],
    ["with a name that leaves its folder", JSON.stringify(hostile())],
  ] as const) {
    test(`that is ${what} is refused and named; what runs goes on`, async () => {
      await running({ "web.service": service() });
      await house.put(keys.manifest(box.id), value);
      await house.clock.advance(10_000);
      const problem = (await box.problems()).find(({ message }) => message.includes(keys.manifest(box.id)));
      assert.notEqual(problem, undefined);
      assert.deepEqual([box.up(), box.asked()], [["web.service"], []]);
      await box.tell([1, 2], []);
      await house.until(() => box.up().length === 0, 1_000);
    });
  }

  test("that is gone says nothing", async () => {
    await running({ "web.service": service() });
    await house.remove(keys.manifest(box.id));
    await house.clock.advance(10_000);
    await box.stop();
    box.start();
    await house.clock.advance(10_000);
    assert.deepEqual([box.up(), box.asked()], [["web.service"], []]);
  });

  test("whose own copy is damaged is had from the registry; without it nothing is touched", async () => {
    await running({ "web.service": service() });
    await box.stop();
    box.disk.files.set("manifest.json", '{"machine":');
    box.connection.cutOff();
    box.start();
    await house.clock.advance(20_000);
    assert.deepEqual([box.up(), box.asked()], [["web.service"], []]);
    assert.ok(box.log.events("error").includes("manifest.damaged"));
    box.connection.restore();
    await box.tell([1, 2], []);
    await house.until(() => box.up().length === 0, 15_000);
  });

  test("is kept before it is acted on: with a full disk nothing is done, and it is said", async () => {
    await running({ "web.service": service() });
    box.disk.isFull = true;
    await box.tell([1, 2], []);
    await house.clock.advance(20_000);
    assert.deepEqual(box.up(), ["web.service"]);
    assert.notEqual(await box.problem("disk-write"), undefined);
    box.disk.isFull = false;
    await house.until(() => box.up().length === 0, 15_000);
    assert.equal(await box.problem("disk-write"), undefined);
  });
});

describe("a text", () => {
  test("of a commit that is not to be had leaves its unit alone; others are applied; it is tried again", async () => {
    await running({ "web.service": service(), "db.service": service() });
    const next = house.commit({ "web.service": changed(), "db.service": service(), "new.service": service() });
    house.repository.fault = { kind: "unreachable" };
    await box.tell(
      [1, 2],
      [told("web.service", { commit: next, text: changed() }), told("new.service", { commit: next })],
    );
    await house.until(() => box.up().length === 1, 2_000);
    assert.deepEqual(box.asked(), ["stop db.service", "remove db.service"]);
    await house.clock.advance(20_000);
    assert.equal(box.systemd.textOf(name("web.service")), service());
    assert.notEqual(await box.problem("git-unreachable"), undefined);
    house.repository.fault = undefined;
    await house.until(() => box.up().includes("new.service"), 15_000);
    assert.deepEqual(box.asked(), [
      "write new.service",
      "write web.service",
      "reload",
      "start new.service",
      "restart web.service",
    ]);
    assert.equal(await box.problem("git-unreachable"), undefined);
  });

  test("that takes its time to be fetched holds up nothing else, also while that fails", async () => {
    await running({ "web.service": service(), "db.service": service(), "log.service": service() });
    const next = house.commit({ "web.service": changed() });
    const { opened, open: come } = gate();
    house.repository.fault = { kind: "slow", until: opened };
    const before = house.repository.fetches;
    const web = told("web.service", { commit: next, text: changed() });
    const db = told("db.service", { target: "loaded" });
    await box.tell([1, 2], [web, db, told("log.service")]);
    await house.until(() => !box.up().includes("db.service"), 2_000);
    await house.clock.advance(30_000);
    await box.tell([1, 3], [web, db, told("log.service", { target: "loaded" })]);
    await house.until(() => !box.up().includes("log.service"), 2_000);
    await house.clock.advance(30_000);
    assert.equal(house.repository.fetches, before + 1);
    assert.deepEqual(box.asked(), ["stop db.service", "stop log.service"]);
    house.repository.fault = { kind: "unreachable" };
    come();
    await house.until(async () => (await box.problem("git-unreachable")) !== undefined, 2_000);
    await house.clock.advance(60_000);
    const tries = house.repository.fetches - before;
    assert.ok(tries >= 5 && tries <= 20, `${tries} fetches`);
    assert.deepEqual(box.asked(), []);
    await box.tell([1, 4], [web, db, told("log.service")]);
    await house.until(() => box.up().includes("log.service"), 2_000);
    const slow = gate();
    house.repository.fault = { kind: "slow", until: slow.opened };
    await house.clock.advance(30_000);
    assert.notEqual(await box.problem("git-unreachable"), undefined, "the next try is no reason to take it back");
    slow.open();
    await house.until(() => box.systemd.textOf(name("web.service")) === changed(), 2_000);
    assert.equal(await box.problem("git-unreachable"), undefined);
    assert.deepEqual(box.asked(), ["start log.service", "write web.service", "reload", "restart web.service"]);
  });

  for (const [what, ms, asked] of [
    ["is waited for when it comes soon: the older one is not started first", 2_000, [changed()]],
    ["that is not to be had for long is stood in for by the older one", 20_000, [service(), changed()]],
  ] as const)
    test(`after a reboot ${what}`, async () => {
      await running({ "web.service": service() });
      await box.crash();
      const { opened, open: come } = gate();
      house.repository.fault = { kind: "slow", until: opened };
      await box.tell(
        [1, 2],
        [told("web.service", { commit: house.commit({ "web.service": changed() }), text: changed() })],
      );
      box.start();
      const texts = new Set<string>();
      const note = (): void => {
        if (box.up().length > 0) texts.add(box.systemd.textOf(name("web.service")) ?? "");
      };
      const fromMs = house.clock.monotonicMs();
      while (house.clock.monotonicMs() < fromMs + ms) {
        await house.clock.advance(100);
        note();
      }
      come();
      await house.until(() => (note(), texts.has(changed())), 2_000);
      assert.deepEqual([...texts], asked);
    });

  test("that is being fetched ends no agent's shutdown late", async () => {
    await running({ "web.service": service() });
    house.repository.fault = { kind: "slow", until: new Promise(() => undefined) };
    await box.tell(
      [1, 2],
      [told("web.service", { commit: house.commit({ "web.service": changed() }), text: changed() })],
    );
    await house.clock.advance(1_000);
    const fromMs = house.clock.monotonicMs();
    await box.stop();
    assert.ok(house.clock.monotonicMs() - fromMs < 1_000);
  });

  test("that differs from the hash in the manifest is never used: the unit is left alone, and it is said", async () => {
    await running({ "web.service": service(), "db.service": service() });
    await box.tell([1, 2], [told("web.service", { text: "[Service]\nExecStart=/bin/evil\n" }), told("db.service")]);
    await house.clock.advance(10_000);
    const problem = await box.problem("unit-hash");
    assert.match(problem?.message ?? "", /web\.service/);
    assert.deepEqual([box.up(), box.asked()], [["db.service", "web.service"], []]);
  });

  test("that a damaged store does not give holds up no other unit", async () => {
    await open({ "web.service": service(), "db.service": service() });
    const damaged = new Problem("git-damaged", "Cannot read the git store");
    let isDamaged = false;
    const sound = <T>(read: () => Promise<T>): Promise<T> => (isDamaged ? Promise.reject(damaged) : read());
    box.through = {
      git: (git) => ({
        fetch: (signal) => sound(() => git.fetch(signal)),
        head: () => git.head(),
        has: (id) => sound(() => git.has(id)),
        info: (id) => sound(() => git.info(id)),
        tree: (id) => sound(() => git.tree(id)),
        blob: (oid) => sound(() => git.blob(oid)),
        close: () => git.close(),
      }),
    };
    box.start();
    await box.tell([1, 1], [told("web.service"), told("db.service")]);
    await house.until(() => box.up().length === 2, 2_000);
    box.asked();
    await box.stop();
    box.start();
    await house.clock.advance(1_000);
    isDamaged = true;
    const next = house.commit({ "web.service": service(), "new.service": service() });
    await box.tell([1, 2], [told("web.service", { commit: next }), told("new.service", { commit: next })]);
    await house.clock.advance(5_000);
    assert.deepEqual([box.up(), box.asked()], [["web.service"], ["stop db.service", "remove db.service"]]);
    assert.notEqual(await box.problem("git-damaged"), undefined);
  });

  test("of a commit that this machine refuses leaves its unit alone, and it is said what refuses it", async () => {
    await running({ "web.service": service() });
    const next = house.commit({ "web.service": changed(), "new.service": service("FromTomorrow=yes") });
    await box.tell([1, 2], [told("web.service", { commit: next, text: changed() })]);
    await house.clock.advance(10_000);
    const problem = await box.problem("commit-refused-here");
    assert.match(problem?.message ?? "", new RegExp(`${next}.*FromTomorrow.*new\\.service`));
    assert.match(problem?.hint ?? "", /Path=.*version/);
    assert.equal(await box.problem("unit-hash"), undefined);
    assert.deepEqual([box.up(), box.asked()], [["web.service"], []]);
  });

  test("whose commit was rewritten away serves from the branch's head when it is the same", async () => {
    await open({ "web.service": service() });
    box.start();
    const gone = "9".repeat(40) as CommitId;
    await box.tell([1, 1], [told("web.service", { commit: gone })]);
    await house.until(() => box.up().length === 1, 2_000);
  });

  test("that has changed is taken up once, in place; by reload where the unit says so", async () => {
    const reloads = service("OnChange=reload");
    await running({ "web.service": service(), "api.service": reloads, "db.service": service() });
    const next = house.commit({
      "web.service": changed(),
      "api.service": changed("OnChange=reload"),
      "db.service": service(),
    });
    await box.tell(
      [1, 2],
      [
        told("web.service", { commit: next, text: changed() }),
        told("api.service", { commit: next, text: changed("OnChange=reload") }),
        told("db.service", { commit: next }),
      ],
    );
    await house.clock.advance(30_000);
    assert.deepEqual(box.asked(), [
      "write api.service",
      "write web.service",
      "reload",
      "reload api.service",
      "restart web.service",
    ]);
  });

  test("of which flotilla alone reads what has changed is written, and restarts nothing, also under the next agent", async () => {
    await running({ "web.service": service() });
    const text = `${service()}[X-Fleet]\nPriority=5\n`;
    const next = house.commit({ "web.service": text });
    await box.tell([1, 2], [told("web.service", { commit: next, text })]);
    await house.until(() => box.systemd.textOf(name("web.service")) === text, 2_000);
    await house.clock.advance(10_000);
    await box.stop();
    box.start();
    await house.clock.advance(10_000);
    assert.deepEqual(
      box.asked().filter((line) => line !== "reload"),
      ["write web.service"],
    );
    const third = house.commit({ "web.service": changed() });
    await box.tell([1, 3], [told("web.service", { commit: third, text: changed() })]);
    await house.until(() => box.asked().includes("restart web.service"), 2_000);
  });

  test("that has changed is taken up by a restart where the unit asks for a reload and cannot be reloaded", async () => {
    const text = "[Socket]\nListenStream=80\n[X-Fleet]\nOnChange=reload\n";
    await running({ "web.socket": text });
    const other = text.replace("80", "8080");
    await box.tell([1, 2], [told("web.socket", { commit: house.commit({ "web.socket": other }), text: other })]);
    await house.clock.advance(600_000);
    assert.deepEqual(box.asked(), ["write web.socket", "reload", "reload web.socket", "restart web.socket"]);
    assert.deepEqual(await box.listed(), ["web.socket active"]);
  });
});

describe("a unit's trouble is its own", () => {
  test("a name that the host uses is a problem in its status; the host's unit is not touched", async () => {
    await open({ "sshd.service": service(), "web.service": service() });
    box.systemd.addHostUnit(name("sshd.service"), "/lib/systemd/system/sshd.service");
    box.start();
    await box.tell([1, 1], [told("sshd.service"), told("web.service")]);
    await house.until(async () => (await box.listed()).length === 2, 2_000);
    assert.deepEqual(await box.listed(), ["sshd.service inactive unit-foreign", "web.service active"]);
    assert.deepEqual(box.asked(), ["write web.service", "reload", "start web.service"]);
    await box.tell([1, 2], [told("web.service")]);
    await house.until(async () => (await box.listed()).length === 1, 2_000);
    assert.deepEqual(box.asked(), []);
  });

  test("a name that the host no longer uses is flotilla's within a minute", async () => {
    await open({ "sshd.service": service(), "web.service": service() });
    box.systemd.addHostUnit(name("sshd.service"), "/lib/systemd/system/sshd.service");
    box.start();
    await box.tell([1, 1], [told("sshd.service"), told("web.service")]);
    await house.until(async () => (await box.listed()).includes("sshd.service inactive unit-foreign"), 2_000);
    await house.clock.advance(600_000);
    assert.deepEqual(box.asked(), ["write web.service", "reload", "start web.service"]);
    box.systemd.removeHostUnit(name("sshd.service"));
    await house.until(async () => (await box.listed()).includes("sshd.service active"), 62_000, 100);
    assert.deepEqual(box.asked(), ["write sshd.service", "reload", "start sshd.service"]);
  });

  test("one that fails to start holds nobody, is not tried again with this text, and is with the next", async () => {
    await open({ "bad.service": service(), "web.service": service() });
    box.systemd.onStart(name("bad.service"), { kind: "fails", status: 3 });
    box.start();
    await box.tell([1, 1], [told("bad.service"), told("web.service")]);
    await house.until(async () => (await box.listed()).length === 2, 2_000);
    assert.deepEqual(await box.listed(), ["bad.service failed systemd-job", "web.service active"]);
    await house.clock.advance(60_000);
    assert.equal(box.asked().filter((line) => line === "start bad.service").length, 1);
    const next = house.commit({ "bad.service": changed(), "web.service": service() });
    box.systemd.onStart(name("bad.service"), { kind: "up" });
    await box.tell([1, 2], [told("bad.service", { commit: next, text: changed() }), told("web.service")]);
    await house.until(async () => (await box.listed()).includes("bad.service active"), 2_000);
    assert.deepEqual(box.asked(), ["write bad.service", "reload", "start bad.service"]);
  });

  test("one that needs what is not there yet is tried again with growing pauses", async () => {
    await open({ "web.service": service() });
    box.systemd.onStart(name("web.service"), { kind: "needs", unit: "db.service", how: "missing" });
    box.start();
    await box.tell([1, 1], [told("web.service")]);
    await house.clock.advance(100_000);
    const tries = box.asked().filter((line) => line === "start web.service").length;
    assert.ok(tries >= 4 && tries <= 7, `${tries} tries`);
    box.systemd.onStart(name("web.service"), { kind: "up" });
    await house.until(async () => (await box.listed()).includes("web.service active"), 100_000, 100);
  });

  test("one whose time to be tried again comes while a pass is under way is tried right after it", async () => {
    await open({ "web.service": service(), "db.service": service() });
    box.systemd.onStart(name("web.service"), { kind: "needs", unit: "db.service", how: "missing" });
    box.through = {
      systemd: (systemd) => ({
        ...systemd,
        reload: async () => {
          await house.clock.sleep(300);
          await systemd.reload();
        },
      }),
    };
    box.start();
    await box.tell([1, 1], [told("web.service")]);
    await house.until(() => box.systemd.asked.includes("start web.service"), 2_000);
    await house.clock.advance(4_900);
    box.systemd.onStart(name("web.service"), { kind: "up" });
    await box.tell([1, 2], [told("web.service"), told("db.service")]);
    await house.until(() => box.up().length === 2, 2_000);
  });

  test("a start that hangs holds neither others, nor its own removal", async () => {
    await open({ "slow.service": service(), "web.service": service(), "db.service": service() });
    box.systemd.onStart(name("slow.service"), { kind: "hangs" });
    box.start();
    await box.tell([1, 1], [told("slow.service"), told("web.service")]);
    await house.until(() => box.up().length === 2, 2_000);
    await box.tell([1, 2], [told("slow.service"), told("web.service"), told("db.service")]);
    await house.until(() => box.up().includes("db.service"), 2_000);
    box.asked();
    await house.clock.advance(600_000);
    assert.deepEqual(box.asked(), [], "it is waited for, not asked again");
    await box.tell([1, 3], [told("slow.service", { target: "released" }), told("web.service"), told("db.service")]);
    await house.until(async () => (await box.listed()).length === 2, 2_000);
    assert.deepEqual(box.asked(), ["stop slow.service", "remove slow.service"]);
  });

  test("a start that hangs gives way to a changed text", async () => {
    await open({ "slow.service": service() });
    box.systemd.onStart(name("slow.service"), { kind: "hangs" });
    box.start();
    await box.tell([1, 1], [told("slow.service")]);
    await house.until(() => box.up().length === 1, 2_000);
    const next = house.commit({ "slow.service": changed() });
    box.systemd.onStart(name("slow.service"), { kind: "up" });
    await box.tell([1, 2], [told("slow.service", { commit: next, text: changed() })]);
    await house.until(async () => (await box.listed()).includes("slow.service active"), 2_000);
  });

  test("a stop that fails is tried again, and the start that conflicts with it waits", async () => {
    await running({ "blue.service": service("Conflicts=green.service"), "web.service": service() });
    const green = service("Conflicts=blue.service");
    const next = house.commit({ "green.service": green, "web.service": service(), "db.service": service() });
    box.stops.set(name("blue.service"), "fails");
    await box.tell(
      [1, 2],
      [told("green.service", { commit: next, text: green }), told("web.service"), told("db.service", { commit: next })],
    );
    await house.until(() => box.up().includes("db.service"), 2_000);
    await house.always(() => !box.up().includes("green.service"), 60_000, 200);
    const tries = box.asked().filter((line) => line === "failing-stop blue.service").length;
    assert.ok(tries >= 3 && tries <= 5, `${tries} tries`);
    assert.ok(
      (await box.listed()).some((line) => line.startsWith("blue.service active ")),
      "its problem is shown",
    );
    box.stops.clear();
    await house.until(() => box.up().join(" ") === "db.service green.service web.service", 120_000, 100);
    await house.until(async () => (await box.listed()).every((line) => line.endsWith(" active")), 2_000);
  });

  for (const [what, isAway, rest] of [
    ["released", false, ["old.service"]],
    ["no longer named", false, []],
    ["released while its agent is away", true, ["old.service"]],
  ] as const)
    test(`one that alone says that it conflicts, and is ${what}, is waited for by the other`, async () => {
      const old = service("Conflicts=new.service");
      await running({ "old.service": old, "web.service": service() });
      const next = house.commit({ "new.service": service(), "web.service": service() });
      const stop = gate();
      box.stops.set(name("old.service"), stop.opened);
      if (isAway) await box.stop();
      await box.tell(
        [1, 2],
        [
          told("web.service"),
          told("new.service", { commit: next }),
          ...rest.map((unit) => told(unit, { text: old, target: "released" })),
        ],
      );
      if (isAway) box.start();
      await house.until(() => box.systemd.asked.includes("hanging-stop old.service"), 10_000);
      await house.always(() => !box.up().includes("new.service"), 60_000, 200);
      stop.open();
      await house.until(() => box.up().join(" ") === "new.service web.service", 2_000);
    });

  test("one that leaves is stopped also where its text is no longer at hand", async () => {
    const old = service("Conflicts=new.service");
    await running({ "old.service": old, "web.service": service() });
    await box.stop();
    await box.disk.write("unit-texts", "damaged\n");
    await box.tell([1, 2], [told("web.service"), told("old.service", { text: old, target: "released" })]);
    box.start();
    await house.until(() => box.up().join(" ") === "web.service", 10_000);
  });

  for (const [what, gone] of [
    ["released", { target: "released" }],
    ["to be loaded only", { target: "loaded" }],
  ] as const)
    test(`one that is ${what} and called back while it stops is started again`, async () => {
      await running({ "web.service": service() });
      // What nobody waits for any more is asked by nobody
      box.stops.set(name("web.service"), new Promise(() => undefined));
      await box.tell([1, 2], [told("web.service", gone)]);
      await house.clock.advance(1_000);
      box.systemd.setState(name("web.service"), { active: "inactive", sub: "dead" });
      box.asked();
      await box.tell([1, 3], [told("web.service")]);
      await house.until(() => box.up().includes("web.service"), 2_000);
      await house.clock.advance(10_000);
      assert.deepEqual(box.asked(), ["start web.service"]);
      assert.deepEqual(await box.listed(), ["web.service active"]);
    });

  test("one that is called back while it stops is not removed, also while that is still being kept", async () => {
    await running({ "web.service": service() });
    let stopped = (): void => undefined;
    box.stops.set(name("web.service"), new Promise((resolve) => (stopped = resolve)));
    await box.tell([1, 2], [told("web.service", { target: "released" })]);
    await house.clock.advance(1_000);
    let kept = (): void => undefined;
    box.disk.gate = new Promise((resolve) => (kept = resolve));
    await box.tell([1, 3], [told("web.service")]);
    await house.clock.advance(1_000);
    stopped();
    await house.clock.advance(1_000);
    assert.deepEqual(box.asked(), ["hanging-stop web.service", "stop web.service"]);
    box.disk.gate = undefined;
    kept();
    await house.until(() => box.up().includes("web.service"), 2_000);
    assert.deepEqual(box.asked(), ["start web.service"]);
  });

  for (const step of ["noteAhead", "letGo"] as const) {
    test(`one that is called back before it was asked to stop runs on, also while that is still being kept: ${step}`, async () => {
      await running({ "web.service": service() });
      const noted = gate();
      await box.stop();
      box.through = {
        systemd: (systemd) => ({
          ...systemd,
          noteAhead: async (unit, ahead) => {
            if (step === "noteAhead") await noted.opened;
            await systemd.noteAhead(unit, ahead);
          },
          letGo: async (unit) => {
            if (step === "letGo") await noted.opened;
            await systemd.letGo(unit);
          },
        }),
      };
      box.start();
      await box.tell([1, 2], [told("web.service", { target: "released" })]);
      await house.clock.advance(1_000);
      let kept = (): void => undefined;
      box.disk.gate = new Promise((resolve) => (kept = resolve));
      await box.tell([1, 3], [told("web.service")]);
      await house.clock.advance(1_000);
      noted.open();
      await house.clock.advance(1_000);
      box.disk.gate = undefined;
      kept();
      await house.clock.advance(10_000);
      assert.ok(!box.asked().includes("stop web.service"));
      assert.deepEqual(await box.listed(), ["web.service active"]);
    });
  }

  test("one that leaves is wanted by nobody before it is stopped; called back meanwhile, it is again", async () => {
    const text = `${service()}[Install]\nWantedBy=web.service\n`;
    await running({ "web.service": text });
    let stopped = (): void => undefined;
    box.stops.set(name("web.service"), new Promise((resolve) => (stopped = resolve)));
    await box.tell([1, 2], [told("web.service", { text, target: "released" })]);
    await house.clock.advance(1_000);
    assert.deepEqual(box.asked(), ["reload", "hanging-stop web.service"]);
    assert.ok(!box.systemd.isEnabled(name("web.service")));
    await box.tell([1, 3], [told("web.service", { text })]);
    stopped();
    await house.until(() => box.up().includes("web.service"), 2_000);
    await house.until(() => box.systemd.isEnabled(name("web.service")), 2_000);
    await house.clock.advance(1_000);
    assert.equal((await box.systemd.open().placed())[0]?.installDue, undefined);
  });

  test("one that cannot be written holds nobody; it is tried again", async () => {
    await open({ "big.service": service(), "web.service": service() });
    box.systemd.failWrites(name("big.service"), new Problem("disk-write", "Cannot write: the file system is full"));
    box.start();
    await box.tell([1, 1], [told("big.service"), told("web.service")]);
    await house.until(async () => (await box.listed()).length === 2, 2_000);
    assert.deepEqual(await box.listed(), ["big.service inactive disk-write", "web.service active"]);
    box.systemd.failWrites(name("big.service"), undefined);
    await house.until(() => box.up().includes("big.service"), 120_000, 100);
    await house.until(async () => (await box.listed()).join() === "big.service active,web.service active", 2_000);
  });

  test("one that leaves is stopped also while systemd refuses to read units anew; others are taken up when it no longer does", async () => {
    await running({ "web.service": service(), "old.service": service() });
    await box.stop();
    let refusal: Problem | undefined = new Problem("systemd-reload", "Cannot have systemd read its units anew");
    box.through = {
      systemd: (systemd) => ({
        ...systemd,
        reload: async () => {
          if (refusal !== undefined) throw refusal;
          return systemd.reload();
        },
      }),
    };
    box.start();
    const next = house.commit({ "web.service": changed() });
    await box.tell([1, 2], [told("web.service", { commit: next, text: changed() })]);
    await house.until(() => !box.up().includes("old.service"), 2_000);
    await house.clock.advance(10_000);
    assert.deepEqual([...box.asked()].sort(), ["remove old.service", "stop old.service", "write web.service"]);
    refusal = undefined;
    await house.until(() => box.systemd.asked.at(-1) === "restart web.service", 60_000, 100);
    assert.deepEqual(box.asked(), ["reload", "restart web.service"]);
  });

  /** A restart for a changed text ends while what lies here is read for the next manifest: with this text of it. */
  async function endsWhileRead(then: string): Promise<void> {
    await running({ "web.service": service(), "old.service": service() });
    const [asked, read] = [gate(), gate()];
    let isSlow = false;
    await box.stop();
    box.through = {
      systemd: (systemd) => ({
        ...systemd,
        run: async (job, unit, signal) => {
          if (unit === "web.service") await asked.opened;
          return systemd.run(job, unit, signal);
        },
        placed: async () => {
          const found = await systemd.placed();
          if (isSlow) await read.opened;
          return found;
        },
      }),
    };
    box.start();
    const next = house.commit({ "web.service": changed(), "old.service": service() });
    const last = house.commit({ "web.service": then, "old.service": changed() });
    const web = told("web.service", { commit: next, text: changed(), restart: "now" });
    // So that its commit is at hand then
    await box.tell([1, 2], [web, told("old.service", { commit: last, text: changed() })]);
    await house.until(() => box.systemd.textOf(name("web.service")) === changed(), 2_000);
    await house.clock.advance(1_000);
    isSlow = true;
    await box.tell([1, 3], [{ ...web, commit: last, text: then }]);
    await house.clock.advance(1_000);
    asked.open();
    await house.clock.advance(1_000);
    isSlow = false;
    read.open();
    await house.until(async () => (await box.listed()).length === 1, 2_000);
    await house.clock.advance(10_000);
  }

  test("a job that ends while what lies here is being read counts: it is not done again", async () => {
    await endsWhileRead(changed());
    assert.deepEqual(
      box.asked().filter((line) => line.endsWith("web.service")),
      ["write web.service", "restart web.service"],
    );
  });

  test("of which flotilla alone reads what changes in that moment restarts nothing", async () => {
    await endsWhileRead(`${changed()}[X-Fleet]\nPriority=5\n`);
    assert.deepEqual(
      box.asked().filter((line) => line.endsWith("web.service")),
      ["write web.service", "restart web.service", "write web.service"],
    );
  });
});

describe("the agent's own life", () => {
  test("a restart restarts nothing", async () => {
    await running({ "web.service": service(), "lying.service": service(), "down.service": service() });
    await box.tell([1, 2], [told("web.service"), told("lying.service", { target: "loaded" }), told("down.service")]);
    await house.until(() => box.up().length === 2, 2_000);
    box.systemd.setState(name("down.service"), { active: "failed", sub: "failed", result: "exit-code" });
    box.asked();
    for (let each = 0; each < 3; each++) {
      await box.stop();
      await house.clock.advance(each * 20_000);
      box.start();
      await house.clock.advance(20_000);
    }
    // Whether systemd had read a unit that was only loaded is not known to a new process: it may ask for a reload.
    assert.deepEqual(
      box.asked().filter((line) => line !== "reload"),
      [],
    );
    assert.deepEqual(await box.listed(), ["down.service failed", "lying.service inactive", "web.service active"]);
  });

  test("a soft reboot brings back what was up, once, and what had ended as well, as any reboot does", async () => {
    await running({ "web.service": service(), "once.service": service(), "lying.service": service() });
    const lying = told("lying.service", { target: "loaded" });
    await box.tell([1, 2], [told("web.service", { restart: "r-1" }), told("once.service"), lying]);
    await house.until(() => box.up().length === 2, 2_000);
    box.systemd.setState(name("once.service"), { active: "inactive", sub: "dead" });
    await house.clock.advance(1_000);
    box.asked();
    await box.stop();
    box.systemd.softReboot();
    box.start();
    await house.until(() => box.up().join() === "once.service,web.service", 10_000);
    await box.stop();
    box.start();
    await house.clock.advance(10_000);
    const jobs = box.asked().filter((line) => line !== "reload");
    assert.deepEqual(jobs, ["start once.service", "start web.service"]);
  });

  test("a restart in the middle of a batch takes it up where it was", async () => {
    await open({ "slow.service": service(), "web.service": service() });
    box.systemd.onStart(name("slow.service"), { kind: "hangs" });
    box.start();
    await box.tell([1, 1], [told("slow.service"), told("web.service")]);
    await house.until(() => box.up().length === 2, 2_000);
    await box.stop();
    box.asked();
    box.start();
    await house.clock.advance(1_000);
    assert.ok(!box.asked().some((line) => line.includes("web.service")));
    box.systemd.finish(name("slow.service"), "done");
    await house.until(async () => (await box.listed()).includes("slow.service active"), 2_000);
    await house.clock.advance(60_000);
    assert.ok(!box.asked().some((line) => line.startsWith("restart")));
  });

  test("loaded units are written and not started; launched ones that shall be loaded are stopped and stay", async () => {
    await running({ "web.service": service() });
    await box.tell([1, 2], [told("web.service", { target: "loaded" })]);
    await house.until(() => box.up().length === 0, 1_000);
    await house.clock.advance(1_000);
    assert.deepEqual(box.asked(), ["stop web.service"]);
    assert.deepEqual(await box.listed(), ["web.service inactive"]);
    await box.tell([1, 3], [told("web.service")]);
    await house.until(() => box.up().length === 1, 1_000);
    assert.deepEqual(box.asked(), ["start web.service"]);
  });

  test("a systemd that is away is waited for; nothing is concluded from its silence", async () => {
    await running({ "web.service": service(), "db.service": service() });
    box.systemd.disconnect();
    await box.tell([1, 2], [told("web.service")]);
    await house.clock.advance(20_000);
    assert.notEqual(await box.problem("systemd-unreachable"), undefined);
    assert.deepEqual(await box.listed(), ["db.service active", "web.service active"]);
    box.systemd.reconnect();
    await house.until(() => box.up().join() === "web.service", 15_000);
    assert.deepEqual(box.asked(), ["stop db.service", "remove db.service"]);
    await house.until(async () => (await box.listed()).length === 1, 15_000);
    assert.equal(await box.problem("systemd-unreachable"), undefined);
  });
});

function hostile(): unknown {
  const entry = { name: "../../etc/passwd.service", source: "git", commit: "c".repeat(40), hash: "d".repeat(40) };
  return { machine: "a".repeat(32), epoch: 9, generation: 9, units: [{ ...entry, target: "launched" }] };
}
