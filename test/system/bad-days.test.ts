// Bad days of one machine, with the built agent as its user meets them: what is away, wrong, damaged, full or taken. Each is
// told in one clear line with a hint, tried again in silence, and over as soon as its cause is.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { startEtcd, withoutEtcd } from "./etcd-server.ts";
import { startGitServer } from "./git-server.ts";
import { LoneAgent, type Settings, flotilla } from "./lone-agent.ts";

const run = promisify(execFile);
const withoutRoot = process.getuid?.() === 0 ? false : "needs the rights of root";
const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

/** In no output, whatever happens. */
const secret = "wr0ng-s3cret";

const lasting =
  "[Unit]\nDescription=A loop\n\n[Service]\nExecStart=/bin/sh -c 'echo %n >>%t/starts; exec sleep infinity'\n";

/** A commit of these files on `branch`, made in a working copy and pushed to `to` where that is another. */
async function commit(
  copy: string,
  files: Readonly<Record<string, string>>,
  { to = "", branch = "main" } = {},
): Promise<void> {
  const git = async (...args: readonly string[]) =>
    run("git", ["-C", copy, "-c", "user.name=Test", "-c", "user.email=test@localhost", ...args]);
  await mkdir(copy, { recursive: true });
  if (!existsSync(join(copy, ".git"))) await git("init", "--quiet", "--initial-branch", branch);
  for (const [name, text] of Object.entries(files)) await writeFile(join(copy, name), text);
  await git("add", "--all");
  await git("commit", "--quiet", "--message", "units");
  if (to !== "") await git("push", "--quiet", to, `HEAD:refs/heads/${branch}`);
}

