// What systemd says of units, kept up by its signals, so that reading the states of many costs one call.
// Given to systemd.ts. Only units that were asked for are followed.
import type { UnitName } from "../../domain/names.ts";
import type { SystemdState } from "../../domain/status.ts";
import { managerInterface, managerPath, propertiesInterface } from "./connection.ts";
import { type Call, PeerError, type Signal, plain } from "./peer.ts";

const unitInterface = "org.freedesktop.systemd1.Unit";
const unitPathPrefix = "/org/freedesktop/systemd1/unit/";
const inconsistent = "org.freedesktop.DBus.Error.InconsistentMessage";
/** Property reads on their way at a time: more gains nothing (the manager answers one after another). */
const readsInFlight = 50;

export type Caller = (call: Call) => Promise<readonly unknown[]>;

/** One row of ListUnits*. */
export interface Listed {
  /** systemd's own for the unit: another one than was asked for where that is an alias. */
  readonly name: string;
  readonly load: string;
  readonly active: string;
  readonly sub: string;
  /** Object path. */
  readonly path: string;
  /** Object path of the job under way, or "/". */
  readonly job: string;
  /** Of that job: `start`, `stop`, `verify-active`; "" where there is none. */
  readonly jobType: string;
}

/** What a listing does not say, with the states for which it was true. */
interface Details {
  readonly active: string;
  readonly sub: string;
  readonly result: string;
  readonly sinceMs: number;
  readonly restarts: number;
}

const notFound: SystemdState = {
  load: "not-found",
  active: "inactive",
  sub: "dead",
  result: "",
  sinceMs: 0,
  restarts: 0,
};

/** systemd's escaping of names in object paths: every byte outside [A-Za-z0-9] is `_xx`, a leading digit too. */
export function unitPath(name: string): string {
  const escaped = [...Buffer.from(name)].map((byte, at) => {
    const letter = String.fromCharCode(byte);
    return (at === 0 ? /[A-Za-z]/ : /[A-Za-z0-9]/).test(letter) ? letter : `_${byte.toString(16).padStart(2, "0")}`;
  });
  return unitPathPrefix + escaped.join("");
}

/** Types that have a `Result` property. */
const interfaces: Readonly<Record<string, string>> = {
  service: "Service",
  socket: "Socket",
  timer: "Timer",
  path: "Path",
  mount: "Mount",
  automount: "Automount",
  swap: "Swap",
};

/** The D-Bus interface of the unit's type, if it has one with a `Result`. */
export function typeInterface(name: string): string | undefined {
  const kind = interfaces[name.slice(name.lastIndexOf(".") + 1)];
  return kind === undefined ? undefined : `org.freedesktop.systemd1.${kind}`;
}

export class Units {
  readonly #names = new Map<string, UnitName>();
  readonly #details = new Map<UnitName, Details>();
  /** The type's part of a change; systemd sends it just before the common part. */
  readonly #typed = new Map<UnitName, { readonly result: string; readonly restarts: number }>();
  /** While systemd reads its units anew: those that it has let go of and not taken up again. */
  #letGo: Set<UnitName> | undefined;

  /** From now on signals about these units count. */
  follow(names: Iterable<UnitName>): void {
    for (const name of names) this.#names.set(unitPath(name), name);
  }

  unfollow(name: UnitName): void {
    this.#names.delete(unitPath(name));
    this.#drop(name);
  }

  /** After a lost connection nothing remembered can be trusted. */
  forgetAll(): void {
    this.#details.clear();
    this.#typed.clear();
    this.#letGo = undefined;
  }

  /** The followed unit whose state this signal is about. */
  signalled(signal: Signal): UnitName | undefined {
    if (signal.interface === propertiesInterface) {
      const name = this.#names.get(signal.path);
      if (name !== undefined && signal.member === "PropertiesChanged") this.#changed(name, signal.body);
      return name;
    }
    if (signal.member === "Reloading") this.#reloads(signal.body[0] === true);
    if (signal.member !== "UnitNew" && signal.member !== "UnitRemoved") return undefined;
    const name = this.#names.get(String(signal.body[1]));
    if (name === undefined) return undefined;
    if (this.#letGo !== undefined) {
      if (signal.member === "UnitRemoved") this.#letGo.add(name);
      else this.#letGo.delete(name);
      return name;
    }
    // Whoever asks about an inactive unit has it loaded, and systemd lets go of it right after: that is no news, or every
    // look would call for the next one
    return signal.member === "UnitRemoved" && this.#letsGo(name) ? name : undefined;
  }

  /** A reload lets go of every unit and takes it up again as it was: what is known of a thousand others stays true. */
  #reloads(begins: boolean): void {
    for (const name of this.#letGo ?? []) this.#letsGo(name);
    this.#letGo = begins ? new Set() : undefined;
  }

  /** Whether that makes anything doubtful: an inactive unit is as inactive without systemd's memory of it. */
  #letsGo(name: UnitName): boolean {
    if (this.#details.get(name)?.active === "inactive") return false;
    this.#drop(name);
    return true;
  }

