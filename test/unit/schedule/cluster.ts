// Builders that keep a placement case on one line, and decisions as short text.
import type { MachineId, UnitName } from "../../../agent/domain/names.ts";
import type {
  CandidateMachine,
  ClusterState,
  Decision,
  Placement,
  WantedUnit,
} from "../../../agent/domain/placement.ts";
import type { PlacementOptions } from "../../../agent/domain/unit.ts";

/** "a" stands for aaaa...: 32 hex digits. */
export function id(letter: string): MachineId {
  return letter.repeat(32).slice(0, 32) as MachineId;
}

export interface Asked {
  readonly target?: "inactive" | "loaded" | "launched";
  readonly machineId?: string;
  readonly machineOf?: readonly string[];
  readonly metadata?: readonly { readonly key: string; readonly values: readonly string[] }[];
  readonly conflicts?: readonly string[];
  readonly replaces?: readonly string[];
  readonly global?: boolean;
}

export function options(asked: Asked = {}): PlacementOptions {
  return {
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
  /** Unit name to letters of machines, e.g. "ab". */
  readonly at?: Readonly<Record<string, string>>;
  readonly leaving?: Readonly<Record<string, string>>;
  readonly running?: Readonly<Record<string, string>>;
}

export function cluster({ units = {}, machines = [], at = {}, leaving = {}, running = {} }: Case): ClusterState {
  const listed = Array.isArray(machines)
    ? (machines as readonly string[]).map((each) => [each, {}] as const)
    : Object.entries(machines as Readonly<Record<string, Readonly<Record<string, string>>>>);
  return {
    wanted: Object.entries(units).map(([name, asked]) => unit(name, asked)),
    machines: listed.map(([name, metadata]): CandidateMachine => ({
      id: id(name.charAt(0)),
      metadata,
      standing: name.endsWith("?") ? "presumed" : "present",
    })),
    placements: placements(at),
    leaving: placements(leaving),
    running: placements(running),
  };
}

export function placements(at: Readonly<Record<string, string>>): Placement[] {
  return Object.entries(at).flatMap(([name, letters]) =>
    Array.from(letters).map((letter): Placement => ({ unit: name as UnitName, on: id(letter) })),
  );
}

/** e.g. `place web.service on a from b`, `wait web.service: conflict 2`. */
export function describe(decision: Decision): string {
  const from = "from" in decision ? ` from ${decision.from.charAt(0)}` : "";
  if (decision.kind === "wait") {
    const refusals = decision.refusals.map(({ rule, machines }) => `${rule} ${machines}`).join(", ");
    return `wait ${decision.unit}${from}: ${refusals}`;
  }
  return `${decision.kind} ${decision.unit} on ${decision.on.charAt(0)}${from}`;
}

/** The placements that result when every decision has been carried out. Machines that are gone keep what they had of waiting units. */
export function applied(state: ClusterState, decisions: readonly Decision[]): ClusterState {
  const known = new Set(state.machines.map((machine) => machine.id));
  const text = ({ unit: name, on }: Placement): string => `${name} ${on}`;
  const held = new Map(state.placements.map((placement) => [text(placement), placement]));
  for (const decision of decisions) {
    if (decision.kind === "drop") held.delete(text(decision));
    if (decision.kind === "place" && decision.from !== undefined)
      held.delete(text({ unit: decision.unit, on: decision.from }));
    if (decision.kind === "wait" && decision.from !== undefined && known.has(decision.from)) {
      held.delete(text({ unit: decision.unit, on: decision.from }));
    }
    if (decision.kind === "place") held.set(text(decision), { unit: decision.unit, on: decision.on });
  }
  return { wanted: state.wanted, machines: state.machines, placements: [...held.values()] };
}
