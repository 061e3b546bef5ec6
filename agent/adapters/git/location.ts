// Where a repository is: the operator's url, parsed once. Given to the transports, in both threads.
// Refuses what could carry a secret into a log, or an option into another program.
import { type Checked, Problem, invalid, valid } from "../../domain/problem.ts";
import { withoutLogin } from "../../domain/shown-url.ts";

/** `shown` is the address for people, never with user, password or query. */
export type Location =
  | { readonly kind: "http"; readonly shown: string; readonly base: string; readonly user: string | undefined }
  | {
      readonly kind: "ssh";
      readonly shown: string;
      readonly user: string | undefined;
      readonly host: string;
      readonly port: number | undefined;
      readonly path: string;
    }
  | { readonly kind: "local"; readonly shown: string; readonly path: string };

const maxUrlLength = 4096;
const forms = "Use https://, http://, ssh://, user@host:path, file:// or an absolute path";

/** `https://host/x.git`, `http://...`, `ssh://[user@]host[:port]/x`, `[user@]host:x`, `file:///x` or `/x`. */
export function parseLocation(url: string): Checked<Location> {
  if (url === "" || url.length > maxUrlLength || hasControls(url)) return refuse(url, forms);
  if (url.startsWith("/")) return local(url, url);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return parseFullUrl(url);
  if (/^[^/@:]+:[^/@]*@/.test(url)) return refuse(url, "It holds a password; ssh takes a key");
  const scp = /^(?:([^@/:]+)@)?(\[[0-9a-fA-F:.]+\]|[^@/:[\]]+):(?!\/\/)(.+)$/.exec(url);
  // "https:://..." or "git:https://..." is a slip in a URL, and may hold a password
  if (scp?.[3]?.includes("://") === true) return refuse(url, forms);
  if (scp?.[2] === undefined || scp[3] === undefined) return refuse(url, forms);
  return ssh({ url, user: scp[1], host: scp[2], port: undefined, path: scp[3] });
}

function parseFullUrl(url: string): Checked<Location> {
  let parsed: URL;
  let path: string;
  try {
    parsed = new URL(url);
    path = decodeURIComponent(parsed.pathname);
  } catch {
    return refuse(url, forms); // what is wrong with it could only be said by repeating it
  }
  if (hasControls(path)) return refuse(url, forms);
  if (parsed.password !== "")
    return refuse(url, "It holds a password; take it out and set token or password in the settings");
  if (parsed.search !== "" || parsed.hash !== "") return refuse(url, "It must not have a query or a fragment");
  switch (parsed.protocol) {
    case "http:":
    case "https:":
      return valid({
        kind: "http",
        shown: `${parsed.origin}${parsed.pathname}`,
        base: `${parsed.origin}${parsed.pathname}`.replace(/\/+$/, ""),
        user: parsed.username === "" ? undefined : decodeURIComponent(parsed.username),
      });
    case "ssh:":
      return ssh({
        url,
        user: parsed.username === "" ? undefined : decodeURIComponent(parsed.username),
        host: parsed.hostname,
        port: parsed.port === "" ? undefined : Number(parsed.port),
        path: path.startsWith("/~") ? path.slice(1) : path,
      });
    case "file:":
      if (parsed.hostname !== "" && parsed.hostname !== "localhost")
        return refuse(url, "A file:// address must not name a host; use ssh:// for another machine");
      return local(url, path);
    default:
      return refuse(url, forms);
  }
}

function ssh(parts: {
  url: string;
  user: string | undefined;
  host: string;
  port: number | undefined;
  path: string;
}): Checked<Location> {
  const { url, user, port, path } = parts;
  const host = parts.host.replace(/^\[(.*)\]$/, "$1");
  // A word that begins with "-" would be read as an option, here by ssh or there by git.
  if (!/^[A-Za-z0-9_:][A-Za-z0-9_.:-]*$/.test(host)) return refuse(url, "Its host is not a host name or address");
  if (user !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.+@-]*$/.test(user))
    return refuse(url, "Its user is not a user name");
  if (path === "" || path === "/" || path.startsWith("-")) return refuse(url, "It names no repository on that host");
  const at = user === undefined ? "" : `${user}@`;
  const where = host.includes(":") ? `[${host}]` : host;
  const shown = url.includes("://")
    ? `ssh://${where}${port === undefined ? "" : `:${port}`}${path.startsWith("/") ? "" : "/"}${path}`
    : `${at}${where}:${path}`;
  return valid({ kind: "ssh", shown, user, host, port, path });
}

function local(url: string, path: string): Checked<Location> {
  if (!path.startsWith("/") || path === "/") return refuse(url, "It must be the absolute path of a repository");
  return valid({ kind: "local", shown: path, path });
}

function refuse(url: string, hint: string): Checked<Location> {
  return invalid(
    new Problem("git-repository", `Cannot use the repository address "${withoutSecrets(withoutLogin(url))}"`, { hint }),
  );
}

/** An address as it may be shown: without user information, query and fragment. */
export function withoutSecrets(url: string): string {
  return url
    .slice(0, 200)
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, "$1")
    .replace(/[?#].*$/s, "")
    .replace(/\p{Cc}/gu, "?");
}

function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
