// A cluster of many machines on one real etcd: how long it takes until all units run, what an idle cluster asks, and how
// long until all runs again after one machine in ten has died. Agents are whole but for systemd, disk and git; one that
// leads has a process of its own.
import { keys } from "../../agent/text/values.ts";
import { type EtcdFigures, allRequests, between, readFigures } from "../system/etcd-meter.ts";
import { type EtcdServer, startEtcd } from "../system/etcd-server.ts";
import { connect } from "../system/etcd-client.ts";
import { type SwarmCounts, machineLeaseMs } from "../system/swarm.ts";
import { type BenchOptions, type Row, grouped, megabytes, pass, round, until } from "./figures.ts";
import { SwarmProcess } from "./swarm-process.ts";

const idleMs = 20_000;
const timeoutMs = 600_000;

/** Names of the rows, in order. */
export const phases = { come: "come", place: "place", idle: "idle", die: "die" } as const;

/**
 * One row a phase: seconds until it was over, what etcd was asked for meanwhile (requests, puts, bytes), what the leader took
 * of processor and memory, and how many agents were told of a new manifest. `goneSeconds`: until the last lease of the dead had
 * run out.
 */
export async function scale(
  say: (text: string) => void,
  { agents, units, keep }: BenchOptions,
): Promise<readonly Row[]> {
  const etcd = await startEtcd();
  const leader = new SwarmProcess();
  // A thousand agents make garbage together, which each of them alone would hardly have to collect
  const others = new SwarmProcess(["--max-semi-space-size=128"]);
  try {
    const world: World = { etcd, leader, others };
    const { endpoints } = etcd;
    const rows: Row[] = [];
    const tell = (row: Row): void => {
      say(`${row["what"] ?? ""}: ${row["seconds"] ?? ""} s`);
      rows.push(row);
    };

    tell(
      await phase(world, { name: phases.come, what: `${grouped(agents)} agents come` }, async () => {
        await leader.ask("start", { endpoints, from: 0, count: 1, leaders: 1 });
        await until("it leads", async () => (await leader.ask("counts")).told > 0, { timeoutMs });
        await others.ask("start", { endpoints, from: 1, count: agents - 1, leaders: 2 });
        await until("every machine has a manifest", async () => (await counts(world)).woken === agents, { timeoutMs });
      }),
    );
    await others.ask("commit", { units, toRead: true });
    await leader.ask("commit", { units, toRead: false });
    tell(
      await phase(world, { name: phases.place, what: `${grouped(units)} units run` }, async () => {
        await leader.ask("sync");
        await untilActive(world, units);
      }),
    );
    await untilQuiet(etcd);
    tell(await phase(world, { name: phases.idle, what: `idle for ${idleMs / 1000} s` }, () => pass(idleMs)));
    const dead = Math.max(1, Math.floor(agents / 10));
    const gone = await watchLeaving(endpoints);
    const course: Row[] = [];
    const fromMs = performance.now();
    const died = await phase(
      world,
      { name: phases.die, what: `${grouped(dead)} of ${grouped(agents)} die` },
      async () => {
        await others.ask("kill", dead);
        await untilActive(world, units, (active) => {
          const seconds = round((performance.now() - fromMs) / 1000);
          if (course.at(-1)?.["active"] !== active) course.push({ seconds, active });
        });
      },
    );
    keep("course", course);
    const goneSeconds = round((gone.lastMs() - fromMs) / 1000);
    tell({ ...died, units, goneSeconds, afterGoneSeconds: round(Number(died["seconds"]) - goneSeconds) });
    await gone.close();
    const { warnings } = await counts(world);
    if (Object.keys(warnings).length > 0) say(`agents warned of ${JSON.stringify(warnings)}`);
    return rows;
  } finally {
    await Promise.all([leader.end(), others.end()]);
    await etcd.close();
  }
}

interface World {
  readonly etcd: EtcdServer;
  readonly leader: SwarmProcess;
  readonly others: SwarmProcess;
}

