// Builders that keep a plan's case on few lines: a cluster by its machines, and the units before and after by their names.
import type { CommitId, MachineId, UnitHash, UnitName } from "../../../agent/domain/names.ts";
import type {
  ClusterPlan,
  ExportedHold,
  ExportedMachine,
  ExportedState,
  ExportedUnit,
} from "../../../agent/domain/plan.ts";
import type { OnChange, PlacementOptions, TargetState, Unit, UnitSource } from "../../../agent/domain/unit.ts";
import { compare, planChange } from "../../../agent/plan/plan.ts";
import { schedule } from "../../../agent/schedule/schedule.ts";
import { systemdHash } from "../../../agent/text/hash.ts";

/** "a" stands for aaaa...: 32 hex digits. */
export function id(letter: string): MachineId {
  return letter.repeat(32).slice(0, 32) as MachineId;
}

export interface Asked extends Partial<PlacementOptions> {
  readonly target?: TargetState;
  /** A digit: another one is another text. */
  readonly text?: string;
  readonly onChange?: OnChange;
  readonly source?: UnitSource;
  readonly template?: true;
}

export type UnitsAsked = Readonly<Record<string, Asked>>;

/** Machines by a letter each. */
export interface MachineAsked extends Partial<Omit<ExportedMachine, "id" | "units" | "leaving" | "running">> {
  /** Names with blanks between; what is there runs, unless it stands in `stopped`. */
  readonly has?: string;
  readonly stopped?: string;
  readonly leaving?: string;
}

export interface Case {
  readonly machines: Readonly<Record<string, MachineAsked>>;
  readonly before: UnitsAsked;
  readonly after: UnitsAsked;
  readonly holds?: readonly { readonly unit: string; readonly target: TargetState; readonly why?: string }[];
  readonly unknown?: readonly string[];
}

const names = (text = ""): readonly UnitName[] =>
  text.split(" ").flatMap((name) => (name === "" ? [] : [name as UnitName]));

/** Of 3 systemd makes the same as of 1. */
export function textOf(text = "1"): string {
  return text === "3" ? `${textOf("1")}[X-Fleet]\nPriority=1\n` : `[Service]\nExecStart=/bin/sleep ${text}\n`;
}

function exported(name: string, asked: Asked): ExportedUnit {
  const { target = "launched", text = "1", onChange = "restart", source = "git", template, ...options } = asked;
  return {
    name: name as UnitName,
    ...{ source, onChange },
    target: template === true ? "inactive" : target,
    hash: text.repeat(40).slice(0, 40) as UnitHash,
    systemdHash: systemdHash({ text: textOf(text), dropIns: [] }),
    options: {
      machineId: undefined,
      machineOf: [],
      metadata: [],
      conflicts: [],
      replaces: [],
      global: false,
      ...options,
    },
    ...(template === undefined ? {} : { template }),
  };
}

export function stateOf({ machines, before, holds = [], unknown = [] }: Omit<Case, "after">): ExportedState {
  return {
    version: 1,
    atMs: 0,
    adopted: { commit: "c".repeat(40) as CommitId, ref: "main" },
    machines: Object.entries(machines).map(([letter, { has, stopped, leaving, ...more }]): ExportedMachine => {
      const off = new Set(names(stopped));
      return {
        ...{ hostname: `host-${letter}`, standing: "present", metadata: {}, ...more },
        id: id(letter),
        units: names(has),
        leaving: names(leaving),
        running: names(has).filter((name) => !off.has(name)),
      };
    }),
    units: Object.entries(before).map(([name, asked]) => exported(name, asked)),
    holds: holds.map((hold): ExportedHold => ({ by: "ann@lap", ...hold, unit: hold.unit as UnitName })),
    unknown: unknown as readonly UnitName[],
  };
}

export function unitsOf(after: UnitsAsked, only: "units" | "templates"): ReadonlyMap<UnitName, Unit> {
  const units = Object.entries(after).map(([name, asked]) => exported(name, asked));
  return new Map(
    units
      .filter(({ template }) => (template === true) === (only === "templates"))
      .map((unit) => [
        unit.name,
        {
          ...unit,
          file: unit.name,
          text: textOf(after[unit.name]?.text),
          dropIns: [],
          description: undefined,
          hasInstall: false,
        },
      ]),
  );
}

/** As `flotilla plan` makes it. */
export function plan(given: Case): ClusterPlan {
  const commit = { units: unitsOf(given.after, "units"), templates: unitsOf(given.after, "templates") };
  const comparison = compare(stateOf(given), commit);
  const [before, after] = [schedule(comparison.before.cluster), schedule(comparison.after.cluster)];
  return planChange(comparison, { before, after });
}

/** `web.service changed: restart a, start b; because`, one line for each unit. */
export function inShort({ units }: ClusterPlan): readonly string[] {
  return units.map(({ name, change, actions, waits }) => {
    const done = actions.map(({ action, machine }) => `${action} ${machine.id.charAt(0)}`);
    const waiting = waits === undefined ? [] : [`wait (${waits.map(({ rule }) => rule).join(", ")})`];
    return `${name} ${change}: ${[...done, ...waiting].join(", ") || "nothing"}`;
  });
}
