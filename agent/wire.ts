// Builds every adapter and hands it to loops and commands: one of the two files that know them all (the other,
// wire-playground.ts, does it for several machines at once). Heavy parts are loaded when they are asked for.
import type { InheritedSocket } from "./adapters/inherited-sockets.ts";
import { createSettingsFiles } from "./adapters/settings-files.ts";
import type { AgentRequest } from "./cli/tools.ts";
import type { Machine } from "./domain/machine.ts";
import type { Problem } from "./domain/problem.ts";
import { type Checked } from "./domain/problem.ts";
import type { MachineSettings, Secret, Settings } from "./domain/settings.ts";
import type { Facts } from "./loops/beat.ts";
import type { ApiHandler } from "./ports/api-server.ts";
import type { Clock } from "./ports/clock.ts";
import type { Host, HostFacts } from "./ports/host.ts";
import type { Log } from "./ports/log.ts";
import type { Registry } from "./ports/registry.ts";
import { completeSettings, draftSettings } from "./settings/settings.ts";

export interface SettingsRead {
  readonly settings: Settings;
  readonly warnings: readonly Problem[];
  /** Reads the files of those secrets again that are missing. Rejects with a Problem while one cannot be used. */
  readonly fetchSecrets: () => Promise<void>;
}

/**
 * Reads all sources of settings; a file named by the user must be there. Rejects with every problem at once. With
 * `secretsMayCome` a secret whose file cannot be used is missing instead.
 */
export async function readSettings(
  request: AgentRequest,
  environment: Readonly<Record<string, string | undefined>>,
  more: { readonly secretsMayCome?: true } = {},
): Promise<SettingsRead> {
  const files = createSettingsFiles();
  const { conf, fleetConf } = orThrow(await files.find(request.config));
  const draft = draftSettings({ conf, fleetConf, environment, flags: request.flags });
  const { checkSchedule } = await import("./adapters/cron.ts");
  const read = async () => completeSettings(draft, await files.secrets(draft.secretFiles), { checkSchedule, ...more });
  const { settings: checked, warnings } = await read();
  const settings = orThrow(checked);
  const fetchSecrets = async (): Promise<void> => {
    if (secretsOf(settings).every((secret) => secret?.missing === undefined)) return;
    const found = secretsOf(orThrow((await read()).settings));
    for (const [index, secret] of secretsOf(settings).entries())
      if (secret?.missing !== undefined && found[index]?.missing === undefined)
        secret.arrive(found[index]?.reveal() ?? "");
    for (const secret of secretsOf(settings)) if (secret?.missing !== undefined) throw secret.missing;
  };
  return { settings, warnings, fetchSecrets };
}

/** Those that the agent uses, each at its place. */
function secretsOf({ git, registry, api }: Settings): readonly (Secret | undefined)[] {
  return [git?.token, git?.password, registry.password, api.token];
}

export interface AgentOptions {
  readonly settings: Settings;
  readonly log: Log;
  readonly clock: Clock;
  readonly host: Host;
  readonly version: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Reads secrets of the settings that are missing, as `readSettings` gives it. */
  readonly fetchSecrets?: () => Promise<void>;
  /** Instead of the one that the settings name: several agents in one process share one. */
  readonly registry?: Registry;
  /** What systemd has made for this process; none unless said. */
  readonly inherited?: readonly InheritedSocket[];
  /** Instead of the host's boot id, for a machine that is not the host itself. */
  readonly bootId?: string;
}

