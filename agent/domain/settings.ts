// Everything an operator can set, complete and checked. Made by settings/, read by wire and the adapters.
import type { MachineId } from "./names.ts";

/** A secret: never printed, logged or serialised. Read it with `reveal`. */
export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  reveal(): string {
    return this.#text;
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

export interface SystemdSettings {
  readonly scope: "system" | "user";
  /** `unix:path=` address of systemd's private socket or a bus; undefined: found by scope. */
  readonly address: string | undefined;
  /** systemd's runtime unit folder (/run/systemd/system); undefined: found by scope. */
  readonly unitDirectory: string | undefined;
  /** How many jobs are asked for side by side. */
  readonly concurrency: number;
}

export interface Settings {
  readonly machine: MachineSettings;
  /** Undefined: no repository; the agent then keeps what it runs, takes nothing new and cannot lead. */
  readonly git: GitSettings | undefined;
  readonly registry: RegistrySettings;
  readonly systemd: SystemdSettings;
  readonly machineLeaseMs: number;
  readonly engineLeaseMs: number;
  /** Durable: /var/lib/flotilla. */
  readonly stateDirectory: string;
  /** Gone at reboot: /run/flotilla. */
  readonly runDirectory: string;
  /** Path of the API's unix socket. */
  readonly apiSocket: string;
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
