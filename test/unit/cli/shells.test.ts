import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** A flotilla that knows a small cluster, and keeps what it was called with in the file `calls`. */
function writeProgram(folder: string): void {
  const script = `#!/bin/sh
echo "$*" >> ${folder}/calls
while [ "$1" != __complete ]; do shift; done
begins() { case $1 in "$2"*) printf '%s\\tsome words\\n' "$1" ;; esac; }
case $2 in
  units) for each in web@1.service web@2.service db.service 'srv-a\\x2db.mount'; do begins "$each" "$4"; done ;;
  machines) for each in 59f61aeb b40f1753; do begins $each "$4"; done ;;
  metadata) for each in role=web role=db; do begins $each "$4"; done ;;
  targets) for each in db.service 59f61aeb; do begins $each "$4"; done ;;
esac
`;
  writeFileSync(join(folder, "flotilla"), script, { mode: 0o755 });
}

suite("bash completes", { skip: has("bash") ? false : "no bash" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-completion-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "some.conf"), "");
  const script = completionScript("bash", program);
  writeProgram(folder);
  /** As readline does it: the line whole, and its words taken apart at what COMP_WORDBREAKS has. */
  const complete = (words: readonly string[]): readonly string[] => {
    const line = [join(folder, "flotilla"), ...words];
    const parts = line.flatMap((word) => (word === "" ? [""] : word.split(/([=@:])/).filter((part) => part !== "")));
    const ask = `${script}
COMP_LINE=$1; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
_flotilla; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", ask, "bash", line.join(" "), ...parts], {
      encoding: "utf8",
      cwd: folder,
    });
    assert.equal(stderr, "");
    return stdout.split("\n").filter((line) => line !== "");
  };
  const cases: readonly (readonly [words: readonly string[], expect: readonly string[]])[] = [
    [["list-m"], ["list-machines"]],
    [["--so"], ["--socket"]],
    [["--socket", "so"], ["some.conf"]],
    [
      ["--socket", "/x", "list-uni"],
      ["list-units", "list-unit-files"],
    ],
    [
      ["list-units", "--f"],
      ["--fields", "--full"],
    ],
    [
      ["list-units", "--fields", "s"],
      ["sub", "since", "source"],
    ],
    [["list-units", "--fields", "unit,ma"], ["unit,machine"]],
    [["list-units", "--state=fa"], ["failed"]],
    [
      ["status", ""],
      ["web@1.service", "web@2.service", "db.service", "srv-a\\\\x2db.mount"],
    ],
    [["status", "d"], ["db.service"]],
    // Only what stands behind the last "@" is replaced
    [
      ["status", "web@"],
      ["1.service", "2.service"],
    ],
    // So that bash reads the name again as it is
    [["stop", "srv"], ["srv-a\\\\x2db.mount"]],
    [["stop", "srv-a\\\\x2"], ["srv-a\\\\x2db.mount"]],
    [["stop", "'srv-a\\x2"], ["srv-a\\x2db.mount"]],
    [["list-units", "--unit", "db,srv-a\\\\x"], ["db,srv-a\\\\x2db.mount"]],
    // Where a word may be a file readline does that
    [["start", "srv-a\\\\x"], ["srv-a\\x2db.mount"]],
    [["--socket", "/x", "list-units", "--unit", "db,web@1"], ["1.service"]],
    [["list-units", "--machine", "5"], ["59f61aeb"]],
    [["list-machines", "--metadata", "role=w"], ["web"]],
    [
      ["ssh", ""],
      ["db.service", "59f61aeb"],
    ],
    [["cordon", "5"], ["59f61aeb"]],
    [
      ["cordon", "59f61aeb", ""],
      ["59f61aeb", "b40f1753"],
    ],
    [["drain", "b"], ["b40f1753"]],
    [["drain", "--d"], ["--deadline"]],
    [["start", "some"], ["some.conf"]],
    [["start", "d"], ["db.service"]],
    [["journal", "--since", ""], []],
    [
      ["playground", ""],
      ["kill", "start"],
    ],
    [["playground", "--machines", "3", "k"], ["kill"]],
    [["playground", "kill", "m9"], ["m9"]],
    [["completion", ""], [...shells]],
    [
      ["help", "ver"],
      ["verify", "version"],
    ],
    [["verify", "so"], ["some.conf"]],
    [["agent", "--config=so"], ["some.conf"]],
    [["agent", "--log-level="], []],
    [["agent", "--git-tok"], ["--git-token-file"]],
  ];
  for (const [words, expect] of cases)
    test(`flotilla ${words.join(" ")}`, () => assert.deepEqual(complete(words), expect));
});

test("bash and fish say where the cluster is when they ask it", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-completion-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  writeProgram(folder);
  const calls = (): string => {
    const text = readFileSync(join(folder, "calls"), "utf8");
    rmSync(join(folder, "calls"));
    return text;
  };
  const line = `${join(folder, "flotilla")} --socket /x --endpoint=unix:///y list-units --machine 5`;
  const asked = "--socket /x --endpoint=unix:///y __complete machines -- 5\n";
  if (has("bash")) {
    const ask = `${completionScript("bash", program)}
COMP_LINE=$1; COMP_WORDS=($1); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _flotilla`;
    assert.equal(spawnSync("bash", ["--norc", "-c", ask, "bash", line], { encoding: "utf8" }).stderr, "");
    assert.equal(calls(), asked);
  }
  if (has("fish")) {
    const ask = `${completionScript("fish", program)}\ncomplete -C '${line}'`;
    const { stdout } = spawnSync("fish", ["-N", "-c", ask], { encoding: "utf8", env: fishEnvironment(folder) });
    assert.equal(stdout, "59f61aeb\tsome words\n");
    assert.equal(calls(), asked);
  }
});

