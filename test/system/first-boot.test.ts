// Machines that boot from one user-data and join, with no hand on them: etcd through discovery, a leader, the units of the
// repository. Then what happens to machines in their life: all rebooted at once, one lost and made anew, more of them than
// etcd has members. Real systemd, etcd, git and discovery; the machines are containers that boot.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { BootedMachine } from "./booted/machine.ts";
import { whyNoMachines } from "./booted/why.ts";
import { loop } from "./cluster.ts";
import { withoutEtcd } from "./etcd-server.ts";
import { FirstBoots, bootStatus, etcdMembers, listUnits } from "./first-boots.ts";

const missing = withoutEtcd === false ? await whyNoMachines() : withoutEtcd;

/** The bound of the whole way from power on to running units. */
const joinedMs = 60_000;
const deployedMs = 5_000;

const units = {
  "static/hello.service": loop(),
  "static/beacon.service": loop("\n[X-Fleet]\nGlobal=true\n"),
  "templates/web@.service": loop("\n[X-Fleet]\nConflicts=web@*.service\n"),
  "instances/web@1.service": "-> ../templates/web@.service",
  "instances/web@2.service": "-> ../templates/web@.service",
  "instances/web@3.service": "-> ../templates/web@.service",
};

/** Active units as `name on host`, in order. */
async function running(machine: BootedMachine): Promise<readonly string[]> {
  const found = await listUnits(machine);
  return found
    .filter(({ active }) => active === "active")
    .map(({ name, machine: on }) => `${name} on ${on.hostname}`)
    .sort();
}

/** Which units run at all, each as often as it does. */
const names = (lines: readonly string[]): readonly string[] => lines.map((line) => line.split(" ")[0] ?? "").sort();

/** A member is called by its address unless the user-data says otherwise: three machines of one file have one hostname. */
const members = ["10.77.0.11", "10.77.0.12", "10.77.0.13"];

const withBeacons = (machines: number): readonly string[] =>
  [
    ...Array<string>(machines).fill("beacon.service"),
    "hello.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
  ].sort();

