// The commands' side of the agent's API: node:http over the unix socket and nothing else, so that a command starts fast.
// Answers are bounded in time and size; every failure is a Problem with a hint.
import { type IncomingMessage, request as httpRequest } from "node:http";
import { type Place, Problem } from "../domain/problem.ts";
import {
  type ApiClient,
  type ChangeOptions,
  answerTimeoutMs,
  maxAnswerBytes,
  streamSilenceMs,
} from "../ports/api-client.ts";
import type { Reach } from "../ports/reach.ts";
import { whoAsks } from "./person.ts";
import { checkSocketPath } from "./socket-path.ts";

/** A server-sent event of ours is a short line; more than this without a line feed is no event stream. */
const maxEventLineChars = 4096;
/** What an agent finds wrong with one thing is less than this. */
const maxProblems = 1_000;
const changesPath = "/v2/changes";

interface Ask extends ChangeOptions {
  readonly socket: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
}

/** Throws Problem "api-socket-path" when the path cannot be a socket's. Connects only when asked something. */
export function createApiClient(reach: Reach | string): ApiClient {
  const socket = typeof reach === "string" ? reach : reach.endpoint.kind === "unix" ? reach.endpoint.path : "";
  checkSocketPath(socket);
  return {
    get: (path, options = {}) => ask({ ...options, socket, method: "GET", path }),
    post: (path, options = {}) => ask({ ...options, socket, method: "POST", path }),
    put: (path, body, options = {}) => ask({ ...options, socket, method: "PUT", path, body }),
    delete: (path, options = {}) => ask({ ...options, socket, method: "DELETE", path }),
    changes: (signal) => changes(socket, signal),
  };
}

async function ask(what: Ask): Promise<unknown> {
  const { signal: asked, timeoutMs = answerTimeoutMs } = what;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = asked === undefined ? deadline : AbortSignal.any([asked, deadline]);
  try {
    const response = await send({ ...what, signal, timeoutMs });
    const answer = parse(await readAll(response), what);
    if (isSuccess(response)) return answer;
    throw refusal(answer, { ...what, status: response.statusCode });
  } catch (error) {
    if (isTold(error)) throw error;
    if (asked?.aborted === true) throw aborted(what.path);
    if (deadline.aborted) throw tooSlow(what.socket, timeoutMs);
    throw unreachableAgent(what.socket, error);
  }
}

async function* changes(socket: string, signal: AbortSignal): AsyncIterable<"changed"> {
  const what: Ask = { socket, method: "GET", path: changesPath };
  try {
    const response = await send({ ...what, signal, timeoutMs: streamSilenceMs });
    if (!isSuccess(response)) {
      throw refusal(parse(await readAll(response), what), { ...what, status: response.statusCode });
    }
    if (!(response.headers["content-type"] ?? "").startsWith("text/event-stream")) {
      response.destroy();
      throw notOurs(what, response.statusCode);
    }
    // Leaving the loop destroys the response, and with it the connection
    for await (const line of lines(response)) if (line === "event: change") yield "changed";
  } catch (error) {
    if (isTold(error)) throw error;
    if (signal.aborted) throw aborted(changesPath);
    throw unreachableAgent(socket, error);
  }
  throw unreachableAgent(socket, new Error("the agent ended the stream"));
}

/** Resolves with the head of the answer; silence of `timeoutMs` at any time breaks the connection. */
function send(what: Ask & { readonly signal: AbortSignal; readonly timeoutMs: number }): Promise<IncomingMessage> {
  const { socket, method, path, signal, timeoutMs, body } = what;
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body), "utf8");
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      socketPath: socket,
      method,
      path,
      signal,
      timeout: timeoutMs,
      agent: false,
      headers: {
        Host: "localhost",
        Accept: "application/json, text/event-stream",
        "Content-Length": sent?.length ?? 0,
        ...(sent === undefined ? {} : { "Content-Type": "application/json" }),
        ...(method === "GET" ? {} : { "Flotilla-By": what.by ?? whoAsks() }),
      },
    });
    request.once("response", (response) => {
      request.once("timeout", () => response.destroy(new Error(`nothing heard for ${timeoutMs / 1000} s`)));
      resolve(response);
    });
    request.once("timeout", () => request.destroy(new Error(`nothing heard for ${timeoutMs / 1000} s`)));
    request.on("error", reject);
    request.end(sent);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) throw new Error(`the answer has more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function* lines(response: IncomingMessage): AsyncIterable<string> {
  response.setEncoding("utf8");
  let rest = "";
  for await (const chunk of response as AsyncIterable<string>) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > maxEventLineChars) throw new Error("the answer is no event stream");
    yield* parts;
  }
}

function parse(text: string, { path }: Ask): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Problem("agent-answer", `Cannot understand the answer to ${path}`, { hint: otherHint, cause: error });
  }
}

/** The agent's own problem, as it sent it, or all of them. */
function refusal(answer: unknown, what: Ask & { readonly status: number | undefined }): Error {
  const { error } = isObject(answer) ? answer : {};
  const whole = problemIn(error);
  if (whole === undefined) return notOurs(what, what.status);
  const listed = isObject(error) && Array.isArray(error["problems"]) ? error["problems"].slice(0, maxProblems) : [];
  const problems = listed.flatMap((each) => problemIn(each) ?? []);
  return problems.length === 0 ? whole : new AggregateError(problems, whole.message);
}

function problemIn(told: unknown): Problem | undefined {
  const { code, message, hint, file, line, column, key } = isObject(told) ? told : {};
  if (typeof code !== "string" || typeof message !== "string") return undefined;
  const at: Place | undefined =
    typeof file !== "string"
      ? undefined
      : {
          file,
          ...(typeof line === "number" ? { line } : {}),
          ...(typeof column === "number" ? { column } : {}),
          ...(typeof key === "string" ? { key } : {}),
        };
  return new Problem(code, message, { hint: typeof hint === "string" ? hint : undefined, at });
}

function notOurs({ path }: Ask, status: number | undefined): Problem {
  return new Problem("agent-answer", `Cannot understand the answer to ${path}, of status ${status ?? 0}`, {
    hint: otherHint,
  });
}

const otherHint = "Is it flotilla that listens there, and of this version?";

function unreachableAgent(socket: string, cause: unknown): Problem {
  const denied = hasCode(cause, "EACCES") || hasCode(cause, "EPERM");
  return new Problem("agent-unreachable", `Cannot reach the agent on "${socket}"`, {
    hint: denied
      ? "The socket is for root and its group: try sudo"
      : "Is the agent running? systemctl status flotilla; --socket PATH or FLOTILLA_SOCKET names another socket",
    cause,
  });
}

function tooSlow(socket: string, timeoutMs: number): Problem {
  return new Problem("agent-timeout", `Cannot get an answer on "${socket}" within ${timeoutMs / 1000} s`, {
    hint: "Somebody listens there but is busy or stuck: journalctl -u flotilla",
  });
}

function aborted(path: string): Problem {
  return new Problem("aborted", `Cannot finish asking for ${path}: it was given up`);
}

/** Whether it is what the caller shall see; Node gathers the failures of connecting in an AggregateError, too. */
function isTold(error: unknown): boolean {
  const all: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return all.length > 0 && all.every((each) => each instanceof Problem);
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
