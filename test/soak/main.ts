// npm run soak: faults at random, or every fault once, on machines that boot; what must never be is counted.
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { computer } from "../bench/figures.ts";
import { whyNoMachines } from "../system/booted/why.ts";
import { findEtcd } from "../system/etcd-server.ts";
import { Campaign } from "./campaign.ts";
import { keepEvidence } from "./evidence.ts";
import { type MatrixRow, runMatrix } from "./matrix.ts";
import { type SoakCount, runSoak } from "./soak.ts";
import { matrixTable, soakTable } from "./tables.ts";

const fewestMachines = 3;
const usage = `npm run soak -- [--minutes N] [--seed N] [--machines N] [--keep-going] [--evidence FOLDER] [--json]
npm run soak -- --matrix [--write]

  --minutes N        faults at random for so long (default: 30)
  --seed N           which faults, in which order, and what else is done meanwhile; to which machine or unit depends on what is
                     up, who leads and what runs then (default: one of the clock's; it is said at the beginning)
  --machines N       3 to 9 (default: 3)
  --matrix           every fault once, one after another
  --write            with that: write the table of docs/faults.md anew
  --keep-going       go on after a violation
  --evidence FOLDER  where journals and logs go when there was one (default: a new folder under /var/tmp)
  --json             the counts as JSON

Exit code 0 when nothing happened that must not, 1 when something did or machines cannot be had, 2 when it was called
wrongly, 130 after Ctrl-C.

  npm run soak -- --minutes 10
  npm run soak -- --minutes 2 --seed 4711`;
const values = readArgs();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const minutes = number("minutes", { least: 1, most: 7 * 24 * 60 });
const machines = number("machines", { least: fewestMachines, most: 9 });
const seed = number("seed", { least: 0, most: 2 ** 32 - 1 });
const missing = findEtcd() === undefined ? "etcd is not installed (Debian: etcd-server)" : await whyNoMachines();
if (missing !== undefined) {
  console.error(missing);
  process.exit(1);
}

const over = new AbortController();
const ending = { isInterrupted: false };
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    if (ending.isInterrupted) process.exit(130); // the machines' world ends with this process
    ending.isInterrupted = true;
    over.abort();
    say("ending: what is broken is mended first; once more to end at once");
  });

const fromMs = performance.now();
const beside = computer();
say(`seed ${seed}, ${machines} machines, ${values.matrix ? "every fault once" : `${minutes} minutes`} (${beside})`);
let count: SoakCount | undefined;
let rows: readonly MatrixRow[] = [];
let folder: string | undefined;
const campaign = await Campaign.open({
  machines,
  seed,
  say,
  onViolation: ({ what, during }) => {
    console.error(`\nVIOLATION after ${elapsed()}: ${what}\n  while broken: ${during.join(", ") || "nothing"}`);
    if (!values["keep-going"]) over.abort();
  },
});
try {
  if (values.matrix) rows = await runMatrix(campaign, { over: over.signal });
  else {
    const timer = setTimeout(() => over.abort(), minutes * 60_000);
    count = await runSoak(campaign, over.signal);
    clearTimeout(timer);
  }
} finally {
  if (campaign.watch.violations.length > 0) {
    folder = values.evidence ?? (await mkdtemp("/var/tmp/flotilla-soak-evidence-"));
    await keepEvidence(campaign, folder);
  }
  await campaign.close();
}
report();
if (values.write && rows.length > 0) await writeTable();
process.exit(ending.isInterrupted ? 130 : campaign.watch.violations.length > 0 ? 1 : 0);

function report(): void {
  const { checks, violations, longestDoubleMs } = campaign.watch;
  const injected = count === undefined ? rows.length : [...count.faults.values()].flat().length;
  if (values.json) {
    const summary = {
      ...{ seed, machines, seconds: Math.round((performance.now() - fromMs) / 1000), computer: beside },
      ...{ faults: injected, checks, violations, longestDoubleMs: Math.round(longestDoubleMs), evidence: folder },
      ...(count === undefined
        ? { matrix: rows }
        : {
            ...{ overlaps: count.overlaps, commits: count.commits, handwork: count.handwork },
            byFault: Object.fromEntries(count.faults),
          }),
    };
    console.log(JSON.stringify(summary, undefined, 1));
    return;
  }
  console.log(`\n${count === undefined ? matrixTable(rows) : soakTable(count)}\n`);
  const life =
    count === undefined
      ? ""
      : `, ${count.overlaps} times two at once; ${count.commits} commits and ${count.handwork} holds and drains`;
  console.log(
    `${injected} faults in ${elapsed()}${life}; ${checks} checks; ${violations.length} violations (seed ${seed})`,
  );
  if (longestDoubleMs > 0)
    console.log(
      `a machine that came back ran units beside their newer copies for ${(longestDoubleMs / 1000).toFixed(1)} s at most`,
    );
  if (folder !== undefined) console.log(`journals, logs and what was seen: ${folder}`);
}

async function writeTable(): Promise<void> {
  const document = new URL("../../docs/faults.md", import.meta.url);
  const text = await readFile(document, "utf8");
  const note = `Written by \`npm run soak -- --matrix --write\`, on a computer with ${beside} at its beginning.`;
  const table = `<!-- matrix -->\n\n<!-- prettier-ignore-start -->\n\n${note}\n\n${matrixTable(rows)}\n\n<!-- prettier-ignore-end -->\n\n<!-- matrix end -->`;
  await writeFile(
    document,
    text.replace(/<!-- matrix -->[^]*<!-- matrix end -->/, () => table),
  );
}

function say(text: string): void {
  console.error(`${elapsed().padStart(9)}  ${text}`);
}

function elapsed(): string {
  const seconds = Math.round((performance.now() - fromMs) / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

function readArgs() {
  try {
    return parseArgs({
      options: {
        minutes: { type: "string", default: "30" },
        seed: { type: "string", default: String(Date.now() % 2 ** 32) },
        machines: { type: "string", default: String(fewestMachines) },
        evidence: { type: "string" },
        matrix: { type: "boolean", default: false },
        write: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        "keep-going": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function number(name: "minutes" | "seed" | "machines", { least, most }: { least: number; most: number }): number {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < least || value > most)
    refuse(`--${name} takes a whole number from ${least} to ${most}`);
  return value;
}

function refuse(what: string): never {
  console.error(`${what}\n\n${usage}`);
  process.exit(2);
}
