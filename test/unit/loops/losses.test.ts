// Machines that are lost: of many at once nothing is moved until enough are back or given up, a single one's units are
// elsewhere at once, and one that comes and goes takes nothing new for a while. Whole clusters on a clock of the test's own.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { ClusterEvent, EventKind } from "../../../agent/domain/submitted.ts";
import type { Registry } from "../../../agent/ports/registry.ts";
import { encodeMachineSettings, keys, parseEvent, parseMachineSettings } from "../../../agent/text/values.ts";
import { type Box, House, type HouseOptions, idOf, machineLeaseMs, name, service, passingOn } from "./house.ts";

let house: House;
afterEach(() => house.close());

/** Units web1, web2, ... one a machine in the order of letters, and a global one. */
async function spreadOut(options: HouseOptions & { readonly machines: string }): Promise<void> {
  house = await House.open(options);
  await house.ready();
  await house.deploy({ "log.service": service("Global=true"), ...webs(options.machines.length) });
  await house.until(() => Object.keys(house.up()).length === options.machines.length + 1, 5_000);
  await house.clock.advance(2 * machineLeaseMs); // all were seen for a full lease
  for (const [index, letter] of Array.from(options.machines).entries()) assert.equal(at(index + 1), letter);
}

const webs = (count: number): Readonly<Record<string, string>> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`web${n + 1}.service`, service()]));
/** Letters of the machines on which a unit is up. */
const at = (number: number): string | undefined => house.up()[`web${number}.service`];
const boxes = (letters: string): readonly Box[] => Array.from(letters).map((letter) => house.box(letter));

async function crash(letters: string): Promise<void> {
  for (const box of boxes(letters)) await box.crash();
}

function start(letters: string): void {
  for (const box of boxes(letters)) box.start();
}

async function present(): Promise<string> {
  return [...(await house.held()).machines.keys()].map((id) => id.charAt(0)).join("");
}

async function told(...kinds: readonly EventKind[]): Promise<readonly ClusterEvent[]> {
  const { entries } = await house.operator.read(keys.events);
  const all = entries.map(({ key, value }) => parseEvent(key, value)).flatMap((read) => (read.ok ? [read.value] : []));
  return all.filter(({ kind }) => kinds.includes(kind));
}

/** As an operator who sits at the machine that leads. */
async function say(change: "cordon" | "uncordon", letter: string): Promise<void> {
  const { hands } = (await house.leading()).agent;
  await house.settle(hands.maintain({ machine: idOf(letter), change, by: "ann@desk" }));
}

test("who is lost, with what, and who is back, is told in the events", async () => {
  await spreadOut({ machines: "abc", leaders: "a" });
  await crash("c");
  await house.until(() => at(3) !== undefined, machineLeaseMs + 1_000);
  const lost = await told("machine-lost", "machine-returned");
  assert.deepEqual(
    lost.map(({ kind, machine, message }) => [kind, machine, message]),
    [["machine-lost", idOf("c"), "host-c is lost; it had log.service, web3.service"]],
  );
  start("c");
  await house.until(async () => (await told("machine-returned")).length === 1, 5_000);
  await house.clock.advance(10_000);
  const all = await told("machine-lost", "machine-returned");
  assert.deepEqual(
    all.map(({ message }) => message),
    ["host-c is lost; it had log.service, web3.service", "host-c is back"],
  );
});

