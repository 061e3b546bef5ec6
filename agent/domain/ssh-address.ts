// Where an ssh server listens, as people write it: HOST, HOST:PORT, [IPV6]:PORT, with USER@ in front. What passes is safe as
// a word of a command line: it begins with no dash and holds no blank, quote or percent sign.
import { type Checked, Problem, invalid, valid } from "./problem.ts";

export interface SshAddress {
  readonly user?: string;
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  /** 1 to 65535; left out: ssh's own. */
  readonly port?: number;
}

const goodUser = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
const goodName = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?$/;

/** Problem "ssh-address". A port of 0 and an empty host are fleet's words for the usual port and for this machine. */
export function parseSshAddress(text: string): Checked<SshAddress> {
  const at = text.lastIndexOf("@");
  const user = at < 0 ? undefined : text.slice(0, at);
  const rest = text.slice(at + 1);
  const place = isIpv6(rest) ? { host: rest, port: undefined } : hostAndPort(rest);
  if (place === undefined || (user !== undefined && !isSshUser(user))) return refused(text);
  const port = Number(place.port ?? "0");
  if (port > 65_535) return refused(text);
  return valid({
    ...(user === undefined ? {} : { user }),
    host: place.host === "" ? "127.0.0.1" : place.host,
    ...(port === 0 ? {} : { port }),
  });
}

/** What may stand in front of the @; the rule of accounts' names is wider nowhere. */
export function isSshUser(text: string): boolean {
  return goodUser.test(text);
}

function hostAndPort(text: string): { readonly host: string; readonly port: string | undefined } | undefined {
  const [, bracketed, port] = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(text) ?? [];
  if (bracketed !== undefined) return isIpv6(bracketed) ? { host: bracketed, port } : undefined;
  const [whole, name = "", given] = /^([^:]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (whole === undefined || whole === "") return undefined;
  return (name === "" && given !== undefined) || goodName.test(name) ? { host: name, port: given } : undefined;
}

/** By its shape, with a zone perhaps; whether the address exists is for the network to say. */
export function isIpv6(text: string): boolean {
  const [, address = ""] = /^([0-9A-Fa-f:.]{2,45})(?:%[A-Za-z0-9_.-]{1,15})?$/.exec(text) ?? [];
  const groups = address.split(":");
  if (groups.length < 3 || groups.length > 9 || address.includes(":::")) return false;
  return address.includes("::") ? address.indexOf("::") === address.lastIndexOf("::") : groups.length === 8;
}

function refused(text: string): Checked<SshAddress> {
  return invalid(
    new Problem("ssh-address", `Cannot use "${text.slice(0, 64)}" as the address of an ssh server`, {
      hint: "It is HOST, HOST:PORT or [IPV6]:PORT, with USER@ in front if need be",
    }),
  );
}
