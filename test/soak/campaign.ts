// One fault after another, or two at once, on a site that is watched: brings them about, waits for what must come of them,
// mends them and waits until the cluster is again what it shall be. For the soak, the matrix and the tests.
import { bounds, type Fault, type Figures, type Grip, type Scene } from "./faults.ts";
import { Random } from "./random.ts";
import { Site, type SoakMachine } from "./site.ts";
import { type Violation, Watch } from "./watch.ts";

/** After everything is mended: a machine that has to boot is up already, but may have its whole lease to wait for. */
const settledMs = 60_000;
const firstMs = 120_000;

export interface Outcome extends Figures {
  readonly fault: string;
  readonly on: string;
  /** Until it began to be mended. */
  readonly lastedMs: number;
  /** From then, so with the boot of a machine, until everything was as it shall be. */
  readonly healedMs: number;
}

export interface CampaignOptions {
  readonly machines: number;
  readonly seed: number;
  /** For people: what is being done. */
  readonly say: (text: string) => void;
  readonly onViolation?: (violation: Violation) => void;
}

interface Begun extends Grip {
  readonly fault: Fault;
  readonly fromMs: number;
}

export class Campaign {
  readonly site: Site;
  readonly watch: Watch;
  /** Of this turn. */
  random: Random;
  readonly #seeded: Random;
  readonly #say: (text: string) => void;
  /** Since when nothing is broken and all is as it shall be. */
  #calmFromMs = Infinity;

  private constructor(site: Site, { seed, say, onViolation = () => undefined }: CampaignOptions) {
    this.site = site;
    this.#seeded = new Random(seed);
    this.random = this.#seeded;
    this.#say = say;
    this.watch = new Watch(site, { onViolation });
  }

  /** A site on which everything runs that shall. */
  static async open(options: CampaignOptions): Promise<Campaign> {
    const site = await Site.open(options);
    const campaign = new Campaign(site, options);
    try {
      const pardon = campaign.watch.excuse({ because: "the first start" });
      campaign.watch.start();
      await campaign.settle(firstMs);
      pardon();
      options.say("everything runs");
      return campaign;
    } catch (error) {
      await campaign.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.watch.stop();
    await this.site.close();
  }

  /** What is chosen from now on follows from the seed and this number, whatever was chosen before. */
  turn(number: number): Random {
    this.random = this.#seeded.ofTurn(number);
    return this.random;
  }

  /** Resolves when nothing has been broken for so long that it has no after-effects. */
  async calm(): Promise<void> {
    const leftMs = this.#calmFromMs + bounds.calmMs - this.watch.nowMs;
    // Where all could not be made as it shall be, there is nothing to wait for
    if (leftMs > 0 && Number.isFinite(leftMs)) await pause(leftMs);
  }

  /**
   * Faults of which none may meet the other: the second begins while the first lasts. A fault by itself is followed to what
   * must come of it, unless `isBrief`. Undefined: it could not be done.
   */
  async round(
    faults: readonly Fault[],
    { isBrief = false, meanwhile }: { isBrief?: boolean; meanwhile?: () => Promise<void> } = {},
  ): Promise<readonly Outcome[] | undefined> {
    const begun: Begun[] = [];
    const figures: Figures[] = [];
    await this.#orViolate(async () => {
      for (const fault of faults) {
        if (begun.length > 0) await pause(this.random.between(500, 6_000));
        const one = await this.#begin(fault, begun);
        if (one !== undefined) begun.push(one);
      }
      if (begun.length === 0) return;
      await meanwhile?.();
      figures.push(await this.#last(begun, isBrief));
    });
    if (begun.length === 0) return undefined;
    const mendedMs: number[] = [];
    for (const each of begun) {
      mendedMs.push(this.watch.nowMs);
      await this.#orViolate(() => each.mend());
      this.watch.broken.delete(labelOf(each));
      this.watch.note(`mended: ${labelOf(each)}`);
    }
    await this.#settleOr("what was broken is mended");
    const settled = this.watch.nowMs;
    for (const each of begun) await this.#orViolate(async () => each.end?.());
    return begun.map((each, at) => ({
      fault: each.fault.name,
      on: each.on,
      lastedMs: (mendedMs[at] ?? settled) - each.fromMs,
      healedMs: settled - (mendedMs[at] ?? settled),
      ...(begun.length === 1 ? figures[0] : {}),
    }));
  }

