// flotilla discovery new: a token for one new cluster, as the URL that goes into user-data.
import { withoutLogin } from "../domain/shown-url.ts";
import { usageProblem } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText } from "./print.ts";

const usualService = "http://127.0.0.1:8087";

export const discoveryNew: Command = {
  name: "discovery new",
  summary: "Make a token by which machines form one new etcd",
  args: [],
  options: [
    {
      flags: "--size N",
      means: "How many of the machines run etcd: 1 to 9 (default: 3); further ones are its clients",
    },
    { flags: "--at URL", means: `The discovery service (default: ${usualService})` },
    { flags: "--ca-file FILE", means: "Certificates (PEM) that an https service is checked against" },
    { flags: "--json", means: "Print JSON" },
  ],
  more: `The URL is for the user-data of all machines of the cluster, as coreos.etcd2.discovery. It is good for one cluster: make
another one for the next, and for the same machines once they have formed a cluster that is gone.`,
  examples: [
    ["discovery new --size 3 --at http://10.0.0.2:8087", "For a cluster of three"],
    ["discovery new --size 1 --json", "For one machine, with the service on this computer"],
  ],
  run: async (tools, { options }) => {
    const { size: asked = "3", at = usualService, "ca-file": caFile } = options;
    const size = Number(asked);
    if (!/^[1-9]$/.test(String(asked))) throw usageProblem(`Cannot make a cluster of ${String(asked)}`, "It is 1 to 9");
    const service = serviceOf(String(at));
    const discovery = await tools.discovery();
    const from = { url: service, size, caFile: typeof caFile === "string" ? caFile : undefined };
    const url = await discovery.newToken(from, tools.signal);
    await tools.stdout.write(options["json"] === true ? jsonText({ url, size }) : `${url}\n`);
    if (size % 2 === 0)
      await tools.stderr.write(
        `An etcd of ${size} stands no more losses than one of ${size - 1}: an odd size is better\n`,
      );
    if (/^https?:\/\/(127\.|localhost[:/]|\[::1\])/.test(url))
      await tools.stderr.write(
        "Other machines cannot reach this URL: ask by the service's own address, or serve with --url\n",
      );
    return exitCodes.ok;
  },
};

function serviceOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === "/" && url.search === "")
    return url.origin;
  throw usageProblem(
    `Cannot ask ${withoutLogin(text)} for a token`,
    "It is the URL of a discovery service: http://10.0.0.2:8087",
  );
}
