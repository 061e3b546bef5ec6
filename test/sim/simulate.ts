// One simulation: a cluster comes up, lives through faults, is healed, and must come to rest. The seed is all that it depends on.
import { Cluster } from "./cluster.ts";
import { Faults } from "./faults.ts";
import { People } from "./people.ts";
import type { SimMachine } from "./machine.ts";
import { resting, unrest } from "./rest.ts";
import { Violation } from "./trace.ts";
import { Wishes } from "./wishes.ts";

export interface Outcome {
  readonly seed: number;
  /** Undefined: all was well. `check` is the one that broke. */
  readonly broken: { readonly check: string; readonly message: string } | undefined;
  readonly checks: number;
  /** Simulated time. */
  readonly ms: number;
  readonly trace: readonly string[];
}

const startMs = 60_000;
const storm = [30_000, 90_000] as const;
/** Within this a healed cluster is at rest, and stays so. */
const healMs = 240_000;
const stayMs = 10_000;
/** What ran on a lease that was out of reach for too long is still to be stopped when all is healed. */
const aftermathMs = 10_000;
/** What may be written meanwhile: a rest ends, or a leader that waited after a restore carries out what was asked of it. */
const mostAtRest = 100;

export async function simulate(seed: number): Promise<Outcome> {
  const cluster = await Cluster.open(seed);
  let broken: Outcome["broken"];
  try {
    await live(cluster);
  } catch (error) {
    broken = describe(error);
    cluster.trace.say("judge", `${broken.check}: ${broken.message}`);
  }
  const ms = cluster.clock.monotonicMs();
  await cluster.close();
  return { seed, broken, checks: cluster.judge.checks, ms, trace: cluster.trace.lines() };
}

async function live(cluster: Cluster): Promise<void> {
  const { dice, trace } = cluster;
  const wishes = new Wishes(dice);
  cluster.judge.wishes = wishes;
  const people = new People(cluster, wishes);
  people.commit();
  cluster.act((over) => cluster.judge.follow(over));
  for (const machine of cluster.machines) cluster.later(dice.between(0, 3_000), () => machine.boot());
  // At first nothing goes wrong
  await atRest(cluster, startMs);
  trace.say("people", "the cluster is up");
  if (dice.chance(0.4)) {
    people.submitSome();
    await atRest(cluster, startMs);
  }
  const faults = new Faults(cluster);
  const isBusy = dice.chance(0.5);
  cluster.act((over) => faults.run(over));
  if (isBusy) cluster.act((over) => people.run(over));
  await cluster.pass(dice.between(...storm));
  faults.end();
  const isLed = (without: SimMachine): boolean => cluster.machines.some((each) => each.mayLead && each !== without);
  const dispensable = cluster.machines.filter(isLed);
  const lost = dispensable.length > 1 && dice.chance(0.2) ? dice.pick(dispensable) : undefined;
  for (const machine of cluster.machines) {
    if (machine === lost) machine.powerOff();
    else machine.boot();
    machine.startAgent();
  }
  if (isBusy) people.end();
  trace.say("people", "everything is healed");
  await cluster.pass(aftermathMs);
  await atRest(cluster, healMs);
  const before = await resting(cluster);
  await cluster.pass(stayMs);
  const { changes } = cluster.judge;
  await cluster.pass(stayMs);
  const written = cluster.judge.changes - changes;
  if (written > mostAtRest) throw new Violation("liveness/at-rest", `${written} changes were written at rest`);
  // What may move now that a rest is over, may have to stop elsewhere first
  if ((await resting(cluster)) !== before) return atRest(cluster, healMs);
  const after = await unrest(cluster);
  if (after.length > 0) throw new Violation("liveness/at-rest", `It did not stay at rest: ${after.join("; ")}`);
}

async function atRest(cluster: Cluster, mostMs: number): Promise<void> {
  const untilMs = cluster.clock.monotonicMs() + mostMs;
  for (;;) {
    await cluster.pass(1_000);
    const found = await unrest(cluster);
    if (found.length === 0) return;
    if (cluster.clock.monotonicMs() > untilMs) {
      throw new Violation("liveness/at-rest", `Not at rest ${mostMs} ms after it was healed: ${found.join("; ")}`);
    }
  }
}

function describe(error: unknown): NonNullable<Outcome["broken"]> {
  if (error instanceof Violation) return { check: error.check, message: error.message };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { check: "crash", message };
}
