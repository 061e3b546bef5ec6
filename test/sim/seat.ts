// Where one process sits in the simulated world: its ports, each call of which may be slow, fail, or be the last thing that
// the process does, before or after its effect.
import type { Git } from "../../agent/ports/git.ts";
import type { Disk } from "../../agent/ports/disk.ts";
import type { UnitName } from "../../agent/domain/names.ts";
import type { FakeJob } from "../fakes/fake-systemd.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { Registry, WatchBatch } from "../../agent/ports/registry.ts";
import type { Systemd } from "../../agent/ports/systemd.ts";
import type { Dice } from "./dice.ts";
import type { Process } from "./process.ts";

/** How bad it is, as shares of all calls. */
export interface Weather {
  /** The process is killed at this call. */
  readonly crash: number;
  /** The call fails, having had its effect or not. */
  readonly fail: number;
  /** It takes up to two seconds. */
  readonly slow: number;
}

export const calm: Weather = { crash: 0, fail: 0, slow: 0 };

const mostSlowMs = 2_000;

export interface Seat {
  readonly process: Process;
  readonly dice: Dice;
  readonly weather: () => Weather;
  /** Kills the process; `at` says where it stood. */
  readonly crash: (at: string) => void;
  /** It asks systemd for a job; that may take its time to get there. */
  readonly asks: (job: FakeJob, unit: UnitName) => void;
  /** It could not be told what came of a job of this unit. */
  readonly unsure: (unit: UnitName) => void;
  /** Work that goes on beside everything else; what it throws ends the simulation. */
  readonly act: (work: () => Promise<void>) => void;
}

export function seated(seat: Seat, { registry, systemd, disk, git }: Ports): Ports {
  return {
    registry: registryOf(seat, registry),
    systemd: systemdOf(seat, systemd),
    disk: diskOf(seat, disk),
    git: gitOf(seat, git),
  };
}

export interface Ports {
  readonly registry: Registry;
  readonly systemd: Systemd;
  readonly disk: Disk;
  readonly git: Git;
}

interface Call<T> {
  /** For the trace: `disk.write manifest.json`. */
  readonly what: string;
  readonly work: () => Promise<T>;
  /** How it fails when it does; undefined: it does not. */
  readonly failure?: () => Problem;
  /** Resolves when what was called before it has got there; told when this has. */
  readonly turn?: { readonly before: Promise<void>; readonly over: () => void };
}

async function call<T>(seat: Seat, { what, work, failure, turn }: Call<T>): Promise<T> {
  const { process, dice } = seat;
  const weather = seat.weather();
  await killedBy(seat, weather.crash / 2, `before ${what}`);
  if (dice.chance(weather.slow)) await process.ownClock.sleep(dice.between(1, mostSlowMs));
  if (turn !== undefined) await turn.before;
  const fails = failure !== undefined && dice.chance(weather.fail);
  const isLost = fails && dice.chance(0.5);
  const done = isLost ? Promise.reject(failure()) : work();
  turn?.over();
  if (isLost) return done;
  const answer = await process.hear(done);
  await killedBy(seat, weather.crash / 2, `after ${what}`);
  if (fails) throw failure();
  return answer;
}

async function killedBy({ process, dice, crash }: Seat, share: number, at: string): Promise<void> {
  if (!process.isDead && dice.chance(share)) crash(at);
  if (process.isDead) await new Promise<never>(() => undefined);
}

function registryOf(seat: Seat, registry: Registry): Registry {
  return {
    read: (prefix, signal) => call(seat, { what: "registry.read", work: () => registry.read(prefix, signal) }),
    get: (key, signal) => call(seat, { what: `registry.get ${key}`, work: () => registry.get(key, signal) }),
    write: (transaction, signal) =>
      call(seat, {
        what: `registry.write ${transaction.writes.map(({ key }) => key).join(" ")}`,
        work: () => registry.write(transaction, signal),
      }),
    grantLease: (ttlMs, signal) =>
      call(seat, { what: "registry.grantLease", work: () => registry.grantLease(ttlMs, signal) }),
    renewLease: (id, signal) =>
      call(seat, { what: "registry.renewLease", work: () => registry.renewLease(id, signal) }),
    leaseLeftMs: (id, signal) =>
      call(seat, { what: "registry.leaseLeftMs", work: () => registry.leaseLeftMs(id, signal) }),
    revokeLease: (id, signal) =>
      call(seat, { what: "registry.revokeLease", work: () => registry.revokeLease(id, signal) }),
    watch: (prefix, from, signal) => watched(seat, registry.watch(prefix, from, signal)),
    close: () => registry.close(),
  };
}

