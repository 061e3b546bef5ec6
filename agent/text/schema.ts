// JSON Schemas as checks: a schema goes in, a function comes out that says what is wrong with a value, in words.
// Given to settings/ and to the codecs of text/. The one importer of ajv.
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";

/** No more problems than this are reported for one value. */
export const maxSchemaProblems = 50;
const maxShownChars = 80;
const maxAllowedShown = 24;

export interface SchemaOptions {
  /** Code of every problem; "shape" unless set. */
  readonly code?: string;
}

/**
 * A check of a value against a JSON Schema (draft 2020-12, or draft 07 when `$schema` says so). Compiled at the first
 * call. Problems name the key path (`units[3].hash`), the value (cut to 80 characters, left out where the schema says
 * `writeOnly`) and what is allowed; at most 50. The value is neither changed nor copied. A schema that is itself wrong
 * throws at the first call.
 */
export function compileSchema<T>(schema: object, options: SchemaOptions = {}): (value: unknown) => Checked<T> {
  const code = options.code ?? "shape";
  let compiled: ValidateFunction | undefined;
  return (value) => {
    const check = (compiled ??= compilerFor(schema).compile(schema));
    if (check(value)) return valid(value as T);
    const told = (check.errors ?? []).filter(saysSomething).slice(0, maxSchemaProblems);
    return invalid(...told.map((error) => problemOf(error, code)));
  };
}

type Compiler = InstanceType<typeof Ajv> | InstanceType<typeof Ajv2020>;
const compilers: { draft07?: Compiler; draft2020?: Compiler } = {};

/** One compiler for each draft, made when first needed: it must not slow a command that checks nothing. */
function compilerFor(schema: object): Compiler {
  // verbose: an error carries the schema and the value it is about; addUsedSchema off: schemas may share an $id freely
  const settings = { allErrors: true, verbose: true, addUsedSchema: false, allowUnionTypes: true };
  const draft = "$schema" in schema ? String(schema.$schema) : "";
  if (draft.includes("draft-07")) return (compilers.draft07 ??= new Ajv(settings));
  return (compilers.draft2020 ??= new Ajv2020(settings));
}

/** `if`, and the wrapper around a key's name, only repeat what another error says better. */
function saysSomething(error: ErrorObject): boolean {
  return error.keyword !== "if" && error.keyword !== "propertyNames";
}

function problemOf(error: ErrorObject, code: string): Problem {
  const path = keyPath(error.instancePath);
  const params = error.params as Readonly<Record<string, unknown>>;
  switch (error.keyword) {
    case "required":
    case "dependentRequired":
      return new Problem(code, `Cannot find key "${join(path, String(params["missingProperty"]))}"`, {
        hint: "It is required",
      });
    case "additionalProperties":
    case "unevaluatedProperties": {
      const unknown = String(params["additionalProperty"] ?? params["unevaluatedProperty"]);
      return new Problem(code, `Cannot take unknown key "${join(path, bounded(unknown))}"`, { hint: knownKeys(error) });
    }
    default: {
      const name = error.propertyName === undefined ? undefined : bounded(error.propertyName);
      const what = name === undefined ? `"${path === "" ? "value" : path}"` : `key name "${join(path, name)}"`;
      return new Problem(code, `Cannot take ${what}${shown(error)}`, { hint: allowed(error) });
    }
  }
}

/** A JSON pointer as people write it: `/units/3/hash` is `units[3].hash`. */
function keyPath(pointer: string): string {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : join(path, bounded(part))), "");
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** ` = "vlaue"`; nothing where the schema marks a secret, or where the value is what the key is named after. */
function shown(error: ErrorObject): string {
  if (parentOf(error)["writeOnly"] === true || error.propertyName !== undefined) return "";
  return ` = ${bounded(inWords(error.data))}`;
}

/** Only plain values are shown: what an object or list holds may be secret, and is long. */
function inWords(value: unknown): string {
  if (Array.isArray(value)) return "[…]";
  if (typeof value === "object" && value !== null) return "{…}";
  return value === undefined ? "nothing" : JSON.stringify(value);
}

function bounded(text: string): string {
  return text.length <= maxShownChars ? text : `${text.slice(0, maxShownChars)}…`;
}

function parentOf(error: ErrorObject): Readonly<Record<string, unknown>> {
  return error.parentSchema ?? {};
}

function knownKeys(error: ErrorObject): string {
  const properties = parentOf(error)["properties"];
  const names = typeof properties === "object" && properties !== null ? Object.keys(properties).sort() : [];
  return names.length === 0 ? "No key is known here" : `Known keys here: ${listed(names)}`;
}

function listed(items: readonly unknown[]): string {
  const texts = items.map((item) => (typeof item === "string" ? item : JSON.stringify(item)));
  const cut = texts.slice(0, maxAllowedShown).join(", ");
  return texts.length > maxAllowedShown ? `${cut}, …` : cut;
}

/** What the schema allows, as a sentence. A pattern is explained by the schema's own description, where it has one. */
function allowed(error: ErrorObject): string {
  const params = error.params as Readonly<Record<string, unknown>>;
  const parent = parentOf(error);
  switch (error.keyword) {
    case "type":
      return `It must be ${[params["type"]].flat().map(typeName).join(" or ")}`;
    case "enum":
      return `It must be one of: ${listed([params["allowedValues"]].flat())}`;
    case "const":
      return `It must be ${JSON.stringify(params["allowedValue"])}`;
    case "pattern":
      return typeof parent["description"] === "string"
        ? `It must be: ${parent["description"].replace(/\.$/, "")}`
        : `It must match ${String(params["pattern"])}`;
    default:
      return `It ${error.message ?? "is not allowed"}`;
  }
}

function typeName(type: unknown): string {
  const name = String(type);
  return name === "null" ? "null" : /^[aeio]/.test(name) ? `an ${name}` : `a ${name}`;
}
