// GET /v2/machines: the living machines.
import { reportMachines } from "../report/report.ts";
import { selectMachines } from "../report/select.ts";
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
