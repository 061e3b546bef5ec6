// The discovery service over HTTP: requests -> questions for discovery/service.ts, each change kept on the disk before it is
// answered, and long polls that wake when something changes. Carried by adapters/api-server.ts.
import {
  type Lifetimes,
  type ServiceAnswer,
  type ServiceAsk,
  type ServiceState,
  answerService,
  emptyService,
  expireTokens,
} from "../discovery/service.ts";
import { explainError } from "../domain/problem.ts";
import type { ApiHandler } from "../ports/api-server.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";
import { encodeDiscoveryStore, parseDiscoveryStore } from "../text/discovery-store.ts";

const storeName = "discovery-service.json";
/** A registration is far smaller. */
const maxBodyBytes = 16 * 1024;
/** Long polls at the same time, over all tokens. */
const maxWaiting = 512;
/** etcd's own server ends a long poll after as long, and its client asks again. */
const longestWaitMs = 300_000;

export interface DiscoveryServiceOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  /** 128 random bits as 32 hex digits. */
  readonly newToken: () => string;
  /** Begins every URL that is given out, without a slash at its end; undefined: as the asker called this service. */
  readonly publicUrl: string | undefined;
  readonly lifetimes: Lifetimes;
}

/** Reads what is kept; rejects with Problem "discovery-store" when that is damaged, "disk-read" when it cannot be read. */
export async function createDiscoveryService(options: DiscoveryServiceOptions): Promise<ApiHandler> {
  const text = await options.disk.read(storeName);
  if (text === undefined)
    return new DiscoveryService(options, { clusterId: options.newToken().slice(0, 16), state: emptyService });
  const stored = parseDiscoveryStore(text);
  if (!stored.ok) throw new AggregateError(stored.problems);
  const { clusterId, index, tokens } = stored.value;
  return new DiscoveryService(options, {
    clusterId,
    state: { index, tokens: new Map(tokens.map((each) => [each.token, each])) },
  });
}

/** What a request asks for, or the answer that it gets without a question. */
type Routed = ServiceAsk | Response;

