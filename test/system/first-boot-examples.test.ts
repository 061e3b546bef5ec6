// Every example of cloud-config/ that first-boot.test.ts does not boot, booted as it stands; and user-data that a machine has
// to ask its provider for, in the protocol of each.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { promisify } from "node:util";
import type { BootedMachine, MachineFile } from "./booted/machine.ts";
import { type MetadataOptions, startMetadataServer } from "./booted/metadata.ts";
import { whyNoMachines } from "./booted/why.ts";
import { loop } from "./cluster.ts";
import { withoutEtcd } from "./etcd-server.ts";
import { FirstBoots, type TlsPaths, bootStatus, listUnits } from "./first-boots.ts";

const run = promisify(execFile);
const missing = withoutEtcd === false ? await whyNoMachines() : withoutEtcd;
const joinedMs = 60_000;

const units = {
  "static/hello.service": loop(),
  "static/beacon.service": loop("\n[X-Fleet]\nGlobal=true\n"),
};

/** What cloud-init leaves of a boot, for there is none in these machines. */
function besideCloudInit(userData: string): Readonly<Record<string, MachineFile>> {
  return {
    "/etc/tmpfiles.d/cloud-init.conf":
      'f /run/cloud-init/instance-data.json 0644 root root - {"v1":{"instance_id":"i-b","cloud_name":"nocloud","cloud_id":"nocloud"}}\n' +
      'f /run/cloud-init/result.json 0644 root root - {"v1":{"datasource":"DataSourceNoCloud","errors":[]}}\n',
    "/var/lib/cloud/instance/user-data.txt": { text: userData, mode: 0o600 },
  };
}

