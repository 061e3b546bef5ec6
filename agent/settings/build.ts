// Choices that are known to be right -> Settings, in milliseconds and with the folders that depend on other settings.
import { parseListenAddress } from "../domain/listen.ts";
import { parseMachineId, type MachineId } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type {
  ApiSettings,
  EtcdDiscovery,
  EtcdSettings,
  GitSettings,
  RegistrySettings,
  Settings,
  TlsFiles,
} from "../domain/settings.ts";
import { title, type Choice } from "./chosen.ts";

export interface Directories {
  readonly state: string;
  readonly run: string;
  readonly problems: readonly Problem[];
}

/** A user's own agent keeps its files where the user's other programs do (XDG Base Directory Specification). */
export function defaultDirectories(
  chosen: Choice,
  environment: Readonly<Record<string, string | undefined>>,
): Directories {
  const problems: Problem[] = [];
  const user = chosen.text("Systemd.Scope") === "user";
  const found = (name: string, candidate: string | undefined, needs: string): string => {
    if (chosen.has(name) || !user) return chosen.text(name);
    if (candidate?.startsWith("/") === true) return candidate;
    problems.push(
      new Problem("setting-missing", `Cannot tell where ${title(name)}= is without ${needs}`, {
        hint: `Set ${title(name)}= or ${needs}`,
      }),
    );
    return chosen.text(name);
  };
  const { XDG_STATE_HOME: stateHome, XDG_RUNTIME_DIR: runtime, HOME: home } = environment;
  const state = stateHome ?? (home === undefined ? undefined : `${home}/.local/state`);
  return {
    state: found("Agent.StateDirectory", state === undefined ? undefined : `${state}/flotilla`, "HOME"),
    run: found("Agent.RunDirectory", runtime === undefined ? undefined : `${runtime}/flotilla`, "XDG_RUNTIME_DIR"),
    problems,
  };
}

export function buildSettings(chosen: Choice, directories: Directories): Settings {
  const level = chosen.text("Agent.LogLevel");
  return {
    machine: {
      id: machineId(chosen),
      hostname: chosen.optional("Machine.Hostname"),
      publicIp: chosen.text("Machine.PublicIP"),
      metadata: chosen.map("Machine.Metadata"),
      mayLead: chosen.flag("Machine.MayLead"),
    },
    git: chosen.has("Git.URL") ? buildGit(chosen) : undefined,
    registry: buildRegistry(chosen),
    etcd: chosen.hasSection("Etcd") ? buildEtcd(chosen) : undefined,
    systemd: {
      scope: chosen.text("Systemd.Scope") === "user" ? "user" : "system",
      address: chosen.optional("Systemd.Address"),
      unitDirectory: chosen.optional("Systemd.UnitDirectory"),
      concurrency: chosen.number("Systemd.Concurrency"),
    },
    api: buildApi(chosen),
    machineLeaseMs: chosen.ms("Agent.MachineLease"),
    engineLeaseMs: chosen.ms("Agent.EngineLease"),
    stateDirectory: directories.state,
    runDirectory: directories.run,
    apiSocket: chosen.optional("Agent.Socket") ?? `${directories.run}/flotilla.sock`,
    allowSubmit: chosen.flag("Agent.AllowSubmit"),
    rebalancePerMinute: chosen.number("Agent.RebalancePerMinute"),
    lossBrakePercent: Number.parseInt(chosen.text("Agent.LossBrake"), 10),
    logLevel: level === "debug" || level === "warn" || level === "error" ? level : "info",
    logFormat: chosen.text("Agent.LogFormat") === "json" ? "json" : "text",
  };
}

/** The schema has made sure of its shape. */
function machineId(chosen: Choice): MachineId | undefined {
  const text = chosen.optional("Machine.Id");
  const parsed = text === undefined ? undefined : parseMachineId(text);
  if (parsed?.ok === false) throw new Error(`A machine id came through unchecked: ${text ?? ""}`);
  return parsed?.value;
}

