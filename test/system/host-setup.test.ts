// A machine that boots becomes what a rich document says: name, accounts, keys, sudo, files, swap, units; by the real
// programs of a distribution and its systemd. Then once more, with an edit of somebody's put back; and its status.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { BootResult } from "../../agent/domain/boot-result.ts";
import { flotillaParts } from "./booted/flotilla.ts";
import { type BootedMachine, createMachine } from "./booted/machine.ts";
import { noCloudSeed } from "./booted/metadata.ts";
import { Network } from "./booted/network.ts";
import { whyNoMachines } from "./booted/why.ts";

const missing = await whyNoMachines();

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ you@example";
// crypt(5) of "pass word"
const hash = "$6$salt1234$yKtmPdWKqpXaIGbjKNBc3Bpy4u9rlVFp2Yg5rHnWjvJqvXnC7L2uJfQyqXkqzKQeJ3F1bK8rJzq2d9w3bC8vZ1";

const userData = `#cloud-config
hostname: set-up
groups: [ops]
users:
  - name: you
    gecos: You, of ops
    groups: ops, adm
    uid: 4711
    shell: /bin/bash
    hashed_passwd: "${hash}"
    lock_passwd: false
    ssh_authorized_keys: ["${key}"]
  - name: worker
    system: true
    no_create_home: true
bootcmd: ["echo early >> /var/log/bootcmd"]
write_files:
  - {path: /etc/motd, content: "hello\\n"}
  - {path: /etc/app/token, content: "topsecret\\n", permissions: "0600", owner: "worker:worker"}
  - {path: /etc/app/list, content: "more\\n", append: true}
runcmd: ["echo late >> /var/log/runcmd", "sleep 86400 & echo $! > /var/log/left-running"]
coreos:
  units:
    - name: steady.service
      command: start
      enable: true
      content: |
        [Service]
        ExecStart=/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
      drop-ins:
        - {name: 10-more.conf, content: "[Service]\\nEnvironment=MORE=yes\\n"}
    - name: once.service
      command: start
      content: |
        [Service]
        Type=oneshot
        ExecStart=/bin/touch /run/once
    - name: slow.service
      command: start
      content: |
        [Service]
        Type=oneshot
        ExecStart=/bin/sh -c 'until test -e /run/go; do sleep 0.1; done'
    - {name: unwanted.service, mask: true}
`;

