// Ordinary days of a cluster, between its faults: commits that add, remove and change units, scaling, holds, drains. Each says
// what it may stop.
import type { Campaign } from "./campaign.ts";
import type { SoakMachine } from "./site.ts";
import type { Excuse } from "./watch.ts";

interface Change {
  readonly what: string;
  readonly excuse: Excuse;
  readonly carryOut: () => Promise<void>;
}

const commandMs = 60_000;
/** Of jobs: fewer are scaled out, never in. */
const fewestJobs = 2;

/** A commit, which may be made whatever is broken. Counts as a change by its first word. */
export function chooseCommit({ site, random }: Campaign): Change {
  const { wishes } = site;
  const jobs = wishes.instances.filter((name) => name.startsWith("job@") && !wishes.stopped.has(name));
  const next = wishes.nextJob;
  const gone = random.pick(jobs);
  const chance = random.next();
  if (next !== undefined && (chance < 0.35 || jobs.length <= fewestJobs))
    return { what: `add ${next}`, excuse: { unit: next, because: "it comes" }, carryOut: () => wishes.add(next) };
  if (gone !== undefined && chance < 0.65 && jobs.length > fewestJobs)
    return { what: `remove ${gone}`, excuse: { unit: gone, because: "it goes" }, carryOut: () => wishes.remove(gone) };
  const file = random.pick(wishes.files) ?? "";
  const units = new Set(wishes.unitsOf(file));
  return {
    what: `change ${file}`,
    excuse: { units, because: "its text changes" },
    carryOut: () => wishes.change(file),
  };
}

/** Something that an operator does, while nothing is broken. */
export function chooseHandwork(campaign: Campaign): Change | undefined {
  const { site, random, watch } = campaign;
  const machine = random.pick(site.machines);
  if (machine === undefined) return undefined;
  return random.happens(0.6) ? hold(campaign) : drain(machine, { site, watch });
}

/** Stops a unit for a while: placed, seen stopped, lifted. */
function hold({ site, random, watch }: Campaign): Change | undefined {
  const unit = random.pick(site.wishes.instances.filter((name) => name.startsWith("job@")));
  const [machine] = site.machines;
  if (unit === undefined || machine === undefined) return undefined;
  return {
    what: `hold and resume ${unit}`,
    excuse: { unit, because: "an operator holds it" },
    carryOut: async () => {
      await flotilla(machine, "hold", unit, "--state", "inactive", "--reason", "a soak");
      site.wishes.stopped.add(unit);
      await watch.until(`${unit} is stopped by a hold`, () => watch.runsOf(unit).length === 0, commandMs);
      await flotilla(machine, "resume", unit);
      site.wishes.stopped.delete(unit);
    },
  };
}

/** Empties a machine and lets it take units again. Undefined: another takes nothing for a while, and there may be no third. */
function drain(machine: SoakMachine, { watch, site }: Pick<Campaign, "watch" | "site">): Change | undefined {
  if (watch.sight?.resting.size !== 0) return undefined;
  return {
    what: `drain and uncordon ${machine.name}`,
    excuse: { machine: machine.name, because: "it is drained" },
    carryOut: async () => {
      await flotilla(machine, "drain", machine.name);
      const left = [...watch.runsOn(machine).keys()].filter((name) => site.wishes.get(name)?.isGlobal !== true);
      if (left.length > 0) throw new Error(`${machine.name} is drained and still runs ${left.join(", ")}`);
      await flotilla(machine, "uncordon", machine.name);
    },
  };
}

async function flotilla(machine: SoakMachine, ...words: readonly string[]): Promise<void> {
  await machine.booted.output(["flotilla", ...words], { timeoutMs: commandMs });
}
