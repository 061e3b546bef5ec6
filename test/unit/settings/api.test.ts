import assert from "node:assert/strict";
import { inspect } from "node:util";
import { suite, test } from "node:test";
import { valid } from "../../../agent/domain/problem.ts";
import { problems, settings, settle, warnings, type Given } from "./build.ts";

const good = "0123456789abcdef";
const file = (text: string, mode = 0o600): NonNullable<Given["secrets"]> => ({
  "/t": valid({ file: "/t", text: `${text}\n`, mode }),
});
const tls = "TLSCertFile=/c.pem\nTLSKeyFile=/k.pem\n";
const quiet = "[Git]\nURL=/srv/u.git\n";

suite("settings of the API", () => {
  test("all of it", () => {
    const conf = `[API]\nGroup=ops\nListen=:8080, 127.0.0.1:81\nListen=[fd00::0:1]:82\n${tls}TLSClientCAFile=/ca.pem\nTokenFile=/t\n[Agent]\nAllowSubmit=no\n`;
    const { api, allowSubmit } = settings({ conf, secrets: file(good) });
    assert.deepEqual(
      { ...api, token: api.token?.reveal(), allowSubmit },
      {
        group: "ops",
        listen: [
          { host: "::", port: 8080 },
          { host: "127.0.0.1", port: 81 },
          { host: "fd00::1", port: 82 },
        ],
        tls: { certFile: "/c.pem", keyFile: "/k.pem", clientCaFile: "/ca.pem" },
        token: good,
        allowSubmit: false,
      },
    );
  });

  test("an address is written in several ways and listened on once", () => {
    const conf = "[API]\nListen=localhost:80,127.0.0.1:80,[::1]:80,[0:0::1]:80\n";
    assert.deepEqual(settings({ conf }).api.listen, [
      { host: "127.0.0.1", port: 80 },
      { host: "::1", port: 80 },
    ]);
  });

  for (const bad of [
    "8080",
    "127.0.0.1",
    "host:80",
    "1.2.3:80",
    "1.2.3.400:80",
    "[::g]:80",
    "::1:80",
    "[::1]",
    ":0",
    ":65536",
    "01.2.3.4:5",
    "http://127.0.0.1:80",
  ])
    test(`Listen=${bad} is refused`, () =>
      assert.match(
        problems({ conf: `[API]\nListen=${bad}\n` }).join("\n"),
        /^flotilla.conf:2: Cannot accept \[API\] Listen=/,
      ));
  for (const bad of ["a b", "-x", "g:x", "a,b", "1234567890"])
    test(`Group=${bad} is refused`, () =>
      assert.match(
        problems({ conf: `[API]\nGroup=${bad}\n` }).join("\n"),
        /^flotilla.conf:2: Cannot accept \[API\] Group=/,
      ));

  const open: readonly (Given & { readonly name: string; readonly says: readonly RegExp[] })[] = [
    {
      name: "every address, to everybody",
      conf: "[API]\n# a comment\nListen=:8080\n",
      says: [/^flotilla.conf:3: Cannot serve the API on \[::\]:8080 to whoever reaches it \(Whoever may ask is root/],
    },
    {
      name: "only the addresses that others reach are named",
      conf: "[API]\nListen=127.0.0.1:1\nListen=10.0.0.1:2\nListen=[fd00::1]:3\n",
      says: [/^flotilla.conf:4: Cannot serve the API on 10.0.0.1:2 and \[fd00::1\]:3 to/],
    },
    {
      name: "TLS does not say who asks",
      conf: `[API]\n${tls}Listen=10.0.0.1:2\n`,
      says: [/^flotilla.conf:4: Cannot serve the API on 10.0.0.1:2 .*\(TLS does not say who asks/],
    },
    {
      name: "by the environment",
      environment: { FLOTILLA_API_LISTEN: "0.0.0.0:8080" },
      says: [/^environment: Cannot serve the API on 0.0.0.0:8080/],
    },
    { name: "certificate alone", conf: "[API]\nTLSCertFile=/c\n", says: [/Cannot use \[API\] TLSCertFile alone/] },
    { name: "key alone", conf: "[API]\nTLSKeyFile=/c\n", says: [/Cannot use \[API\] TLSKeyFile alone/] },
    {
      name: "clients' certificates without one of its own",
      conf: "[API]\nTLSClientCAFile=/c\n",
      says: [/^flotilla.conf:2: Cannot use \[API\] TLSClientCAFile alone \(Set \[API\] TLSCertFile= too\)/],
    },
    {
      name: "a token that can be guessed",
      conf: "[API]\nListen=:1\nToken=0123456789abcde\n",
      says: [/^flotilla.conf:3: Cannot take the token of \[API\] Token \(It must have at least 16 characters/],
    },
    {
      name: "a token that no header carries",
      conf: "[API]\nTokenFile=/t\n",
      secrets: file("sixteen and more characters"),
      says: [/^flotilla.conf:2: Cannot take the token of \[API\] TokenFile/],
    },
    {
      name: "a token file that others can read",
      conf: "[API]\nListen=:1\nTokenFile=/t\n",
      secrets: file(good, 0o640),
      says: [/^\/t: Cannot keep the secret in \/t to its owner: its mode is 0640 \(Run: chmod 600 \/t\)/],
    },
    {
      name: "a token in settings that others can read",
      conf: `[API]\nToken=${good}\n`,
      mode: 0o644,
      says: [/^flotilla.conf: Cannot keep the secret in flotilla.conf to its owner/],
    },
  ];
  for (const { name, says, ...given } of open)
    test(`refused: ${name}`, () => {
      const said = problems(given);
      assert.equal(said.length, says.length, said.join("\n"));
      for (const [index, pattern] of says.entries()) assert.match(said[index] ?? "", pattern);
      assert.doesNotMatch(inspect(settle(given), { depth: 10 }), /0123456789abcde/);
    });

  const allowed: readonly (Given & { readonly name: string; readonly warns: readonly RegExp[] })[] = [
    {
      name: "loopback",
      conf: "[API]\nListen=127.9.9.9:1,[::1]:1,[::ffff:127.0.0.1]:1\n",
      warns: [/any user of this machine/],
    },
    { name: "loopback with a token", conf: `[API]\nListen=127.0.0.1:1\nToken=${good}\n`, warns: [] },
    {
      name: "a token in the clear",
      conf: `[API]\nListen=:1\nToken=${good}\n`,
      warns: [/Cannot hide the API's token: \[::\]:1/],
    },
    { name: "a token over TLS", conf: `[API]\nListen=:1\n${tls}Token=${good}\n`, warns: [] },
    { name: "certificates of clients", conf: `[API]\nListen=:1\n${tls}TLSClientCAFile=/ca\n`, warns: [] },
    { name: "no TCP at all", conf: "[API]\nGroup=12\n", warns: [] },
  ];
  for (const { name, warns, ...given } of allowed)
    test(`allowed: ${name}`, () => {
      const all = { ...given, conf: quiet + (given.conf ?? "") };
      assert.deepEqual(problems(all), []);
      const said = warnings(all);
      assert.equal(said.length, warns.length, said.join("\n"));
      for (const [index, pattern] of warns.entries()) assert.match(said[index] ?? "", pattern);
    });
});
