import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { environmentFileLine, environmentLine, expandSpecifiers } from "../../../agent/firstboot/escape.ts";
import { type Circumstances, machine, plan, refusals, textOf } from "./machine.ts";

const environment = "/etc/flotilla/etcd.env";
const dropIn = "/etc/systemd/system/etcd.service.d/20-flotilla.conf";
const conf = "/etc/flotilla/flotilla.conf";

/** What the file sets, without its comment. */
async function variables(etcd2: string, given: Circumstances = {}): Promise<Readonly<Record<string, string>>> {
  const lines = textOf(await plan(`coreos: {etcd2: {${etcd2}}}`, given), environment).split("\n");
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name = "", value = ""] = /^ETCD_([A-Z_]+)=(.*)$/.exec(line) ?? [];
      return name === "" ? [] : [[name, value]];
    }),
  );
}

async function etcdSection(etcd2: string, given: Circumstances = {}): Promise<readonly string[]> {
  const text = textOf(await plan(`coreos: {etcd2: {${etcd2}}}`, given), conf);
  return (text.split("[Etcd]\n")[1] ?? "").split("\n").filter((line) => line !== "");
}

suite("etcd: where it listens", () => {
  const cases: readonly (readonly [
    name: string,
    etcd2: string,
    expect: Readonly<Record<string, string>>,
    given?: Circumstances,
  ])[] = [
    [
      "its own address, and its own machine",
      'advertise-client-urls: "http://$private_ipv4:2379", initial-advertise-peer-urls: "http://$private_ipv4:2380"',
      {
        LISTEN_CLIENT_URLS: "http://10.0.0.11:2379,http://127.0.0.1:2379",
        LISTEN_PEER_URLS: "http://10.0.0.11:2380",
        ADVERTISE_CLIENT_URLS: "http://10.0.0.11:2379",
      },
    ],
    [
      "every address where the advertised one is on no interface",
      'advertise-client-urls: "http://$public_ipv4:4001", initial-advertise-peer-urls: "http://$public_ipv4:7001"',
      {
        LISTEN_CLIENT_URLS: "http://0.0.0.0:4001,http://127.0.0.1:2379",
        LISTEN_PEER_URLS: "http://0.0.0.0:7001",
        ADVERTISE_CLIENT_URLS: "http://203.0.113.11:4001",
      },
    ],
    [
      "no plain port beside TLS",
      'cert_file: /a.pem, key_file: /a.key, advertise-client-urls: "https://$private_ipv4:2379"',
      { LISTEN_CLIENT_URLS: "https://10.0.0.11:2379", ADVERTISE_CLIENT_URLS: "https://10.0.0.11:2379" },
    ],
    [
      "what the document says",
      'listen-client-urls: "http://0.0.0.0:2379", listen-peer-urls: "http://10.0.0.11:2380"',
      {
        LISTEN_CLIENT_URLS: "http://0.0.0.0:2379",
        LISTEN_PEER_URLS: "http://10.0.0.11:2380",
        ADVERTISE_CLIENT_URLS: "http://10.0.0.11:2379",
      },
    ],
    [
      "this machine alone where no address is known",
      "name: a",
      { LISTEN_CLIENT_URLS: "http://127.0.0.1:2379", LISTEN_PEER_URLS: "http://127.0.0.1:2380" },
      { addresses: {} },
    ],
    [
      "an address of IPv6",
      "name: a",
      { LISTEN_CLIENT_URLS: "http://[fd00::1]:2379,http://127.0.0.1:2379", LISTEN_PEER_URLS: "http://[fd00::1]:2380" },
      { addresses: { private_ipv6: "fd00::1" } },
    ],
  ];
  for (const [name, etcd2, expect, given] of cases)
    test(name, async () => {
      const found = await variables(etcd2, given);
      for (const [key, value] of Object.entries(expect)) assert.equal(found[key], value, key);
      assert.equal(found["DATA_DIR"], "/var/lib/etcd/flotilla");
    });
});

