// flotilla fd-forward SOCKET: the far end of a tunnel. Called over ssh by a command with --tunnel; fleet's name for it.
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { usualSocket } from "./reach.ts";

export const fdForward: Command = {
  name: "fd-forward",
  hidden: true,
  summary: "Join standard input and output to a unix socket",
  args: [{ name: "SOCKET", means: "Path of the socket", takes: "one" }],
  options: [],
  more: "Commands with --tunnel call it on the other machine.",
  examples: [["fd-forward /run/flotilla/flotilla.sock", "As a tunnel does it"]],
  run: async (tools, { args }) => {
    const asked = args[0] ?? "";
    // fleet's own client, far away, knows no other path than fleet's
    const isFleets = /^\/(var\/)?run\/fleet\.sock$/.test(asked) && !(await tools.hasSocket(asked));
    await tools.forward(isFleets ? usualSocket : asked, tools.signal);
    return exitCodes.ok;
  },
};
