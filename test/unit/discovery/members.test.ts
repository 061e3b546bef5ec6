import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  clusterId,
  isSameId,
  memberId,
  memberList,
  parseEntry,
  parseMembers,
  reachOf,
  shareUrl,
} from "../../../agent/discovery/members.ts";

suite("discovery: members", () => {
  const token = "http://127.0.0.1:23790/v2/keys/discovery/abcd1234";

  test("ids are those that etcd 3.4 gives to this list and token", () => {
    assert.equal(memberId(["http://127.0.0.1:24001"], token), "fd0eb140dea8d679");
    assert.equal(clusterId([{ name: "m1", peerUrls: ["http://127.0.0.1:24001"] }], token), "3746357d2d6fcaae");
  });

  test("an id hangs on URLs in any order, and on the token", () => {
    assert.equal(memberId(["http://a:1", "http://b:1"], "t"), memberId(["http://b:1", "http://a:1"], "t"));
    assert.notEqual(memberId(["http://a:1"], "t"), memberId(["http://a:1"], "u"));
  });

  test("a cluster's id hangs on no order either", () => {
    const [a, b] = [
      { name: "a", peerUrls: ["http://a:1"] },
      { name: "b", peerUrls: ["http://b:1"] },
    ];
    assert.equal(clusterId([a, b], "t"), clusterId([b, a], "t"));
    assert.match(clusterId([a, b], "t"), /^[1-9a-f][0-9a-f]*$/);
  });

  test("zeros before an id do not count, nor its case", () => {
    assert.ok(isSameId("0a1", "A1"));
    assert.ok(isSameId("0", "00"));
    assert.ok(!isSameId("a10", "a1"));
  });

  const entries: readonly (readonly [value: string, expect: string | undefined])[] = [
    ["m1=http://a:2380", "m1=http://a:2380"],
    ["m1=http://b:1,m1=http://a:1", "m1=http://a:1,m1=http://b:1"],
    ["m1=http://a:1,m2=http://b:1", undefined],
    ["m1", undefined],
    ["=http://a:1", undefined],
    ["m1=a:2380", undefined],
    ["m1=http://a", undefined],
    ["m1=http://a:2380/x", undefined],
    ["m1=http://u@a:2380", undefined],
    ["m 1=http://a:2380", undefined],
    ["", undefined],
    [`m1=http://${"a".repeat(5000)}:1`, undefined],
  ];
  for (const [value, expect] of entries)
    test(`entry "${value.slice(0, 40)}"`, () => {
      const member = parseEntry(value);
      assert.equal(member === undefined ? undefined : memberList([member]), expect);
    });

  test("a name that stands twice is one member of two URLs", () => {
    assert.deepEqual(parseMembers(["b=http://b:1", "a=http://a:1", "b=http://b:0"]), [
      { name: "b", peerUrls: ["http://b:0", "http://b:1"] },
      { name: "a", peerUrls: ["http://a:1"] },
    ]);
  });

  test("case and default ports do not make two URLs of one", () => {
    assert.ok(shareUrl(["http://A:80"], ["http://a:80"]));
    assert.ok(!shareUrl(["http://a:1"], ["https://a:1"]));
  });

  const reaches: readonly (readonly [url: string, reach: string])[] = [
    ["http://127.0.0.1:1", "loopback"],
    ["http://127.9.9.9:1", "loopback"],
    ["http://localhost:1", "loopback"],
    ["http://a.localhost:1", "loopback"],
    ["http://[::1]:1", "loopback"],
    ["http://[::ffff:127.0.0.1]:1", "loopback"],
    ["http://0.0.0.0:1", "unspecified"],
    ["http://[::]:1", "unspecified"],
    ["nonsense", "unspecified"],
    ["http://10.0.0.1:1", "others"],
    ["http://localhost.example:1", "others"],
  ];
  for (const [url, reach] of reaches) test(`${url} is for ${reach}`, () => assert.equal(reachOf(url), reach));
});
