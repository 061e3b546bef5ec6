// flotilla's own unit files: what a name may not do, and what a folder that cannot be written says.
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { UnitFiles } from "../../../agent/adapters/systemd/unit-files.ts";
import { maxUnitNameBytes } from "../../../agent/domain/names.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { texts, unit, unitName } from "../../contract/systemd.ts";
import { silentLog } from "../../fakes/silent-log.ts";

let folder: string;
let files: UnitFiles;
const name = unitName("web@1.service");
const openFiles = (): UnitFiles =>
  new UnitFiles({ unitDirectory: join(folder, "system"), runDirectory: join(folder, "flotilla"), log: silentLog });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-"));
  files = openFiles();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

for (const bad of ["../../escaped.conf", "/etc/escaped.conf", "a/b.conf", "..", "no-suffix", "nul\0.conf", ""]) {
  test(`a drop-in named ${JSON.stringify(bad)} is refused and nothing of the unit is placed`, () => {
    const hostile = unit(name, texts.stays, [{ name: bad, text: "[Service]\n" }]);
    assert.throws(
      () => files.write(hostile),
      (error) => error instanceof Problem && error.code === "disk-write",
    );
    assert.deepEqual(files.placed(), []);
    assert.deepEqual(readdirSync(join(folder, "system")), []);
  });
}

test("files are for systemd to read, and drop-ins keep their order by number", () => {
  const drops = [
    { name: "b.conf", text: "[Service]\nEnvironment=A=1\n" },
    { name: "a.conf", text: "[Service]\nEnvironment=A=2\n" },
  ];
  files.write(unit(name, texts.stays, drops));
  const own = join(folder, "flotilla", "units");
  assert.equal(readFileSync(join(own, name), "utf8"), texts.stays);
  assert.equal(statSync(join(own, name)).mode & 0o777, 0o644);
  assert.deepEqual(readdirSync(join(own, `${name}.d`)).sort(), ["000-b.conf", "001-a.conf"]);
  files.write(unit(name, texts.stays, drops.slice(0, 1)));
  assert.deepEqual(readdirSync(join(folder, "system", `${name}.d`)), ["000-b.conf"], "by way of the link");
  files.unlink(name);
  files.discard(name);
  assert.deepEqual(readdirSync(own), []);
  assert.deepEqual(readdirSync(join(folder, "system")), []);
});

test("the longest name can be placed, with drop-ins", () => {
  const longest = unitName(`${"n".repeat(maxUnitNameBytes - ".service".length)}.service`);
  files.write(unit(longest, texts.stays, [{ name: "a.conf", text: "[Service]\n" }]));
  assert.deepEqual(
    files.placed().map((each) => each.name),
    [longest],
  );
  files.noteLaunched(longest, undefined);
  files.unlink(longest);
  files.discard(longest);
  assert.deepEqual(files.placed(), []);
});

const dropIns = [{ name: "a.conf", text: "[Service]\n" }];
const fence = { stepMs: 500, stopMs: 1_000 };

test("drop-ins come into a folder of the host's beside the host's own, and only they go again", () => {
  const own = join(folder, "flotilla", "units", `${name}.d`);
  const theirs = join(folder, "system", `${name}.d`);
  files.write(unit(name, texts.stays));
  mkdirSync(theirs);
  writeFileSync(join(theirs, "override.conf"), "[Service]\n");
  files.write({ ...unit(name, texts.stays, [...dropIns, { name: "b.conf", text: "" }]), fence });
  const linked = ["000-a.conf", "001-b.conf", "override.conf", "zz-flotilla-fence.conf"];
  assert.deepEqual(readdirSync(theirs).sort(), linked);
  assert.equal(readlinkSync(join(theirs, "000-a.conf")), join(own, "000-a.conf"));
  assert.equal(files.placed()[0]?.fenceStepMs, 500);
  // As where a crash came between the files and their links
  rmSync(join(theirs, "zz-flotilla-fence.conf"));
  files.noteReload(false);
  assert.equal(openFiles().placed()[0]?.fenceStepMs, 500);
  assert.deepEqual(readdirSync(theirs).sort(), linked);
  assert.ok(files.reloadDue(), "systemd may not have seen it");
  files.write(unit(name, texts.stays, dropIns));
  assert.deepEqual(readdirSync(theirs).sort(), ["000-a.conf", "override.conf"]);
  files.unlink(name);
  files.discard(name);
  assert.deepEqual(readdirSync(theirs), ["override.conf"]);
  assert.deepEqual(files.placed(), []);
});

test("a folder that the host puts in the place of our link gets the drop-ins, and our link comes back after it", () => {
  const theirs = join(folder, "system", `${name}.d`);
  files.write({ ...unit(name, texts.stays, dropIns), fence });
  rmSync(theirs);
  mkdirSync(theirs);
  assert.equal(files.placed()[0]?.fenceStepMs, 500);
  assert.deepEqual(readdirSync(theirs).sort(), ["000-a.conf", "zz-flotilla-fence.conf"]);
  // As `systemctl revert` does
  rmSync(theirs, { recursive: true });
  assert.equal(files.placed()[0]?.fenceStepMs, 500);
  assert.equal(readlinkSync(theirs), join(folder, "flotilla", "units", `${name}.d`));
});

