// flotilla discovery serve: a service where the machines of a new etcd find one another. One is enough for many clusters,
// and it is not needed once they have formed.
import { withoutLogin } from "../domain/shown-url.ts";
import { usageProblem } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import type { ServeRequest } from "./tools.ts";

const usualPort = 8087;
const usualDirectory = "/var/lib/flotilla-discovery";
const usualKeepHours = 24;
const hourMs = 3_600_000;

export const discoveryServe: Command = {
  name: "discovery serve",
  summary: "Serve the tokens by which machines form an etcd",
  args: [],
  options: [
    { flags: "--listen ADDRESS", means: `Address and port (default: all addresses, port ${usualPort})` },
    { flags: "--directory DIRECTORY", means: `Where tokens are kept (default: ${usualDirectory})` },
    { flags: "--url URL", means: "How machines reach this service (default: as the asker of a token did)" },
    { flags: "--cert-file FILE", means: "Certificate (PEM), to serve over https" },
    { flags: "--key-file FILE", means: "Its key (PEM)" },
    {
      flags: "--keep HOURS",
      means: `How long a token is kept once its cluster has formed (default: ${usualKeepHours})`,
    },
  ],
  more: `Tokens outlive a restart. etcd's own --discovery can use the service as well, up to etcd 3.6. Whoever reaches it can make
tokens, and whoever has a token can join its cluster: let only your machines reach it.`,
  examples: [
    ["discovery serve", "On every address of this machine"],
    [
      "discovery serve --listen 10.0.0.2:8087 --url http://10.0.0.2:8087",
      "On one of them, with its URL in every token",
    ],
  ],
  run: async (tools, { options }) => {
    const request = requestOf(options);
    const scheme = request.certFile === undefined ? "http" : "https";
    const discovery = await tools.discovery();
    const listening = async (port: number): Promise<void> => {
      const host = request.host.includes(":") ? `[${request.host}]` : request.host;
      const url = request.publicUrl ?? `${scheme}://${host}:${port}`;
      await tools.stderr.write(`Serving discovery on ${url}; flotilla discovery new --size 3 --at URL makes a token\n`);
    };
    await discovery.serve(request, listening, tools.signal);
    return exitCodes.ok;
  },
};

function requestOf(options: Readonly<Record<string, string | true | undefined>>): ServeRequest {
  const text = (name: string): string | undefined => {
    const value = options[name];
    return typeof value === "string" ? value : undefined;
  };
  const [certFile, keyFile] = [text("cert-file"), text("key-file")];
  if ((certFile === undefined) !== (keyFile === undefined))
    throw usageProblem("Cannot serve over https with a certificate or a key alone", "Give --cert-file and --key-file");
  const keep = text("keep") ?? String(usualKeepHours);
  if (!/^\d{1,5}$/.test(keep)) throw usageProblem(`Cannot read --keep ${keep}`, "It is a whole number of hours");
  const directory = text("directory") ?? usualDirectory;
  if (!directory.startsWith("/")) throw usageProblem(`Cannot use --directory ${directory}`, "It is an absolute path");
  return {
    ...addressOf(text("listen") ?? `[::]:${usualPort}`),
    directory,
    publicUrl: publicUrlOf(text("url")),
    certFile,
    keyFile,
    keepFormedMs: Number(keep) * hourMs,
  };
}

/** `10.0.0.2:8087`, `[::]:8087`, `:8087` or `10.0.0.2`. */
function addressOf(text: string): { readonly host: string; readonly port: number } {
  const [, six, four, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const number = Number(port ?? usualPort);
  if ((six === undefined && four === undefined) || number > 65_535)
    throw usageProblem(`Cannot listen on ${text}`, "It is an address and a port: 10.0.0.2:8087 or [::]:8087");
  return { host: six ?? (four === "" || four === undefined ? "::" : four), port: number };
}

function publicUrlOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search !== "")
    throw usageProblem(`Cannot use --url ${withoutLogin(text)}`, "It is a URL without a path: http://10.0.0.2:8087");
  return url.origin;
}
