// The playground's folder and its repository of units, made from the example units and removed without a trace.
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Problem } from "../domain/problem.ts";
import { packedText } from "./packed.ts";

const run = promisify(execFile);
const gitTimeoutMs = 30_000;

/** An empty folder at `path` that only its owner can enter; whatever was there is gone. */
export async function freshDirectory(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const denied = error instanceof Error && "code" in error && error.code === "EACCES";
    throw new Problem("disk-write", `Cannot make folder ${path}`, {
      cause: error,
      ...(denied ? { hint: "Run as root, or in a session with a folder of its own (XDG_RUNTIME_DIR)" } : {}),
    });
  }
}

/** Made when it is not there; only its owner can enter. */
export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** A file that only its owner can read. */
export async function writePrivate(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
}

/** What `text` always gives, in 64 hex digits. */
export function hexOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** 32 hex digits that were never there before. */
export function randomHex(): string {
  return randomBytes(16).toString("hex");
}

export async function lastLine(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.trim().split("\n").at(-1)?.slice(0, 500) || "none";
}

export async function removeDirectory(path: string): Promise<void> {
  try {
    // Processes that have just been killed may still be letting go of their files.
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  } catch (error) {
    throw new Problem("disk-write", `Cannot remove folder ${path}`, { cause: error });
  }
}

/**
 * A git working copy at `path` whose branch main holds a copy of the folder `example`, links as links, in one commit. The
 * single executable takes the copy that it carries. The repository has an identity of its own, so that a commit works
 * for somebody who has never used git here.
 */
export async function makeRepository(path: string, example: string): Promise<void> {
  await copyExample(example, path);
  await git(path, ["init", "--quiet", "--initial-branch=main"]);
  await git(path, ["config", "user.name", "Playground"]);
  await git(path, ["config", "user.email", "playground@localhost"]);
  await git(path, ["config", "commit.gpgsign", "false"]);
  await git(path, ["add", "--all"]);
  await git(path, ["commit", "--quiet", "--message", "The example units"]);
}

/** As the release build writes it: path -> a file's text, or where a link leads. */
type PackedExample = Readonly<Record<string, { readonly text: string } | { readonly link: string }>>;

async function copyExample(example: string, path: string): Promise<void> {
  const packed = packedText("example-units.json");
  try {
    if (packed === undefined) await cp(example, path, { recursive: true, verbatimSymlinks: true });
    else await unpack(JSON.parse(packed) as PackedExample, path);
  } catch (error) {
    throw new Problem("playground-example", `Cannot copy the example units to ${path}`, {
      hint: packed === undefined ? `They must be in ${example}` : undefined,
      cause: error,
    });
  }
}

async function unpack(example: PackedExample, path: string): Promise<void> {
  for (const [name, entry] of Object.entries(example)) {
    const target = join(path, name);
    await mkdir(dirname(target), { recursive: true });
    if ("text" in entry) await writeFile(target, entry.text);
    else await symlink(entry.link, target);
  }
}

async function git(directory: string, args: readonly string[]): Promise<void> {
  // Neither the user's nor the system's settings: hooks, templates and signing are theirs, not the playground's.
  const env = {
    PATH: process.env["PATH"],
    LC_ALL: "C",
    HOME: directory,
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
  };
  try {
    await run("git", ["-C", directory, ...args], { env, timeout: gitTimeoutMs });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new Problem("playground-git", "Cannot find the program git", { hint: "Install it: apt-get install git" });
    }
    throw new Problem("playground-git", `Cannot make the playground's repository: git ${args[0] ?? ""} failed`, {
      cause: error,
    });
  }
}
