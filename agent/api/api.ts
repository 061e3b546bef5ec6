// The agent's HTTP API, version 2: JSON under /v2 for the command, dashboards and scripts. Front door of the room and the
// one importer of hono. Whatever goes wrong is an answer of one shape; nothing thrown leaves this room.
import { type Context, Hono } from "hono";
import { Problem } from "../domain/problem.ts";
import type { ApiHandler } from "../ports/api-server.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";
import type { Log } from "../ports/log.ts";
import { EventStreams } from "./changes.ts";
import { machines } from "./machines.ts";
import { entityOf, statusOf } from "./problems.ts";
import type { Resource } from "./resource.ts";
import { clusterStatus, unitStatus } from "./status.ts";
import { sync } from "./sync.ts";
import { unitFile, unitFiles } from "./unit-files.ts";
import { units } from "./units.ts";

const root = "/v2";
const resources: readonly Resource[] = [machines, units, unitFiles, unitFile, clusterStatus, unitStatus, sync];
/** No resource reads a body; an empty object from a careful client is let pass. */
const maxBodyBytes = 4096;

export interface ApiOptions {
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly log: Log;
  /** flotilla's. */
  readonly version: string;
}

/** The whole API as one handler, which adapters/api-server.ts puts on a socket. */
export function createApi(options: ApiOptions): ApiHandler {
  const streams = new EventStreams(options.view, options.clock);
  const app = new Hono();
  app.use(async (context, next) => {
    context.header("Server", `flotilla/${options.version}`);
    context.header("Cache-Control", "no-store");
    refuseBody(context);
    await next();
  });
  app.get(root, (context) => context.json(index(options)));
  for (const resource of resources) {
    app.on(resource.method, root + resource.path, async (context) =>
      context.json(
        await resource.answer({
          view: options.view,
          clock: options.clock,
          name: context.req.param("name") ?? "",
          signal: context.req.raw.signal,
        }),
      ),
    );
  }
  app.get(`${root}/changes`, (context) => {
    // HEAD asks what a stream would be like; nobody would ever read or end its body
    if (context.req.raw.method === "HEAD") return context.body(null, 200, { "Content-Type": "text/event-stream" });
    return context.body(streams.open(context.req.raw.signal), 200, { "Content-Type": "text/event-stream" });
  });
  for (const [path, methods] of methodsByPath()) {
    app.all(root + path, (context) => {
      context.header("Allow", methods.join(", "));
      throw new Problem("api-method", `Cannot ${context.req.method} "${context.req.path.slice(0, 300)}"`, {
        hint: `It takes ${methods.join(" and ")}`,
      });
    });
  }
  app.notFound((context) => {
    const path = context.req.path.slice(0, 300);
    return failure(
      context,
      new Problem("api-path", `Cannot find "${path}"`, { hint: `GET ${root} lists what there is` }),
    );
  });
  app.onError((error, context) => failure(context, explained(error, { context, log: options.log })));
  return {
    handle: async (request) => app.fetch(request),
    endStreams: () => streams.endAll(),
  };
}

function index({ view, version }: ApiOptions): object {
  return {
    name: "flotilla",
    version,
    machine: view.me,
    resources: [
      ...resources.map(({ method, path, gives }) => ({ method, path: root + path, gives })),
      { method: "GET", path: `${root}/changes`, gives: "server-sent events, one after every change" },
    ],
  };
}

function methodsByPath(): ReadonlyMap<string, readonly string[]> {
  const all = [...resources, { path: "", method: "GET" }, { path: "/changes", method: "GET" }];
  return new Map(all.map(({ path, method }) => [path, method === "GET" ? ["GET", "HEAD"] : [method]] as const));
}

function refuseBody(context: Context): void {
  if (context.req.header("transfer-encoding") !== undefined) {
    throw new Problem("api-body-length", "Cannot take a body of unknown length", { hint: "Send none" });
  }
  if (Number(context.req.header("content-length") ?? "0") > maxBodyBytes) {
    throw new Problem("api-body-size", `Cannot take a body of more than ${maxBodyBytes} bytes`, { hint: "Send none" });
  }
}

/** A Problem as it is; of anything else the cause is logged, and the client is told where to look. */
function explained(error: Error, where: { readonly context: Context; readonly log: Log }): Problem {
  const { context, log } = where;
  if (error instanceof Problem && statusOf(error) !== 500) return error;
  const asked = `${context.req.method} ${context.req.path.slice(0, 300)}`;
  if (!context.req.raw.signal.aborted) log.error("api.failed", error, { asked });
  if (error instanceof Problem) return error;
  return new Problem("internal", `Cannot answer ${asked}`, { hint: "The agent's log says why" });
}

function failure(context: Context, problem: Problem): Response {
  return context.json(entityOf(problem), statusOf(problem));
}
