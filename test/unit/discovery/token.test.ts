import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { describeProblem, toRecord } from "../../../agent/domain/problem.ts";
import type { TokenEntry } from "../../../agent/domain/discovery.ts";
import { memberId } from "../../../agent/discovery/members.ts";
import { type TokenQuestion, judgeToken } from "../../../agent/discovery/token.ts";
import { fc, tries } from "../../property.ts";

const token = "http://store/t";

/** `m1=URL` entries in the order of registration, each under the id that its URLs have. */
function entriesOf(...values: readonly string[]): readonly TokenEntry[] {
  return values.map((value, index) => ({
    id: memberId(
      value.split(",").map((part) => part.replace(/^[^=]*=/, "")),
      token,
    ),
    value,
    order: 10 + index,
  }));
}

interface Given {
  readonly size?: string;
  readonly entries?: readonly TokenEntry[];
  readonly self?: string;
  readonly role?: "member" | "client";
  readonly kind?: "v2" | "v3";
  readonly isLocalStore?: boolean;
}

function question({
  size = "3",
  entries = [],
  self = m(1),
  role = "member",
  kind = "v2",
  isLocalStore = false,
}: Given) {
  const parts = self.split(",");
  const asked: TokenQuestion = {
    look: { kind: "token", size, entries, revision: 20 },
    self: { name: parts[0]?.split("=")[0] ?? "", peerUrls: parts.map((part) => part.replace(/^[^=]*=/, "")) },
    role,
    kind,
    token,
    shown: "STORE",
    isLocalStore,
  };
  return asked;
}

/** The verdict in words. */
function judged(given: Given): string {
  const verdict = judgeToken(question(given));
  if (!verdict.ok)
    return verdict.problems.map((problem) => `${problem.code}: ${describeProblem(toRecord(problem))}`).join();
  const { value } = verdict;
  switch (value.kind) {
    case "absent":
      return "absent";
    case "register":
      return `register ${value.value}`;
    case "wait":
      return `wait for ${value.missing} of ${value.size}, ${value.own ? "own" : "not own"}, ${value.registered.join(" ")}`;
    case "complete":
      return `complete, ${value.own ? "own" : "not own"}, ${value.members.map(({ name }) => name).join(" ")}`;
  }
}

const m = (number: number): string => `m${number}=http://10.0.0.${number}:2380`;

