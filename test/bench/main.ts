// npm run bench [-- NAME...] [--json]: the figures of the README, measured on this computer. Ratios and counts where a
// clock would lie; medians of several runs, with the range.
import { benchmarks } from "./benchmarks.ts";

const args = process.argv.slice(2);
const json = args.includes("--json");
const names = args.filter((arg) => !arg.startsWith("-"));
const unknown = [
  ...names.filter((name) => !benchmarks.some((each) => each.name === name)),
  ...args.filter((arg) => arg.startsWith("-") && arg !== "--json"),
];
if (unknown.length > 0) {
  console.error(
    `Unknown: ${unknown.join(" ")}; there are ${benchmarks.map((each) => each.name).join(", ")} and --json`,
  );
  process.exit(2);
}

const results: Record<string, unknown> = {};
for (const { name, about, run } of benchmarks) {
  if (names.length > 0 && !names.includes(name)) continue;
  if (!json) console.log(`\n${name}: ${about}`);
  const rows = await run((text) => console.error(`  ${text}`));
  results[name] = rows;
  if (!json) console.table(rows);
}
if (json) console.log(JSON.stringify(results, undefined, 1));
