// The commands' side of the agent's API: node:http over the unix socket and nothing else, so that a command starts fast.
// Answers are bounded in time and size; every failure is a Problem with a hint.
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as httpRequest } from "node:http";
import { type Place, Problem } from "../domain/problem.ts";
import {
  type ApiClient,
  type ChangeOptions,
  answerTimeoutMs,
  maxAnswerBytes,
  streamSilenceMs,
} from "../ports/api-client.ts";
import { type Reach, socketReach } from "../ports/reach.ts";
import { whoAsks } from "./person.ts";
import { checkSocketPath } from "./socket-path.ts";

/** A server-sent event of ours is a short line; more than this without a line feed is no event stream. */
const maxEventLineChars = 4096;
/** What an agent finds wrong with one thing is less than this. */
const maxProblems = 1_000;
/** As every code of ours is. */
const codePattern = /^[a-z][a-z0-9-]*$/;
const changesPath = "/v2/changes";

/** One way to an agent's API. */
export interface Route {
  /** As people call it: a path, a URL. No secret stands in it. */
  readonly name: string;
  /** False: it has broken, and another one has to be made. */
  stands(): boolean;
  request(options: RouteOptions): ClientRequest;
}

type RouteOptions = RequestOptions & { readonly headers: Readonly<Record<string, string | number>> };

/** The route, which is there or is made; the signal gives up making it. */
type Way = (signal: AbortSignal | undefined) => Promise<Route>;

interface Ask extends ChangeOptions {
  readonly route: Way;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
}

/**
 * Connects only when asked something. A text is the path of a socket of this machine. Throws Problem "api-socket-path" when a
 * path cannot be a socket's. What else is wrong with the way is told by every call. `env` is for ssh.
 */
export function createApiClient(
  reach: Reach | string,
  env: Readonly<Record<string, string | undefined>> = {},
): ApiClient {
  const route = routeOf(typeof reach === "string" ? socketReach(reach) : reach, env);
  return {
    get: (path, options = {}) => ask({ ...options, route, method: "GET", path }),
    post: (path, options = {}) => ask({ ...options, route, method: "POST", path }),
    put: (path, body, options = {}) => ask({ ...options, route, method: "PUT", path, body }),
    delete: (path, options = {}) => ask({ ...options, route, method: "DELETE", path }),
    changes: (signal) => changes(route, signal),
  };
}

/** The usual one needs nothing loaded; a tunnel is opened once, and again when it has broken. */
function routeOf(reach: Reach, env: Readonly<Record<string, string | undefined>>): Way {
  const { endpoint, ssh, token } = reach;
  if (endpoint.kind === "unix") checkSocketPath(endpoint.path);
  if (endpoint.kind === "unix" && ssh.tunnel === undefined && token === undefined) {
    const { path } = endpoint;
    const request: Route["request"] = (options) => httpRequest({ ...options, socketPath: path });
    return () => Promise.resolve({ name: path, stands: () => true, request });
  }
  let made: Promise<Route> | undefined;
  const make = (signal: AbortSignal | undefined): Promise<Route> => {
    const mine = import("./api-route.ts").then(({ prepareRoute }) => prepareRoute(reach, { env, signal }));
    mine.catch(() => {
      if (made === mine) made = undefined; // whoever asks next may have more luck
    });
    return mine;
  };
  return async (signal) => {
    const mine = (made ??= make(signal));
    const route = await mine;
    if (route.stands()) return route;
    if (made === mine) made = undefined; // of all that find it broken, the first makes another
    return (made ??= make(signal));
  };
}

async function ask(what: Ask): Promise<unknown> {
  const { signal: asked, timeoutMs = answerTimeoutMs } = what;
  const route = await what.route(asked);
  const deadline = AbortSignal.timeout(timeoutMs);
  // Plain listeners: AbortSignal.any() would leave something of each question at the asker's signal, which may last for hours
  const over = new AbortController();
  const { signal } = over;
  const stop = (): void => over.abort();
  if (asked?.aborted === true) stop();
  for (const each of [asked, deadline]) each?.addEventListener("abort", stop, { once: true });
  try {
    const response = await send({ ...what, signal, timeoutMs }, route);
    const answer = parse(await readAll(response), what);
    if (isSuccess(response)) return answer;
    throw refusal(answer, { ...what, status: response.statusCode });
  } catch (error) {
    if (isTold(error)) throw error;
    if (asked?.aborted === true) throw aborted(what.path);
    if (deadline.aborted) throw tooSlow(route.name, timeoutMs);
    throw unreachableAgent(route, error);
  } finally {
    for (const each of [asked, deadline]) each?.removeEventListener("abort", stop);
  }
}

async function* changes(way: Way, signal: AbortSignal): AsyncIterable<"changed"> {
  const what: Ask = { route: way, method: "GET", path: changesPath };
  const route = await way(signal);
  try {
    const response = await send({ ...what, signal, timeoutMs: streamSilenceMs }, route);
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
    throw unreachableAgent(route, error);
  }
  throw unreachableAgent(route, new Error("the agent ended the stream"));
}

/** Resolves with the head of the answer; silence of `timeoutMs` at any time breaks the connection. */
function send(
  what: Ask & { readonly signal: AbortSignal; readonly timeoutMs: number },
  route: Route,
): Promise<IncomingMessage> {
  const { method, path, signal, timeoutMs, body } = what;
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body), "utf8");
  return new Promise((resolve, reject) => {
    const request = route.request({
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
  if (!codePattern.test(code) || message.trim() === "") return undefined;
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

function unreachableAgent({ name }: Route, cause: unknown): Problem {
  return new Problem("agent-unreachable", `Cannot reach the agent on "${name}"`, {
    hint: unreachableHint(name, codeOf(cause)),
    cause,
  });
}

function unreachableHint(name: string, code: string): string {
  if (/ through /.test(name)) return "Is the agent running there, and may the user of the tunnel talk to it?";
  if (/^https?:/.test(name)) {
    if (/ALERT.*CERTIFICATE|ALERT_UNKNOWN_CA/.test(code))
      return "--cert-file and --key-file name a certificate to show";
    if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)) return "--ca-file names the authority that its certificate is from";
    if (code === "ECONNRESET" && name.startsWith("http:")) return "Is it https:// that is served there?";
    if (code === "EPROTO" || /WRONG_VERSION|PACKET_LENGTH/.test(code)) return "Is it http:// that is served there?";
    return "Is the agent running, and told to listen there? [API] Listen= in its settings";
  }
  return code === "EACCES" || code === "EPERM"
    ? "The socket is for root and its group: try sudo"
    : "Is the agent running? systemctl status flotilla; --socket PATH or FLOTILLA_SOCKET names another socket";
}

function tooSlow(name: string, timeoutMs: number): Problem {
  return new Problem("agent-timeout", `Cannot get an answer on "${name}" within ${timeoutMs / 1000} s`, {
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

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
