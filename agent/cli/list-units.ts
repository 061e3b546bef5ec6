// flotilla list-units: units on machines, with systemd's own states.
import { listings } from "../report/report.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, runListing, unitFilters } from "./listing.ts";

const states = ["active", "failed", "activating", "deactivating", "inactive", "running", "exited", "pending", "lost"];
export const unitsFilters = unitFilters("systemd's active, sub or load state; pending, lost", states);

export const listUnits: Command = {
  name: "list-units",
  summary: "List the units on the machines, with their state",
  args: [],
  options: listingOptions(listings.units, unitsFilters),
  more: `${fieldsHelp(listings.units)}

A unit that waits for a machine is not on one: list-unit-files shows it, and explain UNIT says why.`,
  examples: [
    ["list-units", "What runs where"],
    ["list-units --watch", "The same, kept up to date"],
    ["list-units --state failed,lost", "What needs somebody"],
    ["list-units --unit 'web@*' --machine 59f61aeb", "Some units on one machine"],
    ["list-units --fields unit,machine,active,result,restarts --sort -restarts", "How the last runs went"],
  ],
  run: async (tools, given) => runListing(listings.units, { path: "/v2/units", filters: unitsFilters, tools, given }),
};
