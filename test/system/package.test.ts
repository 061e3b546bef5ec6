// The Debian package: what it holds, and what it does to a machine that boots: it starts nothing by itself, an upgrade
// leaves units alone, and only a purge takes what the machine knows. Left out where it has not been built.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type BootedMachine, bootMachine } from "./booted/machine.ts";
import { Network } from "./booted/network.ts";
import { whyNoMachines } from "./booted/why.ts";

const run = promisify(execFile);
const top = fileURLToPath(new URL("../..", import.meta.url));
const { version } = JSON.parse(readFileSync(join(top, "package.json"), "utf8")) as { readonly version: string };
const name = process.arch === "arm64" ? "arm64" : "amd64";
const file = join(top, "dist", `flotilla_${version}_${name}.deb`);
const units = [
  "flotilla.service",
  "flotilla-bootstrap.service",
  "flotilla-discovery.service",
  "flotilla-discovery-serve.service",
  "flotilla.socket",
];

const notBuilt = existsSync(file) ? undefined : "the package has not been built: npm run build";
const noDpkg = existsSync("/usr/bin/dpkg-deb") ? undefined : "dpkg is not installed";

describe("the package", { skip: notBuilt ?? noDpkg ?? false }, () => {
  const control = async (field: string): Promise<string> => (await run("dpkg-deb", ["-f", file, field])).stdout.trim();

  test("its fields", async () => {
    assert.equal(await control("Package"), "flotilla");
    assert.equal(await control("Version"), version);
    assert.equal(await control("Architecture"), name);
    assert.match(await control("Depends"), /^systemd \(>= 247\), libc6 /);
    assert.match(await control("Recommends"), /^etcd-server, /);
    assert.match(await control("Maintainer"), /^.+ <\S+@\S+>$/);
    const size = Number(await control("Installed-Size"));
    assert.ok(size > 50_000 && size < 200_000, `${size} KiB`);
    const lines = (await control("Description")).split("\n");
    assert.ok((lines[0] ?? "").length < 80, lines[0]);
    assert.ok(lines.length > 3);
  });

  test("its files, their modes and their owner", async () => {
    const { stdout } = await run("dpkg-deb", ["-c", file]);
    const entries = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => {
          const [mode = "", owner = "", , , , ...path] = line.split(/ +/);
          return [path.join(" ").replace(/^\.\//, ""), { mode, owner }] as const;
        }),
    );
    const wanted = [
      ...units.map((unit) => `usr/lib/systemd/system/${unit}`),
      "usr/share/flotilla/schemas/settings.json",
      "usr/share/flotilla/units/example/static/hello.service",
      ...readdirSync(join(top, "cloud-config")).map((each) => `usr/share/flotilla/cloud-config/${each}`),
      "usr/share/man/man1/flotilla.1.gz",
      "usr/share/bash-completion/completions/flotilla",
      "usr/share/zsh/vendor-completions/_flotilla",
      "usr/share/fish/vendor_completions.d/flotilla.fish",
      ...readdirSync(join(top, "docs")).map((each) => `usr/share/doc/flotilla/${each}`),
      "usr/share/doc/flotilla/copyright",
      "usr/share/doc/flotilla/changelog.gz",
    ];
    for (const path of wanted) assert.equal(entries.get(path)?.mode, "-rw-r--r--", path);
    assert.equal(entries.get("usr/bin/flotilla")?.mode, "-rwxr-xr-x");
    const link = "usr/share/flotilla/units/example/instances/web@1.service -> ../templates/web@.service";
    assert.equal(entries.get(link)?.mode, "lrwxrwxrwx");
    // The other name stands beside the PATH: no package that has it is shadowed, or kept from being installed
    assert.equal(entries.get("usr/lib/flotilla/bin/fleetctl -> ../../../bin/flotilla")?.mode, "lrwxrwxrwx");
    assert.deepEqual(
      [...entries.keys()].filter((path) => /^usr\/(local\/)?s?bin\/./.test(path)),
      ["usr/bin/flotilla"],
    );
    for (const [path, { mode, owner }] of entries) {
      assert.equal(owner, "root/root", path);
      assert.match(mode, /^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx)$/, path);
      assert.match(path, /^(usr\/.*)?$/, "all of it stands below /usr");
    }
  });
});

const noMachines = notBuilt ?? noDpkg ?? (await whyNoMachines());

/** Of the version that comes after the one that was built; what it holds is the same. */
const nextVersion = `${version}+next1`;

