import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret } from "../../../agent/domain/settings.ts";
import type { CloudConfig } from "../../../agent/domain/user-data.ts";
import { addresses, config, said } from "./read.ts";

/** Places left out, secrets shown, bytes as text: what a document means, as plain data. */
function plain(value: unknown): unknown {
  if (value instanceof Secret) return `secret ${value.reveal()}`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key, each]) => key !== "at" && each !== undefined);
  const [only] = kept;
  if (kept.length === 1 && only?.[0] === "value") return plain(only[1]);
  return Object.fromEntries(kept.map(([key, each]) => [key, plain(each)]));
}

interface Case {
  readonly name: string;
  readonly yaml: string;
  readonly gives: (config: CloudConfig) => unknown;
  readonly is: unknown;
  /** Beside what is only worth knowing. */
  readonly says?: readonly string[];
}

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me";
const user = (more: string): string => `users:\n  - name: web\n    ${more}`;
const file = (more: string): string => `write_files:\n  - path: /a\n    ${more}`;
const unit = (more: string): string => `coreos:\n  units:\n    - name: a.service\n      ${more}`;
const firstUser = ({ users }: CloudConfig): unknown => users?.entries[0];
const pick =
  (...names: readonly string[]) =>
  (from: unknown): unknown =>
    Object.fromEntries(Object.entries(from ?? {}).filter(([name]) => names.includes(name)));
const userPart =
  (...names: readonly string[]) =>
  (from: CloudConfig): unknown =>
    pick(...names)(firstUser(from));
const filePart =
  (...names: readonly string[]) =>
  ({ writeFiles }: CloudConfig): unknown =>
    pick(...names)(writeFiles[0]);
const unitPart =
  (...names: readonly string[]) =>
  ({ units }: CloudConfig): unknown =>
    pick(...names)(units[0]);
const pairs = (entries: readonly { readonly key: string; readonly value: string }[] | undefined): unknown =>
  entries?.map(({ key: name, value }) => `${name}=${value}`);
const settings = ({ settings: all }: CloudConfig): unknown =>
  all.map(({ section, key: name, value }) => `${section}.${name}=${value}`);

