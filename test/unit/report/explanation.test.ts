// Why a unit waits for a machine that is lost, as a machine that does not lead says it: from what the registry shows.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { UnitName } from "../../../agent/domain/names.ts";
import type { LossWait } from "../../../agent/domain/report.ts";
import { machineReferences, reportUnitExplanation } from "../../../agent/report/explanation.ts";
import { reportUnit, unitText } from "../../../agent/report/report.ts";
import { explainUnit } from "../../../agent/schedule/explain.ts";
import { House, idOf, machineLeaseMs, service } from "../loops/house.ts";

const stops = "it waits for cccccccc..., which is lost, to have stopped";
const most = "by itself (OnPartition=stop); no longer than 10s after the leader counts it as lost";
const stays = "it has a machine, and stays there";
const held = "its machine is lost together with many others: it stays there until enough of them are back";

describe("a machine that does not lead", () => {
  let house: House;

  afterEach(() => house.close());

  const said = async (unit: string): Promise<{ because: string; status: string; waits: LossWait | undefined }> => {
    const name = unit as UnitName;
    const picture = await house.settle(house.box("b").agent.view.picture());
    assert.ok(picture.placing);
    const placement = explainUnit(picture.placing, { name, refer: machineReferences(picture) });
    const explained = reportUnitExplanation(picture, { name, placement });
    const detail = reportUnit(picture, name);
    assert.ok(explained.ok && detail.ok);
    assert.deepEqual(explained.value.lossWait, detail.value.lossWait);
    const status = unitText(detail.value, { full: false, colour: false, nowMs: house.clock.wallMs() });
    return {
      because: explained.value.because,
      status: /^ *Waiting: (.*)$/m.exec(status)?.[1] ?? "",
      waits: detail.value.lossWait,
    };
  };
  const because = async (unit: string): Promise<string> => (await said(unit)).because;

  test("says which lost machine has to have stopped a unit first, as long as the leader waits for that", async () => {
    house = await House.open({ machines: "abc", leaders: "a", metadata: { c: { disk: "ssd" } } });
    await house.ready();
    await house.deploy({
      "app.service": service("MachineOf=db.service"),
      "db.service": service("OnPartition=stop", "Prefer=disk=ssd"),
      "web.service": service("Prefer=disk=ssd"),
    });
    await house.until(() => house.isUp({ "app.service": "c", "db.service": "c", "web.service": "c" }), 20_000);
    await house.clock.advance(2 * machineLeaseMs);
    assert.deepEqual(await said("db.service"), { because: stays, status: "", waits: undefined });
    await house.box("c").crash();
    await house.until(async () => (await because("db.service")) !== stays, machineLeaseMs + 2_000);
    const machine = { id: idOf("c"), ip: "", hostname: "", alive: false };
    const waits = { machine, until: "stopped", unit: "db.service", mostMs: 10_000 };
    const text = `${stops} it ${most}`;
    assert.deepEqual(await said("db.service"), { because: text, status: text, waits });
    assert.equal(await because("app.service"), `${stops} db.service, which it follows, ${most}`);
    assert.equal((await said("web.service")).waits, undefined);

    const fromMs = house.clock.monotonicMs();
    await house.until(() => !(house.up()["web.service"] ?? "c").includes("c"), 3_000);
    assert.equal(await because("db.service"), text);
    await house.until(async () => (await because("db.service")) !== text, 11_000);
    assert.ok(house.clock.monotonicMs() - fromMs > 9_000, "until the leader has started it elsewhere");
    await house.until(() => !(house.up()["db.service"] ?? "c").includes("c"), 1_000);
    assert.deepEqual(await said("db.service"), { because: stays, status: "", waits: undefined });
    await house.until(async () => (await because("app.service")) === stays, 1_000);
  });

  test("says that units of many lost machines stay with them, whatever they do when they are cut off", async () => {
    house = await House.open({ machines: "abcde", leaders: "a", metadata: { c: { disk: "ssd" } } });
    await house.ready();
    await house.deploy({
      "db.service": service("OnPartition=stop", "Prefer=disk=ssd"),
      "web.service": service("Prefer=disk=ssd"),
    });
    await house.until(() => house.isUp({ "db.service": "c", "web.service": "c" }), 20_000);
    await house.clock.advance(2 * machineLeaseMs);
    for (const letter of "cde") await house.box(letter).crash();
    await house.until(async () => (await because("web.service")) === held, machineLeaseMs + 2_000);
    await house.clock.advance(3 * machineLeaseMs);
    const machine = { id: idOf("c"), ip: "", hostname: "", alive: false };
    for (const unit of ["db.service", "web.service"]) {
      assert.deepEqual(await said(unit), { because: held, status: held, waits: { machine, until: "returned" } });
    }
    house.box("d").start();
    for (const unit of ["db.service", "web.service"]) {
      await house.until(async () => (await because(unit)) !== held, 2 * machineLeaseMs);
    }
    await house.until(() => !Object.values(house.up()).join("").includes("c"), 1_000);
    for (const unit of ["db.service", "web.service"]) {
      assert.deepEqual(await said(unit), { because: stays, status: "", waits: undefined });
    }
  });
});
