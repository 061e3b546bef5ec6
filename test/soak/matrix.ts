// Every fault of the table once, each followed to what must come of it. Gives a row for each.
import type { Campaign, Outcome } from "./campaign.ts";
import { type Fault, faults } from "./faults.ts";

export interface MatrixRow {
  readonly fault: string;
  readonly asserts: string;
  /** Undefined: it could not be done here and now. */
  readonly outcome: Outcome | undefined;
  /** Violations while it was there. */
  readonly violations: number;
}

const tries = 3;
const againMs = 2_000;

/** Ends early when `over` says so; what was measured until then is given. */
export async function runMatrix(
  campaign: Campaign,
  { over, only = faults }: { over: AbortSignal; only?: readonly Fault[] },
): Promise<readonly MatrixRow[]> {
  const rows: MatrixRow[] = [];
  for (const fault of only) {
    if (over.aborted) break;
    const before = campaign.watch.violations.length;
    const outcome = await attempt(campaign, fault);
    const violations = campaign.watch.violations.length - before;
    rows.push({ fault: fault.name, asserts: fault.asserts, outcome, violations });
  }
  return rows;
}

/** One that needs a leader finds none for a moment. */
async function attempt(campaign: Campaign, fault: Fault): Promise<Outcome | undefined> {
  for (let attempted = 0; attempted < tries; attempted++) {
    if (fault.needsCalm === true) await campaign.calm();
    const [outcome] = (await campaign.round([fault])) ?? [];
    if (outcome !== undefined) return outcome;
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
  return undefined;
}
