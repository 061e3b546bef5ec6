// flotilla agent: runs the agent itself. Every setting that may be shown on a command line has a flag.
import type { SettingFlag } from "../settings/settings.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";

/** Flag of the agent's socket and of every other command's: one for both. */
const socketFlag = "--socket";

/** `flags` is the table of settings: it is loaded only when this command is asked for. */
export function agentCommand(flags: readonly SettingFlag[]): Command {
  const own = flags.filter(({ flag }) => flag !== socketFlag);
  return {
    name: "agent",
    summary: "Run the agent: on every machine of the cluster, as a service",
    args: [],
    options: [
      { flags: "--config FILE", means: "Settings file (default: /etc/flotilla/flotilla.conf, if it is there)" },
      ...own.map(({ flag, value, description }) => ({ flags: `${flag} ${value}`, means: description })),
    ],
    more: `Settings come from the file, then from FLOTILLA_* in the environment, then from flags; the last one counts.
Secrets have no flag: name a file, or set them in the file or the environment.`,
    examples: [
      ["agent", "With the usual settings file, as the unit flotilla.service does"],
      ["agent --config ./flotilla.conf --log-level debug", "Another file, and more said"],
    ],
    run: async (tools, { options, socketFlag: socket }) => {
      const { config, ...others } = options;
      const given = Object.entries(others).flatMap(([name, value]) =>
        typeof value === "string" ? [[`--${name}`, value] as const] : [],
      );
      const flags = { ...Object.fromEntries(given), ...(socket === undefined ? {} : { [socketFlag]: socket }) };
      await tools.runAgent({ config: typeof config === "string" ? config : undefined, flags }, tools.signal);
      return exitCodes.ok;
    },
  };
}
