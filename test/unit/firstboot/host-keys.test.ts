// The script that gives a machine new host keys, run against a folder of the test's own.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { carryOut, plan, stepOf } from "./machine.ts";

/** Makes an rsa and an ed25519 key, or those of `-t`; ends in the midst of it where it is told to. */
const keygen = `#!/bin/sh
make() { echo "new $1" > "$2"; echo "new $1 pub" > "$2.pub"; }
case "$*" in
  *-A*) make rsa "$3/etc/ssh/ssh_host_rsa_key"; [ -z "$BROKEN" ] || exit 1; make ed25519 "$3/etc/ssh/ssh_host_ed25519_key" ;;
  *) [ -z "$BROKEN" ] || exit 1; make "$5" "$7" ;;
esac
`;

suite("new host keys", () => {
  let root = "";
  before(() => {
    root = mkdtempSync(join(tmpdir(), "flotilla-host-keys-"));
    mkdirSync(join(root, "bin"));
    writeFileSync(join(root, "bin", "ssh-keygen"), keygen, { mode: 0o755 });
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  async function run(
    yaml: string,
    { broken = "", old = ["rsa", "dsa"] }: { broken?: string; old?: readonly string[] } = {},
  ): Promise<{ status: number | null; files: Record<string, string> }> {
    const ssh = join(root, "ssh");
    rmSync(ssh, { recursive: true, force: true });
    mkdirSync(ssh);
    for (const name of old.flatMap((type) => [`${type}_key`, `${type}_key.pub`]))
      writeFileSync(join(ssh, `ssh_host_${name}`), "old\n");
    const step = stepOf(await plan(yaml), "new host keys");
    assert.ok(step.kind === "command");
    const script = (step.argv[2] ?? "").replace("cd /etc/ssh", `cd ${ssh}`);
    assert.ok(!/(^|[^\w-])\/etc\/ssh/.test(script), "no other folder is touched");
    const env = { PATH: `${join(root, "bin")}:/usr/bin:/bin`, BROKEN: broken };
    const { status } = spawnSync("/bin/sh", ["-c", script], { env });
    const names = readdirSync(ssh).filter((name) => name.startsWith("ssh_host"));
    return { status, files: Object.fromEntries(names.map((name) => [name, readFileSync(join(ssh, name), "utf8")])) };
  }

  test("take the places of the old ones", async () => {
    assert.deepEqual(await run("ssh_deletekeys: true"), {
      status: 0,
      files: {
        ssh_host_ed25519_key: "new ed25519\n",
        "ssh_host_ed25519_key.pub": "new ed25519 pub\n",
        ssh_host_rsa_key: "new rsa\n",
        "ssh_host_rsa_key.pub": "new rsa pub\n",
      },
    });
  });

  test("are made where there were none", async () => {
    const { status, files } = await run("ssh_deletekeys: true", { old: [] });
    assert.equal(status, 0);
    assert.equal(Object.keys(files).length, 4);
  });

  test("are those that are asked for", async () => {
    const { status, files } = await run("ssh_deletekeys: true\nssh_genkeytypes: [ed25519]");
    assert.equal(status, 0);
    assert.deepEqual(Object.keys(files), ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]);
  });

  for (const types of ["", "\nssh_genkeytypes: [ed25519, rsa]"])
    test(`leave the old ones where they cannot be made${types === "" ? "" : ", by type"}`, async () => {
      const { status, files } = await run(`ssh_deletekeys: true${types}`, { broken: "yes" });
      assert.notEqual(status, 0);
      assert.equal(Object.keys(files).length, 4);
      assert.ok(Object.values(files).every((text) => text === "old\n"));
    });

  test("are made at the next boot where they could not be", async () => {
    const planned = await plan("ssh_deletekeys: true");
    const record = carryOut({ plan: planned }, () => ({ kind: "failed", code: "program-failed", message: "no" }));
    assert.ok((await plan("ssh_deletekeys: true", { record })).steps.some(({ id }) => id === "new host keys"));
  });
});