describe("the examples of user-data, booted", { skip: missing ?? false }, () => {
  let boots: FirstBoots;

  before(async () => {
    boots = await FirstBoots.open({ units });
  });

  afterEach(() => boots.clear());
  after(() => boots.close());

  /** All of them see the beacon on each of them, and one hello. */
  async function settled(machines: readonly BootedMachine[]): Promise<void> {
    const wanted = ["hello.service", ...machines.map(() => "beacon.service")].sort().join(" ");
    for (const machine of machines) {
      const names = async (): Promise<string> =>
        (await listUnits(machine))
          .flatMap(({ name, active }) => (active === "active" ? [name] : []))
          .sort()
          .join(" ");
      await machine.waitFor(`units run: ${wanted}`, async () => (await names()) === wanted, { timeoutMs: joinedMs });
      const { code, text } = await bootStatus(machine, "--wait");
      assert.equal(code, 0, text);
    }
  }

  test("one-machine.yaml: alone, without etcd", async () => {
    const machine = await boots.machine("m1", { userData: await boots.userData("one-machine.yaml") });
    await machine.boot();
    await settled([machine]);
    assert.equal((await machine.output(["hostname"])).trim(), "box-1");
    assert.notEqual((await machine.unit("etcd.service")).active, "active");
    await machine.reboot();
    await settled([machine]);
  });

  test("static.yaml: three whose addresses are known", async () => {
    const machines = await Promise.all(
      ["web-1", "web-2", "web-3"].map(async (hostname, index) => {
        const more = { "hostname: web-1": `hostname: ${hostname}`, "10.0.0.": "10.77.0." };
        return boots.machine(`m${index + 1}`, { userData: await boots.userData("static.yaml", { more }) });
      }),
    );
    await Promise.all(machines.map((machine) => machine.boot()));
    await settled(machines);
  });

  test("tls.yaml: every word between machines encrypted, every certificate checked", async () => {
    const authority = await makeAuthority(boots.directory);
    const own = await authority.certificate("service", boots.network.address);
    await boots.stopDiscovery();
    await boots.startDiscovery(own);
    const discovery = await boots.newToken(3, own);
    const machines = await Promise.all(
      [1, 2, 3].map(async (number) => {
        const { ca, cert, key } = await authority.certificate(`m${number}`, `10.77.0.${10 + number}`);
        let userData = await boots.userData("tls.yaml", {
          discovery,
          more: { "hostname: web-1": `hostname: m${number}` },
        });
        for (const [path, file] of [
          ["ca.pem", ca],
          ["machine.pem", cert],
          ["machine-key.pem", key],
        ] as const)
          userData = withContent(userData, { path: `/etc/flotilla/tls/${path}`, text: await readFile(file, "utf8") });
        return boots.machine(`m${number}`, { userData });
      }),
    );
    await Promise.all(machines.map((machine) => machine.boot()));
    await settled(machines);
    const [first] = machines;
    assert.ok(first);
    const plain = await first.run(["curl", "--silent", "--max-time", "5", "http://10.77.0.11:2379/health"]);
    assert.ok(!plain.stdout.includes("true"), "nothing answers in the clear");
    const nobody = ["curl", "--silent", "--max-time", "5", "--cacert", "/etc/flotilla/tls/ca.pem"];
    const shown = await first.run([...nobody, "https://10.77.0.11:2379/health"]);
    assert.notEqual(shown.status, 0, "nothing answers without a certificate");
    await boots.stopDiscovery();
    await boots.startDiscovery();
  });

  test("beside-cloud-init.yaml: what cloud-init knows is left to it", async () => {
    const discovery = await boots.newToken(1);
    const userData = await boots.userData("beside-cloud-init.yaml", { discovery });
    const machine = await boots.machine("m1", { files: besideCloudInit(userData) });
    await machine.boot();
    await settled([machine]);
    assert.equal((await machine.output(["hostname"])).trim(), "m1", "the name is cloud-init's to give");
    assert.equal((await machine.run(["test", "-e", "/root/.ssh/authorized_keys"])).status, 1, "and so are the keys");
  });

  test("beside cloud-init: a unit of a package starts where cloud-init has installed it", async () => {
    const userData =
      "#cloud-config\npackages: [late]\ncoreos: {units: [{name: late.service, command: start, enable: true}]}\n";
    const text = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    const final = `[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'while [ ! -e /run/go ]; do sleep 0.2; done; cp /etc/late.service /usr/lib/systemd/system/'\n`;
    const machine = await boots.machine("m1", {
      files: {
        ...besideCloudInit(userData),
        "/etc/late.service": text,
        "/etc/systemd/system/cloud-final.service": final,
        "/etc/systemd/system/multi-user.target.d/final.conf": "[Unit]\nWants=cloud-final.service\n",
      },
    });
    await machine.boot();
    await machine.waitFor("the boot is done", async () => (await bootStatus(machine)).text.includes("late.service"), {
      timeoutMs: joinedMs,
    });
    assert.notEqual((await machine.unit("late.service")).active, "active");
    await machine.output(["touch", "/run/go"]);
    await machine.waitFor("it runs", async () => (await machine.unit("late.service")).active === "active", {
      timeoutMs: joinedMs,
    });
    assert.equal((await machine.output(["systemctl", "is-enabled", "late.service"])).trim(), "enabled");
    await machine.reboot();
    await machine.waitFor("it runs again", async () => (await machine.unit("late.service")).active === "active", {
      timeoutMs: joinedMs,
    });
  });

  const providers: readonly {
    readonly source: string;
    readonly server: (userData: string, key: string) => MetadataOptions;
  }[] = [
    {
      source: "ec2",
      server: (userData, key) => ({
        needsToken: true,
        paths: Object.fromEntries(
          ["latest", "2009-04-04", "2021-03-23", "2016-09-02"].flatMap((version) => [
            [`/${version}/user-data`, userData],
            [`/${version}/meta-data/`, "hostname\ninstance-id\nlocal-ipv4\npublic-ipv4\npublic-keys/\n"],
            [`/${version}/meta-data/instance-id`, "i-0123456789abcdef0"],
            [`/${version}/meta-data/hostname`, "from-ec2.internal"],
            [`/${version}/meta-data/local-hostname`, "from-ec2.internal"],
            [`/${version}/meta-data/local-ipv4`, "10.77.0.11"],
            [`/${version}/meta-data/public-ipv4`, "203.0.113.7"],
            [`/${version}/meta-data/public-keys/`, "0=operator"],
            [`/${version}/meta-data/public-keys`, "0=operator"],
            [`/${version}/meta-data/public-keys/0/openssh-key`, key],
          ]),
        ),
      }),
    },
    {
      source: "digitalocean",
      server: (userData, key) => ({
        paths: {
          "/metadata/v1.json": JSON.stringify({
            droplet_id: 7,
            hostname: "from-digitalocean",
            public_keys: [key],
            user_data: userData,
            interfaces: {
              private: [{ ipv4: { ip_address: "10.77.0.11" } }],
              public: [{ ipv4: { ip_address: "203.0.113.7" } }],
            },
          }),
        },
      }),
    },
  ];
  for (const { source, server } of providers)
    test(`user-data from ${source}, asked for over the network`, async () => {
      const userData = `#cloud-config
write_files:
  - path: /etc/addresses
    content: $private_ipv4 $public_ipv4
`;
      const machine = await boots.machine("m1", { words: [`ds=${source}`], ssh: true });
      const metadata = await startMetadataServer(boots.network, server(userData, boots.publicKey));
      try {
        await machine.boot();
        const { code, text } = await bootStatus(machine, "--full");
        assert.equal(code, 0, text);
        assert.match(text, new RegExp(`${source}, http://169\\.254\\.169\\.254`));
        assert.equal((await machine.output(["hostname"])).trim(), `from-${source}`);
        assert.equal(await machine.read("/etc/addresses"), "10.77.0.11 203.0.113.7");
        assert.match(await boots.ssh(machine, { user: "root", command: "hostname" }), new RegExp(`from-${source}`));
        await metadata.close();
        // It is looked for half a minute, then what was found before counts
        await machine.reboot({ timeoutMs: 90_000 });
        const again = await bootStatus(machine);
        assert.match(
          again.text,
          /as the last boot found it/,
          "the provider is away, and the machine comes up all the same",
        );
        assert.equal(again.code, 0, again.text);
      } finally {
        await metadata.close();
      }
    });
});

