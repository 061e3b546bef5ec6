// npm test: brings what is missing, then runs everything; `npm test -- unit` or `-- system` runs one half.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

process.chdir(new URL("..", import.meta.url).pathname);
const half = process.argv[2];
if (half !== undefined && !["unit", "system"].includes(half)) {
  console.error(`Unknown half "${half}": unit or system`);
  process.exit(2);
}
run(process.execPath, [".ci/ready.mjs"]);
run(process.execPath, [".ci/build.mjs"]);
const all = testFiles("test").sort();
const system = all.filter((file) => file.startsWith(join("test", "system")));
const unit = all.filter((file) => !system.includes(file));
let failed = false;
// As many files side by side as there are processors: Node would leave one of them idle.
if (half !== "system") failed = !test(unit, [`--test-concurrency=${availableParallelism()}`]) || failed;
if (half !== "unit") {
  run(process.execPath, [".ci/system-packages.mjs"]);
  // One after another: each brings up servers and machines of its own, and some of them measure.
  failed = !test(system, ["--test-concurrency=1"]) || failed;
}
process.exit(failed ? 1 : 0);

function test(files, options) {
  const args = ["--import", "tsx", "--test", ...options, ...files];
  return spawnSync(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}

function run(command, args) {
  const { status } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

function testFiles(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}
