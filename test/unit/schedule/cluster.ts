// Builders that keep a placement case on one line, and decisions as short text.
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type {
  CandidateMachine,
  ClusterState,
  Decision,
  Placement,
  Refusal,
  WantedUnit,
} from "../../../agent/domain/placement.ts";
import type { PlacementOptions } from "../../../agent/domain/unit.ts";

export type Refused = Pick<Refusal, "rule" | "machines">;

/** A decision without the words that explain it; a Decision is one. */
export interface Outcome {
  readonly kind: Decision["kind"];
  readonly unit: UnitName;
  /** Of all but those that wait. */
  readonly on?: MachineId;
  readonly from?: MachineId;
  readonly refusals?: readonly Refused[];
}

/** "a" stands for aaaa...: 32 hex digits. */
export function id(letter: string): MachineId {
  return letter.repeat(32).slice(0, 32) as MachineId;
}

/** The options of a unit that are not the usual ones, and its target. */
export interface Asked extends Pick<
  PlacementOptions,
  "demands" | "memory" | "milliCpus" | "spread" | "prefer" | "avoid" | "priority"
> {
  readonly target?: "inactive" | "loaded" | "launched";
  readonly machineId?: string;
  readonly machineOf?: readonly string[];
  readonly metadata?: readonly { readonly key: string; readonly values: readonly string[] }[];
  readonly conflicts?: readonly string[];
  readonly replaces?: readonly string[];
  readonly global?: boolean;
}

export function options(asked: Asked = {}): PlacementOptions {
  const { target: _target, ...wishes } = asked;
  return {
    ...wishes,
    machineId: asked.machineId,
    machineOf: (asked.machineOf ?? []) as readonly UnitName[],
    metadata: asked.metadata ?? [],
    conflicts: asked.conflicts ?? [],
    replaces: asked.replaces ?? [],
    global: asked.global ?? false,
  };
}

export function unit(name: string, asked: Asked = {}): WantedUnit {
  return { name: name as UnitName, target: asked.target ?? "launched", options: options(asked) };
}

export interface Case {
  readonly units?: Readonly<Record<string, Asked>>;
  /** Letters, or letters with metadata; a letter followed by "?" is presumed. */
  readonly machines?: readonly string[] | Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** By letter: what else is known of a machine. */
  readonly facts?: Readonly<Record<string, Omit<Partial<CandidateMachine>, "id">>>;
  readonly rebalance?: number;
  /** Unit name to letters of machines, e.g. "ab". */
  readonly at?: Readonly<Record<string, string>>;
  readonly leaving?: Readonly<Record<string, string>>;
  readonly running?: Readonly<Record<string, string>>;
}

export function cluster(given: Case): ClusterState {
  const { units = {}, machines = [], facts = {}, at = {}, leaving = {}, running = {}, rebalance } = given;
  const listed = Array.isArray(machines)
    ? (machines as readonly string[]).map((each) => [each, {}] as const)
    : Object.entries(machines as Readonly<Record<string, Readonly<Record<string, string>>>>);
  return {
    wanted: Object.entries(units).map(([name, asked]) => unit(name, asked)),
    machines: listed.map(([name, metadata]): CandidateMachine => ({
      id: id(name.charAt(0)),
      metadata,
      standing: name.endsWith("?") ? "presumed" : "present",
      ...facts[name.charAt(0)],
    })),
    placements: placements(at),
    leaving: placements(leaving),
    running: placements(running),
    ...(rebalance === undefined ? {} : { rebalance }),
  };
}

export function placements(at: Readonly<Record<string, string>>): Placement[] {
  return Object.entries(at).flatMap(([name, letters]) =>
    Array.from(letters).map((letter): Placement => ({ unit: name as UnitName, on: id(letter) })),
  );
}

/** e.g. `place web.service on a from b`, `wait web.service: conflict 2`, `keep web.service on a stuck: memory 1`. */
export function describe({ kind, unit: name, on, from, refusals }: Outcome): string {
  const where = on === undefined ? "" : ` on ${on.charAt(0)}`;
  const whence = from === undefined ? "" : ` from ${from.charAt(0)}`;
  const why = (refusals ?? []).map(({ rule, machines }) => `${rule} ${machines}`).join(", ");
  const stuck = kind === "keep" ? " stuck" : "";
  return `${kind} ${name}${where}${whence}${refusals === undefined ? "" : `${stuck}: ${why}`}`;
}

/** The placements that result when every decision has been carried out. Machines that are gone keep what they had of waiting units. */
export function applied(state: ClusterState, decisions: readonly Outcome[]): ClusterState {
  const known = new Set(state.machines.map((machine) => machine.id));
  const text = (unit: UnitName, on: MachineId): string => `${unit} ${on}`;
  const held = new Map(state.placements.map((placement) => [text(placement.unit, placement.on), placement]));
  for (const { kind, unit, on, from } of decisions) {
    if (kind === "drop" && on !== undefined) held.delete(text(unit, on));
    if (from !== undefined && (kind === "place" || known.has(from))) held.delete(text(unit, from));
    if (kind === "place" && on !== undefined) held.set(text(unit, on), { unit, on });
  }
  return { wanted: state.wanted, machines: state.machines, placements: [...held.values()] };
}
