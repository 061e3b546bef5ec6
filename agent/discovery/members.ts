// Members in the forms that etcd gives them: `NAME=URL` lists, and the ids that follow from URLs and token. For the other
// files of discovery/ only.
import type { EtcdPeer } from "../domain/discovery.ts";
import { sha1 } from "../text/hash.ts";

const maxEntryChars = 4096;
const maxUrls = 16;

/** Items `NAME=URL` as members, in the order of their names' first mention; undefined when one is no such item. */
export function parseMembers(items: readonly string[]): readonly EtcdPeer[] | undefined {
  const urls = new Map<string, string[]>();
  for (const item of items) {
    const at = item.indexOf("=");
    const [name, url] = [item.slice(0, at), item.slice(at + 1)];
    if (at < 1 || /\s/.test(item) || !isPeerUrl(url)) return undefined;
    const known = urls.get(name) ?? [];
    if (!known.includes(url)) known.push(url);
    urls.set(name, known);
  }
  return [...urls].map(([name, peerUrls]) => ({ name, peerUrls: peerUrls.sort() }));
}

/** The value of a token's entry; undefined unless it is one member. */
export function parseEntry(value: string): EtcdPeer | undefined {
  const items = value.split(",");
  if (value.length > maxEntryChars || items.length > maxUrls) return undefined;
  const members = parseMembers(items);
  return members?.length === 1 ? members[0] : undefined;
}

/** As etcd's own `--initial-cluster` and the entries of tokens have it: one item for each URL. */
export function memberList(members: readonly EtcdPeer[]): string {
  return members.flatMap(({ name, peerUrls }) => peerUrls.map((url) => `${name}=${url}`)).join(",");
}

/** etcd's id of a first member: of its sorted peer URLs and the cluster's token. Hex without leading zeros. */
export function memberId(peerUrls: readonly string[], token: string): string {
  return hexOf(memberNumber(peerUrls, token));
}

/** etcd's id of a cluster: of the ids of its first members. */
export function clusterId(members: readonly EtcdPeer[], token: string): string {
  const ids = members.map(({ peerUrls }) => memberNumber(peerUrls, token)).sort((a, b) => (a < b ? -1 : 1));
  const bytes = new DataView(new ArrayBuffer(8 * ids.length));
  for (const [index, id] of ids.entries()) bytes.setBigUint64(8 * index, id);
  return hexOf(first8(sha1(new Uint8Array(bytes.buffer))));
}

function memberNumber(peerUrls: readonly string[], token: string): bigint {
  return first8(sha1([...peerUrls].sort().join("") + token));
}

function first8(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0);
}

function hexOf(id: bigint): string {
  return id.toString(16);
}

/** Whether both mean the same id: stores may pad it with zeros. */
export function isSameId(one: string, other: string): boolean {
  const plain = (id: string): string => id.toLowerCase().replace(/^0+(?=.)/, "");
  return plain(one) === plain(other);
}

export function isPeerUrl(text: string): boolean {
  if (!/^https?:\/\/[^/?#@]+:[0-9]+$/.test(text)) return false;
  return URL.canParse(text);
}

/** A URL in a form that can be compared: case of the host and default ports do not count. */
export function comparable(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}

/** Whether two members share a URL. */
export function shareUrl(one: readonly string[], other: readonly string[]): boolean {
  const known = new Set(one.map(comparable));
  return other.some((url) => known.has(comparable(url)));
}

/** `loopback`: only this very machine reaches it; `unspecified`: it is for listening, and nobody reaches it. */
export function reachOf(url: string): "others" | "loopback" | "unspecified" {
  const host = URL.canParse(url) ? new URL(url).hostname.toLowerCase() : "";
  if (host === "" || host === "0.0.0.0" || host === "[::]") return "unspecified";
  const isLoopback = /^127\.|^\[::1\]$|^\[::ffff:7f|(^|\.)localhost\.?$/.test(host);
  return isLoopback ? "loopback" : "others";
}
