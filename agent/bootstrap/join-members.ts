// The first members, by list, DNS or token: asks until all are known, and registers this machine where that is needed. For
// join.ts only.
import {
  expectedClusterId,
  hostsOf,
  listedMember,
  membersOfDns,
  membersOfList,
  otherPeerUrls,
  ownId,
  registeredWords,
  verdictOf,
} from "../discovery/discovery.ts";
import type { EtcdPeer, JoinRecord, TokenLook } from "../domain/discovery.ts";
import { type Checked, Problem } from "../domain/problem.ts";
import type { DiscoveryStore } from "../ports/discovery.ts";
import { settle } from "./join-cluster.ts";
import { type Joining, foundNow, ownNote } from "./joining.ts";

/** A long poll may be lost on the way: the token is looked at again after this, whatever it says. */
const pollMs = 5_000;
/** Between two looks, however quickly the store says that something is new. */
const leastGapMs = 200;

export async function firstMembers(joining: Joining): Promise<JoinRecord> {
  const { discovery } = joining.settings;
  switch (discovery.kind) {
    case "static":
      return byList(joining, orThrow(membersOfList(discovery.initialCluster, joining.self)), discovery.state);
    case "srv":
      return byDns(joining, discovery);
    case "v2":
    case "v3":
      if (joining.store === undefined) throw new Error("A token came without its store");
      return byToken(joining, joining.store, discovery.kind);
  }
}

interface List {
  readonly members: readonly EtcdPeer[];
  readonly own: EtcdPeer | undefined;
}

async function byList(joining: Joining, { members, own }: List, state: "new" | "existing"): Promise<JoinRecord> {
  const { self, settings, shown } = joining;
  const found = foundNow(joining, members.length);
  if (settings.role === "client") {
    const others = members.flatMap(({ peerUrls }) => peerUrls);
    return settle(joining, { found, coming: "surplus", members, own: undefined, others, expected: undefined });
  }
  if (own === undefined)
    throw new Problem("discovery-list", `Cannot find ${self.name} in ${shown}`, {
      hint: "Add it with its peer URLs, or set [Etcd] Role=client for a machine that only uses etcd",
    });
  const { clientUrls } = settings;
  if (state === "existing") return listedMember(found, { members, own, clientUrls, state });
  const others = otherPeerUrls(members, own.peerUrls);
  return settle(joining, { found, coming: "listed", members, own, others, expected: undefined });
}

async function byDns(
  joining: Joining,
  discovery: { readonly domain: string; readonly serviceName: string | undefined; readonly state: "new" | "existing" },
): Promise<JoinRecord> {
  const { wait, shown, settings, self } = joining;
  await wait.tell("asking", `asking for ${shown}`);
  for (;;) {
    let list: List;
    try {
      list = await lookUp(joining, discovery);
    } catch (error) {
      await wait.pause(`waiting for ${shown}`, { error: retryable(error, "names-unreachable") });
      continue;
    }
    if (list.members.length === 0) await wait.pause(`waiting for ${shown}: there are none`);
    else if (list.own === undefined && settings.role === "member")
      await wait.pause(
        `waiting for a record of ${self.peerUrls.length > 0 ? self.peerUrls.join(", ") : self.name} in ${shown}`,
      );
    else if (settings.role === "member" && list.members.length === 1 && discovery.state === "new")
      // Records come one by one: a cluster of one would keep all later ones out
      await wait.pause(
        `waiting for records of other members in ${shown}: this machine's is the only one (for a cluster of one, leave DiscoverySRV= out)`,
      );
    else return byList(joining, list, discovery.state);
  }
}

async function lookUp(
  { names, self, hostname, publicIp, signal }: Joining,
  { domain, serviceName }: { readonly domain: string; readonly serviceName: string | undefined },
): Promise<List> {
  const suffix = serviceName === undefined ? "" : `-${serviceName}`;
  const [secure, plain] = await Promise.all([
    names.srv(`_etcd-server-ssl${suffix}._tcp.${domain}`, signal),
    names.srv(`_etcd-server${suffix}._tcp.${domain}`, signal),
  ]);
  const records = [
    ...secure.map((record) => ({ ...record, scheme: "https" as const })),
    ...plain.map((record) => ({ ...record, scheme: "http" as const })),
  ];
  const withAddresses = await Promise.all(
    records.map(async (record) => ({ ...record, addresses: await names.addresses(record.host, signal) })),
  );
  const own = await Promise.all(
    hostsOf(self.peerUrls).map(async ({ host, port }) =>
      (await names.addresses(host, signal)).map((address) => ({ address, port })),
    ),
  );
  const at = self.peerUrls.length > 0 ? own.flat() : publicIp === "" ? [] : [{ address: publicIp, port: undefined }];
  return membersOfDns(withAddresses, { ...self, hostname, at });
}

