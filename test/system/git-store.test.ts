// The store on disk: moves only what is new, heals itself, stays small, survives full disks, and leaves the main thread free.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { after, afterEach, before, beforeEach, suite, test } from "node:test";
import type { CommitId } from "../../agent/domain/names.ts";
import { describeProblem, toRecord } from "../../agent/domain/problem.ts";
import type { Git } from "../../agent/ports/git.ts";
import { rejects } from "../contract/git.ts";
import { MemoryLog } from "../fakes/memory-log.ts";
import { type GitServer, startGitServer } from "./git-server.ts";
import { TestRepository, asCommit, discard, openGit, scratch } from "./git-world.ts";

let folder: string;
let server: GitServer;
let repository: TestRepository;
let state: string;
let log: MemoryLog;
let opened: Git[] = [];
let rounds = 0;

before(async () => {
  folder = await scratch();
});
after(async () => {
  await discard(folder);
});
beforeEach(async () => {
  const round = join(folder, `round-${++rounds}`);
  server = await startGitServer({ directory: join(round, "server") });
  repository = await TestRepository.make(server.repository);
  state = join(round, "state");
  log = new MemoryLog();
});
afterEach(async () => {
  await Promise.all(opened.map((git) => git.close()));
  opened = [];
  await server.close();
});

function open(
  more: { url?: string; path?: string; branch?: string; timeoutMs?: number; directory?: string } = {},
): Git {
  const { directory, ...settings } = more;
  const git = openGit({ url: server.url, ...settings }, { directory: directory ?? state, log });
  opened.push(git);
  return git;
}

const unit = (text: string) => ({ "units/a.service": text, "units/b.service": "[Service]\n" });

/** Random text does not compress: what a pack weighs is what it holds. */
function noise(bytes: number, seed: number): string {
  let state32 = seed * 2_654_435_761 + 1;
  let text = "";
  while (text.length < bytes) {
    state32 = (Math.imul(state32, 1_664_525) + 1_013_904_223) >>> 0;
    text += state32.toString(36);
  }
  return text.slice(0, bytes);
}

async function packs(): Promise<readonly string[]> {
  return (await readdir(join(state, "store.git/objects/pack"))).filter((name) => name.endsWith(".pack")).sort();
}

async function readAll(git: Git, commit: CommitId): Promise<ReadonlyMap<string, string>> {
  const entries = await git.tree(commit);
  return new Map(
    await Promise.all(
      entries.map(async ({ path, oid }) => [path, Buffer.from(await git.blob(oid)).toString()] as const),
    ),
  );
}

