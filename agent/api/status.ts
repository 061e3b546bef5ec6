// GET /v2/status and /v2/status/NAME: the cluster as a whole, and all that is known of one unit.
import { parseUnitName } from "../domain/names.ts";
import { reportCluster, reportUnit } from "../report/report.ts";
import { orThrow } from "./problems.ts";
import { type Resource, found, pictureOf } from "./resource.ts";

export const clusterStatus: Resource = {
  method: "GET",
  path: "/status",
  gives: "leader, adopted and refused commit, counts, present troubles",
  answer: async (inquiry) =>
    found(reportCluster(await pictureOf(inquiry), { machine: inquiry.view.me, version: inquiry.view.version })),
};

export const unitStatus: Resource = {
  method: "GET",
  path: "/status/:name",
  gives: "all that is known of one unit",
  answer: async (inquiry) => {
    const name = orThrow(parseUnitName(inquiry.name));
    return found(orThrow(reportUnit(await pictureOf(inquiry), name)));
  },
};
