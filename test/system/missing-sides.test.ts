// What an agent starts without: whatever its settings name beside the unix socket may be missing or damaged after a power cut,
// and the machine's units come back all the same. It is told, tried again, and over as soon as its cause is.
import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { startEtcd, withoutEtcd } from "./etcd-server.ts";
import { LoneAgent, type Settings } from "./lone-agent.ts";

const text = "[Service]\nExecStart=/bin/sleep infinity\n";

/** A machine that has run web.service, had its power cut, and has these settings now. */
async function afterPowerCut(context: TestContext): Promise<LoneAgent> {
  const lone = await LoneAgent.create();
  context.after(() => lone.close());
  await lone.configure({ Git: { Schedule: undefined, Jitter: undefined } });
  lone.launch();
  await lone.until(/MACHINE/, ["list-machines"]);
  const file = join(lone.directory, "web.service");
  await writeFile(file, text);
  await lone.ask("start", file);
  await isUp(lone);
  await lone.stop();
  await lone.machine?.kill();
  await rm(join(lone.directory, "machine"), { recursive: true, force: true });
  await lone.startMachine();
  lone.output = "";
  return lone;
}

async function isUp(lone: LoneAgent): Promise<void> {
  await lone.until(/web\.service\s.*active\s+running/, ["list-units"]);
}

async function present(lone: LoneAgent): Promise<void> {
  await lone.eventually(
    () => lone.output,
    (log) => log.includes("machine.present"),
    "it is in the registry",
  );
}

const without = (settings: Settings): Settings => ({ Git: { Schedule: undefined, Jitter: undefined }, ...settings });

describe("an agent with [Etcd]", { timeout: 240_000 }, () => {
  const etcd = { Etcd: { Role: "client", InitialCluster: "m9=http://127.0.0.1:1" } };

  test("that has no decision yet works from its own copies, and its API says so", async (context) => {
    const lone = await afterPowerCut(context);
    await lone.configure(without(etcd));
    lone.launch();
    await isUp(lone);
    await lone.until(/it is not known yet who is in it/);
    assert.match(await lone.ask("status"), /flotilla discovery join finds out/);
    assert.ok(lone.isRunning);
  });

  test(
    "whose decision is damaged does so, too, and uses it once it is put right",
    { skip: withoutEtcd },
    async (context) => {
      const lone = await afterPowerCut(context);
      const server = await startEtcd();
      context.after(() => server.close());
      const record = join(lone.state, "etcd-cluster.json");
      await writeFile(record, "{");
      await lone.configure(without(etcd));
      lone.launch();
      await isUp(lone);
      await lone.until(/Cannot use the record of this machine's etcd/);
      assert.match(await lone.ask("status"), /Restore etcd-cluster.json/);
      await rm(record);
      const found = {
        role: "client",
        how: "static",
        token: "etcd-cluster",
        size: 1,
        name: "m1",
        decidedAtMs: 0,
      };
      await writeFile(
        record,
        JSON.stringify({
          ...found,
          members: [{ name: "m9", peerUrls: ["http://127.0.0.1:1"] }],
          endpoints: server.endpoints,
        }),
      );
      await present(lone);
      assert.match(lone.output, /registry\.usable/);
    },
  );

  test("whose decision is damaged uses the endpoints that it has learned", { skip: withoutEtcd }, async (context) => {
    const lone = await LoneAgent.create({ machine: false });
    context.after(() => lone.close());
    const server = await startEtcd();
    context.after(() => server.close());
    await lone.configure(without({ Registry: { Endpoints: server.endpoints.join(",") } }));
    lone.launch();
    await present(lone);
    await lone.stop();
    lone.output = "";
    await mkdir(lone.state, { recursive: true });
    const kept = { clusterId: await clusterId(server.endpoints[0] ?? ""), endpoints: server.endpoints };
    await writeFile(join(lone.state, "etcd-endpoints.json"), JSON.stringify(kept));
    await writeFile(join(lone.state, "etcd-cluster.json"), "{");
    await lone.configure(without(etcd));
    lone.launch();
    await present(lone);
    assert.doesNotMatch(lone.output, /registry\.unusable/);
  });
});

async function clusterId(endpoint: string): Promise<string> {
  const answer = await fetch(`${endpoint}/v3/cluster/member/list`, { method: "POST", body: "{}" });
  const { header } = (await answer.json()) as { readonly header: { readonly cluster_id: string } };
  return BigInt(header.cluster_id).toString(16);
}
