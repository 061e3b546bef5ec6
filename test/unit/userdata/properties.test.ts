import assert from "node:assert/strict";
import { test } from "node:test";
import { maxFindings } from "../../../agent/userdata/notes.ts";
import { fc, tries } from "../../property.ts";
import { addresses, config, read } from "./read.ts";

/** Every place lies in the text, and nothing is refused without a reason. */
async function isSound(given: string | Uint8Array): Promise<void> {
  const text = typeof given === "string" ? given : Buffer.from(given).toString();
  const lines = text.split("\n");
  for (const known of [undefined, addresses]) {
    const { userData, findings } = await read(given, known);
    assert.ok(findings.length <= maxFindings + 1);
    assert.equal(
      userData === undefined,
      findings.some(({ severity }) => severity === "error"),
    );
    let before = 0;
    for (const { problem } of findings) {
      const { line, column, file } = problem.at ?? {};
      if (file !== "user-data" || line === undefined) continue;
      assert.ok(line >= before && line <= lines.length, `line ${line} of ${lines.length}: ${problem.message}`);
      before = line;
      const length = lines[line - 1]?.length ?? 0;
      if (column !== undefined) assert.ok(column >= 1 && column <= length + 1, `column ${column} of ${length}`);
    }
  }
}

const words = fc.constantFrom(
  ...[
    "coreos:",
    "units:",
    "- name: a.service",
    "  content: |",
    "[Service]",
    "users:",
    "write_files:",
    "path: /a",
    "{{x}}",
  ],
  ...[
    "$private_ipv4",
    "${public_ipv6}",
    "&a",
    "*a",
    "<<: *a",
    "---",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ": ",
    "- ",
    "\t",
  ],
  ...[
    "\n",
    "\n  ",
    "\n    ",
    "#",
    "!!binary",
    "metadata: a=b",
    "etcd2:",
    "discovery: http://a/b",
    "hostname: x",
    "\r\n",
  ],
  ...[
    "Content-Type: multipart/mixed; boundary=b\n\n",
    "--b\n",
    "--b--\n",
    "#!/bin/sh\n",
    "flotilla: {git: ",
    "é",
    "\u{1f600}",
  ],
);
const text = fc.array(words, { maxLength: 40 }).map((parts) => parts.join(""));

test("any text behind the header is read or refused, never thrown at", async () => {
  await fc.assert(
    fc.asyncProperty(text, (body) => isSound(`#cloud-config\n${body}`)),
    { numRuns: tries(300) },
  );
});

test("any bytes are", async () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(bytes, (given) => isSound(given)),
    { numRuns: tries(200) },
  );
  const packed = bytes.map((tail) => Uint8Array.from([0x1f, 0x8b, 8, 0, ...tail]));
  await fc.assert(
    fc.asyncProperty(packed, async (given) => {
      await read(given);
    }),
    { numRuns: tries(100) },
  );
});

test("any text is", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(text, fc.string({ unit: "binary" })), (given) => isSound(given)),
    {
      numRuns: tries(200),
    },
  );
});

test("a text keeps its characters, whatever they are, in content and commands", async () => {
  const line = fc.stringMatching(/^[a-zA-Z0-9 .,;:'"\\/()&|*+=_-]{1,60}$/);
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 5 }), async (lines) => {
      const body = lines.map((each) => `x${each}`);
      const yaml = `write_files:\n  - path: /a\n    permissions: "0600"\n    content: |\n${body.map((each) => `      ${each}\n`).join("")}`;
      const { userData } = await config(yaml.replace(/\n$/, ""));
      assert.equal(Buffer.from(userData?.config.writeFiles[0]?.content ?? []).toString(), `${body.join("\n")}\n`);
    }),
    { numRuns: tries(100) },
  );
});

test("the order of keys changes nothing", async () => {
  const keys = [
    "hostname: a",
    "timezone: UTC",
    "packages: [b]",
    "runcmd: [c]",
    "users: [default]",
    "coreos: {oem: {id: d}}",
  ];
  const strip = (value: unknown): string =>
    JSON.stringify(value, (key, each: unknown) => (key === "at" ? undefined : each));
  const first = strip((await config(keys.join("\n"))).userData);
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(keys, { minLength: keys.length }), async (shuffled) => {
      assert.equal(strip((await config(shuffled.join("\n"))).userData), first);
    }),
    { numRuns: tries(20) },
  );
});