suite("git store: only what is new", { timeout: 120_000 }, () => {
  test("a fetch of nothing new is two small questions; 20 commits are 20 small packs", async () => {
    const body = noise(200_000, 1);
    await repository.commit({ "units/a.service": body, "units/b.service": "0" });
    const git = open();
    await git.fetch();
    const fullBytes = server.seen.reduce((sum, each) => sum + each.sentBytes, 0);
    assert.ok(fullBytes > 100_000, `${fullBytes}`);

    server.seen.length = 0;
    await git.fetch();
    assert.deepEqual(
      server.seen.map(({ method, protocol }) => `${method} ${protocol ?? "-"}`),
      ["GET version=2", "POST version=2"],
    );
    assert.ok(server.seen.every(({ sentBytes }) => sentBytes < 500));

    for (let round = 1; round <= 20; round++) {
      const commit = await repository.commit({ "units/a.service": body, "units/b.service": String(round) });
      server.seen.length = 0;
      assert.equal(await git.fetch(), commit);
      const bytes = server.seen.reduce((sum, each) => sum + each.sentBytes, 0);
      assert.ok(bytes < 5_000, `round ${round} moved ${bytes} bytes`);
    }
    assert.equal((await packs()).length, 21);

    // A restart knows it all, and asks only whether there is news.
    await git.close();
    const again = open();
    server.seen.length = 0;
    await again.fetch();
    assert.equal(server.seen.length, 2);
  });

  test("branches of a huge repository are not listed to ask for one", async () => {
    const commit = await repository.commit(unit("1"));
    const refs = Array.from({ length: 2_000 }, (_, index) => `create refs/pull/${index}/head ${commit}\n`).join("");
    execFileSync("git", ["-C", repository.path, "update-ref", "--stdin"], { input: refs });
    const git = open();
    await git.fetch();
    server.seen.length = 0;
    await git.fetch();
    const bytes = server.seen.reduce((sum, each) => sum + each.sentBytes, 0);
    assert.ok(bytes < 1_000, `${bytes} bytes`);
  });

  test("more than 50 packs become one again, and everything of the branch stays readable", async () => {
    const commits: CommitId[] = [];
    const git = open({ url: server.repository });
    for (let round = 0; round < 53; round++) {
      commits.push(await repository.commit(unit(`round ${round}`)));
      assert.equal(await git.fetch(), commits.at(-1));
    }
    const left = (await packs()).length;
    assert.ok(left < 5, `${left} packs`);
    assert.deepEqual(log.events("warn"), ["git.store-replaced"]);
    for (const [round, commit] of commits.entries())
      if (round % 10 === 0) assert.equal((await readAll(git, commit)).get("units/a.service"), `round ${round}`);
    assert.deepEqual((await readdir(state)).sort(), ["store.git", "store.head"]);
  });

  test("another branch or repository in the settings: its head is not the old one's", async () => {
    const main = await repository.commit(unit("main"));
    const other = await repository.commit(unit("other"), { branch: "other" });
    const first = open();
    assert.equal(await first.fetch(), main);
    await first.close();
    const second = open({ branch: "other" });
    assert.equal(await second.head(), undefined);
    assert.equal(await second.fetch(), other);
    assert.equal(await second.has(main), true, "the store is the same cache");
  });

  for (const [before, after] of [
    ["release", "release/2"],
    ["release/2", "release"],
  ] as const)
    test(`branch ${after} in place of ${before}: git's own files could not hold both`, async () => {
      await repository.commit(unit("1"), { branch: before });
      const first = open({ branch: before });
      await first.fetch();
      await first.close();
      await repository.git("update-ref", "-d", `refs/heads/${before}`);
      const commit = await repository.commit(unit("2"), { branch: after });
      const second = open({ branch: after });
      assert.equal(await second.fetch(), commit);
      assert.equal((await readAll(second, commit)).get("units/a.service"), "2");
      assert.deepEqual(log.events("warn"), []);
    });

  test("a store that was made with the branch's own name, units/prod", async () => {
    await repository.commit(unit("1"));
    const first = open();
    await first.fetch();
    await first.close();
    const old = join(state, "store.git/refs/remotes/origin");
    await rm(old, { recursive: true });
    await mkdir(join(old, "units"), { recursive: true });
    await writeFile(join(old, "units/prod"), `${"1".repeat(40)}\n`);
    const commit = await repository.commit(unit("2"));
    const second = open();
    assert.equal(await second.fetch(), commit);
    assert.deepEqual((await readdir(old)).sort(), ["units"], "nothing is left of other branches");
    assert.deepEqual(log.events("warn"), []);
  });

  test("history that was rewritten from nothing is followed", async () => {
    await repository.commit(unit("old"));
    const git = open();
    await git.fetch();
    await repository.git("update-ref", "-d", "refs/heads/main");
    const anew = await repository.commit(unit("new"));
    assert.equal(await git.fetch(), anew);
    assert.equal((await readAll(git, anew)).get("units/a.service"), "new");
  });
});

