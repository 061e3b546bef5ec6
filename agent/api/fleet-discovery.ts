// GET /discovery of fleet's API v1: its description for programs, in the form in which fleet's had it (a rest description of
// Google's discovery format, version 1). Inner part of fleet.ts.
import { targetStates } from "../domain/unit.ts";

interface Method {
  readonly id: string;
  readonly description: string;
  readonly httpMethod: string;
  readonly path: string;
  /** The one part of the path that names something. */
  readonly item?: string;
  /** Keys of the query. */
  readonly query?: Readonly<Record<string, string>>;
  /** Names of schemas. */
  readonly request?: string;
  readonly response?: string;
}

/** The document for a client that asks below `base` ("/fleet/v1"). `$ENDPOINT` stands for whatever the client connects to. */
export function discoveryDocument(base: string): object {
  const below = `${base.slice(1)}/`;
  return {
    kind: "discovery#restDescription",
    discoveryVersion: "v1",
    id: "fleet:v1",
    name: "schema",
    version: "v1",
    title: "fleet API",
    description:
      "Units, their states and machines of a cluster that flotilla runs, in the form of fleet's API v1. GET /v2/openapi.json describes flotilla's own API.",
    documentationLink: "",
    protocol: "rest",
    icons: { x16: "", x32: "" },
    labels: [],
    baseUrl: `$ENDPOINT/${below}`,
    basePath: `/${below}`,
    rootUrl: "$ENDPOINT/",
    servicePath: below,
    batchPath: "batch",
    parameters: {},
    auth: {},
    schemas: Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, { id, ...schema }])),
    resources: Object.fromEntries(
      Object.entries(resources).map(([name, methods]) => [
        name,
        { methods: Object.fromEntries(Object.entries(methods).map(([verb, method]) => [verb, methodEntry(method)])) },
      ]),
    ),
  };
}

const text = { type: "string" };
const state = { type: "string", enum: targetStates };

function object(properties: Readonly<Record<string, object>>): object {
  return { type: "object", properties };
}

function listOf(schema: string): object {
  return { type: "array", items: { $ref: schema } };
}

const schemas: Readonly<Record<string, object>> = {
  Machine: object({
    id: text,
    primaryIP: text,
    metadata: { type: "object", properties: {}, additionalProperties: text },
  }),
  MachinePage: object({ machines: listOf("Machine"), nextPageToken: text }),
  UnitOption: object({ section: text, name: text, value: text }),
  Unit: object({
    name: text,
    options: listOf("UnitOption"),
    desiredState: state,
    currentState: state,
    machineID: { ...text, required: true },
  }),
  UnitPage: object({ units: listOf("Unit"), nextPageToken: text }),
  UnitState: object({
    name: text,
    hash: text,
    machineID: text,
    systemdLoadState: text,
    systemdActiveState: text,
    systemdSubState: text,
  }),
  UnitStatePage: object({ states: listOf("UnitState"), nextPageToken: text }),
};

const nextPage = { nextPageToken: "As the page before gave it; left out for the first page." };

const resources: Readonly<Record<string, Readonly<Record<string, Method>>>> = {
  Machines: {
    List: {
      id: "fleet.Machine.List",
      description: "The living machines, a page at a time.",
      httpMethod: "GET",
      path: "machines",
      query: nextPage,
      response: "MachinePage",
    },
  },
  Units: {
    List: {
      id: "fleet.Unit.List",
      description: "Units and templates, a page at a time.",
      httpMethod: "GET",
      path: "units",
      query: nextPage,
      response: "UnitPage",
    },
    Get: {
      id: "fleet.Unit.Get",
      description: "One unit or template.",
      httpMethod: "GET",
      path: "units/{unitName}",
      item: "unitName",
      response: "Unit",
    },
    Delete: {
      id: "fleet.Unit.Delete",
      description: "Ends a unit that was submitted; one of the repository is removed there.",
      httpMethod: "DELETE",
      path: "units/{unitName}",
      item: "unitName",
    },
    Set: {
      id: "fleet.Unit.Set",
      description: "Creates a unit, replaces its options, or says what it is to do.",
      httpMethod: "PUT",
      path: "units/{unitName}",
      item: "unitName",
      request: "Unit",
    },
  },
  UnitState: {
    Get: {
      id: "fleet.UnitState.Get",
      description: "The state of a unit on one of the machines that have it.",
      httpMethod: "GET",
      path: "state/{unitName}",
      item: "unitName",
      response: "UnitState",
    },
    List: {
      id: "fleet.UnitState.List",
      description: "States of units, one for each machine that has the unit, a page at a time.",
      httpMethod: "GET",
      path: "state",
      query: { ...nextPage, unitName: "Only this unit.", machineID: "Only this machine." },
      response: "UnitStatePage",
    },
  },
};

function methodEntry({ item, query = {}, request, response, ...method }: Method): object {
  const parameters: Readonly<Record<string, object>> = {
    ...(item === undefined ? {} : { [item]: { type: "string", location: "path", required: true } }),
    ...Object.fromEntries(
      Object.entries(query).map(([key, description]) => [key, { type: "string", location: "query", description }]),
    ),
  };
  return {
    ...method,
    parameters,
    ...(item === undefined ? {} : { parameterOrder: [item] }),
    ...(request === undefined ? {} : { request: { $ref: request } }),
    ...(response === undefined ? {} : { response: { $ref: response } }),
  };
}
