// The etcd adapter as tests use it: settings for a test server, the real clock, a log that keeps quiet.
import { createClock } from "../../agent/adapters/clock.ts";
import { createEtcdRegistry } from "../../agent/adapters/registry/etcd.ts";
import type { RegistrySettings } from "../../agent/domain/settings.ts";
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

export function connect(endpoints: readonly string[], settings: Partial<RegistrySettings> = {}): Registry {
  return createEtcdRegistry({
    settings: {
      endpoints,
      prefix: "/flotilla/",
      username: undefined,
      password: undefined,
      caFile: undefined,
      certFile: undefined,
      keyFile: undefined,
      requestTimeoutMs: 2_000,
      ...settings,
    },
    clock,
    log: quietLog,
  });
}
