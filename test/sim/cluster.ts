// The simulated world: one clock, one source of chance, one store, one repository, the machines, and whoever judges what they
// do. Knows no fault by name (faults.ts) and no wish (people.ts).
import { setMaxListeners } from "node:events";
import { type Backup, type EmbeddedRegistry, createEmbeddedRegistry } from "../../agent/adapters/registry/embedded.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { Cron } from "../../agent/ports/cron.ts";
import type { Disk } from "../../agent/ports/disk.ts";
import type { Git } from "../../agent/ports/git.ts";
import { FakeClock } from "../fakes/fake-clock.ts";
import { FakeRepository } from "../fakes/fake-git.ts";
import { Dice } from "./dice.ts";
import { type Health, healthy } from "./host.ts";
import { Judge } from "./judge.ts";
import { SimMachine } from "./machine.ts";
import { type Weather, calm } from "./seat.ts";
import { Trace, type Violation } from "./trace.ts";

export const machineLeaseMs = 10_000;
export const engineLeaseMs = 5_000;
const pollMs = 15_000;

export class Cluster {
  readonly clock: FakeClock;
  readonly dice: Dice;
  readonly trace: Trace;
  readonly store: EmbeddedRegistry;
  readonly repository = new FakeRepository();
  readonly cron: Cron = { next: (_, afterMs) => (Math.floor(afterMs / pollMs) + 1) * pollMs };
  readonly judge: Judge;
  readonly machines: readonly SimMachine[];
  weather: Weather = calm;
  health: Health = healthy;
  /** Machines that cannot reach the repository, and those whose disk is full. */
  readonly gitCut = new Set<SimMachine>();
  readonly diskFull = new Set<SimMachine>();
  readonly #over = new AbortController();
  #era = 0;
  #violation: unknown;
  #storeAwake: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  private constructor({ seed, clock, store }: { seed: number; clock: FakeClock; store: EmbeddedRegistry }) {
    this.clock = clock;
    this.store = store;
    this.dice = new Dice(seed);
    this.trace = new Trace(() => clock.monotonicMs());
    this.judge = new Judge(this);
    setMaxListeners(0, this.#over.signal); // everything that is still to come waits for it
    const { dice } = this;
    const letters = "abcde".slice(0, dice.between(2, 5));
    const leaders = dice.chance(0.7) ? letters : letters.slice(0, Math.max(1, letters.length - 2));
    const isMixed = dice.chance(0.3);
    this.machines = Array.from(letters).map(
      (letter) =>
        new SimMachine(this, {
          letter,
          mayLead: leaders.includes(letter),
          allowSubmit: !isMixed || dice.chance(0.5),
          metadata: { name: letter, side: dice.pick(["left", "right"]) },
        }),
    );
  }

  static async open(seed: number): Promise<Cluster> {
    const clock = new FakeClock({ seed: seed + 1 });
    return new Cluster({ seed, clock, store: await createEmbeddedRegistry({ clock }) });
  }

  readonly storeAwake = (): Promise<void> | undefined => this.#storeAwake?.promise;

  readonly storeEra = (): number => this.#era;

  restoreStore(backup: Backup): void {
    this.#era++;
    this.store.restoreFrom(backup);
  }

  freezeStore(): void {
    if (this.#storeAwake !== undefined) return;
    let resolve = (): void => undefined;
    const promise = new Promise<void>((done) => (resolve = done));
    this.#storeAwake = { promise, resolve };
  }

  thawStore(): void {
    const awake = this.#storeAwake;
    this.#storeAwake = undefined;
    awake?.resolve();
  }

  /** Carries out `work` after so long, unless the simulation has ended by then. */
  later(ms: number, work: () => void | Promise<void>): void {
    this.act(async () => {
      await this.clock.sleep(ms, this.#over.signal);
      await work();
    });
  }

  /** Work of the world that goes on beside everything else. What it throws ends the simulation. */
  act(work: (over: AbortSignal) => Promise<void>): void {
    work(this.#over.signal).catch((error: unknown) => {
      if (!this.#over.signal.aborted) this.fail(error);
    });
  }

  fail(error: unknown): void {
    this.#violation ??= error;
  }

  /** Lets time pass; throws the first Violation. */
  async pass(ms: number, stepMs = 50): Promise<void> {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.clock.monotonicMs() < endMs) {
      await this.clock.advance(Math.min(stepMs, endMs - this.clock.monotonicMs()));
      this.mustHold();
    }
  }

  mustHold(): void {
    if (this.#violation !== undefined) throw this.#violation as Violation;
  }

  /** Everything ends, well or not. */
  async close(): Promise<void> {
    this.#over.abort(new Error("The simulation is over"));
    for (const machine of this.machines) machine.process?.kill();
    await this.store.close();
    await this.clock.advance(0);
  }

  gitOf(machine: SimMachine, git: Git): Git {
    return {
      ...wrapped(git),
      fetch: async (signal) => {
        if (this.gitCut.has(machine)) throw new Problem("git-unreachable", "Cannot reach the repository");
        return git.fetch(signal);
      },
    };
  }

  diskOf(machine: SimMachine, disk: Disk): Disk {
    return {
      read: (name) => disk.read(name),
      remove: (name) => disk.remove(name),
      write: async (name, text) => {
        if (name === "nonce") machine.isNoted = !this.diskFull.has(machine);
        if (this.diskFull.has(machine)) {
          throw new Problem("disk-write", `Cannot write file "${name}"`, { hint: "The file system is full" });
        }
        this.judge.written(machine, { name, text });
        await disk.write(name, text);
      },
    };
  }
}

function wrapped(git: Git): Git {
  return {
    fetch: (signal) => git.fetch(signal),
    head: () => git.head(),
    has: (commit) => git.has(commit),
    info: (commit) => git.info(commit),
    tree: (commit) => git.tree(commit),
    blob: (oid) => git.blob(oid),
    close: () => git.close(),
  };
}
