// What the three listings have in common: columns, legend, JSON, watching.
import { type Listing, checkFields, listingText } from "../report/report.ts";
import { orThrow } from "./checked.ts";
import type { Command, Given, Option } from "./command.ts";
import { hasColour, jsonText } from "./print.ts";
import { jsonOption, show, watchOption } from "./show.ts";
import type { Tools } from "./tools.ts";

export function listingOptions<Row>({ fields }: Listing<Row>): readonly Option[] {
  return [
    { flags: "--fields LIST", means: `Columns to print, separated by commas (default: ${fields.usual.join(",")})` },
    { flags: "-l, --full", means: "Do not shorten ids and hashes" },
    { flags: "--no-legend", means: "Do not print the line of column names" },
    jsonOption,
    watchOption,
  ];
}

/** The columns and what they mean, for the help. */
export function fieldsHelp<Row>({ fields }: Listing<Row>): string {
  const width = Math.max(...Object.keys(fields.all).map((name) => name.length));
  const lines = Object.entries(fields.all).map(([name, { means }]) => `  ${name.padEnd(width)}  ${means}`);
  return ["Fields:", ...lines].join("\n");
}

/** Asks `path` and prints the rows as a table or as JSON. */
export function runListing<Row>(
  listing: Listing<Row>,
  what: { readonly path: string; readonly tools: Tools; readonly given: Given },
): ReturnType<Command["run"]> {
  const { path, tools, given } = what;
  const { options } = given;
  const asked = options["fields"];
  // Before anybody is asked: a mistake in the fields does not need an agent to be found
  const names = typeof asked === "string" ? orThrow(checkFields(listing.fields, asked)) : listing.fields.usual;
  return show(tools, given, async (client, signal) => {
    const answer = await client.get(path, { signal });
    const rows = orThrow(listing.read(answer));
    if (options["json"] === true) return jsonText(answer, { oneLine: options["watch"] === true });
    return listingText(listing.fields, {
      names,
      rows,
      full: options["full"] === true,
      legend: options["no-legend"] !== true,
      colour: hasColour(tools),
      nowMs: tools.clock.wallMs(),
    });
  });
}
