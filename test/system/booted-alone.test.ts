// A machine that boots alone: etcd and the repository are gone, and it brings back what it was told to run, of every kind, by
// what lies on its own disk; but what must not run twice waits. How long that takes is measured.
import assert from "node:assert/strict";
import { type TestContext, after, before, describe, test } from "node:test";
import { type BootedMachine, bootMachine } from "./booted/machine.ts";
import { flotillaParts } from "./booted/flotilla.ts";
import { Network } from "./booted/network.ts";
import { whyNoMachines } from "./booted/why.ts";
import { withoutEtcd } from "./etcd-server.ts";

/** Patience of the agent for a registry, and what starting units takes on a busy computer. */
const backMs = 30_000;
const serviceText = "[Service]\nExecStart=/bin/sleep infinity\n";

const repository: Readonly<Record<string, string>> = {
  "static/global.service": `${serviceText}[X-Fleet]\nGlobal=true\n`,
  "static/keep.service": `${serviceText}[X-Fleet]\nOnPartition=keep\n`,
  "static/single.service": `${serviceText}[X-Fleet]\nOnPartition=stop\n`,
  "static/held.service": serviceText,
  "static/enabled.service": `${serviceText}[Install]\nWantedBy=multi-user.target\n`,
  "static/tick.timer": "[Timer]\nOnActiveSec=1\nAccuracySec=100ms\n",
  "static/tick.service":
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[X-Fleet]\nDesiredState=loaded\n",
  "templates/web@.service": serviceText,
  "templates/web@.service.d/10-name.conf": "[Unit]\nDescription=dropped in for %i\n",
};
const running = [
  "global.service",
  "keep.service",
  "enabled.service",
  "tick.timer",
  "tick.service",
  "web@1.service",
  "hand.service",
];
const resting = ["held.service", "hand-off.service"];
/** It has OnPartition=stop: nobody is there who could say that it runs nowhere else. */
const single = "single.service";

const missing = (await whyNoMachines()) ?? (withoutEtcd === false ? undefined : withoutEtcd);

