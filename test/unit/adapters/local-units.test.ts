import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { createLocalUnits } from "../../../agent/adapters/local-units.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import { explainError } from "../../../agent/domain/problem.ts";
import { maxLocalBytes } from "../../../agent/ports/local-units.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-local-units-"));
const units = createLocalUnits();

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

before(() => {
  write("web@.service", "template");
  write("web@.service.d/10.conf", "shared");
  write("web@.service.d/README", "no drop-in");
  write("hello.service", "hello");
  write("hello.service.d/20.conf", "b");
  write("hello.service.d/10.conf", "a");
  write("other/web@1.service.d/30.conf", "own");
  write("other/web@.service.d/10.conf", "nearer");
  symlinkSync("../web@.service", join(folder, "other/web@1.service"));
  symlinkSync("nowhere", join(folder, "dangling.service"));
  mkdirSync(join(folder, "folder.service"));
  write("large.service", "x".repeat(maxLocalBytes + 1));
  write("odd.service", "odd");
  mkdirSync(join(folder, "odd.service.d"));
  symlinkSync("nowhere", join(folder, "odd.service.d/10.conf"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Text and drop-ins in one line: `hello; hello.service 10.conf a`. */
async function found(path: string, name = path.slice(path.lastIndexOf("/") + 1)): Promise<string | undefined> {
  const unit = await units.find(join(folder, path), { name: name as UnitName });
  if (unit === undefined) return undefined;
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
  return [text(unit.bytes), ...unit.dropIns.map((each) => `${each.unit} ${each.name} ${text(each.bytes)}`)].join("; ");
}

test("a file with the drop-ins beside it, in name order", async () => {
  assert.equal(await found("hello.service"), "hello; hello.service 10.conf a; hello.service 20.conf b");
});

test("a link to a template has its text and its drop-ins; the folder beside the link comes first", async () => {
  assert.equal(await found("other/web@1.service"), "template; web@.service 10.conf nearer; web@1.service 30.conf own");
});

test("a template for one of its instances", async () => {
  assert.equal(await found("web@.service", "web@9.service"), "template; web@.service 10.conf shared");
});

test("what is not there is nothing", async () => {
  for (const path of ["no.service", "dangling.service", "hello.service/x.service", `${"x".repeat(300)}.service`])
    assert.equal(await found(path), undefined);
});

const wrong: readonly (readonly [path: string, why: RegExp])[] = [
  ["folder.service", /it is a folder/],
  ["large.service", /it has more than 1048576 bytes/],
  ["odd.service", /odd\.service\.d\/10\.conf": it leads nowhere/],
];
for (const [path, why] of wrong)
  test(`${path} is refused by name`, async () => {
    await assert.rejects(found(path), (error) => {
      assert.match(explainError(error), new RegExp(`^Cannot read "${folder}/${path.replace(".", "\\.")}`));
      assert.match(explainError(error), why);
      return true;
    });
  });

test("a device that never ends is no file", async () => {
  await assert.rejects(units.find("/dev/zero", { name: "zero.service" as UnitName }), /Cannot read "\/dev\/zero"/);
});

test("it can be given up", async () => {
  const signal = AbortSignal.abort();
  const finding = units.find(join(folder, "hello.service"), { name: "hello.service" as UnitName, signal });
  await assert.rejects(finding, { code: "aborted" });
});