  async states(names: readonly UnitName[], call: Caller): Promise<ReadonlyMap<UnitName, SystemdState>> {
    const listed = await list(names, call);
    const states = new Map<UnitName, SystemdState>();
    const unread: { name: UnitName; row: Listed }[] = [];
    for (const name of names) {
      const row = aliasOf(name, listed.get(name)) === undefined ? listed.get(name) : undefined;
      if (row === undefined || row.load === "not-found") {
        // A unit whose file is gone may still run.
        if (row === undefined || row.active === "inactive") states.set(name, notFound);
        else unread.push({ name, row });
        continue;
      }
      const details = this.#details.get(name);
      if (details?.active === row.active && details.sub === row.sub) states.set(name, stateOf(row, details));
      else unread.push({ name, row });
    }
    await inFlight(unread, async ({ name, row }) => {
      const before = this.#details.get(name);
      const details = await readDetails(row, call);
      // A signal that came meanwhile is newer than what was read.
      if (this.#details.get(name) === before && this.#names.has(unitPath(name))) this.#details.set(name, details);
      states.set(name, stateOf(row, details));
    });
    return states;
  }

  #changed(name: UnitName, body: readonly unknown[]): void {
    const [source, changed] = body;
    const values = (typeof changed === "object" && changed !== null ? changed : {}) as Readonly<
      Record<string, unknown>
    >;
    if (source === typeInterface(name)) {
      if ("Result" in values) {
        this.#typed.set(name, { result: text(values["Result"]), restarts: whole(values["NRestarts"]) });
      }
      return;
    }
    if (source !== unitInterface) return;
    const typed = typeInterface(name) === undefined ? { result: "", restarts: 0 } : this.#typed.get(name);
    const active = text(values["ActiveState"]);
    const moment = momentOf(active);
    if (typed === undefined || !("ActiveState" in values) || !(moment in values)) {
      this.#details.delete(name);
      return;
    }
    this.#details.set(name, {
      active,
      sub: text(values["SubState"]),
      result: typed.result,
      restarts: typed.restarts,
      sinceMs: millis(values[moment]),
    });
  }

  #drop(name: UnitName): void {
    this.#details.delete(name);
    this.#typed.delete(name);
  }
}

/**
 * Loads what is not loaded, as systemd does for every unit that is named. Rows by the name asked for, which the row of an
 * alias does not say. Rejects with PeerError when there is not one row for each name.
 */
export async function list(names: readonly string[], call: Caller): Promise<ReadonlyMap<string, Listed>> {
  if (names.length === 0) return new Map();
  const [rows] = await call({
    path: managerPath,
    interface: managerInterface,
    member: "ListUnitsByNames",
    signature: "as",
    body: [names],
  });
  const told = Array.isArray(rows) ? (rows as unknown[]) : [];
  if (told.length !== names.length || !told.every(Array.isArray))
    throw new PeerError(inconsistent, `${names.length} units were asked for, and ${told.length} answered`);
  const listed = new Map<string, Listed>();
  for (const [at, asked] of names.entries()) {
    const [name, , load, active, sub, , path, , jobType, job] = ((told[at] ?? []) as unknown[]).map(text);
    listed.set(asked, {
      name: name ?? "",
      load: load ?? "",
      active: active ?? "",
      sub: sub ?? "",
      path: path ?? "",
      job: job ?? "/",
      jobType: jobType ?? "",
    });
  }
  return listed;
}

/** The unit whose alias this name is; undefined where it is a unit of its own, or none. */
export function aliasOf(name: string, row: Listed | undefined): string | undefined {
  return row === undefined || row.name === name ? undefined : row.name;
}

/** One property of a unit; undefined where systemd has none of that name. */
export async function property(
  path: string,
  which: { readonly interface: string; readonly name: string },
  call: Caller,
): Promise<unknown> {
  const [value] = await call({
    path,
    interface: propertiesInterface,
    member: "Get",
    signature: "ss",
    body: [which.interface, which.name],
  });
  return plain(value);
}

/** `work` for each item, a bounded number at a time. */
export async function inFlight<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: readsInFlight }, worker));
}

/** The property that says since when a unit is in that state, as for systemctl: a change of `sub` alone is another one. */
function momentOf(active: string): string {
  switch (active) {
    case "active":
    case "reloading":
    case "refreshing":
      return "ActiveEnterTimestamp";
    case "inactive":
    case "failed":
      return "InactiveEnterTimestamp";
    case "activating":
      return "InactiveExitTimestamp";
    case "deactivating":
      return "ActiveExitTimestamp";
    default:
      return "StateChangeTimestamp";
  }
}

async function readDetails(row: Listed, call: Caller): Promise<Details> {
  const typed = typeInterface(row.name);
  const service = row.name.endsWith(".service");
  const [since, result, restarts] = await Promise.all([
    property(row.path, { interface: unitInterface, name: momentOf(row.active) }, call),
    typed === undefined ? "" : property(row.path, { interface: typed, name: "Result" }, call),
    typed === undefined || !service ? 0 : property(row.path, { interface: typed, name: "NRestarts" }, call),
  ]);
  return { active: row.active, sub: row.sub, sinceMs: millis(since), result: text(result), restarts: whole(restarts) };
}

function stateOf(row: Listed, details: Details): SystemdState {
  const { result, sinceMs, restarts } = details;
  return { load: row.load, active: row.active, sub: row.sub, result, sinceMs, restarts };
}

export function text(value: unknown): string {
  const inner = plain(value);
  return typeof inner === "string" ? inner : "";
}

export function whole(value: unknown): number {
  const inner = plain(value);
  const number = typeof inner === "number" || typeof inner === "bigint" ? Number(inner) : 0;
  // What is no number would keep the whole machine's status from being written
  return Number.isFinite(number) ? number : 0;
}

/** From systemd's microseconds. */
function millis(value: unknown): number {
  return Math.floor(whole(value) / 1000);
}