  /** Something that is no fault and may stop what its excuse names, until all is as it shall be. */
  async change(what: string, excuse: Parameters<Watch["excuse"]>[0], carryOut: () => Promise<void>): Promise<void> {
    const pardon = this.watch.excuse(excuse);
    this.#say(what);
    this.watch.note(what);
    await this.#orViolate(carryOut);
    await this.#settleOr(what);
    pardon();
  }

  /** Waits until the cluster is what it shall be, by what runs and by what it says of itself. Rejects when it is not in time. */
  async settle(withinMs = settledMs): Promise<void> {
    let differences: readonly string[] = [];
    const isSettled = async (): Promise<boolean> => {
      differences = this.watch.differences();
      if (differences.length === 0) differences = await this.#saidDifferences();
      return differences.length === 0;
    };
    try {
      await this.watch.until("the cluster is what it shall be", isSettled, withinMs);
      if (this.watch.broken.size === 0) this.#calmFromMs = Math.min(this.#calmFromMs, this.watch.nowMs);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}: ${differences.join("; ")}`);
    }
  }

  async #settleOr(what: string): Promise<void> {
    this.watch.checks++;
    await this.#orViolate(() => this.settle(), `After "${what}": `);
  }

  /** What does not come about as it has to is a violation like any other. */
  async #orViolate(task: () => Promise<void>, prefix = ""): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.watch.violate(`${prefix}${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #begin(fault: Fault, begun: readonly Begun[]): Promise<Begun | undefined> {
    const taken = new Set<SoakMachine>(begun.flatMap(({ machines = [] }) => machines));
    const { site, watch, random } = this;
    const calmMs = Math.max(0, watch.nowMs - this.#calmFromMs);
    const scene: Scene = { site, watch, random, taken, calmMs };
    // What is broken is known before it breaks
    watch.broken.add(fault.name);
    const fromMs = watch.nowMs;
    const grip = await fault.begin(scene).finally(() => watch.broken.delete(fault.name));
    if (grip === undefined) return undefined;
    this.#calmFromMs = Infinity;
    const one = { ...grip, fault, fromMs };
    watch.broken.add(labelOf(one));
    watch.note(`broken: ${labelOf(one)}`);
    this.#say(labelOf(one));
    return one;
  }

  async #last(begun: readonly Begun[], isBrief: boolean): Promise<Figures> {
    const [first] = begun;
    if (begun.length === 1 && first?.unfold !== undefined && !isBrief) return first.unfold();
    const [least, most] = begun.at(-1)?.fault.lastsMs ?? [0, 0];
    await pause(isBrief || begun.length > 1 ? this.random.between(least, most) : most);
    return {};
  }

  /** What agents say of the cluster, each of them. */
  async #saidDifferences(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const machine of this.site.machines) {
      if (!machine.isUp) continue;
      const status = await machine.status();
      if (status === undefined) {
        found.push(`the agent of ${machine.name} does not answer`);
        continue;
      }
      const { adopted, machines, units, problems } = status;
      if (adopted?.commit !== this.site.wishes.commit) found.push(`${machine.name} says another commit`);
      if (machines.alive !== this.site.machines.length) found.push(`${machine.name} sees ${machines.alive} machines`);
      for (const unit of units.waiting) found.push(`${machine.name} says that ${unit} waits`);
      for (const unit of units.troubled) found.push(`${machine.name} says that ${unit.name} is in trouble`);
      for (const problem of problems) found.push(`${machine.name} says: ${problem.message}`);
    }
    return found;
  }
}

function labelOf({ fault, on }: Pick<Begun, "fault" | "on">): string {
  return `${fault.name} (${on})`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
