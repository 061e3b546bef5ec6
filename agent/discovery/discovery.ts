// The front door: what a list, DNS or a token says, and what a live cluster says -> what this machine becomes, and what is
// kept of it. Pure; asked by bootstrap/, which does the asking and waiting.
import type {
  DiscoveryWay,
  EtcdPeer,
  EtcdSelf,
  JoinNote,
  JoinRecord,
  LiveCluster,
  LiveMember,
  TokenLook,
} from "../domain/discovery.ts";
import { type Checked, valid } from "../domain/problem.ts";
import { encodeJoinNote, encodeJoinRecord, parseJoinNote, parseJoinRecord } from "../text/join-record.ts";
import { readSrvList, readStaticList, type OwnList, type SrvMember, type SrvSelf } from "./lists.ts";
import { type Coming, type Course, type Standing, clientUrlsOf, courseOf, standingOf } from "./live.ts";
import { clusterId, comparable, memberId, memberList, reachOf, shareUrl } from "./members.ts";
import { type TokenQuestion, type TokenVerdict, judgeToken } from "./token.ts";

/** etcd's own default of advertise-client-urls. */
const usualClientUrl = "http://localhost:2379";
/** Pauses between tries begin and end with these. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;

/** Who could be a member, and whether this machine is one of them. */
export function membersOfList(items: readonly string[], self: EtcdSelf): Checked<OwnList> {
  return readStaticList(items, self);
}

export function membersOfDns(records: readonly SrvMember[], self: SrvSelf): OwnList {
  return readSrvList(records, self);
}

/** A token as its store shows it -> what to do about it. Problems are final: a token cannot be mended. */
export function verdictOf(question: TokenQuestion & { readonly look: TokenLook }): Checked<TokenVerdict> {
  return judgeToken(question);
}

/** What to do, given how this machine comes to ask and what answered; undefined: nobody did. */
export function courseFor(
  coming: Coming,
  cluster: LiveCluster | undefined,
  peerUrls: readonly string[],
): { readonly course: Course; readonly standing: Standing } {
  const standing = standingOf(cluster, peerUrls);
  return { course: courseOf(coming, standing), standing };
}

/** The id by which a first member with these peer URLs is known. */
export function ownId(peerUrls: readonly string[], token: string): string {
  return memberId(peerUrls, token);
}

/** Peer URLs of the members but for this machine's own. */
export function otherPeerUrls(members: readonly EtcdPeer[], own: readonly string[]): readonly string[] {
  return members.flatMap(({ peerUrls }) => (shareUrl(peerUrls, own) ? [] : peerUrls));
}

/** Client URLs that a machine other than the members can use; perhaps none yet. */
export function usableClientUrls(members: readonly LiveMember[]): readonly string[] {
  return clientUrlsOf(members);
}

/** The cluster id that a first list makes. */
export function expectedClusterId(members: readonly EtcdPeer[], token: string): string {
  return clusterId(members, token);
}

export interface Found {
  readonly how: DiscoveryWay;
  readonly token: string;
  readonly size: number;
  readonly name: string;
  /** Of the machine that decides. */
  readonly machineId?: string;
  readonly nowMs: number;
}

/** A member by this very list. `existing`: the settings say that the cluster stands and has taken it in. */
export function listedMember(
  found: Found,
  list: {
    readonly members: readonly EtcdPeer[];
    readonly own: EtcdPeer;
    readonly clientUrls: readonly string[];
    readonly state: "new" | "existing";
  },
): JoinRecord {
  const { members, own, clientUrls, state } = list;
  const isNew = state === "new";
  return {
    ...memberBase(found, clientUrls),
    members,
    ...(isNew ? { clusterId: clusterId(members, found.token) } : {}),
    member: { ...(isNew ? { id: memberId(own.peerUrls, found.token) } : {}), peerUrls: own.peerUrls, state },
  };
}

/** A member of a cluster that stands and has taken it in. `self` has the peer URLs by which it is listed. */
export function existingMember(
  found: Found,
  { cluster, self, clientUrls }: { cluster: LiveCluster; self: EtcdPeer; clientUrls: readonly string[] },
): JoinRecord {
  const members = cluster.members.map((each): EtcdPeer => {
    const isOwn = shareUrl(each.peerUrls, self.peerUrls);
    // etcd wants a name for each, and looks at URLs only: one that has not come up yet is called by its id
    return { name: isOwn ? self.name : each.name === "" ? each.id : each.name, peerUrls: [...each.peerUrls].sort() };
  });
  const listed = cluster.members.find((each) => shareUrl(each.peerUrls, self.peerUrls));
  const peerUrls = listed === undefined ? self.peerUrls : [...listed.peerUrls].sort();
  const base = memberBase(found, clientUrls);
  return {
    ...base,
    members,
    endpoints: [...new Set([...base.endpoints, ...usableBy(clientUrlsOf(cluster.members), base.endpoints)])],
    clusterId: cluster.clusterId,
    member: { ...(listed === undefined ? {} : { id: listed.id }), peerUrls, state: "existing" },
  };
}

/** A member whose data is there: etcd itself knows the rest. */
export function memberWithData(found: Found, self: EtcdPeer, clientUrls: readonly string[]): JoinRecord {
  return {
    ...memberBase(found, clientUrls),
    members: [self],
    member: { peerUrls: self.peerUrls, state: "existing" },
  };
}