/** Nothing that a user should never see: faults of the program, secrets, words said twice, one trouble told again and again. */
function checkWords(text: string): void {
  assert.doesNotMatch(text, /unhandled|rejection|internal|mistake in flotilla|\n\s+at |undefined|\[object/i);
  assert.ok(!text.includes(secret), `a secret is told:\n${text}`);
  assert.doesNotMatch(text, /(\b[^:\n]{8,}): \1(?=[:\n"]|$)/, "words are said twice");
}

function checkLog(lone: LoneAgent, most: number): void {
  checkWords(lone.output);
  const told = lone.lines("warn", "error").map((line) => line.slice(9));
  assert.equal(new Set(told).size, told.length, `a line comes twice:\n${lone.output}`);
  assert.ok(told.length <= most, `${told.length} lines of trouble:\n${lone.output}`);
}

/** A scene with an agent of its own; whatever it printed must be fit for people. */
function scene(
  name: string,
  play: (lone: LoneAgent) => Promise<void>,
  { machine = true, skip = false }: { readonly machine?: boolean; readonly skip?: string | false } = {},
): void {
  test(name, { skip }, async () => {
    const lone = await LoneAgent.create({ machine });
    try {
      await play(lone);
      checkWords(lone.output);
    } finally {
      await lone.close();
    }
  });
}

/** Its status shows this trouble and this hint, once. */
async function untilTrouble(lone: LoneAgent, trouble: RegExp, hint: RegExp): Promise<void> {
  const text = await lone.until(new RegExp(`Trouble: .*(?:${trouble.source})`));
  assert.match(text, new RegExp(`hint: .*(?:${hint.source})`), text);
  checkWords(text);
}

async function untilWell(lone: LoneAgent, units = 1): Promise<void> {
  const text = await lone.eventually(
    () => lone.ask("status"),
    (each) => each.includes(`: ${units} active\n`) && !each.includes("Trouble:"),
    `${units} active and no trouble`,
  );
  checkWords(text);
}

async function starts(lone: LoneAgent): Promise<readonly string[]> {
  const text = await readFile(join(lone.directory, "machine", "run", "starts"), "utf8");
  return text.trim().split("\n");
}

describe("bad days", { timeout: 300_000, concurrency: 2 }, () => {
  const withEtcd = { skip: withoutEtcd };

  scene(
    "etcd is away at the start and comes later",
    async (lone) => {
      const etcd = await startEtcd({ directory: join(lone.directory, "etcd") });
      try {
        await etcd.stop();
        const repository = join(lone.directory, "units");
        await commit(repository, { "a.service": lasting });
        await lone.configure({ Git: { URL: repository }, Registry: { Endpoints: etcd.url } });
        lone.launch();
        await untilTrouble(lone, /Cannot reach the registry: .*ECONNREFUSED/, /Check that etcd is running/);
        const told = lone.lines("warn", "error").length;
        await lone.ask("status"); // waits for the registry, which is tried again meanwhile
        await lone.ask("list-units");
        assert.ok(lone.lines("warn", "error").length <= told + 2, lone.output);
        await etcd.start();
        await untilWell(lone);
        checkLog(lone, 8);
      } finally {
        await lone.close();
        await etcd.close();
      }
    },
    withEtcd,
  );

  scene(
    "etcd refuses the password",
    async (lone) => {
      const etcd = await startEtcd({ directory: join(lone.directory, "etcd") });
      try {
        await etcd.enableAuth({ name: "fleet", password: "right", prefix: "/flotilla/" });
        const repository = join(lone.directory, "units");
        await commit(repository, { "a.service": lasting });
        const settings = (Password: string): Settings => ({
          Git: { URL: repository },
          Registry: { Endpoints: etcd.url, Username: "fleet", Password },
        });
        await lone.configure(settings(secret));
        lone.launch();
        await untilTrouble(lone, /invalid user ID or password/, /Check registry username and password/);
        checkLog(lone, 8);
        assert.equal(await lone.stop(), 0);
        await lone.configure(settings("right"));
        lone.launch();
        await untilWell(lone);
      } finally {
        await lone.close();
        await etcd.close();
      }
    },
    withEtcd,
  );

  scene(
    "etcd's certificate is signed by an unknown CA",
    async (lone) => {
      const etcd = await startEtcd({ directory: join(lone.directory, "etcd"), tls: true });
      try {
        assert.ok(etcd.tls);
        const { ca, otherCa, cert, key } = etcd.tls;
        const repository = join(lone.directory, "units");
        await commit(repository, { "a.service": lasting });
        const settings = (CAFile: string): Settings => ({
          Git: { URL: repository },
          Registry: { Endpoints: etcd.url, CAFile, CertFile: cert, KeyFile: key },
        });
        await lone.configure(settings(otherCa));
        lone.launch();
        await untilTrouble(lone, /certificate/, /Check the registry's CA/);
        checkLog(lone, 8);
        assert.equal(await lone.stop(), 0);
        await lone.configure(settings(ca));
        lone.launch();
        await untilWell(lone);
      } finally {
        await lone.close();
        await etcd.close();
      }
    },
    withEtcd,
  );

  scene("the git server is down, up, and gone", async (lone) => {
    const git = await startGitServer({ directory: join(lone.directory, "git") });
    try {
      await commit(join(lone.directory, "units"), { "a.service": lasting }, { to: git.repository });
      await lone.configure({ Git: { URL: git.url } });
      git.fault = { kind: "status", status: 503 };
      lone.launch();
      await untilTrouble(lone, /Cannot get an answer from "http:.*HTTP status 503/, /tried again/);
      await lone.eventually(
        () => git.seen.length,
        (tries) => tries >= 4,
        "four tries",
      );
      checkLog(lone, 1);
      git.fault = undefined;
      await untilWell(lone);
      await git.close();
      await untilTrouble(lone, /Cannot connect to the host of "http:.*ECONNREFUSED/, /server is running/);
      assert.match(await lone.ask("status"), /: 1 active\n/);
      checkLog(lone, 2);
      assert.deepEqual(await starts(lone), ["a.service"]);
    } finally {
      await lone.close();
      if (git.seen.length > 0) await git.close().catch(() => undefined); // closed already, where all went well
    }
  });

  scene("git refuses the password", async (lone) => {
    const login = { username: "me", password: "right" };
    const git = await startGitServer({ directory: join(lone.directory, "git"), login });
    try {
      await commit(join(lone.directory, "units"), { "a.service": lasting }, { to: git.repository });
      await lone.configure({ Git: { URL: git.url, Username: "me", Password: secret } });
      lone.launch();
      await untilTrouble(lone, /Cannot log in to "http:/, /refused the token or password/);
      const said = await lone.ask("sync");
      assert.match(said, /Cannot log in to "http:/);
      checkWords(said);
      // The other line warns that http sends the password in the clear.
      checkLog(lone, 2);
      assert.equal(await lone.stop(), 0);
      await lone.configure({ Git: { URL: git.url, Username: "me", Password: "right" } });
      lone.launch();
      await untilWell(lone);
    } finally {
      await lone.close();
      await git.close();
    }
  });

  scene("the branch is not there, and then it is", async (lone) => {
    const repository = join(lone.directory, "units");
    await commit(repository, { "a.service": lasting });
    await lone.configure({ Git: { URL: repository, Branch: "mian" } });
    lone.launch();
    await untilTrouble(lone, /Cannot find branch "mian" in "/, /\bmain\b/);
    checkLog(lone, 1);
    await run("git", ["-C", repository, "branch", "mian"]);
    await untilWell(lone);
  });

  scene("the repository is missing, then no repository, then empty, then there", async (lone) => {
    const repository = join(lone.directory, "units");
    await lone.configure({ Git: { URL: repository } });
    lone.launch();
    await untilTrouble(lone, /Cannot find a repository at "/, /no such folder/);
    await mkdir(repository);
    await untilTrouble(lone, /does not appear to be a git repository/, /Check the path/);
    await run("git", ["init", "--quiet", "--bare", "--initial-branch=main", repository]);
    await untilTrouble(lone, /Cannot find branch "main"/, /empty; push a commit/);
    // One outage of the repository, however its reason changes.
    checkLog(lone, 1);
    await commit(join(lone.directory, "copy"), { "a.service": lasting }, { to: repository });
    await untilWell(lone);
  });

  scene("the object store is damaged", async (lone) => {
    const repository = join(lone.directory, "units");
    await commit(repository, { "a.service": lasting });
    await lone.configure({ Git: { URL: repository } });
    lone.launch();
    await untilWell(lone);
    assert.equal(await lone.stop(), 0);
    const packs = join(lone.state, "store.git", "objects", "pack");
    for (const name of await readdir(packs)) if (name.endsWith(".pack")) await truncate(join(packs, name), 40);
    lone.launch();
    await lone.eventually(
      () => readdir(lone.state),
      (names) => names.includes("store.git.damaged-1"),
      "it is set aside",
    );
    await commit(repository, { "b.service": lasting });
    await untilWell(lone, 2);
    checkLog(lone, 2);
    assert.match(lone.output, /git\.store-damaged[^\n]*\n(?:.*\n)*.*git\.store-replaced/);
    assert.deepEqual(await starts(lone), ["a.service", "b.service"]);
  });

  scene(
    "the disk is full at the start, and once more later",
    async (lone) => {
      const repository = join(lone.directory, "units");
      await commit(repository, { "a.service": lasting });
      await lone.configure({ Git: { URL: repository } });
      await mkdir(lone.state);
      // A disk of its own, in a mount namespace that ends with the agent.
      const mount = `mount -t tmpfs -o size=512k,mode=700 tmpfs "$0" && { cat /dev/zero >"$0/filler" 2>/dev/null; exec "$@"; }`;
      lone.prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, lone.state];
      lone.launch();
      await untilTrouble(lone, /Cannot write file ".*ENOSPC/, /full/);
      const filler = `/proc/${lone.pid}/root${join(lone.state, "filler")}`;
      await rm(filler);
      await untilWell(lone);
      checkLog(lone, 4);
      await run("sh", ["-c", 'cat /dev/zero >"$0" 2>/dev/null || test -s "$0"', filler]);
      await commit(repository, { "b.service": lasting });
      await untilTrouble(lone, /Cannot write/, /full/);
      assert.match(await lone.ask("list-units"), /a\.service.*active/);
      const told = lone.lines("warn", "error").length;
      await rm(filler);
      await untilWell(lone, 2);
      checkLog(lone, told + 1);
      assert.deepEqual(await starts(lone), ["a.service", "b.service"]);
    },
    { skip: withoutRoot },
  );

  scene(
    "settings that cannot be read",
    async (lone) => {
      const cases = [
        { make: () => mkdir(lone.conf), hint: "It must be a regular file" },
        { make: () => rm(lone.conf, { recursive: true }), hint: "There is no such file" },
        { make: () => writeFile(lone.conf, "[Git]\nURL=\xff\n", "latin1"), hint: "It must be text in UTF-8" },
      ];
      for (const { make, hint } of cases) {
        await make();
        const { code, stdout, stderr } = await flotilla("agent", "--config", lone.conf);
        assert.deepEqual(
          [code, stdout, stderr],
          [1, "", `flotilla: ${lone.conf}: Cannot read this file\nhint: ${hint}\n`],
        );
      }
    },
    { machine: false },
  );

  scene(
    "settings that this user may not read",
    async (lone) => {
      await chmod(lone.directory, 0o755);
      await writeFile(lone.conf, `[Git]\nURL=/x\n# ${secret}\n`, { mode: 0o000 });
      lone.prefix = nobody;
      lone.launch();
      assert.equal(await lone.ended(), 1);
      const said = `flotilla: ${lone.conf}: Cannot read this file: EACCES: permission denied`;
      assert.ok(lone.output.startsWith(said), lone.output);
      assert.match(lone.output, /hint: The user that runs flotilla must be allowed to read it\n$/);
      assert.equal(lone.lines().length, 2, lone.output);
    },
    { machine: false, skip: withoutRoot },
  );

  scene(
    "three mistakes in the settings are told at once, each with its line",
    async (lone) => {
      const text = `[Git]\nUrl=/x\nToken=${secret}\n[Registry]\nRequestTimeout=2parsecs\n[Agnet]\nSocket=/x\n`;
      await writeFile(lone.conf, text, { mode: 0o600 });
      const { code, stdout, stderr } = await flotilla("agent", "--config", lone.conf);
      assert.deepEqual([code, stdout], [1, ""]);
      checkWords(stderr);
      const places = [...stderr.matchAll(/^flotilla: (.*):(\d+): Cannot .*\nhint: .+$/gm)].map(([, file, line]) => [
        file,
        line,
      ]);
      assert.deepEqual(
        places,
        ["2", "5", "7"].map((line) => [lone.conf, line]),
        stderr,
      );
    },
    { machine: false },
  );

  scene("another agent answers on the API socket", async (lone) => {
    const repository = join(lone.directory, "units");
    await commit(repository, { "a.service": lasting });
    await lone.configure({ Git: { URL: repository } });
    lone.launch();
    await untilWell(lone);
    const before = await readFile(join(lone.state, "registry.db"), "utf8");
    const { code, stdout, stderr } = await flotilla("agent", "--config", lone.conf);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(
      stderr,
      /^flotilla: Cannot listen on ".*api\.sock": another agent answers there\nhint: One agent runs .*\n$/,
    );
    assert.equal(await readFile(join(lone.state, "registry.db"), "utf8"), before);
    await untilWell(lone);
    checkLog(lone, 0);
  });

  scene(
    "systemd is not there, and then it is",
    async (lone) => {
      const repository = join(lone.directory, "units");
      await commit(repository, { "a.service": lasting });
      await lone.configure({ Git: { URL: repository } });
      lone.launch();
      await untilTrouble(lone, /Cannot connect to systemd at .*: connect ENOENT/, /flotilla needs systemd/);
      checkLog(lone, 2);
      await lone.startMachine();
      await untilWell(lone);
      checkLog(lone, 2);
    },
    { machine: false },
  );

  scene("units that are the host's own, fail or hang do not hold up the others", async (lone) => {
    const repository = join(lone.directory, "units");
    await commit(repository, {
      "a.service": lasting,
      "fails.service": "[Service]\nType=oneshot\nExecStart=/bin/false\n",
      "hangs.service": "[Service]\nType=notify\nTimeoutStartSec=3\nExecStart=/bin/sleep infinity\n",
      "needs.service": "[Unit]\nRequires=absent.service\n[Service]\nExecStart=/bin/sleep infinity\n",
      "taken.service": lasting,
    });
    const own = "[Service]\nExecStart=/bin/true\n";
    await writeFile(join(lone.unitDirectory, "taken.service"), own);
    await lone.configure({ Git: { URL: repository } });
    lone.launch();
    await lone.until(/hangs\.service on .*: activating|1 activating, 1 active/);
    const problems = {
      taken: [/Cannot place unit "taken\.service" over this machine's own \(.*\)/, /another name, or remove/],
      fails: [/Cannot start unit "fails\.service"/, /exited with status 1/],
      needs: [/Cannot start unit "needs\.service": Unit absent\.service not found/, /requires absent\.service/],
      hangs: [/Cannot start unit "hangs\.service"/, /not up within its TimeoutStartSec=/],
    } as const;
    for (const [name, [problem, hint]] of Object.entries(problems)) {
      const text = await lone.until(new RegExp(`Problem: ${problem.source}`), ["status", name]);
      assert.match(text, new RegExp(`hint: .*${hint.source}`));
      checkWords(text);
      assert.match(await lone.ask("status"), new RegExp(`${name}\\.service on .*: ${problem.source}`));
    }
    checkLog(lone, 4);
    assert.equal(await readFile(join(lone.unitDirectory, "taken.service"), "utf8"), own);
    assert.deepEqual(await starts(lone), ["a.service"]);

    await rm(join(lone.unitDirectory, "taken.service"));
    const mended = { "fails.service": lasting, "hangs.service": lasting, "needs.service": lasting };
    await commit(repository, { ...mended, "taken.service": lasting.replace("A loop", "Ours") });
    const text = await lone.until(/: 5 active\n/);
    assert.doesNotMatch(text, /Failing:|Trouble:/);
  });

  scene(
    "a fresh machine that may take units from nowhere says what to set, and waits",
    async (lone) => {
      await writeFile(lone.conf, "", { mode: 0o600 });
      const flags = [
        "--socket",
        lone.socket,
        "--state-directory",
        lone.state,
        "--run-directory",
        join(lone.directory, "run"),
      ];
      lone.launch(...flags, "--machine-id", "6d312d2d2d2d2d2d2d2d2d2d2d2d2d2d", "--allow-submit", "no");
      await untilTrouble(lone, /Cannot take any unit: no repository is set/, /Set \[Git\] URL=/);
      assert.match(lone.output, /Cannot take any new unit: no repository is set.*hint="Set \[Git\] URL=/);
      assert.equal(await lone.stop(), 0);
      const { code, stdout, stderr } = await flotilla("list-units", "--socket", lone.socket);
      assert.deepEqual([code, stdout], [3, ""]);
      assert.match(
        stderr,
        /^flotilla: Cannot reach the agent on ".*": connect ENOENT\nhint: Is the agent running\? .*\n$/,
      );
    },
    { machine: false },
  );
});
