// URLs of etcd: what it takes, and which cannot work between machines.
import { withSamples } from "./tokens.ts";

export type Reach = "loopback" | "unspecified" | "name" | "address";

export interface EtcdUrl {
  /** As written, cut. */
  readonly text: string;
  readonly protocol: "http" | "https";
  readonly reach: Reach;
}

/** A URL as etcd wants it (scheme, host and port, no path), or what is wrong with it: completes "It must be ...". */
export function parseEtcdUrl(written: string): EtcdUrl | { readonly must: string } {
  const text = withSamples(written);
  if (!URL.canParse(text)) return { must: "a URL such as http://10.0.0.1:2379" };
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") return { must: "a URL with http:// or https://" };
  if (!/^https?:\/\/(\[[^\]]*\]|[^/:@]+):\d+\/?$/.test(text))
    return { must: "a URL with a port and nothing after it: http://10.0.0.1:2379" };
  return { text: written, protocol: url.protocol === "http:" ? "http" : "https", reach: reachOf(url.hostname) };
}

/** Whose address a host of a URL is. */
export function reachOf(hostname: string): Reach {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (/^127\./.test(host) || host === "::1" || host === "localhost" || host.endsWith(".localhost")) return "loopback";
  if (host === "0.0.0.0" || host === "::") return "unspecified";
  return /^[0-9.]+$/.test(host) || host.includes(":") ? "address" : "name";
}
