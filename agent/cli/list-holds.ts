// flotilla list-holds: every hold, with who, why and until when.
import { holdListing } from "../report/hands.ts";
import type { Command } from "./command.ts";
import { fieldsHelp, listingOptions, runListing } from "./listing.ts";

export const listHolds: Command = {
  name: "list-holds",
  summary: "List the holds on units of the repository",
  args: [],
  options: listingOptions(holdListing),
  more: fieldsHelp(holdListing),
  examples: [
    ["list-holds", "What is held, by whom and why"],
    ["list-holds --no-legend --fields unit", "Names alone, for a script"],
  ],
  run: async (tools, given) => runListing(holdListing, { path: "/v2/holds", tools, given }),
};
