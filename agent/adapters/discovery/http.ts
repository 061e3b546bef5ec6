// HTTP and HTTPS to a discovery store: straight to it, without proxies, redirects or kept connections; bounded in time and
// size. For the stores of this folder.
import { readFile } from "node:fs/promises";
import { type IncomingMessage, type RequestOptions, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { Problem } from "../../domain/problem.ts";
import type { TlsFiles } from "../../domain/settings.ts";

/** A listing of nine members is far smaller. */
const maxAnswerBytes = 256 * 1024;

export interface HttpAsk {
  readonly method: "GET" | "PUT" | "POST";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Ends a stream of answers as soon as what has come of it is enough. */
  readonly isEnough?: (text: string) => boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** `timeout`: nothing came in time, or not all of it. */
export type HttpResult = HttpAnswer | "timeout";

interface TlsOptions {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** Asks one store; `shown` names it in problems. */
export class StoreHttp {
  readonly #tls: TlsFiles;
  readonly #shown: string;

  constructor(shown: string, tls: TlsFiles) {
    this.#shown = shown;
    this.#tls = tls;
  }

  /** Rejects with "discovery-unreachable", "discovery-refused" (a certificate file cannot be read) or "aborted". */
  async ask(what: HttpAsk): Promise<HttpResult> {
    const tls = what.url.protocol === "https:" ? await this.#readTls() : {};
    const deadline = AbortSignal.timeout(what.timeoutMs);
    try {
      return await send(what, { ...tls, signal: AbortSignal.any([what.signal, deadline]) });
    } catch (error) {
      if (what.signal.aborted)
        throw new Problem("aborted", `Cannot finish asking ${this.#shown}: it was given up`, { cause: error });
      if (deadline.aborted) return "timeout";
      throw this.unreachable(error);
    }
  }

  unreachable(cause: unknown): Problem {
    const { code } = (cause ?? {}) as { readonly code?: unknown };
    const isTls = typeof code === "string" && /CERT|TLS|SSL|SIGNATURE/.test(code);
    return new Problem("discovery-unreachable", `Cannot reach ${this.#shown}`, {
      hint: isTls
        ? "Check DiscoveryCAFile=, and this machine's clock"
        : "Check that it runs and that this machine reaches it; it is tried again",
      cause,
    });
  }

  tooSlow(timeoutMs: number): Problem {
    return this.unreachable(new Error(`no answer within ${timeoutMs / 1000} s`));
  }

  /** An answer that only something else than a store gives: a login page, another service. */
  notOurs({ status, headers, text }: HttpAnswer): Problem {
    const isPage = /html/i.test(String(headers["content-type"] ?? "")) || /^\s*</.test(text);
    const isMoved = status >= 300 && status < 400;
    return new Problem("discovery-unreachable", `Cannot understand ${this.#shown}: it answers ${status} ${kindOf()}`, {
      hint: isPage
        ? "A login page or a proxy may stand in between; it is tried again"
        : isMoved
          ? "It sends this machine elsewhere, which is not followed; set the address that it leads to"
          : "Check the URL: no discovery service answers so; it is tried again",
    });

    function kindOf(): string {
      if (isPage) return "with a page for people";
      const plain = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim();
      return plain === "" ? "and nothing else" : `and "${plain.slice(0, 80)}"`;
    }
  }

  async #readTls(): Promise<TlsOptions> {
    const { caFile, certFile, keyFile } = this.#tls;
    const [ca, cert, key] = await Promise.all([this.#read(caFile), this.#read(certFile), this.#read(keyFile)]);
    return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  }

  async #read(path: string | undefined): Promise<Buffer | undefined> {
    if (path === undefined) return undefined;
    return readFile(path).catch((cause: unknown) => {
      throw new Problem("discovery-refused", `Cannot read certificate file "${path}" for ${this.#shown}`, {
        hint: "Check the path and its rights",
        cause,
      });
    });
  }
}

/** Statuses that may be others the next time; all other 4xx are final. */
export function mayChange(status: number): boolean {
  return status >= 500 || status === 404 || status === 408 || status === 425 || status === 429;
}

function send(
  { method, url, headers = {}, body, isEnough }: HttpAsk,
  options: TlsOptions & { readonly signal: AbortSignal },
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const all: RequestOptions = {
      ...options,
      method,
      agent: false,
      headers: { ...headers, ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }) },
    };
    const hear = (answer: IncomingMessage): void => {
      const done = (): void => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
        answer.destroy();
      };
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => {
        text += part;
        if (text.length > maxAnswerBytes) answer.destroy(new Error(`the answer has more than ${maxAnswerBytes} bytes`));
        else if (isEnough?.(text) === true) done();
      });
      answer.on("error", reject);
      answer.on("end", done);
    };
    const asked = url.protocol === "https:" ? secureRequest(url, all, hear) : plainRequest(url, all, hear);
    asked.on("error", reject);
    asked.end(body);
  });
}
