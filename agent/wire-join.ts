// Puts together what `flotilla discovery join` needs, and tells the agent what came of it; loaded for nobody else.
import { createEtcdData } from "./adapters/discovery/data.ts";
import { createNames } from "./adapters/discovery/names.ts";
import { createV2Store } from "./adapters/discovery/v2.ts";
import { createV3Store } from "./adapters/discovery/v3.ts";
import { createDisk } from "./adapters/disk.ts";
import { createHost } from "./adapters/host.ts";
import { createStderrLog } from "./adapters/log.ts";
import { createRunLock } from "./adapters/run-lock.ts";
import { parseKept } from "./adapters/registry/etcd-endpoints.ts";
import { createEtcdCluster } from "./adapters/registry/etcd-members.ts";
import { keptFile } from "./adapters/registry/etcd-membership.ts";
import { membersOverPeer } from "./adapters/registry/etcd-peers.ts";
import { joinEtcd } from "./bootstrap/join.ts";
import { JoinFiles, recordFile } from "./bootstrap/join-files.ts";
import type { JoinRequest } from "./cli/tools.ts";
import { isLoopbackUrl, shownToken, shownUrl } from "./discovery/discovery.ts";
import type { JoinRecord } from "./domain/discovery.ts";
import { Problem } from "./domain/problem.ts";
import type { EtcdDiscovery, Settings } from "./domain/settings.ts";
import type { Clock } from "./ports/clock.ts";
import type { DiscoveryStore, EtcdReach } from "./ports/discovery.ts";
import type { Host } from "./ports/host.ts";
import type { Log } from "./ports/log.ts";
import { readSettings } from "./wire.ts";

interface JoinParts {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

const lockWords = {
  code: "discovery-running",
  work: "flotilla discovery join",
  hint: "flotilla bootstrap status tells what it waits for; systemctl stop flotilla-discovery ends it",
};

/** Undefined: the settings have no [Etcd], and there is nothing to join. */
export async function joinByRequest(
  request: JoinRequest,
  { environment, clock }: JoinParts,
  signal: AbortSignal,
): Promise<JoinRecord | undefined> {
  const { settings, warnings } = await readSettings({ config: request.config, flags: {} }, environment);
  const log = createStderrLog(settings);
  // The agent warns of everything else
  for (const { message, hint } of warnings)
    if (message.includes("[Etcd]")) log.warn("settings.warning", { message, hint });
  const { etcd } = settings;
  if (etcd === undefined) return undefined;
  const host = createHost();
  const { hostname, publicIp } = await host.facts();
  const own = settings.machine.hostname ?? hostname;
  const machineId = await host.machineId();
  return joinEtcd(
    {
      machineId: machineId.ok ? machineId.value : undefined,
      settings: etcd,
      name: await memberName(own, host, settings),
      hostname: own,
      publicIp: settings.machine.publicIp === "" ? publicIp : settings.machine.publicIp,
      disk: createDisk(settings.stateDirectory),
      run: createDisk(settings.runDirectory),
      lock: createRunLock(`${settings.runDirectory}/discovery.lock`, { clock, words: lockWords }),
      data: createEtcdData(etcd.dataDirectory),
      store: storeOf(etcd.discovery),
      names: createNames(request.nameServer),
      reach: reachOf(settings, { clock, log }),
      clock,
      log,
      once: request.once,
    },
    signal,
  );
}

/** Many machines are called localhost before somebody names them: the machine id tells them apart. */
async function memberName(hostname: string, host: Host, { machine }: Settings): Promise<string> {
  if (hostname !== "" && !/^localhost(\.|$)/.test(hostname)) return hostname;
  const id = machine.id === undefined ? await host.machineId() : undefined;
  if (id?.ok === false) throw id.problems[0] ?? new Error("No machine id");
  return machine.id ?? id?.value ?? hostname;
}

function storeOf(discovery: EtcdDiscovery): DiscoveryStore | undefined {
  switch (discovery.kind) {
    case "v2":
      return createV2Store({
        discovery,
        shown: shownUrl(discovery.url),
        isLocal: isLoopbackUrl(discovery.url),
      });
    case "v3":
      return createV3Store({
        discovery,
        shown: `discovery etcd ${discovery.endpoints.join(", ")} (token ${shownToken(discovery.token.reveal())})`,
        isLocal: discovery.endpoints.every(isLoopbackUrl),
      });
    case "static":
    case "srv":
      return undefined;
  }
}

function reachOf(settings: Settings, { clock, log }: { readonly clock: Clock; readonly log: Log }): EtcdReach {
  return {
    askPeers: (peerUrls, options) => membersOverPeer(peerUrls, { ...options, tls: settings.etcd?.peerTls }),
    connect: (endpoints) => createEtcdCluster({ settings: { ...settings.registry, endpoints }, clock, log }),
  };
}

/**
 * The settings with the endpoints that were found, where none are set and there is an [Etcd]. Where the decision cannot be read
 * those that the agent has learned do. Rejects with Problem "discovery-pending" while nothing is decided, "join-record" when
 * nothing can be read.
 */
export async function withFoundEndpoints(settings: Settings): Promise<Settings> {
  if (settings.etcd === undefined || settings.registry.endpoints.length > 0) return settings;
  const disk = createDisk(settings.stateDirectory);
  const found = (endpoints: readonly string[]): Settings => ({
    ...settings,
    registry: { ...settings.registry, endpoints },
  });
  const record = await new JoinFiles(disk).record();
  if (!record.ok) {
    const learned = parseKept((await disk.read(keptFile)) ?? "");
    if (learned.ok && learned.value.endpoints.length > 0) return found(learned.value.endpoints);
    throw new Problem("join-record", "Cannot use the record of this machine's etcd", {
      hint: `Restore ${recordFile} in the agent's state directory; or remove it to join anew, see flotilla discovery join`,
      cause: record.problems[0],
    });
  }
  if (record.value === undefined)
    throw new Problem("discovery-pending", "Cannot reach etcd: it is not known yet who is in it", {
      hint: "flotilla discovery join finds out; see systemctl status flotilla-discovery",
    });
  return found(record.value.endpoints);
}
