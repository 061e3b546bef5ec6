// http and https to a git server: proxies, own CA, redirects, time and size limits. One transport of transport.ts.
// The only importer of undici. Credentials go to the configured host and to no other.
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { Problem } from "../../domain/problem.ts";
import { systemRoots } from "../system-roots.ts";
import { abortedProblem, complaint, networkProblem, tooLarge } from "./failures.ts";
import { type Location, withoutSecrets } from "./location.ts";
import {
  type Access,
  type Transport,
  connectMs,
  idleMs,
  maxAdvertisementBytes,
  maxAnswerBytes,
  maxComplaintBytes,
  maxRedirects,
} from "./transport.ts";

type HttpAccess = Access & { readonly location: Location & { readonly kind: "http" } };

interface Asked {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

const query = "service=git-upload-pack";

export async function openHttp(access: HttpAccess, protocol: 0 | 2): Promise<Transport> {
  const secure = access.location.base.startsWith("https:") || access.caFile !== undefined;
  return new HttpTransport({ access, protocol, context: secure ? await trust(access) : undefined });
}

class HttpTransport implements Transport {
  readonly #access: HttpAccess;
  readonly #protocol: 0 | 2;
  readonly #context: SecureContext | undefined;
  readonly #agents = new Map<string, Dispatcher>();
  /** Where the repository really is, once the advertisement has been redirected. */
  #base: string;

  constructor(parts: { access: HttpAccess; protocol: 0 | 2; context: SecureContext | undefined }) {
    this.#access = parts.access;
    this.#protocol = parts.protocol;
    this.#context = parts.context;
    this.#base = parts.access.location.base;
  }

  get #shown(): string {
    return this.#access.location.shown;
  }

  async advertise(signal: AbortSignal): Promise<readonly Uint8Array[]> {
    let url = new URL(`${this.#access.location.base}/info/refs?${query}`);
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const answer = await this.#ask({ method: "GET", url, signal });
      if (isRedirect(answer)) {
        await answer.body.dump({ limit: maxComplaintBytes }); // also of one that is not followed: it holds on to the signal
        url = this.#follow(url, answer);
        continue;
      }
      await this.#checkStatus(answer);
      this.#checkType(answer, "advertisement");
      this.#base = `${url.origin}${url.pathname.slice(0, -"/info/refs".length)}`;
      return await this.#collect(answer, { maxBytes: maxAdvertisementBytes, signal });
    }
    throw new Problem("git-repository", `Cannot follow the redirects of "${this.#shown}"`, {
      hint: `There are more than ${maxRedirects}; set the address that they lead to`,
    });
  }

  async exchange(body: Uint8Array, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const answer = await this.#ask({ method: "POST", url: new URL(`${this.#base}/git-upload-pack`), body, signal });
    await this.#checkStatus(answer);
    this.#checkType(answer, "result");
    return await this.#collect(answer, { maxBytes: maxAnswerBytes, signal });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
    this.#agents.clear();
  }

  async #ask({ method, url, body, signal }: Asked): Promise<Dispatcher.ResponseData> {
    try {
      return await request(url, {
        method,
        signal,
        dispatcher: this.#agentFor(url.protocol),
        headers: {
          "user-agent": "git/2.0 (flotilla)", // some hosts answer only to names that begin with git/
          accept: body === undefined ? "*/*" : "application/x-git-upload-pack-result",
          ...(body === undefined ? {} : { "content-type": "application/x-git-upload-pack-request" }),
          ...(this.#protocol === 2 ? { "git-protocol": "version=2" } : {}),
          ...this.#credentials(url),
        },
        ...(body === undefined ? {} : { body }),
      });
    } catch (error) {
      throw this.#describe(error, signal);
    }
  }

  #describe(error: unknown, signal: AbortSignal): Problem {
    if (signal.aborted) return signal.reason instanceof Problem ? signal.reason : abortedProblem(this.#shown);
    if (error instanceof Error && /^Proxy .*\(407\)/.test(error.message))
      return new Problem("git-refused", `Cannot pass the proxy on the way to "${this.#shown}"`, {
        hint: "The proxy wants a user and password; put them into the proxy variable of the environment",
      });
    if (error instanceof Error && /^Proxy response/.test(error.message))
      return new Problem("git-unreachable", `Cannot pass the proxy on the way to "${this.#shown}"`, {
        hint: "Check the proxy variables of the environment, and no_proxy",
        cause: error,
      });
    return networkProblem(error, this.#shown);
  }

  /** Only for the host that was configured; after a redirect to https on the default ports also there. */
  #credentials(url: URL): Record<string, string> {
    const { username, password } = this.#access;
    if (password === undefined) return {};
    const own = new URL(this.#access.location.base);
    const upgraded = own.protocol === "http:" && url.protocol === "https:" && own.port === "" && url.port === "";
    if (url.hostname !== own.hostname || (url.origin !== own.origin && !upgraded)) return {};
    return { authorization: `Basic ${Buffer.from(`${username ?? "git"}:${password}`).toString("base64")}` };
  }

  /** Where a redirect leads: only to the same question elsewhere, and never from https to http. */
  #follow(from: URL, answer: Dispatcher.ResponseData): URL {
    const header = answer.headers["location"];
    const target = typeof header === "string" && URL.canParse(header, from.href) ? new URL(header, from) : null;
    const shownTarget = target === null ? "nowhere" : `"${withoutSecrets(target.href)}"`;
    if (from.protocol === "https:" && target?.protocol === "http:")
      throw new Problem("git-refused", `Cannot follow the redirect of "${this.#shown}"`, {
        hint: `It leads from https to ${shownTarget}, which anyone on the way could read`,
      });
    const http = target?.protocol === "http:" || target?.protocol === "https:";
    if (target === null || !http || !target.pathname.endsWith("/info/refs") || target.search !== `?${query}`)
      throw new Problem("git-repository", `Cannot follow the redirect of "${this.#shown}"`, {
        hint: `It leads to ${shownTarget}, which is no repository; check the address, and the credentials if it is private`,
      });
    target.username = target.password = "";
    return target;
  }

  async #checkStatus(answer: Dispatcher.ResponseData): Promise<void> {
    const { statusCode } = answer;
    if (statusCode === 200) return;
    await answer.body.dump({ limit: maxComplaintBytes }); // a page for people; it may repeat what we sent
    const cause = complaint(`HTTP status ${statusCode}`);
    const shown = this.#shown;
    if (statusCode === 401 || statusCode === 403)
      throw new Problem("git-refused", `Cannot log in to "${shown}"`, {
        hint:
          this.#access.password === undefined
            ? "The repository is private; set a token, or a user name and password"
            : "The server refused the token or password; check it, and that it may read this repository",
        cause,
      });
    if (statusCode === 407)
      throw new Problem("git-refused", `Cannot pass the proxy on the way to "${shown}"`, {
        hint: "The proxy wants a user and password; put them into the proxy variable of the environment",
        cause,
      });
    if (statusCode === 404 || statusCode === 410)
      throw new Problem("git-repository", `Cannot find a repository at "${shown}"`, {
        hint: "Check the address; some servers say so too when credentials are missing or may not read it",
        cause,
      });
    if (statusCode === 429 || statusCode >= 500)
      throw new Problem("git-unreachable", `Cannot get an answer from "${shown}"`, {
        hint: "The server is in trouble or overloaded; it is tried again later",
        cause,
      });
    throw new Problem("git-repository", `Cannot fetch from "${shown}"`, { hint: "Check the address", cause });
  }

  #checkType(answer: Dispatcher.ResponseData, kind: "advertisement" | "result"): void {
    const type = answer.headers["content-type"];
    if (type === `application/x-git-upload-pack-${kind}`) return;
    answer.body.on("error", () => undefined).destroy(); // its end is of no interest: the refusal below is what counts
    throw new Problem("git-repository", `Cannot find a repository at "${this.#shown}"`, {
      hint: "The server answers, but not as git does; use the address to clone from",
    });
  }

  async #collect(
    answer: Dispatcher.ResponseData,
    { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
  ): Promise<readonly Uint8Array[]> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        if (bytes > maxBytes) throw tooLarge(this.#shown, maxBytes);
        chunks.push(chunk);
      }
    } catch (error) {
      throw error instanceof Problem && error.code === "git-repository" ? error : this.#describe(error, signal);
    }
    return chunks;
  }

  /** undici would send https through http_proxy; curl and git do not, so each protocol has an agent of its own. */
  #agentFor(protocol: string): Dispatcher {
    const known = this.#agents.get(protocol);
    if (known !== undefined) return known;
    const { environment } = this.#access;
    const proxy = proxyFor(protocol, environment);
    const tls = { timeout: connectMs, ...(this.#context === undefined ? {} : { secureContext: this.#context }) };
    const agent = new EnvHttpProxyAgent({
      httpProxy: protocol === "http:" ? proxy : "",
      httpsProxy: protocol === "https:" ? proxy : "",
      noProxy: variable("no_proxy", environment).value,
      proxyTunnel: protocol === "https:", // many proxies allow CONNECT to port 443 only
      connect: tls,
      requestTls: tls,
      proxyTls: tls,
      headersTimeout: idleMs,
      bodyTimeout: idleMs,
      connections: 2,
    });
    this.#agents.set(protocol, agent);
    return agent;
  }
}

