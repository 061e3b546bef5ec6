// etcd's own members behind ports/etcd-cluster.ts: the list, one more, one less. Given to discovery through wire, and to
// etcd-membership.ts, by which the registry learns its endpoints.
import { Problem } from "../../domain/problem.ts";
import type { RegistrySettings } from "../../domain/settings.ts";
import type { Clock } from "../../ports/clock.ts";
import type { EtcdCluster, EtcdMember, EtcdMembers } from "../../ports/etcd-cluster.ts";
import type { Log } from "../../ports/log.ts";
import { refused, unreachable } from "./calls.ts";
import { EtcdConnection, hexId } from "./etcd-connection.ts";
import { isMemberGone, problemOf } from "./etcd-errors.ts";

export interface EtcdClusterOptions {
  /** `endpoints` is not empty, and all https or all http. Of the prefix nothing is read but whether its key exists. */
  readonly settings: RegistrySettings;
  readonly clock: Clock;
  readonly log: Log;
}

interface MemberMessage {
  readonly ID: string;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}
interface MembersResponse {
  readonly header: { readonly cluster_id: string } | null;
  readonly members: readonly MemberMessage[];
}

/** Connects at the first call. */
export function createEtcdCluster(options: EtcdClusterOptions): EtcdCluster {
  const connection = new EtcdConnection(options);
  return {
    members: (signal) => listMembers(connection, signal),
    addMember: (peerUrls, signal) => addMember(connection, peerUrls, signal),
    removeMember: (id, signal) => removeMember(connection, id, signal),
    close: () => connection.close(),
  };
}

/** As EtcdCluster's. */
export async function listMembers(connection: EtcdConnection, signal?: AbortSignal): Promise<EtcdMembers> {
  const what = "list the members of etcd";
  const { header, members } = await connection.call<MembersResponse>(what, {
    service: "Cluster",
    method: "memberList",
    request: { linearizable: true }, // etcd 3.4 does not know it, and ignores it
    signal,
  });
  if (header === null) throw refused(what, "The answer has no header: is it etcd that answers there?");
  return { clusterId: hexId(header.cluster_id), members: inOrder(members) };
}

async function addMember(
  connection: EtcdConnection,
  peerUrls: readonly string[],
  signal: AbortSignal | undefined,
): Promise<{ readonly added: EtcdMember; readonly members: readonly EtcdMember[] }> {
  const what = `add a member with peer URL "${peerUrls.join(",").slice(0, 256)}" to etcd`;
  if (peerUrls.length === 0) throw refused(what, "A member has one peer URL at least");
  const { member, members } = await connection.call<MembersResponse & { readonly member: MemberMessage | null }>(what, {
    service: "Cluster",
    method: "memberAdd",
    request: { peerURLs: [...peerUrls], isLearner: false },
    signal,
  });
  if (member === null) throw unsaid(what, "the new member");
  return { added: read(member), members: inOrder(members) };
}

async function removeMember(connection: EtcdConnection, id: string, signal: AbortSignal | undefined): Promise<void> {
  const what = `remove member ${id.slice(0, 32)} from etcd`;
  if (!/^[0-9a-f]{1,16}$/.test(id)) throw refused(what, "A member's id has up to 16 lowercase hex digits");
  const request = { ID: String(BigInt(`0x${id}`)) };
  try {
    await connection.unary(what, { service: "Cluster", method: "memberRemove", request, signal });
  } catch (error) {
    if (error instanceof Problem || !isMemberGone(error)) throw problemOf(what, error);
  }
}

/** protobuf leaves out what is not sent. */
function unsaid(what: string, missing: string): Problem {
  return unreachable(what, new Error(`etcd's answer does not say ${missing}`), "It is asked again later");
}

function read({ ID, name, peerURLs, clientURLs, isLearner }: MemberMessage): EtcdMember {
  return { id: hexId(ID), name, peerUrls: peerURLs, clientUrls: clientURLs, isLearner };
}

/** By id as a number, as etcdctl does: ids differ in length. */
function inOrder(members: readonly MemberMessage[]): readonly EtcdMember[] {
  return members.map(read).sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
}
