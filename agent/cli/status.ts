// flotilla status [UNIT...]: the cluster as a whole, or all that is known of some units.
import { Problem } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { type TextOptions, answers, clusterText, unitText } from "../report/report.ts";
import { orThrow } from "./checked.ts";
import type { Command, Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { hasColour, jsonText, writeFailure } from "./print.ts";
import { jsonOption, show, watchOption } from "./show.ts";
import type { Tools } from "./tools.ts";
import { completeUnitName } from "./unit-names.ts";

export const status: Command = {
  name: "status",
  summary: "Show how the cluster is, or all that is known of units",
  args: [{ name: "UNIT", means: "Names of units; none: the cluster as a whole", takes: "any" }],
  options: [{ flags: "-l, --full", means: "Do not shorten ids and hashes" }, jsonOption, watchOption],
  more: `Without UNIT: who leads, the adopted commit, the refused one with every reason, counts, present troubles.
With UNIT: where it is, since when, how its last run ended, its last problem; for a unit that waits, what each machine
has against it. With --json several units are a list.

Exit code 0 says that the state could be told, not that it is a good one; 1 that there is no such unit.`,
  examples: [
    ["status", "Is all well?"],
    ["status web@1", "One unit"],
    ["status --watch", "The cluster, kept up to date"],
  ],
  run: async (tools, given) => {
    const names = given.args.map(completeUnitName);
    const missing: Problem[] = [];
    const code = await show(tools, given, async (client, signal) => {
      missing.length = 0;
      const text =
        names.length === 0
          ? cluster(tools, { client, given, signal })
          : units(tools, { client, given, signal, names, missing });
      return text;
    });
    if (missing.length === 0) return code;
    await writeFailure(tools, new AggregateError(missing));
    return exitCodes.failure;
  },
};

interface Asking {
  readonly client: ApiClient;
  readonly given: Given;
  readonly signal: AbortSignal;
}

async function cluster(tools: Tools, { client, given, signal }: Asking): Promise<string> {
  const answer = await client.get("/v2/status", { signal });
  const report = orThrow(answers.cluster(answer));
  return given.options["json"] === true ? documents([answer], given) : clusterText(report, textOptions(tools, given));
}

/** Units that there are, in the order asked for; those that there are not are put into `missing`. */
async function units(
  tools: Tools,
  asking: Asking & { readonly names: readonly string[]; readonly missing: Problem[] },
): Promise<string> {
  const { client, given, signal, names, missing } = asking;
  const found: { readonly answer: unknown; readonly text: string }[] = [];
  for (const name of names) {
    try {
      const answer = await client.get(`/v2/status/${encodeURIComponent(name)}`, { signal });
      found.push({ answer, text: unitText(orThrow(answers.unit(answer)), textOptions(tools, given)) });
    } catch (error) {
      if (!(error instanceof Problem && error.code === "unit-unknown")) throw error;
      missing.push(error);
    }
  }
  if (given.options["json"] !== true) return found.map(({ text }) => text).join("\n");
  return documents(names.length === 1 ? found.map(({ answer }) => answer) : [found.map(({ answer }) => answer)], given);
}

function documents(all: readonly unknown[], { options }: Given): string {
  return all.map((each) => jsonText(each, { oneLine: options["watch"] === true })).join("");
}

function textOptions(tools: Tools, { options }: Given): TextOptions {
  return { full: options["full"] === true, colour: hasColour(tools), nowMs: tools.clock.wallMs() };
}
