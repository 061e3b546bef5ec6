// Booted machines: each is whole and alone, keeps its disk and nothing else, and is gone without a trace with its test,
// however that ends.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type BootedMachine, bootMachine, createMachine } from "./booted/machine.ts";
import { flotillaParts } from "./booted/flotilla.ts";
import { noCloudSeed, startMetadataServer } from "./booted/metadata.ts";
import { Network } from "./booted/network.ts";
import { whyNoMachines } from "./booted/why.ts";

const parent = fileURLToPath(new URL("booted-parent.ts", import.meta.url));
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** What the host has of a kind that booted machines could leave behind. */
async function hostState(): Promise<unknown> {
  const names = async (folder: string): Promise<string[]> =>
    (await exists(folder)) ? (await readdir(folder)).sort() : [];
  return {
    mounts: await readFile("/proc/self/mounts", "utf8"),
    interfaces: await names("/sys/class/net"),
    namespaces: await names("/run/netns"),
    nspawn: [...(await names("/run/systemd/nspawn")), ...(await names("/tmp")).filter((name) => /nspawn/.test(name))],
  };
}

/** Processes of which a command line has these words, among them a machine's own. */
async function processesWith(words: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^[0-9]+$/.test(pid) || Number(pid) === process.pid) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""); // it ended meanwhile
    if (line.split("\0").join(" ").includes(words)) found.push(`${pid} ${line.split("\0").join(" ")}`);
  }
  return found;
}