test("where drop-ins or a fence cannot come the unit stays as it was, and is ours as before", () => {
  const theirs = join(folder, "system", `${name}.d`);
  const before = unit(name, texts.stays);
  files.write(before);
  symlinkSync("/dev/null", theirs);
  for (const wanted of [unit(name, texts.fails, dropIns), { ...unit(name, texts.fails), fence }]) {
    assert.throws(
      () => files.write(wanted),
      (error) => error instanceof Problem && error.code === "unit-foreign" && error.message.includes(theirs),
    );
    const [placed] = files.placed();
    assert.equal(placed?.hash, before.hash);
  }
  // Taken when they are there: the fence does not count as in force
  rmSync(theirs);
  files.write({ ...before, fence });
  rmSync(theirs);
  symlinkSync("/dev/null", theirs);
  assert.deepEqual(
    files.placed().map((each) => [each.name, each.fenceStepMs]),
    [[name, undefined]],
  );
});

for (const prefix of ["pre-.service", "pre-@x.service"])
  test(`${prefix} gets no drop-ins, which systemd would read for every unit whose name begins so`, () => {
    const made = unit(unitName(prefix), texts.stays);
    for (const wanted of [unit(made.name, texts.stays, dropIns), { ...made, fence }])
      assert.throws(
        () => files.write(wanted),
        (error) => error instanceof Problem && error.code === "unit-prefix",
      );
    assert.deepEqual(files.placed(), []);
    files.write(made);
    files.write(unit(unitName("pre-a.service"), texts.stays, dropIns));
  });

test("what enabling has made is taken away, however a systemd writes its links, and nothing beside it", () => {
  const text = `${texts.stays}[Install]\nWantedBy=a.target\n`;
  const other = unitName("other.service");
  files.write(unit(name, text));
  files.write(unit(other, text));
  files.noteEnabled(name);
  const system = join(folder, "system");
  const link = (at: string, to: string): void => {
    mkdirSync(join(system, at, ".."), { recursive: true });
    symlinkSync(to, join(system, at));
  };
  link(`a.target.wants/${name}`, join(folder, "flotilla", "units", name));
  link(`a.target.wants/${other}`, join(folder, "flotilla", "units", other));
  link(`b.service.requires/${name}`, join(system, name));
  link(`c.service.upholds/${name}`, `../${name}`);
  link("web@alias.service", name);
  link(`d.target.wants/${name}`, `/etc/systemd/system/${name}`);
  link(`elsewhere.d/${name}`, join(system, name));
  assert.ok(files.letGo(name));
  const left = readdirSync(system, { recursive: true, encoding: "utf8" }).sort();
  assert.deepEqual(
    left,
    ["a.target.wants", `a.target.wants/${other}`, "d.target.wants", `d.target.wants/${name}`, "elsewhere.d"]
      .concat([`elsewhere.d/${name}`, other, name])
      .sort(),
  );
  assert.equal(files.placed().find((each) => each.name === name)?.installDue, true);
  assert.ok(!files.letGo(name), "once is enough");
});

test("a unit that is down for a moment is known to a next agent, unless more was noted of it", () => {
  files.write(unit(name, texts.stays));
  assert.ok(files.noteBreak(name));
  assert.equal(openFiles().placed()[0]?.ahead, "stop");
  files.endBreak(name);
  assert.equal(files.placed()[0]?.ahead, undefined);
  const { hash } = unit(name, texts.stays);
  const ahead = { note: { hash, restart: undefined, as: hash }, invocation: "" };
  files.noteAhead(name, ahead);
  assert.ok(!files.noteBreak(name));
  files.endBreak(name);
  assert.deepEqual(files.placed()[0]?.ahead, ahead);
});

test("a text changed on disk, by whomever, has another hash", () => {
  const made = unit(name, texts.stays, [{ name: "a.conf", text: "[Service]\nEnvironment=A=1\n" }]);
  files.write(made);
  assert.equal(files.placed()[0]?.hash, made.hash);
  const drop = join(folder, "flotilla", "units", `${name}.d`, "000-a.conf");
  writeFileSync(drop, "[Service]\nEnvironment=A=2\n");
  const changed = files.placed()[0]?.hash;
  assert.notEqual(changed, made.hash);
  assert.equal(openFiles().placed()[0]?.hash, changed);
});

test("files that are no units of ours are left alone", () => {
  files.placed();
  const own = join(folder, "flotilla", "units");
  writeFileSync(join(own, "README"), "x");
  mkdirSync(join(own, "folder.service"));
  writeFileSync(join(folder, "system", "host.service"), "[Service]\n");
  assert.deepEqual(files.placed(), []);
  assert.deepEqual(readdirSync(join(folder, "system")), ["host.service"]);
  assert.deepEqual(readdirSync(own).sort(), ["README", "folder.service"]);
});

test("a folder that cannot be made is a problem with its cause", () => {
  writeFileSync(join(folder, "flotilla"), "in the way");
  assert.throws(
    () => files.write(unit(name, texts.stays)),
    (error) => error instanceof Problem && error.code === "disk-write" && error.cause instanceof Error,
  );
  assert.throws(
    () => files.placed(),
    (error) => error instanceof Problem && error.code === "disk-read",
  );
});
