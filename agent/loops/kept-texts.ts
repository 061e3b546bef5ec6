// The texts of the units that this machine was last told to have, on its own disk beside the manifest: with these two it brings
// its units back without registry, repository or the store of git. The hash that the manifest names decides here as well.
import { encodeKeptUnits, readKeptUnits } from "../desired/desired.ts";
import type { UnitName } from "../domain/names.ts";
import type { ManifestEntry } from "../domain/placement.ts";
import type { Unit } from "../domain/unit.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";

/** Below the state directory. */
const keptFile = "unit-texts";

export interface KeptTextsPorts {
  readonly disk: Disk;
  readonly log: Log;
}

export class KeptTexts {
  readonly #ports: KeptTextsPorts;
  #kept: ReadonlyMap<UnitName, Unit> | undefined;
  /** Whether the disk has what is in memory. */
  #written = true;

  constructor(ports: KeptTextsPorts) {
    this.#ports = ports;
  }

  /** Reads the disk once. Never rejects: what cannot be read is asked of git and the registry. */
  async load(): Promise<void> {
    if (this.#kept !== undefined) return;
    const { disk, log } = this.#ports;
    const kept = new Map<UnitName, Unit>();
    this.#kept = kept;
    let text: string;
    try {
      text = (await disk.read(keptFile)) ?? "";
    } catch (error) {
      log.error("kept-texts.unreadable", error);
      return;
    }
    const { units, problems } = readKeptUnits(text);
    for (const unit of units) kept.set(unit.name, unit);
    if (problems.length > 0) log.error("kept-texts.damaged", problems[0], { problems: problems.length });
    this.#written = problems.length === 0;
  }

  /**
   * The unit of this name that was kept, from the same source; undefined when there is none. With another hash than the
   * entry's it is an older one, which may stand in until the new text can be had.
   */
  find({ name, source }: ManifestEntry): Unit | undefined {
    const unit = this.#kept?.get(name);
    return unit?.source === source ? unit : undefined;
  }

  /** Keeps these, and nothing else, in place of what was kept. Rejects as the disk does; then it is tried again next time. */
  async keep(units: ReadonlyMap<UnitName, Unit>): Promise<void> {
    const before = this.#kept ?? new Map<UnitName, Unit>();
    const isSame = before.size === units.size && [...units.values()].every((unit) => isKept(unit, before));
    this.#kept = units;
    if (isSame && this.#written) return;
    this.#written = false;
    await this.#ports.disk.write(keptFile, encodeKeptUnits(units.values()));
    this.#written = true;
  }
}

function isKept({ name, source, hash }: Unit, kept: ReadonlyMap<UnitName, Unit>): boolean {
  const before = kept.get(name);
  return before?.hash === hash && before.source === source;
}
