// HTTP and HTTPS to a discovery store, and what its answers and silences are called. For the stores of this folder.
import { readFile } from "node:fs/promises";
import { Problem } from "../../domain/problem.ts";
import type { TlsFiles } from "../../domain/settings.ts";
import { type PlainAnswer, type TlsTexts, TooSlow, plainRequest } from "../plain-http.ts";

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

/** `timeout`: nothing came in time, or not all of it. */
export type HttpResult = PlainAnswer | "timeout";

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
    const tls = what.url.protocol === "https:" ? await this.#readTls() : undefined;
    try {
      return await plainRequest({ ...what, url: what.url.href, tls, maxBytes: maxAnswerBytes });
    } catch (error) {
      if (what.signal.aborted)
        throw new Problem("aborted", `Cannot finish asking ${this.#shown}: it was given up`, { cause: error });
      if (error instanceof TooSlow) return "timeout";
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
  notOurs({ status, headers, text }: PlainAnswer): Problem {
    const isPage = /html/i.test(headers["content-type"] ?? "") || /^\s*</.test(text);
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

  async #readTls(): Promise<TlsTexts> {
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
