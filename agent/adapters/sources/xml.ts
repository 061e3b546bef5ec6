// XML documents of hypervisors as plain values, by local names: `@key` is an attribute, `#text` the text beside attributes.
// The one importer of fast-xml-parser. Entities of a document's own are refused, not expanded.
import { XMLParser } from "fast-xml-parser";
import { listOf, pick } from "./facts.ts";
import { unfit } from "./source.ts";

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  htmlEntities: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
});

/** Refuses what is no XML and what declares entities, naming `where`, never its text. */
export function readXml(body: Uint8Array, where: string): unknown {
  const text = Buffer.from(body).toString("utf8");
  if (/<!DOCTYPE|<!ENTITY/i.test(text)) throw unfit(`Cannot read ${where}: it has a document type of its own`);
  try {
    return parser.parse(text) as unknown;
  } catch {
    // the parser's words repeat part of the text, which may be secret
    throw unfit(`Cannot read ${where}: it is not XML`);
  }
}

/** The text of an element, with and without attributes; undefined when there is none. */
export function elementText(value: unknown): string | undefined {
  const text = typeof value === "string" ? value : pick(value, "#text");
  return typeof text === "string" && text.trim() !== "" ? withoutEntities(text) : undefined;
}

/** Elements of one name: none, one or several. */
export function elements(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? listOf(value) : value === undefined ? [] : [value];
}

const predefined: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** Predefined entities and character references as the characters that they are. */
export function withoutEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]+));/gi, (whole, decimal, hexadecimal, name) => {
    if (typeof name === "string") return Object.hasOwn(predefined, name) ? (predefined[name] ?? whole) : whole;
    const code = typeof decimal === "string" ? parseInt(decimal, 10) : parseInt(String(hexadecimal), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
