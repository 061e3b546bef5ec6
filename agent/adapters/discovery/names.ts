// DNS for discovery: SRV records and addresses of hosts, by this machine's resolver or by a name server that is given.
import { Resolver, lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Problem } from "../../domain/problem.ts";
import type { Names } from "../../ports/discovery.ts";

/** One try at one name server; there are two for each. */
const tryMs = 2_000;
const tries = 2;
const maxRecords = 64;
/** Answers that say that there is nothing of that name, rather than that nobody knows. */
const nothing: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA", "EAI_NONAME", "EAI_NODATA"]);

/** `server` (ADDRESS:PORT) is asked in place of those of the machine, which also looks into /etc/hosts. */
export function createNames(server?: string): Names {
  return {
    srv: async (name, signal) => {
      const records = await ask(name, { server, signal }, (resolver) => resolver.resolveSrv(name));
      return [...(records ?? [])]
        .sort((a, b) => a.priority - b.priority || b.weight - a.weight || (a.name < b.name ? -1 : 1) || a.port - b.port)
        .slice(0, maxRecords)
        .map(({ name: host, port }) => ({ host: host.replace(/\.$/, ""), port }));
    },
    addresses: async (host, signal) => {
      if (isIP(host) !== 0) return [host];
      if (server === undefined) {
        const found = await ask(host, { server, signal }, () => lookup(host, { all: true }));
        return (found ?? []).map(({ address }) => address);
      }
      const four = await ask(host, { server, signal }, (resolver) => resolver.resolve4(host));
      const six = await ask(host, { server, signal }, (resolver) => resolver.resolve6(host));
      return [...(four ?? []), ...(six ?? [])];
    },
  };
}

/** Undefined: there is nothing of that name. */
async function ask<T>(
  name: string,
  { server, signal }: { readonly server: string | undefined; readonly signal: AbortSignal },
  question: (resolver: Resolver) => Promise<T>,
): Promise<T | undefined> {
  const resolver = new Resolver({ timeout: tryMs, tries });
  if (server !== undefined) resolver.setServers([server]);
  const stop = (): void => resolver.cancel();
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) throw new Error("given up");
    return await question(resolver);
  } catch (error) {
    if (signal.aborted) throw new Problem("aborted", `Cannot finish looking up ${name}: it was given up`);
    const { code } = error as { readonly code?: unknown };
    if (typeof code === "string" && nothing.has(code)) return undefined;
    throw new Problem("names-unreachable", `Cannot look up ${name}`, {
      hint: "Check the name servers of this machine; it is tried again",
      cause: error,
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
