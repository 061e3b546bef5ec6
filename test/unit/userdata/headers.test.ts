import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { test } from "node:test";
import { read, said } from "./read.ts";

const body = "hostname: web-1\n";

interface Case {
  readonly name: string;
  readonly given: string | Uint8Array;
  readonly says: readonly string[];
  /** Kind of what was read; undefined: refused. */
  readonly kind: string | undefined;
  readonly hostname?: string;
}

const cases: readonly Case[] = [
  { name: "cloud-config", given: `#cloud-config\n${body}`, says: [], kind: "cloud-config", hostname: "web-1" },
  {
    name: "white space behind",
    given: `#cloud-config  \t\n${body}`,
    says: [],
    kind: "cloud-config",
    hostname: "web-1",
  },
  { name: "CRLF", given: `#cloud-config\r\nhostname: web-1\r\n`, says: [], kind: "cloud-config", hostname: "web-1" },
  { name: "the header alone", given: "#cloud-config", says: [], kind: "cloud-config" },
  {
    name: "a document marker",
    given: `#cloud-config\n---\n${body}`,
    says: [],
    kind: "cloud-config",
    hostname: "web-1",
  },
  {
    name: "JSON below the header",
    given: '#cloud-config\n{"hostname": "web-1"}',
    says: [],
    kind: "cloud-config",
    hostname: "web-1",
  },
  { name: "nothing", given: "", says: [], kind: "empty" },
  { name: "blanks only", given: " \n\n", says: [], kind: "empty" },
  { name: "a script", given: "#!/bin/sh\ntrue\n", says: [], kind: "script" },
  { name: "a script without a program", given: "#!\ntrue\n", says: ["1:1 error script"], kind: undefined },
  { name: "gzip", given: gzipSync(`#cloud-config\n${body}`), says: [], kind: "cloud-config", hostname: "web-1" },
  { name: "Ignition 3", given: '{"ignition": {"version": "3.4.0"}}', says: ["1:1 info ignition"], kind: "ignition" },
  { name: "Ignition 1", given: '{"ignitionVersion": 1}', says: ["1:1 info ignition"], kind: "ignition" },
  // frequent mistakes: named, and the rest read all the same
  {
    name: "a blank behind #",
    given: `# cloud-config\n${body}`,
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  { name: "capitals", given: `#Cloud-Config\n${body}`, says: ["1:1 error header"], kind: undefined, hostname: "web-1" },
  {
    name: "an underscore",
    given: `#cloud_config\n${body}`,
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  {
    name: "a blank line before",
    given: `\n#cloud-config\n${body}`,
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  {
    name: "a comment before",
    given: `# of web-1\n#cloud-config\n${body}`,
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  {
    name: "a byte order mark",
    given: `\ufeff#cloud-config\n${body}`,
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  { name: "no header", given: body, says: ["1:1 error header"], kind: undefined, hostname: "web-1" },
  {
    name: "JSON without a header",
    given: '{"hostname": "web-1"}',
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  {
    name: "Jinja",
    given: `## template: jinja\n#cloud-config\n${body}`,
    says: ["1:1 error header"],
    kind: undefined,
    hostname: "web-1",
  },
  { name: "#include", given: "#include\nhttp://a/b\n", says: ["1:1 error header"], kind: undefined },
  { name: "#cloud-boothook", given: "#cloud-boothook\n#!/bin/sh\n", says: ["1:1 error header"], kind: undefined },
  { name: "#part-handler", given: "#part-handler\nimport os\n", says: ["1:1 error header"], kind: undefined },
  { name: "Butane", given: "variant: fcos\nversion: 1.5.0\n", says: ["1:1 error header"], kind: undefined },
  { name: "a unit file", given: "[Unit]\nDescription=x\n", says: ["1:1 error header"], kind: undefined },
  { name: "PowerShell", given: "<powershell>\n</powershell>\n", says: ["1:1 error header"], kind: undefined },
  { name: "half a JSON", given: "{", says: ["1:1 error header"], kind: undefined },
  { name: "prose", given: "Good morning", says: ["1:1 error header"], kind: undefined },
  {
    name: "base64 of it",
    given: Buffer.from(Buffer.from(`#cloud-config\n${body}`).toString("base64")),
    says: ["1:1 error header"],
    kind: undefined,
  },
  {
    name: "base64 of gzip",
    given: Buffer.from(gzipSync(`#cloud-config\n${body}`).toString("base64")),
    says: ["1:1 error header"],
    kind: undefined,
  },
  // bytes
  {
    name: "UTF-16",
    given: Buffer.from(`\ufeff#cloud-config\n`, "utf16le"),
    says: ["1:- error encoding"],
    kind: undefined,
  },
  { name: "a NUL byte", given: "#cloud-config\nhostname: a\0b\n", says: ["2:- error encoding"], kind: undefined },
  {
    name: "Latin-1",
    given: Buffer.from("#cloud-config\n# gr\u00fc\u00dfe\n", "latin1"),
    says: ["2:- error encoding"],
    kind: undefined,
  },
  {
    name: "damaged gzip",
    given: gzipSync("#cloud-config\n").subarray(0, 20),
    says: ["-:- error gzip"],
    kind: undefined,
  },
  { name: "a gzip bomb", given: gzipSync(Buffer.alloc(17 * 1024 * 1024)), says: ["-:- error gzip"], kind: undefined },
  { name: "too large", given: Buffer.alloc(1024 * 1024 + 1, "#"), says: ["-:- error size"], kind: undefined },
];
for (const { name, given, says, kind, hostname } of cases)
  test(`the beginning: ${name}`, async () => {
    const reading = await read(given);
    assert.deepEqual(said(reading), says);
    assert.equal(reading.userData?.kind, kind);
    assert.equal(reading.reach.hostname?.value, hostname);
  });

test("every mistake of the first line says what to do", async () => {
  for (const { given } of cases)
    for (const { severity, problem } of (await read(given)).findings)
      if (severity === "error") assert.ok((problem.hint ?? "").length > 10, problem.message);
});
