// What is said of a job that failed where systemd gives no reason; what is not asked for any more.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Jobs } from "../../../agent/adapters/systemd/jobs.ts";
import type { Call } from "../../../agent/adapters/systemd/peer.ts";
import type { UnitName } from "../../../agent/domain/names.ts";
import { Problem } from "../../../agent/domain/problem.ts";

test("a job that failed without a reason names the log, which may have one", async () => {
  const name = "nobody.socket" as UnitName;
  const call = async ({ member, body }: Call): Promise<readonly unknown[]> => {
    if (member === "ListUnitsByNames") return [[[name, "", "loaded", "inactive", "dead", "", "/u", 0, "", "/"]]];
    return body?.[1] === "Result" ? ["success"] : ["/job/1"];
  };
  const jobs = new Jobs({ call, concurrency: 1 });
  const manager = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };
  jobs.signalled({ ...manager, member: "JobRemoved", body: [1, "/job/1", name, "failed"] });
  const { problem } = await jobs.run("start", name, AbortSignal.timeout(5_000));
  assert.equal(problem?.hint, "flotilla journal nobody.socket says why");
});

test("a job that was called back while its unit was looked up is not asked for", async () => {
  const name = "web.service" as UnitName;
  const asked: string[] = [];
  const over = new AbortController();
  const call = async ({ member }: Call): Promise<readonly unknown[]> => {
    asked.push(member);
    if (member !== "ListUnitsByNames") return ["/job/1"];
    over.abort(new Error("Enough"));
    return [[[name, "", "loaded", "active", "running", "", "/u", 0, "", "/"]]];
  };
  const jobs = new Jobs({ call, concurrency: 1 });
  const given = jobs.run("stop", name, over.signal);
  await assert.rejects(given, (error) => error instanceof Problem && error.code === "aborted");
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(asked, ["ListUnitsByNames"]);
});
