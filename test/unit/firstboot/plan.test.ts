import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { describeStep } from "../../../agent/firstboot/show.ts";
import { type Circumstances, machine, plan, refusals, stepOf, textOf } from "./machine.ts";

/** Steps as lines, without those that every case has. */
async function lines(yaml: string, given: Circumstances = {}): Promise<readonly string[]> {
  const { steps } = await plan(yaml, { addresses: {}, ...given });
  return steps.map((step) => `${step.stage}: ${describeStep(step).replace(/, \d+ bytes\)$/, ")")}`);
}

interface Case {
  readonly name: string;
  readonly yaml: string;
  readonly given?: Circumstances;
  readonly expect: readonly string[];
}

const names: readonly Case[] = [
  { name: "the document's name", yaml: "hostname: web-1", expect: ["reach: name the machine web-1"] },
  {
    name: "the document's name over the provider's",
    yaml: "hostname: web-1",
    given: { hostname: "ip-10-0-0-1" },
    expect: ["reach: name the machine web-1"],
  },
  {
    name: "the provider's without its domain",
    yaml: "",
    given: { hostname: "ip-10-0-0-1.ec2.internal" },
    expect: ["reach: name the machine ip-10-0-0-1"],
  },
  { name: "a provider's that cannot be one", yaml: "", given: { hostname: "a_b" }, expect: [] },
  { name: "the first word of fqdn", yaml: "fqdn: web.example.org", expect: ["reach: name the machine web"] },
  {
    name: "all of fqdn where it is preferred",
    yaml: "hostname: other\nfqdn: web.example.org\nprefer_fqdn_over_hostname: true",
    expect: ["reach: name the machine web.example.org"],
  },
  { name: "the name it has", yaml: "hostname: web\npreserve_hostname: true", expect: [] },
];

const accounts: readonly Case[] = [
  {
    name: "keys of document and provider for the image's own account",
    yaml: "ssh_authorized_keys: [ssh-ed25519 AAAA a]",
    given: { sshKeys: ["ssh-ed25519 BBBB b", "ssh-ed25519 AAAA a"] },
    expect: ["reach: let 2 keys log in as debian"],
  },
  {
    name: "keys for core, whoever else there is",
    yaml: "ssh_authorized_keys: [ssh-ed25519 AAAA a]\nusers: [{name: ops}]",
    given: { facts: { defaultUser: "core" } },
    expect: ["reach: make the account ops", "reach: let 1 key log in as core"],
  },
  {
    name: "keys for the first account where the image's own is not wanted",
    yaml: "ssh_authorized_keys: [ssh-ed25519 AAAA a]\nusers: [{name: db, system: true}, {name: ops}]",
    expect: ["reach: make the account db", "reach: make the account ops", "reach: let 1 key log in as ops"],
  },
  {
    name: "groups that accounts want to be in, each once",
    yaml: "groups: [{wheel: [root]}]\nusers: [default, {name: a, groups: [wheel, dev]}, {name: b, groups: [dev, b]}]",
    expect: [
      "reach: make the group wheel with root",
      "reach: make the group dev",
      "reach: make the account a in wheel, dev",
      "reach: make the account b in dev",
    ],
  },
  {
    name: "an account that makes a group before those that want to be in it",
    yaml: `users:
  - {name: deploy, groups: [app, www]}
  - {name: cron, primary_group: app}
  - {name: app, system: true}
  - {name: www, no_user_group: true}`,
    expect: [
      "reach: make the group www",
      "reach: make the account app",
      "reach: make the account deploy in app, www",
      "reach: make the account cron",
      "reach: make the account www",
    ],
  },
  {
    name: "accounts that want to be in each other's groups",
    yaml: "users: [{name: a, groups: [b]}, {name: b, groups: [a]}]",
    expect: ["reach: make the group a", "reach: make the account b in a", "reach: make the account a in b"],
  },
  {
    name: "members of a group that are accounts of the document",
    yaml: "groups: [{docker: [ann, root, bob]}, {ops: [ann]}, bob]\nusers: [{name: ann, groups: [ops]}, {name: bob}]",
    expect: [
      "reach: make the group docker with root",
      "reach: make the group ops",
      "reach: make the group bob",
      "reach: make the account ann in ops, docker",
      "reach: make the account bob in docker",
    ],
  },
  {
    name: "a hash, a lock, and sudo",
    yaml: "users: [default, {name: a.b, hashed_passwd: '$6$x$y', lock_passwd: true, sudo: 'ALL=(ALL) ALL'}]",
    expect: [
      "reach: make the account a.b",
      "reach: set the password of a.b",
      "reach: lock the password of a.b",
      "reach: write /etc/sudoers.d/90-flotilla-a_b (0440 root:root)",
    ],
  },
  {
    name: "no sudo",
    yaml: "users: [default, {name: a, sudo: false}]",
    expect: ["reach: make the account a", "reach: remove /etc/sudoers.d/90-flotilla-a"],
  },
  {
    name: "no account is opened to everybody",
    yaml: "users: [default, {name: a, lock_passwd: false}]",
    expect: ["reach: make the account a"],
  },
];

