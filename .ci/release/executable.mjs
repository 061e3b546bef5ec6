// The bundle and a Node -> one executable, by Node's own single executable applications.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "postject";

/** How Node finds the blob within itself; its documentation names both. */
const section = "NODE_SEA_BLOB";
const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

/** GNU's knows the processor that it runs on, LLVM's all of them. */
const strippers = ["strip", "llvm-strip"];

/**
 * Makes `output` of what bundle.mjs wrote below `folder`, and of `node`, the program for the machine that is meant. The
 * blob is made by `maker`, a Node of the same version that runs here; the same one unless another processor is meant.
 */
export async function makeExecutable({ folder, node, maker, output }) {
  const blob = join(folder, "flotilla.blob");
  const config = {
    main: join(folder, "flotilla.cjs"),
    output: blob,
    disableExperimentalSEAWarning: true,
    // Compiled code is for one kind of processor
    useCodeCache: node === maker,
    // NODE_OPTIONS of somebody's shell must not run code in an agent that is root (from Node 24.8; else the units say so)
    execArgvExtension: "none",
    // 12 MB less for an agent that has little to do; placing 150,000 units takes no longer than with V8's own 16
    execArgv: ["--max-semi-space-size=2"],
    assets: {
      "git-worker.js": join(folder, "git-worker.js"),
      "example-units.json": join(folder, "example-units.json"),
    },
  };
  writeFileSync(join(folder, "sea.json"), JSON.stringify(config));
  const made = spawnSync(maker, ["--experimental-sea-config", join(folder, "sea.json")], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`Cannot make the blob of the executable: ${made.error ?? made.stderr}`);
  // Beside the output: what runs from it goes on undisturbed, and half an executable is never seen
  const next = `${output}.${process.pid}`;
  try {
    copyFileSync(node, next);
    chmodSync(next, 0o755);
    // 17 MB of symbols; one that cannot be stripped is only larger
    strippers.some((program) => spawnSync(program, [next], { stdio: "ignore" }).status === 0);
    await withoutWarnings(/^warning: Can't find string offset for section name/, () =>
      inject(next, section, readFileSync(blob), { sentinelFuse: fuse }),
    );
    renameSync(next, output);
  } finally {
    rmSync(next, { force: true });
  }
}

/** postject finds no names of notes in what was stripped, which is nothing to warn of; anything else is said. */
async function withoutWarnings(pattern, work) {
  const { warn } = console;
  console.warn = (...words) => (pattern.test(words.join(" ")) ? undefined : warn(...words));
  try {
    return await work();
  } finally {
    console.warn = warn;
  }
}
