// A commit that changes 100 units on a machine that has 1,000: until the last of them runs anew, and how often systemd was
// made to reload for it.
import { Peer } from "../../agent/adapters/systemd/peer.ts";
import { Cluster, type TestMachine, loop } from "../system/cluster.ts";
import { basename } from "node:path";
import { type Row, seconds, spread, until } from "./figures.ts";

const loadedCount = 900;
const changedCount = 100;
const rounds = 3;
const systemd = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" } as const;

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
  const floors: number[] = [];
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
    const manager = await Manager.of(machine);
    const untilAnew = async (fromMs: number): Promise<number> => {
      const wanted = changedCount * (times.length + floors.length + 2);
      const allAnew = async (): Promise<boolean> => (await startsOf(machine)) >= wanted;
      await until("every changed unit was started anew", allAnew, { timeoutMs: 120_000, everyMs: 5 });
      return performance.now() - fromMs;
    };
    for (let round = 1; round <= rounds; round++) {
      await cluster.commit({ "templates/runs@.service": loop(`Environment=ROUND=${round}\n`) });
      const before = manager.reloads;
      const synced = cluster.sync();
      times.push(await untilAnew(performance.now()));
      await synced;
      reloads.push(manager.reloads - before);
      const restarting = manager.reloadAndRestart(
        Object.keys(links("runs", changedCount)).map((path) => basename(path)),
      );
      floors.push(await untilAnew(performance.now()));
      await restarting;
      say(`round ${round}: ${seconds(times.at(-1) ?? 0)}, systemd alone ${seconds(floors.at(-1) ?? 0)}`);
    }
    manager.close();
  } finally {
    await cluster.close();
  }
  return [
    { what: "from sync until all 100 run anew, s", ...spread(times.map((ms) => ms / 1000)) },
    { what: "reloads of systemd", ...spread(reloads) },
    { what: "systemd alone: one reload, 100 restarts, s", ...spread(floors.map((ms) => ms / 1000)) },
  ];
}

async function startsOf(machine: TestMachine): Promise<number> {
  return (await machine.starts()).filter((name) => name.startsWith("runs@")).length;
}

/** A machine's systemd, asked without an agent. It tells everybody who listens when it begins to reload, and when it has. */
class Manager {
  reloads = 0;
  readonly #peer: Peer;

  static async of({ machine }: TestMachine): Promise<Manager> {
    if (machine === undefined) throw new Error("The machine does not run");
    const peer = await Peer.connect(machine.systemdAddress.replace(/^unix:path=/, ""), new AbortController().signal);
    const manager = new Manager(peer);
    await peer.call({ ...systemd, member: "Subscribe" });
    return manager;
  }

  private constructor(peer: Peer) {
    this.#peer = peer;
    peer.onSignal = ({ member, body }) => {
      if (member === "Reloading" && body[0] === true) this.reloads++;
    };
  }

  async reloadAndRestart(units: readonly string[]): Promise<void> {
    await this.#peer.call({ ...systemd, member: "Reload" });
    const restart = { ...systemd, member: "RestartUnit", signature: "ss" };
    await Promise.all(units.map((unit) => this.#peer.call({ ...restart, body: [unit, "replace"] })));
  }

  close(): void {
    this.#peer.close();
  }
}
