import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Looked, Step } from "../../../agent/domain/first-boot.ts";
import { diffLines } from "../../../agent/firstboot/diff.ts";
import { describeStep, planDiff, redacted } from "../../../agent/firstboot/show.ts";
import { encodeRecord } from "../../../agent/firstboot/record.ts";
import { fc, tries } from "../../property.ts";
import { carryOut, plan, stepOf } from "./machine.ts";

const absent: Looked = { same: false, before: undefined, after: undefined };

suite("a diff", () => {
  const cases: readonly (readonly [name: string, before: string, after: string, expect: readonly string[]])[] = [
    ["of equal texts", "a\n", "a\n", []],
    ["of a new text", "", "a\nb\n", ["@@ -0,0 +1,2 @@", "+a", "+b"]],
    ["of a text that goes", "a\n", "", ["@@ -1 +0,0 @@", "-a"]],
    ["of one line among others", "a\nb\nc\n", "a\nx\nc\n", ["@@ -1,3 +1,3 @@", " a", "-b", "+x", " c"]],
    [
      "of two places",
      "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n",
      "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n",
      ["@@ -1,3 +1,4 @@", "+0", " 1", " 2", " 3", "@@ -7,4 +8,3 @@", " 7", " 8", " 9", "-10"],
    ],
    ["without a last line end", "a", "a\n", ["@@ -1 +1 @@", "-a", "\\ No newline at end of file", "+a"]],
  ];
  for (const [name, before, after, expect] of cases)
    test(name, () => assert.deepEqual(diffLines(before, after), expect));

  test("applied to the old text gives the new one", () => {
    const text = fc
      .array(fc.constantFrom("a", "b", "c", "d", ""), { maxLength: 30 })
      .map((lines) => lines.map((line) => `${line}\n`).join(""));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const old = before.split("\n").slice(0, -1);
        const made: string[] = [];
        let at = 0;
        for (const line of diffLines(before, after)) {
          const [, first, count] = /^@@ -(\d+)(?:,(\d+))? /.exec(line) ?? [];
          if (first !== undefined) {
            const start = count === "0" ? Number(first) : Number(first) - 1;
            while (at < start) made.push(old[at++] ?? "");
          } else if (line.startsWith("+")) made.push(line.slice(1));
          else {
            assert.equal(old[at++], line.slice(1));
            if (line.startsWith(" ")) made.push(line.slice(1));
          }
        }
        made.push(...old.slice(at));
        assert.deepEqual(made, after.split("\n").slice(0, -1));
      }),
    );
  });
});

suite("a plan for people", () => {
  const step = async (yaml: string, id: string): Promise<Step> => stepOf(await plan(yaml), id);

  test("a file as a diff, and nothing about what is so already", async () => {
    const motd = await step('write_files: [{path: /etc/motd, content: "new\\n"}]', "file /etc/motd");
    const looked = { same: false, before: "old\n", after: "new\n" };
    assert.equal(
      planDiff([
        { step: motd, looked },
        { step: motd, looked: { ...looked, same: true } },
      ]),
      "# write /etc/motd (0644 root:root, 4 bytes)\n--- /etc/motd\n+++ /etc/motd\n@@ -1 +1 @@\n-old\n+new\n",
    );
    assert.equal(
      planDiff([{ step: motd, looked: { same: false, before: undefined, after: "new\n" } }]),
      "# write /etc/motd (0644 root:root, 4 bytes)\n--- /dev/null\n+++ /etc/motd\n@@ -0,0 +1 @@\n+new\n",
    );
  });

  test("a name with the one before", async () => {
    const hostname = await step("hostname: web", "hostname");
    assert.equal(
      describeStep(hostname, { same: false, before: "old", after: "web" }),
      "name the machine web (now old)",
    );
  });

  test("a file that only its owner may read, by its size", async () => {
    const key = await step('write_files: [{path: /k, content: abc, permissions: "0600"}]', "file /k");
    assert.equal(
      planDiff([{ step: key, looked: { same: false, before: "was", after: "abc" } }]),
      "# write /k (0600 root:root, secret, 3 bytes)\n--- /k\n+++ /k\n+(secret, 3 bytes)\n",
    );
  });

  test("nothing that moves a cursor", async () => {
    const motd = await step("write_files: [{path: /etc/motd, content: x}]", "file /etc/motd");
    assert.match(
      planDiff([{ step: motd, looked: { same: false, before: "", after: "\u001b[2J\r\n" } }]),
      /\n\+\?\[2J\?\n$/,
    );
  });

  test("what looks like a secret in a file for everybody", () => {
    for (const [text, expect] of [
      ["DB_PASSWORD=hunter2 x", "DB_PASSWORD=(secret) x"],
      ['Environment="API_KEY=abc"', 'Environment="API_KEY=(secret)"'],
      [
        "//host/share /mnt cifs username=u,password=p,ro 0 0",
        "//host/share /mnt cifs username=u,password=(secret),ro 0 0",
      ],
      ["url: https://me:pw@host/x", "url: https://me:(secret)@host/x"],
      ["url: https://ghp_abc@host/x", "url: https://(secret)@host/x"],
      ["url: ssh://git@host/x", "url: ssh://git@host/x"],
      ["Discovery=http://10.0.0.2:8087/6f3c0a1d5be24c0f", "Discovery=http://10.0.0.2:8087/(secret)"],
      ["TokenFile=/etc/flotilla/git-token", "TokenFile=/etc/flotilla/git-token"],
      ["PasswordAuthentication no", "PasswordAuthentication no"],
      ["ops ALL=(ALL) NOPASSWD:ALL", "ops ALL=(ALL) NOPASSWD:ALL"],
    ] as const)
      assert.equal(redacted(text), expect);
  });

  test("no secret of the document, whatever it is", async () => {
    const secret = fc.stringMatching(/^[a-zA-Z0-9!#^*()]{12,40}$/).map((text) => `s3c${text}`);
    await fc.assert(
      fc.asyncProperty(secret, async (text) => {
        const planned = await plan(`users: [default, {name: a, plain_text_passwd: '${text}', lock_passwd: false}]
chpasswd: {users: [{name: b, password: '${text}', type: text}]}
write_files: [{path: /k, content: '${text}', permissions: "0400"}]
runcmd: ["login ${text}"]
ssh_keys:
  ed25519_private: |
    -----BEGIN OPENSSH PRIVATE KEY-----
    ${text}
    -----END OPENSSH PRIVATE KEY-----
phone_home: {url: 'https://${text}@home.example/?key=${text}', post: [hostname], tries: 1}
coreos:
  fleet: {metadata: a=b, etcd_servers: "http://10.0.0.1:2379", etcd_username: u, etcd_password: '${text}'}
  etcd2: {discovery_token: '${text}', discovery_endpoints: "http://10.0.0.2:2379", name: a}
flotilla: {git: {url: https://git.example/a.git, token: '${text}'}}`);
        const shown = planned.steps
          .map((each) => {
            const after = each.kind === "file" ? new TextDecoder().decode(each.file.content) : undefined;
            return `${describeStep(each)}\n${planDiff([{ step: each, looked: { ...absent, after } }])}`;
          })
          .join("\n");
        const notices = planned.notices.map(({ problem }) => `${problem.message} ${problem.hint ?? ""}`).join("\n");
        for (const told of [shown, notices, encodeRecord(carryOut({ plan: planned })), JSON.stringify(planned.left)])
          assert.ok(!told.includes(text), told.slice(Math.max(0, told.indexOf(text) - 80), told.indexOf(text) + 60));
      }),
      { numRuns: tries(25) },
    );
  });
});
