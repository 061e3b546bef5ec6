// Holds schemas/cloud-config.json and docs/user-data.md together: every key is in the document, as the schema says it. The
// tables are made from the schema: UPDATE_DOCS=1 writes them anew.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { load } from "js-yaml";
import { compileSchema } from "../../../agent/text/schema.ts";
import { type JsonSchema, settingNames } from "../../../agent/userdata/fields.ts";
import schemaFile from "../../../schemas/cloud-config.json" with { type: "json" };

const document = fileURLToPath(new URL("../../../docs/user-data.md", import.meta.url));
const schema: JsonSchema = schemaFile;

/** Keys of the top level by what they are about. What stands in none is left to cloud-init, or has sections of its own. */
const groups: Readonly<Record<string, readonly string[]>> = {
  Name: ["hostname", "fqdn", "prefer_fqdn_over_hostname", "preserve_hostname", "manage_etc_hosts"],
  "Accounts and logging in": [
    ...["ssh_authorized_keys", "users", "groups", "chpasswd", "ssh_pwauth", "disable_root"],
    ...["ssh_deletekeys", "ssh_genkeytypes", "ssh_keys"],
  ],
  "Files, commands, packages": [
    ...["write_files", "bootcmd", "runcmd", "packages", "package_update", "package_upgrade"],
    ...["package_reboot_if_required", "apt_update", "apt_upgrade", "apt_reboot_if_required"],
  ],
  "The machine": [
    ...["timezone", "locale", "keyboard", "ntp", "mounts", "mount_default_fields", "swap", "ca_certs"],
    ...["power_state", "phone_home", "final_message"],
  ],
};
/** Each of their sections has a table. */
const sectioned: readonly string[] = ["coreos", "flotilla"];
const isLeft = ({ $comment }: JsonSchema): boolean => $comment === "left to cloud-init";

interface Row {
  readonly key: string;
  readonly schema: JsonSchema;
  readonly isNeeded: boolean;
}

/** A key and everything below it: `users`, `users[].name`, ... */
function rowsOf(key: string, value: JsonSchema, isNeeded = false): readonly Row[] {
  const isList = value.items?.properties !== undefined;
  return [{ key, schema: value, isNeeded }, ...rowsBelow(isList ? `${key}[].` : `${key}.`, value)];
}

function rowsBelow(prefix: string, value: JsonSchema): readonly Row[] {
  const { properties = {}, required = [] } = value.items?.properties === undefined ? value : value.items;
  return Object.entries(properties).flatMap(([name, below]) =>
    rowsOf(`${prefix}${name}`, below, required.includes(name)),
  );
}

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  boolean: "true or false",
  number: "a number",
  integer: "a whole number",
  array: "a list",
  object: "a mapping",
  null: "nothing",
};

function takes(value: JsonSchema): string {
  if (value.enum !== undefined) return value.enum.map((word) => `\`${String(word)}\``).join(", ");
  if (value.title !== undefined) return value.title;
  const types = [value.type ?? []].flat();
  const bounds = [
    ...(value.minimum === undefined ? [] : [`from ${value.minimum}`]),
    ...(value.maximum === undefined ? [] : [`to ${value.maximum}`]),
  ];
  return [types.map((type) => typeNames[type] ?? type).join(" or "), ...bounds].join(" ");
}

function meaning({ schema: value, isNeeded }: Row): string {
  const { description = "", $comment } = value;
  const isIdle = $comment === "no effect" && !description.startsWith("Nothing:");
  return [
    description,
    ...(isNeeded ? ["Needed."] : []),
    ...(value.writeOnly === true ? ["Secret."] : []),
    ...(isIdle ? ["No effect."] : []),
    ...(isLeft(value) && !description.includes("Left to cloud-init") ? ["Left to cloud-init."] : []),
  ].join(" ");
}

