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

describe("who was the way in until now", () => {
  const of = (name: string): string => `#cloud-config
users: [{name: ${name}, ssh_authorized_keys: ["${key}"], hashed_passwd: $6$x$y, sudo: "ALL=(ALL) ALL"}]
write_files: [{path: /etc/motd, content: hello}]
`;
  const keys = "/home/you/.ssh/authorized_keys";
  const sudoers = "/etc/sudoers.d/90-flotilla-you";
  const keysOf = ({ setup }: FakeBoot): string => JSON.stringify(setup.files.get(keys));

  for (const broken of ["user ops", "keys ops", "password ops", "sudoers ops"])
    test(`keeps keys and sudo when "${broken}" failed, and loses them once that is mended`, async () => {
      const boot = new FakeBoot(of("you"));
      await boot.run();
      boot.document = of("ops");
      boot.setup.broken.add(broken);
      boot.reboot();
      const result = await boot.run();
      assert.equal(result.state, "done");
      assert.ok(keysOf(boot).includes(key));
      assert.ok(boot.setup.files.has(sudoers));
      for (const id of ["gone keys you", "gone sudoers you"])
        assert.equal(result.steps.find((step) => step.id === id)?.result, "skipped", id);
      boot.setup.broken.clear();
      boot.reboot();
      await boot.run();
      assert.ok(!keysOf(boot).includes(key));
      assert.ok(!boot.setup.files.has(sudoers));
    });

  test("loses them where the new way in came to be", async () => {
    const boot = new FakeBoot(of("you"));
    await boot.run();
    boot.document = of("ops");
    boot.reboot();
    await boot.run();
    assert.ok(!keysOf(boot).includes(key));
    assert.ok(!boot.setup.files.has(sudoers));
    assert.ok(boot.setup.applied.indexOf("gone keys you") > boot.setup.applied.indexOf("keys ops"));
  });
});
