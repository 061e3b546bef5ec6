// What a cluster that is up says of this machine, and what follows: begin, go back in, or be a client. Nothing here lets a
// machine begin anew in a cluster that has formed. For join.ts and join-members.ts only.
import {
  type Found,
  client,
  courseFor,
  existingMember,
  listedMember,
  memberWithData,
  otherPeerUrls,
  ownId,
  usableClientUrls,
  verdictOf,
} from "../discovery/discovery.ts";
import type { EtcdPeer, JoinRecord, LiveCluster, LiveMember } from "../domain/discovery.ts";
import { Problem } from "../domain/problem.ts";
import { type Joining, foundNow, ownNote } from "./joining.ts";

/** For peers that are up this is long; for those that are not it is waited in vain. */
const askPeersMs = 3_000;
/** Before a member is taken out, its own peer URL is silent this often, with pauses in between: 2 to 11 s in all. */
const ownTries = 3;
const ownPauseMs = 1_000;
/** A client's endpoints are looked at anew for so long when it boots; then those that it has must do. */
const refreshMs = 5_000;
/** While a cluster forms, or comes back, it is asked this often. */
const longestPauseMs = 5_000;

type Coming = Parameters<typeof courseFor>[0];

export interface Settling {
  readonly found: Found;
  readonly coming: Coming;
  readonly members: readonly EtcdPeer[];
  /** What this machine would be as a member; undefined: it is to be none. */
  readonly own: EtcdPeer | undefined;
  /** Peer URLs to ask. */
  readonly others: readonly string[];
  /** The cluster's id, where it is known beforehand. */
  readonly expected: string | undefined;
  /** The decision that stands unless the cluster says otherwise. */
  readonly record?: JoinRecord;
}

/** Asks the members that are up until it is clear what this machine is. */
export async function settle(joining: Joining, settling: Settling): Promise<JoinRecord> {
  const { wait, settings } = joining;
  const { found, coming, members, own, others, expected, record } = settling;
  for (;;) {
    // A disk may be mounted late: a member whose data is back is what it was
    if (own !== undefined && (await joining.data.hasLog()))
      return record ?? memberWithData(foundNow(joining, found.size), joining.self, settings.clientUrls);
    const { cluster, error } = await askPeers(joining, others);
    if (cluster !== undefined && expected !== undefined && cluster.clusterId !== expected)
      throw otherCluster(joining, { expected, reported: cluster.clusterId });
    const placed = courseFor(coming, cluster, own?.peerUrls ?? []);
    const isHalfway =
      own !== undefined &&
      placed.standing.kind === "unknown" &&
      (await ownNote(joining, own.peerUrls))?.kind === "replacing";
    switch (isHalfway ? "replace" : placed.course) {
      case "new":
        if (own === undefined) throw new Error("A client would begin a cluster");
        return record ?? listedMember(found, { members, own, clientUrls: settings.clientUrls, state: "new" });
      case "existing":
        if (own === undefined) throw new Error("A client would be a member");
        if (cluster === undefined) {
          if (record === undefined) throw new Error("A cluster that nobody has seen stands");
          return record;
        }
        return existingMember(found, { cluster, self: own, clientUrls: settings.clientUrls });
      case "replace": {
        if (own === undefined || cluster === undefined) throw new Error("A client would be replaced");
        const replaced = await replace(joining, { ...settling, own, cluster });
        if (replaced !== undefined) return replaced;
        break;
      }
      case "client": {
        const endpoints = cluster === undefined ? [] : usableClientUrls(cluster.members);
        if (cluster !== undefined && endpoints.length > 0) return client(found, cluster, endpoints);
        await wait.pause("waiting for a client URL of etcd that this machine can use: its members tell none yet", {
          mostMs: longestPauseMs,
        });
        break;
      }
      case "wait":
        await wait.pause(waitWords(joining, { coming, size: found.size, standing: placed.standing.kind }), {
          ...(error === undefined ? {} : { error }),
          mostMs: longestPauseMs,
        });
        break;
    }
  }
}

interface Answered {
  readonly cluster?: LiveCluster;
  readonly error?: Problem;
}

