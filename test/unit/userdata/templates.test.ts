import assert from "node:assert/strict";
import { test } from "node:test";
import { config, read, said } from "./read.ts";

const discovery = (mark: string): string => `coreos:\n  etcd2:\n    discovery: ${mark}`;

/** Places where a value stands: the mark spoils it, also where it makes the document no YAML. */
const spoilt: readonly (readonly [of: string, yaml: string, place: string])[] = [
  ["Jinja, which is YAML for a mapping", discovery("{{token}}"), "4:16"],
  ["Jinja with blanks", discovery("{{ token }}"), "4:16"],
  ["Jinja in a text", discovery('"http://a/{{ token }}"'), "4:16"],
  ["a statement of Jinja", "{% if a %}\nhostname: b\n{% endif %}", "2:1"],
  ["Go", discovery('"{{ .Values.token }}"'), "4:16"],
  ["Terraform", discovery("${var.token}"), "4:16"],
  ["a function of Terraform", discovery('${file("token")}'), "4:16"],
  ["Terraform or a shell", "hostname: ${hostname}", "2:11"],
  ["a shell", "hostname: $(hostname)", "2:11"],
  ["percent signs", discovery("%discovery%"), "4:16"],
  ["two percent signs", discovery("%%TOKEN%%"), "4:16"],
  ["two at signs", "coreos: {oem: {id: a, version-id: @@VERSION@@}}", "2:1"],
  ["two at signs, quoted", "coreos: {oem: {id: a, version-id: '@@VERSION@@'}}", "2:35"],
  ["underscores", discovery("http://a/__TOKEN__"), "4:16"],
  ["angle brackets", discovery("https://discovery.example/<token>"), "4:16"],
  ["ERB", discovery('"<%= token %>"'), "4:16"],
  ["in a list", "ssh_authorized_keys:\n  - ${key}", "3:5"],
  ["in a key", "'{{ key }}': a", "2:1"],
  ["in packed content", "write_files:\n  - {path: /a, encoding: b64, content: '${ca}'}", "3:40"],
];
for (const [of, yaml, place] of spoilt)
  test(`a template: ${of}`, async () => {
    const reading = await config(yaml);
    assert.equal(reading.userData, undefined);
    const mark = reading.findings.find(({ problem }) => problem.code === "user-data-template");
    assert.equal(mark?.severity, "error");
    const { line, column } = mark.problem.at ?? {};
    if (of !== "two at signs") assert.equal(`${line ?? 0}:${column ?? 0}`, place);
    else assert.equal(line, 2);
  });

test("a text that programs read has uses of its own for most of it", async () => {
  const fine = [
    "echo ${HOME} $(date) %h <file> @x",
    "docker ps --format '{{.Names}}'",
    "{{end}} {{else}}",
    "a${b%%_*}c",
  ];
  for (const text of fine) {
    assert.deepEqual(said(await config(`runcmd:\n  - |\n    ${text}`)), [], text);
    assert.deepEqual(said(await read(`#!/bin/sh\n${text}\n`)), [], text);
  }
});

test("the sure marks in such a text are warned of, on their line", async () => {
  const file = "write_files:\n  - path: /a\n    content: |\n      one\n      {{ token }}\n      {{ other }}";
  const reading = await config(file);
  assert.deepEqual(said(reading), ["6:- warning template"]);
  assert.match(reading.findings[0]?.problem.message ?? "", /1 more/);
  assert.deepEqual(said(await read("#!/bin/sh\necho @@VERSION@@\n")), ["2:6 warning template"]);
});

test("a password may look like anything", async () => {
  assert.deepEqual(said(await config("users: [{name: a, plain_text_passwd: 'a<b>{{c}}'}]")), [
    "2:38 warning password-readable",
  ]);
});
