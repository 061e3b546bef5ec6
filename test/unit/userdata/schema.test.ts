// The schema as an editor uses it, and as the reader does: what one takes the other takes. UPDATE_SCHEMA=1 writes the
// settings of schemas/settings.json into it anew.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CORE_SCHEMA, YAML11_SCHEMA, load, mergeTag } from "js-yaml";
import { compileSchema } from "../../../agent/text/schema.ts";
import { type JsonSchema, flotillaSchema } from "../../../agent/userdata/fields.ts";
import { config, read } from "./read.ts";

const root = join(import.meta.dirname, "../../..");
const path = join(root, "schemas/cloud-config.json");
const schema = JSON.parse(readFileSync(path, "utf8")) as JsonSchema;
const check = compileSchema(schema);

test("it has every setting, as schemas/settings.json says it now", async () => {
  const properties = { ...schema.properties, flotilla: flotillaSchema };
  if (process.env["UPDATE_SCHEMA"] === "1") {
    const { format, resolveConfig } = await import("prettier");
    const options = { ...(await resolveConfig(path)), filepath: path };
    writeFileSync(path, await format(JSON.stringify({ ...schema, properties }), options));
  }
  assert.deepEqual(
    schema.properties?.["flotilla"],
    JSON.parse(JSON.stringify(flotillaSchema)),
    "run with UPDATE_SCHEMA=1",
  );
});

/** Every key with its path. */
function* keysOf(node: JsonSchema, at: string): Generator<readonly [string, JsonSchema]> {
  for (const [key, below] of Object.entries(node.properties ?? {})) {
    yield [`${at}.${key}`, below];
    yield* keysOf(below, `${at}.${key}`);
  }
  if (node.items !== undefined) yield* keysOf(node.items, `${at}[]`);
}

test("every key is explained, in underscores", () => {
  for (const [at, { description = "", deprecated, $comment }] of keysOf(schema, "")) {
    assert.match(description, /^\S.{5,}\.$/s, at);
    assert.match(at, /^[a-z0-9_.[\]]+$/);
    if (deprecated === true) assert.match(description, /Deprecated: /, at);
    assert.ok($comment === undefined || ["left to cloud-init", "no effect"].includes($comment), at);
  }
});

test("a value with a pattern says in words what it must be", () => {
  for (const [at, { pattern, title }] of keysOf({ properties: { ...schema.properties, flotilla: {} } }, ""))
    assert.equal(pattern === undefined, title === undefined, at);
});

/** Forms that people write, as YAML hands them to an editor: numbers, booleans, words of either version. */
const natural: readonly string[] = [
  "write_files: [{path: /a, permissions: 0644}, {path: /b, permissions: '0644'}, {path: /c, content: ''}]",
  "coreos: {update: {reboot-strategy: off}}",
  "coreos: {update: {reboot_strategy: etcd-lock}}",
  "coreos: {etcd2: {proxy: on, heartbeat_interval: 100, client_cert_auth: true}}",
  "coreos: {fleet: {metadata: {a: 1, b: true, c: d}, etcd_request_timeout: 5.0}}",
  "coreos: {fleet: {metadata: [a=b]}}",
  "coreos: {fleet: {metadata: a=b}}",
  "coreos: {oem: {id: a, version-id: 0.1}}",
  "coreos: {units: [{name: a.target, enable: true, command: start, drop-ins: [{name: a.conf, content: '[Unit]'}]}]}",
  "manage_etc_hosts: true",
  "manage-etc-hosts: localhost",
  "users: [default, {name: a, uid: 1000, sudo: false, groups: 'a, b'}, {name: b, sudo: [ALL=ALL], groups: [a]}]",
  "groups: [a, {b: [c]}]",
  "ntp:",
  "mounts: [[/dev/vdb, /data, auto, defaults, 0, 2], [/dev/vdc, /more]]",
  "swap: {size: 1048576}",
  "swap: {size: auto, maxsize: 1G}",
  "runcmd: [a, [b, 1, true]]",
  "power_state: {mode: reboot, delay: 5}",
  "phone_home: {url: http://a/b, post: all}",
  "ssh_pwauth: no",
  "locale: false",
  "packages: [a, [b, '1.0']]",
  "flotilla: {git: {url: a, timeout: 30s, jitter: 5}, machine: {metadata: {a: b}, may_lead: false}, registry: {endpoints: [http://a:1]}}",
  "flotilla: {registry: {endpoints: 'http://a:1,http://b:1'}, machine: {metadata: 'a=b'}}",
];
/** An editor knows one spelling. */
function underscored(value: unknown, free = false): unknown {
  if (Array.isArray(value)) return value.map((each) => underscored(each));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      free ? key : key.replaceAll("-", "_"),
      underscored(each, key === "metadata"),
    ]),
  );
}
for (const yaml of natural)
  test(`an editor and the reader take: ${yaml.slice(0, 70)}`, async () => {
    assert.deepEqual(
      (await config(yaml)).findings.filter(({ severity }) => severity === "error"),
      [],
    );
    for (const version of [CORE_SCHEMA.withTags(mergeTag), YAML11_SCHEMA]) {
      const checked = check(underscored(load(yaml, { schema: version })));
      assert.deepEqual(checked.ok ? [] : checked.problems.map(({ message, hint }) => `${message} ${hint ?? ""}`), []);
    }
  });

const wrong: readonly string[] = [
  "hostnmae: a",
  "hostname: {a: b}",
  "coreos: {write_files: []}",
  "coreos: {units: [{name: a.service, command: strat}]}",
  "coreos: {update: {reboot_strategy: best-effort}}",
  "write_files: [{path: /a, permissions: 0o644x}]",
  "write_files: [{content: a}]",
  "users: [{shell: /bin/sh}]",
  "runcmd: a",
  "swap: {size: big}",
  "flotilla: {git: {ulr: a}}",
  "flotilla: {agent: {log_level: loud}}",
];
for (const yaml of wrong)
  test(`an editor and the reader refuse: ${yaml}`, async () => {
    assert.equal((await config(yaml)).userData, undefined);
    assert.equal(check(load(yaml)).ok, false);
  });

for (const name of readdirSync(join(root, "cloud-config")).filter((each) => each.endsWith(".yaml")))
  test(`the example ${name} reads without errors`, async () => {
    const { findings } = await read(readFileSync(join(root, "cloud-config", name)));
    assert.deepEqual(
      findings.filter(({ severity }) => severity === "error").map(({ problem }) => problem.message),
      [],
    );
  });

test("a file with everything that a cluster needs reads without errors", async () => {
  const { userData, findings, tokens } = await read(`#cloud-config
hostname: web-1
ssh_authorized_keys: [ssh-ed25519 AAAA...]
coreos:
  etcd2:
    discovery: http://10.0.0.2:8087/6f3c...      # from \`flotilla discovery new --size 3\`
    advertise-client-urls: http://$private_ipv4:2379
    initial-advertise-peer-urls: http://$private_ipv4:2380
  fleet:
    metadata: region=eu,disk=ssd,name=%H
    public-ip: $public_ipv4
  units:
    - {name: etcd.service, command: start}
    - {name: flotilla.service, command: start}
flotilla:
  git: {url: https://git.example/units.git, branch: main}
`);
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  assert.deepEqual([...tokens.keys()], ["private_ipv4", "public_ipv4"]);
  assert.equal(userData?.config.units.length, 2);
  assert.equal(userData.config.settings.length, 2);
});
