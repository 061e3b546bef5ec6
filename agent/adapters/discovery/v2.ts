// A discovery token as etcd's version 2 keeps it, in a key space over HTTP: our own service, an old etcd, or the public
// service's program. Asks as etcd's own `--discovery` does.
import type { TokenEntry, TokenLook } from "../../domain/discovery.ts";
import { Problem } from "../../domain/problem.ts";
import type { EtcdDiscovery } from "../../domain/settings.ts";
import type { DiscoveryStore, RegisterResult } from "../../ports/discovery.ts";
import type { PlainAnswer } from "../plain-http.ts";
import { StoreHttp, mayChange } from "./http.ts";

/** etcd's own bound on one request. */
const requestMs = 5_000;
const keyNotFound = 100;
const nodeExists = 105;

export interface V2Options {
  readonly discovery: Extract<EtcdDiscovery, { readonly kind: "v2" }>;
  /** The URL for people. */
  readonly shown: string;
  readonly isLocal: boolean;
}

export function createV2Store(options: V2Options): DiscoveryStore {
  return new V2Store(options);
}

interface Node {
  readonly key?: unknown;
  readonly value?: unknown;
  readonly dir?: unknown;
  readonly nodes?: unknown;
  readonly createdIndex?: unknown;
  readonly modifiedIndex?: unknown;
}

/** What a store of this kind says, as far as it is used. */
interface Answer {
  readonly http: PlainAnswer;
  readonly action: string | undefined;
  readonly node: Node | undefined;
  readonly errorCode: number | undefined;
  /** etcd's words for an error. */
  readonly words: string;
}

class V2Store implements DiscoveryStore {
  readonly shown: string;
  readonly isLocal: boolean;
  readonly #url: URL;
  readonly #http: StoreHttp;
  readonly #headers: Readonly<Record<string, string>>;

  constructor({ discovery, shown, isLocal }: V2Options) {
    this.shown = shown;
    this.isLocal = isLocal;
    this.#url = new URL(discovery.url);
    this.#http = new StoreHttp(shown, discovery.tls);
    const { username, password } = discovery;
    const login = password === undefined ? undefined : `${username ?? ""}:${password.reveal()}`;
    this.#headers = login === undefined ? {} : { authorization: `Basic ${Buffer.from(login).toString("base64")}` };
  }

  async look(signal: AbortSignal): Promise<TokenLook> {
    const size = await this.#get("/_config/size", { recursive: "false", sorted: "false" }, signal);
    if (size.errorCode === keyNotFound) return { kind: "absent" };
    if (typeof size.node?.value !== "string") throw this.#refusal(size);
    const list = await this.#get("", { recursive: "false", sorted: "false" }, signal);
    if (list.errorCode === keyNotFound) return { kind: "absent" };
    if (list.node === undefined) throw this.#refusal(list);
    const entries = nodesOf(list.node);
    const header = Number(list.http.headers["x-etcd-index"]);
    const revision = Number.isSafeInteger(header) ? header : Math.max(0, ...entries.map(({ order }) => order));
    return { kind: "token", size: size.node.value, entries, revision };
  }

  async register(
    { id, value }: { readonly id: string; readonly value: string },
    signal: AbortSignal,
  ): Promise<RegisterResult> {
    const answer = await this.#ask({
      method: "PUT",
      url: this.#at(`/${id}`, { prevExist: "false" }),
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ value }).toString(),
      signal,
    });
    if (answer.node !== undefined && answer.http.status < 300) return { kind: "created" };
    if (answer.errorCode === nodeExists) return { kind: "exists" };
    const problem = this.#refusal(answer);
    if (problem.code === "discovery-refused" && answer.errorCode !== undefined) return { kind: "refused", problem };
    throw problem;
  }

  /** Follows the token's events until one of them is a new entry: a removal, say, is none. */
  async changed(
    { revision, mostMs }: { readonly revision: number; readonly mostMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const deadlineMs = performance.now() + mostMs;
    for (let from = revision + 1; ;) {
      const timeoutMs = Math.ceil(deadlineMs - performance.now());
      if (timeoutMs <= 0) return;
      const url = this.#at("", { recursive: "true", wait: "true", waitIndex: String(from) });
      const heard = await this.#http.ask({ method: "GET", url, headers: this.#headers, timeoutMs, signal });
      if (heard === "timeout") return;
      const answer = this.#understand(heard);
      const next = Number(answer.node?.modifiedIndex);
      // "create" and "set" are new entries; an error (history gone) and anything else asks for another look
      const isOther = answer.action === "delete" || answer.action === "expire" || answer.action === "compareAndDelete";
      if (!isOther || !Number.isSafeInteger(next) || next < from) return;
      from = next + 1;
    }
  }

  #get(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    return this.#ask({ method: "GET", url: this.#at(path, query), headers: {}, signal });
  }

  async #ask(what: {
    readonly method: "GET" | "PUT";
    readonly url: URL;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signal: AbortSignal;
  }): Promise<Answer> {
    const answer = await this.#http.ask({
      ...what,
      headers: { ...this.#headers, ...what.headers },
      timeoutMs: requestMs,
    });
    if (answer === "timeout") throw this.#http.tooSlow(requestMs);
    return this.#understand(answer);
  }

  /** What the URL itself asks goes into every request. */
  #at(path: string, query: Readonly<Record<string, string>>): URL {
    const url = new URL(this.#url);
    url.pathname = `${url.pathname.replace(/\/+$/, "")}${path}`;
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    return url;
  }

  #understand(http: PlainAnswer): Answer {
    let value: unknown;
    try {
      value = JSON.parse(http.text);
    } catch {
      value = undefined; // a page, or nothing: the status says the rest
    }
    const { action, node, errorCode, message, cause } = isObject(value) ? value : {};
    return {
      http,
      action: typeof action === "string" ? action : undefined,
      node: isObject(node) ? node : undefined,
      errorCode: typeof errorCode === "number" ? errorCode : undefined,
      words: [message, cause].filter((text) => typeof text === "string").join(": "),
    };
  }

  #refusal({ http, errorCode, words }: Answer): Problem {
    const { status } = http;
    if (errorCode === undefined && (status < 400 || status === 404)) return this.#http.notOurs(http);
    const cause = new Error(words === "" ? `HTTP status ${status}` : `${plain(words)} (HTTP status ${status})`);
    if (mayChange(status))
      return new Problem("discovery-unreachable", `Cannot get an answer from ${this.shown}`, {
        hint: "It is in trouble or overloaded; it is tried again",
        cause,
      });
    return new Problem("discovery-refused", `Cannot use ${this.shown}: it refuses`, {
      hint:
        status === 401 || status === 403
          ? "Check the token, DiscoveryUsername= and DiscoveryPassword=, and who may register there"
          : "Check [Etcd] Discovery=",
      cause,
    });
  }
}

/** Entries of a listing; what is a folder or hidden is none. */
function nodesOf(node: Node): readonly TokenEntry[] {
  const nodes: readonly unknown[] = Array.isArray(node.nodes) ? node.nodes : [];
  return nodes.flatMap((each): readonly TokenEntry[] => {
    const { key, value, dir, createdIndex } = isObject(each) ? (each as Node) : {};
    const id = typeof key === "string" ? (key.split("/").at(-1) ?? "") : "";
    if (dir === true || id === "" || id.startsWith("_")) return [];
    return [{ id, value: typeof value === "string" ? value : "", order: Number(createdIndex) || 0 }];
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, 400);
}
