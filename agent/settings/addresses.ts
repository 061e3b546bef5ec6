// Values that name a place on the network or in a repository, checked beyond their shape. A URL never carries a secret
// here: whoever writes one into it is told where it belongs, and is not quoted.
import { parseListenAddress, showAddress } from "../domain/listen.ts";
import { withoutLogin } from "../domain/shown-url.ts";
import { splitList, type Read } from "./values.ts";

/** How a repository is reached, by its URL. */
export type Transport = "https" | "http" | "ssh" | "local";

/** `text` with everything that may be a credential in a URL replaced. For messages. */
export function redact(text: string): string {
  return withoutLogin(text).replace(/(:\/\/[^?]*)\?.*$/, "$1?(secret)");
}

const noSecret =
  "a URL without user, password or token in it: those belong into Username=, Password= or Token= beside it";

/** Transport of an accepted repository URL. */
export function transportOf(url: string): Transport {
  if (url.startsWith("https://")) return "https";
  if (url.startsWith("http://")) return "http";
  if (url.startsWith("/") || url.startsWith("file://")) return "local";
  return "ssh";
}

/** Checks the URL of a repository of units. */
export function readGitUrl(text: string, must: string): Read<string> {
  if (/^(https?|ssh|file):\/\//.test(text)) {
    const url = parseUrl(text);
    if (url === undefined || url.hash !== "") return { ok: false, must };
    const withName = url.protocol === "ssh:" ? url.password !== "" : url.username !== "" || url.password !== "";
    if (withName || url.search !== "") return { ok: false, must: noSecret };
    if (url.protocol === "file:")
      return url.host === "" && isPath(url.pathname) ? { ok: true, value: text } : { ok: false, must };
    // a host or user that begins with "-" would be an option of ssh's
    if (url.host === "" || /^-|^%2d/i.test(url.host) || /^-|^%2d/i.test(url.username)) return { ok: false, must };
    return url.pathname.length > 1 ? { ok: true, value: text } : { ok: false, must };
  }
  if (text.startsWith("/")) return isPath(text) ? { ok: true, value: text } : { ok: false, must };
  if (/^[^/@:]+:[^/@]*@/.test(text)) return { ok: false, must: noSecret };
  // user@host:path, as git itself reads it; the host is a name or a bracketed address
  const scp =
    /^(?:([A-Za-z0-9._][A-Za-z0-9._-]*)@)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):(?!\/\/)([^\s:][^\s]*)$/;
  return scp.test(text) ? { ok: true, value: text } : { ok: false, must };
}

function isPath(text: string): boolean {
  return text.length > 1 && !text.split("/").includes("..");
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** Checks etcd's client URLs; the answer has no trailing slashes and each URL once. */
export function readEndpoints(items: readonly string[], must: string): Read<readonly string[]> {
  const urls: string[] = [];
  for (const item of items) {
    const url = parseUrl(item);
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.hash !== "")
      return { ok: false, must };
    if (url.username !== "" || url.password !== "" || url.search !== "")
      return { ok: false, must: "URLs without a password: that belongs into Username= and Password= beside it" };
    if (!urls.includes(url.origin)) urls.push(url.origin);
  }
  const schemes = new Set(urls.map((url) => url.slice(0, url.indexOf(":"))));
  return schemes.size > 1 ? { ok: false, must } : { ok: true, value: urls };
}

