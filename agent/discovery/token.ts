// A token, as its store shows it, and this machine -> what to do: register, wait, or that all are there. Every doubt is a
// refusal before anything is written into the token, because what is in it cannot be taken back. For discovery.ts only.
import type { EtcdPeer, EtcdSelf, TokenEntry, TokenLook } from "../domain/discovery.ts";
import { Problem, type Checked, invalid, valid } from "../domain/problem.ts";
import { comparable, isSameId, memberId, memberList, parseEntry, reachOf, shareUrl } from "./members.ts";

/** More members make etcd slower and not safer. */
const maxSize = 9;

export interface TokenQuestion {
  readonly look: TokenLook;
  readonly self: EtcdSelf;
  readonly role: "member" | "client";
  readonly kind: "v2" | "v3";
  /** The cluster's token: it is part of the member's id. */
  readonly token: string;
  /** The token as people may see it. */
  readonly shown: string;
  /** Whether the store is on this very machine: a cluster on loopback addresses is then a cluster all the same. */
  readonly isLocalStore: boolean;
}

export type TokenVerdict =
  /** The token was never made. */
  | { readonly kind: "absent" }
  | { readonly kind: "register"; readonly id: string; readonly value: string; readonly size: number }
  /** `own`: this machine is one of the registered. */
  | {
      readonly kind: "wait";
      readonly own: boolean;
      readonly size: number;
      readonly registered: readonly string[];
      readonly missing: number;
    }
  /** All members are there; `own`: this machine is one of them. */
  | { readonly kind: "complete"; readonly own: boolean; readonly size: number; readonly members: readonly EtcdPeer[] };

interface Registered {
  readonly entry: TokenEntry;
  readonly member: EtcdPeer;
}

/** Problems: "discovery-size", "discovery-entry", "discovery-duplicate", "discovery-address". */
export function judgeToken(question: TokenQuestion): Checked<TokenVerdict> {
  const { look, self, token, role } = question;
  if (look.kind === "absent") return valid({ kind: "absent" });
  const size = /^[0-9]{1,3}$/.test(look.size) ? Number(look.size) : 0;
  if (size < 1 || size > maxSize) return invalid(badSize(question, look.size));
  const read = readEntries(question, look.entries);
  if (!read.ok) return read;
  // Later ones are too late: they count for nothing
  const first = read.value.slice(0, size);
  const twin = sameNames(first);
  if (twin !== undefined) return invalid(twinProblem(question, twin));
  const id = role === "member" ? memberId(self.peerUrls, token) : undefined;
  const own = id === undefined ? undefined : read.value.find(({ entry }) => isSameId(entry.id, id));
  if (own !== undefined && !isSameMember(own.member, self)) return invalid(idConflict(question, own.member));
  const isOwn = own !== undefined && first.includes(own);
  if (first.length === size)
    return valid({ kind: "complete", own: isOwn, size, members: first.map(({ member }) => member) });
  if (id === undefined || own !== undefined) {
    const registered = first.map(({ member }) => member.name);
    return valid({ kind: "wait", own: isOwn, size, registered, missing: size - first.length });
  }
  const clash = clashOf(question, first) ?? addressProblem(question, { size, first });
  return clash === undefined ? valid({ kind: "register", id, value: memberList([self]), size }) : invalid(clash);
}

/** In the order of registration. Of version 3 etcd itself passes over entries that are none; of version 2 it stops. */
function readEntries(question: TokenQuestion, entries: readonly TokenEntry[]): Checked<readonly Registered[]> {
  const read: Registered[] = [];
  for (const entry of [...entries].sort((a, b) => a.order - b.order)) {
    const member = parseEntry(entry.value);
    if (member !== undefined) read.push({ entry, member });
    else if (question.kind === "v2")
      return invalid(
        new Problem("discovery-entry", `Cannot use ${question.shown}: entry ${entry.id.slice(0, 64)} is no member`, {
          hint: `It is "${printable(entry.value)}" and not NAME=URL; make a new token`,
        }),
      );
  }
  return valid(read);
}

