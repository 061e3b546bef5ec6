// HTTP to metadata services: to link-local addresses only (or where the operator named the place), directly, without
// redirects, bounded in size and time, tried again where that can help. Given to the sources.
import { request as requestPlain, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as requestSecure } from "node:https";
import { BlockList, isIP, isIPv4 } from "node:net";
import { explainError, Problem } from "../../domain/problem.ts";
import { withoutLogin } from "../../domain/shown-url.ts";
import type { Clock } from "../../ports/clock.ts";
import { systemRoots } from "../system-roots.ts";
import { maxMetadataBytes, unfit } from "./source.ts";

/** From the first byte sent to the last one received. */
const requestMs = 10_000;
const usualTries = 15;
const firstPauseMs = 50;
const lastPauseMs = 5_000;

export interface HttpAsk {
  /** One place, or several that are the same service: they are tried in turn. */
  readonly url: string | readonly string[];
  readonly method?: "GET" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the body; `maxMetadataBytes` unless set. */
  readonly mostBytes?: number;
  /** The operator named this place: any host, and https as well. */
  readonly isNamed?: boolean;
  /** Statuses below 500 that this service has while it is not ready. */
  readonly laterStatuses?: readonly number[];
  /** Statuses from 500 that say for certain that there is no such thing. */
  readonly absentStatuses?: readonly number[];
  /** Before the source as a whole is asked again later; 15 unless set. */
  readonly mostTries?: number;
}

export type HttpAnswer =
  | {
      readonly kind: "answered";
      /** Where it answered: one of those asked. */
      readonly url: string;
      readonly headers: IncomingHttpHeaders;
      readonly body: Buffer;
    }
  /** A status from 400 to 499, or one of `absentStatuses`: there is no such thing. */
  | { readonly kind: "refused"; readonly url: string; readonly status: number; readonly why: string };

export interface MetadataHttp {
  /**
   * Tries connection errors, 429 and 5xx again, up to `mostTries` in all. Rejects with Problem "source-later" when none of them
   * succeeded, "source-unfit" for an answer that cannot be used (redirect, too long), and with the reason of an abort.
   */
  ask(ask: HttpAsk): Promise<HttpAnswer>;
}

export interface HttpOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Where `host:port` is really reached (tests); nothing else is reached then. */
  readonly connect?: Readonly<Record<string, string>> | undefined;
  /** Told before each further try. */
  readonly onRetry?: (why: string) => void;
}

const linkLocal = new BlockList();
linkLocal.addSubnet("169.254.0.0", 16, "ipv4");
linkLocal.addSubnet("fe80::", 10, "ipv6");
linkLocal.addAddress("fd00:ec2::254", "ipv6"); // Amazon's service over IPv6

export function createMetadataHttp(options: HttpOptions): MetadataHttp {
  const { clock, signal } = options;
  return {
    async ask(ask) {
      const { mostTries = usualTries } = ask;
      const targets = (typeof ask.url === "string" ? [ask.url] : ask.url).map((url) => readTarget(url, ask));
      // what is told of a round: that some place answered, else how it is with the first one
      let told: unknown;
      for (let tries = 0; ; tries++) {
        const target = targets[tries % targets.length];
        if (target === undefined) throw new Error("Nothing to ask");
        try {
          return await askOnce(target, { ask, options });
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof Problem) || error.code !== "source-later") throw error;
          if (target === targets[0] || error.cause === undefined) told = error;
          if (tries + 1 >= mostTries) throw told;
          options.onRetry?.(explainError(told));
          const pauseMs = Math.min(lastPauseMs, firstPauseMs * 2 ** Math.floor(tries / targets.length));
          await clock.sleep(pauseMs * (0.75 + clock.random() / 2), signal);
        }
      }
    },
  };
}

interface Target {
  readonly url: string;
  /** For people: without what may be secret. */
  readonly said: string;
  readonly isSecure: boolean;
  /** As it is connected to: without brackets, with its zone. */
  readonly host: string;
  readonly port: string;
  readonly path: string;
  readonly auth: string | undefined;
}

function readTarget(text: string, { isNamed = false }: HttpAsk): Target {
  // a zone ("fe80::1%eth0") is not part of what URLs may hold, and not of what a server may be told
  const zone = /^http:\/\/\[[^\]%]+(%[A-Za-z0-9_.-]+)\]/.exec(text)?.[1] ?? "";
  const url = parseUrl(text.replace(zone, ""));
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const said = withoutSecrets(text);
  if (url.protocol !== "http:" && !(isNamed && url.protocol === "https:"))
    throw unfit(`Cannot ask ${said}: it is not ${isNamed ? "http or https" : "plain http"}`);
  if (!isNamed && !isLinkLocal(host)) throw unfit(`Cannot ask ${said}: it is not a link-local address`);
  const isSecure = url.protocol === "https:";
  const auth = [url.username, url.password].filter((part) => part !== "").map((part) => decodeURIComponent(part));
  return {
    url: text,
    said,
    isSecure,
    host: host + zone,
    port: url.port === "" ? (isSecure ? "443" : "80") : url.port,
    path: url.pathname + url.search,
    auth: auth.length === 0 ? undefined : auth.join(":"),
  };
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    // the parser repeats the text, which may hold a password
    throw unfit(`Cannot read the address ${withoutSecrets(withoutLogin(text))}`, "It must be like http://HOST/PATH");
  }
}

