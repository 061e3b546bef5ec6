// What people change beside git: units submitted by hand, holds on git's units, restarts; with a leader, without one,
// without a repository, and across restarts.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { UnitName } from "../../../agent/domain/names.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { coversRestart, maxEvents } from "../../../agent/domain/submitted.ts";
import type { Hands, Submission } from "../../../agent/ports/hands.ts";
import { encodeEvent, encodeManifest, encodeSubmittedUnit, keys } from "../../../agent/text/values.ts";
import { unitHash } from "../../../agent/text/hash.ts";
import { House, type HouseOptions, changed, machineLeaseMs, name, service } from "./house.ts";

let house: House;
afterEach(() => house.close());

async function open(options: HouseOptions = {}): Promise<House> {
  house = await House.open(options);
  return house;
}

/** The agents of a house without a repository, up and led. */
async function openWithoutGit(options: HouseOptions = {}): Promise<void> {
  await open({ ...options, git: false });
  house.start();
  await house.until(async () => (await house.held()).manifests.size === house.machines.length, 5_000);
}

const by = "ann@desk";
const hands = (letter: string): Hands => house.box(letter).agent.hands;

function submit(letter: string, unit: string, more: Partial<Submission> = {}): Promise<string> {
  const submission = { name: name(unit), text: service(), replace: false, by, target: "launched" as const, ...more };
  return house.settle(hands(letter).submit(submission));
}

function target(letter: string, unit: string, wanted: "inactive" | "loaded" | "launched", more = {}) {
  return house.settle(hands(letter).setTarget({ name: name(unit), target: wanted, by, ...more }));
}

async function refused(work: Promise<unknown>): Promise<string> {
  return house.settle(
    work.then(
      () => "done",
      (error: unknown) => (error instanceof Problem ? error.code : String(error)),
    ),
  );
}

async function events(letter: string): Promise<readonly string[]> {
  const { events: all } = await house.settle(house.box(letter).agent.view.picture());
  return all.map(({ kind, by: who, unit }) => `${kind} ${who} ${unit ?? ""}`.trim());
}

