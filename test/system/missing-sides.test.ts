// What an agent starts without: whatever its settings name beside the unix socket may be missing or damaged after a power cut,
// and the machine's units come back all the same. It is told, tried again, and over as soon as its cause is.
import assert from "node:assert/strict";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { freePorts } from "../../agent/adapters/child.ts";
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

describe("an agent with [API] and secrets", { timeout: 240_000 }, () => {
  test("brings its units back without an address, a group, certificates and a token; a door opens when all of its own is there", async (context) => {
    const lone = await afterPowerCut(context);
    const [port = 0, tlsPort = 0] = await freePorts(2);
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(port, "127.0.0.1", resolve));
    context.after(() => holder.close());
    const file = (name: string): string => join(lone.directory, name);
    const api = {
      Listen: `127.0.0.1:${port},203.0.113.9:${tlsPort}`,
      Group: "nobody-has-it",
      TokenFile: file("token"),
    };
    const token = "a-token-of-the-tests";
    await lone.configure({
      Git: { ...without({})["Git"], URL: "https://127.0.0.1:1/units.git", TokenFile: file("git-token") },
      API: api,
    });
    lone.launch();
    await isUp(lone);
    await lone.until(/Cannot take the secret of \[API\] TokenFile from .*token/);
    assert.match(await lone.ask("status"), /"nobody-has-it": there is none/);
    assert.equal((await stat(lone.socket)).mode & 0o777, 0o600);
    // Without its token nobody listens there, free or not
    await new Promise((resolve) => holder.close(resolve));
    await lone.eventually(
      () => answerOf(port),
      (status) => status === undefined,
      "it stays shut",
    );
    await writeFile(file("token"), `${token}\n`, { mode: 0o600 });
    await lone.eventually(
      () => answerOf(port),
      (status) => status === 401,
      "it asks for the token",
    );
    assert.equal(await answerOf(port, token), 200);
    await lone.until(/Cannot take the secret of \[Git\] TokenFile/);
    await writeFile(file("git-token"), "any\n", { mode: 0o600 });
    await lone.eventually(
      () => lone.ask("status"),
      (status) => !status.includes("Cannot take the secret"),
      "the token of git is taken",
    );
    const status = await lone.ask("status");
    assert.match(status, /Cannot listen on 203.0.113.9/, "an address that is not there is told");
    assert.ok(!(lone.output + status).includes(token));
  });

  test("a door opens when its port is free, and when its certificate is there", async (context) => {
    const lone = await LoneAgent.create({ machine: false });
    context.after(() => lone.close());
    const [port = 0] = await freePorts(1);
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(port, "127.0.0.1", resolve));
    await lone.configure(without({ API: { Listen: `127.0.0.1:${port}` } }));
    lone.launch();
    await lone.until(/Cannot listen on 127\.0\.0\.1/);
    await new Promise((resolve) => holder.close(resolve));
    await lone.eventually(
      () => answerOf(port),
      (status) => status === 200,
      "it listens",
    );
    assert.doesNotMatch(await lone.ask("status"), /Cannot listen/);
  });

  test("the password of etcd that comes later is used", { skip: withoutEtcd }, async (context) => {
    const lone = await afterPowerCut(context);
    const server = await startEtcd();
    context.after(() => server.close());
    const file = join(lone.directory, "password");
    const registry = { Endpoints: server.endpoints.join(","), Username: "any", PasswordFile: file };
    await lone.configure(without({ Registry: registry }));
    lone.launch();
    await isUp(lone);
    await lone.until(/Cannot take the secret of \[Registry\] PasswordFile/);
    await writeFile(file, "any\n", { mode: 0o600 });
    await lone.eventually(
      () => lone.output,
      (log) => log.includes("registry.usable"),
      "etcd is asked with it",
    );
  });
});

/** Undefined: nobody listens. */
function answerOf(port: number, token?: string): Promise<number | undefined> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return fetch(`http://127.0.0.1:${port}/v2`, { headers }).then(
    ({ status }) => status,
    () => undefined,
  );
}

async function clusterId(endpoint: string): Promise<string> {
  const answer = await fetch(`${endpoint}/v3/cluster/member/list`, { method: "POST", body: "{}" });
  const { header } = (await answer.json()) as { readonly header: { readonly cluster_id: string } };
  return BigInt(header.cluster_id).toString(16);
}
