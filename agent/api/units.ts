// GET /v2/units: every unit on every machine, with systemd's state.
import { reportUnits } from "../report/report.ts";
import { selectUnits } from "../report/select.ts";
import { orThrow } from "./problems.ts";
import { type Resource, pictureOf, seen, selectionKeys, selectionOf } from "./resource.ts";

export const units: Resource = {
  method: "GET",
  path: "/units",
  gives: "units on machines, with their state; unit=GLOB, machine=MACHINE and state=STATE narrow",
  query: selectionKeys,
  answer: async (inquiry) => {
    const picture = await pictureOf(inquiry);
    const all = reportUnits(picture);
    return seen(picture, { units: orThrow(selectUnits(all, selectionOf(inquiry))) });
  },
};
