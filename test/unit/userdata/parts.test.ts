import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { test } from "node:test";
import { addresses, read, said } from "./read.ts";

interface MimePart {
  readonly type: string;
  readonly text: string;
  readonly name?: string;
  readonly encoding?: "base64" | "quoted-printable";
  readonly gzip?: boolean;
}

function mime(...parts: readonly MimePart[]): string {
  const bodies = parts.map(({ type, text, name, encoding, gzip = false }) => {
    const bytes = gzip ? gzipSync(text) : Buffer.from(text);
    const body =
      encoding === "base64"
        ? bytes.toString("base64")
        : encoding === "quoted-printable"
          ? text.replace(/=/g, "=3D")
          : bytes.toString("utf8");
    const head = [
      `Content-Type: ${type}; charset="utf-8"`,
      "MIME-Version: 1.0",
      ...(encoding === undefined ? [] : [`Content-Transfer-Encoding: ${encoding}`]),
      ...(name === undefined ? [] : [`Content-Disposition: attachment; filename="${name}"`]),
    ];
    return `--===ab==\n${head.join("\n")}\n\n${body}\n`;
  });
  return `Content-Type: multipart/mixed; boundary="===ab=="\nMIME-Version: 1.0\n\n${bodies.join("")}--===ab==--\n`;
}

const type = "text/cloud-config";

test("parts in order: lists joined, mappings merged, a later single value wins and is told of", async () => {
  const reading = await read(
    mime(
      { type, text: "#cloud-config\nhostname: a\nruncmd: [one]\ncoreos: {fleet: {metadata: a=b}}", name: "one.yaml" },
      { type: "text/x-shellscript", text: "#!/bin/sh\necho 1", name: "setup.sh" },
      { type, text: "hostname: b\nruncmd: [two]\ncoreos: {update: {group: beta}}", encoding: "base64" },
      { type, text: "#cloud-config\nruncmd: [three]", encoding: "quoted-printable" },
      { type: "text/plain", text: "#!/bin/sh\necho $private_ipv4", encoding: "base64", gzip: true },
    ),
    addresses,
  );
  const { userData } = reading;
  assert.equal(userData?.kind, "multipart");
  assert.equal(userData.config.hostname?.value, "b");
  assert.deepEqual(
    userData.config.runCommands.map((each) => each.kind === "shell" && each.text),
    ["one", "two", "three"],
  );
  assert.equal(userData.config.fleet[0]?.value, "a=b");
  assert.equal(userData.config.update[0]?.value, "beta");
  assert.deepEqual(
    userData.scripts.map(({ name, text }) => [name, text.trim()]),
    [
      ["setup.sh", "#!/bin/sh\necho 1"],
      ["part-5", "#!/bin/sh\necho 10.0.0.7"],
    ],
  );
  assert.deepEqual(
    reading.findings.map(({ severity, problem }) => [severity, problem.code, problem.at?.file]),
    [["info", "user-data-overridden", "user-data (part 3)"]],
  );
});

test("a finding stands on the line of the whole file, or names the part that was packed", async () => {
  const bad = "#cloud-config\nhostnam: a\n";
  const reading = await read(
    mime({ type, text: bad, name: "plain.yaml" }, { type, text: bad, name: "packed.yaml", encoding: "base64" }),
  );
  assert.deepEqual(
    reading.findings.map(({ problem: { at } }) => [at?.file, at?.line, at?.column]),
    [
      ["user-data (packed.yaml)", 2, 1],
      ["user-data", 10, 1],
    ],
  );
});

test("CRLF all through", async () => {
  const reading = await read(mime({ type, text: "#cloud-config\nhostname: a\nhostnam: b" }).replaceAll("\n", "\r\n"));
  assert.equal(reading.reach.hostname?.value, "a");
  assert.deepEqual(said(reading), ["10:1 error unknown-key"]);
});

for (const [name, disposition] of [
  ["on one line", 'Content-Disposition: inline; filename="setup.sh"'],
  ["its name on the next line", 'Content-Disposition: inline;\n filename="setup.sh"'],
  ["all of it on the next line", 'Content-Disposition:\n inline; filename="setup.sh"'],
] as const)
  for (const end of ["\n", "\r\n"])
    test(`a part that is to be shown inline is a part: ${name}${end === "\n" ? "" : ", with CRLF"}`, async () => {
      const head = "Content-Type: text/plain; charset=utf-8";
      const whole = mime({ type: "text/plain", text: "#!/bin/sh\ntrue" }).replace(/^Content-Type: text.*$/m, head);
      const reading = await read(whole.replace(head, `${head}\n${disposition}`).replaceAll("\n", end));
      assert.deepEqual(
        reading.userData?.scripts.map((script) => script.name),
        ["setup.sh"],
      );
    });

test("gzip around the whole message", async () => {
  assert.equal((await read(gzipSync(mime({ type, text: "hostname: a" })))).userData?.config.hostname?.value, "a");
});

test("parts that cannot be used are named", async () => {
  assert.deepEqual(said(await read(mime({ type: "text/html", text: "<b>" }))), ["8:- error part-type"]);
  assert.deepEqual(said(await read(mime({ type: "text/plain", text: "what" }))), ["8:1 error header"]);
  assert.deepEqual(said(await read(mime({ type: "text/cloud-boothook", text: "#cloud-boothook" }))), [
    "8:1 error header",
  ]);
  assert.deepEqual(said(await read("Content-Type: multipart/mixed\n\nnothing\n")), ["1:- error mime"]);
  assert.deepEqual(said(await read(mime({ type, text: "## template: jinja\n#cloud-config\n" }))), ["8:1 error header"]);
});

test("two parts of one name have names of their own", async () => {
  const part: MimePart = { type: "text/x-shellscript", text: "#!/bin/sh\ntrue", name: "../../etc/a b.sh" };
  const { userData } = await read(mime(part, part));
  assert.deepEqual(
    userData?.scripts.map(({ name }) => name),
    ["a_b.sh", "a_b.sh-2"],
  );
});

test("an archive", async () => {
  const reading = await read(
    "#cloud-config-archive\n" +
      '- "#cloud-config\\nhostname: a\\n"\n' +
      "- type: text/cloud-config\n  content: |\n    runcmd: [x]\n    hostnam: y\n" +
      "- filename: s.sh\n  content: |\n    #!/bin/sh\n    true\n",
  );
  assert.equal(reading.reach.hostname?.value, "a");
  assert.deepEqual(said(reading), ["6:5 error unknown-key"]);
  assert.deepEqual(said(await read("#cloud-config-archive\na: b\n")), ["1:1 error archive"]);
  assert.deepEqual(said(await read("#cloud-config-archive\n- filename: x\n")), ["2:3 error archive"]);
});

test("a script with Windows line ends is mended, and said so", async () => {
  const reading = await read("#!/bin/sh\r\necho $private_ipv4\r\n", addresses);
  assert.deepEqual(
    reading.userData?.scripts.map(({ text }) => text),
    ["#!/bin/sh\necho 10.0.0.7\n"],
  );
  assert.deepEqual(said(reading), ["1:1 warning line-ends"]);
});
