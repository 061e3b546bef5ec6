import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  allEndpoints,
  encodeKept,
  learnedEndpoints,
  maxLearned,
  parseKept,
} from "../../../agent/adapters/registry/etcd-endpoints.ts";
import type { EtcdMember } from "../../../agent/ports/etcd-cluster.ts";

/** "a http://a:2379 http://a2:2379", "- http://..." for one that has not started, "learner ..." for one without a vote. */
function member(text: string): EtcdMember {
  const [name = "", ...clientUrls] = text.split(" ");
  return { id: "1", name: name === "-" ? "" : name, peerUrls: [], clientUrls, isLearner: name === "learner" };
}

suite("endpoints learned from members", () => {
  const cases: readonly {
    readonly name: string;
    readonly configured?: readonly string[];
    readonly members: readonly string[];
    readonly expect: readonly string[];
  }[] = [
    {
      name: "every started member's, in their order, each once",
      members: ["b http://b:2379 http://b2:2379/", "a http://a:2379", "c http://b:2379"],
      expect: ["http://b:2379", "http://b2:2379", "http://a:2379"],
    },
    {
      name: "neither of members that have not started nor of learners",
      members: ["a http://a:2379", "- http://b:2379", "learner http://c:2379"],
      expect: ["http://a:2379"],
    },
    {
      name: "of the configured scheme only",
      configured: ["https://a:2379"],
      members: ["a http://a:2379 https://a:2379 unix://a:1 unixs://b:1", "b nonsense https://"],
      expect: ["https://a:2379"],
    },
    {
      name: "none that leads each machine to itself",
      members: [
        "a http://localhost:2379 http://127.0.0.1:2379 http://127.9.9.9:2379 http://[::1]:2379",
        "b http://[::ffff:127.0.0.1]:2379 http://x.localhost:2379 http://10.0.0.1:2379",
      ],
      expect: ["http://10.0.0.1:2379"],
    },
    {
      name: "loopback where loopback is configured",
      configured: ["http://127.0.0.1:1", "http://a:1"],
      members: ["a http://localhost:2379", "b http://127.0.0.1:2381"],
      expect: ["http://localhost:2379", "http://127.0.0.1:2381"],
    },
    {
      name: "never an address to listen on",
      configured: ["http://localhost:1"],
      members: ["a http://0.0.0.0:2379 http://[::]:2379 http://[::ffff:0.0.0.0]:2379"],
      expect: [],
    },
    { name: "nothing from nobody", members: [], expect: [] },
    {
      name: "no more than the bound",
      members: [`a ${Array.from({ length: maxLearned + 5 }, (_, index) => `http://h${index}:1`).join(" ")}`],
      expect: Array.from({ length: maxLearned }, (_, index) => `http://h${index}:1`),
    },
  ];
  for (const { name, configured = ["http://a:2379"], members, expect } of cases)
    test(name, () => assert.deepEqual(learnedEndpoints(configured, members.map(member)), expect));

  test("the learned ones come first, each stands once, none of another scheme", () => {
    assert.deepEqual(allEndpoints(["http://a:1", "http://b:1"], ["http://c:1", "http://b:1", "https://d:1"]), [
      "http://c:1",
      "http://b:1",
      "http://a:1",
    ]);
    assert.deepEqual(allEndpoints(["http://a:1"], []), ["http://a:1"]);
  });
});

suite("the file of kept endpoints", () => {
  test("what is written is read", () => {
    for (const endpoints of [[], ["http://a:2379", "https://[fd00::1]:2379"]]) {
      const kept = { clusterId: "70272d7ea8c45e94", endpoints };
      assert.deepEqual(parseKept(encodeKept(kept)), { ok: true, value: kept });
    }
  });

  const bad = [
    "",
    "{",
    "null",
    "[]",
    '{"clusterId":"70","endpoints":{}}',
    '{"clusterId":"70","endpoints":[1]}',
    '{"clusterId":"70","endpoints":["a:2379"]}',
    '{"clusterId":"70","endpoints":["http://a:2379/path"]}',
    '{"clusterId":"70","endpoints":["http://me:secret@a:2379"]}',
    '{"clusterId":"xyz","endpoints":[]}',
    '{"clusterId":70,"endpoints":[]}',
    '{"endpoints":[]}',
    JSON.stringify({ clusterId: "70", endpoints: Array.from({ length: maxLearned + 1 }, () => "http://a:1") }),
    " ".repeat(70_000),
  ];
  for (const text of bad)
    test(`damaged: ${text.slice(0, 60)}`, () => {
      const read = parseKept(text);
      assert.equal(read.ok, false);
      assert.equal(read.problems[0]?.code, "endpoints-shape");
    });
});
