// Text that somebody edits on the machine: it is put back, and what may run with it is started anew.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { CommitId } from "../../../agent/domain/names.ts";
import { type Box, House, changed, name, service } from "./house.ts";

const web = name("web.service");

let house: House;
let box: Box;
let commit: CommitId;
afterEach(() => house.close());

/** One machine that runs web.service, with another text over the one that it was started with. */
async function edited(): Promise<void> {
  const units = { "web.service": service(), "other.service": service() };
  house = await House.open({ machines: "a", leaders: "" });
  box = house.box("a");
  commit = house.commit(units);
  box.start();
  await box.tell([1, 1], [{ unit: web, commit, text: service() }]);
  await house.until(async () => (await box.listed()).length === 1, 5_000);
  box.systemd.edit(web, changed());
}

/** By somebody on the machine. */
async function restartByHand(): Promise<void> {
  const systemd = box.systemd.open();
  await systemd.reload();
  await systemd.run("restart", web, AbortSignal.timeout(1_000));
  await systemd.close();
  box.asked();
}

/** The machine has something to do: another unit. */
async function occasion(): Promise<void> {
  const also = { unit: "other.service", commit, text: service() };
  await box.tell([1, 2], [{ unit: web, commit, text: service() }, also]);
  await house.until(() => box.up().includes("other.service"), 5_000);
  await house.clock.advance(5_000);
}

describe("a unit whose text was edited on the machine", () => {
  test("has its text put back, and runs on", async () => {
    await edited();
    await occasion();
    assert.equal(box.systemd.textOf(web), service());
    assert.equal(box.systemd.invocations(web), 1);
  });

  test("is started anew with the text that is put back where somebody has restarted it in between, once", async () => {
    await edited();
    await restartByHand();
    assert.equal(box.systemd.invocations(web), 2);
    await occasion();
    assert.equal(box.systemd.textOf(web), service());
    assert.deepEqual(
      box.asked().filter((each) => each.includes("web.service")),
      ["write web.service", "restart web.service"],
    );
    await house.clock.advance(60_000);
    assert.deepEqual([box.systemd.invocations(web), box.up()], [3, ["other.service", "web.service"]]);
  });

  test("is so also where the agent ends between the two", async () => {
    await edited();
    await restartByHand();
    await box.stop();
    const systemd = box.systemd.open();
    await systemd.placed();
    await systemd.close();
    box.systemd.edit(web, service());
    box.start();
    await house.until(() => box.systemd.invocations(web) === 3, 10_000);
    await house.clock.advance(60_000);
    assert.equal(box.systemd.invocations(web), 3);
  });

  test("and that somebody has stopped stays so", async () => {
    await edited();
    await restartByHand();
    box.systemd.setState(web, { active: "inactive", sub: "dead" });
    await occasion();
    assert.equal(box.systemd.textOf(web), service());
    assert.deepEqual([box.systemd.invocations(web), box.up()], [2, ["other.service"]]);
  });
});
