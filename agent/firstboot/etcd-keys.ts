// The keys of coreos.etcd and coreos.etcd2 that are not simply handed on to etcd in its environment: those that are said
// to the agent instead, which forms the cluster. What has lost its meaning was left out by the reader.

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

/** Keys that say something to this program: what is left is etcd's, as ETCD_ and the key in capitals. */
export const ownKeys: ReadonlySet<string> = new Set([
  ...["role", "proxy", "force_new_cluster", "debug", "verbose", "very_verbose", "very_very_verbose"],
  ...Object.keys(agentKeys),
]);

export const tlsKeys: readonly string[] = [
  ...["cert_file", "key_file", "trusted_ca_file"],
  ...["peer_cert_file", "peer_key_file", "peer_trusted_ca_file"],
];
