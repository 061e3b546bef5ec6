// YAML against the fields that are known: every scalar becomes what its field says, from its source text; what does not
// fit is named and left out. Lists and mappings keep the places of their keys.
import type { Place } from "../domain/problem.ts";
import { suggest } from "../text/suggest.ts";
import {
  type YamlList,
  type YamlMapping,
  type YamlNode,
  type YamlPair,
  type YamlScalar,
  isBinaryTag,
  isNull,
} from "../text/yaml.ts";
import { type Field, type FieldType, placesOfKey } from "./fields.ts";
import { type Notes, shown } from "./notes.ts";
import type { Source } from "./source.ts";
import { findMark, findMarks } from "./templates.ts";
import { withSamples } from "./tokens.ts";
import { type MapEntry, type MapValue, type TextValue, type Value, pathOf, yesOrNo } from "./values.ts";

/** Nodes that are walked in one document, aliases counted each time they are used. */
export const maxNodes = 100_000;

export interface ShapeOptions {
  readonly source: Source;
  readonly notes: Notes;
}

/** The document as a mapping of what could be read; everything else is in the notes. Never throws. */
export function shapeDocument(node: YamlNode, field: Field, options: ShapeOptions): MapValue | undefined {
  const value = new Shaper(options).value(node, field, "");
  return value?.kind === "map" ? value : undefined;
}

const knownTags: ReadonlySet<string> = new Set(
  ["str", "int", "float", "bool", "null", "seq", "map", "binary"].flatMap((name) => [
    `!!${name}`,
    `!<tag:yaml.org,2002:${name}>`,
  ]),
);

class Shaper {
  readonly #source: Source;
  readonly #notes: Notes;
  #nodes = 0;

  constructor({ source, notes }: ShapeOptions) {
    this.#source = source;
    this.#notes = notes;
  }

