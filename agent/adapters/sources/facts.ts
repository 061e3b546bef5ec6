// Readers of what providers write: values from JSON and text as instance metadata, with everything odd left out.
// Given to the sources. Pure.
import { isIPv4, isIPv6 } from "node:net";
import type { AddressName } from "../../domain/user-data.ts";
import { unfit } from "./source.ts";

/** Keys for one machine; more are left out. */
const maxKeys = 64;
/** A key of RSA with 16,384 bits and a long comment. */
const maxKeyChars = 16 * 1024;

/** The value at a path of members and positions; undefined when there is nothing. */
export function pick(value: unknown, ...path: readonly (string | number)[]): unknown {
  let here = value;
  for (const step of path) {
    if (typeof here !== "object" || here === null || !Object.hasOwn(here, step)) return undefined;
    here = (here as Readonly<Record<string | number, unknown>>)[step];
  }
  return here;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** Text or a number as text, trimmed; undefined for everything else and for nothing. */
export function textOf(value: unknown): string | undefined {
  const text = typeof value === "string" ? value.trim() : typeof value === "number" ? String(value) : "";
  return text === "" ? undefined : text;
}

/** Refuses what is no JSON, naming `where`, never its text. */
export function parseJson(body: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8")) as unknown;
  } catch {
    // the parser's words would repeat part of the text, which may be secret
    throw unfit(`Cannot read ${where}: it is not JSON`);
  }
}

/** A name of the machine: the first word (some services list several). Undefined when it is none. */
export function hostnameOf(value: unknown): string | undefined {
  const [name = ""] = (textOf(value) ?? "").split(/\s+/);
  return /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(name) ? name : undefined;
}

/** An id of the instance: one word without markup, at most 128 characters; a page that asks for a login is none. */
export function instanceIdOf(value: unknown): string | undefined {
  const text = textOf(value);
  return text !== undefined && /^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$/.test(text) ? text : undefined;
}

/** Lines of authorized_keys(5), each once, without comments, and without anything that is no key. */
export function keysOf(...values: readonly unknown[]): readonly string[] {
  const lines = values
    .flatMap((value) => (Array.isArray(value) ? (value as readonly unknown[]) : [value]))
    .flatMap((value) => (typeof value === "string" ? value.split("\n") : []))
    .map((line) => line.trim())
    .filter((line) => line.length <= maxKeyChars && isKey(line));
  return [...new Set(lines)].slice(0, maxKeys);
}

function isKey(line: string): boolean {
  // options may stand in front; every kind of key has a name and base64 after it
  return /^[^#\p{Cc}][^\p{Cc}]*$/u.test(line) && /(^|\s)[a-z][a-z0-9@.-]+ [A-Za-z0-9+/]{16,}=*(\s|$)/.test(line);
}

type AddressValues = Partial<Record<AddressName, string>>;

/** Addresses under their names; those that are no address of the name's family are left out, a prefix length is cut off. */
export function addressesOf(values: Readonly<Partial<Record<AddressName, unknown>>>): Readonly<AddressValues> {
  const kept: AddressValues = {};
  for (const [name, value] of Object.entries(values) as readonly [AddressName, unknown][]) {
    const address = addressOf(value);
    if (address !== undefined && (name.endsWith("ipv4") ? isIPv4(address) : isIPv6(address))) kept[name] = address;
  }
  return kept;
}

/** An address of either family without its prefix length or zone; undefined for anything else. */
export function addressOf(value: unknown): string | undefined {
  const address = textOf(value)?.replace(/[/%].*$/, "");
  return address !== undefined && (isIPv4(address) || isIPv6(address)) ? address : undefined;
}

/**
 * The name that an address of an interface goes by: private for RFC 1918 and unique-local ones. Undefined for those that
 * are neither: loopback, link-local, multicast, and what a carrier shares among its customers (RFC 6598).
 */
export function nameOf(address: string): AddressName | undefined {
  if (isIPv4(address)) {
    if (/^(0|127|22[4-9]|2[345]\d)\.|^169\.254\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(address))
      return undefined;
    return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(address) ? "private_ipv4" : "public_ipv4";
  }
  if (/^f[cd]/i.test(address)) return "private_ipv6";
  return /^[23][0-9a-f]{3}:/i.test(address) ? "public_ipv6" : undefined;
}

/** The first address of each kind, named by what it is. */
export function firstOfEachKind(addresses: readonly unknown[]): Readonly<AddressValues> {
  const kept: AddressValues = {};
  for (const value of addresses) {
    const address = addressOf(value);
    const name = address === undefined ? undefined : nameOf(address);
    if (address !== undefined && name !== undefined) kept[name] ??= address;
  }
  return kept;
}

/** The bytes of base64 text; undefined when it is none. Blanks and line ends are passed over. */
export function fromBase64(text: string): Uint8Array | undefined {
  const packed = text.replace(/\s+/g, "");
  if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed)) return undefined;
  return Buffer.from(packed, "base64");
}

/** A page for people where data was asked for: a login page in the way, or a service that does not know itself. */
export function isWebPage(body: Uint8Array): boolean {
  return /^\s*<(!doctype\s+html|html[\s>])/i.test(Buffer.from(body.subarray(0, 256)).toString("latin1"));
}
