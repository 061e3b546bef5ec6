// The API's client without a socket: for whole clusters on a clock of the test's own, where real sockets would take real time.
import { Problem } from "../../agent/domain/problem.ts";
import type { ApiClient } from "../../agent/ports/api-client.ts";
import type { ApiHandler } from "../../agent/ports/api-server.ts";

export class DirectClient implements ApiClient {
  /** `PUT /v2/unit-files/web.service`, in the order asked. */
  readonly asked: string[] = [];
  /** While set, every request is refused with it: the agent is away. */
  away: Problem | undefined;
  readonly #handler: ApiHandler;

  constructor(handler: ApiHandler) {
    this.#handler = handler;
  }

  get(path: string, options: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
    return this.#ask("GET", path, options);
  }

  post(path: string, options: { readonly signal?: AbortSignal; readonly body?: object } = {}): Promise<unknown> {
    return this.#ask("POST", path, options);
  }

  put(path: string, body: object, options: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
    return this.#ask("PUT", path, { ...options, body });
  }

  delete(path: string, options: { readonly signal?: AbortSignal; readonly body?: object } = {}): Promise<unknown> {
    return this.#ask("DELETE", path, options);
  }

  async *changes(signal: AbortSignal): AsyncIterable<"changed"> {
    this.#mustBeThere();
    const response = await this.#handler.handle(new Request("http://localhost/v2/changes"));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const stop = (): void => {
      reader.cancel().catch(() => undefined); // it has ended by itself
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const decoder = new TextDecoder();
    try {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        this.#mustBeThere();
        if (decoder.decode(read.value).includes("event: change")) yield "changed";
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await reader.cancel();
    }
    throw new Problem(signal.aborted ? "aborted" : "agent-unreachable", "The stream has ended");
  }

  #mustBeThere(): void {
    if (this.away !== undefined) throw this.away;
  }

  async #ask(
    method: string,
    path: string,
    { signal, body }: { readonly signal?: AbortSignal; readonly body?: object },
  ): Promise<unknown> {
    this.#mustBeThere();
    if (signal?.aborted === true) throw new Problem("aborted", `Cannot finish asking for ${path}`);
    this.asked.push(`${method} ${path}`);
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: { "Flotilla-By": "ann@desk", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const response = await this.#handler.handle(request);
    const answer = (await response.json()) as { readonly error?: RefusedEntity };
    if (response.ok) return answer;
    const { code = "agent-answer", message = "No error", hint } = answer.error ?? {};
    throw new Problem(code, message, { hint });
  }
}

interface RefusedEntity {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}
