// Where an etcd member listens and what it tells others: the document's URLs, or what follows from the machine's own
// address.
import type { Entry } from "../domain/user-data.ts";
import type { Given } from "./draft.ts";

export interface Urls {
  readonly keys: ReadonlyMap<string, Entry>;
  readonly given: Given;
}

const ports = { client: 2379, peer: 2380 } as const;
const advertised = { client: "advertise_client_urls", peer: "initial_advertise_peer_urls" } as const;
const listened = { client: "listen_client_urls", peer: "listen_peer_urls" } as const;
type Side = keyof typeof ports;

const hostOf = (url: string): string => /^https?:\/\/(\[[^\]]*\]|[^:/]*)/.exec(url)?.[1] ?? "";
const portOf = (url: string): string => /:(\d+)\/?$/.exec(url)?.[1] ?? "";
const isLoopback = (host: string): boolean => host === "localhost" || host.startsWith("127.") || host === "[::1]";
const isAny = (host: string): boolean => host === "0.0.0.0" || host === "[::]";

function listOf({ keys }: Urls, key: string): readonly string[] {
  return (keys.get(key)?.value ?? "")
    .split(",")
    .map((item) => item.trim().replace(/\/$/, ""))
    .filter((item) => item !== "");
}

function schemeOf({ keys }: Urls, side: Side): string {
  const certificate = keys.get(side === "peer" ? "peer_cert_file" : "cert_file")?.value ?? "";
  const automatic = keys.get(side === "peer" ? "peer_auto_tls" : "auto_tls")?.value;
  return certificate !== "" || automatic === "true" ? "https" : "http";
}

function advertisedUrls(urls: Urls, side: Side): readonly string[] {
  const { private_ipv4: four, private_ipv6: six } = urls.given.addresses.values;
  const address = four ?? (six === undefined ? "127.0.0.1" : `[${six}]`);
  const own = listOf(urls, advertised[side]);
  // etcd 2 let a lone machine advertise all addresses, which is none
  if (own.length > 0)
    return [...new Set(own.map((url) => (isAny(hostOf(url)) ? url.replace(hostOf(url), address) : url)))];
  const reachable = listOf(urls, listened[side]).filter((url) => !isAny(hostOf(url)) && !isLoopback(hostOf(url)));
  if (reachable.length > 0) return reachable;
  return [`${schemeOf(urls, side)}://${address}:${ports[side]}`];
}

/** What other members are told. */
export function peerUrls(urls: Urls): readonly string[] {
  return advertisedUrls(urls, "peer");
}

/** What clients are told. */
export function clientUrls(urls: Urls): readonly string[] {
  return advertisedUrls(urls, "client");
}

/**
 * Where it listens: what the document says; else the advertised address where that is one of the machine's own, and every
 * address where it is not (a provider's public address is on no interface). Clients on the machine itself find it at
 * 127.0.0.1 as well.
 */
export function listenUrls(urls: Urls, side: Side): readonly string[] {
  const own = listOf(urls, listened[side]);
  if (own.length > 0) return own;
  const { private_ipv4: four, private_ipv6: six } = urls.given.addresses.values;
  const mine = new Set([...(four === undefined ? [] : [four]), ...(six === undefined ? [] : [`[${six}]`])]);
  const listen = advertisedUrls(urls, side).map((url) => {
    const host = hostOf(url);
    if (mine.has(host) || isLoopback(host)) return url;
    const scheme = url.startsWith("https:") ? "https" : "http";
    return `${scheme}://${host.startsWith("[") ? "[::]" : "0.0.0.0"}:${portOf(url) || ports[side]}`;
  });
  const local = `http://127.0.0.1:${ports.client}`;
  const isCovered = listen.some((url) => {
    const host = hostOf(url);
    return portOf(url) === String(ports.client) && (isAny(host) || isLoopback(host));
  });
  const isPlain = listen.every((url) => url.startsWith("http:"));
  return [...new Set(side === "client" && isPlain && !isCovered ? [...listen, local] : listen)];
}

/** The host of a URL as a name, unless it is one that every machine has. */
export function ownAddress(url: string): string | undefined {
  const host = hostOf(url);
  return host === "" || isLoopback(host) || isAny(host) ? undefined : host.replace(/[[\]]/g, "");
}
