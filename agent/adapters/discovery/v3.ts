// A discovery token as etcd's version 3 keeps it, under /_etcd/registry/TOKEN/. Asks any etcd from 3.4 on by its JSON
// gateway; the layout is that of etcd 3.6's own discovery, so that both can share a token.
import type { TokenEntry, TokenLook } from "../../domain/discovery.ts";
import { Problem } from "../../domain/problem.ts";
import type { EtcdDiscovery } from "../../domain/settings.ts";
import type { DiscoveryStore, RegisterResult } from "../../ports/discovery.ts";
import type { PlainAnswer } from "../plain-http.ts";
import { StoreHttp, mayChange } from "./http.ts";

const requestMs = 5_000;

export interface V3Options {
  readonly discovery: Extract<EtcdDiscovery, { readonly kind: "v3" }>;
  /** The store and the beginning of the token, for people. */
  readonly shown: string;
  readonly isLocal: boolean;
}

export function createV3Store(options: V3Options): DiscoveryStore {
  return new V3Store(options);
}

interface KeyValue {
  readonly key?: string;
  readonly value?: string;
  readonly create_revision?: string;
}
interface RangeAnswer {
  readonly header?: { readonly revision?: string };
  readonly kvs?: readonly KeyValue[];
}

class V3Store implements DiscoveryStore {
  readonly shown: string;
  readonly isLocal: boolean;
  readonly #discovery: V3Options["discovery"];
  readonly #http: StoreHttp;
  /** Of the endpoints the one that answered last. */
  #at = 0;
  #login: string | undefined;

  constructor({ discovery, shown, isLocal }: V3Options) {
    this.shown = shown;
    this.isLocal = isLocal;
    this.#discovery = discovery;
    this.#http = new StoreHttp(shown, discovery.tls);
  }

  async look(signal: AbortSignal): Promise<TokenLook> {
    const size = await this.#call<RangeAnswer>("kv/range", { key: base64(this.#key("_config/size")) }, signal);
    const text = size.kvs?.[0]?.value;
    if (size.kvs === undefined) return { kind: "absent" };
    const list = await this.#call<RangeAnswer>(
      "kv/range",
      { ...this.#members(), sort_order: "ASCEND", sort_target: "CREATE" },
      signal,
    );
    const entries = (list.kvs ?? []).map(({ key, value, create_revision }): TokenEntry => ({
      id: plainText(key).split("/").at(-1) ?? "",
      value: plainText(value),
      order: Number(create_revision) || 0,
    }));
    return { kind: "token", size: plainText(text), entries, revision: Number(list.header?.revision) || 0 };
  }

  async register(
    { id, value }: { readonly id: string; readonly value: string },
    signal: AbortSignal,
  ): Promise<RegisterResult> {
    const key = base64(this.#key(`members/${id}`));
    const answer = await this.#call<{ readonly succeeded?: boolean }>(
      "kv/txn",
      {
        compare: [{ key, target: "CREATE", result: "EQUAL", create_revision: "0" }],
        success: [{ request_put: { key, value: base64(value) } }],
      },
      signal,
    );
    return { kind: answer.succeeded === true ? "created" : "exists" };
  }

  async changed(
    { revision, mostMs }: { readonly revision: number; readonly mostMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#post(
      "watch",
      { create_request: { ...this.#members(), start_revision: String(revision + 1) } },
      { signal, timeoutMs: mostMs, isEnough: (text) => /"(events|canceled|compact_revision)"/.test(text) },
    );
    if (answer !== "timeout" && answer.status !== 200) throw this.#refusal(answer);
  }

  #key(name: string): string {
    return `/_etcd/registry/${this.#discovery.token.reveal()}/${name}`;
  }

  #members(): { readonly key: string; readonly range_end: string } {
    // "0" follows "/": everything below members/
    return { key: base64(this.#key("members/")), range_end: base64(this.#key("members0")) };
  }

  async #call<T>(path: string, body: object, signal: AbortSignal): Promise<T> {
    const answer = await this.#post(path, body, { signal, timeoutMs: requestMs });
    if (answer === "timeout") throw this.#http.tooSlow(requestMs);
    const value = answer.status === 200 ? parseObject(answer.text) : undefined;
    // every answer of etcd's has a header; a login page and others' JSON have none
    if (value === undefined || !("header" in value)) throw this.#refusal(answer);
    return value as T;
  }

  /** Asks the endpoints one after the other, from the one that answered last, until one is reached. */
  async #post(
    path: string,
    body: object,
    more: { readonly signal: AbortSignal; readonly timeoutMs: number; readonly isEnough?: (text: string) => boolean },
  ): Promise<PlainAnswer | "timeout"> {
    const { endpoints } = this.#discovery;
    const faults: unknown[] = [];
    for (let tried = 0; tried < endpoints.length; tried++) {
      try {
        const answer = await this.#postTo(endpoints[this.#at] ?? "", { path, body, ...more });
        // A stream that ends without news is no fault of the endpoint's
        if (more.isEnough !== undefined || (answer !== "timeout" && answer.status < 500)) return answer;
        faults.push(answer === "timeout" ? this.#http.tooSlow(more.timeoutMs) : this.#refusal(answer));
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== "discovery-unreachable") throw error;
        faults.push(error.cause ?? error);
      }
      this.#at = (this.#at + 1) % endpoints.length;
    }
    const [only] = faults;
    throw this.#http.unreachable(faults.length === 1 ? only : new AggregateError(faults, ""));
  }

  async #postTo(
    endpoint: string,
    { path, body, ...more }: { path: string; body: object; signal: AbortSignal; timeoutMs: number },
  ): Promise<PlainAnswer | "timeout"> {
    const post = (where: string, what: object, headers: Readonly<Record<string, string>>) =>
      this.#http.ask({
        method: "POST",
        url: new URL(`/v3/${where}`, endpoint),
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(what),
        ...more,
      });
    const { username, password } = this.#discovery;
    if (password === undefined) return post(path, body, {});
    for (let fresh = this.#login === undefined; ; fresh = true) {
      if (fresh) {
        const login = { name: username ?? "", password: password.reveal() };
        const answer = await this.#http.ask({
          method: "POST",
          url: new URL("/v3/auth/authenticate", endpoint),
          body: JSON.stringify(login),
          signal: more.signal,
          timeoutMs: requestMs,
        });
        if (answer === "timeout") throw this.#http.tooSlow(requestMs);
        const token = parseObject(answer.text)?.["token"];
        if (typeof token !== "string") throw this.#refusal(answer);
        this.#login = token;
      }
      const answer = await post(path, body, { authorization: this.#login ?? "" });
      // A token of etcd's lives for minutes only
      if (fresh || answer === "timeout" || answer.status !== 401) return answer;
    }
  }

  #refusal(answer: PlainAnswer): Problem {
    const { status, text } = answer;
    const value = parseObject(text);
    const words = value?.["message"] ?? value?.["error"];
    if (status < 400 || typeof words !== "string") return this.#http.notOurs(answer);
    const cause = new Error(`${words.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, 400)} (HTTP status ${status})`);
    if (mayChange(status)) return this.#http.unreachable(cause);
    return new Problem("discovery-refused", `Cannot use ${this.shown}: it refuses`, {
      hint: "Check DiscoveryUsername= and DiscoveryPassword=, and that this user may read and write /_etcd/registry/",
      cause,
    });
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined; // no JSON: the caller names what it is
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function plainText(encoded: string | undefined): string {
  return Buffer.from(encoded ?? "", "base64").toString("utf8");
}