const hosts: readonly Case[] = [
  {
    name: "CoreOS's /etc/hosts",
    yaml: "manage_etc_hosts: localhost",
    expect: ["early: write /etc/hosts (0644 root:root)"],
  },
  {
    name: "lines in /etc/hosts",
    yaml: "fqdn: web.example.org\nmanage_etc_hosts: true",
    expect: ["reach: name the machine web", "early: keep 1 line in /etc/hosts"],
  },
  {
    name: "addresses for units",
    yaml: "",
    given: { addresses: { public_ipv4: "203.0.113.1", private_ipv4: "10.0.0.1" } },
    expect: ["files: set COREOS_PRIVATE_IPV4, COREOS_PUBLIC_IPV4 in /etc/environment"],
  },
  {
    name: "no addresses where the document writes the file",
    yaml: "write_files: [{path: /etc/environment, content: A=b}]",
    given: { addresses: { public_ipv4: "203.0.113.1" } },
    expect: ["files: write /etc/environment (0644 root:root)"],
  },
];

const files: readonly Case[] = [
  {
    name: "modes, owners, appending and deferring",
    yaml: `write_files:
  - {path: /etc/b, content: b, permissions: "0600", owner: app, defer: true}
  - {path: /etc/a, content: a, owner: "root:adm", permissions: "0640"}
  - {path: /etc/c, content: c, append: true}
  - {path: /etc/c, content: d, append: true}`,
    expect: [
      "files: write /etc/a (0640 root:adm, secret)",
      "files: append to /etc/c (0644 root:root)",
      "files: append to /etc/c (0644 root:root)",
      "late: write /etc/b (0600 app:app, secret)",
    ],
  },
  {
    name: "what is appended to a text of the document is part of it, and hidden as the most secret part",
    yaml: `write_files:
  - {path: /etc/a, content: lost, append: true}
  - {path: /etc/a, content: a, owner: "root:adm"}
  - {path: /etc/b, content: b, append: true}
  - {path: /etc/a, content: aa, append: true, permissions: "0600", owner: app, defer: true}`,
    expect: ["files: write /etc/a (0644 root:adm, secret)", "files: append to /etc/b (0644 root:root)"],
  },
  {
    name: "a time zone on Debian",
    yaml: "timezone: Europe/Berlin",
    expect: [
      "files: link /etc/localtime to ../usr/share/zoneinfo/Europe/Berlin",
      "files: write /etc/timezone (0644 root:root)",
    ],
  },
  {
    name: "a locale on Debian",
    yaml: "locale: de_DE.utf8",
    expect: [
      "files: keep 1 line in /etc/locale.gen",
      "files: make the locale de_DE.utf8: locale-gen",
      "files: set LANG in /etc/default/locale",
    ],
  },
  {
    name: "a locale elsewhere",
    yaml: "locale: de_DE.UTF-8",
    given: { facts: { systems: ["fedora"] } },
    expect: ["files: set LANG in /etc/locale.conf"],
  },
  {
    name: "time servers for timesyncd",
    yaml: "ntp: {servers: [ntp.example], pools: [pool.example]}",
    expect: [
      "files: write /etc/systemd/timesyncd.conf.d/50-flotilla.conf (0644 root:root)",
      "files: enable systemd-timesyncd.service",
      "units: restart systemd-timesyncd.service",
    ],
  },
  {
    name: "time servers for chrony, which comes first",
    yaml: "ntp: {servers: [ntp.example]}",
    given: {
      facts: {
        units: new Set(["chrony.service", "systemd-timesyncd.service"]),
        paths: new Set(["/etc/chrony/sources.d"]),
      },
    },
    expect: [
      "files: write /etc/chrony/sources.d/flotilla.sources (0644 root:root)",
      "files: enable chrony.service",
      "units: restart chrony.service",
    ],
  },
  {
    name: "certificates on Debian",
    yaml: 'ca_certs: {trusted: ["-----BEGIN CERTIFICATE-----\\nMAo=\\n-----END CERTIFICATE-----\\n"]}',
    expect: [
      "files: write /usr/local/share/ca-certificates/flotilla-1.crt (0644 root:root)",
      "files: trust the certificates: update-ca-certificates",
    ],
  },
  {
    name: "certificates on Fedora",
    yaml: 'ca_certs: {trusted: ["-----BEGIN CERTIFICATE-----\\nMAo=\\n-----END CERTIFICATE-----\\n"]}',
    given: { facts: { programs: new Set(["update-ca-trust"]), systems: ["fedora"] } },
    expect: [
      "files: write /etc/pki/ca-trust/source/anchors/flotilla-1.pem (0644 root:root)",
      "files: trust the certificates: update-ca-trust",
    ],
  },
  {
    name: "sshd",
    yaml: "ssh_pwauth: false\ndisable_root: true",
    expect: [
      "files: write /etc/ssh/sshd_config.d/10-flotilla.conf (0644 root:root)",
      "files: reload-or-try-restart ssh.service",
    ],
  },
  {
    name: "mounts and swap",
    yaml: "mounts: [[/dev/vdb, /data, ext4]]\nswap: {filename: /swap, size: 1G}",
    expect: [
      "early: make the swap file /swap (1073741824 bytes)",
      "early: keep 2 lines in /etc/fstab",
      "early: have systemd read its files again",
      "early: mount /data",
    ],
  },
  {
    name: "commands, packages and the end",
    yaml: `bootcmd: [echo early]
runcmd: [[echo, "a b"], "cd /tmp && ls"]
packages: [curl]
phone_home: {url: "https://home.example/?token=abc", post: [hostname], tries: 3}
power_state: {mode: reboot, delay: now}`,
    expect: [
      "early: write /var/lib/flotilla/bootstrap/scripts/bootcmd (0700 root:root, secret)",
      "early: run the commands of bootcmd: /bin/sh /var/lib/flotilla/bootstrap/scripts/bootcmd",
      "files: refresh the lists of packages, install curl",
      "late: write /var/lib/flotilla/bootstrap/scripts/runcmd (0700 root:root, secret)",
      "late: run the commands of runcmd: /bin/sh /var/lib/flotilla/bootstrap/scripts/runcmd",
      "late: tell https://home.example/ that this machine is up (hostname)",
      "late: reboot (now)",
    ],
  },
  {
    name: "a script instead of a document",
    yaml: "#!/bin/sh\necho hello\n",
    expect: [
      "late: write /var/lib/flotilla/bootstrap/scripts/payload-user-data (0700 root:root, secret)",
      'late: start the script "user-data" as flotilla-script-user-data.service: systemd-run --unit=flotilla-script-user-data.service --description=Script user-data of the user-data --no-block --property=Type=oneshot --property=RemainAfterExit=yes /var/lib/flotilla/bootstrap/scripts/payload-user-data',
    ],
  },
];