describe("the brake", () => {
  for (const [seed, spread] of [
    [1, 0],
    [2, 3_300],
    [3, 3_300],
    [4, 2_000],
  ] as const) {
    test(`holds when four of six are lost over ${spread} ms (seed ${seed}): nothing moves, and it is told once`, async () => {
      await spreadOut({ machines: "abcdef", leaders: "ab", seed });
      for (const letter of "cdef") {
        await house.box(letter).kill();
        start(letter);
        await house.clock.advance(spread / 4); // from now on its renewals come so much later
      }
      await house.clock.advance(machineLeaseMs + 300 * seed);
      await crash("cdef");
      await house.until(async () => (await present()) === "ab", machineLeaseMs + 5_000);
      await house.always(() => Object.keys(house.up()).length === 3, 60_000, 500);
      assert.deepEqual([at(1), at(2)], ["a", "b"]);
      const [lost, ...more] = await told("machines-lost", "machines-returned");
      assert.deepEqual(more, []);
      assert.match(
        lost?.message ?? "",
        /^4 of 6 machines are lost at once: host-c \(c{8}\), host-d \(d{8}\), host-e \(e{8}\) and 1 more\. /,
      );
      const leader = await house.leading();
      assert.match((await leader.problem("loss-brake"))?.hint ?? "", /flotilla cordon MACHINE/);
      assert.equal(leader.log.lines.filter(({ event }) => event === "brake.on").length, 1);
    });
  }

  test("is let go when enough are back: what is lost still moves, what is back keeps what it has", async () => {
    await spreadOut({ machines: "abcdef", leaders: "a" });
    await crash("bcdef");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    await house.clock.advance(20_000);
    start("c");
    await house.until(() => at(3) === "c", 5_000);
    await house.always(() => ![2, 4, 5, 6].some((each) => at(each) !== undefined), 10_000, 500);
    start("d");
    await house.until(() => [2, 5, 6].every((each) => at(each) !== undefined), 15_000);
    assert.deepEqual([at(3), at(4)], ["c", "d"]);
    await house.until(async () => (await told("machines-returned")).length === 1, 1_000);
    assert.equal(await house.box("a").problem("loss-brake"), undefined);
    await house.clock.advance(30_000);
    assert.equal((await told("machines-lost", "machines-returned")).length, 2);
  });

  test("leaves those that are back some seconds after the others what they have", async () => {
    await spreadOut({ machines: "abc", leaders: "a" });
    await crash("bc");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    await house.clock.advance(20_000);
    start("b");
    await house.until(() => at(2) === "b", 5_000);
    await house.always(() => at(3) === undefined, 3_000, 100);
    start("c");
    await house.until(() => at(3) === "c", 5_000);
    await house.until(async () => (await told("machines-returned")).length === 1, 2 * machineLeaseMs);
    assert.deepEqual([at(1), at(2), at(3)], ["a", "b", "c"]);
  });

  test("each return gives the rest of them one more lease", async () => {
    await spreadOut({ machines: "abcd", leaders: "a" });
    await crash("bcd");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    start("b");
    await house.until(() => at(2) === "b", 5_000);
    await house.clock.advance(8_000);
    start("c");
    await house.until(() => at(3) === "c", 5_000);
    await house.always(() => at(4) === undefined, 8_000, 100);
    start("d");
    await house.until(() => at(4) === "d", 5_000);
  });

  test("whoever does not follow in time is given up", async () => {
    await spreadOut({ machines: "abcd", leaders: "a" });
    await crash("bcd");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    start("bc");
    await house.until(() => at(2) === "b" && at(3) === "c", 5_000);
    await house.until(() => at(4) !== undefined, machineLeaseMs + 5_000);
  });

  test("a machine that an operator cordons is given up, and its units move", async () => {
    await spreadOut({ machines: "abcdef", leaders: "a" });
    await crash("cdef");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    await say("cordon", "d");
    await house.until(() => at(4) !== undefined, 5_000);
    await house.always(() => at(3) === undefined && at(5) === undefined && at(6) === undefined, 30_000, 500);
    await say("cordon", "e");
    await house.until(() => at(3) !== undefined && at(5) !== undefined && at(6) !== undefined, 5_000);
  });

  test("stays on under another leader, and is not told again", async () => {
    await spreadOut({ machines: "abcdef", leaders: "ab" });
    await crash("cdef");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    const old = await house.leading();
    await old.stop();
    await house.until(async () => ![old.letter, undefined].includes(await house.leader()), 10_000);
    old.start();
    await house.always(() => Object.keys(house.up()).length === 3, 2 * machineLeaseMs + 30_000, 500);
    assert.equal((await told("machines-lost", "machines-returned")).length, 1);
    assert.ok((await (await house.leading()).problem("loss-brake")) !== undefined);
    assert.equal(await old.problem("loss-brake"), undefined, "who leads no longer is in no trouble");
    start("cd");
    await house.until(() => at(5) !== undefined && at(6) !== undefined, 15_000);
  });

  test("holds when the leader is among the lost", async () => {
    await spreadOut({ machines: "abcdef", leaders: "abc" });
    const leader = (await house.leading()).letter;
    const others = Array.from("abcdef").filter((letter) => letter !== leader);
    const left = others.slice(0, 2).join("");
    await crash([leader, ...others.slice(2)].join(""));
    await house.until(async () => (await told("machines-lost")).length === 1, 3 * machineLeaseMs);
    await house.always(() => Object.keys(house.up()).length === 3, 60_000, 500);
    assert.equal(await present(), left);
  });

  test("does not hold one of two, nor one of three: its units are elsewhere 15 s after it was lost", async () => {
    for (const machines of ["ab", "abc"]) {
      await spreadOut({ machines, leaders: "a" });
      const last = machines.length;
      await crash(machines.charAt(last - 1));
      await house.until(() => at(last) !== undefined, machineLeaseMs + 1_000);
      assert.deepEqual(await told("machines-lost"), []);
      if (machines === "ab") await house.close();
    }
  });

  test("holds two of three", async () => {
    await spreadOut({ machines: "abc", leaders: "a" });
    await crash("bc");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    await house.always(() => at(2) === undefined && at(3) === undefined, 70_000, 500);
  });

  test("of 100% never holds", async () => {
    await spreadOut({ machines: "abcdef", leaders: "a", lossBrakePercent: 100 });
    await crash("bcdef");
    await house.until(() => Object.keys(house.up()).length === 7, machineLeaseMs + 2_000);
    assert.deepEqual(await told("machines-lost"), []);
  });

  test("does not count what was given up long ago, not even under another leader", async () => {
    await spreadOut({ machines: "abcdef", leaders: "ab" });
    for (const letter of "cdef") {
      await crash(letter);
      await house.clock.advance(75_000);
    }
    assert.equal(Object.keys(house.up()).length, 7, "one after another they are given up");
    const old = await house.leading();
    await old.stop();
    await house.until(async () => ![old.letter, undefined].includes(await house.leader()), 10_000);
    old.start();
    await house.clock.advance(2 * machineLeaseMs);
    assert.deepEqual(await told("machines-lost"), []);
    const fallen = (await house.leading()).letter === "a" ? "b" : "a";
    await crash(fallen);
    await house.until(() => Object.keys(house.up()).length === 7, machineLeaseMs + 2_000);
  });

  test("a unit that the repository gives up is taken away all the same, and a new one is placed", async () => {
    await spreadOut({ machines: "abcdef", leaders: "a" });
    await crash("cdef");
    await house.until(async () => (await told("machines-lost")).length === 1, machineLeaseMs + 5_000);
    const { ["web1.service"]: _gone, ...others } = webs(6);
    await house.deploy({ ...others, "new.service": service() });
    await house.until(() => house.up()["new.service"] !== undefined && at(1) === undefined, 5_000);
    assert.equal(at(5), undefined);
  });
});

