// Files that a document writes and appends to: every boot makes the same of them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { FakeBoot } from "../../fakes/fake-boot.ts";

const files = (entries: string): string => `#cloud-config\nwrite_files:\n${entries}`;
const both = files(`  - {path: /etc/app.conf, content: "a\\n", permissions: "0640"}
  - {path: /etc/app.conf, content: "b\\n", append: true}
  - {path: /etc/app.conf, content: "a\\n", append: true}
`);
const inParts = [
  "MIME-Version: 1.0",
  'Content-Type: multipart/mixed; boundary="X"',
  ...['[{path: /etc/app.conf, content: "a\\n"}]', '[{path: /etc/app.conf, content: "b\\n", append: true}]'].flatMap(
    (entries) => ["", "--X", "Content-Type: text/cloud-config", "", "#cloud-config", `write_files: ${entries}`],
  ),
  ...["", "--X--", ""],
].join("\n");

function textOf(boot: FakeBoot): string | undefined {
  const found = boot.setup.files.get("/etc/app.conf");
  return found?.kind === "file" ? found.text : undefined;
}

describe("a file with a text and what is appended to it", () => {
  for (const [name, document, text] of [
    ["in one list", both, "a\nb\na\n"],
    ["in two parts", inParts, "a\nb\n"],
  ] as const)
    test(`is the same at each boot, and the next ones change nothing: ${name}`, async () => {
      const boot = new FakeBoot(document);
      assert.equal((await boot.run()).state, "done");
      assert.equal(textOf(boot), text);
      for (const _ of [2, 3]) {
        boot.reboot();
        assert.equal((await boot.run()).state, "done");
        assert.equal(textOf(boot), text);
        assert.deepEqual(boot.setup.applied, []);
      }
    });

  test("is put right where an earlier version wrote it in two steps", async () => {
    const boot = new FakeBoot(files(`  - {path: /etc/app.conf, content: "b\\n", append: true}\n`));
    boot.setup.files.set("/etc/app.conf", { kind: "file", text: "a\n", mode: 0o644, owner: "root:root" });
    await boot.run();
    assert.equal(textOf(boot), "a\nb\n");
    boot.document = both;
    boot.reboot();
    const result = await boot.run();
    assert.equal(textOf(boot), "a\nb\na\n");
    assert.deepEqual(result.left, []);
  });

  test("says what the text replaces", async () => {
    const boot = new FakeBoot(files(`  - {path: /a, content: x, append: true}\n  - {path: /a, content: y}\n`));
    const { findings } = await boot.run();
    assert.ok(findings.some(({ message }) => message === "Leaving out what is appended to /a before its text"));
  });

  test("is refused where it grows beyond what is taken for one file", async () => {
    const packed = gzipSync(Buffer.alloc(9 * 1024 * 1024)).toString("base64");
    const entry = `  - {path: /a, encoding: gz+b64, content: ${packed}`;
    const boot = new FakeBoot(files(`${entry}}\n${entry}, append: true}\n`));
    const { state, problems } = await boot.run();
    assert.deepEqual([state, problems.map(({ code }) => code)], ["failed", ["boot-file-size"]]);
  });
});
