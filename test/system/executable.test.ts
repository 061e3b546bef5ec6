// The single executable, dist/flotilla, where there is no Node: in an empty environment, in a root folder that holds nothing
// but libraries, and at work. Left out where it has not been built.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startEtcd, withoutEtcd } from "./etcd-server.ts";
import { startGitServer } from "./git-server.ts";
import { LoneAgent } from "./lone-agent.ts";
import { machinesMissing } from "./machines.ts";

const top = fileURLToPath(new URL("../..", import.meta.url));
const program = join(top, "dist", "flotilla");
const { version } = JSON.parse(readFileSync(join(top, "package.json"), "utf8")) as { readonly version: string };
const notBuilt = existsSync(program) ? undefined : "the executable has not been built: npm run build";

describe("the executable", { skip: notBuilt ?? false }, () => {
  const alone = (args: readonly string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> =>
    spawnSync(program, args, { env, encoding: "utf8", cwd: "/" });

  test("in an empty environment", () => {
    const cases: readonly (readonly [args: readonly string[], status: number, stdout: RegExp, stderr: RegExp])[] = [
      [["--version"], 0, new RegExp(`^flotilla version ${version.replaceAll(".", "\\.")}\n$`), /^$/],
      [["help"], 0, /^Usage: flotilla [^]*\nExit codes:\n/, /^$/],
      [["help", "agent"], 0, /--git-url <URL>/, /^$/],
      [["completion", "fish"], 0, /^complete -c flotilla /m, /^$/],
      [["verify", join(top, "units/example")], 0, /^$/, /^\d+ units checked: 0 problems/m],
      [["stauts"], 2, /^$/, /Did you mean status\?/],
      [["--socket", "/nonexistent", "status"], 3, /^$/, /^flotilla: Cannot reach /],
      [["agent", "--git-url", "ftp://x"], 1, /^$/, /^flotilla: .*ftp/m],
    ];
    for (const [args, status, stdout, stderr] of cases) {
      const ran = alone(args);
      assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stderr}`);
      assert.match(ran.stdout, stdout, args.join(" "));
      assert.match(ran.stderr, stderr, args.join(" "));
    }
  });

  // A release without a stamp is made of the Node that was at hand
  const otherNode = existsSync(join(top, "dist/.release-stamp"))
    ? false
    : "it is made of another Node than a release's";
  test("options of somebody's shell do not reach it", { skip: otherNode }, () => {
    const ran = alone(["version"], { NODE_OPTIONS: "--require /nonexistent/evil.js" });
    assert.deepEqual([ran.status, ran.stderr], [0, ""]);
  });

  test("starts nearly as fast as a bare Node does", () => {
    const best = (command: string, args: readonly string[]): number =>
      Math.min(
        ...Array.from({ length: 12 }, () => {
          const begunMs = performance.now();
          assert.equal(spawnSync(command, args, { env: {} }).status, 0);
          return performance.now() - begunMs;
        }),
      );
    // A ratio, because a host that is busy makes both slow. It is 2 on a quiet host and 3 on a busy one; with all loaded that
    // a version does not need, it is above 5. npm run bench -- start has the milliseconds.
    const [own, bare] = [best(program, ["--version"]), best(process.execPath, ["-e", "0"])];
    assert.ok(own < 5 * bare, `${own} ms, and Node ${bare} ms`);
  });

  const notRoot = process.getuid?.() === 0 ? false : "needs root, to change the root folder";
  test("in a root folder with nothing but libraries", { skip: notRoot }, async (context) => {
    const root = await mkdtemp("/var/tmp/flotilla-root-");
    context.after(() => rm(root, { recursive: true, force: true }));
    const libraries = Array.from(
      execFileSync("ldd", [program], { encoding: "utf8" }).matchAll(/(?:=> )?(\/\S+) \(0x/g),
      ([, path = ""]) => path,
    );
    assert.ok(libraries.length > 3);
    for (const path of libraries) {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await copyFile(path, join(root, path));
    }
    await copyFile(program, join(root, basename(program)));
    await mkdir(join(root, "tmp"));
    await cp(join(top, "units/example"), join(root, "example"), { recursive: true, verbatimSymlinks: true });
    const within = (...args: readonly string[]): SpawnSyncReturns<string> =>
      spawnSync("chroot", [root, "/flotilla", ...args], { encoding: "utf8" });
    assert.equal(within("--version").stdout, `flotilla version ${version}\n`);
    const verified = within("verify", "/example");
    assert.deepEqual([verified.status, verified.stdout], [0, ""], verified.stderr);
    assert.match(verified.stderr, /^systemd-analyze is not here/m);
    await writeFile(join(root, "example/static/bad.service"), "[Service\n");
    assert.equal(within("verify", "/example").status, 1);
    assert.equal(within("playground", "--once").status, 1);
  });
});

const noMachines = notBuilt ?? (await machinesMissing());

describe("the executable at work", { skip: noMachines ?? false }, () => {
  /** All programs of this host except Node. */
  let path: string;
  before(async () => {
    // Not below /tmp nor /var/tmp, whose place in a private machine is taken by its own
    const seen = /^\/(var\/)?tmp\//.test(top) ? homedir() : join(top, "dist");
    path = await mkdtemp(join(seen, ".path-"));
    const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"].filter((each) =>
      existsSync(each),
    );
    const programs = new Map<string, string>();
    for (const folder of folders.toReversed())
      for (const name of await readdir(folder)) programs.set(name, join(folder, name));
    for (const name of ["node", "nodejs", "npm", "npx", "corepack", "tsx"]) programs.delete(name);
    for (const [name, target] of programs) await symlink(target, join(path, name));
  });
  after(() => rm(path, { recursive: true, force: true }));

  const unit = "[Service]\nExecStart=/bin/sleep infinity\n";
  async function withAgent(
    registry: Readonly<Record<string, string>>,
    use: (lone: LoneAgent) => Promise<void>,
  ): Promise<void> {
    const lone = await LoneAgent.create();
    try {
      const server = await startGitServer({ directory: join(lone.directory, "git") });
      try {
        const copy = join(lone.directory, "copy");
        const git = (...args: readonly string[]) => execFileSync("git", ["-C", copy, ...args], { encoding: "utf8" });
        await mkdir(copy);
        await writeFile(join(copy, "one.service"), unit);
        git("init", "--quiet", "--initial-branch=main");
        git("add", "--all");
        git("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "one");
        git("push", "--quiet", server.repository, "main");
        lone.called = { words: [program], env: {} };
        await lone.configure({ Git: { URL: server.url }, Registry: registry });
        lone.launch();
        await lone.until(/^one\.service\t.*\trunning$/m, ["list-units"]);
        await use(lone);
        assert.equal(await lone.stop(), 0, lone.output);
        assert.doesNotMatch(lone.output, /mistake in flotilla|Cannot find module|Unhandled|Warning/);
      } finally {
        await server.close();
      }
    } finally {
      await lone.close();
    }
  }

  test("an agent alone: git over http in its worker, units on systemd, in an empty environment", async () => {
    await withAgent({}, async (lone) => {
      assert.match(await lone.ask("cat", "one.service"), /ExecStart=\/bin\/sleep infinity/);
      assert.match(await lone.ask("status"), /Machines: 1 alive/);
    });
  });

  test("an agent on etcd", { skip: withoutEtcd }, async () => {
    const etcd = await startEtcd();
    try {
      await withAgent({ Endpoints: etcd.endpoints.join(",") }, async (lone) => {
        assert.match(await lone.ask("status"), /Machines: 1 alive/);
      });
    } finally {
      await etcd.close();
    }
  });

  for (const flags of [[], ["--etcd"]])
    test(
      `flotilla playground --once ${flags.join(" ")}`,
      {
        skip: flags.includes("--etcd") ? withoutEtcd : false,
      },
      async (context) => {
        const runtime = await mkdtemp("/var/tmp/flotilla-play-");
        context.after(() => rm(runtime, { recursive: true, force: true }));
        const env = { PATH: path, XDG_RUNTIME_DIR: runtime };
        const args = ["playground", "--once", ...flags];
        const ran = spawnSync(program, args, { env, encoding: "utf8", timeout: 120_000 });
        assert.equal(ran.status, 0, ran.stderr);
        assert.match(ran.stdout, /^web@3\.service\t.*\trunning$/m);
        assert.match(ran.stderr, /Nothing is left/);
        assert.deepEqual(await readdir(runtime), []);
      },
    );
});
