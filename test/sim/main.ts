// npm run sim: any block of seeds, on as many processes as there are processors. A broken seed prints its number, which replays
// it exactly with --trace; the exit code is 1 then.
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runMutants } from "./mutate.ts";
import { simulate } from "./simulate.ts";
import { type Report, Worker } from "./worker.ts";

const usage = `npm run sim -- [--from N] [--seeds K] [--jobs J] [--trace]
npm run sim -- --mutants [NAME...] [--seeds K] [--jobs J]

  --from N    the first seed (default: 1)
  --seeds K   how many (default: 1000), or of each mutant at most (default: 2000)
  --jobs J    processes side by side (default: as many as processors)
  --trace     print what happened, line by line; for one seed
  --mutants   break the product on purpose, one mistake at a time (test/sim/mutants.ts), and say which check finds it,
              and after how many seeds; exit code 1 when one is not found

  npm run sim -- --from 1 --seeds 100000
  npm run sim -- --from 4711 --seeds 1 --trace
  npm run sim -- --mutants leader-unguarded`;

/** Of a check that is broken, so many seeds are named. */
const namedSeeds = 10;

interface Range {
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
}

if (process.send === undefined) await main();
else {
  process.on("disconnect", () => process.exit()); // whoever asked is gone
  Error.stackTraceLimit = 0; // a tenth of the time goes into stacks that nobody reads; a replay has them
  process.on("message", (seed: number) => {
    work(seed).catch((error: unknown) => {
      console.error(error);
      process.exit(2);
    });
  });
}

async function work(seed: number): Promise<void> {
  const { broken, checks, ms } = await simulate(seed);
  process.send?.({ seed, broken, checks, ms } satisfies Report);
}

async function main(): Promise<void> {
  const { values, positionals: names } = parseArgs({
    allowPositionals: true,
    options: {
      from: { type: "string", default: "1" },
      seeds: { type: "string" },
      jobs: { type: "string", default: String(availableParallelism()) },
      trace: { type: "boolean", default: false },
      mutants: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return;
  }
  if (names.length > 0 && !values.mutants) refuse(`Cannot take "${names.join(" ")}" without --mutants`);
  const [from, seeds, jobs] = [
    whole(values.from),
    whole(values.seeds ?? (values.mutants ? "2000" : "1000")),
    whole(values.jobs),
  ];
  if (values.mutants) {
    process.exitCode = (await runMutants(names, { seeds, jobs })) ? 0 : 1;
    return;
  }
  if (values.trace) {
    for (let seed = from; seed < from + seeds; seed++) await show(seed);
    return;
  }
  await runAll({ from, seeds, jobs });
}

async function show(seed: number): Promise<void> {
  const { trace, broken } = await simulate(seed);
  process.stdout.write(`${trace.join("\n")}\n`);
  if (broken !== undefined) process.exitCode = 1;
}

async function runAll({ from, seeds, jobs }: Range): Promise<void> {
  const began = performance.now();
  const broken = new Map<string, number[]>();
  let [done, checks, simulatedMs] = [0, 0, 0];
  let next = from;
  const hear = (report: Report): void => {
    done++;
    checks += report.checks;
    simulatedMs += report.ms;
    if (report.broken !== undefined) {
      const { check, message } = report.broken;
      broken.set(check, [...(broken.get(check) ?? []), report.seed]);
      process.stdout.write(`seed ${report.seed}: ${check}: ${message}\n`);
    }
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${seeds} seeds`);
  };
  const employ = async (): Promise<void> => {
    const worker = new Worker(fileURLToPath(import.meta.url));
    while (next < from + seeds) hear(await worker.simulate(next++));
    worker.end();
  };
  await Promise.all(Array.from({ length: Math.min(jobs, seeds) }, employ));
  if (process.stderr.isTTY) process.stderr.write("\r");
  const seconds = (performance.now() - began) / 1_000;
  for (const [check, found] of broken) {
    const named = found.sort((a, b) => a - b).slice(0, namedSeeds);
    process.stdout.write(
      `${check}: ${found.length} seeds (${named.join(" ")}${found.length > namedSeeds ? " ..." : ""})\n`,
    );
  }
  const bad = [...broken.values()].reduce((sum, found) => sum + found.length, 0);
  const hours = (simulatedMs / 3_600_000).toFixed(1);
  process.stdout.write(
    `${done} seeds, ${hours} hours of cluster time, ${checks} checks in ${seconds.toFixed(1)} s: ${bad} broken\n`,
  );
  if (bad > 0) process.stdout.write("Replay one: npm run sim -- --from SEED --seeds 1 --trace\n");
  process.exitCode = bad === 0 ? 0 : 1;
}

function whole(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  return refuse(`Cannot read "${text}": it must be a whole number above 0`);
}

function refuse(message: string): never {
  console.error(`${message}\n\n${usage}`);
  return process.exit(2);
}