const coreos: readonly Case[] = [
  {
    name: "update settings where they are",
    yaml: "coreos: {update: {reboot_strategy: off, group: beta}}",
    given: {
      facts: {
        paths: new Set(["/usr/share/flatcar/update.conf"]),
        units: new Set(["locksmithd.service", "update-engine.service"]),
      },
    },
    expect: [
      "files: set REBOOT_STRATEGY, GROUP in /etc/flatcar/update.conf",
      "units: mask /run/systemd/system/locksmithd.service",
      "units: have systemd read its files again",
      "units: stop locksmithd.service",
      "units: restart update-engine.service",
    ],
  },
  { name: "no update settings elsewhere", yaml: "coreos: {update: {reboot_strategy: off}}", expect: [] },
  { name: "no flannel where there is none", yaml: "coreos: {flannel: {interface: eth0}}", expect: [] },
  {
    name: "flannel and locksmith",
    yaml: "coreos: {flannel: {interface: eth0}, locksmith: {window_start: 'Thu 04:00', window_length: 1h}}",
    given: { facts: { units: new Set(["flanneld.service", "locksmithd.service"]) } },
    expect: [
      "files: write /run/flannel/options.env (0644 root:root)",
      "files: write /etc/systemd/system/locksmithd.service.d/20-flotilla.conf (0644 root:root)",
      "units: have systemd read its files again",
      "units: try-restart flanneld.service",
      "units: try-restart locksmithd.service",
    ],
  },
  {
    name: "the OEM's name",
    yaml: "coreos: {oem: {id: ec2, name: Amazon EC2, version-id: 1.2}}",
    expect: ["files: write /etc/oem-release (0644 root:root)"],
  },
];

