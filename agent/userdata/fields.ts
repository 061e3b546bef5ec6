// schemas/cloud-config.json as the reader uses it: which keys there are, what each takes, what to say when it is wrong.
// The `flotilla` section is made of schemas/settings.json, so that a new setting is known here at once.
import cloudConfigSchema from "../../schemas/cloud-config.json" with { type: "json" };
import settingsSchema from "../../schemas/settings.json" with { type: "json" };

/** The part of JSON Schema (draft 2020-12) that both schemas keep to. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly description?: string;
  readonly $comment?: string;
  readonly deprecated?: boolean;
  readonly writeOnly?: boolean;
  readonly contentMediaType?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly propertyNames?: JsonSchema;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

export type FieldType = "text" | "boolean" | "number" | "integer" | "list" | "map" | "null";

/** What one key takes. */
export interface Field {
  /** Empty: anything at all, because nothing is done with it. */
  readonly types: ReadonlySet<FieldType>;
  /** Completes "It must be ..."; undefined where type and words say it. */
  readonly title: string | undefined;
  readonly pattern: RegExp | undefined;
  readonly words: readonly string[] | undefined;
  readonly maxLength: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly minItems: number;
  readonly maxItems: number;
  /** What to use instead, or why it is gone; undefined: it is not deprecated. */
  readonly deprecated: string | undefined;
  /** Known, and nothing is done with it: cloud-init does, or nobody. */
  readonly idle: "cloud-init" | "nobody" | undefined;
  readonly description: string;
  readonly isSecret: boolean;
  /** A text that programs read: what looks like a template may be their own. */
  readonly isFree: boolean;
  readonly fields: ReadonlyMap<string, Field>;
  /** Of keys that `fields` does not have; undefined: there are no others, and keys are names of ours. */
  readonly others: Field | undefined;
  readonly namePattern: RegExp | undefined;
  readonly required: readonly string[];
  readonly items: Field | undefined;
}

const fieldTypes: Readonly<Record<string, FieldType>> = {
  string: "text",
  boolean: "boolean",
  number: "number",
  integer: "integer",
  array: "list",
  object: "map",
  null: "null",
};

const anything: JsonSchema = {};

function fieldOf(schema: JsonSchema): Field {
  const types = [schema.type ?? []].flat();
  const fields = Object.entries(schema.properties ?? {}).map(([key, value]) => [key, fieldOf(value)] as const);
  const { additionalProperties: others, items } = schema;
  return {
    types: new Set(types.flatMap((type) => fieldTypes[type] ?? [])),
    title: schema.title,
    pattern: schema.pattern === undefined ? undefined : new RegExp(schema.pattern, "u"),
    words: schema.enum?.filter((word) => typeof word === "string"),
    maxLength: schema.maxLength ?? Infinity,
    minimum: schema.minimum ?? -Infinity,
    maximum: schema.maximum ?? Infinity,
    minItems: schema.minItems ?? 0,
    maxItems: schema.maxItems ?? Infinity,
    deprecated: schema.deprecated === true ? afterWord(schema.description ?? "", "Deprecated: ") : undefined,
    idle:
      schema.$comment === "left to cloud-init" ? "cloud-init" : schema.$comment === "no effect" ? "nobody" : undefined,
    description: schema.description ?? "",
    isSecret: schema.writeOnly === true,
    isFree: schema.contentMediaType !== undefined,
    fields: new Map(fields),
    others: others === undefined || others === false ? undefined : fieldOf(others === true ? anything : others),
    namePattern: schema.propertyNames?.pattern === undefined ? undefined : new RegExp(schema.propertyNames.pattern),
    required: schema.required ?? [],
    items: items === undefined ? undefined : fieldOf(items),
  };
}

function afterWord(text: string, word: string): string {
  const at = text.indexOf(word);
  return (at < 0 ? text : text.slice(at + word.length)).replace(/\.$/, "");
}

/** `SSHKeyFile` -> `ssh_key_file`, `PublicIP` -> `public_ip`, `PeerURLs` -> `peer_urls`. */
function snake(name: string): string {
  return name
    .replace(/URLs/g, "Urls")
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .toLowerCase();
}