/** No configuration of the user's, and our program for completions that are bound to its name. */
function fishEnvironment(folder: string) {
  return { HOME: folder, PATH: `${folder}:${process.env["PATH"] ?? ""}` };
}

suite("fish completes", { skip: has("fish") ? false : "no fish" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-completion-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  writeProgram(folder);
  const cases: readonly (readonly [line: string, expect: readonly string[]])[] = [
    ["flotilla status web@", ["web@1.service", "web@2.service"]],
    ["flotilla list-units --unit db,web@1", ["db,web@1.service"]],
    ["flotilla list-units --fields unit,ma", ["unit,machine"]],
    ["flotilla list-machines --metadata role=w", ["role=web"]],
    ["flotilla ssh ", ["59f61aeb", "db.service"]],
    ["flotilla playground kill m9", ["m9"]],
  ];
  for (const [line, expect] of cases)
    test(line, () => {
      const ask = `${completionScript("fish", program)}\ncomplete -C '${line}'`;
      const { stdout } = spawnSync("fish", ["-N", "-c", ask], { encoding: "utf8", env: fishEnvironment(folder) });
      assert.deepEqual(
        stdout
          .trimEnd()
          .split("\n")
          .map((each) => each.split("\t")[0]),
        expect,
      );
    });
});

test("zsh asks the cluster, and shows what is said beside a name", { skip: has("zsh") ? false : "no zsh" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-completion-"));
  try {
    writeProgram(folder);
    // The parts of zsh's own that stand around our function
    const ask = `compdef() { }; ${completionScript("zsh", program)}
_describe() { print -rl -- "\${(@P)4}" }
flotilla_program=${join(folder, "flotilla")} flotilla_reach=(--socket /x) PREFIX=web@
_flotilla_live units`;
    const { stdout, stderr } = spawnSync("zsh", ["-f", "-c", ask], { encoding: "utf8" });
    assert.equal(stderr, "");
    assert.equal(stdout, "web@1.service:some words\nweb@2.service:some words\n");
    assert.equal(readFileSync(join(folder, "calls"), "utf8"), "--socket /x __complete units -- web@\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
