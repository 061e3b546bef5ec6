// Units with OnPartition=stop, as the leader has to do with them: how long each may still be running on a machine that is gone,
// by the monotonic clock, and which machines wait for a word before they start theirs. Given to engine.ts, which decides
// nothing of the former meanwhile.
import type { MachineId, UnitName } from "../domain/names.ts";
import { type Manifest, type ManifestEntry, fenceWaitMs } from "../domain/placement.ts";
import { keys } from "../text/values.ts";

/** Of the registry's picture: what machines are told, and which of them have anything that hangs on their lease. */
export interface Lived {
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly machines: ReadonlyMap<MachineId, unknown>;
  readonly statuses: ReadonlyMap<MachineId, unknown>;
}

/** `modified`: mod revisions by key. */
export interface Claimed extends Pick<Lived, "manifests" | "machines"> {
  readonly modified: ReadonlyMap<string, number>;
}

export interface FenceWait {
  /** They may still be running on a machine that is gone. The same set as the last time when nothing has changed. */
  readonly units: ReadonlySet<UnitName>;
  /** Units that were among them the last time and no longer are. */
  readonly over: readonly UnitName[];
  /** Until the next one is over; Infinity: none is under way. */
  readonly dueMs: number;
}

export class FenceWaits {
  readonly #goneMs = new Map<MachineId, number>();
  readonly #fenced = new WeakMap<Manifest, readonly ManifestEntry[]>();
  #units: ReadonlySet<UnitName> = new Set();

  /** What hangs on the machine's lease came, changed or went at this moment: if it is gone, then not before. */
  changed(machine: MachineId, nowMs: number): void {
    this.#goneMs.set(machine, nowMs);
  }

  /** `connectedSinceMs`: since when nothing can have come and gone unseen. */
  look(
    { manifests, machines, statuses }: Lived,
    { nowMs, connectedSinceMs }: { readonly nowMs: number; readonly connectedSinceMs: number },
  ): FenceWait {
    const units = new Set<UnitName>();
    let dueMs = Infinity;
    for (const [id, manifest] of manifests) {
      if (machines.has(id) || statuses.has(id)) {
        this.#goneMs.delete(id);
        continue;
      }
      const goneMs = Math.max(this.#goneMs.get(id) ?? nowMs, connectedSinceMs);
      this.#goneMs.set(id, goneMs);
      for (const { name, target, fenceMs = 0 } of this.#fencedOf(manifest)) {
        const leftMs = goneMs + fenceWaitMs(fenceMs) - nowMs;
        if (leftMs <= 0) continue;
        // Somebody has waited before: another machine has been told of it
        if (target === "released" && isElsewhere(manifests.values(), name)) continue;
        units.add(name);
        dueMs = Math.min(dueMs, leftMs);
      }
    }
    for (const id of this.#goneMs.keys()) if (!manifests.has(id)) this.#goneMs.delete(id);
    const over = [...this.#units].filter((name) => !units.has(name));
    const isSame = over.length === 0 && units.size === this.#units.size;
    if (!isSame) this.#units = units;
    return { units: this.#units, over, dueMs };
  }

  /**
   * Machines that have claimed their id since their manifest was written, and are told such units: they start none of them
   * before it is written once more, whatever it says (`Fence.isFresh`).
   */
  *unconfirmed({ manifests, machines, modified }: Claimed): Generator<MachineId> {
    for (const id of machines.keys()) {
      const manifest = manifests.get(id);
      if (manifest === undefined || this.#fencedOf(manifest).length === 0) continue;
      if ((modified.get(keys.machine(id)) ?? 0) > (modified.get(keys.manifest(id)) ?? 0)) yield id;
    }
  }

  #fencedOf(manifest: Manifest): readonly ManifestEntry[] {
    const known = this.#fenced.get(manifest);
    if (known !== undefined) return known;
    const found = manifest.units.filter(({ fenceMs }) => fenceMs !== undefined);
    this.#fenced.set(manifest, found);
    return found;
  }
}

function isElsewhere(manifests: Iterable<Manifest>, name: UnitName): boolean {
  for (const { units } of manifests) {
    if (units.some((entry) => entry.name === name && entry.target !== "released")) return true;
  }
  return false;
}
