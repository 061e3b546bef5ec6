// etcd on the machine: the distribution's own unit with a drop-in, its environment, and what the agent has to know to form
// the cluster (the [Etcd] section of flotilla.conf). etcd itself discovers nothing.
import type { SetupFacts } from "../domain/first-boot.ts";
import { whyNotKept } from "../domain/kept-folder.ts";
import type { Place } from "../domain/problem.ts";
import type { CloudConfig, Entry } from "../domain/user-data.ts";
import { type Draft, type Given, base, madeLines, shorten, tell, textFile } from "./draft.ts";
import { agentKeys, ownKeys, tlsKeys } from "./etcd-keys.ts";
import { environmentFileLine, expandSpecifiers, isOneLine } from "./escape.ts";
import { isFlatcar } from "./host-words.ts";
import { type Urls, clientUrls, listenUrls, ownAddress, peerUrls } from "./etcd-urls.ts";
import type { SettingLine } from "./settings-file.ts";

export const etcdEnvironment = "/etc/flotilla/etcd.env";
/** Written by `flotilla discovery join` once this machine is a member; without it etcd does not start. */
export const etcdInitial = "/var/lib/flotilla/etcd-initial.env";
const defaultData = "/var/lib/etcd/flotilla";
/** etcd's units by the names of Debian and Fedora, Flatcar, and CoreOS. */
export const etcdUnits: readonly string[] = ["etcd.service", "etcd-member.service", "etcd2.service", "etcd3.service"];

export interface EtcdPlan {
  /** The unit that runs etcd here; undefined: a client without any. */
  readonly unit: string | undefined;
  readonly isMember: boolean;
  /** Lines for flotilla.conf. */
  readonly settings: readonly SettingLine[];
  /** Ids of steps after which a running etcd has to start anew. */
  readonly changes: readonly string[];
}

/** The unit that etcd has here; "etcd.service" when packages are going to bring it. */
export function etcdUnitOf({ config, facts }: { config: CloudConfig; facts: SetupFacts }): string | undefined {
  const own = config.units.find(
    ({ name, content, mask }) => etcdUnits.includes(name) && content !== undefined && !mask,
  );
  const there = etcdUnits.find((unit) => facts.units.has(unit));
  return own?.name ?? there ?? (installsEtcd(config) ? "etcd.service" : undefined);
}

export function installsEtcd({ packages }: CloudConfig): boolean {
  return packages.some(({ value }) => /^etcd(-server)?([=-]\d.*)?$/.test(value));
}

/** Undefined: the document says nothing of etcd. Errors are in the draft. */
export function planEtcd(given: Given, draft: Draft): EtcdPlan | undefined {
  const { config, facts } = given;
  const section = etcdSection(config);
  if (section === undefined) return undefined;
  // they stood in Environment= lines of its unit, where systemd puts %H and the like in
  const filled = section.map((entry) =>
    entry.isSecret
      ? entry
      : { ...entry, value: expandSpecifiers(entry.value, { hostname: given.names.hostname, facts }).value },
  );
  const keys = new Map(filled.map((entry) => [entry.key, entry]));
  const at = section[0]?.at;
  const isMember =
    !["on", "readonly", "true"].includes(keys.get("proxy")?.value ?? "") && keys.get("role")?.value !== "client";
  const unit = etcdUnitOf({ config, facts });
  if (isMember && unit === undefined)
    tell(draft, "error", {
      code: "boot-etcd-missing",
      message: "Cannot run etcd: it is not installed on this machine",
      hint: "Add etcd-server (Debian, Ubuntu) or etcd (Fedora) to packages:, take an image that has it, or leave the etcd section out and set etcd_servers",
      at,
    });
  const urls: Urls = { keys, given };
  const changes = unit === undefined ? [] : planDropIn({ unit, isMember, urls, at }, draft);
  return { unit, isMember, settings: settingLines({ isMember, urls, at }), changes };
}