function buildGit(chosen: Choice): GitSettings {
  return {
    url: chosen.text("Git.URL"),
    branch: chosen.text("Git.Branch"),
    path: chosen.text("Git.Path"),
    schedule: chosen.text("Git.Schedule"),
    jitterMs: chosen.ms("Git.Jitter"),
    username: chosen.optional("Git.Username"),
    token: chosen.secret("Git.Token"),
    password: chosen.secret("Git.Password"),
    caFile: chosen.optional("Git.CAFile"),
    sshKeyFile: chosen.optional("Git.SSHKeyFile"),
    knownHostsFile: chosen.optional("Git.KnownHostsFile"),
    timeoutMs: chosen.ms("Git.Timeout"),
  };
}

function buildRegistry(chosen: Choice): RegistrySettings {
  return {
    endpoints: chosen.list("Registry.Endpoints"),
    prefix: chosen.text("Registry.Prefix"),
    username: chosen.optional("Registry.Username"),
    password: chosen.secret("Registry.Password"),
    caFile: chosen.optional("Registry.CAFile"),
    certFile: chosen.optional("Registry.CertFile"),
    keyFile: chosen.optional("Registry.KeyFile"),
    requestTimeoutMs: chosen.ms("Registry.RequestTimeout"),
  };
}

function buildApi(chosen: Choice): ApiSettings {
  const certFile = chosen.optional("API.TLSCertFile");
  const keyFile = chosen.optional("API.TLSKeyFile");
  return {
    group: chosen.optional("API.Group"),
    listen: chosen.list("API.Listen").flatMap((text) => parseListenAddress(text) ?? []),
    tls:
      certFile === undefined || keyFile === undefined
        ? undefined
        : { certFile, keyFile, clientCaFile: chosen.optional("API.TLSClientCAFile") },
    token: chosen.secret("API.Token"),
  };
}

function buildEtcd(chosen: Choice): EtcdSettings {
  return {
    role: chosen.text("Etcd.Role") === "client" ? "client" : "member",
    name: chosen.optional("Etcd.Name"),
    peerUrls: chosen.list("Etcd.PeerURLs"),
    clientUrls: chosen.list("Etcd.ClientURLs"),
    dataDirectory: chosen.text("Etcd.DataDirectory"),
    discovery: buildDiscovery(chosen),
    peerTls: tlsFiles(chosen, "Peer"),
  };
}

function buildDiscovery(chosen: Choice): EtcdDiscovery {
  const service = {
    username: chosen.optional("Etcd.DiscoveryUsername"),
    password: chosen.secret("Etcd.DiscoveryPassword"),
    tls: tlsFiles(chosen, "Discovery"),
  };
  const url = chosen.optional("Etcd.Discovery");
  if (url !== undefined) return { kind: "v2", url, ...service };
  const token = chosen.secret("Etcd.DiscoveryToken");
  if (token !== undefined) return { kind: "v3", token, endpoints: chosen.list("Etcd.DiscoveryEndpoints"), ...service };
  const cluster = {
    token: chosen.text("Etcd.InitialClusterToken"),
    state: chosen.text("Etcd.InitialClusterState") === "existing" ? ("existing" as const) : ("new" as const),
  };
  const domain = chosen.optional("Etcd.DiscoverySRV");
  return domain === undefined
    ? { kind: "static", initialCluster: chosen.list("Etcd.InitialCluster"), ...cluster }
    : { kind: "srv", domain, serviceName: chosen.optional("Etcd.DiscoverySRVName"), ...cluster };
}

function tlsFiles(chosen: Choice, whose: "Discovery" | "Peer"): TlsFiles {
  return {
    caFile: chosen.optional(`Etcd.${whose}CAFile`),
    certFile: chosen.optional(`Etcd.${whose}CertFile`),
    keyFile: chosen.optional(`Etcd.${whose}KeyFile`),
  };
}