/** A setting's section and key as in flotilla.conf. */
export interface SettingName {
  readonly section: string;
  readonly key: string;
}

const settings: Readonly<Record<string, JsonSchema>> = settingsSchema.properties;

/** By path in user-data (`git.token_file`): the name in flotilla.conf. */
export const settingNames: ReadonlyMap<string, SettingName> = new Map(
  Object.entries(settings).flatMap(([section, { properties = {} }]) =>
    Object.keys(properties).map((key) => [`${snake(section)}.${snake(key)}`, { section, key }] as const),
  ),
);

/** The forms that a setting may have in YAML: lists and mappings become the text of flotilla.conf. */
function settingForms(schema: JsonSchema): JsonSchema {
  const { description = "" } = schema;
  const [type = ""] = [schema.type ?? []].flat();
  switch (type) {
    case "array":
      return { type: ["array", "string"], items: { type: "string" }, description };
    case "object":
      return {
        type: ["object", "array", "string"],
        additionalProperties: { type: ["string", "number", "boolean"] },
        items: { type: "string" },
        description,
      };
    case "number":
      return {
        type: ["number", "string"],
        title: "a time span such as 30s or 2min, or a number of seconds",
        pattern: "^([0-9]+([.][0-9]+)? *[a-z]* *)+$",
        description,
      };
    case "string": {
      const { pattern, maxLength, minLength, enum: words, writeOnly } = schema;
      return {
        type: pattern === undefined && words === undefined ? ["string", "number"] : "string",
        ...(pattern === undefined ? {} : { pattern }),
        ...(maxLength === undefined ? {} : { maxLength }),
        ...(minLength === undefined ? {} : { minLength }),
        ...(words === undefined ? {} : { enum: words }),
        ...(writeOnly === undefined ? {} : { writeOnly }),
        description,
      };
    }
    default:
      return schema;
  }
}

/** The `flotilla` section for editors and for the reader: every setting under its name in snake case. */
export const flotillaSchema: JsonSchema = {
  type: "object",
  description:
    "Settings of the agent, as in flotilla.conf, with names in small letters: git: {url: ..., branch: main}.",
  additionalProperties: false,
  properties: Object.fromEntries(
    Object.entries(settings).map(([section, { description = "", properties = {} }]) => [
      snake(section),
      {
        type: "object",
        description,
        additionalProperties: false,
        properties: Object.fromEntries(
          Object.entries(properties).map(([key, schema]) => [snake(key), settingForms(schema)]),
        ),
      },
    ]),
  ),
};

let root: Field | undefined;

/** The whole document. Made at the first call: it must not slow a command that reads no user-data. */
export function rootField(): Field {
  if (root !== undefined) return root;
  const schema: JsonSchema = cloudConfigSchema;
  root = fieldOf({ ...schema, properties: { ...schema.properties, flotilla: flotillaSchema } });
  return root;
}

/** Patterns that metadata has to keep to, from the setting itself. */
export const metadataRules: { readonly key: RegExp; readonly value: RegExp; readonly most: number } = (() => {
  const schema = settings["Machine"]?.properties?.["Metadata"];
  const value = schema?.additionalProperties;
  if (schema?.propertyNames?.pattern === undefined || typeof value !== "object" || value.pattern === undefined)
    throw new Error("schemas/settings.json says nothing of the shape of Machine.Metadata");
  return {
    key: new RegExp(schema.propertyNames.pattern),
    value: new RegExp(value.pattern),
    most: schema.maxProperties ?? Infinity,
  };
})();

let places: ReadonlyMap<string, readonly string[]> | undefined;

/** Where a key is known: paths of the mappings that have it ("" is the document itself), nearest to the top first. */
export function placesOfKey(key: string): readonly string[] {
  if (places === undefined) {
    const found = new Map<string, string[]>();
    const visit = (field: Field, path: string): void => {
      for (const [name, below] of field.fields) {
        found.set(name, [...(found.get(name) ?? []), path]);
        visit(below, path === "" ? name : `${path}.${name}`);
      }
      if (field.items !== undefined) visit(field.items, `${path}[]`);
    };
    visit(rootField(), "");
    places = found;
  }
  return (places.get(key) ?? []).toSorted((a, b) => a.split(".").length - b.split(".").length);
}