describe("a machine that boots alone", { skip: missing ?? false }, () => {
  let network: Network;
  let machine: BootedMachine;
  const shell = (script: string): Promise<string> => machine.output(["sh", "-ec", script]);
  const property = async (unit: string, name: string): Promise<string> =>
    (await machine.output(["systemctl", "show", "--property", name, "--value", unit])).trim();

  before(async () => {
    network = await Network.open();
    const parts = await flotillaParts();
    machine = await bootMachine({
      network,
      name: "alone",
      address: "10.77.0.31",
      ...parts,
      files: {
        ...parts.files,
        // What the first boot does has tests of its own
        "/etc/flotilla/no-bootstrap": "",
        "/etc/flotilla/flotilla.conf":
          "[Registry]\nEndpoints=http://127.0.0.1:2379\n[Git]\nURL=/srv/units\nSchedule=* * * * * *\nJitter=0\n",
        "/root/hand.service": serviceText,
        "/root/hand-off.service": serviceText,
        ...Object.fromEntries(Object.entries(repository).map(([path, text]) => [`/srv/units/${path}`, text])),
      },
      enable: ["flotilla.service"],
    });
    // Both are gone with this boot
    await shell(`
      systemd-run --quiet --unit=registry --property=Type=notify etcd --data-dir=/run/etcd --unsafe-no-fsync
      export HOME=/root GIT_CONFIG_NOSYSTEM=1
      cd /srv/units
      mkdir instances
      ln -s ../templates/web@.service instances/web@1.service
      git init -q --initial-branch=main
      git add -A
      git -c user.name=Test -c user.email=test@localhost commit -qm units`);
    await machine.waitForUnit("held.service", { timeoutMs: 60_000 });
    await shell(`
      flotilla start /root/hand.service /root/hand-off.service
      flotilla stop hand-off.service
      flotilla stop held.service`);
    await allUp();
    await machine.waitForUnit(single, { timeoutMs: backMs });
    await shell("mv /srv/units /srv/elsewhere");
  });
  after(() => network.close());

  async function allUp(): Promise<void> {
    for (const unit of running) await machine.waitForUnit(unit, { timeoutMs: backMs });
    for (const unit of resting) {
      await machine.waitFor(`${unit} at rest`, async () => (await property(unit, "LoadState")) === "loaded", {
        timeoutMs: backMs,
      });
      assert.equal(await property(unit, "ActiveState"), "inactive", unit);
    }
  }

  /** Of the last unit that came up, in ms since the agent was started and since systemd was. */
  async function backAfter(): Promise<{ readonly agentMs: number; readonly systemdMs: number }> {
    const at = async (unit: string, name: string): Promise<number> => Number(await property(unit, name)) / 1000;
    const starts = await Promise.all(
      running.filter((unit) => unit !== "tick.service").map((unit) => at(unit, "ActiveEnterTimestampMonotonic")),
    );
    const last = Math.max(...starts);
    const systemd = (
      await machine.output(["systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"])
    ).trim();
    return {
      agentMs: Math.round(last - (await at("flotilla.service", "ExecMainStartTimestampMonotonic"))),
      systemdMs: Math.round(last - Number(systemd) / 1000),
    };
  }

  /** It has not been started in this boot, and the listing says why. */
  async function isBarred(): Promise<void> {
    const said = await machine.waitFor("why it is not started", async () => {
      const { stdout } = await machine.run(["flotilla", "list-units", "--unit", single, "--json"]);
      return /unit-fenced/.test(stdout) && stdout;
    });
    assert.match(said, /Cannot start unit \\"single\.service\\" while this machine is cut off/);
    assert.match(said, /It has OnPartition=stop: once the registry is heard, it starts where it is wanted/);
    assert.deepEqual([await property(single, "ActiveState"), await property(single, "InvocationID")], ["inactive", ""]);
    assert.equal((await machine.run(["systemctl", "is-active", "--quiet", "flotilla-permit.target"])).status, 3);
  }

  async function isBack(t: TestContext): Promise<void> {
    await allUp();
    await isBarred();
    assert.equal(await property("web@1.service", "Description"), "dropped in for 1");
    assert.match(await property("multi-user.target", "Wants"), /\benabled\.service\b/);
    const { agentMs, systemdMs } = await backAfter();
    t.diagnostic(`the last unit was up ${agentMs} ms after the agent was started, ${systemdMs} ms after systemd`);
    assert.ok(agentMs < 15_000, `${agentMs} ms`);
    assert.match(
      await machine.output(["flotilla", "status"]),
      /Cannot reach the registry.*this is what this machine knows/,
    );
  }

  test("after a reboot", async (t) => {
    await machine.reboot({ until: "flotilla.service" });
    await isBack(t);
  });

  test("after a power cut, without its store of git", async (t) => {
    await shell("systemctl kill --signal=SIGKILL flotilla.service; rm -r /var/lib/flotilla/store.git");
    await machine.powerCut();
    await machine.boot({ until: "flotilla.service" });
    await isBack(t);
  });

  test("after a restart and a SIGKILL of the agent, which touch no unit", async () => {
    const pids = (): Promise<readonly string[]> => Promise.all(running.map((unit) => property(unit, "InvocationID")));
    const before = await pids();
    for (const command of ["systemctl restart flotilla.service", "systemctl kill --signal=SIGKILL flotilla.service"]) {
      const agent = await property("flotilla.service", "MainPID");
      await shell(command);
      await machine.waitFor("another agent", async () => {
        const pid = await property("flotilla.service", "MainPID");
        return pid !== agent && pid !== "0";
      });
      const listed = await machine.waitFor("what it has read of systemd", async () => {
        const { stdout } = await machine.run(["flotilla", "list-units"]);
        return /^global\.service/m.test(stdout) && stdout;
      });
      for (const unit of running) assert.match(listed, new RegExp(`^${unit.replaceAll(".", "\\.")}`, "m"));
    }
    assert.deepEqual(await pids(), before);
    await isBarred();
  });
});
