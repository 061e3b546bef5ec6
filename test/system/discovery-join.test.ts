// Machines that find one another and form a real etcd, by every way that there is; and the bad days on the way: cut off while
// waiting, one too many, a lost disk, a dead service, a wrong token.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Problem } from "../../agent/domain/problem.ts";
import type { SrvRecord } from "../../agent/ports/discovery.ts";
import { withFoundEndpoints } from "../../agent/wire-join.ts";
import { readSettings } from "../../agent/wire.ts";
import { withoutEtcd } from "./etcd-server.ts";
import { type JoinMachine, JoinWorldOnDisk, type OwnService } from "./join-machines.ts";
import { NameServer } from "./name-server.ts";

suite("machines join etcd", { skip: withoutEtcd }, () => {
  let world: JoinWorldOnDisk;
  let service: OwnService;
  before(async () => {
    world = new JoinWorldOnDisk();
    service = await world.service();
  });
  after(() => world.close());

  async function machines(count: number, etcd: string, names = "m"): Promise<JoinMachine[]> {
    return Promise.all(
      Array.from({ length: count }, (_, index) => world.machine({ name: `${names}${index + 1}`, etcd })),
    );
  }

  async function formed(size: number): Promise<{ readonly members: JoinMachine[]; readonly token: string }> {
    const token = await service.newToken(size);
    const members = await machines(size, `Discovery=${token}`);
    await Promise.all(members.map((machine) => machine.join()));
    await Promise.all(members.map((machine) => machine.startEtcd()));
    await Promise.all(members.map((machine) => machine.agrees()));
    return { members, token };
  }

  test("three form a cluster by the service, one of them cut off while waiting and back again", async () => {
    const token = await service.newToken(3);
    const [m1, m2, m3] = (await machines(3, `Discovery=${token}`)) as [JoinMachine, JoinMachine, JoinMachine];
    const first = m1.joining();
    const shown = await m1.shows(/^waiting: waiting for 2 of 3 members: m1 is registered$/);
    assert.equal(shown.missing, 2);
    await assert.rejects(m1.join({ once: true }), coded("discovery-running", /another flotilla discovery join/));
    await first.stop();
    const again = m1.joining();
    const second = m2.joining();
    await m1.shows(/^waiting: waiting for 1 of 3 members: m1, m2 are registered$/);
    const records = await Promise.all([again.done, second.done, m3.join()]);
    for (const [index, record] of records.entries()) {
      assert.equal(record.role, "member");
      assert.equal(record.member?.state, "new");
      assert.equal(record.clusterId, records[0].clusterId);
      assert.deepEqual(record.endpoints, [[m1, m2, m3].at(index)?.clientUrl]);
    }
    await Promise.all([m1, m2, m3].map((machine) => machine.startEtcd()));
    await m1.agrees();
    const { clusterId, members } = await m1.members();
    assert.equal(clusterId, records[0].clusterId, "etcd gives the cluster the id that was foretold");
    assert.deepEqual(members, records.map(({ name, member }) => `${member?.id ?? ""} ${name}`).sort());

    // A reboot asks nobody: the service is off, and so is everybody else
    await service.stop();
    await Promise.all([m1, m2, m3].map((machine) => machine.stopEtcd()));
    try {
      for (const [index, machine] of [m1, m2, m3].entries()) {
        assert.deepEqual(await machine.join({ once: true }), records[index]);
        assert.equal((await machine.progress())?.state, "done");
      }
    } finally {
      await service.start();
    }
    await Promise.all([m1, m2, m3].map((machine) => machine.startEtcd()));
    await m1.agrees();
    assert.deepEqual((await m1.members()).members, members);
  });

  for (const where of ["our own service", "an etcd of version 2"])
    test(`ids are those of etcd's own discovery, by ${where}`, async () => {
      const token = where === "our own service" ? await service.newToken(3) : await v2Token(await world.etcdStore(), 3);
      const [m1, m2, m3] = (await machines(3, `Discovery=${token}`)) as [JoinMachine, JoinMachine, JoinMachine];
      await m1.startNative(token);
      const ours = m2.joining();
      await m2.shows(/members: .*m2/);
      await m3.startNative(token);
      const record = await ours.done;
      await m2.startEtcd();
      await Promise.all([m1, m2, m3].map((machine) => machine.agrees()));
      const lists = await Promise.all([m1, m2, m3].map((machine) => machine.members()));
      for (const each of lists) assert.deepEqual(each, lists[0]);
      assert.equal(lists[0]?.clusterId, record.clusterId);
      assert.ok(lists[0]?.members.includes(`${record.member?.id ?? ""} m2`));
    });

  test("a fourth and a fifth are clients, and run no etcd", async () => {
    const { members, token } = await formed(3);
    const [m4, m5] = (await machines(2, `Discovery=${token}`, "surplus")) as [JoinMachine, JoinMachine];
    for (const machine of [m4, m5]) {
      const record = await machine.join();
      assert.equal(record.role, "client");
      assert.deepEqual([...record.endpoints].sort(), members.map(({ clientUrl }) => clientUrl).sort());
      assert.equal(record.clusterId, (await members[0]?.members())?.clusterId);
      assert.ok(!existsSync(join(machine.state, "etcd-initial.env")), "etcd.service must not start on a client");
    }
    // A client's reboot: the first of its endpoints is down, the service is off, and the cluster answers all the same
    await service.stop();
    await members[0]?.stopEtcd();
    assert.equal((await m4.join({ once: true })).role, "client");
    // Nobody answers: what it has must do
    await Promise.all(members.map((machine) => machine.stopEtcd()));
    assert.equal((await m4.join({ once: true })).endpoints.length, 3);
    await service.start();
  });

  test("a surplus machine waits until the members are up", async () => {
    const token = await service.newToken(1);
    const [m1] = (await machines(1, `Discovery=${token}`)) as [JoinMachine];
    await m1.join();
    const [late] = (await machines(1, `Discovery=${token}`, "late")) as [JoinMachine];
    const joining = late.joining();
    await late.shows(/^waiting: waiting for etcd: the 1 members of .* are known, and none is up yet/);
    await m1.startEtcd();
    assert.deepEqual((await joining.done).endpoints, [m1.clientUrl]);
  });

  test("wrong names are refused before they register, and the right one is not harmed", async () => {
    const token = await service.newToken(2);
    const [m1] = (await machines(1, `Discovery=${token}`)) as [JoinMachine];
    const joining = m1.joining();
    await m1.shows(/m1 is registered/);
    const twin = await world.machine({ name: "m1", etcd: `Discovery=${token}` });
    await assert.rejects(twin.join(), coded("discovery-duplicate", /another member has this name/));
    assert.match((await twin.shows(/^failed/)).what, /Cannot register m1=.* another member has this name/);
    const sameUrl = await world.machine({ name: "m9", etcd: `Discovery=${token}`, peerUrl: m1.peerUrl });
    await assert.rejects(sameUrl.join(), coded("discovery-duplicate", /its id is that of m1=/));
    const [m2] = (await machines(1, `Discovery=${token}\nName=m2`, "x")) as [JoinMachine];
    const [one, two] = await Promise.all([joining.done, m2.join()]);
    assert.deepEqual(
      one.members.map(({ name }) => name),
      ["m1", "m2"],
    );
    assert.equal(two.clusterId, one.clusterId);
  });

  test("a lost disk: the cluster takes the machine out and in again", async () => {
    const { members } = await formed(3);
    const [m1, m2, m3] = members as [JoinMachine, JoinMachine, JoinMachine];
    const before = await m1.members();
    await m3.loseDisk();
    const record = await m3.join();
    assert.equal(record.role, "member");
    assert.equal(record.member?.state, "existing");
    assert.equal(record.clusterId, before.clusterId);
    await m3.startEtcd();
    await m3.agrees();
    const now = await m1.members();
    assert.equal(now.members.length, 3);
    const id = record.member.id ?? "";
    assert.ok(now.members.includes(`${id} m3`));
    assert.ok(!before.members.some((member) => member.startsWith(`${id} `)), "it has a new id");
    // Its reboot is like any other's
    await m3.stopEtcd();
    assert.deepEqual(await m3.join({ once: true }), record);
    await m3.startEtcd();
    await m3.agrees();
    // The data folder alone is lost: the record says what it is
    await m2.stopEtcd();
    const kept = await m2.join({ once: true });
    assert.equal(kept.member?.state, "new");
    await rm(m2.data, { recursive: true });
    assert.equal((await m2.join()).member?.state, "existing");
    await m2.startEtcd();
    await m2.agrees();
    assert.equal((await m1.members()).members.length, 3);
  });

  test("a lost disk while nobody answers: it waits, and never begins anew", async () => {
    const { members } = await formed(3);
    const [m1, m2, m3] = members as [JoinMachine, JoinMachine, JoinMachine];
    await Promise.all(members.map((machine) => machine.stopEtcd()));
    await m3.loseDisk();
    await assert.rejects(m3.join({ once: true }), coded("discovery-waiting", /this machine has no etcd data/));
    const joining = m3.joining();
    await m3.shows(/^waiting: waiting for a member that is up: /);
    assert.ok(!existsSync(join(m3.state, "etcd-initial.env")));
    await Promise.all([m1, m2].map((machine) => machine.startEtcd()));
    assert.equal((await joining.done).member?.state, "existing");
    await m3.startEtcd();
    await m3.agrees();
  });

  test("the only member's lost disk is for a person", async () => {
    const { members } = await formed(1);
    const [m1] = members as [JoinMachine];
    await m1.loseDisk();
    await assert.rejects(m1.join(), coded("discovery-lost", /its data is gone/));
  });

  test("a dead service is waited for, before and after registering", async () => {
    const token = await service.newToken(2);
    const [m1, m2] = (await machines(2, `Discovery=${token}`)) as [JoinMachine, JoinMachine];
    await service.stop();
    const first = m1.joining();
    const shown = await m1.shows(/^waiting: waiting for discovery service .*tries, last error: .*ECONNREFUSED/);
    assert.ok(!JSON.stringify(shown).includes(token.slice(-28)), "the token is not shown");
    await service.start();
    await m1.shows(/m1 is registered/);
    await service.stop();
    await m1.shows(/^waiting: waiting for discovery service/);
    await service.start();
    await Promise.all([first.done, m2.join()]);
  });

  test("a token that was never made is waited for; one of another cluster is refused", async () => {
    const [m1] = (await machines(1, `Discovery=${service.url}/${"0".repeat(32)}`)) as [JoinMachine];
    await assert.rejects(m1.join({ once: true }), coded("discovery-waiting", /there is no such token/));

    // The addresses of a token that was used before, with another cluster on them now
    const old = await formed(1);
    const [machine] = old.members as [JoinMachine];
    await machine.loseDisk();
    await machine.configure(`Discovery=${await service.newToken(1)}`);
    await machine.join();
    await machine.startEtcd();
    await machine.agrees();
    const [client] = (await machines(1, `Discovery=${old.token}`, "client")) as [JoinMachine];
    await assert.rejects(client.join(), coded("discovery-other-cluster", /its members are in another cluster/));
  });

  test("by an etcd of version 3", async () => {
    const store = await world.etcdStore();
    const put = JSON.stringify({
      key: Buffer.from("/_etcd/registry/secret-token/_config/size").toString("base64"),
      value: Buffer.from("2").toString("base64"),
    });
    await fetch(`${store}/v3/kv/put`, { method: "POST", body: put });
    const etcd = `DiscoveryToken=secret-token\nDiscoveryEndpoints=http://127.0.0.1:1,${store}`;
    const [m1, m2, m3] = (await machines(3, etcd)) as [JoinMachine, JoinMachine, JoinMachine];
    const first = m1.joining();
    await m1.shows(/m1 is registered/);
    await first.stop();
    const records = await Promise.all([m1.join(), m2.join()]);
    await Promise.all([m1.startEtcd(), m2.startEtcd()]);
    await m1.agrees();
    const { clusterId, members } = await m1.members();
    assert.equal(clusterId, records[0].clusterId);
    assert.deepEqual(members, records.map(({ name, member }) => `${member?.id ?? ""} ${name}`).sort());
    assert.equal((await m3.join()).role, "client");
  });

  test("by a list, and a client of that list", async () => {
    const both = await machines(2, "");
    const [m1, m2] = both as [JoinMachine, JoinMachine];
    const list = `InitialCluster=m1=${m1.peerUrl},m2=${m2.peerUrl}\nInitialClusterToken=blue`;
    await Promise.all(both.map((machine) => machine.configure(list)));
    const [one, two] = await Promise.all(both.map((machine) => machine.join()));
    assert.equal(one?.clusterId, two?.clusterId);
    await Promise.all(both.map((machine) => machine.startEtcd()));
    await m1.agrees();
    assert.equal((await m1.members()).clusterId, one?.clusterId);
    const stranger = await world.machine({ name: "stranger", etcd: list });
    await assert.rejects(stranger.join(), coded("discovery-list", /Cannot find stranger in/));
    const client = await world.machine({ name: "c", etcd: `${list}\nRole=client` });
    assert.deepEqual([...(await client.join()).endpoints].sort(), [m1.clientUrl, m2.clientUrl].sort());
  });

  test("a machine alone", async () => {
    const [m1] = (await machines(1, "")) as [JoinMachine];
    const record = await m1.join({ once: true });
    assert.deepEqual([record.role, record.size, record.member?.state], ["member", 1, "new"]);
    await m1.startEtcd();
    await m1.agrees();
  });

  test("the agent uses the endpoints that were found, and says so while there are none", async () => {
    const [m1] = (await machines(1, "")) as [JoinMachine];
    const { settings } = await readSettings({ config: m1.config, flags: {} }, {});
    await assert.rejects(withFoundEndpoints(settings), coded("discovery-pending", /it is not known yet who is in it/));
    await m1.join();
    assert.deepEqual((await withFoundEndpoints(settings)).registry.endpoints, [m1.clientUrl]);
    const named = { ...settings, registry: { ...settings.registry, endpoints: ["http://10.0.0.9:2379"] } };
    assert.deepEqual(await withFoundEndpoints(named), named, "what the operator names comes first");
  });

  test("by DNS, once the records are there", async () => {
    const dns = await NameServer.start();
    world.onClose(() => dns.close());
    const [m1, m2] = (await machines(2, "DiscoverySRV=cluster.test")) as [JoinMachine, JoinMachine];
    const joining = m1.join({ nameServer: dns.address });
    await m1.shows(/^waiting: waiting for the records of cluster\.test: there are none/);
    dns.addresses.set("node.cluster.test", ["127.0.0.1"]);
    const [one, two] = [m1, m2].map(({ peerUrl }) => ({
      host: "node.cluster.test",
      port: Number(new URL(peerUrl).port),
    })) as [SrvRecord, SrvRecord];
    dns.services.set("_etcd-server._tcp.cluster.test", [one]);
    await m1.shows(/^waiting: waiting for records of other members in the records of cluster\.test/);
    dns.services.set("_etcd-server._tcp.cluster.test", [one, two]);
    const records = await Promise.all([joining, m2.join({ nameServer: dns.address })]);
    assert.equal(records[0].clusterId, records[1].clusterId);
    assert.match((await m1.environment())["ETCD_INITIAL_CLUSTER"] ?? "", /m1=http:\/\/node\.cluster\.test:/);
    dns.services.clear();
    assert.deepEqual(
      await m1.join({ once: true, nameServer: dns.address }).catch((error: unknown) => code(error)),
      "discovery-waiting",
    );
  });

  test("the command: it waits until it is told to end, says nothing of the token, and is quick the second time", async () => {
    const token = await service.newToken(2);
    const [m1, m2] = (await machines(2, `Discovery=${token}`)) as [JoinMachine, JoinMachine];
    const main = fileURLToPath(new URL("../../agent/main.ts", import.meta.url));
    const run = (...args: readonly string[]) => {
      const child = spawn(process.execPath, [
        "--import",
        "tsx",
        main,
        "discovery",
        "join",
        "--config",
        m1.config,
        ...args,
      ]);
      const said = { out: "", err: "" };
      child.stdout.on("data", (chunk: Buffer) => (said.out += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (said.err += chunk.toString()));
      return { child, exit: once(child, "close"), said };
    };
    const first = run();
    await m1.shows(/m1 is registered/);
    first.child.kill("SIGTERM");
    assert.deepEqual(await first.exit, [130, null]);
    const second = run("--json");
    const two = m2.join();
    assert.deepEqual(await second.exit, [0, null]);
    await two;
    assert.equal((JSON.parse(second.said.out) as { readonly role?: unknown }).role, "member");
    const third = run();
    assert.deepEqual(await third.exit, [0, null]);
    assert.equal(third.said.out, "member m1 of 2: m1, m2\n");
    for (const { said } of [first, second, third])
      assert.ok(!JSON.stringify(said).includes(token.slice(-20)), said.err);
  });
});

async function v2Token(store: string, size: number): Promise<string> {
  const token = `${store}/v2/keys/discovery/abcd1234`;
  await fetch(`${token}/_config/size`, { method: "PUT", body: new URLSearchParams({ value: String(size) }) });
  return token;
}

function coded(expected: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, expected);
    assert.match(error.message, message);
    return true;
  };
}

function code(error: unknown): string {
  return error instanceof Problem ? error.code : String(error);
}
