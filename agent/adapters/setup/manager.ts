// systemd as the setup of a machine needs it: asking for jobs without waiting for them, enabling, reloading, and how units
// stand. Given to the files of this folder; connects when first asked, so that a machine without systemd can be looked at.
import { Problem } from "../../domain/problem.ts";
import type { UnitCommand } from "../../domain/user-data.ts";
import type { Clock } from "../../ports/clock.ts";
import type { UnitLook } from "../../ports/host-setup.ts";
import type { Log } from "../../ports/log.ts";
import { Connection, managerInterface, managerPath } from "../systemd/connection.ts";
import { type Call, PeerError } from "../systemd/peer.ts";
import { type Listed, inFlight, list, property, text, typeInterface, whole } from "../systemd/units.ts";

const unitInterface = "org.freedesktop.systemd1.Unit";
const jobInterface = "org.freedesktop.systemd1.Job";

const methods: Readonly<Record<UnitCommand, string>> = {
  start: "StartUnit",
  stop: "StopUnit",
  restart: "RestartUnit",
  reload: "ReloadUnit",
  "try-restart": "TryRestartUnit",
  "reload-or-restart": "ReloadOrRestartUnit",
  "reload-or-try-restart": "ReloadOrTryRestartUnit",
};

export interface ManagerOptions {
  /** Paths of sockets, tried in this order; empty: there is no systemd. */
  readonly sockets: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

export class Manager {
  readonly #options: ManagerOptions;
  #connection: Connection | undefined;

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  /** daemon-reload. */
  async reload(): Promise<void> {
    await this.#must("Cannot have systemd read its units anew", call("Reload"));
  }

  /** Does what [Install] says, over links that stand there. */
  async enable(unit: string, runtime: boolean): Promise<void> {
    await this.#must(`Cannot enable unit "${unit}"`, call("EnableUnitFiles", "asbb", [[unit], runtime, true]), {
      "org.freedesktop.systemd1.UnitMasked": "It is masked: systemctl unmask takes the mask away",
    });
  }

  /** Takes the links of [Install] away; none are there: nothing is wrong. */
  async disable(unit: string, runtime: boolean): Promise<void> {
    try {
      await this.#call(call("DisableUnitFiles", "asb", [[unit], runtime]));
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      // Of a unit whose file is gone some versions know nothing; its links are then gone as well, or dangle harmlessly
      if ((await this.fileState(unit)) === undefined) return;
      throw new Problem("systemd-refused", `Cannot disable unit "${unit}"`, { cause: error });
    }
  }

  /** systemd's word: `enabled`, `static`, `masked`, ...; undefined: there is no such unit file. */
  async fileState(unit: string): Promise<string | undefined> {
    try {
      const [state] = await this.#call(call("GetUnitFileState", "s", [unit]));
      return text(state);
    } catch (error) {
      if (error instanceof PeerError) return undefined; // NoSuchUnit, ENOENT: it knows of none, for whatever reason
      throw error;
    }
  }

  /** Asks for the job in mode `replace` and does not wait for it. */
  async ask(unit: string, command: UnitCommand): Promise<void> {
    await this.#must(`Cannot ${command} unit "${unit}"`, call(methods[command], "ss", [unit, "replace"]), {
      "org.freedesktop.systemd1.NoSuchUnit": `There is no unit of that name: systemctl status ${unit}`,
      "org.freedesktop.systemd1.UnitMasked": `It is masked: systemctl unmask ${unit}`,
      "org.freedesktop.systemd1.BadUnitSetting": `Its text is wrong: systemd-analyze verify ${unit}`,
      "org.freedesktop.systemd1.LoadFailed": `Its text is wrong: systemd-analyze verify ${unit}`,
    });
  }

  async states(units: readonly string[]): Promise<ReadonlyMap<string, UnitLook>> {
    const through = (what: Call): Promise<readonly unknown[]> => this.#call(what);
    const rows = await this.#told("the states of units", () => list([...new Set(units)], through));
    const states = new Map<string, UnitLook>();
    await inFlight([...new Set(units)], async (name) => {
      const row = rows.get(name);
      states.set(name, row === undefined ? unknownUnit : await this.#told(`unit "${name}"`, () => read(row, through)));
    });
    return states;
  }

  async close(): Promise<void> {
    await this.#connection?.close();
    this.#connection = undefined;
  }

  async #must(what: string, how: Call, hints: Readonly<Record<string, string>> = {}): Promise<void> {
    try {
      await this.#call(how);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      throw new Problem("systemd-refused", what, { hint: hints[error.type], cause: error });
    }
  }

  async #told<T>(what: string, asking: () => Promise<T>): Promise<T> {
    try {
      return await asking();
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      throw new Problem("systemd-refused", `Cannot get ${what} from systemd`, { cause: error });
    }
  }

  async #call(what: Call): Promise<readonly unknown[]> {
    const { sockets, clock, log } = this.#options;
    if (sockets.length === 0) throw new Problem("systemd-unreachable", "Cannot reach systemd: there is none here");
    this.#connection ??= new Connection({
      sockets,
      clock,
      log,
      onSignal: () => undefined,
      onOpen: async () => undefined,
      onLost: () => undefined,
    });
    return this.#connection.call(what);
  }
}

