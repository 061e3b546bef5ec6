// Builds every adapter and hands it to loops and commands: one of the two files that know them all (the other,
// wire-playground.ts, does it for several machines at once). Heavy parts are loaded when they are asked for.
import { createSettingsFiles } from "./adapters/settings-files.ts";
import type { AgentRequest } from "./cli/tools.ts";
import type { Machine } from "./domain/machine.ts";
import type { Problem } from "./domain/problem.ts";
import { type Checked } from "./domain/problem.ts";
import type { Settings } from "./domain/settings.ts";
import type { Clock } from "./ports/clock.ts";
import type { Host } from "./ports/host.ts";
import type { Log } from "./ports/log.ts";
import type { Registry } from "./ports/registry.ts";
import { completeSettings, draftSettings } from "./settings/settings.ts";

/** Reads all sources of settings; a file named by the user must be there. Rejects with every problem at once. */
export async function readSettings(
  request: AgentRequest,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly settings: Settings; readonly warnings: readonly Problem[] }> {
  const files = createSettingsFiles();
  const { conf, fleetConf } = orThrow(await files.find(request.config));
  const draft = draftSettings({ conf, fleetConf, environment, flags: request.flags });
  const { settings, warnings } = completeSettings(draft, await files.secrets(draft.secretFiles));
  const { checkSchedule } = await import("./adapters/cron.ts");
  const value = orThrow(settings);
  if (value.git !== undefined) orThrow(checkSchedule(value.git.schedule));
  return { settings: value, warnings };
}

export interface AgentOptions {
  readonly settings: Settings;
  readonly log: Log;
  readonly clock: Clock;
  readonly host: Host;
  readonly version: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Instead of the one that the settings name: several agents in one process share one. */
  readonly registry?: Registry;
  /** Instead of the host's boot id, for a machine that is not the host itself. */
  readonly bootId?: string;
}

/** A whole agent until `signal`; resolves when everything is closed. Rejects with a Problem when it cannot start. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { settings, log, clock } = options;
  const [
    { startAgent },
    { createApi },
    { serveApi },
    { createSystemd },
    { createGit },
    { createDisk },
    { createCron },
  ] = await Promise.all([
    import("./loops/agent.ts"),
    import("./api/api.ts"),
    import("./adapters/api-server.ts"),
    import("./adapters/systemd/systemd.ts"),
    import("./adapters/git/git.ts"),
    import("./adapters/disk.ts"),
    import("./adapters/cron.ts"),
  ]);
  const machine = await describeMachine(options);
  const disk = createDisk(settings.stateDirectory);
  const registry = options.registry ?? (await openRegistry(options));
  const systemd = createSystemd({ ...settings.systemd, runDirectory: settings.runDirectory, clock, log });
  const git =
    settings.git === undefined
      ? undefined
      : createGit({
          settings: settings.git,
          directory: settings.stateDirectory,
          clock,
          log,
          environment: options.environment,
        });
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    const agent = startAgent(
      {
        machine,
        registry,
        systemd,
        git:
          git === undefined || settings.git === undefined
            ? undefined
            : {
                port: git,
                schedule: settings.git.schedule,
                jitterMs: settings.git.jitterMs,
                branch: settings.git.branch,
              },
        cron: createCron(),
        disk,
        clock,
        log,
        machineLeaseMs: settings.machineLeaseMs,
        engineLeaseMs: settings.engineLeaseMs,
      },
      over.signal,
    );
    try {
      const api = createApi({ view: agent.view, clock, log, version: machine.version });
      const server = await serveApi(api, { socket: settings.apiSocket });
      log.info("agent.started", {
        machine: machine.id,
        version: machine.version,
        registry: settings.registry.endpoints.length === 0 ? "embedded" : settings.registry.endpoints.join(" "),
        socket: settings.apiSocket,
      });
      try {
        await agent.done;
      } finally {
        await server.close();
      }
    } finally {
      over.abort();
      await agent.done;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    await Promise.allSettled([
      systemd.close(),
      git?.close(),
      options.registry === undefined ? registry.close() : undefined,
    ]);
    log.info("agent.stopped", { machine: machine.id });
  }
}

async function describeMachine({ settings, host, version, bootId }: AgentOptions): Promise<Machine> {
  const { machine } = settings;
  const facts = await host.facts();
  return {
    id: machine.id ?? orThrow(await host.machineId()),
    nonce: bootId ?? facts.bootId,
    hostname: machine.hostname ?? facts.hostname,
    publicIp: machine.publicIp === "" ? facts.publicIp : machine.publicIp,
    metadata: machine.metadata,
    cpus: facts.cpus,
    memoryBytes: facts.memoryBytes,
    mayLead: machine.mayLead,
    version,
  };
}

/** etcd where endpoints are set; else this machine is alone, and its registry is a file of its own. */
async function openRegistry({ settings, clock, log }: AgentOptions): Promise<Registry> {
  if (settings.registry.endpoints.length > 0) {
    const { createEtcdRegistry } = await import("./adapters/registry/etcd.ts");
    return createEtcdRegistry({ settings: settings.registry, clock, log });
  }
  const [{ createEmbeddedRegistry }, { createDisk }] = await Promise.all([
    import("./adapters/registry/embedded.ts"),
    import("./adapters/disk.ts"),
  ]);
  const embedded = await createEmbeddedRegistry({ clock, disk: createDisk(settings.stateDirectory) });
  const connection = embedded.connect();
  return {
    read: (prefix, signal) => connection.read(prefix, signal),
    get: (key, signal) => connection.get(key, signal),
    write: (transaction, signal) => connection.write(transaction, signal),
    watch: (prefix, from, signal) => connection.watch(prefix, from, signal),
    grantLease: (ttlMs, signal) => connection.grantLease(ttlMs, signal),
    renewLease: (id, signal) => connection.renewLease(id, signal),
    revokeLease: (id, signal) => connection.revokeLease(id, signal),
    close: () => embedded.close(),
  };
}

function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  const [only] = checked.problems;
  if (only !== undefined && checked.problems.length === 1) throw only;
  throw new AggregateError(checked.problems, "Cannot use the settings");
}