describe("submitted units", () => {
  test("run beside the repository's, under the same rules, asked of any machine", async () => {
    await open({ machines: "abc", leaders: "a" });
    await house.ready();
    await house.deploy({ "web.service": service("Conflicts=hand.service") });
    assert.equal(await submit("c", "hand.service"), "created");
    await house.until(() => house.isUp({ "web.service": "a", "hand.service": "b" }), 5_000);
    assert.equal(await submit("b", "hand.service"), "unchanged");
    assert.equal(
      await refused(hands("b").submit({ name: name("hand.service"), text: changed(), replace: false, by })),
      "unit-differs",
    );
    await house.clock.advance(5);
    assert.equal(await submit("b", "hand.service", { text: changed(), replace: true, target: undefined }), "replaced");
    await house.until(() => house.box("b").systemd.textOf(name("hand.service")) === changed(), 5_000);
    assert.ok(house.isUp({ "web.service": "a", "hand.service": "b" }), "it keeps its target and its place");
    await house.clock.advance(5);
    assert.deepEqual(await target("a", "hand.service", "loaded"), {
      outcome: "set",
      before: "launched",
      target: "loaded",
    });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    await house.clock.advance(5); // what other machines do in one millisecond is in no order
    await house.settle(hands("c").destroy(name("hand.service"), by));
    await house.until(async () => (await house.held()).manifests.get(house.box("b").id)?.units.length === 0, 5_000);
    assert.deepEqual(
      (await events("a")).filter((line) => line.endsWith("hand.service")),
      [
        "unit-submitted ann@desk hand.service",
        "unit-replaced ann@desk hand.service",
        "unit-target ann@desk hand.service",
        "unit-destroyed ann@desk hand.service",
      ],
    );
  });

  test("without a repository they are all that there is, and outlive every leader", async () => {
    await openWithoutGit({ machines: "abc" });
    await submit("a", "web@.service", { target: undefined });
    await submit("a", "web@1.service");
    await house.until(() => house.isUp({ "web@1.service": "a" }), 5_000);
    const leader = (await house.leader()) ?? "";
    const other = leader === "a" ? "b" : "a";
    house.machines.forEach((each) => each.asked());
    await house.box(leader).stop();
    await house.until(async () => ![undefined, leader].includes(await house.leader()), 20_000);
    house.box(leader).start();
    await submit(other, "more.service");
    await house.until(() => house.up()["more.service"] !== undefined, 30_000);
    const asked = house.machines.flatMap((each) => each.asked()).filter((line) => line.includes("web@1"));
    assert.deepEqual(asked, [], "nobody touched what ran");
  });

  test("a machine brings them back after a reboot without a registry", async () => {
    await openWithoutGit({ machines: "a" });
    await submit("a", "web.service");
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const box = house.box("a");
    await box.crash();
    box.connection.cutOff();
    box.start();
    await house.until(() => house.isUp({ "web.service": "a" }), 20_000);
  });

  test("a machine that takes none is given none, and says so where it is asked", async () => {
    await open({ machines: "ab", leaders: "a", submit: "a" });
    await house.ready();
    assert.equal(await refused(submit("b", "web.service")), "submit-off");
    await house.deploy({ "big.service": service() });
    await house.until(() => house.isUp({ "big.service": "a" }), 5_000);
    await submit("a", "web.service");
    await house.until(() => house.isUp({ "big.service": "a", "web.service": "a" }), 5_000);
    await submit("a", "side.service", { text: service("Conflicts=big*") });
    await house.clock.advance(1_000);
    const { decisions } = await house.settle(house.box("a").agent.view.picture());
    const waiting = decisions.find(({ unit }) => unit === "side.service");
    assert.deepEqual(waiting?.kind === "wait" ? waiting.refusals.map(({ example }) => example) : waiting, [
      "needs AllowSubmit=yes",
      "conflicts with big.service",
    ]);
  });

  test("a machine that takes none runs none, whatever a manifest says", async () => {
    await open({ machines: "b", leaders: "", submit: "" });
    await house.ready();
    const unit = { name: name("web.service"), text: service(), dropIns: [], target: "launched", by, atMs: 1 } as const;
    await house.put(keys.unit(unit.name), encodeSubmittedUnit(unit));
    const entry = { name: unit.name, source: "submitted", hash: unitHash(unit.text, []), target: "launched" } as const;
    const manifest = { machine: house.box("b").id, epoch: 1, generation: 1, units: [entry] };
    await house.put(keys.manifest(manifest.machine), encodeManifest(manifest));
    await house.until(async () => (await house.box("b").problem("submit-off")) !== undefined, 5_000);
    assert.deepEqual(house.up(), {});
  });

  /** A cluster that b leads, which takes none itself, with one on a. */
  const openLedByClosed = async (options: HouseOptions): Promise<void> => {
    await open({ leaders: "b", ...options });
    await house.ready();
    await submit("a", "hand.service");
    await house.until(() => house.isUp({ "hand.service": "a" }), 5_000);
    await house.clock.advance(2 * machineLeaseMs);
    house.box("a").asked();
  };

  test("a leader that takes none decides those that others take, and its own listing has them", async () => {
    await openLedByClosed({ machines: "abc", submit: "ac" });
    await house.box("b").stop();
    house.box("b").start();
    await house.clock.advance(2 * machineLeaseMs);
    assert.deepEqual(house.box("a").asked(), [], "it is taken over as it is");
    const { desired } = await house.settle(house.box("b").agent.view.picture());
    assert.ok(desired?.submitted.has(name("hand.service")));
    assert.equal(await refused(submit("b", "more.service")), "submit-off");
    await house.box("a").crash();
    await house.until(() => house.isUp({ "hand.service": "c" }), 3 * machineLeaseMs);
    assert.deepEqual(house.box("b").up(), []);
  });

  test("nothing is taken away while the machine that takes them is lost, be it for longer than its lease", async () => {
    await openLedByClosed({ machines: "ab", submit: "a" });
    await house.box("a").kill();
    await house.clock.advance(3 * machineLeaseMs);
    await house.box("b").stop();
    house.box("b").start();
    await house.clock.advance(3 * machineLeaseMs);
    house.box("a").start();
    await house.clock.advance(3 * machineLeaseMs);
    assert.deepEqual(house.box("a").asked(), []);
    assert.deepEqual(house.up(), { "hand.service": "a" });
  });

  test("where no machine takes them any more, what was submitted before is taken away, whoever is lost", async () => {
    await openLedByClosed({ machines: "abc", submit: "ac" });
    await house.box("a").crash();
    await house.until(() => house.isUp({ "hand.service": "c" }), 3 * machineLeaseMs);
    const { allowSubmit } = house.box("b");
    await house.box("c").stop();
    house.box("c").allowSubmit = allowSubmit;
    house.box("c").start();
    await house.until(() => house.isUp({}), 3 * machineLeaseMs);
    house.box("a").allowSubmit = allowSubmit;
    house.box("a").start();
    await house.clock.advance(3 * machineLeaseMs);
    assert.deepEqual(house.up(), {});
    const { desired } = await house.settle(house.box("b").agent.view.picture());
    assert.equal(desired?.submitted.size, 0);
  });

  test("before the first good commit of a repository they wait, and every machine says so", async () => {
    await open({ machines: "a" });
    house.commit({ "web.service": service("Global=perhaps") });
    house.start();
    await house.until(async () => (await house.held()).revision.refused !== undefined, 20_000);
    await submit("a", "hand.service");
    assert.ok((await house.box("a").problem("commit-none")) !== undefined);
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a", "hand.service": "a" }), 5_000);
    assert.equal(await house.box("a").problem("commit-none"), undefined);
  });

  test("the repository takes a name over, and an event says so", async () => {
    await open({ machines: "a" });
    await house.ready();
    await submit("a", "web.service");
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    await house.deploy({ "web.service": changed() });
    await house.until(() => house.box("a").systemd.textOf(name("web.service")) === changed(), 5_000);
    await house.until(async () => (await house.operator.read(keys.units)).entries.length === 0, 5_000);
    assert.ok((await events("a")).includes("unit-taken-over host-a web.service"));
    assert.equal(await refused(submit("a", "web.service")), "unit-git");
    assert.equal(await refused(hands("a").destroy(name("web.service"), by)), "unit-git");
    assert.ok(house.isUp({ "web.service": "a" }));
  });

  test("one that cannot be read any more stays as it is", async () => {
    await open({ machines: "a" });
    await house.ready();
    await submit("a", "web.service");
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    house.box("a").asked();
    for (const damaged of [
      "{",
      "{}",
      JSON.stringify({ name: "web.service", text: "no section", dropIns: [], target: "launched", by, atMs: 1 }),
    ]) {
      await house.put(keys.unit(name("web.service")), damaged);
      await house.clock.advance(machineLeaseMs * 2);
      assert.deepEqual([house.up(), house.box("a").asked()], [{ "web.service": "a" }, []], damaged);
    }
  });

  for (const [what, given, code] of [
    ["a faulty option", { text: service("Global=perhaps") }, "unit-option-value"],
    ["no section", { text: "nonsense" }, "unit-line"],
    ["nothing", { text: "" }, "unit-empty"],
    ["far too much", { text: `${service()}#${"x".repeat(300_000)}` }, "unit-size"],
    ["a template that is to run", { name: "web@.service" as UnitName }, "unit-template"],
  ] as const)
    test(`${what} is refused, and nothing is written`, async () => {
      await openWithoutGit({ machines: "a" });
      const submission = {
        name: name("web.service"),
        text: service(),
        replace: false,
        by,
        target: "launched" as const,
      };
      assert.equal(await refused(hands("a").submit({ ...submission, ...given })), code);
      assert.equal((await house.operator.read(keys.units)).entries.length, 0);
    });
});