  value(node: YamlNode, field: Field, path: string): Value | undefined {
    const at = this.#source.at(node.offset, path);
    if (++this.#nodes > maxNodes) {
      if (this.#nodes === maxNodes + 1)
        this.#notes.error("size", `Cannot read more than ${maxNodes} values`, {
          hint: "Anchors that hold anchors grow quickly; write out what is meant",
          at,
        });
      return undefined;
    }
    // told apart by who does it: nothing here looks inside
    if (field.types.size === 0) return undefined;
    if (node.tag !== undefined && !knownTags.has(node.tag) && node.tag !== "!") {
      this.#notes.error("tag", `Cannot read the YAML tag ${shown(node.tag)}`, {
        hint: /^!(Ref|Sub|GetAtt|Join|If|ImportValue|FindInMap|Base64)\b/.test(node.tag)
          ? "It looks like CloudFormation; have it put in the value first"
          : "Only YAML's own tags such as !!binary are known",
        at,
      });
      return undefined;
    }
    if (isNull(node)) return this.#nothing(field, path, at);
    if (node.kind === "scalar") return this.#scalar(node, field, path);
    if (node.kind === "list") return this.#list(node, field, path);
    return this.#mapping(node, field, path);
  }

  #nothing(field: Field, path: string, at: Place): Value | undefined {
    if (field.types.has("null")) return { kind: "null", at };
    this.#notes.warning("empty", `Cannot use ${named(path)}: it has no value`, {
      hint: "Give it one, or take the line away",
      at,
    });
    return undefined;
  }

  #scalar(node: YamlScalar, field: Field, path: string): Value | undefined {
    const at = this.#source.at(node.offset, path);
    if (field.types.has("text")) return this.#text(node, field, path);
    if (this.#isTemplate(node, field, path)) return undefined;
    if (node.style === "plain") {
      const word = field.types.has("boolean") ? yesOrNo(node.text) : undefined;
      if (word !== undefined) return { kind: "boolean", value: word, at };
      const number = field.types.has("number") || field.types.has("integer") ? numberOf(node.text, field) : undefined;
      if (number !== undefined) return this.#bounded(number, node.text, { field, path, at });
    }
    this.#wrongType(node, field, path);
    return undefined;
  }

  #bounded(
    value: number,
    text: string,
    { field, path, at }: { readonly field: Field; readonly path: string; readonly at: Place },
  ): Value | undefined {
    if (value >= field.minimum && value <= field.maximum) return { kind: "number", value, text, at };
    this.#notes.error("value", `Cannot take ${named(path)} = ${shown(text)}`, { hint: mustBe(field), at });
    return undefined;
  }

  #text(node: YamlScalar, field: Field, path: string): TextValue | undefined {
    const at = this.#source.at(node.offset, path);
    if (this.#isTemplate(node, field, path)) return undefined;
    const isBinary = isBinaryTag(node.tag);
    const sample = withSamples(node.text);
    const fits =
      isBinary ||
      node.text === "" ||
      ((field.words === undefined || field.words.includes(sample)) &&
        (field.pattern === undefined || field.pattern.test(sample)) &&
        sample.length <= field.maxLength);
    if (!fits) {
      const value = field.isSecret ? "" : ` = ${shown(node.text)}`;
      this.#notes.error("value", `Cannot take ${named(path)}${value}`, { hint: mustBe(field, node.text), at });
      return undefined;
    }
    const firstLine = node.linesOffset === undefined ? undefined : this.#source.at(node.linesOffset, path);
    return { kind: "text", text: node.text, isPlain: node.style === "plain", isBinary, at, firstLine };
  }

  /** Said as an error where a value is spoilt, as a warning in a text that a program reads. */
  #isTemplate(node: YamlScalar, field: Field, path: string): boolean {
    if (field.isSecret) return false;
    const mark = findMark(node.text, field.isFree);
    if (mark === undefined) return false;
    const line = node.text.slice(0, mark.offset).split("\n").length - 1;
    const inLine = node.linesOffset === undefined ? undefined : this.#source.at(node.linesOffset, path);
    const at =
      inLine?.line === undefined
        ? this.#source.at(node.offset, path)
        : { file: inLine.file, line: inLine.line + line, key: path };
    const more = findMarks(node.text, field.isFree).length - 1;
    tellTemplate(this.#notes, { ...mark, more, at, isSure: !field.isFree });
    return !field.isFree;
  }

  #list(node: YamlList, field: Field, path: string): Value | undefined {
    const at = this.#source.at(node.offset, path);
    if (!field.types.has("list")) {
      this.#wrongType(node, field, path);
      return undefined;
    }
    if (node.items.length < field.minItems || node.items.length > field.maxItems) {
      this.#notes.error("value", `Cannot take ${node.items.length} items for ${named(path)}`, {
        hint:
          field.minItems === field.maxItems
            ? `It must have ${field.minItems}`
            : `It must have ${field.minItems} to ${field.maxItems}`,
        at,
      });
      return undefined;
    }
    const { items } = field;
    if (items === undefined) return { kind: "list", items: [], at };
    const values = node.items.flatMap((item, index) => this.value(item, items, `${path}[${index}]`) ?? []);
    return { kind: "list", items: values, at };
  }

  #mapping(node: YamlMapping, field: Field, path: string): Value | undefined {
    const at = this.#source.at(node.offset, path);
    const first = node.pairs[0];
    // `key: {{name}}` is YAML for a mapping whose key is a mapping
    if (first !== undefined && node.pairs.length === 1 && first.key.kind !== "scalar") {
      const written = this.#source.text.slice(node.offset).split("\n", 1)[0] ?? "";
      const mark = findMark(written, false);
      if (mark?.offset === 0) tellTemplate(this.#notes, { ...mark, at, isSure: true });
      else this.#strangeKey(first, path);
      return undefined;
    }
    if (!field.types.has("map")) {
      this.#wrongType(node, field, path);
      return undefined;
    }
    const entries = new Map<string, MapEntry>();
    const written = new Map<string, YamlPair>();
    for (const pair of node.pairs) this.#pair(pair, { field, path, entries, written });
    for (const name of field.required)
      if (!node.pairs.some(({ key }) => key.kind === "scalar" && key.text.replaceAll("-", "_") === name))
        this.#notes.error("missing", `Cannot find ${named(pathOf(path, name))}`, { hint: "It is needed", at });
    return { kind: "map", entries, at };
  }

  #pair(
    pair: YamlPair,
    {
      field,
      path,
      entries,
      written,
    }: {
      readonly field: Field;
      readonly path: string;
      readonly entries: Map<string, MapEntry>;
      readonly written: Map<string, YamlPair>;
    },
  ): void {
    if (pair.key.kind !== "scalar") {
      this.#strangeKey(pair, path);
      return;
    }
    const isFree = field.others !== undefined;
    const name = isFree ? pair.key.text : pair.key.text.replaceAll("-", "_");
    const at = this.#source.at(pair.key.offset, pathOf(path, shown(name)));
    const below = field.fields.get(name) ?? field.others;
    if (below === undefined) {
      this.#unknown(pair.key, field, path);
      return;
    }
    if (isFree && field.namePattern?.test(name) === false) {
      this.#notes.error("key", `Cannot understand key ${named(pathOf(path, shown(name)))}`, {
        hint: "Known are rsa_private, rsa_public, rsa_certificate and the same for ecdsa and ed25519",
        at,
      });
      return;
    }
    this.#remark(name, below, at);
    const before = written.get(name);
    written.set(name, pair);
    const value = this.value(pair.value, below, pathOf(path, name));
    if (before !== undefined) {
      const kept = entries.get(name);
      // both spellings of one list, as CoreOS joined them; one spelling twice is a slip
      const spelt = before.key.kind === "scalar" && before.key.text !== pair.key.text;
      if (spelt && kept?.value.kind === "list" && value?.kind === "list") {
        entries.set(name, { at: kept.at, value: { ...kept.value, items: [...kept.value.items, ...value.items] } });
        return;
      }
      this.#notes.error("duplicate", `Cannot take ${named(pathOf(path, name))} twice`, {
        hint: `It stands on line ${this.#source.at(before.key.offset).line ?? 0} as well; keep one of them`,
        at,
      });
      return;
    }
    // that cloud-init has something to do here is worth knowing; what has no effect is not
    if (below.idle === "cloud-init") entries.set(name, { value: { kind: "null", at }, at });
    else if (value !== undefined && below.idle === undefined) entries.set(name, { value, at });
  }

  /** What is to be said of a key by its name alone. */
  #remark(name: string, field: Field, at: Place): void {
    if (field.deprecated !== undefined)
      this.#notes.warning("deprecated", `Cannot recommend "${name}": it is deprecated`, {
        hint: sentence(field.deprecated),
        at,
      });
    else if (field.idle === "nobody")
      this.#notes.info("idle", `Cannot do anything with "${name}": it has no effect`, {
        hint: sentence(field.description.replace(/^.*?Nothing: /, "").replace(/\.$/, "")),
        at,
      });
    else if (field.idle === "cloud-init")
      this.#notes.warning("left", `Cannot do anything with "${name}": flotilla leaves it to cloud-init`, {
        hint: "Where cloud-init does not run, take the key away or do it with runcmd",
        at,
      });
  }

  #unknown(key: YamlScalar, field: Field, path: string): void {
    const name = key.text.replaceAll("-", "_");
    const at = this.#source.at(key.offset, pathOf(path, shown(name)));
    const mark = findMark(key.text, false);
    if (mark !== undefined) {
      tellTemplate(this.#notes, { ...mark, at, isSure: true });
      return;
    }
    const near = this.#notes.isFull ? undefined : suggest(name, [...field.fields.keys()]);
    const elsewhere = placesOfKey(name).filter((place) => place !== path)[0];
    const hint =
      near !== undefined
        ? `Did you mean "${near}"?`
        : elsewhere !== undefined
          ? `It belongs ${elsewhere === "" ? "to the top level" : `under ${elsewhere.replace("[]", "")}`}`
          : field.fields.size <= 24
            ? `Known here: ${[...field.fields.keys()].join(", ")}`
            : "No key has this name";
    this.#notes.error("unknown-key", `Cannot understand key "${shown(key.text)}"`, { hint, at });
  }

  #strangeKey({ key }: YamlPair, path: string): void {
    this.#notes.error("key", `Cannot take a ${key.kind} as a key in ${named(path)}`, {
      hint: 'A key is a word; text that begins with "{" or "[" needs quotes',
      at: this.#source.at(key.offset, path),
    });
  }

  #wrongType(node: YamlNode, field: Field, path: string): void {
    const is = node.kind === "scalar" ? (field.isSecret ? "a text" : `"${shown(node.text)}"`) : `a ${node.kind}`;
    this.#notes.error("type", `Cannot take ${is} for ${named(path)}`, {
      hint: typeHint(node, field),
      at: this.#source.at(node.offset, path),
    });
  }
}

