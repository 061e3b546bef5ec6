// flotilla __complete KIND [PREFIX]: names from the live cluster, for the completions of shells (shells.ts). It is asked while
// somebody types: it has little time, and says nothing at all where nobody answers.
import { Problem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { listings, terminalText } from "../report/report.ts";
import { orThrow } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import type { LiveKind } from "./shape.ts";

/** A shell stands still until then. */
const completeWithinMs = 1_000;
/** More than anybody looks through; so many that a shell is still quick with them. */
const mostOffered = 1_000;
const idChars = 8;

/** A name and what is said beside it. */
type Offer = readonly [name: string, means: string];

type Ask = (path: string) => Promise<unknown>;

const offers: Readonly<Record<LiveKind, (ask: Ask, prefix: string) => Promise<readonly Offer[]>>> = {
  units: offerUnits,
  machines: offerMachines,
  targets: async (ask, prefix) => {
    const [machines, units] = await Promise.all([offerMachines(ask), offerUnits(ask, prefix)]);
    return [...units, ...machines];
  },
  metadata: async (ask) => {
    const machines = orThrow(listings.machines.read(await ask("/v2/machines")));
    const pairs = machines.flatMap(({ metadata }) => Object.entries(metadata).map(([key, value]) => `${key}=${value}`));
    return [...new Set(pairs)].sort().map((pair): Offer => [pair, "metadata"]);
  },
};

export const complete: Command = {
  name: "__complete",
  hidden: true,
  summary: "Print names that begin so, for the completions of shells",
  args: [
    { name: "KIND", means: "What to name", takes: "one", words: Object.keys(offers) },
    { name: "PREFIX", means: "How they begin", takes: "one-or-none" },
  ],
  options: [],
  examples: [["__complete units web@", "Each with a tab and what it is behind it"]],
  run: async (tools, given) => {
    const { signal } = tools;
    const [kind = "", prefix = ""] = given.args;
    const offer = Object.hasOwn(offers, kind) ? offers[kind as LiveKind] : undefined;
    if (offer === undefined) return exitCodes.ok; // the script of a later flotilla
    try {
      const { reach } = given;
      // Through ssh it would take longer than a shell waits, and might ask for a password
      if (reach.ssh.tunnel !== undefined) return exitCodes.ok;
      const client: ApiClient = await tools.apiClient(reach);
      const found = await offer((path) => client.get(path, { signal, timeoutMs: completeWithinMs }), prefix);
      const lines = found
        .filter(([name]) => name.startsWith(prefix) && name === oneLine(name))
        .slice(0, mostOffered)
        .map(([name, means]) => `${name}\t${oneLine(means)}\n`);
      await tools.stdout.write(lines.join(""));
    } catch (error) {
      // Whatever it is: a line on the terminal would stand in the middle of what is being typed
      if (!(error instanceof Problem || error instanceof AggregateError)) throw error;
    }
    return exitCodes.ok;
  },
};

/** Tabs and line feeds are between the offers. */
function oneLine(text: string): string {
  return terminalText(text).replaceAll(/[\n\t]/g, " ");
}

async function offerUnits(ask: Ask, prefix: string): Promise<readonly Offer[]> {
  // Only those that begin so are sent: there may be tens of thousands
  const pattern = `${prefix.replace(/[\\*?[\]]/g, "\\$&")}*`;
  const answer = await ask(`/v2/unit-files?unit=${encodeURIComponent(pattern)}`);
  const files = orThrow(listings.unitFiles.read(answer));
  return files.map(({ name, description, desired }): Offer => [name, description ?? desired]);
}

/** By the beginnings of their ids, as listings show them; by the whole where two begin alike. */
async function offerMachines(ask: Ask): Promise<readonly Offer[]> {
  const machines = orThrow(listings.machines.read(await ask("/v2/machines")));
  const short = machines.map(({ id }) => id.slice(0, idChars));
  return machines.map(({ id, hostname, ip }, at): Offer => {
    const [own = id] = short.slice(at, at + 1);
    const isAlone = short.indexOf(own) === at && short.lastIndexOf(own) === at;
    return [isAlone ? own : id, [hostname, ip].filter((text) => text !== "").join(", ")];
  });
}
