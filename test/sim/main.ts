// npm run sim: any block of seeds. A broken one prints its number, which replays it exactly, and its trace.
import { parseArgs } from "node:util";
import { simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    from: { type: "string", default: "1" },
    seeds: { type: "string", default: "100" },
    trace: { type: "boolean", default: false },
  },
});
const from = Number(values.from);
const seeds = Number(values.seeds);
let broken = 0;
const checks = new Map<string, number[]>();
const began = performance.now();
for (let seed = from; seed < from + seeds; seed++) {
  const outcome = await simulate(seed);
  if (values.trace) process.stdout.write(`${outcome.trace.join("\n")}\n`);
  if (outcome.broken === undefined) continue;
  broken++;
  checks.set(outcome.broken.check, [...(checks.get(outcome.broken.check) ?? []), seed]);
  process.stdout.write(`seed ${seed}: ${outcome.broken.check}: ${outcome.broken.message}\n`);
}
process.stdout.write(`${seeds} seeds in ${((performance.now() - began) / 1000).toFixed(1)} s, ${broken} broken\n`);
for (const [check, found] of checks)
  process.stdout.write(`${check}: ${found.length} (${found.slice(0, 10).join(" ")})\n`);
process.exitCode = broken === 0 ? 0 : 1;
