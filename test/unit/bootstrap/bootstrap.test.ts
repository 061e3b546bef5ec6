import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { BootResult } from "../../../agent/domain/boot-result.ts";
import { parseBootResult } from "../../../agent/text/boot-result.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { FakeBoot, anyBoot } from "../../fakes/fake-boot.ts";
import { upUnit } from "../../fakes/fake-setup.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ a@b";
const whole = `#cloud-config
hostname: web-1
ssh_authorized_keys: ["${key}"]
users:
  - default
  - name: ann
    groups: [ops]
    hashed_passwd: $6$salt$hunter2hunter2
bootcmd: [echo early]
write_files:
  - {path: /etc/motd, content: "hello $private_ipv4\\n"}
  - {path: /etc/token, content: "topsecret\\n", permissions: "0600"}
  - {path: /etc/list, content: "more\\n", append: true}
runcmd: [echo late]
coreos:
  units:
    - name: hello.service
      command: start
      enable: true
      content: |
        [Service]
        ExecStart=/bin/echo hi
        [Install]
        WantedBy=multi-user.target
`;
const words = (result: BootResult): Readonly<Record<string, string>> =>
  Object.fromEntries(result.steps.map((step) => [step.id, step.result]));
const messages = (result: BootResult): string => JSON.stringify(result.problems);

