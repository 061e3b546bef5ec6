// The Node that the single executable is made of: a pinned one, brought by npm and checked against its digest here, or the
// one that runs this build when that cannot be brought. It is no dependency of package.json: only a release needs its
// 50 MB.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const version = "24.21.0";
/** By architecture as Node calls it: the SHA-512 of the package, as a lock file would hold it. */
const digests = {
  x64: "3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  arm64: "FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
};
/** npm tries again by itself; a registry that does not answer must not hold the build for ever. */
const fetchMs = 300_000;

export const architectures = Object.keys(digests);

/**
 * The node program and its licence for `arch`: { node, licence, version, runsHere, isPinned }. Undefined, with the reason on
 * stderr, when there is none to be had.
 */
export function runtimeFor(arch) {
  const folder = join("node_modules", ".cache", "flotilla", `node-${version}-${arch}`);
  const reason = existsSync(join(folder, "node")) ? undefined : bring(arch, folder);
  const runsHere = process.platform === "linux" && process.arch === arch;
  if (reason === undefined)
    return {
      node: join(folder, "node"),
      licence: join(folder, "LICENSE"),
      version: `v${version}`,
      runsHere,
      isPinned: true,
    };
  if (!runsHere) {
    console.error(`Left out: the executable for ${arch}. ${reason}`);
    return undefined;
  }
  console.error(`${reason}\nThe executable is made of the Node that runs this, ${process.version}, instead`);
  return { node: process.execPath, licence: undefined, version: process.version, runsHere, isPinned: false };
}

/** Why it could not be brought; undefined when it was. */
function bring(arch, folder) {
  const name = `node-linux-${arch}`;
  console.error(`Bringing ${name} ${version} (50 MB) ...`);
  const scratch = `${folder}.${process.pid}`;
  mkdirSync(scratch, { recursive: true });
  try {
    const packed = spawnSync("npm", ["pack", `${name}@${version}`, "--loglevel=error", "--pack-destination", scratch], {
      encoding: "utf8",
      timeout: fetchMs,
    });
    if (packed.status !== 0) return `Cannot bring ${name}@${version}: ${lastWords(packed)}`;
    const archive = join(scratch, `${name}-${version}.tgz`);
    const digest = createHash("sha512").update(readFileSync(archive)).digest("base64");
    if (digest !== digests[arch]) throw new Error(`${name}@${version} is not what it was: its SHA-512 is ${digest}`);
    const wanted = ["package/bin/node", "package/LICENSE"];
    const unpacked = spawnSync("tar", ["-xzf", archive, "-C", scratch, ...wanted], { encoding: "utf8" });
    if (unpacked.status !== 0) return `Cannot unpack ${name}@${version}: ${lastWords(unpacked)}`;
    mkdirSync(join(scratch, "done"));
    renameSync(join(scratch, "package/bin/node"), join(scratch, "done/node"));
    renameSync(join(scratch, "package/LICENSE"), join(scratch, "done/LICENSE"));
    chmodSync(join(scratch, "done/node"), 0o755);
    renameSync(join(scratch, "done"), folder);
    return undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** What npm and tar say that is not about themselves. */
function lastWords({ error, stderr, signal }) {
  const lines = (stderr ?? "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !/complete log|^npm notice/.test(line));
  return error?.message ?? (lines.slice(0, 2).join("; ") || `ended by ${signal ?? "itself"}`);
}
