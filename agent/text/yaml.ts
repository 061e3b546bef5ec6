// YAML as it was written: every scalar keeps its source text and its place, nothing is guessed to be a number or a date.
// Given to userdata/, whose fields know what they are. The one importer of js-yaml.
import {
  EVENT_ID,
  type Event,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
  getScalarValue,
  parseEvents,
} from "js-yaml";

/** Nesting of lists and mappings. */
export const maxYamlDepth = 64;
/** Uses of anchors in one text; each is a reference, but readers walk what it leads to. */
export const maxYamlAliases = 1000;
/** Pairs that merge keys (`<<`) bring in, over one text. */
export const maxMergedPairs = 10_000;

export interface YamlScalar {
  readonly kind: "scalar";
  /** The characters of the scalar: `0644`, `yes`, `~`; quotes, escapes and indentation resolved. */
  readonly text: string;
  /** `block`: literal or folded. */
  readonly style: "plain" | "quoted" | "block";
  /** Offset of the first character, the quote of a quoted one, the `|` or `>` of a block. Nothing written at all: where it would stand. */
  readonly offset: number;
  /** Literal blocks: offset of their first line, so that line N of the text stands N lines below. */
  readonly linesOffset: number | undefined;
  /** As written, `!!binary`; undefined: none. */
  readonly tag: string | undefined;
}

export interface YamlList {
  readonly kind: "list";
  readonly items: readonly YamlNode[];
  readonly offset: number;
  readonly tag: string | undefined;
}

export interface YamlPair {
  readonly key: YamlNode;
  readonly value: YamlNode;
  /** Brought in by a merge key (`<<`). */
  readonly merged: boolean;
}

export interface YamlMapping {
  readonly kind: "mapping";
  /** In order; duplicate keys stay, those that a merge key brings in and the mapping has itself are gone. */
  readonly pairs: readonly YamlPair[];
  readonly offset: number;
  readonly tag: string | undefined;
}

export type YamlNode = YamlScalar | YamlList | YamlMapping;

/** Why a text is no YAML, in a few words of the parser's, and where. */
export interface YamlFault {
  readonly reason: string;
  readonly offset: number;
}

export type YamlReading =
  | { readonly ok: true; /** One for each document; none for an empty text. */ readonly documents: readonly YamlNode[] }
  | { readonly ok: false; readonly fault: YamlFault };

/** Reads all documents of a text. Anchors are followed; whoever walks the result must bound the walk. Never throws. */
export function parseYaml(text: string): YamlReading {
  let events: readonly Event[];
  try {
    events = parseEvents(text, { maxDepth: maxYamlDepth });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const offset = Math.min(Math.max(error.mark?.position ?? 0, 0), text.length);
    return { ok: false, fault: { reason: error.reason, offset } };
  }
  try {
    return { ok: true, documents: new Composer(text, events).documents() };
  } catch (error) {
    if (error instanceof Fault) return { ok: false, fault: { reason: error.message, offset: error.offset } };
    throw error;
  }
}

/** Bytes of a `!!binary` scalar's text; undefined when it is no base64. */
export function isBinaryTag(tag: string | undefined): boolean {
  return tag === "!!binary" || tag === "!<tag:yaml.org,2002:binary>";
}

/** Whether a scalar says "nothing": empty, `~` or `null`, unquoted. */
export function isNull(node: YamlNode): boolean {
  return node.kind === "scalar" && node.style === "plain" && /^(~|null|Null|NULL)?$/.test(node.text);
}

class Fault extends Error {
  readonly offset: number;
  constructor(reason: string, offset: number) {
    super(reason);
    this.offset = offset;
  }
}

/** Events in, nodes out. */
class Composer {
  readonly #text: string;
  readonly #events: readonly Event[];
  #at = 0;
  /** The last offset seen: where something that was left out would stand. */
  #offset = 0;
  #aliases = 0;
  #merged = 0;
  #anchors = new Map<string, YamlNode>();

  constructor(text: string, events: readonly Event[]) {
    this.#text = text;
    this.#events = events;
  }

  documents(): readonly YamlNode[] {
    const found: YamlNode[] = [];
    for (let event = this.#next(); event !== undefined; event = this.#next()) {
      if (event.type !== EVENT_ID.DOCUMENT) throw new Fault("a document was expected", this.#offset);
      this.#anchors = new Map();
      const node = this.#node(this.#next());
      if (node !== undefined) {
        found.push(node);
        this.#next();
      }
    }
    return found;
  }

  #next(): Event | undefined {
    return this.#events[this.#at++];
  }