/** A template's mark that nobody filled in. `isSure`: it spoils a value; else it may belong to the text. */
export function tellTemplate(
  notes: Notes,
  mark: {
    readonly text: string;
    readonly of: string;
    readonly at: Place;
    readonly isSure: boolean;
    /** Further marks in the same text. */
    readonly more?: number;
  },
): void {
  const more = (mark.more ?? 0) > 0 ? `, as do ${mark.more ?? 0} more in this text` : "";
  const message = `Cannot use "${shown(mark.text)}": it looks like a template that nobody filled in${more}`;
  const hint = `Fill it in first (it could be ${mark.of}); flotilla itself knows only $private_ipv4 and its like`;
  if (mark.isSure) notes.error("template", message, { hint, at: mark.at });
  else notes.warning("template", message, { hint, at: mark.at });
}

function named(path: string): string {
  return path === "" ? "the document" : `"${path}"`;
}

function sentence(text: string): string {
  return text === "" || /^(etcd|fleet|flotilla)\b/.test(text)
    ? text
    : `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}`;
}

/** Plain decimal numbers; anything else that YAML may call a number is no count of anybody's. */
function numberOf(text: string, field: Field): number | undefined {
  const pattern = field.types.has("number") ? /^[-+]?[0-9]{1,15}(\.[0-9]{1,9})?$/ : /^[-+]?[0-9]{1,15}$/;
  return pattern.test(text) ? Number(text) : undefined;
}