/** Nobody's answer is an answer too. */
async function askPeers({ reach, signal }: Joining, peerUrls: readonly string[]): Promise<Answered> {
  if (peerUrls.length === 0) return {};
  try {
    return { cluster: await reach.askPeers(peerUrls, { timeoutMs: askPeersMs, signal }) };
  } catch (error) {
    if (error instanceof Problem && error.code === "registry-unreachable") return { error };
    throw error;
  }
}

function waitWords(
  { shown }: Joining,
  { coming, size, standing }: { readonly coming: Coming; readonly size: number; readonly standing: string },
): string {
  if (coming === "surplus") return `waiting for etcd: the ${size} members of ${shown} are known, and none is up yet`;
  if (standing === "unknown")
    return coming === "listed"
      ? "waiting to be taken in: etcd is up and does not know this machine (etcdctl member add, or [Etcd] Role=client)"
      : "waiting to be taken in again: etcd is up and has removed this machine (etcdctl member add)";
  return "waiting for a member that is up: this machine has no etcd data and may have been in the cluster (if all of it is lost, a person restores a snapshot or makes a new token)";
}

/**
 * Takes the member that this machine was out of the cluster and in again, as one that begins without data. Undefined: it
 * could not be done yet, and was waited for; or its data is there after all.
 */
async function replace(
  joining: Joining,
  { found, own, cluster }: Settling & { readonly own: EtcdPeer; readonly cluster: LiveCluster },
): Promise<JoinRecord | undefined> {
  const { wait, reach, files, token, settings, signal } = joining;
  await refuseRunning(joining, own);
  const what = `waiting for etcd to take ${own.name} in again: its data is gone`;
  const endpoints = usableClientUrls(cluster.members.filter(({ peerUrls }) => !isSame(peerUrls, own)));
  if (endpoints.length === 0) {
    await wait.pause(what, {
      error: new Problem("registry-unreachable", "Cannot find a client URL of another member"),
      mostMs: longestPauseMs,
    });
    return undefined;
  }
  const etcd = reach.connect(endpoints);
  try {
    const { clusterId, members } = await etcd.members(signal);
    const before = members.find(({ peerUrls }) => isSame(peerUrls, own));
    await files.writeNote({ kind: "replacing", token, id: ownId(own.peerUrls, token) });
    // The last moment: a disk that was mounted while the others were asked has the data that seemed lost
    if (await joining.data.hasLog()) return undefined;
    if (before !== undefined) await etcd.removeMember(before.id, signal);
    const after = await etcd.addMember(own.peerUrls, signal);
    joining.log.info("discovery.replaced", { name: own.name, before: before?.id, after: after.added.id });
    return existingMember(found, {
      cluster: { clusterId, members: after.members },
      self: own,
      clientUrls: settings.clientUrls,
    });
  } catch (error) {
    if (!(error instanceof Problem) || error.code === "aborted") throw error;
    await wait.pause(what, { error, mostMs: longestPauseMs });
    return undefined;
  } finally {
    await etcd.close();
  }
}

/** One silence is not enough to take a member out: a lost packet or a pause of etcd looks the same. */
async function refuseRunning(joining: Joining, own: EtcdPeer): Promise<void> {
  const { clock, signal } = joining;
  for (let tries = 1; tries <= ownTries; tries++) {
    if (tries > 1) await clock.sleep(ownPauseMs, signal);
    const { cluster } = await askPeers(joining, own.peerUrls);
    if (cluster !== undefined)
      throw new Problem("discovery-duplicate", `Cannot be ${own.name}: an etcd answers at ${own.peerUrls.join(", ")}`, {
        hint: "Another machine has this address, or etcd was started by hand from another folder; correct PeerURLs= or stop it",
      });
  }
}

function isSame(peerUrls: readonly string[], own: EtcdPeer): boolean {
  return otherPeerUrls([{ name: "", peerUrls }], own.peerUrls).length === 0;
}

