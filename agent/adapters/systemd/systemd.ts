// This machine's systemd behind ports/systemd.ts: unit files and their links, jobs, states and changes.
// Given to wire.ts and the playground. Puts together connection.ts, unit-files.ts, units.ts, jobs.ts and sockets.ts.
import { join } from "node:path";
import type { PlacedUnit } from "../../domain/action.ts";
import { type UnitName, parseUnitName, unknownText } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import { isDown } from "../../domain/status.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { Systemd } from "../../ports/systemd.ts";
import { managerCall, reach, resetFailed } from "./calls.ts";
import { Connection } from "./connection.ts";
import { downWith } from "./dependents.ts";
import { Jobs } from "./jobs.ts";
import { type Call, PeerError } from "./peer.ts";
import { Permit } from "./permit.ts";
import { Removals } from "./removals.ts";
import { Sockets } from "./sockets.ts";
import { type LyingUnit, UnitFiles } from "./unit-files.ts";
import { type Caller, type Listed, Units, aliasOf, inFlight, list, property, text, unitPath, whole } from "./units.ts";
import { beginUserspace } from "./userspace.ts";

/** A file's time is that of the kernel's last tick, up to so much before the write; systemd's times are exact. */
const tickUs = 10_000;
/** They stand for the whole machine and its parts, with a file or without one. */
const hostSlices: ReadonlySet<string> = new Set(["-.slice", "system.slice", "user.slice", "machine.slice"]);
/** Other work gets its turn after as many units. */
const writesAtOnce = 32;

type OwnUnits = ReadonlyMap<string, LyingUnit>;

