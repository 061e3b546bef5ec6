// flotilla list-units: units on machines, with systemd's own states.
import { listings } from "../report/report.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, runListing } from "./listing.ts";

export const listUnits: Command = {
  name: "list-units",
  summary: "List the units on the machines, with their state",
  args: [],
  options: listingOptions(listings.units),
  more: `${fieldsHelp(listings.units)}

A unit that waits for a machine is not on one: list-unit-files shows it, and status UNIT says why.`,
  examples: [
    ["list-units", "What runs where"],
    ["list-units --watch", "The same, kept up to date"],
    ["list-units --fields unit,machine,active,result,restarts", "How the last runs went"],
  ],
  run: async (tools, given) => runListing(listings.units, { path: "/v2/units", tools, given }),
};
