// Installs what is missing, and only then: node_modules when it does not match the lock file.
// Plain JavaScript without imports from npm, because nothing is installed yet when it runs.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

process.chdir(new URL("..", import.meta.url).pathname);
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 12)) {
  console.error(`flotilla needs Node 20.12 or later; this is ${process.version}`);
  process.exit(1);
}
const wanted = createHash("sha256").update(readFileSync("package-lock.json")).digest("hex");
const stamp = "node_modules/.flotilla-lock";
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  console.error("Installing packages (npm ci) ...");
  const { status } = spawnSync("npm", ["ci", "--no-fund", "--no-audit"], { stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(stamp, wanted);
}
