// The names of things, each parsed once at the edge and branded, so that they cannot be swapped by mistake.
import { type Checked, Problem, invalid, valid } from "./problem.ts";

declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** 32 lowercase hex digits, as in machine-id(5). */
export type MachineId = Brand<"MachineId">;
/** A whole unit name with its type, e.g. `web.service`, `web@.service`, `web@1.service`; at most 253 bytes. */
export type UnitName = Brand<"UnitName">;
/** 40 lowercase hex digits: a git commit. */
export type CommitId = Brand<"CommitId">;
/** 40 lowercase hex digits: SHA-1 over a unit's effective text and drop-ins, as fleet's hash where there are no drop-ins. */
export type UnitHash = Brand<"UnitHash">;
/** Stands for a text that nobody knows: no unit has this hash. */
export const unknownText = "0".repeat(40) as UnitHash;

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

/** Types that systemd has or had, of which flotilla places none, and why. */
const unplaceableTypes: Readonly<Record<string, string>> = {
  device: "systemd makes device units from the kernel's events, never from a file",
  scope: "systemd makes scope units on request of a program, never from a file",
  snapshot: "systemd has had no snapshot units since version 228",
  busname: "systemd has had no busname units since version 232",
};

/**
 * systemd's UNIT_NAME_MAX is 256 with the final NUL (fleet's own bound was 256 bytes), and a file's name has 255 bytes at most:
 * `NAME.d`, the folder of a unit's drop-ins, has to be one.
 */
export const maxUnitNameBytes = 253;

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

export function parseUnitHash(text: string): Checked<UnitHash> {
  if (/^[0-9a-f]{40}$/.test(text)) return valid(text as UnitHash);
  return invalid(
    new Problem("unit-hash-shape", `Cannot read unit hash ${quoted(text)}`, {
      hint: "It must be 40 lowercase hex digits",
    }),
  );
}

/**
 * A unit, template or instance name: fleet's rules (fleet's API, systemd.unit(5)), with an empty prefix refused, systemd's
 * own bound on the length and only the types that flotilla places. A name that passes holds no "/", no blank and no
 * control character, and is safe as the name of a file. Problems: "unit-name".
 */
export function parseUnitName(text: string): Checked<UnitName> {
  const fault = unitNameFault(text);
  if (fault === undefined) return valid(text as UnitName);
  return invalid(
    new Problem("unit-name", `Cannot take ${quoted(text)} as a unit name: ${fault.what}`, { hint: fault.hint }),
  );
}

const goodUnitName = new RegExp(`^(?!@)[0-9A-Za-z:_.\\\\@-]+\\.(${unitTypes.join("|")})$`);
const templateSuffix = new RegExp(`\\.(${templateTypes.join("|")})$`);

interface NameFault {
  readonly what: string;
  readonly hint?: string;
}

/** Undefined for a good name. The order of the checks is fleet's, so that the first thing said is the most basic one. */
function unitNameFault(text: string): NameFault | undefined {
  const isShort = text.length <= maxUnitNameBytes;
  if (isShort && goodUnitName.test(text) && (!text.includes("@") || templateSuffix.test(text))) return undefined;
  if (text === "") return { what: "it is empty" };
  if (text.length > maxUnitNameBytes || new TextEncoder().encode(text).length > maxUnitNameBytes) {
    return {
      what: `it is longer than ${maxUnitNameBytes} bytes`,
      hint: "The folder of its drop-ins, NAME.d, could not have a longer name",
    };
  }
  const dot = text.lastIndexOf(".");
  if (dot < 0) return { what: "it has no type", hint: `End it in one of ${typeList(unitTypes)}` };
  const type = text.slice(dot + 1);
  if (type === "") return { what: 'it ends in "."', hint: `End it in one of ${typeList(unitTypes)}` };
  const unplaceable = Object.hasOwn(unplaceableTypes, type) ? unplaceableTypes[type] : undefined;
  if (unplaceable !== undefined) {
    return { what: `units of type "${type}" cannot be placed`, hint: unplaceable };
  }
  if (!isUnitType(type)) {
    return { what: `"${printable(type)}" is not a unit type`, hint: `Types are ${typeList(unitTypes)}` };
  }
  const stem = text.slice(0, dot);
  const bad = /[^0-9A-Za-z:_.\\@-]/u.exec(stem);
  if (bad !== null) {
    return {
      what: `it holds the character "${printable(bad[0])}"`,
      hint: "Letters, digits and : - _ . \\ @ are allowed; systemd-escape(1) writes others",
    };
  }
  if (stem === "") return { what: "nothing stands before the type" };
  if (stem.startsWith("@")) return { what: 'it starts with "@"' };
  return {
    what: `a unit of type "${type}" cannot be a template or an instance`,
    hint: `Types that may have "@" are ${typeList(templateTypes)}`,
  };
}

/** True for the types that flotilla places; case-sensitive, without the dot. */
export function isUnitType(type: string): type is UnitType {
  return (unitTypes as readonly string[]).includes(type);
}

/** True also for the types that systemd has or had and flotilla does not place. */
export function isKnownUnitType(type: string): boolean {
  return isUnitType(type) || Object.hasOwn(unplaceableTypes, type);
}

/** Splits at the last "." and then at the first "@". */
export function unitNameParts(name: UnitName): UnitNameParts {
  const dot = name.lastIndexOf(".");
  const stem = name.slice(0, dot);
  const type = name.slice(dot + 1) as UnitType;
  const at = stem.indexOf("@");
  if (at < 0) return { stem, prefix: stem, type };
  const prefix = stem.slice(0, at);
  const template = `${prefix}@.${type}` as UnitName;
  const instance = stem.slice(at + 1);
  return { stem, prefix, type, template, ...(instance === "" ? {} : { instance }) };
}

/** `web@.service`: never run itself. */
export function isTemplate(name: UnitName): boolean {
  const at = name.indexOf("@");
  return at >= 0 && at + 1 === name.lastIndexOf(".");
}

/** `web@1.service`. */
export function isInstance(name: UnitName): boolean {
  return name.includes("@") && !isTemplate(name);
}

/**
 * What a person means by an argument such as `web`, `units/web.service` or `web@1`: the part after the last "/", with
 * `.service` appended unless it ends in a type. The result is a text, still to be parsed.
 */
export function mangleUnitName(argument: string): string {
  const base = argument.slice(argument.lastIndexOf("/") + 1);
  if (base === "") return base;
  const dot = base.lastIndexOf(".");
  return dot >= 0 && isKnownUnitType(base.slice(dot + 1)) ? base : `${base}.service`;
}

function typeList(types: readonly UnitType[]): string {
  return types.map((type) => `.${type}`).join(" ");
}

/** A foreign text for a message: bounded, control characters spelled out. */
function quoted(text: string): string {
  return `"${printable(text.length > 64 ? `${text.slice(0, 61)}...` : text)}"`;
}

function printable(text: string): string {
  return text.replace(/[\p{C}\p{Z}]/gu, (char) =>
    char === " " ? char : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Names in order: by code unit, the same on every machine whatever its locale. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