/** Polls, since the kernel tells nobody of these; bounded. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > endMs) assert.fail(`Still not so after 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const missing = await whyNoMachines();

describe("booted machines", { skip: missing ?? false }, () => {
  let network: Network;
  let first: BootedMachine;
  let second: BootedMachine;
  let scratch: string;
  let initially: unknown;
  const key = (): string => join(scratch, "key");

  before(async () => {
    initially = await hostState();
    scratch = await mkdtemp(join(tmpdir(), "flotilla-booted-"));
    await writeFile(join(scratch, "marker"), "the host's\n");
    const made = spawn("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key()]);
    assert.deepEqual(await once(made, "exit"), [0, null]);
    network = await Network.open();
    const job = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo started >>/var/lib/job'\n";
    [first, second] = await Promise.all([
      bootMachine({
        network,
        name: "first",
        address: "10.77.0.11",
        enable: ["ssh.service"],
        files: {
          "/root/.ssh/authorized_keys": { text: await readFile(`${key()}.pub`, "utf8"), mode: 0o600 },
          "/etc/systemd/system/job.service": job,
          "/usr/local/bin/copied": { from: process.execPath, mode: 0o755 },
          ...noCloudSeed({ userData: "#cloud-config\nhostname: first\n" }),
        },
        binds: { "/usr/local/bin/node": process.execPath, "/usr/local/lib/scratch": scratch },
      }),
      bootMachine({
        network,
        name: "second",
        address: "10.77.0.12",
        binds: { "/usr/local/bin/node": process.execPath },
      }),
    ]);
  });

  after(async () => {
    await network.close();
    await rm(scratch, { recursive: true, force: true });
  });

  test("systemd is process 1, nothing failed, and no service runs that was not asked for", async () => {
    for (const machine of [first, second]) {
      assert.equal((await machine.output(["cat", "/proc/1/comm"])).trim(), "systemd");
      assert.equal((await machine.output(["systemctl", "--failed", "--no-legend", "--plain"])).trim(), "");
      assert.equal((await machine.output(["hostname"])).trim(), machine.name);
    }
    const list = ["systemctl", "list-units", "--type=service", "--state=running", "--no-legend", "--plain"];
    const running = (await second.output(list)).split("\n").map((line) => line.split(" ")[0]);
    const basic = ["", "dbus.service", "systemd-journald.service", "systemd-logind.service"];
    assert.deepEqual(
      running.filter((name) => !basic.includes(name ?? "")),
      [],
    );
    assert.notEqual(await first.read("/etc/machine-id"), await second.read("/etc/machine-id"));
  });

  test("a machine has a /tmp of its own, and of the host's files only programs and configuration", async () => {
    assert.equal((await first.run(["test", "-e", join(scratch, "marker")])).status, 1);
    for (const folder of ["/tmp", "/var/tmp", "/run"]) await first.write(`${folder}/inside`, "the machine's\n");
    for (const folder of ["/tmp", "/var/tmp", "/run"]) assert.equal(await exists(`${folder}/inside`), false);
    assert.equal((await second.run(["test", "-e", "/tmp/inside"])).status, 1);
    await first.output(["systemd-tmpfiles", "--create", "--remove", "--boot"]);
    assert.equal(await readFile(join(scratch, "marker"), "utf8"), "the host's\n");
    const checkout = dirname(dirname(dirname(parent)));
    assert.equal((await first.run(["test", "-e", join(checkout, "package.json")])).status, 1);
    assert.equal(
      await first.output(["ls", "-A", "/home", "/mnt", "/opt", "/srv"]),
      "/home:\n\n/mnt:\n\n/opt:\n\n/srv:\n",
    );
  });

  test("files are written, copied and bound; what is bound cannot be changed", async () => {
    assert.match(await first.read("/var/lib/cloud/seed/nocloud/user-data"), /^#cloud-config\n/);
    assert.equal((await first.output(["stat", "-c", "%a", "/var/lib/cloud/seed/nocloud/user-data"])).trim(), "600");
    for (const program of ["copied", "node"])
      assert.equal((await first.output([`/usr/local/bin/${program}`, "--version"])).trim(), process.version);
    assert.equal(await first.read("/usr/local/lib/scratch/marker"), "the host's\n");
    assert.notEqual((await first.run(["touch", "/usr/local/lib/scratch/marker"])).status, 0);
  });

  test("a command's input, output and status come through, and one that takes too long ends", async () => {
    const ran = await first.run(["sh", "-c", "cat; echo bad >&2; exit 3"], { input: "good\n" });
    assert.deepEqual(ran, { status: 3, stdout: "good\n", stderr: "bad\n" });
    assert.equal((await first.run(["sleep", "4321"], { timeoutMs: 200 })).status, 137);
    await until("the command is gone", async () => (await processesWith("sleep 4321")).length === 0);
  });

  test("a unit can be started, its state and its journal seen", async () => {
    assert.deepEqual(await first.unit("job.service"), {
      load: "loaded",
      active: "inactive",
      sub: "dead",
      result: "success",
    });
    await first.output(["systemctl", "start", "job.service"]);
    await first.waitForUnit("job.service");
    assert.equal(await first.read("/var/lib/job"), "started\n");
    await second.output(["systemd-run", "--unit=failing", "--quiet", "sh", "-c", "echo out of luck; exit 7"]);
    await second.waitForUnit("failing.service", { active: "failed" });
    assert.equal((await second.unit("failing.service")).result, "exit-code");
    assert.match(await second.journal("failing.service"), /out of luck/);
  });

  test("somebody can log in, at the console and over ssh", async () => {
    assert.equal(await first.canLogIn("root"), true);
    assert.equal(await first.canLogIn("daemon"), false, "a user without a shell");
    assert.equal(await first.canLogIn("nobody-has-this-name"), false);
    assert.equal(await first.ssh("root", { keyFile: key(), command: "hostname" }), "first\n");
    await assert.rejects(second.ssh("root", { keyFile: key(), command: "hostname" }), /Connection refused/);
  });

  test("machines reach each other and what this process serves; a cable can be pulled", async () => {
    const http = createServer((incoming, response) => response.end(incoming.socket.remoteAddress));
    const at = await network.listen(http);
    const other = `fetch("http://${at.host}:${at.port}/").then(async (r) => console.log(await r.text()))`;
    assert.equal(await second.output(["node", "-e", other]), "10.77.0.12\n");
    assert.equal((await network.request(`http://${at.host}:${at.port}/`)).body, "10.77.0.1");
    const knock = ["bash", "-c", "read -t 5 line </dev/tcp/10.77.0.11/22 && echo $line"];
    assert.match(await second.output(knock), /^SSH-/);
    const banner = await network.connect({ host: "10.77.0.11", port: 22 });
    assert.match(String((await once(banner, "data"))[0]), /^SSH-/);
    banner.destroy();

    await first.unplug();
    assert.notEqual((await second.run(["timeout", "1", ...knock])).status, 0);
    await first.replug();
    await second.waitFor("the cable is back", async () => (await second.run(knock)).status === 0);
    await assert.rejects(network.connect({ host: "10.77.0.12", port: 1 }), /ECONNREFUSED/);
    http.close();
    http.closeAllConnections();
  });

  test("a metadata service answers at its address, with tokens where it asks for them", async () => {
    const server = await startMetadataServer(network, {
      paths: { "/latest/user-data": "#cloud-config\n", "/gone": { status: 410 } },
      needsToken: true,
    });
    const ask = async (text: string): Promise<unknown> =>
      JSON.parse(
        await second.output([
          "/usr/bin/env",
          "node",
          "--input-type=module",
          "-e",
          `const at = "http://169.254.169.254"; ${text}`,
        ]),
      );
    try {
      assert.equal(await ask('console.log((await fetch(at + "/latest/user-data")).status)'), 401);
      const withToken = `
        const token = await (await fetch(at + "/latest/api/token", { method: "PUT", headers: { "x-aws-ec2-metadata-token-ttl-seconds": "60" } })).text();
        const get = async (path) => { const r = await fetch(at + path, { headers: { "x-aws-ec2-metadata-token": token } }); return [r.status, await r.text()]; };
        console.log(JSON.stringify([await get("/latest/user-data"), await get("/gone"), await get("/toString")]))`;
      assert.deepEqual(await ask(withToken), [
        [200, "#cloud-config\n"],
        [410, ""],
        [404, ""],
      ]);
      assert.deepEqual(
        server.seen.map(({ method, from }) => `${method} ${from}`),
        ["GET 10.77.0.12", "PUT 10.77.0.12", "GET 10.77.0.12", "GET 10.77.0.12", "GET 10.77.0.12"],
      );
    } finally {
      await server.close();
    }
  });

  test("a disk survives a reboot and a power cut, and is forgotten when it is replaced", async () => {
    const boot = (): Promise<string> => first.read("/proc/sys/kernel/random/boot_id");
    const [id, machineId] = [await boot(), await first.read("/etc/machine-id")];
    await first.write("/var/lib/kept", "kept\n");
    await first.write("/tmp/lost", "lost\n");
    await first.reboot();
    assert.notEqual(await boot(), id);
    assert.equal(await first.read("/var/lib/kept"), "kept\n");
    assert.equal((await first.run(["test", "-e", "/tmp/lost"])).status, 1);
    assert.match(
      await first.output(["journalctl", "--boot=-1", "--quiet", "--no-pager"]),
      /Reached target.*Reboot|reboot/i,
    );

    const { pid } = first;
    await first.powerCut();
    assert.equal(first.running, false);
    assert.equal(await exists(`/proc/${pid}`), false);
    await first.boot();
    assert.equal(await first.read("/var/lib/kept"), "kept\n");

    await first.powerOff();
    assert.equal(first.running, false);
    await first.replaceDisk();
    await first.boot({ until: "ssh.service" });
    assert.equal((await first.run(["test", "-e", "/var/lib/kept"])).status, 1);
    assert.notEqual(await first.read("/etc/machine-id"), machineId);
    assert.equal(
      await first.ssh("root", { keyFile: key(), command: "cat /proc/sys/kernel/random/boot_id" }),
      await boot(),
    );
  });

  test("a machine that reboots itself comes back by itself", async () => {
    const { pid } = second;
    const id = await second.read("/proc/sys/kernel/random/boot_id");
    await second.output(["systemctl", "--no-block", "reboot"]);
    await second.waitFor("another boot", () => Promise.resolve(second.running && second.pid !== pid));
    await second.waitForUnit("multi-user.target");
    assert.notEqual(await second.read("/proc/sys/kernel/random/boot_id"), id);
  });

  test("a machine that does not come up says what it knows", async () => {
    const broken = await createMachine({
      network,
      name: "broken",
      address: "10.77.0.13",
      files: {
        "/etc/systemd/system/stuck.service":
          "[Service]\nType=oneshot\nExecStart=sh -c 'echo stuck here; sleep 600'\n[Install]\nWantedBy=multi-user.target\n",
      },
      enable: ["stuck.service"],
    });
    await assert.rejects(
      broken.boot({ timeoutMs: 3_000 }),
      /broken: not seen within 3000 ms: multi-user\.target active[^]*stuck here/,
    );
    assert.equal(broken.running, true, "so that a test can look around");
    await broken.destroy();
    const again = await bootMachine({ network, name: "broken", address: "10.77.0.13" });
    await again.destroy();
  });

  test("flotilla can be put on a machine, with its units, none of them enabled", async () => {
    const machine = await bootMachine({ network, name: "third", address: "10.77.0.14", ...(await flotillaParts()) });
    assert.match(await machine.output(["flotilla", "--version"]), /^flotilla version \d/);
    assert.deepEqual(await machine.unit("flotilla.service"), {
      load: "loaded",
      active: "inactive",
      sub: "dead",
      result: "success",
    });
    await machine.destroy();
  });

  test("nothing is left of a network that is closed", async () => {
    const { group, pid } = network;
    await network.close();
    assert.equal(await exists(group), false, "a group that is gone had no process any more");
    assert.equal(await exists(`/proc/${pid}`), false);
    assert.equal(first.running || second.running, false);
    assert.deepEqual(await hostState(), initially);
  });

  for (const signal of ["SIGKILL", "SIGTERM", "SIGINT"] as const) {
    test(`nothing is left of a test that is ended by ${signal}`, async () => {
      const child = spawn(process.execPath, ["--import", "tsx", parent], { stdio: ["ignore", "pipe", "inherit"] });
      const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
      const { group, pid, init } = JSON.parse(line) as { group: string; pid: number; init: number };
      assert.ok((await exists(`/proc/${init}`)) && (await exists(group)));
      child.kill(signal);
      await once(child, "exit");
      await until(
        "everything is gone",
        async () => !(await exists(group)) && !(await exists(`/proc/${pid}`)) && !(await exists(`/proc/${init}`)),
      );
      assert.deepEqual(await hostState(), initially);
    });
  }
});
