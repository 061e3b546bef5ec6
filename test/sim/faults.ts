// What goes wrong in a simulated cluster: one table of faults, each with how it begins and how it ends. They come at random,
// beside and over one another.
import type { Cluster } from "./cluster.ts";
import { healthy } from "./host.ts";
import type { SimMachine } from "./machine.ts";
import { calm } from "./seat.ts";

interface Fault {
  readonly name: string;
  /** How often it is picked, beside the others. */
  readonly weight: number;
  /** How long it lasts, in ms. */
  readonly lasts: readonly [least: number, most: number];
  /** Resolves with how it ends; undefined: it does not befall this cluster now. */
  readonly begin: (cluster: Cluster, machine: SimMachine) => (() => void) | undefined;
}

const second = 1_000;

export const faults: readonly Fault[] = [
  {
    name: "agent killed",
    weight: 4,
    lasts: [100, 20 * second],
    begin: (_, machine) => {
      if (machine.agent === undefined) return undefined;
      machine.killAgent("by a fault");
      return () => machine.startAgent();
    },
  },
  {
    name: "agent restarted",
    weight: 2,
    lasts: [100, 5 * second],
    begin: (cluster, machine) => {
      if (machine.agent === undefined) return undefined;
      cluster.act(async () => machine.stopAgent());
      return () => {
        // It may still be about to end
        if (machine.agent !== undefined) machine.killAgent("for it does not end");
        machine.startAgent();
      };
    },
  },
  {
    name: "agent frozen",
    weight: 3,
    lasts: [500, 30 * second],
    begin: (_, machine) => {
      if (machine.agent === undefined) return undefined;
      machine.freezeAgent();
      return () => machine.thawAgent();
    },
  },
  {
    name: "power lost",
    weight: 3,
    lasts: [second, 60 * second],
    begin: (_, machine) => {
      if (!machine.isOn) return undefined;
      machine.powerOff();
      return () => machine.boot();
    },
  },
  {
    name: "torn write",
    weight: 2,
    lasts: [second, 60 * second],
    begin: (_, machine) => {
      if (!machine.isOn) return undefined;
      machine.powerOff();
      machine.tear();
      return () => machine.boot();
    },
  },
  { name: "cut off", weight: 4, lasts: [second, 40 * second], begin: (_, machine) => cut(machine, ["there", "back"]) },
  { name: "requests lost", weight: 2, lasts: [second, 30 * second], begin: (_, machine) => cut(machine, ["there"]) },
  { name: "answers lost", weight: 2, lasts: [second, 30 * second], begin: (_, machine) => cut(machine, ["back"]) },
  {
    name: "slow link",
    weight: 2,
    lasts: [second, 20 * second],
    begin: (cluster, machine) => {
      const slowMs = cluster.dice.between(100, 2_500);
      Object.assign(machine.link.there, { slowMs });
      Object.assign(machine.link.back, { slowMs });
      machine.linkChanged();
      return () => healLink(machine);
    },
  },
  {
    name: "lossy link",
    weight: 2,
    lasts: [second, 20 * second],
    begin: (cluster, machine) => {
      const loss = cluster.dice.between(5, 60) / 100;
      Object.assign(machine.link.there, { loss });
      Object.assign(machine.link.back, { loss });
      machine.linkChanged();
      return () => healLink(machine);
    },
  },
  {
    name: "watches break",
    weight: 2,
    lasts: [1, 1],
    begin: (cluster, machine) => {
      cluster.judge.unclear();
      machine.link.breakWatches();
      return () => undefined;
    },
  },
  {
    name: "store stands still",
    weight: 3,
    lasts: [500, 45 * second],
    begin: (cluster) => {
      if (cluster.storeAwake() !== undefined) return undefined;
      cluster.judge.storeTroubled();
      const backup = cluster.store.backUp();
      const extendsLeases = cluster.dice.chance(0.5);
      cluster.freezeStore();
      return () => {
        cluster.judge.storeTroubled();
        // A new leader of the store gives every lease its whole length; without one they have run out meanwhile
        if (extendsLeases) cluster.restoreStore(backup);
        cluster.thawStore();
      };
    },
  },
  {
    name: "store changes its leader",
    weight: 3,
    lasts: [300, 3 * second],
    begin: (cluster) => {
      if (cluster.storeAwake() !== undefined) return undefined;
      cluster.judge.storeTroubled();
      const backup = cluster.store.backUp();
      cluster.freezeStore();
      return () => {
        cluster.judge.storeTroubled();
        cluster.restoreStore(backup);
        cluster.thawStore();
      };
    },
  },
  {
    name: "store compacted",
    weight: 2,
    lasts: [1, 1],
    begin: (cluster) => {
      cluster.judge.unclear();
      cluster.store.compact();
      for (const machine of cluster.machines) if (cluster.dice.chance(0.5)) machine.link.breakWatches();
      return () => undefined;
    },
  },
  {
    name: "store restored",
    weight: 2,
    lasts: [second, 60 * second],
    begin: (cluster) => {
      const backup = cluster.store.backUp();
      cluster.trace.say("fault", `the store is backed up at revision ${backup.revision}`);
      return () => {
        cluster.trace.say("fault", `the store is restored to revision ${backup.revision}`);
        cluster.judge.storeRestored();
        cluster.restoreStore(backup);
      };
    },
  },
  {
    name: "clock set",
    weight: 1,
    lasts: [1, 1],
    begin: (cluster, machine) => {
      machine.stepWall(cluster.dice.between(-86_400_000, 86_400_000));
      return () => undefined;
    },
  },
  {
    name: "jobs go wrong",
    weight: 2,
    lasts: [5 * second, 30 * second],
    begin: (cluster) => {
      cluster.health = { slow: 0.4, startFails: 0.1, startHangs: 0.1, stopFails: 0.1 };
      return () => {
        cluster.health = healthy;
      };
    },
  },
  {
    name: "disk full",
    weight: 2,
    lasts: [second, 30 * second],
    begin: (cluster, machine) => {
      cluster.diskFull.add(machine);
      return () => cluster.diskFull.delete(machine);
    },
  },
  {
    name: "repository away",
    weight: 2,
    lasts: [second, 60 * second],
    begin: (cluster, machine) => {
      const cutOff = cluster.dice.chance(0.5) ? cluster.machines : [machine];
      for (const each of cutOff) cluster.gitCut.add(each);
      return () => {
        for (const each of cutOff) cluster.gitCut.delete(each);
      };
    },
  },
  {
    name: "unit fails by itself",
    weight: 2,
    lasts: [1, 1],
    begin: (cluster, machine) => {
      const up = [...machine.systemd.up()];
      if (up.length === 0) return undefined;
      machine.systemd.fail(cluster.dice.pick(up));
      return () => undefined;
    },
  },
  {
    name: "bad weather",
    weight: 3,
    lasts: [5 * second, 30 * second],
    begin: (cluster) => {
      cluster.weather = { crash: 0.002, fail: 0.03, slow: 0.03 };
      return () => {
        cluster.judge.unclear();
        cluster.weather = calm;
      };
    },
  },
];

