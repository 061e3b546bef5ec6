// What one pass works on: the linked units, the machines and what is on them, what was so before; and what the pass finds
// out. Given to the steps of this room (keep, settle, leave, report).
import type { UnitName } from "../domain/names.ts";
import type { Before } from "./before.ts";
import type { Host, HostIndex } from "./machines.ts";
import type { ActiveUnit, UnitIndex } from "./units.ts";
import type { Waiting } from "./waiting.ts";

/** Kept from pass to pass. */
export interface Scene {
  readonly units: UnitIndex;
  readonly hosts: HostIndex;
  readonly before: Before;
  readonly waiting: Waiting;
}

export interface Pass extends Scene {
  /** Machines that may take what they refused before. A unit that is taken off one while any may yet ask enters it here. */
  readonly freed: Set<Host>;
  /**
   * Machines that a unit was taken from when what stays there had been judged already. In the next pass that is judged anew:
   * a global unit may be left there without the one that it follows.
   */
  readonly disturbed: Set<Host>;
  /** Units that were looked at: all others are as they were. */
  readonly examined: Set<ActiveUnit>;
  /** Why a unit could not stay where it was, in words. */
  readonly reasons: Map<ActiveUnit, string>;
  readonly displacedBy: Map<ActiveUnit, ActiveUnit>;
  /** Units that were to leave a drained machine and that no other takes. */
  readonly stuck: Set<ActiveUnit>;
  /** Units that left a machine only because it is drained, or for loads to be more even. */
  readonly moved: Map<ActiveUnit, { readonly from: Host; readonly because: string }>;
  /** How many units may be moved to make loads more even. */
  readonly rebalance: number;
  /**
   * Units of which nothing is decided: one that is on a machine stays, whatever the rules say, and holds its place against all
   * that would come; one that is nowhere goes nowhere, and makes nobody give way.
   */
  readonly fixed: ReadonlySet<UnitName>;
}