const cases: readonly Case[] = [
  // scalars by the field's type, from their source text
  {
    name: "off is off",
    yaml: "coreos: {update: {reboot-strategy: off}}",
    gives: ({ update }) => pairs(update),
    is: ["reboot_strategy=off"],
  },
  { name: "0644 is octal", yaml: file("permissions: 0644"), gives: filePart("mode"), is: { mode: 0o644 } },
  { name: "644 is octal", yaml: file("permissions: 644"), gives: filePart("mode"), is: { mode: 0o644 } },
  { name: "setuid", yaml: file('permissions: "04755"'), gives: filePart("mode"), is: { mode: 0o4755 } },
  {
    name: "a number as text",
    yaml: "coreos: {oem: {version-id: 0.10, id: x}}",
    gives: ({ oem }) => pairs(oem),
    is: ["version_id=0.10", "id=x"],
  },
  { name: "a word as text", yaml: "hostname: yes", gives: ({ hostname }) => hostname, is: "yes" },
  {
    name: "words of YAML 1.1",
    yaml: unit(
      "enable: yes\n      runtime: on\n      mask: off\n      content: |\n        [Service]\n        ExecStart=/x\n        [Install]\n        WantedBy=a.target",
    ),
    gives: unitPart("enable", "runtime", "mask"),
    is: { enable: true, runtime: true, mask: false },
  },
  // keys
  {
    name: "dashes and underscores alike",
    yaml: "ssh-authorized-keys: []\nprefer-fqdn-over-hostname: true",
    gives: ({ preferFqdn }) => preferFqdn,
    is: true,
  },
  {
    name: "both spellings of a list are joined",
    yaml: `runcmd: [a]\nssh-authorized-keys: ["${key} 1"]\nssh_authorized_keys: ["${key} 2"]`,
    gives: ({ sshAuthorizedKeys }) => sshAuthorizedKeys,
    is: [`${key} 1`, `${key} 2`],
  },
  {
    name: "anchors and merge keys",
    yaml: `users:\n  - &a {name: a, shell: /bin/sh, system: true}\n  - {<<: *a, name: b, system: false}`,
    gives: ({ users }) => users?.entries.map(pick("name", "shell", "system")),
    is: [
      { name: "a", shell: "/bin/sh", system: true },
      { name: "b", shell: "/bin/sh", system: false },
    ],
  },
  // the machine
  {
    name: "names",
    yaml: "hostname: web-1\nfqdn: web-1.example.org\npreserve_hostname: no",
    gives: pick("hostname", "fqdn", "preserveHostname"),
    is: { hostname: "web-1", fqdn: "web-1.example.org", preserveHostname: false },
  },
  {
    name: "hosts: localhost alone replaces",
    yaml: "manage_etc_hosts: localhost",
    gives: ({ manageEtcHosts }) => manageEtcHosts,
    is: "replace",
  },
  {
    name: "hosts: localhost with a name adds",
    yaml: "manage_etc_hosts: localhost\nfqdn: a.b",
    gives: ({ manageEtcHosts }) => manageEtcHosts,
    is: "add",
  },
  {
    name: "hosts: true adds",
    yaml: "manage-etc-hosts: true",
    gives: ({ manageEtcHosts }) => manageEtcHosts,
    is: "add",
  },
  { name: "hosts: off", yaml: "manage_etc_hosts: off", gives: ({ manageEtcHosts }) => manageEtcHosts, is: "no" },
  {
    name: "clock and language",
    yaml: "timezone: Europe/Berlin\nlocale: de_DE.UTF-8\nkeyboard: {layout: de}",
    gives: pick("timezone", "locale", "keyboard"),
    is: { timezone: "Europe/Berlin", locale: "de_DE.UTF-8", keyboard: { layout: "de", model: "pc105", variant: "" } },
  },
  {
    name: "time servers",
    yaml: "ntp: {servers: [a.example, 10.0.0.1], pools: [p.example]}",
    gives: ({ ntp }) => ntp,
    is: { enabled: true, servers: ["a.example", "10.0.0.1"], pools: ["p.example"] },
  },
  {
    name: "time servers of the system",
    yaml: "ntp:",
    gives: ({ ntp }) => ntp,
    is: { enabled: true, servers: [], pools: [] },
  },
  {
    name: "mounts",
    yaml: "mounts:\n  - [/dev/vdb, /data]\n  - [/dev/vdc, /more, ext4, noatime, 0, 0]\n  - [/swap, none, swap, sw]",
    gives: ({ mounts }) =>
      mounts.map(({ device, mountPoint, type, options, dump, pass }) =>
        [device, mountPoint, type, options, dump, pass].join(" "),
      ),
    is: ["/dev/vdb /data auto defaults,nofail 0 2", "/dev/vdc /more ext4 noatime 0 0", "/swap none swap sw 0 2"],
  },
  {
    name: "fields of mounts that are left out",
    yaml: 'mount_default_fields: [null, null, ext4, noatime, "0", "1"]\nmounts: [[/dev/vdb, /data]]',
    gives: ({ mounts }) => mounts.map(({ type, options, pass }) => [type, options, pass]),
    is: [["ext4", "noatime", "1"]],
  },
  {
    name: "swap",
    yaml: "swap: {filename: /swap, size: 512M, maxsize: 1G}",
    gives: ({ swap }) => swap,
    is: { file: "/swap", sizeBytes: 512 * 1024 ** 2, maxSizeBytes: 1024 ** 3 },
  },
  {
    name: "swap in bytes",
    yaml: "swap: {size: 1048576}",
    gives: ({ swap }) => swap,
    is: { file: "/swap.img", sizeBytes: 1048576 },
  },
  {
    name: "certificates",
    yaml: "ca-certs:\n  remove-defaults: true\n  trusted:\n    - |\n      -----BEGIN CERTIFICATE-----\n      YQ==\n      -----END CERTIFICATE-----",
    gives: ({ caCerts }) => caCerts,
    is: { removeDefaults: true, trusted: ["-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----"] },
  },
  {
    name: "packages",
    yaml: "packages: [curl, [etcd-server, 3.4.23], ca-certificates]\npackage_update: true",
    gives: pick("packages", "packageUpdate"),
    is: { packages: ["curl", "etcd-server=3.4.23", "ca-certificates"], packageUpdate: true },
  },
  {
    name: "commands",
    yaml: 'bootcmd: ["echo a"]\nruncmd:\n  - [sh, -c, "echo $public_ipv4", 5, true]\n  - |\n    a\n    b',
    gives: pick("bootCommands", "runCommands"),
    is: {
      bootCommands: [{ kind: "shell", text: "echo a" }],
      runCommands: [
        { kind: "argv", argv: ["sh", "-c", "echo 192.0.2.7", "5", "true"] },
        { kind: "shell", text: "a\nb\n" },
      ],
    },
  },
  {
    name: "the end",
    yaml: "power_state: {mode: reboot, delay: 5, message: bye}\nphone_home: {url: http://a/b, post: all, tries: 3}\nfinal_message: done",
    gives: pick("powerState", "phoneHome", "finalMessage"),
    is: {
      powerState: { mode: "reboot", delay: "+5", message: "bye" },
      phoneHome: {
        url: "http://a/b",
        post: ["pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519", "instance_id", "hostname", "fqdn"],
        tries: 3,
      },
      finalMessage: "done",
    },
  },
  {
    name: "ssh",
    yaml: "ssh_pwauth: no\ndisable_root: true\nssh_deletekeys: true\nssh_genkeytypes: [ed25519]\nssh_keys:\n  ed25519_public: ssh-ed25519 AAAA",
    gives: pick("sshPasswordAuth", "disableRoot", "sshDeleteKeys", "sshKeyTypes", "sshKeys"),
    is: {
      sshPasswordAuth: false,
      disableRoot: true,
      sshDeleteKeys: true,
      sshKeyTypes: ["ed25519"],
      sshKeys: [{ type: "ed25519_public", text: "secret ssh-ed25519 AAAA\n" }],
    },
  },
  {
    name: "passwords",
    yaml: 'chpasswd:\n  expire: false\n  users:\n    - {name: a, password: "$6$x$y"}\n    - {name: b, password: pw, type: text}',
    gives: ({ passwords }) => passwords,
    is: {
      expire: false,
      list: [
        { user: "a", password: "secret $6$x$y", isHash: true },
        { user: "b", password: "secret pw", isHash: false },
      ],
    },
  },
  // accounts
  {
    name: "a user, whole",
    yaml: user(
      `gecos: Web\n    homedir: /srv/web\n    no-create-home: true\n    primary-group: www\n    groups: sudo, docker\n    no-user-group: true\n    system: true\n    no-log-init: true\n    shell: /bin/bash\n    uid: 1500\n    expiredate: 2030-01-01\n    lock_passwd: false\n    passwd: "$6$x$y"\n    ssh-authorized-keys: ["${key}"]`,
    ),
    gives: firstUser,
    is: {
      name: "web",
      passwordHash: "secret $6$x$y",
      lockPassword: false,
      gecos: "Web",
      homedir: "/srv/web",
      createHome: false,
      primaryGroup: "www",
      groups: ["sudo", "docker"],
      userGroup: false,
      system: true,
      logInit: false,
      shell: "/bin/bash",
      uid: 1500,
      expireDate: "2030-01-01",
      sshAuthorizedKeys: [key],
    },
  },
  {
    name: "a hash under its other name",
    yaml: user('hashed_passwd: "$y$j9T$abc$def"'),
    gives: userPart("passwordHash"),
    is: { passwordHash: "secret $y$j9T$abc$def" },
  },
  { name: "uid as text", yaml: user('uid: "1500"'), gives: userPart("uid"), is: { uid: 1500 } },
  {
    name: "sudo",
    yaml: user("sudo: ALL=(ALL) NOPASSWD:ALL"),
    gives: userPart("sudo"),
    is: { sudo: ["ALL=(ALL) NOPASSWD:ALL"] },
  },
  {
    name: "sudo, a list",
    yaml: user('sudo: ["ALL=/bin/a", "ALL=/bin/b"]'),
    gives: userPart("sudo"),
    is: { sudo: ["ALL=/bin/a", "ALL=/bin/b"] },
  },
  { name: "sudo, none", yaml: user("sudo: false"), gives: userPart("sudo"), is: { sudo: false } },
  {
    name: "default, and a name alone",
    yaml: "users: [default, web]",
    gives: ({ users }) => [users?.withDefault, users?.entries.map(({ name }) => name)],
    is: [true, ["web"]],
  },
  {
    name: "groups in all forms",
    yaml: "groups: [docker, {admin: [root, web]}, {ops: web}]",
    gives: ({ groups }) => groups,
    is: [
      { name: "docker", members: [] },
      { name: "admin", members: ["root", "web"] },
      { name: "ops", members: ["web"] },
    ],
  },
  {
    name: "groups as text",
    yaml: "groups: docker, ops",
    gives: ({ groups }) => groups.map(({ name }) => name),
    is: ["docker", "ops"],
  },
  {
    name: "several keys in one text",
    yaml: `ssh_authorized_keys:\n  - |\n    # mine\n    ${key} 1\n    ${key} 2`,
    gives: ({ sshAuthorizedKeys }) => sshAuthorizedKeys,
    is: [`${key} 1`, `${key} 2`],
  },
  // files
  {
    name: "a file, whole",
    yaml: file(
      "content: a $private_ipv4\n    owner: core:users\n    append: true\n    defer: yes\n    permissions: '0600'",
    ),
    gives: ({ writeFiles }) => writeFiles[0],
    is: { path: "/a", content: "a 10.0.0.7", mode: 0o600, owner: "core", group: "users", append: true, defer: true },
  },
  {
    name: "a path is made clean",
    yaml: "write_files: [{path: //etc/./motd}]",
    gives: filePart("path", "content"),
    is: { path: "/etc/motd", content: "" },
  },
  ...["b64", "base64"].map((encoding): Case => ({
    name: encoding,
    yaml: file(`encoding: ${encoding}\n    content: aGk=`),
    gives: filePart("content"),
    is: { content: "hi" },
  })),
  ...["gz+b64", "gzip+base64", "gz+base64", "gzip+b64"].map((encoding): Case => ({
    name: encoding,
    yaml: file(`encoding: ${encoding}\n    content: H4sIAAAAAAAAA8vIBACsKpPYAgAAAA==`),
    gives: filePart("content"),
    is: { content: "hi" },
  })),
  {
    name: "gzip in binary",
    yaml: file("encoding: gzip\n    content: !!binary |\n      H4sIAAAAAAAAA8vIBACsKpPYAgAAAA=="),
    gives: filePart("content"),
    is: { content: "hi" },
  },
  { name: "binary", yaml: file("content: !!binary aGk="), gives: filePart("content"), is: { content: "hi" } },
  {
    name: "no addresses in what is packed",
    yaml: file("encoding: b64\n    content: JHByaXZhdGVfaXB2NA=="),
    gives: filePart("content"),
    is: { content: "$private_ipv4" },
  },
  // units
  {
    name: "a unit with drop-ins",
    yaml: "coreos:\n  units:\n    - name: etcd2.service\n      command: start\n      drop-ins:\n        - name: 10-a.conf\n          content: |\n            [Service]\n            Environment=A=$private_ipv4",
    gives: ({ units }) => units[0],
    is: {
      name: "etcd2.service",
      runtime: false,
      enable: false,
      mask: false,
      command: "start",
      dropIns: [{ name: "10-a.conf", content: "[Service]\nEnvironment=A=10.0.0.7\n" }],
    },
  },
  {
    name: "a unit of networkd",
    yaml: 'coreos: {units: [{name: 10-lan.network, content: "[Match]\\nName=eth0\\n", runtime: true}]}',
    gives: unitPart("name", "runtime"),
    is: { name: "10-lan.network", runtime: true },
  },
  // the cluster
  {
    name: "etcd2",
    yaml: "coreos:\n  etcd2:\n    name: a\n    heartbeat-interval: 100\n    client-cert-auth: true\n    cert-file: /a\n    key-file: /b",
    gives: ({ etcd }) => pairs(etcd),
    is: ["name=a", "heartbeat_interval=100", "client_cert_auth=true", "cert_file=/a", "key_file=/b"],
  },
  { name: "no etcd", yaml: "hostname: a", gives: ({ etcd }) => etcd, is: undefined },
  {
    name: "etcd 0.4 in etcd2's words",
    yaml: "coreos:\n  etcd:\n    addr: $private_ipv4:4001\n    peer-addr: 10.0.0.7:7001\n    peer-election-timeout: 1000",
    gives: ({ etcd }) => pairs(etcd),
    is: [
      "advertise_client_urls=http://10.0.0.7:4001",
      "initial_advertise_peer_urls=http://10.0.0.7:7001",
      "election_timeout=1000",
    ],
    says: ["3:3 warning deprecated", "4:5 warning deprecated", "5:5 warning deprecated", "6:5 warning deprecated"],
  },
  {
    name: "ca_file asks for certificates",
    yaml: "coreos: {etcd2: {ca_file: /ca}}",
    gives: ({ etcd }) => pairs(etcd),
    is: ["trusted_ca_file=/ca", "client_cert_auth=true"],
    says: ["2:18 warning deprecated"],
  },
  {
    name: "groups as a text are divided at commas",
    yaml: "groups: one, two\nusers: [{name: web, groups: 'adm,  ops'}]",
    gives: ({ groups, users }) => [groups.map(({ name }) => name), users?.entries[0]?.groups],
    is: [
      ["one", "two"],
      ["adm", "ops"],
    ],
  },
  {
    name: "users as a text are divided at commas",
    yaml: "users: default, you, web",
    gives: ({ users }) => [users?.withDefault, users?.entries.map(({ name }) => name)],
    is: [true, ["you", "web"]],
  },
  {
    name: "a key as a text is one key, commas and all",
    yaml: `ssh_authorized_keys: no-pty,no-X11-forwarding ${key}\nusers: [{name: web, ssh_authorized_keys: ${key}}]`,
    gives: ({ sshAuthorizedKeys, users }) => [
      sshAuthorizedKeys.map(({ value }) => value),
      users?.entries[0]?.sshAuthorizedKeys.map(({ value }) => value),
    ],
    is: [[`no-pty,no-X11-forwarding ${key}`], [key]],
  },
  {
    name: "a package as a text is one package",
    yaml: "packages: htop",
    gives: ({ packages }) => packages.map(({ value }) => value),
    is: ["htop"],
  },
  {
    name: "an authority as a text is one authority",
    yaml: "ca_certs:\n  trusted: |\n    -----BEGIN CERTIFICATE-----\n    AA==\n    -----END CERTIFICATE-----",
    gives: ({ caCerts }) => caCerts?.value.trusted.length,
    is: 1,
  },
  {
    name: "etcd2 goes before etcd",
    yaml: "coreos:\n  etcd2: {data_dir: /b}\n  etcd: {data_dir: /a}",
    gives: ({ etcd }) => pairs(etcd),
    is: ["data_dir=/b"],
    says: ["3:21 info overridden", "4:3 warning deprecated"],
  },
  {
    name: "metadata as text",
    yaml: "coreos: {fleet: {metadata: 'region=eu, disk=ssd,name=%H,ip=$public_ipv4'}}",
    gives: ({ fleet }) => pairs(fleet),
    is: ["metadata=region=eu,disk=ssd,name=%H,ip=192.0.2.7"],
  },
  {
    name: "metadata as a list",
    yaml: "coreos: {fleet: {metadata: [region=eu, disk=ssd]}}",
    gives: ({ fleet }) => pairs(fleet),
    is: ["metadata=region=eu,disk=ssd"],
  },
  {
    name: "metadata as a mapping keeps its keys",
    yaml: "coreos: {fleet: {metadata: {region-name: eu, cpus: 08, ssd: true}}}",
    gives: ({ fleet }) => pairs(fleet),
    is: ["metadata=region-name=eu,cpus=08,ssd=true"],
  },
  {
    name: "fleet's password is a secret",
    yaml: "coreos: {fleet: {etcd_password: pw, etcd_servers: [http://a:1, http://b:1]}}",
    gives: ({ fleet }) => fleet.map(({ key: name, value, isSecret }) => [name, value, isSecret]),
    is: [
      ["etcd_password", "pw", true],
      ["etcd_servers", "http://a:1,http://b:1", false],
    ],
  },
  {
    name: "flannel, locksmith, update, oem",
    yaml: "coreos:\n  flannel: {interface: eth1, ip_masq: true}\n  locksmith: {window_start: Thu 04:00, window_length: 1h30m}\n  update: {group: beta}\n  oem: {id: x}",
    gives: ({ flannel, locksmith, update, oem }) => [flannel, locksmith, update, oem].map(pairs),
    is: [
      ["interface=eth1", "ip_masq=true"],
      ["window_start=Thu 04:00", "window_length=1h30m"],
      ["group=beta"],
      ["id=x"],
    ],
  },
  {
    name: "settings by their names in snake case",
    yaml: "flotilla:\n  git: {url: https://git.example/units.git, ca-file: /ca, timeout: 30s, jitter: 5}\n  machine: {metadata: {a: b}, may_lead: no, public_ip: $public_ipv4}\n  registry: {endpoints: [http://a:1, http://b:1]}\n  agent: {machine_lease: 20}",
    gives: settings,
    is: [
      "Git.URL=https://git.example/units.git",
      "Git.CAFile=/ca",
      "Git.Timeout=30s",
      "Git.Jitter=5",
      "Machine.Metadata=a=b",
      "Machine.MayLead=false",
      "Machine.PublicIP=192.0.2.7",
      "Registry.Endpoints=http://a:1,http://b:1",
      "Agent.MachineLease=20",
    ],
  },
  {
    name: "a setting's secret",
    yaml: "flotilla: {git: {token: abc, username: x}}",
    gives: ({ settings: all }) => all.map(({ key: name, isSecret }) => [name, isSecret]),
    is: [
      ["Token", true],
      ["Username", false],
    ],
  },
];
for (const { name, yaml, gives, is, says = [] } of cases)
  test(`means: ${name}`, async () => {
    const reading = await config(yaml, addresses);
    assert.deepEqual(said(reading), says);
    assert.ok(reading.userData);
    assert.deepEqual(plain(gives(reading.userData.config)), is);
  });
