// Everything an operator can set, complete and checked. Made by settings/, read by wire and the adapters.
import type { ListenAddress } from "./listen.ts";
import type { MachineId } from "./names.ts";
import type { Problem } from "./problem.ts";

/**
 * A secret: never printed, logged or serialised. Read it with `reveal`, each time when it is needed: one whose file cannot be
 * read yet arrives later.
 */
export class Secret {
  #text: string | Problem;
  /** The Problem: why it is not there. */
  constructor(text: string | Problem) {
    this.#text = text;
  }
  /** Throws the Problem of one that is not there. */
  reveal(): string {
    if (typeof this.#text !== "string") throw this.#text;
    return this.#text;
  }
  /** Why it is not there. */
  get missing(): Problem | undefined {
    return typeof this.#text === "string" ? undefined : this.#text;
  }
  /** It has been read after all: whoever asks from now on is told. */
  arrive(text: string): void {
    this.#text = text;
  }
  toString(): string {
    return "(secret)";
  }
  toJSON(): string {
    return "(secret)";
  }
}

export interface MachineSettings {
  /** Undefined: the host's own /etc/machine-id. */
  readonly id: MachineId | undefined;
  /** "": found by the agent (the address of the interface that has the default route). */
  readonly publicIp: string;
  /** Undefined: the host's own. */
  readonly hostname: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly mayLead: boolean;
}

export interface GitSettings {
  /** https://, http://, ssh:// or scp form (user@host:path), or an absolute path / file://. Never holds a secret. */
  readonly url: string;
  readonly branch: string;
  /** Folder in the repository that holds the units; "" is all of it. */
  readonly path: string;
  /** Cron expression, five or six fields. */
  readonly schedule: string;
  /** The poll is put off by a random share of this. */
  readonly jitterMs: number;
  /** Bearer-like token, sent as a basic password with `username` (default "git"). */
  readonly token: Secret | undefined;
  readonly username: string | undefined;
  readonly password: Secret | undefined;
  /** PEM bundle trusted besides the system's. */
  readonly caFile: string | undefined;
  readonly sshKeyFile: string | undefined;
  readonly knownHostsFile: string | undefined;
  /** Bound on one whole fetch. */
  readonly timeoutMs: number;
}

export interface RegistrySettings {
  /** etcd client URLs, all https or all http; empty: the embedded registry. */
  readonly endpoints: readonly string[];
  /** Begins and ends with "/". */
  readonly prefix: string;
  readonly username: string | undefined;
  readonly password: Secret | undefined;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly requestTimeoutMs: number;
}

/** Certificates for TLS to somebody: PEM files. `certFile` and `keyFile` come together. */
export interface TlsFiles {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** How this machine learns who the first members of its etcd cluster are. */
export type EtcdDiscovery =
  | {
      readonly kind: "static";
      /** `NAME=URL`, each URL of a member by itself; empty: this machine alone. */
      readonly initialCluster: readonly string[];
      readonly token: string;
      readonly state: "new" | "existing";
    }
  | {
      readonly kind: "v2";
      /** As its author wrote it: it is the cluster's token, and member ids depend on every character of it. */
      readonly url: string;
      readonly username: string | undefined;
      readonly password: Secret | undefined;
      readonly tls: TlsFiles;
    }
  | {
      readonly kind: "v3";
      readonly token: Secret;
      /** Not empty; all https or all http. */
      readonly endpoints: readonly string[];
      readonly username: string | undefined;
      readonly password: Secret | undefined;
      readonly tls: TlsFiles;
    }
  | {
      readonly kind: "srv";
      readonly domain: string;
      /** Part of the records' names: `_etcd-server-NAME._tcp`. */
      readonly serviceName: string | undefined;
      readonly token: string;
      readonly state: "new" | "existing";
    };

export interface EtcdSettings {
  /** `client`: never a member, whatever room there is. */
  readonly role: "member" | "client";
  /** Undefined: the host's own name. */
  readonly name: string | undefined;
  /** Each with a port and without a path; empty only where a list or DNS can tell, or for a client. */
  readonly peerUrls: readonly string[];
  /** Empty: etcd's own default, http://localhost:2379. */
  readonly clientUrls: readonly string[];
  readonly dataDirectory: string;
  readonly discovery: EtcdDiscovery;
  /** For asking members at their peer URLs. */
  readonly peerTls: TlsFiles;
}

export interface SystemdSettings {
  readonly scope: "system" | "user";
  /** `unix:path=` address of systemd's private socket or a bus; undefined: found by scope. */
  readonly address: string | undefined;
  /** systemd's runtime unit folder (/run/systemd/system); undefined: found by scope. */
  readonly unitDirectory: string | undefined;
  /** How many jobs are asked for side by side. */
  readonly concurrency: number;
}

/** Who may reach the API beside root on this machine, and how. */
export interface ApiSettings {
  /** Name or number of the group that may use the unix socket; undefined: `flotilla` where there is one, of a user's agent none. */
  readonly group: string | undefined;
  /** TCP addresses beside the unix socket; each beyond loopback goes with a token or certificates of clients. */
  readonly listen: readonly ListenAddress[];
  /** For TCP; undefined: plain HTTP. PEM files. `clientCaFile`: only who has a certificate of these is let in. */
  readonly tls:
    { readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string | undefined } | undefined;
  /** Asked of everyone who comes over TCP. */
  readonly token: Secret | undefined;
}

export interface Settings {
  readonly machine: MachineSettings;
  /** Undefined: no repository; the agent then keeps what it runs, takes nothing new and cannot lead. */
  readonly git: GitSettings | undefined;
  readonly registry: RegistrySettings;
  /** Undefined: this machine neither runs an etcd of flotilla's nor looks for one. */
  readonly etcd: EtcdSettings | undefined;
  readonly systemd: SystemdSettings;
  readonly api: ApiSettings;
  readonly machineLeaseMs: number;
  readonly engineLeaseMs: number;
  /** Durable: /var/lib/flotilla. */
  readonly stateDirectory: string;
  /** Gone at reboot: /run/flotilla. */
  readonly runDirectory: string;
  /** Path of the API's unix socket. */
  readonly apiSocket: string;
  /** Whether this cluster takes units that people submit by hand. */
  readonly allowSubmit: boolean;
  /** Units that a leader here may move in a minute for balance; 0: none. */
  readonly rebalancePerMinute: number;
  /** While more than so many of a hundred machines are lost, a leader here moves none of their units; 100: it always does. */
  readonly lossBrakePercent: number;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFormat: "text" | "json";
}

/** A file of settings, or of one secret, as it was read. */
export interface SettingsText {
  /** Its absolute path. */
  readonly file: string;
  readonly text: string;
  /** Permission bits. */
  readonly mode: number;
}