suite("etcd: keys", () => {
  test("what etcd still knows is handed on, escaped; what the agent does is not", async () => {
    const found = await variables(
      `name: a, discovery: "http://d:8087/0123456789", heartbeat_interval: 200, election_timeout: 2000, cors: '*', max_wals: 5`,
    );
    assert.deepEqual(Object.keys(found), [
      ...["ADVERTISE_CLIENT_URLS", "AUTO_COMPACTION_RETENTION", "CORS", "DATA_DIR", "ELECTION_TIMEOUT"],
      ...["HEARTBEAT_INTERVAL", "LISTEN_CLIENT_URLS", "LISTEN_PEER_URLS", "MAX_WALS"],
    ]);
    assert.equal(found["CORS"], '"*"');
  });

  for (const [etcd2, retention] of [
    ["name: a", "1h"],
    ["auto_compaction_mode: periodic", "1h"],
    ["auto_compaction_retention: 0", "0"],
    ["auto_compaction_mode: revision, auto_compaction_retention: 1000", "1000"],
    ["auto_compaction_mode: revision", undefined],
  ] as const)
    test(`history is kept for an hour unless something else is said: ${etcd2}`, async () => {
      assert.equal((await variables(etcd2))["AUTO_COMPACTION_RETENTION"], retention);
    });

  test("a talkative log in the words of today", async () => {
    const found = await variables("debug: true, proxy: off");
    assert.equal(found["LOG_LEVEL"], "debug");
    assert.deepEqual(
      Object.keys(found).filter((key) => /DEBUG|PROXY/.test(key)),
      [],
    );
  });

  test("the older section in the newer words", async () => {
    const text = textOf(
      await plan('coreos: {etcd: {addr: "$private_ipv4:4001", peer-addr: "$private_ipv4:7001", ca_file: /ca.pem}}'),
      environment,
    );
    assert.match(text, /^ETCD_ADVERTISE_CLIENT_URLS=http:\/\/10\.0\.0\.11:4001$/m);
    assert.match(text, /^ETCD_LISTEN_PEER_URLS=http:\/\/10\.0\.0\.11:7001$/m);
    assert.match(text, /^ETCD_CLIENT_CERT_AUTH=true$/m);
  });

  test("an old proxy is a client without an etcd", async () => {
    const planned = await plan(
      "coreos: {etcd2: {proxy: on, discovery: 'http://d:8087/0123456789'}, units: [{name: etcd2.service, command: start}]}",
      { facts: { units: new Set() } },
    );
    assert.match(textOf(planned, conf), /\[Etcd\]\nRole=client\nDiscovery=http:\/\/d:8087\/0123456789\n/);
    assert.ok(
      planned.steps.every(({ id }) => !id.includes("etcd")),
      "no etcd is set up",
    );
  });
});

suite("etcd: what the agent is told", () => {
  test("a discovery service, and a name that no other machine has", async () => {
    assert.deepEqual(await etcdSection('discovery: "http://10.0.0.2:8087/0123"'), [
      "Name=10.0.0.11",
      "PeerURLs=http://10.0.0.11:2380",
      "ClientURLs=http://10.0.0.11:2379",
      "Discovery=http://10.0.0.2:8087/0123",
    ]);
  });
  test("the name that a static list has for this machine's URL", async () => {
    const [first] = await etcdSection(
      'initial_cluster: "a=http://10.0.0.10:2380,b=http://10.0.0.11:2380", initial_advertise_peer_urls: "http://10.0.0.11:2380"',
    );
    assert.equal(first, "Name=b");
  });
  test("the host's name by its specifier", async () => {
    const [first] = await etcdSection(
      'name: "%H", initial_cluster: "web-1=http://10.0.0.11:2380", initial_advertise_peer_urls: "http://10.0.0.11:2380"',
      { hostname: "web-1" },
    );
    assert.equal(first, "Name=web-1");
  });
  test("the machine id where there is no address", async () => {
    assert.equal((await etcdSection("max_wals: 5", { addresses: {} }))[0], `Name=${machine().machineId}`);
  });
  test("certificates, also for itself", async () => {
    const planned = await plan(
      "coreos: {etcd2: {trusted_ca_file: /t/ca.pem, cert_file: /t/a.pem, key_file: /t/a.key, client_cert_auth: true, peer_trusted_ca_file: /t/ca.pem, peer_cert_file: /t/a.pem, peer_key_file: /t/a.key}}",
    );
    const text = textOf(planned, conf);
    assert.match(text, /\[Registry\]\nCAFile=\/t\/ca\.pem\nCertFile=\/t\/a\.pem\nKeyFile=\/t\/a\.key\n/);
    assert.match(text, /PeerCAFile=\/t\/ca\.pem\nPeerCertFile=\/t\/a\.pem\nPeerKeyFile=\/t\/a\.key\n/);
  });
  test("what fleet says of certificates comes first", async () => {
    const planned = await plan(
      "coreos: {fleet: {etcd_cafile: /f/ca.pem}, etcd2: {trusted_ca_file: /t/ca.pem, cert_file: /t/a.pem, key_file: /t/a.key}}",
    );
    assert.match(textOf(planned, conf), /\[Registry\]\nCAFile=\/f\/ca\.pem\n/);
  });
});