function mustBe(field: Field, text = ""): string {
  if (text.includes("\n") && field.pattern !== undefined && field.pattern.test(text.trim()))
    return "Write it on one line, without | and >";
  if (field.title !== undefined) return `It must be ${field.title}`;
  if (field.words !== undefined) {
    const near = suggest(text, field.words);
    return near === undefined ? `It must be one of: ${field.words.join(", ")}` : `Did you mean "${near}"?`;
  }
  if (field.minimum > -Infinity && field.maximum < Infinity)
    return `It must be a number from ${field.minimum} to ${field.maximum}`;
  if (field.minimum > -Infinity) return `It must be a number of at least ${field.minimum}`;
  if (field.description !== "") return `It is: ${field.description.replace(/\.$/, "")}`;
  return `It must be at most ${field.maxLength} characters long`;
}

const typeNames: Readonly<Record<FieldType, string>> = {
  text: "a text",
  boolean: "true or false",
  number: "a number",
  integer: "a whole number",
  list: "a list",
  map: "a mapping",
  null: "nothing",
};

function typeHint(node: YamlNode, field: Field): string {
  const wanted = [...field.types].filter((type) => type !== "null").map((type) => typeNames[type]);
  const must = `It must be ${wanted.join(" or ")}`;
  if (node.kind === "scalar" && node.style === "quoted") {
    if (field.types.has("boolean") && yesOrNo(node.text) !== undefined) return `${must}, without quotes`;
    if (numberOf(node.text, field) !== undefined && wanted.includes(typeNames.integer))
      return `${must}, without quotes`;
  }
  if (node.kind === "scalar" && field.types.has("list"))
    return `${must}: each item on a line of its own, with "- " before it`;
  if (node.kind === "scalar" && field.types.has("map")) return `${must}: "key: value" on lines further in`;
  if (node.kind === "list" && field.types.has("map")) return `${must}: without "- " before its keys`;
  return must;
}
