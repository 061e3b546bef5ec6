// How a machine becomes a member of etcd, or a client of it: finds the first members as its settings say, once, and keeps
// the answer. Run before etcd and the agent start; after the first time it reads its own disk and nothing else.
import { joinWords, memberWithData, otherPeerUrls, shownUrl } from "../discovery/discovery.ts";
import type { JoinRecord } from "../domain/discovery.ts";
import { Problem, describeProblem, explainError, toRecord } from "../domain/problem.ts";
import type { EtcdDiscovery } from "../domain/settings.ts";
import { refreshClient, settle } from "./join-cluster.ts";
import { JoinFiles, learnedFile, recordFile } from "./join-files.ts";
import { firstMembers } from "./join-members.ts";
import { JoinWait } from "./join-wait.ts";
import { type JoinWorld, type Joining, foundNow } from "./joining.ts";

/**
 * The decision, kept on the disk when it resolves. Rejects with a Problem where a person has to do something,
 * "discovery-running" while another process is at it, or with the signal's reason.
 */
export async function joinEtcd(world: JoinWorld, signal: AbortSignal): Promise<JoinRecord> {
  // Before anything is shown: what the other one shows is not written over
  const release = await world.lock.take();
  try {
    return await joinAlone(world, signal);
  } finally {
    await release();
  }
}

async function joinAlone(world: JoinWorld, signal: AbortSignal): Promise<JoinRecord> {
  const wait = new JoinWait({ ...world, signal });
  const { settings, store, disk } = world;
  const joining: Joining = {
    ...world,
    wait,
    signal,
    files: new JoinFiles(disk),
    self: { name: settings.name ?? world.name, peerUrls: [...settings.peerUrls].sort() },
    token: tokenOf(settings.discovery),
    shown: store?.shown ?? shownWay(settings.discovery),
  };
  try {
    const record = await decide(joining);
    await joining.files.keep(record);
    await wait.tell("done", joinWords(record));
    return record;
  } catch (error) {
    if (!signal.aborted) await wait.tell("failed", failureWords(error));
    throw error;
  }
}

async function decide(joining: Joining): Promise<JoinRecord> {
  const { files, data, settings, log } = joining;
  const kept = await files.record();
  const record = kept.ok ? kept.value : undefined;
  if (record !== undefined) await refuseCopy(joining, record);
  const hasLog = await data.hasLog();
  // systemd starts etcd when this is over, also where it failed, unless it has nothing to start with. A member that has its
  // data comes up whatever happens here; nothing else does by what was decided earlier
  if (!hasLog || record?.role === "client") await files.withhold();
  if (!kept.ok && !hasLog)
    throw new Problem("join-record", `Cannot use the file ${recordFile} in the agent's state directory`, {
      hint: "It is damaged: restore it; or remove it to join anew, if this machine has never been a member",
      cause: kept.problems[0],
    });
  if (hasLog && record?.role !== "client") {
    if (record === undefined) log.warn("discovery.record-missing", { data: settings.dataDirectory });
    else warnOfOtherWay(joining, record);
    return record ?? memberWithData(foundNow(joining, 1), joining.self, settings.clientUrls);
  }
  if (record?.role === "client") {
    warnOfOtherWay(joining, record);
    return refreshClient(joining, record);
  }
  if (record !== undefined && settings.role === "member") {
    const resumed = await resumeMember(joining, record);
    if (resumed !== undefined) return resumed;
  }
  return firstMembers(joining);
}

/** Two machines with one member's data would be one member to etcd, and harm it. */
async function refuseCopy({ machineId, settings, files }: Joining, record: JoinRecord): Promise<void> {
  if (record.role !== "member" || record.machineId === undefined || machineId === undefined) return;
  if (record.machineId === machineId) return;
  await files.withhold();
  throw new Problem("join-copied", `Cannot be ${record.name}: this disk is a copy of another machine's`, {
    hint: `Remove etcd-*.json from the agent's state directory, and ${settings.dataDirectory}; if it is the same machine with a new machine id, remove "machineId" from ${recordFile}`,
  });
}

/** A member that has been decided on and has no data; undefined: the decision has no weight yet, and is made anew. */
async function resumeMember(joining: Joining, record: JoinRecord): Promise<JoinRecord | undefined> {
  const { files, token, shown, settings, log } = joining;
  const { member, clusterId, members } = record;
  if (member === undefined) return undefined;
  const learned = await files.learned();
  if (learned === "damaged") log.warn("discovery.endpoints-damaged", { file: learnedFile });
  // Somebody wrote the file once it was in touch with a cluster: that it cannot be understood does not undo that
  const isFormed = learned === "damaged" || (learned !== undefined && learned.clusterId === clusterId);
  const isSameWay = record.token === token && record.how === settings.discovery.kind;
  if (!isSameWay && isFormed)
    throw new Problem("discovery-other-cluster", `Cannot join by ${shown}: this machine belongs to another cluster`, {
      hint: `It was a member of cluster ${clusterId} and its etcd data is gone; to give that cluster up, remove etcd-*.json from the agent's state directory`,
    });
  // A list costs nothing to look at again, and may have been corrected
  const isList = record.how === "static" || record.how === "srv";
  if (!isSameWay || (isList && !isFormed && member.state === "new")) return undefined;
  const others = otherPeerUrls(members, member.peerUrls);
  // Of a cluster that stood when this machine found its data, and that it has learned nothing of since
  if (member.state === "existing" && others.length === 0) return undefined;
  const own = { name: record.name, peerUrls: member.peerUrls };
  return settle(joining, {
    found: { ...foundNow(joining, record.size), name: record.name },
    coming: member.state === "existing" ? "rejoining" : isFormed ? "formed" : "decided",
    members,
    own,
    others,
    expected: clusterId,
    record,
  });
}

function tokenOf(discovery: EtcdDiscovery): string {
  switch (discovery.kind) {
    case "v2":
      return discovery.url;
    case "v3":
      return discovery.token.reveal();
    case "static":
    case "srv":
      return discovery.token;
  }
}

function shownWay(discovery: EtcdDiscovery): string {
  switch (discovery.kind) {
    case "v2":
      return shownUrl(discovery.url);
    case "v3":
      return `discovery by ${discovery.endpoints.join(", ")}`;
    case "static":
      return "[Etcd] InitialCluster=";
    case "srv":
      return `the records of ${discovery.domain}`;
  }
}

function warnOfOtherWay({ token, settings, log }: Joining, record: JoinRecord): void {
  if (record.token === token && record.how === settings.discovery.kind) return;
  log.warn("discovery.other-way", {
    message: "The settings name another way to the members than the one this machine has joined by; it has no effect",
    hint: `To join anew, remove etcd-*.json from the agent's state directory and etcd's data`,
  });
}

function failureWords(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(failureWords).join("; ");
  return error instanceof Problem ? describeProblem(toRecord(error)) : explainError(error);
}
