// coreos.etcd and coreos.etcd2 as one list of etcd2's names, and whether a cluster can form with them.
import { withoutLogin } from "../domain/shown-url.ts";
import type { Entry } from "../domain/user-data.ts";
import { plainEntries } from "./entries.ts";
import { shown } from "./notes.ts";
import { type Reader, splitCommas } from "./reader.ts";
import { withSamples } from "./tokens.ts";
import { parseEtcdUrl, reachOf } from "./urls.ts";
import type { MapValue } from "./values.ts";

/** Names of etcd 0.4 that mean the same as others of etcd 2. `hostPort`: a scheme is put before it. */
const renamed: Readonly<Record<string, { readonly to: string; readonly hostPort?: "client" | "peer" }>> = {
  addr: { to: "advertise_client_urls", hostPort: "client" },
  bind_addr: { to: "listen_client_urls", hostPort: "client" },
  peer_addr: { to: "initial_advertise_peer_urls", hostPort: "peer" },
  peer_bind_addr: { to: "listen_peer_urls", hostPort: "peer" },
  peer_election_timeout: { to: "election_timeout" },
  peer_heartbeat_interval: { to: "heartbeat_interval" },
};

/** A CA file was also the wish that certificates are asked for. */
const authorities: Readonly<Record<string, readonly [file: string, auth: string]>> = {
  ca_file: ["trusted_ca_file", "client_cert_auth"],
  peer_ca_file: ["peer_trusted_ca_file", "peer_client_cert_auth"],
};

/** Undefined when neither section is there. */
export function readEtcd(reader: Reader, coreos: MapValue): readonly Entry[] | undefined {
  const old = reader.map(coreos, "etcd");
  const now = reader.map(coreos, "etcd2");
  if (old === undefined && now === undefined) return undefined;
  const entries = new Map<string, Entry>();
  for (const section of [old, now])
    for (const entry of section === undefined ? [] : translated(plainEntries(reader, section))) {
      const before = entries.get(entry.key);
      if (before !== undefined && before.value !== entry.value)
        reader.notes.info("overridden", `Cannot keep "${entry.key}" of line ${before.at.line ?? 0}`, {
          hint: "This one wins",
          at: entry.at,
        });
      entries.set(entry.key, entry);
    }
  check(reader, entries);
  return [...entries.values()];
}

function translated(entries: readonly Entry[]): readonly Entry[] {
  const encrypted = (kind: "client" | "peer"): boolean =>
    entries.some(({ key }) => key === (kind === "client" ? "cert_file" : "peer_cert_file"));
  return entries.flatMap((entry) => {
    const authority = authorities[entry.key];
    if (authority !== undefined)
      return [
        { ...entry, key: authority[0] },
        { ...entry, key: authority[1], value: "true" },
      ];
    const rename = renamed[entry.key];
    if (rename === undefined) return [entry];
    const { to, hostPort } = rename;
    const scheme =
      hostPort === undefined || /^https?:\/\//.test(entry.value) ? "" : encrypted(hostPort) ? "https://" : "http://";
    return [{ ...entry, key: to, value: `${scheme}${entry.value}` }];
  });
}

function check(reader: Reader, entries: ReadonlyMap<string, Entry>): void {
  const ways = ["discovery", "discovery_srv", "initial_cluster"].flatMap((key) => entries.get(key) ?? []);
  const [first, second] = ways;
  if (first !== undefined && second !== undefined)
    reader.notes.error("etcd-ways", `Cannot form a cluster by "${first.key}" and by "${second.key}"`, {
      hint: "Keep one of them",
      at: second.at,
    });
  const discovery = entries.get("discovery");
  if (discovery !== undefined) checkDiscovery(reader, discovery);
  const members = checkInitialCluster(reader, entries);
  const between = discovery !== undefined || entries.has("discovery_srv") || members > 1;
  // a client runs no etcd: what it would listen at and advertise has no effect
  const proxy = entries.get("proxy")?.value;
  if (entries.get("role")?.value === "client" || (proxy !== undefined && proxy !== "off")) return;
  for (const key of ["advertise_client_urls", "initial_advertise_peer_urls"])
    checkUrls(reader, entries.get(key), { advertised: true, between });
  for (const key of ["listen_client_urls", "listen_peer_urls"])
    checkUrls(reader, entries.get(key), { advertised: false, between });
  for (const [cert, key] of [
    ["cert_file", "key_file"],
    ["peer_cert_file", "peer_key_file"],
  ] as const)
    checkPair(reader, entries, [cert, key]);
  const force = entries.get("force_new_cluster");
  if (force?.value === "true")
    reader.notes.error("etcd-force", `Cannot take "${force.key}": it would break the cluster up at every boot`, {
      hint: "Take it out; when a quorum is lost for good, start one member by hand, once, with --force-new-cluster",
      at: force.at,
    });
  const heartbeat = Number(entries.get("heartbeat_interval")?.value ?? 100);
  const election = entries.get("election_timeout");
  if (election !== undefined && Number(election.value) < 5 * heartbeat)
    reader.notes.error("etcd-timing", `Cannot take an election timeout of ${election.value} ms`, {
      hint: `etcd wants at least five times the heartbeat interval, which is ${heartbeat} ms`,
      at: election.at,
    });
}

