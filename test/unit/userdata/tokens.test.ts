import assert from "node:assert/strict";
import { test } from "node:test";
import { addresses, config, said } from "./read.ts";

const script = (text: string): string => `runcmd:\n  - |\n    ${text}`;

const filled: readonly (readonly [name: string, text: string, becomes: string])[] = [
  ["a token", "http://$private_ipv4:2380", "http://10.0.0.7:2380"],
  ["in braces", "${private_ipv4}", "10.0.0.7"],
  ["two with nothing between", "$private_ipv4$public_ipv4", "10.0.0.7192.0.2.7"],
  ["the end of a name", "a$private_ipv4.b-$public_ipv4", "a10.0.0.7.b-192.0.2.7"],
  ["protected", "\\$private_ipv4 \\${public_ipv4}", "$private_ipv4 ${public_ipv4}"],
  ["two backslashes", "\\\\$private_ipv4", "\\$private_ipv4"],
  ["another word", "$HOME ${x} $$", "$HOME ${x} $$"],
  ["a default that is not needed", "${private_ipv4:-10.9.9.9}", "10.0.0.7"],
  ["a default that is needed", "${private_ipv6:-fd00::1}", "fd00::1"],
];
for (const [name, text, becomes] of filled)
  test(`an address: ${name}`, async () => {
    const { userData, findings } = await config(script(text), addresses);
    assert.deepEqual(findings, []);
    assert.deepEqual(
      userData?.config.runCommands.map((each) => each.kind === "shell" && each.text),
      [`${becomes}\n`],
    );
  });

test("a longer name is no token, and is told of", async () => {
  const reading = await config(script("$private_ipv4_x"), addresses);
  assert.deepEqual(said(reading), ["3:5 warning token-longer"]);
  assert.match(reading.findings[0]?.problem.hint ?? "", /\$\{private_ipv4\}_x/);
});

test("an address that this machine lacks refuses the document, and says where it was looked for", async () => {
  const reading = await config(
    "coreos:\n  fleet:\n    public-ip: $public_ipv6\n    metadata: a=$private_ipv6",
    addresses,
  );
  assert.deepEqual(said(reading), ["4:16 error address", "5:15 error address"]);
  assert.equal(reading.userData, undefined);
  const [, second] = reading.findings;
  assert.match(second?.problem.hint ?? "", /metadata of ec2: none; interface eth0: none/);
  assert.equal(second?.problem.at?.key, "coreos.fleet.metadata");
});

test("without addresses tokens stay, are listed with their first place, and refuse nothing", async () => {
  const reading = await config("runcmd: ['a $private_ipv4', 'b $private_ipv4', 'c \\$public_ipv4']");
  assert.deepEqual(said(reading), ["2:10 info token"]);
  assert.deepEqual(
    [...reading.tokens].map(([name, { line, column }]) => [name, line, column]),
    [["private_ipv4", 2, 10]],
  );
  assert.deepEqual(
    reading.userData?.config.runCommands.map((each) => each.kind === "shell" && each.text),
    ["a $private_ipv4", "b $private_ipv4", "c \\$public_ipv4"],
  );
});

test("shapes are checked as if the address were there", async () => {
  assert.deepEqual(said(await config("coreos: {fleet: {public_ip: $private_ipv6}}")), ["2:29 info token"]);
  assert.deepEqual(said(await config("coreos: {fleet: {public_ip: eth$private_ipv4}}")), ["2:29 error value"]);
  assert.deepEqual(said(await config("coreos: {etcd2: {listen_peer_urls: 'http://$private_ipv4'}}", addresses)), [
    "2:36 error etcd-url",
  ]);
});

test("a token in a comment is none", async () => {
  assert.deepEqual(said(await config("# $public_ipv6\nhostname: a # $public_ipv6", addresses)), []);
});
