// flotilla version: which flotilla this is.
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";

export const version: Command = {
  name: "version",
  summary: "Print the version",
  args: [],
  options: [],
  examples: [["version", "This command's; list-machines --fields machine,version shows the agents'"]],
  run: async (tools) => {
    await tools.stdout.write(`flotilla version ${tools.version}\n`);
    return exitCodes.ok;
  },
};
