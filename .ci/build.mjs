// agent/ -> dist/: plain ES modules, split so that a command loads only what it uses. Packages stay in node_modules.
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { build } from "esbuild";

process.chdir(new URL("..", import.meta.url).pathname);
const { version } = JSON.parse(readFileSync("package.json", "utf8"));
rmSync("dist", { recursive: true, force: true });
await build({
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
  banner: { js: "#!/usr/bin/env node" },
  logLevel: "warning",
});
chmodSync("dist/main.js", 0o755);