const unknownUnit: UnitLook = {
  load: "not-found",
  active: "inactive",
  sub: "dead",
  result: "",
  job: undefined,
  isSkipped: false,
  sinceMs: 0,
  isOneshot: false,
  failedNeed: undefined,
};

function call(member: string, signature = "", body: readonly unknown[] = []): Call {
  return { path: managerPath, interface: managerInterface, member, signature, body };
}

async function read(row: Listed, through: (call: Call) => Promise<readonly unknown[]>): Promise<UnitLook> {
  const ofUnit = (name: string): Promise<unknown> => property(row.path, { interface: unitInterface, name }, through);
  const typed = typeInterface(row.name);
  const [since, condition, tried, result, job] = await Promise.all([
    ofUnit("StateChangeTimestamp"),
    ofUnit("ConditionResult"),
    ofUnit("ConditionTimestamp"),
    typed === undefined ? "" : property(row.path, { interface: typed, name: "Result" }, through),
    row.job === "/" ? undefined : jobKind(row.job, through),
  ]);
  return {
    load: row.load,
    active: row.active,
    sub: row.sub,
    result: text(result),
    job,
    // Its conditions were looked at, did not hold, and so it was left alone
    isSkipped: row.active === "inactive" && whole(tried) > 0 && condition === false,
    sinceMs: Math.floor(whole(since) / 1000),
    ...(row.active === "inactive" && row.load === "loaded" ? await aboutIdle(row, through) : { ...notIdle }),
  };
}

const notIdle = { isOneshot: false, failedNeed: undefined } as const;
const needs = ["Requires", "Requisite", "BindsTo"] as const;

/** What a unit that is not up could be: over, or kept from starting. */
async function aboutIdle(
  row: Listed,
  through: (call: Call) => Promise<readonly unknown[]>,
): Promise<Pick<UnitLook, "isOneshot" | "failedNeed">> {
  const isService = row.name.endsWith(".service");
  const serviceInterface = "org.freedesktop.systemd1.Service";
  const type = isService ? await property(row.path, { interface: serviceInterface, name: "Type" }, through) : "";
  const lists = await Promise.all(needs.map((name) => property(row.path, { interface: unitInterface, name }, through)));
  const names = lists.flat().filter((name): name is string => typeof name === "string");
  const rows = await list([...new Set(names)], through);
  const failed = [...rows.values()].find(({ active }) => active === "failed");
  return { isOneshot: text(type) === "oneshot", failedNeed: failed?.name };
}

/** Undefined when the job ended between the listing and the question. */
async function jobKind(
  path: string,
  through: (call: Call) => Promise<readonly unknown[]>,
): Promise<string | undefined> {
  try {
    return text(await property(path, { interface: jobInterface, name: "JobType" }, through));
  } catch (error) {
    if (error instanceof PeerError) return undefined;
    throw error;
  }
}