describe("a machine that comes and goes", () => {
  const lose = async (letter: string): Promise<void> => {
    await crash(letter);
    await house.until(async () => !(await present()).includes(letter), machineLeaseMs + 1_000);
    await house.clock.advance(2_000);
  };
  const back = async (letter: string): Promise<void> => {
    start(letter);
    await house.until(async () => (await present()).includes(letter), 5_000);
    await house.until(() => (house.up()["log.service"] ?? "").includes(letter), 5_000);
  };
  const rests = async (letter: string): Promise<{ losses: number; untilMs: number } | undefined> => {
    const key = keys.settingsOf(idOf(letter));
    const { entry } = await house.operator.get(key);
    const read = entry === undefined ? undefined : parseMachineSettings(key, entry.value);
    return read?.ok === true ? read.value.rests : undefined;
  };
  let units = 0;
  /** Where a new unit comes that would come to the emptiest machine. */
  const newUnit = async (): Promise<string | undefined> => {
    const unit = `new${++units}.service`;
    const news = Object.fromEntries(Array.from({ length: units }, (_, n) => [`new${n + 1}.service`, service()]));
    await house.deploy({ "log.service": service("Global=true"), ...webs(3), ...news });
    await house.until(() => house.up()[unit] !== undefined, 5_000);
    return house.up()[unit];
  };

  test("takes nothing new after its second loss, for twice as long after each further one", async () => {
    units = 0;
    await spreadOut({ machines: "abc", leaders: "a" });
    await lose("c");
    await back("c");
    assert.equal(await rests("c"), undefined, "once is nothing");
    assert.equal(await newUnit(), "c");
    for (const [losses, restMs] of [
      [2, 30_000],
      [3, 60_000],
    ] as const) {
      await lose("c");
      await back("c");
      const rest = await rests("c");
      assert.equal(rest?.losses, losses);
      const leftMs = rest.untilMs - house.clock.wallMs();
      assert.ok(leftMs > restMs - 6_000 && leftMs <= restMs, `${leftMs} ms`);
      assert.notEqual(await newUnit(), "c");
      assert.ok((house.up()["log.service"] ?? "").includes("c"), "its global unit runs there");
    }
    const events = await told("machine-rests");
    assert.deepEqual(
      events.map(({ message }) => message),
      [
        "host-c came and went 2 times: it takes nothing new for 30s",
        "host-c came and went 3 times: it takes nothing new for 1min",
      ],
    );
    await house.until(async () => (await rests("c")) === undefined, 61_000, 500);
    assert.equal((await house.operator.get(keys.settingsOf(idOf("c")))).entry, undefined, "nothing is left of it");
    assert.equal(await newUnit(), "c");
  });

  test("goes on resting under another leader, which goes on counting", async () => {
    units = 0;
    await spreadOut({ machines: "abc", leaders: "ab" });
    for (let each = 0; each < 3; each++) {
      await lose("c");
      await back("c");
    }
    const rest = await rests("c");
    assert.equal(rest?.losses, 3);
    const old = await house.leading();
    await old.stop();
    await house.until(async () => ![old.letter, undefined].includes(await house.leader()), 10_000);
    old.start();
    await house.clock.advance(machineLeaseMs + 2_000);
    assert.deepEqual(await rests("c"), rest);
    assert.notEqual(await newUnit(), "c");
    await lose("c");
    await back("c");
    assert.equal((await rests("c"))?.losses, 4);
  });

  test("is shown as resting, and an operator's uncordon ends it", async () => {
    units = 0;
    await spreadOut({ machines: "abc", leaders: "a" });
    for (let each = 0; each < 2; each++) {
      await lose("c");
      await back("c");
    }
    const picture = await house.settle(house.box("b").agent.view.picture());
    assert.equal(picture.settings.get(idOf("c"))?.rests?.losses, 2);
    const seen = picture.placing?.machines.find(({ id }) => id === idOf("c"));
    assert.deepEqual([seen?.cordoned, seen?.rests], [true, 2]);
    await say("uncordon", "c");
    assert.equal(await rests("c"), undefined);
    assert.match((await told("machine-uncordoned")).at(-1)?.message ?? "", /which ends its rest$/);
    await house.clock.advance(5_000);
    assert.equal(await rests("c"), undefined, "it does not begin again");
    assert.equal(await newUnit(), "c");
  });

  test("keeps what operators have said of it when its rest is over", async () => {
    units = 0;
    await spreadOut({ machines: "abc", leaders: "a" });
    for (let each = 0; each < 2; each++) {
      await lose("c");
      await back("c");
    }
    await say("cordon", "c");
    assert.equal((await rests("c"))?.losses, 2);
    await house.until(async () => (await rests("c")) === undefined, 31_000, 500);
    const { settings } = await house.settle(house.box("a").agent.view.picture());
    assert.deepEqual([settings.get(idOf("c"))?.cordoned, settings.get(idOf("c"))?.by], [true, "ann@desk"]);
    await house.clock.advance(2_000);
    assert.notEqual(await newUnit(), "c");
  });

  test("rests beside what an operator says of it at the same moment", async () => {
    units = 0;
    house = await House.open({ machines: "abc", leaders: "a" });
    const key = keys.settingsOf(idOf("c"));
    let others = 1;
    house.box("a").through = { registry: (registry) => quicker(registry, { key, tries: () => others-- > 0 }) };
    await house.ready();
    await house.deploy({ "log.service": service("Global=true"), ...webs(3) });
    await house.until(() => Object.keys(house.up()).length === 4, 5_000);
    await house.clock.advance(2 * machineLeaseMs);
    for (let each = 0; each < 2; each++) {
      await lose("c");
      await back("c");
    }
    assert.equal(others, -1, "somebody was quicker, once");
    const { settings } = await house.settle(house.box("a").agent.view.picture());
    const { metadata, rests: rest } = settings.get(idOf("c")) ?? {};
    assert.deepEqual([metadata, rest?.losses], [{ disk: "ssd" }, 2]);
    assert.equal((await told("machine-rests")).length, 1);
    assert.notEqual(await newUnit(), "c");
  });

  test("is not one whose agent restarts, nor one that the registry's absence hid", async () => {
    await spreadOut({ machines: "abc", leaders: "a" });
    for (let each = 0; each < 3; each++) {
      await house.box("c").kill();
      await house.clock.advance(3_000);
      start("c");
      await house.clock.advance(5_000);
    }
    for (let each = 0; each < 3; each++) {
      for (const box of house.machines) box.connection.cutOff();
      await house.clock.advance(30_000);
      for (const box of house.machines) box.connection.restore();
      await house.clock.advance(30_000);
    }
    assert.deepEqual(await told("machine-rests", "machines-lost"), []);
    assert.equal(at(3), "c");
    assert.equal(house.box("c").systemd.state(name("web3.service")).active, "active");
  });
});

/** The same registry, in which somebody else says something of a machine just before the leader has it rest. */
function quicker(
  registry: Registry,
  { key, tries }: { readonly key: string; readonly tries: () => boolean },
): Registry {
  const word = encodeMachineSettings({ machine: idOf("c"), metadata: { disk: "ssd" }, by: "ann@desk", atMs: 1 });
  return {
    ...passingOn(registry),
    write: async (transaction, signal) => {
      if (transaction.writes.some((each) => each.key === key) && tries()) await house.put(key, word);
      return registry.write(transaction, signal);
    },
  };
}