/** coreos.etcd and etcd2; or what `flotilla: etcd:` says, in their words. */
function etcdSection(config: CloudConfig): readonly Entry[] | undefined {
  if (config.etcd !== undefined) return config.etcd;
  const own = config.settings.filter(({ section }) => section === "Etcd");
  if (own.length === 0) return undefined;
  const words: Readonly<Record<string, string>> = {
    Role: "role",
    Name: "name",
    PeerURLs: "initial_advertise_peer_urls",
    ClientURLs: "advertise_client_urls",
    DataDirectory: "data_dir",
    InitialCluster: "initial_cluster",
    PeerCAFile: "peer_trusted_ca_file",
    PeerCertFile: "peer_cert_file",
    PeerKeyFile: "peer_key_file",
    Discovery: "discovery",
    DiscoverySRV: "discovery_srv",
    DiscoveryToken: "discovery_token",
    DiscoveryEndpoints: "discovery_endpoints",
  };
  return own.flatMap(({ key, value, isSecret, at }) => {
    const word = Object.hasOwn(words, key) ? words[key] : undefined;
    return word === undefined ? [] : [{ key: word, value, isSecret, at }];
  });
}

/** What etcd is told, by key. */
function environmentOf(urls: Urls): ReadonlyMap<string, { readonly value: string; readonly at: Place | undefined }> {
  const { keys } = urls;
  const values = new Map<string, { value: string; at: Place | undefined }>();
  const set = (key: string, value: string, at?: Place): void => void values.set(key, { value, at });
  set("data_dir", defaultData);
  set("listen_peer_urls", listenUrls(urls, "peer").join(","));
  set("listen_client_urls", listenUrls(urls, "client").join(","));
  set("advertise_client_urls", clientUrls(urls).join(","));
  // etcd 2's and 0.4's words for it
  if (["debug", "verbose", "very_verbose", "very_very_verbose"].some((key) => keys.get(key)?.value === "true"))
    set("log_level", "debug");
  for (const { key, value, at } of keys.values()) {
    if (!ownKeys.has(key) && value !== "") set(key, value, at);
  }
  // etcd itself keeps all history, and refuses every write once that fills its quota
  if (!values.has("auto_compaction_retention") && values.get("auto_compaction_mode")?.value !== "revision")
    set("auto_compaction_retention", "1h");
  return values;
}

const discoveryDropIn = "flotilla-discovery.service.d/20-flotilla.conf";

/** The environment's file and the drop-in, which has it read. */
function planDropIn(
  {
    unit,
    isMember,
    urls,
    at,
  }: { readonly unit: string; readonly isMember: boolean; readonly urls: Urls; readonly at: Place | undefined },
  draft: Draft,
): readonly string[] {
  const { given } = urls;
  const changes = ["own etcd environment", `drop-in ${unit}.d/20-flotilla.conf`, `drop-in ${discoveryDropIn}`];
  const values = new Map(environmentOf(urls));
  const data = values.get("data_dir")?.value ?? defaultData;
  const inContainer = unit === "etcd-member.service" && isFlatcar(given.facts);
  checkValues({ values, isMember }, draft);
  if (isMember) checkCertificates({ values, given, inContainer }, draft);
  const folder = inContainer ? mountedFolder(values) : undefined;
  if (folder !== undefined) moveIntoContainer(values, folder);
  const lines = [...values].map(([key, { value }]) => environmentFileLine(`ETCD_${key.toUpperCase()}`, value)).sort();
  if (folder !== undefined) lines.push(environmentFileLine("ETCD_SSL_DIR", folder));
  draft.steps.push(
    {
      ...base("own etcd environment", { stage: "files", at }),
      kind: "file",
      file: textFile(etcdEnvironment, { lines: [...madeLines, ...lines] }),
    },
    {
      ...base(`drop-in ${unit}.d/20-flotilla.conf`, { stage: "files", at }),
      kind: "file",
      file: textFile(`/etc/systemd/system/${unit}.d/20-flotilla.conf`, {
        lines: dropInLines(data, { makesData: !inContainer && !hasOwnText(given.config, unit) }),
      }),
    },
    {
      ...base(`drop-in ${discoveryDropIn}`, { stage: "files", at }),
      kind: "file",
      // Discovery takes a member without data for one that has lost it, and takes it out of its cluster
      file: textFile(`/etc/systemd/system/${discoveryDropIn}`, {
        lines: [...madeLines, "[Unit]", `RequiresMountsFor=${data}`],
      }),
    },
  );
  return changes;
}

function hasOwnText({ units }: CloudConfig, unit: string): boolean {
  return units.some(({ name, content }) => name === unit && content !== undefined);
}

/**
 * etcd waits for its cluster, as long as that takes: nothing may count its tries or end its start. It is not there at all
 * until this machine is known to be a member.
 */
