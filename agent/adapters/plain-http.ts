// One HTTP request to a service of the cluster's own (discovery, etcd's peers): directly, without proxies and redirects,
// bounded in time and size. What the answer means is for the caller.
import { type IncomingHttpHeaders, type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { systemRoots } from "./system-roots.ts";

/** PEM texts. Without `ca` the host's own authorities count. */
export interface TlsTexts {
  readonly ca?: string | Buffer | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

export interface PlainRequest {
  /** http: or https:. */
  readonly url: string;
  readonly method?: "GET" | "PUT" | "POST" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly tls?: TlsTexts | undefined;
  /** From the first byte sent to the last one received. */
  readonly timeoutMs: number;
  /** Of the answer's body. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Ends a stream of answers as soon as what has come of it is enough. */
  readonly isEnough?: ((text: string) => boolean) | undefined;
}

/** The whole answer did not come in time. */
export class TooSlow extends Error {}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Any status is an answer. Rejects with what the network said, TooSlow, "more than ... bytes", or the signal's reason. */
export async function plainRequest(options: PlainRequest): Promise<PlainAnswer> {
  const { timeoutMs, maxBytes } = options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  try {
    const response = await send(options, signal);
    const text = await readText(response, { maxBytes, isEnough: options.isEnough });
    return { status: response.statusCode ?? 0, headers: response.headers, text };
  } catch (error) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    throw deadline.aborted ? new TooSlow(`no answer within ${timeoutMs / 1000} s`) : error;
  }
}

async function send(
  { url, method = "GET", headers, body, tls }: PlainRequest,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const isSecure = url.startsWith("https:");
  const { ca = isSecure ? [...(await systemRoots(process.env["SSL_CERT_FILE"]))] : undefined, ...own } = tls ?? {};
  const given = Object.entries({ ca, ...own }).filter(([, text]) => text !== undefined);
  return new Promise((resolve, reject) => {
    const request = (isSecure ? requestSecure : requestPlain)(url, {
      method,
      // not the shared agent: it would keep connections open
      agent: false,
      signal,
      headers: { accept: "application/json, text/plain", ...headers, "content-length": Buffer.byteLength(body ?? "") },
      ...(isSecure ? Object.fromEntries(given) : {}),
    });
    request.once("response", resolve);
    request.once("error", reject);
    request.end(body);
  });
}

async function readText(
  response: IncomingMessage,
  { maxBytes, isEnough }: Pick<PlainRequest, "maxBytes" | "isEnough">,
): Promise<string> {
  let [text, bytes] = ["", 0];
  const decoder = new TextDecoder();
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > maxBytes) throw new Error(`the answer has more than ${maxBytes} bytes`);
      text += decoder.decode(part, { stream: true });
      if (isEnough?.(text) === true) break;
    }
  } finally {
    response.destroy();
  }
  return text + decoder.decode();
}
