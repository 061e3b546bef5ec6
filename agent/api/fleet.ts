// fleet's HTTP API v1 as fleet's clients know it: paths, methods, entities, pages, errors, with what was amiss
// put right. Mounted by api.ts; knows no web framework.
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";
import type { Hands } from "../ports/hands.ts";
import type { Log } from "../ports/log.ts";
import { FleetFailure, failureAnswer, internalFailure, json, registryAway } from "./fleet-answers.ts";
import { discoveryDocument } from "./fleet-discovery.ts";
import type { FleetInquiry } from "./fleet-inquiry.ts";
import { listMachines, patchMachines } from "./fleet-machines.ts";
import { getState, listStates } from "./fleet-states.ts";
import { deleteUnit, getUnit, listUnits, putUnit } from "./fleet-units.ts";
import { mustBeFromHere, personOf } from "./request.ts";
import { pictureOf } from "./resource.ts";

export interface FleetApiOptions {
  readonly view: ClusterView;
  readonly hands: Hands;
  readonly clock: Clock;
  readonly log: Log;
  /** flotilla's. */
  readonly version: string;
}

const bases: readonly string[] = ["/fleet/v1", "/v1-alpha"];
/** The release of fleet whose API this is. */
const fleetVersion = "1.0.0";

type Answerer = (asked: FleetInquiry, item: string) => Response | Promise<Response>;

/** One path, the methods that it takes, and what fleet says to the others. */
interface Place {
  readonly methods: Readonly<Record<string, Answerer>>;
  readonly refusal: string;
  readonly refusalStatus?: 400 | 405;
}

const collections: Readonly<Record<string, Place>> = {
  machines: {
    methods: { GET: listMachines, PATCH: patchMachines },
    refusal: "only GET and PATCH supported against this resource",
  },
  state: { methods: { GET: listStates }, refusal: "only GET supported against this resource" },
  units: { methods: { GET: listUnits }, refusal: "only GET supported against this resource" },
};

const items: Readonly<Record<string, Place>> = {
  state: { methods: { GET: getState }, refusal: "only GET supported against this resource" },
  units: {
    methods: { GET: getUnit, PUT: putUnit, DELETE: deleteUnit },
    refusal: "only GET, PUT and DELETE supported against this resource",
  },
};

/** Answers whatever is asked, also what is no path of fleet's; never rejects. */
export function fleetApi(options: FleetApiOptions): { handle(request: Request): Promise<Response> } {
  const server = `fleetd/${fleetVersion} flotilla/${options.version}`;
  return {
    handle: async (request) => {
      const response = await answer(request, options).catch((error: unknown) => failed(error, { request, options }));
      response.headers.set("Server", server);
      return response;
    },
  };
}

async function answer(request: Request, options: FleetApiOptions): Promise<Response> {
  const { view, hands, clock } = options;
  const { signal } = request;
  const url = new URL(request.url);
  mustBeFromHere(request);
  // Without its registry fleet answers nothing, not even that a path is none
  const picture = await pictureOf({ view, clock, signal });
  if (picture.stale === true) throw new FleetFailure(503, registryAway);
  const path = decoded(url.pathname);
  const base = bases.find((each) => path === each || path.startsWith(`${each}/`));
  if (path === "/" || path === base) throw new FleetFailure(405, "");
  if (base === undefined) throw new FleetFailure(404, "");
  const rest = path.slice(base.length + 1);
  const place = rest === "discovery" ? discovery(base) : placeOf(rest);
  if (place === undefined) throw new FleetFailure(404, "");
  const answerer = Object.hasOwn(place.methods, request.method) ? place.methods[request.method] : undefined;
  if (answerer === undefined) {
    const allow = { Allow: Object.keys(place.methods).join(", ") };
    throw new FleetFailure(place.refusalStatus ?? 405, place.refusal, allow);
  }
  const by = request.headers.has("flotilla-by") ? personOf(request) : "fleet API";
  const asked = { request, query: url.searchParams, picture, hands, clock, by, signal };
  return answerer(asked, rest.slice(rest.indexOf("/") + 1));
}

/** A collection, or one item of one; nothing for a slash at the end and for what lies deeper. */
function placeOf(rest: string): Place | undefined {
  const [collection = "", item, ...deeper] = rest.split("/");
  const places = item === undefined ? collections : items;
  return item === "" || deeper.length > 0 || !Object.hasOwn(places, collection) ? undefined : places[collection];
}

function discovery(base: string): Place {
  return {
    methods: { GET: () => json(discoveryDocument(base), { indent: 2 }) },
    refusal: "only HTTP GET supported against this resource",
    refusalStatus: 400,
  };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new FleetFailure(400, ""); // no path of UTF-8 text: there is nothing that it could name
  }
}

/** The cause of what is the agent's own fault goes to the log, and to nobody else. */
function failed(
  error: unknown,
  { request, options }: { readonly request: Request; readonly options: FleetApiOptions },
): Response {
  const told = failureAnswer(error);
  if (told !== undefined) return told;
  const asked = `${request.method} ${new URL(request.url).pathname.slice(0, 300)}`;
  if (!request.signal.aborted) options.log.error("api.failed", error, { asked });
  return internalFailure();
}
