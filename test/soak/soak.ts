// Hours of bad days: one random fault after another, sometimes two at once, and ordinary life in between. What each round
// does follows from the seed; to which machine or unit, and how it comes out, does not, as machines have a time of their own.
import type { Campaign, Outcome } from "./campaign.ts";
import { type Fault, faults } from "./faults.ts";
import { chooseCommit, chooseHandwork } from "./life.ts";
import type { Random } from "./random.ts";

export interface SoakCount {
  /** Begun, by name of the fault, and the outcomes of those. */
  readonly faults: ReadonlyMap<string, readonly Outcome[]>;
  /** Rounds in which two faults overlapped. */
  readonly overlaps: number;
  readonly commits: number;
  readonly handwork: number;
}

/** One round, as it is chosen before it is looked at what is up, who leads and what runs. */
export interface Round {
  readonly pauseMs: number;
  /** One, or two of different sorts. */
  readonly faults: readonly Fault[];
  readonly isBrief: boolean;
  readonly hasCommit: boolean;
  readonly hasHandwork: boolean;
}

const chances = { two: 0.3, brief: 0.4, commit: 0.4, handwork: 0.3 };
const pauseMs = [500, 4_000] as const;

/** Until `over`; what is broken then is mended first. */
export async function runSoak(campaign: Campaign, over: AbortSignal): Promise<SoakCount> {
  const { watch, site } = campaign;
  const count = { faults: new Map<string, Outcome[]>(), overlaps: 0, commits: 0, handwork: 0 };
  for (let number = 0; ; number++) {
    const round = chooseRound(campaign.turn(number));
    if (!(await isGoingOn(round.pauseMs, over))) break;
    const { isBrief } = round;
    const commit = round.hasCommit ? chooseCommit(campaign) : undefined;
    const pardon = commit === undefined ? undefined : watch.excuse(commit.excuse);
    const meanwhile = async (): Promise<void> => {
      if (commit === undefined) return;
      watch.note(commit.what);
      await commit.carryOut();
      count.commits++;
    };
    const outcomes = (await campaign.round(round.faults, { isBrief, meanwhile })) ?? [];
    pardon?.();
    for (const outcome of outcomes)
      count.faults.set(outcome.fault, [...(count.faults.get(outcome.fault) ?? []), outcome]);
    if (outcomes.length > 1) count.overlaps++;
    const handwork = round.hasHandwork ? chooseHandwork(campaign) : undefined;
    if (handwork !== undefined) {
      await campaign.change(handwork.what, handwork.excuse, handwork.carryOut);
      count.handwork++;
    }
  }
  watch.note(`ended with ${site.wishes.all().length} units`);
  return count;
}

export function chooseRound(random: Random): Round {
  const chosen = chooseFaults(random);
  // What is looked for on a unit by itself would be something else with a new text
  const mayCommit = chosen.every(({ sort }) => sort !== "unit");
  return {
    pauseMs: random.between(...pauseMs),
    faults: chosen,
    isBrief: random.happens(chances.brief),
    hasCommit: random.happens(chances.commit) && mayCommit,
    hasHandwork: random.happens(chances.handwork),
  };
}

function chooseFaults(random: Random): readonly Fault[] {
  const first = weighted(random.next(), faults);
  const others = faults.filter(({ sort }) => sort !== first.sort);
  return random.happens(chances.two) ? [first, weighted(random.next(), others)] : [first];
}

function weighted(chance: number, among: readonly Fault[]): Fault {
  const whole = among.reduce((sum, { weight = 1 }) => sum + weight, 0);
  let rest = chance * whole;
  for (const fault of among) {
    rest -= fault.weight ?? 1;
    if (rest < 0) return fault;
  }
  return among[among.length - 1]!;
}

/** After a pause, which is cut short when it is over. */
function isGoingOn(pauseMs: number, over: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      over.removeEventListener("abort", end);
      resolve(!over.aborted);
    };
    const timer = setTimeout(end, over.aborted ? 0 : pauseMs);
    over.addEventListener("abort", end);
  });
}
