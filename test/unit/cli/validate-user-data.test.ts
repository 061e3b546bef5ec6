import assert from "node:assert/strict";
import { test } from "node:test";
import { type ValidateOptions, validateUserData } from "../../../agent/cli/validate-user-data.ts";
import { FakeOutput } from "../../fakes/fake-tools.ts";

const good = "#cloud-config\nhostname: web-1\ncoreos: {fleet: {public-ip: $public_ipv4}}\n";
const bad = "#cloud-config\nhostnmae: web-1\nwrite_files:\n  - path: etc/a\n";

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly options?: ValidateOptions;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const line2 = 'bad.yaml:2:1: error: Cannot understand key "hostnmae" (Did you mean "hostname"?)';
const line4 =
  'bad.yaml:4:11: warning: Cannot take "etc/a" as it is: it is not absolute (It is written to /etc/a; put the slash there)';
const cases: readonly Case[] = [
  {
    name: "a good file",
    files: { "good.yaml": good },
    code: 0,
    stdout: "",
    stderr: "1 file checked: 0 errors, 0 warnings\n",
  },
  {
    name: "what is only worth knowing, by choice",
    files: { "good.yaml": good },
    options: { verbose: true },
    code: 0,
    stdout:
      "good.yaml:3:29: info: Cannot know $public_ipv4 before the machine is there (It is put in at boot; write ${public_ipv4:-ADDRESS} for a machine that may have none)\n",
    stderr: "1 file checked: 0 errors, 0 warnings\n",
  },
  {
    name: "a bad one among good ones",
    files: { "good.yaml": good, "bad.yaml": bad },
    code: 1,
    stdout: `${line2}\n${line4}\n`,
    stderr: "2 files checked: 1 error, 1 warning\n",
  },
  {
    name: "warnings alone refuse nothing",
    files: { "bad.yaml": bad.replace("hostnmae", "hostname") },
    code: 0,
    stdout: `${line4}\n`,
    stderr: "1 file checked: 0 errors, 1 warning\n",
  },
  {
    name: "in the document itself",
    files: { "bad.yaml": bad },
    options: { annotate: true },
    code: 1,
    stdout: `#cloud-config\nhostnmae: web-1\t\t# E1\nwrite_files:\n  - path: etc/a\t\t# W2\n\n# E1: ${line2}\n# W2: ${line4}\n`,
    stderr: "1 file checked: 1 error, 1 warning\n",
  },
];
for (const { name, files, options, code, stdout, stderr } of cases)
  test(`validate: ${name}`, async () => {
    const [out, err] = [new FakeOutput(), new FakeOutput()];
    const given = Object.entries(files).map(([file, text]) => ({ name: file, bytes: new TextEncoder().encode(text) }));
    assert.equal(await validateUserData({ stdout: out, stderr: err }, given, options), code);
    assert.equal(out.text, stdout);
    assert.equal(err.text, stderr);
  });

test("validate: for a program", async () => {
  const [stdout, stderr] = [new FakeOutput(), new FakeOutput()];
  const files = [
    { name: "bad.yaml", bytes: new TextEncoder().encode(bad) },
    { name: "good.yaml", bytes: new TextEncoder().encode(good) },
  ];
  assert.equal(await validateUserData({ stdout, stderr }, files, { json: true }), 1);
  assert.equal(stderr.text, "");
  const {
    files: told,
    errors,
    warnings,
  } = JSON.parse(stdout.text) as {
    readonly files: readonly {
      readonly file: string;
      readonly valid: boolean;
      readonly findings: readonly unknown[];
    }[];
    readonly errors: number;
    readonly warnings: number;
  };
  assert.deepEqual([errors, warnings], [1, 1]);
  assert.deepEqual(
    told.map(({ file, valid }) => [file, valid]),
    [
      ["bad.yaml", false],
      ["good.yaml", true],
    ],
  );
  assert.deepEqual(told[0]?.findings[0], {
    severity: "error",
    code: "user-data-unknown-key",
    message: 'Cannot understand key "hostnmae"',
    hint: 'Did you mean "hostname"?',
    file: "bad.yaml",
    line: 2,
    column: 1,
    key: "hostnmae",
  });
});

test("validate: nothing in a file moves a terminal's cursor", async () => {
  const [stdout, stderr] = [new FakeOutput({ isTerminal: true }), new FakeOutput()];
  const bytes = new TextEncoder().encode('#cloud-config\n"a\\e[2J": b\nhostname: "a\\e[2J"\n');
  await validateUserData({ stdout, stderr }, [{ name: "x\u001b[2J.yaml", bytes }], { annotate: true });
  assert.doesNotMatch(stdout.text, /\u001b/);
});
