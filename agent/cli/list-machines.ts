// flotilla list-machines: the living machines.
import { listings } from "../report/report.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, metadataFilter, runListing } from "./listing.ts";

export const machinesFilters = [metadataFilter];

export const listMachines: Command = {
  name: "list-machines",
  summary: "List the machines that are alive",
  args: [],
  options: listingOptions(listings.machines, machinesFilters),
  more: fieldsHelp(listings.machines),
  examples: [
    ["list-machines", "Who is there"],
    ["list-machines --fields machine,hostname,units,state", "Which are cordoned, and how far drains have come"],
    ["list-machines --metadata role=web,region=eu", "Where a unit that asks for this may run"],
    ["list-machines --fields machine,hostname,leader,units --sort -units", "Who leads, and who carries how much"],
    ["list-machines --full --no-legend --fields machine", "Whole ids alone, for a script"],
  ],
  run: async (tools, given) =>
    runListing(listings.machines, { path: "/v2/machines", filters: machinesFilters, tools, given }),
};
