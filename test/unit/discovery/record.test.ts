import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  client,
  environmentOf,
  joinWords,
  listedMember,
  readNote,
  readRecord,
  shownUrl,
  writeRecord,
} from "../../../agent/discovery/discovery.ts";
import type { JoinRecord } from "../../../agent/domain/discovery.ts";

const found = { how: "v2", token: "http://store/secret-token", size: 2, name: "m1", nowMs: 1_767_225_600_000 } as const;
const members = [
  { name: "m1", peerUrls: ["http://a:1", "http://a:2"] },
  { name: "m2", peerUrls: ["http://b:1"] },
];
const member = listedMember(found, {
  ...{ members, own: { name: "m1", peerUrls: ["http://a:1", "http://a:2"] }, state: "new" },
  clientUrls: ["http://a:2379", "https://a:2380/"],
});
const live = { clusterId: "c1", members: [{ id: "1", name: "", peerUrls: ["http://b:1"], clientUrls: [] }] };

suite("discovery: what is kept", () => {
  for (const [name, record] of Object.entries({ member, client: client(found, live, ["http://b:2379"]) }))
    test(`a ${name} comes back as it was`, () =>
      assert.deepEqual(readRecord(writeRecord(record)), { ok: true, value: record }));

  test("no record is none", () => assert.deepEqual(readRecord(undefined), { ok: true, value: undefined }));

  const damages: readonly (readonly [name: string, damage: (record: JoinRecord) => unknown])[] = [
    ["no JSON", () => "{"],
    ["a list", () => []],
    ["no endpoints", (record) => ({ ...record, endpoints: [] })],
    ["a member without its part", (record) => ({ ...record, member: undefined })],
    ["a role that is none", (record) => ({ ...record, role: "leader" })],
    ["an id that is none", (record) => ({ ...record, clusterId: "xyz" })],
    ["no members", (record) => ({ ...record, members: [] })],
  ];
  for (const [name, damage] of damages)
    test(`damaged: ${name}; nothing of the token is shown`, () => {
      const value = damage(member);
      const read = readRecord(typeof value === "string" ? value : JSON.stringify(value));
      assert.ok(!read.ok);
      for (const { code, message, hint } of read.problems) {
        assert.equal(code, "join-record");
        assert.doesNotMatch(`${message} ${hint ?? ""}`, /secret-token/);
      }
    });

  test("a token that is too long is not shown", () => {
    const read = readRecord(JSON.stringify({ ...member, token: `hunter2${"x".repeat(5000)}` }));
    assert.ok(!read.ok);
    assert.doesNotMatch(JSON.stringify(read.problems.map(({ message, hint }) => [message, hint])), /hunter2/);
  });

  test("a damaged note says nothing", () => {
    for (const text of [undefined, "", "{", "[]", '{"kind":"else"}', '{"kind":"registering","token":1,"id":"a"}'])
      assert.equal(readNote(text), undefined);
    const note = { kind: "replacing", token: "t", id: "a" };
    assert.deepEqual(readNote(JSON.stringify(note)), note);
  });

  test("of http and https the agent gets https", () => assert.deepEqual(member.endpoints, ["https://a:2380"]));

  test("the environment quotes what a shell's file would take apart", () => {
    const record = { ...member, token: 'http://store/a"b c#d$e\\f' };
    assert.match(environmentOf(record), /^ETCD_INITIAL_CLUSTER_TOKEN="http:\/\/store\/a\\"b c#d\\\$e\\\\f"$/m);
    assert.match(environmentOf(member), /^ETCD_INITIAL_CLUSTER=m1=http:\/\/a:1,m1=http:\/\/a:2,m2=http:\/\/b:1$/m);
  });

  test("in words", () => {
    assert.equal(joinWords(member), "member m1 of 2: m1, m2");
    assert.equal(joinWords(client(found, live, ["http://b:2379"])), "client of etcd at http://b:2379");
  });

  const urls: readonly (readonly [url: string, shown: string])[] = [
    ["http://10.0.0.9:8087/6f3c1122334455667788", "discovery service http://10.0.0.9:8087 (token 6f3c...)"],
    ["https://d.example/v2/keys/discovery/6f3c11/?x=secret", "discovery service https://d.example (token 6f3c...)"],
    ["http://d/abc", "discovery service http://d (token ...)"],
  ];
  for (const [url, shown] of urls) test(`${url} for people`, () => assert.equal(shownUrl(url), shown));
});
