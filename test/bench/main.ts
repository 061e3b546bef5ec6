// npm run bench: the figures of the README, measured on this computer. Ratios and counts where a clock would lie; medians of
// several runs, with the range. At the end the budgets.
import { benchmarks } from "./benchmarks.ts";
import { compare } from "./budgets.ts";
import { draw } from "./chart.ts";
import { type BenchOptions, type Row, computer } from "./figures.ts";
import { document } from "./document.ts";
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";

const known = benchmarks.map(({ name }) => name);
const usage = `npm run bench -- [NAME...] [--json] [--chart] [--agents N] [--units N]

  NAME        ${known.join(", ")} (default: all)
  --json      the figures as JSON
  --chart     write docs/scale.svg and docs/scale.md anew
  --agents N  of scale: how many agents (default: 1000)
  --units N   of scale: how many units (default: 30000)

Exit code 0, or 2 when it was called wrongly.

  npm run bench -- placement --json
  npm run bench -- scale --agents 100 --units 3000`;

const { values, positionals } = readArgs();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const { json, chart } = values;
const results: Record<string, readonly Row[]> = {};
const options: BenchOptions = {
  agents: wholeNumber("agents"),
  units: wholeNumber("units"),
  keep: (name, rows) => (results[name] = rows),
};
const unknown = positionals.filter((name) => !benchmarks.some((each) => each.name === name));
if (unknown.length > 0) refuse(`Unknown: ${unknown.join(" ")}`);
const isAsked = (name: string): boolean => positionals.length === 0 || positionals.includes(name);
if (chart && !["placement", "scale"].every(isAsked)) refuse("--chart draws placement and scale: name both, or none");

const beside = computer();
for (const { name, about, run } of benchmarks) {
  if (!isAsked(name)) continue;
  if (!json) console.log(`\n${name}: ${about} (${computer()})`);
  const rows = await run((text) => console.error(`  ${text}`), options);
  results[name] = rows;
  if (!json) console.table(rows);
}
if (json) console.log(JSON.stringify(results, undefined, 1));
else {
  console.log("\nbudgets of the design: the median is held against the bound");
  console.table(compare(results));
}
if (chart) {
  const drawing = draw(results);
  if (drawing === undefined) throw new Error("There is nothing to draw");
  await writeFile(new URL("../../docs/scale.svg", import.meta.url), drawing);
  await writeFile(new URL("../../docs/scale.md", import.meta.url), await document(results, beside));
}

function wholeNumber(name: "agents" | "units"): number {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 20) refuse(`--${name} takes a whole number, at least 20`);
  return value;
}

function readArgs() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        chart: { type: "boolean", default: false },
        agents: { type: "string", default: "1000" },
        units: { type: "string", default: "30000" },
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