suite("discovery: a token", () => {
  const cases: readonly (Given & { readonly name: string; readonly expect: string | RegExp })[] = [
    { name: "an empty token", expect: `register ${m(1)}` },
    { name: "others are there", entries: entriesOf(m(2)), expect: `register ${m(1)}` },
    { name: "several URLs", self: "m1=http://b:1,m1=http://a:1", expect: "register m1=http://b:1,m1=http://a:1" },
    {
      name: "own entry: a restart while waiting",
      entries: entriesOf(m(2), m(1)),
      expect: "wait for 1 of 3, own, m2 m1",
    },
    {
      name: "own entry with its URLs in another order",
      self: "m1=http://a:1,m1=http://b:1",
      entries: entriesOf("m1=http://b:1,m1=http://a:1"),
      expect: "wait for 2 of 3, own, m1",
    },
    {
      name: "own entry with zeros before its id",
      entries: [{ id: `00${memberId(["http://10.0.0.1:2380"], token)}`, value: m(1), order: 1 }],
      expect: "wait for 2 of 3, own, m1",
    },
    { name: "all are there", entries: entriesOf(m(3), m(1), m(2)), expect: "complete, own, m3 m1 m2" },
    {
      name: "the order is that of registration, not of the listing",
      entries: [...entriesOf(m(3), m(1), m(2))].reverse(),
      expect: "complete, own, m3 m1 m2",
    },
    {
      name: "full without this machine",
      self: m(4),
      entries: entriesOf(m(1), m(2), m(3)),
      expect: "complete, not own, m1 m2 m3",
    },
    {
      name: "a race lost: registered as the fourth of three",
      self: m(4),
      entries: entriesOf(m(1), m(2), m(3), m(4)),
      expect: "complete, not own, m1 m2 m3",
    },
    {
      name: "a race won: the fourth counts for nothing",
      entries: entriesOf(m(1), m(2), m(3), m(4)),
      expect: "complete, own, m1 m2 m3",
    },
    {
      name: "full, and a surplus machine of a name that is there",
      self: "m1=http://10.0.0.9:2380",
      entries: entriesOf(m(1), m(2), m(3)),
      expect: "complete, not own, m1 m2 m3",
    },
    {
      name: "a later twin of a name counts for nothing",
      entries: entriesOf(m(1), m(2), m(3), "m1=http://10.0.0.9:2380"),
      expect: "complete, own, m1 m2 m3",
    },
    {
      name: "a client does not register",
      role: "client",
      entries: entriesOf(m(2)),
      expect: "wait for 2 of 3, not own, m2",
    },
    {
      name: "a client of a full token",
      role: "client",
      entries: entriesOf(m(1), m(2), m(3)),
      expect: "complete, not own, m1 m2 m3",
    },
    {
      name: "another member has this name: refused before it registers",
      entries: entriesOf("m1=http://10.0.0.7:2380"),
      expect:
        "discovery-duplicate: Cannot register m1=http://10.0.0.1:2380 with STORE: another member has this name (It is m1=http://10.0.0.7:2380; give each machine a name of its own, by its hostname or [Etcd] Name=)",
    },
    {
      name: "another member has this URL, and so this id",
      entries: entriesOf("m7=http://10.0.0.1:2380"),
      expect: /^discovery-duplicate: Cannot register m1=.* its id is that of m7=http:\/\/10\.0\.0\.1:2380 \(/,
    },
    {
      name: "another member has one of two URLs",
      self: "m1=http://10.0.0.1:2380,m1=http://10.0.1.1:2380",
      entries: entriesOf("m7=http://10.0.0.1:2380"),
      expect: /^discovery-duplicate: .* another member has this URL \(It is m7=/,
    },
    {
      name: "two others have one name",
      entries: entriesOf("m2=http://a:1", "m2=http://b:1"),
      expect:
        /^discovery-duplicate: Cannot use STORE: two of its members have the name m2 \(They are at http:\/\/a:1 and at http:\/\/b:1/,
    },
    {
      name: "an entry that is no member",
      entries: [{ id: "ab", value: "rubbish\u001b[2J", order: 1 }],
      expect: /^discovery-entry: .*entry ab is no member \(It is "rubbish\?\[2J"/,
    },
    {
      name: "such an entry in version 3 counts for nothing",
      kind: "v3",
      entries: [{ id: "ab", value: "rubbish", order: 1 }],
      expect: `register ${m(1)}`,
    },
    {
      name: "a loopback address",
      self: "m1=http://127.0.0.1:2380",
      expect: /^discovery-address: Cannot register http:\/\/127\.0\.0\.1:2380 .*no other machine can reach it/,
    },
    { name: "localhost", self: "m1=http://localhost:2380", expect: /^discovery-address/ },
    {
      name: "an address for listening",
      self: "m1=http://0.0.0.0:2380",
      isLocalStore: true,
      expect: /^discovery-address/,
    },
    {
      name: "loopback on one computer with its store",
      self: "m1=http://127.0.0.1:2380",
      isLocalStore: true,
      entries: entriesOf("m2=http://127.0.0.1:2381"),
      expect: "register m1=http://127.0.0.1:2380",
    },
    {
      name: "loopback with a local store, among others that are elsewhere",
      self: "m1=http://127.0.0.1:2380",
      isLocalStore: true,
      entries: entriesOf(m(2)),
      expect: /^discovery-address/,
    },
    {
      name: "loopback for a machine alone",
      size: "1",
      self: "m1=http://127.0.0.1:2380",
      expect: "register m1=http://127.0.0.1:2380",
    },
    {
      name: "another's loopback address has spoilt the token",
      entries: entriesOf("m2=http://localhost:2380"),
      expect: /^discovery-address: Cannot use STORE: no other machine can reach its member m2=/,
    },
    ...["0", "10", "-1", "abc", "", "3.0", "0x3", "1e1", "999"].map((size) => ({
      name: `size "${size}"`,
      size,
      expect: /^discovery-size: Cannot use STORE: its size is /,
    })),
    { name: "size 9", size: "9", expect: `register ${m(1)}` },
  ];
  for (const { name, expect, ...given } of cases)
    test(name, () => {
      const said = judged(given);
      if (typeof expect === "string") assert.equal(said, expect);
      else assert.match(said, expect);
    });

  test("a token that was never made", () => {
    assert.deepEqual(judgeToken({ ...question({}), look: { kind: "absent" } }), {
      ok: true,
      value: { kind: "absent" },
    });
  });

  test("whatever the order of coming, all machines agree on the same members, and every surplus one is a client", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.shuffledSubarray(
          Array.from({ length: 12 }, (_, index) => index + 1),
          { minLength: 9 },
        ),
        (size, numbers) => {
          const given = { size: String(size), entries: entriesOf(...numbers.map(m)) };
          const first = numbers.slice(0, size);
          for (const number of numbers) {
            const own = first.includes(number) ? "own" : "not own";
            const names = first.map((each) => `m${each}`).join(" ");
            assert.equal(judged({ ...given, self: m(number) }), `complete, ${own}, ${names}`);
          }
        },
      ),
      { numRuns: tries(50) },
    );
  });
});