function dropInLines(data: string, { makesData }: { readonly makesData: boolean }): readonly string[] {
  // below its home etcd makes its folder itself; elsewhere it may not
  const isElsewhere = !data.startsWith("/var/lib/etcd/");
  const make = `ExecStartPre=-+/bin/sh -c '[ -d ${data} ] || install -d -m 0700 -o etcd -g etcd ${data}'`;
  return [
    ...madeLines,
    "[Unit]",
    "Wants=flotilla-discovery.service",
    "After=flotilla-discovery.service",
    `ConditionPathExists=${etcdInitial}`,
    "StartLimitIntervalSec=0",
    `RequiresMountsFor=${data}`,
    ...withoutTarget,
    "",
    "[Service]",
    `EnvironmentFile=${etcdEnvironment}`,
    `EnvironmentFile=${etcdInitial}`,
    "TimeoutStartSec=infinity",
    "Restart=always",
    "RestartSec=2",
    ...(isElsewhere && makesData ? [make] : []),
  ];
}

/** A target waits for what it wants, unless that has no default dependencies: the boot goes on while etcd waits. */
const withoutTarget: readonly string[] = [
  "DefaultDependencies=no",
  "Requires=sysinit.target",
  "After=sysinit.target basic.target",
  "Conflicts=shutdown.target",
  "Before=shutdown.target",
];

type Values = ReadonlyMap<string, { readonly value: string; readonly at: Place | undefined }>;

