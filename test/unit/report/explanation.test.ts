// Why a unit waits, as any machine says it: from what the registry shows, whoever leads.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { UnitName } from "../../../agent/domain/names.ts";
import { explainUnit } from "../../../agent/schedule/explain.ts";
import { reportUnitExplanation } from "../../../agent/report/explanation.ts";
import { referTo } from "../../../agent/report/places.ts";
import { House, machineLeaseMs } from "../loops/house.ts";

describe("explain", () => {
  let house: House;

  afterEach(() => house.close());

  const because = async (unit: string): Promise<string> => {
    const name = unit as UnitName;
    const picture = await house.settle(house.machines[0]!.agent.view.picture());
    assert.ok(picture.placing);
    const refer = (id: Parameters<typeof referTo>[0]) => referTo(id, picture.machines);
    const report = reportUnitExplanation(picture, { name, placement: explainUnit(picture.placing, { name, refer }) });
    assert.ok(report.ok);
    return report.value.because;
  };

  test("a unit whose machine is gone and has to stop it first waits for that, and no longer than it is said", async () => {
    house = await House.open({ machines: "abc", leaders: "a", metadata: { c: { disk: "ssd" } } });
    await house.ready();
    const text = "[Service]\nExecStart=/bin/sleep infinity\n[X-Fleet]\nOnPartition=stop\nPrefer=disk=ssd\n";
    await house.deploy({ "db.service": text });
    await house.until(() => house.isUp({ "db.service": "c" }), 5_000);
    await house.clock.advance(2 * machineLeaseMs);
    assert.equal(await because("db.service"), "it has a machine, and stays there");
    await house.box("c").crash();
    await house.until(
      async () => (await because("db.service")).startsWith("machine cccccccc is gone and has to stop it first"),
      machineLeaseMs + 2_000,
    );
    assert.match(await because("db.service"), /it starts elsewhere \d+s after its loss$/);
    await house.until(() => (house.up()["db.service"] ?? "").replace("c", "") !== "", 30_000);
    await house.clock.advance(1_000);
    assert.equal(await because("db.service"), "it has a machine, and stays there");
  });
});
