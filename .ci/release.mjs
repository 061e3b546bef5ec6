// The release: dist/flotilla, one executable that needs no Node, and a Debian package of it; for arm64 as well where that
// can be made. Does nothing when all is up to date.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { bundle } from "./release/bundle.mjs";
import { makeExecutable } from "./release/executable.mjs";
import { makePackage, packageName } from "./release/package.mjs";
import { architectures, runtimeFor } from "./release/runtime.mjs";
import { digest } from "./stamp.mjs";

process.chdir(new URL("..", import.meta.url).pathname);
const stamp = "dist/.release-stamp";
const sources = [
  "agent",
  "schemas",
  "units",
  "cloud-config",
  "docs",
  ".ci",
  "CHANGELOG.md",
  "package.json",
  "package-lock.json",
];
const wanted = digest(sources);
if (existsSync("dist/flotilla") && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) process.exit(0);

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const folder = "dist/.release";
mkdirSync("dist", { recursive: true });
for (const name of readdirSync("dist")) if (name.endsWith(".deb")) rmSync(join("dist", name));
rmSync(stamp, { force: true });
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await bundle(folder, version);
const texts = await madeTexts();
// What the files of a package say of their age: a build of the same sources gives the same package
const time = Number(process.env.SOURCE_DATE_EPOCH ?? 0);

const runtimes = new Map(architectures.map((arch) => [arch, runtimeFor(arch)]));
const maker = [...runtimes.values()].find((each) => each?.runsHere);
const made = [];
for (const [arch, runtime] of runtimes) {
  if (runtime === undefined) continue;
  if (maker?.version !== runtime.version) {
    console.error(
      `Left out: the executable for ${arch}. No Node ${runtime.version} that runs here is there to make it`,
    );
    continue;
  }
  const executable = `dist/flotilla${runtime.runsHere ? "" : `-${arch}`}`;
  const output = join("dist", packageName(version, arch));
  await makeExecutable({ folder, node: runtime.node, maker: maker.node, output: executable });
  makePackage({ executable, texts, runtime, version, arch, time, output });
  made.push(executable, output);
}
rmSync(folder, { recursive: true, force: true });
if (made.length === 0) process.exit(1);
console.error(`Made ${made.join(", ")}`);
// With something left out, the next build tries it again
if ([...runtimes.values()].every((each) => each?.isPinned)) writeFileSync(stamp, wanted);

/** The manual and the completions, from the table of commands in the source. */
async function madeTexts() {
  const outfile = join(folder, "texts.mjs");
  await build({
    absWorkingDir: process.cwd(),
    stdin: {
      contents: `export { describeProgram } from "./agent/cli/args.ts";
        export { manualPage } from "./agent/cli/manual.ts";
        export { completionScript } from "./agent/cli/shells.ts";`,
      resolveDir: process.cwd(),
    },
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  const { describeProgram, manualPage, completionScript } = await import(pathToFileURL(outfile));
  const program = await describeProgram(version);
  const [bash, zsh, fish] = ["bash", "zsh", "fish"].map((shell) => completionScript(shell, program));
  return { manual: manualPage(program), bash, zsh, fish };
}
