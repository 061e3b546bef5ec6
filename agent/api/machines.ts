// /v2/machines: the living machines, and what operators change of their metadata.
import { parseMachineId } from "../domain/names.ts";
import { reportMachines } from "../report/report.ts";
import { selectMachines } from "../report/select.ts";
import { apiBodies } from "../text/api-document.ts";
import { orThrow } from "./problems.ts";
import { type Resource, found, pictureOf } from "./resource.ts";

export const machines: Resource = {
  method: "GET",
  path: "/machines",
  gives: "the living machines; metadata=KEY=VALUE narrows",
  query: ["metadata"],
  answer: async (inquiry) => {
    const all = reportMachines(await pictureOf(inquiry));
    return found({ machines: orThrow(selectMachines(all, inquiry.query("metadata"))) });
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