function cut(machine: SimMachine, ways: readonly ("there" | "back")[]): () => void {
  for (const way of ways) machine.link[way].cut = true;
  machine.linkChanged();
  return () => healLink(machine);
}

function healLink(machine: SimMachine): void {
  machine.link.heal();
  machine.linkChanged();
}

/** Faults that come and go, one every `meanMs`; a seed has few kinds or many. */
export class Faults {
  readonly #cluster: Cluster;
  readonly #kinds: readonly Fault[];
  readonly #meanMs: number;
  readonly #ends = new Set<() => void>();
  #isOver = false;

  constructor(cluster: Cluster) {
    const { dice } = cluster;
    this.#cluster = cluster;
    const kinds = dice.some(faults, dice.pick([0.15, 0.4, 1]));
    this.#kinds = kinds.length === 0 ? faults : kinds;
    this.#meanMs = dice.pick([2_000, 6_000, 15_000]);
    cluster.trace.say("fault", `every ${this.#meanMs} ms one of: ${this.#kinds.map(({ name }) => name).join(", ")}`);
  }

  async run(over: AbortSignal): Promise<void> {
    const { clock, dice } = this.#cluster;
    for (;;) {
      await clock.sleep(dice.next(this.#meanMs), over);
      if (this.#isOver) return;
      this.#befall();
    }
  }

  /** No more of them, and all that last end. */
  end(): void {
    this.#isOver = true;
    for (const end of [...this.#ends]) end();
  }

  #befall(): void {
    const { dice, machines, trace } = this.#cluster;
    const fault = this.#pick();
    const machine = dice.pick(machines);
    const ms = dice.between(fault.lasts[0], fault.lasts[1]);
    trace.say("fault", `${fault.name} (${machine.letter}, ${ms} ms)`);
    const heal = fault.begin(this.#cluster, machine);
    if (heal === undefined) return;
    let hasEnded = false;
    const end = (): void => {
      if (hasEnded) return;
      hasEnded = true;
      this.#ends.delete(end);
      trace.say("fault", `${fault.name} (${machine.letter}) is over`);
      heal();
    };
    this.#ends.add(end);
    this.#cluster.later(ms, end);
  }

  #pick(): Fault {
    const sum = this.#kinds.reduce((all, { weight }) => all + weight, 0);
    let left = this.#cluster.dice.roll() * sum;
    for (const fault of this.#kinds) {
      left -= fault.weight;
      if (left < 0) return fault;
    }
    return this.#cluster.dice.pick(this.#kinds);
  }
}
