import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeBoot } from "../../fakes/fake-boot.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ a@b";
const document = `#cloud-config
users: [{name: ops, ssh_authorized_keys: ["${key}"], hashed_passwd: $6$x$y}]
disable_root: true
ssh_pwauth: false
write_files: [{path: /etc/motd, content: hello}]
`;
const sshd = "/etc/ssh/sshd_config.d/10-flotilla.conf";

function machine(): FakeBoot {
  const boot = new FakeBoot(document);
  boot.setup.files.set("/etc/ssh/sshd_config.d", { kind: "folder" });
  return boot;
}

describe("who would be the only way in", () => {
  for (const broken of ["user ops", "keys ops", "password ops"])
    test(`nobody is shut out of ssh when "${broken}" failed, and it is done once that is mended`, async () => {
      const boot = machine();
      boot.setup.broken.add(broken);
      const result = await boot.run();
      assert.ok(!boot.setup.files.has(sshd));
      const held = result.steps.find(({ id }) => id === "own sshd settings");
      assert.equal(held?.result, "skipped");
      assert.match(held.problem?.message ?? "", /Leaving out "own sshd settings": ".* ops" failed/);
      assert.ok(boot.log.events("error").includes("bootstrap.held"));
      assert.ok(boot.setup.files.has("/etc/motd"), "the rest is done");
      boot.setup.broken.clear();
      boot.reboot();
      await boot.run();
      assert.ok(boot.setup.files.has(sshd));
    });

  test("where all of them came to be, ssh is as the document says", async () => {
    const boot = machine();
    await boot.run();
    assert.ok(boot.setup.files.has(sshd));
  });
});
