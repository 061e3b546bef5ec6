// The playground as a newcomer meets it: the built program, real machines, the commands that it prints typed into a
// shell. However it ends, nothing is left; what cannot be brought up says why in a line.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { access, mkdir, mkdtemp, readFile, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import type { UnitReport } from "../../agent/domain/report.ts";
import { groupsBelow } from "./control-groups.ts";
import { withoutEtcd } from "./etcd-server.ts";
import { machinesMissing } from "./machines.ts";

const program = new URL("../../dist/main.js", import.meta.url).pathname;
/** What the playground itself allows is less; this is for a host that is busy with other things. */
const patienceMs = 60_000;
/** From a kill to a host without a trace. */
const goneMs = 2_000;
const ready = "Ctrl-C ends it and leaves nothing behind.";

/** One run of `flotilla playground`, with a runtime folder of its own so that several do not meet. */
class Run {
  readonly runtime: string;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout = "";
  stderr = "";
  readonly #process: ChildProcess;
  readonly #namespaces = new Set<string>();
  readonly #keepers = new Set<string>();

  private constructor(runtime: string, { args, env }: { args: readonly string[]; env: NodeJS.ProcessEnv }) {
    this.runtime = runtime;
    const child = spawn(process.execPath, [program, "playground", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env, XDG_RUNTIME_DIR: runtime },
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.#process = child;
    this.exited = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
  }

  /** Runs `use` with a playground; whatever becomes of it, its processes and folder are gone afterwards. */
  static async with(
    { args, env = {} }: { readonly args: readonly string[]; readonly env?: NodeJS.ProcessEnv },
    use: (run: Run) => Promise<void>,
  ): Promise<void> {
    const runtime = await mkdtemp("/var/tmp/flotilla-play-");
    const run = new Run(runtime, { args, env });
    try {
      await use(run);
    } finally {
      run.#process.kill("SIGKILL");
      await run.exited;
      await rm(runtime, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    }
  }

  get directory(): string {
    return join(this.runtime, "flotilla-playground");
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = patienceMs): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    while (!(await condition())) {
      if (performance.now() > endMs) assert.fail(`Not within ${timeoutMs} ms: ${what}\n${this.stderr}\n${this.stdout}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  async untilSaid(pattern: RegExp): Promise<void> {
    await this.until(`says ${pattern}`, () => {
      assert.ok(this.#process.exitCode === null || pattern.test(this.stderr), this.stderr);
      return pattern.test(this.stderr);
    });
  }

  async ends(): Promise<number | null> {
    const late = AbortSignal.timeout(patienceMs);
    late.addEventListener("abort", () => this.kill("SIGKILL"), { once: true });
    const { code, signal } = await this.exited;
    assert.equal(signal, null, `ended by ${signal}, in time: ${!late.aborted}\n${this.stderr}`);
    return code;
  }

  async units(machine: string): Promise<readonly UnitReport[]> {
    const answer = await createApiClient(join(this.directory, machine, "api.sock")).get("/v2/units");
    return (answer as { units: readonly UnitReport[] }).units;
  }

  /** What the reader is told to type, from the line after `from` to the next empty line. */
  printed(from: RegExp): string {
    const lines = this.stderr.split("\n");
    const at = lines.findIndex((line) => from.test(line));
    assert.notEqual(at, -1, this.stderr);
    const start = lines.findIndex((line, index) => index > at && line.startsWith("  "));
    const end = lines.findIndex((line, index) => index > start && line === "");
    return lines.slice(start, end).join("\n");
  }

  /** Another terminal: what stands in the invitation, then these commands. */
  async terminal(commands: string): Promise<{ code: number; output: string }> {
    const script = `${this.printed(/^Three things to try/)}\n${commands}`;
    const { PATH } = process.env;
    const env = { PATH, HOME: this.runtime, XDG_RUNTIME_DIR: this.runtime };
    try {
      const { stdout, stderr } = await promisify(execFile)("sh", ["-ec", script], { env, timeout: patienceMs });
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, output: stdout + stderr };
    }
  }

  /** Notes by which marks its processes and control groups are known once it has gone. */
  async note(): Promise<void> {
    const own = await readlink("/proc/self/ns/pid");
    for (const { pid, args } of await this.#processes()) {
      const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => own); // it ended meanwhile
      if (namespace !== own) this.#namespaces.add(namespace);
      if (args.includes("keeper")) this.#keepers.add(pid);
    }
    assert.ok(this.#namespaces.size > 0 && this.#keepers.size > 0, "its machines are not to be seen");
  }

  /** Everything of it that is still there, besides its folder. */
  async traces(): Promise<readonly string[]> {
    const found = (await this.#processes()).map(({ pid, args }) => `process ${pid}: ${args.join(" ").slice(0, 120)}`);
    for (const pid of await pids()) {
      const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => ""); // it ended meanwhile
      if (this.#namespaces.has(namespace)) found.push(`process ${pid} in ${namespace}`);
    }
    const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n");
    found.push(...mounts.filter((line) => line.includes(this.runtime)));
    for (const line of mounts) {
      const [, point = "", type] = line.split(" ");
      if (type !== "cgroup2" || !(await exists(point))) continue; // one mount may cover another
      const ours = (await groupsBelow(point)).filter((group) =>
        [...this.#keepers].some((pid) => /flotilla-machine-m\d-(\d+)/.exec(group)?.[1] === pid),
      );
      found.push(...ours.map((group) => `control group ${group}`));
    }
    return found;
  }

  async nothingLeft(timeoutMs = goneMs): Promise<void> {
    let last: readonly string[] = [];
    const gone = async (): Promise<boolean> => (last = await this.traces()).length === 0;
    await this.until("no trace", gone, timeoutMs).catch((error: unknown) => {
      throw new Error(`left behind: ${last.join("\n")}; ${String(error)}`, { cause: error });
    });
  }

  /** Those that name its folder; itself, which does not, aside. */
  async #processes(): Promise<readonly { pid: string; args: readonly string[] }[]> {
    const found: { pid: string; args: readonly string[] }[] = [];
    for (const pid of await pids()) {
      const args = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0"); // it ended meanwhile
      if (args.some((arg) => arg.includes(this.runtime))) found.push({ pid, args });
    }
    return found;
  }
}

async function pids(): Promise<readonly string[]> {
  return (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name));
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The rows of the listings of units, first and last: name, machine, active. */
function listed(stdout: string): readonly (readonly string[])[][] {
  const tables = stdout.split(/^UNIT\t.*\n/m).slice(1);
  return tables.map((table) =>
    table
      .split(/^MACHINE\t/m)[0]!
      .trim()
      .split("\n")
      .map((line) => line.split(/\t+/)),
  );
}

function checkMoved(stdout: string): void {
  const [before = [], after = []] = listed(stdout);
  const of = (rows: readonly (readonly string[])[], machine: string) =>
    rows.filter(([, at]) => at?.startsWith(machine));
  const running = before.filter(([, , active]) => active === "active");
  assert.equal(running.length, 12, stdout);
  const moved = of(before, "33333333").map(([name]) => name!);
  assert.ok(moved.length > 1, "nothing was to be moved");
  // The global unit's place is kept for the machine's return.
  assert.deepEqual(
    of(after, "33333333").map(([name, , active]) => [name, active]),
    [["beacon.service", "lost"]],
  );
  for (const name of moved.filter((each) => each !== "beacon.service")) {
    const [row, ...more] = after.filter(([each]) => each === name);
    assert.deepEqual(
      [more.length, row?.[2]],
      [0, name === "tidy.service" ? "inactive" : "active"],
      `${name}\n${stdout}`,
    );
  }
  const machines = stdout.split("\n").filter((line) => /^\d{8}\.\.\.\t+m\d\t/.test(line));
  assert.deepEqual(
    machines.map((line) => line.split(/\t+/)[1]),
    ["m1", "m2", "m3", "m1", "m2"],
  );
}

const missing = await machinesMissing();
const skip = missing ?? false;

describe("the playground", { skip, timeout: 400_000 }, () => {
  test("--once deploys, kills a machine, shows its units on the others and ends", async () => {
    await Run.with({ args: ["--once"] }, async (run) => {
      await run.untilSaid(/Killing m3/);
      await run.note();
      assert.equal(await run.ends(), 0, run.stderr);
      checkMoved(run.stdout);
      await run.nothingLeft();
      assert.deepEqual(await readdir(run.runtime), []);
    });
  });

  test("--etcd --once does so with etcd and a process for each agent", { skip: withoutEtcd }, async () => {
    await Run.with({ args: ["--etcd", "--once"] }, async (run) => {
      await run.untilSaid(/Killing m3/);
      await run.note();
      assert.equal(await run.ends(), 0, run.stderr);
      checkMoved(run.stdout);
      await run.nothingLeft();
      assert.deepEqual(await readdir(run.runtime), []);
    });
  });

  test("the three things to try do what is said, as printed; Ctrl-C leaves nothing", async () => {
    await Run.with({ args: [] }, async (run) => {
      await run.until("the invitation", () => run.stderr.includes(ready));
      await run.note();
      const usual = run.stderr.replaceAll(run.runtime, "/run").replaceAll(program, "/opt/flotilla/dist/main.js");
      assert.deepEqual(
        usual.split("\n").filter((line) => line.length > 80),
        [],
      );

      assert.deepEqual((await run.terminal(run.printed(/^1\. /))).code, 0);
      await run.untilSaid(/commit [0-9a-f]{7}: One more web\n(.*\n)*.*web@4\.service on m\d: active \(running\)/);

      assert.deepEqual((await run.terminal(run.printed(/^2\. /))).code, 0);
      for (const each of [1, 2, 3, 4]) {
        // The moment between stop and start is seen or not, as it comes.
        const again = `commit [0-9a-f]{7}: Second edition[^]*web@${each}\\.service on m\\d: (restarted, )?active`;
        await run.untilSaid(new RegExp(again));
      }

      const [killing = "", starting = ""] = run.printed(/^3\. /).split("\n");
      assert.deepEqual(await run.terminal(killing), { code: 0, output: "m3 is off\n" });
      await run.untilSaid(/ m3 is off/);
      await run.untilSaid(/beacon\.service on m3: lost/);
      await run.until("its units run elsewhere", async () =>
        (await run.units("m1")).every((unit) => unit.machine.alive || unit.name === "beacon.service"),
      );
      assert.match((await run.terminal(killing)).output, /Cannot kill m3: it is off/);

      // Of one that has just come its machine may not have told yet
      const stayed = (await run.units("m1")).filter(({ machine, sinceMs }) => machine.alive && sinceMs !== undefined);
      assert.deepEqual(await run.terminal(starting), { code: 0, output: "m3 is on\n" });
      await run.untilSaid(/ m3 is on\n(.*\n)*.*beacon\.service on m3: active/);
      const now = await run.units("m1");
      for (const unit of stayed) {
        const same = now.find(({ name, machine }) => name === unit.name && machine.id === unit.machine.id);
        assert.equal(same?.sinceMs, unit.sinceMs, `${unit.name} on ${unit.machine.hostname} did not just go on`);
      }

      assert.match((await run.terminal("flotilla playground start m3")).output, /Cannot start m3: it is on/);
      const other = await run.terminal("flotilla playground kill m9");
      assert.deepEqual([other.code, /m9[^]*m1, m2, m3/.test(other.output)], [1, true], other.output);
      const second = await run.terminal("flotilla playground");
      assert.deepEqual(
        [second.code, second.output.split("\n")[0]],
        [1, "flotilla: Cannot start a second playground: one is running"],
      );

      run.kill("SIGINT");
      assert.equal(await run.ends(), 0, run.stderr);
      assert.match(run.stderr, /Tidying up\n.*Nothing is left\n$/);
      await run.nothingLeft();
      assert.deepEqual(await readdir(run.runtime), []);
    });
  });

  test("Ctrl-C while it comes up leaves nothing", async () => {
    await Run.with({ args: ["--machines", "2"] }, async (run) => {
      await run.untilSaid(/Starting 2 machines/);
      await run.until("a machine begins", async () => (await run.traces()).length > 0);
      run.kill("SIGINT");
      assert.equal(await run.ends(), 0, run.stderr);
      await run.nothingLeft();
      assert.deepEqual(await readdir(run.runtime), []);
    });
  });

  test("killed outright, its machines end within moments, and the next start clears its folder", async () => {
    await Run.with({ args: ["--machines", "2"] }, async (run) => {
      await run.until("the invitation", () => run.stderr.includes(ready));
      await run.note();
      run.kill("SIGKILL");
      await run.nothingLeft();
      const env = { ...process.env, XDG_RUNTIME_DIR: run.runtime };
      const next = await promisify(execFile)(process.execPath, [program, "playground", "--machines", "1", "--once"], {
        env,
      });
      assert.match(next.stderr, /No machine is killed/);
      assert.deepEqual(await readdir(run.runtime), []);
    });
  });

  test("a program that is missing is named, with the way to get it", async (context) => {
    const path = await mkdtemp("/var/tmp/flotilla-path-");
    context.after(() => rm(path, { recursive: true, force: true }));
    await Run.with({ args: ["--once"], env: { PATH: path } }, async (run) => {
      assert.equal(await run.ends(), 1);
      assert.match(run.stderr, /^flotilla: Cannot find the program git\nhint: Install it: apt-get install git\n$/m);
      assert.deepEqual(await readdir(run.runtime), []);
    });
    const { stdout } = await promisify(execFile)("sh", ["-c", "command -v git"]);
    await symlink(stdout.trim(), join(path, "git"));
    await Run.with({ args: ["--once", "--etcd"], env: { PATH: path } }, async (run) => {
      assert.equal(await run.ends(), 1);
      assert.match(
        run.stderr,
        /^flotilla: Cannot find the program etcd\nhint: Install it: apt-get install etcd-server;/m,
      );
      assert.deepEqual(await readdir(run.runtime), []);
    });
  });

  test("somebody without the right to its folder is told what to do", async (context) => {
    if (process.getuid?.() !== 0) {
      context.skip("needs root, to become somebody else");
      return;
    }
    const nobody = { uid: 65_534, gid: 65_534, encoding: "utf8", cwd: "/" } as const;
    const version = spawnSync(process.execPath, [program, "version"], nobody);
    if (version.status !== 0) {
      context.skip("this checkout is closed to others");
      return;
    }
    const runtime = await mkdtemp("/var/tmp/flotilla-play-");
    context.after(() => rm(runtime, { recursive: true, force: true }));
    await mkdir(join(runtime, "closed"), { mode: 0o700 });
    const env = { ...process.env, XDG_RUNTIME_DIR: join(runtime, "closed") };
    const { status, stderr } = spawnSync(process.execPath, [program, "playground"], { ...nobody, env });
    assert.deepEqual([status, /Cannot make folder[^]*\nhint: Run as root/.test(stderr)], [1, true], stderr);
  });
});
