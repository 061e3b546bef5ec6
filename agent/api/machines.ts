// /v2/machines: the living machines, and what operators say of them: metadata, cordons and drains.
import { parseMachineId } from "../domain/names.ts";
import type { MaintenanceRequest, MaintenanceResult } from "../ports/hands.ts";
import { reportMachine, reportMachines } from "../report/report.ts";
import type { MaintenanceAnswer } from "../report/hands.ts";
import { describeDrain } from "../report/maintenance.ts";
import { selectMachines } from "../report/select.ts";
import { apiBodies } from "../text/api-document.ts";
import { orThrow } from "./problems.ts";
import { type Answer, type Inquiry, type Resource, found, pictureOf, seen } from "./resource.ts";

export const machines: Resource = {
  method: "GET",
  path: "/machines",
  gives: "the living machines; metadata=KEY=VALUE narrows",
  query: ["metadata"],
  answer: async (inquiry) => {
    const picture = await pictureOf(inquiry);
    const all = reportMachines(picture);
    return seen(picture, { machines: orThrow(selectMachines(all, inquiry.query("metadata"))) });
  },
};

export const machine: Resource = {
  method: "GET",
  path: "/machines/:name",
  gives: "a living machine, by its whole id; of one that is drained the units that are to leave it",
  answer: async (inquiry) => {
    const id = orThrow(parseMachineId(inquiry.name));
    return found(orThrow(reportMachine(await pictureOf(inquiry), id)));
  },
};

export const changeMachine: Resource = {
  method: "PATCH",
  path: "/machines/:name",
  gives: "changed metadata of a machine, by its whole id; null takes a key away",
  takesBody: true,
  answer: async (inquiry) => {
    const machine = orThrow(parseMachineId(inquiry.name));
    const { metadata } = await inquiry.read(apiBodies.machine);
    const changes = Object.entries(metadata).map(([key, value]) => ({ machine, key, value: value ?? undefined }));
    await inquiry.hands.changeMetadata(changes, inquiry.by, inquiry.signal);
    return found({ outcome: "changed" });
  },
};

export const cordonMachine: Resource = {
  method: "POST",
  path: "/machines/:name/cordon",
  gives: "a machine that takes nothing new, by its whole id; what it has stays",
  answer: (inquiry) => maintain(inquiry, { change: "cordon" }),
};

export const uncordonMachine: Resource = {
  method: "POST",
  path: "/machines/:name/uncordon",
  gives: "a machine that takes units again; a drain is ended",
  answer: (inquiry) => maintain(inquiry, { change: "uncordon" }),
};

export const drainMachine: Resource = {
  method: "POST",
  path: "/machines/:name/drain",
  gives: "a machine that is cordoned and whose units move elsewhere",
  takesBody: true,
  answer: async (inquiry) => maintain(inquiry, { change: "drain", ...(await inquiry.read(apiBodies.drain)) }),
};

async function maintain(inquiry: Inquiry, request: Pick<MaintenanceRequest, "change" | "withinMs">): Promise<Answer> {
  const id = orThrow(parseMachineId(inquiry.name));
  const result = await inquiry.hands.maintain({ machine: id, by: inquiry.by, ...request }, inquiry.signal);
  return found(describe(result));
}

function describe({ outcome, drain }: MaintenanceResult): MaintenanceAnswer {
  return { outcome, ...(drain === undefined ? {} : { drain: describeDrain(drain) }) };
}
