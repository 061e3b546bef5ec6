// What the leader's journal says of units that begin to wait: for a machine that takes them, or for one that is gone, or that
// nobody has heard of, to have stopped them. Given to engine.ts, one for each tenure.
import type { UnitName } from "../domain/names.ts";
import type { Decision } from "../domain/placement.ts";
import type { Log } from "../ports/log.ts";
import type { FenceWait } from "./fence-waits.ts";

/** Units that begin to wait in one pass and are named, each with its reasons. */
const maxNamed = 50;

export class WaitsJournal {
  readonly #log: Pick<Log, "info" | "warn">;
  #fenced: ReadonlySet<UnitName> | undefined;

  constructor(log: Pick<Log, "info" | "warn">) {
    this.#log = log;
  }

  /** Units that stay as they are until such a machine must have stopped them; when others come or go. */
  fenced({ units, dueMs }: FenceWait): void {
    if (units === this.#fenced) return;
    this.#fenced = units;
    if (units.size === 0) return;
    const named = [...units].slice(0, maxNamed).join(" ");
    this.#log.info("units.fenced", { units: units.size, named, firstMs: Math.round(dueMs) });
  }

  /** Units that no machine takes, when they begin to wait. `decisionsOf`: what was decided of units that are named. */
  waiting(newly: readonly UnitName[], decisionsOf: (units: readonly UnitName[]) => readonly Decision[]): void {
    for (const decision of decisionsOf(newly.slice(0, maxNamed))) {
      if (decision.kind !== "wait") continue;
      const because = decision.refusals.map((each) => each.example).join("; ");
      this.#log.warn("unit.waiting", { unit: decision.unit, because });
    }
    if (newly.length > maxNamed) this.#log.warn("units.waiting", { units: newly.length });
  }
}
