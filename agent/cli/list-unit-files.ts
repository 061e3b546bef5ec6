// flotilla list-unit-files: what the cluster is to run, from the adopted commit and by hand, and where each of it is meant
// to be.
import { targetStates } from "../domain/unit.ts";
import { listings } from "../report/report.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, runListing, unitFilters } from "./listing.ts";

export const unitFilesFilters = unitFilters("inactive, loaded or launched", { usual: targetStates });

export const listUnitFiles: Command = {
  name: "list-unit-files",
  summary: "List the units and templates of the adopted commit, and those submitted by hand",
  args: [],
  options: listingOptions(listings.unitFiles, unitFilesFilters),
  more: fieldsHelp(listings.unitFiles),
  examples: [
    ["list-unit-files", "Every unit, its desired and its current state"],
    ["list-unit-files --fields unit,source,file,desc", "Where each unit stands in the repository"],
    ["list-unit-files --unit 'web@*' --state inactive", "Instances that are nowhere"],
    ["list-unit-files --json", "All of it, for a program"],
  ],
  run: async (tools, given) =>
    runListing(listings.unitFiles, { path: "/v2/unit-files", filters: unitFilesFilters, tools, given }),
};
