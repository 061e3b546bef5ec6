// What fast-check goes by in every test: a fixed seed, so that a run can be repeated, unless a campaign asks for another
// (docs/testing.md). Tests take fast-check from here.
import fc from "fast-check";

const { PROPERTY_SEED: seed = "1", PROPERTY_RUNS: times = "1" } = process.env;

fc.configureGlobal({
  numRuns: tries(100),
  ...(seed === "random" ? {} : { seed: wholeNumber("PROPERTY_SEED", seed) }),
});

/** How often a property is tried that is usually tried so often: PROPERTY_RUNS times that. */
export function tries(usual: number): number {
  return usual * wholeNumber("PROPERTY_RUNS", times);
}

function wholeNumber(name: string, text: string): number {
  if (!/^-?\d+$/.test(text)) throw new Error(`Cannot read ${name}=${text}: it must be a whole number`);
  return Number(text);
}

export { fc };
