// agent/ -> dist/: plain ES modules, split so that a command loads only what it uses. Packages stay in node_modules.
// Does nothing when dist/ is up to date, so that a playground that runs from it is not pulled away.
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { digest } from "./stamp.mjs";

process.chdir(new URL("..", import.meta.url).pathname);
const stamp = "dist/.stamp";
const wanted = digest(["agent", "schemas", ".ci/build.mjs", ".ci/stamp.mjs", "package.json", "package-lock.json"]);
if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) process.exit(0);

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const old = existsSync("dist") ? readdirSync("dist").filter((name) => /\.js(\.map)?$/.test(name)) : [];
const { metafile } = await build({
  // Where we are now, not where we were called
  absWorkingDir: process.cwd(),
  entryPoints: { main: "agent/main.ts", "git-worker": "agent/adapters/git/worker.ts" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  packages: "external",
  platform: "node",
  target: "node20",
  format: "esm",
  sourcemap: "linked",
  define: { FLOTILLA_VERSION: JSON.stringify(version) },
  logLevel: "warning",
  metafile: true,
});
// Only what was made here before and is not any more: the release has its own files there
for (const path of old.map((name) => join("dist", name))) if (!Object.hasOwn(metafile.outputs, path)) rmSync(path);
chmodSync("dist/main.js", 0o755);
writeFileSync(stamp, wanted);
