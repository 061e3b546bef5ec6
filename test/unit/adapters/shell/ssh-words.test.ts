import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { type SshCall, quoteWords, sshWords } from "../../../../agent/adapters/shell/ssh-words.ts";
import type { SshOptions } from "../../../../agent/ports/reach.ts";
import { fc, tries } from "../../../property.ts";

interface Given extends Partial<Omit<SshCall, "ssh">> {
  readonly ssh?: Partial<SshOptions>;
}

/** Without what every call has. */
function words({ ssh, ...more }: Given = {}): string {
  const call = {
    to: { host: "10.0.0.1" },
    command: "true",
    mayAsk: true,
    terminal: false,
    forwardAgent: false,
    logs: { own: "/l/own", tunnel: "/l/tunnel" },
  };
  const usual = "-E /l/own -o ConnectTimeout=10 -o LogLevel=INFO -o ServerAliveInterval=15 -o ServerAliveCountMax=3 ";
  return sshWords({ ...call, ...more, ssh: { timeoutMs: 10_000, ...ssh } })
    .join(" ")
    .replace(usual, "")
    .replace(" -o RemoteCommand=none", "");
}

const cases: readonly (readonly [name: string, given: Given, expect: string])[] = [
  ["a command", {}, "-T 10.0.0.1 -- true"],
  ["a login", { command: undefined }, "10.0.0.1 --"],
  ["a terminal", { terminal: true }, "-t 10.0.0.1 -- true"],
  ["the agent goes along", { forwardAgent: true }, "-A -T 10.0.0.1 -- true"],
  ["user and port", { ssh: { username: "core", port: 2222 } }, "-T -l core -p 2222 10.0.0.1 -- true"],
  [
    "those of the address first",
    { to: { user: "me", host: "h", port: 1 }, ssh: { username: "core", port: 2 } },
    "-T -l me -p 1 h -- true",
  ],
  ["IPv6", { to: { host: "2001:db8::1" } }, "-T 2001:db8::1 -- true"],
  [
    "no keys are checked",
    { ssh: { checkHostKeys: false, knownHostsFile: "/k" } },
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -T 10.0.0.1 -- true",
  ],
  [
    "keys are checked against a file",
    { ssh: { checkHostKeys: true, knownHostsFile: "/my %h" } },
    '-o StrictHostKeyChecking=ask -o UserKnownHostsFile="/my %%h" -T 10.0.0.1 -- true',
  ],
];
for (const [name, given, expect] of cases) test(name, () => assert.equal(words(given), expect));

test("nobody is asked", () =>
  assert.match(words({ mayAsk: false }), /^-E \/l\/own -o BatchMode=yes -o ConnectTimeout=10 /));
test("less than a second is a second", () => assert.match(words({ ssh: { timeoutMs: 1 } }), / ConnectTimeout=1 /));

test("a tunnel has its own port and the same checks, and its log is another", () => {
  const said = words({
    ssh: { tunnel: { host: "gate", port: 2200 }, username: "core", port: 22, knownHostsFile: "/my %h" },
  });
  const proxy = /-o ProxyCommand=(.*) -T -l core -p 22 10\.0\.0\.1 -- true$/.exec(said)?.[1];
  assert.equal(
    proxy,
    "ssh -E /l/tunnel -o ConnectTimeout=10 -o LogLevel=INFO -o ServerAliveInterval=15 -o ServerAliveCountMax=3 " +
      `-o 'UserKnownHostsFile="/my %%%%h"' -a -W '[%h]:%p' -l core -p 2200 gate`,
  );
});

test("property: a shell reads the very words again", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("", " ", "'", "''", "a'b", "$HOME", "`id`", "\n", "-n", "*", "~", "!x", "\\"),
  );
  const list = fc.array(
    word.map((text) => text.replaceAll("\0", "")),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(list, (each) => {
      const script = `printf '%s\\0' ${quoteWords(each)}`;
      const read = execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0").slice(0, -1);
      assert.deepEqual(
        read,
        each.map((text) => Buffer.from(text).toString("utf8")),
      );
    }),
    { numRuns: tries(60) },
  );
});
