// Units that packages of the same document bring.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { carryOut, machine, plan, stepOf } from "./machine.ts";

const document = `packages: [etcd-server]
coreos:
  etcd2: {discovery: "http://10.0.0.2:8087/0123456789"}
  units: [{name: etcd.service, command: start}]`;
const bare = { units: new Set(["flotilla.service"]) };

suite("a unit that packages bring", () => {
  test("is started when they are there, and held back until all is written", async () => {
    const ids = (await plan(document, { facts: bare })).steps.map(({ id }) => id);
    const order = ["hold etcd.service", "packages", "release etcd.service", "reload", "start etcd.service"];
    assert.deepEqual(
      ids.filter((id) => order.includes(id)),
      order,
    );
  });

  for (const units of [["flotilla.service"], ["flotilla.service", "etcd.service"]])
    test(`is held back again where a boot ended before they were there; of ${units.join(", ")}`, async () => {
      const first = await plan(document, { facts: bare });
      const cut = first.steps.findIndex(({ id }) => id === "packages");
      const done = { ...first, steps: first.steps.slice(0, cut) };
      const facts = { units: new Set(units), bootId: "b0000000000000000000000000000002" };
      const again = await plan(document, { facts, record: carryOut({ plan: done }) });
      const ids = again.steps.map(({ id }) => id);
      const order = ["hold etcd.service", "packages", "release etcd.service", "reload", "start etcd.service"];
      assert.deepEqual(
        ids.filter((id) => order.includes(id)),
        order,
      );
    });

  test("is held back again where they could not be installed, and systemd sees that it is not any more", async () => {
    const first = await plan(document, { facts: bare });
    const record = carryOut({ plan: first }, ({ id }) =>
      id === "packages" ? { kind: "failed", code: "setup-apply", message: "Cannot install" } : { kind: "done" },
    );
    const again = await plan(document, { facts: { ...bare, bootId: "b0000000000000000000000000000002" }, record });
    const ids = again.steps.map(({ id }) => id);
    assert.ok(ids.includes("hold etcd.service") && ids.includes("packages"));
    assert.ok(stepOf(again, "reload").onlyAfter?.includes("release etcd.service"));
  });

  test("is held back where packages are upgraded, which may bring a newer one and start it", async () => {
    const ids = (await plan(document.replace("packages: [etcd-server]", "package_upgrade: true"))).steps.map(
      ({ id }) => id,
    );
    const order = ["hold etcd.service", "packages", "release etcd.service", "reload", "start etcd.service"];
    assert.deepEqual(
      ids.filter((id) => order.includes(id)),
      order,
    );
  });

  test("is not held once they are there; a run that was stopped right then is made good at the same boot", async () => {
    const record = carryOut({ plan: await plan(document, { facts: bare }) });
    const held = async (bootId: string): Promise<readonly string[]> =>
      (await plan(document, { facts: { units: machine().units, bootId }, record })).steps
        .map(({ id }) => id)
        .filter((id) => /^(hold|release) /.test(id));
    assert.deepEqual(await held(machine().bootId), ["release etcd.service"]);
    assert.deepEqual(await held("b0000000000000000000000000000002"), []);
  });

  test("beside cloud-init it is left until that has installed them, and said", async () => {
    const planned = await plan(document, { facts: bare, mode: "beside-cloud-init" });
    const ids = planned.steps.map(({ id }) => id);
    assert.ok(ids.includes("settings") && ids.includes("own etcd environment"), "all is written beforehand");
    assert.ok(!ids.some((id) => id === "packages" || id === "start etcd.service" || id === "enable etcd.service"));
    const later = stepOf(planned, "later etcd.service");
    assert.ok(later.kind === "command" && later.frequency === "each-boot");
    assert.ok(later.argv.includes("--no-block") && later.argv.includes("--property=After=cloud-final.service"));
    assert.deepEqual(later.argv.slice(-6), [
      "/bin/sh",
      "-c",
      'systemctl daemon-reload; systemctl enable "$1"; exec systemctl --no-block "$2" "$1"',
      ...["sh", "etcd.service", "start"],
    ]);
    assert.deepEqual(
      planned.notices.filter(({ severity }) => severity === "warning").map(({ problem }) => problem.code),
      ["boot-unit-later"],
    );
  });

  test("beside cloud-init it is started as any other where it is there, or where no package could bring it", async () => {
    const ids = async (yaml: string, units: readonly string[]): Promise<readonly string[]> =>
      (await plan(yaml, { facts: { units: new Set(units) }, mode: "beside-cloud-init" })).steps.map(({ id }) => id);
    assert.ok((await ids(document, ["etcd.service"])).includes("start etcd.service"));
    const typo = "coreos: {units: [{name: wbe.service, command: start}]}";
    assert.deepEqual((await ids(typo, [])).slice(-1), ["start wbe.service"], "the machine refuses that");
  });
});
