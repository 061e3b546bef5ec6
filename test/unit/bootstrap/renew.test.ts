import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeBoot } from "../../fakes/fake-boot.ts";
import { upUnit } from "../../fakes/fake-setup.ts";

const document = (token: string): string => `#cloud-config
coreos: {etcd2: {discovery: "http://10.0.0.2:8087/${token}"}}
`;
const discovery = "flotilla-discovery.service";

const appliedOf = (boot: FakeBoot): readonly string[] => [...boot.setup.applied];

describe("settings that change while discovery waits", () => {
  test("begin it anew, before etcd is", async () => {
    const boot = new FakeBoot(document("0123456789"));
    for (const unit of ["etcd.service", "flotilla.service"])
      boot.setup.units.set(unit, { ...upUnit, active: "inactive" });
    const first = await boot.run();
    assert.deepEqual(first.problems, []);
    assert.ok(!boot.setup.applied.includes(`renew ${discovery}`), "nothing is there to be renewed");
    boot.setup.units.set(discovery, { ...upUnit, active: "activating", sub: "start" });
    boot.setup.applied.length = 0;
    await boot.run();
    assert.deepEqual(appliedOf(boot), [], "the same settings leave it alone");
    boot.document = document("9876543210");
    await boot.run();
    const order = ["settings", `renew ${discovery}`, "renew flotilla.service"];
    assert.deepEqual(
      appliedOf(boot).filter((id) => order.includes(id)),
      order,
    );
  });
});
