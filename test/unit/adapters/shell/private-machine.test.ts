import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { enterPrivate, forgetPrivate, notePrivate } from "../../../../agent/adapters/shell/private-machine.ts";

const machine = { id: "1".repeat(32), ip: "127.0.0.1", hostname: "m1" };

suite("the way into a machine of a playground", () => {
  let folder = "";
  let socket = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "flotilla-private-"));
    socket = join(folder, "m1", "api.sock");
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("goes by the note of the machine, for as long as it is on", async () => {
    await notePrivate(folder, machine.id, { pid: 42, runtime: "/r" });
    const entered = (await enterPrivate(machine, socket))?.(["systemctl", "status", "a.service"]);
    assert.equal(entered?.env["XDG_RUNTIME_DIR"], "/r");
    assert.match(entered.words.join(" "), /^nsenter --target 42 .* -- systemctl --user status a\.service$/);
    await forgetPrivate(folder, machine.id);
    await assert.rejects(enterPrivate(machine, socket), {
      code: "shell-private",
      message: "Cannot enter m1: it is off",
    });
  });

  test("is none where the agent is of no playground, also beside systemd's own folder in /run", async () => {
    assert.equal(await enterPrivate(machine, socket), undefined);
    await mkdir(join(folder, "private"), { mode: 0o700 });
    assert.equal(await enterPrivate(machine, socket), undefined);
  });
});
