// The agent's HTTP API: version 2, JSON under /v2 for the command, dashboards and scripts, and fleet's own beside it.
// Front door of the room and the one importer of hono. Whatever goes wrong is an answer; nothing thrown leaves this room.
import { type Context, Hono } from "hono";
import { Problem } from "../domain/problem.ts";
import type { ApiHandler } from "../ports/api-server.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";
import type { Hands } from "../ports/hands.ts";
import type { Log } from "../ports/log.ts";
import { readJsonBody, refuseBody } from "./body.ts";
import { EventStreams } from "./changes.ts";
import { events } from "./events.ts";
import { machineExplanation, unitExplanation } from "./explanations.ts";
import { fleetApi } from "./fleet.ts";
import { holds, liftHolds, placeHolds } from "./holds.ts";
import { changeMachine, cordonMachine, drainMachine, machine, machines, uncordonMachine } from "./machines.ts";
import { openapi } from "./openapi.ts";
import { type Failure, failureOf, orThrow } from "./problems.ts";
import { mustBeFromHere, personOf, queryOf } from "./request.ts";
import type { Resource } from "./resource.ts";
import { exportedState } from "./state.ts";
import { clusterStatus, unitStatus } from "./status.ts";
import { sync } from "./sync.ts";
import { destroyUnit, restartUnit, submitUnit, targetUnit, unitFile, unitFiles } from "./unit-files.ts";
import { units } from "./units.ts";

const root = "/v2";
const resources: readonly Resource[] = [
  ...[machines, machine, machineExplanation, changeMachine, cordonMachine, uncordonMachine, drainMachine],
  ...[units, unitExplanation],
  ...[unitFiles, unitFile, submitUnit, destroyUnit, targetUnit, restartUnit],
  ...[clusterStatus, unitStatus, exportedState, sync],
  ...[holds, placeHolds, liftHolds],
  ...[events, openapi],
];

export interface ApiOptions {
  readonly view: ClusterView;
  readonly hands: Hands;
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
    await next();
  });
  // Whatever is not ours is answered as fleet's server answered it
  const fleet = fleetApi(options);
  app.use(async (context, next) => {
    const { path, raw } = context.req;
    if (path === root || path.startsWith(`${root}/`)) return next();
    const response = await fleet.handle(raw);
    return context.newResponse(response.body, response); // with the headers that every answer has
  });
  app.use(async (context, next) => {
    mustBeFromHere(context.req.raw);
    await next();
  });
  app.get(root, (context) => context.json(index(options)));
  for (const resource of resources) {
    app.on(resource.method, root + resource.path, async (context) => answer(resource, { context, options }));
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
    const hint = `GET ${root} lists what there is`;
    return failed(context, failureOf(new Problem("api-path", `Cannot find "${path}"`, { hint })));
  });
  app.onError((error, context) => {
    const asked = `${context.req.method} ${context.req.path.slice(0, 300)}`;
    const failure = failureOf(error, `Cannot answer ${asked}`);
    if (failure.status === 500 && !context.req.raw.signal.aborted) options.log.error("api.failed", error, { asked });
    return failed(context, failure);
  });
  return {
    handle: async (request) => app.fetch(request),
    endStreams: () => streams.endAll(),
  };
}

async function answer(
  resource: Resource,
  given: { readonly context: Context; readonly options: ApiOptions },
): Promise<Response> {
  const { context, options } = given;
  const { raw: request } = context.req;
  const { signal } = request;
  if (resource.takesBody !== true) refuseBody(request);
  const { status, body } = await resource.answer({
    view: options.view,
    hands: options.hands,
    clock: options.clock,
    name: context.req.param("name") ?? "",
    query: queryOf(request, resource.query ?? []),
    by: personOf(request),
    read: async (shape) => orThrow(shape(await readJsonBody(request, { clock: options.clock, signal }))),
    signal,
  });
  return context.json(body, status);
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
  const paths = new Map<string, readonly string[]>();
  for (const { path, method } of all) {
    paths.set(path, [...(paths.get(path) ?? []), ...(method === "GET" ? ["GET", "HEAD"] : [method])]);
  }
  return paths;
}

function failed(context: Context, { entity, status }: Failure): Response {
  return context.json(entity, status);
}
