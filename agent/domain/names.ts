// The names of things, each parsed once at the edge and branded, so that they cannot be swapped by mistake.
import { type Checked, Problem, invalid, valid } from "./problem.ts";

declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** 32 lowercase hex digits, as in machine-id(5). */
export type MachineId = Brand<"MachineId">;
/** A whole unit name with its type, e.g. `web.service`, `web@.service`, `web@1.service`; at most 255 bytes. */
export type UnitName = Brand<"UnitName">;
/** 40 lowercase hex digits: a git commit. */
export type CommitId = Brand<"CommitId">;
/** 40 lowercase hex digits: SHA-1 over a unit's effective text and drop-ins, as fleet's hash where there are no drop-ins. */
export type UnitHash = Brand<"UnitHash">;

/** Types that a unit placed by flotilla may have. */
export const unitTypes = [
  "service",
  "socket",
  "timer",
  "path",
  "mount",
  "automount",
  "target",
  "slice",
  "swap",
] as const;
export type UnitType = (typeof unitTypes)[number];
/** Types whose names may contain `@`. */
export const templateTypes: readonly UnitType[] = ["service", "socket", "timer", "path", "target"];

/** The parts of a unit name: `web@1.service` is prefix `web`, instance `1`, template `web@.service`. */
export interface UnitNameParts {
  /** Without the type: `web@1`. */
  readonly stem: string;
  readonly prefix: string;
  readonly type: UnitType;
  /** Only for templates and instances. */
  readonly template?: UnitName;
  /** Only for instances; never empty. */
  readonly instance?: string;
}

export function parseMachineId(text: string): Checked<MachineId> {
  if (/^[0-9a-f]{32}$/.test(text)) return valid(text as MachineId);
  return invalid(
    new Problem("machine-id-shape", `Cannot read machine id "${text.slice(0, 64)}"`, {
      hint: "It must be 32 lowercase hex digits, as in /etc/machine-id",
    }),
  );
}

export function parseCommitId(text: string): Checked<CommitId> {
  if (/^[0-9a-f]{40}$/.test(text)) return valid(text as CommitId);
  return invalid(
    new Problem("commit-id-shape", `Cannot read commit id "${text.slice(0, 64)}"`, {
      hint: "It must be 40 lowercase hex digits",
    }),
  );
}

/** Names in order: by code unit, the same on every machine whatever its locale. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
