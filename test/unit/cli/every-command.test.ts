// What holds for every command: help with examples, suggestions for slips, exit codes that are the same everywhere they stand.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { describeProgram, runCommand } from "../../../agent/cli/args.ts";
import { exitCodes, exitMeanings } from "../../../agent/cli/exit-codes.ts";
import { runFleetctl } from "../../../agent/cli/fleetctl.ts";
import { jsonText } from "../../../agent/cli/print.ts";
import { flagOf } from "../../../agent/cli/shape.ts";
import { fakeTools } from "../../fakes/fake-tools.ts";

const { commands, options: shared } = await describeProgram("1.2.3");

async function run(words: readonly string[], how: typeof runCommand = runCommand) {
  const tools = fakeTools();
  const code = await how(words, tools);
  return { code, out: tools.stdout.text, err: tools.stderr.text };
}

for (const { name, args, options, examples, usageExit = exitCodes.usage } of commands) {
  const words = name.split(" ");
  suite(`flotilla ${name}`, () => {
    test("--help, and help: what it is for, every argument and option, examples", async () => {
      const { code, out, err } = await run([...words, "--help"]);
      assert.deepEqual([code, err], [0, ""]);
      assert.match(out, new RegExp(`^Usage: flotilla ${name}`));
      for (const argument of args) assert.ok(out.includes(argument.name), argument.name);
      for (const { long } of options.map(flagOf)) assert.ok(out.includes(long), long);
      assert.match(out, /\nExamples:\n {2}flotilla /);
      if (words.length === 1) assert.equal((await run(["help", ...words])).out, out);
    });

    test("examples are of this command and have only options that it knows", () => {
      assert.ok(examples.length > 0, "there is an example");
      const known = new Set([...options, ...shared].map(flagOf).flatMap(({ short, long }) => [short, long]));
      for (const [line, does] of examples) {
        assert.ok(does.length > 3, line);
        const typed = line.replace(/ #.*/, "").split(" ");
        assert.ok(` ${line} `.includes(` ${name} `), line);
        // What another program is told is its own affair
        const own = name === "ssh" ? typed.slice(0, typed.indexOf("ssh") + 1) : typed;
        for (const word of own.filter((each) => /^--[a-z]/.test(each)))
          assert.ok(known.has(word.replace(/=.*/, "")), `${line}: ${word}`);
      }
    });

    test("an unknown option is refused, a mistyped one is suggested", async () => {
      const unknown = await run([...words, "--xyzzy-plugh"]);
      assert.deepEqual([unknown.code, unknown.out], [usageExit, ""]);
      assert.match(unknown.err, /unknown option '--xyzzy-plugh'/);
      for (const { long } of options.map(flagOf).filter(({ long: each }) => each.length > 6)) {
        const slip = `${long.slice(0, -2)}${long.slice(-1)}${long.slice(-2, -1)}`;
        if (slip === long) continue;
        const { code, err } = await run([...words, slip]);
        assert.equal(code, usageExit, slip);
        assert.match(err, /hint: Did you mean .*--/, slip);
      }
    });

    test("a mistyped name is suggested", async () => {
      const [first = ""] = words;
      const slip = `${first.slice(0, -2)}${first.slice(-1)}${first.slice(-2, -1)}`;
      const { code, err } = await run([slip]);
      assert.equal(code, 2);
      assert.match(err, new RegExp(`hint: Did you mean ${first}\\?|hint: Is it `));
    });
  });
}

suite("help", () => {
  test("of a command that is none: what it may have been", async () => {
    assert.deepEqual(await run(["help", "stauts"]), {
      code: 2,
      out: "",
      err: "flotilla: Cannot read the command line: unknown command 'stauts'\nhint: Did you mean status?\n",
    });
    const { code, err } = await run(["help", "xyzzy"]);
    assert.equal(code, 2);
    assert.match(err, /unknown command 'xyzzy'\nhint: flotilla --help shows all commands/);
  });

  for (const words of [[], ["help"], ["--help"], ["-h"]])
    test(`flotilla ${words.join(" ")} names every command`, async () => {
      const { code, out } = await run(words);
      assert.equal(code, 0);
      for (const { name } of commands) assert.match(out, new RegExp(`^ +${name.split(" ")[0] ?? ""}\\b`, "m"));
    });

  test("of fleetctl: its own name everywhere", async () => {
    const whole = await run(["--help"], runFleetctl);
    assert.match(whole.out, /^Usage: fleetctl /);
    const commandNames = Array.from(whole.out.matchAll(/^ {2}([a-z][a-z-]+) .*/gm), ([, name = ""]) => name);
    assert.ok(commandNames.length >= 15, commandNames.join(" "));
    for (const name of commandNames.filter((each) => each !== "help")) {
      const { code, out } = await run([name, "--help"], runFleetctl);
      assert.equal(code, 0, name);
      assert.match(out, new RegExp(`^Usage: fleetctl ${name}`));
      assert.match(out, new RegExp(`\\nExamples:\\n {2}fleetctl `));
    }
  });
});

suite("exit codes", () => {
  const meant = new Map(
    Object.entries(exitCodes).map(([name, code]) => [code, exitMeanings[name as keyof typeof exitCodes]]),
  );

  test("the README's table is the program's", () => {
    const readme = readFileSync(join(import.meta.dirname, "../../../README.md"), "utf8");
    const [, table = ""] = /^\| exit code [^\n]*\n\|[- |]+\n((?:\|[^\n]*\n)+)/m.exec(readme) ?? [];
    const rows = table
      .trimEnd()
      .split("\n")
      .map((row) => row.split("|").map((cell) => cell.trim()))
      .map(([, code = "", means = ""]) => [Number(code), means] as const);
    assert.deepEqual(new Map(rows), new Map([...meant].sort(([a], [b]) => a - b)));
  });

  test("and so is that of the help", async () => {
    const { out } = await run(["--help"]);
    for (const [code, means] of meant) assert.match(out, new RegExp(`^ {2}${code} +${means}$`, "m"));
  });

  test("no two are the same", () => assert.equal(meant.size, Object.keys(exitCodes).length));
});

suite("documents for programs", () => {
  test("hold nothing that a terminal obeys, and say the same", () => {
    const value = { "\u0085": "a\u009b2Jb\u007f\u202e\u2066\u200f\u2028\u001b\nü 漢 😀 \ud800", list: ["\t"] };
    for (const oneLine of [true, false]) {
      const text = jsonText(value, { oneLine });
      assert.doesNotMatch(text, /[^\P{Cc}\n]|[\u2028\u202e\u2066\u200f]/u);
      assert.ok(text.includes("\\u009b2Jb\\u007f\\u202e") && text.includes("ü 漢 😀"), text);
      assert.deepEqual(JSON.parse(text), value);
    }
  });
});
