// A document that mounts a disk over the homes of those who are to log in.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeBoot } from "../../fakes/fake-boot.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ a@b";
const document = `#cloud-config
ssh_authorized_keys: ["${key}"]
users: [default, {name: you, groups: [ops], ssh_authorized_keys: ["${key}"]}]
mounts: [[LABEL=home, /home], [LABEL=data, /data]]
write_files: [{path: /etc/motd, content: hello}]
`;
const keys = "/home/you/.ssh/authorized_keys";

/** What lies below a mount point is out of sight once an empty disk is mounted there. */
function machine(text = document): FakeBoot {
  const boot = new FakeBoot(text);
  boot.setup.ownFacts = { defaultUser: "core" };
  boot.setup.accounts.set("core", { home: "/home/core", groups: [] });
  boot.setup.onApply = (step) => {
    if (step.kind !== "mount") return;
    for (const path of [...boot.setup.files.keys()].filter((each) => each.startsWith(`${step.mountPoint}/`)))
      boot.setup.files.delete(path);
  };
  return boot;
}

describe("a disk over homes", () => {
  test("has the keys of all whose homes it hides", async () => {
    const boot = machine();
    const result = await boot.run();
    assert.equal(result.state, "done");
    assert.ok(boot.setup.files.has(keys));
    assert.ok(boot.setup.files.has("/home/core/.ssh/authorized_keys"));
    boot.reboot();
    await boot.run();
    assert.deepEqual(boot.setup.applied, []);
  });

  test("is no reason to refuse a document where an account failed", async () => {
    const boot = machine();
    boot.setup.broken.add("user you");
    boot.setup.broken.add("again user you");
    const result = await boot.run();
    assert.equal(result.state, "done", JSON.stringify(result.problems));
    assert.ok(boot.setup.files.has("/etc/motd"));
    assert.equal((await boot.dryRun()).isRefused, false);
  });

  test("promises no account that failed to the files that are to be its own", async () => {
    const boot = machine(document.replace("content: hello}", "content: hello}, {path: /a, content: a, owner: you}"));
    boot.setup.broken.add("user you");
    const result = await boot.run();
    assert.equal(result.state, "failed");
    assert.ok(!boot.setup.files.has("/etc/motd"));
  });

  test("that hides none has nothing done again", async () => {
    const boot = machine(document.replace("[LABEL=home, /home], ", ""));
    const { steps } = await boot.run();
    assert.deepEqual(
      steps.filter(({ id }) => id.startsWith("again ")),
      [],
    );
  });

  test("leaves nothing to be named when it leaves the document", async () => {
    const boot = machine();
    await boot.run();
    boot.document = document.replace(/^mounts.*\n/m, "");
    boot.reboot();
    const { left } = await boot.run();
    assert.deepEqual(
      left.map(({ id }) => id),
      ["block /etc/fstab"],
    );
  });
});