function otherCluster(
  { shown }: Joining,
  { expected, reported }: { readonly expected: string; readonly reported: string },
): Problem {
  return new Problem("discovery-other-cluster", `Cannot join by ${shown}: its members are in another cluster`, {
    hint: `By the token it is cluster ${expected}, and they say ${reported}; give this machine the token of its own cluster, or [Registry] Endpoints=`,
  });
}

/**
 * A client at a later boot: its endpoints as the cluster has them now, or those that it has when nobody answers in time. An
 * operator may have taken it in as a member in the meantime.
 */
export async function refreshClient(joining: Joining, record: JoinRecord): Promise<JoinRecord> {
  const { settings, self, log, signal } = joining;
  const cluster = await seen(joining, record);
  if (cluster === undefined) {
    log.warn("discovery.unanswered", { what: "nobody of the cluster answers; its last known endpoints are used" });
    return record;
  }
  if (record.clusterId !== undefined && cluster.clusterId !== record.clusterId)
    throw new Problem(
      "discovery-other-cluster",
      "Cannot be a client of this etcd: it is another cluster than the one this machine has joined",
      {
        hint: `It joined cluster ${record.clusterId}, and ${cluster.clusterId} answers; to give the former up, remove etcd-*.json from the agent's state directory`,
      },
    );
  signal.throwIfAborted();
  const found = { ...foundNow(joining, record.size), name: record.name, token: record.token, how: record.how };
  const own = { name: self.name, peerUrls: self.peerUrls };
  const { course } = courseFor("surplus", cluster, own.peerUrls);
  if (settings.role === "member" && course === "existing")
    return existingMember({ ...found, name: self.name }, { cluster, self: own, clientUrls: settings.clientUrls });
  const endpoints = usableClientUrls(cluster.members);
  const fresh = client({ ...found, nowMs: record.decidedAtMs }, cluster, endpoints);
  return endpoints.length === 0 ? record : fresh;
}

/** The cluster as somebody of it says it: by the known endpoints, else by the known peers, else by the token's. */
async function seen(joining: Joining, record: JoinRecord): Promise<LiveCluster | undefined> {
  const { files, clock, signal } = joining;
  const late = new AbortController();
  const limit = AbortSignal.any([signal, late.signal]);
  const timer = clock.sleep(refreshMs, limit).then(
    () => late.abort(),
    () => undefined, // answered in time, or given up
  );
  try {
    const learned = await files.learned();
    const kept = learned === undefined || learned === "damaged" ? [] : learned.endpoints;
    const endpoints = [...new Set([...kept, ...record.endpoints])];
    return (
      (await orNothing(joining, () => membersAt(joining, endpoints, limit))) ??
      (await orNothing(joining, () => peersOf({ ...joining, signal: limit }, record.members))) ??
      (await orNothing(joining, () => peersOfToken({ ...joining, signal: limit })))
    );
  } finally {
    late.abort();
    await timer;
  }
}

async function orNothing<T>({ signal }: Joining, ask: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Problem) return undefined; // whoever is asked next may answer; in the end what is known must do
    throw error;
  }
}

async function membersAt({ reach }: Joining, endpoints: readonly string[], signal: AbortSignal): Promise<LiveCluster> {
  const etcd = reach.connect(endpoints);
  try {
    return await etcd.members(signal);
  } finally {
    await etcd.close();
  }
}

async function peersOf(joining: Joining, members: readonly EtcdPeer[]): Promise<LiveCluster | undefined> {
  const { cluster } = await askPeers(
    joining,
    members.flatMap(({ peerUrls }) => peerUrls),
  );
  return cluster?.members.some(({ clientUrls }: LiveMember) => clientUrls.length > 0) === true ? cluster : undefined;
}

async function peersOfToken(joining: Joining): Promise<LiveCluster | undefined> {
  const { store, settings, self, token, shown, signal } = joining;
  const { kind } = settings.discovery;
  if (store === undefined || (kind !== "v2" && kind !== "v3")) return undefined;
  const look = await store.look(signal);
  const verdict = verdictOf({ look, self, role: "client", kind, token, shown, isLocalStore: store.isLocal });
  return verdict.ok && verdict.value.kind === "complete" ? peersOf(joining, verdict.value.members) : undefined;
}