class DiscoveryService implements ApiHandler {
  readonly #options: DiscoveryServiceOptions;
  readonly #clusterId: string;
  #state: ServiceState;
  /** One change at a time: each is on the disk before the next is thought of. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #waiting = new Set<() => void>();
  readonly #closing = new AbortController();

  constructor(options: DiscoveryServiceOptions, kept: { readonly clusterId: string; readonly state: ServiceState }) {
    this.#options = options;
    this.#clusterId = kept.clusterId;
    this.#state = kept.state;
  }

  async handle(request: Request): Promise<Response> {
    try {
      const ask = await this.#route(request);
      if (ask instanceof Response) return ask;
      const answer = await this.#inTurn(ask);
      if (answer.kind === "wait") return this.#longPoll(ask, request.signal);
      if (ask.kind === "new" && new URL(request.url).pathname === "/new")
        return this.#given(ask.token, { request, answer });
      return this.#json(answer);
    } catch (error) {
      this.#options.log.error("discovery.failed", error);
      const body = { errorCode: 300, message: "The service cannot keep its tokens", cause: explainError(error) };
      return this.#json({ kind: "json", status: 500, body });
    }
  }

  endStreams(): void {
    this.#closing.abort();
  }

  /** Answers from the state; a change is kept first, and then wakes whoever waits. */
  #inTurn(ask: ServiceAsk): Promise<ServiceAnswer> {
    const answered = this.#turn.then(async () => {
      const { clock, disk, lifetimes, log } = this.#options;
      const current = expireTokens(this.#state, clock.wallMs(), lifetimes);
      const { state, answer } = answerService(current, ask);
      if (state === this.#state) return answer;
      const tokens = [...state.tokens.values()];
      await disk.write(storeName, encodeDiscoveryStore({ clusterId: this.#clusterId, index: state.index, tokens }));
      this.#state = state;
      if (state !== current) log.info("discovery.changed", described(ask));
      for (const wake of [...this.#waiting]) wake();
      return answer;
    });
    this.#turn = answered.catch(() => undefined); // told to whoever asked; the next one begins anew
    return answered;
  }

  /** The head goes out at once, as etcd's does; the body when there is something, or empty when nothing comes. */
  #longPoll(ask: ServiceAsk, gone: AbortSignal): Response {
    if (this.#waiting.size >= maxWaiting)
      return this.#json({
        kind: "json",
        status: 429,
        body: { errorCode: 429, message: "Too many wait", cause: "Ask again later" },
      });
    const over = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start: (stream) => {
        const end = (text: string): void => {
          if (over.signal.aborted) return;
          over.abort();
          if (text !== "") stream.enqueue(new TextEncoder().encode(text));
          stream.close();
        };
        const look = (): void => {
          const { answer } = answerService(this.#state, ask);
          if (answer.kind === "json") end(`${JSON.stringify(answer.body)}\n`);
        };
        this.#waiting.add(look);
        over.signal.addEventListener("abort", () => this.#waiting.delete(look), { once: true });
        for (const signal of [gone, this.#closing.signal])
          signal.addEventListener("abort", () => end(""), { once: true, signal: over.signal });
        this.#options.clock.sleep(longestWaitMs, over.signal).then(
          () => end(""),
          () => undefined, // it has ended already
        );
        look(); // what changed since the question was looked at
      },
      cancel: () => over.abort(),
    });
    // "chunked" has the server send the head before there is a body
    const headers = { ...this.#headers("application/json"), "transfer-encoding": "chunked" };
    return new Response(body, { status: 200, headers });
  }

  async #route(request: Request): Promise<Routed> {
    const url = new URL(request.url);
    const parts = url.pathname.split("/").filter((part) => part !== "");
    const [token = "", ...rest] = parts;
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (parts.length === 0) return this.#text(200, aboutText);
    if (token === "health") return this.#text(200, '{"health":"true"}\n');
    if (token === "new" && rest.length === 0) return this.#newToken(url, method);
    if (!/^[0-9a-f]{32}$/.test(token)) return this.#refused(404, `There is no ${url.pathname} here`);
    const wait = waitingOf(url, this.#state.index + 1);
    const path = `${method} ${rest.join("/")}`;
    if (path === "GET ") return { kind: "list", token, wait };
    if (path === "DELETE ") return { kind: "forget", token };
    if (path === "GET _config/size") return { kind: "size", token };
    const [id = ""] = rest;
    if (rest.length === 1 && method === "GET") return { kind: "entry", token, id, wait };
    if (rest.length === 1 && method === "DELETE")
      return this.#refused(403, "A token in use is not edited: waiting members would stop. Make a new one");
    if (method !== "PUT" && method !== "POST") return this.#refused(405, `${method} means nothing here`);
    const value = await bodyValue(request);
    if (value === undefined) return this.#refused(413, `More than ${maxBodyBytes} bytes, or no form`);
    const nowMs = this.#options.clock.wallMs();
    if (rest.join("/") === "_config/size") return { kind: "new", token, size: value, nowMs };
    if (rest.length !== 1) return this.#refused(404, `There is no ${url.pathname} here`);
    return { kind: "register", token, id, value, onlyNew: url.searchParams.get("prevExist") === "false", nowMs };
  }

  #newToken(url: URL, method: string): Routed {
    if (method !== "GET" && method !== "POST") return this.#refused(405, `${method} means nothing here`);
    const { clock, newToken } = this.#options;
    return { kind: "new", token: newToken(), size: url.searchParams.get("size") ?? "3", nowMs: clock.wallMs() };
  }

  /** The whole URL as plain text without a line feed, as the public service answered. */
  #given(token: string, { request, answer }: { readonly request: Request; readonly answer: ServiceAnswer }): Response {
    if (answer.kind !== "json" || answer.status !== 201) return this.#json(answer);
    const base = this.#options.publicUrl ?? new URL(request.url).origin;
    return this.#text(200, `${base}/${token}`);
  }

  #refused(status: number, cause: string): Response {
    return this.#json({ kind: "json", status, body: { errorCode: status, message: "Cannot do this", cause } });
  }

  #json(answer: ServiceAnswer): Response {
    if (answer.kind === "wait") throw new Error("A question that waits came through as an answer");
    return new Response(`${JSON.stringify(answer.body)}\n`, {
      status: answer.status,
      headers: this.#headers("application/json"),
    });
  }

  #text(status: number, text: string): Response {
    return new Response(text, { status, headers: this.#headers("text/plain; charset=utf-8") });
  }

  #headers(type: string): Readonly<Record<string, string>> {
    return {
      "content-type": type,
      "x-etcd-index": String(this.#state.index),
      "x-etcd-cluster-id": this.#clusterId,
    };
  }
}

const aboutText = `flotilla discovery service
POST /new?size=3 makes a token; its URL is the answer. Machines register below it.
`;

/** Who waits gives the index to begin with, or takes what comes after `next`. */
function waitingOf({ searchParams }: URL, next: number): { readonly from: number } | undefined {
  if (searchParams.get("wait") !== "true") return undefined;
  const from = searchParams.get("waitIndex") ?? "";
  return { from: /^\d{1,15}$/.test(from) ? Number(from) : next };
}

/** `value` of a form; undefined when the body is too large. */
async function bodyValue(request: Request): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString("utf8")).get("value") ?? "";
}

/** For the log. A token lets machines in: its first digits are enough to tell it by. */
function described(ask: ServiceAsk): Readonly<Record<string, string>> {
  const token = `${ask.token.slice(0, 4)}…`;
  switch (ask.kind) {
    case "new":
      return { what: "token made", token, size: ask.size };
    case "register":
      return { what: "member registered", token, id: ask.id, member: ask.value };
    case "forget":
      return { what: "token removed", token };
    case "size":
    case "list":
    case "entry":
      throw new Error(`Nothing changes by asking for ${ask.kind}`);
  }
}