/** A whole agent until `signal`; resolves when everything is closed. Rejects with a Problem when it cannot start. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { settings, log, clock } = options;
  const [
    { startAgent },
    { createApi },
    { openDoors },
    { createSystemd },
    { createGit },
    { createDisk },
    { createCron },
    { Troubles },
    { Waker, tick },
  ] = await Promise.all([
    import("./loops/agent.ts"),
    import("./api/api.ts"),
    import("./adapters/api-doors.ts"),
    import("./adapters/systemd/systemd.ts"),
    import("./adapters/git/git.ts"),
    import("./adapters/disk.ts"),
    import("./adapters/cron.ts"),
    import("./loops/troubles.ts"),
    import("./loops/ticker.ts"),
  ]);
  const machine = await describeMachine(options);
  // The socket first: of two agents on one machine the second must find out before it touches anything of the first's.
  const door = new Door();
  const server = await openDoors(door, {
    socket: settings.apiSocket,
    api: settings.api,
    scope: settings.systemd.scope,
    inherited: options.inherited ?? [],
    log,
  });
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const troubles = new Troubles();
  const sides: Promise<void>[] = [];
  /** What the agent does not need for its units: tried until it is done, and a trouble until then. */
  const tryUntilDone = (name: string, work: () => Promise<void>): void => {
    const pass = async () => work().then(() => undefined);
    sides.push(tick({ name, waker: new Waker(), clock, log, troubles, pass }, over.signal));
  };
  const closers: (() => Promise<void>)[] = [];
  try {
    const registry = options.registry ?? (await openRegistry(options));
    if (options.registry === undefined) closers.push(() => registry.close());
    const systemd = createSystemd({ ...settings.systemd, runDirectory: settings.runDirectory, clock, log });
    closers.push(() => systemd.close());
    const git =
      settings.git === undefined
        ? undefined
        : {
            port: createGit({
              settings: settings.git,
              directory: settings.stateDirectory,
              clock,
              log,
              environment: options.environment,
            }),
            schedule: settings.git.schedule,
            jitterMs: settings.git.jitterMs,
            branch: settings.git.branch,
          };
    if (git !== undefined) closers.push(() => git.port.close());
    const agent = startAgent(
      {
        machine,
        facts: factsOf(options),
        registry,
        systemd,
        git,
        cron: createCron(),
        disk: createDisk(settings.stateDirectory),
        clock,
        log,
        allowSubmit: settings.allowSubmit,
        rebalancePerMinute: settings.rebalancePerMinute,
        lossBrakePercent: settings.lossBrakePercent,
        machineLeaseMs: settings.machineLeaseMs,
        engineLeaseMs: settings.engineLeaseMs,
        troubles,
      },
      over.signal,
    );
    if (options.fetchSecrets !== undefined) tryUntilDone("secrets", options.fetchSecrets);
    for (const side of server.sides) tryUntilDone(`api ${side.name}`, () => side.open());
    try {
      door.open(createApi({ view: agent.view, hands: agent.hands, clock, log, version: machine.version }));
      log.info("agent.started", {
        machine: machine.id,
        version: machine.version,
        registry: usesEtcd(settings) ? settings.registry.endpoints.join(" ") || "as discovered" : "embedded",
        socket: settings.apiSocket,
      });
      await agent.done;
    } finally {
      over.abort();
      await Promise.all([agent.done, ...sides]);
    }
    log.info("agent.stopped", { machine: machine.id });
  } finally {
    signal.removeEventListener("abort", stop);
    door.open(nobody);
    await server.close();
    await Promise.allSettled(closers.map((close) => close()));
  }
}

/** Where the API will be: requests wait until the agent stands, which takes milliseconds. */
class Door implements ApiHandler {
  readonly #behind: Promise<ApiHandler>;
  #handler: ApiHandler | undefined;
  open: (handler: ApiHandler) => void = () => undefined;

  constructor() {
    this.#behind = new Promise((resolve) => {
      this.open = (handler) => {
        this.#handler ??= handler;
        resolve(handler);
      };
    });
  }

  async handle(request: Request): Promise<Response> {
    return (await this.#behind).handle(request);
  }

  endStreams(): void {
    this.#handler?.endStreams();
  }
}

/** Stands behind the door of an agent that did not come up. */
const nobody: ApiHandler = {
  handle: async () => Promise.resolve(new Response(null, { status: 503 })),
  endStreams: () => undefined,
};

async function describeMachine({ settings, host, version, bootId }: AgentOptions): Promise<Machine> {
  const { machine } = settings;
  const facts = await host.facts();
  return {
    id: machine.id ?? orThrow(await host.machineId()),
    nonce: bootId ?? facts.bootId,
    ...namesOf(machine, facts),
    metadata: machine.metadata,
    cpus: facts.cpus,
    memoryBytes: facts.memoryBytes,
    mayLead: machine.mayLead,
    version,
  };
}

/** What the settings say stays; the rest is what the host is called now, and where it is reached. */
function namesOf(set: MachineSettings, { hostname, publicIp }: HostFacts): Facts {
  return { hostname: set.hostname ?? hostname, publicIp: set.publicIp === "" ? publicIp : set.publicIp };
}

function factsOf({ settings: { machine }, host }: AgentOptions): (() => Promise<Facts>) | undefined {
  if (machine.hostname !== undefined && machine.publicIp !== "") return undefined;
  return async () => namesOf(machine, await host.facts());
}

/** etcd where endpoints are set or found; else this machine is alone, and its registry is a file of its own. */
async function openRegistry({ settings, clock, log }: AgentOptions): Promise<Registry> {
  const [{ createDisk }, { openOrStandIn }] = await Promise.all([
    import("./adapters/disk.ts"),
    import("./adapters/registry/stand-in.ts"),
  ]);
  const disk = createDisk(settings.stateDirectory);
  if (!usesEtcd(settings)) {
    const { createEmbeddedRegistry } = await import("./adapters/registry/embedded.ts");
    const open = async () => (await createEmbeddedRegistry({ clock, disk })).connect({ closesStore: true });
    return openOrStandIn({ open, message: "Cannot use the embedded registry", log });
  }
  const { createEtcdRegistry } = await import("./adapters/registry/etcd.ts");
  const keeping = { disk, directory: settings.stateDirectory };
  const open = async () => {
    settings.registry.password?.reveal(); // throws while it is missing
    const isSet = settings.registry.endpoints.length > 0;
    const { registry } = isSet ? settings : await (await import("./wire-join.ts")).withFoundEndpoints(settings);
    return createEtcdRegistry({ settings: registry, clock, log, keeping });
  };
  return openOrStandIn({ open, message: "Cannot use the registry yet", log });
}

function usesEtcd({ registry, etcd }: Settings): boolean {
  return registry.endpoints.length > 0 || etcd !== undefined;
}

function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  const [only] = checked.problems;
  if (only !== undefined && checked.problems.length === 1) throw only;
  throw new AggregateError(checked.problems, "Cannot use the settings");
}
