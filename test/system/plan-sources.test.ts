// What plan reads of real repositories: commits, branches and tags, as git itself has them, and a state in a file.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, suite, test } from "node:test";
import { createPlanSources } from "../../agent/adapters/plan-sources.ts";
import { readCommit, selectBlobs } from "../../agent/desired/desired.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { PlanSources } from "../../agent/ports/plan-sources.ts";

const service = "[Service]\nExecStart=/bin/true\n";
const environment = {
  ...{ PATH: process.env["PATH"], HOME: "/nonexistent", GIT_CONFIG_NOSYSTEM: "1" },
  ...{ GIT_AUTHOR_NAME: "Test", GIT_AUTHOR_EMAIL: "test@localhost" },
  ...{ GIT_COMMITTER_NAME: "Test", GIT_COMMITTER_EMAIL: "test@localhost" },
};

async function scratch(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "flotilla-test-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  return root;
}

function git(directory: string, ...args: readonly string[]): string {
  return execFileSync("git", ["-C", directory, ...args], { env: environment, encoding: "utf8", stdio: "pipe" }).trim();
}

/** A repository with one commit for each set of files; "-> TARGET" is a link. Resolves with its folder. */
async function repository(t: TestContext, ...commits: readonly Readonly<Record<string, string>>[]): Promise<string> {
  const root = await scratch(t);
  git(root, "init", "--quiet", "--initial-branch=main");
  for (const [index, files] of commits.entries()) {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      if (text.startsWith("-> ")) await symlink(text.slice(3), join(root, path));
      else await writeFile(join(root, path), text);
    }
    git(root, "add", "--all");
    git(root, "commit", "--quiet", "--message", `Commit ${index + 1}\n\nWhy`);
  }
  return root;
}

const open = (directory: string, more = {}): PlanSources =>
  createPlanSources({ directory, environment: { ...environment, ...more } });

/** Names of the units of a commit, read as the leader reads one. */
async function unitsOf(sources: PlanSources, name: string): Promise<readonly string[]> {
  const found = await sources.commit(name);
  assert.ok(found, `there is a commit ${name}`);
  const { commit, entries } = found;
  const read = readCommit({ commit, entries, blobs: await found.read(selectBlobs(entries)) });
  assert.ok(read.ok);
  return [...read.value.units.keys()];
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "fine",
    (error: unknown) => {
      assert.ok(error instanceof Problem);
      return error.code;
    },
  );

suite("commits of the repository here", () => {
  test("by id, short id, branch, tag and HEAD, whatever lies in the folder", async (t) => {
    const root = await repository(
      t,
      { "a.service": service, "t/web@.service": service },
      { "web@1.service": "-> t/web@.service", "mnt-my\\x2ddata.mount": "[Mount]\nWhat=/dev/x\nWhere=/mnt/my-data\n" },
    );
    git(root, "tag", "first", "HEAD~1");
    git(root, "tag", "--annotate", "--message=x", "noted", "HEAD");
    await rm(join(root, "a.service"));
    const id = git(root, "rev-parse", "HEAD");
    const sources = open(root);
    const all = ["a.service", "mnt-my\\x2ddata.mount", "web@1.service"];
    for (const name of ["main", "refs/heads/main", "HEAD", "noted", id, id.slice(0, 8)])
      assert.deepEqual(await unitsOf(sources, name), all, name);
    assert.deepEqual(await unitsOf(sources, "first"), ["a.service"]);
    const found = await sources.commit("main");
    assert.deepEqual([found?.commit, found?.subject], [id, "Commit 2"]);
  });

  test("below the current folder, with paths from the root", async (t) => {
    const root = await repository(t, { "units/a.service": service, "other/b.service": service });
    const found = await open(join(root, "units")).commit("main");
    assert.deepEqual(
      found?.entries.map(({ path, kind }) => [path, kind]),
      [["units/a.service", "file"]],
    );
    await mkdir(join(root, "new"));
    assert.equal(await codeOf(open(join(root, "new")).commit("main")), "git-path");
  });

  test("a second working tree, and a clone that shares its objects", async (t) => {
    const root = await repository(t, { "a.service": service });
    const beside = await scratch(t);
    git(root, "worktree", "add", "--quiet", "--detach", join(beside, "tree"));
    git(beside, "clone", "--quiet", "--shared", root, "clone");
    for (const name of ["tree", "clone"])
      assert.deepEqual(await unitsOf(open(join(beside, name)), "HEAD"), ["a.service"]);
  });

  test("names that are none, and folders that are no repository", async (t) => {
    const root = await repository(t, { "a.service": service });
    for (const name of ["nothing", "", "--all", "main..main", "main:a.service", "^main", "a\0b"])
      assert.equal(await open(root).commit(name), undefined, name);
    assert.equal(await open(await scratch(t), { GIT_CEILING_DIRECTORIES: tmpdir() }).commit("main"), undefined);
  });

  test("what cannot be read is told by name", async (t) => {
    const root = await repository(t, { "a.service": service, "b.service": `# ${"x".repeat(1024 * 1024)}\n` });
    const found = await open(root).commit("main");
    assert.ok(found);
    const missing = "1".repeat(40);
    const oids = [...selectBlobs(found.entries), missing];
    const read = [...(await found.read(oids)).values()].map((each) =>
      each instanceof Problem ? each.code : new TextDecoder().decode(each),
    );
    assert.deepEqual(read, [service, "git-blob-size", "git-commit"]);
    assert.equal(await codeOf(open(root, { PATH: "/nonexistent" }).commit("main")), "git-program");
    const over = new AbortController();
    over.abort();
    assert.equal(await codeOf(open(root).commit("main", over.signal)), "aborted");
  });

  test("another one's repository is git's to refuse", async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("it takes root to make one");
      return;
    }
    const root = await repository(t, { "a.service": service });
    execFileSync("chown", ["-R", "65534:65534", root]);
    assert.equal(await codeOf(open(root).commit("main")), "git-repository");
  });
});

test("a folder is one, and so is a link to it; a file is none", async (t) => {
  const root = await repository(t, {
    "main/a.service": service,
    there: "-> main",
    nowhere: "-> none",
    round: "-> round",
  });
  const found = await Promise.all(
    ["main", "there", "main/a.service", "main/a.service/x", "nowhere", "round", "none"].map((path) =>
      open(root).isFolder(join(root, path)),
    ),
  );
  assert.deepEqual(found, [true, true, false, false, false, false, false]);
});

suite("a state in a file", () => {
  test("is read, and told by name where it cannot be", async (t) => {
    const root = await scratch(t);
    const path = join(root, "state.json");
    const sources = open(root);
    assert.equal(await codeOf(sources.state(path)), "state-read");
    await writeFile(path, "{}\n");
    assert.equal(await sources.state(path), "{}\n");
    assert.equal(await codeOf(sources.state(root)), "state-read");
  });
});
