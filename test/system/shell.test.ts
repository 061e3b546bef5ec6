// Commands that go to machines of the cluster, by the system's ssh to a real sshd: what is run there runs in a private machine,
// with a systemd and a journal of its own. The cluster behind the API is made up.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import { serveApi, serveTcp } from "../../agent/adapters/api-server.ts";
import { createClock } from "../../agent/adapters/clock.ts";
import { createMachineShell } from "../../agent/adapters/shell/shell.ts";
import { createApi } from "../../agent/api/api.ts";
import { runCommand } from "../../agent/cli/args.ts";
import type { MachineId } from "../../agent/domain/names.ts";
import type { ApiHandler, ApiServer } from "../../agent/ports/api-server.ts";
import { socketReach } from "../../agent/ports/reach.ts";
import { FakeCluster, sampleIds, sampleMachine, samplePicture } from "../fakes/fake-cluster.ts";
import { FakeHands } from "../fakes/fake-hands.ts";
import { fakeTools } from "../fakes/fake-tools.ts";
import { silentLog } from "../fakes/silent-log.ts";
import { type SshServer, freePort, sshServerProgram, startSshServer } from "./git-world.ts";
import { type TestMachine, machinesMissing, startTestMachine } from "./machines.ts";

const run = promisify(execFile);
const main = join(import.meta.dirname, "../../agent/main.ts");
const waitMs = 20_000;

const skip =
  process.getuid?.() !== 0
    ? "a private machine is entered as root"
    : sshServerProgram === undefined
      ? "there is no sshd"
      : ((await machinesMissing()) ?? false);

/** Says its words and a tick every so often. */
const hello = `[Unit]
Description=Says hello

[Service]
ExecStart=/bin/sh -c 'echo hello; i=0; while sleep 0.1; do i=$((i+1)); echo tick $i; done'
`;

