// What the three listings have in common: columns, order, legend, JSON, watching, and what narrows them.
import { type Listing, checkListing, isStale, listingText, registryAway, sortedRows } from "../report/report.ts";
import { suggest } from "../text/suggest.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Given, Option } from "./command.ts";
import { hasColour, jsonText } from "./print.ts";
import { type Drawn, jsonOption, show, watchOption } from "./show.ts";
import type { Tools } from "./tools.ts";
import { completePattern } from "./unit-arguments.ts";

/** What narrows a listing: a key of the API's query each, and how a typed word is meant. */
export interface Filter {
  readonly option: Option;
  readonly key: string;
  readonly meant: (word: string) => string;
  /** All words that there are; any other is a mistake. */
  readonly words?: readonly string[];
  /** `words` may lack some of a newer systemd: one that is there counts. */
  readonly orSeen?: true;
}

const unitFilter: Filter = {
  option: { flags: "--unit GLOB", means: "Only units of such names, with commas between several", many: true },
  key: "unit",
  meant: completePattern,
};

const machineFilter: Filter = {
  option: {
    flags: "--machine MACHINE",
    means: "Only on these machines: the beginning of an id, a hostname or an address",
    many: true,
  },
  key: "machine",
  meant: machineWord,
};

/** Those of list-units and list-unit-files. `usual`: states that are often asked for; `all`: where there are others. */
export function unitFilters(
  states: string,
  { usual, all }: { readonly usual: readonly string[]; readonly all?: readonly string[] },
): readonly Filter[] {
  const option: Option = { flags: "--state STATE", means: `Only in these states: ${states}`, many: true, words: usual };
  const state: Filter = { option, key: "state", meant: (word) => word, words: [...usual, ...(all ?? [])] };
  return [unitFilter, machineFilter, all === undefined ? state : { ...state, orSeen: true }];
}

export const metadataFilter: Filter = {
  option: { flags: "--metadata KEY=VALUE", means: "Only machines that have all of this metadata", many: true },
  key: "metadata",
  meant: (word) => {
    if (/^[^=]+=/.test(word)) return word;
    throw usageProblem(`Cannot take "${word.slice(0, 64)}" as --metadata`, "It is KEY=VALUE, such as role=web");
  },
};

export function listingOptions<Row>({ fields }: Listing<Row>, filters: readonly Filter[] = []): readonly Option[] {
  const words = Object.keys(fields.all);
  return [
    ...filters.map(({ option }) => option),
    {
      flags: "--fields LIST",
      means: `Columns to print, with commas between (default: ${fields.usual.join(",")})`,
      words,
    },
    { flags: "--sort LIST", means: 'Columns to sort by; "-" before one turns the order around', words },
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
export async function runListing<Row>(
  listing: Listing<Row>,
  what: {
    readonly path: string;
    readonly filters?: readonly Filter[];
    readonly tools: Tools;
    readonly given: Given;
  },
): Promise<number> {
  const { tools, given } = what;
  const { options } = given;
  // Before anybody is asked: a mistake in the fields does not need an agent to be found
  const shape = orThrow(checkListing(listing.fields, { fields: textOf(given, "fields"), sort: textOf(given, "sort") }));
  const path = what.path + queryOf(what.filters ?? [], given);
  await mustBeKnown(listing, what);
  return show(tools, given, async (client, signal) => {
    const answer = await client.get(path, { signal });
    const nowMs = tools.clock.wallMs();
    const rows = sortedRows(listing.fields, { rows: orThrow(listing.read(answer)), shape, nowMs });
    return marked(answer, text());

    function text(): string {
      if (options["json"] === true) {
        const document = { ...(answer as object), [listing.key]: rows };
        return jsonText(document, { oneLine: options["watch"] === true });
      }
      return listingText(listing.fields, {
        shape,
        rows,
        full: options["full"] === true,
        legend: options["no-legend"] !== true,
        colour: hasColour(tools),
        nowMs,
      });
    }
  });
}

/** What one machine knows is shown, and not as if it were the cluster. */
function marked(answer: unknown, text: string): Drawn {
  return isStale(answer) ? { text, amiss: registryAway("more than this machine knows") } : text;
}

/** `?unit=web%40*&machine=59f61aeb`, or "". Several values of one kind stand behind one another, each with its key. */
function queryOf(filters: readonly Filter[], given: Given): string {
  const query = new URLSearchParams();
  for (const { option, key, meant } of filters) {
    const long = longOf(option);
    const words = wordsOf(option, given);
    if (words === undefined) continue;
    if (words.length === 0) throw usageProblem(`Cannot look for nothing with --${long}`, "Name what is to be listed");
    for (const word of words) query.append(key, meant(word));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

/** What cannot be there is a mistake; to show nothing of it would be to say that all is well. */
async function mustBeKnown<Row>(
  { read }: Listing<Row>,
  what: {
    readonly path: string;
    readonly filters?: readonly Filter[];
    readonly tools: Tools;
    readonly given: Given;
  },
): Promise<void> {
  const { path, filters = [], tools, given } = what;
  const { signal } = tools;
  for (const { option, key, meant, words: known, orSeen } of filters) {
    const words = (wordsOf(option, given) ?? []).map(meant);
    if (key === "machine" && words.length > 0) {
      // Its readers are loaded for nobody else
      const [{ mustBeMachines }, client] = await Promise.all([
        import("./machine-arguments.ts"),
        tools.apiClient(given.reach),
      ]);
      await mustBeMachines(client, words, signal);
    }
    for (const word of words) {
      if (known === undefined || known.includes(word)) continue;
      if (orSeen === true) {
        const client = await tools.apiClient(given.reach);
        const answer = await client.get(`${path}?${key}=${encodeURIComponent(word)}`, { signal });
        if (orThrow(read(answer)).length > 0) continue;
      }
      const near = suggest(word, known);
      const among = (option.words ?? known).join(", ");
      throw usageProblem(
        `Cannot take "${word.slice(0, 64)}" as --${longOf(option)}`,
        near === undefined
          ? `It is one of ${among}${orSeen === true ? ", or another of systemd's" : ""}`
          : `Did you mean ${near}?`,
      );
    }
  }
}

function longOf({ flags }: Option): string {
  return /--([\w-]+)/.exec(flags)?.[1] ?? "";
}

/** Undefined: the option was not given. */
function wordsOf(option: Option, given: Given): readonly string[] | undefined {
  const text = textOf(given, longOf(option));
  return text === undefined ? undefined : splitList(text);
}

/** Between brackets a comma is one of the characters that fit. */
function splitList(text: string): readonly string[] {
  return (text.match(/(?:\[[^\]]*\]|[^,])+/g) ?? []).map((word) => word.trim()).filter((word) => word !== "");
}

/** Also as a listing shows it: `59f61aeb.../10.79.0.13`. */
function machineWord(word: string): string {
  return word.replace(/\.\.\.(\/.*)?$/, "").replace(/^([0-9a-f]{32})\/.*$/, "$1");
}

function textOf({ options }: Given, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}