suite("git store: damage", { timeout: 300_000 }, () => {
  const pack = async (end: ".pack" | ".idx") => {
    const names = await readdir(join(state, "store.git/objects/pack"));
    return join(
      state,
      "store.git/objects/pack",
      names.find((name) => name.endsWith(end))!,
    );
  };
  const damages: Readonly<Record<string, () => Promise<void>>> = {
    "a flipped bit in the pack": async () => {
      const path = await pack(".pack");
      const bytes = await readFile(path);
      bytes[bytes.length >> 1]! ^= 0x10;
      await writeFile(path, bytes);
    },
    "a truncated pack": async () => await truncate(await pack(".pack"), 100),
    "a truncated index": async () => await truncate(await pack(".idx"), 1_000),
    "an empty index": async () => await truncate(await pack(".idx"), 0),
    "a stray empty index": async () => await writeFile(join(state, "store.git/objects/pack/pack-0.idx"), ""),
    "a missing pack whose index is there": async () => await rm(await pack(".pack")),
    "no packs at all": async () => await rm(join(state, "store.git/objects"), { recursive: true }),
    "no store at all": async () => await rm(join(state, "store.git"), { recursive: true }),
    "an empty configuration": async () => await writeFile(join(state, "store.git/config"), ""),
    "an empty ref": async () => await writeFile(join(state, "store.git/refs/remotes/origin/units"), ""),
    "an empty HEAD": async () => await writeFile(join(state, "store.git/HEAD"), ""),
    "the leftovers of a crash": async () => {
      await mkdir(join(state, "store.git.new/objects"), { recursive: true });
      await writeFile(join(state, "store.git/objects/pack/.0123.part"), "half");
    },
  };

  for (const [name, damage] of Object.entries(damages))
    test(`${name}: mended by the next fetch, also with news`, async () => {
      const one = await repository.commit(unit(noise(3_000, 7)));
      const git = open();
      await git.fetch();
      await git.close();
      await damage();

      const second = open();
      assert.equal(await second.fetch(), one);
      assert.equal((await readAll(second, one)).get("units/a.service"), noise(3_000, 7));
      const two = await repository.commit(unit("two"));
      assert.equal(await second.fetch(), two);
      assert.equal((await readAll(second, two)).get("units/a.service"), "two");
      assert.equal(await second.head(), two);
      const left = await readdir(join(state, "store.git/objects/pack"));
      assert.ok(!left.some((file) => file.endsWith(".part")));
      assert.ok(!existsSync(join(state, "store.git.new")));
    });

  test("found by a read: mended at once, the damaged store is set aside, one at most", async () => {
    const one = await repository.commit(unit(noise(3_000, 7)));
    for (let round = 1; round <= 3; round++) {
      const git = open();
      await git.fetch();
      await git.close();
      await truncate(await pack(".idx"), 1_100);
      const second = open();
      assert.equal((await readAll(second, one)).size, 2);
      await second.close();
      const aside = (await readdir(state)).filter((name) => name.includes("damaged"));
      assert.deepEqual(aside, [`store.git.damaged-${round}`]);
    }
    assert.ok(log.events("warn").includes("git.store-damaged"));
    assert.ok(log.events("warn").includes("git.store-replaced"));
  });

  test("damaged while the remote is away: said so, nothing is thrown away, and mended when it is back", async () => {
    const one = await repository.commit(unit(noise(3_000, 7)));
    const git = open();
    await git.fetch();
    await git.close();
    await truncate(await pack(".pack"), 100);
    server.fault = { kind: "status", status: 503 };
    const second = open();
    assert.equal(await second.head(), one);
    const problem = await rejects(second.tree(one), ["git-damaged"]);
    assert.match(
      describeProblem(toRecord(problem)),
      /Cannot make the damaged git store of .* anew: Cannot get an answer.*503/,
    );
    await rejects(second.fetch(), ["git-unreachable"]);
    assert.ok(existsSync(join(state, "store.git")));
    server.fault = undefined;
    assert.equal((await readAll(second, one)).size, 2);
  });

  test("an unreadable record of the head is none; the next fetch writes it anew", async () => {
    const one = await repository.commit(unit("1"));
    const git = open();
    await git.fetch();
    await git.close();
    await writeFile(join(state, "store.head"), '{"commit": "../../etc"');
    const second = open();
    assert.equal(await second.head(), undefined);
    assert.equal(await second.fetch(), one);
    await second.close();
    assert.equal(await open().head(), one);
  });

  test("the remote's objects are incomplete: refused, and the last good head stays", async () => {
    const one = await repository.commit(unit("1"));
    const git = open({ url: server.repository });
    await git.fetch();
    await repository.commit(unit(noise(2_000, 3)));
    const blob = await repository.git("rev-parse", "main:units/a.service");
    await rename(join(repository.path, "objects", blob.slice(0, 2), blob.slice(2)), join(repository.path, "lost"));
    await rejects(git.fetch(), ["git-repository", "git-unreachable"]);
    assert.equal(await git.head(), one);
    assert.equal(await git.has(one), true);
    await rename(join(repository.path, "lost"), join(repository.path, "objects", blob.slice(0, 2), blob.slice(2)));
    assert.notEqual(await git.fetch(), one);
  });
});