function table(rows: readonly Row[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [
    line(["key", "takes", "meaning"]),
    line(["---", "---", "---"]),
    ...rows.map((row) => line([`\`${row.key}\``, takes(row.schema), meaning(row)])),
  ].join("\n");
}

function topLevel(name: string): JsonSchema {
  const found = schema.properties?.[name];
  assert.ok(found !== undefined, `schemas/cloud-config.json has no ${name}`);
  return found;
}

function groupTables(): readonly string[] {
  return Object.entries(groups).map(
    ([title, keys]) => `### ${title}\n\n${table(keys.flatMap((key) => rowsOf(key, topLevel(key))))}\n`,
  );
}

function coreosTables(): readonly string[] {
  return Object.entries(topLevel("coreos").properties ?? {}).map(([name, section]) => {
    const title = `coreos.${name}${section.items === undefined ? "" : "[]"}`;
    return `### ${title}\n\n${section.description ?? ""}\n\n${table(rowsBelow("", section))}\n`;
  });
}

/** What they mean stands in docs/settings.md. */
function flotillaTables(): readonly string[] {
  return Object.entries(topLevel("flotilla").properties ?? {}).map(([section, { properties = {} }]) => {
    const rows = Object.entries(properties).map(([key, value]) => {
      const setting = settingNames.get(`${section}.${key}`);
      assert.ok(setting !== undefined, `flotilla.${section}.${key} is no setting`);
      return `| \`${key}\` | \`[${setting.section}] ${setting.key}=\` | ${takes(value)} |`;
    });
    return `### flotilla.${section}\n\n| key | setting | takes |\n| --- | --- | --- |\n${rows.join("\n")}\n`;
  });
}

function leftTable(): string {
  const rows = Object.entries(schema.properties ?? {})
    .filter(([, value]) => isLeft(value))
    .map(([key, { description = "" }]) => `| \`${key}\` | ${description.replace(/ Left to cloud-init\.$/, "")} |`);
  return `### Left to cloud-init\n\n| key | about |\n| --- | --- |\n${rows.join("\n")}\n`;
}

const begin =
  "<!-- keys: made by test/unit/userdata/documents.test.ts, UPDATE_DOCS=1 -->\n<!-- prettier-ignore-start -->\n";
const end = "<!-- prettier-ignore-end -->\n";

const examples = new URL("../../../cloud-config/", import.meta.url);

suite("user-data: schema and document", () => {
  for (const name of readdirSync(examples))
    test(`an editor has nothing to say of cloud-config/${name}, and finds the schema`, () => {
      const text = readFileSync(new URL(name, examples), "utf8");
      const [header, modeline = ""] = text.split("\n");
      assert.equal(header, "#cloud-config");
      const at = /^# yaml-language-server: \$schema=(\S+)$/.exec(modeline)?.[1] ?? "";
      assert.deepEqual(JSON.parse(readFileSync(new URL(at, examples), "utf8")), schemaFile);
      const checked = compileSchema(schemaFile)(load(text));
      assert.deepEqual(checked.ok ? [] : checked.problems.map(({ message }) => message), []);
    });

  test("every key of the top level has its table", () => {
    const keys = Object.entries(schema.properties ?? {}).flatMap(([key, value]) => (isLeft(value) ? [] : [key]));
    assert.deepEqual([...Object.values(groups).flat(), ...sectioned].toSorted(), keys.toSorted());
  });

  test("every key says what it is for", () => {
    const all = Object.entries(schema.properties ?? {}).flatMap(([key, value]) => rowsOf(key, value));
    assert.ok(all.length > 400);
    assert.deepEqual(
      all.filter((row) => !meaning(row).includes(".")).map(({ key }) => key),
      [],
    );
  });

  test("docs/user-data.md holds every key as the schema says it", () => {
    const text = readFileSync(document, "utf8");
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    assert.ok(from >= 0 && to > from, "the marks of the tables are gone from docs/user-data.md");
    const tables = [...groupTables(), ...coreosTables(), ...flotillaTables(), leftTable()];
    const wanted = `${begin}\n${tables.join("\n")}\n`;
    if (process.env["UPDATE_DOCS"] === "1") writeFileSync(document, text.slice(0, from) + wanted + text.slice(to));
    else assert.equal(text.slice(from, to), wanted, "run it once with UPDATE_DOCS=1");
  });
});
