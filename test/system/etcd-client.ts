// The etcd adapters as tests use them: settings for a test server, the real clock, a log that keeps quiet.
import { createClock } from "../../agent/adapters/clock.ts";
import { createEtcdRegistry } from "../../agent/adapters/registry/etcd.ts";
import type { Keeping } from "../../agent/adapters/registry/etcd-membership.ts";
import { createEtcdCluster } from "../../agent/adapters/registry/etcd-members.ts";
import type { RegistrySettings } from "../../agent/domain/settings.ts";
import type { Clock } from "../../agent/ports/clock.ts";
import type { EtcdCluster } from "../../agent/ports/etcd-cluster.ts";
import type { Log } from "../../agent/ports/log.ts";
import type { Registry } from "../../agent/ports/registry.ts";

export const clock = createClock();

export const quietLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => quietLog,
};

export interface World {
  readonly clock?: Clock;
  readonly log?: Log;
  readonly keeping?: Keeping;
}

export function connect(
  endpoints: readonly string[],
  settings: Partial<RegistrySettings> = {},
  world: World = {},
): Registry {
  return createEtcdRegistry({ settings: settingsFor(endpoints, settings), clock, log: quietLog, ...world });
}

export function connectCluster(endpoints: readonly string[], settings: Partial<RegistrySettings> = {}): EtcdCluster {
  return createEtcdCluster({ settings: settingsFor(endpoints, settings), clock, log: quietLog });
}

export function settingsFor(endpoints: readonly string[], settings: Partial<RegistrySettings> = {}): RegistrySettings {
  return {
    endpoints,
    prefix: "/flotilla/",
    username: undefined,
    password: undefined,
    caFile: undefined,
    certFile: undefined,
    keyFile: undefined,
    requestTimeoutMs: 2_000,
    ...settings,
  };
}