async function byToken(joining: Joining, store: DiscoveryStore, kind: "v2" | "v3"): Promise<JoinRecord> {
  const { wait, self, settings, token, files, signal } = joining;
  const question = { self, role: settings.role, kind, token, shown: store.shown, isLocalStore: store.isLocal };
  let refusal: Problem | undefined;
  await wait.tell("asking", `asking ${store.shown}`);
  for (;;) {
    let look: TokenLook;
    try {
      look = await store.look(signal);
    } catch (error) {
      await wait.pause(`waiting for ${store.shown}`, { error: retryable(error, "discovery-unreachable") });
      continue;
    }
    const verdict = orThrow(verdictOf({ ...question, look }));
    switch (verdict.kind) {
      case "absent":
        await wait.pause(`waiting for ${store.shown}: there is no such token (flotilla discovery new makes one)`);
        break;
      case "register":
        // Refused by the store, and the token does not show why
        if (refusal !== undefined) throw refusal;
        refusal = await register(joining, store, verdict);
        break;
      case "wait": {
        // All members have not been there yet: no cluster can have formed, and this entry is of a first try
        if (verdict.own && (await ownNote(joining, self.peerUrls)) === undefined)
          await files.writeNote({ kind: "registering", token, id: ownId(self.peerUrls, token) });
        const { missing, size, registered } = verdict;
        const what = `waiting for ${missing} of ${size} members: ${registeredWords(registered)}`;
        await wait.tell("waiting", what, { missing });
        wait.refuse(what);
        await news(joining, store, look.kind === "token" ? look.revision : 0);
        break;
      }
      case "complete":
        return complete(joining, verdict);
    }
  }
}

/** The store's refusal, where it has one. */
async function register(
  { files, wait, token, signal }: Joining,
  store: DiscoveryStore,
  { id, value }: { readonly id: string; readonly value: string },
): Promise<Problem | undefined> {
  // Before the store knows of it: after a crash the entry must be known as this machine's own
  await files.writeNote({ kind: "registering", token, id });
  try {
    const result = await store.register({ id, value }, signal);
    if (result.kind === "created") return undefined;
    if (result.kind === "refused") return result.problem;
    // The look before did not show it: it is news, or no member that anybody could read
    await wait.pause(`waiting for ${store.shown} to show the entry of this machine`, { mostMs: pollMs });
    return new Problem("discovery-duplicate", `Cannot register with ${store.shown}: this machine's id is taken`, {
      hint: `Its entry ${id} is no member that can be understood; make another token with flotilla discovery new`,
    });
  } catch (error) {
    await wait.pause(`waiting for ${store.shown}`, { error: retryable(error, "discovery-unreachable") });
    return undefined;
  }
}

/** Until the token may have changed, or it is time to look again anyway. */
async function news({ clock, wait, signal }: Joining, store: DiscoveryStore, revision: number): Promise<void> {
  const beganMs = clock.monotonicMs();
  try {
    await store.changed({ revision, mostMs: pollMs }, signal);
  } catch (error) {
    await wait.pause(`waiting for ${store.shown}`, { error: retryable(error, "discovery-unreachable") });
  }
  const tookMs = clock.monotonicMs() - beganMs;
  if (tookMs < leastGapMs) await clock.sleep(leastGapMs - tookMs, signal);
}

async function complete(
  joining: Joining,
  verdict: { readonly own: boolean; readonly size: number; readonly members: readonly EtcdPeer[] },
): Promise<JoinRecord> {
  const { self, settings, token, shown } = joining;
  const { members, size } = verdict;
  const found = foundNow(joining, size);
  const note = await ownNote(joining, self.peerUrls);
  const own = verdict.own ? members.find(({ name }) => name === self.name) : undefined;
  // Registered by this machine, and nothing decided yet. The others may have formed the cluster since, and changed it.
  const isNoted = own !== undefined && note?.kind === "registering";
  const others = otherPeerUrls(members, self.peerUrls);
  if (own !== undefined && !isNoted && others.length === 0)
    throw new Problem(
      "discovery-lost",
      `Cannot join by ${shown}: this machine was its only member, and its data is gone`,
      {
        hint: "Restore etcd's data from a snapshot, or begin anew with a new token",
      },
    );
  const expected = expectedClusterId(members, token);
  return settle(joining, {
    found,
    coming: own === undefined ? "surplus" : isNoted ? "noted" : "registered",
    members,
    own: own ?? (settings.role === "member" ? self : undefined),
    others,
    expected,
  });
}

/** The error where it is of this kind; every other is thrown on. */
function retryable(error: unknown, code: string): Problem {
  if (error instanceof Problem && error.code === code) return error;
  throw error;
}

function orThrow<T>(checked: Checked<T>): T {
  if (checked.ok) return checked.value;
  const [only] = checked.problems;
  if (only !== undefined && checked.problems.length === 1) throw only;
  throw new AggregateError(checked.problems, "Cannot join etcd");
}
