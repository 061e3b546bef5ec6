// npm test: brings what is missing, then runs everything; `npm test -- unit` or `-- system` runs one half.
//
// Every file is a process (and process group) of its own under Node's test runner. Node's own queue of files is not
// used: it waits for ever for a file that hangs, or that left a child behind with its output open, and then does not
// say which file it was.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as elapsed } from "node:timers/promises";

const FILE_LIMIT_MS = 10 * 60_000;
const OUTPUT_LIMIT_MS = 5_000;

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
const results = [];
const running = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    // A group of its own hears nothing of Ctrl-C
    for (const child of running) process.kill(-child.pid, signal);
    process.kill(process.pid, signal);
  });
}
if (half !== "system") await Promise.all(Array.from({ length: availableParallelism() }, () => queue(unit)));
if (half !== "unit") {
  run(process.execPath, [".ci/system-packages.mjs"]);
  // Two files at a time: every file brings up servers and machines of its own, and some of them measure. Machines that
  // boot mostly wait: as long as there are any, one of the two is theirs.
  const booting = system.filter((file) =>
    /from "\.\/(booted\/|first-boots|executable)/.test(readFileSync(file, "utf8")),
  );
  const others = system.filter((file) => !booting.includes(file));
  await Promise.all([queue(booting).then(() => queue(others)), queue(others)]);
}
conclude();

/** One file after another, until none is left in `files`; several may take from the same. */
async function queue(files) {
  for (let file = files.shift(); file !== undefined; file = files.shift()) results.push(await test(file));
}

/** One file: what it says is printed whole when it is done, so that files side by side do not mix. */
async function test(file) {
  const begun = process.hrtime.bigint();
  const child = spawn(process.execPath, ["--import", "tsx", file], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => said.push(chunk));
  let hung = false;
  const limit = setTimeout(() => {
    hung = true;
    process.kill(-child.pid, "SIGKILL");
  }, FILE_LIMIT_MS);
  // Its own end and that of what it says; but a child that it left behind may hold its output open.
  const [code] = await Promise.race([
    once(child, "close"),
    once(child, "exit").then((end) => elapsed(OUTPUT_LIMIT_MS, end, { ref: false })),
  ]);
  clearTimeout(limit);
  for (const stream of [child.stdout, child.stderr]) stream.destroy();
  const text = Buffer.concat(said).toString();
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const count = (word) => Number(new RegExp(`^# ${word} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  const passed = code === 0 && !hung;
  const end = hung
    ? `hung: ended after ${FILE_LIMIT_MS / 1000} s in what follows the last line above`
    : `${seconds.toFixed(1)} s`;
  process.stdout.write(`# ${file}\n${text}# ${passed ? "passed" : "FAILED"} ${file}: ${end}\n\n`);
  return { file, passed, seconds, tests: count("tests"), skipped: count("skipped") };
}

function conclude() {
  const failed = results.filter(({ passed }) => !passed);
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  const slowest = [...results].sort((a, b) => b.seconds - a.seconds).slice(0, 8);
  console.log(`# slowest: ${slowest.map(({ file, seconds }) => `${file} ${seconds.toFixed(0)} s`).join(", ")}`);
  console.log(
    `# files ${results.length}, tests ${sum("tests")}, skipped ${sum("skipped")}, files that failed ${failed.length}`,
  );
  for (const { file } of failed) console.log(`# failed: ${file}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
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