describe("a first boot", () => {
  test("becomes what the document says, and says so", async () => {
    const boot = new FakeBoot(whole);
    const result = await boot.run();
    assert.deepEqual(result.problems, []);
    assert.equal(result.state, "done");
    assert.ok(
      result.steps.every((step) => step.result === "done" || step.id === "renew hello.service"),
      JSON.stringify(words(result)),
    );
    const { setup } = boot;
    assert.equal(setup.hostname, "web-1");
    assert.deepEqual(setup.files.get("/etc/motd"), {
      kind: "file",
      text: "hello 10.0.0.7\n",
      mode: 0o644,
      owner: "root:root",
    });
    assert.equal(setup.units.get("hello.service")?.active, "active");
    assert.ok(setup.enabled.has("hello.service"));
    assert.ok(setup.isClosed);
    assert.deepEqual(result.watch, ["hello.service"]);
    const kept = parseBootResult(boot.disk.files.get("bootstrap/result.json") ?? "");
    assert.deepEqual(kept, { ok: true, value: result });
    const first = setup.applied.findIndex((id) => id === "file /etc/motd");
    for (const id of ["hostname", "user ann", "keys root"]) assert.ok(setup.applied.indexOf(id) < first, id);
  });

  test("changes nothing at the next run, nor what acts once at the next boot", async () => {
    const boot = new FakeBoot(whole);
    await boot.run();
    boot.setup.applied.length = 0;
    const again = await boot.run();
    assert.equal(again.state, "done");
    assert.deepEqual(boot.setup.applied, []);
    boot.reboot();
    const next = await boot.run();
    assert.equal(next.state, "done");
    assert.deepEqual(boot.setup.applied, ["run bootcmd", "start hello.service"]);
  });

  test("does not run a oneshot again that is over, unless its text is another one", async () => {
    const boot = new FakeBoot(whole);
    await boot.run();
    const over = { ...upUnit, active: "inactive", sub: "dead", isOneshot: true };
    boot.setup.units.set("hello.service", over);
    boot.setup.applied.length = 0;
    await boot.run();
    assert.deepEqual(boot.setup.applied, []);
    boot.document = whole.replace("echo hi", "echo ho");
    await boot.run();
    assert.deepEqual(boot.setup.applied, ["unit-file hello.service", "reload", "start hello.service"]);
    boot.setup.units.set("hello.service", { ...upUnit, active: "inactive", sub: "dead" });
    boot.setup.applied.length = 0;
    await boot.run();
    assert.deepEqual(boot.setup.applied, ["start hello.service"], "a service that somebody stopped");
  });

  test("puts back what somebody changed, and names what left the document", async () => {
    const boot = new FakeBoot(whole);
    await boot.run();
    boot.setup.files.set("/etc/motd", { kind: "file", text: "edited", mode: 0o644, owner: "root:root" });
    boot.document = whole.replace(/ {2}- \{path: \/etc\/token.*\n/, "");
    boot.reboot();
    const result = await boot.run();
    assert.equal(words(result)["file /etc/motd"], "done");
    assert.deepEqual(result.left, [{ id: "file /etc/token", path: "/etc/token", isRemoved: false }]);
    assert.ok(boot.log.events("warn").includes("bootstrap.left"));
  });

  test("lets somebody log in though the document is broken, and does nothing else", async () => {
    const boot = new FakeBoot(whole.replace("path: /etc/motd", "path: [/etc/motd]"));
    const result = await boot.run();
    assert.equal(result.state, "failed");
    assert.ok(result.findings.some(({ severity, line }) => severity === "error" && line !== undefined));
    assert.equal(boot.setup.hostname, "web-1");
    assert.ok(boot.setup.files.has("/root/.ssh/authorized_keys"));
    assert.ok(!boot.setup.files.has("/etc/motd") && !boot.setup.files.has("/etc/token"));
    assert.equal(boot.setup.units.size, 0);
  });

  test("is not to be had halfway: what would fail refuses all that comes after reach", async () => {
    const boot = new FakeBoot(whole);
    boot.setup.readOnly.push("/etc/systemd");
    const result = await boot.run();
    assert.equal(result.state, "failed");
    assert.match(messages(result), /Cannot write \/etc\/systemd\/system\/hello\.service/);
    assert.ok(!boot.setup.files.has("/etc/motd"));
    assert.ok(!boot.setup.applied.includes("run bootcmd"));
    assert.equal(words(result)["file /etc/motd"], "skipped");
    assert.equal(words(result)["hostname"], "done");
  });

  test("goes on after one step of reach that fails", async () => {
    const boot = new FakeBoot(whole);
    boot.setup.broken.add("hostname");
    const result = await boot.run();
    assert.equal(result.state, "done");
    assert.equal(words(result)["hostname"], "failed");
    assert.equal(words(result)["keys root"], "done");
    assert.equal(words(result)["start hello.service"], "done");
  });

  test("tells what went wrong beside a step, which is done", async () => {
    const boot = new FakeBoot(whole);
    boot.setup.warnings.set(
      "file /etc/token",
      new Problem("setup-label", "Cannot set the SELinux labels of /etc/token"),
    );
    const result = await boot.run();
    assert.equal(result.state, "done");
    assert.equal(words(result)["file /etc/token"], "done");
    const told = result.findings.find(({ code }) => code === "setup-label");
    assert.deepEqual([told?.severity, told?.message], ["warning", "Cannot set the SELinux labels of /etc/token"]);
    assert.notEqual(told?.line, undefined);
  });

  test("stops at a text that cannot be written, and tells what was done and what was not", async () => {
    const boot = new FakeBoot(whole);
    boot.setup.broken.add("file /etc/token");
    const result = await boot.run();
    assert.equal(result.state, "failed");
    const said = words(result);
    assert.deepEqual(
      [said["file /etc/motd"], said["file /etc/token"], said["start hello.service"], said["run runcmd"]],
      ["done", "failed", "skipped", "skipped"],
    );
    assert.match(messages(result), /file \/etc\/token/);
    boot.setup.broken.clear();
    const mended = await boot.run();
    assert.equal(mended.state, "done");
    assert.equal(words(mended)["start hello.service"], "done");
  });

  test("goes on after a late command that fails, which is not run again", async () => {
    const boot = new FakeBoot(`${whole}phone_home: {url: "http://10.0.0.1/", post: [hostname], tries: 1}\n`);
    boot.setup.broken.add("run runcmd");
    const result = await boot.run();
    assert.equal(result.state, "done");
    assert.equal(words(result)["run runcmd"], "failed");
    assert.equal(words(result)["phone home"], "done");
  });

  test("cut short at any step, it is gone on with and ends as if it had not been", async () => {
    const straight = new FakeBoot(whole);
    await straight.run();
    const count = straight.setup.applied.length;
    for (let at = 0; at < count; at++) {
      const boot = new FakeBoot(whole);
      const over = new AbortController();
      let left = at;
      boot.setup.onApply = () => {
        if (left-- === 0) over.abort();
      };
      const cut = await boot.run(over.signal);
      assert.equal(cut.state, "failed", `cut at ${at}`);
      assert.match(messages(cut), /told to end/, `cut at ${at}`);
      assert.ok(
        cut.steps.some(({ result }) => result === "skipped"),
        `cut at ${at}`,
      );
      boot.setup.onApply = () => undefined;
      const result = await boot.run();
      assert.equal(result.state, "done", `cut at ${at}: ${messages(result)}`);
      assert.deepEqual(boot.setup.picture(), straight.setup.picture(), `cut at ${at}`);
      for (const once of ["run runcmd", "append /etc/list", "run bootcmd"])
        assert.equal(boot.setup.applied.filter((id) => id === once).length, 1, `${once} cut at ${at}`);
    }
  });

  test("says no secret, whatever happens", async () => {
    const secrets = ["topsecret", "hunter2", "pa55phrase"];
    const document = `${whole}chpasswd: {expire: false, users: [{name: root, password: pa55phrase, type: text}]}\n`;
    for (const broken of [undefined, "file /etc/token", "password ann"]) {
      const boot = new FakeBoot(document);
      if (broken !== undefined) boot.setup.broken.add(broken);
      const dry = JSON.stringify(await boot.dryRun());
      const result = JSON.stringify(await boot.run());
      for (const secret of secrets)
        for (const [where, text] of Object.entries({ dry, result, said: boot.said() }))
          assert.ok(!text.includes(secret), `${secret} in ${where}`);
    }
  });

  test("without a source it uses what the last boot found, and says so", async () => {
    const boot = new FakeBoot(whole);
    await boot.run();
    boot.document = undefined;
    boot.reboot();
    const result = await boot.run(undefined, { ...anyBoot, sources: { timeoutMs: undefined } });
    assert.equal(result.state, "done");
    assert.equal(boot.searches.at(-1), 30_000, "it does not stand still for long");
    const first = new FakeBoot(whole);
    await first.run(undefined, { ...anyBoot, sources: { timeoutMs: undefined } });
    assert.deepEqual(first.searches, [300_000]);
    assert.equal(result.source?.isKept, true);
    assert.ok(result.findings.some(({ code }) => code === "boot-kept"));
  });

  test("without a source at the first boot, or on a copied disk, it fails and says why", async () => {
    const fresh = new FakeBoot(undefined);
    assert.match(messages(await fresh.run()), /Cannot find user-data/);
    const copied = new FakeBoot(whole);
    await copied.run();
    copied.document = undefined;
    copied.setup.ownFacts = { machineId: "f".repeat(32) };
    const result = await copied.run();
    assert.equal(result.state, "failed");
    assert.equal(result.steps.length, 0);
  });

  test("a machine that nobody has user-data for has nothing to do, and that is no failure", async () => {
    const boot = new FakeBoot(undefined);
    boot.silence = "absent";
    const result = await boot.run();
    assert.deepEqual([result.state, result.source, result.steps], ["done", undefined, []]);
    const copied = new FakeBoot(whole);
    await copied.run();
    copied.document = undefined;
    copied.silence = "absent";
    copied.setup.ownFacts = { machineId: "f".repeat(32) };
    assert.equal((await copied.run()).state, "failed", "what was once found is missing");
  });

  test("a machine that is given metadata only takes its name and keys", async () => {
    const boot = new FakeBoot("");
    boot.metadata = { instanceId: "i-2", hostname: "named.example.net", sshKeys: [key] };
    const result = await boot.run();
    assert.equal(result.state, "done", messages(result));
    assert.equal(boot.setup.hostname, "named");
    assert.ok(boot.setup.files.has("/root/.ssh/authorized_keys"));
  });

  test("an address that is not known refuses the document before anything is written", async () => {
    const boot = new FakeBoot(whole);
    boot.addresses = {};
    const result = await boot.run();
    assert.equal(result.state, "failed");
    assert.ok(!boot.setup.files.has("/etc/motd"));
    assert.equal(boot.setup.hostname, "web-1");
  });

  test("everybody is let in before the rest is even asked about", async () => {
    const boot = new FakeBoot(`${whole}  etcd2: {trusted_ca_file: /etc/hostname/ca.pem}\n`);
    boot.setup.strangePath = "/etc/hostname/ca.pem";
    const result = await boot.run();
    assert.match(messages(result), /Cannot look at/);
    assert.equal(boot.setup.hostname, "web-1");
    assert.ok(boot.setup.files.has("/root/.ssh/authorized_keys"));
    assert.ok(!boot.setup.files.has("/etc/motd"));
  });

  test("a disk that takes nothing keeps nobody out, and nothing else is begun", async () => {
    const boot = new FakeBoot(whole);
    boot.disk.isFull = true;
    await assert.rejects(boot.run(), { code: "disk-write" });
    assert.equal(boot.setup.hostname, "web-1");
    assert.ok(boot.setup.files.has("/root/.ssh/authorized_keys"));
    assert.ok(!boot.setup.files.has("/etc/motd"));
    boot.disk.isFull = false;
    assert.equal((await boot.run()).state, "done");
    assert.ok(boot.setup.files.has("/etc/motd"));
  });

  test("a machine that was set up beside cloud-init stays so, though that is gone", async () => {
    const boot = new FakeBoot(whole);
    const beside = { ...anyBoot, mode: undefined };
    boot.cloudInit = true;
    assert.equal((await boot.run(undefined, beside)).mode, "beside-cloud-init");
    boot.cloudInit = false;
    boot.reboot();
    assert.equal((await boot.run(undefined, beside)).mode, "beside-cloud-init");
    assert.ok(!boot.setup.applied.some((id) => /^(hostname|user|keys|command)/.test(id)), boot.setup.applied.join());
    boot.metadata = { instanceId: "i-2" };
    assert.equal((await boot.run(undefined, beside)).mode, "alone", "another instance is looked at anew");
  });

  test("a document from elsewhere leaves what the provider said of the machine", async () => {
    const boot = new FakeBoot("#cloud-config\n");
    boot.metadata = { instanceId: "i-1", hostname: "named", sshKeys: [key] };
    await boot.run();
    boot.source = "file";
    boot.metadata = {};
    const result = await boot.run();
    assert.equal(result.state, "done", messages(result));
    const keys = boot.setup.files.get("/root/.ssh/authorized_keys");
    assert.match(JSON.stringify(keys), /AAAAC3NzaC1lZDI1NTE5/);
    assert.equal(boot.setup.hostname, "named");
  });

  test("what acts once is held where nobody knows whether it was done", async () => {
    const boot = new FakeBoot(whole);
    await boot.run();
    boot.disk.files.set("bootstrap/record.json", "{");
    boot.setup.files.delete("/etc/motd");
    boot.reboot();
    const result = await boot.run();
    assert.equal(result.state, "done", messages(result));
    assert.ok(boot.setup.files.has("/etc/motd"), "what can be compared is put right");
    assert.ok(
      !boot.setup.applied.some((id) => id.startsWith("command") && !id.includes("boot")),
      boot.setup.applied.join(),
    );
    assert.match(JSON.stringify(result.findings), /Cannot read what earlier boots did[^"]*run[^"]*/);
    assert.equal(boot.disk.files.get("bootstrap/record.json"), "{", "it is for a person to decide");
  });

  test("two runs do not meet", async () => {
    const boot = new FakeBoot(whole);
    boot.holder = 99;
    await assert.rejects(boot.run(), { code: "bootstrap-running" });
    assert.equal(boot.disk.files.size, 0);
  });

  test("beside cloud-init it leaves name, users and files alone; a document that was named is done whole", async () => {
    const boot = new FakeBoot(whole);
    boot.cloudInit = true;
    const result = await boot.run(undefined, { sources: { timeoutMs: 1 }, mode: undefined });
    assert.equal(result.mode, "beside-cloud-init");
    assert.equal(boot.setup.hostname, "fresh");
    assert.ok(!boot.setup.files.has("/etc/motd"));
    assert.equal(boot.setup.units.get("hello.service")?.active, "active");
    const named = new FakeBoot(whole);
    named.cloudInit = true;
    const other = await named.run(undefined, { sources: { timeoutMs: 1, file: "/x" }, mode: undefined });
    assert.equal(other.mode, "alone");
  });

  test("settings that the agent would refuse refuse the document, at their line", async () => {
    const boot = new FakeBoot(`${whole}flotilla:\n  registry: {request-timeout: soon}\n`);
    const result = await boot.run();
    assert.equal(result.state, "failed");
    const lines = [...result.problems, ...result.findings].map(({ line }) => line);
    assert.ok(lines.includes(whole.split("\n").length + 1), JSON.stringify(result.problems));
    assert.ok(!boot.setup.files.has("/etc/motd"));
  });

  test("a machine that is switched off at the end says first how it went", async () => {
    const boot = new FakeBoot(`${whole}power_state: {mode: reboot, delay: now}\n`);
    let atPower: string | undefined;
    boot.setup.onApply = ({ kind }) => {
      if (kind === "power") atPower = boot.disk.files.get("bootstrap/result.json");
    };
    await boot.run();
    assert.match(atPower ?? "", /"state": "done"/);
    boot.reboot();
    await boot.run();
    assert.ok(!boot.setup.applied.includes("power"));
  });
});

describe("a dry run", () => {
  test("shows what would change and changes nothing", async () => {
    const boot = new FakeBoot(whole);
    const before = JSON.stringify(boot.setup.picture());
    const found = await boot.dryRun();
    assert.equal(JSON.stringify(boot.setup.picture()), before);
    assert.equal(boot.disk.files.size, 0);
    assert.deepEqual(boot.setup.applied, []);
    assert.equal(found.isRefused, false);
    assert.match(found.diff, /^\+hello 10\.0\.0\.7$/m);
    assert.match(found.diff, /have systemd read its files again/);
    assert.ok(found.steps.some(({ id, same }) => id === "start hello.service" && !same));
  });

  test("shows nothing on a machine that is so already", async () => {
    const boot = new FakeBoot(whole);
    await boot.run();
    const found = await boot.dryRun();
    assert.equal(found.diff, "");
  });

  test("tells what would refuse it", async () => {
    const boot = new FakeBoot(whole);
    boot.setup.readOnly.push("/etc/motd");
    const found = await boot.dryRun();
    assert.equal(found.isRefused, true);
    assert.deepEqual(
      found.problems.map(({ code }) => code),
      ["setup-write"],
    );
  });

  test("tells of a schedule that the agent would not start with", async () => {
    const boot = new FakeBoot(`#cloud-config
flotilla:
  git: {url: /srv/units, schedule: "99 * * * *"}
`);
    const found = await boot.dryRun();
    assert.equal(found.isRefused, true);
    assert.deepEqual(
      found.problems.map(({ message, line }) => [message, line]),
      [["Cannot accept [Git] Schedule=99 * * * *: Field value (99) is out of range", 3]],
    );
  });
});
