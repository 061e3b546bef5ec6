// What one change costs the engine when 150,000 units run on 5,000 machines: the processor's time from the change to the write,
// all threads together, and how many manifests are written. The whole engine on a registry in memory; no machine does what it is told.
import { createClock } from "../../agent/adapters/clock.ts";
import { createEmbeddedRegistry } from "../../agent/adapters/registry/embedded.ts";
import type { Machine } from "../../agent/domain/machine.ts";
import { type CommitId, type MachineId, type UnitHash, type UnitName, byName } from "../../agent/domain/names.ts";
import type { DesiredState, Unit } from "../../agent/domain/unit.ts";
import { Engine } from "../../agent/loops/engine.ts";
import { createMirror } from "../../agent/loops/mirror.ts";
import { campaign } from "../../agent/loops/tenure.ts";
import { Troubles } from "../../agent/loops/troubles.ts";
import type { Registry, Write } from "../../agent/ports/registry.ts";
import { encodeLeader, encodeMachine, encodeStatus, keys, parseManifest } from "../../agent/text/values.ts";
import { type Row, grouped, spread } from "./figures.ts";

const machineCount = 5_000;
const unitCount = 150_000;
const runs = 15;
const batch = 100;
const noop = (): void => undefined;
const log = { debug: noop, info: noop, warn: noop, error: noop, with: () => log };

export async function change(say: (text: string) => void): Promise<readonly Row[]> {
  const clock = createClock();
  const store = await createEmbeddedRegistry({ clock });
  const over = new AbortController();
  const operator = store.connect();
  const ids = Array.from({ length: machineCount }, (_, n) => n.toString(16).padStart(32, "0") as MachineId);
  for (let from = 0; from < ids.length; from += batch) {
    await put(
      operator,
      ids.slice(from, from + batch).map((id) => [keys.machine(id), encodeMachine(machine(id))]),
    );
  }
  const watched = new Watched(store.connect());
  const ports = { registry: watched.registry, clock, log };
  const mirror = createMirror({ ...ports, prefix: "" });
  const leader = encodeLeader({ machine: ids[0] as MachineId, hostname: "bench" });
  const tenure = await campaign({ ...ports, key: keys.leader, value: leader, leaseMs: 600_000 }, over.signal);
  if (tenure === undefined) throw new Error("Nobody leads");
  const release = mirror.acquire();
  const engine = new Engine(
    {
      ...ports,
      mirror,
      machineLeaseMs: 600_000,
      registrySinceMs: () => -Infinity,
      registryWentBackMs: () => -Infinity,
      onBehind: () => undefined,
      allowSubmit: true,
      rebalancePerMinute: 0,
      lossBrakePercent: 100,
      hostname: "bench",
      troubles: new Troubles(),
    },
    tenure,
  );
  try {
    const units = new Map(
      Array.from({ length: unitCount }, (_, n) => unit(`u${String(n).padStart(6, "0")}.service`)).map((each) => [
        each.name,
        each,
      ]),
    );
    const first = watched.next(machineCount);
    engine.want(desired(units), true);
    const running = engine.run();
    await first;
    await mirror.reached((await operator.read(keys.leader)).revision, over.signal);
    say(`${grouped(unitCount)} units are told to ${grouped(machineCount)} machines`);

    const rows: Row[] = [];
    /** `prepare` gives what tells the engine of the change. */
    const measure = async (what: string, prepare: (run: number) => () => Promise<void> | void): Promise<void> => {
      const times: number[] = [];
      const writes: number[] = [];
      // The first is not counted: the manifests that were written before are only then looked at
      for (let run = 0; run <= runs; run++) {
        const written = watched.next(1);
        const tell = prepare(run);
        globalThis.gc?.();
        const fromCpu = process.cpuUsage();
        await tell();
        const { manifests, user, system } = await written;
        if (run === 0) continue;
        times.push((user + system - fromCpu.user - fromCpu.system) / 1000);
        writes.push(manifests);
      }
      rows.push(
        { what: `${what}, ms of processor`, ...spread(times) },
        { what: `${what}: manifests written`, ...spread(writes) },
      );
    };
    const more = new Map(units);
    await measure("one unit more", (run) => {
      const added = unit(`more${run}.service`);
      more.set(added.name, added);
      const next = desired(new Map([...more].sort(([a], [b]) => byName(a, b))));
      return () => engine.want(next, true);
    });
    await measure("one unit's text changed", (run) => {
      const changed = unit(`u${String(run).padStart(6, "0")}.service`, "2");
      more.set(changed.name, changed);
      const next = desired(new Map([...more].sort(([a], [b]) => byName(a, b))));
      return () => engine.want(next, true);
    });
    await measure("one machine gone, its 30 units elsewhere", (run) => async () => {
      await operator.write({ guards: [], writes: [{ kind: "delete", key: keys.machine(ids[run] as MachineId) }] });
    });
    rows.push(...(await statusOnly({ operator, watched, ids })));
    over.abort();
    await running;
    return rows;
  } finally {
    over.abort();
    release();
    await store.close();
  }
}