  /** Undefined at the end of a list, mapping or document. */
  #node(event: Event | undefined): YamlNode | undefined {
    switch (event?.type) {
      case EVENT_ID.SCALAR:
        return this.#named(event, this.#scalar(event));
      case EVENT_ID.SEQUENCE: {
        const items: YamlNode[] = [];
        this.#offset = event.start;
        for (let item = this.#node(this.#next()); item !== undefined; item = this.#node(this.#next())) items.push(item);
        return this.#named(event, { kind: "list", items, offset: event.start, tag: this.#tag(event) });
      }
      case EVENT_ID.MAPPING: {
        this.#offset = event.start;
        const pairs = this.#pairs();
        return this.#named(event, { kind: "mapping", pairs, offset: event.start, tag: this.#tag(event) });
      }
      case EVENT_ID.ALIAS: {
        const name = this.#text.slice(event.anchorStart, event.anchorEnd);
        this.#offset = event.anchorStart;
        if (++this.#aliases > maxYamlAliases) throw new Fault(`more than ${maxYamlAliases} aliases`, event.anchorStart);
        const node = this.#anchors.get(name);
        // an anchor is known when its node is complete, so that nothing can hold itself
        if (node === undefined) throw new Fault(`unknown alias "${name.slice(0, 64)}"`, event.anchorStart);
        return node;
      }
      case EVENT_ID.DOCUMENT:
      case EVENT_ID.POP:
      case undefined:
        return undefined;
    }
  }

  #named<Node extends YamlNode>(event: { readonly anchorStart: number; readonly anchorEnd: number }, node: Node): Node {
    if (event.anchorStart >= 0) this.#anchors.set(this.#text.slice(event.anchorStart, event.anchorEnd), node);
    return node;
  }

  #tag({ tagStart, tagEnd }: { readonly tagStart: number; readonly tagEnd: number }): string | undefined {
    return tagStart < 0 ? undefined : this.#text.slice(tagStart, tagEnd);
  }

  #scalar(event: ScalarEvent): YamlScalar {
    const tag = this.#tag(event);
    if (event.valueStart < 0)
      return { kind: "scalar", text: "", style: "plain", offset: this.#offset, linesOffset: undefined, tag };
    const text = getScalarValue(this.#text, event);
    const block = event.style === SCALAR_STYLE.LITERAL_BLOCK || event.style === SCALAR_STYLE.FOLDED_BLOCK;
    const isPlain = event.style === SCALAR_STYLE.PLAIN;
    const offset = block ? this.#indicator(event.valueStart) : event.valueStart - (isPlain ? 0 : 1);
    this.#offset = offset;
    return {
      kind: "scalar",
      text,
      style: block ? "block" : isPlain ? "plain" : "quoted",
      offset,
      linesOffset: event.style === SCALAR_STYLE.LITERAL_BLOCK ? event.valueStart : undefined,
      tag,
    };
  }

  /** The `|` or `>` above a block's first line. */
  #indicator(linesOffset: number): number {
    const end = this.#text.lastIndexOf("\n", linesOffset - 1);
    const start = this.#text.lastIndexOf("\n", end - 1) + 1;
    const header = /[|>][-+0-9]*[ \t]*(#.*)?\r?$/.exec(this.#text.slice(start, Math.max(end, start)));
    return header === null ? linesOffset : start + header.index;
  }

  #pairs(): readonly YamlPair[] {
    const own: YamlPair[] = [];
    const merged: YamlPair[] = [];
    for (let key = this.#node(this.#next()); key !== undefined; key = this.#node(this.#next())) {
      const value = this.#node(this.#next());
      if (value === undefined) throw new Fault("a value is missing", this.#offset);
      if (key.kind === "scalar" && key.style === "plain" && key.text === "<<") merged.push(...this.#sources(value));
      else own.push({ key, value, merged: false });
    }
    if (merged.length === 0) return own;
    const taken = new Set(own.map(({ key }) => nameOf(key)));
    for (const pair of merged) {
      const name = nameOf(pair.key);
      if (taken.has(name)) continue;
      taken.add(name);
      own.push(pair);
    }
    return own;
  }

  /** The pairs that `<<: *one` or `<<: [*one, *two]` brings in; the earlier one wins. */
  #sources(value: YamlNode): readonly YamlPair[] {
    const from = value.kind === "list" ? value.items : [value];
    return from.flatMap((node) => {
      if (node.kind !== "mapping") throw new Fault('"<<" takes a mapping, or a list of them', node.offset);
      this.#merged += node.pairs.length;
      if (this.#merged > maxMergedPairs) throw new Fault(`more than ${maxMergedPairs} merged keys`, node.offset);
      return node.pairs.map((pair) => ({ ...pair, merged: true }));
    });
  }
}

/** Keys alike are the same text; a list or mapping as key is like no other. */
function nameOf(key: YamlNode): string | YamlNode {
  return key.kind === "scalar" ? key.text.replaceAll("-", "_") : key;
}
