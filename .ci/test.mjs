// npm test: brings what is missing, then runs everything; `npm test -- unit` or `-- system` runs one half.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
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
if (half !== "system") failed = !(await test(unit, { concurrency: availableParallelism() }).passed);
if (half !== "unit") {
  run(process.execPath, [".ci/system-packages.mjs"]);
  // Two queues, each one file after another: every file brings up servers and machines of its own, and some of them
  // measure. Machines that boot mostly wait; what their tests say comes when the other queue is done.
  const booting = system.filter((file) =>
    /from "\.\/(booted\/|first-boots|executable)/.test(readFileSync(file, "utf8")),
  );
  const others = system.filter((file) => !booting.includes(file));
  const late = test(booting, { concurrency: 1, quiet: true });
  failed = !(await test(others, { concurrency: 1 }).passed) || failed;
  failed = !(await late.passed) || failed;
  process.stdout.write(Buffer.concat(late.said));
}
process.exitCode = failed ? 1 : 0;

/** `passed`: whether all did. `quiet`: what they say is kept in `said`. */
function test(files, { concurrency, quiet = false }) {
  // A file that hangs is ended and named, with what it had said: a queue that waits for ever says nothing.
  const args = ["--import", "tsx", "--test", `--test-concurrency=${concurrency}`, "--test-timeout=600000", ...files];
  const child = spawn(process.execPath, args, { stdio: ["ignore", quiet ? "pipe" : "inherit", "inherit"] });
  const said = [];
  child.stdout?.on("data", (chunk) => said.push(chunk));
  const passed = new Promise((resolve) => child.once("close", (code) => resolve(code === 0)));
  return { passed, said };
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