/** The text in place of the content of one of the document's files. */
function withContent(document: string, { path, text }: { readonly path: string; readonly text: string }): string {
  const from = document.indexOf(`- path: ${path}\n`);
  const begin = document.indexOf("content: |", from);
  const body = document.indexOf("\n", begin) + 1;
  const lines = document.slice(body).split("\n");
  const kept = lines.findIndex((line) => line !== "" && !line.startsWith("      "));
  assert.ok(from >= 0 && kept > 0, `${path} is in the document`);
  const inserted = text.trimEnd().replaceAll(/^/gm, "      ");
  return `${document.slice(0, body)}${inserted}\n${lines.slice(kept).join("\n")}`;
}

/** An authority of the test's own, and certificates for an address and loopback that serve and ask alike. */
async function makeAuthority(directory: string): Promise<{
  readonly certificate: (name: string, address: string) => Promise<TlsPaths>;
}> {
  const at = (name: string): string => join(directory, name);
  const openssl = (...args: readonly string[]): Promise<unknown> => run("openssl", [...args], { cwd: directory });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl("req", "-x509", ...key, "-subj", "/CN=test", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt");
  let serial = 0; // given by us: certificates are made side by side
  return {
    certificate: async (name, address) => {
      const names = `subjectAltName=IP:${address},IP:127.0.0.1,DNS:localhost`;
      await writeFile(at(`${name}.ext`), `${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
      await openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
      const signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", String(++serial), "-days", "2"];
      await openssl("x509", "-req", "-in", `${name}.csr`, ...signed, "-extfile", `${name}.ext`, "-out", `${name}.crt`);
      return { ca: at("ca.crt"), cert: at(`${name}.crt`), key: at(`${name}.key`) };
    },
  };
}