type Environment = Access["environment"];

function variable(lower: string, environment: Environment): { readonly name: string; readonly value: string } {
  const name = environment[lower] === undefined ? lower.toUpperCase() : lower;
  return { name, value: environment[name] ?? "" };
}

/** "" is none. Without a scheme it is http, as curl and git read it. Its value may hold a password and is not shown. */
function proxyFor(protocol: string, environment: Environment): string {
  const own = variable(protocol === "https:" ? "https_proxy" : "http_proxy", environment);
  const { name, value } = own.value === "" ? variable("all_proxy", environment) : own;
  if (value === "") return "";
  const url = value.includes("://") ? value : `http://${value}`;
  if (URL.canParse(url) && /^(https?|socks5?):$/.test(new URL(url).protocol)) return url;
  throw new Problem("git-refused", `Cannot use the proxy that ${name} names`, {
    hint: "Write it as http://HOST:PORT, in the environment of the agent",
  });
}

function isRedirect(answer: Dispatcher.ResponseData): boolean {
  return [301, 302, 303, 307, 308].includes(answer.statusCode);
}

/** The host's own bundle (Node's where there is none), and the operator's CA besides. */
async function trust({ caFile, environment }: Access): Promise<SecureContext> {
  const own = caFile === undefined ? [] : [await readCa(caFile)];
  const chosen = environment["SSL_CERT_FILE"];
  const roots = chosen === undefined || chosen === "" ? await systemRoots() : [await readCa(chosen)];
  return createSecureContext({ ca: [...roots, ...own] });
}

async function readCa(path: string): Promise<Buffer> {
  let text: Buffer;
  try {
    text = await readFile(path);
  } catch (error) {
    throw new Problem("git-refused", `Cannot read the CA file "${path}"`, {
      hint: "Check its path, and that the agent may read it",
      cause: error,
    });
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----") && !text.includes("-----BEGIN TRUSTED CERTIFICATE-----"))
    throw new Problem("git-refused", `Cannot read the CA file "${path}"`, { hint: "It must hold PEM certificates" });
  return text;
}
