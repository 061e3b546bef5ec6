// OnPartition=stop on real parts: an agent is killed, frozen, or cannot reach etcd; its machine's systemd stops the unit by
// itself, in time, and only then another machine starts it. The unit itself says when it ran, by the clock of the kernel.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, after, before, describe, test } from "node:test";
import { Cluster, type TestMachine } from "./cluster.ts";

const machineLeaseMs = 10_000;
/** It heeds no SIGTERM, so its stop takes all of its time. */
const stopMs = 3_000;
const unit = `[Service]
ExecStart=/bin/sh -c 'trap "" TERM; while :; do read now rest </proc/uptime; echo $$now $$$$ >>%t/beats; sleep 0.05; done'
TimeoutStopSec=3
Restart=always

[X-Fleet]
OnPartition=stop
Prefer=role=db
`;

interface Beat {
  readonly atMs: number;
  readonly pid: string;
}

async function beatsOf(machine: TestMachine): Promise<readonly Beat[]> {
  const file = join(machine.directory, "machine", "run", "beats");
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    const [seconds, pid] = line.split(" ");
    return pid === undefined || pid === "" ? [] : [{ atMs: Number(seconds) * 1_000, pid }];
  });
}

async function uptimeMs(): Promise<number> {
  return Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]) * 1_000;
}

async function until(what: string, condition: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`Not seen within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("a unit with OnPartition=stop", { timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.start({ units: { "static/db.service": unit }, metadata: ["zone=a", "zone=b", "role=db"] });
    await cluster.untilActive(1);
  });
  after(() => cluster.close());

  /** Where it ran last. */
  const home = async (): Promise<TestMachine> => {
    const last = await Promise.all(
      cluster.machines.map(async (machine) => ({ machine, atMs: (await beatsOf(machine)).at(-1)?.atMs ?? 0 })),
    );
    return last.reduce((a, b) => (b.atMs > a.atMs ? b : a)).machine;
  };

  /** From the moment at which `cut` was done: when the unit was down there, and up elsewhere. */
  const moves = async (t: TestContext, what: string, cut: (machine: TestMachine) => void): Promise<TestMachine> => {
    const from = await home();
    const others = cluster.machines.filter((each) => each !== from);
    const before = await Promise.all(others.map(async (each) => (await beatsOf(each)).length));
    const cutMs = await uptimeMs();
    cut(from);
    const gained = async (): Promise<readonly Beat[]> =>
      (await Promise.all(others.map(async (each, at) => (await beatsOf(each)).slice(before[at])))).flat();
    await until(`${what}: it runs elsewhere`, async () => (await gained()).length > 0, 60_000);
    const downMs = ((await beatsOf(from)).at(-1)?.atMs ?? 0) - cutMs;
    const upMs = ((await gained())[0]?.atMs ?? 0) - cutMs;
    t.diagnostic(`${what}: down after ${downMs.toFixed(0)} ms, up elsewhere after ${upMs.toFixed(0)} ms`);
    assert.ok(downMs <= machineLeaseMs - 1_000 + stopMs + 500, `down after ${downMs} ms`);
    assert.ok(upMs > downMs, `up after ${upMs} ms, down after ${downMs} ms`);
    return from;
  };

  test("goes on under the same process while its agent is killed and started again", async () => {
    const machine = await home();
    const [first] = await beatsOf(machine);
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await machine.stopAgent(signal);
      await machine.startAgent();
      await cluster.untilActive(1);
    }
    const restartedMs = await uptimeMs();
    await until(
      "it has run for longer than any permit that was given before",
      async () => ((await beatsOf(machine)).at(-1)?.atMs ?? 0) > restartedMs + machineLeaseMs,
      2 * machineLeaseMs,
    );
    assert.deepEqual(new Set((await beatsOf(machine)).map(({ pid }) => pid)), new Set([first?.pid]));
  });

  test("is stopped by systemd when its agent is killed, before it starts elsewhere, and does not come back", async (t) => {
    const from = await moves(t, "SIGKILL of the agent", (machine) => machine.signalAgent("SIGKILL"));
    const before = (await beatsOf(from)).length;
    await from.stopAgent();
    await from.startAgent();
    await cluster.until("it is back", ({ status }) => status.machines.alive === 3);
    await cluster.untilActive(1);
    assert.equal((await beatsOf(from)).length, before);
  });

  test("is stopped when its agent is frozen; awake again, that knows that it has moved", async (t) => {
    const from = await moves(t, "SIGSTOP of the agent", (machine) => machine.signalAgent("SIGSTOP"));
    const before = (await beatsOf(from)).length;
    from.signalAgent("SIGCONT");
    await cluster.until("it is back", ({ status }) => status.machines.alive === 3);
    await cluster.untilActive(1);
    assert.equal((await beatsOf(from)).length, before);
  });

  test("is stopped on every machine while etcd is away, and runs once again when it is back", async (t) => {
    const machine = await home();
    const before = (await beatsOf(machine)).length;
    const cutMs = await uptimeMs();
    cluster.etcd.freeze();
    await until(
      "it is down",
      async () => ((await beatsOf(machine)).at(-1)?.atMs ?? 0) < (await uptimeMs()) - 1_000,
      machineLeaseMs + stopMs + 2_000,
    );
    const downMs = ((await beatsOf(machine)).at(-1)?.atMs ?? 0) - cutMs;
    t.diagnostic(`SIGSTOP of etcd: down after ${downMs.toFixed(0)} ms`);
    assert.ok(downMs <= machineLeaseMs - 1_000 + stopMs + 500, `down after ${downMs} ms`);
    const count = async (): Promise<number> =>
      (await Promise.all(cluster.machines.map(beatsOf))).reduce((sum, beats) => sum + beats.length, 0);
    assert.ok((await beatsOf(machine)).length > before);
    const silent = await count();
    cluster.etcd.thaw();
    await until("it runs again", async () => (await count()) > silent, 60_000);
    await cluster.untilActive(1);
  });
});
