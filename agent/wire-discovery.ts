// Puts together what `flotilla discovery` needs; loaded for nobody else.
import { serveTcp } from "./adapters/api-server.ts";
import { createDisk } from "./adapters/disk.ts";
import { askForToken, randomToken } from "./adapters/discovery-token.ts";
import { createStderrLog } from "./adapters/log.ts";
import { createSettingsFiles } from "./adapters/settings-files.ts";
import { createDiscoveryService } from "./api/discovery-service.ts";
import type { DiscoveryTools, Tools } from "./cli/tools.ts";
import type { Clock } from "./ports/clock.ts";

/** A token that nobody completes is of no use after a month. */
const openTokenMs = 30 * 86_400_000;

export function createDiscoveryTools({ clock, env }: Pick<Tools, "clock" | "env">): DiscoveryTools {
  return {
    join: async (request, signal) =>
      (await import("./wire-join.ts")).joinByRequest(request, { environment: env, clock }, signal),
    serve: (request, listening, signal) => serve({ request, listening, clock }, signal),
    newToken: async ({ url, size, caFile }, signal) =>
      askForToken({ url, size, ca: await optionalText(caFile) }, signal),
  };
}

interface Serving {
  readonly request: Parameters<DiscoveryTools["serve"]>[0];
  readonly listening: Parameters<DiscoveryTools["serve"]>[1];
  readonly clock: Clock;
}

async function serve({ request, listening, clock }: Serving, signal: AbortSignal): Promise<void> {
  const { host, port, directory, publicUrl, certFile, keyFile, keepFormedMs } = request;
  const [cert, key] = await Promise.all([optionalText(certFile), optionalText(keyFile)]);
  const handler = await createDiscoveryService({
    disk: createDisk(directory),
    clock,
    log: createStderrLog({ logLevel: "info", logFormat: "text" }),
    newToken: randomToken,
    publicUrl,
    lifetimes: { formedMs: keepFormedMs, openMs: openTokenMs },
  });
  const tls = cert === undefined || key === undefined ? undefined : { cert, key };
  const server = await serveTcp(handler, { host, port, tls });
  try {
    await listening(server.port);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  } finally {
    await server.close();
  }
}

/** Of a file that the user named: it must be there. */
async function optionalText(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const found = (await createSettingsFiles().secrets([path])).get(path);
  if (found?.ok === true) return found.value.text;
  throw new AggregateError(found?.problems ?? []);
}
