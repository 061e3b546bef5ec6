// What a boot may conclude about who may log in, and about the machine's name, from a document that it cannot read in full.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Step } from "../../../agent/domain/first-boot.ts";
import type { Plan } from "../../../agent/firstboot/firstboot.ts";
import { type Circumstances, carryOut, machine, plan, reachOf, stepOf } from "./machine.ts";

const [mine, theirs] = ["ssh-ed25519 AAAA mine", "ssh-ed25519 BBBB provider"];
const provider: Circumstances = { instanceId: "i-1", hostname: "ip-10-0-0-1", sshKeys: [theirs] };
const whole = `#cloud-config\nhostname: web-1\nssh_authorized_keys: [${mine}]\n`;

function keysOf(planned: Plan): Extract<Step, { kind: "authorized-keys" }> {
  const step = stepOf(planned, "keys debian");
  assert.ok(step.kind === "authorized-keys");
  return step;
}

suite("a document that cannot be read in full", () => {
  const broken: Readonly<Record<string, string>> = {
    "broken keys": "#cloud-config\nhostname: web-1\nssh_authorized_keys: {a: b}\n",
    "a lost line": "#cloud-config\nhostname: [web-1\n",
    nothing: "",
    "only a script": "#!/bin/sh\ntrue\n",
  };
  for (const [name, document] of Object.entries(broken))
    test(`takes no key away and renames nothing: ${name}`, async () => {
      const record = carryOut({ plan: await plan(whole, provider) });
      const planned = await reachOf(document, { ...provider, record });
      assert.deepEqual([keysOf(planned).keys, keysOf(planned).keeps], [[theirs], true]);
      const name = planned.steps.find(({ kind }) => kind === "hostname");
      assert.ok(name === undefined || (name.kind === "hostname" && name.hostname === "web-1"));
    });

  test("has its groups, and their members, as a whole one has", async () => {
    const document = "#cloud-config\ngroups: [{docker: [ann, root]}]\nusers: [{name: ann}]\n";
    const steps = (planned: Plan): readonly Step[] =>
      planned.steps.filter(({ kind }) => ["group", "user"].includes(kind));
    const whole = steps(await plan(document.replace("#cloud-config\n", "")));
    assert.deepEqual(
      whole.map(({ id }) => id),
      ["group docker", "user ann"],
    );
    for (const fault of ["writefiles: []\n", "hostname: [web-1\n"]) {
      const found = steps(await reachOf(`${document}${fault}`)).map((step) => ({ ...step, at: undefined }));
      assert.deepEqual(
        found,
        whole.map((step) => ({ ...step, at: undefined })),
        fault,
      );
    }
  });

  test("so does the whole plan of a machine without a document", async () => {
    const record = carryOut({ plan: await plan(whole, provider) });
    const planned = await plan("", { ...provider, record });
    assert.equal(keysOf(planned).keeps, true);
    assert.ok(!planned.steps.some(({ kind }) => kind === "hostname"));
  });

  test("a new machine is named by its provider, also a copied one", async () => {
    const name = async (record: Circumstances["record"]): Promise<unknown> => {
      const step = (await reachOf("", { ...provider, record })).steps.find(({ kind }) => kind === "hostname");
      return step?.kind === "hostname" ? step.hostname : undefined;
    };
    assert.equal(await name(undefined), "ip-10-0-0-1");
    const copied = carryOut({ plan: await plan(whole, { ...provider, instanceId: "i-0" }) });
    assert.equal(await name({ ...copied, machineId: "other" }), "ip-10-0-0-1");
  });

  test("a whole one replaces the keys", async () => {
    const record = carryOut({ plan: await plan(whole, provider) });
    assert.equal(keysOf(await reachOf(whole, { ...provider, record })).keeps, undefined);
  });
});

suite("a boot that hears nothing of its provider", () => {
  const noKeys = "#cloud-config\nhostname: web-1\n";

  test("keeps the keys that came from it", async () => {
    const record = carryOut({ plan: await plan(noKeys, provider) });
    const planned = await plan(noKeys, { record });
    assert.deepEqual(planned.left, []);
    assert.deepEqual(planned.kept, ["keys debian"]);
    // and after it, and where the document has keys as well
    const after = carryOut({ plan: planned, record });
    assert.deepEqual((await plan(noKeys, { record: after })).kept, ["keys debian"]);
    const both = await plan(whole, { record: after });
    assert.deepEqual([keysOf(both).keys, keysOf(both).keeps], [[mine], true]);
    assert.deepEqual((await plan(noKeys, { record: carryOut({ plan: both, record: after }) })).kept, ["keys debian"]);
  });

  test("takes away what only the document had", async () => {
    const record = carryOut({ plan: await plan(whole) });
    assert.deepEqual((await plan(noKeys, { record })).left, [{ id: "keys debian", isRemoved: true }]);
    assert.equal(keysOf(await plan(whole.replace("mine", "new"), { record })).keeps, undefined);
  });

  test("a provider that has no more keys takes them away", async () => {
    const record = carryOut({ plan: await plan(noKeys, provider) });
    const planned = await plan(noKeys, { ...provider, sshKeys: [], record, facts: machine() });
    assert.deepEqual(planned.left, [{ id: "keys debian", isRemoved: true }]);
  });
});
