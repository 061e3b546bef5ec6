// The files of settings: found in order, read whole, refused with one clear line.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { createSettingsFiles } from "../../../agent/adapters/settings-files.ts";
import { describeProblem, toRecord, type Checked } from "../../../agent/domain/problem.ts";

function rootWith(t: TestContext, files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), "flotilla-settings-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode: 0o640 });
  }
  return root;
}

function said(checked: Checked<unknown> | undefined): string {
  return checked === undefined || checked.ok
    ? ""
    : checked.problems.map((each) => describeProblem(toRecord(each))).join("\n");
}

const conf = "etc/flotilla/flotilla.conf";
const fleetConf = "etc/fleet/fleet.conf";

suite("settings files", () => {
  test("none is there", async (t) => {
    const found = await createSettingsFiles({ root: rootWith(t, {}) }).find(undefined);
    assert.deepEqual(found, { ok: true, value: { conf: undefined, fleetConf: undefined } });
  });

  test("flotilla.conf hides fleet.conf", async (t) => {
    const root = rootWith(t, { [conf]: "[Git]\n", [fleetConf]: "public_ip=1.2.3.4\n" });
    const found = await createSettingsFiles({ root }).find(undefined);
    const text = { file: join(root, conf), text: "[Git]\n", mode: 0o640 };
    assert.deepEqual(found, { ok: true, value: { conf: text, fleetConf: undefined } });
  });

  test("fleet.conf where there is no other", async (t) => {
    const root = rootWith(t, { [fleetConf]: "public_ip=1.2.3.4\n" });
    const found = await createSettingsFiles({ root }).find(undefined);
    assert.ok(found.ok);
    assert.equal(found.value.fleetConf?.text, "public_ip=1.2.3.4\n");
  });

  test("a named file must exist", async (t) => {
    const root = rootWith(t, { [conf]: "" });
    const path = join(root, "other.conf");
    assert.equal(
      said(await createSettingsFiles({ root }).find(path)),
      `${path}: Cannot read this file (There is no such file)`,
    );
  });

  test("what is no readable text is a problem, not an absence", async (t) => {
    const root = rootWith(t, { big: "#".repeat(1024 * 1024 + 1), latin: Uint8Array.of(0x5b, 0xe4), "folder/x": "" });
    execFileSync("mkfifo", [join(root, "pipe")]);
    const files = createSettingsFiles({ root });
    const say = async (name: string): Promise<string> => said(await files.find(join(root, name)));
    assert.match(await say("big"), /It has more than 1048576 bytes/);
    assert.match(await say("latin"), /It must be text in UTF-8/);
    assert.match(await say("folder"), /It must be a regular file/);
    assert.match(await say("pipe"), /It must be a regular file/);
    assert.match(await say("folder/x/y"), /Cannot read .*ENOTDIR/);
  });

  test("secrets: each by its path, a missing one as a problem", async (t) => {
    const root = rootWith(t, { token: "s3cret\n" });
    const [here, gone] = [join(root, "token"), join(root, "gone")];
    const secrets = await createSettingsFiles().secrets([here, gone]);
    assert.deepEqual(secrets.get(here), { ok: true, value: { file: here, text: "s3cret\n", mode: 0o640 } });
    assert.equal(said(secrets.get(gone)), `${gone}: Cannot read this file (There is no such file)`);
  });
});