async function* watched(seat: Seat, batches: AsyncIterable<WatchBatch>): AsyncGenerator<WatchBatch, void, undefined> {
  const iterator = batches[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await call(seat, { what: "registry.watch", work: () => iterator.next() });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

function systemdOf(seat: Seat, systemd: Systemd): Systemd {
  const failure = (): Problem => new Problem("systemd-unreachable", "Cannot reach systemd");
  // D-Bus and the disk take what is said of a unit in the order in which it was said
  const turns = new Map<UnitName, Promise<void>>();
  const turnOf = (unit: UnitName): NonNullable<Call<unknown>["turn"]> => {
    const before = turns.get(unit) ?? Promise.resolve();
    let over = (): void => undefined;
    turns.set(unit, new Promise((resolve) => (over = resolve)));
    return { before, over: () => over() };
  };
  const listeners = (listener: Parameters<Systemd["onChange"]>[0]): Parameters<Systemd["onChange"]>[0] => {
    const { process, act } = seat;
    return (names) => {
      act(async () => {
        await process.hear(Promise.resolve());
        listener(names);
      });
    };
  };
  return {
    ...systemd,
    placed: () => call(seat, { what: "systemd.placed", work: () => systemd.placed(), failure: unreadable }),
    foreign: (names) => call(seat, { what: "systemd.foreign", work: () => systemd.foreign(names), failure }),
    states: (names) => call(seat, { what: "systemd.states", work: () => systemd.states(names), failure }),
    write: (units) =>
      call(seat, { what: "systemd.write", work: () => systemd.write(units), failure: () => full("unit files") }),
    enable: (names) => call(seat, { what: "systemd.enable", work: () => systemd.enable(names), failure }),
    reload: () => call(seat, { what: "systemd.reload", work: () => systemd.reload(), failure }),
    run: (job, unit, signal) => {
      const lost = (): Problem => {
        seat.unsure(unit);
        return failure();
      };
      seat.asks(job, unit);
      return call(seat, {
        what: `systemd.run ${job} ${unit}`,
        work: () => systemd.run(job, unit, signal),
        failure: lost,
        turn: turnOf(unit),
      });
    },
    noteLaunched: (unit, note) =>
      call(seat, {
        what: `systemd.noteLaunched ${unit}`,
        work: () => systemd.noteLaunched(unit, note),
        failure: () => full(`note of ${unit}`),
        turn: turnOf(unit),
      }),
    noteAhead: (unit, next) =>
      call(seat, {
        what: `systemd.noteAhead ${unit}`,
        work: () => systemd.noteAhead(unit, next),
        ...(next === "stop" ? {} : { failure: () => full(`note of ${unit}`) }),
        turn: turnOf(unit),
      }),
    letGo: (unit) => call(seat, { what: `systemd.letGo ${unit}`, work: () => systemd.letGo(unit), failure }),
    remove: (unit) => call(seat, { what: `systemd.remove ${unit}`, work: () => systemd.remove(unit), failure }),
    grantPermit: (untilMs) =>
      call(seat, { what: "systemd.grantPermit", work: () => systemd.grantPermit(untilMs), failure }),
    extendPermit: (untilMs) =>
      call(seat, { what: "systemd.extendPermit", work: () => systemd.extendPermit(untilMs), failure }),
    onChange: (listener) => systemd.onChange(listeners(listener)),
  };
}

function diskOf(seat: Seat, disk: Disk): Disk {
  return {
    read: (name) => call(seat, { what: `disk.read ${name}`, work: () => disk.read(name), failure: unreadable }),
    write: (name, text) =>
      call(seat, { what: `disk.write ${name}`, work: () => disk.write(name, text), failure: () => full(name) }),
    remove: (name) => call(seat, { what: `disk.remove ${name}`, work: () => disk.remove(name) }),
  };
}

function gitOf(seat: Seat, git: Git): Git {
  const damaged = (): Problem => new Problem("git-damaged", "Cannot read the git store");
  return {
    fetch: (signal) =>
      call(seat, {
        what: "git.fetch",
        work: () => git.fetch(signal),
        failure: () => new Problem("git-unreachable", "Cannot reach the repository"),
      }),
    head: () => call(seat, { what: "git.head", work: () => git.head() }),
    has: (commit) => call(seat, { what: "git.has", work: () => git.has(commit), failure: damaged }),
    info: (commit) => call(seat, { what: "git.info", work: () => git.info(commit), failure: damaged }),
    tree: (commit) => call(seat, { what: "git.tree", work: () => git.tree(commit), failure: damaged }),
    blob: (oid) => call(seat, { what: "git.blob", work: () => git.blob(oid), failure: damaged }),
    close: () => git.close(),
  };
}

function full(name: string): Problem {
  return new Problem("disk-write", `Cannot write file "${name}"`, { hint: "The file system is full" });
}

function unreadable(): Problem {
  return new Problem("disk-read", "Cannot read what lies on the disk");
}
