// GET /v2/unit-files and /v2/unit-files/NAME: what the adopted commit holds; of one, its text too.
import { parseUnitName } from "../domain/names.ts";
import { reportUnitFile, reportUnitFiles } from "../report/report.ts";
import { orThrow } from "./problems.ts";
import { type Resource, pictureOf } from "./resource.ts";

export const unitFiles: Resource = {
  method: "GET",
  path: "/unit-files",
  gives: "units and templates of the adopted commit",
  answer: async (inquiry) => ({ unitFiles: orThrow(reportUnitFiles(await pictureOf(inquiry))) }),
};

export const unitFile: Resource = {
  method: "GET",
  path: "/unit-files/:name",
  gives: "one unit or template with its text and drop-ins",
  answer: async (inquiry) => {
    const name = orThrow(parseUnitName(inquiry.name));
    return orThrow(reportUnitFile(await pictureOf(inquiry), name));
  },
};
