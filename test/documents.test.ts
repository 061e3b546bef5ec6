// What the documents show must work: examples of settings are read by the program itself, and lists of codes and
// commands are compared with the source. (The tables of docs/settings.md have a test of their own in test/unit/settings.)
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { suite, test } from "node:test";
import { exitCodes } from "../agent/cli/exit-codes.ts";
import { describeProblem, toRecord, valid } from "../agent/domain/problem.ts";
import { completeSettings, draftSettings } from "../agent/settings/settings.ts";
import { readUserData } from "../agent/userdata/userdata.ts";

const top = new URL("../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, top), "utf8");

/** What the program says to a settings file: problems and warnings, with a stand-in for each secret file. */
function complaints(text: string): readonly string[] {
  const draft = draftSettings({
    conf: { file: "flotilla.conf", text, mode: 0o600 },
    fleetConf: undefined,
    environment: {},
    flags: {},
  });
  const secrets = draft.secretFiles.map((file) => [file, valid({ file, text: "secret\n", mode: 0o600 })] as const);
  const { settings, warnings } = completeSettings(draft, new Map(secrets));
  return [...(settings.ok ? [] : settings.problems), ...warnings].map((each) => describeProblem(toRecord(each)));
}

/** Blocks of settings in a document: those whose first line names the file. */
function settingsBlocks(markdown: string): readonly string[] {
  return Array.from(
    markdown.matchAll(/^```ini\n(# \/etc\/flotilla\/flotilla\.conf\n[\s\S]*?)^```/gm),
    ([, block = ""]) => block,
  );
}

suite("documents", () => {
  for (const document of ["README.md", "docs/settings.md"])
    test(`the settings in ${document} are right`, () => {
      const blocks = settingsBlocks(read(document));
      assert.ok(blocks.length > 0);
      for (const block of blocks) assert.deepEqual(complaints(block), []);
    });

  for (const document of ["README.md", "docs/user-data.md"])
    test(`the user-data in ${document} is right`, async () => {
      const blocks = Array.from(
        read(document).matchAll(/^```yaml\n(#cloud-config\n[\s\S]*?)^```/gm),
        ([, text = ""]) => text,
      );
      assert.ok(blocks.length > 0);
      for (const text of blocks) {
        const { findings } = await readUserData(new TextEncoder().encode(text), { file: document });
        const wrong = findings.filter(({ severity }) => severity !== "info");
        assert.deepEqual(
          wrong.map(({ problem }) => describeProblem(toRecord(problem))),
          [],
        );
      }
    });

  for (const name of readdirSync(new URL("cloud-config/", top)))
    test(`the user-data in cloud-config/${name} is right`, async () => {
      const bytes = new TextEncoder().encode(read(`cloud-config/${name}`));
      const { userData, findings } = await readUserData(bytes, { file: name });
      assert.deepEqual(
        findings.filter(({ severity }) => severity !== "info").map(({ problem }) => describeProblem(toRecord(problem))),
        [],
      );
      assert.equal(userData?.kind, "cloud-config");
      assert.ok(userData.config.settings.some(({ section, key }) => section === "Git" && key === "URL"));
    });

  test("README lists every exit code", () => {
    const listed = Array.from(read("README.md").matchAll(/^\| +(\d+) +\|/gm), ([, code]) => Number(code));
    assert.deepEqual(listed, Object.values(exitCodes));
  });

  test("README lists every command, and no other", () => {
    const row = /^\| `flotilla ([a-z-]+(?: [a-z-]+)?)/gm;
    const listed = Array.from(read("README.md").matchAll(row), ([, name = ""]) => name);
    const folder = new URL("agent/cli/", top);
    const commands = readdirSync(folder).flatMap((file) =>
      Array.from(
        readFileSync(new URL(file, folder), "utf8").matchAll(/^ +name: "([a-z-]+(?: [a-z-]+)?)",\n +summary:/gm),
        ([, name = ""]) => name,
      ),
    );
    assert.deepEqual(listed.toSorted(), commands.toSorted());
  });
});