async function phase(
  { etcd, leader, others }: World,
  { name, what }: { readonly name: string; readonly what: string },
  work: () => Promise<void>,
): Promise<Row> {
  const before = await readFigures(etcd.url);
  const [usage, othersUsage] = await Promise.all([leader.ask("usage"), others.ask("usage")]);
  if (name !== phases.come) for (const each of [leader, others]) await each.ask("forget");
  const fromMs = performance.now();
  await work();
  const seconds = (performance.now() - fromMs) / 1000;
  const [after, othersAfter] = await Promise.all([leader.ask("usage"), others.ask("usage")]);
  const asked = between(before, await readFigures(etcd.url));
  const now = await counts({ leader, others });
  return {
    name,
    what,
    seconds: round(seconds),
    ...figuresOf(asked),
    perMachineSecond: round(allRequests(asked) / seconds / now.agents),
    woken: now.woken,
    leaderCpuSeconds: round(after.cpuSeconds - usage.cpuSeconds),
    othersCpuSeconds: round(othersAfter.cpuSeconds - othersUsage.cpuSeconds),
    leaderMB: megabytes(after.residentBytes),
    leaderHeapMB: megabytes(after.heapBytes),
  };
}

function figuresOf(asked: EtcdFigures): Row {
  return {
    requests: allRequests(asked),
    renewals: asked.requests.get("LeaseKeepAlive") ?? 0,
    reads: asked.requests.get("Range") ?? 0,
    transactions: asked.requests.get("Txn") ?? 0,
    puts: asked.puts,
    inMB: round(asked.bytesIn / 1e6),
    outMB: round(asked.bytesOut / 1e6),
    etcdCpuSeconds: round(asked.cpuSeconds),
  };
}

async function counts({ leader, others }: Pick<World, "leader" | "others">): Promise<SwarmCounts> {
  const [a, b] = await Promise.all([leader.ask("counts"), others.ask("counts")]);
  const warnings = { ...a.warnings };
  for (const [event, count] of Object.entries(b.warnings)) warnings[event] = (warnings[event] ?? 0) + count;
  return {
    agents: a.agents + b.agents,
    active: a.active + b.active,
    told: a.told + b.told,
    woken: a.woken + b.woken,
    statuses: a.statuses + b.statuses,
    warnings,
  };
}

/** When machines leave the registry: their leases have run out. */
async function watchLeaving(endpoints: readonly string[]): Promise<{ lastMs(): number; close(): Promise<void> }> {
  const registry = connect(endpoints);
  const over = new AbortController();
  let lastMs = performance.now();
  const { revision } = await registry.get(keys.leader);
  const watching = (async () => {
    for await (const { changes } of registry.watch(keys.machines, revision + 1, over.signal))
      if (changes.some(({ kind }) => kind === "delete")) lastMs = performance.now();
  })().catch((error: unknown) => {
    if (!over.signal.aborted) throw error;
  });
  return {
    lastMs: () => lastMs,
    close: async () => {
      over.abort();
      await watching;
      await registry.close();
    },
  };
}

/** That many units are active, as the statuses of the machines that live say; `seen` is told how many are, all the while. */
function untilActive(world: World, units: number, seen: (active: number) => void = () => undefined): Promise<void> {
  const condition = async (): Promise<boolean> => {
    const { active } = await counts(world);
    seen(active);
    return active === units;
  };
  return until(`${units} units active`, condition, { timeoutMs });
}

/** Nothing but renewals for a machine's lease, in which a new leader takes nobody for gone. */
async function untilQuiet(etcd: EtcdServer): Promise<void> {
  let last = await readFigures(etcd.url);
  const isQuiet = async (): Promise<boolean> => {
    await pass(machineLeaseMs);
    const now = await readFigures(etcd.url);
    const { requests } = between(last, now);
    last = now;
    return [...requests.keys()].every((method) => method === "LeaseKeepAlive");
  };
  await until("nothing is asked of etcd any more", isQuiet, { timeoutMs });
}
