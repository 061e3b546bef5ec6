// fleet's own options in flotilla's words: one table for a fleet.conf that is read as it is and for `coreos.fleet` in a
// cloud-config. Data only.

/**
 * How the value is written there. `list` may be `["a","b"]` as well as `a,b`; of `metadata` a key's last value counts;
 * `reversed` is a boolean that says the contrary here; `user-scope` is true for a user's own systemd; `verbosity` is a number
 * that makes the log talkative when above 0.
 */
export type FleetForm = "text" | "list" | "metadata" | "reversed" | "user-scope" | "verbosity";

export interface FleetOption {
  /** Section and key of flotilla.conf. */
  readonly section: string;
  readonly key: string;
  readonly form: FleetForm;
}

/** By fleet's name, with underscores. */
export const fleetOptions: Readonly<Record<string, FleetOption>> = {
  etcd_servers: { section: "Registry", key: "Endpoints", form: "list" },
  etcd_username: { section: "Registry", key: "Username", form: "text" },
  etcd_password: { section: "Registry", key: "Password", form: "text" },
  etcd_cafile: { section: "Registry", key: "CAFile", form: "text" },
  etcd_certfile: { section: "Registry", key: "CertFile", form: "text" },
  etcd_keyfile: { section: "Registry", key: "KeyFile", form: "text" },
  etcd_request_timeout: { section: "Registry", key: "RequestTimeout", form: "text" },
  public_ip: { section: "Machine", key: "PublicIP", form: "text" },
  metadata: { section: "Machine", key: "Metadata", form: "metadata" },
  agent_ttl: { section: "Agent", key: "MachineLease", form: "text" },
  disable_engine: { section: "Machine", key: "MayLead", form: "reversed" },
  systemd_user: { section: "Systemd", key: "Scope", form: "user-scope" },
  verbosity: { section: "Agent", key: "LogLevel", form: "verbosity" },
};

/** Options of fleet's that say nothing here, and why. */
export const meaninglessFleetOptions: Readonly<Record<string, string>> = {
  etcd_key_prefix: "fleet's keys are not flotilla's; set [Registry] Prefix= in flotilla.conf for a prefix of its own",
  engine_reconcile_interval: "The engine works when something changes, not at intervals",
  units_directory: "Unit files lie below [Agent] RunDirectory=",
  token_limit: "flotilla answers in one piece",
  enable_grpc: "flotilla has no such mode",
  disable_watches: "flotilla always watches, and compares with a fresh snapshot besides",
  verify_units: "fleet itself ignored it",
  authorized_keys_file: "fleet itself ignored it",
};

/** What fleet took when etcd_servers was left out. */
export const fleetEndpoints = "http://127.0.0.1:2379";
