// flotilla sync: has the leader fetch now, and says what came of it.
import { unreachable } from "../domain/problem.ts";
import { answers } from "../report/report.ts";
import { orThrow } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText, writeProblems } from "./print.ts";

/** The agent bounds the fetch itself; this is for an agent that is stuck. */
const syncTimeoutMs = 15 * 60_000;

export const sync: Command = {
  name: "sync",
  speaksOn: true,
  summary: "Have the leader fetch the repository now",
  args: [],
  options: [{ flags: "--json", means: "Print JSON" }],
  more: `Waits until the newest commit is adopted or refused. Units may take a while longer: list-units --watch.
Exit code 1 says that the commit was refused or could not be fetched.`,
  examples: [["sync", "After git push, instead of waiting for the next look"]],
  run: async (tools, { options, reach }) => {
    const client = await tools.apiClient(reach);
    const answer = await client.post("/v2/sync", { signal: tools.signal, timeoutMs: syncTimeoutMs });
    const { outcome, commit, problems } = orThrow(answers.sync(answer));
    const isGood = outcome === "adopted" || outcome === "unchanged";
    if (options["json"] === true) {
      await tools.stdout.write(jsonText(answer));
    } else {
      const line = `${words(outcome)}${commit === undefined ? "" : ` ${commit}`}\n`;
      await (isGood ? tools.stdout : tools.stderr).write(line);
      await writeProblems(tools, problems);
    }
    return isGood ? exitCodes.ok : exitCodes.failure;
  },
};

function words(outcome: "adopted" | "unchanged" | "refused" | "failed"): string {
  switch (outcome) {
    case "adopted":
      return "Adopted";
    case "unchanged":
      return "Unchanged";
    case "refused":
      return "Refused";
    case "failed":
      return "Could not fetch";
    default:
      return unreachable(outcome);
  }
}
