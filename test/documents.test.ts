// What the documents show must work: examples of settings are read by the program itself, and lists of codes and
// commands are compared with the source. (The tables of docs/settings.md have a test of their own in test/unit/settings.)
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { checkSchedule } from "../agent/adapters/cron.ts";
import { describeProgram } from "../agent/cli/args.ts";
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
  const { settings, warnings } = completeSettings(draft, new Map(secrets), { checkSchedule });
  return [...(settings.ok ? [] : settings.problems), ...warnings].map((each) => describeProblem(toRecord(each)));
}

/** Blocks of settings in a document: those whose first line names the file. */
function settingsBlocks(markdown: string): readonly string[] {
  return Array.from(
    markdown.matchAll(/^```ini\n(# \/etc\/flotilla\/flotilla\.conf\n[\s\S]*?)^```/gm),
    ([, block = ""]) => block,
  );
}

/** The rows of a document's tables that have more or fewer cells than the first row of their table, as `LINE: TEXT`. */
function unevenRows(markdown: string): readonly string[] {
  const uneven: string[] = [];
  let [fenced, expected] = [false, 0];
  for (const [index, line] of markdown.split("\n").entries()) {
    if (line.trimStart().startsWith("```")) fenced = !fenced;
    const isRow = !fenced && line.startsWith("|");
    const cells = isRow ? line.trimEnd().replaceAll(/\\./g, "").split("|").length - 2 : 0;
    if (isRow && expected > 0 && cells !== expected) uneven.push(`${String(index + 1)}: ${line.slice(0, 80)}`);
    expected = isRow ? expected || cells : 0;
  }
  return uneven;
}

/** A fleetctl that knows a few units: of its two commands what the export takes. */
const fleetWithUnits = `#!/bin/sh
case $1 in
  list-unit-files)
    printf '%s\\t%s\\n' db.service loaded hello.service launched web@.service inactive \\
      web@1.service launched web@2.service inactive web@3.service launched ;;
  cat)
    printf '[Unit]\\nDescription=A unit\\n\\n[Service]\\nExecStart=/bin/sleep infinity\\n'
    [ "$2" != web@3.service ] || printf '\\n[X-Fleet]\\nMachineMetadata=role=web\\n' ;;
esac
`;

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

  test("the export of docs/from-fleet.md gives a repository that is right", () => {
    const [block = ""] = /^ {3}# export-units[\s\S]*?(?=^ {3}```)/m.exec(read("docs/from-fleet.md")) ?? [];
    const folder = mkdtempSync(join(tmpdir(), "flotilla-export-"));
    try {
      const [bin, repository] = [join(folder, "bin"), join(folder, "units")];
      for (const path of [bin, repository]) mkdirSync(path);
      writeFileSync(join(bin, "fleetctl"), fleetWithUnits, { mode: 0o755 });
      const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}` };
      const script = block.replaceAll(/^ {3}/gm, "");
      const ran = spawnSync("sh", ["-eu", "-c", script], { cwd: repository, env, encoding: "utf8" });
      assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, "", ""]);
      const written = readdirSync(repository, { recursive: true, encoding: "utf8" }).filter((path) =>
        /\.[a-z]+$/.test(path),
      );
      assert.deepEqual(written.toSorted(), [
        "instances/web@1.service",
        "instances/web@2.service",
        "instances/web@2.service.d",
        "instances/web@2.service.d/10-desired.conf",
        "instances/web@3.service",
        "static/db.service",
        "static/db.service.d",
        "static/db.service.d/10-desired.conf",
        "static/hello.service",
        "templates/web@.service",
      ]);
      assert.equal(readlinkSync(join(repository, "instances/web@1.service")), "../templates/web@.service");
      assert.equal(readlinkSync(join(repository, "instances/web@2.service")), "../templates/web@.service");
      assert.throws(() => readlinkSync(join(repository, "instances/web@3.service")), "a text of its own");
      const main = new URL("agent/main.ts", top).pathname;
      const checked = spawnSync(process.execPath, ["--import", "tsx", main, "verify", "--json", repository], {
        encoding: "utf8",
        cwd: new URL(".", top).pathname,
      });
      const { problems, warnings, units } = JSON.parse(checked.stdout) as Readonly<Record<string, unknown>>;
      assert.deepEqual([checked.status, problems, warnings, units], [0, [], [], 6]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const documents = readdirSync(new URL("docs/", top)).filter((name) => name.endsWith(".md"));
  for (const document of ["README.md", "CONTRIBUTING.md", ...documents.map((name) => `docs/${name}`)])
    test(`every row of a table in ${document} has a cell for each column`, () => {
      assert.deepEqual(unevenRows(read(document)), []);
    });

  test("README lists every exit code", () => {
    const listed = Array.from(read("README.md").matchAll(/^\| +(\d+) +\|/gm), ([, code]) => Number(code));
    assert.deepEqual(listed, Object.values(exitCodes));
  });

  test("README lists every command, and no other", async () => {
    const row = /^\| `flotilla ([a-z-]+(?: [a-z-]+)?)/gm;
    const listed = Array.from(read("README.md").matchAll(row), ([, name = ""]) => name);
    const { commands } = await describeProgram("1");
    assert.deepEqual(listed.toSorted(), commands.map(({ name }) => name).toSorted());
  });
});