describe("the setup of a machine that boots", { skip: missing ?? false }, () => {
  let network: Network;
  let machine: BootedMachine;

  const result = async (): Promise<BootResult> =>
    JSON.parse(await machine.read("/var/lib/flotilla/bootstrap/result.json")) as BootResult;
  const status = async (...flags: readonly string[]): Promise<{ code: number; said: string }> => {
    const ran = await machine.run(["flotilla", "bootstrap", "status", ...flags]);
    return { code: ran.status, said: ran.stdout + ran.stderr };
  };
  const once = async (): Promise<string> =>
    (await machine.run(["flotilla", "bootstrap"], { timeoutMs: 60_000 })).stderr;

  before(async () => {
    network = await Network.open();
    const parts = await flotillaParts();
    machine = await createMachine({
      network,
      name: "fresh",
      address: "10.77.0.9",
      binds: parts.binds,
      files: { ...parts.files, ...noCloudSeed({ userData }) },
      enable: ["flotilla-bootstrap.service"],
    });
    await machine.boot({ until: "flotilla-bootstrap.service" });
  });

  after(async () => {
    await network.close();
  });

  test("it is what the document says", async () => {
    const { state, steps, problems } = await result();
    assert.deepEqual(
      steps.filter((step) => step.result === "failed" || step.result === "skipped"),
      [],
    );
    assert.deepEqual({ state, problems }, { state: "done", problems: [] });
    assert.equal((await machine.output(["hostname"])).trim(), "set-up");
    assert.equal((await machine.read("/etc/hostname")).trim(), "set-up");
    assert.equal((await machine.output(["id", "-u", "you"])).trim(), "4711");
    assert.deepEqual((await machine.output(["id", "-Gn", "you"])).trim().split(" ").sort(), ["adm", "ops", "you"]);
    assert.ok((await machine.read("/etc/shadow")).includes(`you:${hash}:`));
    assert.match(await machine.read("/etc/shadow"), /^worker:[!*]/m);
    assert.ok(await machine.canLogIn("you"));
    assert.ok((await machine.read("/home/you/.ssh/authorized_keys")).includes(key));
    const look = ["stat", "-c", "%U:%G %a"];
    assert.equal((await machine.output([...look, "/home/you/.ssh"])).trim(), "you:you 700");
    assert.equal((await machine.output([...look, "/home/you/.ssh/authorized_keys"])).trim(), "you:you 600");
    assert.equal((await machine.output([...look, "/etc/app/token"])).trim(), "worker:worker 600");
    assert.equal(
      (await machine.output([...look, "/var/lib/flotilla/bootstrap/user-data.json"])).trim(),
      "root:root 600",
    );
    assert.equal(await machine.read("/etc/motd"), "hello\n");
    assert.equal(await machine.read("/var/log/runcmd"), "late\n");
    assert.equal((await machine.unit("unwanted.service")).load, "masked");
    assert.equal((await machine.output(["systemctl", "is-enabled", "steady.service"])).trim(), "enabled");
    assert.match(await machine.output(["systemctl", "show", "-p", "Environment", "steady.service"]), /MORE=yes/);
    await machine.waitForUnit("steady.service");
  });

  test("its status waits for what is not there yet, and then is whole", async () => {
    const early = await status();
    assert.equal(early.code, 2, early.said);
    assert.match(early.said, /slow\.service: activating \(start\), for/);
    const short = await status("--wait", "--timeout", "1s");
    assert.equal(short.code, 2, short.said);
    const waiting = status("--wait", "--timeout", "20s");
    await machine.output(["touch", "/run/go"]);
    const { code, said } = await waiting;
    assert.equal(code, 0, said);
    assert.match(said, /State: whole/);
  });

  test("no secret is in its journal, its result or its plan", async () => {
    const dry = await machine.run(["flotilla", "bootstrap", "--dry-run"]);
    assert.equal(dry.status, 0, dry.stderr);
    const all = [await machine.journal(), JSON.stringify(await result()), dry.stdout, dry.stderr].join("\n");
    for (const secret of ["topsecret", hash]) assert.ok(!all.includes(secret), secret);
  });

  test("a second run changes nothing but what somebody edited", async () => {
    assert.ok(!(await once()).includes("bootstrap.done"), "something was carried out again");
    await machine.write("/etc/motd", "edited\n");
    await machine.run(["systemctl", "stop", "steady.service"]);
    const said = await once();
    assert.equal(await machine.read("/etc/motd"), "hello\n");
    await machine.waitForUnit("steady.service");
    assert.equal((said.match(/bootstrap\.done/g) ?? []).length, 2, said);
    assert.equal(await machine.read("/etc/app/list"), "more\n");
    assert.equal(await machine.read("/var/log/runcmd"), "late\n");
    assert.equal(await machine.read("/var/log/bootcmd"), "early\n");
  });

  test("what runcmd left running goes on when the boot is run again", async () => {
    const pid = (await machine.read("/var/log/left-running")).trim();
    await machine.output(["systemctl", "restart", "flotilla-bootstrap.service"], { timeoutMs: 60_000 });
    assert.match(await machine.read(`/proc/${pid}/cmdline`), /^sleep.86400/);
  });

  test("at the next boot what runs at each boot runs, and what runs once does not", async () => {
    await machine.reboot({ until: "flotilla-bootstrap.service" });
    await machine.output(["touch", "/run/go"]);
    const { code, said } = await status("--wait", "--timeout", "30s");
    assert.equal(code, 0, said);
    assert.equal(await machine.read("/var/log/bootcmd"), "early\nearly\n");
    assert.equal(await machine.read("/var/log/runcmd"), "late\n");
    assert.equal((await machine.output(["hostname"])).trim(), "set-up");
  });

  test("a unit that fails, and a document that is refused, are told by the status", async () => {
    const seed = "/var/lib/cloud/seed/nocloud/user-data";
    await machine.write(seed, userData.replace("/bin/touch /run/once", "/bin/false"));
    await once();
    await machine.waitForUnit("once.service", { active: "failed" });
    const failed = await status();
    assert.equal(failed.code, 1, failed.said);
    assert.match(failed.said, /once\.service +failed \(exit-code\)/);
    await machine.write(
      seed,
      `${userData.replace("hello\\n", "other\\n")}    - {name: nowhere.service, command: start}\n`,
    );
    await once();
    const refused = await status();
    assert.equal(refused.code, 1, refused.said);
    assert.match(refused.said, /State: refused/);
    assert.match(refused.said, /nowhere\.service/);
    assert.equal(await machine.read("/etc/motd"), "hello\n", "half of it was carried out");
  });
});