describe("machines boot from cloud-config and join", { skip: missing ?? false }, () => {
  let boots: FirstBoots;
  let machines: BootedMachine[];
  let userData: string;
  const [m1, m2, m3] = [0, 1, 2].map((index) => (): BootedMachine => machines[index]!) as [
    () => BootedMachine,
    () => BootedMachine,
    () => BootedMachine,
  ];

  before(async () => {
    boots = await FirstBoots.open({ units });
    userData = await boots.userData("three-machines.yaml", { discovery: await boots.newToken(3) });
    machines = await Promise.all(
      ["m1", "m2", "m3"].map((name) => boots.machine(name, { userData, ssh: name === "m1" })),
    );
  });

  after(async () => {
    await boots.close();
  });

  /** Every machine's agent sees exactly these units run. */
  async function settled(wanted: readonly string[], timeoutMs: number): Promise<void> {
    for (const machine of machines.filter((each) => each.running))
      await machine.waitFor(
        `units run: ${wanted.join(" ")}`,
        async () => {
          // What it sees instead goes into the failure
          const seen = await running(machine);
          assert.equal(names(seen).join(" "), wanted.join(" "), String(seen));
          return true;
        },
        { timeoutMs },
      );
  }

  test("three machines, one user-data: to running units in a minute", async (context) => {
    const from = performance.now();
    await Promise.all(machines.map((machine) => machine.boot()));
    await settled(withBeacons(3), joinedMs);
    const took = performance.now() - from;
    context.diagnostic(`from power on to running units: ${(took / 1000).toFixed(1)} s`);
    assert.ok(took < joinedMs, `took ${took} ms`);
    assert.deepEqual(await etcdMembers(m1()), members);
    const web = (await running(m1())).filter((line) => line.startsWith("web@"));
    assert.equal(new Set(web.map((line) => line.split(" on ")[1])).size, 3, `one on each machine: ${web.join(", ")}`);
  });

  test("each says that it is done, and somebody can log in with the key", async () => {
    for (const machine of machines) {
      const { code, text } = await bootStatus(machine, "--wait");
      assert.equal(code, 0, text);
    }
    const user = (await m1().read("/etc/passwd")).includes("\ncore:") ? "core" : "root";
    assert.match(await boots.ssh(m1(), { user, command: "hostname" }), /^m1/);
  });

  test("metadata is what the user-data says, with the machine's own name in it", async () => {
    const { machines: listed } = JSON.parse(await m2().output(["flotilla", "list-machines", "--json"])) as {
      machines: { hostname: string; metadata: Record<string, string> }[];
    };
    for (const { hostname, metadata } of listed)
      assert.deepEqual({ ...metadata }, { region: "eu", disk: "ssd", name: hostname });
    assert.equal(listed.length, 3);
  });

  test("the next commit runs within five seconds", async (context) => {
    await boots.units.commit({ "static/next.service": loop() });
    const from = performance.now();
    await m3().output(["flotilla", "sync"]);
    await settled([...withBeacons(3), "next.service"].sort(), deployedMs);
    const took = performance.now() - from;
    context.diagnostic(`from sync to running: ${(took / 1000).toFixed(2)} s`);
    assert.ok(took < deployedMs, `took ${took} ms`);
    await boots.units.commit({ "static/next.service": null });
    await m3().output(["flotilla", "sync"]);
    await settled(withBeacons(3), deployedMs);
  });

  test("a second run of the first boot changes nothing", async () => {
    const before = await m1().output(["sh", "-c", "stat -c '%n %Y %Z' /etc/flotilla/* /etc/systemd/system/*.d/*"]);
    const ran = await m1().run(["flotilla", "bootstrap", "--dry-run"], { timeoutMs: 60_000 });
    assert.equal(ran.status, 0, ran.stderr);
    await m1().output(["systemctl", "restart", "flotilla-bootstrap.service"], { timeoutMs: 60_000 });
    assert.equal(
      await m1().output(["sh", "-c", "stat -c '%n %Y %Z' /etc/flotilla/* /etc/systemd/system/*.d/*"]),
      before,
    );
  });

  test("all rebooted at once, with discovery off: the same cluster, the same units", async (context) => {
    const id = async (): Promise<string> =>
      (
        JSON.parse(await m1().output(["curl", "-s", "-d", "{}", "http://127.0.0.1:2379/v3/cluster/member/list"])) as {
          header: { cluster_id: string };
        }
      ).header.cluster_id;
    const [cluster, there] = [await id(), await running(m1())];
    await boots.stopDiscovery();
    const from = performance.now();
    await Promise.all(machines.map((machine) => machine.reboot()));
    await settled(withBeacons(3), joinedMs);
    context.diagnostic(`from reboot to running units: ${((performance.now() - from) / 1000).toFixed(1)} s`);
    assert.equal(await id(), cluster);
    assert.deepEqual(await running(m1()), there, "each unit on the machine that had it");
    await boots.startDiscovery();
  });

  test("a fourth and a fifth machine with the same file are clients that work", async () => {
    const more = await Promise.all(["m4", "m5"].map((name) => boots.machine(name, { userData })));
    await Promise.all(more.map((machine) => machine.boot()));
    machines.push(...more);
    await settled(withBeacons(5), joinedMs);
    for (const machine of more) {
      assert.notEqual((await machine.unit("etcd.service")).active, "active");
      const { code, text } = await bootStatus(machine, "--wait");
      assert.equal(code, 0, text);
    }
    assert.deepEqual(await etcdMembers(m1()), members);
  });

  test("a machine that is destroyed and made anew with an empty disk joins again", async () => {
    const lost = m2();
    await lost.powerCut();
    await lost.replaceDisk();
    await lost.boot();
    await settled(withBeacons(5), joinedMs);
    await lost.waitFor("etcd has its member back", async () => (await etcdMembers(m1())).join() === members.join(), {
      timeoutMs: joinedMs,
    });
    await lost.waitForUnit("etcd.service", { timeoutMs: joinedMs });
    const { code, text } = await bootStatus(lost, "--wait");
    assert.equal(code, 0, text);
  });

  test("losing any one member of etcd stops nothing", async () => {
    await m1().powerCut();
    const clients = machines.slice(3);
    for (const machine of clients)
      await machine.waitFor(
        "the units of the lost machine run elsewhere",
        async () => {
          const lines = await running(machine);
          return (
            names(lines).filter((name) => name !== "beacon.service").length === 4 &&
            !lines.some((line) => line.endsWith(" on m1"))
          );
        },
        { timeoutMs: joinedMs },
      );
    await m1().boot();
    await settled(withBeacons(5), joinedMs);
  });
});
