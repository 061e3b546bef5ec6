// How long a cluster is without a leader: when the one that leads ends as told to, and when it is killed.
import type { Registry } from "../../agent/ports/registry.ts";
import { keys, parseLeader } from "../../agent/text/values.ts";
import { Cluster, loop } from "../system/cluster.ts";
import { connect } from "../system/etcd-client.ts";
import { type Row, seconds, spread } from "./figures.ts";

const rounds = 5;
const unitCount = 9;

/** From the signal to the leader's agent until another machine's name stands in the registry. */
export async function leaderChange(say: (text: string) => void): Promise<readonly Row[]> {
  const links = Array.from(
    { length: unitCount },
    (_, index) => [`instances/w@${index}.service`, "-> ../templates/w@.service"] as const,
  );
  const cluster = await Cluster.start({ units: { "templates/w@.service": loop(), ...Object.fromEntries(links) } });
  const registry = connect(cluster.etcd.endpoints);
  try {
    await cluster.untilActive(unitCount);
    const startsBefore = await countStarts(cluster);
    const rows: Row[] = [];
    for (const [signal, what] of [
      ["SIGTERM", "the leader ends as told to: another leads, s"],
      ["SIGKILL", "the leader is killed: another leads, s"],
    ] as const) {
      const times: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const { name, revision } = await leaderOf(registry);
        const fromMs = performance.now();
        const stopped = cluster.machine(name).stopAgent(signal);
        times.push((await nextLeader(registry, revision)) - fromMs);
        await stopped;
        await cluster.machine(name).startAgent();
        await cluster.until(`${name} is back`, ({ status }) => status.machines.alive === cluster.machines.length);
      }
      say(`${what}: ${times.map(seconds).join(", ")}`);
      rows.push({ what, ...spread(times.map((ms) => ms / 1000)) });
    }
    await cluster.untilActive(unitCount);
    const restarted = (await countStarts(cluster)) - startsBefore;
    rows.push({ what: "units restarted by it", ...spread([restarted]) });
    return rows;
  } finally {
    await registry.close();
    await cluster.close();
  }
}

/** Who leads, and up to which revision that is known. */
async function leaderOf(registry: Registry): Promise<{ readonly name: string; readonly revision: number }> {
  const { entry, revision } = await registry.get(keys.leader);
  const leader = entry === undefined ? undefined : parseLeader(entry.key, entry.value);
  if (leader?.ok !== true) throw new Error("Nobody leads");
  return { name: leader.value.hostname, revision };
}

/** When the key was written next, by performance.now(). */
async function nextLeader(registry: Registry, after: number): Promise<number> {
  const over = new AbortController();
  const late = setTimeout(() => over.abort(new Error("Nobody leads")), 60_000);
  try {
    for await (const { changes } of registry.watch(keys.leader, after + 1, over.signal))
      if (changes.some(({ kind }) => kind === "put")) return performance.now();
    throw new Error("The watch ended");
  } finally {
    clearTimeout(late);
  }
}

async function countStarts(cluster: Cluster): Promise<number> {
  const starts = await Promise.all(cluster.machines.map((each) => each.starts()));
  return starts.flat().length;
}