/** A machine that uses the cluster. `endpoints` is not empty. */
export function client(found: Found, cluster: LiveCluster, endpoints: readonly string[]): JoinRecord {
  const { nowMs, ...kept } = found;
  const members = cluster.members.map(({ id, name, peerUrls }) => ({ name: name === "" ? id : name, peerUrls }));
  return { role: "client", ...kept, members, endpoints, clusterId: cluster.clusterId, decidedAtMs: nowMs };
}

function memberBase(found: Found, clientUrls: readonly string[]): Omit<JoinRecord, "members"> {
  const { nowMs, ...kept } = found;
  const own = clientUrls.length === 0 ? [usualClientUrl] : clientUrls;
  // Of both http and https only one can be used: https, where etcd serves it
  const secure = own.filter((url) => url.startsWith("https:"));
  const endpoints = [...new Set((secure.length > 0 ? secure : own).map(comparable))];
  return { role: "member", ...kept, endpoints, decidedAtMs: nowMs };
}

function usableBy(urls: readonly string[], own: readonly string[]): readonly string[] {
  const scheme = own[0]?.replace(/:.*/, "://") ?? "";
  return urls.filter((url) => url.startsWith(scheme));
}

/**
 * The file that etcd.service reads as its environment (systemd.exec(5), EnvironmentFile=). With data on the disk etcd
 * looks at the name only.
 */
export function environmentOf({ name, token, members, member }: JoinRecord): string {
  if (member === undefined) throw new Error("A client runs no etcd");
  const values = {
    ETCD_NAME: name,
    ETCD_INITIAL_ADVERTISE_PEER_URLS: member.peerUrls.join(","),
    ETCD_INITIAL_CLUSTER: memberList(members),
    ETCD_INITIAL_CLUSTER_STATE: member.state,
    ETCD_INITIAL_CLUSTER_TOKEN: token,
  };
  // etcd takes an empty variable for an empty value
  const lines = Object.entries(values).flatMap(([key, value]) => (value === "" ? [] : [`${key}=${quoted(value)}\n`]));
  return `# Written by flotilla discovery join. Changes are lost.\n${lines.join("")}`;
}

function quoted(value: string): string {
  return /^[A-Za-z0-9_.,:;/=@%+~?&[\]-]*$/.test(value) ? value : `"${value.replace(/[\\"$`]/g, "\\$&")}"`;
}

/** The kept decision; undefined: there is none. Problem "join-record" when it is damaged. */
export function readRecord(text: string | undefined): Checked<JoinRecord | undefined> {
  return text === undefined ? valid(undefined) : parseJoinRecord(text);
}

export function writeRecord(record: JoinRecord): string {
  return encodeJoinRecord(record);
}

/** A damaged note says nothing: it is as if there were none. */
export function readNote(text: string | undefined): JoinNote | undefined {
  const note = text === undefined ? undefined : parseJoinNote(text);
  return note?.ok === true ? note.value : undefined;
}

export function writeNote(note: JoinNote): string {
  return encodeJoinNote(note);
}

/** Whether only this very machine reaches the host of the URL. */
export function isLoopbackUrl(url: string): boolean {
  return reachOf(url) === "loopback";
}

/** Of a host and port that a machine goes by; the port is undefined where the URL has none. */
export function hostsOf(
  urls: readonly string[],
): readonly { readonly host: string; readonly port: number | undefined }[] {
  return urls.flatMap((text) => {
    const [, host, port] = /^https?:\/\/(\[[^\]]+\]|[^/:]+)(?::(\d+))?$/.exec(text) ?? [];
    if (host === undefined) return [];
    return [{ host: host.replace(/^\[|\]$/g, ""), port: port === undefined ? undefined : Number(port) }];
  });
}

/** The pause after so many failed tries in a row: 1 s to 30 s, give or take a quarter by `chance` in [0, 1). */
export function pauseMs(tries: number, chance: number): number {
  return Math.min(longestPauseMs, firstPauseMs * 2 ** Math.max(0, tries - 1)) * (0.75 + chance / 2);
}

/** A discovery URL for people: its host and the beginning of its token, because who knows the token can join. */
export function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  const token =
    pathname
      .split("/")
      .filter((part) => part !== "")
      .at(-1) ?? "";
  return `discovery service ${origin} (token ${shownToken(token)})`;
}

export function shownToken(token: string): string {
  return token.length <= 4 ? "..." : `${token.slice(0, 4)}...`;
}

/** "m1, m2 are registered". */
export function registeredWords(names: readonly string[]): string {
  if (names.length === 0) return "nobody is registered";
  return `${names.join(", ")} ${names.length === 1 ? "is" : "are"} registered`;
}

/** A decision for people: "member m1 of 3: m1, m2, m3". */
export function joinWords({ role, name, size, member, members, endpoints }: JoinRecord): string {
  if (role === "client") return `client of etcd at ${endpoints.join(", ")}`;
  return member?.state === "existing"
    ? `member ${name} of a cluster of ${Math.max(size, members.length)} that stands`
    : `member ${name} of ${size}: ${members.map((each) => each.name).join(", ")}`;
}