/** The package again under that version. */
async function makeNext(folder: string): Promise<string> {
  const [tree, next] = [join(folder, "tree"), join(folder, "flotilla-next.deb")];
  await run("dpkg-deb", ["-R", file, tree]);
  const control = join(tree, "DEBIAN/control");
  const text = await readFile(control, "utf8");
  await writeFile(control, text.replace(/^Version: .*$/m, `Version: ${nextVersion}`));
  await run("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z1", "-b", tree, next]);
  await rm(tree, { recursive: true });
  return next;
}

describe("the package on a machine", { skip: noMachines ?? false }, () => {
  /** Of the example, and one that must not run twice: what flotilla runs there. */
  const running = [
    "hello.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
    "beacon.service",
    "single.service",
  ];
  let network: Network;
  let folder: string;
  let machine: BootedMachine;
  const value = async (unit: string, property: string): Promise<string> =>
    (await machine.output(["systemctl", "show", "--value", `--property=${property}`, unit])).trim();
  const status = async (command: readonly string[]): Promise<number> => (await machine.run(command)).status;
  const dpkg = (...args: readonly string[]) => machine.output(["dpkg", ...args], { timeoutMs: 120_000 });

  before(async () => {
    folder = await mkdtemp("/var/tmp/flotilla-package-");
    const next = await makeNext(folder);
    network = await Network.open();
    machine = await bootMachine({
      network,
      name: "debian",
      address: "10.77.0.21",
      binds: { "/opt/flotilla.deb": file, "/opt/flotilla-next.deb": next },
      enable: ["ssh.service"],
      files: {
        // What the first boot does has tests of its own
        "/etc/flotilla/no-bootstrap": "",
        "/usr/sbin/policy-rc.d": { text: "#!/bin/sh\nexit 101\n", mode: 0o755 },
      },
    });
  });
  after(async () => {
    await (network as Network | undefined)?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("installed, it runs without Node and has started nothing", async () => {
    await dpkg("--install", "/opt/flotilla.deb");
    assert.equal(await machine.output(["env", "-i", "/usr/bin/flotilla", "version"]), `flotilla version ${version}\n`);
    assert.equal(
      await machine.output(["env", "-i", "/usr/lib/flotilla/bin/fleetctl", "version"]),
      `fleetctl version ${version}\n`,
    );
    assert.equal(await status(["dpkg", "--verify", "flotilla"]), 0);
    assert.equal((await machine.output(["dpkg", "--verify", "flotilla"])).trim(), "");
    for (const unit of units) assert.equal(await value(unit, "ActiveState"), "inactive", unit);
    const enabled = await Promise.all(units.map((unit) => value(unit, "UnitFileState")));
    assert.deepEqual(enabled, ["disabled", "enabled", "enabled", "disabled", "disabled"]);
    const found = await machine.run(["systemd-analyze", "verify", "--man=no", ...units]);
    assert.deepEqual([found.status, found.stderr], [0, ""]);
    // In tenths. The first boot may do whatever user-data says: its unit is as open as that.
    for (const unit of units.filter((each) => each.endsWith(".service") && each !== "flotilla-bootstrap.service"))
      assert.equal(await status(["systemd-analyze", "security", "--no-pager", "--threshold=25", unit]), 0, unit);
  });

  test("the agent works within its hardened unit: a repository over ssh, a unit that runs", async () => {
    const script = String.raw`
      set -e
      export HOME=/root GIT_CONFIG_NOSYSTEM=1
      ssh-keygen -q -t ed25519 -N '' -f /etc/flotilla/key
      mkdir -p -m 700 /root/.ssh
      cp /etc/flotilla/key.pub /root/.ssh/authorized_keys
      ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null >/etc/flotilla/known_hosts
      git init -q --initial-branch=main /srv/units
      cp -R /usr/share/flotilla/units/example/. /srv/units
      cd /srv/units
      printf '[Service]\nExecStart=/bin/sleep infinity\n[X-Fleet]\nOnPartition=stop\n' >static/single.service
      git add -A
      git -c user.name=Test -c user.email=test@localhost commit -qm units
      printf '[Git]\nURL=ssh://root@127.0.0.1/srv/units\nSSHKeyFile=/etc/flotilla/key\nKnownHostsFile=/etc/flotilla/known_hosts\nSchedule=* * * * * *\nJitter=0\n' >/etc/flotilla/flotilla.conf
      chmod 600 /etc/flotilla/flotilla.conf
      systemctl enable -q --now flotilla.service`;
    await machine.output(["sh", "-c", script]);
    for (const unit of running) await machine.waitForUnit(unit);
    const last = /^web@3\.service\t.*running$/m;
    await machine.waitFor("the last unit in the listing", async () =>
      last.test(await machine.output(["flotilla", "list-units"])) ? true : undefined,
    );
    assert.match(await machine.output(["flotilla", "status"]), /Machines: 1 alive\n/);
    assert.equal(await value("flotilla.service", "NRestarts"), "0");
  });

  test("discovery works within its hardened unit, and does nothing where nothing is set", async () => {
    const [list, start] = [
      `alone=http://${machine.address}:2380`,
      ["systemctl", "restart", "flotilla-discovery.service"],
    ];
    await machine.output(start);
    assert.equal(await status(["test", "-e", "/var/lib/flotilla/etcd-initial.env"]), 1, "nothing to join yet");
    const conf = await machine.read("/etc/flotilla/flotilla.conf");
    const etcd = `[Etcd]\nName=alone\nPeerURLs=http://${machine.address}:2380\nInitialCluster=${list}\n`;
    await machine.write("/etc/flotilla/flotilla.conf", { text: `${conf}\n${etcd}`, mode: 0o600 });
    await machine.output(start);
    assert.match(await machine.read("/var/lib/flotilla/etcd-initial.env"), /^ETCD_INITIAL_CLUSTER=.*:2380"?$/m);
    assert.equal(await value("flotilla-discovery.service", "ActiveState"), "active");
    await machine.write("/etc/flotilla/flotilla.conf", { text: conf, mode: 0o600 });
  });

  test("a discovery service serves within its hardened unit, and keeps its tokens", async () => {
    const unit = "flotilla-discovery-serve.service";
    await machine.output(["systemctl", "start", unit]);
    const token = async (): Promise<string> => machine.output(["flotilla", "discovery", "new", "--size", "3"]);
    const url = (await machine.waitFor("a token", async () => token().catch(() => undefined))).trim();
    await machine.output(["systemctl", "restart", unit]);
    const size = await machine.waitFor("the token's size", async () => {
      const asked = await machine.run(["curl", "--silent", "--max-time", "5", `${url}/_config/size`]);
      return asked.status === 0 ? asked.stdout : undefined;
    });
    assert.match(size, /"value":"3"/);
    await machine.output(["systemctl", "stop", unit]);
  });

  test("an upgrade to a newer version restarts the agent and leaves all units alone", async () => {
    const installed = (): Promise<string> =>
      machine.output(["dpkg-query", "--show", "--showformat=${Version}", "flotilla"]);
    const runs = (): Promise<readonly string[]> =>
      Promise.all(
        running.map(async (unit) => `${unit} ${await value(unit, "InvocationID")} ${await value(unit, "SubState")}`),
      );
    const list = ["list-units", "--plain", "--no-legend", "--state=active", "flotilla-permit*.timer"];
    const permits = async (): Promise<readonly string[]> =>
      (await machine.output(["systemctl", ...list])).split("\n").flatMap((line) => line.split(" ")[0] || []);
    const [before, agent] = await Promise.all([runs(), value("flotilla.service", "InvocationID")]);
    for (const each of before) assert.match(each, /^\S+ [0-9a-f]{32} running$/);
    assert.equal(await installed(), version);
    await dpkg("--install", "/opt/flotilla-next.deb");
    assert.equal(await installed(), nextVersion);
    await machine.waitFor("another agent", async () => {
      const [id, state] = await Promise.all([
        value("flotilla.service", "InvocationID"),
        value("flotilla.service", "ActiveState"),
      ]);
      return id !== agent && state === "active" && (await status(["flotilla", "status"])) === 0;
    });
    // It has taken over what hangs on its predecessor's lease as well
    const given = await permits();
    await machine.waitFor("a permit of the new agent's", async () => {
      const now = await permits();
      return now.length > 0 && now.every((each) => !given.includes(each));
    });
    await machine.waitFor("all of it in the listing", async () => {
      const { stdout } = await machine.run(["flotilla", "list-units"]);
      return running.every((unit) =>
        stdout.split("\n").some((line) => line.startsWith(`${unit}\t`) && line.endsWith("running")),
      );
    });
    assert.deepEqual(await runs(), before);
  });

  test("removed, it leaves units, settings and state; purged, only the units", async () => {
    const unit = await value("hello.service", "MainPID");
    await dpkg("--remove", "flotilla");
    assert.equal(await value("flotilla.service", "ActiveState"), "inactive");
    assert.equal(await value("hello.service", "MainPID"), unit);
    assert.equal(await status(["test", "-s", "/etc/flotilla/flotilla.conf"]), 0);
    assert.equal(await status(["test", "-d", "/var/lib/flotilla"]), 0);
    await dpkg("--purge", "flotilla");
    assert.equal(await status(["test", "-e", "/etc/flotilla", "-o", "-e", "/var/lib/flotilla"]), 1);
    assert.equal(await value("hello.service", "MainPID"), unit);
    assert.equal(await machine.output(["find", "/etc/systemd", "/var/lib/systemd", "-name", "*flotilla*"]), "");
  });
});
