// An API without a socket for the tests of this folder. Whatever it answers is held to schemas/openapi.json: the status must be
// among those that the document has for the resource, and the body must be of the shape that it says, with no field besides.
import assert from "node:assert/strict";
import document from "../../../schemas/openapi.json" with { type: "json" };
import { createApi } from "../../../agent/api/api.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import type { ApiHandler } from "../../../agent/ports/api-server.ts";
import type { Clock } from "../../../agent/ports/clock.ts";
import type { ClusterView } from "../../../agent/ports/cluster.ts";
import type { Hands } from "../../../agent/ports/hands.ts";
import type { Log, LogFields } from "../../../agent/ports/log.ts";
import { compileSchema } from "../../../agent/text/schema.ts";
import { FakeCluster, samplePicture } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";

export interface Said {
  readonly event: string;
  readonly error: unknown;
  readonly fields: LogFields | undefined;
}

function listeningLog(): Log & { readonly errors: Said[] } {
  const errors: Said[] = [];
  const log = {
    errors,
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (event: string, error: unknown, fields?: LogFields) => {
      errors.push({ event, error, fields });
    },
    with: () => log,
  };
  return log;
}

export interface Asked extends ApiHandler {
  /** Errors that were logged. */
  readonly log: { readonly errors: Said[] };
}

export function api(
  view: ClusterView = new FakeCluster(samplePicture()),
  more: { readonly clock?: Clock; readonly hands?: Hands } = {},
): Asked {
  const log = listeningLog();
  const { clock = createClock(), hands = new FakeHands() } = more;
  return { log, ...createApi({ view, hands, clock, log, version: "1.2.3" }) };
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Init extends Omit<RequestInit, "body" | "headers"> {
  readonly headers?: Readonly<Record<string, string>>;
  /** A text or a stream as it is, everything else as JSON; with its type said unless the headers say another. */
  readonly body?: unknown;
}

/** Asks, and holds the answer to the document. */
export async function ask(handler: ApiHandler, path: string, { body, headers, ...init }: Init = {}): Promise<Answered> {
  const isPlain = body === undefined || typeof body === "string" || body instanceof ReadableStream;
  const given = isPlain ? body : JSON.stringify(body);
  const request = new Request(`http://localhost${path}`, {
    ...init,
    headers: { ...(given === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(given === undefined ? {} : { body: given as NonNullable<RequestInit["body"]>, duplex: "half" }),
  });
  const response = await handler.handle(request);
  const text = await response.text();
  const json = (text === "" ? {} : JSON.parse(text)) as Answered["json"];
  if (request.method !== "HEAD") mustBeAsDocumented({ method: request.method, path, status: response.status, json });
  return { status: response.status, headers: response.headers, text, json };
}

export function codeOf({ json }: Answered): unknown {
  return (json["error"] as { readonly code?: unknown } | undefined)?.code;
}

/** `GET /v2/units 200` for each answer that was held to the document so far. */
export const answered = new Set<string>();

type Schema = Readonly<Record<string, unknown>>;
interface Operation {
  readonly responses: Readonly<Record<string, Schema>>;
}

/** Every resource and method of the document. */
export const operations: ReadonlyMap<string, Operation> = new Map(
  Object.entries(document.paths as Readonly<Record<string, Readonly<Record<string, Operation>>>>).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
  ),
);

/** Holds an answer to the document; throws what is amiss. */
export function mustBeAsDocumented(answer: {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly json: unknown;
}): void {
  const { method, path, status, json } = answer;
  const name = [...operations.keys()].find((each) => isFor(each, { method, path }));
  // Nothing stands there, or nothing by that method
  if (name === undefined) assert.ok(status === 404 || status === 405 || status === 403, `${method} ${path}: ${status}`);
  const response = name === undefined ? failureResponse : operations.get(name)?.responses[status];
  assert.ok(response !== undefined, `${name ?? ""} answered ${status}, which schemas/openapi.json has not`);
  const checked = checkFor(response)(json);
  assert.deepEqual(
    checked.ok ? [] : checked.problems.map(({ message }) => message),
    [],
    `${method} ${path}: ${status}`,
  );
  if (name !== undefined) answered.add(`${name} ${status}`);
}

/** Whether an operation of the document is what answers there. */
export function isFor(
  operation: string,
  { method, path }: { readonly method: string; readonly path: string },
): boolean {
  const [ownMethod, template = ""] = operation.split(" ");
  const [asked = ""] = path.split("?");
  return ownMethod === method && new RegExp(`^${template.replace(/\{\w+\}/g, "[^/]+")}$`).test(asked);
}

const failureResponse: Schema = {
  content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
};
const checks = new Map<Schema, ReturnType<typeof compileSchema>>();

function checkFor(response: Schema): ReturnType<typeof compileSchema> {
  const known = checks.get(response);
  if (known !== undefined) return known;
  const whole = response["$ref"] === undefined ? response : (resolve(response["$ref"]) as Schema);
  const { schema } = (whole["content"] as { readonly "application/json": { readonly schema: Schema } })[
    "application/json"
  ];
  const check = compileSchema({ $schema: document.jsonSchemaDialect, ...(strict(schema) as Schema) });
  checks.set(response, check);
  return check;
}

/** With references resolved, and no field allowed but those that are named. */
function strict(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(strict);
  if (typeof part !== "object" || part === null) return part;
  if ("$ref" in part) return strict(resolve(part.$ref));
  const inner = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, strict(value)]));
  return "properties" in inner ? { ...inner, additionalProperties: false } : inner;
}

function resolve(reference: unknown): unknown {
  return String(reference)
    .split("/")
    .slice(1)
    .reduce<unknown>((at, key) => (at as Schema)[key], document);
}
