// A YAML (or JSON) document of a provider's as plain values whose scalars are text. Given to the sources. Pure.
import { isNull, parseYaml, type YamlNode } from "../../text/yaml.ts";
import { unfit } from "./source.ts";

/** Mappings, lists and text; an empty scalar is undefined. Refuses what is no YAML, naming `where`. */
export function readYaml(body: Uint8Array, where: string): unknown {
  const reading = parseYaml(Buffer.from(body).toString("utf8"));
  // the parser's words may repeat part of the text
  if (!reading.ok) throw unfit(`Cannot read ${where}: it is not YAML`);
  const [first] = reading.documents;
  return first === undefined ? undefined : plain(first, new Map());
}

/** What anchors share stays shared, so that no document grows by being read. */
function plain(node: YamlNode, known: Map<YamlNode, unknown>): unknown {
  if (known.has(node)) return known.get(node);
  known.set(node, undefined); // what contains itself ends there
  const value = convert(node, known);
  known.set(node, value);
  return value;
}

function convert(node: YamlNode, known: Map<YamlNode, unknown>): unknown {
  switch (node.kind) {
    case "scalar":
      return isNull(node) ? undefined : node.text;
    case "list":
      return node.items.map((item) => plain(item, known));
    case "mapping":
      return Object.fromEntries(
        node.pairs.flatMap(({ key, value }) => (key.kind === "scalar" ? [[key.text, plain(value, known)]] : [])),
      );
  }
}