suite("etcd: its unit", () => {
  test("the drop-in waits for its cluster, whatever the distribution's unit says", async () => {
    const text = textOf(await plan("coreos: {etcd2: {name: a}}"), dropIn);
    assert.equal(
      text.split("\n").slice(1).join("\n"),
      `[Unit]
Wants=flotilla-discovery.service
After=flotilla-discovery.service
ConditionPathExists=/var/lib/flotilla/etcd-initial.env
StartLimitIntervalSec=0
RequiresMountsFor=/var/lib/etcd/flotilla
DefaultDependencies=no
Requires=sysinit.target
After=sysinit.target basic.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
EnvironmentFile=/etc/flotilla/etcd.env
EnvironmentFile=/var/lib/flotilla/etcd-initial.env
TimeoutStartSec=infinity
Restart=always
RestartSec=2
`,
    );
  });

  test("a data folder elsewhere is made for etcd, and its mount is waited for", async () => {
    const text = textOf(await plan("coreos: {etcd2: {data_dir: /data/etcd}}"), dropIn);
    assert.match(text, /^RequiresMountsFor=\/data\/etcd$/m);
    assert.match(
      text,
      /^ExecStartPre=-\+\/bin\/sh -c '\[ -d \/data\/etcd \] \|\| install .* -o etcd -g etcd \/data\/etcd'$/m,
    );
  });

  test("discovery waits for the data's mount as well: a member without data would be taken out of its cluster", async () => {
    for (const folder of ["/data/etcd", "/var/lib/etcd/main"])
      assert.match(
        textOf(
          await plan(`coreos: {etcd2: {data_dir: ${folder}}}`),
          "/etc/systemd/system/flotilla-discovery.service.d/20-flotilla.conf",
        ),
        new RegExp(`^\\[Unit\\]\nRequiresMountsFor=${folder}$`, "m"),
      );
  });

  for (const [key, value, hint] of [
    ["data_dir", "/tmp/etcd", /gone at the next boot/],
    ["data_dir", "/var/tmp/etcd", /gone at the next boot/],
    ["data_dir", "/run/etcd", /gone at the next boot/],
    ["wal_dir", "/fast/wal", /mount the faster disk there/],
  ] as const)
    test(`${key}: ${value} is refused`, async () => {
      const [problem] = await refusals(`coreos: {etcd2: {${key}: ${value}}}`, {});
      assert.ok(problem);
      assert.equal(problem.code, "boot-etcd-value");
      assert.match(problem.hint ?? "", hint);
    });

  test("Flatcar's container sees one folder of certificates", async () => {
    const flatcar = { systems: ["flatcar", "coreos"], units: new Set(["etcd-member.service"]) };
    const tls = "cert_file: /etc/flotilla/tls/a.pem, key_file: /etc/flotilla/tls/a.key";
    const planned = await plan(`coreos: {etcd2: {${tls}}}`, { facts: flatcar });
    const text = textOf(planned, environment);
    assert.match(text, /^ETCD_CERT_FILE=\/etc\/ssl\/certs\/a\.pem$/m);
    assert.match(text, /^ETCD_SSL_DIR=\/etc\/flotilla\/tls$/m);
    assert.ok(planned.steps.some(({ id }) => id === "drop-in etcd-member.service.d/20-flotilla.conf"));
    const [problem] = await refusals(
      `coreos: {etcd2: {cert_file: /etc/flotilla/a/a.pem, key_file: /etc/flotilla/b/a.key}}`,
      { facts: flatcar },
    );
    assert.equal(problem?.code, "boot-etcd-certificate");
  });

  test("keys that etcd's own user cannot read are named", async () => {
    const document = (more: string): string => `write_files: [{path: /t/a.key, content: k, ${more}}]
coreos: {etcd2: {cert_file: /t/a.pem, key_file: /t/a.key}}`;
    const said = async (more: string): Promise<number> =>
      (await plan(document(more), { facts: { paths: new Set(["/t/a.pem"]) } })).notices.filter(
        ({ problem }) => problem.code === "boot-etcd-certificate",
      ).length;
    assert.equal(await said('permissions: "0600"'), 1);
    assert.equal(await said('permissions: "0640", owner: "root:etcd"'), 0);
    assert.equal(await said('permissions: "0600", owner: etcd'), 0);
  });

  test("packages may bring it, and must not start it before all is written", async () => {
    const { steps } = await plan("packages: [etcd-server]\ncoreos: {etcd2: {name: a}}", {
      facts: { units: new Set() },
    });
    const ids = steps.map(({ id }) => id);
    const order = [
      "drop-in etcd.service.d/20-flotilla.conf",
      "hold etcd.service",
      "packages",
      "release etcd.service",
      "start etcd.service",
    ];
    assert.deepEqual(
      ids.filter((id) => order.includes(id)),
      order,
    );
  });
});

suite("etcd: what systemd reads", () => {
  test("lines of an environment file", () => {
    assert.equal(environmentFileLine("A", "http://a:1,http://b:2"), "A=http://a:1,http://b:2");
    assert.equal(environmentFileLine("A", 'a b"$`\\;#'), 'A="a b\\"\\$\\`\\\\;#"');
  });
  test("Environment= lines", () => {
    assert.equal(environmentLine("A", 'x"y\\z %H $HOME'), 'Environment="A=x\\"y\\\\z %%H $HOME"');
  });
  test("specifiers", () => {
    assert.deepEqual(expandSpecifiers("n=%H,m=%m,p=100%%,x=%q", { hostname: "web.a", facts: machine() }), {
      value: `n=web.a,m=${machine().machineId},p=100%,x=%q`,
      unknown: ["%q"],
    });
  });
});
