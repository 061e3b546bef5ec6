import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { CommandLine } from "../../../agent/domain/user-data.ts";
import { waitsOf } from "../../../agent/firstboot/waits.ts";
import { plan, refusals } from "./machine.ts";

const at = { file: "user-data", line: 1 };
const shell = (text: string): CommandLine => ({ kind: "shell", text, at });
const argv = (...words: readonly string[]): CommandLine => ({ kind: "argv", argv: words, at });

suite("commands that would wait for the boot that runs them", () => {
  const waits: readonly (readonly [command: CommandLine, said: string])[] = [
    [shell("systemctl restart flotilla"), "restart flotilla.service"],
    [shell("cd /tmp && sudo systemctl start -q etcd.service"), "start etcd.service"],
    [shell("if true; then systemctl enable --now 'flotilla'; fi"), "enable --now flotilla.service"],
    [shell("systemctl daemon-reload\nFOO=1 /usr/bin/systemctl try-restart nginx etcd"), "try-restart etcd.service"],
    [shell("service etcd restart"), "restart etcd.service"],
    [argv("systemctl", "reload-or-restart", "flotilla-discovery"), "reload-or-restart flotilla-discovery.service"],
    [argv("/bin/sh", "-ec", "systemctl start etcd-member"), "start etcd-member.service"],
    [shell("systemctl --no-block restart flotilla-bootstrap"), "restart flotilla-bootstrap.service"],
  ];
  for (const [command, said] of waits)
    test(`waits: ${JSON.stringify(command.kind === "shell" ? command.text : command.argv)}`, () =>
      assert.deepEqual(
        waitsOf(command).map(({ verb, unit }) => `${verb} ${unit}`),
        [said],
      ));

  for (const command of [
    shell("systemctl --no-block restart flotilla"),
    shell("systemctl restart nginx etcd-backup.service"),
    shell("systemctl restart etcd &"),
    shell("systemctl stop etcd; systemctl enable flotilla; systemctl is-active etcd"),
    shell("echo systemctl restart etcd"),
    argv("echo", "systemctl", "restart", "etcd"),
    argv("systemctl", "restart", "etcd", "--no-block"),
  ])
    test(`does not: ${JSON.stringify(command.kind === "shell" ? command.text : command.argv)}`, () =>
      assert.deepEqual(waitsOf(command), []));

  for (const key of ["runcmd", "bootcmd"])
    test(`are refused in ${key}, with what to write`, async () => {
      const [problem, ...more] = await refusals(`${key}:\n  - ls\n  - systemctl restart etcd`);
      assert.deepEqual(more, []);
      assert.equal(problem?.code, "boot-command-waits");
      assert.equal(problem.at?.line, 4);
      assert.match(problem.hint ?? "", /systemctl --no-block restart etcd\.service/);
    });

  test("beside cloud-init they run after this boot", async () => {
    await plan("runcmd: [systemctl restart flotilla]", { mode: "beside-cloud-init" });
  });
});