export interface SystemdOptions {
  readonly scope: "system" | "user";
  /** `unix:path=` address, or the plain path, of systemd's private socket or of a bus; undefined: found by scope. */
  readonly address: string | undefined;
  /** systemd's runtime unit folder; undefined: found by scope. */
  readonly unitDirectory: string | undefined;
  /** flotilla's own folder, gone at reboot. */
  readonly runDirectory: string;
  /** How many jobs are asked for side by side. */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Begins to connect at once and goes on trying until `close`. Throws Problem "systemd-address" when the address cannot
 * be read, or when none is given and the environment has no XDG_RUNTIME_DIR to find a user's manager by.
 */
export function createSystemd(options: SystemdOptions): Systemd {
  const { clock, log } = options;
  const runtime = options.scope === "system" ? "/run" : process.env["XDG_RUNTIME_DIR"];
  const files = new UnitFiles({
    unitDirectory: options.unitDirectory ?? join(needed(runtime), "systemd", options.scope),
    runDirectory: options.runDirectory,
    log,
  });
  const units = new Units();
  const changes = new Changes();
  const call = (what: Call): Promise<readonly unknown[]> => connection.call(what);
  const jobs = new Jobs({ call, concurrency: options.concurrency });
  const sockets = new Sockets({ call, jobs, files });
  const permit = new Permit({
    call,
    run: (job, unit, signal) => jobs.runAtOnce(job, unit, signal),
    prepare: () => preparePermit(),
    clock,
  });
  let begun = false;
  const connection: Connection = new Connection({
    sockets: options.address === undefined ? usualSockets(options.scope, needed(runtime)) : [socketOf(options.address)],
    clock,
    log,
    onSignal: (signal) => {
      jobs.signalled(signal);
      const name = units.signalled(signal);
      if (name !== undefined) changes.tell(name);
      if (permit.signalled(signal)) changes.tellAll();
    },
    onOpen: async (through) => {
      units.forgetAll();
      permit.forget();
      // An agent that died between writing and reloading left systemd with older texts than lie here.
      if (files.reloadDue()) await reloadThrough(through).catch(onlyRefused);
      if (!begun) await beginUserspace({ files, call: through, log });
      begun = true;
      await jobs.resume(through);
      changes.tellAll();
    },
    onLost: () => jobs.disconnected(),
  });

  /** What was written meanwhile is still to be read. */
  const reloadThrough = async (through: Caller): Promise<void> => {
    const { reloadsNoted } = files;
    try {
      await through(managerCall("Reload"));
    } catch (error) {
      throw error instanceof PeerError ? reloadProblem(error) : error;
    }
    if (files.reloadsNoted === reloadsNoted) files.noteReload(false);
  };

  const reload = (): Promise<void> => reloadThrough(call);

  /** A reload that is refused stays due, and keeps nobody from what needs none. */
  const onlyRefused = (error: unknown): void => {
    if (!(error instanceof Problem) || error.code !== "systemd-reload") throw error;
    log.error("systemd.reload-refused", error);
  };

  let coming: Promise<void> | undefined;
  /** One reload for all who ask for it in the same moment. */
  const reloadTogether = (): Promise<void> => {
    coming ??= new Promise(setImmediate).then(() => {
      coming = undefined;
      return reload();
    });
    return coming;
  };

  const removals = new Removals({
    call,
    jobs,
    files,
    units,
    reload: reloadTogether,
    reloadWhereTaken: () => reloadTogether().catch(onlyRefused),
  });

  const preparePermit = async (): Promise<Problem | undefined> => {
    try {
      if (files.writePermit()) await reload();
      return undefined;
    } catch (error) {
      if (error instanceof Problem && error.code === "unit-foreign") return error;
      throw error;
    }
  };

  const placed = (): readonly LyingUnit[] => {
    const lying = files.placed();
    units.follow(lying.map((unit) => unit.name));
    return lying;
  };

  const foreign = async (names: readonly UnitName[]): Promise<ReadonlyMap<UnitName, string>> => {
    const found = new Map<UnitName, string>();
    const asked: UnitName[] = [];
    for (const name of names) {
      const place = files.placeOf(name);
      if (place.kind === "free") asked.push(name);
      else if (place.kind === "host") found.set(name, place.path);
    }
    const rows = await reach("the units of the host", () => list(asked, call));
    await inFlight(asked, async (name) => {
      const row = rows.get(name);
      const where = row === undefined ? undefined : await reach(`unit "${name}"`, () => whereFrom(row));
      if (row === undefined || where === undefined) return;
      // Systemd may remember a link of ours that is gone by now.
      const place = files.placeOf(row.name as UnitName);
      if (place.kind !== "host" && place.path === where) return;
      found.set(name, aliasOf(name, row) === undefined ? where : `a name of ${row.name}`);
    });
    return new Map(names.flatMap((name) => (found.has(name) ? [[name, found.get(name) ?? ""]] : [])));
  };

  /** Where the host has a unit from, or undefined when it has none. */
  const whereFrom = async (row: Listed): Promise<string | undefined> => {
    if (row.load === "not-found") return undefined;
    if (row.load === "masked") return "masked";
    const read = (name: string) => property(row.path, { interface: "org.freedesktop.systemd1.Unit", name }, call);
    const path = text(await read("FragmentPath"));
    if (path !== "") return path;
    if (row.active === "inactive") return undefined;
    // A slice that systemd itself has made, for a unit that names it, is as good as none
    if (row.name.endsWith(".slice") && !hostSlices.has(row.name) && (await read("Transient")) === false)
      return undefined;
    return "a unit without a file";
  };

  /** Enabling also touches what Alias= and Also= name; none of it may be the host's. */
  const checkInstall = async (unit: LyingUnit, own: OwnUnits): Promise<Problem | undefined> => {
    const others = enabledWith(unit, own)
      .flatMap(othersOf)
      .filter((word) => !own.has(word));
    const names: UnitName[] = [];
    for (const word of others) {
      const name = parseUnitName(word);
      if (name.ok) names.push(name.value);
      else return enableProblem(unit.name, `Alias= or Also= names ${JSON.stringify(word)}, which is no unit name`);
    }
    const [taken] = await foreign(names.filter((name) => !name.includes("@.")));
    return taken === undefined ? undefined : enableProblem(unit.name, `${taken[0]} is the machine's own (${taken[1]})`);
  };

  const enable = async (names: readonly UnitName[]): Promise<ReadonlyMap<UnitName, Problem>> => {
    const problems = new Map<UnitName, Problem>();
    const everything = placed();
    const own: OwnUnits = new Map(everything.map((unit) => [unit.name, unit]));
    const asked = new Set(names);
    const lying = everything.filter((unit) => asked.has(unit.name));
    // What an older text asked for is undone first.
    files.uninstall(names);
    const ready: UnitName[] = [];
    for (const unit of lying.filter(({ install }) => install.present)) {
      const problem = await checkInstall(unit, own);
      if (problem !== undefined) {
        problems.set(unit.name, problem);
        continue;
      }
      ready.push(unit.name);
      for (const { name, install } of enabledWith(unit, own)) if (install.present) files.noteEnabled(name);
    }
    const together = await enableTogether(ready);
    for (const name of together ? [] : ready) {
      try {
        await call(managerCall("EnableUnitFiles", "asbb", [[name], true, false]));
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
        problems.set(name, enableProblem(name, undefined, error));
      }
    }
    for (const name of names) files.noteInstalled(name);
    return problems;
  };

  /** All in one call; false when systemd refused one of them, and which is not known. */
  const enableTogether = async (names: readonly UnitName[]): Promise<boolean> => {
    if (names.length === 0) return true;
    try {
      await call(managerCall("EnableUnitFiles", "asbb", [names, true, false]));
      return true;
    } catch (error) {
      if (error instanceof PeerError) return false;
      throw error;
    }
  };

  /** Of the unit as it was started last; "" where systemd knows of none. */
  const invocation = async (name: UnitName): Promise<string> => {
    try {
      const which = { interface: "org.freedesktop.systemd1.Unit", name: "InvocationID" };
      const bytes = await property(unitPath(name), which, call);
      return Array.isArray(bytes) || bytes instanceof Uint8Array ? Buffer.from(bytes as number[]).toString("hex") : "";
    } catch (error) {
      if (error instanceof PeerError) return ""; // it is not loaded
      throw error;
    }
  };

  /** Whether it was certainly started after its text came to lie there, and has not ended. */
  const isStartedSince = async ({ name, changedUs }: LyingUnit): Promise<boolean> => {
    const ask = (what: string): Promise<unknown> =>
      property(unitPath(name), { interface: "org.freedesktop.systemd1.Unit", name: what }, call);
    try {
      if (whole(await ask("InactiveExitTimestamp")) <= changedUs + tickUs) return false;
      return !isDown(text(await ask("ActiveState")));
    } catch (error) {
      if (error instanceof PeerError) return false; // it is not loaded
      throw error;
    }
  };

  /** Noted, for with the text put back nobody could tell any more. */
  const doubted = async (unit: LyingUnit): Promise<LyingUnit> => {
    const { name, hash, launched, restarted, ahead } = unit;
    const isOther = ![undefined, unknownText, hash].includes(launched);
    if (ahead !== undefined || !isOther || !(await isStartedSince(unit))) return unit;
    log.warn("unit.text-unknown", { unit: name });
    files.noteLaunched(name, { hash: unknownText, restart: restarted });
    const { launchedAs: _, ...rest } = unit;
    return { ...rest, launched: unknownText };
  };

  const settled = async (lying: LyingUnit): Promise<PlacedUnit> => {
    const unit = await doubted(lying);
    const { name, hash, ahead, installDue, fenceStepMs } = unit;
    const isStarted = typeof ahead === "object" && !["", ahead.invocation].includes(await invocation(name));
    const note = isStarted ? ahead.note : { hash: unit.launched, restart: unit.restarted, as: unit.launchedAs };
    return {
      name,
      hash,
      launched: note.hash,
      ...(note.as === undefined ? {} : { launchedAs: note.as }),
      ...(note.restart === undefined ? {} : { restarted: note.restart }),
      ...(ahead === undefined || isStarted ? {} : { unsettled: ahead === "stop" ? "stop" : "launch" }),
      ...(installDue === undefined ? {} : { installDue }),
      ...(fenceStepMs === undefined ? {} : { fenceStepMs }),
    };
  };

  return {
    placed: async () => {
      const { reloadsNoted } = files;
      const lying = placed();
      // Systemd may have read its units while a link that was put back was missing
      if (files.reloadsNoted !== reloadsNoted) await reloadTogether().catch(onlyRefused);
      const found = new Map<UnitName, PlacedUnit>();
      await inFlight(lying, async (unit) => void found.set(unit.name, await settled(unit)));
      return lying.flatMap(({ name }) => found.get(name) ?? []);
    },
    foreign,
    states: (names) => reach("the states of units", () => units.states(names, call)),
    async write(wanted) {
      const problems = new Map<UnitName, Problem>();
      for (const [at, unit] of wanted.entries()) {
        if (at > 0 && at % writesAtOnce === 0) await new Promise(setImmediate);
        await removals.callOff(unit.name);
        try {
          files.write(unit);
          units.follow([unit.name]);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          problems.set(unit.name, error);
        }
      }
      return problems;
    },
    async enable(names) {
      for (const name of names) await removals.callOff(name);
      return enable(names);
    },
    reload,
    run: (job, unit, signal) => sockets.run(job, unit, signal),
    noteLaunched: async (unit, note) => files.noteLaunched(unit, note),
    async noteAhead(unit, next) {
      if (next !== "stop") await removals.callOff(unit);
      files.noteAhead(unit, next === "stop" ? next : { note: next, invocation: await invocation(unit) });
    },
    async grantPermit(untilMs) {
      let fallen: readonly UnitName[] = [];
      const forget = async (): Promise<void> => {
        const lying = placed();
        const fenced = lying.flatMap(({ name, fenceStepMs }) => (fenceStepMs === undefined ? [] : [name]));
        const own = lying.map(({ name }) => name);
        fallen = await downWith({ on: fenced, of: own }, call);
        for (const name of fallen) files.noteLaunched(name, undefined);
        // Each end of a permit costs a start: they do not count against one (StartLimitBurst=)
        await inFlight([...fenced, ...fallen], (name) => resetFailed(name, call));
      };
      await reach("a permit", () => permit.grant(untilMs, forget));
      return fallen;
    },
    extendPermit: (untilMs) => reach("a permit", () => permit.extend(untilMs)),
    async letGo(name) {
      if (files.letGo(name) || files.reloadDue()) await reloadTogether().catch(onlyRefused);
    },
    remove: (name) => removals.remove(name),
    onChange: (listener) => changes.listen(listener),
    async close() {
      const closed = new Problem("aborted", "Cannot go on waiting for systemd: the connection was closed");
      changes.close();
      permit.close(closed);
      await connection.close();
      jobs.fail(closed);
    },
  };
}

/** Who wants to know of changes. Those that come together are told together. */
class Changes {
  readonly #listeners = new Set<(names: ReadonlySet<UnitName> | undefined) => void>();
  #names: Set<UnitName> | undefined = new Set();
  #due: NodeJS.Immediate | undefined;

