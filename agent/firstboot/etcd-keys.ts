// The keys of coreos.etcd and coreos.etcd2, and what each means to an etcd of today: handed on in its environment, said
// to the agent instead (which forms the cluster), translated, or of no meaning any more.

/** Keys that etcd 3.4 to 3.6 understand as ETCD_ and the key in capitals. */
export const passedKeys: ReadonlySet<string> = new Set([
  ...["wal_dir", "heartbeat_interval", "election_timeout", "snapshot_count", "max_snapshots", "max_wals"],
  ...["listen_peer_urls", "listen_client_urls", "advertise_client_urls", "data_dir", "cors", "host_whitelist"],
  ...["cert_file", "key_file", "trusted_ca_file", "client_cert_auth", "client_crl_file", "auto_tls"],
  ...["peer_cert_file", "peer_key_file", "peer_trusted_ca_file", "peer_client_cert_auth", "peer_auto_tls"],
  ...["peer_crl_file", "peer_cert_allowed_cn", "peer_cert_allowed_hostname", "cipher_suites", "tls_min_version"],
  ...["strict_reconfig_check", "enable_pprof", "metrics", "listen_metrics_urls", "pre_vote", "auth_token"],
  ...["quota_backend_bytes", "auto_compaction_mode", "auto_compaction_retention", "max_txn_ops", "max_request_bytes"],
  ...["log_level", "logger", "log_outputs", "log_format", "grpc_keepalive_min_time", "grpc_keepalive_interval"],
  ...["grpc_keepalive_timeout", "socket_reuse_port", "socket_reuse_address", "backend_batch_interval"],
  ...["backend_batch_limit", "compact_hash_check_enabled", "compact_hash_check_time"],
]);

/** Keys that become lines of [Etcd] in flotilla.conf: `flotilla discovery join` tells etcd what comes of them. */
export const agentKeys: Readonly<Record<string, string>> = {
  name: "Name",
  initial_advertise_peer_urls: "PeerURLs",
  discovery: "Discovery",
  discovery_token: "DiscoveryToken",
  discovery_endpoints: "DiscoveryEndpoints",
  discovery_user: "DiscoveryUsername",
  discovery_username: "DiscoveryUsername",
  discovery_password: "DiscoveryPassword",
  discovery_cacert: "DiscoveryCAFile",
  discovery_cert: "DiscoveryCertFile",
  discovery_key: "DiscoveryKeyFile",
  discovery_srv: "DiscoverySRV",
  discovery_srv_name: "DiscoverySRVName",
  initial_cluster: "InitialCluster",
  initial_cluster_state: "InitialClusterState",
  initial_cluster_token: "InitialClusterToken",
};

/** Keys that are read on their own (etcd.ts). */
export const translatedKeys: ReadonlySet<string> = new Set([
  ...["proxy", "debug", "force_new_cluster", "verbose", "very_verbose", "very_very_verbose"],
]);

const proxyGone = "etcd's old proxy is gone; a machine without a place in the cluster uses the others' etcd by itself";
const oldEtcd = "Only etcd 0.4 knew it; etcd of today does this by itself";

/** Keys without a meaning, and what to do instead. */
export const goneKeys: Readonly<Record<string, string>> = {
  discovery_proxy:
    "The agent asks the discovery service itself and takes no proxy; give a URL that this machine reaches",
  discovery_fallback: "A machine without a place in the cluster becomes a client by itself",
  proxy_dial_timeout: proxyGone,
  proxy_failure_wait: proxyGone,
  proxy_read_timeout: proxyGone,
  proxy_refresh_interval: proxyGone,
  proxy_write_timeout: proxyGone,
  log_package_levels: "Set log_level: to debug, info, warn or error",
  enable_v2: "flotilla needs the v3 API only; etcd 3.6 has no other",
  snapshot: oldEtcd,
  cluster_active_size: "The discovery token says how many members there are: `flotilla discovery new --size N`",
  cluster_remove_delay: oldEtcd,
  cluster_sync_interval: oldEtcd,
  graphite_host: "etcd offers its figures at /metrics of its client URLs",
  http_read_timeout: oldEtcd,
  http_write_timeout: oldEtcd,
  max_result_buffer: oldEtcd,
  max_retry_attempts: oldEtcd,
  retry_interval: oldEtcd,
  peers: "Set initial_cluster: to NAME=URL,NAME=URL, or discovery:",
  peers_file: "Set initial_cluster: to NAME=URL,NAME=URL, or discovery:",
  trace: oldEtcd,
};

export const tlsKeys: readonly string[] = [
  ...["cert_file", "key_file", "trusted_ca_file"],
  ...["peer_cert_file", "peer_key_file", "peer_trusted_ca_file"],
];
