// Real faults on machines that boot, with a real etcd of three members and git: the quick ones of the soak's table, each
// watched for what must never happen. `npm run soak -- --matrix` does all of them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Campaign } from "../soak/campaign.ts";
import { faults } from "../soak/faults.ts";
import { whyNoMachines } from "./booted/why.ts";
import { withoutEtcd } from "./etcd-server.ts";

const seed = 6;
/** By name, in the order in which they are done. */
const quick: readonly string[] = [
  "systemctl daemon-reexec",
  "D-Bus daemon killed",
  "unit killed",
  "unit without Restart= killed",
  "unit stopped by hand",
  "unit masked, and a commit",
  "disk full, and a commit",
  "agent killed",
  "leader's agent killed",
  "etcd leader killed",
  "all packets lost for 5 s",
  "etcd does not hear a machine",
  "machine killed",
];

const missing = withoutEtcd === false ? await whyNoMachines() : withoutEtcd;

describe("faults on three machines", { skip: missing ?? false, concurrency: 1, timeout: 400_000 }, () => {
  let campaign: Campaign;
  before(async () => {
    campaign = await Campaign.open({ machines: 3, seed, say: () => undefined });
  });
  after(() => campaign.close());

  /** What the watch has found since it was asked last; what it wrote down goes into a failure. */
  function found(): readonly string[] {
    return campaign.watch.violations.splice(0).map(({ what }) => what);
  }

  function nothingFound(): void {
    const violations = found();
    assert.deepEqual(violations, [], campaign.watch.record.slice(-4_000));
  }

  test("the watch sees a unit that stops, a second one of a unit, and a machine that is lost, without a reason", async () => {
    const { watch, site } = campaign;
    const [run] = watch.runsOf("alone.service");
    assert.ok(run);
    process.kill(run.pid, "SIGKILL");
    const isAgain = (): boolean => ![undefined, run.pid].includes(watch.runsOf("alone.service")[0]?.pid);
    await watch.until("it runs again", isAgain, 10_000);
    assert.deepEqual(found(), [`alone.service was stopped on ${run.machine}`]);

    const other = site.machines.find((machine) => machine.name !== run.machine);
    assert.ok(other);
    const double = ["bash", "-c", "exec -a alone.service/1 sleep infinity"];
    await other.booted.output(["systemd-run", "--quiet", "--unit=alone.service", ...double]);
    await watch.until("two run", () => watch.runsOf("alone.service").length === 2, 5_000);
    await watch.until("it is found", () => watch.violations.length > 0, 5_000);
    const [violation = ""] = found();
    assert.match(violation, /^alone\.service runs on m\d and m\d, which are connected$/);
    const pardon = watch.excuse({ unit: "alone.service", because: "the test takes it away" });
    await other.booted.output(["systemctl", "stop", "alone.service"]);
    await watch.until("one runs", () => watch.runsOf("alone.service").length === 1, 5_000);
    pardon();

    other.signal("flotilla.service", "SIGSTOP");
    const isAbsent = (): boolean => watch.sight?.machines.has(other.id) === false;
    await watch.until(`${other.name} counts as dead`, isAbsent, 15_000);
    const alarm = `${other.name} counts as dead though it was never silent for 5300 ms`;
    await watch.until("it is found", () => watch.violations.some(({ what }) => what === alarm), 5_000);
    other.signal("flotilla.service", "SIGCONT");
    await campaign.settle();
    assert.ok(found().includes(alarm));
  });

  for (const name of quick)
    test(name, async () => {
      const fault = faults.find((each) => each.name === name);
      assert.ok(fault);
      const outcomes = await campaign.round([fault]);
      nothingFound();
      assert.equal(outcomes?.length, 1, "it could be done");
    });
});
