// Holds table, schema and docs/settings.md together: one list of settings, said in three places, never drifting apart.
// The tables of the document are made from the schema: UPDATE_DOCS=1 writes them anew.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { options, sectionNames, type Option } from "../../../agent/settings/options.ts";
import { settingFlags } from "../../../agent/settings/settings.ts";
import { formatDuration, readValue } from "../../../agent/settings/values.ts";
import { compileSchema } from "../../../agent/text/schema.ts";
import schema from "../../../schemas/settings.json" with { type: "json" };

const document = fileURLToPath(new URL("../../../docs/settings.md", import.meta.url));

function defaultOf({ kind, schema: value }: Option): string {
  if (value.default === undefined) return "";
  if (kind === "duration") return `\`${formatDuration(value.default as number)}\``;
  if (kind === "boolean") return value.default === true ? "`yes`" : "`no`";
  const text = typeof value.default === "object" ? "" : JSON.stringify(value.default).replaceAll('"', "");
  return text === "" ? "" : `\`${text}\``;
}

function boundsOf({ kind, schema: { minimum, maximum, enum: words } }: Option): string {
  const show = kind === "duration" ? formatDuration : String;
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(", ");
  return minimum === undefined || maximum === undefined ? "" : `${show(minimum)} to ${show(maximum)}`;
}

function tableOf(section: (typeof sectionNames)[number]): string {
  const rows = options
    .filter((option) => option.section === section)
    .map((option) => {
      const { key, variable, flag, schema: value } = option;
      const bounds = boundsOf(option);
      const text = `${value.description}${bounds === "" ? "" : ` ${bounds}.`}`.replaceAll("|", "\\|");
      return `| \`${key}=\` | ${text} | ${defaultOf(option)} | \`${variable}\`${flag === undefined ? "" : ` \`${flag}\``} |`;
    });
  const head = "| setting | meaning | default | environment, flag |\n| --- | --- | --- | --- |";
  return `### [${section}]\n\n${schema.properties[section].description}\n\n${head}\n${rows.join("\n")}\n`;
}

const begin =
  "<!-- settings: made by test/unit/settings/documents.test.ts, UPDATE_DOCS=1 -->\n<!-- prettier-ignore-start -->\n";
const end = "<!-- prettier-ignore-end -->\n";

suite("settings: table, schema and document", () => {
  test("table and schema name the same settings, in the same order", () => {
    const inSchema = sectionNames.flatMap((section) =>
      Object.keys(schema.properties[section].properties).map((key) => `${section}.${key}`),
    );
    assert.deepEqual(
      options.map((option) => option.name),
      inSchema,
    );
    assert.deepEqual(Object.keys(schema.properties), [...sectionNames]);
  });

  test("names of variables and flags are unique and follow one rule", () => {
    const names = options.flatMap(({ variable, flag }) => [variable, flag ?? variable.toLowerCase()]);
    assert.equal(new Set(names).size, names.length);
    for (const { variable, flag } of options) {
      assert.match(variable, /^FLOTILLA(_[A-Z]+)+$/);
      if (flag !== undefined) assert.equal(`FLOTILLA_${flag.slice(2).replaceAll("-", "_").toUpperCase()}`, variable);
    }
    const named = new Map(options.map((option) => [option.name, option.flag]));
    assert.equal(named.get("Git.SSHKeyFile"), "--git-ssh-key-file");
    assert.equal(named.get("Etcd.PeerURLs"), "--etcd-peer-urls");
    assert.equal(named.get("Machine.PublicIP"), "--machine-public-ip");
    assert.equal(named.get("Agent.LogLevel"), "--log-level");
  });

  test("no secret has a flag, and the schema marks each secret", () => {
    for (const option of options) {
      const marked = (option.schema as { writeOnly?: boolean }).writeOnly === true;
      assert.equal(marked, option.kind === "secret", option.name);
      assert.equal(option.flag === undefined, option.kind === "secret", option.name);
    }
    // etcd's initial cluster token keeps clusters apart, it opens nothing
    const plain = ["--etcd-initial-cluster-token"];
    assert.ok(
      settingFlags().every(
        ({ flag, value }) => (plain.includes(flag) || !/-(token|password)$/.test(flag)) && value !== "",
      ),
    );
  });

  test("the defaults are what the schema itself allows, and what the readers read", () => {
    const data = Object.fromEntries(
      sectionNames.map((section) => [
        section,
        Object.fromEntries(
          options
            .filter((option) => option.section === section && option.schema.default !== undefined)
            .map((option) => [option.key, option.schema.default]),
        ),
      ]),
    );
    assert.deepEqual(compileSchema(schema)(data), { ok: true, value: data });
    for (const option of options) {
      const { default: value, enum: words } = option.schema;
      if (typeof value === "string" && value !== "")
        assert.deepEqual(readValue(option, value), { ok: true, value }, option.name);
      if (typeof value === "number")
        assert.deepEqual(
          readValue(option, option.kind === "duration" ? formatDuration(value) : String(value)),
          { ok: true, value },
          option.name,
        );
      for (const word of words ?? []) assert.ok(readValue(option, word).ok);
    }
  });

  test("the schema refuses what the table does not know", () => {
    const check = compileSchema(schema);
    for (const data of [
      { Gti: {} },
      { Git: { Uri: "x" } },
      { Agent: { MachineLease: 1 } },
      { Registry: { KeyFile: "/k" } },
    ])
      assert.equal(check(data).ok, false, JSON.stringify(data));
  });

  test("docs/settings.md holds every setting as the schema says it", () => {
    const text = readFileSync(document, "utf8");
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    assert.ok(from >= 0 && to > from, "the marks of the tables are gone from docs/settings.md");
    const wanted = `${begin}\n${sectionNames.map(tableOf).join("\n")}\n`;
    if (process.env["UPDATE_DOCS"] === "1") writeFileSync(document, text.slice(0, from) + wanted + text.slice(to));
    else assert.equal(text.slice(from, to), wanted, "run it once with UPDATE_DOCS=1");
  });
});
