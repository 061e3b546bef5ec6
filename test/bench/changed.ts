// A commit that changes 100 units on a machine that has 1,000: until the last of them runs anew, and how often systemd was
// made to reload for it.
import { Peer } from "../../agent/adapters/systemd/peer.ts";
import { Cluster, type TestMachine, loop } from "../system/cluster.ts";
import { type Row, seconds, spread, until } from "./figures.ts";

const loadedCount = 900;
const changedCount = 100;
const rounds = 3;
const manager = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" } as const;

/** From `sync` until every changed unit has written down its new start. */
export async function changed(say: (text: string) => void): Promise<readonly Row[]> {
  const links = (template: string, count: number): Readonly<Record<string, string>> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [
        `instances/${template}@${index}.service`,
        `-> ../templates/${template}@.service`,
      ]),
    );
  const cluster = await Cluster.start({
    machines: 1,
    units: {
      "templates/lies@.service": loop("\n[X-Fleet]\nDesiredState=loaded\n"),
      "templates/runs@.service": loop(),
      ...links("lies", loadedCount),
      ...links("runs", changedCount),
    },
  });
  const times: number[] = [];
  const reloads: number[] = [];
  try {
    const [machine] = cluster.machines;
    if (machine === undefined) throw new Error("no machine");
    await cluster.until(
      "all units lie there, and those that are to run do",
      ({ units }) =>
        units.length === loadedCount + changedCount &&
        units.filter((unit) => unit.knowledge === "reported" && unit.active === "active").length === changedCount,
      180_000,
    );
    const counter = await countReloads(machine);
    for (let round = 1; round <= rounds; round++) {
      await cluster.commit({ "templates/runs@.service": loop(`Environment=ROUND=${round}\n`) });
      const before = counter.reloads();
      const fromMs = performance.now();
      const synced = cluster.sync();
      await until(
        "every changed unit was started anew",
        async () => (await startsOf(machine)) >= changedCount * (round + 1),
        {
          timeoutMs: 60_000,
          everyMs: 5,
        },
      );
      times.push(performance.now() - fromMs);
      await synced;
      reloads.push(counter.reloads() - before);
      say(`round ${round}: ${seconds(times.at(-1) ?? 0)}, reloads: ${reloads.at(-1) ?? 0}`);
    }
    counter.close();
  } finally {
    await cluster.close();
  }
  return [
    { what: "from sync until all 100 run anew, s", ...spread(times.map((ms) => ms / 1000)) },
    { what: "reloads of systemd", ...spread(reloads) },
  ];
}

async function startsOf(machine: TestMachine): Promise<number> {
  return (await machine.starts()).filter((name) => name.startsWith("runs@")).length;
}

/** systemd tells everybody who listens when it begins to reload, and when it has. */
async function countReloads({ machine }: TestMachine): Promise<{ reloads(): number; close(): void }> {
  if (machine === undefined) throw new Error("The machine does not run");
  const peer = await Peer.connect(machine.systemdAddress.replace(/^unix:path=/, ""), new AbortController().signal);
  let count = 0;
  peer.onSignal = ({ member, body }) => {
    if (member === "Reloading" && body[0] === true) count++;
  };
  await peer.call({ ...manager, member: "Subscribe" });
  return { reloads: () => count, close: () => peer.close() };
}
