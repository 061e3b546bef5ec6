// Calls of systemd's manager, and its refusals as the Problems that the port promises. Given to systemd.ts, removals.ts and jobs.ts.
import type { UnitName } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import { managerInterface, managerPath } from "./connection.ts";
import { type Call, PeerError } from "./peer.ts";
import type { Caller } from "./units.ts";

export function managerCall(member: string, signature = "", body: readonly unknown[] = []): Call {
  return { path: managerPath, interface: managerInterface, member, signature, body };
}

/** Also its count of starts (StartLimitBurst=) begins anew. */
export async function resetFailed(name: UnitName, call: Caller): Promise<void> {
  await ifLoaded(name, () => call(managerCall("ResetFailedUnit", "s", [name])));
}

export async function isLoaded(name: UnitName, call: Caller): Promise<boolean> {
  return (await ifLoaded(name, () => call(managerCall("GetUnit", "s", [name])))) !== undefined;
}

/** Undefined where systemd has not loaded the unit. */
async function ifLoaded<T>(name: UnitName, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PeerError && error.type === "org.freedesktop.systemd1.NoSuchUnit") return undefined;
    throw refused(`unit "${name}"`, error);
  }
}

/** systemd's refusal of something that it should never refuse, as the Problem that the port promises. */
export async function reach<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw refused(what, error);
  }
}

function refused(what: string, error: unknown): unknown {
  if (!(error instanceof PeerError)) return error;
  return new Problem("systemd-unreachable", `Cannot get ${what} from systemd`, { cause: error });
}
