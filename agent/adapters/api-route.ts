// The ways to an agent's API other than a socket of this machine: over TCP, with TLS and a token, and through a tunnel. Loaded
// only by commands that go them. No word of a token leaves this file but to the API.
import { readFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { Problem } from "../domain/problem.ts";
import type { Reach, TlsFiles, TokenSource } from "../ports/reach.ts";
import type { Route } from "./api-client.ts";
import { openTunnel } from "./shell/tunnel.ts";
import { systemRoots } from "./system-roots.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A token is one line of this many characters at most; a file of PEM is bounded likewise. */
const maxTokenChars = 4_096;
const maxPemBytes = 1024 * 1024;

/**
 * Connects nothing but the tunnel, which stays until this process ends. Rejects with "api-token", "api-tls-file",
 * "api-tls-endpoint", or as the tunnel does.
 */
export async function prepareRoute(
  reach: Reach,
  { env, signal }: { readonly env: Environment; readonly signal: AbortSignal | undefined },
): Promise<Route> {
  const { endpoint, ssh } = reach;
  const [token, tls] = await Promise.all([readToken(reach.token), readTls(reach, env)]);
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const tunnel = ssh.tunnel === undefined ? undefined : await openTunnel({ endpoint, ssh, env, signal });
  const socketPath = tunnel?.socket;
  const about = { name: nameOf(reach), stands: () => tunnel?.stands() ?? true };
  if (endpoint.kind === "unix") {
    const path = socketPath ?? endpoint.path;
    return {
      ...about,
      request: (options) => httpRequest({ ...options, ...withHeaders(options, headers), socketPath: path }),
    };
  }
  const url = new URL(endpoint.origin);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const place = { host, port: portOf(url), ...(socketPath === undefined ? {} : { socketPath }) };
  const own = { ...headers, Host: url.host };
  if (url.protocol === "http:") {
    return {
      ...about,
      request: (options) => httpRequest({ ...options, ...withHeaders(options, own), ...place }),
    };
  }
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return {
    ...about,
    request: (options) => httpsRequest({ ...options, ...withHeaders(options, own), ...place, ...servername, ...tls }),
  };
}

/** As people call it. */
export function nameOf({ endpoint, ssh }: Reach): string {
  const place = endpoint.kind === "unix" ? endpoint.path : endpoint.origin;
  return ssh.tunnel === undefined ? place : `${place} through ${ssh.tunnel.host}`;
}

export function portOf(url: URL): number {
  return url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
}

function withHeaders(
  { headers }: { readonly headers: Readonly<Record<string, string | number>> },
  more: Readonly<Record<string, string>>,
): { readonly headers: Readonly<Record<string, string | number>> } {
  return { headers: { ...headers, ...more } };
}

async function readToken(source: TokenSource | undefined): Promise<string | undefined> {
  if (source === undefined) return undefined;
  const token = (
    source.kind === "given" ? source.token : await readSmall(source.path, "api-token", "--token-file")
  ).trim();
  if (token !== "" && token.length <= maxTokenChars && /^[\x21-\x7e]+$/.test(token)) return token;
  const where = source.kind === "given" ? "FLOTILLA_TOKEN" : `"${source.path}"`;
  throw new Problem("api-token", `Cannot take what stands in ${where} as a token`, {
    hint: `It is one line of printable characters without blanks, at most ${maxTokenChars}`,
  });
}

type Authorities = string | (string | Buffer)[];

async function readTls(
  { tls, endpoint }: Reach,
  env: Environment,
): Promise<{ ca?: Authorities; cert?: string; key?: string }> {
  const files = Object.entries(tls) as [keyof TlsFiles, string | undefined][];
  if (endpoint.kind === "unix" || endpoint.origin.startsWith("http:")) {
    // fleet's variables may be set for good, so that they are no mistake where they have no use
    return {};
  }
  const ca = tls.caFile === undefined ? { ca: await readRoots(env["SSL_CERT_FILE"]) } : {};
  const texts = await Promise.all(
    files.map(async ([name, path]) => {
      const flag = `--${name.replace("File", "-file")}`;
      return path === undefined ? [] : [[name.replace("File", ""), await readSmall(path, "api-tls-file", flag)]];
    }),
  );
  return { ...ca, ...Object.fromEntries(texts.flat() as [string, string][]) };
}

/** Of this machine. */
async function readRoots(chosen: string | undefined): Promise<Authorities> {
  try {
    return [...(await systemRoots(chosen))];
  } catch (error) {
    throw new Problem("api-tls-file", `Cannot read "${chosen ?? ""}"`, {
      hint: "SSL_CERT_FILE names it",
      cause: error,
    });
  }
}

async function readSmall(path: string, code: string, flag: string): Promise<string> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > maxPemBytes) throw new Error(`it has more than ${maxPemBytes} bytes`);
    return bytes.toString("utf8");
  } catch (error) {
    throw new Problem(code, `Cannot read "${path}"`, { hint: `${flag} names it`, cause: error });
  }
}
