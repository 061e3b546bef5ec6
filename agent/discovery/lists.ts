// Lists of members that are known beforehand: from the settings, or from DNS. Finds this machine in them. For discovery.ts
// only.
import type { EtcdPeer, EtcdSelf } from "../domain/discovery.ts";
import { Problem, type Checked, invalid, valid } from "../domain/problem.ts";
import { memberList, parseMembers, shareUrl } from "./members.ts";

export interface OwnList {
  readonly members: readonly EtcdPeer[];
  /** Undefined: this machine is none of them. */
  readonly own: EtcdPeer | undefined;
}

/**
 * `[Etcd] InitialCluster=` and this machine: found by its name, and its URLs must then be those of the list; without a
 * list it is the only member. Problems: "discovery-list".
 */
export function readStaticList(items: readonly string[], self: EtcdSelf): Checked<OwnList> {
  if (items.length === 0) {
    if (self.peerUrls.length === 0) throw new Error("A member alone came through without a peer URL");
    return valid({ members: [self], own: self });
  }
  const members = parseMembers(items);
  if (members === undefined) throw new Error("A static list came through unchecked");
  const named = members.find(({ name }) => name === self.name);
  const problem = (message: string, hint: string): Checked<OwnList> =>
    invalid(new Problem("discovery-list", message, { hint }));
  if (self.peerUrls.length === 0) return valid({ members, own: named });
  const at = members.find(({ peerUrls }) => shareUrl(peerUrls, self.peerUrls));
  if (named === undefined && at === undefined) return valid({ members, own: undefined });
  if (named === undefined || at !== named)
    return problem(
      `Cannot find ${memberList([self])} in [Etcd] InitialCluster=`,
      `It has ${memberList([...new Set([named, at].filter((each) => each !== undefined))])}; correct the list, [Etcd] Name= or PeerURLs=`,
    );
  const isSame = [...named.peerUrls].sort().join() === [...self.peerUrls].sort().join();
  if (!isSame)
    return problem(
      `Cannot take [Etcd] PeerURLs=${self.peerUrls.join(",")} for ${self.name}`,
      `[Etcd] InitialCluster= has ${memberList([named])}; both must name the same URLs`,
    );
  return valid({ members, own: named });
}

/** One record of DNS, with the addresses of its host; none where they could not be found. */
export interface SrvMember {
  readonly scheme: "https" | "http";
  /** Without a dot at its end. */
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
}

/** What this machine can be recognised by among the records. */
export interface SrvSelf extends EtcdSelf {
  readonly hostname: string;
  /** Addresses of the hosts of its peer URLs, or its own where there are none; and their ports. */
  readonly at: readonly { readonly address: string; readonly port: number | undefined }[];
}

/**
 * Members of the records, in the records' order, each by a name that nobody else needs to know: this machine's own by its
 * name, the others by numbers, as etcd itself does. This machine is found by host name or by address and port.
 */
export function readSrvList(records: readonly SrvMember[], self: SrvSelf): OwnList {
  const isOwn = ({ scheme, host, port, addresses }: SrvMember): boolean => {
    const url = urlOf({ scheme, host, port });
    if (self.peerUrls.length > 0 && shareUrl([url], self.peerUrls)) return true;
    if (self.peerUrls.length === 0 && host.toLowerCase() === self.hostname.toLowerCase()) return true;
    return self.at.some((own) => addresses.includes(own.address) && (own.port === undefined || own.port === port));
  };
  const own = records.find(isOwn);
  let next = 0;
  const members = records.map((record): EtcdPeer => ({
    name: record === own ? self.name : String(next++),
    peerUrls: [urlOf(record)],
  }));
  const at = own === undefined ? undefined : members[records.indexOf(own)];
  return { members, own: at };
}

function urlOf({ scheme, host, port }: Pick<SrvMember, "scheme" | "host" | "port">): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