const units: readonly Case[] = [
  {
    name: "files, drop-ins, links and commands in the document's order",
    yaml: `coreos:
  units:
    - {name: b.service, content: "[Service]\\nExecStart=/bin/true\\n", command: start, enable: true}
    - {name: a.service, runtime: true, command: restart, drop_ins: [{name: 10-x.conf, content: "[Unit]\\nDescription=x"}]}
    - {name: c.service, mask: true}
    - {name: 10-eth.network, content: "[Match]\\nName=eth0\\n"}`,
    given: { facts: { units: new Set(["a.service"]) } },
    expect: [
      "units: write /etc/systemd/system/b.service (0644 root:root)",
      "units: unmask /run/systemd/system/a.service",
      "units: write /run/systemd/system/a.service.d/10-x.conf (0644 root:root)",
      "units: mask /etc/systemd/system/c.service",
      "units: write /etc/systemd/network/10-eth.network (0644 root:root)",
      "units: enable b.service",
      "units: have systemd read its files again",
      "units: restart systemd-networkd.service",
      "units: try-restart b.service",
      "units: start b.service",
      "units: restart a.service",
    ],
  },
  {
    name: "fleet's units are flotilla's",
    yaml: "coreos: {units: [{name: fleet.service, command: start}, {name: fleet.socket, command: start}]}",
    expect: [
      "units: enable flotilla.service",
      "units: have systemd read its files again",
      "units: start flotilla.service",
    ],
  },
  {
    name: "etcd's unit by the name it has here",
    yaml: "coreos: {units: [{name: etcd.service, mask: true}, {name: etcd2.service, command: start}]}",
    given: { facts: { units: new Set(["etcd-member.service"]) } },
    expect: ["units: start etcd-member.service"],
  },
  {
    name: "no etcd, and none asked for but by name",
    yaml: "coreos: {units: [{name: etcd2.service, command: start}]}",
    given: { facts: { units: new Set() } },
    expect: [],
  },
  {
    name: "what flotilla needs is started, etcd first",
    yaml: "coreos: {etcd2: {}, fleet: {metadata: a=b}}",
    given: { addresses: { private_ipv4: "10.0.0.1" } },
    expect: [
      "files: set COREOS_PRIVATE_IPV4 in /etc/environment",
      "files: write /etc/flotilla/etcd.env (0644 root:root)",
      "files: write /etc/systemd/system/etcd.service.d/20-flotilla.conf (0644 root:root)",
      "files: write /etc/systemd/system/flotilla-discovery.service.d/20-flotilla.conf (0644 root:root)",
      "files: write /etc/flotilla/flotilla.conf (0600 root:root)",
      "units: enable etcd.service",
      "units: enable flotilla.service",
      "units: have systemd read its files again",
      "units: try-restart flotilla-discovery.service",
      "units: try-restart etcd.service",
      "units: start etcd.service",
      "units: try-restart flotilla.service",
      "units: start flotilla.service",
    ],
  },
];

for (const [what, cases] of Object.entries({ names, accounts, hosts, files, coreos, units }))
  suite(`a plan: ${what}`, () => {
    for (const { name, yaml, given, expect } of cases)
      test(name, async () => assert.deepEqual(await lines(yaml, given), expect));
  });

suite("a plan: beside cloud-init", () => {
  const document = `hostname: web
users: [{name: a}]
write_files: [{path: /etc/a, content: a}]
runcmd: [ls]
packages: [curl]
coreos: {units: [{name: x.service, content: "[Service]\\nExecStart=/bin/true\\n", command: start}]}`;

  test("only coreos and flotilla", async () => {
    const { steps, notices } = await plan(document, { mode: "beside-cloud-init", addresses: {} });
    assert.deepEqual(
      steps.map(({ id }) => id),
      ["unit-file x.service", "reload", "renew x.service", "start x.service"],
    );
    assert.deepEqual(
      notices.map(({ severity, problem }) => `${severity}: ${problem.message}`),
      ["info: Leaving hostname, users, write_files, runcmd, packages to cloud-init"],
    );
  });
});

