import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpoint, reachOptions, readReach } from "../../../agent/cli/reach.ts";
import { clientVariables } from "../../../agent/domain/client-variables.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { parseSshAddress } from "../../../agent/domain/ssh-address.ts";
import { draftSettings } from "../../../agent/settings/settings.ts";

const read = (flags: Readonly<Record<string, string>> = {}, env: Readonly<Record<string, string>> = {}) =>
  readReach({ flags, env });

const endpoints: readonly (readonly [text: string, endpoint: ReturnType<typeof parseEndpoint>])[] = [
  ["unix:///run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ["file:///run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ["/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ["http://10.0.0.1:8080", { kind: "http", origin: "http://10.0.0.1:8080" }],
  ["HTTPS://api.example.com/", { kind: "http", origin: "https://api.example.com" }],
  ["https://[2001:db8::1]:8443", { kind: "http", origin: "https://[2001:db8::1]:8443" }],
  ["http://a:1,http://b:2", { kind: "http", origin: "http://a:1" }],
];
for (const [text, endpoint] of endpoints)
  test(`endpoint ${text}`, () => assert.deepEqual(parseEndpoint(text), endpoint));

const badEndpoints: readonly (readonly [text: string, says: RegExp])[] = [
  ["localhost:8080", /URL scheme undefined/],
  ["unix://run/x.sock", /unable to connect to host "run" with scheme "unix"/],
  ["ftp://x", /unknown scheme/],
  ["http://user:secret@x:80", /^Cannot use endpoint "http:\/\/\(secret\)@x:80"$/],
  ["https://user:se@cret@x:80", /^Cannot use endpoint "https:\/\/\(secret\)@x:80"$/],
  ["http://x/path", /Cannot use endpoint/],
  ["http://x y", /Cannot use endpoint/],
];
for (const [text, says] of badEndpoints)
  test(`endpoint ${text} is refused`, () =>
    assert.throws(
      () => parseEndpoint(text),
      (error: unknown) => error instanceof Problem && error.code === "usage" && says.test(error.message),
    ));

// F-461, F-462: host and port are kept apart here; fleet made a name for known_hosts of them
const addresses: readonly (readonly [text: string, address: object | undefined])[] = [
  ["foo.com", { host: "foo.com" }],
  ["127.0.0.1:0", { host: "127.0.0.1" }],
  [":22", { host: "127.0.0.1", port: 22 }],
  [":12345", { host: "127.0.0.1", port: 12345 }],
  ["foo.com:2222", { host: "foo.com", port: 2222 }],
  ["[::1]:22", { host: "::1", port: 22 }],
  ["[2001:db8::1]:12345", { host: "2001:db8::1", port: 12345 }],
  ["[fe80::1%eth0]", { host: "fe80::1%eth0" }],
  ["2001:db8::1", { host: "2001:db8::1" }],
  ["core@10.0.0.1", { user: "core", host: "10.0.0.1" }],
  ["12:12:12", undefined],
  ["foobar:baz", undefined],
  ["[12:323", undefined],
  ["[127.0.0.1:]", undefined],
  ["host:99999", undefined],
  ["-oProxyCommand=x", undefined],
  ["a@-oProxyCommand=x", undefined],
  ["-l@host", undefined],
  ["host;touch x", undefined],
  ["host name", undefined],
  ["a%b", undefined],
  ["", undefined],
];
for (const [text, address] of addresses)
  test(`ssh address "${text}"`, () => {
    const read = parseSshAddress(text);
    assert.deepEqual(read.ok ? read.value : undefined, address);
  });

test("nothing said", () =>
  assert.deepEqual(read(), {
    endpoint: { kind: "unix", path: "/run/flotilla/flotilla.sock" },
    tls: { caFile: undefined, certFile: undefined, keyFile: undefined },
    token: undefined,
    ssh: {
      tunnel: undefined,
      username: undefined,
      port: undefined,
      timeoutMs: 10_000,
      checkHostKeys: undefined,
      knownHostsFile: undefined,
    },
  }));

test("flags before FLOTILLA_, and these before fleet's own; an empty one is none", () => {
  const env = {
    FLOTILLA_SSH_USERNAME: "ours",
    FLEETCTL_SSH_USERNAME: "fleets",
    FLEETCTL_TUNNEL: "gate",
    FLOTILLA_TUNNEL: "",
  };
  assert.equal(read({ "ssh-username": "flag" }, env).ssh.username, "flag");
  assert.equal(read({}, env).ssh.username, "ours");
  assert.deepEqual(read({}, env).ssh.tunnel, { host: "gate" });
});

test("the nearer endpoint wins, whichever way it is said", () => {
  const env = { FLOTILLA_SOCKET: "/env", FLEETCTL_ENDPOINT: "unix:///fleet" };
  assert.deepEqual(read({ endpoint: "http://x:1" }, env).endpoint, { kind: "http", origin: "http://x:1" });
  assert.deepEqual(read({}, env).endpoint, { kind: "unix", path: "/env" });
  assert.deepEqual(read({}, { FLEETCTL_ENDPOINT: "unix:///fleet" }).endpoint, { kind: "unix", path: "/fleet" });
});

test("a token from the environment, unless a file is named", () => {
  const env = { FLOTILLA_TOKEN: "word", FLOTILLA_TOKEN_FILE: "/file" };
  assert.deepEqual(read({}, env).token, { kind: "given", token: "word" });
  assert.deepEqual(read({ "token-file": "/flag" }, env).token, { kind: "file", path: "/flag" });
});

for (const [text, ms] of [
  ["10", 10_000],
  ["2.5", 2_500],
  ["0.001", 1],
  ["30s", 30_000],
] as const)
  test(`--ssh-timeout ${text}`, () => assert.equal(read({ "ssh-timeout": text }).ssh.timeoutMs, ms));

for (const [text, checks] of [
  ["true", true],
  ["0", false],
  ["F", false],
  ["yes", true],
] as const)
  test(`--strict-host-key-checking ${text}`, () =>
    assert.equal(read({ "strict-host-key-checking": text }).ssh.checkHostKeys, checks));

const wrong: readonly (readonly [flags: Readonly<Record<string, string>>, says: RegExp])[] = [
  [{ socket: "/a", endpoint: "unix:///b" }, /both --socket and --endpoint/],
  [{ "cert-file": "/c" }, /a certificate without its key/],
  [{ "ssh-port": "0" }, /"0" as --ssh-port/],
  [{ "ssh-port": "22x" }, /"22x" as --ssh-port/],
  [{ "ssh-timeout": "0" }, /"0" as --ssh-timeout/],
  [{ "ssh-timeout": "soon" }, /"soon" as --ssh-timeout/],
  [{ "ssh-username": "-oProxyCommand=x" }, /as --ssh-username/],
  [{ "strict-host-key-checking": "maybe" }, /"maybe" as --strict/],
  [{ "known-hosts-file": 'a" b' }, /as --known-hosts-file/],
  [{ tunnel: "a b" }, /"a b" as the address of an ssh server/],
];
for (const [flags, says] of wrong)
  test(`wrong: ${JSON.stringify(flags)}`, () =>
    assert.throws(
      () => read(flags),
      (error: unknown) => error instanceof Problem && says.test(error.message),
    ));

test("every option has its variable, which an agent passes over", () => {
  const options = reachOptions.map(({ flags }) =>
    flags
      .replace(/^--(\S+) .*/, "$1")
      .replaceAll("-", "_")
      .toUpperCase(),
  );
  assert.deepEqual(options, ["SOCKET", ...clientVariables]);
  const environment = Object.fromEntries(clientVariables.map((name) => [`FLOTILLA_${name}`, "x"]));
  const draft = draftSettings({ conf: undefined, fleetConf: undefined, environment, flags: {} });
  assert.deepEqual(draft.problems, []);
});