suite("machines by ssh", { skip, concurrency: 4 }, () => {
  let folder = "";
  let machine: TestMachine;
  let server: SshServer;
  let agent: ChildProcess;
  let api: ApiServer;
  let handler: ApiHandler;
  let env: Readonly<Record<string, string | undefined>> = {};

  before(async () => {
    folder = await mkdtemp("/var/tmp/flotilla-shell-");
    machine = await startTestMachine("m1");
    await writeFile(join(machine.unitDirectory, "hello.service"), hello);
    await writeFile(join(machine.unitDirectory, "log.service"), hello.replace("Says hello", "Collects logs"));
    const enter = `nsenter --target ${machine.pid} --mount --pid --ipc --cgroup --wd=/ --`;
    await run("sh", ["-c", `${enter} systemctl daemon-reload && ${enter} systemctl start hello log`]);
    // What is run by ssh is run in the machine
    const login = join(folder, "login");
    await writeFile(login, `#!/bin/sh\nexec ${enter} /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n`, { mode: 0o755 });
    server = await startSshServer(join(folder, "sshd"), {
      ListenAddress: "127.0.0.1\nListenAddress 127.0.0.2",
      ForceCommand: login,
    });
    const known = await readFile(server.knownHostsFile, "utf8");
    await writeFile(server.knownHostsFile, known + known.replace("[127.0.0.1]", "[127.0.0.2]"));
    const keys = join(folder, "agent.sock");
    agent = spawn("ssh-agent", ["-D", "-a", keys], { stdio: "ignore" });
    while (!existsSync(keys)) await new Promise((resolve) => setTimeout(resolve, 10));
    await run("ssh-add", ["-q", server.keyFile], { env: { ...process.env, SSH_AUTH_SOCK: keys } });
    handler = createApi({
      view: new FakeCluster(picture(), "ffffffffffffffffffffffffffffffff" as MachineId),
      hands: new FakeHands(),
      clock: createClock(),
      log: silentLog,
      version: "1",
    });
    api = await serveApi(handler, { socket: join(folder, "api.sock") });
    env = {
      PATH: process.env["PATH"],
      SSH_AUTH_SOCK: keys,
      FLOTILLA_SOCKET: join(folder, "api.sock"),
      FLOTILLA_SSH_PORT: String(server.port),
      FLOTILLA_KNOWN_HOSTS_FILE: server.knownHostsFile,
      FLOTILLA_STRICT_HOST_KEY_CHECKING: "true",
    };
  });
  after(async () => {
    await api.close();
    agent.kill();
    await server.close();
    await machine.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  interface Ended {
    readonly code: number;
    readonly stdout: string;
    readonly stderr: string;
  }

  const toolsOf = (more: Readonly<Record<string, string | undefined>> = {}) => {
    const own = { ...env, ...more };
    return fakeTools({
      env: own,
      apiClient: async (reach) => createApiClient(reach, own),
      machineShell: async (reach) => createMachineShell(reach, own),
    });
  };

  const flotilla = async (words: readonly string[], more: Readonly<Record<string, string | undefined>> = {}) => {
    const tools = toolsOf(more);
    const code = await runCommand(words, tools);
    return { code, stdout: tools.stdout.text, stderr: tools.stderr.text };
  };

  /** As a process, where the command is given the process's own outputs. */
  const asProcess = async (
    words: readonly string[],
    { input = "", temporary = folder }: { readonly input?: string; readonly temporary?: string } = {},
  ): Promise<Ended> => {
    const own = { ...env, TMPDIR: temporary };
    const child = spawn(process.execPath, ["--import", "tsx", main, ...words], { env: own });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.end(input);
    const [code] = (await once(child, "close")) as [number];
    return { code, stdout, stderr };
  };

  test("status: what the agent knows, and what systemctl says there", async () => {
    const { code, stdout, stderr } = await flotilla(["status", "hello"]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(
      stdout,
      /^hello\.service - Says hello\n[^]*\n● hello\.service - Says hello\n[^]*Active: active \(running\)/,
    );
  });

  test("status ends with systemctl's own code", async () => {
    const { code, stdout } = await flotilla(["status", "db"]);
    assert.equal(code, 4, stdout); // no such unit there
  });

  test("journal: the last lines, whole lines", async () => {
    const { code, stdout, stderr } = await flotilla(["journal", "hello", "-n", "all", "-o", "cat"]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(stdout, /^hello\ntick 1\ntick 2\n/);
  });

  test("journal: what is typed arrives as one word, whatever it holds", async () => {
    const trap = join(folder, "trap");
    const { code, stderr } = await flotilla(["journal", "hello", "--since", `now; touch ${trap} $(touch ${trap}) 'x`]);
    assert.equal(code, 1);
    assert.match(stderr, /Failed to parse timestamp: now; touch/);
    assert.equal(existsSync(trap), false);
  });

  test("journal: several machines, each with its name in front, and one that cannot be reached", async () => {
    const { code, stdout, stderr } = await flotilla(["journal", "log"]);
    assert.equal(code, 255);
    const lines = stdout.trimEnd().split("\n");
    assert.equal(lines.length, 20);
    assert.deepEqual(new Set(lines.map((line) => line.slice(0, 5))), new Set(["n2 | ", "n3 | "]));
    const times = lines.map((line) => line.slice(5, 31));
    assert.deepEqual(times, [...times].sort());
    assert.match(stderr, /Cannot determine the address of machine f22c7d6e\.\.\.\n/);
  });

  test("journal --follow goes on until it is told to end", async () => {
    const tools = toolsOf();
    const asked = "--since=@1700000001"; // to be known by
    const ended = runCommand(["journal", "-f", "-n", "1", asked, "hello"], tools);
    const ticks = () => tools.stdout.text.split("\n").filter((line) => line.includes(": tick ")).length;
    const endMs = performance.now() + waitMs;
    while (ticks() < 4 && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 20));
    tools.interrupt();
    assert.equal(await ended, 0);
    assert.ok(ticks() >= 4, tools.stdout.text + tools.stderr.text);
    // Nor does the machine go on speaking to nobody
    const left = () => processesWith(asked);
    while ((await left()).length > 0 && performance.now() < endMs)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(await left(), []);
  });

  test("ssh: the command's own words and code", async () => {
    const [failed, words] = await Promise.all([
      asProcess(["ssh", "hello", "echo said; exit 3"]),
      asProcess(["ssh", "--machine", "59f6", "ls", "-d", "/", "'a  b'", "||", "true"]),
    ]);
    assert.deepEqual(failed, { code: 3, stdout: "said\n", stderr: "" });
    assert.deepEqual({ code: words.code, stdout: words.stdout }, { code: 0, stdout: "/\n" });
    assert.match(words.stderr, /'a {2}b'/);
  });

  test("ssh --all runs it on every machine of the unit", async () => {
    const { code, stdout, stderr } = await flotilla([
      "ssh",
      "--all",
      "--unit",
      "web@*",
      "systemctl",
      "is-active",
      "hello",
    ]);
    assert.equal(code, 255); // n1 has no address
    assert.equal(stdout, "n3 | active\n");
    assert.match(stderr, /machine f22c7d6e/);
  });

  test("an unknown host key is refused, with what to do", async () => {
    const known = join(folder, "empty");
    const { code, stderr } = await flotilla(["status", "hello"], { FLOTILLA_KNOWN_HOSTS_FILE: known });
    assert.equal(code, 255);
    assert.match(stderr, /Cannot reach machine 59f61aeb\.\.\.\/127\.0\.0\.1 by ssh: .*Host key verification failed/);
    assert.match(stderr, /hint: Look at its key and accept it once/);
  });

  test("a host key that changed is refused, and where the old one stands is said", async () => {
    const known = join(folder, "changed");
    const [kind = "", key = ""] = (await readFile(`${server.otherKeyFile}.pub`, "utf8")).split(" ");
    await writeFile(known, `[127.0.0.1]:${server.port} ${kind} ${key}\n`);
    const { code, stderr } = await flotilla(["journal", "hello"], { FLOTILLA_KNOWN_HOSTS_FILE: known });
    assert.equal(code, 255);
    assert.match(stderr, /REMOTE HOST IDENTIFICATION HAS CHANGED/);
    assert.ok(stderr.includes(`${known}:1`), stderr);
    assert.match(stderr, /hint: If the machine was made anew/);
    const unchecked = await flotilla(["--strict-host-key-checking=false", "journal", "hello", "-n1", "-o", "cat"], {
      FLOTILLA_KNOWN_HOSTS_FILE: known,
    });
    assert.equal(unchecked.code, 0, unchecked.stderr);
  });

  test("no key that the machine takes", async () => {
    const { code, stderr } = await flotilla(["journal", "hello"], { SSH_AUTH_SOCK: undefined });
    assert.equal(code, 255);
    assert.match(stderr, /Permission denied/);
    assert.match(stderr, /hint: Is the key in the agent/);
  });

  test("nobody listens there", async () => {
    const { code, stderr } = await flotilla(["journal", "hello", "--ssh-port", String(await freePort())]);
    assert.equal(code, 255);
    assert.match(stderr, /Connection refused[^]*hint: Is an ssh server running there/);
  });

  test("somebody listens and says nothing", async (context) => {
    const silent = createServer();
    context.after(() => silent.close());
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const address = silent.address();
    assert.ok(typeof address === "object" && address !== null);
    const words = ["journal", "hello", "--ssh-timeout", "1", "--ssh-port", String(address.port)];
    const { code, stderr } = await flotilla(words);
    assert.equal(code, 255);
    assert.match(stderr, /timed out[^]*--ssh-timeout/);
  });

  test("no ssh on this machine", async () => {
    const { code, stderr } = await flotilla(["journal", "hello"], { PATH: folder });
    assert.equal(code, 255);
    assert.match(stderr, /Cannot start ssh[^]*hint: Install OpenSSH's client/);
  });

  suite("a tunnel", { concurrency: 4 }, () => {
    const tunnel = () => ["--tunnel", `127.0.0.1:${server.port}`];

    test("leads to the socket on the other side, for several questions", async () => {
      const [direct, through] = [
        await flotilla(["status", "--json"]),
        await flotilla([...tunnel(), "status", "--json"]),
      ];
      assert.equal(through.stdout, direct.stdout);
      assert.deepEqual({ code: through.code, stderr: through.stderr }, { code: 0, stderr: "" });
    });

    test("leads to a port on the other side", async (context) => {
      const open = await serveTcp(handler, { host: "127.0.0.1", port: 0 });
      context.after(() => open.close());
      const words = [...tunnel(), "--endpoint", `http://127.0.0.1:${open.port}`, "list-machines", "--no-legend"];
      const { code, stdout, stderr } = await flotilla(words);
      assert.deepEqual({ code, stderr, lines: stdout.split("\n").length }, { code: 0, stderr: "", lines: 4 });
    });

    test("that breaks is opened anew", async () => {
      const ssh = { tunnel: { host: "127.0.0.1", port: server.port }, timeoutMs: 10_000 };
      const to = { ...socketReach(join(folder, "api.sock")), ssh: { ...ssh, knownHostsFile: server.knownHostsFile } };
      const temporary = join(folder, "broken");
      await mkdir(temporary);
      const client = createApiClient(to, { ...env, TMPDIR: temporary }); // to know its process by
      await client.get("/v2");
      const [pid] = await processesWith(temporary);
      assert.ok(pid !== undefined);
      process.kill(pid, "SIGKILL");
      const endMs = performance.now() + waitMs;
      while ((await processesWith(temporary)).length > 0 && performance.now() < endMs)
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(((await client.get("/v2")) as { readonly name: unknown }).name, "flotilla");
    });

    test("leads on to machines", async () => {
      const { code, stdout, stderr } = await flotilla([...tunnel(), "journal", "hello", "-n1", "-o", "cat"]);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
      assert.match(stdout, /^tick \d+\n$/);
    });

    test("that is not there is told apart from a machine that is not", async () => {
      const gone = await flotilla(["--tunnel", `127.0.0.1:${await freePort()}`, "list-machines"]);
      assert.equal(gone.code, 255);
      assert.match(gone.stderr, /Cannot reach tunnel "127\.0\.0\.1" by ssh: .*Connection refused/);
      const words = [...tunnel(), "journal", "hello", "--ssh-port", String(await freePort())];
      const { code, stderr } = await flotilla(words);
      assert.equal(code, 255);
      assert.match(stderr, /Cannot reach machine 59f61aeb\.\.\.\/127\.0\.0\.1 by ssh: .*Connection refused/);
    });

    test("to an agent that is not there", async () => {
      const { code, stderr } = await flotilla([...tunnel(), "--socket", join(folder, "none.sock"), "list-machines"]);
      assert.equal(code, 3);
      assert.match(stderr, /Cannot reach the agent on ".*none\.sock through 127\.0\.0\.1"/);
    });

    test("ends with the command: neither process nor folder stay", async () => {
      const temporary = join(folder, "temporary");
      await mkdir(temporary);
      const ended = await asProcess([...tunnel(), "list-machines", "--no-legend"], { temporary });
      assert.equal(ended.code, 0, ended.stderr);
      assert.equal(ended.stdout.split("\n").length, 4);
      const left = () => processesWith(temporary);
      const endMs = performance.now() + waitMs;
      while ((await left()).length > 0 && performance.now() < endMs)
        await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(await left(), []);
      assert.deepEqual(
        (await readdir(temporary)).filter((name) => name.startsWith("flotilla-")),
        [],
      );
    });
  });

  test("fd-forward joins its pipes to a socket", async () => {
    const question = "GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const { code, stdout, stderr } = await asProcess(["fd-forward", join(folder, "api.sock")], { input: question });
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(stdout, /^HTTP\/1\.1 200 OK\r\n[^]*"name":"flotilla"/);
  });
});

/** Ids of processes, here and in the machine, in whose command line this stands. */
async function processesWith(part: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(
    pids.map(async (pid) => ({ pid, line: await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "") })), // it ended
  );
  return all.filter(({ line }) => line.replaceAll("\0", " ").includes(part)).map(({ pid }) => Number(pid));
}

/** The sample, with machines that the ssh server listens for; n1 has no address. */
function picture() {
  const { n1, n2, n3 } = sampleIds;
  return {
    ...samplePicture(),
    machines: new Map([
      [n3, sampleMachine(n3, { hostname: "n3", publicIp: "127.0.0.1" })],
      [n2, sampleMachine(n2, { hostname: "n2", publicIp: "127.0.0.2" })],
      [n1, sampleMachine(n1, { hostname: "n1" })],
    ]),
  };
}
