import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { callFailed, grpc } from "../../../agent/adapters/registry/etcd-errors.ts";

suite("what etcd and gRPC answer", () => {
  test("a call for which nothing was done is told from one of which that is not known", () => {
    const { unavailable, deadlineExceeded, internal } = grpc;
    for (const [code, text, isUndone] of [
      [unavailable, "14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED", true],
      [unavailable, "14 UNAVAILABLE: Name resolution failed for target dns:etcd:2379", true],
      [unavailable, "14 UNAVAILABLE: etcdserver: leader changed", true],
      [unavailable, "14 UNAVAILABLE: etcdserver: request timed out, possibly due to previous leader failure", false],
      [unavailable, "14 UNAVAILABLE: Connection dropped", false],
      [deadlineExceeded, "4 DEADLINE_EXCEEDED: Deadline exceeded", false],
      [internal, "13 INTERNAL: etcdserver: leader changed", false],
    ] as const)
      assert.equal(callFailed(Object.assign(new Error(text), { code })).isUndone, isUndone, text);
  });
});
