// flotilla state: everything of the cluster that a plan needs, for a file.
import { orThrow } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText } from "./print.ts";

export const state: Command = {
  name: "state",
  summary: "Print what plan --state needs of the cluster, as JSON",
  args: [],
  options: [],
  more: `Machines with their metadata and what they were told to run, units with what they ask of machines, holds. No texts of
units, nothing that opens anything: a build may have it where it may not have access to the cluster.`,
  examples: [["state >state.json", "For a build that plans pull requests: see plan"]],
  run: async (tools, { reach }) => {
    // The compiler of schemas is loaded for nobody else
    const [client, { checkExportedState }] = await Promise.all([
      tools.apiClient(reach),
      import("../text/exported-state.ts"),
    ]);
    const answer = await client.get("/v2/state", { signal: tools.signal });
    await tools.stdout.write(jsonText(orThrow(checkExportedState(answer, "the agent's answer"))));
    return exitCodes.ok;
  },
};
