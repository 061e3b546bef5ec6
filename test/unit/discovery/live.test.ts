import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Coming, clientUrlsOf, courseOf, standingOf } from "../../../agent/discovery/live.ts";
import type { LiveCluster, LiveMember } from "../../../agent/domain/discovery.ts";

const own = ["http://10.0.0.1:2380"];

function member(text: string): LiveMember {
  const [name = "", peer = "", client = ""] = text.split(" ");
  return { id: peer, name: name === "-" ? "" : name, peerUrls: [peer], clientUrls: client === "" ? [] : [client] };
}

const cluster = (...members: readonly string[]): LiveCluster => ({ clusterId: "c1", members: members.map(member) });

const up = "m2 http://10.0.0.2:2380 http://10.0.0.2:2379";

const standings = {
  silent: undefined,
  forming: cluster("m1 http://10.0.0.1:2380", "m2 http://10.0.0.2:2380"),
  expected: cluster("m1 http://10.0.0.1:2380", up),
  added: cluster("- http://10.0.0.1:2380", up),
  started: cluster("m1 http://10.0.0.1:2380 http://10.0.0.1:2379", up),
  unknown: cluster(up, "m3 http://10.0.0.3:2380 http://10.0.0.3:2379"),
};

suite("discovery: what a live cluster says", () => {
  for (const [kind, live] of Object.entries(standings))
    test(kind, () => assert.equal(standingOf(live, own).kind, kind));

  test("a machine that is no member is unknown or sees a cluster that is forming", () => {
    assert.equal(standingOf(standings.started, []).kind, "unknown");
    assert.equal(standingOf(standings.forming, []).kind, "forming");
  });

  // Section 7 of the rules for an agent, row by row: how a machine comes, what it sees, what it does
  const courses: readonly (readonly [coming: Coming, sees: string, does: string])[] = [
    ["listed", "silent forming expected", "new"],
    ["listed", "added", "existing"],
    ["listed", "started", "replace"],
    ["listed", "unknown", "wait"],
    ["registered", "silent", "wait"], // its data is gone: never new without knowing
    ["registered", "forming", "new"],
    ["registered", "expected started", "replace"],
    ["registered", "added", "existing"],
    ["registered", "unknown", "client"],
    ["noted", "silent forming expected", "new"], // it has never had data
    ["noted", "added", "existing"],
    ["noted", "started", "replace"],
    ["noted", "unknown", "client"],
    ["surplus", "silent forming", "wait"],
    ["surplus", "unknown", "client"],
    ["surplus", "added expected", "existing"], // an operator took it in
    ["surplus", "started", "replace"],
    ["decided", "silent forming expected", "new"],
    ["decided", "added", "existing"],
    ["decided", "started", "replace"],
    ["decided", "unknown", "wait"],
    ["formed", "silent forming unknown", "wait"],
    ["formed", "expected started", "replace"],
    ["formed", "added", "existing"],
    ["rejoining", "silent forming expected added", "existing"],
    ["rejoining", "started", "replace"],
    ["rejoining", "unknown", "wait"],
  ];
  for (const [coming, sees, does] of courses)
    for (const kind of sees.split(" ") as (keyof typeof standings)[])
      test(`${coming}, ${kind}: ${does}`, () => assert.equal(courseOf(coming, standingOf(standings[kind], own)), does));

  test("every case of the table is said above", () => {
    const said = courses.flatMap(([coming, sees]) => sees.split(" ").map((kind) => `${coming} ${kind}`));
    assert.equal(new Set(said).size, 7 * 6);
  });

  const urls: readonly (readonly [members: readonly string[], expect: readonly string[]])[] = [
    [[up, up], ["http://10.0.0.2:2379"]],
    [["m1 http://10.0.0.1:2380"], []],
    [["m1 http://10.0.0.1:2380 http://localhost:2379"], []],
    [["m1 http://127.0.0.1:2380 http://localhost:2379"], ["http://localhost:2379"]],
    [["m1 http://10.0.0.1:2380 https://10.0.0.1:2379", up], ["https://10.0.0.1:2379"]],
    [["m1 http://10.0.0.1:2380 http://0.0.0.0:2379"], []],
    [["m1 http://10.0.0.1:2380 unix:///x"], []],
  ];
  for (const [members, expect] of urls)
    test(`client URLs of ${members.join(", ")}`, () => assert.deepEqual(clientUrlsOf(members.map(member)), expect));
});
