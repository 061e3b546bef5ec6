import assert from "node:assert/strict";
import { chown, mkdir, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { Secret } from "../../../../agent/domain/settings.ts";
import { Problem } from "../../../../agent/domain/problem.ts";
import { hostSetupContract, step, webUser, wish } from "../../../contract/host-setup.ts";
import { type ScratchRoot, openScratchRoot } from "./root.ts";

const isRoot = process.geteuid?.() === 0;
const skip = isRoot ? false : "files are given to other accounts, which takes root";
const never = new AbortController().signal;
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0 one@example";

if (isRoot) hostSetupContract("files below a scratch root", openScratchRoot);

describe("setup below a scratch root", { skip }, () => {
  let machine: ScratchRoot;
  before(async () => {
    machine = await openScratchRoot();
    await machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nyou:x:4242:4242::/home/you:/bin/sh\n");
    await machine.put("/etc/group", "root:x:0:\nyou:x:4242:\n");
    await mkdir(machine.at("/home/you"), { recursive: true });
    await chown(machine.at("/home/you"), 4242, 4242);
  });
  after(() => machine.close());

  const keys = step({ kind: "authorized-keys", user: "you", set: "flotilla", keys: [key] });
  const refused = async (work: Promise<unknown>): Promise<void> =>
    assert.rejects(work, (error) => error instanceof Problem && error.code === "setup-path");

  test("keys follow no link that the account's owner planted", async () => {
    await machine.put("/etc/cron.d/job", "theirs\n");
    await symlink(machine.at("/etc/cron.d"), machine.at("/home/you/.ssh"));
    await refused(machine.setup.apply(keys, never));
    assert.deepEqual(await readdir(machine.at("/etc/cron.d")), ["job"]);
    assert.deepEqual(
      (await machine.setup.check(keys, [])).map(({ code }) => code),
      ["setup-path"],
    );
  });

  test("keys overwrite nothing that a link of theirs leads to", async () => {
    await machine.put("/home/you/.ssh2/x", "");
    await machine.close();
    machine = await openScratchRoot();
    await machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nyou:x:4242:4242::/home/you:/bin/sh\n");
    await machine.put("/etc/group", "root:x:0:\nyou:x:4242:\n");
    await mkdir(machine.at("/home/you/.ssh"), { recursive: true });
    await chown(machine.at("/home/you"), 4242, 4242);
    await chown(machine.at("/home/you/.ssh"), 4242, 4242);
    await symlink("/etc/shadow", machine.at("/home/you/.ssh/authorized_keys"));
    await refused(machine.setup.apply(keys, never));
    assert.match((await machine.read("/etc/shadow")) ?? "", /^root:\*/);
  });

  test("keys are the account's own, in a folder of its own", async () => {
    await machine.close();
    machine = await openScratchRoot();
    await machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nyou:x:4242:4242::/home/you:/bin/sh\n");
    await mkdir(machine.at("/home/you"), { recursive: true });
    await chown(machine.at("/home/you"), 4242, 4242);
    await machine.setup.apply(keys, never);
    for (const [path, mode] of [
      ["/home/you/.ssh", 0o700],
      ["/home/you/.ssh/authorized_keys", 0o600],
    ] as const) {
      const entry = await stat(machine.at(path));
      assert.deepEqual([entry.uid, entry.gid, entry.mode & 0o7777], [4242, 4242, mode], path);
    }
    assert.equal((await machine.setup.look(keys)).same, true);
  });

  test("keys without a home are refused in words", async () => {
    await machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nlost:x:77:77::/home/lost:/bin/sh\n");
    const one = step({ kind: "authorized-keys", user: "lost", set: "flotilla", keys: [key] });
    await assert.rejects(machine.setup.apply(one, never), { code: "setup-home" });
    assert.equal(await machine.read("/home/lost"), undefined);
  });

  test("a file of root's follows root's links and nobody else's", async () => {
    await mkdir(machine.at("/srv/shared"), { recursive: true, mode: 0o777 });
    await mkdir(machine.at("/data"));
    await symlink("/data", machine.at("/srv/own"));
    await machine.setup.apply(step({ kind: "file", file: wish("/srv/own/a", "1") }), never);
    assert.equal(await machine.read("/data/a"), "1");
    await symlink("/data", machine.at("/srv/shared/trap"));
    const { chmod } = await import("node:fs/promises");
    await chmod(machine.at("/srv/shared"), 0o777);
    const one = step({ kind: "file", file: wish("/srv/shared/trap/a", "2") });
    await refused(machine.setup.apply(one, never));
    assert.equal(await machine.read("/data/a"), "1");
  });

  test("bytes of others that are no UTF-8 stay as they are, beside lines of ours that are", async () => {
    const theirs = Buffer.from("# caf\xe9 \xff\x80\nLANG=C\n", "latin1");
    const ours = Buffer.from("10.0.0.1 b\u00fccher\n");
    for (const [path, one] of [
      ["/etc/hosts", step({ kind: "block", path: "/etc/hosts", name: "host", lines: ["10.0.0.1 b\u00fccher"] })],
      ["/etc/vars", step({ kind: "variables", path: "/etc/vars", base: undefined, values: { NAME: "b\u00fccher" } })],
      [
        "/root/.ssh/authorized_keys",
        step({ kind: "authorized-keys", user: "root", set: "s", keys: [`${key} \u00fc`] }),
      ],
    ] as const) {
      await machine.put(path, "");
      await writeFile(machine.at(path), theirs);
      const look = await machine.setup.look(one);
      assert.match(look.after ?? "", /\u00fc/, `${path}: shown as it is meant`);
      await machine.setup.apply(one, never);
      const now = await readFile(machine.at(path));
      assert.ok(now.subarray(0, theirs.length).equals(theirs), `${path}: ${now.toString("latin1")}`);
      if (path === "/etc/hosts") assert.ok(now.includes(ours), now.toString("utf8"));
      assert.ok(now.includes(Buffer.from("\u00fc")), path);
      assert.equal((await machine.setup.look(one)).same, true, path);
    }
  });

  test("a mask is no unit, and what it hides is one", async () => {
    await mkdir(machine.at("/etc/systemd/system"), { recursive: true });
    await symlink("/dev/null", machine.at("/etc/systemd/system/gone.service"));
    await machine.put("/etc/systemd/system/void.service", "");
    await symlink("/dev/null", machine.at("/etc/systemd/system/hidden.service"));
    await machine.put("/usr/lib/systemd/system/hidden.service", "[Service]\n");
    await machine.put("/usr/lib/systemd/system/plain@.service", "[Service]\n");
    const units = ["gone.service", "void.service", "hidden.service", "plain@1.service"];
    const facts = await machine.setup.facts({ units, programs: [], paths: [] });
    assert.deepEqual([...facts.units], ["hidden.service", "plain@1.service"]);
    const start = step({ kind: "unit", unit: "gone.service", command: "start" });
    assert.deepEqual(
      (await machine.setup.check(start, [])).map(({ code }) => code),
      ["setup-unit"],
    );
  });

  test("a link at the end is replaced, not followed", async () => {
    await machine.put("/data/target", "theirs");
    await symlink("/data/target", machine.at("/etc/link"));
    await machine.setup.apply(step({ kind: "file", file: wish("/etc/link", "ours") }), never);
    assert.equal(await machine.read("/data/target"), "theirs");
    assert.equal(await machine.read("/etc/link"), "ours");
  });

  test("what a crash left behind is used up, and a failure leaves nothing", async () => {
    await machine.setup.apply(step({ kind: "file", file: wish("/var/x/file", "1") }), never);
    assert.deepEqual(await readdir(machine.at("/var/x")), ["file"]);
    const { createHash } = await import("node:crypto");
    const stale = `.flotilla-${createHash("sha256").update("file").digest("hex").slice(0, 16)}.new`;
    await writeFile(machine.at(`/var/x/${stale}`), "half");
    await machine.setup.apply(step({ kind: "file", file: wish("/var/x/file", "2") }), never);
    assert.deepEqual(await readdir(machine.at("/var/x")), ["file"]);
    await mkdir(machine.at("/var/x/folder"));
    await assert.rejects(machine.setup.apply(step({ kind: "file", file: wish("/var/x/folder", "3") }), never));
    assert.deepEqual((await readdir(machine.at("/var/x"))).sort(), ["file", "folder"]);
  });

  test("what others may not read is shown to nobody, old or new", async () => {
    await machine.setup.apply(
      step({ kind: "file", file: wish("/etc/token", "hunter2", { mode: 0o600, isSecret: true }) }),
      never,
    );
    const looked = await machine.setup.look(step({ kind: "file", file: wish("/etc/token", "public") }));
    assert.ok(!JSON.stringify(looked).includes("hunter2"));
    assert.match(looked.after ?? "", /public/);
  });

  test("systems, default user and units are taken from the machine", async () => {
    await machine.put("/usr/lib/systemd/system/web@.service", "[Service]\n");
    await machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\ncore:x:500:500::/home/core:/bin/sh\n");
    const facts = await machine.setup.facts({
      units: ["web@1.service", "db.service"],
      programs: ["nothing"],
      paths: [],
    });
    assert.deepEqual(facts.systems, ["flatcar", "coreos", "gentoo"]);
    assert.equal(facts.defaultUser, "core");
    assert.equal(facts.machineId, "ab".repeat(16));
    assert.deepEqual([...facts.units], ["web@1.service"]);
    assert.deepEqual([...facts.programs], []);
  });

  test("what would be done to this very machine is refused", async () => {
    for (const one of [
      step({ kind: "power", mode: "poweroff", delay: "+600", message: "" }),
      step({ kind: "packages", names: [], update: false, upgrade: false }),
      step({ kind: "mount", mountPoint: "/nowhere" }),
    ])
      await assert.rejects(machine.setup.apply(one, never), { code: "setup-root" });
  });

  test("commands run in a clean environment, bounded, and with all their children ended", async () => {
    const echo = step({ kind: "command", argv: ["/bin/sh", "-c", "exit 3"], input: undefined, means: "fail" });
    await assert.rejects(machine.setup.apply(echo, never), { code: "program-failed", message: /status 3/ });
    const over = new AbortController();
    const hang = step({
      kind: "command",
      argv: ["/bin/sh", "-c", "sleep 600 & wait"],
      input: undefined,
      means: "hang",
    });
    const running = machine.setup.apply(hang, over.signal);
    setImmediate(() => over.abort());
    await assert.rejects(running, { code: "aborted" });
  });
});

describe("accounts below a scratch root", { skip }, () => {
  let machine: ScratchRoot;
  before(async () => (machine = await openScratchRoot()));
  after(() => machine.close());

  test("a group, an account in it, a password and a lock", async () => {
    const { setup } = machine;
    const group = step({ kind: "group", name: "ops", members: [] }, "group ops");
    const user = step(
      {
        kind: "user",
        user: { ...webUser, name: "ann", gecos: "Ann, of ops", groups: ["ops", "adm"], shell: "/bin/sh", uid: 4711 },
      },
      "user ann",
    );
    const hash = "$6$salt$notarealhash/butoftherightshape";
    const password = step(
      { kind: "password", user: "ann", password: new Secret(hash), isHash: true, expire: false },
      "password",
    );
    const lock = step({ kind: "lock", user: "ann", locked: true }, "lock");
    assert.deepEqual(await setup.check(user, [group]), []);
    assert.equal((await setup.check(user, [])).length, 1, "a group that nobody makes");
    for (const one of [group, user]) {
      assert.equal((await setup.look(one)).same, false, one.id);
      await setup.apply(one, never);
      assert.equal((await setup.look(one)).same, true, one.id);
    }
    assert.match((await machine.read("/etc/passwd")) ?? "", /^ann:x:4711:\d+:Ann, of ops:\/home\/ann:\/bin\/sh$/m);
    assert.match((await machine.read("/etc/group")) ?? "", /^ops:x:\d+:ann$/m);
    assert.match((await machine.read("/etc/shadow")) ?? "", /^ann:\*:/m, "let in with a key, not with a password");
    assert.equal((await stat(machine.at("/home/ann"))).uid, 4711);
    assert.equal((await setup.look(lock)).same, true, "no password is as good as locked");
    assert.deepEqual(await setup.look(password), { same: false, before: undefined, after: undefined });
    await setup.apply(password, never);
    assert.equal((await setup.look(password)).same, true);
    await setup.apply(lock, never);
    assert.match((await machine.read("/etc/shadow")) ?? "", /^ann:!\$6\$/m);
    assert.equal((await setup.look(lock)).same, true);
    await setup.apply(step({ kind: "lock", user: "ann", locked: false }), never);
    assert.ok((await machine.read("/etc/shadow"))?.includes(`ann:${hash}:`));
  });

  test("an account that is there only gets the groups it lacks", async () => {
    const again = step({
      kind: "user",
      user: { ...webUser, name: "ann", groups: ["ops", "root"], shell: "/bin/false" },
    });
    await machine.setup.apply(again, never);
    assert.match((await machine.read("/etc/passwd")) ?? "", /^ann:x:4711:\d+:Ann, of ops:\/home\/ann:\/bin\/sh$/m);
    assert.match((await machine.read("/etc/group")) ?? "", /^root:x:0:ann$/m);
  });

  test("a home that an account lost, or never got, is made as a new one is", async () => {
    const { setup } = machine;
    const home = "/home/ann";
    await machine.put("/etc/skel/.profile", "hello\n");
    await machine.put("/etc/skel/.config/app", "a\n");
    const user = step({ kind: "user", user: { ...webUser, name: "ann", groups: ["ops"] } });
    assert.equal((await setup.look(user)).same, true);
    await rm(machine.at("/home"), { recursive: true });
    await mkdir(machine.at("/home/.flotilla-ann.new/half"), { recursive: true }); // by a run that was cut short
    const looked = await setup.look(user);
    assert.deepEqual([looked.same, looked.after], [false, "account ann, in root, adm, ops, home /home/ann\n"]);
    const none = step({ kind: "user", user: { ...webUser, name: "ann", groups: ["ops"], createHome: false } });
    assert.equal((await setup.look(none)).same, true, "none is wanted");
    const paths = await setup.apply(user, never);
    assert.deepEqual([...paths].sort(), [
      ...["", "/.config", "/.config/app", "/.profile"].map((below) => `${home}${below}`),
    ]);
    assert.deepEqual(await readdir(machine.at("/home")), ["ann"]);
    assert.equal(await machine.read(`${home}/.config/app`), "a\n");
    for (const path of paths) assert.equal((await stat(machine.at(path))).uid, 4711, path);
    assert.equal(await machine.mode("/home/ann"), 0o700);
    assert.equal((await setup.look(user)).same, true);
    await setup.apply(step({ kind: "authorized-keys", user: "ann", set: "flotilla", keys: [key] }), never);
  });

  test("no home is made that is none of the account's own, or where others could meddle", async () => {
    const { setup } = machine;
    const passwd = (await machine.read("/etc/passwd")) ?? "";
    await machine.put(
      "/etc/passwd",
      `${passwd}www-data:x:33:33::/var/www:/bin/sh\nbob:x:4712:4712::/srv/theirs/bob:/bin/sh\n`,
    );
    for (const name of ["nobody", "www-data"])
      assert.equal((await setup.look(step({ kind: "user", user: { ...webUser, name, groups: [] } }))).same, true, name);
    await mkdir(machine.at("/srv/theirs"), { recursive: true });
    await chown(machine.at("/srv/theirs"), 4711, 4711);
    const bob = step({ kind: "user", user: { ...webUser, name: "bob", groups: [] } });
    await assert.rejects(setup.apply(bob, never), { code: "setup-path" });
    assert.deepEqual(await readdir(machine.at("/srv/theirs")), []);
  });

  test("no second account gets a password by a line end", async () => {
    const one = step({
      kind: "password",
      user: "ann",
      password: new Secret("x\nroot:y"),
      isHash: false,
      expire: false,
    });
    const found = await machine.setup.check(one, []);
    assert.deepEqual(
      found.map(({ code }) => code),
      ["setup-password"],
    );
    await assert.rejects(machine.setup.apply(one, never), { code: "setup-password" });
    assert.ok(!JSON.stringify(found.map(({ message, hint }) => [message, hint])).includes("root:y"));
  });
});
