// GET /v2/machines: the living machines.
import { reportMachines } from "../report/report.ts";
import { type Resource, pictureOf } from "./resource.ts";

export const machines: Resource = {
  method: "GET",
  path: "/machines",
  gives: "the living machines",
  answer: async (inquiry) => ({ machines: reportMachines(await pictureOf(inquiry)) }),
};
