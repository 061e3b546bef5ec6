import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { describeProgram, runCommand } from "../../../agent/cli/args.ts";
import { manualPage } from "../../../agent/cli/manual.ts";
import { flagOf } from "../../../agent/cli/shape.ts";
import { completionScript } from "../../../agent/cli/shells.ts";
import { fakeTools } from "../../fakes/fake-tools.ts";

const program = await describeProgram("1.2.3");
const shells = ["bash", "zsh", "fish"] as const;
const has = (name: string): boolean => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;

suite("flags taken apart", () => {
  const cases = [
    ["--json", undefined, "--json", undefined],
    ["--fields LIST", undefined, "--fields", "LIST"],
    ["-l, --full", "-l", "--full", undefined],
    ["-f, --from-file FILE", "-f", "--from-file", "FILE"],
    ["--machine-metadata KEY=VALUE,...", undefined, "--machine-metadata", "KEY=VALUE,..."],
    ["--machine-may-lead YES|NO", undefined, "--machine-may-lead", "YES|NO"],
  ] as const;
  for (const [flags, short, long, value] of cases)
    test(flags, () => assert.deepEqual(flagOf({ flags, means: "m" }), { short, long, value, means: "m" }));

  test("every option of every command is written so", () => {
    for (const { name, options } of program.commands)
      for (const option of options) assert.notEqual(flagOf(option).long, "", `${name} ${option.flags}`);
  });
});

suite("every command and option is in", () => {
  for (const shell of shells)
    test(`the completions for ${shell}`, () => {
      const script = completionScript(shell, program);
      for (const { name, options } of program.commands) {
        const written = { bash: name.replace(" ", "+"), zsh: name, fish: name }[shell];
        assert.ok(script.includes(written), name);
        for (const { long } of options.map(flagOf)) {
          const text =
            shell === "fish"
              ? script
                  .split("\n")
                  .find((line) => line.includes(`_is ${name}`) && line.includes(` -l ${long.slice(2)} `))
              : long;
          assert.ok(text !== undefined && script.includes(text), `${name} ${long}`);
        }
      }
    });

  test("the manual", () => {
    const page = manualPage(program);
    for (const { name, summary, options, examples } of program.commands) {
      const escaped = (text: string): string => text.replaceAll("-", "\\-");
      const [, section = ""] = page.split(new RegExp(`^\\.SS ${escaped(name).replaceAll("\\", "\\\\")}(?= |$)`, "m"));
      const own = section.split(/^\.S[SH] /m)[0] ?? "";
      assert.ok(own.includes(escaped(summary)), name);
      for (const { long } of options.map(flagOf))
        assert.ok(own.includes(`\\fB${escaped(long)}\\fR`), `${name} ${long}`);
      for (const [words] of examples) assert.ok(own.includes(escaped(words)), `${name}: ${words}`);
    }
  });
});

test("the manual is a page that man reads without a complaint", { skip: has("groff") ? false : "no groff" }, () => {
  const { stderr, stdout } = spawnSync("groff", ["-man", "-Tutf8", "-P-cbou", "-ww"], {
    input: manualPage(program),
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  assert.match(stdout, /EXIT STATUS/);
});

suite("bash completes", { skip: has("bash") ? false : "no bash" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-completion-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "some.conf"), "");
  const script = completionScript("bash", program);
  const complete = (words: readonly string[]): readonly string[] => {
    const ask = `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _flotilla; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", ask, "bash", "flotilla", ...words], {
      encoding: "utf8",
      cwd: folder,
    });
    assert.equal(stderr, "");
    return stdout.split("\n").filter((line) => line !== "");
  };
  const cases: readonly (readonly [words: readonly string[], expect: readonly string[]])[] = [
    [["list-m"], ["list-machines"]],
    [["--so"], ["--socket"]],
    [["--socket", ""], ["some.conf"]],
    [
      ["--socket", "/x", "list-uni"],
      ["list-units", "list-unit-files"],
    ],
    [
      ["list-units", "--f"],
      ["--fields", "--full"],
    ],
    [["list-units", "--fields", ""], []],
    [
      ["playground", ""],
      ["kill", "start"],
    ],
    [["playground", "--machines", "3", "k"], ["kill"]],
    [["playground", "kill", ""], []],
    [["completion", ""], [...shells]],
    [
      ["help", "ver"],
      ["verify", "version"],
    ],
    [["verify", "so"], ["some.conf"]],
    [["agent", "--config", "=", "so"], ["some.conf"]],
    [["agent", "--log-level", "="], []],
    [["agent", "--git-tok"], ["--git-token-file"]],
  ];
  for (const [words, expect] of cases)
    test(`flotilla ${words.join(" ")}`, () => assert.deepEqual(complete(words), expect));
});

for (const shell of shells) {
  const syntax = { bash: ["-n"], zsh: ["-f", "-n"], fish: ["--no-execute"] }[shell];
  test(`${shell} reads its script`, { skip: has(shell) ? false : `no ${shell}` }, async () => {
    const tools = fakeTools();
    assert.equal(await runCommand(["completion", shell], tools), 0);
    assert.equal(tools.stdout.text, completionScript(shell, await describeProgram(tools.version)));
    const folder = mkdtempSync(join(tmpdir(), "flotilla-completion-"));
    try {
      const file = join(folder, "script");
      writeFileSync(file, tools.stdout.text);
      const { status, stderr } = spawnSync(shell, [...syntax, file], { encoding: "utf8" });
      assert.deepEqual([status, stderr], [0, ""]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test("another shell is refused", async () => {
  const tools = fakeTools();
  assert.equal(await runCommand(["completion", "tcsh"], tools), 2);
  assert.match(tools.stderr.text, /It is bash, zsh, fish/);
});
