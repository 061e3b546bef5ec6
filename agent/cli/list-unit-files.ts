// flotilla list-unit-files: what the adopted commit holds, and where each of it is meant to be.
import { listings } from "../report/report.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, runListing } from "./listing.ts";

export const listUnitFiles: Command = {
  name: "list-unit-files",
  summary: "List the units and templates of the adopted commit",
  args: [],
  options: listingOptions(listings.unitFiles),
  more: fieldsHelp(listings.unitFiles),
  examples: [
    ["list-unit-files", "Every unit, its desired and its current state"],
    ["list-unit-files --fields unit,file,desc", "Where each unit stands in the repository"],
    ["list-unit-files --json", "All of it, for a program"],
  ],
  run: async (tools, given) => runListing(listings.unitFiles, { path: "/v2/unit-files", tools, given }),
};