  listen(listener: (names: ReadonlySet<UnitName> | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(name: UnitName): void {
    this.#names?.add(name);
    this.#wake();
  }

  /** Any unit may have changed. */
  tellAll(): void {
    this.#names = undefined;
    this.#wake();
  }

  close(): void {
    clearImmediate(this.#due);
    this.#listeners.clear();
  }

  #wake(): void {
    this.#due ??= setImmediate(() => {
      const names = this.#names;
      this.#names = new Set();
      this.#due = undefined;
      for (const listener of [...this.#listeners]) listener(names);
    });
  }
}

/** For lack of memory under /run, or where `ReloadLimitIntervalSec=` is set (systemd-system.conf(5)). */
function reloadProblem(cause: PeerError): Problem {
  return new Problem("systemd-reload", "Cannot have systemd read its units anew", { hint: cause.message, cause });
}

function enableProblem(name: UnitName, hint: string | undefined, cause?: unknown): Problem {
  return new Problem("systemd-enable", `Cannot enable unit "${name}"`, { hint, cause });
}

/** The unit, and those of ours that systemd enables with it: Also= leads from one to the next. */
function enabledWith(unit: LyingUnit, own: OwnUnits): readonly LyingUnit[] {
  const reached = new Set([unit]);
  for (const each of reached)
    for (const word of othersOf(each)) {
      const other = own.get(word);
      if (other !== undefined) reached.add(other);
    }
  return [...reached];
}

function othersOf({ name, install }: LyingUnit): readonly string[] {
  return install.others.map((word) => expand(word, name));
}

/** The specifiers that systemd.unit(5) allows in [Install] and that stand for parts of the name. */
function expand(word: string, name: UnitName): string {
  const stem = name.slice(0, name.lastIndexOf("."));
  const at = stem.indexOf("@");
  const [prefix, instance] = at < 0 ? [stem, ""] : [stem.slice(0, at), stem.slice(at + 1)];
  const values: Readonly<Record<string, string>> = { n: name, N: stem, p: prefix, i: instance, "%": "%" };
  return word.replace(/%(.)/g, (whole, letter: string) => values[letter] ?? whole);
}

function needed(runtime: string | undefined): string {
  if (runtime !== undefined && runtime !== "") return runtime;
  throw new Problem("systemd-address", "Cannot find the user's systemd: XDG_RUNTIME_DIR is not set", {
    hint: "Log in with a session, or set the address and the unit folder of systemd in the settings",
  });
}

/** The private socket needs no bus and is there first; the bus is for those who may not use it. */
function usualSockets(scope: "system" | "user", runtime: string): readonly string[] {
  const bus = scope === "system" ? join(runtime, "dbus", "system_bus_socket") : join(runtime, "bus");
  return [join(runtime, "systemd", "private"), bus];
}

function socketOf(address: string): string {
  const path = /^(?:unix:(?:path|socket)=)?(\/[^,;]*)/.exec(address)?.[1];
  if (path !== undefined) return path;
  throw new Problem("systemd-address", `Cannot read systemd's address "${address}"`, {
    hint: "Write unix:path=/path/of/the/socket",
  });
}
