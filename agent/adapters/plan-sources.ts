// Commits of the repository around the current folder, asked of git itself, which knows worktrees, alternates and whatever
// else a clone may be; and a state in a file. For `flotilla plan`. Children only read, and never speak to a remote.
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { byName, parseCommitId } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { TreeEntry } from "../ports/git.ts";
import { type LocalCommit, type PlanSources, maxStateBytes } from "../ports/plan-sources.ts";

const maxEntries = 200_000;
const maxBlobBytes = 1024 * 1024;
const maxSubjectLength = 200;
/** Of one run of git. */
const maxOutputBytes = 512 * 1024 * 1024;
const gitTimeoutMs = 120_000;

export interface PlanSourcesOptions {
  /** The current folder. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function createPlanSources(options: PlanSourcesOptions): PlanSources {
  return {
    isFolder,
    commit: async (name, signal) => findCommit(name, { ...options, signal }),
    state: readState,
  };
}

interface Asking extends PlanSourcesOptions {
  readonly signal: AbortSignal | undefined;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP"].includes(code)) return false;
    throw new Problem("working-copy-read", `Cannot read "${path}"`, { cause: error });
  }
}

async function findCommit(name: string, asking: Asking): Promise<LocalCommit | undefined> {
  // It would be taken for an option, or for everything but a commit
  if (/^[-^]|\0/.test(name)) return undefined;
  const found = await runGit(["rev-parse", "--verify", "--quiet", `${name}^{commit}`], asking);
  // 1: there is no such name; said in no words
  if (found.code === 1 || (found.code !== 0 && isNoRepository(found))) return undefined;
  if (found.code !== 0) throw failed("Cannot find a commit by this name", found);
  const commit = parseCommitId(text(found).trim());
  if (!commit.ok) {
    throw new Problem("git-repository", `Cannot use commit "${text(found).trim().slice(0, 80)}"`, {
      hint: "The cluster reads repositories whose ids are SHA-1",
    });
  }
  const folder = text(await mustRun(["rev-parse", "--show-prefix"], asking)).trim();
  const tree = folder === "" ? commit.value : `${commit.value}:${folder.replace(/\/$/, "")}`;
  const listed = await runGit(["ls-tree", "-r", "-z", "--full-tree", tree], asking);
  if (listed.code !== 0 && folder !== "") {
    throw new Problem("git-path", `Cannot find the folder "${folder}" in commit ${commit.value.slice(0, 12)}`, {
      hint: "Change into the folder that holds the units of that commit",
    });
  }
  if (listed.code !== 0) throw failed(`Cannot list commit ${commit.value.slice(0, 12)}`, listed);
  return {
    commit: commit.value,
    subject: subjectOf(text(await mustRun(["cat-file", "commit", commit.value], asking))),
    entries: parseListing(text(listed), folder),
    read: async (oids, signal) => readBlobs(oids, { ...asking, signal }),
  };
}

/** `MODE TYPE OID<tab>PATH<nul>`, again and again. */
function parseListing(listing: string, folder: string): readonly TreeEntry[] {
  const items = listing.split("\0").slice(0, -1);
  if (items.length > maxEntries) {
    throw new Problem("git-tree-size", `Cannot read more than ${maxEntries} files of a commit`, {
      hint: "Keep units in a folder of their own, and change into it",
    });
  }
  return items
    .map((item): TreeEntry => {
      const [, mode = "", oid = "", path = ""] = /^(\d+) \w+ ([0-9a-f]+)\t([\s\S]*)$/.exec(item) ?? [];
      const kind = mode === "120000" ? "link" : mode === "160000" ? "submodule" : "file";
      return { path: folder + path, kind, oid };
    })
    .sort((a, b) => byName(a.path, b.path));
}

async function readBlobs(oids: readonly string[], asking: Asking): Promise<ReadonlyMap<string, Uint8Array | Problem>> {
  const blobs = new Map<string, Uint8Array | Problem>();
  if (oids.length === 0) return blobs;
  const { stdout } = await mustRun(["cat-file", "--batch"], asking, oids.map((oid) => `${oid}\n`).join(""));
  let at = 0;
  for (const oid of oids) {
    const end = stdout.indexOf(0x0a, at);
    const [, size] = / blob (\d+)$/.exec(stdout.toString("latin1", at, end)) ?? [];
    at = end + 1;
    if (size === undefined) {
      blobs.set(oid, notThere(oid));
      continue;
    }
    blobs.set(oid, Number(size) > maxBlobBytes ? tooLarge(oid, size) : stdout.subarray(at, at + Number(size)));
    at += Number(size) + 1;
  }
  return blobs;
}

function notThere(oid: string): Problem {
  return new Problem("git-commit", `Cannot find blob ${oid.slice(0, 12)} in this repository`, {
    hint: "The clone is not whole: git fetch --refetch --no-filter",
  });
}

function tooLarge(oid: string, size: string): Problem {
  return new Problem("git-blob-size", `Cannot read blob ${oid.slice(0, 12)}`, {
    hint: `It has ${size} bytes; a unit or drop-in may have ${maxBlobBytes}`,
  });
}

function subjectOf(commit: string): string {
  const message = commit.slice(commit.indexOf("\n\n") + 2);
  return (message.split("\n", 1)[0] ?? "").replace(/\p{Cc}+/gu, " ").slice(0, maxSubjectLength);
}

interface Run {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function text({ stdout }: Run): string {
  return stdout.toString("utf8");
}

function isNoRepository({ stderr }: Run): boolean {
  return /not a git repository/i.test(stderr);
}

function failed(message: string, { code, stderr }: Run): Problem {
  const said = stderr
    .trim()
    .replace(/\p{Cc}+/gu, " ")
    .slice(0, 1_000);
  return new Problem("git-repository", message, { cause: new Error(said || `git ended with exit code ${code}`) });
}

async function mustRun(args: readonly string[], asking: Asking, input = ""): Promise<Run> {
  const run = await runGit(args, asking, input);
  if (run.code !== 0) throw failed("Cannot read the repository of this folder", run);
  return run;
}

async function runGit(args: readonly string[], { directory, environment, signal }: Asking, input = ""): Promise<Run> {
  const options = {
    cwd: directory,
    encoding: "buffer",
    maxBuffer: maxOutputBytes,
    timeout: gitTimeoutMs,
    env: { ...environment, LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0", GIT_TERMINAL_PROMPT: "0", GIT_NO_LAZY_FETCH: "1" },
    ...(signal === undefined ? {} : { signal }),
  } as const;
  return new Promise((done, fail) => {
    const child = execFile("git", [...args], options, (error, stdout, stderr) => {
      const run = (code: number): Run => ({ code, stdout, stderr: stderr.toString("utf8") });
      if (error === null) done(run(0));
      else if (signal?.aborted === true) fail(new Problem("aborted", "Cannot go on reading", { cause: signal.reason }));
      else if (typeof error.code === "number") done(run(error.code));
      else fail(cannotRun(error));
    });
    // A child that has gone takes its pipe along; why it went is told by its exit
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function cannotRun(cause: Error): Problem {
  const isMissing = "code" in cause && cause.code === "ENOENT";
  return new Problem("git-program", "Cannot run git to read a commit", {
    hint: isMissing ? "Install git, or name a folder" : undefined,
    cause,
  });
}

async function readState(path: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    const file = await open(path, constants.O_RDONLY);
    try {
      const { size } = await file.stat();
      if (size > maxStateBytes) throw new Error(`it has more than ${maxStateBytes} bytes`);
      return await file.readFile({ encoding: "utf8", ...(signal === undefined ? {} : { signal }) });
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (signal?.aborted === true) throw new Problem("aborted", "Cannot go on reading", { cause: signal.reason });
    throw new Problem("state-read", `Cannot read "${path}"`, {
      hint: "flotilla state >FILE exports the state of a cluster",
      cause,
    });
  }
}