suite("a plan: what refuses it", () => {
  const cases: readonly (readonly [name: string, yaml: string, given: Circumstances, code: string])[] = [
    ["no such time zone", "timezone: Mars/Base", {}, "boot-timezone"],
    ["packages without a program", "packages: [a]", { facts: { programs: new Set() } }, "boot-packages"],
    [
      "certificates without a program",
      'ca_certs: {trusted: ["-----BEGIN CERTIFICATE-----\\nMAo=\\n-----END CERTIFICATE-----\\n"]}',
      { facts: { programs: new Set() } },
      "boot-ca-certs",
    ],
    ["etcd that is not there", "coreos: {etcd2: {name: a}}", { facts: { units: new Set() } }, "boot-etcd-missing"],
    [
      "settings that somebody wrote",
      "coreos: {fleet: {metadata: a=b}}",
      { facts: { paths: new Set(["/etc/flotilla/flotilla.conf"]) } },
      "boot-settings-foreign",
    ],
    [
      "settings twice",
      "coreos: {fleet: {metadata: a=b}}\nwrite_files: [{path: /etc/flotilla/flotilla.conf, content: a}]",
      {},
      "boot-settings-twice",
    ],
    ["a data folder that is no path", "coreos: {etcd2: {data_dir: '/a$b'}}", {}, "boot-etcd-value"],
  ];
  for (const [name, yaml, given, code] of cases)
    test(name, async () => {
      const problems = await refusals(yaml, given);
      assert.deepEqual(
        problems.map((problem) => problem.code),
        [code],
      );
      assert.ok(problems.every(({ at, hint }) => hint !== undefined && at?.line !== undefined));
    });

  test("settings of an earlier boot are no such thing", async () => {
    const path = "/etc/flotilla/flotilla.conf";
    const { settings } = await plan("coreos: {fleet: {metadata: a=b}}", {
      facts: { paths: new Set([path]), ours: new Set([path]) },
    });
    assert.equal(settings?.file, path);
  });
});

suite("a plan: details", () => {
  test("commands of one list share a shell, and words stay words", async () => {
    const planned = await plan(`runcmd: [cd /tmp, [echo, "it's $HOME"]]`);
    assert.equal(
      textOf(planned, "/var/lib/flotilla/bootstrap/scripts/runcmd"),
      "#!/bin/sh\ncd /tmp\necho 'it'\\''s $HOME'\n",
    );
  });

  test("values in systemd's files", async () => {
    const planned = await plan(
      `coreos: {flannel: {etcd_prefix: '/a b"$c\\d'}, locksmith: {etcd_username: 'a "b" %c \\d'}}`,
      {
        facts: { units: new Set(["flanneld.service", "locksmithd.service"]) },
      },
    );
    assert.equal(textOf(planned, "/run/flannel/options.env"), 'FLANNELD_ETCD_PREFIX="/a b\\"\\$c\\\\d"\n');
    assert.match(
      textOf(planned, "/etc/systemd/system/locksmithd.service.d/20-flotilla.conf"),
      /^Environment="LOCKSMITHD_ETCD_USERNAME=a \\"b\\" %%c \\\\d"$/m,
    );
  });

  test("/etc/fstab keeps blanks in names", async () => {
    const step = stepOf(
      await plan(`mounts: [[LABEL=x, /my\\040data, ext4, "defaults,nofail", "0", "2"]]`),
      "block /etc/fstab",
    );
    assert.ok(step.kind === "block");
    assert.deepEqual(step.lines, ["LABEL=x /my\\040data ext4 defaults,nofail 0 2"]);
  });

  test("a disk that was copied gets host keys of its own, another does not", async () => {
    const record = { instanceId: "i-1", machineId: machine().machineId, bootId: "b", steps: {} };
    const ids = async (given: Circumstances): Promise<boolean> =>
      (await plan("hostname: a", given)).steps.some(({ id }) => id === "new host keys");
    assert.equal(await ids({}), false);
    assert.equal(await ids({ record, instanceId: "i-1" }), false);
    assert.equal(await ids({ record }), false, "a provider that is away makes no new instance");
    assert.equal(await ids({ record, instanceId: "i-2" }), true);
    assert.equal(await ids({ record: { ...record, machineId: "other" } }), true);
    assert.equal((await plan("ssh_deletekeys: false", { record, instanceId: "i-2" })).steps.length, 1);
  });

  test("everything that a step follows from is in the plan, before it", async () => {
    const planned = await plan(`ssh_pwauth: false
ntp: {servers: [a]}
mounts: [[/dev/vdb, /data]]
write_files: [{path: /etc/systemd/system/y.service, content: x}]
coreos: {etcd2: {}, fleet: {metadata: a=b}, units: [{name: x.service, content: "[Unit]", command: start}]}`);
    const seen = new Set<string>();
    for (const { id, onlyAfter } of planned.steps) {
      for (const before of onlyAfter ?? []) assert.ok(seen.has(before), `${id} follows from ${before}`);
      assert.ok(!seen.has(id), `${id} is there once`);
      seen.add(id);
    }
    assert.ok(stepOf(planned, "reload").onlyAfter?.includes("file /etc/systemd/system/y.service"));
  });
});