function isLinkLocal(host: string): boolean {
  return isIP(host) !== 0 && linkLocal.check(host, isIPv4(host) ? "ipv4" : "ipv6");
}

/** A URL without user, password, query and fragment: what may be shown. */
export function withoutSecrets(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1").replace(/[?#].*$/s, "");
}

interface Once {
  readonly ask: HttpAsk;
  readonly options: HttpOptions;
}

async function askOnce(target: Target, { ask, options }: Once): Promise<HttpAnswer> {
  const { clock, signal } = options;
  const limit = new AbortController();
  const stop = new AbortController();
  const both = AbortSignal.any([signal, limit.signal]);
  const timer = clock
    .sleep(requestMs, AbortSignal.any([signal, stop.signal]))
    .then(() => limit.abort(new Error(`no whole answer within ${requestMs / 1000} s`)))
    .catch(() => undefined); // it ended in time, or everything did
  try {
    const answer = await send(target, { ask, options, signal: both });
    return await judge(answer, { ask, target });
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem("source-later", `Cannot reach ${target.said}`, {
      cause: limit.signal.aborted ? limit.signal.reason : error,
    });
  } finally {
    stop.abort();
    await timer;
  }
}

async function send(
  target: Target,
  { ask, options, signal }: Once & { readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  const ca = target.isSecure ? await systemRoots(process.env["SSL_CERT_FILE"]) : undefined;
  const place = reach(target, options.connect);
  return new Promise((resolve, reject) => {
    const request = (target.isSecure ? requestSecure : requestPlain)({
      method: ask.method ?? "GET",
      host: place.host,
      port: place.port,
      path: target.path,
      // not the shared agent: it may keep connections open, and may have been told of a proxy
      agent: false,
      signal,
      headers: { host: hostHeader(target), accept: "*/*", "accept-encoding": "identity", ...ask.headers },
      ...(target.auth === undefined ? {} : { auth: target.auth }),
      ...(ca === undefined ? {} : { ca: [...ca], servername: isIP(target.host) === 0 ? target.host : "" }),
    });
    request.once("response", resolve);
    request.once("error", reject);
    request.end();
  });
}

function reach(
  { host, port }: Target,
  connect: HttpOptions["connect"],
): { readonly host: string; readonly port: string } {
  if (connect === undefined) return { host, port };
  const place = Object.hasOwn(connect, `${host}:${port}`) ? connect[`${host}:${port}`] : undefined;
  if (place === undefined) throw new Error(`${host}:${port} is not among the places that may be reached`);
  const colon = place.lastIndexOf(":");
  return { host: place.slice(0, colon), port: place.slice(colon + 1) };
}

function hostHeader({ host, port, isSecure }: Target): string {
  const bare = host.replace(/%.*$/, "");
  const name = bare.includes(":") ? `[${bare}]` : bare;
  return port === (isSecure ? "443" : "80") ? name : `${name}:${port}`;
}

async function judge(
  answer: IncomingMessage,
  { ask, target }: { readonly ask: HttpAsk; readonly target: Target },
): Promise<HttpAnswer> {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) {
    const body = await readBody(answer, { mostBytes: ask.mostBytes ?? maxMetadataBytes, target });
    return { kind: "answered", url: target.url, headers: answer.headers, body };
  }
  answer.destroy(); // nothing of its body is wanted
  const isAbsent = ask.absentStatuses?.includes(status) === true;
  if (!isAbsent && (status >= 500 || status === 429 || ask.laterStatuses?.includes(status) === true))
    throw new Problem("source-later", `Cannot read ${target.said}: it answered ${status}`);
  if (status >= 300 && status < 400)
    throw unfit(
      `Cannot read ${target.said}: it answered ${status}, which leads elsewhere`,
      "Redirects are not followed; name the place itself",
    );
  if (status < 400) throw unfit(`Cannot read ${target.said}: it answered ${status}`);
  return { kind: "refused", url: target.url, status, why: `${target.said} answered ${status}` };
}

async function readBody(
  answer: IncomingMessage,
  { mostBytes, target }: { readonly mostBytes: number; readonly target: Target },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > mostBytes) throw unfit(`Cannot read ${target.said}: it is longer than ${mostBytes} bytes`);
      parts.push(part);
    }
  } finally {
    answer.destroy();
  }
  return Buffer.concat(parts);
}
