// Verification of a working copy: real folders, real links and, where it is installed, the real systemd-analyze.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createWorkingCopy } from "../../agent/adapters/working-copy.ts";
import { type Verification, verifyWorkingCopy } from "../../agent/cli/working-copy.ts";
import type { Problem } from "../../agent/domain/problem.ts";

const units = fileURLToPath(new URL("../../units", import.meta.url));
const service = "[Service]\nExecStart=/bin/sh -c true\n";

/** Whether systemd-analyze is here; without it, what it would say is left out of the tests that expect it. */
const hasAnalyzer = ((): boolean => {
  try {
    execFileSync("systemd-analyze", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();
const withoutAnalyzer = hasAnalyzer ? false : "systemd-analyze is not installed (apt-get install systemd)";

/** A folder of its own with these files, gone after the test. */
async function folderOf(
  t: TestContext,
  files: Readonly<Record<string, string | { readonly to: string }>>,
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "flotilla-test-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    if (typeof content === "string") await writeFile(join(root, path), content);
    else await symlink(content.to, join(root, path));
  }
  return root;
}

/** Without systemd-analyze, unless a test is about it. */
const copy = createWorkingCopy({ analyzer: "flotilla-no-such-program" });

const verify = (path: string): Promise<Verification> => verifyWorkingCopy(copy, { path });
const briefly = (found: readonly Problem[]): readonly string[] =>
  found.map(({ code, at }) => `${code}@${at?.file ?? ""}${at?.line === undefined ? "" : `:${at.line}`}`);

suite("verify", { concurrency: false }, () => {
  test("the example repository is without fault, for systemd as well", async () => {
    const found = await verifyWorkingCopy(createWorkingCopy(), { path: join(units, "example") });
    assert.deepEqual([found.problems, found.warnings], [[], []]);
    assert.equal(found.units, 12);
    assert.equal(found.analyzed, hasAnalyzer);
  });

  test("the units that run flotilla itself are without fault", async () => {
    const found = await verifyWorkingCopy(createWorkingCopy(), { path: join(units, "system") });
    assert.deepEqual([found.problems, found.units], [[], 5]);
    // On a computer where it is not installed, systemd misses the program and nothing else
    const others = found.warnings.filter(
      ({ message }) => !message.includes("Command /usr/bin/flotilla is not executable"),
    );
    assert.deepEqual(others, []);
  });

  test("a folder is read as a commit is: links as links, git's own left out", async (t) => {
    const root = await folderOf(t, {
      ".git/config": "x",
      ".git/hooks/z.service": "broken",
      "README.md": "x",
      "s/a.service": "[Service\n",
      "s/b.servce": service,
      "t/web@.service": service,
      "t/web@.service.d/x.conf": "[Service]\nUser=nobody\n",
      "i/web@1.service": { to: "../t/web@.service" },
      "i/web@2.service": { to: "/etc/passwd" },
      "i/web@3.service": { to: "../../../../../../etc/passwd" },
      "other/.git": "gitdir: elsewhere",
      "other/a.service": service,
      loop: { to: "." },
    });
    execFileSync("mkfifo", [join(root, "s/pipe.service")]);
    const found = await verify(root);
    assert.deepEqual(briefly(found.problems), [
      "link-target@i/web@2.service",
      "link-target@i/web@3.service",
      "unit-section@s/a.service:1",
    ]);
    assert.deepEqual(briefly(found.warnings), ["near-miss@s/b.servce"]);
    assert.equal(found.units, 5);
    assert.equal(found.analyzed, false);
  });

  test("one file is read with its drop-ins, and nothing is said of units beside it", async (t) => {
    const root = await folderOf(t, {
      "a.service": `${service}[X-Fleet]\nMachineOf=b.service\n`,
      "a.service.d/x.conf": "[X-Fleet]\nGlobal=true\n",
      "c.service": `${service}[X-Fleet]\nMachineOf=b.service\n`,
      "broken.service": "x",
      "notes.txt": "x",
    });
    const a = await verify(join(root, "a.service"));
    assert.deepEqual(
      a.problems.map(({ code }) => code),
      ["unit-option-pair"],
    );
    const c = await verify(join(root, "c.service"));
    assert.deepEqual([c.problems, c.warnings, c.units], [[], [], 1]);
    assert.deepEqual(briefly((await verify(join(root, "notes.txt"))).problems), ["unit-name@notes.txt"]);
  });

  test("one link is read with its template, wherever that is, and the drop-ins of both", async (t) => {
    const root = await folderOf(t, {
      "deep/t/web@.service": `${service}[X-Fleet]\nMachineMetadata=rack=%i\n`,
      "deep/t/web@.service.d/x.conf": "[X-Fleet]\nConflicts=web@*.service\n",
      "i/web@1.service": { to: "../deep/t/web@.service" },
      "i/web@1.service.d/y.conf": "[X-Fleet]\nReplaces=old.service\n",
      "i/web@2.service": { to: "../deep/t/web@.service" },
      "i/web@3.service": { to: "../gone/web@.service" },
      "i/web.service": { to: "../deep/t/web@.service" },
    });
    const codes = async (name: string): Promise<readonly string[]> =>
      (await verify(join(root, "i", name))).problems.map(({ code }) => code);
    assert.deepEqual(await codes("web@1.service"), ["unit-option-pair"]);
    assert.deepEqual(await codes("web@2.service"), []);
    assert.deepEqual(await codes("web@3.service"), ["link-target"]);
    assert.deepEqual(await codes("web.service"), ["link-name"]);
  });

  test("a link that leads out of its repository is refused for a single file too", async (t) => {
    const root = await folderOf(t, {
      "web@.service": service,
      "repo/.git/HEAD": "x",
      "repo/web@1.service": { to: "../web@.service" },
    });
    assert.deepEqual(briefly((await verify(join(root, "repo/web@1.service"))).problems), ["link-target@web@1.service"]);
  });

  test("what cannot be read is a problem with a name", async (t) => {
    const root = await folderOf(t, { "big.service": "x".repeat(1024 * 1024 + 1), "a.service": service });
    await assert.rejects(verify(join(root, "nothing")), { name: "Problem", code: "working-copy-read" });
    assert.deepEqual(briefly((await verify(root)).problems), ["working-copy-read@big.service"]);
    const aborted = AbortSignal.abort();
    await assert.rejects(verifyWorkingCopy(copy, { path: root, signal: aborted }), { code: "aborted" });
  });

  test("a folder for copies that is not there is named, with what to do", async (t) => {
    const root = await folderOf(t, { "a.service": service });
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = join(root, "none");
    t.after(() => {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    });
    await assert.rejects(verifyWorkingCopy(createWorkingCopy(), { path: root }), {
      name: "Problem",
      code: "working-copy-scratch",
      message: `Cannot make a folder for copies of the units in "${join(root, "none")}"`,
      hint: "Set TMPDIR to a folder that is there, can be written and has room",
    });
  });

  test("systemd's findings stand at our files, and nothing is left behind", { skip: withoutAnalyzer }, async (t) => {
    const root = await folderOf(t, {
      "s/a.service": "[Service]\nExecStart=/bin/sh -c true\nFoo=bar\n",
      "s/a.service.d/x.conf": "[Service]\nTimeoutStatSec=1\n",
      "s/t.timer": "[Timer]\nOnCalendar=dayly\n",
      "s/empty.service": "[Service]\nType=simple\n",
      "s/needs.service": `[Unit]\nRequires=a.service web@2.service\n${service}`,
      "t/web@.service": "[Service]\nExecStart=/no/such/program\nBar=1\n",
      "i/web@1.service": { to: "../t/web@.service" },
      "i/web@2.service": { to: "../t/web@.service" },
      "i/web@2.service.d/y.conf": "[Service]\nBaz=1\n",
    });
    const scratch = await mkdtemp(join(tmpdir(), "flotilla-test-"));
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = scratch;
    t.after(async () => {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      await rm(scratch, { recursive: true, force: true });
    });
    const found = await verifyWorkingCopy(createWorkingCopy(), { path: root });
    assert.deepEqual(found.problems, []);
    const places = new Set(briefly(found.warnings));
    for (const place of [
      "systemd-analyze@s/a.service:3",
      "systemd-analyze@s/a.service.d/x.conf:2",
      "systemd-analyze@s/t.timer:2",
      "systemd-analyze@s/empty.service",
      "systemd-analyze@t/web@.service:3",
      "systemd-analyze@t/web@.service",
      "systemd-analyze@i/web@2.service.d/y.conf:2",
    ]) {
      assert.ok(places.has(place), `${place} is not in ${[...places].join(" ")}`);
    }
    assert.ok(![...places].some((place) => place.includes("needs.service")), "names resolve");
    for (const { message } of found.warnings) assert.ok(!message.includes(scratch) && !message.endsWith("."), message);
    assert.deepEqual(await readdir(scratch), []);
  });
});

test("one file with a name that is no unit's is told of once; a path that is not there in words", async (t) => {
  const folder = await folderOf(t, { "b.servce": service });
  const found = await verifyWorkingCopy(createWorkingCopy(), { path: join(folder, "b.servce") });
  assert.deepEqual([found.problems.length, found.warnings.length], [1, 0]);
  await assert.rejects(verifyWorkingCopy(createWorkingCopy(), { path: join(folder, "nope.service") }), {
    message: /^Cannot read ".*nope\.service": there is no such file or folder$/,
  });
});
