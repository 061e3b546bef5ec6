import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { config, said } from "./read.ts";

interface Case {
  readonly name: string;
  /** From line 2 on. */
  readonly yaml: string;
  readonly says: readonly string[];
  /** In message or hint of the first finding. */
  readonly words?: RegExp;
  /** Path of the key that the first finding is about. */
  readonly key?: string;
}

const unit = (name: string, more = "command: start"): string => `coreos:\n  units:\n    - name: ${name}\n      ${more}`;
const text = (...lines: readonly string[]): string =>
  `content: |\n${lines.map((line) => `        ${line}`).join("\n")}`;
const etcd2 = (...lines: readonly string[]): string => `coreos:\n  etcd2:\n    ${lines.join("\n    ")}`;
const file = (...lines: readonly string[]): string => `write_files:\n  - path: /etc/a\n    ${lines.join("\n    ")}`;
const user = (...lines: readonly string[]): string => `users:\n  - name: web\n    ${lines.join("\n    ")}`;
const peer = "http://10.0.0.7:2380";

const cases: readonly Case[] = [
  // YAML itself
  { name: "no YAML", yaml: "a: b\n  c: d", says: ["3:4 error yaml"] },
  { name: "tabs", yaml: "coreos:\n\tunits: []", says: ["3:1 error yaml"], words: /never with tabs/ },
  { name: "a quote that does not end", yaml: "hostname: 'a", says: ["3:1 error yaml"] },
  {
    name: "a duplicate key",
    yaml: "hostname: a\nhostname: b",
    says: ["3:1 error duplicate"],
    words: /on line 2 as well/,
    key: "hostname",
  },
  {
    name: "both spellings of what is no list",
    yaml: "manage-etc-hosts: true\nmanage_etc_hosts: false",
    says: ["3:1 error duplicate"],
  },
  { name: "two documents", yaml: "hostname: a\n---\nhostname: b", says: ["3:1 error documents"] },
  { name: "a list for the document", yaml: "- a", says: ["2:1 error shape"] },
  { name: "a word for the document", yaml: "hello", says: ["2:1 error shape"] },
  { name: "an anchor that is not there", yaml: "hostname: *x", says: ["2:12 error yaml"], words: /unknown alias/ },
  { name: "a tag of another program", yaml: "hostname: !Ref Name", says: ["2:16 error tag"], words: /CloudFormation/ },
  {
    name: "too many values",
    yaml: `runcmd:\n- &a [${Array(500).fill("x").join(",")}]\n${"- *a\n".repeat(400)}`,
    says: ["3:603 error size"],
    words: /Anchors/,
  },
  // keys and types
  {
    name: "an unknown key",
    yaml: "hostnmae: a",
    says: ["2:1 error unknown-key"],
    words: /Did you mean "hostname"/,
    key: "hostnmae",
  },
  {
    name: "an unknown key below",
    yaml: unit("a.service", "comand: start"),
    says: ["4:13 warning unit-idle", "5:7 error unknown-key"],
  },
  {
    name: "a key in the wrong place",
    yaml: "coreos: {write_files: []}",
    says: ["2:10 error unknown-key"],
    words: /top level/,
  },
  { name: "units at the top", yaml: "units: []", says: ["2:1 error unknown-key"], words: /under coreos/ },
  {
    name: "a key within flow style",
    yaml: "write_files: [{path: /a, mode: 0644}]",
    says: ["2:26 error unknown-key"],
    key: "write_files[0].mode",
  },
  {
    name: "a text for a list",
    yaml: "runcmd: echo hello",
    says: ["2:9 error type"],
    words: /"- " before it/,
  },
  { name: "a list for a mapping", yaml: "coreos:\n  - units: []", says: ["3:3 error type"], words: /without "- "/ },
  { name: "a mapping for a text", yaml: "hostname: {a: b}", says: ["2:11 error type"] },
  {
    name: "a quoted boolean",
    yaml: unit("a.service", 'enable: "true"'),
    says: ["4:13 warning unit-idle", "5:15 error type"].toSorted(),
  },
  { name: "a number for a boolean", yaml: "preserve_hostname: 1", says: ["2:20 error type"] },
  { name: "a word for a number", yaml: etcd2("max-wals: many"), says: ["4:15 error type"] },
  { name: "a quoted number", yaml: etcd2('max-wals: "5"'), says: ["4:15 error type"], words: /without quotes/ },
  { name: "a number out of bounds", yaml: etcd2("heartbeat_interval: 0"), says: ["4:25 error value"] },
  { name: "no value", yaml: "hostname:\ncoreos:\n  units:", says: ["2:1 warning empty", "4:3 warning empty"] },
  { name: "a mapping as a key", yaml: "? {a: b}\n: c", says: ["2:3 error key"] },
  { name: "a key that cloud-init has", yaml: "snap: {commands: [a]}", says: ["2:1 warning left"] },
  {
    name: "a deprecated key",
    yaml: user("coreos-ssh-import-github: me"),
    says: ["4:5 warning deprecated"],
    words: /ssh_authorized_keys/,
    key: "users[0].coreos_ssh_import_github",
  },
  { name: "a key without effect", yaml: "coreos: {fleet: {verify_units: true}}", says: ["2:18 info idle"] },
  // values
  { name: "a host name", yaml: "hostname: web_1", says: ["2:11 error value"], words: /letters, digits/ },
  {
    name: "a strategy",
    yaml: "coreos: {update: {reboot_strategy: best-effort}}",
    says: ["2:36 error value"],
    words: /etcd-lock, reboot or off/,
  },
  { name: "false is no strategy", yaml: "coreos: {update: {reboot_strategy: false}}", says: ["2:36 error value"] },
  { name: "hosts", yaml: "manage_etc_hosts: everything", says: ["2:19 error value"] },
  {
    name: "a window",
    yaml: "coreos: {locksmith: {window_start: noon, window_length: 1 hour}}",
    says: ["2:36 error value", "2:57 error value"],
  },
  { name: "a time zone", yaml: "timezone: ../etc/passwd", says: ["2:11 error value"] },
  { name: "a mount without a path", yaml: "mounts: [[/dev/vdb, data]]", says: ["2:10 error mount"] },
  { name: "seven fields", yaml: "mounts: [[a, /b, c, d, 0, 0, 0]]", says: ["2:10 error value"] },
  { name: "an option for a package", yaml: "packages: [--force]", says: ["2:12 error value"] },
  { name: "a certificate", yaml: "ca_certs: {trusted: [abc]}", says: ["2:22 error certificate"] },
  { name: "a time server", yaml: "ntp: {servers: ['a b']}", says: ["2:17 error value"] },
  { name: "a command without a program", yaml: "runcmd: [[]]", says: ["2:10 error command"] },
  // accounts
  { name: "no name", yaml: "users: [{shell: /bin/sh}]", says: ["2:9 error missing"] },
  { name: "a bad login name", yaml: "users: [{name: 'a b'}]", says: ["2:16 error value"] },
  { name: "a doubtful login name", yaml: "users: [{name: Web.1}]", says: ["2:16 warning user-name"] },
  { name: "one user twice", yaml: "users: [{name: a}, {name: a}]", says: ["2:27 error user-twice"] },
  {
    name: "one uid twice",
    yaml: "users: [{name: a, uid: 5}, {name: b, uid: 5}]",
    says: ["2:35 error uid-twice"],
    words: /"a" on line 2/,
  },
  {
    name: "a password for a hash",
    yaml: user("passwd: hunter2"),
    says: ["4:13 error password-hash"],
    words: /openssl passwd -6/,
  },
  {
    name: "a password for all to read",
    yaml: user("plain_text_passwd: hunter2"),
    says: ["4:24 warning password-readable"],
  },
  { name: "a colon in gecos", yaml: user("gecos: 'a:b'"), says: ["4:12 error value"] },
  { name: "sudo without a rule", yaml: user("sudo: yes"), says: ["4:11 error value"] },
  { name: "sudo with nonsense", yaml: user("sudo: root"), says: ["4:11 error sudo"] },
  { name: "no key", yaml: "ssh_authorized_keys: [hello]", says: ["2:23 warning ssh-key"] },
  { name: "a cut key", yaml: "ssh_authorized_keys: [ssh-rsa AAAAB3NzaC1yc2EAAA me]", says: ["2:23 warning ssh-key"] },
  {
    name: "a private key",
    yaml: "ssh_authorized_keys: ['-----BEGIN OPENSSH PRIVATE KEY-----']",
    says: ["2:23 error private-key"],
  },
  { name: "a random password", yaml: "chpasswd: {users: [{name: a, type: RANDOM}]}", says: ["2:27 warning left"] },
  {
    name: "a password list",
    yaml: "chpasswd: {list: ['nobody']}",
    says: ["2:12 warning deprecated", "2:19 error value"],
  },
  // files
  { name: "no path", yaml: "write_files: [{content: a}]", says: ["2:15 error missing"] },
  { name: "a relative path", yaml: "write_files: [{path: etc/a}]", says: ["2:22 warning path-relative"] },
  { name: "..", yaml: "write_files: [{path: /etc/../a}]", says: ["2:22 error path"] },
  { name: "/proc", yaml: "write_files: [{path: /proc/sys/a}]", says: ["2:22 error path"] },
  { name: "a directory", yaml: "write_files: [{path: /etc/}]", says: ["2:22 error path"] },
  { name: "/usr", yaml: "write_files: [{path: /usr/bin/a}]", says: ["2:22 warning path-usr"] },
  { name: "/usrx is another", yaml: "write_files: [{path: /usrx/a}]", says: [] },
  { name: "0o644", yaml: file("permissions: 0o644"), says: ["4:18 error value"], words: /0644/ },
  { name: "u=rw", yaml: file("permissions: u=rw"), says: ["4:18 error value"] },
  { name: "0888", yaml: file("permissions: 0888"), says: ["4:18 error value"] },
  { name: "420", yaml: file("permissions: 420"), says: ["4:18 warning mode"], words: /0644/ },
  { name: "an owner", yaml: file("owner: 'a b'"), says: ["4:12 error value"] },
  { name: "an encoding", yaml: file("encoding: zip"), says: ["4:15 error value"] },
  {
    name: "no base64",
    yaml: file("encoding: b64", "content: '%%%'"),
    says: ["5:14 error content"],
    words: /base64 -w0/,
  },
  { name: "no gzip", yaml: file("encoding: gz+b64", "content: aGk="), says: ["5:14 error content"] },
  {
    name: "gzip that is no binary",
    yaml: file("encoding: gzip", "content: abc"),
    says: ["5:14 error content"],
    words: /!!binary/,
  },
  { name: "one path twice", yaml: "write_files: [{path: /a}, {path: /a}]", says: ["2:34 warning file-twice"] },
  {
    name: "a private key for all to read",
    yaml: file("content: |", "  x", "  -----BEGIN PRIVATE KEY-----"),
    says: ["6:- warning secret-readable"],
    words: /0600/,
  },
  {
    name: "a password for all to read",
    yaml: file("content: DB_PASSWORD=hunter2"),
    says: ["4:14 warning secret-readable"],
  },
  {
    name: "a private key for its owner",
    yaml: file("permissions: '0600'", "content: '-----BEGIN PRIVATE KEY-----'"),
    says: [],
  },
  { name: "a path of a password", yaml: file("content: PasswordFile=/etc/b"), says: [] },
  { name: "content from a URL", yaml: file("source: {uri: http://a/b}"), says: ["4:5 warning left"] },
  // units
  { name: "no suffix", yaml: unit("web"), says: ["4:13 error unit-name"], words: /web\.service/ },
  { name: "a wrong suffix", yaml: unit("web.servce"), says: ["4:13 error unit-name"], words: /\.service/ },
  { name: "a blank in the name", yaml: unit("'a b.service'"), says: ["4:13 error unit-name"] },
  {
    name: "two texts for one unit",
    yaml: "coreos: {units: [{name: a.target, content: '[Unit]'}, {name: a.target, content: '[Unit]'}]}",
    says: ["2:62 error unit-twice"],
  },
  {
    name: "one unit twice",
    yaml: "coreos: {units: [{name: a.target, command: stop}, {name: a.target, command: start}]}",
    says: ["2:58 warning unit-twice"],
  },
  {
    name: "a command",
    yaml: unit("a.service", "command: strat"),
    says: ["4:13 warning unit-idle", "5:16 error value"].toSorted(),
  },
  { name: "a template", yaml: unit("a@.service"), says: ["5:7 error unit-template"], words: /a@1\.service/ },
  {
    name: "a drop-in without .conf",
    yaml: unit("a.service", "drop_ins: [{name: a, content: '[Unit]'}]"),
    says: ["4:13 warning unit-idle", "5:25 error drop-in-name"],
  },
  {
    name: "a drop-in without a text",
    yaml: unit("a.service", "drop_ins: [{name: a.conf}]"),
    says: ["4:13 warning unit-idle", "5:18 error missing"],
  },
  {
    name: "a drop-in twice",
    yaml: unit("a.service", "drop_ins: [{name: a.conf, content: '[Unit]'}, {name: a.conf, content: '[Unit]'}]"),
    says: ["5:60 error drop-in-twice"],
  },
  { name: "a command for networkd", yaml: unit("a.network"), says: ["5:7 warning unit-network"] },
  {
    name: "enable of what is configured here",
    yaml: unit("etcd2.service", "enable: true"),
    says: ["5:7 warning unit-enable"],
  },
  {
    name: "mask and start",
    yaml: unit("a.service", "mask: true\n      command: start"),
    says: ["6:7 warning unit-mask"],
  },
  {
    name: "mask and a text",
    yaml: unit("a.target", "mask: true\n      content: '[Unit]'"),
    says: ["5:7 warning unit-mask"],
  },
  {
    name: "enable without [Install]",
    yaml: unit("a.target", "enable: true\n      content: '[Unit]'"),
    says: ["5:7 warning unit-install"],
  },
  { name: "no ExecStart", yaml: unit("a.service", text("[Service]", "Type=simple")), says: ["5:7 warning unit-start"] },
  {
    name: "no syntax, on the line of the text",
    yaml: unit("a.service", text("[Service]", "ExecStart=/a", "nonsense")),
    says: ["8:- error unit-text"],
  },
  {
    name: "a line outside",
    yaml: unit("a.service", text("A=b", "[Service]", "ExecStart=/a")),
    says: ["6:- error unit-text"],
  },
  {
    name: "a secret in a unit",
    yaml: unit("a.service", text("[Service]", "ExecStart=/a", "Environment=API_KEY=abcdef")),
    says: ["8:- warning secret-readable"],
    words: /EnvironmentFile/,
  },
  { name: "nothing to do", yaml: "coreos: {units: [{name: a.service}]}", says: ["2:25 warning unit-idle"] },
  // the cluster
  { name: "metadata without =", yaml: "coreos: {fleet: {metadata: eu}}", says: ["2:28 error metadata"] },
  { name: "a key of metadata", yaml: "coreos: {fleet: {metadata: 'a b=c'}}", says: ["2:28 error metadata"] },
  {
    name: "metadata without a value",
    yaml: "coreos: {fleet: {metadata: [a=]}}",
    says: ["2:29 error metadata"],
    key: "coreos.fleet.metadata[0]",
  },
  { name: "metadata twice", yaml: "flotilla: {machine: {metadata: 'a=b,a=c'}}", says: ["2:32 error metadata"] },
  { name: "an address", yaml: "coreos: {fleet: {public_ip: eth0}}", says: ["2:29 error value"] },
  { name: "a time span", yaml: "coreos: {fleet: {agent_ttl: soon}}", says: ["2:29 error value"] },
  { name: "discovery without a scheme", yaml: etcd2("discovery: 10.0.0.2/abc"), says: ["4:16 error value"] },
  {
    name: "discovery without a token",
    yaml: etcd2("discovery: http://10.0.0.2:8087/"),
    says: ["4:16 error discovery"],
  },
  {
    name: "discovery at this machine",
    yaml: etcd2("discovery: http://127.0.0.1:8087/abc"),
    says: ["4:16 warning discovery-loopback"],
  },
  {
    name: "discovery at the dead service",
    yaml: etcd2("discovery: https://discovery.etcd.io/abc"),
    says: ["4:16 warning discovery-dead"],
    words: /flotilla discovery serve/,
  },
  {
    name: "two ways to form a cluster",
    yaml: etcd2("discovery: http://a/b", `initial_cluster: a=${peer}`),
    says: ["5:22 error etcd-ways"],
  },
  { name: "no list of members", yaml: etcd2(`initial_cluster: ${peer}`), says: ["4:22 error value"] },
  {
    name: "a member without a port",
    yaml: etcd2("initial_cluster: a=http://10.0.0.7"),
    says: ["4:22 error initial-cluster"],
  },
  {
    name: "one URL for two members",
    yaml: etcd2(`initial_cluster: a=${peer},b=${peer}`),
    says: ["4:22 error initial-cluster"],
  },
  {
    name: "this member is not in the list",
    yaml: etcd2("name: c", `initial_cluster: a=${peer}`),
    says: ["4:11 error initial-cluster"],
  },
  {
    name: "loopback, with others to reach it",
    yaml: etcd2("discovery: http://a/b", "initial_advertise_peer_urls: http://127.0.0.1:2380"),
    says: ["5:34 error etcd-url"],
  },
  { name: "loopback, alone", yaml: etcd2("advertise_client_urls: http://127.0.0.1:2379"), says: [] },
  {
    name: "any address, advertised",
    yaml: etcd2("discovery: http://a/b", "advertise_client_urls: http://0.0.0.0:2379"),
    says: ["5:28 error etcd-url"],
  },
  {
    name: "a peer URL without a port",
    yaml: etcd2("initial_advertise_peer_urls: http://10.0.0.7"),
    says: ["4:34 error etcd-url"],
  },
  {
    name: "a name to listen at",
    yaml: etcd2("listen_client_urls: http://web-1:2379"),
    says: ["4:25 warning etcd-url"],
  },
  { name: "a certificate without its key", yaml: etcd2("cert_file: /a"), says: ["4:16 error etcd-tls"] },
  { name: "a cluster of one at every boot", yaml: etcd2("force_new_cluster: true"), says: ["4:24 error etcd-force"] },
  { name: "an election before the heartbeat", yaml: etcd2("election_timeout: 100"), says: ["4:23 error etcd-timing"] },
  { name: "the old proxy", yaml: etcd2("proxy: on"), says: ["4:5 warning deprecated"] },
  { name: "an unknown setting", yaml: "flotilla: {git: {ulr: a}}", says: ["2:18 error unknown-key"], words: /"url"/ },
  { name: "an unknown section", yaml: "flotilla: {gti: {url: a}}", says: ["2:12 error unknown-key"], words: /"git"/ },
  { name: "a setting's choice", yaml: "flotilla: {agent: {log_level: loud}}", says: ["2:31 error value"] },
  { name: "a setting of two lines", yaml: 'flotilla: {git: {url: "a\\nb"}}', says: ["2:18 error value"] },
];
for (const { name, yaml, says, words, key } of cases)
  test(`notices: ${name}`, async () => {
    const reading = await config(yaml);
    assert.deepEqual(said(reading), says);
    assert.equal(
      reading.userData === undefined,
      says.some((each) => each.includes(" error ")),
    );
    const [first] = reading.findings.filter(
      ({ severity }) => !says.some((each) => each.includes(" error ")) || severity === "error",
    );
    if (words !== undefined) assert.match(`${first?.problem.message ?? ""} ${first?.problem.hint ?? ""}`, words);
    if (key !== undefined) assert.equal(first?.problem.at?.key, key);
    for (const { problem } of reading.findings) {
      assert.ok((problem.hint ?? "").length > 5, `no hint: ${problem.message}`);
      assert.doesNotMatch(problem.message, /\.$|\bcan't|\bdon't|\bisn't/);
    }
  });

test("a secret stands in no finding", async () => {
  const secrets = [
    user("passwd: hunter2-secret"),
    user("plain_text_passwd: hunter2-secret"),
    file("content: password=hunter2-secret"),
    "chpasswd: {list: [hunter2-secret]}",
    "chpasswd: {users: [{name: a, password: hunter2-secret}]}",
    "coreos: {fleet: {etcd_password: [hunter2-secret]}}",
    "flotilla: {git: {token: {a: hunter2-secret}}}",
    'flotilla: {git: {token: "hunter2-secret\\nb"}}',
    "ssh_keys: {rsa_private: hunter2-secret}",
    "ssh_authorized_keys: ['PRIVATE KEY hunter2-secret']",
    unit("a.service", text("[Service]", "ExecStart=/a", "Environment=TOKEN=hunter2-secret")),
  ];
  for (const yaml of secrets) {
    const { findings } = await config(yaml);
    assert.ok(findings.length > 0, yaml);
    assert.doesNotMatch(
      JSON.stringify(findings.map(({ problem }) => [problem.message, problem.hint])),
      /hunter2-secret/,
      yaml,
    );
  }
});

test("what lets somebody log in is read from a document that is refused", async () => {
  const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me";
  const broken = `hostname: web-1\ncoreos:\n  units: {{units}}\n bad: %x%\nssh-authorized-keys:\n- ${key}\nusers:\n  - default\n  - {name: a}`;
  for (const yaml of [
    broken,
    `hostname: web-1\nfoo: bar\nssh_authorized_keys: [${key}]\nusers: [default, {name: a}]`,
  ]) {
    const { userData, reach } = await config(yaml);
    assert.equal(userData, undefined);
    assert.equal(reach.hostname?.value, "web-1");
    assert.deepEqual(
      reach.sshAuthorizedKeys.map(({ value }) => value),
      [key],
    );
    assert.deepEqual(
      reach.users?.entries.map(({ name }) => name),
      ["a"],
    );
    assert.equal(reach.users.withDefault, true);
  }
  const { reach } = await config(broken);
  assert.equal(reach.hostname?.at.line, 2);
  assert.equal(reach.sshAuthorizedKeys[0]?.at.line, 7);
});

test("findings are bounded, and the last says how many are missing", async () => {
  const { findings } = await config(Array.from({ length: 700 }, (_, index) => `key${index}: 1`).join("\n"));
  assert.equal(findings.length, 501);
  assert.match(findings.at(-1)?.problem.message ?? "", /200 further/);
});

test("files have 64 MiB together, unpacked, however little was sent: one finding, at the first that is too much", async () => {
  const content = gzipSync(Buffer.alloc(16 * 1024 * 1024)).toString("base64");
  const entry = (number: number, what: string): string =>
    `  - {path: /etc/a${number}, encoding: gz+b64, content: ${what}}`;
  const entries = Array.from({ length: 999 }, (_, index) => entry(index + 2, "*big"));
  const document = (count: number): string =>
    ["write_files:", entry(1, `&big "${content}"`), ...entries.slice(0, count)].join("\n");
  const fitting = await config(document(3));
  assert.deepEqual(said(fitting), []);
  assert.equal(fitting.userData?.config.writeFiles.length, 4);
  const reading = await config(document(999));
  assert.deepEqual(said(reading), ["7:39 error size"]);
  const [finding] = reading.findings;
  assert.match(finding?.problem.message ?? "", /^Cannot take more than 67108864 bytes of files/);
  assert.match(finding?.problem.hint ?? "", /runcmd/);
});

test("plain contents count as well", async () => {
  const lines = Array.from({ length: 99 }, (_, number) => `  - {path: /etc/a${number}, content: *big}`);
  const reading = await config(
    ["write_files:", `  - {path: /etc/a, content: &big "${"x".repeat(900_000)}"}`, ...lines].join("\n"),
  );
  assert.deepEqual(said(reading), ["77:22 error size"]);
});
