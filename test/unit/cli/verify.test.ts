import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "../../../agent/cli/args.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { WorkingCopy } from "../../../agent/ports/working-copy.ts";
import { fakeTools } from "../../fakes/fake-tools.ts";

const good = "[Service]\nExecStart=/bin/true\n";

/** A folder of files that lies nowhere. */
function folder(files: Readonly<Record<string, string>>, analyzed = true): WorkingCopy & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    tree: async (path) => {
      asked.push(path);
      const entries = Object.keys(files)
        .sort()
        .map((name) => ({ path: name, kind: "file" as const, oid: name }));
      return {
        kind: "folder",
        entries,
        asked: undefined,
        read: async (oid) => new TextEncoder().encode(files[oid] ?? ""),
      };
    },
    analyze: async () => ({ available: analyzed, findings: [] }),
  };
}

interface Case {
  readonly name: string;
  readonly words: string;
  readonly copy: WorkingCopy;
  readonly code: number;
  readonly stdout: RegExp;
  readonly stderr: RegExp;
}
const bad = { "a.service": `${good}[X-Fleet]\nMachineMetdata=a=b\n` };
const cases: readonly Case[] = [
  {
    name: "good units",
    words: "verify",
    copy: folder({ "a.service": good, "b.timer": "[Timer]\nOnBootSec=1\n" }),
    code: 0,
    stdout: /^$/,
    stderr: /^2 units checked: 0 problems, 0 warnings\n$/,
  },
  {
    name: "a bad unit",
    words: "verify",
    copy: folder(bad),
    code: 1,
    stdout: /^a\.service:4: Cannot .*"MachineMetdata".*\nhint: Did you mean MachineMetadata\?\n$/,
    stderr: /^1 unit checked: 1 problem, 0 warnings\n$/,
  },
  {
    name: "warnings alone refuse nothing",
    words: "verify",
    copy: folder({ "a.service": good, "web.servce": good }),
    code: 0,
    stdout: /^warning: web\.servce/,
    stderr: /0 problems, 1 warning\n$/,
  },
  {
    name: "no systemd-analyze",
    words: "verify",
    copy: folder({ "a.service": good }, false),
    code: 0,
    stdout: /^$/,
    stderr: /systemd-analyze is not here/,
  },
  {
    name: "for a program",
    words: "verify --json",
    copy: folder(bad),
    code: 1,
    stdout: /"code": "unit-unknown-option"[^]*"file": "a\.service",\n\s*"line": 4/,
    stderr: /^$/,
  },
  {
    name: "no such path",
    words: "verify /nowhere",
    copy: { ...folder({}), tree: () => Promise.reject(new Problem("working-copy-read", 'Cannot read "/nowhere"')) },
    code: 1,
    stdout: /^$/,
    stderr: /^flotilla: Cannot read "\/nowhere"\n$/,
  },
];
for (const { name, words, copy, code, stdout, stderr } of cases) {
  test(`verify: ${name}`, async () => {
    const tools = fakeTools({ workingCopy: async () => copy });
    assert.equal(await runCommand(words.split(" "), tools), code);
    assert.match(tools.stdout.text, stdout);
    assert.match(tools.stderr.text, stderr);
  });
}

test("a reader that goes away does not change the exit code", async () => {
  for (const words of ["verify", "verify --json"]) {
    const tools = fakeTools({ workingCopy: async () => folder(bad) });
    tools.stdout.broken = "output-closed";
    assert.equal(await runCommand(words.split(" "), tools), 1, words);
  }
});

test("the path is the one named, or the current folder", async () => {
  const copy = folder({ "a.service": good });
  const tools = fakeTools({ workingCopy: async () => copy });
  await runCommand(["verify"], tools);
  await runCommand(["verify", "units/x"], tools);
  assert.deepEqual(copy.asked, [".", "units/x"]);
});