/** A status that changes nothing: the pass that it costs, seen by the processor's time, and no write. */
async function statusOnly({
  operator,
  watched,
  ids,
}: {
  readonly operator: Registry;
  readonly watched: Watched;
  readonly ids: readonly MachineId[];
}): Promise<readonly Row[]> {
  const id = ids.at(-1) as MachineId;
  const { entry } = await operator.get(keys.manifest(id));
  const read = entry === undefined ? undefined : parseManifest(entry.key, entry.value);
  if (read?.ok !== true) throw new Error("A machine has no manifest");
  const { epoch, generation, units } = read.value;
  const before = watched.writes;
  const fromCpu = process.cpuUsage();
  for (let run = 0; run < runs; run++) {
    const state = { load: "loaded", active: "active", sub: "running", result: "success", sinceMs: run, restarts: 0 };
    const status = {
      machine: id,
      seen: { epoch, generation },
      units: units.map(({ name, hash }) => ({ ...state, name, hash })),
    };
    await put(operator, [[keys.status(id), encodeStatus(status)]]);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { user, system } = process.cpuUsage(fromCpu);
  return [
    { what: "a status that changes nothing, ms of processor", ...spread([(user + system) / 1000 / runs]) },
    { what: "a status that changes nothing: writes", ...spread([watched.writes - before]) },
  ];
}

/** What the processor had done by then, as Node counts it. */
interface Written extends NodeJS.CpuUsage {
  readonly manifests: number;
}

/** A registry that tells when the engine has written manifests: `next` resolves once so many were, all batches together. */
class Watched {
  readonly registry: Registry;
  writes = 0;
  #waiting: { least: number; manifests: number; resolve: (written: Written) => void } | undefined;

  constructor(inner: Registry) {
    this.registry = new Proxy(inner, {
      get: (target, name) => {
        if (name === "write") {
          return (...args: Parameters<Registry["write"]>) => {
            this.#note(args[0].writes);
            return target.write(...args);
          };
        }
        const value = Reflect.get(target, name) as unknown;
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  }

  next(least: number): Promise<Written> {
    return new Promise((resolve) => (this.#waiting = { least, manifests: 0, resolve }));
  }

  #note(writes: readonly Write[]): void {
    const manifests = writes.filter(({ key }) => key.startsWith(keys.manifests)).length;
    this.writes += writes.length;
    const waiting = this.#waiting;
    if (manifests === 0 || waiting === undefined) return;
    waiting.manifests += manifests;
    if (waiting.manifests < waiting.least) return;
    this.#waiting = undefined;
    waiting.resolve({ manifests: waiting.manifests, ...process.cpuUsage() });
  }
}

async function put(registry: Registry, entries: readonly (readonly [string, string])[]): Promise<void> {
  await registry.write({ guards: [], writes: entries.map(([key, value]) => ({ kind: "put", key, value })) });
}

function machine(id: MachineId): Machine {
  const metadata = { region: `r${Number.parseInt(id, 16) % 5}` };
  const size = { cpus: 4, memoryBytes: 16e9 };
  return { id, nonce: "boot", hostname: id.slice(-8), publicIp: "", metadata, ...size, mayLead: true, version: "0" };
}

function unit(name: string, hash = "1"): Unit {
  return {
    name: name as UnitName,
    source: "git",
    file: name,
    text: "",
    dropIns: [],
    hash: hash.padEnd(40, "0") as UnitHash,
    target: "launched",
    options: { machineId: undefined, machineOf: [], metadata: [], conflicts: [], replaces: [], global: false },
    onChange: "restart",
    description: undefined,
    hasInstall: false,
  };
}

function desired(units: ReadonlyMap<UnitName, Unit>): DesiredState {
  return { commit: "c".repeat(40) as CommitId, units, templates: new Map(), warnings: [] };
}
