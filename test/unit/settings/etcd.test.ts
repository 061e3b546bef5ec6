import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { problems, settings, warnings } from "./build.ts";

const member = "[Etcd]\nPeerURLs=http://10.0.0.1:2380\n";
const repository = "[Git]\nURL=/srv/u.git\n";

suite("settings: [Etcd]", () => {
  test("a member by a discovery URL, with everything else as it is by default", () => {
    const url = "http://10.0.0.9:8087/6f3c7a/";
    assert.deepEqual(settings({ conf: `${member}Discovery=${url}\n` }).etcd, {
      role: "member",
      name: undefined,
      peerUrls: ["http://10.0.0.1:2380"],
      clientUrls: [],
      dataDirectory: "/var/lib/etcd/flotilla",
      discovery: {
        kind: "v2",
        url,
        username: undefined,
        password: undefined,
        tls: { caFile: undefined, certFile: undefined, keyFile: undefined },
      },
      peerTls: { caFile: undefined, certFile: undefined, keyFile: undefined },
    });
  });

  const ways: readonly { readonly name: string; readonly conf: string; readonly expect: object }[] = [
    {
      name: "a machine alone",
      conf: member,
      expect: { kind: "static", initialCluster: [], token: "etcd-cluster", state: "new" },
    },
    {
      name: "a list over two lines, one name with two URLs",
      conf: "[Etcd]\nInitialCluster=a=http://a:1,b=http://b:1/\nInitialCluster=b=http://b:2\nInitialClusterState=existing\n",
      expect: {
        kind: "static",
        initialCluster: ["a=http://a:1", "b=http://b:1", "b=http://b:2"],
        token: "etcd-cluster",
        state: "existing",
      },
    },
    {
      name: "DNS",
      conf: "[Etcd]\nDiscoverySRV=example.org\nDiscoverySRVName=blue\nInitialClusterToken=one\n",
      expect: { kind: "srv", domain: "example.org", serviceName: "blue", token: "one", state: "new" },
    },
  ];
  for (const { name, conf, expect } of ways)
    test(name, () => assert.deepEqual(settings({ conf }).etcd?.discovery, expect));

  test("a token in an etcd of version 3; the token is a secret", () => {
    const conf = `${member}DiscoveryToken=hunter2\nDiscoveryEndpoints=https://10.0.0.9:2379\nDiscoveryCAFile=/ca.pem\n`;
    const discovery = settings({ conf }).etcd?.discovery;
    assert.ok(discovery?.kind === "v3");
    assert.equal(discovery.token.reveal(), "hunter2");
    assert.deepEqual(discovery.endpoints, ["https://10.0.0.9:2379"]);
    assert.equal(discovery.tls.caFile, "/ca.pem");
    assert.doesNotMatch(JSON.stringify(discovery), /hunter2/);
  });

  const refused: readonly { readonly name: string; readonly conf: string; readonly says: string }[] = [
    {
      name: "two ways",
      conf: `${member}Discovery=http://a/b\nInitialCluster=a=http://a:1\n`,
      says: "flotilla.conf:4: Cannot use [Etcd] Discovery together with [Etcd] InitialCluster (Both say who the first members are; keep one of them)",
    },
    {
      name: "a member that says not where it is",
      conf: "[Etcd]\nDiscovery=http://a/b\n",
      says: "flotilla.conf:2: Cannot be a member of etcd without [Etcd] PeerURLs= (Set it to where the other members reach this machine)",
    },
    {
      name: "a client without a way",
      conf: "[Etcd]\nRole=client\n",
      says: "flotilla.conf:2: Cannot find an etcd as a client without a way to it (Set one of [Etcd] Discovery=, [Etcd] DiscoveryToken=, [Etcd] DiscoverySRV=, [Etcd] InitialCluster=)",
    },
    {
      name: "a v3 token without its store",
      conf: `${member}DiscoveryToken=x\n`,
      says: "flotilla.conf:3: Cannot use [Etcd] DiscoveryToken alone (Set [Etcd] DiscoveryEndpoints= too)",
    },
    {
      name: "a discovery URL without a scheme; the token is not shown",
      conf: `${member}Discovery=10.0.0.9:8087/6f3c7a1122\n`,
      says: "flotilla.conf:3: Cannot accept [Etcd] Discovery=10.0.0.9:8087/6f3c... (It must be an http:// or https:// URL whose path ends in the token)",
    },
    {
      name: "a password in a discovery URL",
      conf: `${member}Discovery=http://u:hunter2@a/b\n`,
      says: "flotilla.conf:3: Cannot accept [Etcd] Discovery=http://(secret)@a/b (It must be a URL without a password: that belongs into DiscoveryUsername= and DiscoveryPassword= beside it)",
    },
    ...["/tmp/etcd", "/var/tmp/etcd", "/run/etcd", "/run/user/0/etcd"].map((folder) => ({
      name: `data of etcd in ${folder}`,
      conf: `${member}DataDirectory=${folder}\n`,
      says: `flotilla.conf:3: Cannot accept [Etcd] DataDirectory=${folder} (What stands there is gone at the next boot, and this member with it: take a folder that is kept)`,
    })),
    {
      name: "an address for listening",
      conf: "[Etcd]\nPeerURLs=http://0.0.0.0:2380\n",
      says: "flotilla.conf:2: Cannot accept [Etcd] PeerURLs=http://0.0.0.0:2380 (It must be URLs with a port that the other members can reach, such as http://10.0.0.1:2380; 0.0.0.0 is for listening, and nobody can reach it)",
    },
  ];
  for (const { name, conf, says } of refused)
    test(`refused: ${name}`, () => assert.deepEqual(problems({ conf }), [says]));

  const values: readonly (readonly [set: string, good: readonly string[], bad: readonly string[]])[] = [
    [
      `${member}PeerURLs`,
      ["http://h:2380/", "https://[fd00::1]:2380"],
      [
        "http://h",
        "h:2380",
        "http://h:1/x",
        "ftp://h:1",
        "http://[::]:1",
        "http://u@h:1",
        "http://h:1?x",
        "http://h:70000",
      ],
    ],
    [`${member}ClientURLs`, ["http://h:2379,http://localhost:2379"], ["http://0.0.0.0:2379", "unix://h:1"]],
    [`${member}Discovery`, ["http://h/t", "https://h:1/v2/keys/d/t/?x=1"], ["http://h", "http://h/", "ftp://h/t", "t"]],
    [
      "[Etcd]\nInitialCluster",
      ["a=http://a:1", "a=http://a:1,a=http://a:2"],
      ["a", "http://a:1", "=http://a:1", "a=http://a", "a b=http://a:1", "a=http://0.0.0.0:1"],
    ],
    ["[Etcd]\nDiscoverySRV", ["example.org", "a"], ["-a", "a b", "a."]],
    [`${member}Name`, ["m1", "web-1.example"], ["a,b", "a=b", "a b"]],
    [`${member}DataDirectory`, ["/srv/etcd", "/tmpfiles/etcd", "/var/lib/tmp"], ["srv", "/srv/../x"]],
  ];
  for (const [set, good, bad] of values) {
    const label = set.split("\n").at(-1) ?? set;
    for (const value of good)
      test(`${label}=${value} is taken`, () => assert.deepEqual(problems({ conf: `${set}=${value}\n` }), []));
    for (const value of bad)
      test(`${label}=${value} is refused`, () =>
        assert.match(problems({ conf: `${set}=${value}\n` }).join("\n"), /Cannot accept/));
  }

  const idle: readonly (readonly [conf: string, says: readonly RegExp[]])[] = [
    [`${member}DiscoveryCAFile=/c\n`, [/DiscoveryCAFile; it has no effect.*no \[Etcd\] Discovery=/]],
    [`${member}Discovery=http://h/t\nInitialClusterToken=x\n`, [/InitialClusterToken; it has no effect/]],
    [`${member}DiscoverySRVName=x\n`, [/DiscoverySRVName; it has no effect/]],
    ["[Etcd]\nRole=client\nDiscovery=http://h/t\nClientURLs=http://h:1\n", [/serves no other clients/]],
    [`${member}Discovery=http://h/t\nDiscoveryUsername=u\nDiscoveryPassword=p\n`, [/sends it in the clear/]],
    [`${member}[Registry]\nUsername=a\nPassword=b\n`, []], // for the endpoints that are found
  ];
  for (const [conf, says] of idle)
    test(`warned: ${conf.replaceAll("\n", " ")}`, () => {
      const said = warnings({ conf: `${repository}${conf}` });
      assert.equal(said.length, says.length, said.join("\n"));
      for (const [index, pattern] of says.entries()) assert.match(said[index] ?? "", pattern);
    });
});