function isSameMember(one: EtcdPeer, other: EtcdSelf): boolean {
  const urls = (all: readonly string[]): string => all.map(comparable).sort().join(" ");
  return one.name === other.name && urls(one.peerUrls) === urls(other.peerUrls);
}

function badSize({ shown }: TokenQuestion, size: string): Problem {
  return new Problem("discovery-size", `Cannot use ${shown}: its size is "${printable(size)}"`, {
    hint: `A cluster has 1 to ${maxSize} members; make a new token`,
  });
}

function sameNames(first: readonly Registered[]): readonly [EtcdPeer, EtcdPeer] | undefined {
  const known = new Map<string, EtcdPeer>();
  for (const { member } of first) {
    const other = known.get(member.name);
    if (other !== undefined) return [other, member];
    known.set(member.name, member);
  }
  return undefined;
}

function twinProblem({ shown }: TokenQuestion, [one, other]: readonly [EtcdPeer, EtcdPeer]): Problem {
  return new Problem("discovery-duplicate", `Cannot use ${shown}: two of its members have the name ${one.name}`, {
    hint: `They are at ${one.peerUrls.join(", ")} and at ${other.peerUrls.join(", ")}; give each machine a name of its own and make a new token`,
  });
}

function idConflict({ self, shown }: TokenQuestion, other: EtcdPeer): Problem {
  return new Problem(
    "discovery-duplicate",
    `Cannot register ${memberList([self])} with ${shown}: its id is that of ${memberList([other])}`,
    { hint: "Two machines have the same peer URLs, or this one was renamed; correct [Etcd] PeerURLs= or Name=" },
  );
}

/** What this machine has in common with one that is registered already. */
function clashOf({ self, shown }: TokenQuestion, first: readonly Registered[]): Problem | undefined {
  const named = first.find(({ member }) => member.name === self.name);
  if (named !== undefined)
    return new Problem(
      "discovery-duplicate",
      `Cannot register ${memberList([self])} with ${shown}: another member has this name`,
      {
        hint: `It is ${memberList([named.member])}; give each machine a name of its own, by its hostname or [Etcd] Name=`,
      },
    );
  const at = first.find(({ member }) => shareUrl(member.peerUrls, self.peerUrls));
  if (at === undefined) return undefined;
  return new Problem(
    "discovery-duplicate",
    `Cannot register ${memberList([self])} with ${shown}: another member has this URL`,
    { hint: `It is ${memberList([at.member])}; correct [Etcd] PeerURLs=` },
  );
}

/** A member that the others cannot reach spoils the token for all of them. */
function addressProblem(
  { self, shown, isLocalStore }: TokenQuestion,
  { size, first }: { readonly size: number; readonly first: readonly Registered[] },
): Problem | undefined {
  const bad = self.peerUrls.find((url) => reachOf(url) === "unspecified");
  const cannot = (url: string, hint: string): Problem =>
    new Problem("discovery-address", `Cannot register ${url} with ${shown}: no other machine can reach it`, { hint });
  const cure = "Set [Etcd] PeerURLs= to an address of this machine in the members' network";
  if (bad !== undefined) return cannot(bad, cure);
  if (self.peerUrls.length === 0) return cannot("no URL", cure);
  const isLoopback = (url: string): boolean => reachOf(url) === "loopback";
  const own = self.peerUrls.find(isLoopback);
  const others = first.flatMap(({ member }) => member.peerUrls);
  if (own !== undefined && size > 1 && (!isLocalStore || !others.every(isLoopback))) return cannot(own, cure);
  const poison = own === undefined ? first.find(({ member }) => member.peerUrls.every(isLoopback)) : undefined;
  if (poison === undefined) return undefined;
  return new Problem(
    "discovery-address",
    `Cannot use ${shown}: no other machine can reach its member ${memberList([poison.member])}`,
    { hint: "Correct that machine's peer URLs and make a new token" },
  );
}

/** Others' text for a message: cut, and with nothing in it that moves a cursor. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, "?").slice(0, 128);
}
