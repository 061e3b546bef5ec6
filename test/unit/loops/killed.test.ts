// An agent killed at every point of a pass: the next one brings everything to the same end, and no unit is stopped or
// started more often than without it.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { CommitId } from "../../../agent/domain/names.ts";
import { encodeHold, encodeRestart, keys } from "../../../agent/text/values.ts";
import { type Box, House, type HouseOptions, type Told, changed, name, service } from "./house.ts";
import { Fate } from "./killed.ts";

/** No scenario has as many points: one that never runs through without reaching its point is a bug of its own. */
const mostPoints = 400;

interface Scenario {
  readonly name: string;
  readonly house: HouseOptions;
  /** Letter of the machine whose agent is killed. */
  readonly victim: string;
  /** Up to where the points begin to count. */
  readonly before: (world: World) => Promise<void>;
  /** What people and the leader do; the agent may be killed anywhere in it. */
  readonly during: (world: World) => Promise<void>;
  /** Unit to machines and how often it was started on them: `{ "web.service": "a1 b1" }`. */
  readonly expect: Readonly<Record<string, string>>;
  /** Never so, at any time. */
  readonly never?: (world: World) => boolean;
}

class World {
  readonly house: House;
  readonly fate = new Fate();
  readonly #scenario: Scenario;

  constructor(house: House, scenario: Scenario) {
    this.house = house;
    this.#scenario = scenario;
  }

  get box(): Box {
    return this.house.box(this.#scenario.victim);
  }

  told(unit: string, commit: CommitId, more: Partial<Told> = {}): Told {
    return { unit, commit, text: service(), ...more };
  }

  /** Time goes by until then; an agent that dies meanwhile is followed by another. */
  async until(condition: () => boolean | Promise<boolean>, mostMs = 60_000, stepMs?: number): Promise<void> {
    await this.house.until(
      async () => {
        assert.ok(
          this.#scenario.never?.(this) !== true,
          `It came to what must never be: ${this.fate.died ?? "unharmed"}`,
        );
        if (this.fate.died !== undefined && this.box.through.disk !== undefined) {
          await this.box.kill();
          this.box.through = {};
          this.box.start();
        }
        return condition();
      },
      mostMs,
      stepMs,
    );
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.house.clock.monotonicMs() + ms;
    await this.until(() => this.house.clock.monotonicMs() >= endMs, ms + 1_000, 250);
  }

  /** As `expect` of a scenario. */
  starts(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const [unit, letters] of Object.entries(this.house.up())) {
      found[unit] = Array.from(letters)
        .map((letter) => `${letter}${this.house.box(letter).systemd.invocations(name(unit))}`)
        .join(" ");
    }
    return found;
  }

  isUp(units: number): boolean {
    return Object.keys(this.house.up()).length === units;
  }