function checkValues({ values, isMember }: { values: Values; isMember: boolean }, draft: Draft): void {
  const refuse = (key: string, hint: string): void => {
    const found = values.get(key);
    tell(draft, "error", {
      code: "boot-etcd-value",
      message: `Cannot take "${shorten(found?.value ?? "")}" for etcd's ${key}`,
      hint,
      at: found?.at,
    });
  };
  const data = values.get("data_dir")?.value ?? defaultData;
  const lost = whyNotKept(data);
  if (!/^\/[A-Za-z0-9._/-]*[A-Za-z0-9._-]$/.test(data) || data.includes(".."))
    refuse("data_dir", "It must be an absolute path of letters, digits and . _ -");
  else if (lost !== undefined) refuse("data_dir", lost);
  if (values.has("wal_dir"))
    refuse(
      "wal_dir",
      `Without its log a member counts as one that lost its data, and the log is looked for in ${data}/member/wal: mount the faster disk there, and leave wal_dir out`,
    );
  for (const key of ["listen_peer_urls", "listen_client_urls"]) {
    const urls = values.get(key)?.value.split(",") ?? [];
    if (isMember && !urls.every((url) => /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^\s/?#@:[\]]+):[0-9]+\/?$/.test(url.trim())))
      refuse(key, "It must be URLs with a port, such as http://10.0.0.1:2379");
  }
  for (const [key, { value }] of values)
    if (!isOneLine(value)) refuse(key, "It must stand in one line");
    else if (tlsKeys.includes(key) && !value.startsWith("/")) refuse(key, "It must be an absolute path");
}

/** Certificates that are nowhere, or that etcd's own user may not read, would only show when etcd fails. */
function checkCertificates(
  { values, given, inContainer }: { values: Values; given: Given; inContainer: boolean },
  draft: Draft,
): void {
  for (const key of tlsKeys) {
    const found = values.get(key);
    if (found === undefined) continue;
    const { value: path, at } = found;
    const file = given.config.writeFiles.findLast((entry) => entry.path === path);
    if (file === undefined && !given.facts.paths.has(path))
      tell(draft, "warning", {
        code: "boot-etcd-certificate",
        message: `Cannot find ${path}, which etcd's ${key} names`,
        hint: "Write it with write_files:, or see that it is there before etcd starts",
        at,
      });
    if (file === undefined) continue;
    const mode = file.mode ?? 0o644;
    const mayRead =
      (mode & 0o004) !== 0 ||
      (file.owner === "etcd" && (mode & 0o400) !== 0) ||
      ((file.group ?? file.owner) === "etcd" && (mode & 0o040) !== 0);
    if (!mayRead)
      tell(draft, "warning", {
        code: "boot-etcd-certificate",
        message: `Cannot have etcd read ${path}: it runs as user etcd, and the file is for ${file.owner ?? "root"} only`,
        hint: "Write owner: root:etcd and permissions: '0640'",
        at: file.at,
      });
  }
  if (
    inContainer &&
    tlsKeys.some((key) => values.has(key)) &&
    mountedFolder(values) === undefined &&
    !allMounted(values)
  )
    tell(draft, "error", {
      code: "boot-etcd-certificate",
      message: "Cannot show etcd's container certificates of several folders",
      hint: "Put all certificates and keys of etcd into one folder, such as /etc/flotilla/tls",
      at: tlsKeys.map((key) => values.get(key)?.at).find((place) => place !== undefined),
    });
}

const allMounted = (values: Values): boolean =>
  tlsKeys.every((key) => values.get(key)?.value.startsWith("/etc/ssl/certs/") !== false);

/** Flatcar runs etcd in a container that sees one folder of certificates, as /etc/ssl/certs. */
function mountedFolder(values: Values): string | undefined {
  if (allMounted(values)) return undefined;
  const folders = new Set(
    tlsKeys.flatMap((key) => values.get(key)?.value ?? []).map((path) => path.slice(0, path.lastIndexOf("/"))),
  );
  return folders.size === 1 ? [...folders][0] : undefined;
}

function moveIntoContainer(values: Map<string, { value: string; at: Place | undefined }>, folder: string): void {
  for (const key of tlsKeys) {
    const found = values.get(key);
    if (found !== undefined) values.set(key, { ...found, value: `/etc/ssl/certs${found.value.slice(folder.length)}` });
  }
}

/** The [Etcd] section, and for TLS the agent's own way to etcd. */
function settingLines({
  isMember,
  urls,
  at,
}: {
  readonly isMember: boolean;
  readonly urls: Urls;
  readonly at: Place | undefined;
}): readonly SettingLine[] {
  const { keys } = urls;
  const lines: SettingLine[] = [];
  const add = (key: string, value: string | undefined, place = at, isSecret = false): void => {
    if (value !== undefined && value !== "") lines.push({ section: "Etcd", key, value, isSecret, at: place });
  };
  if (!isMember) add("Role", "client", keys.get("proxy")?.at);
  else {
    const peers = peerUrls(urls);
    add("Name", memberName(urls, peers), keys.get("name")?.at);
    add("PeerURLs", peers.join(","), keys.get("initial_advertise_peer_urls")?.at);
    add("ClientURLs", clientUrls(urls).join(","), keys.get("advertise_client_urls")?.at);
    const data = keys.get("data_dir");
    if (data !== undefined && data.value !== defaultData) add("DataDirectory", data.value, data.at);
  }
  for (const [key, option] of Object.entries(agentKeys)) {
    const found = keys.get(key);
    if (found === undefined || option === "Name" || option === "PeerURLs") continue;
    add(option, found.value, found.at, found.isSecret || option === "DiscoveryToken" || option === "DiscoveryPassword");
  }
  const value = (key: string): string | undefined => keys.get(key)?.value;
  add("PeerCAFile", value("peer_trusted_ca_file"));
  add("PeerCertFile", value("peer_cert_file"));
  add("PeerKeyFile", value("peer_key_file"));
  const isAsked = value("client_cert_auth") === "true";
  const registry = (key: string, path: string | undefined): void => {
    if (path !== undefined && path !== "")
      lines.push({ section: "Registry", key, value: path, isSecret: false, at, isDefault: true });
  };
  registry("CAFile", value("trusted_ca_file"));
  if (isAsked && value("cert_file") !== undefined && value("key_file") !== undefined) {
    registry("CertFile", value("cert_file"));
    registry("KeyFile", value("key_file"));
  }
  return lines;
}

/**
 * A member's name: the document's; of a static list the one that stands beside this machine's URL; else its address, which
 * no other has and which stays when the disk is lost. CoreOS took the machine id.
 */
function memberName({ keys, given }: Urls, peers: readonly string[]): string {
  const own = keys.get("name")?.value;
  if (own !== undefined && own !== "") return own;
  const list = keys.get("initial_cluster")?.value ?? "";
  for (const item of list.split(",")) {
    const at = item.indexOf("=");
    if (
      at > 0 &&
      peers.includes(
        item
          .slice(at + 1)
          .trim()
          .replace(/\/$/, ""),
      )
    )
      return item.slice(0, at).trim();
  }
  const host = peers[0] === undefined ? undefined : ownAddress(peers[0]);
  return host ?? given.facts.machineId;
}
