// npm run fuzz: any block of seeds, or as long as is said. Prints each finding with the seed that makes it again, and keeps its
// smallest input in the corpus.
import { parseArgs } from "node:util";
import { type Tried, tryInput, trySeed } from "./campaign.ts";
import { type Entry, keepInput, readCorpus, readFiles } from "./corpus.ts";
import { Growth } from "./growth.ts";
import type { Material } from "./mutate.ts";
import { Runner } from "./runner.ts";
import { targetNames } from "./targets.ts";

/** Of one target: more would be the same again. */
const maxFindings = 5;
const maxBreachChars = 1_200;

const usage = `npm run fuzz -- [TARGET...] [--from N] [--seeds K | --minutes M] [--grow] [--corpus DIR]

  TARGET       ${targetNames.join(", ")} (default: all)
  --from N     the first seed (default: 0)
  --seeds K    how many of each target (default: 1000)
  --minutes M  for so long instead, shared by all targets
  --grow       keep inputs of a new manner in the corpus
  --corpus DIR further inputs to begin with

Exit code 0 when nothing was found, 1 when something was, 2 when it was called wrongly.

  npm run fuzz -- --minutes 10
  npm run fuzz -- user-data --from 4711 --seeds 1`;

const { values, positionals } = readArgs();
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const unknown = positionals.filter((name) => !targetNames.includes(name));
if (unknown.length > 0) refuse(`Unknown target ${unknown.join(", ")}`);
const names = positionals.length > 0 ? positionals : targetNames;
const from = whole(values.from, "--from");
const perTarget = values.seeds === undefined ? 1_000 : whole(values.seeds, "--seeds");
const minutes = values.minutes === undefined ? undefined : number(values.minutes, "--minutes");
const more = values.corpus === undefined ? [] : await readFiles(values.corpus);

let findings = 0;
for (const name of names) findings += await campaign(name);
process.exitCode = findings > 0 ? 1 : 0;

async function campaign(name: string): Promise<number> {
  const runner = new Runner(name);
  const { words, maxBytes } = await runner.facts();
  const entries = [...(await readCorpus(name)), ...more];
  const material: Material = {
    corpus: entries.map(({ bytes }) => bytes),
    words,
    maxBytes,
  };
  const growth = new Growth({ target: name, runner });
  const found = new Set<string>();
  const beganMs = Date.now();
  const untilMs = minutes === undefined ? Infinity : beganMs + (minutes * 60_000) / names.length;
  let inputs = 0;
  let slowestMs = 0;

  const take = async (tried: Tried, said: string, isKept: boolean): Promise<void> => {
    inputs++;
    slowestMs = Math.max(slowestMs, tried.tookMs);
    const { finding } = tried;
    if (finding !== undefined) {
      if (found.has(finding.kind)) return;
      found.add(finding.kind);
      const path = await keepInput(name, { kind: "found", bytes: finding.input });
      console.log(`${name} ${said}: ${finding.breach.slice(0, maxBreachChars)}\n  kept as test/fuzz/corpus/${path}\n`);
    } else if (growth.isNew(tried) && isKept) await growth.keep(tried);
  };

  try {
    for (const { name: file, bytes } of entries)
      await take(await tryInput(limited(bytes, maxBytes), { runner, known: found }), file, false);
    const last = minutes === undefined ? from + perTarget : Infinity;
    for (let seed = from; seed < last && Date.now() < untilMs && found.size < maxFindings; seed++) {
      await take(await trySeed(seed, material, { runner, known: found }), `seed ${seed}`, values.grow);
    }
  } finally {
    await runner.close();
  }
  const seconds = ((Date.now() - beganMs) / 1000).toFixed(1);
  console.log(
    `${name}: ${inputs} inputs, ${growth.manners.size} manners, ${found.size} findings, ${seconds} s, slowest ${Math.round(slowestMs)} ms`,
  );
  return found.size;
}

function limited(bytes: Entry["bytes"], maxBytes: number): Uint8Array {
  return bytes.subarray(0, maxBytes);
}

function whole(text: string, option: string): number {
  const value = number(text, option);
  return Number.isSafeInteger(value) ? value : refuse(`${option} takes a whole number`);
}

function number(text: string, option: string): number {
  return /^\d{1,12}(\.\d{1,3})?$/.test(text) ? Number(text) : refuse(`${option} takes a number`);
}

function readArgs() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        from: { type: "string", default: "0" },
        seeds: { type: "string" },
        minutes: { type: "string" },
        grow: { type: "boolean", default: false },
        corpus: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function refuse(what: string): never {
  console.error(`${what}\n\n${usage}`);
  process.exit(2);
}