describe("holds", () => {
  test("stop a unit of the repository until they are lifted, across commits, leaders and restarts", async () => {
    await open({ machines: "ab" });
    await house.ready();
    await house.deploy({ "web.service": service(), "db.service": service() });
    await house.until(() => house.isUp({ "db.service": "a", "web.service": "b" }), 5_000);
    assert.deepEqual(await target("b", "web.service", "loaded", { why: "disk is full" }), {
      outcome: "held",
      before: "launched",
      target: "loaded",
    });
    await house.until(() => house.isUp({ "db.service": "a" }), 5_000);
    await house.deploy({ "web.service": changed(), "db.service": service() });
    await Promise.all(house.machines.map((each) => each.stop()));
    house.start();
    await house.until(async () => (await house.held()).machines.size === 2, 20_000);
    await house.always(() => house.isUp({ "db.service": "a" }), machineLeaseMs * 2);
    const { desired, holds } = await house.settle(house.box("a").agent.view.picture());
    assert.equal(holds.get(name("web.service"))?.why, "disk is full");
    assert.equal(desired?.held.get(name("web.service"))?.declared, "launched");
    assert.equal((await target("a", "web.service", "launched")).outcome, "resumed");
    await house.until(() => house.isUp({ "db.service": "a", "web.service": "b" }), 5_000);
    assert.equal((await target("a", "web.service", "launched")).outcome, "unchanged");
  });

  test("run out when their time is over", async () => {
    await open({ machines: "a" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    await target("a", "web.service", "inactive", { forMs: 3_600_000 });
    await house.until(() => house.isUp({}), 5_000);
    await house.clock.advance(3_500_000);
    assert.deepEqual(house.up(), {});
    await house.until(() => house.isUp({ "web.service": "a" }), 200_000, 1_000);
    assert.ok((await events("a")).includes("unit-resumed host-a web.service"));
  });

  test("run out in time also under a leader whose clock was behind when they began", async () => {
    await open({ machines: "a" });
    const a = house.box("a");
    const clock = house.clock.process();
    a.through = { clock };
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    await target("a", "web.service", "inactive", { forMs: 3_600_000 });
    await house.until(() => house.isUp({}), 5_000);
    await house.clock.advance(120_000); // nothing else wakes it
    clock.stepWall(3_600_000);
    await house.until(() => house.isUp({ "web.service": "a" }), 61_000);
  });

  test("without an end take the place of one that ends; asked for once more they are as they were", async () => {
    await open({ machines: "a" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
    const outcomes: string[] = [];
    const hold = async (more: { readonly forMs?: number; readonly why?: string }): Promise<void> => {
      await house.clock.advance(5);
      outcomes.push((await target("a", "web.service", "inactive", more)).outcome);
    };
    await hold({ forMs: 12_000 });
    await hold({});
    await house.clock.advance(60_000);
    assert.deepEqual(house.up(), {}, "nothing lifts it");
    await hold({});
    await hold({ forMs: 12_000, why: "a rest" });
    await hold({ forMs: 24_000 });
    assert.deepEqual(outcomes, ["held", "held", "unchanged", "held", "held"]);
    assert.equal((await events("a")).filter((event) => event === `unit-held ${by} web.service`).length, 4);
    await house.until(() => house.isUp({ "web.service": "a" }), 60_000, 1_000);
  });

  test("by patterns, and lifted by patterns; what is not there is named", async () => {
    await open({ machines: "a" });
    await house.ready();
    await house.deploy({
      "web@.service": service(),
      "web@1.service": "-> web@.service",
      "web@2.service": "-> web@.service",
      "db.service": service(),
    });
    await submit("a", "hand.service");
    await house.until(() => Object.keys(house.up()).length === 4, 5_000);
    const held = await house.settle(hands("a").hold({ patterns: ["web@*"], target: "loaded", by }));
    assert.deepEqual(
      held.map(({ unit }) => unit),
      ["web@1.service", "web@2.service"],
    );
    await house.until(() => house.isUp({ "db.service": "a", "hand.service": "a" }), 5_000);
    assert.equal(await refused(hands("a").hold({ patterns: ["nothing*"], target: "loaded", by })), "unit-unknown");
    assert.equal(
      await refused(hands("a").hold({ patterns: ["hand.service"], target: "loaded", by })),
      "unit-submitted",
    );
    assert.equal(await refused(hands("a").resume(["db.service"], by)), "hold-unknown");
    assert.deepEqual(await house.settle(hands("a").resume(["*"], by)), ["web@1.service", "web@2.service"]);
    await house.until(() => Object.keys(house.up()).length === 4, 5_000);
    assert.deepEqual(await house.settle(hands("a").resume(["*"], by)), []);
    const told = (await events("a")).filter((event) => /web@2/.test(event));
    assert.deepEqual(told, [`unit-held ${by} web@2.service`, `unit-resumed ${by} web@2.service`]);
  });

  test("one that cannot be read leaves its unit as it is", async () => {
    await open({ machines: "a" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await target("a", "web.service", "loaded");
    await house.until(() => house.isUp({}), 5_000);
    await house.put(keys.hold(name("web.service")), "{");
    await house.clock.advance(machineLeaseMs * 2);
    assert.deepEqual(house.up(), {}, "unknown is not lifted");
    assert.equal((await target("a", "web.service", "launched")).outcome, "resumed");
    await house.until(() => house.isUp({ "web.service": "a" }), 5_000);
  });
});

describe("restarts", () => {
  test("each machine that runs the unit restarts it once, and says so", async () => {
    await open({ machines: "ab" });
    await house.ready();
    await house.deploy({ "log.service": service("Global=true"), "off.service": service("DesiredState=loaded") });
    await house.until(() => house.isUp({ "log.service": "ab" }), 5_000);
    house.machines.forEach((each) => each.asked());
    const id = await house.settle(hands("b").restart(name("log.service"), by));
    await house.until(async () => {
      const { statuses } = await house.held();
      return [...statuses.values()].every(
        ({ units }) => units.find((each) => each.name === "log.service")?.restart === id,
      );
    }, 5_000);
    const restarts = house.machines.map((each) => each.asked().filter((line) => line.includes("restart")));
    assert.deepEqual(restarts, [["restart log.service"], ["restart log.service"]]);
    // The request itself is gone after a while; neither that nor new agents restart it again
    await house.clock.advance(700_000);
    await Promise.all(house.machines.map((each) => each.stop()));
    house.start();
    await house.clock.advance(20_000);
    const again = house.machines.flatMap((each) => each.asked().filter((line) => line !== "reload"));
    assert.deepEqual(again, []);
    assert.equal(await refused(hands("a").restart(name("off.service"), by)), "unit-not-launched");
    assert.equal(await refused(hands("a").restart(name("none.service"), by)), "unit-unknown");
  });

  test("one in a registry that was put back comes after all that were carried out", async () => {
    await open({ machines: "ab" });
    await house.ready();
    const backup = house.store.backUp();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.up()["web.service"] !== undefined, 5_000);
    for (let each = 0; each < 30; each++) await house.put(`more/${each}`, "1");
    const box = house.box(house.running("web.service"));
    const restart = async (): Promise<string> => {
      box.asked();
      const id = await house.settle(hands("a").restart(name("web.service"), by));
      await house.until(() => box.asked().includes("restart web.service"), 5_000);
      await house.clock.advance(2_000);
      return id;
    };
    const before = await restart();
    house.store.restoreFrom(backup);
    await house.clock.advance(3 * machineLeaseMs);
    const after = await restart();
    assert.deepEqual([coversRestart(after, before), coversRestart(before, after)], [true, false]);
  });

  test("two that are asked for at once are in order: who carries out the later one has carried out both", async () => {
    await open({ machines: "ab" });
    await house.ready();
    await house.deploy({ "web.service": service() });
    await house.until(() => house.up()["web.service"] !== undefined, 5_000);
    const asked = await house.settle(
      Promise.all(["a", "b", "a"].map((letter) => hands(letter).restart(name("web.service"), by))),
    );
    const box = house.box(house.running("web.service"));
    const carriedOut = async (): Promise<string | undefined> => (await box.status())?.units[0]?.restart;
    await house.until(async () => asked.includes((await carriedOut()) ?? ""), 5_000);
    await house.clock.advance(5_000);
    const last = await carriedOut();
    assert.deepEqual(
      asked.map((id) => coversRestart(last, id)),
      [true, true, true],
    );
    const others = asked.filter((id) => id !== last);
    assert.deepEqual(
      others.map((id) => coversRestart(id, last ?? "")),
      [false, false],
    );
  });
});

test("the leader keeps no more events than it may", async () => {
  await open({ machines: "a" });
  await house.ready();
  const event = { kind: "unit-held", atMs: 1, by, message: "Something happened" } as const;
  for (let index = 0; index < maxEvents + 60; index++) await house.put(keys.event(index, "x"), encodeEvent(event));
  await house.until(async () => (await house.operator.read(keys.events)).entries.length <= maxEvents + 50, 5_000);
  const first = (await house.operator.read(keys.events)).entries[0]?.key ?? "";
  assert.ok(first > keys.event(30, ""), `the oldest went first: ${first}`);
});
