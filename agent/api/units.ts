// GET /v2/units: every unit on every machine, with systemd's state.
import { reportUnits } from "../report/report.ts";
import { type Resource, pictureOf } from "./resource.ts";

export const units: Resource = {
  method: "GET",
  path: "/units",
  gives: "units on machines, with their state",
  answer: async (inquiry) => ({ units: reportUnits(await pictureOf(inquiry)) }),
};
