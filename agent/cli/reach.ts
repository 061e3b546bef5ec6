// The options that every command has: where the agent's API is, what opens it, how ssh goes. Flags win over FLOTILLA_*, and
// these over fleet's own FLEETCTL_*; an empty variable is none.
import { tokenVariable } from "../domain/client-variables.ts";
import { withoutLogin } from "../domain/shown-url.ts";
import { isSshUser, parseSshAddress } from "../domain/ssh-address.ts";
import { type Endpoint, type Reach, type TokenSource, usualSshTimeoutMs } from "../ports/reach.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Option } from "./command.ts";

export const usualSocket = "/run/flotilla/flotilla.sock";

/** Beside `--socket`, which is a setting of the agent as well. */
export const socketOption: Option = {
  flags: "--socket PATH",
  means: `The agent's socket (environment: FLOTILLA_SOCKET; default: ${usualSocket})`,
};

/** In the order of the help. */
export const reachOptions: readonly Option[] = [
  socketOption,
  { flags: "--endpoint URL", means: "The agent's API elsewhere: unix:///PATH, http://HOST:PORT, https://HOST:PORT" },
  { flags: "--ca-file FILE", means: "Authorities that the API's certificate is checked against (PEM)" },
  { flags: "--cert-file FILE", means: "Certificate to show to the API (PEM)" },
  { flags: "--key-file FILE", means: "Its key (PEM)" },
  { flags: "--token-file FILE", means: "File with the token that opens the API (environment: FLOTILLA_TOKEN, too)" },
  {
    flags: "--tunnel HOST",
    means: "Go through this machine by ssh, for the API and to other machines: [USER@]HOST[:PORT]",
  },
  { flags: "--ssh-username NAME", means: "User on the machines (default: ssh's own)" },
  { flags: "--ssh-port PORT", means: "Port of ssh on the machines (default: ssh's own)" },
  { flags: "--ssh-timeout SECONDS", means: "Time to connect by ssh (default: 10)" },
  {
    flags: "--strict-host-key-checking BOOL",
    means: "false: take any host key and remember none (default: ssh's own)",
  },
  { flags: "--known-hosts-file FILE", means: "Host keys that are known (default: ssh's own)" },
];

/** What was found on the line and in the environment. */
export interface ReachWords {
  /** By long form without dashes, as typed. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Throws a usage problem, or "ssh-address", that names the option or variable and its value. */
export function readReach(words: ReachWords): Reach {
  const cert = find(words, "cert-file")?.text;
  const key = find(words, "key-file")?.text;
  if ((cert === undefined) !== (key === undefined)) {
    throw usageProblem("Cannot use a certificate without its key", "Give both --cert-file and --key-file, or neither");
  }
  const tunnel = find(words, "tunnel");
  return {
    endpoint: readEndpoint(words),
    tls: { caFile: find(words, "ca-file")?.text, certFile: cert, keyFile: key },
    token: readToken(words),
    ssh: {
      tunnel: tunnel === undefined ? undefined : orThrow(parseSshAddress(tunnel.text)),
      username: readUser(find(words, "ssh-username")),
      port: readPort(find(words, "ssh-port")),
      timeoutMs: readTimeout(find(words, "ssh-timeout")),
      checkHostKeys: readBoolean(find(words, "strict-host-key-checking")),
      knownHostsFile: readKnownHosts(find(words, "known-hosts-file")),
    },
  };
}

/** A value and how its author would call the place where it stands. */
interface Found {
  readonly text: string;
  readonly label: string;
}

function find({ flags, env }: ReachWords, name: string): Found | undefined {
  const flag = flags[name];
  if (flag !== undefined && flag !== "") return { text: flag, label: `--${name}` };
  const upper = name.replaceAll("-", "_").toUpperCase();
  for (const label of [`FLOTILLA_${upper}`, `FLEETCTL_${upper}`]) {
    const text = env[label];
    if (text !== undefined && text !== "") return { text, label };
  }
  return undefined;
}

/** `--socket` and `--endpoint` say the same; so do their variables. The nearer place wins, and one place says one thing. */
function readEndpoint({ flags, env }: ReachWords): Endpoint {
  const places = [
    { socket: flags["socket"], url: flags["endpoint"], names: "--socket and --endpoint" },
    { socket: env["FLOTILLA_SOCKET"], url: env["FLOTILLA_ENDPOINT"], names: "FLOTILLA_SOCKET and FLOTILLA_ENDPOINT" },
    { socket: undefined, url: env["FLEETCTL_ENDPOINT"], names: "FLEETCTL_ENDPOINT" },
  ];
  for (const { socket = "", url = "", names } of places) {
    if (socket !== "" && url !== "") throw usageProblem(`Cannot use both ${names}`, "They name the same thing");
    if (socket !== "") return { kind: "unix", path: socket };
    if (url !== "") return parseEndpoint(url);
  }
  return { kind: "unix", path: usualSocket };
}

/**
 * `unix:///path`, `file:///path`, a bare path, `http://HOST:PORT`, `https://HOST:PORT`; of a list the first, as fleet took it.
 * Throws a usage problem with fleet's words.
 */
export function parseEndpoint(list: string): Endpoint {
  const text = (list.split(",")[0] ?? "").trim();
  const shown = withoutLogin(text).slice(0, 128);
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const [, scheme, host = "", path = ""] = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)(.*)$/i.exec(text) ?? [];
  if (scheme === undefined) {
    throw usageProblem(
      `Cannot use endpoint "${shown}": URL scheme undefined`,
      "It is unix:///PATH or https://HOST:PORT",
    );
  }
  switch (scheme.toLowerCase()) {
    case "unix":
    case "file":
      if (host === "" && path !== "") return { kind: "unix", path };
      throw usageProblem(
        `Cannot use endpoint "${shown}": unable to connect to host "${withoutLogin(host).slice(0, 64)}" with scheme "${scheme}"`,
        `Write three slashes: unix:///${withoutLogin(`${host}${path}`)}`,
      );
    case "http":
    case "https":
      if (/^[A-Za-z0-9._:[\]-]+$/.test(host) && /^\/?$/.test(path)) {
        return { kind: "http", origin: `${scheme.toLowerCase()}://${host}` };
      }
      throw usageProblem(
        `Cannot use endpoint "${shown}"`,
        "It is a host and a port alone; --token-file and --cert-file say who asks",
      );
    default:
      throw usageProblem(`Cannot use endpoint "${shown}": unknown scheme`, "Schemes are unix, file, http and https");
  }
}

