// flotilla discovery join: makes this machine a member of etcd, or a client of it. Run once at each boot, before etcd and
// the agent.
import type { JoinRecord } from "../domain/discovery.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText } from "./print.ts";

export const discoveryJoin: Command = {
  name: "discovery join",
  summary: "Find this machine's etcd, and become a member where there is room",
  args: [],
  options: [
    { flags: "--config FILE", means: "Settings file (default: /etc/flotilla/flotilla.conf, if it is there)" },
    { flags: "--once", means: "Look once, and do not wait for anybody" },
    { flags: "--name-server ADDRESS", means: "Ask this name server for DNS records (default: the machine's own)" },
    { flags: "--json", means: "Print JSON" },
  ],
  more: `It does what [Etcd] of the settings says: asks a discovery service, an etcd of version 3 or DNS, or takes the list that is
written there; registers this machine, and waits for the others. What it found is kept, so that at later boots nobody is
asked: etcd starts with the variables in etcd-initial.env, and the agent uses the endpoints of etcd-cluster.json, both in
the state directory. Machines beyond the size of the token become clients.`,
  examples: [
    ["discovery join", "As the unit flotilla-discovery.service does"],
    ["discovery join --once --json", "What is known now"],
  ],
  run: async (tools, { options }) => {
    const { config, "name-server": nameServer } = options;
    const request = {
      config: typeof config === "string" ? config : undefined,
      nameServer: typeof nameServer === "string" ? nameServer : undefined,
      once: options["once"] === true,
    };
    const record = await (await tools.discovery()).join(request, tools.signal);
    if (options["json"] === true) await tools.stdout.write(jsonText(document(record)));
    else if (record === undefined) await tools.stderr.write("There is no [Etcd] in the settings: nothing to join\n");
    else {
      // With it come schemas, for which no other command shall wait
      const { joinWords } = await import("../discovery/discovery.ts");
      await tools.stdout.write(`${joinWords(record)}\n`);
    }
    return exitCodes.ok;
  },
};

/** Without the token: whoever knows it can join. */
function document(record: JoinRecord | undefined): object {
  if (record === undefined) return { role: "none" };
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== "token"));
}
