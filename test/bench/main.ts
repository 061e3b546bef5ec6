// npm run bench [-- NAME...] [--json] [--agents N] [--units N]: the figures of the README, measured on this computer.
// Ratios and counts where a clock would lie; medians of several runs, with the range.
import { benchmarks } from "./benchmarks.ts";
import { computer } from "./figures.ts";
import { parseArgs } from "node:util";

const { values, positionals } = readArgs();
const { json } = values;
const options = { agents: Number(values.agents), units: Number(values.units) };
const unknown = positionals.filter((name) => !benchmarks.some((each) => each.name === name));
if (unknown.length > 0)
  refuse(`Unknown: ${unknown.join(" ")}; there are ${benchmarks.map((each) => each.name).join(", ")}`);
for (const [name, value] of Object.entries(options))
  if (!Number.isSafeInteger(value) || value < 20) refuse(`--${name} takes a whole number, at least 20`);

const results: Record<string, unknown> = {};
for (const { name, about, run } of benchmarks) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  if (!json) console.log(`\n${name}: ${about} (${computer()})`);
  const rows = await run((text) => console.error(`  ${text}`), options);
  results[name] = rows;
  if (!json) console.table(rows);
}
if (json) console.log(JSON.stringify(results, undefined, 1));

function readArgs() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        agents: { type: "string", default: "1000" },
        units: { type: "string", default: "30000" },
      },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function refuse(what: string): never {
  console.error(what);
  process.exit(2);
}