  isAsExpected(): boolean {
    const sorted = (given: Readonly<Record<string, string>>): string => JSON.stringify(Object.entries(given).sort());
    return sorted(this.starts()) === sorted(this.#scenario.expect);
  }
}

let house: House;
afterEach(() => house.close());

/** A machine that leads nothing, running these as told by hand. */
async function running({ box }: World, units: readonly Told[]): Promise<void> {
  box.start();
  await box.tell([1, 1], units);
  await house.until(async () => (await box.listed()).length === units.length, 5_000);
  await house.clock.advance(1_000);
}

const alone: Pick<Scenario, "house" | "victim"> = { house: { machines: "a", leaders: "" }, victim: "a" };
const leading: Pick<Scenario, "house" | "victim"> = { house: { machines: "a", pollMs: 3_000 }, victim: "a" };
const installed = `${service()}[Install]\nWantedBy=multi-user.target\n`;

/** A unit that is told otherwise while others run on, and called back in the middle of its stop. */
function calledBack(what: string, gone: Partial<Told>, back: Partial<Told>): Scenario {
  const how = back.text === undefined ? "" : " with another text";
  return {
    ...alone,
    name: `a unit that is ${what} and called back${how} while it is being stopped`,
    before: async (world) => {
      const commit = world.house.commit({ "web.service": service(), "other.service": service() });
      world.house.commit({ "web.service": changed(), "other.service": service() });
      await running(world, [world.told("web.service", commit), world.told("other.service", commit)]);
      world.box.systemd.hangStops(name("web.service"), true);
    },
    during: async (world) => {
      const [commit] = world.house.repository.ids();
      assert.ok(commit !== undefined);
      const other = world.told("other.service", commit);
      await world.box.tell([1, 2], [world.told("web.service", commit, gone), other]);
      const state = (): string => world.box.systemd.state(name("web.service")).active;
      await world.until(() => state() === "deactivating");
      await world.box.tell([1, 3], [world.told("web.service", commit, back), other]);
      await world.pass(500);
      if (state() === "deactivating") world.box.systemd.finish(name("web.service"), "done");
    },
    expect: { "web.service": "a2", "other.service": "a1" },
  };
}

const scenarios: readonly Scenario[] = [
  {
    ...alone,
    name: "the first start of two units, of which one has an [Install] section",
    before: async ({ box, house: { clock } }) => {
      box.start();
      await clock.advance(1_000);
    },
    during: async (world) => {
      const commit = world.house.commit({ "web.service": installed, "other.service": service() });
      await world.box.tell(
        [1, 1],
        [world.told("web.service", commit, { text: installed }), world.told("other.service", commit)],
      );
      await world.until(() => world.box.systemd.isEnabled(name("web.service")));
    },
    expect: { "web.service": "a1", "other.service": "a1" },
  },
  {
    ...alone,
    name: "a changed text",
    before: async (world) => {
      const commit = world.house.commit({ "web.service": service(), "other.service": service() });
      await running(world, [world.told("web.service", commit), world.told("other.service", commit)]);
    },
    during: async (world) => {
      const commit = world.house.commit({ "web.service": changed(), "other.service": service() });
      await world.box.tell(
        [1, 2],
        [world.told("web.service", commit, { text: changed() }), world.told("other.service", commit)],
      );
    },
    expect: { "web.service": "a2", "other.service": "a1" },
  },
  {
    ...alone,
    name: "a unit that goes",
    before: async (world) => {
      const commit = world.house.commit({ "web.service": service(), "other.service": service() });
      await running(world, [world.told("web.service", commit), world.told("other.service", commit)]);
    },
    during: async (world) => {
      const [commit] = world.house.repository.ids();
      assert.ok(commit !== undefined);
      await world.box.tell([1, 2], [world.told("other.service", commit)]);
      await world.until(() => world.box.systemd.textOf(name("web.service")) === undefined);
    },
    expect: { "other.service": "a1" },
  },
  {
    ...alone,
    name: "a restart on request",
    before: async (world) => {
      const commit = world.house.commit({ "web.service": service(), "other.service": service() });
      await running(world, [world.told("web.service", commit), world.told("other.service", commit)]);
    },
    during: async (world) => {
      const [commit] = world.house.repository.ids();
      assert.ok(commit !== undefined);
      await world.box.tell(
        [1, 2],
        [world.told("web.service", commit, { restart: "r-1" }), world.told("other.service", commit)],
      );
      await world.until(async () => (await world.box.status())?.units[1]?.restart === "r-1");
    },
    expect: { "web.service": "a2", "other.service": "a1" },
  },
  calledBack("released", { target: "released" }, {}),
  calledBack("to be loaded only", { target: "loaded" }, {}),
  calledBack("released", { target: "released" }, { text: changed() }),
  {
    ...alone,
    name: "a start that takes long, and is called off",
    before: async (world) => {
      const commit = world.house.commit({ "web.service": service(), "other.service": service() });
      await running(world, [world.told("other.service", commit)]);
      world.box.systemd.onStart(name("web.service"), { kind: "hangs" });
    },
    during: async (world) => {
      const [commit] = world.house.repository.ids();
      assert.ok(commit !== undefined);
      const other = world.told("other.service", commit);
      await world.box.tell([1, 2], [world.told("web.service", commit), other]);
      await world.until(() => world.box.systemd.state(name("web.service")).active === "activating");
      await world.box.tell([1, 3], [world.told("web.service", commit, { target: "loaded" }), other]);
      await world.pass(500);
      if (world.box.systemd.state(name("web.service")).active === "activating")
        world.box.systemd.finish(name("web.service"), "done");
      await world.until(() => !world.box.up().includes("web.service"));
    },
    expect: { "other.service": "a1" },
  },
  {
    ...leading,
    name: "the adoption of a commit by the leader",
    before: async (world) => {
      await world.house.ready();
      await world.house.deploy({ "web.service": service(), "other.service": service() });
      await world.house.until(() => world.isUp(2));
    },
    during: async (world) => {
      const commit = world.house.commit({
        "web.service": changed(),
        "new.service": service(),
        "other.service": service(),
      });
      await world.until(async () => (await world.house.held()).revision.adopted?.commit === commit);
      await world.until(() => world.isUp(3));
    },
    expect: { "web.service": "a2", "new.service": "a1", "other.service": "a1" },
  },
  {
    ...leading,
    name: "a hold and its end",
    before: async (world) => {
      await world.house.ready();
      await world.house.deploy({ "web.service": service(), "other.service": service() });
      await world.house.until(() => world.isUp(2));
    },
    during: async (world) => {
      const unit = name("web.service");
      await world.house.put(keys.hold(unit), encodeHold({ unit, target: "loaded", by: "ann@desk", atMs: 1 }));
      await world.until(() => world.isUp(1));
      await world.house.remove(keys.hold(unit));
      await world.until(() => world.isUp(2));
    },
    expect: { "web.service": "a2", "other.service": "a1" },
  },
  {
    ...leading,
    name: "a restart on request that the leader hands on",
    before: async (world) => {
      await world.house.ready();
      await world.house.deploy({ "web.service": service(), "other.service": service() });
      await world.house.until(() => world.isUp(2));
    },
    during: async (world) => {
      const unit = name("web.service");
      await world.house.put(keys.restart(unit), encodeRestart({ unit, id: "r-1", by: "ann@desk" }));
      await world.until(async () => (await world.box.status())?.units[1]?.restart === "r-1");
    },
    expect: { "web.service": "a2", "other.service": "a1" },
  },
  ...["a", "b"].map((victim): Scenario => ({
    house: { machines: "ab", leaders: "a", pollMs: 3_000, metadata: { a: { role: "x" }, b: { role: "y" } } },
    victim,
    name: `a unit that moves from the leader's machine to another, of which ${victim === "a" ? "the first" : "the second"} is killed`,
    before: async (world) => {
      await world.house.ready();
      await world.house.deploy({
        "web.service": service("MachineMetadata=role=x"),
        "other.service": service("Global=true"),
      });
      await world.house.until(() => world.house.isUp({ "web.service": "a", "other.service": "ab" }));
    },
    during: async (world) => {
      world.house.commit({ "web.service": service("MachineMetadata=role=y"), "other.service": service("Global=true") });
      await world.until(() => world.house.isUp({ "web.service": "b", "other.service": "ab" }), 120_000);
    },
    expect: { "web.service": "b1", "other.service": "a1 b1" },
    never: (world) => world.house.up()["web.service"] === "ab",
  })),
];

/** One run; undefined when the scenario came to its end before the point was reached. */
async function run(scenario: Scenario, point: number): Promise<string | undefined> {
  house = await House.open(scenario.house);
  const world = new World(house, scenario);
  world.fate.rule(world.box);
  await scenario.before(world);
  world.fate.arm(point);
  try {
    await scenario.during(world);
    await world.until(() => world.isAsExpected());
    // Nothing follows, also not from an agent that is started last of all
    await world.pass(3_000);
    world.fate.arm(Infinity);
    await world.box.kill();
    world.box.through = {};
    world.box.start();
    await world.pass(20_000);
    assert.deepEqual(world.starts(), scenario.expect);
    assert.deepEqual(await world.box.problems(), []);
  } catch (error) {
    throw new Error(`Killed at point ${point}, ${world.fate.died ?? "which was never reached"}: ${String(error)}`, {
      cause: error,
    });
  }
  return world.fate.died;
}

describe("an agent that is killed at any point", () => {
  for (const scenario of scenarios) {
    test(scenario.name, async () => {
      let points = 0;
      for (; points < mostPoints; points++) {
        const died = await run(scenario, points + 1);
        await house.close();
        if (died === undefined) break;
      }
      assert.ok(points >= 10 && points < mostPoints, `${points} points`);
    });
  }
});