function readToken(words: ReachWords): TokenSource | undefined {
  if (words.flags["token-file"] === undefined) {
    const token = words.env[`FLOTILLA_${tokenVariable}`];
    if (token !== undefined && token !== "") return { kind: "given", token };
  }
  const file = find(words, "token-file");
  return file === undefined ? undefined : { kind: "file", path: file.text };
}

function readUser(found: Found | undefined): string | undefined {
  if (found === undefined || isSshUser(found.text)) return found?.text;
  throw usageProblem(
    `Cannot take "${found.text.slice(0, 64)}" as ${found.label}`,
    "It is the name of a user: letters, digits, dots, hyphens, underscores",
  );
}

function readPort(found: Found | undefined): number | undefined {
  if (found === undefined) return undefined;
  const port = /^\d{1,5}$/.test(found.text) ? Number(found.text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw usageProblem(`Cannot take "${found.text.slice(0, 64)}" as ${found.label}`, "It is a number from 1 to 65535");
}

/** ssh counts in whole seconds. */
const longestTimeoutMs = 3_600_000;

function readTimeout(found: Found | undefined): number {
  if (found === undefined) return usualSshTimeoutMs;
  const [, seconds] = /^(\d{1,4}(?:\.\d{1,6})?)s?$/.exec(found.text) ?? [];
  const ms = Math.round(Number(seconds ?? "0") * 1000);
  if (ms > 0 && ms <= longestTimeoutMs) return ms;
  throw usageProblem(
    `Cannot take "${found.text.slice(0, 64)}" as ${found.label}`,
    "It is a number of seconds such as 10 or 2.5, an hour at most",
  );
}

const booleans: Readonly<Record<string, boolean>> = {
  ...{ true: true, t: true, "1": true, yes: true, y: true, on: true },
  ...{ false: false, f: false, "0": false, no: false, n: false, off: false },
};

function readBoolean(found: Found | undefined): boolean | undefined {
  if (found === undefined) return undefined;
  const word = found.text.toLowerCase();
  if (Object.hasOwn(booleans, word)) return booleans[word];
  throw usageProblem(`Cannot take "${found.text.slice(0, 64)}" as ${found.label}`, "It is true or false");
}

function readKnownHosts(found: Found | undefined): string | undefined {
  // A control character would end a line of ssh's configuration
  if (found === undefined || !/["\u0000-\u001f]/.test(found.text)) return found?.text;
  throw usageProblem(
    `Cannot take "${found.text.replace(/\p{C}/gu, "?").slice(0, 64)}" as ${found.label}`,
    "It is the path of a file, without quotes and control characters",
  );
}