suite("git store: limits", { timeout: 300_000 }, () => {
  test("a tree bomb: a few hundred bytes that stand for millions of files", async () => {
    const git = async (input: string, ...args: string[]) =>
      execFileSync("git", ["-C", repository.path, ...args], { input })
        .toString()
        .trim();
    let oid = await git("x", "hash-object", "-w", "--stdin");
    let kind = "100644 blob";
    for (let level = 0; level < 8; level++) {
      const lines = Array.from({ length: 10 }, (_, index) => `${kind} ${oid}\tf${index}\n`).join("");
      oid = await git(lines, "mktree");
      kind = "040000 tree";
    }
    const root = await git(`040000 tree ${oid}\tunits\n`, "mktree");
    const commit = asCommit(
      await git("bomb", "-c", "user.name=T", "-c", "user.email=t@localhost", "commit-tree", root),
    );
    await repository.git("update-ref", "refs/heads/main", commit);
    const store = open();
    assert.equal(await store.fetch(), commit, "it is the commit's fault, not the fetch's");
    const problem = await rejects(store.tree(commit), ["git-tree-size"]);
    assert.match(problem.hint ?? "", /more than 200000/);
    const startedMs = performance.now();
    for (let asked = 0; asked < 20; asked++) {
      assert.equal(await store.fetch(), commit);
      assert.equal(await store.has(commit), true);
      await rejects(store.tree(commit), ["git-tree-size"]);
    }
    assert.ok(performance.now() - startedMs < 5_000, "it is listed once");
    const next = await repository.commit({ "units/a.service": "x" });
    assert.equal(await store.fetch(), next);
    assert.deepEqual([...(await readAll(store, next)).keys()], ["units/a.service"]);
  });

  test("names that would lead out of a folder", async () => {
    const blob = execFileSync("git", ["-C", repository.path, "hash-object", "-w", "--stdin"], { input: "x" })
      .toString()
      .trim();
    const entry = Buffer.concat([Buffer.from("100644 ..\0"), Buffer.from(blob, "hex")]);
    const write = (type: string, input: Buffer) =>
      execFileSync("git", ["-C", repository.path, "hash-object", "-w", "-t", type, "--literally", "--stdin"], { input })
        .toString()
        .trim();
    const units = write("tree", entry);
    const root = write("tree", Buffer.concat([Buffer.from("40000 units\0"), Buffer.from(units, "hex")]));
    const commit = execFileSync(
      "git",
      ["-C", repository.path, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit-tree", root],
      { input: "escape" },
    )
      .toString()
      .trim();
    await repository.git("update-ref", "refs/heads/main", commit);
    const problem = await rejects(open().fetch(), ["git-repository"]);
    assert.match(describeProblem(toRecord(problem)), /entry named "\.\."/);
  });

  const asServed = { http: () => server.url, "a local path": () => `file://${server.repository}` };
  for (const [way, url] of Object.entries(asServed))
    test(`over ${way}: a large file that packs well is refused before it is unpacked, and is not sent again`, async () => {
      const one = await repository.commit(unit("1"));
      const git = open({ url: url() });
      await git.fetch();
      await repository.commit({ ...unit("1"), "core.dump": "\0".repeat(65 * 1024 * 1024) });
      const problem = await rejects(git.fetch(), ["git-repository"]);
      assert.match(problem.hint ?? "", /65 MiB.*at most 64 MiB.*history/);
      assert.equal((await packs()).length, 1, "nothing of it is kept");
      assert.equal(await git.head(), one);
      assert.equal(await git.has(one), true);
      assert.equal((await readAll(git, one)).size, 2);

      const polled = server.seen.length;
      assert.deepEqual(await rejects(git.fetch(), ["git-repository"]), problem);
      const bytes = server.seen.slice(polled).reduce((sum, each) => sum + each.sentBytes, 0);
      assert.ok(bytes < 500, `${bytes} bytes`);

      const onTop = await repository.commit(unit("2"));
      assert.deepEqual((await rejects(git.fetch(), ["git-repository"])).hint, problem.hint, "it is in the history");
      await repository.reset(one);
      assert.equal(await git.fetch(), one);
      const two = await repository.commit(unit("2"));
      assert.notEqual(two, onTop);
      assert.equal(await git.fetch(), two);
    });

  const mayMount = process.getuid?.() === 0;
  test(
    "a full disk: said so, the last good commit stays, and it goes on when there is room",
    { skip: mayMount ? false : "needs root to mount a small disk" },
    async (t) => {
      const disk = join(folder, "small-disk");
      await mkdir(disk);
      try {
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=300k,mode=0700", "flotilla-test", disk], { stdio: "pipe" });
      } catch {
        t.skip("needs the right to mount");
        return;
      }
      try {
        const one = await repository.commit(unit("small"));
        const git = open({ directory: disk });
        assert.equal(await git.fetch(), one);
        const two = await repository.commit({ "units/a.service": noise(600_000, 5) });
        const line = describeProblem(toRecord(await rejects(git.fetch(), ["disk-write"])));
        assert.match(line, /Cannot write ".*The disk is full|ENOSPC/);
        assert.equal(await git.head(), one);
        assert.equal((await readAll(git, one)).get("units/a.service"), "small");
        execFileSync("mount", ["-o", "remount,size=20m", disk]);
        assert.equal(await git.fetch(), two);
        assert.equal(await git.has(two), true);
        await git.close();
      } finally {
        execFileSync("umount", ["--lazy", disk]);
      }
    },
  );

  test("a folder where nothing may be made", async () => {
    await repository.commit(unit("1"));
    await writeFile(join(folder, "a-file"), "");
    const git = open({ directory: join(folder, "a-file", "state") });
    await rejects(git.fetch(), ["disk-write"]);
  });

  test("20,000 files: the main thread stays free while they are fetched, listed and read", async (t) => {
    const files: Record<string, string> = {};
    for (let index = 0; index < 20_000; index++)
      files[`units/${index % 200}/unit-${index}.service`] = `[Service]\nExecStart=/bin/true ${noise(260, index)}\n`;
    const commit = await repository.commit(files);
    // A first, small fetch loads the HTTP library: that happens once in a process, whatever the repository.
    await repository.commit(unit("small"), { branch: "small" });
    const small = open({ branch: "small", directory: join(folder, "warm") });
    await small.fetch();
    await small.close();

    const git = open({ timeoutMs: 120_000 });
    const measured = async <T>(
      what: string,
      work: () => Promise<T>,
    ): Promise<{ value: T; maxMs: number; busy: number }> => {
      const delay = monitorEventLoopDelay({ resolution: 5 });
      delay.enable();
      const before = performance.eventLoopUtilization();
      const startedMs = performance.now();
      const value = await work();
      const tookMs = performance.now() - startedMs;
      delay.disable();
      const maxMs = delay.max / 1e6;
      const busy = performance.eventLoopUtilization(before).utilization;
      t.diagnostic(
        `${what}: ${tookMs.toFixed(0)} ms, busy ${(busy * 100).toFixed(0)} %, longest stop of the main thread ${maxMs.toFixed(1)} ms, 99 % ${(delay.percentile(99) / 1e6).toFixed(1)} ms`,
      );
      return { value, maxMs, busy };
    };
    const fetched = await measured("fetch", async () => await git.fetch());
    assert.equal(fetched.value, commit);
    const listed = await measured("tree", async () => await git.tree(commit));
    assert.equal(listed.value.length, 20_000);
    const read = await measured("10,000 blobs, 32 at once", async () => {
      let bytes = 0;
      for (let from = 0; from < 10_000; from += 32)
        for (const blob of await Promise.all(
          listed.value.slice(from, from + 32).map(async ({ oid }) => await git.blob(oid)),
        ))
          bytes += blob.length;
      return bytes;
    });
    assert.ok(read.value > 10_000 * 280);
    // Shares, because a loaded machine stretches everything: in the main thread a fetch would keep it busy all the time, and
    // stop it for a second and more at once.
    assert.ok(fetched.busy < 0.3, `busy for ${fetched.busy} of the fetch`);
    for (const { maxMs } of [fetched, listed, read]) assert.ok(maxMs < 800, `${maxMs} ms`);
    assert.ok((await stat(join(state, "store.git"))).isDirectory());
  });
});
