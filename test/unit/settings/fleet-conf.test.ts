// A fleet.conf read as it is. F-143 to F-145 of fleet's own behaviour, and what became of its other options.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { problems, settings, warnings as allWarnings } from "./build.ts";

/** A fleet.conf knows no repository: that is warned of each time, and set beside it here. */
const warnings = ({ fleetConf }: { fleetConf: string }): readonly string[] =>
  allWarnings({ fleetConf, environment: { FLOTILLA_GIT_URL: "/srv/units.git" } });

const servers = "etcd_servers=http://10.0.0.1:2379\n";

suite("fleet.conf", () => {
  test("a whole file", () => {
    const fleetConf = `# fleet of 2016
verbosity=1
etcd_servers=["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
etcd_username="root"
etcd_password="a;b#c"
etcd_cafile=/etc/ssl/ca.pem
etcd_certfile='/etc/ssl/c.pem'
etcd_keyfile=/etc/ssl/k.pem
etcd_request_timeout=1.5
public_ip=192.0.2.9
metadata=foo=bar, ping=pong
agent_ttl=1m30s
disable_engine=true
systemd_user=false
`;
    const all = settings({ fleetConf });
    assert.deepEqual(all.registry.endpoints, ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]);
    assert.deepEqual([all.registry.username, all.registry.password?.reveal()], ["root", "a;b#c"]);
    assert.deepEqual(
      [all.registry.caFile, all.registry.certFile, all.registry.keyFile],
      ["/etc/ssl/ca.pem", "/etc/ssl/c.pem", "/etc/ssl/k.pem"],
    );
    assert.equal(all.registry.requestTimeoutMs, 1500);
    assert.equal(all.registry.prefix, "/flotilla/");
    assert.deepEqual(all.machine, {
      id: undefined,
      hostname: undefined,
      publicIp: "192.0.2.9",
      metadata: { foo: "bar", ping: "pong" },
      mayLead: false,
    });
    assert.equal(all.machineLeaseMs, 90_000);
    assert.equal(all.logLevel, "debug");
    assert.equal(all.systemd.scope, "system");
    assert.deepEqual(warnings({ fleetConf }), []);
  });

  const lists = [
    ["F-145 one item", '["http://a:1"]', ["http://a:1"]],
    ["F-145 two items", '["http://a:1","http://b:1"]', ["http://a:1", "http://b:1"]],
    ["plain list", "http://a:1, http://b:1", ["http://a:1", "http://b:1"]],
  ] as const;
  for (const [name, text, expected] of lists)
    test(name, () => assert.deepEqual(settings({ fleetConf: `etcd_servers=${text}` }).registry.endpoints, expected));

  test("F-143 metadata with blanks; the last value of a key wins, as in fleet", () => {
    const metadata = (text: string) => settings({ fleetConf: `${servers}metadata=${text}` }).machine.metadata;
    assert.deepEqual(metadata("foo=bar, ping=pong"), { foo: "bar", ping: "pong" });
    assert.deepEqual(metadata("a=1,b=2,a=3"), { a: "3", b: "2" });
    assert.deepEqual(metadata("a=b=c"), { a: "b=c" });
  });

  test("F-144 empty metadata", () => {
    assert.deepEqual(settings({ fleetConf: `${servers}metadata=\npublic_ip=""\n` }).machine.metadata, {});
  });

  test("without etcd_servers fleet's own default counts, and is said", () => {
    assert.deepEqual(settings({ fleetConf: "public_ip=1.2.3.4" }).registry.endpoints, ["http://127.0.0.1:2379"]);
    assert.deepEqual(warnings({ fleetConf: "" }), [
      "fleet.conf: Cannot find etcd_servers (Taking http://127.0.0.1:2379, as fleet did)",
    ]);
  });

  test("that no repository is set is warned of", () => {
    assert.deepEqual(allWarnings({ fleetConf: servers }), [
      "Cannot take units from git: no repository is set (Set [Git] URL=, or run what people submit alone)",
    ]);
  });

  test("what has no meaning here is warned of, by line, and changes nothing", () => {
    const fleetConf = `${servers}etcd_key_prefix=/_coreos.com/fleet/
engine_reconcile_interval=2
token_limit=50
metadta=a=b
[section]
metadata=x=y
`;
    assert.deepEqual(settings({ fleetConf }).machine.metadata, {});
    assert.deepEqual(warnings({ fleetConf }), [
      "fleet.conf:2: Cannot use etcd_key_prefix; it is ignored (fleet's keys are not flotilla's; set [Registry] Prefix= in flotilla.conf for a prefix of its own)",
      "fleet.conf:3: Cannot use engine_reconcile_interval; it is ignored (The engine works when something changes, not at intervals)",
      "fleet.conf:4: Cannot use token_limit; it is ignored (flotilla answers in one piece)",
      "fleet.conf:5: Cannot use metadta; it is ignored (Did you mean metadata)",
      "fleet.conf:6: Cannot use section [section] of fleet's settings (fleet read options before the first section only)",
    ]);
  });

  const refused = [
    ["disable_engine=maybe", "fleet.conf:2: Cannot accept disable_engine=maybe (It must be true or false)"],
    ["verbosity=loud", "fleet.conf:2: Cannot accept verbosity=loud (It must be a whole number)"],
    [
      "agent_ttl=soon",
      "fleet.conf:2: Cannot accept agent_ttl=soon (It must be a time span such as 30s or 2min from 2s to 1h)",
    ],
    ["metadata=foo", 'fleet.conf:2: Cannot accept metadata=foo (It must be key=value,key=value, and "foo" has no "=")'],
    [
      "etcd_username=root\netcd_password=a#b",
      'fleet.conf:3: Cannot tell where the value of etcd_password ends (It holds "#" or ";"; put the value into double quotes)',
    ],
  ] as const;
  for (const [text, says] of refused)
    test(`refused: ${text.split("\n").at(-1) ?? ""}`, () =>
      assert.equal(problems({ fleetConf: `${servers}${text}\n` })[0], says));

  test("a comment after a value is a comment", () => {
    assert.equal(settings({ fleetConf: `${servers}public_ip=1.2.3.4 # ours; really\n` }).machine.publicIp, "1.2.3.4");
  });

  test("a comment after a quoted value is a comment", () => {
    for (const value of ['"a;b#c"', "'a;b#c'"]) {
      const fleetConf = `${servers}etcd_username='root'\t; who\netcd_password=${value} # "note"\n`;
      const { username, password } = settings({ fleetConf }).registry;
      assert.deepEqual([username, password?.reveal()], ["root", "a;b#c"]);
    }
    const joined = `${servers}etcd_username=root\netcd_password="a"#b\n`;
    assert.match(problems({ fleetConf: joined })[0] ?? "", /^fleet\.conf:3: Cannot tell where the value/);
  });

  test("a key of a later section is another one", () => {
    const fleetConf = `${servers}etcd_username=root\netcd_password=right\n[etcd_username]\netcd_password=a#b\n`;
    assert.equal(settings({ fleetConf }).registry.password?.reveal(), "right");
    assert.equal(
      problems({ fleetConf: `disable_engine=maybe\n[x]\ndisable_engine=no\n[a.b]\n` })[0],
      "fleet.conf:1: Cannot accept disable_engine=maybe (It must be true or false)",
    );
    assert.deepEqual(warnings({ fleetConf: `${servers}[a.b]\nx=1\n` }), [
      "fleet.conf:2: Cannot use section [a.b] of fleet's settings (fleet read options before the first section only)",
    ]);
  });

  test("names that JavaScript knows are only unknown names", () => {
    const fleetConf = `${servers}constructor=1\n__proto__=2\ntoString=3\n[__proto__]\na=b\n`;
    assert.equal(settings({ fleetConf }).machine.publicIp, "");
    assert.ok(warnings({ fleetConf }).some((each) => each.includes("Cannot use constructor")));
  });
});
