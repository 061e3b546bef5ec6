// GET /v2/state: everything of the cluster that a plan needs, without texts of units.
import { reportState } from "../report/state.ts";
import { orThrow } from "./problems.ts";
import { type Resource, found, pictureOf } from "./resource.ts";

export const exportedState: Resource = {
  method: "GET",
  path: "/state",
  gives: "what flotilla plan --state takes: machines, placements, units without their texts, holds",
  answer: async (inquiry) => found(orThrow(reportState(await pictureOf(inquiry), inquiry.clock.wallMs()))),
};