function checkPair(
  { notes }: Reader,
  entries: ReadonlyMap<string, Entry>,
  [one, other]: readonly [string, string],
): void {
  for (const [has, lacks] of [
    [one, other],
    [other, one],
  ] as const) {
    const entry = entries.get(has);
    if (entry !== undefined && !entries.has(lacks))
      notes.error("etcd-tls", `Cannot use "${has}" alone`, { hint: `Give "${lacks}" too`, at: entry.at });
  }
}

function checkDiscovery({ notes }: Reader, { value, at }: Entry): void {
  const text = withSamples(value);
  if (!URL.canParse(text)) {
    notes.error("discovery", `Cannot read "${shown(withoutLogin(value))}" as the URL of a discovery token`, {
      hint: "It is what flotilla discovery new prints",
      at,
    });
    return;
  }
  const url = new URL(text);
  if (url.hostname === "discovery.etcd.io")
    notes.warning("discovery-dead", "Cannot count on discovery.etcd.io: the public service no longer answers", {
      hint: "Run one of your own: flotilla discovery serve, and flotilla discovery new --size 3",
      at,
    });
  else if (["loopback", "unspecified"].includes(reachOf(url.hostname)))
    notes.warning(
      "discovery-loopback",
      `Cannot find other machines by "${shown(withoutLogin(value))}": it is this machine itself`,
      {
        hint: "Give the service an address that all machines reach",
        at,
      },
    );
  if (!/^\/.*[^/]/.test(url.pathname))
    notes.error("discovery", `Cannot find a token in "${shown(withoutLogin(value))}"`, {
      hint: "The path of the URL is the token: what flotilla discovery new prints",
      at,
    });
}

/** How many members the list has. */
function checkInitialCluster({ notes }: Reader, entries: ReadonlyMap<string, Entry>): number {
  const list = entries.get("initial_cluster");
  if (list === undefined) return 0;
  const fault = (message: string, hint: string): void => notes.error("initial-cluster", message, { hint, at: list.at });
  const urls = new Map<string, string>();
  const names = new Set<string>();
  for (const item of splitCommas(list.value)) {
    const equals = item.indexOf("=");
    const name = item.slice(0, equals);
    const url = item.slice(equals + 1);
    const parsed = parseEtcdUrl(url);
    if ("must" in parsed)
      fault(
        `Cannot take "${shown(withoutLogin(url))}" as the URL of member "${shown(name)}"`,
        `It must be ${parsed.must}`,
      );
    const other = urls.get(url);
    if (other !== undefined && other !== name)
      fault(`Cannot give members "${shown(other)}" and "${shown(name)}" the same URL`, "Each has one of its own");
    urls.set(url, name);
    names.add(name);
  }
  const own = entries.get("name");
  if (own !== undefined && !names.has(own.value) && !/[%$]/.test(own.value))
    notes.error("initial-cluster", `Cannot find this member "${shown(own.value)}" in "initial_cluster"`, {
      hint: `It has ${[...names].slice(0, 9).join(", ")}`,
      at: own.at,
    });
  return names.size;
}

function checkUrls(
  { notes }: Reader,
  entry: Entry | undefined,
  { advertised, between }: { readonly advertised: boolean; readonly between: boolean },
): void {
  if (entry === undefined) return;
  const { key, at } = entry;
  for (const url of splitCommas(entry.value)) {
    const parsed = parseEtcdUrl(url);
    if ("must" in parsed)
      notes.error("etcd-url", `Cannot take "${shown(withoutLogin(url))}" for "${key}"`, {
        hint: `It must be ${parsed.must}`,
        at,
      });
    else if (advertised && parsed.reach === "unspecified")
      notes[between ? "error" : "warning"]("etcd-url", `Cannot reach this machine at "${shown(withoutLogin(url))}"`, {
        hint: "0.0.0.0 is good for listening only; write $private_ipv4",
        at,
      });
    else if (advertised && parsed.reach === "loopback" && between)
      notes.error(
        "etcd-url",
        `Cannot advertise "${shown(withoutLogin(url))}" to other machines: it is each machine itself`,
        {
          hint: "Write $private_ipv4",
          at,
        },
      );
    else if (!advertised && parsed.reach === "name")
      notes.warning(
        "etcd-url",
        `Cannot listen at "${shown(withoutLogin(url))}": etcd listens at addresses, not at names`,
        {
          hint: "Write 0.0.0.0, or $private_ipv4",
          at,
        },
      );
  }
}