/** Checks a branch name as git-check-ref-format(1) does. */
export function readBranch(text: string, must: string): Read<string> {
  const bad =
    /^[-/]|\/$|\/\/|\.\.|@\{|\.$|^@$/.test(text) ||
    text.split("/").some((part) => part.startsWith(".") || part.endsWith(".lock"));
  return bad ? { ok: false, must } : { ok: true, value: text };
}

/** A folder in a repository: without leading and trailing slashes. */
export function readFolder(text: string, must: string): Read<string> {
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (text.includes("\\") || parts.includes("..") || parts.includes(".git")) return { ok: false, must };
  return { ok: true, value: parts.join("/") };
}

/** The shape of a cron expression only; whether it ever comes due is for those who have a calendar. */
export function readSchedule(text: string, must: string): Read<string> {
  const fields = text.split(/\s+/);
  const plain = (fields.length === 5 || fields.length === 6) && fields.every((each) => /^[0-9A-Za-z*,/-]+$/.test(each));
  return plain || /^@[a-z]+$/.test(text) ? { ok: true, value: fields.join(" ") } : { ok: false, must };
}

export function readAddress(text: string, must: string): Read<string> {
  const numbers = text.split(".");
  const four = numbers.length === 4 && numbers.every((each) => /^(0|[1-9]\d{0,2})$/.test(each) && Number(each) <= 255);
  const six = /^[0-9a-fA-F:.]+$/.test(text) && text.includes(":") && parseUrl(`http://[${text}]/`) !== undefined;
  return four || six ? { ok: true, value: text } : { ok: false, must };
}

/** A registry prefix, with its slash at the end. */
export function readPrefix(text: string, must: string): Read<string> {
  const value = text.endsWith("/") ? text : `${text}/`;
  const parts = splitList(value.replaceAll("/", ","));
  return parts.some((part) => part === "." || part === "..") ? { ok: false, must } : { ok: true, value };
}

/** A discovery URL with all but the beginning of its token replaced: who knows the token can join the cluster. */
export function redactToken(text: string): string {
  return text.replace(/([^/\s]{4})[^/\s]*\/*$/, "$1...");
}

/** Checks the URL of a discovery token. It is kept as it is written: member ids depend on every character of it. */
export function readDiscoveryUrl(text: string, must: string): Read<string> {
  const url = /^https?:\/\//.test(text) ? parseUrl(text) : undefined;
  if (url === undefined || url.host === "" || url.hash !== "") return { ok: false, must };
  if (url.username !== "" || url.password !== "")
    return {
      ok: false,
      must: "a URL without a password: that belongs into DiscoveryUsername= and DiscoveryPassword= beside it",
    };
  return /[^/]/.test(url.pathname) ? { ok: true, value: text } : { ok: false, must };
}

/**
 * Checks the URLs of an etcd member: each has a port and no path, as etcd itself wants it, and an address that others
 * can have a use for. The answer is as it was written, without slashes at the end, each once.
 */
export function readMemberUrls(items: readonly string[], must: string): Read<readonly string[]> {
  const urls: string[] = [];
  for (const item of items) {
    const text = item.replace(/\/$/, "");
    const url = parseUrl(text);
    if (url === undefined || !/^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^\s/?#@:[\]]+):[0-9]+$/.test(text))
      return { ok: false, must };
    if (/^(0\.0\.0\.0|\[::\])$/.test(url.hostname))
      return { ok: false, must: `${must}; ${url.hostname} is for listening, and nobody can reach it` };
    if (!urls.includes(text)) urls.push(text);
  }
  return { ok: true, value: urls };
}

/** Checks `NAME=URL` items of an initial cluster. */
export function readInitialCluster(items: readonly string[], must: string): Read<readonly string[]> {
  const entries: string[] = [];
  for (const item of items) {
    const [, name = "", text = ""] = /^([^\s=]+)=(.*)$/.exec(item) ?? [];
    const urls = readMemberUrls([text], must);
    if (name === "" || !urls.ok) return urls.ok ? { ok: false, must } : urls;
    const entry = `${name}=${urls.value.join("")}`;
    if (!entries.includes(entry)) entries.push(entry);
  }
  return { ok: true, value: entries };
}

/** Checks where a server is to listen; the answer has each address once, in one way of writing. */
export function readListen(items: readonly string[], must: string): Read<readonly string[]> {
  const addresses = items.map((item) => parseListenAddress(item));
  const known = addresses.flatMap((address) => (address === undefined ? [] : [showAddress(address)]));
  return known.length < items.length ? { ok: false, must } : { ok: true, value: [...new Set(known)] };
}
