// From seeds to inputs to findings. A seed and the corpus make an input, the same one each time; what breaks a rule is made as
// small as it can be. Given to main.ts and the tests.
import { Chance } from "./chance.ts";
import { type Material, makeInput, makeRepeated } from "./mutate.ts";
import { type Runner, type Verdict, tooMuchMemory } from "./runner.ts";
import { shrink } from "./shrink.ts";

/** What one input may take of a processor. */
const slowMs = 1_000;
/** One seed in so many asks how time grows with the input. */
export const growthEvery = 24;
/** What is at least looked at for its growth, and how much more four times the input may take; 4 would be linear. */
const growthFromMs = 150;
const maxGrowth = 9;
const growthBytes = 64 * 1024;

export interface Finding {
  readonly breach: string;
  /** What findings of one cause have in common. */
  readonly kind: string;
  /** The smallest that still does it. */
  readonly input: Uint8Array;
}

export interface Tried {
  /** What the reader did; told apart by it. */
  readonly manner: string;
  readonly tookMs: number;
  readonly input: Uint8Array;
  readonly finding: Finding | undefined;
}

/** What findings are looked at with: kinds that are `known` are told as they are. */
export interface Trying {
  readonly runner: Runner;
  readonly known?: ReadonlySet<string>;
  /** How long a finding may be made smaller, as far as its tries can be foreseen; a minute unless set. */
  readonly shrinkMs?: number;
}

/** One seed. */
export async function trySeed(seed: number, material: Material, trying: Trying): Promise<Tried> {
  const chance = new Chance(seed);
  if (seed % growthEvery !== growthEvery - 1) return tryInput(makeInput(chance, material), trying);
  const bytes = Math.min(growthBytes, material.maxBytes);
  const make = makeRepeated(chance, material);
  const tried = await tryInput(make(bytes), trying);
  if (tried.finding !== undefined) return tried;
  const breach = await growthBreach(make, bytes, trying.runner);
  return breach === undefined ? tried : { ...tried, finding: { breach, kind: kindOf(breach), input: make(bytes) } };
}

/** One input, as it is. */
export async function tryInput(input: Uint8Array, { runner, known, shrinkMs = 60_000 }: Trying): Promise<Tried> {
  const verdict = await judge(input, runner);
  const { manner, tookMs } = verdict;
  if (verdict.breach === undefined) return { manner, tookMs, input, finding: undefined };
  const kind = kindOf(verdict.breach);
  if (known?.has(kind) === true) return { manner, tookMs, input, finding: { breach: verdict.breach, kind, input } };
  // The same rule, not merely some rule: otherwise one defect would hide behind another
  const isSame = async (smaller: Uint8Array): Promise<boolean> => {
    const { breach } = await judge(smaller, runner);
    return breach !== undefined && kindOf(breach) === kind;
  };
  const tries = Math.floor(shrinkMs / Math.max(150, tookMs));
  const smallest = await shrink(input, isSame, tries);
  const { breach = verdict.breach } = await judge(smallest, runner);
  return { manner, tookMs, input, finding: { breach, kind, input: smallest } };
}

/**
 * The verdict on one input, its time among what is judged. What was slow or large once is asked again: it may have been the
 * computer, or garbage of the inputs before.
 */
async function judge(input: Uint8Array, runner: Runner): Promise<Verdict> {
  const said = await runner.run(input);
  const first = said.breach?.startsWith(tooMuchMemory) === true ? await runner.run(input) : said;
  if (first.breach !== undefined || first.tookMs <= slowMs) return first;
  const again = await runner.run(input);
  if (again.breach !== undefined || again.tookMs <= slowMs) return again;
  return { ...again, breach: `slow: ${Math.round(again.tookMs)} ms for ${input.length} bytes` };
}

async function growthBreach(
  make: (bytes: number) => Uint8Array,
  bytes: number,
  runner: Runner,
): Promise<string | undefined> {
  const least = async (size: number): Promise<number> =>
    Math.min((await runner.run(make(size))).tookMs, (await runner.run(make(size))).tookMs);
  const whole = await least(bytes);
  if (whole < growthFromMs) return undefined;
  const quarter = await least(Math.floor(bytes / 4));
  if (whole / quarter <= maxGrowth) return undefined;
  return `grows: ${Math.round(quarter)} ms for ${Math.floor(bytes / 4)} bytes, ${Math.round(whole)} ms for ${bytes}`;
}

/** What breaches have in common that have one cause: where it was thrown, or the words without numbers and quotes. */
function kindOf(breach: string): string {
  const [first = "", ...frames] = breach.split("\n");
  const place = frames.find((frame) => /^\s+at /.test(frame) && !/target\.ts|node:internal/.test(frame));
  const words = first.replace(/"[^]*/, "").replace(/\d+/g, "N").slice(0, 60);
  return place?.trim() ?? words;
}
